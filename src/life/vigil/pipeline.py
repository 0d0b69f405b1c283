"""Live: committed events in, spans and measurements out, beside the event loop and never in its way.

`take` only puts events into a queue. A thread of its own projects them, a little after they were committed, and hands spans to
the sinks; a sink that talks to a network has another thread, so one that hangs holds up nobody. Queues are bounded: what does not
fit is dropped and counted (`vigil.export.dropped`). Closing takes at most as long as it is given.

Source: vigil.md §23 (1, 6, 7).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from life.aios.record import record_of
from life.vigil.exporters.sink import SpanSink
from life.vigil.exports import Committed
from life.vigil.span import Span
from life.vigil.spans import Projection

MOST_EVENTS: Final = 50_000
MOST_SPANS: Final = 8_192
BATCH: Final = 512
INTERVAL_S: Final = 1.0

_log = logging.getLogger("life.vigil")


class Measures(Protocol):
    """What is measured of spans (life.vigil.metrics.Meters)."""

    def measure(self, spans: Iterable[Span]) -> None:
        """Count what these spans tell."""
        ...

    def dropped(self, count: int, sink: str) -> None:
        """Spans were lost on their way to a sink."""
        ...


class Counts(NamedTuple):
    """What became of spans so far."""

    exported: int
    dropped: int


class Delivery:
    """One sink with a queue and a thread."""

    def __init__(self, sink: SpanSink, lost: Callable[[int, str], None], *, interval_s: float = INTERVAL_S) -> None:
        self.sink = sink
        self.exported = 0
        self.dropped = 0
        self._lost = lost
        self._interval_s = interval_s
        self._waiting: deque[Span] = deque()
        self._bell = threading.Condition()
        self._busy = False
        self._hurry = False
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"life-vigil-{sink.name}", daemon=True)
        self._thread.start()

    def put(self, spans: Sequence[Span]) -> None:
        """Queue them; the newest are dropped when there is no room."""
        with self._bell:
            room = max(MOST_SPANS - len(self._waiting), 0)
            self._waiting.extend(spans[:room])
            if len(self._waiting) >= BATCH:
                self._bell.notify_all()
        if len(spans) > room:
            self._drop(len(spans) - room)

    def flush(self, until_s: float) -> bool:
        """Whether everything that was queued has been tried before `until_s` (of time.monotonic)."""
        with self._bell:
            self._hurry = True
            self._bell.notify_all()
            return self._bell.wait_for(lambda: not self._waiting and not self._busy, max(until_s - time.monotonic(), 0))

    def close(self, until_s: float) -> None:
        """Send what can be sent until then, and drop the rest."""
        self.flush(until_s)
        with self._bell:
            self._closing = True
            left = len(self._waiting)
            self._waiting.clear()
            self._bell.notify_all()
        if left:
            self._drop(left)
        self.sink.close()
        self._thread.join(max(until_s - time.monotonic(), 0.2))

    def _run(self) -> None:
        while True:
            with self._bell:
                self._busy = False
                self._bell.notify_all()
                if not self._closing and len(self._waiting) < BATCH and not (self._hurry and self._waiting):
                    self._bell.wait(self._interval_s)
                if self._closing:
                    return
                if not self._waiting:
                    self._hurry = False
                    continue
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._busy = True
            if self.sink.export(batch):
                self.exported += len(batch)
                self._say(failing=False)
            else:
                self._drop(len(batch))
                self._say(failing=True)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._lost(count, self.sink.name)

    def _say(self, *, failing: bool) -> None:
        """One line when a receiver is lost, and one when it is back."""
        if failing != self._failing:
            self._failing = failing
            words = "Telemetry does not reach %s; spans are dropped." if failing else "Telemetry reaches %s again."
            _log.warning(words, self.sink.name)


class Pipeline:
    """The live projection with its deliveries."""

    def __init__(
        self,
        projection: Projection,
        sinks: Sequence[SpanSink],
        *,
        measures: Measures | None = None,
        sampled: Callable[[str], bool] = lambda _: True,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`sampled` says of a trace id whether its spans are exported; measured are all."""
        self._projection = projection
        self._measures = measures
        self._sampled = sampled
        self._interval_s = interval_s
        self._events: deque[Committed] = deque()
        self._live: deque[Span] = deque()
        self._lost_events = 0
        self._bell = threading.Condition()
        self._taking = threading.Lock()
        self._closing = False
        self.deliveries = [Delivery(sink, self._lost, interval_s=interval_s) for sink in sinks]
        self._thread = threading.Thread(target=self._run, name="life-vigil", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        """Over all sinks."""
        deliveries = self.deliveries
        return Counts(sum(each.exported for each in deliveries), sum(each.dropped for each in deliveries))

    @property
    def lost_events(self) -> int:
        """Committed events that found no room and are in no span; the journal has them."""
        return self._lost_events

    def take(self, batch: Iterable[Committed]) -> None:
        """Events that are on disk now. Never waits."""
        if len(self._events) < MOST_EVENTS:
            self._events.extend(batch)
        else:
            self._lost_events += sum(1 for _ in batch)

    def span(self, span: Span) -> None:
        """A span that no event tells of."""
        if len(self._live) < MOST_SPANS:
            self._live.append(span)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Project and try to export everything so far; whether that was done in time. Whether it arrived, only the receiver
        knows."""
        until_s = time.monotonic() + timeout_s
        self._drain()
        done = [delivery.flush(until_s) for delivery in self.deliveries]  # each of them, also after one that was late
        return all(done)

    def close(self, timeout_s: float = 5.0) -> None:
        """Export what can be exported in this time, and end."""
        until_s = time.monotonic() + timeout_s
        with self._bell:
            self._closing = True
            self._bell.notify_all()
        self._thread.join(timeout_s)
        self._drain()
        with self._taking:
            self._hand_on(self._projection.finish())
        for delivery in self.deliveries:
            delivery.close(until_s)

    def _run(self) -> None:
        while not self._closing:
            with self._bell:
                self._bell.wait(self._interval_s)
            try:
                self._drain()
            except Exception as error:
                # A defect here must not end telemetry, and never the agent.
                _log.warning("Telemetry failed on an event: %s.", type(error).__name__)

    def _drain(self) -> None:
        with self._taking:
            done: list[Span] = []
            while self._live:
                done.append(self._live.popleft())
            while self._events:
                event, sequence, is_past = self._events.popleft()
                ended = self._projection.add(record_of(event, sequence))
                if not is_past:
                    done += ended
                if len(done) >= BATCH:
                    self._hand_on(done)
                    done = []
            self._hand_on(done)

    def _hand_on(self, spans: list[Span]) -> None:
        if not spans:
            return
        if self._measures is not None:
            self._measures.measure(spans)
        sampled = [span for span in spans if self._sampled(span.trace_id)]
        if sampled:
            for delivery in self.deliveries:
                delivery.put(sampled)

    def _lost(self, count: int, sink: str) -> None:
        if self._measures is not None:
            self._measures.dropped(count, sink)
