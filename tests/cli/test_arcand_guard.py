"""arcand attacked over HTTP, as a real process: what a hostile page, program or model could send."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.cli.daemon import Arcand


@pytest.fixture(scope="module")
def arcand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arcand]:
    with Arcand(tmp_path_factory.mktemp("guard")) as arcand:
        arcand.request("POST", "/sessions/s/runs", {"objective": "write a.txt: hello"})
        yield arcand
        assert "Traceback" not in arcand.output(), arcand.output()


@pytest.fixture(autouse=True)
def _still_well(arcand: Arcand) -> Iterator[None]:
    """After each attack it answers as before."""
    yield
    assert arcand.request("GET", "/sessions/s").status_code == 200


def raw(arcand: Arcand, data: bytes, *, patience_s: float = 5.0) -> bytes:
    """What the daemon answers to these very bytes."""
    with socket.create_connection(("127.0.0.1", arcand.port), timeout=patience_s) as line:
        line.sendall(data)
        answer = b""
        try:
            while part := line.recv(65_536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def send(arcand: Arcand, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", arcand.port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, arcand.bearer | named)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:{port}", "127.0.0.1", "", "localhost:1", "localhost:{port}@evil"]
)
def test_a_rebound_name_is_refused(arcand: Arcand, host: str) -> None:
    """DNS rebinding: whatever name a browser was tricked into, only ours are answered; even with the right token."""
    answer = arcand.request("GET", "/sessions", headers={"host": host.format(port=arcand.port)})
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://127.0.0.1"]
)
def test_other_origins_change_and_read_nothing(arcand: Arcand, origin: str) -> None:
    """A page of another origin gets 403, and no answer permits it to read."""
    before = arcand.get("/sessions/s")
    for method, path in (("POST", "/sessions/s/runs"), ("GET", "/sessions"), ("OPTIONS", "/sessions/s/runs")):
        answer = arcand.request(
            method, path, {"objective": "x"} if method == "POST" else None, headers={"origin": origin}
        )
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert arcand.get("/sessions/s") == before


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x", "Bearer {token}x", "Bearer {short}", "Basic {token}", "{token}", "Bearer \xff\xfe"],
)
def test_a_wrong_token_opens_nothing(arcand: Arcand, authorization: str) -> None:
    """401 with a challenge; the answer holds neither what was sent nor what was expected."""
    token = arcand.token
    value = authorization.format(token=token, short=token[:-1]).encode("latin-1")
    for path in ("/sessions", "/sessions/s/events/stream", "/openapi.json", "/ledger", "/s/s"):
        answer = httpx2.get(arcand.url + path, headers={b"authorization": value}, trust_env=False)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert token[:12] not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/..%2f..%2fetc", "/sessions/%2e%2e/events", "/sessions/..", "/sessions/a%00b/events", "/s/..%2fledger",
        "/sessions/%0d%0aX-Evil:%201", "/sessions/" + "x" * 5_000, "/sessions/%ff%fe", "/sessions/%F0%9F%98%80", "/s/%3Cscript%3E",
        "/sessions/.", "/sessions/%20", "//sessions", "/sessions/s/../../etc/passwd", "/static/../token", "/static/%2e%2e/token",
        "/sessions/s/runs/..%2f", "/sessions/s/state?at=" + "9" * 400, "/sessions/s/state?branch=../x", "/sessions/s/state?branch=",
        "/sessions/s/events?from_sequence=%D9%A1", "/sessions/s/events?limit=1e9", "/sessions/s/events/stream?cursor=-1",
    ],
)  # fmt: skip
def test_odd_addresses_are_answered_calmly(arcand: Arcand, path: str) -> None:
    """400, 404 or 405 with a code; no file, no header of theirs, no traceback."""
    status, body = send(arcand, "GET", path, b"")
    assert status in (400, 404, 405), (status, body[:300])
    assert b"root:" not in body
    assert arcand.token.encode() not in body


@pytest.mark.parametrize(
    "session_id", ["..", ".", "a/b", "a\\b", "", "x" * 300, "a\x00b", "\n", "CON\r\nX: y", "\ud800", "-rf", "~", "a b"]
)
def test_session_ids_stay_in_their_folder(arcand: Arcand, session_id: str) -> None:
    """An id becomes a folder's name: what could be more than that is refused, and no folder appears outside."""
    arcand.request("POST", "/sessions", json.loads(json.dumps({"session_id": "probe"})))
    status, _ = send(arcand, "POST", "/sessions", json.dumps({"session_id": session_id}).encode())
    assert status in (201, 400)
    if status == 201:
        assert session_id in ("-rf", "~")
    assert {path.name for path in arcand.folder.iterdir()} == {"life", "keys"}


