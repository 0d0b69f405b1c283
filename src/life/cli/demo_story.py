"""A demo as a story for people: one line for each event that somebody would want to see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from life.aios import events
from life.aios.events import Kind
from life.aios.json import Json
from life.aios.money import format_micro
from life.aios.record import EventRecord
from life.cli.shell.words import printable
from life.workspace.values import fields, items, text

_CHARACTERS: Final = 110


class StoryLine(NamedTuple):
    """A label and what happened."""

    label: str
    text: str
    tone: str = ""
    """`good`, `bad`, `ask`, or none."""


def story(records: Iterable[EventRecord]) -> Iterator[StoryLine]:
    """The lines of these events, in order."""
    for record in records:
        yield from lines_of(record)


def lines_of(record: EventRecord) -> Iterator[StoryLine]:
    """The lines of one event; none for most."""
    kind = record.kind
    teller = _TELLERS.get(type(kind))
    if record.sequence > 0 and teller is not None:
        for line in teller(kind):
            yield StoryLine(line.label, printable(line.text), line.tone)


def _said(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.Message)
    if kind.role == "assistant":
        for number, line in enumerate(kind.content.strip().splitlines()):
            yield StoryLine("agent" if number == 0 else "", line)


def _person(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.UserMessage)
    yield StoryLine("you", kind.content)


def _asked(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.ToolCallRequested)
    yield StoryLine("tool", f"{kind.tool_name} {_short(kind.arguments)}")


def _done(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.ToolCallCompleted)
    result = fields(kind.result)
    failed = kind.status != "ok" or result.get("exit_code", 0) not in (0, None)
    yield StoryLine("", f"{'failed' if failed else 'gave'} {_short(kind.result)}", "bad" if failed else "")


def _failed(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.ToolCallFailed)
    yield StoryLine("", f"not run: {kind.error}"[:_CHARACTERS], "bad")


def _question(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.ApprovalRequested)
    yield StoryLine("question", f"may {kind.tool_name} run? (risk: {kind.risk})", "ask")


def _answered(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.ApprovalResolved)
    yield StoryLine("answer", f"{kind.decision}{': ' + kind.reason if kind.reason else ''}", "ask")


def _shortened(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.ContextCompacted)
    yield StoryLine(
        "context", f"{kind.dropped_count} messages summed up: {kind.tokens_before} tokens became {kind.tokens_after}"
    )


def _ended(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.RunFinished)
    usage = kind.usage
    tokens = "" if usage is None else f", {usage.total_tokens} tokens"
    yield StoryLine("end", f"{kind.reason} after {kind.total_iterations} answers{tokens}", "good")


def _extension(kind: Kind) -> Iterator[StoryLine]:
    assert isinstance(kind, events.Custom)
    data = fields(kind.data)
    match kind.event_type:
        case "demo.opened":
            for words in items(data.get("simulated")):
                yield StoryLine("simulated", text(words))
        case "demo.branch_offered":
            yield StoryLine("branch", f"offered: {text(data.get('title'))}. {text(data.get('reason'))}")
        case "spaces.hired":
            price = data.get("price_micro")
            amount = format_micro(price) if isinstance(price, int) else "nothing"
            yield StoryLine("hired", f"{text(fields(data.get('peer')).get('name'))} for {amount}, held in escrow")
        case "spaces.hire_changed":
            yield StoryLine("hire", f"{text(fields(data.get('peer')).get('name'))}: {text(data.get('state'))}", "good")
        case "autonomic.GatingDecision":
            reasons = " ".join(text(reason) for reason in items(data.get("rationale")))
            yield StoryLine("homeostasis", reasons or "back to normal")
        case "eval.AsyncCompleted":
            scores = [fields(score) for score in items(data.get("scores"))]
            shown = ", ".join(f"{text(one.get('evaluator'))} {one.get('value')}" for one in scores)
            worst = {text(one.get("label")) for one in scores} - {"good"}
            yield StoryLine("judge", shown, "bad" if worst else "good")


def money_lines(records: Iterable[EventRecord]) -> Iterator[StoryLine]:
    """What happened to money, from the wallets' events."""
    for record in records:
        kind = record.kind
        if not isinstance(kind, events.Custom):
            continue
        data = fields(kind.data)
        amount = data.get("amount_micro_credits", data.get("amount_micro"))
        words = format_micro(amount) if isinstance(amount, int) else ""
        match kind.event_type:
            case "finance.payment_settled":
                yield StoryLine("paid", f"{words}, {text(data.get('tx_hash'))[:40]}…", "good")
            case "finance.approval_requested":
                yield StoryLine("asked", f"{words} for {text(data.get('resource_url'))}", "ask")
            case "finance.payment_declined":
                yield StoryLine("declined", f"{words} {text(data.get('reason'))}".strip(), "bad")


def _short(value: Json) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return words if len(words) <= _CHARACTERS else f"{words[: _CHARACTERS - 1]}…"


_TELLERS: Final[dict[type[Kind], Callable[[Kind], Iterator[StoryLine]]]] = {
    events.UserMessage: _person,
    events.Message: _said,
    events.ToolCallRequested: _asked,
    events.ToolCallCompleted: _done,
    events.ToolCallFailed: _failed,
    events.ApprovalRequested: _question,
    events.ApprovalResolved: _answered,
    events.ContextCompacted: _shortened,
    events.RunFinished: _ended,
    events.Custom: _extension,
}
