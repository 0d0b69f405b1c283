"""Recording a model's real answers into a file, and answering from such a file: for tests and demonstrations.

A recording is JSON Lines. Each line is one call: the SHA-256 of the request's canonical bytes, the name of the provider that
answered, the chunks as they came, and the failure that ended it, if one did. Requests themselves are not kept: a prompt may
hold what its owner would not publish. Keys are in neither; strings that are known to be secret are blanked all the same.

A replay gives the answer of the same request, the first one first when the same request was made several times, and stays
at the last. A request that was never recorded is refused: a replay does not make things up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

import msgspec

from life.aios.errors import ProviderError
from life.aios.json import Json, JsonObject
from life.aios.ports.provider import (
    Chunk,
    ModelProvider,
    ModelRequest,
    NoticeChunk,
    ReasoningBlock,
    ReasoningChunk,
    ReasoningTextChunk,
    StopChunk,
    StopReason,
    TextChunk,
    ToolCallChunk,
)
from life.aios.state import TokenUsage
from life.arcan.errors import ModelRecordingError, replayed_error

_encoder: Final = msgspec.json.Encoder()
_BLANK: Final = "…"
_SHORTEST_SECRET: Final = 8
"""What is shorter is no key, and would be found in ordinary words."""


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a recording."""

    request: str
    """SHA-256 of the request, 64 hex digits."""
    provider: str
    chunks: tuple[JsonObject, ...] = ()
    error: str = ""
    """The code of the failure that ended it."""
    message: str = ""
    retry_after_us: int | None = None


class _Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chunk in a file: exactly one of its fields is set, or `stop` with what belongs to it."""

    text: str | None = None
    thought: str | None = None
    reasoning: ReasoningBlock | None = None
    call: tuple[str, str, Json] | None = None
    stop: StopReason | None = None
    usage: TokenUsage | None = None
    model: str | None = None


class RecordingProvider:
    """Hands on another provider's answers and writes them down (life.aios.ports.provider.ModelProvider)."""

    def __init__(self, inner: ModelProvider, path: Path, *, secrets: Iterable[str] = ()) -> None:
        """Calls are appended to `path`, each when it has ended. `secrets` never reach the file."""
        self._inner = inner
        self._path = path
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    @property
    def name(self) -> str:
        """The inner provider's."""
        return self._inner.name

    def knows_price(self) -> bool:
        """As the inner provider."""
        known = getattr(self._inner, "knows_price", None)
        return bool(known()) if known is not None else False

    async def aclose(self) -> None:
        """Close the inner provider's connections, if it has any."""
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The inner answer. A call that the caller gave up is not recorded."""
        said: list[JsonObject] = []
        chunks = self._inner.stream(request)
        try:
            async for chunk in chunks:
                if not isinstance(chunk, NoticeChunk):
                    said.append(_written(chunk))
                yield chunk
            await self._keep(RecordedCall(request=request_hash(request), provider=self.name, chunks=tuple(said)))
        except ProviderError as error:
            await self._keep(
                RecordedCall(
                    request=request_hash(request),
                    provider=self.name,
                    chunks=tuple(said),
                    error=error.code,
                    message=error.message,
                    retry_after_us=getattr(error, "retry_after_us", None),
                )
            )
            raise
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    async def _keep(self, call: RecordedCall) -> None:
        line = _encoder.encode(call).decode()
        for secret in self._secrets:
            line = line.replace(json.dumps(secret, ensure_ascii=False)[1:-1], _BLANK).replace(secret, _BLANK)
        try:
            await asyncio.to_thread(_append, self._path, line + "\n")
        except OSError as error:
            raise ModelRecordingError(f"The recording {self._path} can't be written: {error.strerror}.") from None


class ReplayProvider:
    """Answers from a recording (life.aios.ports.provider.ModelProvider)."""

    def __init__(self, path: Path) -> None:
        """ModelRecordingError when the file can't be read."""
        self._path = path
        self._calls: dict[str, list[RecordedCall]] = {}
        self._asked: dict[str, int] = {}
        for call in _read(path):
            self._calls.setdefault(call.request, []).append(call)

    @property
    def name(self) -> str:
        """`replay:<file's name>`."""
        return f"replay:{self._path.name}"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The recorded answer, or the recorded failure."""
        key = request_hash(request)
        calls = self._calls.get(key)
        if calls is None:
            raise ModelRecordingError(
                f"The recording {self._path.name} has no answer to this request.",
                next_step="Record it again: record:FILE=PROVIDER.",
            )
        place = self._asked.get(key, 0)
        self._asked[key] = place + 1
        call = calls[min(place, len(calls) - 1)]
        for chunk in call.chunks:
            yield _chunk(chunk, self._path)
            await asyncio.sleep(0)
        if call.error:
            raise replayed_error(call.error, call.message, retry_after_us=call.retry_after_us)


def request_hash(request: ModelRequest) -> str:
    """What a request is found by again. Whose cache it meets is no part of it."""
    return hashlib.sha256(_encoder.encode(msgspec.structs.replace(request, cache_key=""))).hexdigest()


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def _read(path: Path) -> list[RecordedCall]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ModelRecordingError(f"The recording {path} can't be read: {error.strerror}.") from None
    calls = []
    for number, line in enumerate(lines, start=1):
        try:
            calls.append(msgspec.json.decode(line, type=RecordedCall))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ModelRecordingError(f"Line {number} of the recording {path} can't be read: {error}.") from None
    return calls


def _written(chunk: Chunk) -> JsonObject:
    said = _Said()
    if isinstance(chunk, TextChunk):
        said = _Said(text=chunk.text)
    elif isinstance(chunk, ReasoningTextChunk):
        said = _Said(thought=chunk.text)
    elif isinstance(chunk, ReasoningChunk):
        said = _Said(reasoning=chunk.block)
    elif isinstance(chunk, ToolCallChunk):
        said = _Said(call=(chunk.call_id, chunk.tool_name, chunk.arguments))
    elif isinstance(chunk, StopChunk):
        said = _Said(stop=chunk.reason, usage=chunk.usage, model=chunk.model)
    fields: JsonObject = msgspec.to_builtins(said)
    return fields


def _chunk(fields: JsonObject, path: Path) -> Chunk:
    try:
        said = msgspec.convert(fields, _Said)
    except msgspec.ValidationError as error:
        raise ModelRecordingError(f"A chunk in the recording {path.name} can't be read: {error}.") from None
    if said.text is not None:
        return TextChunk(said.text)
    if said.thought is not None:
        return ReasoningTextChunk(said.thought)
    if said.reasoning is not None:
        return ReasoningChunk(said.reasoning)
    if said.call is not None:
        return ToolCallChunk(*said.call)
    if said.stop is not None:
        return StopChunk(said.stop, said.usage, said.model)
    raise ModelRecordingError(f"A chunk in the recording {path.name} says nothing.")
