"""Hashline against the golden vectors, against a reference on lists, and against texts made to break it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis import hashline
from life.praxis.errors import AmbiguousTagError, EmptyContentError, StaleTagError, ToolInputError
from life.praxis.hashline import (
    Append,
    DeleteLine,
    InsertAfterTag,
    InsertBeforeTag,
    Line,
    Moved,
    Operation,
    ReplaceLine,
    ReplaceRange,
    apply,
    dominant_end,
    find_moved,
    line_tag,
    render,
    split_lines,
)

VECTORS: list[tuple[int, str, str]] = [
    (number, text, tag)
    for number, text, tag in json.loads((Path(__file__).parent / "hashline_vectors.json").read_text())["vectors"]
]


def tag_of(text: str, number: int) -> str:
    """The tag of a line of a text."""
    return line_tag(number, split_lines(text)[number - 1].text)


@pytest.mark.parametrize(("number", "text", "tag"), VECTORS)
def test_acceptance_1_golden_vectors(number: int, text: str, tag: str) -> None:
    """Acceptance 1 (praxis.md §12): every published tag."""
    assert line_tag(number, text) == tag


def test_rendering() -> None:
    """Number to width 4, tag, bar, text; joined with newlines, none at the end; wide numbers grow."""
    assert render(["alpha"]) == "   1 6e15142c | alpha"
    assert render(["alpha", "beta"]) == "   1 6e15142c | alpha\n   2 0e52a3d2 | beta"
    assert render(["x"], first=10) == "  10 74d2d044 | x"
    assert render(["x"], first=12345).startswith("12345 ")
    assert render([]) == ""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [Line("", "\n")]),
        ("a", [Line("a", "")]),
        ("a\n", [Line("a", "\n")]),
        ("a\r\nb\n\r\nc", [Line("a", "\r\n"), Line("b", "\n"), Line("", "\r\n"), Line("c", "")]),
        ("a\rb\r", [Line("a\rb\r", "")]),
        ("a\r\r\n", [Line("a\r", "\r\n")]),
        ("a\u2028b\x0bc\x0cd\x85e\x1cf\n", [Line("a\u2028b\x0bc\x0cd\x85e\x1cf", "\n")]),
        ("\ufeffa\n", [Line("\ufeffa", "\n")]),
    ],
)
def test_splitting(text: str, lines: list[Line]) -> None:
    """Only a newline ends a line; a carriage return belongs to it only directly before; nothing else splits."""
    assert split_lines(text) == lines
    assert "".join(line.text + line.end for line in lines) == text


@pytest.mark.parametrize(
    ("text", "end"), [("", "\n"), ("a", "\n"), ("a\r\n", "\r\n"), ("a\r\nb\n", "\n"), ("a\r\nb\r\nc\n", "\r\n")]
)
def test_the_dominant_terminator(text: str, end: str) -> None:
    """What most lines have; a newline on a tie."""
    assert dominant_end(split_lines(text)) == end


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a\nb\nc\n", "a\nB\nc\n"),
        ("a\nb\nc", "a\nB\nc"),
        ("a\r\nb\r\nc\r\n", "a\r\nB\r\nc\r\n"),
        ("a\r\nb\nc", "a\r\nB\nc"),
        ("a\nb", "a\nB"),
        ("a\nb\r\n", "a\nB\r\n"),
    ],
)
def test_replacing_keeps_terminators(text: str, after: str) -> None:
    """The line's own terminator, or its absence, stays."""
    edited = apply(text, [ReplaceLine(tag_of(text, 2), "B")])
    assert edited == (after, 2)


