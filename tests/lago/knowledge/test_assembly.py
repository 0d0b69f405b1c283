"""Cited context within a budget, and memory cubes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.lago.knowledge.assembly import assemble, passage
from life.lago.knowledge.cubes import (
    WEIGHTS,
    MemoryCube,
    Tier,
    assemble_cubes,
    compile_cubes,
    cube_score,
    total_tokens,
)
from life.lago.knowledge.text import count_tokens
from tests.lago.knowledge.kit import digest, index_of

HOUR_US = 3_600_000_000


def cube(cube_id: str, content: str = "lake", *, tier: Tier = "semantic", **rest: float | int | None) -> MemoryCube:
    return MemoryCube(cube_id=cube_id, tier=tier, content=content, source="s", created_at_us=0, **rest)  # type: ignore[arg-type]


def test_every_excerpt_cites_path_event_and_hash() -> None:
    """In the text as in the data; lines are quoted, so a note can't write a citation."""
    text = "intro\n\nThe lake.\n[1] /fake.md · sequence 9 · sha256 00\n\nmore"
    found = assemble(index_of({"/a.md": text, "/b.md": "x"}), "lake", budget_tokens=200)
    (excerpt,) = found.excerpts
    assert (excerpt.path, excerpt.sequence, excerpt.blob_hash) == ("/a.md", 1, digest(text))
    assert found.text.startswith(f"[1] /a.md · sequence 1 · sha256 {digest(text)}\n> The lake.\n> [1] /fake.md")
    assert found.text.endswith("> more\n\n")
    assert found.tokens == excerpt.tokens == count_tokens(found.text)


@given(st.integers(1, 400), st.lists(st.integers(1, 900), min_size=1, max_size=6))
def test_the_budget_is_never_exceeded(budget: int, lengths: list[int]) -> None:
    """Whatever the notes are; what does not fit is counted."""
    index = index_of({f"/n{n}.md": "lake " + "é" * length for n, length in enumerate(lengths)})
    found = assemble(index, "lake", budget_tokens=budget)
    assert count_tokens(found.text) <= found.tokens <= budget
    assert len(found.excerpts) + found.left_out == len(lengths)


def test_a_long_note_does_not_keep_a_short_one_out() -> None:
    """What does not fit is skipped, not the end."""
    index = index_of({"/long.md": "lake lake " + "x" * 2000, "/short.md": "lake"})
    found = assemble(index, "lake", budget_tokens=40)
    assert [excerpt.path for excerpt in found.excerpts] == ["/short.md"]
    assert found.left_out == 1
    for budget in (0, -1, 10**9):
        with pytest.raises(InvalidInputError):
            assemble(index, "lake", budget_tokens=budget)


def test_the_best_paragraph_comes_with_what_follows_it() -> None:
    """Most words of the query, the first of equals, up to 300 tokens."""
    assert passage("a\n\nlake river\n\nlake\n\nend", ["lake", "river"]) == "lake river\n\nlake\n\nend"
    assert passage("a lake\n\nb lake", ["lake"]) == "a lake\n\nb lake"
    assert passage("lake\n\n" + "x" * 1199, ["lake"]) == "lake"
    assert len(passage("x" * 9000, ["lake"])) == 1200
    assert passage("\n\n \n", ["lake"]) == ""


def test_relevance_fades_and_ends() -> None:
    """importance · confidence · e^(−0.01 · hours), 0 outside its time."""
    assert cube("a").relevance(0) == 0.25
    assert cube("a", importance=0.8, confidence=0.5).relevance(100 * HOUR_US) == pytest.approx(0.4 * math.exp(-1))
    bounded = cube("a", valid_from_us=10, valid_to_us=20)
    assert [bounded.relevance(at) > 0 for at in (9, 10, 19, 20)] == [False, True, True, False]
    assert cube("a").relevance(-HOUR_US) == 0.25


def test_cubes_are_taken_by_relevance_as_they_fit() -> None:
    """Highest first, skipping what does not fit; equal ones by id."""
    cubes = [
        cube("c", "x" * 16, importance=0.5),
        cube("b", "x" * 400, importance=0.9),
        cube("a", "x" * 16, importance=0.5),
        cube("d", "x" * 16, importance=1.0),
        cube("e", "x", valid_to_us=1),
    ]
    taken = assemble_cubes(cubes, budget_tokens=9, now_us=5)
    assert [item.cube_id for item in taken] == ["d", "a"]
    assert total_tokens(taken) == 8
    with pytest.raises(InvalidInputError):
        assemble_cubes(cubes, budget_tokens=-1, now_us=5)


def test_the_compiler_weighs_keyword_recency_importance_and_tier() -> None:
    """Each strategy's weights add up to 1; the parts are those of lago.md §15."""
    words = frozenset(("lake", "river"))
    item = cube("a", "the Lake", importance=0.5)
    now = 100 * HOUR_US
    for tier, value in {"procedural": 0.8, "semantic": 0.6, "meta": 0.5, "episodic": 0.3, "working": 0.1}.items():
        made = MemoryCube(cube_id="a", tier=tier, content="the Lake", source="s", created_at_us=0)  # type: ignore[arg-type]
        expected = 0.35 * 0.5 + 0.30 * math.exp(-1) + 0.20 * 0.5 + 0.15 * value
        assert cube_score(made, words, now_us=now, weights=WEIGHTS["balanced"]) == pytest.approx(expected)
    assert WEIGHTS["recency_first"] == (0.15, 0.55, 0.15, 0.15)
    assert WEIGHTS["relevance_first"] == (0.55, 0.15, 0.15, 0.15)
    assert WEIGHTS["diverse"] == (0.30, 0.25, 0.15, 0.30)
    assert all(sum(weights) == pytest.approx(1) for weights in WEIGHTS.values())
    assert cube_score(item, frozenset(), now_us=0, weights=WEIGHTS["balanced"]) == pytest.approx(0.3 + 0.1 + 0.09)


def test_the_compiler_has_a_threshold_and_a_limit_per_tier() -> None:
    """Below 0.2 nothing, of a tier twenty."""
    old = cube("old", "nothing", tier="working", importance=0.1)
    assert compile_cubes([old], "lake", budget_tokens=100, now_us=10_000 * HOUR_US) == []
    many = [cube(f"m{n:02}") for n in range(30)] + [cube("p", "other", tier="procedural")]
    chosen = compile_cubes(many, "lake", budget_tokens=1000, now_us=0)
    assert [item.cube_id for item in chosen] == [*(f"m{n:02}" for n in range(20)), "p"]
    first = compile_cubes(many, "other", budget_tokens=2, now_us=0, strategy="relevance_first")
    assert [item.cube_id for item in first] == ["p"]
