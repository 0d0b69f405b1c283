"""Proposed, taken over, found, forgotten; and nobody sees what is not theirs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.aios.state import MemoryScope
from life.arcan.memory.errors import MemoryNotFoundError, MemoryNotYoursError, MemoryRefusedError
from life.arcan.memory.notes import MemoryEntry, ProposedEntries, body_of, check_entries, note_of, overlap, words_of
from life.arcan.memory.retention import consolidate, sweep
from life.arcan.memory.scopes import SCOPES, Place, stream_of, user_stream
from life.lago.journal.memory import MemoryJournal
from tests.arcan.crashing import DyingJournal, Killed
from tests.arcan.memory.desk import ADA, BOB, OPERATOR, desk

DAY_US = 86_400 * 1_000_000


async def test_a_proposal_shows_only_once_it_is_taken_over(tmp_path: Path) -> None:
    """Its content is kept in full, also in other scripts; before the commit nothing is found."""
    text = "Prefers 東京 time, größere Schrift and 👩‍🚀."
    async with desk(tmp_path) as memory:
        proposal = await memory.service.propose(ADA, "user", [MemoryEntry(content=text, tags=("time",))])
        assert await memory.service.query(ADA, "user") == []
        assert await memory.service.search(ADA, "東京") == []
        ((waiting, content),) = await memory.service.proposals(ADA, "user")
        assert (waiting.proposal_id, content.entries[0].content) == (proposal.proposal_id, text)
        done = await memory.service.commit(ADA, proposal.proposal_id)
        (found,) = await memory.service.query(ADA, "user")
        assert (found.memory_id, found.content) == (done.memory_id, text)
        (hit,) = await memory.service.search(ADA, "größere schrift")
        assert (hit.memory_id, hit.scope, hit.blob_hash) == (done.memory_id, "user", found.blob_hash)
        assert await memory.service.proposals(ADA, "user") == []


@pytest.mark.parametrize("scope", SCOPES[:2])
async def test_two_owners_never_see_each_other(tmp_path: Path, scope: MemoryScope) -> None:
    """By no question: list, search, graph, by id, by key, proposals, export; and nobody forgets another's (arcan.md §17.7)."""
    async with desk(tmp_path) as memory:
        service = memory.service
        memory_id = await memory.remember(
            ADA, scope, "The vault code word is zebra, see [[other]].", key="secret-place"
        )
        waiting = await service.propose(ADA, scope, [MemoryEntry(content="zebra again and again")])
        assert await service.query(BOB, scope) == []
        assert await service.search(BOB, "zebra") == []
        assert [line async for line in service.export(BOB, scope)] == []
        assert await service.proposals(BOB, scope) == []
        for reference in (memory_id, "secret-place", "/memory/secret-place.md"):
            with pytest.raises(MemoryNotFoundError):
                await service.get(BOB, reference)
            with pytest.raises(MemoryNotFoundError):
                await service.graph(BOB, reference)
            with pytest.raises(MemoryNotFoundError):
                await service.forget(BOB, reference)
        with pytest.raises(MemoryNotFoundError):
            await service.commit(BOB, waiting.proposal_id)
        assert len(await service.search(ADA, "zebra")) == 1


async def test_shared_scopes_are_the_operators_to_decide(tmp_path: Path) -> None:
    """An owner may propose to the agent's and the organisation's memory; only the operator takes over, sees what waits, and forgets."""
    async with desk(tmp_path) as memory:
        for scope in ("agent", "org"):
            proposal = await memory.service.propose(ADA, scope, [MemoryEntry(content=f"The {scope} ships on Fridays.")])
            with pytest.raises(MemoryNotYoursError):
                await memory.service.commit(ADA, proposal.proposal_id)
            with pytest.raises(MemoryNotYoursError):
                await memory.service.proposals(BOB, scope)
            with pytest.raises(MemoryNotFoundError):
                await memory.service.forget(BOB, proposal.proposal_id)
            done = await memory.service.commit(OPERATOR, proposal.proposal_id)
            assert [each.memory_id for each in await memory.service.query(BOB, scope)] == [done.memory_id]
            with pytest.raises(MemoryNotYoursError):
                await memory.service.forget(BOB, done.memory_id)
            await memory.service.forget(OPERATOR, done.memory_id)
            assert await memory.service.query(BOB, scope) == []


