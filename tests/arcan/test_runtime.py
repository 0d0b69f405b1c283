"""Sessions and runs through the facade: what people and programs can do, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from life.aios import events
from life.aios.errors import InvalidInputError, JournalFullError
from life.aios.policy import PolicySet
from life.aios.ports.provider import Chunk, ModelRequest, StopChunk, TextChunk, ToolCallChunk
from life.aios.ports.tools import ToolOutcome
from life.aios.record import EventWriter, Stream
from life.aios.state import TokenUsage
from life.arcan.errors import (
    RunInProgressError,
    RunKeyConflictError,
    RunNotFoundError,
    RuntimeClosedError,
    RunUnfinishedError,
    SessionClosedError,
    SessionDrivenElsewhereError,
    SessionNotFoundError,
    UnknownProviderError,
)
from life.arcan.events import RunLimits, TokenPrice
from life.arcan.providers.scripted import ScriptedCall, ScriptedFailure, ScriptedProvider, ScriptedTurn
from life.arcan.settings import RuntimeSettings
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.test_session_log import SlowJournal
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, kinds, runtime_on, says, script


@pytest.fixture
def journal() -> MemoryJournal:
    """An empty journal."""
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """Tools on a directory."""
    return Workbench(tmp_path)


HELLO = script(says("Hello."))


# Sessions


async def test_a_session_is_made_once(journal: MemoryJournal, bench: Workbench) -> None:
    """Creating again gives the same session as it is; what was not given is fixed at the first time."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        first = await runtime.create_session("notes", name="My notes", owner="ann")
        again = await runtime.create_session("notes", name="Other", owner="ann")
        assert encode_state(first) == encode_state(again)
        assert (first.name, first.config.owner, first.status) == ("My notes", "ann", "idle")
        assert first.config.policy == EVERYTHING
        assert len(await history(journal, "notes")) == 1
        other = await runtime.create_session()
        assert len(other.session_id) == 26


@pytest.mark.parametrize("bad", ["../etc", "", "a/b", "a" * 129, "-x", "a b"])
async def test_session_ids_can_become_paths(journal: MemoryJournal, bench: Workbench, bad: str) -> None:
    """An id that could leave a directory is refused everywhere."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        for attempt in (runtime.create_session(bad), runtime.state(bad), runtime.run(bad, "Hi.")):
            with pytest.raises(InvalidInputError):
                await attempt


async def test_unknown_sessions(journal: MemoryJournal, bench: Workbench) -> None:
    """Nothing is made by asking."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        for attempt in (runtime.state("none"), runtime.run("none", "Hi."), runtime.cancel("none")):
            with pytest.raises(SessionNotFoundError):
                await attempt
        with pytest.raises(SessionNotFoundError):
            await anext(runtime.subscribe("none"))
    assert await journal.streams() == []


async def test_the_list_of_sessions(journal: MemoryJournal, bench: Workbench) -> None:
    """Newest first, by owner, with what the journal says about them; other streams are not sessions."""
    writer = EventWriter(bench.clock, SeededEntropy("x"), agent_id="a", stream=Stream("finance"))
    await journal.append([writer.event(events.Heartbeat(summary="x"))])
    assert isinstance(bench.clock, ManualClock)
    async with runtime_on(journal, bench, script(says("Hi."), calls(("sign", {"text": "x"})))) as runtime:
        for session_id, owner in (("one", "ann"), ("two", "bob"), ("three", "ann")):
            await runtime.create_session(session_id, owner=owner)
            bench.clock.advance_us(1_000_000)
        await runtime.run("one", "Hi.")
        await runtime.run("one", "Sign.")
        await runtime.close_session("two")
        listed = await runtime.sessions()
        assert [(each.session_id, each.state) for each in listed] == [
            ("three", "idle"),
            ("two", "closed"),
            ("one", "open"),
        ]
        assert listed[0].created_us > listed[2].created_us
        assert [each.session_id for each in await runtime.sessions("ann")] == ["three", "one"]


