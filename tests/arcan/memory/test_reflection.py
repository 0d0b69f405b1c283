"""After runs: what was asked to be remembered is proposed, what is noteworthy is kept in batches, batches are joined."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios import events
from life.aios.ids import new_id
from life.aios.record import EventWriter
from life.arcan.memory.observations import observe, statements
from life.arcan.memory.reflection import Reflector
from life.testing.clock import SeededEntropy
from tests.arcan.any_events import PAYLOADS, record_of
from tests.arcan.memory.desk import ADA, BOB, Desk, desk


async def run(memory: Desk, writer: EventWriter, objective: str, failures: int = 0, seed: str = "run") -> str:
    """A finished run, as the runtime writes it; its id."""
    run_id = new_id(memory.clock, SeededEntropy(seed + objective))
    batch = [
        writer.event(events.UserMessage(content=objective), correlation_id=run_id),
        writer.event(events.RunStarted(provider="p", max_iterations=1), event_id=run_id, correlation_id=run_id),
    ]
    for number in range(failures):
        failed = events.ToolCallFailed(call_id=f"c{number}", tool_name="look", error=f"No file {number % 3}.")
        batch.append(writer.event(failed, correlation_id=run_id))
    batch.append(writer.event(events.RunFinished(reason="completed", total_iterations=1), correlation_id=run_id))
    await memory.journal.append(batch)
    return run_id


async def test_what_the_user_asks_to_remember_is_proposed_once(tmp_path: Path) -> None:
    """To the user's memory, quoted, with where it stands; not taken over by itself, and not another run's."""
    async with desk(tmp_path) as memory:
        writer = await memory.session(ADA)
        first = await run(memory, writer, "Write a file. Remember that my team meets at 東京 time. Thanks!")
        second = await run(memory, writer, "Just look around.")
        assert (await memory.reflector.run_finished(ADA, first)).proposals == 1
        assert (await memory.reflector.run_finished(ADA, second)).proposals == 0
        await memory.reflector.run_finished(ADA, first)
        await Reflector(memory.service, memory.journal).run_finished(ADA, first)
        ((proposal, content),) = await memory.service.proposals(ADA, "user")
        assert content.entries[0].content == "my team meets at 東京 time."
        assert (proposal.run_id, content.provenance.session_id) == (first, "s-ada")
        assert content.provenance.event_start == content.provenance.event_end == 2
        assert await memory.service.query(ADA, "user") == []
        assert (await memory.reflector.run_finished(BOB, first)).proposals == 0, "a run of another session"


async def test_observations_come_in_batches_of_twenty(tmp_path: Path) -> None:
    """Fewer wait, also across runs and processes; nothing is counted twice; three batches are joined into a reflection."""
    async with desk(tmp_path) as memory:
        writer = await memory.session(ADA)
        learned = []
        for number in range(8):
            run_id = await run(memory, writer, f"Try number {number}.", failures=9)
            reflector = memory.reflector if number % 2 else Reflector(memory.service, memory.journal)
            learned.append(await reflector.run_finished(ADA, run_id))
        fold = await memory.service.state(ADA, "session")
        assert sum(each.batches for each in learned) == len(fold.observations) == 72 // 20
        assert sum(each.reflections for each in learned) == 1
        assert fold.unreflected() == []
        reflection = await memory.reflector.reflection(ADA)
        assert reflection.startswith("- 20× tool_failed: look: No file 0.")
        assert reflection.count("\n") == 3
        assert await memory.reflector.catch_up(ADA) == 1
        assert "- 24× tool_failed: look: No file 0." in await memory.reflector.reflection(ADA)
        assert await memory.reflector.catch_up(ADA) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Remember that I use metric units.", [(True, "I use metric units.")]),
        ("please note: the build is slow", [(True, "the build is slow")]),
        ("Merke dir, dass Größe zählt.", [(True, "Größe zählt.")]),
        ("I prefer short answers. What time is it?", [(False, "I prefer short answers.")]),
        ("Always use tabs!\nNever push to main.", [(False, "Always use tabs!"), (False, "Never push to main.")]),
        ("Do you remember that file?", []),
        ("The always-on server is remembered by all.", []),
        ("", []),
        ("a" * 20_000, []),
    ],
)
def test_sentences_that_matter(text: str, found: list[tuple[bool, str]]) -> None:
    """Plain wordings at the beginning of a sentence; questions and other sentences are left alone."""
    assert statements(text) == found


def test_secrets_are_never_observed() -> None:
    """Not even when somebody asks to remember one."""
    said = events.UserMessage(content="Remember that my key is sk-abcdefghijklmnop1234.")
    assert observe([record_of(events.encode_kind(said), 1, 0, "e", None)]) == []


@settings(max_examples=200)
@given(st.lists(PAYLOADS, max_size=8))
def test_any_events_can_be_looked_at(payloads: list[bytes]) -> None:
    """Nothing that a journal may hold is too odd."""
    records = [record_of(payload, number, 0, f"e{number}", None) for number, payload in enumerate(payloads, 1)]
    for item in observe(records):
        assert len(item.text) <= 400 and "\n" not in item.text
