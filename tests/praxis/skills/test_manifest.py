"""Reading SKILL.md: what is required, what is understood, and what hostile files can't do (praxis.md §6.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.errors import SkillError
from life.praxis.skills.manifest import parse_manifest

FULL = b"""---
name: review-python
description: >
  How to review.
  Use before a merge.
license: MIT
compatibility: needs git
tags: [review, python]
allowed-tools: Read Grep(src:*) bash mcp__files__*
user-invocable: false
disable-model-invocation: true
metadata:
  author: ann
version: 2
---

First look at the tests.
---
A line of dashes in the body stays.
"""


def test_a_full_file_is_understood() -> None:
    """Every key of the convention, the names of other hosts' tools, and unknown keys as metadata."""
    manifest = parse_manifest(FULL)
    assert (manifest.name, manifest.description) == ("review-python", "How to review. Use before a merge.")
    assert manifest.license == "MIT"
    assert manifest.compatibility == "needs git"
    assert manifest.tags == ("review", "python")
    assert manifest.allowed_tools == ("read_file", "bash", "mcp__files__*")
    assert (manifest.user_invocable, manifest.model_invocable) == (False, False)
    assert manifest.metadata == {"metadata": {"author": "ann"}, "version": 2}
    assert manifest.body.startswith("First look") and manifest.body.endswith("stays.")
    assert "Grep(src:*)" in manifest.remarks[0]


def test_a_minimal_file_narrows_nothing() -> None:
    """Name and description are enough; then both may invoke it and all tools stay."""
    manifest = parse_manifest(b"---\nname: a\ndescription: b\n---\n")
    assert (manifest.allowed_tools, manifest.user_invocable, manifest.model_invocable) == (None, True, True)
    assert parse_manifest(b"---\nname: a\ndescription: b\nallowed-tools: []\n---\n").allowed_tools == ()
    assert parse_manifest(b"\xef\xbb\xbf---\r\nname: a\r\ndescription: b\r\n---\r\nx\r\n").body == "x"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no frontmatter", "frontmatter"),
        (b"---\nname: a\ndescription: b\n", "no end"),
        (b"---\ndescription: b\n---\n", "no name"),
        (b"---\nname: ''\ndescription: b\n---\n", "no name"),
        (b"---\nname: a\n---\n", "no description"),
        (b"---\nname: ../../etc\ndescription: b\n---\n", "lower-case"),
        (b"---\nname: A\ndescription: b\n---\n", "lower-case"),
        (b"---\nname: a--b\ndescription: b\n---\n", "lower-case"),
        (b"---\nname: " + b"a" * 65 + b"\ndescription: b\n---\n", "1 to 64"),
        (b"---\nname: [a]\ndescription: b\n---\n", "no name"),
        (b"---\n- a\n---\n", "mapping"),
        (b"---\nname: a: b\n---\n", "mapping"),
        (b"---\nname: &x a\ndescription: *x\n---\n", "alias"),
        (b"---\nname: !!python/object/apply:os.system [id]\n---\n", "mapping"),
        (b"---\nname: a\ndescription: b\nallowed-tools: {a: b}\n---\n", "list"),
        (b"---\nname: a\ndescription: b\nuser-invocable: maybe\n---\n", "true or false"),
        (b"---\nname: a\ndescription: " + b"x" * 20_000 + b"\n---\n", "larger"),
        (b"---\nname: a\ndescription: b\n---\n" + b"x" * 70_000, "characters"),
        (b"---\nname: a\ndescription: b\n---\n" + b"x" * 200_000, "larger"),
        (b"---\nname: a\ndescription: \xff\n---\n", "UTF-8"),
        (b"---\nname: a\ndescription: b\nx: " + b"[" * 5_000 + b"\n---\n", "mapping"),
        (b"---\nname: a\ndescription: b\nx: " + b"{" * 15_000 + b"\n---\n", "mapping"),
        (b"---\nname: a\ndescription: b\nx:\n  " + b"- " * 7_000 + b"\n---\n", "mapping"),
        (b"---\nname: a\ndescription: b\nx:\n  " + b"? " * 7_000 + b"\n---\n", "mapping"),
        (b"---\nname: a\ndescription: b\nx: [" + b"a, " * 5_000 + b"\n---\n", "mapping"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, words: str) -> None:
    """Every malformed or hostile file is a SkillError with its reason, never another exception."""
    with pytest.raises(SkillError, match=words):
        parse_manifest(content)


def test_a_description_can_not_break_out_of_its_line() -> None:
    """Line breaks and invisible characters of a description become blanks, and its length has an end."""
    manifest = parse_manifest(
        '---\nname: a\ndescription: "one\\ntwo\u202e\u200b '.encode() + b"x" * 3_000 + b'"\n---\n'
    )
    assert "\n" not in manifest.description
    assert "\u202e" not in manifest.description
    assert len(manifest.description) == 1_024


@given(st.binary(max_size=400))
def test_any_bytes_are_a_manifest_or_a_skill_error(content: bytes) -> None:
    """Nothing else comes out, whatever goes in."""
    for candidate in (content, b"---\n" + content + b"\n---\nbody"):
        try:
            parse_manifest(candidate)
        except SkillError:
            pass
