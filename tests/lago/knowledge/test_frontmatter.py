"""Frontmatter: where it is, what is taken, and what can't be done with it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.lago.knowledge.frontmatter import UnfitYamlError, read_yaml, split_frontmatter


def test_frontmatter_is_what_the_rule_says() -> None:
    """An optional byte-order mark, `---`, a line end, YAML, a line that begins with `---` (lago.md §13)."""
    for text in (
        "---\na: 1\n---\nbody",
        "\ufeff---\na: 1\n---\nbody",
        "---\r\na: 1\r\n---\r\nbody",
        "---\na: 1\n--- \nbody",
        "---\na: 1\n-----\nbody",
    ):
        assert split_frontmatter(text)[:2] == ({"a": 1}, "body"), text
    assert split_frontmatter("---\na: 1\n---") == ({"a": 1}, "", None)
    assert split_frontmatter("---\n---\nbody") == ({}, "body", None)
    assert split_frontmatter("---\n# only a comment\n---\nbody") == ({}, "body", None)


@pytest.mark.parametrize(
    "text",
    [
        "no frontmatter",
        "text\n---\na: 1\n---\nmore",
        " ---\na: 1\n---\n",
        "----\na: 1\n---\n",
        "--- \na: 1\n---\n",
        "---\na: 1\nno end",
        "---\nTwo rules, and text between them\n---\nbody",
        "---\n- a\n- list\n---\nbody",
        "---\n\n---x: 1",
    ],
)
def test_anything_else_is_body(text: str) -> None:
    """Elsewhere, without an end, or no mapping: metadata is nothing, and not a character of the text is lost."""
    frontmatter, body, problem = split_frontmatter(text)
    if text.startswith("---\n\n---"):
        assert (frontmatter, body, problem) == ({}, "", None)
    else:
        assert (frontmatter, body, problem) == (None, text, None)


def test_bad_yaml_is_body_and_named() -> None:
    """Bad YAML makes everything body, and says so."""
    text = "---\na: [\n---\nbody"
    frontmatter, body, problem = split_frontmatter(text)
    assert (frontmatter, body) == (None, text)
    assert problem is not None
    assert problem.startswith("frontmatter: ")


def test_scalars_follow_the_core_schema() -> None:
    """Dates, times and the words `no` and `on` are text; numbers and truth values are what they look like."""
    found = read_yaml(
        "date: 2024-01-02\ntime: 12:30:00\nstamp: 2024-01-02T03:04:05Z\nword: no\nswitch: on\nyes: true\nnone:\ntilde: ~\n"
        "int: -7\noctal: 010\nfloat: 1.5e3\nquoted: '5'\ninf: .inf\nlong: 123456789012345678901\nblock: |\n  two\n  lines\n2: two\n"
    )
    assert found == {
        "date": "2024-01-02",
        "time": "12:30:00",
        "stamp": "2024-01-02T03:04:05Z",
        "word": "no",
        "switch": "on",
        "yes": True,
        "none": None,
        "tilde": None,
        "int": -7,
        "octal": 10,
        "float": 1500.0,
        "quoted": "5",
        "inf": ".inf",
        "long": 123456789012345678901.0,
        "block": "two\nlines\n",
        "2": "two",
    }


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        "a: !!binary aGk=",
        "a: !custom 1",
        "a: &x [1]\nb: *x",
        "a: &x\n  b: *x",
        "base: &b {k: 1}\nc: {<<: *b}",
        "a: 1\n---\nb: 2",
        "? [complex]\n: 1",
        "a: " + "[" * 40 + "]" * 40,
        "- " * 60 + "x",
        "[" + "1," * 20_000 + "1]",
        "a: '" + "x" * 70_000 + "'",
        "a: \x00",
        "a: b: c",
    ],
)
def test_nothing_is_executed_or_blown_up(text: str) -> None:
    """Tags that construct, aliases, merge keys, several documents, depth and size are refused (a YAML bomb needs one of them)."""
    with pytest.raises(UnfitYamlError):
        read_yaml(text)


@pytest.mark.parametrize(
    "text", ["[" * 60_000, "{" * 60_000, "- " * 30_000, "? " * 30_000, "&a " * 20_000, "a: *a\n" * 9_000]
)
def test_hostile_depth_ends_at_once(text: str) -> None:
    """Tens of thousands of open brackets neither overflow a stack nor take long."""
    began = time.monotonic()
    with pytest.raises(UnfitYamlError):
        read_yaml(text)
    assert time.monotonic() - began < 20


@given(st.text())
def test_any_text_is_split_without_an_error(text: str) -> None:
    """Whatever it is, it has a body, which ends as the text does."""
    for whole in (text, "---\n" + text, "---\n" + text + "\n---\nbody"):
        _, body, _ = split_frontmatter(whole)
        assert whole.endswith(body)
