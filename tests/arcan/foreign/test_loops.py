"""A loop of another framework runs as a session: journal, limits, gate, approvals, and a restart that repeats nothing."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from life.aios import events
from life.aios.errors import LifeError, MissingExtraError
from life.aios.policy import PolicySet
from life.aios.ports.journal import Journal
from life.arcan.approvals import Edited
from life.arcan.events import RunLimits
from life.arcan.foreign.outside_loop import OutsideLoop
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from life.testing.replay import record_session
from tests.arcan.crashing import DyingJournal, Killed, Moment
from tests.arcan.foreign.frameworks import FRAMEWORKS, Counters
from tests.arcan.workbench import EVERYTHING, Workbench, history, kinds

framework = pytest.mark.parametrize("framework", FRAMEWORKS)


@asynccontextmanager
async def loop_on(
    journal: Journal,
    bench: Workbench,
    counters: Counters,
    framework: str,
    *,
    seed: str = "test",
    runtime_tools: tuple[str, ...] = (),
    policy: PolicySet = EVERYTHING,
) -> AsyncIterator[Runtime]:
    """A runtime whose model is the loop, as a process would have it."""
    loop = OutsideLoop(FRAMEWORKS[framework](counters), runtime_tools=runtime_tools)
    runtime = Runtime(
        journal,
        loop.toolbox(bench, journal),
        provider=loop,
        clock=bench.clock,
        entropy=SeededEntropy(seed),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(bench.workspace),
        settings=RuntimeSettings(policy=policy, shutdown_grace_ms=0, approval_timeout_s=None),
    )
    try:
        yield runtime
    finally:
        await runtime.aclose()
        await loop.aclose()


@framework
async def test_a_run_is_a_session_like_any_other(tmp_path: Path, framework: str) -> None:
    """Steps, calls, results and usage stand in the journal in the usual events; state is their fold; a second run of the same session
    knows the first."""
    bench, journal, counters = Workbench(tmp_path), MemoryJournal(), Counters()
    async with loop_on(journal, bench, counters, framework) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Pay bob and carol.")
        assert (report.reason, report.final_answer, report.steps) == ("completed", "All is done.", 3), report
        assert report.usage.total_tokens == 126
        assert counters.asked == 3
        assert sorted(counters.done) == ["balance:a", "transfer:bob", "transfer:carol"]
        names = await kinds(journal, "s")
        assert names.count("ToolCallStarted") == names.count("ToolCallCompleted") == names.count("PolicyEvaluated") == 3
        state = await runtime.state("s")
        assert encode_state(state) == encode_state(fold("s", await history(journal, "s")))
        assert (await runtime.run("s", "And again.")).reason == "completed"
        assert "Pay bob and carol." in counters.said[-1] and "moved to carol" in counters.said[-1]


@framework
async def test_a_call_waits_for_a_person_across_a_restart(tmp_path: Path, framework: str) -> None:
    """Approval asked, process gone: the next one asks its model nothing again, repeats no tool, and the approved call runs once."""
    bench, journal, counters = Workbench(tmp_path), MemoryJournal(), Counters()
    counters.confirm = ("transfer",)
    async with loop_on(journal, bench, counters, framework) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Pay bob and carol.")
        report = await runtime.wait("s", run_id)
        assert report.status == "waiting" and report.pending is not None and report.pending.tool_name == "transfer"
    assert (counters.asked, counters.done) == (2, ["balance:a"])
    async with loop_on(journal, bench, counters, framework, seed="2") as runtime:
        report = await runtime.resume("s")  # type: ignore[assignment]
        assert report.pending is not None and report.pending.approval_id is not None
        await runtime.resolve_approval("s", report.pending.approval_id, approved=True, actor="ann")
        report = await runtime.wait("s", run_id)
        assert report.status == "waiting" and report.pending is not None and report.pending.approval_id is not None
        assert counters.done == ["balance:a", "transfer:bob"]
    async with loop_on(journal, bench, counters, framework, seed="3") as runtime:
        await runtime.recover_all()
        assert report.pending.approval_id is not None
        await runtime.resolve_approval("s", report.pending.approval_id, approved=False, actor="ann", reason="Not her.")
        report = await runtime.wait("s", run_id)
    assert (report.reason, report.final_answer) == ("completed", "All is done.")
    assert (counters.asked, counters.done) == (3, ["balance:a", "transfer:bob"])
    assert "Not her." in counters.said[-1] and "moved to bob" in counters.said[-1]


@framework
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_at_every_append_nothing_is_done_twice(tmp_path: Path, framework: str, moment: Moment) -> None:
    """Whichever append the process dies at: the same end, every transfer once, and a person is asked only about a transfer
    that was cut off."""
    counters = Counters()
    counting = DyingJournal(MemoryJournal(), at=0, moment="before")
    async with loop_on(counting, Workbench(tmp_path / "whole"), counters, framework) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Pay.")
    appends = -counting._left
    assert appends >= 6
    for at in range(2, appends + 1):
        bench, journal, counters = Workbench(tmp_path / f"{at}"), MemoryJournal(), Counters()
        dying = DyingJournal(journal, at=at, moment=moment)
        try:
            async with loop_on(dying, bench, counters, framework, seed=f"first-{at}") as runtime:
                await runtime.create_session("s")
                await runtime.run("s", "Pay.", idempotency_key="once")
        except (Killed, LifeError):
            assert dying.dead
        async with loop_on(journal, bench, counters, framework, seed=f"second-{at}") as runtime:
            await runtime.create_session("s")
            await runtime.recover_all()
            run_id = await runtime.start("s", "Pay.", idempotency_key="once")
            report = await runtime.wait("s", run_id)
            while report.status == "in_doubt":
                assert report.pending is not None and report.pending.tool_name == "transfer"
                arguments = report.pending.arguments
                assert isinstance(arguments, dict)
                happened = f"transfer:{arguments['to']}" in counters.done
                decision = "done" if happened else "retry"
                await runtime.resolve_doubt("s", report.pending.call_id, decision, actor="ann")  # type: ignore[arg-type]
                report = await runtime.wait("s", run_id)
            assert (report.reason, report.final_answer) == ("completed", "All is done."), (at, report)
        transfers = [line for line in counters.done if line.startswith("transfer")]
        assert sorted(transfers) == ["transfer:bob", "transfer:carol"], at
        assert (await kinds(journal, "s")).count("Message") == 3, at


@framework
async def test_its_model_may_call_tools_of_the_runtime(tmp_path: Path, framework: str) -> None:
    """They run in the workspace under the gate as for every session; their result is what the framework gets."""
    bench, journal, counters = Workbench(tmp_path), MemoryJournal(), Counters()
    async with loop_on(journal, bench, counters, framework, runtime_tools=("write",)) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Pay, and write it down.")).reason == "completed"
    assert bench.effects() == ["write:a.txt=x"]
    assert "FileMutated" in await kinds(journal, "s") and "a.txt" in counters.said[-1]


@framework
async def test_the_gate_and_the_limits_hold(tmp_path: Path, framework: str) -> None:
    """What the policy does not permit is not done and the model reads why; tokens and tool calls end the run where they end."""
    bench, counters = Workbench(tmp_path), Counters()
    policy = PolicySet(allow_capabilities=("tool:call:balance",))
    journal = MemoryJournal()
    async with loop_on(journal, bench, counters, framework, policy=policy) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Pay.")
        assert report.reason in ("completed", "circuit_breaker")  # two denials in a row open the breaker
    assert counters.done == ["balance:a"] and "Not permitted: tool:call:transfer" in counters.said[-1]
    for limits, asked in ((RunLimits(max_tokens=50), 2), (RunLimits(max_tool_calls=2), 2), (RunLimits(max_steps=1), 1)):
        counters, journal = Counters(), MemoryJournal()
        async with loop_on(journal, bench, counters, framework) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Pay.", limits=limits)
            assert report.reason in ("budget_exceeded", "max_iterations") and counters.asked == asked


@framework
async def test_a_message_in_mid_run_begins_the_loop_anew(tmp_path: Path, framework: str) -> None:
    """The framework has no way to be told in the middle, so it starts again with the message as its prompt, knowing what was done."""
    bench, journal, counters = Workbench(tmp_path), MemoryJournal(), Counters()
    counters.confirm = ("transfer",)
    async with loop_on(journal, bench, counters, framework) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Pay.")
        await runtime.wait("s")
        await runtime.send("s", "Never mind: only tell me the balance.", steering="steer")
        waiting = (await runtime.state("s")).calls[0].approval_id
        assert waiting is not None
        await runtime.resolve_approval("s", waiting, approved=False, actor="ann")
        report = await runtime.wait("s")
    assert report.final_answer == "All is done." and counters.done == ["balance:a"]
    assert "Never mind" in counters.said[-1] and "5000000" in counters.said[-1]


async def test_cancelling_stops_the_model_and_the_tool(tmp_path: Path) -> None:
    """A tool of the loop that hangs is stopped, and the run ends; the loop's task is not left behind."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    from life.arcan.foreign.pydantic_ai import PydanticAILoop

    agent = pydantic_ai.Agent(TestModel(), name="slow")
    begun, stopped = asyncio.Event(), asyncio.Event()

    @agent.tool_plain
    async def hang() -> str:
        """Never ends."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    bench, journal = Workbench(tmp_path), MemoryJournal()
    loop = OutsideLoop(PydanticAILoop(agent))
    async with Runtime(
        journal,
        loop.toolbox(bench, journal),
        provider=loop,
        clock=bench.clock,
        entropy=SeededEntropy("x"),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(bench.workspace),
    ) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Go.")
        await begun.wait()
        report = await runtime.cancel("s")
        assert report is not None and report.reason == "cancelled" and stopped.is_set()
        await loop.aclose()
    assert not [task for task in asyncio.all_tasks() if "_watched" in repr(task)]
    assert any(isinstance(each.kind, events.RunFinished) for each in await history(journal, "s"))


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("pydantic_ai", "pydantic_ai", "pydantic-ai"),
        ("openai_agents", "agents", "openai-agents"),
        ("langgraph", "langchain", "langgraph"),
    ],
)
def test_a_missing_extra_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str, extra: str
) -> None:
    """Without the framework, importing its adapter names what to install; everything else of Life works without it."""
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"life.arcan.foreign.{module}", raising=False)
    with pytest.raises(MissingExtraError) as missing:
        importlib.import_module(f"life.arcan.foreign.{module}")
    assert f"lifeos[{extra}]" in f"{missing.value.message} {missing.value.next_step}"


@framework
async def test_an_edited_call_runs_as_it_was_edited(tmp_path: Path, framework: str) -> None:
    """A person changes the arguments before approving: the framework's function gets the new ones, its model is told."""
    bench, journal, counters = Workbench(tmp_path), MemoryJournal(), Counters()
    counters.confirm = ("transfer",)
    async with loop_on(journal, bench, counters, framework) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Pay.")
        for to in ("dora", "emil"):
            pending = (await runtime.wait("s")).pending
            assert pending is not None and pending.approval_id is not None
            await runtime.resolve_approval(
                "s", pending.approval_id, approved=True, actor="ann", edited=Edited({"to": to})
            )
        assert (await runtime.wait("s")).reason == "completed"
    assert counters.done == ["balance:a", "transfer:dora", "transfer:emil"]
    assert "were changed to" in counters.said[-1]


@framework
async def test_its_session_is_a_recording_that_runs_without_it(tmp_path: Path, framework: str) -> None:
    """A recorded session of a loop replays as a test, without the framework, its model or its tools."""
    bench, journal, counters = Workbench(tmp_path), MemoryJournal(), Counters()
    async with loop_on(journal, bench, counters, framework) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Pay.")
        report = await record_session(runtime, "s", tmp_path / "loop.jsonl")
    assert report.model_calls == 3 == counters.asked