BODIES = {
    "not JSON": b"{",
    "not UTF-8": b'{"objective": "\xff\xfe"}',
    "half a character": b'{"objective": "\\ud800"}',
    "deep array": b'{"objective": ' + b"[" * 100_000,
    "deep object": b'{"limits": ' + b'{"x":' * 100_000,
    "deep limits": b'{"objective": "x", "limits": ' + b'{"max_steps":' * 50_000,
    "null": b"null",
    "number": b"1e400",
    "duplicate": b'{"objective": "a", "objective": 5}',
    "too long": json.dumps({"objective": "x" * 300_000}).encode(),
    "negative limit": b'{"objective": "x", "limits": {"max_steps": -1}}',
    "huge limit": b'{"objective": "x", "limits": {"max_steps": 1e30}}',
    "bad key": json.dumps({"objective": "x", "idempotency_key": "k" * 10_000}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_a_400(arcand: Arcand, name: str) -> None:
    """Whatever the bytes: one sentence with a code, and nothing is begun."""
    before = arcand.get("/sessions/s")
    status, body = send(arcand, "POST", "/sessions/s/runs", BODIES[name], content_type="application/json")
    assert status == 400, body[:300]
    assert json.loads(body)["code"]
    assert arcand.get("/sessions/s") == before


def test_a_giant_body_is_cut_off(arcand: Arcand) -> None:
    """200 MB, announced or in pieces: refused after the first one, the rest is not kept."""

    def resident_kb() -> int:
        status = Path(f"/proc/{arcand.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before = resident_kb()
    token = arcand.token
    head = f"POST /sessions/s/runs HTTP/1.1\r\nHost: 127.0.0.1:{arcand.port}\r\nAuthorization: Bearer {token}\r\n"
    for kind in ("Content-Length: 200000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", arcand.port), timeout=10) as line:
            line.sendall((head + kind).encode())
            try:
                for _ in range(400):
                    line.sendall(b"80000\r\n" + b"x" * 0x80000 + b"\r\n" if "chunked" in kind else b"x" * 0x80000)
            except (BrokenPipeError, ConnectionResetError):
                continue
            assert line.recv(65_536).startswith(b"HTTP/1.1 400 ")
    assert resident_kb() - before < 50_000


def test_form_floods_are_refused(arcand: Arcand) -> None:
    """A form with a thousand fields, or of a megabyte, is a page that says so."""
    for body in (b"&".join(b"a%d=1" % number for number in range(1_000)), b"objective=" + b"x" * 1_000_000):
        status, answer = send(arcand, "POST", "/sessions", body, content_type="application/x-www-form-urlencoded")
        assert status == 400
        assert b"<h1>" in answer
    sessions = arcand.get("/sessions")
    assert isinstance(sessions, list)
    send(arcand, "POST", "/sessions", b"objective=+", content_type="application/x-www-form-urlencoded")
    assert len(arcand.get("/sessions")) == len(sessions), "an empty form makes no session"  # type: ignore[arg-type]


def test_smuggled_and_broken_requests_end_the_line(arcand: Arcand) -> None:
    """What is no HTTP gets a 400 or a closed line, and two lengths are not believed."""
    host = f"Host: 127.0.0.1:{arcand.port}\r\n"
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        f"GET /health HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n".encode(),
        f"GET /health HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
        f"GET /health HTTP/1.1\r\n{host}X: y\n: z\x00\r\n\r\n".encode(),
    ):
        answer = raw(arcand, data, patience_s=1.0)
        assert answer == b"" or answer.split()[1] in (b"400", b"403"), answer[:200]


def test_head_and_options_do_nothing(arcand: Arcand) -> None:
    """HEAD answers without a body and redeems no login link; OPTIONS is no method of ours."""
    link = arcand.request("POST", "/login-links").json()["path"]
    head = arcand.request("HEAD", link)
    assert head.text == ""
    assert "set-cookie" not in head.headers
    assert httpx2.get(arcand.url + link, trust_env=False).status_code == 303, "the link was still good"
    assert arcand.request("OPTIONS", "/sessions").status_code == 405
    assert arcand.request("HEAD", "/sessions").status_code == 200
    assert arcand.request("TRACE", "/sessions").status_code == 405


def test_slow_clients_hold_nobody_up(arcand: Arcand) -> None:
    """A hundred half-sent requests and two hundred idle event streams: others are served at once."""
    lines: list[socket.socket] = []
    head = f"GET /sessions/s/events/stream HTTP/1.1\r\nHost: 127.0.0.1:{arcand.port}\r\n{{}}".format
    stream = head(f"Authorization: Bearer {arcand.token}\r\n\r\n").encode()
    try:
        for _ in range(100):
            lines.append(socket.create_connection(("127.0.0.1", arcand.port)))
            lines[-1].sendall(b"POST /sessions/s/runs HT")
        for _ in range(200):
            lines.append(socket.create_connection(("127.0.0.1", arcand.port)))
            lines[-1].sendall(stream)
        begun = time.monotonic()
        report = arcand.request("POST", "/sessions/crowd/runs", {"objective": "hello"})
        assert report.json()["reason"] == "completed"
        assert time.monotonic() - begun < 10
        with arcand.client as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.get("/sessions/s").status_code, range(100)))
        assert answers == [200] * 100
    finally:
        for line in lines:
            line.close()


def test_no_secret_is_anywhere(arcand: Arcand) -> None:
    """After all of this neither token nor key stands in the output, the journal, or any answer."""
    token = arcand.token
    key = (arcand.folder / "keys" / "identity.key").read_bytes()
    assert len(key) >= 32
    assert token not in arcand.output()
    for path in arcand.data.rglob("*"):
        if path.is_file() and path.name != "token":
            content = path.read_bytes()
            assert token.encode() not in content, path
            assert key not in content, path
    for address in ("/sessions", "/sessions/s/events", "/openapi.json", "/identity", "/system", "/health", "/nowhere"):
        text = arcand.request("GET", address).content
        assert token.encode() not in text
        assert key not in text
