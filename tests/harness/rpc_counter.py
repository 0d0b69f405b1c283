"""A proxy before a JSON-RPC node that counts the calls passing through, and can lose or refuse chosen ones.

It says how many chain calls a payment takes, whoever makes them, and plays the node that fails at the worst moment: it
answers nothing after a transaction went out, or turns a call away.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


class RpcCounter:
    """Forwards HTTP POSTs on a free loopback port to the node at `upstream`; a context manager.

    A batch counts as one call for each of its members. Calls are counted when they arrive, so lost and refused ones count
    too. May be read from any thread.
    """

    def __init__(self, upstream: str) -> None:
        split = urlsplit(upstream)
        if split.scheme != "http" or split.hostname is None or split.port is None:
            raise ValueError(f"not an http://host:port address: {upstream}")
        self._upstream = (split.hostname, split.port)
        self._lock = threading.Lock()
        self._methods: list[str] = []
        self._to_lose: Counter[str] = Counter()
        self._to_refuse: Counter[str] = Counter()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address to give to the part that is counted."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def methods(self) -> list[str]:
        """Methods in the order of their arrival."""
        with self._lock:
            return list(self._methods)

    @property
    def counts(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(self.methods)

    @property
    def total(self) -> int:
        """How many calls there were."""
        return len(self.methods)

    def reset(self) -> None:
        """Count from zero again; what is to be lost or refused stays."""
        with self._lock:
            self._methods.clear()

    def lose_answer(self, method: str, times: int = 1) -> None:
        """Let the next `times` calls of a method reach the node, and close the connection instead of answering."""
        with self._lock:
            self._to_lose[method] += times

    def refuse(self, method: str, times: int = 1) -> None:
        """Keep the next `times` calls of a method from the node and answer HTTP 503."""
        with self._lock:
            self._to_refuse[method] += times

    def close(self) -> None:
        """Stop serving and close every connection; may be called again."""
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def arrive(self, body: bytes) -> tuple[bool, bool]:
        """Count the calls of a request; whether it is to be refused, and whether its answer is to be lost."""
        request = json.loads(body)
        methods = [str(call["method"]) for call in (request if isinstance(request, list) else [request])]
        with self._lock:
            self._methods += methods
            return _take(self._to_refuse, methods), _take(self._to_lose, methods)

    def forward(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the node's answer. Raises OSError when the node cannot be reached."""
        connection = http.client.HTTPConnection(*self._upstream, timeout=60)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _take(planned: Counter[str], methods: list[str]) -> bool:
    """Use up one planned failure of each method that has one; whether there was any."""
    struck = [method for method in methods if planned[method] > 0]
    planned.subtract(struck)
    return bool(struck)


class _Server(ThreadingHTTPServer):
    """The listening socket and the connections accepted on it."""

    daemon_threads = True

    def __init__(self, counter: RpcCounter) -> None:
        self.counter = counter
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        with self._connections_lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            with self._connections_lock:
                self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for a kept-alive client's next request, so that they end."""
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed by the client in the meantime

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_refused, is_lost = self.server.counter.arrive(body)
        if is_refused:
            self._answer(503, b'{"error": "refused for a test"}')
            return
        try:
            status, answer = self.server.counter.forward(body)
        except OSError as error:
            self._answer(502, json.dumps({"error": f"no answer from the node: {error}"}).encode())
            return
        if is_lost:
            self.close_connection = True
            return
        self._answer(status, answer)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: the calls are counted."""
