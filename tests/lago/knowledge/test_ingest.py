"""From files to memories: forms, cutting, noise, secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.lago.knowledge.ingest import Cutting, Paragraphs, Windows, ingest, is_noise
from life.lago.knowledge.redaction import PREFIXES, redact

LONG = "A paragraph that is longer than forty characters, for sure."
BODY = "abcdEFGH1234"


def contents(name: str, text: str, cutting: Cutting = "whole") -> list[str]:
    return [cube.content for cube in ingest(name, text, now_us=7, cutting=cutting)]


def test_cubes_are_episodic_with_their_source() -> None:
    """Importance 0.5, confidence 0.7; the same text of the same file is the same cube."""
    (cube,) = ingest("a.txt", LONG, now_us=7)
    assert (cube.tier, cube.importance, cube.confidence, cube.source, cube.created_at_us) == (
        "episodic",
        0.5,
        0.7,
        "a.txt",
        7,
    )
    (again,) = ingest("a.txt", LONG, now_us=9)
    assert again.cube_id == cube.cube_id
    assert ingest("b.txt", LONG, now_us=7)[0].cube_id != cube.cube_id


def test_transcripts_give_their_texts() -> None:
    """`message` or `content` when it is a text; other lines are passed over."""
    text = (
        '{"message": "first words"}\n{"content": "second words"}\n{"message": {"a": 1}}\nnot json\n[1]\n{"x": "none"}\n'
    )
    assert contents("t.jsonl", text) == ["first words", "second words"]


def test_only_frontmatter_at_the_start_is_taken_off() -> None:
    """A rule further down stays."""
    assert contents("n.md", "---\na: 1\n---\nbody text") == ["body text"]
    assert contents("n.md", "before\n---\na: 1\n---\nafter") == ["before\n---\na: 1\n---\nafter"]


def test_cutting() -> None:
    """Paragraphs of forty characters, windows that overlap, or the whole."""
    text = f"short\n\n{LONG}\n \n{LONG}x"
    assert contents("a.txt", text, Paragraphs()) == [LONG, LONG + "x"]
    assert contents("a.txt", text, Paragraphs(5)) == ["short", LONG, LONG + "x"]
    assert contents("a.txt", "abcdefghij", Windows(6, 1)) == ["abcdef", "fghij"]
    assert contents("a.txt", "abcdefghijk", Windows(6, 1)) == ["abcdef", "fghijk"]
    assert contents("a.txt", "abcde", Windows(6, 1)) == ["abcde"]
    for windows in (Windows(5, 5), Windows(5, 6), Windows(0, 0), Windows(5, -1)):
        with pytest.raises(InvalidInputError):
            contents("a.txt", "abc", windows)


def test_noise_is_dropped() -> None:
    """Under five characters, reminders, notifications, tool results."""
    for text in ("four", "    x   ", "<system-reminder>do", " <task-notification>", 'a "toolUseResult": 1'):
        assert is_noise(text)
        assert contents("a.txt", text) == []
    assert not is_noise("fives")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_secret_of_every_prefix_goes(prefix: str) -> None:
    """All occurrences, in quotes, after an equals sign, at the ends."""
    secret = prefix + BODY
    text = f"{secret} KEY={secret},'{secret}' {secret}"
    assert BODY not in redact(text)
    assert redact(text).count("[REDACTED]") == 4
    assert all(BODY not in piece for piece in contents("a.txt", f"x {secret} y", Windows(9, 3)))


def test_words_are_no_secrets() -> None:
    """A prefix inside a word, or with too little behind it, stays."""
    for text in ("risk-averse-people", "sk-learn", "task-notification", "the ask-me-anything"):
        assert redact(text) == text


@given(st.text())
def test_redaction_is_stable(text: str) -> None:
    """Once more changes nothing."""
    assert redact(redact(text)) == redact(text)
