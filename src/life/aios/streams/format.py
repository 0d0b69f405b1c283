"""What a stream format is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from life.aios.errors import LifeError
from life.aios.record import EventRecord
from life.aios.streams.frames import Frame


class Machine(Protocol):
    """A state machine over one stream's events. What it says of an event depends on the events since the beginning of the open run and
    on nothing else, so it can be folded again from there, and all subscribers of a stream get the same bytes."""

    @property
    def run_ended(self) -> bool:
        """Whether the last event that was fed ended a run."""
        ...

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """The frames of the next event; none for one that the format does not tell."""
        ...

    def done(self) -> bytes:
        """What ends the stream, when the server ends it."""
        ...


class StreamFormat(NamedTuple):
    """A format by its name."""

    name: str
    machine: Callable[[], Machine]
    error: Callable[[LifeError], bytes]
    """The frame that says why the stream breaks off."""
    heartbeat: Callable[[int, bool], bytes]
    """The cursor, and whether it moved since the client was last told: bytes that keep the line open and tell the cursor."""
    ready: Callable[[int], bytes]
    """The history up to this sequence was sent; what follows is live."""
    headers: tuple[tuple[str, str], ...] = ()
    needs_runs: bool = True
    """Whether the machine has a state that begins with a run. Without, it may start anywhere."""
