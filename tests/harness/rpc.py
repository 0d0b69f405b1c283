"""A JSON-RPC client small enough to trust, and the JSON type it speaks."""

from __future__ import annotations

import http.client
import json
from typing import TypeAlias, cast
from urllib.parse import urlsplit

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class RpcError(Exception):
    """The node answered with an error object.

    `code` and `message` are the node's, `data` its error data (for a revert the ABI-encoded reason, ``0x…``) or None.
    """

    def __init__(self, method: str, code: int, message: str, data: Json) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class JsonRpc:
    """Calls of one node over HTTP, a connection each, so that a client may be shared by threads."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        split = urlsplit(url)
        if split.scheme != "http" or split.hostname is None or split.port is None:
            raise ValueError(f"not an http://host:port address: {url}")
        self.url = url
        self._host, self._port = split.hostname, split.port
        self._path = split.path or "/"
        self._timeout_s = timeout_s

    def call(self, method: str, *params: Json) -> Json:
        """The result of a call. Raises RpcError for the node's refusal, OSError when it cannot be reached."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer: dict[str, Json] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            error = cast("dict[str, Json]", answer["error"])
            raise RpcError(method, int(str(error["code"])), str(error["message"]), error.get("data"))
        return answer["result"]

    def text(self, method: str, *params: Json) -> str:
        """The result of a call that answers a string, such as a hash or bytes in hex."""
        result = self.call(method, *params)
        if not isinstance(result, str):
            raise TypeError(f"{method} answered {type(result).__name__}, not a string")
        return result

    def quantity(self, method: str, *params: Json) -> int:
        """The result of a call that answers a quantity in hex."""
        return int(self.text(method, *params), 16)

    def record(self, method: str, *params: Json) -> dict[str, Json] | None:
        """The result of a call that answers an object, or null."""
        result = self.call(method, *params)
        if result is not None and not isinstance(result, dict):
            raise TypeError(f"{method} answered {type(result).__name__}, not an object")
        return result
