"""`spawn_agent`: children within their parent's budget, policy and life (arcan.md §11.3, §17.14)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.aios import events
from life.aios.errors import LifeError
from life.aios.events.codec import read_custom
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.journal import Journal
from life.aios.record import USER, EventWriter, Stream
from life.arcan.agents.events import (
    SUBAGENT_FINISHED,
    SUBAGENT_STARTED,
    SUBAGENT_WAITING,
    SubagentFinished,
    SubagentStarted,
    SubagentWaiting,
)
from life.arcan.errors import SubagentSessionError
from life.arcan.events import RunLimits
from life.arcan.providers.scripted import ScriptedCall, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.replay import record_session
from tests.arcan.agents.fleet_kit import VERDICT, Cast, agent, fleet_on, record, spawn, turn
from tests.arcan.crashing import DyingJournal, Killed, Moment
from tests.arcan.workbench import EVERYTHING, Workbench, history, kinds, says, script


async def started(journal: Journal, session_id: str = "s") -> list[SubagentStarted]:
    """The children of a session, in order."""
    found = []
    for each in await history(journal, session_id):
        if isinstance(each.kind, events.Custom):
            payload = read_custom(each.kind, SUBAGENT_STARTED, SubagentStarted)
            if payload is not None:
                found.append(payload)
    return found


async def finished(journal: Journal, session_id: str = "s") -> list[SubagentFinished]:
    """How they ended, in order."""
    found = []
    for each in await history(journal, session_id):
        if isinstance(each.kind, events.Custom):
            payload = read_custom(each.kind, SUBAGENT_FINISHED, SubagentFinished)
            if payload is not None:
                found.append(payload)
    return found


async def results(journal: Journal, session_id: str = "s") -> list[Json]:
    """What the calls of a session gave."""
    return [
        each.kind.result
        for each in await history(journal, session_id)
        if isinstance(each.kind, events.ToolCallCompleted)
    ]


async def test_a_typed_agent_answers_and_is_charged(tmp_path: Path) -> None:
    """The child works in the parent's workspace with an isolated history, its answer is the call's result, what it used is the
    parent's, and both sessions fold to the same bytes as they stand."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("reviewer", {"path": "a.txt"}), tokens=100), turn(text="It is good.", tokens=50)),
            "reviewer": script(
                turn(ScriptedCall("write", {"path": "note.txt", "content": "seen"}), tokens=30),
                record({"verdict": "good"}),
            ),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("reviewer", VERDICT)) as runtime:
        await runtime.create_session("s", owner="ann")
        report = await runtime.run("s", "Is a.txt good?")
        assert (report.reason, report.final_answer) == ("completed", "It is good.")
        child = (await started(journal))[0].session_id
        states = {each: await runtime.state(each) for each in ("s", child)}
    assert await results(journal) == [{"ok": True, "agent": "reviewer", "output": {"verdict": "good"}}]
    own = next(message for message in cast.requests if message.system.startswith("You are reviewer"))
    assert len(own.messages) == 1 and '"path": "a.txt"' in own.messages[0].content[0].text  # type: ignore[union-attr]
    assert {tool.name for tool in own.tools} >= {"record_answer", "write"} and "spawn_agent" not in {
        t.name for t in own.tools
    }
    spent = (await finished(journal))[0].spent
    last = states["s"].last_run
    assert last is not None and spent.tokens > 30 and last.spent.tokens == 150 + spent.tokens
    assert (last.spent.subagents, last.spent.tool_calls) == (1, 2)
    parent = states[child].config.parent
    assert states[child].config.owner == "ann" and parent is not None and parent.session_id == "s"
    assert "FileMutated" in await kinds(journal, "s")
    for each, state in states.items():
        assert encode_state(state) == encode_state(fold(each, await history(journal, each)))
    with pytest.raises(SubagentSessionError):
        async with fleet_on(journal, bench, cast, agent("reviewer", VERDICT), seed="later") as runtime:
            await runtime.start(child, "Do something else.")