def test_the_operations() -> None:
    """Each one by itself, on text with both terminators."""
    text = "a\r\nb\r\nc\n"
    a, b, c = (tag_of(text, number) for number in (1, 2, 3))
    for operation, expected in (
        (InsertAfterTag(a, "n"), "a\r\nn\r\nb\r\nc\n"),
        (InsertBeforeTag(a, "n"), "n\r\na\r\nb\r\nc\n"),
        (InsertAfterTag(c, "n\nm"), "a\r\nb\r\nc\nn\r\nm\r\n"),
        (DeleteLine(b), "a\r\nc\n"),
        (ReplaceLine(b, "x\ny"), "a\r\nx\r\ny\r\nc\n"),
        (ReplaceRange(a, b, "r"), "r\r\nc\n"),
        (ReplaceRange(b, c, "r\ns"), "a\r\nr\r\ns\n"),
        (Append("z"), "a\r\nb\r\nc\nz\r\n"),
        (ReplaceLine(b, ""), "a\r\n\r\nc\n"),
        (ReplaceLine(b, "x\r\ny\r"), "a\r\nx\r\ny\r\nc\n"),
    ):
        assert apply(text, [operation]).text == expected, operation


def test_the_end_of_the_file() -> None:
    """A missing final newline stays missing; deleting an unterminated last line removes its bytes only."""
    text = "a\nb"
    a, b = tag_of(text, 1), tag_of(text, 2)
    assert apply(text, [InsertAfterTag(b, "c")]).text == "a\nb\nc"
    assert apply(text, [Append("c")]).text == "a\nb\nc"
    assert apply(text, [DeleteLine(b)]).text == "a\n"
    assert apply(text, [DeleteLine(b), Append("c")]).text == "a\nc"
    assert apply(text, [DeleteLine(a)]).text == "b"
    assert apply("a", [DeleteLine(tag_of("a", 1))]).text == ""
    assert apply("", [Append("x")]).text == "x\n"


def test_anchors_live_through_the_call() -> None:
    """After a replacement the same tag still means that line; after a deletion it is stale."""
    text = "a\nb\nc\n"
    b = tag_of(text, 2)
    assert apply(text, [ReplaceLine(b, "x"), ReplaceLine(b, "y\nz"), InsertAfterTag(b, "n")]).text == "a\ny\nz\nn\nc\n"
    with pytest.raises(StaleTagError):
        apply(text, [DeleteLine(b), InsertAfterTag(b, "n")])
    assert apply(text, [InsertAfterTag(b, "n"), DeleteLine(b)]).text == "a\nn\nc\n"
    with pytest.raises(StaleTagError):  # a new line has no tag in the same call
        apply(text, [ReplaceLine(b, "x"), DeleteLine(line_tag(2, "x"))])


def test_repeated_insertions_keep_their_order() -> None:
    """The choice of praxis.md §3.5.3: in the order of the operations, not reversed as in the first implementation."""
    text = "a\nb\n"
    a = tag_of(text, 1)
    assert apply(text, [InsertAfterTag(a, "1"), InsertAfterTag(a, "2")]).text == "a\n1\n2\nb\n"
    assert apply(text, [InsertBeforeTag(a, "1"), InsertBeforeTag(a, "2")]).text == "1\n2\na\nb\n"


def test_tags_that_name_nothing() -> None:
    """Wrong, moved, wrong case, or no line at all: an error, and which tag it was."""
    text = "alpha\nbeta\n"
    for tag in ("00000000", "6E15142C", line_tag(2, "alpha"), "", "é", "x" * 200, "\ud800"):
        with pytest.raises(StaleTagError, match="stale or missing") as stale:
            apply(text, [DeleteLine(tag)])
        assert stale.value.tag == tag
        stale.value.message.encode()
    with pytest.raises(EmptyContentError, match="empty content"):
        apply("", [InsertAfterTag("00000000", "x")])
    with pytest.raises(ToolInputError, match="after to_tag"):
        apply(text, [ReplaceRange(tag_of(text, 2), tag_of(text, 1), "x")])
    assert apply(text, []) == (text, None)
    assert apply("", []) == ("", None)


