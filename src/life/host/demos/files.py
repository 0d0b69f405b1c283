"""What is in a demo's recording: its events, the contents of its files, and what a run costs by them."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from pathlib import Path

import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import MalformedEventError
from life.aios.ids import MAIN_BRANCH
from life.aios.record import EventRecord, Stream
from life.workspace.demos.catalogue import RECORDINGS, demo, recording_id
from life.workspace.demos.errors import DemoDataError
from life.workspace.fold import fold


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run costs in model calls, in micro-USD."""

    typical: int
    """As in the recording: its tokens at the price table's prices."""
    high: int
    """The same, had it used all the tokens that it may."""


def read_lines(path: Path) -> list[EventRecord]:
    """The events in a recording's file. DemoDataError when it is damaged."""
    try:
        return [
            decode_record(line)
            for line in path.read_bytes().splitlines()
            if line and not line.startswith(b'{"life_recording"')
        ]
    except MalformedEventError as error:
        raise DemoDataError(f"The recording {path.name} can't be read: {error.message}") from None


@functools.cache
def estimate(slug: str, folder: Path = RECORDINGS) -> Estimate | None:
    """What a run costs, from the recording that is shipped; None without one."""
    path = folder / f"{slug}.jsonl"
    if not path.is_file():
        return None
    state = fold(record for record in read_lines(path) if record.stream == Stream(recording_id(slug), MAIN_BRANCH))
    used = sum(run.prompt + run.completion for run in state.runs)
    cost = sum(run.cost_micro for run in state.runs)
    allowed = demo(slug).budget.max_tokens
    return Estimate(typical=cost, high=max(cost, -(-cost * allowed // used)) if used else cost)


@functools.cache
def recorded_events(slug: str, folder: Path = RECORDINGS) -> int:
    """How many events the session in a demo's recording has; 0 without one."""
    path = folder / f"{slug}.jsonl"
    if not path.is_file():
        return 0
    return sum(record.session_id == recording_id(slug) for record in read_lines(path))


def contents_file(path: Path) -> Path:
    """Where the contents of a recording's files are, beside it."""
    return path.with_suffix(".contents.json")


def read_contents(path: Path) -> list[bytes]:
    """The contents that a recording's events name by their hashes."""
    file = contents_file(path)
    if not file.is_file():
        return []
    stored: Mapping[str, str] = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    return [
        base64.b64decode(content.removeprefix("base64:")) if content.startswith("base64:") else content.encode()
        for content in stored.values()
    ]