async def test_wrong_answers_are_corrected_a_few_times(tmp_path: Path) -> None:
    """A violation is a result the model reads, ending without an answer is a turn that says so, and each costs an attempt."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("judge")), says("Done.")),
            "judge": script(record({"verdict": "meh"}), says("I am done."), record({"verdict": "bad"})),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("judge", VERDICT, "max_retries: 2")) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Judge.")
        child = (await started(journal))[0].session_id
        names = await kinds(journal, child)
    assert await results(journal) == [{"ok": True, "agent": "judge", "output": {"verdict": "bad"}}]
    assert names.count("arcan.answer_corrected") == 2 and names.count("arcan.answer_recorded") == 1


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ((record({"verdict": "meh"}),) * 4, "schema_violation"),
        ((says("Well."),) * 4, "answer_not_emitted"),
        ((ScriptedTurn(text="No.", stop="refused"),), "refused"),
    ],
)
async def test_an_agent_that_gives_no_answer_ends_for_that_reason(
    tmp_path: Path, turns: tuple[ScriptedTurn, ...], reason: str
) -> None:
    """SchemaViolation, AnswerNotEmitted and Refusal are told to the parent's model, which goes on."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast({"root": script(turn(spawn("judge")), says("Too bad.")), "judge": script(*turns)}, bench)
    async with fleet_on(journal, bench, cast, agent("judge", VERDICT, "max_retries: 1")) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Judge.")
    assert report.final_answer == "Too bad."
    output = (await results(journal))[0]
    assert isinstance(output, dict) and output["error"] == reason and output["agent"] == "judge"


async def test_cycles_and_depth_end_where_they_must(tmp_path: Path) -> None:
    """An agent is not offered those it works for, a call of them all the same is refused; below eight nobody is spawned."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("a")), says("Done.")),
            "a": script(turn(spawn("b")), says("a is done.")),
            "b": script(turn(spawn("a")), turn(spawn("b")), says("b is done.")),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("a"), agent("b")) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Go.")).reason == "completed"
        child = (await started(journal))[0].session_id
        grandchild = (await started(journal, child))[0].session_id
    assert await started(journal, grandchild) == []
    names = [f"d{number}" for number in range(12)]
    deep = {name: script(turn(spawn(f"d{number + 1}")), says("ok")) for number, name in enumerate(names)}
    journal = MemoryJournal()
    cast = Cast({**deep, "root": script(turn(spawn("d0")), says("Done."))}, bench)
    limits = RunLimits(max_tokens=10**12, max_time_ms=10**12, max_tool_calls=10**9)
    async with fleet_on(journal, bench, cast, *(agent(name) for name in names)) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Go.", limits=limits)).reason == "completed"
        assert len({*cast.asked} - {"root"}) == 8


async def test_refusals_name_their_reason(tmp_path: Path) -> None:
    """Unknown agent, unfit input, used-up invocations and tokens: results that a model can read, and nothing is begun."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    strict = agent("strict", "input_schema: {type: object, required: [n], properties: {n: {type: integer}}}")
    cast = Cast({"root": script(turn(spawn("nobody")), turn(spawn("strict", {"n": "x"})), says("Ok."))}, bench)
    async with fleet_on(journal, bench, cast, strict) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Go.")
        await runtime.create_session("t")
        cast = Cast({"root": script(turn(spawn("strict", {"n": 1})), says("Ok."))}, bench)
    output = (await results(journal))[0]
    assert isinstance(output, dict) and output["error"] == "input_invalid" and "n" in str(output["detail"])
    for limits, error in (
        (RunLimits(max_subagents=0), "invocation_limit"),
        (RunLimits(max_tokens=11), "token_budget_exhausted"),
    ):
        journal = MemoryJournal()
        async with fleet_on(journal, bench, cast, strict) as runtime:
            await runtime.create_session("t")
            await runtime.run("t", "Go.", limits=limits)
        output = (await results(journal, "t"))[0]
        assert isinstance(output, dict) and output["error"] == error
        assert await started(journal, "t") == []


