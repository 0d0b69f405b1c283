"""The queue: order, coalescing, depth, and that it survives whatever happens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.state import SteeringMode
from life.arcan.errors import QueueFullError, SessionClosedError
from life.arcan.providers.scripted import ScriptedTurn
from life.arcan.queue import COALESCING_US, MAX_DEPTH, most_urgent, next_groups, turn_id, without_turn, words
from life.arcan.session_state import QueuedMessage
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.arcan.test_acceptance import Holding, Listening, user_texts
from tests.arcan.workbench import Workbench, calls, history, kinds, runtime_on, says, script


def message(number: int, mode: SteeringMode, at_us: int = 0) -> QueuedMessage:
    return QueuedMessage(queue_id=f"q{number}", mode=mode, message=f"m{number}", queued_us=at_us)


def test_interrupts_come_first_then_steering_then_followups_then_the_rest() -> None:
    """Whatever order they came in."""
    queue = tuple(message(n, mode) for n, mode in enumerate(("collect", "followup", "steer", "interrupt")))  # type: ignore[arg-type]
    order = []
    while queue:
        group = next_groups(queue)[0]
        order.append(group[0].mode)
        queue = without_turn(queue, turn_id(group))
    assert order == ["interrupt", "steer", "followup", "collect"]


def test_collected_messages_within_the_window_are_one_turn() -> None:
    """Two seconds after each other: one turn; later: a turn of its own, in the same run."""
    queue = (message(1, "collect", 0), message(2, "collect", COALESCING_US), message(3, "collect", 3 * COALESCING_US))
    groups = next_groups(queue)
    assert [[each.queue_id for each in group] for group in groups] == [["q1", "q2"], ["q3"]]
    assert words(groups[0]) == "m1\n\nm2"


modes = st.sampled_from(["collect", "steer", "followup", "interrupt"])


@given(st.lists(st.tuples(modes, st.integers(0, 10_000_000)), max_size=12))
def test_nothing_stays_and_nothing_is_said_twice(wanted: list[tuple[SteeringMode, int]]) -> None:
    """Taking turn after turn, every message is said exactly once, and a strange turn changes nothing."""
    queue = tuple(message(n, mode, at) for n, (mode, at) in enumerate(wanted))
    assert without_turn(queue, "01ARZ3NDEKTSV4RRFFQ69G5FAV") == queue
    urgent = most_urgent(queue)
    assert (urgent is not None) == any(mode in ("steer", "interrupt") for mode, _ in wanted)
    said: list[str] = []
    while queue:
        for group in next_groups(queue):
            said += [each.queue_id for each in group]
            queue = without_turn(queue, turn_id(group))
    assert sorted(said) == sorted(f"q{n}" for n in range(len(wanted)))


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Holding:
    return Holding(tmp_path, ManualClock())


async def test_without_a_run_a_message_begins_one(journal: MemoryJournal, bench: Holding) -> None:
    """In every mode; a closed session takes none, and neither does nothing make a message."""
    async with runtime_on(journal, bench, script(says("Hi."), says("Ho."))) as runtime:
        await runtime.create_session("s")
        receipt = await runtime.send("s", "Hello?", steering="steer")
        assert not receipt.queued and receipt.run_id is not None
        assert (await runtime.wait("s", receipt.run_id)).final_answer == "Hi."
        with pytest.raises(InvalidInputError):
            await runtime.send("s", "  ")
        await runtime.close_session("s")
        with pytest.raises(SessionClosedError):
            await runtime.send("s", "Still there?")


async def test_ten_wait_and_no_more(journal: MemoryJournal, bench: Holding) -> None:
    """The eleventh is refused with 429; the ten are one run afterwards, and none is lost."""
    model = Listening(script(calls(("hold", {})), says("One."), says("Two.")), bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        receipts = await asyncio.gather(*(runtime.send("s", f"message {n}") for n in range(MAX_DEPTH)))
        assert [receipt.queue_position for receipt in receipts] == list(range(1, MAX_DEPTH + 1))
        with pytest.raises(QueueFullError) as full:
            await runtime.send("s", "one too many")
        assert full.value.status == 429
        bench.release.set()
        await runtime.wait("s")
        assert (await runtime.state("s")).queue == ()
    assert "\n\n".join(f"message {n}" for n in range(MAX_DEPTH)) == user_texts(model.heard[-1])[-1]
    assert (await kinds(journal, "s")).count("RunStarted") == 2


async def test_an_interrupt_cuts_the_model(journal: MemoryJournal, bench: Holding) -> None:
    """What the model had said stays in the conversation; the message begins the next run."""
    assert isinstance(bench.clock, ManualClock)
    plan = script(ScriptedTurn(deltas=("Once upon ", "a time"), delta_delay_ms=3_600_000), says("As you wish."))
    model = Listening(plan, bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Tell a story.")
        while not bench.clock.sleepers:
            await asyncio.sleep(0)
        for _ in range(3):
            bench.clock.advance_us(1_000_000)
            await asyncio.sleep(0)
        await runtime.send("s", "Stop, another one.", steering="interrupt")
        first = await runtime.wait("s", run_id)
        assert first.reason == "interrupted"
        assert (await runtime.wait("s")).final_answer == "As you wish."


async def test_a_slow_tool_is_stopped_for_a_steering_message(journal: MemoryJournal, bench: Holding) -> None:
    """A tool has 30 seconds once somebody waits; then it is stopped and the message is heard."""
    assert isinstance(bench.clock, ManualClock)
    model = Listening(script(calls(("hang", {})), says("I stopped.")), bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Hang.")
        await bench.hanging.wait()
        await runtime.send("s", "Never mind.", steering="steer")
        waiting = asyncio.create_task(runtime.wait("s"))
        for _ in range(40):
            await asyncio.sleep(0)
            bench.clock.advance_us(1_000_000)
        for _ in range(20):
            await asyncio.sleep(0)
            bench.clock.advance_us(1_000)
        assert waiting.done() and waiting.result().final_answer == "I stopped."
    assert user_texts(model.heard[-1])[-1] == "Never mind."


async def test_a_queue_survives_a_restart(journal: MemoryJournal, bench: Holding) -> None:
    """The process dies while messages wait: the recovered run ends, and then they are heard."""
    plan = script(calls(("hold", {})), says("One."), says("Two."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        await runtime.send("s", "And then?", steering="followup")
    bench.release.set()
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        assert [each.message for each in (await runtime.state("s")).queue] == ["And then?"]
        await runtime.resume("s")
        report = await runtime.wait("s")
        assert report.final_answer == "Two."
    said = [r.kind.content for r in await history(journal, "s") if r.kind_name == "UserMessage"]  # type: ignore[attr-defined]
    assert said == ["Begin.", "And then?"]


async def test_cancelling_drops_what_waits(journal: MemoryJournal, bench: Holding) -> None:
    """Who stops a run does not want the next one to begin by itself."""
    async with runtime_on(journal, bench, script(calls(("hold", {})), says("x"))) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        await runtime.send("s", "Then this.")
        report = await runtime.cancel("s")
        assert report is not None and report.reason in ("cancelled", "in_doubt")
        state = await runtime.state("s")
        assert (state.queue, state.run) == ((), None)


async def test_an_interrupt_withdraws_an_open_approval(journal: MemoryJournal, tmp_path: Path) -> None:
    """A run that waits for a person goes on with the message; the ticket is closed, the call never runs."""
    bench = Workbench(tmp_path)
    async with runtime_on(journal, bench, script(calls(("sign", {"text": "x"})), says("Fine."))) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Sign.")).status == "waiting"
        await runtime.send("s", "Do not.", steering="interrupt")
        assert (await runtime.wait("s")).final_answer == "Fine."
        assert await runtime.pending_approvals() == []
    assert bench.effects() == []
