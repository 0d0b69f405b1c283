"""A message that waits is taken back: it is never said, whatever happens then."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.state import SteeringMode
from life.arcan.errors import NothingToDecideError
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.arcan.test_acceptance import Holding, Listening, user_texts
from tests.arcan.workbench import calls, kinds, runtime_on, says, script


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Holding:
    return Holding(tmp_path, ManualClock())


@pytest.mark.parametrize("mode", ["collect", "followup", "steer"])
async def test_it_is_never_said(journal: MemoryJournal, bench: Holding, mode: SteeringMode) -> None:
    """Of two messages one is taken back: only the other one is heard, in every mode; taking it back again is a conflict."""
    model = Listening(script(calls(("hold", {})), says("One."), says("Two.")), bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        first = await runtime.send("s", "taken back", steering=mode)
        await runtime.send("s", "kept", steering="followup")
        assert first.queue_id is not None
        await runtime.withdraw("s", first.queue_id, actor="ada")
        with pytest.raises(NothingToDecideError):
            await runtime.withdraw("s", first.queue_id, actor="ada")
        assert [each.message for each in (await runtime.state("s")).queue] == ["kept"]
        bench.release.set()
        await runtime.wait("s")
    assert all("taken back" not in words for heard in model.heard for words in user_texts(heard))
    assert user_texts(model.heard[-1])[-1] == "kept"


async def test_the_only_one_is_taken_back_and_no_run_begins(journal: MemoryJournal, bench: Holding) -> None:
    """Nothing waits any more, so nothing begins when the run ends."""
    async with runtime_on(journal, bench, script(calls(("hold", {})), says("One."))) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        receipt = await runtime.send("s", "taken back", steering="followup")
        assert receipt.queue_id is not None
        await runtime.withdraw("s", receipt.queue_id, actor="ada")
        bench.release.set()
        await runtime.wait("s")
    assert (await kinds(journal, "s")).count("RunStarted") == 1


async def test_it_stays_taken_back_after_a_restart(journal: MemoryJournal, bench: Holding) -> None:
    """The word is durable before it is answered: the next process does not say the message either."""
    plan = script(calls(("hold", {})), says("One."))
    async with runtime_on(journal, bench, plan) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        receipt = await runtime.send("s", "taken back", steering="followup")
        assert receipt.queue_id is not None
        await runtime.withdraw("s", receipt.queue_id, actor="ada")
    bench.release.set()
    async with runtime_on(journal, bench, plan, seed="second") as runtime:
        assert (await runtime.state("s")).queue == ()
        await runtime.resume("s")
        assert (await runtime.wait("s")).final_answer == "One."


async def test_an_interrupt_can_not_be_taken_back(journal: MemoryJournal, bench: Holding) -> None:
    """What the model said was cut for it already: it is a conflict, and the message is heard."""
    model = Listening(script(calls(("hold", {})), says("As you wish.")), bench)
    async with runtime_on(journal, bench, model) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Begin.")
        await bench.hanging.wait()
        receipt = await runtime.send("s", "Stop.", steering="interrupt")
        assert receipt.queue_id is not None
        with pytest.raises(NothingToDecideError):
            await runtime.withdraw("s", receipt.queue_id, actor="ada")
        bench.release.set()
        await runtime.wait("s")
    assert user_texts(model.heard[-1])[-1] == "Stop."
