"""Recorded sessions as regression tests (docs/replay.md).

    from life.testing.replay import assert_replays

    def test_the_deploy_session_still_runs() -> None:
        assert_replays("recordings/deploy.jsonl")

The model and, unless a toolbox is given, the tools answer from the recording; nothing is called, and the same recording gives the
same result for ever. The first difference fails the test, in plain words.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import msgspec

from life.aios.ids import MAIN_BRANCH
from life.aios.ports.tools import Toolbox
from life.arcan.replay import Recording, ReplayReport, parse_recording, read_recording, replay
from life.arcan.runtime import Runtime
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

_T = TypeVar("_T")


class ReplayDifferenceError(AssertionError):
    """The session does not run as it was recorded."""


def assert_replays(
    recording: Path | str,
    *,
    toolbox: Toolbox | None = None,
    workspace: Path | str | None = None,
    session_id: str | None = None,
) -> ReplayReport:
    """Run a recording (a file of `record_session`, or of `lago journal export`) again; ReplayDifferenceError tells where it leaves it.

    With a `toolbox` its tools run for real, in a copy of `workspace` as it was when the session began.
    """
    return _now(replays(recording, toolbox=toolbox, workspace=workspace, session_id=session_id))


async def replays(
    recording: Path | str,
    *,
    toolbox: Toolbox | None = None,
    workspace: Path | str | None = None,
    session_id: str | None = None,
) -> ReplayReport:
    """The same, within an event loop."""
    lines = Path(recording).read_bytes().splitlines()
    report = await replay_recording(parse_recording(lines, session_id=session_id), toolbox=toolbox, workspace=workspace)
    if report.difference is not None:
        raise ReplayDifferenceError(f"{recording} does not replay. {report.difference.words}")
    return report


async def replay_recording(
    recording: Recording, *, toolbox: Toolbox | None = None, workspace: Path | str | None = None
) -> ReplayReport:
    """Run a recording again, up to the first difference."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "workspace"
        if workspace is not None:
            shutil.copytree(workspace, copy, symlinks=True)
        else:
            copy.mkdir()
        return await replay(
            recording,
            open_journal=MemoryJournal,
            clock_at=ManualClock,
            entropy=SeededEntropy("replay"),
            toolbox=toolbox,
            workspace=str(copy),
        )


async def record_session(
    runtime: Runtime, session_id: str, file: Path | str, *, branch: str = MAIN_BRANCH
) -> ReplayReport:
    """Write a session of a runtime as a recording with the digests of its requests. It is replayed once for them; a session that does not
    replay as it is (its tools or its system prompt were others) is not written: ReplayDifferenceError."""
    parts = runtime.parts
    plain = await read_recording(parts.journal, session_id, branch=branch)
    header = msgspec.structs.replace(
        plain.header,
        tools=tuple(parts.toolbox.definitions()),
        system_prompt=parts.settings.system_prompt,
        max_output_tokens=parts.settings.max_output_tokens,
    )
    recording = Recording(header, plain.records)
    report = await replay_recording(recording)
    if report.difference is not None:
        raise ReplayDifferenceError(f"The session {session_id} does not replay. {report.difference.words}")
    header = msgspec.structs.replace(header, requests=report.requests)
    Path(file).write_bytes(b"\n".join(Recording(header, plain.records).lines()) + b"\n")
    return report


def _now(work: Coroutine[object, object, _T]) -> _T:
    return asyncio.run(work)
