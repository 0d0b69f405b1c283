"""Events → spans. One pure projection, used live on what is committed and afterwards on what the journal holds.

The same events give the same spans with the same ids (`life.aios.ports.telemetry`), so a trace that was lost on its way can be
sent again, and a run of last year can be looked at. Times are the events' own. What no event carries is not here: how long an
append took, and HTTP requests; those spans exist live only (`life.vigil.pipeline`).

A trace covers a run, or the part of it up to where it waits for a person. The part after it is a trace of its own that links to
the one before (vigil.md §19); what joins them is `gen_ai.conversation.id` and `life.run_id`.

Source: vigil.md §13, §19, §20, §23.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from life.aios import events
from life.aios.record import EventRecord, Stream
from life.vigil.content import Content
from life.vigil.payments import PaymentProjection
from life.vigil.runs import RunProjection
from life.vigil.span import Span, SpanOptions

_MOST_RUNS: Final = 1000
"""Streams with an open run that are kept; beyond, the oldest is closed as unfinished."""

_MOST_NAMES: Final = 10_000


class Projection:
    """All streams of a journal. `add` events in their order; what they finish comes back."""

    def __init__(self, options: SpanOptions | None = None, content: Content | None = None) -> None:
        self._options = options or SpanOptions()
        self._content = content or Content()
        self._runs: dict[Stream, RunProjection] = {}
        self._names: dict[Stream, str] = {}
        self._payments = PaymentProjection()

    def add(self, record: EventRecord) -> list[Span]:
        """The spans that end with this event."""
        kind = record.kind
        if isinstance(kind, events.Custom) and kind.event_type.startswith(("finance.", "anima.custody_")):
            return self._payments.add(record, kind)
        run = self._runs.get(record.stream)
        if run is None:
            if isinstance(kind, events.SessionCreated) and isinstance(kind.config, dict) and kind.config.get("parent"):
                # An agent that works for another has its definition's name; other sessions' names are people's words.
                self._names[record.stream] = kind.name
                if len(self._names) > _MOST_NAMES:
                    del self._names[next(iter(self._names))]
            if not isinstance(kind, events.UserMessage | events.RunStarted | events.SessionResumed):
                return []
            options = self._options
            if record.stream in self._names:
                options = msgspec.structs.replace(options, agent_name=self._names[record.stream])
            run = self._runs[record.stream] = RunProjection(options, self._content)
        done = run.add(record)
        if run.is_over:
            del self._runs[record.stream]
        elif len(self._runs) > _MOST_RUNS:
            done += self._runs.pop(next(iter(self._runs))).finish()
        return done

    def finish(self) -> list[Span]:
        """Everything that is still open, as far as it got."""
        done = [span for run in self._runs.values() for span in run.finish()]
        self._runs = {}
        return done + self._payments.finish()


def project(
    records: Iterable[EventRecord], options: SpanOptions | None = None, content: Content | None = None
) -> list[Span]:
    """The spans of these events, parents after their children; open ones marked `life.unfinished`."""
    projection = Projection(options, content)
    done = [span for record in records for span in projection.add(record)]
    return done + projection.finish()