def test_shared_tags_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines with one tag (a collision of 32 bits): the first one is not taken for the one that was meant."""
    original = hashline.line_tag
    monkeypatch.setattr(
        hashline, "line_tag", lambda number, text: "c0111de0" if number in (1, 3) else original(number, text)
    )
    with pytest.raises(AmbiguousTagError):
        apply("a\nb\nc\n", [DeleteLine("c0111de0")])
    assert apply("a\nb\nc\n", [DeleteLine(original(2, "b"))]).text == "a\nc\n"


def test_a_byte_order_mark_stays_first() -> None:
    """It is part of line 1 for the tag, and stays whatever happens to that line."""
    text = "\ufeffa\nb\n"
    one = line_tag(1, "\ufeffa")
    assert apply(text, [ReplaceLine(one, "x")]).text == "\ufeffx\nb\n"
    assert apply(text, [ReplaceLine(one, "\ufeffx")]).text == "\ufeffx\nb\n"
    assert apply(text, [InsertBeforeTag(one, "n")]).text == "\ufeffn\na\nb\n"
    assert apply(text, [DeleteLine(one)]).text == "\ufeffb\n"
    assert apply(text, []).text == text
    with pytest.raises(StaleTagError):
        apply(text, [DeleteLine(line_tag(1, "a"))])


def test_a_moved_line_is_found() -> None:
    """A line whose number changed is found again, with its new tag; one that is gone is not."""
    texts = ["new", "new too", "alpha", "beta"]
    assert find_moved(line_tag(1, "alpha"), texts) == Moved(3, line_tag(3, "alpha"))
    assert find_moved(line_tag(1, "gone"), texts) is None
    assert find_moved("zzzzzzzz", []) is None


# Properties. A reference on lists of (text, terminator), written from the specification and not from the code.

Piece = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=4)
Ends = st.sampled_from(["\n", "\r\n"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Texts of a few lines with any mixture of terminators."""
    text = "".join(draw(Piece) + draw(Ends) for _ in range(draw(st.integers(0, 7))))
    if draw(st.booleans()):
        text += draw(Piece)
    return text.removeprefix("\ufeff")


Step = tuple[str, int, int, list[str]]
Steps = st.lists(
    st.tuples(
        st.sampled_from(["replace", "after", "before", "delete", "range", "append"]),
        st.integers(0, 8),
        st.integers(0, 3),
        st.lists(Piece.filter(lambda text: "\ufeff" not in text), min_size=1, max_size=3),
    ),
    max_size=6,
)


def as_operations(text: str, steps: list[Step]) -> list[Operation]:
    """Steps by line index as operations by tag; an index past the end becomes a tag that no line has."""
    lines = split_lines(text)
    tags = [line_tag(number, line.text) for number, line in enumerate(lines, start=1)]

    def tag(index: int) -> str:
        return tags[index] if index < len(tags) else "no such tag"

    out: list[Operation] = []
    for kind, index, more, pieces in steps:
        new_text = "\n".join(pieces)
        if kind == "replace":
            out.append(ReplaceLine(tag(index), new_text))
        elif kind == "after":
            out.append(InsertAfterTag(tag(index), new_text))
        elif kind == "before":
            out.append(InsertBeforeTag(tag(index), new_text))
        elif kind == "delete":
            out.append(DeleteLine(tag(index)))
        elif kind == "range":
            out.append(ReplaceRange(tag(index), tag(index + more), new_text))
        else:
            out.append(Append(new_text))
    return out