async def test_a_closed_session_takes_no_runs(journal: MemoryJournal, bench: Workbench) -> None:
    """Closing is final; closing twice is fine; history stays."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Hi.")
        await runtime.close_session("s", "done")
        await runtime.close_session("s")
        assert (await runtime.state("s")).status == "closed"
        with pytest.raises(SessionClosedError):
            await runtime.run("s", "Again.")
        assert (await kinds(journal, "s")).count("SessionClosed") == 1


async def test_a_sessions_own_provider(journal: MemoryJournal, bench: Workbench) -> None:
    """A session keeps the provider it names; one that does not exist is refused when the session is made."""

    def open_provider(specification: str) -> ScriptedProvider:
        if specification != "other":
            raise UnknownProviderError(f"There is no provider '{specification}'.")
        return ScriptedProvider(script(says("The other one.")), clock=bench.clock, name="other")

    async with runtime_on(journal, bench, HELLO, open_provider=open_provider) as runtime:
        await runtime.create_session("s", provider="other")
        assert (await runtime.run("s", "Hi.")).final_answer == "The other one."
        with pytest.raises(UnknownProviderError):
            await runtime.create_session("t", provider="none")
    async with runtime_on(journal, bench, HELLO) as runtime:
        with pytest.raises(UnknownProviderError):
            await runtime.run("s", "Hi.")


# Runs


async def test_a_text_answer_costs_one_model_call_and_one_barrier(journal: MemoryJournal, bench: Workbench) -> None:
    """Message, end of step and end of run are one batch; the report and the journal agree."""
    slow = SlowJournal(journal)
    provider = ScriptedProvider(script(ScriptedTurn(text="Hello.", usage=TokenUsage(9, 2, 11))), clock=bench.clock)
    async with runtime_on(slow, bench, provider) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Hi.")
    assert provider.requests == 1
    assert (report.status, report.reason, report.final_answer, report.steps) == ("finished", "completed", "Hello.", 1)
    assert report.usage == TokenUsage(9, 2, 11)
    assert slow.batches[1:] == [3, 5]
    assert await kinds(journal, "s") == [
        "SessionCreated",
        "UserMessage",
        "RunStarted",
        "arcan.run_limits",
        "StepStarted",
        "Message",
        "StepFinished",
        "StateEstimated",
        "RunFinished",
    ]


async def test_events_of_a_run_carry_its_id(journal: MemoryJournal, bench: Workbench) -> None:
    """`correlation_id` is the run's id, which is the id of its RunStarted."""
    async with runtime_on(
        journal, bench, script(calls(("write", {"path": "a", "content": "b"})), says("Ok."))
    ) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Write.")
    records = (await history(journal, "s"))[1:]
    assert {record.correlation_id for record in records} == {report.run_id}
    assert next(record for record in records if record.kind_name == "RunStarted").event_id == report.run_id


async def test_the_intent_is_on_disk_before_the_effect(journal: MemoryJournal, bench: Workbench) -> None:
    """When a tool runs, its ToolCallStarted with idempotency key and probe data is already readable, its outcome is not."""
    seen: list[list[str]] = []

    bench.before_effect = lambda call: seen.append([record.kind_name for record in journal._records])
    async with runtime_on(
        journal,
        bench,
        script(calls(("write", {"path": "a", "content": "x"}), ("write", {"path": "b", "content": "y"})), says("Ok.")),
    ) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Write both.")
    assert seen[0][-1] == "ToolCallStarted" and seen[0].count("ToolCallCompleted") == 0
    assert seen[1][-1] == "ToolCallStarted" and seen[1].count("ToolCallCompleted") == 1
    started = next(record for record in await history(journal, "s") if record.kind_name == "ToolCallStarted").kind
    assert isinstance(started, events.ToolCallStarted)
    assert started.idempotency_key == bench.contexts[0].idempotency_key
    assert isinstance(started.probe, dict) and started.probe["prepared"]["before"] == "absent"