async def test_supersede_and_forget(tmp_path: Path) -> None:
    """What is superseded or forgotten shows nowhere, and its events stay."""
    async with desk(tmp_path) as memory:
        old = await memory.remember(ADA, "user", "Lives in Bern.")
        proposal = await memory.service.propose(ADA, "user", [MemoryEntry(content="Moved to Basel last summer.")])
        new = await memory.service.commit(ADA, proposal.proposal_id, supersedes=old)
        assert new.merged == (old,)
        assert [each.content for each in await memory.service.query(ADA, "user")] == ["Moved to Basel last summer."]
        assert await memory.service.search(ADA, "Bern") == []
        assert await memory.service.forget(ADA, new.memory_id) == [new.memory_id]
        assert await memory.service.query(ADA, "user") == []
        assert await memory.service.search(ADA, "Basel") == []
        with pytest.raises(MemoryNotFoundError):
            await memory.service.forget(ADA, new.memory_id)
        records = await memory.journal.read(EventQuery(*stream_of("user", ADA)))
        assert [record.kind_name for record in records if record.kind_name.startswith("Memory")] == [
            "MemoryProposed",
            "MemoryCommitted",
            "MemoryProposed",
            "MemoryCommitted",
            "MemoryTombstoned",
        ]


async def test_a_rejected_proposal_is_never_taken_over(tmp_path: Path) -> None:
    """Its tombstone holds."""
    async with desk(tmp_path) as memory:
        proposal = await memory.service.propose(ADA, "user", [MemoryEntry(content="Nonsense that nobody said.")])
        await memory.service.forget(ADA, proposal.proposal_id)
        with pytest.raises(MemoryNotFoundError):
            await memory.service.commit(ADA, proposal.proposal_id)


async def test_duplicates_become_one(tmp_path: Path) -> None:
    """Words that overlap by more than 0.8 are one memory, the newest; others stay."""
    async with desk(tmp_path) as memory:
        await memory.remember(ADA, "user", "The user prefers tabs over spaces in Python files.")
        await memory.remember(ADA, "user", "The user prefers spaces in Markdown.")
        await memory.remember(ADA, "user", "The user prefers tabs over spaces in all Python files.")
        assert [each.content for each in await memory.service.query(ADA, "user")] == [
            "The user prefers tabs over spaces in all Python files.",
            "The user prefers spaces in Markdown.",
        ]
        assert await consolidate(memory.service, ADA, memory.clock) == (0, 0)


async def test_a_key_holds_one_memory(tmp_path: Path) -> None:
    """Writing under a key again replaces what stood there, whatever it says."""
    async with desk(tmp_path) as memory:
        await memory.remember(ADA, "session", "one", key="plan")
        await memory.remember(ADA, "session", "something else entirely", key="plan")
        assert [each.content for each in await memory.service.query(ADA, "session")] == ["something else entirely"]
        assert (await memory.service.get(ADA, "plan")).content == "something else entirely"
        assert (await memory.service.search(ADA, "entirely"))[0].path == "/memory/plan.md"
        assert await memory.service.search(ADA, "one") == []


async def test_what_expires_is_not_shown_and_then_swept(tmp_path: Path) -> None:
    """From its time on, before any sweep; the sweep adds its tombstone once."""
    async with desk(tmp_path) as memory:
        await memory.remember(ADA, "user", "Parking in slot 12 today.", expires_at_us=memory.clock.now_us() + DAY_US)
        assert len(await memory.service.query(ADA, "user")) == 1
        memory.clock.advance_us(DAY_US)
        assert await memory.service.query(ADA, "user") == []
        assert await memory.service.search(ADA, "parking") == []
        assert await sweep(memory.service, memory.journal, memory.clock) == 1
        assert await sweep(memory.service, memory.journal, memory.clock) == 0


async def test_twice_is_once(tmp_path: Path) -> None:
    """The same proposal by its key, and the same commit, from two services at once."""
    journal = MemoryJournal()
    async with desk(tmp_path, journal) as one, desk(tmp_path, journal, seed="other") as other:
        entry = [MemoryEntry(content="Only once.")]
        first, second = await asyncio.gather(
            one.service.propose(ADA, "user", entry, once="call-1"),
            other.service.propose(ADA, "user", entry, once="call-1"),
        )
        assert first.proposal_id == second.proposal_id
        done = await asyncio.gather(
            one.service.commit(ADA, first.proposal_id), other.service.commit(ADA, first.proposal_id)
        )
        assert done[0].memory_id == done[1].memory_id
        assert len(await one.service.query(ADA, "user")) == 1
        names = [record.kind_name for record in await journal.read(EventQuery(*stream_of("user", ADA)))]
        assert names == ["MemoryProposed", "MemoryCommitted", "FileWrite"]


