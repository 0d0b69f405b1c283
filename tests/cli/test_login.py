"""`life login` as a user runs it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cli.daemon import Arcand, run_command


class _Foreign(http.server.BaseHTTPRequestHandler):
    """A server of somebody else: it writes down what it is sent."""

    heard: list[str] = []  # noqa: RUF012 (one per test, set by the fixture)
    answer = b"{}"

    def do_POST(self) -> None:
        self.heard.append(str(self.headers))
        self.send_response(201)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def foreign() -> Iterator[http.server.ThreadingHTTPServer]:
    _Foreign.heard = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Foreign)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def login(folder: Path, *options: str) -> tuple[int, str, str]:
    return run_command("life", "login", "--data-dir", "life", *options, folder=folder)


def test_it_finds_the_daemon_of_the_data_directory(tmp_path: Path) -> None:
    """No port has to be named: the daemon left its address with its lock. The link logs in, once."""
    with Arcand(tmp_path) as arcand:
        code, out, err = login(tmp_path)
        assert (code, err) == (0, "")
        link = out.strip()
        assert link.startswith(f"{arcand.url}/login?code=")
        assert httpx2.get(link, trust_env=False).status_code == 303
        assert httpx2.get(link, trust_env=False).status_code == 401
        assert login(tmp_path, "--port", str(arcand.port))[0] == 0
        assert arcand.token not in out


def test_without_a_daemon_nothing_is_made(tmp_path: Path) -> None:
    """One sentence and the next step; no data directory, no token appears."""
    code, out, err = login(tmp_path)
    assert (code, out) == (1, "")
    assert "[life.unavailable]" in err
    assert "life up" in err
    assert list(tmp_path.iterdir()) == []


def test_the_token_goes_to_no_stranger(tmp_path: Path, foreign: http.server.ThreadingHTTPServer) -> None:
    """The daemon is gone, somebody else has its port: the token is not sent there."""
    arcand = Arcand(tmp_path)
    with arcand:
        pass
    lock = arcand.data / "arcand.lock"
    lock.write_text(lock.read_text().replace(str(arcand.port), str(foreign.server_address[1])))
    code, out, err = login(tmp_path)
    assert (code, out) == (1, "")
    assert "[life.unavailable]" in err
    assert _Foreign.heard == []


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"\xff", b"", b'{"path": "http://evil.example/"}', b'{"path": 5}'])
def test_what_is_no_daemon_is_said(
    tmp_path: Path, foreign: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """A port was named and something else answers: one sentence, no link of theirs is passed on."""
    monkeypatch.setattr(_Foreign, "answer", answer)
    (tmp_path / "life").mkdir()
    (tmp_path / "life" / "token").write_text("x" * 43)
    (tmp_path / "life" / "token").chmod(0o600)
    code, out, err = login(tmp_path, "--port", str(foreign.server_address[1]))
    assert (code, out) == (1, "")
    assert "[host.unauthorized]" in err
    assert "Traceback" not in err


def test_the_daemon_of_another_directory_refuses(tmp_path: Path) -> None:
    """Its port with our token: refused, and said."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Arcand(tmp_path / "one") as one, Arcand(tmp_path / "two"):
        code, out, err = login(tmp_path / "two", "--port", str(one.port))
        assert (code, out) == (1, "")
        assert "[host.unauthorized]" in err