async def test_the_model_reads_what_a_tool_gave(journal: MemoryJournal, bench: Workbench) -> None:
    """Results, failures and unknown tools reach the model under their call's id, and the run goes on."""
    requests: list[ModelRequest] = []
    turns = [
        calls(("write", {"path": "a.txt", "content": "hi"}), ("fail", {}), ("nothing", {})),
        calls(("look", {"path": "a.txt"})),
        says("Done."),
    ]

    def turn(request: ModelRequest) -> ScriptedTurn:
        requests.append(request)
        return turns[len(requests) - 1]

    async with runtime_on(journal, bench, ScriptedProvider(turn, clock=bench.clock)) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Go.")).reason == "completed"
    results = {block.call_id: block for block in requests[1].messages[-1].content}  # type: ignore[union-attr]
    assert results["call-1"].content == '{"path":"a.txt"}'  # type: ignore[union-attr]
    assert results["call-2"].is_error and "always fails" in results["call-2"].content  # type: ignore[union-attr]
    assert "no tool named 'nothing'" in results["call-3"].content  # type: ignore[union-attr]
    assert [tool.name for tool in requests[0].tools] == [definition.name for definition in bench.definitions()]
    assert requests[0].system.startswith("You are an agent")


async def test_a_denied_call_is_spoken_about(journal: MemoryJournal, bench: Workbench) -> None:
    """A call beyond the policy has no effect; the model reads why and answers; the run ends as completed."""
    narrow = PolicySet(allow_capabilities=("fs:read:**",))
    plan = script(calls(("write", {"path": "a.txt", "content": "hi"}), ("secret", {})), says("I may not write."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s", policy=narrow)
        report = await runtime.run("s", "Write.")
        state = await runtime.state("s")
    assert (report.reason, report.final_answer) == ("completed", "I may not write.")
    assert bench.effects() == []
    names = await kinds(journal, "s")
    assert names.count("PolicyEvaluated") == 2 and names.count("ToolCallFailed") == 2
    assert "ToolCallStarted" not in names
    assert state.totals.calls_denied == 2
    results = [block for message in state.conversation.messages() for block in message.content][-3:-1]
    assert "Not permitted: fs:write:a.txt." in results[0].content  # type: ignore[union-attr]


async def test_arguments_that_are_no_json_are_told_back(journal: MemoryJournal, bench: Workbench) -> None:
    """A call with broken arguments is never run; the model is told and tries again."""
    broken = ScriptedTurn(calls=(ScriptedCall("write", '{"path": "a'),))
    async with runtime_on(
        journal, bench, script(broken, calls(("write", {"path": "a", "content": "x"})), says("Ok."))
    ) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Write.")).reason == "completed"
    assert bench.effects() == ["write:a=x"]


async def test_two_runs_at_once_are_refused(journal: MemoryJournal, bench: Workbench) -> None:
    """One writer per session: the second run is refused while the first goes on, and allowed after it."""
    plan = script(ScriptedTurn(text="Slow.", delay_ms=1000), says("Next."))
    assert isinstance(bench.clock, ManualClock)
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        results = await asyncio.gather(
            *(runtime.start("s", f"Objective {number}") for number in range(5)), return_exceptions=True
        )
        assert sum(isinstance(result, str) for result in results) == 1
        assert sum(isinstance(result, RunInProgressError) for result in results) == 4
        with pytest.raises(RunInProgressError):
            await runtime.close_session("s")
        while bench.clock.sleepers < 2:
            await asyncio.sleep(0)
        bench.clock.advance_us(1_000_000)
        assert (await runtime.wait("s")).final_answer == "Slow."
        assert (await runtime.run("s", "Now.")).final_answer == "Next."
    assert (await kinds(journal, "s")).count("UserMessage") == 2


async def test_sessions_run_beside_each_other(journal: MemoryJournal, bench: Workbench) -> None:
    """Different sessions do not wait for each other, and their streams stay apart."""
    plan = script(calls(("look", {"path": "none"})), says("Done."))
    async with runtime_on(journal, bench, plan) as runtime:
        names = [f"s{number}" for number in range(20)]
        await asyncio.gather(*(runtime.create_session(name) for name in names))
        reports = await asyncio.gather(*(runtime.run(name, f"I am {name}") for name in names))
        assert {report.reason for report in reports} == {"completed"}
        for name in names:
            state = await runtime.state(name)
            assert encode_state(state) == encode_state(fold(name, await history(journal, name)))


async def test_the_same_key_is_the_same_run(journal: MemoryJournal, bench: Workbench) -> None:
    """Starting twice under one key runs once, also after a restart and after other runs; another objective is refused."""
    plan = script(calls(("append", {"path": "log", "line": "once"})), says("Done."), says("Other."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        first = await runtime.run("s", "Append.", idempotency_key="key-1")
        assert await runtime.run("s", "Append.", idempotency_key="key-1") == first
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        assert (await runtime.run("s", "Something else.")).final_answer == "Other."
        again = await runtime.run("s", "Append.", idempotency_key="key-1")
        assert (again.run_id, again.final_answer, again.reason) == (first.run_id, "Done.", "completed")
        with pytest.raises(RunKeyConflictError):
            await runtime.run("s", "Delete.", idempotency_key="key-1")
        with pytest.raises(RunNotFoundError):
            await runtime.wait("s", "01JUNKJUNKJUNKJUNKJUNKJUNK")
    assert bench.effects() == ["append:once"]


@pytest.mark.parametrize("objective", ["", "   ", "x" * 200_001, "half \ud83d"])
async def test_objectives_that_can_not_be_meant(journal: MemoryJournal, bench: Workbench, objective: str) -> None:
    """Nothing to do, too much, or half a character: refused before anything is written."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        await runtime.create_session("s")
        with pytest.raises(InvalidInputError):
            await runtime.run("s", objective)
    assert len(await history(journal, "s")) == 1


async def test_half_characters_of_a_model(journal: MemoryJournal, bench: Workbench) -> None:
    """A model that sends an emoji in two halves, or one half alone, does not break the journal."""
    turn = ScriptedTurn(deltas=("A \ud83d", "\ude00 and \ud83d", " alone"))
    broken = ScriptedTurn(calls=(ScriptedCall("write", '{"path": "\ud800'),))
    async with runtime_on(journal, bench, script(broken, turn)) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Smile.")).final_answer == "A 😀 and \ufffd alone"


# Limits


def endless(*turns: ScriptedTurn) -> ScriptedProvider:
    """A model that repeats these turns for ever."""
    return ScriptedProvider(
        lambda request: turns[sum(message.role == "assistant" for message in request.messages) % len(turns)],
        clock=ManualClock(),
    )


@pytest.mark.parametrize(
    ("limits", "reason", "limit", "turn"),
    [
        (RunLimits(max_steps=3), "max_iterations", "steps", calls(("look", {"path": "x"}))),
        (
            RunLimits(max_tokens=250, max_errors=99),
            "budget_exceeded",
            "tokens",
            ScriptedTurn(calls=(ScriptedCall("look", {"path": "x"}),), usage=TokenUsage(90, 10, 100)),
        ),
        (RunLimits(max_tool_calls=2, max_errors=99), "budget_exceeded", "tool_calls", calls(("look", {"path": "x"}))),
        (RunLimits(max_errors=3), "budget_exceeded", "errors", calls(("fail", {}))),
        (
            RunLimits(
                max_cost_micro=500,
                max_errors=99,
                price=TokenPrice(prompt_micro_per_million=1_000_000, completion_micro_per_million=10_000_000),
            ),
            "budget_exceeded",
            "cost",
            ScriptedTurn(calls=(ScriptedCall("look", {"path": "x"}),), usage=TokenUsage(90, 10, 100)),
        ),
    ],
)
async def test_every_limit_stops_a_run(
    journal: MemoryJournal, bench: Workbench, limits: RunLimits, reason: str, limit: str, turn: ScriptedTurn
) -> None:
    """Steps, tokens, tool calls, errors, cost: each ends the run with its reason and an event that says which one; every
    call of the conversation has its result, and the session stays usable."""
    async with runtime_on(journal, bench, endless(turn)) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Go on for ever.", limits=limits)
        assert (report.status, report.reason) == ("finished", reason)
        reached = next(
            record.kind.data  # type: ignore[attr-defined]
            for record in await history(journal, "s")
            if record.kind_name == "Custom" and record.kind.event_type == "arcan.limit_reached"  # type: ignore[attr-defined]
        )
        assert reached["limit"] == limit
        state = await runtime.state("s")
        blocks = [block for message in state.conversation.messages() for block in message.content]
        uses = [block for block in blocks if hasattr(block, "arguments")]
        assert len(uses) == sum(hasattr(block, "is_error") for block in blocks)
        assert (await runtime.run("s", "Again.", limits=RunLimits(max_steps=1))).reason == "max_iterations"


async def test_time_stops_a_run(journal: MemoryJournal, bench: Workbench) -> None:
    """When the working time is used up the model's stream is cut, and the run says so."""
    assert isinstance(bench.clock, ManualClock)
    plan = script(ScriptedTurn(deltas=("Once ", "upon"), delta_delay_ms=3_600_000))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        task = asyncio.create_task(runtime.run("s", "Tell.", limits=RunLimits(max_time_ms=10_000)))
        while not task.done():
            await asyncio.sleep(0)
            if bench.clock.sleepers:
                bench.clock.advance_us(100_000)
        report = task.result()
    assert report.reason == "budget_exceeded"
    names = await kinds(journal, "s")
    assert names[-1] == "RunFinished" and "arcan.limit_reached" in names


async def test_a_tool_that_takes_too_long_is_stopped(journal: MemoryJournal, bench: Workbench) -> None:
    """The session's limit on a tool's time holds even where the toolbox has none; the run goes on."""
    assert isinstance(bench.clock, ManualClock)
    short = PolicySet(allow_capabilities=("*",), max_tool_runtime_secs=5)
    async with runtime_on(journal, bench, script(calls(("hang", {})), says("It took too long."))) as runtime:
        await runtime.create_session("s", policy=short)
        task = asyncio.create_task(runtime.run("s", "Hang."))
        while not task.done():
            await asyncio.sleep(0)
            if bench.clock.sleepers:
                bench.clock.advance_us(100_000)
        assert task.result().final_answer == "It took too long."
    completed = next(r.kind for r in await history(journal, "s") if r.kind_name == "ToolCallCompleted")
    assert isinstance(completed, events.ToolCallCompleted)
    assert completed.status == "timeout"
    assert "not known whether" in str(completed.result)


@pytest.mark.parametrize("limits", [RunLimits(max_steps=0), RunLimits(max_tokens=-1), RunLimits(max_cost_micro=0)])
async def test_limits_that_can_not_be_meant(journal: MemoryJournal, bench: Workbench, limits: RunLimits) -> None:
    """No steps, no tokens, no money at all: refused."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        await runtime.create_session("s")
        with pytest.raises(InvalidInputError):
            await runtime.run("s", "Hi.", limits=limits)


# Models that fail


async def test_a_model_that_fails_ends_the_run(journal: MemoryJournal, bench: Workbench) -> None:
    """The run ends with the error's code and words; the next run works."""
    plan = script(ScriptedTurn(text="x", error=ScriptedFailure(kind="rejected", times=1)))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Hi.")
        assert (report.reason, report.error) == ("error", "arcan.provider_rejected: The script says so.")
        assert (await kinds(journal, "s"))[-2:] == ["RunErrored", "RunFinished"]
        assert (await runtime.run("s", "Again.")).final_answer == "x"
        assert (await runtime.wait("s", report.run_id)).error == report.error


async def test_an_answer_that_breaks_off_is_asked_for_again(journal: MemoryJournal, bench: Workbench) -> None:
    """Nothing of it was executed: a few repeats within the step, each on record, then the run ends with an error."""
    for times, reason in ((2, "completed"), (3, "error")):
        failure = ScriptedFailure(kind="interrupted", times=times)
        plan = script(ScriptedTurn(text="Half and half.", error=failure))
        async with runtime_on(journal, bench, plan, seed=f"{times}") as runtime:
            await runtime.create_session(f"s{times}")
            report = await runtime.run(f"s{times}", "Hi.")
        assert report.reason == reason
        names = await kinds(journal, f"s{times}")
        assert names.count("ErrorRaised") == 2
        assert names.count("Message") == (1 if reason == "completed" else 0)


class Rogue:
    """A provider with defects."""

    def __init__(self, *chunks: Chunk | Exception) -> None:
        self._chunks = chunks

    @property
    def name(self) -> str:
        return "rogue"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


@pytest.mark.parametrize(
    "provider",
    [
        Rogue(ZeroDivisionError("sk-secret")),
        Rogue(TextChunk("Hi"), ValueError("sk-secret")),
        Rogue(TextChunk("no stop")),
        Rogue(ToolCallChunk("x", "write", {"path": "a", "content": "b"})),
    ],
)
async def test_a_defective_provider_harms_nothing(journal: MemoryJournal, bench: Workbench, provider: Rogue) -> None:
    """Any exception and any broken stream ends the run orderly; nothing is executed and no words of it are kept."""
    async with runtime_on(journal, bench, provider) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Hi.")
    assert report.reason == "error"
    assert bench.effects() == []
    assert "sk-secret" not in "".join(record.payload.decode() for record in await history(journal, "s"))


async def test_an_empty_answer_ends_the_run(journal: MemoryJournal, bench: Workbench) -> None:
    """A model that says nothing has finished; the conversation holds no empty turn, which vendors would refuse."""
    async with runtime_on(journal, bench, Rogue(StopChunk("completed"))) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Hi.")
        assert (report.reason, report.final_answer) == ("completed", None)
        state = await runtime.state("s")
    assert len(state.conversation.messages()) == 1


# Journals that fail, others that drive


async def test_a_full_disk_stops_before_the_effect(journal: MemoryJournal, bench: Workbench) -> None:
    """When the intent can't be stored the tool does not run; the run stays open and is recovered when there is room."""
    slow = SlowJournal(journal)
    plan = script(calls(("write", {"path": "a", "content": "x"})), says("Done."))
    async with runtime_on(slow, bench, plan) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Write.")
        slow.failure = JournalFullError("No room.")
        with pytest.raises(JournalFullError):
            await runtime.wait("s", run_id)
        assert bench.effects() == []
        slow.failure = None
        with pytest.raises(RunUnfinishedError):
            await runtime.start("s", "Something else.")
        report = await runtime.resume("s")
        assert report is not None and report.final_answer == "Done."
    assert bench.effects() == ["write:a=x"]


async def test_another_process_drives_the_session(journal: MemoryJournal, bench: Workbench) -> None:
    """Two runtimes on one journal: the one whose events come second stops with a clear error and has no effect; what the
    other did is seen by the first as soon as it is idle."""
    async with (
        runtime_on(journal, bench, script(calls(("hang", {})), says("x")), seed="one") as one,
        runtime_on(journal, bench, script(says("Two."), says("Three.")), seed="two") as two,
    ):
        await one.create_session("s")
        first = await one.start("s", "Hang.")
        await bench.hanging.wait()
        assert (await two.cancel("s")) is not None
        second = await two.run("s", "Mine now.")
        assert second.final_answer == "Three."
        live = one._desk._live[Stream("s")]
        live.cancel()
        with pytest.raises(SessionDrivenElsewhereError):
            await one.wait("s", first)
        state = await one.state("s")
        assert state.last_run is not None and state.last_run.run_id == second.run_id
    assert encode_state(state) == encode_state(fold("s", await history(journal, "s")))


async def test_neighbours_may_append_while_a_tool_runs(journal: MemoryJournal, bench: Workbench) -> None:
    """A tool that journals its own events into the session's stream does not disturb the run."""
    writer = EventWriter(bench.clock, SeededEntropy("tool"), agent_id="agent-1", stream=Stream("s"))

    def journals(call: object) -> None:
        event = writer.event(events.FileWrite(path="a", blob_hash="0" * 64, size_bytes=1))
        appending = journal.append([event])
        with pytest.raises(StopIteration):
            appending.send(None)

    bench.after_effect = journals
    plan = script(
        calls(("write", {"path": "a", "content": "x"})), calls(("write", {"path": "b", "content": "y"})), says("Ok.")
    )
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Write.")).reason == "completed"
        state = await runtime.state("s")
    assert (await kinds(journal, "s")).count("FileWrite") == 2
    assert encode_state(state) == encode_state(fold("s", await history(journal, "s")))


# Shutting down


async def test_closing_lets_a_tool_finish_and_leaves_the_run_open(journal: MemoryJournal, bench: Workbench) -> None:
    """A runtime that closes takes no work, lets a running tool come to its end within the grace, and the run can be
    recovered with nothing lost and nothing repeated."""
    release = asyncio.Event()
    original = bench._append

    async def held(arguments: object, context: object) -> object:
        bench.hanging.set()
        await release.wait()
        return await original(arguments, context)  # type: ignore[arg-type]

    bench._append = held  # type: ignore[method-assign,assignment]
    plan = script(calls(("append", {"path": "log", "line": "once"})), says("Done."))
    settings = RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=60_000)
    async with runtime_on(journal, bench, plan, settings=settings) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Append.")
        await bench.hanging.wait()
        waiter = asyncio.create_task(runtime.wait("s", run_id))
        await asyncio.sleep(0)
        closing = asyncio.create_task(runtime.aclose())
        await asyncio.sleep(0)
        release.set()
        await closing
        assert (await waiter).status == "running"
        for attempt in (runtime.start("s", "x"), runtime.state("s"), runtime.create_session("t")):
            with pytest.raises(RuntimeClosedError):
                await attempt
    assert (await kinds(journal, "s"))[-2:] == ["ToolCallCompleted", "FileMutated"]
    bench._append = original  # type: ignore[method-assign]
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        assert await runtime.recover_all() == ["s"]
        assert (await runtime.wait("s")).final_answer == "Done."
        assert await runtime.recover_all() == []
    assert bench.effects() == ["append:once"]


async def test_closing_does_not_wait_for_ever(journal: MemoryJournal, bench: Workbench) -> None:
    """A tool that does not finish within the grace is stopped without an outcome: recovery asks its probe."""
    async with runtime_on(journal, bench, script(calls(("hang", {})), says("x"))) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Hang.")
        await bench.hanging.wait()
        waiter = asyncio.create_task(runtime.wait("s", run_id))
        await asyncio.sleep(0)
        await runtime.aclose()
        with pytest.raises(RuntimeClosedError):
            await waiter
    assert (await kinds(journal, "s"))[-1] == "ToolCallStarted"
    async with runtime_on(journal, bench, script(says("x")), seed="second") as runtime:
        report = await runtime.resume("s")
        assert report is not None and report.status == "in_doubt"


async def test_closing_drops_a_model_call(journal: MemoryJournal, bench: Workbench) -> None:
    """A model that is being asked is dropped at once; the run is asked again when it is recovered."""
    plan = script(ScriptedTurn(text="Late.", delay_ms=60_000))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Hi.")
        await asyncio.sleep(0)
        await runtime.aclose()
    assert (await kinds(journal, "s"))[-1] in ("arcan.run_limits", "StepStarted")
    async with runtime_on(journal, bench, script(says("Now.")), seed="second") as runtime:
        report = await runtime.resume("s")
        assert report is not None and report.final_answer == "Now."


async def test_idle_sessions_are_forgotten_and_read_again(journal: MemoryJournal, bench: Workbench) -> None:
    """Memory is bounded by the number of loaded sessions; a forgotten one is the same when it is needed again."""
    settings = RuntimeSettings(policy=EVERYTHING, loaded_sessions=3)
    async with runtime_on(journal, bench, HELLO, settings=settings) as runtime:
        for number in range(12):
            await runtime.create_session(f"s{number}")
            await runtime.run(f"s{number}", "Hi.")
        assert len(runtime._desk._live) <= 3
        assert (await runtime.state("s0")).last_run is not None


async def test_the_stream_of_a_run(journal: MemoryJournal, bench: Workbench) -> None:
    """A subscriber sees every event once and in order, and the text piece by piece before its message."""
    plan = script(calls(("look", {"path": "none"}), text="Looking."), ScriptedTurn(deltas=("All ", "is ", "well.")))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        seen = []

        async def listen() -> None:
            async for record in runtime.subscribe("s"):
                seen.append(record)
                if record.kind_name == "RunFinished":
                    return

        listening = asyncio.create_task(listen())
        for _ in range(5):
            await asyncio.sleep(0)
        await runtime.run("s", "Look.")
        await listening
    stored = await history(journal, "s")
    assert [record.sequence for record in seen if record.sequence] == [record.sequence for record in stored]
    assert [record.payload for record in seen if record.sequence] == [record.payload for record in stored]
    message = [record for record in seen if record.kind_name == "Message"][-1]
    pieces = [record for record in seen if record.causation_id == message.event_id and record.sequence == 0]
    assert "".join(record.kind.delta for record in pieces) == "All is well."  # type: ignore[attr-defined]
    assert all(seen.index(piece) < seen.index(message) for piece in pieces)


async def test_reports_can_be_written(journal: MemoryJournal, bench: Workbench) -> None:
    """Reports, summaries and states are plain data for APIs."""
    async with runtime_on(journal, bench, HELLO) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Hi.")
        assert msgspec.json.decode(msgspec.json.encode(report))["final_answer"] == "Hello."
        assert msgspec.json.decode(msgspec.json.encode(await runtime.sessions()))[0]["session_id"] == "s"


# Toolboxes with defects


@pytest.mark.parametrize("method", ["capabilities", "prepare", "execute"])
async def test_a_defective_toolbox_is_told_to_the_model(
    journal: MemoryJournal, bench: Workbench, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a toolbox raises, the call fails, the model reads that, the run goes on; the words of it are kept nowhere."""

    def broken(*_: object) -> object:
        raise RuntimeError("token sk-secret")

    async def broken_later(*_: object) -> object:
        raise RuntimeError("token sk-secret")

    setattr(bench, method, broken if method == "capabilities" else broken_later)
    async with runtime_on(journal, bench, script(calls(("look", {"path": "a"})), says("It is broken."))) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Look.")).final_answer == "It is broken."
    everything = "".join(record.payload.decode() for record in await history(journal, "s")) + caplog.text
    assert "RuntimeError" in everything and "sk-secret" not in everything


async def test_a_result_that_is_not_json(journal: MemoryJournal, bench: Workbench) -> None:
    """A tool that hands out anything but JSON is told so in its result; the effect stays on record."""

    async def odd(arguments: object, context: object) -> ToolOutcome:
        return ToolOutcome(status="ok", output={"half": "\ud800"})

    bench._look = odd  # type: ignore[method-assign]
    async with runtime_on(journal, bench, script(calls(("look", {"path": "a"})), says("Odd."))) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Look.")).final_answer == "Odd."
    assert "ToolCallCompleted" in await kinds(journal, "s")
