"""The conversation of a session: structured messages, folded from its events.

    UserMessage, DeliberationProposed.summary             a user turn (one copy when both say the same)
    Message, AssistantMessageCommitted (role assistant)   an assistant turn; it replaces the deltas before it
    TextDelta, AssistantTextDelta                         its text, when no whole message follows
    ToolCallRequested                                     a tool_use block of that turn
    ToolCallCompleted, ToolCallFailed                     the tool_result block of the following user turn, by call id
    RunFinished.final_answer                              an assistant turn, when its run showed no other text

Everything is immutable and grows at its end: finished turns are sealed into one tuple, and only the open assistant turn
with its results changes. A call whose result never came gets one that says so when its turn is sealed, because every
vendor refuses a tool_use without its result. Long results are shortened here and nowhere else: the journal keeps all.

The same events give the same request, byte for byte. Source: arcan.md §2.3; aios.md §4 and §14.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.json import Json
from life.aios.ports.provider import (
    Block,
    ChatMessage,
    ModelRequest,
    TextBlock,
    ToolResultBlock,
    ToolSpec,
    ToolUseBlock,
)

MAX_RESULT_CHARACTERS: Final = 24_000
"""Longest tool result that a model is given; of a longer one it sees the beginning and the end."""

_KEPT_END: Final = 4_000
NO_RESULT: Final = "No result was recorded for this call."

_encoder: Final = msgspec.json.Encoder()


class Conversation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sealed turns and the open one. Treat it as a value: every method gives a new conversation."""

    sealed: tuple[ChatMessage, ...] = ()
    text: str = ""
    deltas: str = ""
    """Text that came piece by piece and was not yet followed by its whole message (imported journals)."""
    uses: tuple[ToolUseBlock, ...] = ()
    results: tuple[ToolResultBlock, ...] = ()
    answered: bool = False
    """Whether the assistant has spoken since the last user turn."""
    characters: int = 0
    """Size of all text in it, for estimates where a provider counts no tokens."""

    def user_said(self, content: str) -> Conversation:
        """A new user turn."""
        if not content:
            return self
        closed = self.seal()
        message = ChatMessage("user", (TextBlock(content),))
        return Conversation(sealed=(*closed.sealed, message), characters=closed.characters + len(content))

    def objective_proposed(self, summary: str) -> Conversation:
        """The user's words as older journals carry them; a copy of what the user just said is dropped."""
        if not self.answered and self.sealed and self.sealed[-1] == ChatMessage("user", (TextBlock(summary),)):
            return self
        return self.user_said(summary)

    def assistant_said(self, content: str) -> Conversation:
        """A whole assistant message. It opens a new turn; deltas that led to it are dropped."""
        opened = self
        if self.uses:
            opened = self.seal()
        elif self.text:
            opened = msgspec.structs.replace(self, deltas="").seal()
        return msgspec.structs.replace(
            opened, text=content, deltas="", answered=True, characters=opened.characters + len(content)
        )

    def assistant_wrote(self, delta: str) -> Conversation:
        """A durable piece of text."""
        opened = self.seal() if self.uses or self.text else self
        return msgspec.structs.replace(
            opened, deltas=opened.deltas + delta, answered=True, characters=opened.characters + len(delta)
        )

    def tool_requested(self, call_id: str, tool_name: str, arguments: Json) -> Conversation:
        """The assistant's open turn asks for a tool."""
        block = ToolUseBlock(call_id, tool_name, arguments)
        return msgspec.structs.replace(
            self,
            uses=(*self.uses, block),
            answered=True,
            characters=self.characters + len(tool_name) + len(_encoder.encode(arguments)),
        )

    def tool_answered(self, call_id: str, content: str, *, is_error: bool) -> Conversation:
        """The result of a call of the open turn; the first result of a call counts, and calls of sealed turns have one."""
        if all(use.call_id != call_id for use in self.uses) or any(known.call_id == call_id for known in self.results):
            return self
        block = ToolResultBlock(call_id, shortened(content), is_error)
        return msgspec.structs.replace(
            self, results=(*self.results, block), characters=self.characters + len(block.content)
        )

    def seal(self) -> Conversation:
        """The open turn closed: the assistant's message, and the results of all its calls in the order of the calls."""
        if not (self.text or self.deltas or self.uses):
            return self
        return Conversation(sealed=self.messages(), answered=self.answered, characters=self.characters)

    def messages(self) -> tuple[ChatMessage, ...]:
        """All turns, as a provider is given them."""
        text = self.text or self.deltas
        if not (text or self.uses):
            return self.sealed
        blocks: tuple[Block, ...] = ((TextBlock(text), *self.uses)) if text else self.uses
        spoken = ChatMessage("assistant", blocks)
        if not self.uses:
            return (*self.sealed, spoken)
        found = {result.call_id: result for result in self.results}
        results = tuple(found.get(use.call_id) or ToolResultBlock(use.call_id, NO_RESULT, True) for use in self.uses)
        return (*self.sealed, spoken, ChatMessage("user", results))

    @property
    def last_text(self) -> str:
        """What the assistant said in the open turn."""
        return self.text or self.deltas


def shortened(content: str) -> str:
    """`content`, or its beginning and its end with a note between them when it is longer than a model is given."""
    if len(content) <= MAX_RESULT_CHARACTERS:
        return content
    kept_start = MAX_RESULT_CHARACTERS - _KEPT_END
    dropped = len(content) - MAX_RESULT_CHARACTERS
    return f"{content[:kept_start]}\n… ({dropped} characters left out) …\n{content[-_KEPT_END:]}"


def result_text(result: Json) -> str:
    """A tool's output as the model reads it: text as it is, anything else as JSON."""
    return result if isinstance(result, str) else _encoder.encode(result).decode()


def build_request(
    conversation: Conversation, *, system: str, tools: Sequence[ToolSpec], max_output_tokens: int
) -> ModelRequest:
    """The request for the next model call. No model, clock or chance takes part."""
    return ModelRequest(
        messages=conversation.messages(), system=system, tools=tuple(tools), max_output_tokens=max_output_tokens
    )


def encode_request(request: ModelRequest) -> bytes:
    """The request's canonical bytes: equal bytes, equal request."""
    return _encoder.encode(request)
