"""Traces and metrics: where a session's time went, rebuilt from its events; and what the daemon counts."""

from __future__ import annotations

import re
from typing import Final

from life.host.pages.areas.room import Place, Room
from life.host.pages.listing import listed
from life.host.pages.parts import Block, Code, Column, Fact, Facts, Row, Tab, View
from life.host.pages.visit import Visit
from life.host.pages.words import Words
from life.host.trace import session_spans
from life.vigil.draw import draw

_SAMPLE: Final = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_HELP: Final = re.compile(r"# HELP (?P<name>\S+) (?P<words>.*)")
_BARS: Final = 32


class VigilPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/vigil", self.sessions),
            Place("/vigil/metrics", self.metrics),
            Place("/vigil/{session_id}", self.trace),
        ]

    async def sessions(self, visit: Visit) -> View:
        """Sessions whose traces can be drawn, newest first; and where spans are exported."""
        say, system = visit.say, self._room.system
        telemetry = system.telemetry
        exporters = () if telemetry is None else telemetry.config.exporters
        facts = Facts(
            [
                Fact(say("Exported to"), exporters or say("nobody"), "code"),
                Fact(say("Service"), system.settings.telemetry.service_name, "code"),
            ]
        )
        rows: list[Row] = [
            {
                "name": summary.name or summary.session_id,
                "session": summary.session_id,
                "events": summary.head,
                "updated": summary.updated_us,
            }
            for summary in await system.runtime.sessions()
        ]
        columns = [
            Column("name", say("Session"), href=lambda row: f"/vigil/{row['session']}"),
            Column("events", say("Events"), "number"),
            Column("updated", say("Last event (UTC)"), "time"),
            Column("session", say("Id"), "code", shown=False),
        ]
        table = listed(visit.query, columns, rows, empty=say("No session has run here yet."))
        lead = say("Every trace is rebuilt from the journal; nothing has to be exported for it.")
        return View(say("Traces"), [facts, table], "life trace", tabs=_tabs(say), lead=lead)

    async def trace(self, visit: Visit) -> View:
        """One session's traces."""
        say, session_id = visit.say, visit.part("session_id")
        spans = await session_spans(self._room.system.journal, session_id)
        blocks: list[Block] = []
        for found in draw(spans, bar=_BARS):
            width = max(len(line.name) for line in found.lines)
            text = "\n".join(
                f"{line.name:<{width}}  {line.bar}  {line.duration:>9}  {line.notes}".rstrip() for line in found.lines
            )
            blocks.append(Code(text, say("Trace {trace}", trace=found.trace_id)))
        rows: list[Row] = [
            {
                "name": span.name,
                "begun": span.start_us,
                "us": span.end_us - span.start_us,
                "error": span.error,
                "trace": span.trace_id,
                "span": span.span_id,
                "parent": span.parent_id,
            }
            for span in sorted(spans, key=lambda span: (span.start_us, -span.end_us))
        ]
        columns = [
            Column("name", say("Span"), "code"),
            Column("begun", say("Begun (UTC)"), "time"),
            Column("us", say("Microseconds"), "number"),
            Column("error", say("Error"), "tag", tone=lambda _: "bad"),
            Column("trace", say("Trace"), "code", shown=False),
            Column("span", say("Id"), "code", shown=False),
            Column("parent", say("Parent"), "code", shown=False),
        ]
        table = listed(visit.query, columns, rows, empty=say("The session has no spans yet."), title=say("Spans"))
        facts = Facts([Fact(say("Session"), session_id, "code", f"/s/{session_id}")])
        return View(
            say("Trace of {session}", session=session_id),
            [facts, *blocks, table],
            f"life trace {session_id}",
            tabs=_tabs(say),
        )

    async def metrics(self, visit: Visit) -> View:
        """What homeostasis counts, as Prometheus reads it."""
        say = visit.say
        words: dict[str, str] = {}
        rows: list[Row] = []
        for line in self._room.system.autonomic.metrics().splitlines():
            helped = _HELP.fullmatch(line)
            if helped is not None:
                words[helped["name"]] = helped["words"]
                continue
            sample = _SAMPLE.fullmatch(line)
            if sample is None:
                continue
            stem = re.sub(r"_(bucket|sum|count|total)$", "", sample["name"])
            rows.append(
                {
                    "name": sample["name"],
                    "labels": sample["labels"] or "",
                    "value": sample["value"],
                    "says": words.get(sample["name"]) or words.get(stem, ""),
                }
            )
        columns = [
            Column("name", say("Metric"), "code"),
            Column("labels", say("Labels"), "code"),
            Column("value", say("Value"), "number"),
            Column("says", say("What it is")),
        ]
        table = listed(visit.query, columns, rows, empty=say("Nothing is counted yet."))
        return View(say("Metrics"), [table], "life autonomic explain", tabs=_tabs(say))


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (Tab(say("Traces"), "/vigil"), Tab(say("Metrics"), "/vigil/metrics"))