def reference(text: str, steps: list[Step]) -> list[str] | None:
    """The texts of the lines after the steps, by marking rows of one flat list; None when a step names no line."""
    rows: list[tuple[int | None, str]] = [(index, line.text) for index, line in enumerate(split_lines(text))]
    count = len(rows)
    gone: set[int] = set()

    def span(index: int) -> tuple[int, int]:
        places = [place for place, (owner, _) in enumerate(rows) if owner == index]
        return places[0], places[-1] + 1

    inserted_after: dict[int, int] = {}
    for kind, index, more, pieces in steps:
        if kind == "append":
            rows += [(None, piece) for piece in pieces]
            continue
        if index >= count or index in gone:
            return None
        if kind == "range":
            if index + more >= count or index + more in gone:
                return None
            first, last = span(index)[0], span(index + more)[1]
            rows[first:last] = [(index, piece) for piece in pieces]
            gone |= set(range(index + 1, index + more + 1))
            inserted_after[index] = inserted_after.pop(index + more, 0) if more else inserted_after.get(index, 0)
            continue
        first, last = span(index)
        if kind == "replace":
            rows[first:last] = [(index, piece) for piece in pieces]
        elif kind == "delete":
            del rows[first:last]
            gone.add(index)
        elif kind == "before":
            rows[first:first] = [(None, piece) for piece in pieces]
        else:
            place = last + inserted_after.get(index, 0)
            rows[place:place] = [(None, piece) for piece in pieces]
            inserted_after[index] = inserted_after.get(index, 0) + len(pieces)
    return [row for _, row in rows]


@given(text=texts(), steps=Steps)
def test_acceptance_1_apply_agrees_with_the_reference(text: str, steps: list[Step]) -> None:
    """Acceptance 1: the same lines as the reference, or an error from both; never a terminator lost or invented."""
    operations = as_operations(text, steps)
    expected = reference(text, steps)
    if expected is None:
        with pytest.raises((StaleTagError, EmptyContentError)):
            apply(text, operations)
        return
    edited = apply(text, operations).text
    got = split_lines(edited)
    if expected and expected[-1] == "" and not edited.endswith("\n"):
        expected.pop()  # an empty last line without a terminator has no bytes
    elif expected and expected[-1] == "" and len(got) == len(expected) - 1:
        expected.pop()
    assert [line.text for line in got] == expected


@given(text=texts(), steps=Steps)
def test_acceptance_1_untouched_lines_keep_their_bytes(text: str, steps: list[Step]) -> None:
    """Acceptance 1: lines that no operation names come out byte for byte, in order, terminators included; only an
    unterminated last line gets one when something follows it."""
    operations = as_operations(text, steps)
    if reference(text, steps) is None:
        return
    edited = apply(text, operations).text
    lines = split_lines(text)
    named: set[int] = set()
    for kind, index, more, _ in steps:
        if kind in ("replace", "delete"):
            named.add(index)
        elif kind == "range":
            named |= set(range(index, index + more + 1))
    position = 0
    for index, line in enumerate(lines):
        if index in named:
            continue
        whole = line.text + line.end
        found = edited.find(whole, position)
        assert found != -1, (text, edited, whole)
        position = found + len(whole)
        if not line.end:
            assert edited[position:] == "" or edited[position:].startswith(("\n", "\r\n"))


@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_splitting_loses_nothing(text: str) -> None:
    """Any text is its lines and terminators, and an edit of nothing changes nothing."""
    lines = split_lines(text)
    assert "".join(line.text + line.end for line in lines) == text
    assert all("\n" not in line.text for line in lines)
    assert all(line.end for line in lines[:-1])
    assert apply(text, []).text == text


@given(text=texts())
def test_replacing_every_line_by_itself_changes_nothing(text: str) -> None:
    """A round trip through the tags, unless a text ends in an unterminated carriage return."""
    lines = split_lines(text)
    operations = [ReplaceLine(line_tag(number, line.text), line.text) for number, line in enumerate(lines, start=1)]
    assert apply(text, operations).text == text


@given(text=texts(), steps=Steps)
def test_the_final_newline_stays_as_it_was(text: str, steps: list[Step]) -> None:
    """A text that ends with a terminator still does, whatever was done to its last line."""
    if not text or reference(text, steps) is None:
        return
    edited = apply(text, as_operations(text, steps)).text
    if text.endswith("\n"):
        assert edited.endswith("\n") or edited == ""
