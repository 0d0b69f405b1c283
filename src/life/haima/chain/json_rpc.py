"""Calls of one Ethereum node over JSON-RPC 2.0 and HTTP.

A call ends in a result, in a `NodeRefusedError` (the node answered with an error object: it understood and says no) or in
a `ChainUnavailableError` (everything else: whether the call had an effect is not known). Providers put API keys into the
URL, so no message ever shows more of it than the host; what a node says is cut to 200 characters.

Source: JSON-RPC 2.0; execution-apis of Ethereum (error 3 carries a revert's data).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.haima.errors import ChainRefusedError, ChainUnavailableError
from life.haima.x402 import codes

DEFAULT_TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_MAX_NODE_WORDS: Final = 200
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class NodeRefusedError(ChainRefusedError):
    """The node answered with an error object. `rpc_code` is its number, `words` its message (at most 200 characters),
    `revert_data` the ABI-encoded reason of a revert, empty when there is none."""

    def __init__(self, method: str, words: str, *, rpc_code: int = 0, revert_data: bytes = b"") -> None:
        super().__init__(codes.TRANSACTION_FAILED, f"The chain's node refused {method}: {words}")
        self.words = words
        self.rpc_code = rpc_code
        self.revert_data = revert_data


class _ErrorObject(msgspec.Struct):
    message: str = ""
    code: int = 0
    data: Json = None


class _Answer(msgspec.Struct):
    result: Json = None
    error: _ErrorObject | None = None
    id: Json = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Answer)


class JsonRpc:
    """One node. Share one instance per node; close it with `aclose`."""

    def __init__(
        self, url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, headers: Mapping[str, str] | None = None
    ) -> None:
        """`url` is http or https, may carry credentials, and appears in no error. `timeout_s` bounds each call as a whole."""
        try:
            split = urlsplit(url)
            host, port = split.hostname, split.port
        except ValueError:
            raise InvalidInputError("The RPC address is not a valid http or https URL.") from None
        if split.scheme not in ("http", "https") or not host:
            raise InvalidInputError("The RPC address is not a valid http or https URL.")
        self.host: Final = host if port is None else f"{host}:{port}"
        """What messages may show of the address."""
        self._url = url
        self._timeout_s = timeout_s
        self._calls = 0
        self._client = httpx2.AsyncClient(
            timeout=timeout_s,
            headers={"content-type": "application/json", **(headers or {})},
            follow_redirects=False,
            trust_env=host not in _LOOPBACK,
        )

    async def call(self, method: str, *params: Json) -> Json:
        """The `result` of one call. Raises NodeRefusedError or ChainUnavailableError."""
        self._calls += 1
        call_id = self._calls
        body = _encoder.encode({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params})
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.post(self._url, content=body)
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            raise self._unavailable(method, f"no answer ({type(error).__name__})") from None
        content = response.content
        if len(content) > MAX_ANSWER_BYTES:
            raise self._unavailable(method, "the answer is too large")
        try:
            answer = _decoder.decode(content)
        except msgspec.DecodeError:
            raise self._unavailable(method, f"HTTP {response.status_code} without a JSON-RPC answer") from None
        if answer.id is not None and answer.id != call_id:
            raise self._unavailable(method, "the answer to another call")
        if answer.error is not None:
            if response.status_code in (401, 403, 429) or response.status_code >= 500:
                raise self._unavailable(method, f"HTTP {response.status_code}")
            raise _refused(method, answer.error)
        if response.status_code != 200:
            raise self._unavailable(method, f"HTTP {response.status_code}")
        return answer.result

    async def text(self, method: str, *params: Json) -> str:
        """The result of a call that answers a string (a hash, bytes in hex)."""
        result = await self.call(method, *params)
        if not isinstance(result, str):
            raise self._unavailable(method, "an answer of the wrong type")
        return result

    async def quantity(self, method: str, *params: Json) -> int:
        """The result of a call that answers a quantity in hex."""
        result = await self.text(method, *params)
        try:
            return parse_quantity(result)
        except ValueError:
            raise self._unavailable(method, "an answer that is no quantity") from None

    async def record(self, method: str, *params: Json) -> Mapping[str, Json] | None:
        """The result of a call that answers an object, or null."""
        result = await self.call(method, *params)
        if result is not None and not isinstance(result, dict):
            raise self._unavailable(method, "an answer of the wrong type")
        return result

    async def records(self, method: str, *params: Json) -> Sequence[Mapping[str, Json]]:
        """The result of a call that answers a list of objects."""
        result = await self.call(method, *params)
        if not isinstance(result, list) or not all(isinstance(member, dict) for member in result):
            raise self._unavailable(method, "an answer of the wrong type")
        return result

    async def aclose(self) -> None:
        """Close the connections; calls after this fail."""
        await self._client.aclose()

    def _unavailable(self, method: str, what: str) -> ChainUnavailableError:
        return ChainUnavailableError(f"The chain's node at {self.host} gave {what} to {method}.")


def parse_quantity(text: Json) -> int:
    """The int of a JSON-RPC quantity (`0x` and hex digits); ValueError when it is none."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError("not a quantity")
    return int(text, 16)


def _refused(method: str, error: _ErrorObject) -> NodeRefusedError:
    words = " ".join(error.message.split())[:_MAX_NODE_WORDS]
    return NodeRefusedError(method, words, rpc_code=error.code, revert_data=_revert_data(error.data))


def _revert_data(data: Json) -> bytes:
    """ABI-encoded reason of a revert. Nodes put the hex right into `data`, or one level below."""
    if isinstance(data, dict):
        data = data.get("data", data.get("result"))
    if not isinstance(data, str):
        return b""
    try:
        return bytes.fromhex(data.removeprefix("0x"))
    except ValueError:
        return b""
