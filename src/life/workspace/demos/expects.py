"""What a run must have shown, checked on its events alone (WS-DEMO-7).

    problems = unmet(expects, panels, session_records, money_records)

The records are those of the session's main branch and of the wallets that concern it. A panel is filled when the page's own fold has
something to draw in it: the same fold that the page uses, so what passes here is what people see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec

from life.aios.json import Json
from life.aios.record import EventRecord
from life.workspace.fold import fold
from life.workspace.state import State
from life.workspace.values import fields, fields_of, items, text

Panel = Literal[
    "chat",
    "files",
    "journal",
    "timeline",
    "preview",
    "trace",
    "judge",
    "context",
    "autonomic",
    "ledger",
    "identity",
    "graph",
    "spaces",
]

MISSING: Final = {"en": "not reported", "es": "sin dato"}
"""What the script says in the place of a value that no result has."""

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Expects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The assertions. Counts are exact where money is meant, and otherwise the least."""

    tools: dict[str, _Count] = {}
    """Calls by tool that worked, at least."""
    failed: dict[str, _Count] = {}
    """Calls by tool that failed, at least."""
    writes: tuple[str, ...] = ()
    """Paths that were written or changed."""
    answer: tuple[str, ...] = ()
    """Words of the final answer."""
    ended: str = "completed"
    approved: _Count = 0
    refused: _Count = 0
    """Tool calls that a person allowed and refused."""
    settled: _Count = 0
    """Payments that were settled, exactly."""
    settled_micro: _Count = 0
    """Their sum, exactly."""
    asked: _Count = 0
    """Payments about which a person was asked."""
    denials: tuple[str, ...] = ()
    """Codes with which calls were refused payment."""
    rulings: tuple[str, ...] = ()
    """Rules of homeostasis that fired."""
    steady: bool = False
    """No rule of homeostasis fired."""
    compactions: _Count = 0
    error_streak: _Count = 0
    """The longest row of errors, at least; and the run must have left it again."""
    judged: Literal["", "good", "warning"] = ""
    """What the judge's scores come to."""
    branches_offered: _Count = 0
    peers: _Count = 0
    """Agents that worked for this one."""


BRANCH_OFFERED: Final = "demo.branch_offered"


def unmet(
    expects: Expects, panels: Sequence[Panel], session: Sequence[EventRecord], money: Sequence[EventRecord] = ()
) -> list[str]:
    """What is missing, in words; nothing when everything is there."""
    state, wallets = fold(session), fold(money)
    told = _Told(session, money)
    problems = [f"The panel '{panel}' stays empty." for panel in empty_panels(panels, state, wallets)]
    problems += [f"The script quotes what nobody reported: {words}" for words in told.unreported]
    problems += _calls_missing(expects, told)
    problems += _ends_missing(expects, told, state)
    problems += _money_missing(expects, told)
    problems += _health_missing(expects, told, state)
    return problems


def empty_panels(panels: Iterable[Panel], state: State, wallets: State) -> list[Panel]:
    """The panels in which the page's fold has nothing to draw."""
    return [panel for panel in panels if not _FILLED[panel](state, wallets)]


_FILLED: Final[dict[Panel, Callable[[State, State], bool]]] = {
    "chat": lambda state, _: any(entry.kind in ("text", "tool") for entry in state.entries),
    "files": lambda state, _: bool(state.files),
    "journal": lambda state, _: state.events > 0,
    "timeline": lambda state, _: bool(state.runs and state.marks),
    "preview": lambda state, _: any(file.hash and file.op != "delete" for file in state.files),
    "trace": lambda state, _: {"run", "step", "tool"} <= {span.kind for span in state.spans},
    "judge": lambda state, _: bool(state.scores),
    "context": lambda state, _: bool(state.blocks) and state.context.prompt > 0,
    "autonomic": lambda state, _: state.vector is not None and bool(state.samples),
    "ledger": lambda state, wallets: state.totals.cost_micro > 0 or bool(wallets.payments),
    "identity": lambda state, _: bool(state.session.agent),
    "graph": lambda state, _: bool(state.memory or state.notes),
    "spaces": lambda state, _: bool(state.contacts or state.hires or state.peers),
}