async def test_killed_at_every_append(tmp_path: Path) -> None:
    """Memory and note come together or not at all; doing it again completes it."""
    for moment in ("before", "after"):
        for at in (1, 2):
            journal = MemoryJournal()
            async with desk(tmp_path, DyingJournal(journal, at=at, moment=moment)) as memory:
                with pytest.raises(Killed):
                    proposal = await memory.service.propose(ADA, "user", [MemoryEntry(content="Stays.")], once="k")
                    await memory.service.commit(ADA, proposal.proposal_id)
            async with desk(tmp_path, journal) as memory:
                proposal = await memory.service.propose(ADA, "user", [MemoryEntry(content="Stays.")], once="k")
                await memory.service.commit(ADA, proposal.proposal_id)
                assert len(await memory.service.query(ADA, "user")) == 1
                assert len(await memory.service.search(ADA, "stays")) == 1


async def test_links_are_followed_within_the_scope(tmp_path: Path) -> None:
    """Breadth first, the start first."""
    async with desk(tmp_path) as memory:
        await memory.remember(ADA, "user", "Uses [[editor]] for [[project]].", key="setup")
        await memory.remember(ADA, "user", "Helix, with a dark theme.", key="editor")
        await memory.remember(ADA, "user", "A compiler for a toy language.", key="project")
        notes = await memory.service.graph(ADA, "setup")
        assert [note.name for note in notes] == ["setup", "editor", "project"]


async def test_an_export_has_everything_that_shows(tmp_path: Path) -> None:
    """One JSON object a line, oldest first."""
    async with desk(tmp_path) as memory:
        await memory.remember(ADA, "user", "First thing.")
        await memory.remember(ADA, "user", "Second matter.")
        lines = [msgspec.json.decode(line) async for line in memory.service.export(ADA, "user")]
        assert [line["content"] for line in lines] == ["First thing.", "Second matter."]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [MemoryEntry(content=" \n\x00 ")],
        [MemoryEntry(content="x" * 8_001)],
        [MemoryEntry(content=f"thing {number}") for number in range(21)],
        [MemoryEntry(content="the key is sk-abcdefghijklmnop1234")],
        [MemoryEntry(content="-----BEGIN EC PRIVATE KEY-----")],
    ],
)
def test_what_cannot_be_kept(entries: list[MemoryEntry]) -> None:
    """Nothing, too much, and secrets."""
    with pytest.raises(MemoryRefusedError):
        check_entries(entries)


@given(st.text(min_size=1, max_size=300), st.lists(st.text(max_size=20), max_size=4))
def test_a_note_says_what_was_proposed(text: str, tags: list[str]) -> None:
    """Whatever it looks like, frontmatter included, the body comes back, and the frontmatter stays ours."""
    try:
        (entry, *_) = check_entries([MemoryEntry(content=text, tags=tuple(tags))])
    except MemoryRefusedError:
        return
    note = note_of(ProposedEntries(entries=(entry,)), scope="user", memory_id="m", proposal_id="p", created_us=0)
    assert body_of(note) == entry.content
    assert note.decode().split("\n---\n")[0].count("\nscope:") == 1


@given(st.text(max_size=40), st.text(max_size=40))
def test_owners_have_different_streams(one: str, other: str) -> None:
    """No two owners share a memory, whatever they are called."""
    assert (user_stream(one) == user_stream(other)) == (one == other)
    assert len(user_stream("user:" + one)) <= 255


def test_names_that_look_like_ours() -> None:
    """An owner can't take the name of another's stream, or the operator's."""
    names = ["", "operator", "ada", "user:ada", "owner:ada", "user:owner:ada", "user:", "user", "user:operator"]
    assert len({user_stream(name) for name in names}) == len(names)
    hashed = user_stream("é").removeprefix("vault:")
    assert user_stream("user:" + hashed) != user_stream("é")
    with pytest.raises(InvalidInputError):
        stream_of("session", Place("", "agent-1"))
    assert stream_of("org", Place("", "a", org="acme")) == Stream("org:acme")


@given(st.text(), st.text())
def test_overlap_is_a_share(one: str, other: str) -> None:
    """Between 0 and 1, the same both ways, 1 for the same words."""
    a, b = words_of(one), words_of(other)
    assert 0 <= overlap(a, b) == overlap(b, a) <= 1
    assert overlap(a, a) == (1 if a else 0)
