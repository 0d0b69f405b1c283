"""What people decide: approvals, calls in doubt, and stopping; durable first, and the same after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.aios import events
from life.aios.policy import PolicySet
from life.aios.ports.provider import ModelRequest
from life.aios.record import Stream
from life.aios.state import GatingProfile
from life.arcan.errors import DecisionNeededError, NothingToDecideError, RunUnfinishedError
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.reports import RunReport
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.arcan.crashing import DyingJournal, Killed
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, kinds, runtime_on, says, script

SIGN = script(calls(("sign", {"text": "the contract"}), text="I'll sign."), says("Thank you."))


@pytest.fixture
def journal() -> MemoryJournal:
    """An empty journal."""
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """Tools on a directory."""
    return Workbench(tmp_path)


def approval_of(report: RunReport) -> str:
    """The approval a run waits for."""
    assert report.status == "waiting" and report.pending is not None and report.pending.approval_id is not None
    return report.pending.approval_id


async def until(clock: object, task: asyncio.Task[object], *, step_us: int = 1_000_000, limit: int = 2000) -> None:
    """Let time pass until the task is done."""
    assert isinstance(clock, ManualClock)
    for _ in range(limit):
        if task.done():
            return
        await asyncio.sleep(0)
        clock.advance_us(step_us)
    raise AssertionError("it never ended")


# Approvals


async def test_approved_that_very_call_runs_once(journal: MemoryJournal, bench: Workbench) -> None:
    """The run waits with the call's name and arguments on record; approved, the same call runs, and the run goes on."""
    async with runtime_on(journal, bench, SIGN) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Sign it.")
        approval_id = approval_of(report)
        assert bench.effects() == []
        assert (await runtime.state("s")).status == "waiting"
        assert await runtime.resolve_approval("s", approval_id, approved=True, actor="ann") == report.run_id
        final = await runtime.wait("s")
        assert (final.run_id, final.reason, final.final_answer) == (report.run_id, "completed", "Thank you.")
        with pytest.raises(NothingToDecideError):
            await runtime.resolve_approval("s", approval_id, approved=True, actor="ann")
    assert bench.effects() == ["sign:the contract"]
    names = await kinds(journal, "s")
    order = ["ApprovalRequested", "ApprovalResolved", "ToolCallStarted", "ToolCallCompleted"]
    assert [name for name in names if name in order] == order
    resolved = next(record for record in await history(journal, "s") if record.kind_name == "ApprovalResolved")
    assert (resolved.actor.type, resolved.actor.component) == ("user", "ann")
    requested = next(r.kind for r in await history(journal, "s") if r.kind_name == "ApprovalRequested")
    assert isinstance(requested, events.ApprovalRequested)
    assert requested.arguments == {"text": "the contract"}


async def test_refused_the_model_is_told(journal: MemoryJournal, bench: Workbench) -> None:
    """A refusal with its reason is what the model reads; nothing runs."""
    requests: list[ModelRequest] = []

    def turn(request: ModelRequest) -> ScriptedTurn:
        requests.append(request)
        return SIGN.turns[len(requests) - 1]

    async with runtime_on(journal, bench, ScriptedProvider(turn, clock=bench.clock)) as runtime:
        await runtime.create_session("s")
        approval_id = approval_of(await runtime.run("s", "Sign it."))
        await runtime.resolve_approval("s", approval_id, approved=False, actor="ann", reason="Too expensive.")
        assert (await runtime.wait("s")).reason == "completed"
    assert bench.effects() == []
    assert "Too expensive." in str(requests[1].messages[-1])


@pytest.mark.parametrize("approved", [True, False])
async def test_an_approval_survives_a_restart(journal: MemoryJournal, bench: Workbench, approved: bool) -> None:
    """Pause, restart, decide: with or without recovery before it, the decision finds its call."""
    async with runtime_on(journal, bench, SIGN) as runtime:
        await runtime.create_session("s")
        approval_id = approval_of(await runtime.run("s", "Sign it."))
    async with runtime_on(journal, bench, SIGN, seed="second") as runtime:
        if approved:
            assert await runtime.recover_all() == ["s"]
        with pytest.raises(DecisionNeededError):
            await runtime.start("s", "Something else.")
        await runtime.resolve_approval("s", approval_id, approved=approved, actor="ann")
        assert (await runtime.wait("s")).final_answer == "Thank you."
    assert bench.effects() == (["sign:the contract"] if approved else [])


