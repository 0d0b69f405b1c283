"""Results: excerpts, views, walks, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.lago.knowledge.errors import NoteNotFoundError
from life.lago.knowledge.search import excerpts, search, traverse, view
from life.lago.knowledge.text import count_tokens, cut_text, fold
from tests.lago.knowledge.kit import digest, index_of


def test_a_result_has_everything_to_check_it_by() -> None:
    """Path, name, metadata as JSON, lines, links, score, event and hash."""
    text = "---\ntitle: L\nwhen: 2024-01-01\n---\n\n  The Lake \nnothing\nA lake [[River]]\n"
    (hit,) = search(index_of({"/w/Lake.md": text, "/x.md": "y"}), "lake")
    assert hit.path == "/w/Lake.md"
    assert hit.name == "Lake"
    assert hit.frontmatter == {"title": "L", "when": "2024-01-01"}
    assert hit.excerpts == ("The Lake", "A lake [[River]]")
    assert hit.links == ("River",)
    assert hit.sequence == 1
    assert hit.blob_hash == digest(text)
    assert hit.score > 0


def test_excerpts_are_the_first_five_lines_with_a_term() -> None:
    """Blank lines don't count, long lines are cut."""
    body = "\n".join(["lake 1", "", "other", *(f"lake {number}" for number in range(2, 9)), "lake " + "x" * 999])
    assert excerpts(body, ["lake"]) == ("lake 1", "lake 2", "lake 3", "lake 4", "lake 5")
    assert len(excerpts("lake " + "x" * 999, ["lake"])[0]) == 300
    assert excerpts("Am KÖLNER Dom", ["kolner"]) == ("Am KÖLNER Dom",)


def test_a_view_has_body_and_backlinks() -> None:
    """By name, by path, in brackets; an unknown one is not found."""
    index = index_of({"/a.md": "---\nx: 1\n---\nbody [[b]]", "/b.md": "[[A]]", "/c/d.md": "[[a#x]]"})
    note = view(index, "[[A]]")
    assert (note.body, note.links, note.backlinks) == ("body [[b]]", ("b",), ("/b.md", "/c/d.md"))
    assert view(index, "c/d").path == view(index, "/c/d.md").path == "/c/d.md"
    for unknown in ("", "e", "../a", "/a", "c"):
        if unknown == "/a":
            assert view(index, unknown).path == "/a.md"
            continue
        with pytest.raises(NoteNotFoundError):
            view(index, unknown)


def test_walks_begin_at_the_note() -> None:
    """Depth 1 and fifteen notes unless told otherwise."""
    index = index_of({"/a.md": "[[b]]", "/b.md": "[[c]]", "/c.md": "[[a]]"})
    assert [(note.name, note.depth) for note in traverse(index, "a")] == [("a", 0), ("b", 1)]
    assert [(note.name, note.depth) for note in traverse(index, "a", depth=9)] == [("a", 0), ("b", 1), ("c", 2)]
    wide = index_of(
        {"/a.md": " ".join(f"[[n{number}]]" for number in range(40)), **{f"/n{n}.md": "" for n in range(40)}}
    )
    assert len(traverse(wide, "a")) == 15


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_limits_are_checked(limit: int) -> None:
    """A result has 1 to 100 notes, a walk a depth up to 16."""
    index = index_of({"/a.md": "lake"})
    with pytest.raises(InvalidInputError):
        search(index, "lake", limit=limit)
    with pytest.raises(InvalidInputError):
        traverse(index, "a", depth=limit if limit != 0 else 17)


@given(st.text(), st.integers(0, 40))
def test_cutting_never_splits_a_letter_from_its_marks(text: str, limit: int) -> None:
    """At most `limit` characters, a beginning of the text."""
    cut = cut_text(text, limit)
    assert len(cut) <= limit
    assert text.startswith(cut)


def test_cutting_keeps_what_is_seen_as_one() -> None:
    """A letter with its mark, a family, a flag of skin colour; a pile of marks without end is cut all the same."""
    assert cut_text("ae\u0301x", 2) == "a"
    assert cut_text("a👩\u200d👧b", 2) == "a"
    assert cut_text("a👍🏽b", 2) == "a"
    assert cut_text("abc", 3) == "abc"
    assert len(cut_text("a" + "\u0301" * 100, 50)) == 50
    assert fold("ÉCLAIR") == "eclair"
    assert (count_tokens(""), count_tokens("abcd"), count_tokens("abcde")) == (0, 1, 2)
