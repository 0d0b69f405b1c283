"""The canonical format: every event with its record, as the journal has it.

    event: event        event: ready                          event: error            event: done
    id: 42              data: {"type":"ready","sequence":42}  data: {"type":"error",…}  data: {"type":"done"}
    data: {record}

The frames are those of the Rust original (lago.md §8); the record is the one shape that everything carries (ARCHITECTURE.md §2.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from life.aios.errors import LifeError
from life.aios.record import EventRecord, encode_record
from life.aios.streams.format import StreamFormat
from life.aios.streams.frames import Frame, cursor_frame

_RUN_ENDS = frozenset({"RunFinished", "RunErrored"})


class LagoMachine:
    """No state but whether the last event ended a run."""

    def __init__(self) -> None:
        self.run_ended = False

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """See Machine."""
        self.run_ended = record.kind_name in _RUN_ENDS
        return (Frame(encode_record(record), b"event"),)

    def done(self) -> bytes:
        """See Machine."""
        return b'event: done\ndata: {"type":"done"}\n\n'


def error_frame(error: LifeError) -> bytes:
    """The stream breaks off here, for this reason."""
    data = msgspec.json.encode({"type": "error", "code": error.code, "message": error.message})
    return b"event: error\ndata: %b\n\n" % data


LAGO = StreamFormat(
    "lago",
    LagoMachine,
    error_frame,
    heartbeat=lambda cursor, _moved: cursor_frame(cursor),
    ready=lambda sequence: b'event: ready\ndata: {"type":"ready","sequence":%d}\n\n' % sequence,
    needs_runs=False,
)
