"""Wikilinks: the pattern, what is code, and how keys are made."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.lago.knowledge.links import is_attachment, link_key, mask_code, path_key, reference_key, wikilinks

PATTERN = re.compile(r"\[\[([^\]|]+)(?:\|[^\]]+)?\]\]")  # lago.md §13


@pytest.mark.parametrize(
    ("body", "links"),
    [
        ("[[a]] [[ b |shown]] [[c#part]]", ("a", "b", "c#part")),
        ("[[a]] [[b]] [[a]]", ("a", "b")),
        ("[[A]] [[a]]", ("A", "a")),
        ("![[picture.png]]", ("picture.png",)),
        ("[[]] [[|x]] [[ ]] [[a|]] [a] [[a] ]", ()),
        ("[[[a]]", ("[a",)),
        ("[[a]b]] [[c]]", ("c",)),
        ("[[a\nb]]", ("a\nb",)),
    ],
)
def test_links_are_what_the_pattern_finds(body: str, links: tuple[str, ...]) -> None:
    """Trimmed, the first occurrence kept, the heading kept, nothing empty."""
    assert wikilinks(body) == links


@pytest.mark.parametrize(
    "body",
    [
        "`[[a]]`",
        "``x ` [[a]] ``",
        "```\n[[a]]\n```",
        "~~~ text\n[[a]]\n~~~",
        "````\n```\n[[a]]\n````",
        "```\nnever closed [[a]]",
        "   ```\n[[a]]\n   ```",
        "`two\nlines [[a]]`",
    ],
)
def test_code_holds_no_links(body: str) -> None:
    """Fences and spans as CommonMark has them."""
    assert wikilinks(body) == ()


@pytest.mark.parametrize(
    "body",
    [
        "` [[a]]",
        "`` ` [[a]]",
        "`a\n\n[[a]] `",
        "```\nx\n```\n[[a]]",
        "    ```\n[[a]]",
        "\\`[[a]]`",
        "~~~\nx\n~~~\n`y` [[a]]",
        "``` ` ```\n[[a]]",
    ],
)
def test_what_only_looks_like_code_holds_links(body: str) -> None:
    """Backticks without a partner, a blank line between them, a fence that is closed or indented too far."""
    assert wikilinks(body) == ("a",)


@given(st.text(alphabet="[]|#ab \n"))
def test_the_scan_finds_what_the_expression_finds(body: str) -> None:
    """Without code, the one-pass scan equals the regular expression."""
    expected = dict.fromkeys(found.strip() for found in PATTERN.findall(body) if found.strip())
    assert wikilinks(body) == tuple(expected)


@given(st.text(alphabet="`~[]a \n\\"))
def test_masking_keeps_every_character_in_its_place(body: str) -> None:
    """Code becomes blanks of the same length, everything else stays."""
    masked = mask_code(body)
    assert len(masked) == len(body)
    assert all(m in (b, " ") for b, m in zip(body, masked, strict=True))


@given(st.text())
def test_any_text_is_parsed(body: str) -> None:
    """No text is an error."""
    assert isinstance(wikilinks(body), tuple)


@pytest.mark.parametrize("piece", ["[[", "[[a|", "[[a]", "`", "``a`", "[[a|b", "```\n", "\n\n`", "`a`[["])
def test_a_megabyte_of_anything_is_quick(piece: str) -> None:
    """Time grows with the length, not with its square."""
    body = piece * (1_000_000 // len(piece))
    began = time.monotonic()
    wikilinks(body)
    wikilinks(body + "]")
    assert time.monotonic() - began < 30


def test_keys() -> None:
    """A link is cut at `#`, trimmed and in lower case; a person's reference may have brackets, suffix and a leading slash."""
    assert link_key("Note#Part") == "note"
    assert link_key(" Folder/Note ") == "folder/note"
    assert link_key("#here") == ""
    assert path_key("/Folder/Note.md") == "folder/note"
    for reference in ("Note", "note.md", "[[Note]]", "[[Note#x|shown]]", " NOTE "):
        assert reference_key(reference) == "note"
    for reference in ("/folder/Note.md", "folder/note", "./folder/note.md", "[[/Folder/Note]]"):
        assert reference_key(reference) == "folder/note"
    assert is_attachment("a.png")
    assert not is_attachment("a.b")
