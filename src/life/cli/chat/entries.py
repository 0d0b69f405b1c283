"""The conversation as rows: who said what, tool cards with their state, thinking closed, payments, how runs ended.

Words stand in the entry as far as they are short; whole ones come from the event that the entry points at.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rich.text import Text

from life.cli.chat.money import payment_rows
from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, WAIT, beside, plain_rows, prose, wrap
from life.cli.chat.sight import Rows, Sight, between_ms
from life.cli.chat.tool_bodies import Differences, tool_body
from life.cli.chat.untrusted import clean, one_line
from life.cli.shell.transcript import without_attachments
from life.cli.shell.words import dollars, seconds, tokens
from life.workspace.state import Entry, Run
from life.workspace.values import fields, fields_of, items, text

_FAILED: Final = ("error", "timeout", "failed")
_REFUSED: Final = ("refused", "expired", "cancelled")
_ALARMS: Final = ("Errored", "ErrorRaised", "violation", "CircuitBreaker", "in_doubt")
_MOST_WIDTH: Final = 110
"""Longer lines are hard to read."""


class Drawn(NamedTuple):
    """What a person should see on an entry's line, decided by its state."""

    sign: str
    style: str


class Conversation:
    """Entries as rows, each drawn once as long as nothing about it changes."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self.differences = Differences(sight)
        self._kept: dict[str, tuple[tuple[object, ...], Rows]] = {}

    def rows(self, width: int, entries: list[Entry]) -> list[Rows]:
        """All entries, oldest first."""
        self.differences.learn(entries)
        drawn: list[Rows] = []
        fresh: dict[str, tuple[tuple[object, ...], Rows]] = {}
        for entry in entries:
            key = key_of(entry)
            mark = self._mark(entry, key, width)
            kept = self._kept.get(key)
            if kept is None or kept[0] != mark:
                kept = (mark, Rows(key, self._lines(entry, key, min(width, _MOST_WIDTH))))
            fresh[key] = kept
            drawn.append(kept[1])
        self._kept = fresh
        return drawn

    def _mark(self, entry: Entry, key: str, width: int) -> tuple[object, ...]:
        """Everything that an entry's rows depend on."""
        sight = self._sight
        here = sight.record(entry.seq, entry.branch) is not None
        there = not entry.end or sight.record(entry.end, entry.branch) is not None
        moving: object = None
        if entry.kind == "tool" and entry.state == "running" and sight.is_live:
            moving = sight.now_us // 250_000
        elif entry.kind == "payment":
            payment = next((one for one in sight.state.payments if one.id == entry.ref), None)
            moving = None if payment is None else (payment.state, payment.amount_micro, payment.tx, payment.reason)
        elif entry.kind == "end":
            run = next((one for one in sight.state.runs if one.id == entry.ref), None)
            moving = None if run is None else run.reason
        return (
            width,
            here,
            there,
            entry.state,
            entry.detail,
            entry.end,
            entry.ms,
            entry.why,
            sight.is_open(key),
            moving,
        )

    def _lines(self, entry: Entry, key: str, width: int) -> list[Text]:
        match entry.kind:
            case "user":
                return self._user(entry, width)
            case "text":
                return self._text(self._whole(entry, "content"), width)
            case "thinking":
                return self._thinking(entry, key, width)
            case "tool":
                return self._tool(entry, key, width)
            case "payment":
                return self._payment(entry, key, width)
            case "end":
                return self._end(entry, width)
            case _:
                return self._notice(entry, width)

    def _whole(self, entry: Entry, name: str) -> str:
        record = self._sight.record(entry.seq, entry.branch)
        told = None if record is None else fields_of(record.payload).get(name)
        return told if isinstance(told, str) else entry.detail

    def _user(self, entry: Entry, width: int) -> list[Text]:
        said = without_attachments(self._whole(entry, "content"))
        sign = Text(f"{self._sight.signs.you} ", f"bold {ACCENT}")
        rows = [Text()]
        for number, line in enumerate(clean(said.text).split("\n")):
            rows += wrap(Text(line, "bold"), width, indent=sign if not number else Text("  "), hang=Text("  "))
        rows += [Text(f"  + {one_line(name, width - 4)}", SOFT) for name in said.attachments]
        return rows

    def _text(self, content: str, width: int) -> list[Text]:
        return [Text(), *(Text.assemble("  ", row) for row in prose(content, width - 2, self._sight.signs))]

    def _thinking(self, entry: Entry, key: str, width: int) -> list[Text]:
        sight = self._sight
        record = sight.record(entry.seq, entry.branch)
        told = {} if record is None else fields(fields_of(record.payload).get("data"))
        thought = "\n\n".join(
            part
            for item in items(told.get("blocks"))
            if (part := text(fields(fields(item).get("block")).get("text")).strip())
        )
        signs, words = sight.signs, sight.words
        if record is not None and not thought:
            return [Text(), Text(f"  {signs.thought} {words('noReasoning')}", f"{SOFT} italic")]
        rows = plain_rows(thought, width - 4, f"{SOFT} italic") if thought else []
        count = len(thought.splitlines())
        about = (
            words("thinking") if not count else words("thoughtLine") if count == 1 else words("thoughtLines", n=count)
        )
        is_open = sight.is_open(key)
        head = Text(f"  {signs.thought} {about} {signs.open if is_open else signs.shut}", f"{SOFT} italic")
        return [Text(), head, *([Text.assemble("    ", row) for row in rows] if is_open else [])]

    def _tool(self, entry: Entry, key: str, width: int) -> list[Text]:
        sight = self._sight
        drawn = self._drawn(entry)
        words = sight.words.term("state_", entry.state)
        record = sight.record(entry.seq, entry.branch)
        took = seconds(entry.ms) if entry.ms else ""
        if entry.state == "running" and sight.is_live and record is not None:
            took = seconds(max(0, sight.now_us - record.timestamp_us) // 1_000_000 * 1000)
        code = self.differences.exit_code(entry)
        if entry.state == "ok" and code:
            drawn, words = Drawn(sight.signs.bad, BAD), sight.words("exitCode", n=code)
        right = Text.assemble((words, drawn.style), (f" {sight.signs.dot} {took}" if took else "", SOFT))
        name = one_line(entry.label, max(8, width // 2), more=sight.signs.more)
        left = Text.assemble("  ", (f"{drawn.sign} ", drawn.style), (name, "bold"))
        if entry.detail:
            left.append(f"  {one_line(entry.detail, width, more=sight.signs.more)}")
        rows = [Text(), beside(left, right, width, more=sight.signs.more)]
        if entry.why and entry.state in ("waiting", "refused", "failed", "expired", "requested"):
            rows += wrap(Text(clean(entry.why), SOFT), width, indent=Text("    "))
        is_open = sight.is_open(key)
        rows += [
            Text.assemble("    ", row) for row in tool_body(sight, entry, self.differences, width - 4, whole=is_open)
        ]
        return rows

    def _drawn(self, entry: Entry) -> Drawn:
        signs = self._sight.signs
        match entry.state:
            case "ok":
                return Drawn(signs.good, GOOD)
            case "running" | "approved":
                frame = self._sight.now_us // 250_000 % len(signs.spinner)
                live = self._sight.is_live and entry.state == "running"
                return Drawn(signs.spinner[frame] if live else signs.busy, ACCENT)
            case "waiting" | "in_doubt":
                return Drawn(signs.ask, f"bold {WAIT}")
            case state if state in _FAILED:
                return Drawn(signs.bad, BAD)
            case state if state in _REFUSED:
                return Drawn(signs.bad, WAIT)
            case _:
                return Drawn(signs.wait, SOFT)

    def _payment(self, entry: Entry, key: str, width: int) -> list[Text]:
        payment = next((one for one in self._sight.state.payments if one.id == entry.ref), None)
        if payment is None:
            return []
        rows = payment_rows(self._sight, payment, width - 2, whole=self._sight.is_open(key))
        return [Text(), *(Text.assemble("  ", row) for row in rows)]

    def _end(self, entry: Entry, width: int) -> list[Text]:
        sight = self._sight
        run = next((one for one in sight.state.runs if one.id == entry.ref), None)
        rows = self._text(self._whole(entry, "final_answer"), width) if entry.detail else []
        style = SOFT if entry.label == "completed" else WAIT
        told = Text.assemble("  ", (sight.words("endReason", reason=one_line(entry.label, 60)), style))
        if run is not None:
            told.append(f" {sight.signs.dot} {run_figures(sight, run)}", SOFT)
        return [*rows, Text(), *wrap(told, width, hang=Text("    "))]

    def _notice(self, entry: Entry, width: int) -> list[Text]:
        sight = self._sight
        told = sight.words.term("notice_", entry.ref, d=entry.detail)
        if told == entry.ref:
            told = f"{entry.ref} {entry.detail}"
        alarm = any(word in entry.ref for word in _ALARMS)
        style = BAD if alarm else SOFT
        sign = sight.signs.bad if alarm else sight.signs.dot
        head, hang = Text(f"  {sign} ", style), Text("    ")
        return [Text(), *wrap(Text(one_line(told, 400), style), width, indent=head, hang=hang)]


def key_of(entry: Entry) -> str:
    """What names an entry while it is there."""
    return f"{entry.branch}/{entry.seq}/{entry.kind}"


def run_figures(sight: Sight, run: Run) -> str:
    """What a run used, on one line."""
    parts = [
        sight.words("endFigures", steps=run.steps, calls=run.calls, tokens=tokens(run.prompt + run.completion)).replace(
            "·", sight.signs.dot
        )
    ]
    if run.steps > run.uncosted:
        parts.append(dollars(run.cost_micro))
    if run.ended:
        parts.append(seconds(between_ms(run.started, run.ended)))
    return f" {sight.signs.dot} ".join(parts)


def writing_rows(sight: Sight, width: int) -> list[Text]:
    """The message that is being written, with its caret."""
    rows = prose(sight.track.writing, min(width, _MOST_WIDTH) - 2, sight.signs) or [Text()]
    rows[-1] = Text.assemble(rows[-1], (sight.signs.half, ACCENT))
    return [Text(), *(Text.assemble("  ", row) for row in rows)]


def empty_rows(sight: Sight, width: int) -> list[Text]:
    """What stands where nothing was said yet."""
    rows = [Text(), Text(f"  {sight.words('nothingYet')}", "bold"), Text()]
    return rows + wrap(Text(sight.words("startHint"), SOFT), min(width, 76), indent=Text("  "))
