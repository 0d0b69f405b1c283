"""Pausing, the breaker, the loop guard, the regulator, clients' tools, limits of the policy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.provider import ToolSpec
from life.aios.ports.regulator import SAFE_ADVICE, Advice, RunView
from life.aios.state import GatingProfile
from life.arcan.errors import (
    NoOpenRunError,
    NothingToDecideError,
    RunInProgressError,
    RunPausedError,
    UnknownProviderError,
)
from life.arcan.events import RunLimits
from life.arcan.loop_guard import STOP_AT, WARN_AT, remembered, repetitions, signature
from life.arcan.providers.scripted import ScriptedCall, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.test_acceptance import Holding, Listening, endless, user_texts
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, kinds, runtime_on, says, script


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Holding:
    return Holding(tmp_path, ManualClock())


# Pause and continue


async def test_a_paused_run_stays_paused_over_a_restart(journal: MemoryJournal, bench: Holding) -> None:
    """The running tool finishes, nothing new begins, not even after a restart, and its clock stands; continued, it ends."""
    assert isinstance(bench.clock, ManualClock)
    plan = script(calls(("hold", {}), ("write", {"path": "a", "content": "1"})), says("Done."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        with pytest.raises(NoOpenRunError):
            await runtime.pause("s", actor="ann")
        run_id = await runtime.start("s", "Begin.", limits=RunLimits(max_time_ms=60_000))
        await bench.hanging.wait()
        assert await runtime.pause("s", actor="ann") == await runtime.pause("s", actor="ann") == run_id
        bench.release.set()
        assert (await runtime.wait("s", run_id)).status == "paused"
        assert bench.effects() == []
    bench.clock.advance_us(3_600_000_000)
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        assert await runtime.recover_all() == ["s"]
        assert (await runtime.state("s")).status == "paused"
        with pytest.raises(RunPausedError):
            await runtime.start("s", "Other.")
        await runtime.go_on("s", actor="ann")
        assert (await runtime.wait("s", run_id)).final_answer == "Done."
    assert bench.effects() == ["write:a=1"]
    assert (await kinds(journal, "s")).count("arcan.run_paused") == 1


async def test_a_paused_run_can_be_cancelled(journal: MemoryJournal, bench: Holding) -> None:
    """And the next one is not paused."""
    async with runtime_on(journal, bench, script(calls(("hold", {})), says("x"), says("y"))) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        await runtime.pause("s", actor="ann")
        bench.release.set()
        await runtime.wait("s")
        report = await runtime.cancel("s")
        assert report is not None and report.reason == "cancelled"
        assert (await runtime.run("s", "Again.")).reason == "completed"


# The breaker


async def test_three_errors_in_a_row_open_the_breaker(journal: MemoryJournal, bench: Holding) -> None:
    """No tool runs any more; the model speaks once; the user's next message closes it."""
    plan = script(
        *(calls(("fail", {"n": n})) for n in range(3)),
        says("It keeps failing."),
        calls(("look", {"path": "."})),
        says("Ok."),
    )
    model = Listening(plan, bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Try.")
        assert (report.reason, report.final_answer) == ("circuit_breaker", "It keeps failing.")
        assert (await runtime.state("s")).breaker_open
        assert "too many errors in a row" in user_texts(model.heard[3])[-1]
        assert (await runtime.run("s", "Try something else.")).final_answer == "Ok."
        assert not (await runtime.state("s")).breaker_open
    assert (await kinds(journal, "s")).count("CircuitBreakerTripped") == 1


async def test_behind_an_open_breaker_nothing_runs(journal: MemoryJournal, bench: Holding) -> None:
    """Also not the rest of the step, nor what the model asks for instead of explaining itself."""
    wanted: list[tuple[str, dict[str, Json]]] = [("fail", {"n": n}) for n in range(3)]
    wanted.append(("write", {"path": "a", "content": "1"}))
    plan = script(calls(*wanted), calls(("write", {"path": "b", "content": "1"})), says("never asked"))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Try.")).reason == "circuit_breaker"
    assert bench.effects() == []


# The loop guard


def test_signatures_are_of_values_not_of_spelling() -> None:
    """The order of keys does not matter; names, values and their types do."""
    assert signature("a", {"x": 1, "y": [1, {"b": 1, "a": 2}]}) == signature("a", {"y": [1, {"a": 2, "b": 1}], "x": 1})
    different = {signature("a", {"x": 1}), signature("b", {"x": 1}), signature("a", {"x": "1"}), signature("a", None)}
    assert len(different) == 4


@pytest.mark.parametrize(
    ("calls_made", "times"),
    [
        ("", 0),
        ("A", 1),
        ("AB", 1),
        ("AAA", 3),
        ("ABAAA", 3),
        ("ABABAB", 3),
        ("ABCABCABCABCABC", 5),
        ("AAB", 1),
        ("AABB", 2),
    ],
)
def test_patterns_at_the_end_are_counted(calls_made: str, times: int) -> None:
    """Single calls and patterns of up to four."""
    assert repetitions(tuple(calls_made)) == times


@given(st.lists(st.sampled_from("ABC"), max_size=60))
def test_the_window_is_bounded(made: list[str]) -> None:
    """Never more than 20 are remembered, and a repetition is never counted beyond them."""
    recent: tuple[str, ...] = ()
    for call in made:
        recent = remembered(recent, call)
        assert len(recent) <= 20
        assert 1 <= repetitions(recent) <= 20


async def test_circles_are_told_and_then_stopped(journal: MemoryJournal, bench: Holding) -> None:
    """At the third equal call the model is told with the result; the fifth is not run."""
    plan = script(*(calls(("transfer", {"to": "bob"})) for _ in range(5)), says("I give up."))
    model = Listening(plan, bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Pay.")).final_answer == "I give up."
    assert len(bench.effects()) == STOP_AT - 1
    names = await kinds(journal, "s")
    assert names.count("loop_detection.warning") == STOP_AT - WARN_AT
    assert names.count("loop_detection.hard_stop") == 1
    assert "3 times in a row" in str(model.heard[3].messages[-1])
    assert "not run" in str(model.heard[5].messages[-1])


# The regulator


class Scripted:
    """A regulator that says what it was told to say, one advice per step, the last for ever."""

    def __init__(self, *advice: Advice | Exception) -> None:
        self.advice = advice
        self.views: list[RunView] = []

    async def consult(self, view: RunView) -> Advice:
        self.views.append(view)
        said = self.advice[min(len(self.views), len(self.advice)) - 1]
        if isinstance(said, Exception):
            raise said
        return said


def regulated(
    journal: MemoryJournal, bench: Workbench, model: Listening, regulator: Scripted, **more: object
) -> Runtime:
    return Runtime(
        journal,
        bench,
        provider=model,
        clock=bench.clock,
        entropy=SeededEntropy("r"),
        agent_id="agent-1",
        workspace_of=lambda _: str(bench.workspace),
        regulator=regulator,
        **more,  # type: ignore[arg-type]
    )


async def test_advice_holds_and_only_changes_are_journaled(journal: MemoryJournal, bench: Holding) -> None:
    """Gates, mode, tier and length take effect from the step on; the same advice again writes nothing."""
    advice = Advice(
        gates=GatingProfile(allow_side_effects=False),
        mode="verify",
        model_tier="economy",
        max_output_tokens=77,
        reason="thrift",
    )
    plan = script(calls(("write", {"path": "a", "content": "1"})), calls(("look", {"path": "x"})), says("Done."))
    model, cheap = Listening(plan, bench), Listening(plan, bench)
    settings = RuntimeSettings(policy=EVERYTHING, tier_providers={"economy": "cheap"})
    regulator = Scripted(advice)
    async with regulated(journal, bench, model, regulator, settings=settings, open_provider=lambda _: cheap) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Save.")).final_answer == "Done."
        state = await runtime.state("s")
        assert encode_state(state) == encode_state(fold("s", await history(journal, "s")))
    assert model.heard == [] and len(cheap.heard) == 3
    assert {request.max_output_tokens for request in cheap.heard} == {77}
    assert bench.effects() == []
    names = await kinds(journal, "s")
    assert [names.count(name) for name in ("GatesUpdated", "ModeChanged", "arcan.regulated")] == [1, 1, 1]
    assert [view.step for view in regulator.views] == [0, 1, 2]


async def test_a_regulator_that_fails_is_answered_for(journal: MemoryJournal, bench: Holding) -> None:
    """The safe profile holds, and the run goes on."""
    model = Listening(script(says("Done.")), bench)
    async with regulated(journal, bench, model, Scripted(RuntimeError("secret words"))) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Go.")).final_answer == "Done."
        assert (await runtime.state("s")).gates == SAFE_ADVICE.gates
    assert b"secret words" not in b"".join(record.payload for record in await history(journal, "s"))


# Clients' tools


async def test_a_client_executes_its_own_tool(journal: MemoryJournal, bench: Holding) -> None:
    """The run waits for the client's result, over a restart; the toolbox keeps its own names."""
    plan = script(calls(("pick_colour", {"from": "red"})), says("Blue it is."))
    tools = [ToolSpec("pick_colour", "Asks.", {"type": "object"}), ToolSpec("write", "A shadow.", {"type": "object"})]
    model = Listening(plan, bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Which?", client_tools=tools)
        report = await runtime.wait("s", run_id)
        assert report.status == "waiting" and report.pending is not None
        call_id = report.pending.call_id
    offered = [tool for tool in model.heard[0].tools if tool.name in ("pick_colour", "write")]
    assert [tool.description for tool in offered] == ["The tool write.", "Asks."]
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        await runtime.recover_all()
        await runtime.answer_client_call("s", call_id, {"colour": "blue"}, actor="ann")
        assert (await runtime.wait("s", run_id)).final_answer == "Blue it is."
        with pytest.raises(NothingToDecideError):
            await runtime.answer_client_call("s", call_id, "again")


# The policy's limits


async def test_a_step_has_only_so_many_events(journal: MemoryJournal, bench: Holding) -> None:
    """Beyond `max_events_per_turn` the rest of the step's calls are not run, which the model and the journal are told."""
    policy = PolicySet(allow_capabilities=("*",), max_events_per_turn=20)
    many: list[tuple[str, dict[str, Json]]] = [("transfer", {"to": str(n)}) for n in range(8)]
    async with runtime_on(journal, bench, script(calls(*many), says("Some."))) as runtime:
        await runtime.create_session("s", policy=policy)
        assert (await runtime.run("s", "Pay all.")).final_answer == "Some."
    assert 0 < len(bench.effects()) < 8
    assert "policy.violation" in await kinds(journal, "s")


async def test_the_policy_of_the_caller_is_set_by_the_server(journal: MemoryJournal, bench: Holding) -> None:
    """A run's policy holds from it on and is journaled once."""
    plan = script(calls(("write", {"path": "a", "content": "1"})), says("No?"), says("Still."))
    nothing = PolicySet()
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        for objective in ("Write.", "Again."):
            await runtime.start("s", objective, policy=nothing)
            await runtime.wait("s")
        assert (await runtime.state("s")).config.policy == nothing
    assert bench.effects() == []
    assert (await kinds(journal, "s")).count("arcan.policy_set") == 1


async def test_a_sessions_model_can_be_changed(journal: MemoryJournal, bench: Holding) -> None:
    """From its next run on, also after a restart; an unknown one is refused, and a running session keeps its own."""
    other = Listening(script(says("Mine."), says("Yours."), says("Theirs.")), bench)

    def open_provider(specification: str) -> Listening:
        if specification != "other":
            raise UnknownProviderError("No such provider.")
        return other

    plan = script(calls(("hold", {})), says("First."))
    async with runtime_on(journal, bench, plan, open_provider=open_provider) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Go.")
        await bench.hanging.wait()
        with pytest.raises(RunInProgressError):
            await runtime.set_provider("s", "other", actor="ann")
        bench.release.set()
        assert (await runtime.wait("s")).final_answer == "First."
        with pytest.raises(UnknownProviderError):
            await runtime.set_provider("s", "nobody", actor="ann")
        await runtime.set_provider("s", "other", actor="ann")
    async with runtime_on(journal, bench, plan, open_provider=open_provider, seed="second") as runtime:
        assert (await runtime.state("s")).config.provider == "other"
        assert (await runtime.run("s", "Who?")).final_answer == "Theirs."


async def test_modes_starve_nobody(journal: MemoryJournal, bench: Holding) -> None:
    """Thirty successful calls push every ratio to its edge; the run ends by its limit only."""
    turn = ScriptedTurn(calls=(ScriptedCall("transfer", {"to": "x"}),))
    async with runtime_on(journal, bench, endless(turn)) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Go.", limits=RunLimits(max_steps=30, max_tool_calls=100, max_tokens=10**9))
    assert (report.reason, report.steps) == ("max_iterations", 30)
    await asyncio.sleep(0)
