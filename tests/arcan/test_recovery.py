"""The recovery report says what became of what was running."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import LifeError
from life.aios.ports.tools import ToolCall
from life.arcan.recovery import InterruptedCall
from life.lago.journal.memory import MemoryJournal
from tests.arcan.crashing import DyingJournal, Killed
from tests.arcan.workbench import Workbench, calls, runtime_on, says, script


async def interrupted(
    tmp_path: Path, tool: str, arguments: dict[str, str], *, when: str
) -> tuple[MemoryJournal, Workbench]:
    """A journal whose process died within this call."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    dying = DyingJournal(journal, at=0, moment="before")

    def die(_: ToolCall) -> None:
        dying.die()

    setattr(bench, when, die)
    try:
        async with runtime_on(dying, bench, script(calls((tool, dict(arguments))), says("Done."))) as runtime:
            await runtime.create_session("s")
            await runtime.run("s", "Do it.")
    except (Killed, LifeError):
        assert dying.dead
    bench.before_effect = bench.after_effect = lambda call: None
    return journal, bench


@pytest.mark.parametrize(
    ("tool", "arguments", "when", "verdict", "ran_again"),
    [
        ("write", {"path": "a", "content": "1"}, "after_effect", "done", False),
        ("write", {"path": "a", "content": "1"}, "before_effect", "not_done", True),
        ("transfer", {"to": "bob"}, "after_effect", "repeated", True),
        ("append", {"path": "a", "line": "1"}, "after_effect", "in_doubt", False),
    ],
)
async def test_every_verdict(
    tmp_path: Path, tool: str, arguments: dict[str, str], when: str, verdict: str, ran_again: bool
) -> None:
    """Done, not done, repeated, in doubt: with the probe's words, and whether it ran again."""
    journal, bench = await interrupted(tmp_path, tool, arguments, when=when)
    plan = script(calls((tool, dict(arguments))), says("Done."))
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        await runtime.resume("s")
        report = await runtime.recovery_report("s")
        (call,) = report.calls
        assert (call.tool_name, call.verdict, call.ran_again) == (tool, verdict, ran_again)
        assert call.explanation and call.found_us
        assert report.recoveries == 1
        if verdict == "in_doubt":
            assert report.undecided == report.calls
            await runtime.resolve_doubt("s", call.call_id, "done", actor="ann", note="I looked.")
            decided: InterruptedCall = (await runtime.recovery_report("s")).calls[0]
            assert (decided.decision, decided.decided_by, decided.note) == ("done", "ann", "I looked.")
            assert (await runtime.recovery_report("s")).undecided == ()
    assert len(bench.effects()) == 1


async def test_nothing_interrupted_nothing_to_tell(tmp_path: Path) -> None:
    """A run that went through has an empty report."""
    journal, bench = MemoryJournal(), Workbench(tmp_path)
    async with runtime_on(journal, bench, script(calls(("fail", {})), says("Done."))) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Do it.")
        report = await runtime.recovery_report("s")
    assert (report.calls, report.recoveries) == ((), 0)
