"""An answer of the Gemini API as it comes in, piece by piece, put into the port's chunks.

Source: the API reference of GenerateContentResponse (candidates, parts, finishReason, usageMetadata, promptFeedback).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, UnsetType

from life.aios.json import Json
from life.aios.ports.provider import (
    Chunk,
    ReasoningBlock,
    ReasoningChunk,
    ReasoningTextChunk,
    StopChunk,
    StopReason,
    TextChunk,
    ToolCallChunk,
)
from life.aios.state import TokenUsage
from life.arcan.errors import ProviderInterruptedError

if TYPE_CHECKING:
    from google.genai import types

VENDOR: Final = "Gemini"

_FINISH_REASONS: Final[dict[str, StopReason]] = {
    "STOP": "completed",
    "MAX_TOKENS": "max_tokens",
    "SAFETY": "refused",
    "RECITATION": "refused",
    "BLOCKLIST": "refused",
    "PROHIBITED_CONTENT": "refused",
    "SPII": "refused",
    "IMAGE_SAFETY": "refused",
    "MODEL_ARMOR": "refused",
}
_BROKEN: Final = ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE")
"""The model's own output was no answer; asking again may give one."""


class GeminiAnswer:
    """What has arrived of one answer."""

    def __init__(self, origin: str) -> None:
        self.begun = False
        self._origin = origin
        self._thoughts: list[str] = []
        self._calls = 0
        self._finish: str | None = None
        self._blocked = False
        self._model: str | None = None
        self._usage: TokenUsage | None = None

    def take(self, piece: types.GenerateContentResponse) -> Iterable[Chunk]:
        """The chunks in a piece. Parts of kinds that are not known are passed over."""
        self.begun = True
        self._model = piece.model_version or self._model
        if piece.usage_metadata is not None:
            self._usage = _counted(piece.usage_metadata)
        if piece.prompt_feedback is not None and piece.prompt_feedback.block_reason is not None:
            self._blocked = True
        for candidate in (piece.candidates or ())[:1]:
            for part in (candidate.content.parts or ()) if candidate.content is not None else ():
                yield from self._part(part)
            if candidate.finish_reason is not None:
                self._finish = str(getattr(candidate.finish_reason, "value", candidate.finish_reason))

    def end(self) -> Iterable[Chunk]:
        """What is left, and the last chunk; an answer that never said why it stopped was cut off."""
        if self._finish in _BROKEN:
            raise ProviderInterruptedError(f"{VENDOR} could not finish its answer: {self._finish}.")
        if self._finish is None and not self._blocked:
            raise ProviderInterruptedError(f"{VENDOR}'s answer broke off.")
        yield from self._thought(None)
        reason = "refused" if self._blocked else _FINISH_REASONS.get(self._finish or "", "other")
        if self._calls and reason == "completed":
            reason = "tool_call"
        yield StopChunk(reason, self._usage, self._model)

    def _part(self, part: types.Part) -> Iterable[Chunk]:
        if part.thought:
            if part.text:
                self._thoughts.append(part.text)
                yield ReasoningTextChunk(part.text)
            if part.thought_signature:
                yield from self._thought({"thought_signature": _text(part.thought_signature), "on": "thought"})
        elif part.function_call is not None:
            yield from self._thought(_seal(part, "call"))
            call = part.function_call
            yield ToolCallChunk(call.id or f"call_{self._calls}", call.name or "", _arguments(call.args))
            self._calls += 1
        elif part.text:
            yield from self._thought(_seal(part, "text"))
            yield TextChunk(part.text)
        elif part.thought_signature:
            yield from self._thought(_seal(part, "empty"))

    def _thought(self, sealed: Json) -> Iterable[Chunk]:
        """The reasoning that stands before what comes now, if there is any."""
        if self._thoughts or sealed is not None:
            yield ReasoningChunk(ReasoningBlock(self._origin, "".join(self._thoughts), sealed))
            self._thoughts = []


def _seal(part: types.Part, on: str) -> Json:
    return {"thought_signature": _text(part.thought_signature), "on": on} if part.thought_signature else None


def _text(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def _arguments(args: dict[str, object] | None) -> Json:
    arguments: Json = dict(args or {})  # type: ignore[arg-type]  # the client has read it from JSON
    return arguments


def _counted(usage: types.GenerateContentResponseUsageMetadata) -> TokenUsage:
    """Thoughts are counted beside the candidates; in our terms they are part of the answer."""
    prompt = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
    completion = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return TokenUsage(
        prompt,
        completion,
        prompt + completion,
        cached_prompt_tokens=_told(usage.cached_content_token_count),
        reasoning_tokens=_told(usage.thoughts_token_count),
    )


def _told(count: int | None) -> int | UnsetType:
    return UNSET if count is None else count
