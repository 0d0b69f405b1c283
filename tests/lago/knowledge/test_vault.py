"""Notes of a session: followed by events, per owner and branch, whatever happens to the journal."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.events import FileDelete, FileRename, FileWrite, Kind
from life.aios.ports.knowledge import Knowledge
from life.aios.record import EventWriter, Stream
from life.lago.knowledge import vault as vault_module
from life.lago.knowledge import vaults as vaults_module
from life.lago.knowledge.errors import NoteNotFoundError
from life.lago.knowledge.index import NoteIndex
from life.lago.knowledge.journal import JournalNotes
from life.lago.knowledge.vault import SyncReport, Vault
from life.lago.knowledge.vaults import Vaults, owner_session
from life.testing.clock import ManualClock, SeededEntropy
from tests.lago.files.kit import S, open_office
from tests.lago.knowledge.kit import digest, open_library


async def found(vault: Knowledge, query: str) -> list[str]:
    return [hit.path for hit in await vault.search(query, limit=100)]


async def test_an_answer_knows_what_was_written_before_it(tmp_path: Path) -> None:
    """Writes, deletions, renames: the next question sees them; a citation names event and blob."""
    async with open_library(tmp_path / "blobs", folder=tmp_path / "index") as library:
        vault = await library.vault()
        assert await found(vault, "lake") == []
        sequence = await library.office.put("/w/a.md", "lake")
        await library.office.put("/w/a.txt", "lake")
        (hit,) = await vault.search("lake")
        assert (hit.path, hit.sequence, hit.blob_hash) == ("/w/a.md", sequence, digest("lake"))
        await library.office.desk.rename(S, "/w", "/v")
        assert await found(vault, "lake") == ["/v/a.md"]
        await library.office.desk.rename(S, "/v/a.txt", "/v/b.md")
        assert await found(vault, "lake") == ["/v/a.md", "/v/b.md"]
        await library.office.desk.delete(S, "/v")
        assert await found(vault, "lake") == []
        note = await library.office.put("/n.md", "body [[x]]")
        assert (await vault.note("N")).sequence == note
        assert (await vault.assemble("body", budget_tokens=90)).excerpts[0].sequence == note


async def test_one_note_among_many_costs_one_reading(tmp_path: Path) -> None:
    """An event more is one note read, not all of them."""
    async with open_library(tmp_path) as library:
        vault = await library.vault()
        for number in range(20):
            await library.office.put(f"/n{number}.md", f"lake {number}")
        assert (await vault.sync()).read == 20
        await library.office.put("/n3.md", "river")
        assert (await vault.sync())[:4] == (1, 0, 0, 20)
        assert (await vault.sync())[:4] == (0, 0, 0, 20)
        again = await library.office.put("/n3.md", "river")
        assert (await vault.sync()).read == 0
        assert (await vault.note("n3")).sequence == again
        assert (await vault.sync(rebuild=True)).read == 20


async def test_branches_have_their_own_notes(tmp_path: Path) -> None:
    """A branch begins with what it inherited; a merge brings its notes back."""
    async with open_library(tmp_path) as library:
        desk = library.office.desk
        await library.office.put("/a.md", "lake")
        await desk.create_branch(S, "side")
        main, side = await library.vault(), await library.vault("side")
        await library.office.put("/b.md", "lake", branch="side")
        await library.office.put("/c.md", "lake")
        assert await found(side, "lake") == ["/a.md", "/b.md"]
        assert await found(main, "lake") == ["/a.md", "/c.md"]
        await desk.merge(S, "side")
        assert await found(main, "lake") == ["/a.md", "/b.md", "/c.md"]
        with pytest.raises(NotFoundError):
            await library.vault("nowhere")


async def test_owners_never_see_each_other(tmp_path: Path) -> None:
    """One journal, one folder of indexes, two people: each finds only their own, also by path and by link."""
    async with open_library(tmp_path / "blobs", folder=tmp_path / "index") as library:
        desk = library.office.desk
        for owner, text in (("ada", "the lake of ada [[bob]]"), ("bob", "the lake of bob")):
            await desk.write(owner_session(owner), f"/{owner}.md", text.encode())
        ada = await library.vaults.vault(owner_session("ada"))
        bob = await library.vaults.vault(owner_session("bob"))
        assert await found(ada, "lake ada bob") == ["/ada.md"]
        assert await found(bob, "lake ada bob") == ["/bob.md"]
        assert [note.path for note in await ada.traverse("ada", depth=5)] == ["/ada.md"]
        with pytest.raises(NoteNotFoundError):
            await ada.note("/bob.md")
        assert len({path for path in (tmp_path / "index").iterdir() if path.suffix == ".db"}) == 2


@pytest.mark.parametrize("subject", ["", "a b", "x" * 300, "\n", "é"])
async def test_a_subject_must_be_an_id(subject: str) -> None:
    """Nothing else becomes the name of a session."""
    with pytest.raises(InvalidInputError):
        owner_session(subject)


async def test_ids_of_sessions_are_no_file_names(tmp_path: Path) -> None:
    """`../` leads nowhere."""
    async with open_library(tmp_path / "blobs", folder=tmp_path / "index") as library:
        await found(await library.vaults.vault("vault:../../up"), "x")
        assert {path.parent for path in tmp_path.rglob("*.db")} == {tmp_path / "index"}


async def test_one_bad_note_stops_nobody(tmp_path: Path) -> None:
    """No UTF-8, no content in the store, broken frontmatter, a path that is none: named, and the others are found."""
    async with open_library(tmp_path) as library:
        office = library.office
        await office.put("/good.md", "lake")
        await office.desk.write(S, "/bytes.md", b"\xff\xfe")
        await office.put("/yaml.md", "---\na: !!python/object:os.system x\n---\nlake")
        writer = EventWriter(office.clock, SeededEntropy("x"), agent_id="a", stream=Stream(S))
        kinds: list[Kind] = [
            FileWrite(path="/lost.md", blob_hash="0" * 64, size_bytes=3),
            FileWrite(path="/none.md", blob_hash="no hash", size_bytes=3),
            FileWrite(path="/../up.md", blob_hash=digest("lake"), size_bytes=4),
            FileWrite(path="relative.md", blob_hash=digest("lake"), size_bytes=4),
        ]
        await office.journal.append([writer.event(kind) for kind in kinds])
        vault = await library.vault()
        assert await found(vault, "lake") == ["/good.md", "/yaml.md"]
        assert [problem.path for problem in await vault.problems()] == ["/bytes.md", "/lost.md", "/none.md", "/yaml.md"]
        report = await vault.lint()
        assert [problem.path for problem in report.problems] == ["/bytes.md", "/lost.md", "/none.md", "/yaml.md"]
        await office.put("/lost.md", "lake found")
        assert "/lost.md" in await found(vault, "lake")


async def test_another_journal_is_noticed(tmp_path: Path) -> None:
    """One that was put back to an earlier state, or a new one with the same session: the cursor's digest does not fit."""
    index = tmp_path / "index"
    async with open_library(tmp_path / "one", folder=index) as first:
        for path in ("/a.md", "/b.md", "/c.md"):
            await first.office.put(path, "lake")
        assert len(await found(await first.vault(), "lake")) == 3
    async with open_library(tmp_path / "two", folder=index) as second:
        assert await found(await second.vault(), "lake") == []
        for number in range(5):
            await second.office.put(f"/x{number}.md", "lake")
        assert await found(await second.vault(), "lake") == [f"/x{number}.md" for number in range(5)]


