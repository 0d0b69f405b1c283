"""The scripted model of a demo, and its scripted judge: providers that play what the demo's file says.

    demo:<slug>      plays the demo's scripts

It is no language model, and what it "uses" is what the conversation would cost a real one: tokens are estimated from the request and
the answer as everywhere (`life.arcan.context.tokens`), and priced by the table's price of the model that the demo names. Only the demo's
own words count, its instructions, tools and conversation: what a project's context adds does not change a demo's budget.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.aios.ports.provider import ChatMessage, ModelProvider, ModelRequest, TextBlock
from life.aios.state import TokenUsage
from life.arcan.context.tokens import estimate_tokens, message_bytes, text_bytes, tokens_of_bytes
from life.arcan.providers.pricing import price_table
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.autonomic.evaluation.judging import WHY
from life.workspace.demos.catalogue import SLUGS, demo
from life.workspace.demos.demo import Demo, Turn
from life.workspace.demos.script import next_turn, other_endings

PREFIX: Final = "demo:"
_PIECE_DELAY_MS: Final = 9
_PIECES: Final = re.compile(r"(?:\S+\s*){1,3}")


class DemoModel(ScriptedProvider):
    """A demo's scripted model (life.aios.ports.provider.ModelProvider)."""

    def __init__(self, played: Demo, *, clock: Clock) -> None:
        super().__init__(lambda request: _answer(played, request), clock=clock, name=played.slug)
        self._window = played.budget.window_tokens

    @property
    def context_window_tokens(self) -> int:
        """Tokens of prompt and answer together."""
        return self._window


class DemoJudge(ScriptedProvider):
    """A demo's scripted judge: the scores that its file gives for the story as it is written. Where a person's decision made it end
    early, it gives none."""

    def __init__(self, judged: Demo, *, clock: Clock) -> None:
        super().__init__(lambda request: _verdict(judged, request), clock=clock, name=f"{judged.slug}-judge")


def with_demos(
    open_provider: Callable[[str], ModelProvider], clock: Clock, *, played: Callable[[], None] = lambda: None
) -> Callable[[str], ModelProvider]:
    """Providers by their specification, the demos' scripted models among them; `played` is told when one of these is opened."""

    def open_any(specification: str) -> ModelProvider:
        slug = specification.removeprefix(PREFIX)
        if specification.startswith(PREFIX) and slug in SLUGS:
            played()
            return DemoModel(demo(slug), clock=clock)
        return open_provider(specification)

    return open_any


def _answer(played: Demo, request: ModelRequest) -> ScriptedTurn:
    turn = next_turn(played, request)
    pieces = tuple(_PIECES.findall(turn.text)) if turn.text else ()
    return ScriptedTurn(
        deltas=pieces if "".join(pieces) == turn.text else (turn.text,) if turn.text else (),
        calls=tuple(ScriptedCall(call.tool, dict(call.arguments)) for call in turn.calls),
        usage=usage_of(played, request, turn),
        delay_ms=turn.delay_ms,
        delta_delay_ms=_PIECE_DELAY_MS,
    )


def usage_of(played: Demo, request: ModelRequest, turn: Turn) -> TokenUsage:
    """What this request and this answer would be to a model, and what they would cost."""
    said = sum(message_bytes(_own_words(message)) for message in request.messages) + text_bytes(played.instructions)
    offered = sum(text_bytes(tool.description) + len(msgspec.json.encode(tool.input_schema)) for tool in request.tools)
    prompt = tokens_of_bytes(said + offered)
    asked = sum(len(call.tool) + len(msgspec.json.encode(call.arguments)) for call in turn.calls)
    completion = estimate_tokens(turn.text) + tokens_of_bytes(asked)
    return priced(played, TokenUsage(prompt, completion, prompt + completion))


def _own_words(message: ChatMessage) -> ChatMessage:
    """The message without what the runtime told the run: of a person's texts the last."""
    if message.role != "user":
        return message
    texts = [block for block in message.content if isinstance(block, TextBlock)]
    kept = tuple(block for block in message.content if not isinstance(block, TextBlock) or block is texts[-1])
    return ChatMessage("user", kept)


def priced(played: Demo, usage: TokenUsage) -> TokenUsage:
    """The usage with its cost by the price table; without one when the table has no such model."""
    cost = price_table().cost_micro(played.priced_as.vendor, played.priced_as.model, usage)
    return usage if cost is None else msgspec.structs.replace(usage, cost_micro=cost)


def _verdict(judged: Demo, request: ModelRequest) -> ScriptedTurn:
    material = "".join(
        block.text for message in request.messages for block in message.content if isinstance(block, TextBlock)
    )
    if any(beginning in material for beginning in other_endings(judged)):
        return ScriptedTurn(text="This run ended otherwise than the story that I was written for.")
    tool = request.tools[0]
    criteria = tool.input_schema.get("properties", {})
    names = [name for name in criteria if name != WHY] if isinstance(criteria, dict) else []
    scores: dict[str, Json] = {name: judged.judge.scores.get(name, judged.judge.otherwise) for name in names}
    size = sum(map(message_bytes, request.messages)) + text_bytes(request.system)
    answer = len(msgspec.json.encode(scores))
    prompt, completion = tokens_of_bytes(size), tokens_of_bytes(answer)
    return ScriptedTurn(
        calls=(ScriptedCall(tool.name, scores),),
        usage=priced(judged, TokenUsage(prompt, completion, prompt + completion)),
    )