async def test_children_work_side_by_side_and_share_the_budget(tmp_path: Path) -> None:
    """Three calls in one answer run at once; what they may use together is no more than what was left, less the parent's
    eighth, whoever comes first; and their time is the longest one's."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    meeting = asyncio.Barrier(3)
    bench.before_effect = lambda call: None

    class Meeting(Cast):
        async def stream(self, request):  # type: ignore[no-untyped-def]
            if request.system.startswith("You are worker"):
                async with asyncio.timeout(5):
                    await meeting.wait()
            async for chunk in super().stream(request):
                yield chunk

    cast = Meeting(
        {
            "root": script(turn(spawn("worker"), spawn("worker"), spawn("worker"), tokens=1000), says("Done.")),
            "worker": script(turn(text="ok", tokens=700)),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("worker")) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Go.", limits=RunLimits(max_tokens=9000, max_subagents=10))
    assert report.reason == "completed"
    children = await started(journal)
    assert len(children) == 3 and len({child.session_id for child in children}) == 3
    assert sum(child.limits.max_tokens for child in children) <= 7000
    assert sum(child.limits.max_subagents + 1 for child in children) <= 10
    assert min(child.limits.max_tokens for child in children) > 1500


async def test_a_recursion_bomb_stays_within_its_budget(tmp_path: Path) -> None:
    """Agents that spawn as many as they can, at every depth: 256 at most, and no more tokens than the run has."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    names = ["p", "q", "r", "t"]
    bomb = tuple(spawn(name) for name in names) * 3
    cast = Cast({name: script(turn(*bomb, tokens=2), says("x")) for name in ("root", *names)}, bench)
    limits = RunLimits(max_tokens=100_000, max_subagents=20, max_tool_calls=100, max_errors=1000)
    async with fleet_on(journal, bench, cast, *(agent(name) for name in names)) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Go.", limits=limits)
        last = (await runtime.state("s")).last_run
        sessions = await runtime.sessions()
    assert last is not None and len(sessions) - 1 == last.spent.subagents <= 20
    assert last.spent.tokens <= 100_000


async def test_a_childs_policy_and_tools_are_never_wider(tmp_path: Path) -> None:
    """A child has its parent's policy as it stood, and of its parent's tools those that it names; its own children no more."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    policy = PolicySet(allow_capabilities=("agent:spawn:*", "fs:read:**"), gate_capabilities=("agent:spawn:inner",))
    cast = Cast(
        {
            "root": script(turn(spawn("outer")), says("Done.")),
            "outer": script(
                turn(ScriptedCall("write", {"path": "x", "content": "y"})), turn(spawn("inner")), says("ok")
            ),
            "inner": script(turn(ScriptedCall("secret", {})), turn(ScriptedCall("fail", {})), says("ok")),
        },
        bench,
    )
    outer = agent("outer", "allowed_tools: [look, write, 'spawn_*']")
    async with fleet_on(journal, bench, cast, outer, agent("inner", "allowed_tools: ['*']")) as runtime:
        await runtime.create_session("s", policy=policy, owner="ann")
        task = asyncio.create_task(runtime.run("s", "Go."))
        await _until(lambda: _told(journal))
        waiting = await runtime.pending_approvals("ann")
        assert [ticket.tool_name for ticket in waiting] == ["spawn_agent"] and waiting[0].session_id != "s"
        assert await runtime.pending_approvals("bob") == []
        await runtime.resolve_approval(waiting[0].session_id, waiting[0].approval_id, approved=True, actor="ann")
        assert (await task).reason == "completed"
    assert bench.effects() == []
    inner = next(request for request in cast.requests if request.system.startswith("You are inner"))
    assert {tool.name for tool in inner.tools} == {"look", "write"}
    told = [
        read_custom(each.kind, SUBAGENT_WAITING, SubagentWaiting)
        for each in await history(journal, "s")
        if isinstance(each.kind, events.Custom) and each.kind.event_type == SUBAGENT_WAITING
    ]
    assert len(told) == 1 and told[0] is not None and told[0].tool_name == "spawn_agent"


async def test_cancelling_the_parent_stops_the_child_and_its_tool(tmp_path: Path) -> None:
    """The whole tree ends within the time that a stopped tool has, and what the children used is charged."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("a")), says("Done.")),
            "a": script(turn(spawn("b")), says("ok")),
            "b": script(turn(ScriptedCall("hang", {})), says("ok")),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("a"), agent("b")) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Go.")
        await bench.hanging.wait()
        report = await runtime.cancel("s")
        assert report is not None and (report.reason, report.run_id) == ("cancelled", run_id)
        for summary in await runtime.sessions():
            assert summary.state == "idle"
            state = await runtime.state(summary.session_id)
            assert state.last_run is not None and state.last_run.reason in ("cancelled", "in_doubt")
        assert (await runtime.state("s")).last_run.spent.tokens == 30  # type: ignore[union-attr]


