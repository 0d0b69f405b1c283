"""A POST that nobody knows the end of: arcand killed in the middle of it, and a person who decides on the page."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cli.daemon import Arcand, kind, write_script


class Shop:
    """A server that takes a POST and answers it only when it is told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.answers = False
        self.bodies: list[bytes] = []
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for line in self._lines:
            line.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._lines.append(line)
            data = b""
            while b"\r\n\r\n" not in data:
                data += line.recv(65_536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])  # type: ignore[index]
            while len(body) < length:
                body += line.recv(65_536)
            self.bodies.append(body)
            if self.answers:
                line.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


def wait_until(condition: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("decision", "requests"), [("done", 1), ("not_done", 1), ("retry", 2)])
def test_a_post_in_doubt_is_decided_on_the_page(tmp_path: Path, shop: Shop, decision: str, requests: int) -> None:
    """Killed in the middle of a POST: after the restart nothing is sent again; the page says what is in doubt, and what
    the person says there is what happens, and only that."""
    post = {"method": "POST", "url": f"http://127.0.0.1:{shop.port}/order", "body": "one anvil"}
    turns: list[dict[str, object]] = [
        {"calls": [{"tool": "http_fetch", "arguments": post}]},
        {"text": "Order settled."},
    ]
    env = {"LIFE_TOOLS_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{shop.port}"}
    with Arcand(tmp_path, "--provider", write_script(tmp_path / "order.json", turns), env=env) as arcand:
        arcand.start_run("s")
        wait_until(lambda: len(shop.bodies) == 1)
        arcand.process.kill()
        shop.answers = True
        arcand.start()
        link = arcand.process.wait_for_line(r"  log in +(http://\S+) .*")[1]
        with httpx2.Client(base_url=arcand.url, trust_env=False, follow_redirects=True) as browser:
            assert browser.get(link).status_code == 200
            wait_until(lambda: "In doubt" in browser.get("/s/s").text)
            page = browser.get("/s/s").text
            assert "one anvil" in page
            assert len(shop.bodies) == 1, "nothing was sent again"
            assert "one anvil" in browser.get("/inbox").text, "what is in doubt waits there, too"
            token = re.search(r'name="form_token" value="([^"]+)"', page)[1]  # type: ignore[index]
            more = {"objective": "more", "form_token": token}
            wrong = browser.post("/s/s/runs", data=more, headers={"origin": arcand.url})
            assert wrong.status_code == 409
            call_id = re.search(r'name="call_id" value="([^"]+)"', page)[1]  # type: ignore[index]
            form = {"call_id": call_id, "decision": decision, "form_token": token}
            foreign = browser.post("/s/s/doubt", data=form, headers={"origin": "https://evil.example"})
            assert foreign.status_code == 403
            answer = browser.post("/s/s/doubt", data=form, headers={"origin": arcand.url})
            assert answer.status_code == 200
            wait_until(lambda: "Order settled." in browser.get("/s/s").text)
            again = browser.post("/s/s/doubt", data=form, headers={"origin": arcand.url})
            assert again.status_code in (404, 409)
        assert shop.bodies == [b"one anvil"] * requests
        assert sum(kind(event) == "RunFinished" for event in arcand.events("s")) == 1