async def test_a_restart_takes_over_only_what_is_new(tmp_path: Path) -> None:
    """The stored cursor, with its digest, is believed by a new process."""
    async with open_office(tmp_path / "blobs") as office:
        reads = []
        for path in ("/a.md", "/b.md"):
            await office.put(path, "lake")
            vaults = Vaults(office.journal, office.blobs, office.clock, folder=tmp_path / "index")
            reads.append((await (await vaults.vault(S)).sync()).read)
            await vaults.aclose()
        assert reads == [1, 1]
        for file in (tmp_path / "index").iterdir():
            file.unlink()
        vaults = Vaults(office.journal, office.blobs, office.clock, folder=tmp_path / "index")
        assert (await (await vaults.vault(S)).sync()).read == 2
        await vaults.aclose()


async def test_followed_by_events_or_read_at_once_is_the_same(tmp_path: Path) -> None:
    """Three hundred random events, also senseless ones: the index that followed them equals one made at the end."""
    rng = random.Random(3)
    names = ["/a.md", "/b.md", "/f/a.md", "/f/b.txt", "/f", "/a.md/x.md", "/f/g/c.md", "/t.txt", "/f/g"]
    async with open_library(tmp_path) as library:
        office = library.office
        writer = EventWriter(office.clock, SeededEntropy("x"), agent_id="a", stream=Stream(S))
        hashes = [(await office.blobs.put(f"lake {n} [[a]]".encode())).hash for n in range(4)]
        vault = await library.vault()
        for step in range(60):
            kinds: list[Kind] = []
            for _ in range(5):
                draw = rng.random()
                if draw < 0.6:
                    kinds.append(FileWrite(path=rng.choice(names), blob_hash=rng.choice(hashes), size_bytes=1))
                elif draw < 0.9:
                    kinds.append(FileDelete(path=rng.choice(names)))
                elif step % 3 == 0:
                    kinds.append(FileRename(old_path=rng.choice(names), new_path=rng.choice(names)))
            if kinds:
                await office.journal.append([writer.event(kind) for kind in kinds])
            if step % 2:
                await vault.sync()
        fresh = Vault(JournalNotes(office.journal, office.blobs, S, view=office.desk.view), office.clock)
        followed = [(hit.path, hit.sequence, hit.blob_hash, hit.score) for hit in await vault.search("lake", limit=100)]
        made = [(hit.path, hit.sequence, hit.blob_hash, hit.score) for hit in await fresh.search("lake", limit=100)]
        assert [item[:3] for item in followed] == [item[:3] for item in made]
        assert [item[3] for item in followed] == pytest.approx([item[3] for item in made])
        manifest = await office.desk.view.manifest(S)
        assert sorted(item[0] for item in made) == [path for path in manifest if path.endswith(".md")]
        await fresh.aclose()


