"""The index file: what it keeps, and what happens to it."""

from __future__ import annotations

import stat
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.lago.knowledge import index as index_module
from life.lago.knowledge.errors import KnowledgeIndexError
from life.lago.knowledge.index import NoteIndex, Problem, Unread
from life.lago.knowledge.search import search, view
from life.lago.knowledge.source import Changes, NoteFile, Removed, RemovedBelow, Written
from tests.lago.knowledge.kit import write


def found(index: NoteIndex, query: str) -> list[str]:
    return [hit.path for hit in search(index, query)]


def file(path: str, version: str = "v", sequence: int = 1) -> NoteFile:
    return NoteFile(path, version, sequence, 0)


def test_it_is_the_same_after_opening_again(tmp_path: Path) -> None:
    """Notes, words, links, tags, problems and the cursor; mode 0600."""
    path = tmp_path / "deep" / "i.db"
    index = NoteIndex(path)
    write(index, {"/a.md": "lake [[b]]", "/b.md": "---\ntags: [x]\n---\nriver", "/c.md": "---\na: [\n---\n"})
    index.apply(unread=[Unread(file("/bad.md"), "not UTF-8")], cursor="7 abc")
    before = (found(index, "lake"), found(index, "x"), view(index, "b").backlinks, index.problems)
    index.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = NoteIndex(path)
    assert (found(again, "lake"), found(again, "x"), view(again, "b").backlinks, again.problems) == before
    assert again.cursor == "7 abc"
    assert [problem.path for problem in again.problems] == ["/bad.md", "/c.md"]
    again.close()


def test_changes_leave_nothing_behind() -> None:
    """A changed note is found by its new words only, a removed one not at all; problems end with their files."""
    index = NoteIndex(None)
    write(index, {"/a.md": "---\ntags: [old]\n---\nlake", "/b.md": "lake"})
    write(index, {"/a.md": "---\ntags: [new]\n---\nriver [[b]]"})
    assert found(index, "lake") == ["/b.md"]
    assert found(index, "river new") == ["/a.md"]
    assert found(index, "old") == []
    index.apply(removed=["/a.md", "/never.md"], unread=[Unread(file("/b.md"), "gone")])
    assert found(index, "lake river new") == []
    assert len(index) == 0
    assert index.problems == [Problem("/b.md", "gone")]
    write(index, {"/b.md": "back"})
    assert index.problems == []


def test_a_plan_names_what_is_new() -> None:
    """Read what has another version, touch what has another event, remove what is gone."""
    index = NoteIndex(None)
    write(index, {"/a.md": "a", "/f/b.md": "b", "/f/c.md": "c"})
    version = index.notes[1].version
    complete = Changes("x", True, (Written(file("/a.md", version, 9)), Written(file("/f/b.md"))))
    plan = index.plan(complete)
    assert [item.path for item in plan.read] == ["/f/b.md"]
    assert [item.path for item in plan.touched] == ["/a.md"]
    assert plan.removed == ("/f/c.md",)
    assert index.plan(Changes("x", True, ())).removed == ("/a.md", "/f/b.md", "/f/c.md")


def test_steps_count_in_their_order() -> None:
    """Written and removed again, removed and written again, a folder with what is new in it."""
    index = NoteIndex(None)
    write(index, {"/f/b.md": "b", "/g.md": "g"})
    steps = (
        Written(file("/f/new.md")),
        RemovedBelow("/f"),
        Written(file("/f/b.md", "other")),
        Removed("/g.md"),
        Written(file("/x.md")),
        Removed("/x.md"),
        RemovedBelow("/x.md"),
    )
    plan = index.plan(Changes("x", False, steps))
    assert [item.path for item in plan.read] == ["/f/b.md"]
    assert plan.removed == ("/g.md",)
    assert index.plan(Changes("x", False, (RemovedBelow("/f"),))).removed == ("/f/b.md",)
    assert index.plan(Changes("x", False, (RemovedBelow("/"), RemovedBelow("/fg")))).removed == ()


def test_a_file_that_failed_is_not_read_again_until_it_changes() -> None:
    """A scan passes over it; an event that writes it is a reason to try."""
    index = NoteIndex(None)
    index.apply(unread=[Unread(file("/bad.md", "v1"), "not UTF-8")])
    assert index.plan(Changes("x", True, (Written(file("/bad.md", "v1")),))).read == ()
    assert len(index.plan(Changes("x", True, (Written(file("/bad.md", "v2")),))).read) == 1
    assert len(index.plan(Changes("x", False, (Written(file("/bad.md", "v1")),))).read) == 1
    assert index.plan(Changes("x", False, (Removed("/bad.md"),))).removed == ("/bad.md",)


