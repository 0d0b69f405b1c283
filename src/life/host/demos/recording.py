"""Making a demo's recording: a real run in a directory of its own, answered as the demo's file says, checked, and kept.

    await record("sentinel", Path("src/life/workspace/demos/recordings/sentinel.jsonl"))

The file is one of `life.testing.replay`: a header with the digests of every request, then the session's events, one JSON record to
a line, then those of the wallets that concern it. Beside it stand the contents of the session's files, by hash. Ids and keys come from a fixed
seed and the day is always the same; how long things took, and the order in which things that go on side by side ended, is
what the machine gave. A run that does not show what it promises, or does not replay, is not written.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import NotFoundError
from life.aios.record import EventRecord, encode_record
from life.arcan.replay import Recording, ReplayReport, parse_recording
from life.host.clock import SystemClock
from life.host.demos.demos import Demos
from life.host.demos.files import contents_file
from life.host.demos.playing import as_written, play
from life.host.settings import Settings
from life.host.system import System, open_system
from life.testing.clock import SeededEntropy
from life.testing.replay import record_session, replays
from life.workspace.demos.catalogue import demo, digest, recording_id
from life.workspace.demos.errors import DemoDataError
from life.workspace.fold import fold
from life.workspace.values import fields_of, text

MOST_BYTES: Final = 300_000
"""A recording is no larger; then its demo is too long."""

_DAY_US: Final = 1_795_165_200_000_000
"""2026-11-20 09:00 UTC: when every recording begins."""

_KEPT_BACK: Final = "finance.payment_signed"
"""A signature is nobody's business, though it is play money."""


class Recorded(NamedTuple):
    """What was written."""

    events: int
    """Of the session."""
    model_calls: int
    bytes: int


class _RecordingClock(SystemClock):
    """The machine's pace on a fixed day."""

    def __init__(self) -> None:
        super().__init__()
        self._began_us = self.monotonic_us()

    def now_us(self) -> int:
        """Microseconds since the epoch, counted from the fixed day."""
        return _DAY_US + self.monotonic_us() - self._began_us


async def record(slug: str, file: Path) -> Recorded:
    """Play a demo and write its recording. DemoNotFoundError, DemoUnavailableError; DemoDataError when the run does not show what
    the demo promises, or the file would be too large."""
    played = demo(slug)
    with tempfile.TemporaryDirectory(prefix="life-demo-") as folder:
        root = Path(folder)
        async with open_system(
            root / "life",
            settings=Settings(),
            environment={"LIFE_KEY_FILE": str(root / "key")},
            clock=_RecordingClock(),
            entropy=SeededEntropy(f"{slug}:{digest(slug)}"),
            recordings=False,
        ) as system:
            demos = Demos(system)
            started = await demos.run(slug, session_id=recording_id(slug), how="recording")
            outcome = await play(system, demos, played, started, answer=as_written(played))
            if outcome.unmet:
                raise DemoDataError(f"The demo {slug} did not show what it promises: {' '.join(outcome.unmet)}")
            await system.runtime.close_session(started.session_id, reason="recorded")
            await record_session(system.runtime, started.session_id, file)
            report = await _slimmed(file, played.tools)
            with file.open("ab") as lines:
                for one in outcome.money:
                    if text(fields_of(one.payload).get("event_type")) != _KEPT_BACK:
                        lines.write(encode_record(one) + b"\n")
            contents = await _contents(system, outcome.records)
    contents_file(file).write_bytes(msgspec.json.format(msgspec.json.encode(contents), indent=1) + b"\n")
    size = file.stat().st_size + contents_file(file).stat().st_size
    if size > MOST_BYTES:
        raise DemoDataError(f"The recording of {slug} has {size} bytes; {MOST_BYTES} is the most.")
    return Recorded(len(outcome.records) + 1, report.model_calls, size)


async def _slimmed(file: Path, tools: Sequence[str]) -> ReplayReport:
    """Leave only the demo's own tools in the header: the others were offered to nobody. It still replays, or ReplayDifferenceError."""
    whole = parse_recording(file.read_bytes().splitlines())
    header = msgspec.structs.replace(
        whole.header, tools=tuple(tool for tool in whole.header.tools if tool.name in tools)
    )
    slim = Recording(header, whole.records)
    file.write_bytes(b"\n".join(slim.lines()) + b"\n")
    return await replays(file)


async def _contents(system: System, records: list[EventRecord]) -> dict[str, str]:
    """The contents of the session's files by hash, every version; text as it is, anything else in base64."""
    hashes = {text(fields_of(one.payload).get("blob_hash")) for one in records if one.kind_name == "FileWrite"}
    hashes |= {file.hash for file in fold(records).files}
    found: dict[str, str] = {}
    for each in sorted(filter(None, hashes)):
        try:
            content = await system.equipment.blobs.get(each)
        except NotFoundError:
            continue
        try:
            found[each] = content.decode()
        except UnicodeDecodeError:
            found[each] = "base64:" + base64.b64encode(content).decode()
    return found
