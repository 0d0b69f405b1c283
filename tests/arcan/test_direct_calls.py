"""Direct calls: one proposed call through gate, approvals and journal, side by side and across crashes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError
from life.aios.policy import PolicySet
from life.aios.ports.provider import ChatMessage, ModelRequest, TextBlock
from life.arcan.direct_calls import CALLS_PER_LANE, DIRECT, DirectCallProvider, DirectCalls, home_of
from life.arcan.errors import ProviderRejectedError, RunInProgressError
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from tests.arcan.workbench import EVERYTHING, Workbench, kinds, runtime_on


def direct(journal: MemoryJournal, bench: Workbench, policy: PolicySet = EVERYTHING, seed: str = "test"):  # type: ignore[no-untyped-def]
    """A runtime whose sessions may be direct ones."""
    return runtime_on(
        journal,
        bench,
        DirectCallProvider(),
        open_provider=lambda _: DirectCallProvider(),
        settings=RuntimeSettings(policy=policy, shutdown_grace_ms=0, approval_timeout_s=None),
        seed=seed,
    )


async def until(check: object, runtime: Runtime, bench: Workbench) -> None:
    """Let the loop go on until `check()` holds."""
    for _ in range(2_000):
        if check():  # type: ignore[operator]
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


async def test_a_call_runs_once_and_gives_its_output(tmp_path: Path) -> None:
    """The outcome is the tool's; the events are those of a run with one call."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with direct(journal, bench) as runtime:
        calls = DirectCalls(runtime, journal)
        heard: list[str] = []
        outcome = await calls.call(
            "mcp-a", "write", {"path": "a", "content": "x"}, observe=lambda record: heard.append(record.kind_name)
        )
        assert (outcome.status, outcome.output, outcome.session_id) == ("ok", {"path": "a"}, "mcp-a-1")
        assert bench.effects() == ["write:a=x"]
        assert heard.count("ToolCallCompleted") == heard.count("RunFinished") == 1
        again = await calls.call("mcp-a", "write", {"path": "a", "content": "x"})
        assert (again.session_id, len(bench.effects())) == ("mcp-a-1", 2)  # the same words are a new call
        for tool, status in (("fail", "error"), ("nothing", "error"), ("look", "error")):
            assert (await calls.call("mcp-a", tool, {"path": "none"})).status == status
        with pytest.raises(InvalidInputError):
            await calls.call("mcp-a", "write", {"content": "x" * 300_000})
        with pytest.raises(InvalidInputError):
            await calls.call("../a", "write", {})


async def test_denied_calls_are_not_run(tmp_path: Path) -> None:
    """The policy of the session holds for direct calls as for a model's."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with direct(journal, bench, PolicySet(allow_capabilities=("fs:read:**",))) as runtime:
        outcome = await DirectCalls(runtime, journal).call("mcp-a", "write", {"path": "a", "content": "x"})
        assert outcome.status == "error"
        assert "Not permitted" in str(outcome.output)
        assert bench.effects() == []


async def test_calls_take_lanes_of_their_own_and_lanes_have_an_end(tmp_path: Path) -> None:
    """While one hangs, others run; when all lanes are in use, the next call is refused and not queued for ever."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with direct(journal, bench) as runtime:
        calls = DirectCalls(runtime, journal, max_lanes=2)
        hanging = asyncio.create_task(calls.call("mcp-a", "hang", {}))
        await bench.hanging.wait()
        assert (await calls.call("mcp-a", "write", {"path": "a", "content": "1"})).session_id == "mcp-a-2"
        waiting = await calls.call("mcp-a", "sign", {"text": "x"})
        assert waiting.status == "waiting"
        with pytest.raises(RunInProgressError):
            await calls.call("mcp-a", "write", {"path": "a", "content": "2"})
        assert (await calls.call("mcp-b", "write", {"path": "a", "content": "3"})).session_id == "mcp-b-1"
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        assert (await runtime.state("mcp-a-1")).run is None  # the run was cancelled with its caller
        done = await calls.decide(waiting, approved=True, actor="ann")
        assert (done.status, done.output) == ("ok", {"signed": "x"})
        assert bench.effects().count("sign:x") == 1
        late = await calls.decide(waiting, approved=False, actor="bob")
        assert late.status == "ok"  # it was decided; nothing changes


async def test_a_lane_is_left_alone_after_so_many_calls(tmp_path: Path) -> None:
    """A long-lived caller does not grow one conversation without end."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with direct(journal, bench) as runtime:
        calls = DirectCalls(runtime, journal)
        calls._used["mcp-a-1"] = CALLS_PER_LANE
        assert (await calls.call("mcp-a", "look", {"path": "a"})).session_id == "mcp-a-2"


async def test_a_session_that_somebody_else_made_is_passed_by(tmp_path: Path) -> None:
    """Neither another owner's session nor an ordinary one becomes a lane because of its name."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with direct(journal, bench) as runtime:
        await runtime.create_session("mcp-a-1", owner="eve", provider=DIRECT)
        await runtime.create_session("mcp-a-2")
        outcome = await DirectCalls(runtime, journal).call("mcp-a", "look", {"path": "a"})
        assert outcome.session_id == "mcp-a-3"


async def test_a_call_that_the_process_died_in_is_probed_not_repeated(tmp_path: Path) -> None:
    """After a stop in the middle: what can be found out is, and what can't is in doubt until a person decides."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with direct(journal, bench) as runtime:
        calls = DirectCalls(runtime, journal)
        hanging = asyncio.create_task(calls.call("mcp-a", "hang", {}))
        await bench.hanging.wait()
        await runtime.aclose()
        await asyncio.gather(hanging, return_exceptions=True)
    async with direct(journal, bench, seed="second") as runtime:
        assert await runtime.recover_all() == ["mcp-a-1"]
        report = await runtime.wait("mcp-a-1")
        assert report.status == "in_doubt"
        assert report.pending is not None
        await runtime.resolve_doubt("mcp-a-1", report.pending.call_id, "not_done", actor="ann")
        assert (await runtime.wait("mcp-a-1")).reason == "completed"
    assert (await kinds(journal, "mcp-a-1")).count("ToolCallStarted") == 1


async def test_the_provider_takes_direct_calls_only() -> None:
    """An objective of another kind is refused, so a direct session can't be talked into anything."""
    request = ModelRequest(messages=(ChatMessage("user", (TextBlock("Please help."),)),))
    with pytest.raises(ProviderRejectedError):
        async for _ in DirectCallProvider().stream(request):
            pass


def test_lanes_know_their_home() -> None:
    """Only the form `<home>-<number>` is a lane."""
    assert home_of("mcp-a-12") == "mcp-a"
    assert home_of("mcp-a-0") is None
    assert home_of("notes") is None
