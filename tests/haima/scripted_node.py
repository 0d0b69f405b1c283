"""A node that lies, comes late, answers twice or never: a proxy before a real one, whose answers a test scripts.

Each call of a method uses up the first entry of that method's script; without one it is answered truthfully. What is not an
answer about sending does reach the real node, so that "answered wrongly" and "not done" can be told apart.

    garbage         200 with a body that is no JSON
    twice           the answer's body, twice
    other call      the answer with another call's id
    null            result null
    text            result "yes"
    busy            429 with an error object
    error <words>   an error object (-32000) with these words
    unavailable     HTTP 502
    late <s>        the truth, after this many seconds
    never           nothing, until the node is closed
    unsent          HTTP 502, and the real node never hears of it
    a function      the truth, changed by it
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Change = Callable[[Any], Any]


class ScriptedNode:
    """Serves on loopback; a context manager."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._scripts: dict[str, list[str | Change]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.counts: Counter[str] = Counter()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.node = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, method: str, *steps: str | Change) -> None:
        """What the next calls of a method get."""
        with self._lock:
            self._scripts.setdefault(method, []).extend(steps)

    def forget(self, method: str) -> None:
        """Answer a method truthfully from now on."""
        with self._lock:
            self._scripts.pop(method, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: bytes) -> tuple[int, bytes] | None:
        """Status and body, or None to close the connection."""
        call = json.loads(body)
        method = call["method"]
        with self._lock:
            self.counts[method] += 1
            planned = self._scripts.get(method)
            step = planned.pop(0) if planned else "truth"
        if step == "unsent":
            return 502, b"<html>trouble</html>"
        request = urllib.request.Request(self._upstream, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as upstream:
            truth: bytes = upstream.read()
        if not isinstance(step, str):
            document = json.loads(truth)
            document["result"] = step(document.get("result"))
            return 200, json.dumps(document).encode()
        return self._spoil(step, truth, call["id"])

    def _spoil(self, step: str, truth: bytes, call_id: int) -> tuple[int, bytes] | None:
        word, _, more = step.partition(" ")
        plain = {"jsonrpc": "2.0", "id": call_id}
        if word == "late":
            self._closed.wait(float(more))
        elif word == "never":
            self._closed.wait(30)
            return None
        elif word == "error":
            return 200, json.dumps({**plain, "error": {"code": -32000, "message": more}}).encode()
        spoiled = {
            "garbage": (200, b"{]"),
            "twice": (200, truth + truth),
            "other call": (200, json.dumps({**json.loads(truth), "id": call_id + 1000}).encode()),
            "null": (200, json.dumps({**plain, "result": None}).encode()),
            "text": (200, json.dumps({**plain, "result": "yes"}).encode()),
            "busy": (429, json.dumps({**plain, "error": {"code": -32005, "message": "slow down"}}).encode()),
            "unavailable": (502, b"<html>trouble</html>"),
        }
        return spoiled.get(step, (200, truth))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    node: ScriptedNode

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """One call."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.node.answer(body)
        if answer is None:
            self.close_connection = True
            return
        status, content = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
