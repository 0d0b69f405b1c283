"""What is known of a run's model and its answers, as attributes of their spans."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from life.aios import events
from life.aios.json import Json
from life.vigil import names as n
from life.vigil.content import Content
from life.vigil.segment import Asked
from life.vigil.span import Attributes, AttributeValue, OpenSpan

_MICRO: Final = 1_000_000


class Answers:
    """The model of one run, and the message that is being put together."""

    def __init__(self, v1_41: bool, content: Content) -> None:
        self._cache_write = n.CACHE_WRITE_TOKENS_V1_41 if v1_41 else n.CACHE_WRITE_TOKENS
        self._content = content
        self.provider = ""
        self._model = ""
        self._server: Attributes = {}
        self._models: set[str] = set()
        self._cost_micro = 0
        self._priced = False
        self._heard: list[dict[str, Json]] = []
        self._parts: list[Json] = []
        self._wants_tools = False
        self._compacted = False
        self.notes: list[tuple[str, int, Attributes]] = []
        """What happened around the call whose answer has not come yet."""

    def begin(self, provider: str) -> None:
        """A run with this provider (`anthropic:MODEL`, `openai-chat:MODEL@URL`, …)."""
        specification, _, address = provider.partition("@")
        label, _, model = specification.partition(",")[0].partition(":")
        self.provider = n.PROVIDERS.get(label, label.lower() or "_OTHER")
        self._model = model.partition(",")[0] or label
        self._server = _server(address.partition(",")[0])
        self._models, self._cost_micro, self._priced = set(), 0, False
        self._heard, self._parts, self.notes, self._compacted = [], [], [], False

    @property
    def span_name(self) -> str:
        """`chat {model}`."""
        return f"chat {self._model}"

    def describe(self, attributes: Attributes) -> None:
        """Put what a run says of its model onto its root."""
        attributes[n.REQUEST_MODEL] = self._model

    def compacted(self) -> None:
        """The conversation was shortened."""
        self._compacted = True

    def heard(self, words: str) -> None:
        """A person spoke: input of the next answer."""
        if self._content.capture:
            self._heard.append(self._content.said("user", words))

    def told(self, call_id: str, result: Json) -> None:
        """A tool answered: input of the next answer."""
        if self._content.capture:
            self._heard.append(self._content.answered(call_id, result))

    def open(self, chat: OpenSpan, conversation: AttributeValue) -> None:
        """A call of the model."""
        chat.attributes.update(
            {
                n.OPERATION: "chat",
                n.PROVIDER: self.provider,
                n.REQUEST_MODEL: self._model,
                n.REQUEST_STREAM: True,
                n.CONVERSATION: conversation,
                n.SESSION_ID: conversation,
                **self._server,
            }
        )
        if self._compacted:
            chat.attributes[n.COMPACTED] = True
        for name, at_us, attributes in self.notes:
            chat.event(name, at_us, attributes)
        self.notes = []
        self._wants_tools = False

    def take(self, chat: OpenSpan, kind: events.Message | events.AssistantMessageCommitted) -> None:
        """Its answer."""
        attributes, usage = chat.attributes, kind.token_usage
        if kind.model:
            attributes[n.RESPONSE_MODEL] = kind.model
            self._models.add(kind.model)
        first_ms = kind.first_token_ms if isinstance(kind, events.Message) else None
        if first_ms is not None:
            attributes[n.FIRST_CHUNK] = first_ms / 1000
        if usage is not None:
            attributes[n.INPUT_TOKENS] = usage.prompt_tokens
            attributes[n.OUTPUT_TOKENS] = usage.completion_tokens
            for name, count in (
                (n.CACHE_READ_TOKENS, usage.cached_prompt_tokens),
                (self._cache_write, usage.cache_write_tokens),
                (n.REASONING_TOKENS, usage.reasoning_tokens),
            ):
                if isinstance(count, int):
                    attributes[name] = count
            if isinstance(usage.cost_micro, int):
                attributes[n.COST_USD] = usage.cost_micro / _MICRO
                attributes[n.COST_SOURCE] = "estimated_local_snapshot"
                self._cost_micro += usage.cost_micro
                self._priced = True
        if self._content.capture:
            attributes[n.INPUT_MESSAGES] = self._content.messages(self._heard)
            text = self._content.text(kind.content)
            self._parts = [{"type": "text", "content": text}] if text else []
        self._heard = []

    def asks(self, chat: OpenSpan | None, call: Asked) -> None:
        """The answer asks for a tool."""
        if chat is None:
            return
        self._wants_tools = True
        if self._content.capture:
            self._parts.append(self._content.asked(call.call_id, call.tool_name, call.arguments))
        self._close(chat, "tool_call")

    def ended(self, chat: OpenSpan | None, stop_reason: str) -> None:
        """The step ended, and the answer with it."""
        if chat is not None and not self._wants_tools:
            self._close(chat, n.FINISHES.get(stop_reason, stop_reason))

    def broke_off(self, chat: OpenSpan, *, failed: bool) -> None:
        """No answer came. The code of the failure stands on the run; a person's stop is no failure."""
        if failed:
            chat.error = "_OTHER"
            for event in reversed(chat.events):
                code = event.attributes.get(n.NOTICE_ERROR)
                if isinstance(code, str):
                    chat.error = code
                    break
        self._parts = []

    def sum_up(self, root: OpenSpan) -> None:
        """Put what all answers came to onto the root. The model is named only when there was one."""
        if self._priced:
            root.attributes[n.COST_USD] = self._cost_micro / _MICRO
        if len(self._models) > 1:
            root.attributes.pop(n.REQUEST_MODEL, None)

    def _close(self, chat: OpenSpan, finish: str) -> None:
        chat.attributes[n.FINISH_REASONS] = (finish,)
        if self._content.capture:
            message: dict[str, Json] = {"role": "assistant", "parts": list(self._parts), "finish_reason": finish}
            chat.attributes[n.OUTPUT_MESSAGES] = msgspec.json.encode([message]).decode()


def _server(address: str) -> Attributes:
    """Host and port of an endpoint, nothing else of its address."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return {}
    if not host:
        return {}
    found: Attributes = {n.SERVER_ADDRESS: host}
    standard = {"https": 443, "http": 80}.get(parts.scheme)
    if port is not None or standard is not None:
        found[n.SERVER_PORT] = port or standard or 0
    return found