async def test_a_cancelled_child_is_a_result_for_its_parent(tmp_path: Path) -> None:
    """Somebody stops only the child: the parent's model reads it and goes on."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("a")), says("Without it, then.")),
            "a": script(turn(ScriptedCall("hang", {})), says("x")),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("a")) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Go.")
        await bench.hanging.wait()
        await runtime.cancel((await started(journal))[0].session_id)
        assert (await runtime.wait("s")).final_answer == "Without it, then."


async def test_an_interrupt_stops_the_children(tmp_path: Path) -> None:
    """A message that interrupts is not kept waiting by agents that work."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {"root": script(turn(spawn("a")), says("Now this.")), "a": script(turn(ScriptedCall("hang", {})), says("x"))},
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("a")) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Go.")
        await bench.hanging.wait()
        await runtime.send("s", "Something else.", steering="interrupt")
        assert (await runtime.wait("s")).final_answer == "Now this."
        child = await runtime.state((await started(journal))[0].session_id)
        assert child.run is None


async def test_a_child_asks_after_its_parent_was_started_again(tmp_path: Path) -> None:
    """Approval asked, process gone, both taken up: the owner sees it, the call runs once, the parent gets the answer; waiting
    for a person costs neither of them time."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    scripts = {
        "root": script(turn(spawn("a")), says("Signed.")),
        "a": script(turn(ScriptedCall("sign", {"text": "deed"})), says("ok")),
    }
    settings = RuntimeSettings(
        policy=EVERYTHING, shutdown_grace_ms=0, system_prompt="You are root.", approval_timeout_s=None
    )
    async with fleet_on(journal, bench, Cast(scripts, bench), agent("a"), settings=settings) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.start("s", "Go.")
        await _until(lambda: _pending(runtime))
    assert isinstance(bench.clock, ManualClock)
    bench.clock.advance_us(3_600_000_000)
    async with fleet_on(journal, bench, Cast(scripts, bench), agent("a"), settings=settings, seed="2") as runtime:
        await runtime.recover_all()
        ticket = (await runtime.pending_approvals("ann"))[0]
        await runtime.resolve_approval(ticket.session_id, ticket.approval_id, approved=True, actor="ann")
        report = await runtime.wait("s")
        assert report.final_answer == "Signed."
        last = (await runtime.state("s")).last_run
    assert bench.effects() == ["sign:deed"]
    assert last is not None and last.spent.worked_us < 60_000_000
    assert len(await started(journal)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_at_every_append_no_child_runs_twice(tmp_path: Path, moment: Moment) -> None:
    """Whichever append the process dies at: the same answer, every effect once, one child for every call."""

    def scripts() -> dict[str, object]:
        return {
            "root": script(turn(spawn("a", "one"), spawn("a", "two")), turn(spawn("a", "three")), says("All done.")),
            "a": script(turn(spawn("b", "x")), turn(ScriptedCall("transfer", {"to": "bob"})), says("a did it")),
            "b": script(turn(ScriptedCall("transfer", {"to": "carol"})), record({"verdict": "good"})),
        }

    agents = (agent("a"), agent("b", VERDICT))

    async def attempt(journal: Journal, bench: Workbench, seed: str) -> None:
        async with fleet_on(journal, bench, Cast(scripts(), bench), *agents, seed=seed) as runtime:  # type: ignore[arg-type]
            await runtime.create_session("s")
            await runtime.recover_all()
            report = await runtime.run("s", "Do it.", idempotency_key="once")
            assert report.final_answer == "All done.", report
            await runtime.aclose()

    counting = DyingJournal(MemoryJournal(), at=0, moment="before")
    await attempt(counting, Workbench(tmp_path / "whole"), "whole")
    appends = -counting._left
    assert appends > 30
    for at in range(1, appends + 1):
        bench, journal = Workbench(tmp_path / f"at-{at}"), MemoryJournal()
        dying = DyingJournal(journal, at=at, moment=moment)
        try:
            await attempt(dying, bench, f"first-{at}")
        except (Killed, LifeError, BaseExceptionGroup):
            assert dying.dead
        await attempt(journal, bench, f"second-{at}")
        assert len(bench.effects()) == 6 == len(set(bench.effects())), at
        sessions = {stream.session_id for stream in await journal.streams()}
        assert len(sessions) == 7, at
        for session_id in sessions:
            assert (await kinds(journal, session_id)).count("RunStarted") == 1, at


async def _told(journal: Journal) -> bool:
    return SUBAGENT_WAITING in await kinds(journal, "s")


async def _pending(runtime: Runtime) -> bool:
    waiting = await runtime.pending_approvals()
    return bool(waiting) and not runtime.is_driven(waiting[0].session_id)


async def _until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0)


async def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """A child whose parent's run has ended without it (a journal from elsewhere, a defect) is stopped when it is taken up, not
    driven on."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("a")), says("Done.")),
            "a": script(turn(ScriptedCall("hang", {})), turn(ScriptedCall("transfer", {"to": "bob"})), says("ok")),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("a")) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Go.")
        await bench.hanging.wait()
        child = (await started(journal))[0].session_id
    writer = EventWriter(bench.clock, SeededEntropy("e"), agent_id="agent-1", stream=Stream("s"), actor=USER)
    ended = events.RunFinished(reason="cancelled", total_iterations=1)
    await journal.append([writer.event(ended, correlation_id=run_id)])
    async with fleet_on(journal, bench, cast, agent("a"), seed="2") as runtime:
        await runtime.recover_all()
        report = await runtime.wait(child)
        assert report.status == "finished" and report.reason in ("cancelled", "in_doubt")
        assert (await runtime.state("s")).run is None
    assert bench.effects() == []