def test_two_processes_see_each_other(tmp_path: Path) -> None:
    """What one writes, the other finds and builds on."""
    one, other = NoteIndex(tmp_path / "i.db"), NoteIndex(tmp_path / "i.db")
    write(one, {"/a.md": "lake"})
    other.refresh()
    assert found(other, "lake") == ["/a.md"]
    write(other, {"/a.md": "river", "/b.md": "lake"})
    write(one, {"/b.md": "stone"})
    for index in (one, other):
        index.refresh()
        assert (found(index, "river"), found(index, "stone"), found(index, "lake")) == (["/a.md"], ["/b.md"], [])
        index.close()


def test_a_failed_batch_changes_nothing() -> None:
    """Neither on disk nor in memory; the next one goes through."""
    index = NoteIndex(None)
    write(index, {"/a.md": "lake"})
    index._connection.execute("CREATE TRIGGER stop BEFORE INSERT ON body BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(KnowledgeIndexError):
        write(index, {"/b.md": "river", "/a.md": "stone"})
    index._connection.execute("DROP TRIGGER stop")
    assert found(index, "lake") == ["/a.md"]
    assert found(index, "river stone") == []
    write(index, {"/b.md": "river"})
    assert found(index, "river") == ["/b.md"]


def test_clearing_forgets_everything(tmp_path: Path) -> None:
    """Words, links and the cursor."""
    index = NoteIndex(tmp_path / "i.db")
    write(index, {"/a.md": "lake"})
    index.apply(cursor="x")
    index.clear()
    assert (found(index, "lake"), index.cursor, len(index)) == ([], None, 0)
    write(index, {"/a.md": "lake"})
    assert found(index, "lake") == ["/a.md"]
    index.close()


def test_a_rebuild_leaves_no_word_behind(tmp_path: Path) -> None:
    """Of notes that are gone: neither in the words nor in free pages."""
    path = tmp_path / "i.db"
    index = NoteIndex(path)
    write(index, {f"/n{number}.md": f"unmistakable{number} " * 40 for number in range(200)})
    index.apply(removed=[f"/n{number}.md" for number in range(200)])
    index.clear()
    write(index, {"/a.md": "lake"})
    index.close()
    assert b"unmistakable" not in path.read_bytes()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=60)), max_size=20))
def test_any_text_goes_in_and_comes_out_again(changes: list[tuple[str, str]]) -> None:
    """Nothing of what was replaced stays among the words: the file is as one made of the last texts."""
    index, last = NoteIndex(None), {}
    for name, text in changes:
        last[f"/{name}.md"] = text
        write(index, {f"/{name}.md": text})
    fresh = NoteIndex(None)
    write(fresh, last)
    question = "SELECT term, count(*) FROM temp.occurrence GROUP BY term"
    assert list(index._connection.execute(question)) == list(fresh._connection.execute(question))
    assert sorted(index.problems, key=str) == sorted(fresh.problems, key=str)
    for path in last:
        number = index.graph.number(path)
        assert number is not None
        assert index.body(number) == fresh.body(fresh.graph.number(path) or 0)
    index.apply(removed=list(last))
    assert list(index._connection.execute(question)) == []
    index.close()
    fresh.close()


def test_another_format_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a cache."""
    index = NoteIndex(tmp_path / "i.db")
    write(index, {"/a.md": "lake"})
    index.close()
    monkeypatch.setattr(index_module, "FORMAT", 99)
    anew = NoteIndex(tmp_path / "i.db")
    assert len(anew) == 0
    anew.close()


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    """Another program's database, a text, a link."""
    foreign = tmp_path / "foreign.db"
    connection = apsw.Connection(str(foreign))
    connection.execute("CREATE TABLE precious (x)")
    connection.close()
    text = tmp_path / "note.md"
    text.write_text("precious " * 1000)
    link = tmp_path / "link.db"
    link.symlink_to(foreign)
    for path in (foreign, text, link):
        before = foreign.read_bytes(), text.read_bytes()
        with pytest.raises(KnowledgeIndexError):
            NoteIndex(path)
        assert (foreign.read_bytes(), text.read_bytes()) == before


def test_a_damaged_file_is_made_anew_or_named(tmp_path: Path) -> None:
    """Never a wrong answer: an error that says what to do, or an empty index to be filled again."""
    path = tmp_path / "i.db"
    index = NoteIndex(path)
    write(index, {f"/n{n}.md": f"lake {n} " * 50 for n in range(200)})
    index.close()
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 64] = b"\xff" * 64
    path.write_bytes(content)
    try:
        again = NoteIndex(path)
        assert len(again) == 0
        again.close()
    except KnowledgeIndexError as error:
        assert error.next_step == "Remove the file; it is made again from the notes."
