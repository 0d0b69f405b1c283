"""The conversation of a session: structured messages, folded from its events.

    UserMessage, DeliberationProposed.summary             a user turn (one copy when both say the same)
    Message, AssistantMessageCommitted (role assistant)   an assistant turn; it replaces the deltas before it
    TextDelta, AssistantTextDelta                         its text, when no whole message follows
    arcan.reasoning                                       what that turn was thought out with, each thought in its place
    ToolCallRequested                                     a tool_use block of that turn
    ToolCallCompleted, ToolCallFailed                     the tool_result block of the following user turn, by call id
    RunFinished.final_answer                              an assistant turn, when its run showed no other text

Everything is immutable and grows at its end: finished turns are sealed into one tuple, and only the open assistant turn
with its results changes. A call whose result never came gets one that says so when its turn is sealed, because every
vendor refuses a tool_use without its result. Long results are shortened here and nowhere else: the journal keeps all.

    ContextCompacted                                      the oldest messages become one: their summary, with the objective
    arcan.context_noted                                   what a run is told, before its objective


The same events give the same request, byte for byte. Source: arcan.md §2.3; aios.md §4 and §14.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.events.kind import ImageReference
from life.aios.json import Json
from life.aios.ports.provider import (
    Block,
    ChatMessage,
    ImageBlock,
    ModelRequest,
    TextBlock,
    ToolResultBlock,
    ToolSpec,
    ToolUseBlock,
)
from life.arcan.context.tokens import BYTES_PER_TOKEN, IMAGE_BYTES, MESSAGE_TOKENS, message_bytes, text_bytes
from life.arcan.events import PlacedReasoning

MAX_RESULT_CHARACTERS: Final = 24_000
"""Longest tool result that a model is given; of a longer one it sees the beginning and the end."""

MIN_RESULT_CHARACTERS: Final = 200
"""What is left of a result at least, however small the window."""

_KEPT_END_SHARE: Final = 6
"""A sixth of a shortened result is its end."""
NO_RESULT: Final = "No result was recorded for this call."

_MESSAGE_BYTES: Final = MESSAGE_TOKENS * BYTES_PER_TOKEN

_encoder: Final = msgspec.json.Encoder()


class Conversation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sealed turns and the open one. Treat it as a value: every method gives a new conversation."""

    sealed: tuple[ChatMessage, ...] = ()
    text: str = ""
    deltas: str = ""
    """Text that came piece by piece and was not yet followed by its whole message (imported journals)."""
    uses: tuple[ToolUseBlock, ...] = ()
    results: tuple[ToolResultBlock, ...] = ()
    reasoning: tuple[PlacedReasoning, ...] = ()
    """What the open turn was thought out with, and the vendor's own ids of its calls, in their order."""
    vendor_calls: tuple[str, ...] = ()
    answered: bool = False
    """Whether the assistant has spoken since the last user turn."""
    size_bytes: int = 0
    """Size of all text in it, for estimates (`life.arcan.context.tokens`)."""
    ends: tuple[int, ...] = ()
    """For each sealed message the sequence of the event that it was complete at."""
    result_characters: int = MAX_RESULT_CHARACTERS
    """Longest result that is given at present; a small window lowers it."""
    dropped_answers: int = 0
    """Messages of the assistant that stand in a summary only."""
    counted_tokens: int = 0
    """The last request as the provider counted it, and how long the conversation was then; 0 when it did not count."""
    counted_at_bytes: int = 0

    def user_said(self, content: str, images: Sequence[ImageReference] = ()) -> Conversation:
        """A new user turn: words, images, or both."""
        if not (content or images):
            return self
        closed = self.seal()
        shown = tuple(ImageBlock(image.blob, image.media_type) for image in images)
        message = ChatMessage("user", (TextBlock(content), *shown) if content else shown)
        return msgspec.structs.replace(
            closed,
            sealed=(*closed.sealed, message),
            answered=False,
            size_bytes=closed.size_bytes + _MESSAGE_BYTES + text_bytes(content) + IMAGE_BYTES * len(shown),
        )

    def objective_proposed(self, summary: str) -> Conversation:
        """The user's words as older journals carry them; a copy of what the user just said is dropped."""
        if not self.answered and self.sealed and _says(self.sealed[-1], summary):
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
            opened,
            text=content,
            deltas="",
            reasoning=(),
            vendor_calls=(),
            answered=True,
            size_bytes=opened.size_bytes + text_bytes(content),
        )

    def reasoned(self, blocks: tuple[PlacedReasoning, ...], vendor_calls: tuple[str, ...]) -> Conversation:
        """What the open turn was thought out with, and what its vendor calls the calls that follow."""
        size = sum(text_bytes(placed.block.text) + len(_encoder.encode(placed.block.sealed)) for placed in blocks)
        return msgspec.structs.replace(
            self, reasoning=blocks, vendor_calls=vendor_calls, size_bytes=self.size_bytes + size
        )

    def assistant_wrote(self, delta: str) -> Conversation:
        """A durable piece of text."""
        opened = self.seal() if self.uses or self.text else self
        return msgspec.structs.replace(
            opened, deltas=opened.deltas + delta, answered=True, size_bytes=opened.size_bytes + text_bytes(delta)
        )

    def tool_requested(self, call_id: str, tool_name: str, arguments: Json) -> Conversation:
        """The assistant's open turn asks for a tool."""
        place = len(self.uses)
        vendor_id = self.vendor_calls[place] if place < len(self.vendor_calls) else ""
        block = ToolUseBlock(call_id, tool_name, arguments, vendor_id)
        return msgspec.structs.replace(
            self,
            uses=(*self.uses, block),
            answered=True,
            size_bytes=self.size_bytes + len(tool_name) + len(_encoder.encode(arguments)),
        )

    def tool_answered(
        self, call_id: str, content: str, *, is_error: bool, images: Sequence[ImageReference] = ()
    ) -> Conversation:
        """The result of a call of the open turn; the first result of a call counts, and calls of sealed turns have one."""
        if all(use.call_id != call_id for use in self.uses) or any(known.call_id == call_id for known in self.results):
            return self
        shown = tuple(ImageBlock(image.blob, image.media_type) for image in images)
        block = ToolResultBlock(call_id, shortened(content, self.result_characters), is_error, shown)
        return msgspec.structs.replace(
            self,
            results=(*self.results, block),
            size_bytes=self.size_bytes + text_bytes(block.content) + IMAGE_BYTES * len(shown),
        )

    def seal(self) -> Conversation:
        """The open turn closed: the assistant's message, and the results of all its calls in the order of the calls."""
        if not (self.text or self.deltas or self.uses):
            return self
        added = _MESSAGE_BYTES * (2 if self.uses else 1)
        return msgspec.structs.replace(
            self,
            sealed=self.messages(),
            text="",
            deltas="",
            uses=(),
            results=(),
            reasoning=(),
            vendor_calls=(),
            size_bytes=self.size_bytes + added,
        )

    def messages(self) -> tuple[ChatMessage, ...]:
        """All turns, as a provider is given them."""
        text = self.text or self.deltas
        if not (text or self.uses):
            return self.sealed
        spoken = ChatMessage("assistant", _spoken(text, self.uses, self.reasoning))
        if not self.uses:
            return (*self.sealed, spoken)
        found = {result.call_id: result for result in self.results}
        results = tuple(found.get(use.call_id) or ToolResultBlock(use.call_id, NO_RESULT, True) for use in self.uses)
        return (*self.sealed, spoken, ChatMessage("user", results))

    def noted(self, text: str) -> Conversation:
        """What the run that begins is told, before its objective (`life.arcan.context`)."""
        if not text:
            return self
        closed = self.seal()
        sealed = closed.sealed
        added = text_bytes(text)
        last = sealed[-1] if sealed else None
        if last is not None and last.role == "user" and not _holds_results(last):
            sealed = (*sealed[:-1], ChatMessage("user", (TextBlock(text), *last.content)))
        else:
            sealed = (*sealed, ChatMessage("user", (TextBlock(text),)))
            added += _MESSAGE_BYTES
        return msgspec.structs.replace(closed, sealed=sealed, size_bytes=closed.size_bytes + added)

    def compacted(
        self, dropped: int, summary: str, *, objective: str | None, result_characters: int | None
    ) -> Conversation:
        """The oldest sealed messages replaced by their summary, with the objective beside it; longer results shortened. A cut between calls
        and their results is moved before the calls; the open turn is left alone."""
        cut = min(max(dropped, 0), len(self.sealed))
        if 0 < cut < len(self.sealed) and _holds_results(self.sealed[cut]):
            cut -= 1
        limit = self.result_characters
        if result_characters is not None:
            limit = min(limit, max(MIN_RESULT_CHARACTERS, result_characters))
        sealed = tuple(_shorter(message, limit) for message in self.sealed[cut:])
        ends = self.ends[cut:]
        if cut and summary:
            blocks = (TextBlock(summary), TextBlock(objective)) if objective else (TextBlock(summary),)
            sealed = (ChatMessage("user", blocks), *sealed)
            ends = self.ends[cut - 1 : cut] + ends
        answers = sum(message.role == "assistant" for message in self.sealed[:cut])
        open_bytes = text_bytes(self.text or self.deltas) + sum(text_bytes(result.content) for result in self.results)
        open_bytes += sum(len(use.tool_name) + len(_encoder.encode(use.arguments)) for use in self.uses)
        return msgspec.structs.replace(
            self,
            sealed=sealed,
            ends=ends,
            size_bytes=sum(map(message_bytes, sealed)) + open_bytes,
            result_characters=limit,
            dropped_answers=self.dropped_answers + answers,
            counted_tokens=0,
            counted_at_bytes=0,
        )

    def counted(self, prompt_tokens: int) -> Conversation:
        """The provider's count of the request that had everything up to here."""
        if prompt_tokens <= 0:
            return self
        return msgspec.structs.replace(self, counted_tokens=prompt_tokens, counted_at_bytes=self.size_bytes)

    def placed(self, sequence: int) -> Conversation:
        """With the place of what was sealed by the event of this sequence: the user's words are its own, all else was said before."""
        known = len(self.ends)
        if known == len(self.sealed):
            return self
        new = (
            sequence if message.role == "user" and not _holds_results(message) else max(0, sequence - 1)
            for message in self.sealed[known:]
        )
        return msgspec.structs.replace(
            self, ends=(*(self.ends if known < len(self.sealed) else self.ends[: len(self.sealed)]), *new)
        )

    @property
    def last_text(self) -> str:
        """What the assistant said in the open turn."""
        return self.text or self.deltas