class _Told:
    """What the events say, gathered once."""

    def __init__(self, session: Sequence[EventRecord], money: Sequence[EventRecord]) -> None:
        self.worked: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.changed: set[str] = set()
        self.codes: set[str] = set()
        self.decisions: list[str] = []
        self.rules: set[str] = set()
        self.streaks: list[int] = [0]
        self.scores: list[float] = []
        self.answer = ""
        self.ended = ""
        self.offered = self.peers = 0
        self.unreported: list[str] = []
        names: dict[str, str] = {}
        for record in session:
            content = fields_of(record.payload)
            match record.kind_name:
                case "Message":
                    self._look_for_gaps(text(content.get("content")))
                case "ToolCallRequested":
                    self._look_for_gaps(record.payload.decode(errors="replace"))
                    names[text(content.get("call_id"))] = text(content.get("tool_name"))
                case "ToolCallCompleted":
                    name = names.get(text(content.get("call_id")), "")
                    result = fields(content.get("result"))
                    failed = text(content.get("status")) != "ok" or result.get("exit_code", 0) not in (0, None)
                    into = self.failed if failed else self.worked
                    into[name] = into.get(name, 0) + 1
                    self.codes.update(_codes(content.get("result")))
                case "ToolCallFailed":
                    name = names.get(text(content.get("call_id")), "")
                    self.failed[name] = self.failed.get(name, 0) + 1
                case "FileMutated" | "FileWrite":
                    self.changed.add(text(content.get("path")).removeprefix("/"))
                case "ApprovalResolved":
                    self.decisions.append(text(content.get("decision")))
                case "StateEstimated":
                    streak = fields(content.get("state")).get("error_streak")
                    self.streaks.append(streak if isinstance(streak, int) else 0)
                case "RunFinished":
                    self.answer, self.ended = text(content.get("final_answer")), text(content.get("reason"))
                case "Custom":
                    self._extension(text(content.get("event_type")), fields(content.get("data")))
        told = list(_money(money))
        self.settled = [amount for kind, amount in told if kind == "finance.payment_settled"]
        self.asked = sum(kind == "finance.approval_requested" for kind, _ in told)

    def _look_for_gaps(self, said: str) -> None:
        """A placeholder that found nothing says so in these words."""
        for words in MISSING.values():
            place = said.find(words)
            if place >= 0:
                self.unreported.append(said[max(0, place - 40) : place + len(words)])

    def _extension(self, name: str, data: dict[str, Json]) -> None:
        if name == "autonomic.GatingDecision":
            self.rules.update(text(rule) for rule in items(data.get("rules_fired")))
        elif name == "eval.AsyncCompleted":
            values = (fields(score).get("value") for score in items(data.get("scores")))
            self.scores += [float(value) for value in values if isinstance(value, int | float)]
        elif name == BRANCH_OFFERED:
            self.offered += 1
        elif name in ("arcan.subagent_started", "spaces.hired"):
            self.peers += 1


def _codes(value: Json) -> Iterator[str]:
    """The error codes in a result, however deep they stand in it."""
    if isinstance(value, dict):
        if isinstance(value.get("code"), str):
            yield text(value["code"])
        for inner in value.values():
            yield from _codes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _codes(inner)


def _money(records: Sequence[EventRecord]) -> Iterator[tuple[str, int]]:
    """Dotted name and amount of the wallets' events."""
    for record in records:
        content = fields_of(record.payload)
        data = fields(content.get("data"))
        amount = data.get("amount_micro_credits", data.get("amount_micro"))
        yield text(content.get("event_type")), amount if isinstance(amount, int) else 0


def _calls_missing(expects: Expects, told: _Told) -> Iterator[str]:
    for name, least in expects.tools.items():
        if told.worked.get(name, 0) < least:
            yield f"{name} worked {told.worked.get(name, 0)} times, not {least}."
    for name, least in expects.failed.items():
        if told.failed.get(name, 0) < least:
            yield f"{name} failed {told.failed.get(name, 0)} times, not {least}."
    for path in expects.writes:
        if path not in told.changed:
            yield f"The file {path} was not written."
    approved = sum(decision == "approved" for decision in told.decisions)
    if approved < expects.approved:
        yield f"{approved} calls were approved, not {expects.approved}."
    refused = sum(decision == "denied" for decision in told.decisions)
    if refused < expects.refused:
        yield f"{refused} calls were refused by a person, not {expects.refused}."


def _ends_missing(expects: Expects, told: _Told, state: State) -> Iterator[str]:
    if told.ended != expects.ended:
        yield f"The run ended as '{told.ended or 'not at all'}', not '{expects.ended}'."
    for words in expects.answer:
        if words not in told.answer:
            yield f"The final answer does not say '{words}'."
    if told.offered < expects.branches_offered:
        yield f"{told.offered} branches were offered, not {expects.branches_offered}."
    if told.peers < expects.peers:
        yield f"{told.peers} agents were hired, not {expects.peers}."
    if state.totals.compactions < expects.compactions:
        yield f"The context was shortened {state.totals.compactions} times, not {expects.compactions}."


def _money_missing(expects: Expects, told: _Told) -> Iterator[str]:
    if len(told.settled) != expects.settled or sum(told.settled) != expects.settled_micro:
        yield (
            f"{len(told.settled)} payments of {sum(told.settled)} micro-USDC were settled, "
            f"not {expects.settled} of {expects.settled_micro}."
        )
    if told.asked < expects.asked:
        yield f"A person was asked about {told.asked} payments, not {expects.asked}."
    for code in expects.denials:
        if not any(found == code or found.endswith(f".{code}") for found in told.codes):
            yield f"No payment was refused with '{code}'."


def _health_missing(expects: Expects, told: _Told, state: State) -> Iterator[str]:
    for rule in expects.rulings:
        if rule not in told.rules:
            yield f"The rule '{rule}' did not fire."
    if expects.steady and told.rules:
        yield f"Homeostasis ruled ({', '.join(sorted(told.rules))}) although nothing was wrong."
    if max(told.streaks) < expects.error_streak:
        yield f"The longest row of errors is {max(told.streaks)}, not {expects.error_streak}."
    if expects.error_streak and told.streaks[-1]:
        yield "The run ended in a row of errors."
    if expects.judged:
        found = "" if not told.scores else "good" if min(told.scores) >= _GOOD else "warning"
        if found != expects.judged:
            yield f"The judge's word is '{found or 'nothing'}', not '{expects.judged}'."


_GOOD: Final = 0.8
"""From here a score is good (`life.autonomic.evaluation.scores`)."""
