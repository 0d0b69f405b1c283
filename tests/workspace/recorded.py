"""The golden recordings: canonical events of real runs, one JSON record to a line. `record.py` makes them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from life.aios.envelope import decode_record
from life.aios.record import EventRecord

DIRECTORY: Final = Path(__file__).with_name("recordings")
NAMES: Final = tuple(sorted(path.stem for path in DIRECTORY.glob("*.jsonl")))


@functools.cache
def _read(name: str) -> tuple[EventRecord, ...]:
    lines = (DIRECTORY / f"{name}.jsonl").read_bytes().splitlines()
    return tuple(decode_record(line) for line in lines)


def recording(name: str) -> list[EventRecord]:
    """The events of a recording, in order. A branch's follow those of its parent that it inherits."""
    return list(_read(name))