async def test_a_crash_after_the_decision_loses_nothing(journal: MemoryJournal, bench: Workbench) -> None:
    """The decision is durable before anything runs: killed right after it, the recovered run executes the call once."""
    async with runtime_on(journal, bench, SIGN) as runtime:
        await runtime.create_session("s")
        approval_id = approval_of(await runtime.run("s", "Sign it."))
    dying = DyingJournal(journal, at=1, moment="after")
    with pytest.raises(Killed):
        async with runtime_on(dying, bench, SIGN, seed="second") as runtime:
            await runtime.resolve_approval("s", approval_id, approved=True, actor="ann")
    assert bench.effects() == []
    async with runtime_on(journal, bench, SIGN, seed="third") as runtime:
        with pytest.raises(NothingToDecideError):
            await runtime.resolve_approval("s", approval_id, approved=False, actor="bob")
        with pytest.raises(RunUnfinishedError):
            await runtime.start("s", "Something else.")
        report = await runtime.resume("s")
        assert report is not None and report.final_answer == "Thank you."
    assert bench.effects() == ["sign:the contract"]


async def test_two_decisions_at_once(journal: MemoryJournal, bench: Workbench) -> None:
    """Exactly one of several decisions counts."""
    async with runtime_on(journal, bench, SIGN) as runtime:
        await runtime.create_session("s")
        approval_id = approval_of(await runtime.run("s", "Sign it."))
        answers = await asyncio.gather(
            *(runtime.resolve_approval("s", approval_id, approved=True, actor=f"p{n}") for n in range(6)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, str) for answer in answers) == 1
        assert (await runtime.wait("s")).reason == "completed"
    assert bench.effects() == ["sign:the contract"]
    assert (await kinds(journal, "s")).count("ApprovalResolved") == 1


async def test_nobody_decides(journal: MemoryJournal, bench: Workbench) -> None:
    """After the time for approvals the call counts as refused, the model is told and the run goes on; also when the
    process was restarted meanwhile."""
    for restart in (False, True):
        session_id = f"s-{restart}"
        async with runtime_on(journal, bench, SIGN, seed=session_id) as runtime:
            await runtime.create_session(session_id)
            approval_of(await runtime.run(session_id, "Sign it."))
            if not restart:
                await _let_expire(runtime, session_id, bench)
        if restart:
            async with runtime_on(journal, bench, SIGN, seed="second") as runtime:
                await runtime.recover_all()
                await _let_expire(runtime, session_id, bench)
        resolved = next(r.kind for r in await history(journal, session_id) if r.kind_name == "ApprovalResolved")
        assert isinstance(resolved, events.ApprovalResolved) and resolved.decision == "timeout"
    assert bench.effects() == []


async def _let_expire(runtime: Runtime, session_id: str, bench: Workbench) -> None:
    assert isinstance(bench.clock, ManualClock)
    for _ in range(5):
        await asyncio.sleep(0)
    bench.clock.advance_us(299_000_000)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await runtime.state(session_id)).status == "waiting"
    bench.clock.advance_us(2_000_000)
    for _ in range(20):
        await asyncio.sleep(0)
    report = await runtime.wait(session_id)
    assert (report.status, report.final_answer) == ("finished", "Thank you.")


async def test_the_policy_can_ask_for_approval(journal: MemoryJournal, bench: Workbench) -> None:
    """Gated capabilities wait for a person, with the risk of what they do; calls before and after keep their order."""
    policy = PolicySet(allow_capabilities=("*",), gate_capabilities=("payments:initiate",))
    plan = script(
        calls(
            ("write", {"path": "a", "content": "1"}),
            ("transfer", {"to": "bob"}),
            ("write", {"path": "b", "content": "2"}),
        ),
        says("Paid."),
    )
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s", policy=policy)
        report = await runtime.run("s", "Pay.")
        assert report.pending is not None and (report.pending.tool_name, report.pending.risk) == (
            "transfer",
            "critical",
        )
        assert bench.effects() == ["write:a=1"]
        await runtime.resolve_approval("s", approval_of(report), approved=True, actor="ann")
        assert (await runtime.wait("s")).reason == "completed"
    assert [effect.partition(":")[0] for effect in bench.effects()] == ["write", "transfer", "write"]