async def test_a_childs_time_is_its_parents(tmp_path: Path) -> None:
    """What a child works is charged, side by side only once; a parent whose children used its time begins nothing new."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    clock = bench.clock
    assert isinstance(clock, ManualClock)

    class Slow(Cast):
        async def stream(self, request):  # type: ignore[no-untyped-def]
            if request.system.startswith("You are slow"):
                assert isinstance(clock, ManualClock)
                clock.advance_us(20_000_000)
            async for chunk in super().stream(request):
                yield chunk

    cast = Slow(
        {
            "root": script(turn(spawn("slow"), spawn("slow")), turn(spawn("slow")), says("Done.")),
            "slow": script(says("ok")),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("slow")) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Go.", limits=RunLimits(max_time_ms=100_000))
        last = (await runtime.state("s")).last_run
    ends = await finished(journal)
    assert last is not None and report.reason == "completed" and len(ends) == 3
    together = max(end.spent.worked_us for end in ends[:2])
    assert last.spent.worked_us == together + ends[2].spent.worked_us
    limits = [child.limits.max_time_ms for child in await started(journal)]
    assert limits[0] <= 87_500 and limits[2] <= (100_000 - together // 1000) * 7 // 8


async def test_a_model_that_can_not_be_had_is_said(tmp_path: Path) -> None:
    """A definition names a provider that this runtime can't open: the parent's model reads it, nothing is begun."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast({"root": script(turn(spawn("a")), says("Then not."))}, bench)
    async with fleet_on(journal, bench, cast, agent("a", "model: nowhere:x")) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Go.")).final_answer == "Then not."
    output = (await results(journal))[0]
    assert isinstance(output, dict) and output["error"] == "model_unavailable"
    assert await started(journal) == []


async def test_children_are_awaited_although_their_files_are_gone(tmp_path: Path) -> None:
    """Process gone, definitions deleted or changed: the child that stands in the journal goes on as it was begun."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    scripts = {
        "root": script(turn(spawn("judge")), says("Judged.")),
        "judge": script(turn(ScriptedCall("sign", {"text": "x"})), record({"verdict": "good"})),
    }
    settings = RuntimeSettings(
        policy=EVERYTHING, shutdown_grace_ms=0, system_prompt="You are root.", approval_timeout_s=None
    )
    async with fleet_on(journal, bench, Cast(scripts, bench), agent("judge", VERDICT), settings=settings) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Go.")
        await _until(lambda: _pending(runtime))
    async with fleet_on(journal, bench, Cast(scripts, bench), settings=settings, seed="2") as runtime:
        await runtime.recover_all()
        ticket = (await runtime.pending_approvals())[0]
        await runtime.resolve_approval(ticket.session_id, ticket.approval_id, approved=True, actor="ann")
        assert (await runtime.wait("s")).final_answer == "Judged."
    assert await results(journal) == [{"ok": True, "agent": "judge", "output": {"verdict": "good"}}]


async def test_a_parent_and_its_child_replay(tmp_path: Path) -> None:
    """Both sessions run as recordings, each for itself: the child's answers are corrected again, the parent's call gets its result."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("judge")), says("Done.")),
            "judge": script(record({"verdict": "meh"}), says("I am done."), record({"verdict": "bad"})),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("judge", VERDICT)) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Judge.")
        for session_id in ("s", (await started(journal))[0].session_id):
            report = await record_session(runtime, session_id, tmp_path / f"{session_id}.jsonl")
            assert report.model_calls >= 2