async def test_many_questions_at_once(tmp_path: Path) -> None:
    """Beside writers, with callers that give up: every answer is whole, and the vault goes on."""
    async with open_library(tmp_path / "blobs", folder=tmp_path / "index") as library:
        vault = await library.vault()

        async def ask(number: int) -> None:
            await library.office.put(f"/n{number}.md", "lake")
            assert f"/n{number}.md" in await found(vault, "lake")

        tasks = [asyncio.create_task(ask(number)) for number in range(30)]
        given_up = [asyncio.create_task(found(vault, "lake")) for _ in range(30)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.gather(*given_up, return_exceptions=True)
        assert len(await found(vault, "lake")) == 30


async def test_a_crash_between_batches_costs_a_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor moves with the last batch."""
    monkeypatch.setattr(vault_module, "_BATCH", 2)
    async with open_library(tmp_path) as library:
        for number in range(6):
            await library.office.put(f"/n{number}.md", "lake")
        vault = await library.vault()
        original, calls = NoteIndex.apply, 0

        def failing(index: NoteIndex, **work: object) -> int:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise RuntimeError("the process ends here")
            return original(index, **work)  # type: ignore[arg-type]

        monkeypatch.setattr(NoteIndex, "apply", failing)
        with pytest.raises(RuntimeError):
            await vault.sync()
        monkeypatch.setattr(NoteIndex, "apply", original)
        assert (await vault.sync()).read == 2
        assert len(await found(vault, "lake")) == 6


async def test_vaults_that_rest_are_closed_and_open_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some are kept open; one that was closed answers as before."""
    monkeypatch.setattr(vaults_module, "_KEPT", 2)
    async with open_library(tmp_path / "blobs", folder=tmp_path / "index") as library:
        held: list[Vault] = []
        for number in range(5):
            session = owner_session(f"p{number}")
            await library.office.desk.write(session, "/a.md", b"lake")
            vault = await library.vaults.vault(session)
            assert await found(vault, "lake") == ["/a.md"]
            held.append(vault)
        assert await found(held[0], "lake") == ["/a.md"]
        await held[0].aclose()
        await held[0].aclose()


async def test_a_walk_and_its_neighbours(tmp_path: Path) -> None:
    """Backlinks, and the notes that results link to."""
    async with open_library(tmp_path) as library:
        await library.office.put("/a.md", "lake [[b]] [[c]]")
        await library.office.put("/b.md", "lake [[c]] [[a]]")
        await library.office.put("/c.md", "stone [[a]]")
        vault = await library.vault()
        hits = await vault.search("lake")
        assert [(note.path, note.depth) for note in await vault.linked(hits)] == [("/c.md", 1)]
        assert [note.path for note in await vault.backlinks("c")] == ["/a.md", "/b.md"]
        assert "### /" in await vault.catalogue()


async def test_watching_sees_a_change(tmp_path: Path) -> None:
    """Each look reports what it brought; nothing when there was nothing."""
    async with open_library(tmp_path) as library:
        vault = await library.vault()
        reports: list[SyncReport] = []
        clock = library.office.clock
        assert isinstance(clock, ManualClock)
        watching = asyncio.create_task(vault.follow(every_us=1000, on_change=reports.append))
        while not clock.sleepers:
            await asyncio.sleep(0.001)
        await library.office.put("/a.md", "lake")
        for _ in range(3):
            clock.advance_us(1000)
            while not clock.sleepers:
                await asyncio.sleep(0.001)
        watching.cancel()
        assert [report[:4] for report in reports] == [(1, 0, 0, 1)]