async def test_homeostasis_can_forbid_and_ask(journal: MemoryJournal, bench: Workbench) -> None:
    """What GatesUpdated switches off is denied, and risky calls are asked about."""
    plan = script(calls(("write", {"path": "a", "content": "1"}), ("look", {"path": "a"})), says("Ok."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        live = runtime._desk._live[Stream("s")]
        live.log.add(events.GatesUpdated(gates=GatingProfile(allow_side_effects=False), reason="tired"))
        await live.log.commit()
        assert (await runtime.run("s", "Go.")).reason == "completed"
        assert bench.effects() == []
        live.log.add(events.GatesUpdated(gates=GatingProfile(require_approval_for_risk="medium"), reason="careful"))
        await live.log.commit()
        await runtime.create_session("t")
    failed = [r.kind.error for r in await history(journal, "s") if isinstance(r.kind, events.ToolCallFailed)]
    assert failed == ["Side effects are switched off at present."]


# Doubts


async def in_doubt(journal: MemoryJournal, bench: Workbench, *, effect: bool) -> None:
    """A run of session s that was killed within an append, before or after its effect."""
    plan = script(calls(("append", {"path": "log", "line": "once"})), says("Appended."))
    dying = DyingJournal(journal, at=0, moment="before")
    if effect:
        bench.after_effect = lambda call: dying.die()
    else:
        bench.before_effect = lambda call: dying.die()
    with pytest.raises(Killed):
        async with runtime_on(dying, bench, plan) as runtime:
            await runtime.create_session("s")
            await runtime.run("s", "Append.")
    bench.before_effect = bench.after_effect = lambda call: None


@pytest.mark.parametrize(
    ("effect", "decision", "times", "words"),
    [
        (True, "done", 1, "A person confirmed that this call took effect. I saw it."),
        (False, "not_done", 0, "A person confirmed that this call did not take effect. I saw it."),
        (False, "retry", 1, '{"path":"log"}'),
        (True, "retry", 2, '{"path":"log"}'),
    ],
)
async def test_a_person_resolves_a_doubt(
    journal: MemoryJournal, bench: Workbench, effect: bool, decision: str, times: int, words: str
) -> None:
    """`done` goes on with the person's word, `not_done` tells the model, `retry` runs it again because a person said so."""
    await in_doubt(journal, bench, effect=effect)
    plan = script(calls(("append", {"path": "log", "line": "once"})), says("Appended."))
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        report = await runtime.resume("s")
        assert report is not None and report.status == "in_doubt" and report.pending is not None
        assert (report.pending.call_id, report.pending.explanation) == ("call-1", "There is no way to tell.")
        with pytest.raises(DecisionNeededError):
            await runtime.start("s", "Something else.")
        assert len(bench.effects()) == int(effect)
        await runtime.resolve_doubt("s", "call-1", decision, actor="ann", note="I saw it.")  # type: ignore[arg-type]
        final = await runtime.wait("s")
        assert (final.reason, final.final_answer) == ("completed", "Appended.")
        with pytest.raises(NothingToDecideError):
            await runtime.resolve_doubt("s", "call-1", "done", actor="ann")
        state = await runtime.state("s")
    assert len(bench.effects()) == times
    assert state.conversation.messages()[2].content[0].content == words  # type: ignore[union-attr]
    names = await kinds(journal, "s")
    assert [name for name in names if name.startswith("arcan.") and name != "arcan.run_limits"] == [
        "arcan.tool_probed",
        "arcan.run_in_doubt",
        "arcan.doubt_resolved",
    ]
    keys = {r.kind.idempotency_key for r in await history(journal, "s") if isinstance(r.kind, events.ToolCallStarted)}
    assert len(keys) == 1, "every attempt of a call has the same idempotency key"


async def test_a_doubt_survives_restarts(journal: MemoryJournal, bench: Workbench) -> None:
    """Recovering again and again neither runs the call nor asks the probe again nor forgets the question."""
    await in_doubt(journal, bench, effect=True)
    plan = script(calls(("append", {"path": "log", "line": "once"})), says("Appended."))
    for life in range(4):
        async with runtime_on(journal, bench, plan, seed=f"life-{life}") as runtime:
            report = await runtime.resume("s")
            assert report is not None and report.status == "in_doubt"
    assert bench.effects() == ["append:once"]
    assert bench.probes == ["append"]
    assert (await kinds(journal, "s")).count("arcan.run_in_doubt") == 1


async def test_a_crash_after_the_word_loses_nothing(journal: MemoryJournal, bench: Workbench) -> None:
    """The person's word is durable before anything follows from it."""
    await in_doubt(journal, bench, effect=True)
    plan = script(calls(("append", {"path": "log", "line": "once"})), says("Appended."))
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        await runtime.resume("s")
    dying = DyingJournal(journal, at=1, moment="after")
    with pytest.raises(Killed):
        async with runtime_on(dying, bench, plan, seed="third") as runtime:
            await runtime.resolve_doubt("s", "call-1", "done", actor="ann")
    async with runtime_on(journal, bench, plan, seed="fourth") as runtime:
        report = await runtime.resume("s")
        assert report is not None and report.final_answer == "Appended."
    assert bench.effects() == ["append:once"]


async def test_a_tool_that_is_gone_is_a_doubt(journal: MemoryJournal, bench: Workbench) -> None:
    """When the tool of an open intent is not there any more, nobody can probe it: a person is asked."""
    await in_doubt(journal, bench, effect=True)
    bench.definitions = list  # type: ignore[method-assign]
    async with runtime_on(journal, bench, script(says("x")), seed="second") as runtime:
        report = await runtime.resume("s")
    assert report is not None and report.status == "in_doubt" and report.pending is not None
    assert "not here any more" in report.pending.explanation


async def test_a_probe_that_fails_is_a_doubt(journal: MemoryJournal, bench: Workbench) -> None:
    """A probe that crashes knows nothing; the call is not run again on a guess."""
    await in_doubt(journal, bench, effect=True)

    async def broken(*_: object) -> object:
        raise OSError("no disk")

    bench.probe = broken  # type: ignore[method-assign,assignment]
    async with runtime_on(journal, bench, script(says("x")), seed="second") as runtime:
        report = await runtime.resume("s")
    assert report is not None and report.status == "in_doubt"
    assert bench.effects() == ["append:once"]


# Stopping


async def test_cancelling_a_model_call(journal: MemoryJournal, bench: Workbench) -> None:
    """The stream is closed at once, what was said so far is kept, and the run ends as cancelled."""
    plan = script(ScriptedTurn(deltas=("Once upon", " a time"), delta_delay_ms=60_000), says("Yes?"))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Tell.")
        waiting = asyncio.create_task(runtime.wait("s", run_id))
        for _ in range(10):
            await asyncio.sleep(0)
        report = await runtime.cancel("s")
        assert report is not None and (report.reason, report.run_id) == ("cancelled", run_id)
        assert await waiting == report
        assert (await runtime.run("s", "And now?")).final_answer == "Yes?"
        assert await runtime.cancel("s") is None
    said = [r.kind.content for r in await history(journal, "s") if isinstance(r.kind, events.Message)]
    assert said == ["Once upon", "Yes?"]


async def test_cancelling_a_running_tool(journal: MemoryJournal, bench: Workbench) -> None:
    """The tool is stopped, its probe says what is known, calls behind it do not run, and every call has its result."""
    plan = script(calls(("hang", {}), ("append", {"path": "log", "line": "x"})), says("x"))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Hang.")
        await bench.hanging.wait()
        report = await runtime.cancel("s")
        assert report is not None and report.reason == "cancelled"
        state = await runtime.state("s")
    assert bench.effects() == []
    assert state.calls == ()
    results = [str(block) for block in state.conversation.messages()[-1].content]
    assert "It is not known whether this call took effect" in results[0]
    assert "stopped before this call ran" in results[1]


async def test_a_tool_that_does_not_stop_is_left_behind(journal: MemoryJournal, bench: Workbench) -> None:
    """Cancelling ends within two seconds even when a tool goes on although it was told to stop."""
    async with runtime_on(journal, bench, script(calls(("stubborn", {})), says("x"))) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Go.")
        await bench.hanging.wait()
        cancelling: asyncio.Task[object] = asyncio.create_task(runtime.cancel("s"))
        await until(bench.clock, cancelling, step_us=100_000, limit=20)
        assert (await runtime.wait("s", run_id)).reason == "cancelled"
        for task in asyncio.all_tasks():
            if "_run_tool" in repr(task):
                for _ in range(4):
                    task.cancel()
                    await asyncio.sleep(0)


async def test_cancelling_who_waits_for_a_person(journal: MemoryJournal, bench: Workbench) -> None:
    """A waiting run is closed: the approval counts as refused, nothing runs, and it can't be decided any more."""
    async with runtime_on(journal, bench, SIGN) as runtime:
        await runtime.create_session("s")
        approval_id = approval_of(await runtime.run("s", "Sign it."))
        report = await runtime.cancel("s")
        assert report is not None and report.reason == "cancelled"
        with pytest.raises(NothingToDecideError):
            await runtime.resolve_approval("s", approval_id, approved=True, actor="ann")
        assert (await runtime.state("s")).status == "idle"
    assert bench.effects() == []
    assert (await kinds(journal, "s")).count("ApprovalResolved") == 1


async def test_cancelling_a_doubt_keeps_the_doubt_on_record(journal: MemoryJournal, bench: Workbench) -> None:
    """A run that is cancelled in doubt ends as `in_doubt`, and the model reads that nobody knows."""
    await in_doubt(journal, bench, effect=True)
    async with runtime_on(journal, bench, script(says("x"), says("I see.")), seed="second") as runtime:
        await runtime.resume("s")
        report = await runtime.cancel("s")
        assert report is not None and report.reason == "in_doubt"
        state = await runtime.state("s")
        assert "not known whether" in str(state.conversation.messages()[-1])
        assert (await runtime.run("s", "Well?")).reason == "completed"
    assert bench.effects() == ["append:once"]


async def test_cancelling_a_run_that_a_crash_cut_off(journal: MemoryJournal, bench: Workbench) -> None:
    """Instead of recovering it: its open intent is probed, nothing is run, and the run is closed."""
    await in_doubt(journal, bench, effect=True)
    async with runtime_on(journal, bench, script(says("x"), says("I see.")), seed="second") as runtime:
        report = await runtime.cancel("s")
        assert report is not None and report.reason == "in_doubt"
    assert bench.probes == ["append"]
    assert bench.effects() == ["append:once"]


async def test_cancelling_the_caller_cancels_the_run(journal: MemoryJournal, bench: Workbench) -> None:
    """Who waits in `run` and is cancelled (Ctrl-C) stops the run; who waits in `wait` does not."""
    plan = script(ScriptedTurn(text="Slow.", delay_ms=60_000), says("Next."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        running = asyncio.create_task(runtime.run("s", "Hi."))
        for _ in range(10):
            await asyncio.sleep(0)
        waiter = asyncio.create_task(runtime.wait("s"))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert (await runtime.state("s")).status == "running"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        last = (await runtime.state("s")).last_run
        assert last is not None and last.reason == "cancelled"


async def test_settings_without_a_time_for_approvals(journal: MemoryJournal, bench: Workbench) -> None:
    """With no time limit an approval waits for ever."""
    settings = RuntimeSettings(policy=EVERYTHING, approval_timeout_s=None)
    assert isinstance(bench.clock, ManualClock)
    async with runtime_on(journal, bench, SIGN, settings=settings) as runtime:
        await runtime.create_session("s")
        approval_of(await runtime.run("s", "Sign it."))
        bench.clock.advance_us(10**12)
        for _ in range(10):
            await asyncio.sleep(0)
        assert (await runtime.state("s")).status == "waiting"