def shortened(content: str, limit: int = MAX_RESULT_CHARACTERS) -> str:
    """`content`, or its beginning and its end with a note between them when it is longer than `limit` characters."""
    if len(content) <= limit:
        return content
    kept_end = limit // _KEPT_END_SHARE
    kept_start = limit - kept_end
    dropped = len(content) - limit
    return f"{content[:kept_start]}\n… ({dropped} characters left out) …\n{content[len(content) - kept_end :]}"


def result_text(result: Json) -> str:
    """A tool's output as the model reads it: text as it is, anything else as JSON."""
    return result if isinstance(result, str) else _encoder.encode(result).decode()


def build_request(
    conversation: Conversation,
    *,
    system: str,
    tools: Sequence[ToolSpec],
    max_output_tokens: int,
    cache_key: str = "",
) -> ModelRequest:
    """The request for the next model call. No model, clock or chance takes part."""
    return ModelRequest(
        messages=conversation.messages(),
        system=system,
        tools=tuple(tools),
        max_output_tokens=max_output_tokens,
        earlier_answers=conversation.dropped_answers,
        cache_key=cache_key,
    )


def _spoken(text: str, uses: tuple[ToolUseBlock, ...], reasoning: tuple[PlacedReasoning, ...]) -> tuple[Block, ...]:
    """The blocks of an assistant's turn: its text, then its calls, and each thought in the place where it came."""
    if not reasoning:
        return (TextBlock(text), *uses) if text else uses
    blocks: list[Block] = []
    said = called = 0
    for placed in reasoning:
        upto, calls = min(placed.after_characters, len(text)), min(placed.after_calls, len(uses))
        if upto > said:
            blocks.append(TextBlock(text[said:upto]))
            said = upto
        if calls > called:
            blocks.extend(uses[called:calls])
            called = calls
        blocks.append(placed.block)
    if said < len(text):
        blocks.append(TextBlock(text[said:]))
    return (*blocks, *uses[called:])


def _says(message: ChatMessage, words: str) -> bool:
    """Whether a user turn holds these very words (and perhaps images)."""
    return message.role == "user" and [b.text for b in message.content if isinstance(b, TextBlock)] == [words]


def _holds_results(message: ChatMessage) -> bool:
    return any(isinstance(block, ToolResultBlock) for block in message.content)


def _shorter(message: ChatMessage, limit: int) -> ChatMessage:
    """The message with its results within so many characters."""
    long = [block for block in message.content if isinstance(block, ToolResultBlock) and len(block.content) > limit]
    if not long:
        return message
    return ChatMessage(
        message.role,
        tuple(
            msgspec.structs.replace(block, content=shortened(block.content, limit))
            if isinstance(block, ToolResultBlock)
            else block
            for block in message.content
        ),
    )


def encode_request(request: ModelRequest) -> bytes:
    """The request's canonical bytes: equal bytes, equal request."""
    return _encoder.encode(request)
