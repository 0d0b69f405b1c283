"""Events → spans. One pure projection, used live on what is committed and afterwards on what the journal holds.

The same events give the same spans with the same ids (`life.aios.ports.telemetry`), so a trace that was lost on its way can be
sent again, and a run of last year can be looked at. Times are the events' own. What no event carries is not here: how long an
append took, and HTTP requests; those spans exist live only (`life.vigil.pipeline`).

A trace covers a run, or the part of it up to where it waits for a person. The part after it is a trace of its own that links to
the one before (vigil.md §19); what joins them is `gen_ai.conversation.id` and `life.run_id`.

Source: vigil.md §13, §19, §20, §23.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from life.aios import events
from life.aios.ports.telemetry import span_id_of, trace_id_of
from life.aios.record import EventRecord, Stream
from life.vigil.content import Content
from life.vigil.evaluations import evaluation, run_of
from life.vigil.payments import PaymentProjection
from life.vigil.runs import RunProjection
from life.vigil.spaces_entries import STREAMS as SPACES_STREAMS
from life.vigil.spaces_entries import entry_span
from life.vigil.span import Span, SpanLink, SpanOptions

_MOST_RUNS: Final = 1000
"""Streams with an open run that are kept; beyond, the oldest is closed as unfinished."""

_MOST_NAMES: Final = 10_000
_MOST_ROOTS: Final = 1000
"""Runs that are over and may still be scored."""


class Projection:
    """All streams of a journal. `add` events in their order; what they finish comes back."""

    def __init__(self, options: SpanOptions | None = None, content: Content | None = None) -> None:
        self._options = options or SpanOptions()
        self._content = content or Content()
        self._runs: dict[Stream, RunProjection] = {}
        self._names: dict[Stream, str] = {}
        self._payments = PaymentProjection()
        self._roots: OrderedDict[tuple[Stream, str], SpanLink] = OrderedDict()

    def add(self, record: EventRecord) -> list[Span]:
        """The spans that end with this event."""
        kind = record.kind
        if isinstance(kind, events.Custom) and kind.event_type.startswith(("finance.", "anima.custody_")):
            return self._payments.add(record, kind)
        if isinstance(kind, events.Custom) and record.session_id.startswith(SPACES_STREAMS):
            span = entry_span(record, kind)
            return [] if span is None else [span]
        run = self._runs.get(record.stream)
        if isinstance(kind, events.Custom) and kind.event_type.startswith("eval."):
            return self._evaluated(record, kind, run)
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
        if isinstance(record.kind, events.RunFinished) and run.last_root is not None:
            run_id, root = run.last_root
            self._roots[record.stream, run_id] = root
            if len(self._roots) > _MOST_ROOTS:
                self._roots.popitem(last=False)
        if run.is_over:
            del self._runs[record.stream]
        elif len(self._runs) > _MOST_RUNS:
            done += self._runs.pop(next(iter(self._runs))).finish()
        return done

    def _evaluated(self, record: EventRecord, kind: events.Custom, run: RunProjection | None) -> list[Span]:
        """Scores belong to the trace of their run, also when another run has begun since. Of a run that nobody remembers the
        root's ids are those that it had, unless a caller brought its trace."""
        run_id = run_of(kind)
        if not run_id:
            return []
        root = self._roots.get((record.stream, run_id))
        if root is None and run is not None and run.last_root is not None and run.last_root[0] == run_id:
            root = run.last_root[1]
        root = root or SpanLink(trace_id_of(run_id), span_id_of(run_id))
        span = evaluation(record, kind, root, span_id_of(record.event_id, "evaluation"))
        return [] if span is None else [span]

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
