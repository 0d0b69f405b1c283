"""Hashline: hashes, text form, edits (lago.md §7). The hash's vectors are those of FNV-1a (draft-eastlake-fnv), folded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.lago.hashline import LineEdit, apply_edits, line_hash, to_hashline

TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(("line", "fnv"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_hashes(line: str, fnv: int) -> None:
    """FNV-1a of 32 bits, halves xored."""
    assert line_hash(line) == f"{(fnv >> 16) ^ (fnv & 0xFFFF):04x}"


def at(text: str, number: int, op: str, new: str | None = None) -> LineEdit:
    """An edit of a line as it is."""
    return LineEdit(op=op, line_num=number, anchor_hash=line_hash(text.split("\n")[number - 1]), new_content=new)


@given(TEXT)
def test_the_text_form_has_every_line(text: str) -> None:
    """The contents of the lines are the text; an empty file has none."""
    lines = to_hashline(text).split("\n") if text else []
    assert "\n".join(line.partition("|")[2] for line in lines) == text
    assert apply_edits(text, []) == text


@given(TEXT.filter(bool), TEXT, st.data())
def test_each_operation(text: str, new: str, data: st.DataObject) -> None:
    """Replace, insert and delete do what slicing the lines does."""
    lines = text.split("\n")
    number = data.draw(st.integers(1, len(lines)))
    before, line, after = lines[: number - 1], lines[number - 1], lines[number:]
    assert apply_edits(text, [at(text, number, "Replace", new)]) == "\n".join([*before, *new.split("\n"), *after])
    assert apply_edits(text, [at(text, number, "insert_after", new)]) == "\n".join(
        [*before, line, *new.split("\n"), *after]
    )
    assert apply_edits(text, [at(text, number, "InsertBefore", new)]) == "\n".join(
        [*before, *new.split("\n"), line, *after]
    )
    assert apply_edits(text, [at(text, number, "Delete")]) == "\n".join([*before, *after])
    whole = LineEdit(
        op="ReplaceRange",
        start_line=1,
        start_hash=line_hash(lines[0]),
        end_line=number,
        end_hash=line_hash(line),
        new_content=new,
    )
    assert apply_edits(text, [whole]) == "\n".join([*new.split("\n"), *after])


def test_edits_are_made_from_the_bottom_up() -> None:
    """Numbers are those of the text that was read, whatever the order of the edits."""
    text = "1\n2\n3"
    edits = [at(text, 1, "InsertAfter", "x\ny"), at(text, 3, "Replace", "z"), at(text, 2, "Delete")]
    assert apply_edits(text, edits) == apply_edits(text, edits[::-1]) == "1\nx\ny\nz"


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("a", [LineEdit(op="Replace", line_num=1, anchor_hash="0000", new_content="x")]),
        ("a", [LineEdit(op="Replace", line_num=2, anchor_hash="cd20", new_content="x")]),
        ("a", [LineEdit(op="Replace", line_num=0, anchor_hash="cd20", new_content="x")]),
        ("a", [LineEdit(op="Replace", line_num=1, anchor_hash="cd20")]),
        ("a", [LineEdit(op="Replace", new_content="x")]),
        ("a", [LineEdit(op="Shuffle", line_num=1, anchor_hash="cd20")]),
        ("", [LineEdit(op="Delete", line_num=1, anchor_hash="1cd9")]),
        ("a\nb", [at("a\nb", 1, "Delete"), at("a\nb", 1, "Delete")]),
        (
            "a\na",
            [LineEdit(op="ReplaceRange", start_line=2, start_hash="cd20", end_line=1, end_hash="cd20", new_content="")],
        ),
    ],
)
def test_edits_that_do_not_hold_change_nothing(text: str, edits: list[LineEdit]) -> None:
    """A hash that differs, a line that is not there, two edits of one line, a range that ends before it begins."""
    with pytest.raises(InvalidInputError):
        apply_edits(text, edits)
