"""Scores with their numbers."""

from __future__ import annotations

import math

import pytest

from life.lago.knowledge.index import NoteIndex
from life.lago.knowledge.ranking import HALF_LIFE_US, query_terms, rank, rank_scored
from life.lago.knowledge.words import idf
from tests.lago.knowledge.kit import index_of

PLAIN = {"/a.md": "lake", "/b.md": "river", "/c.md": "stone", "/d.md": "wood"}


def scores(index: NoteIndex, query: str, *, now_us: int | None = None) -> dict[str, float]:
    return {index.graph[item.number].path: item.score for item in rank(index, query, now_us=now_us)}


def bm25(count: int, holding: int, tf: int, length: int, average: float) -> float:
    return idf(count, holding) * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average))


def test_bm25_is_over_name_and_body() -> None:
    """Every note is `name body`: two words each here; the one that has the word is found, no other."""
    assert scores(index_of(PLAIN), "lake") == pytest.approx({"/a.md": bm25(4, 1, 1, 2, 2)})
    assert scores(index_of(PLAIN), "nothing") == {}
    assert scores(index_of(PLAIN), "") == {}


def test_names_and_tags_add_thirty_hundredths_a_match_and_term() -> None:
    """keyword = 0.30 · (names matched + tags matched)/terms; a tag alone is enough for the hybrid search."""
    index = index_of({"/lake.md": "x", "/b.md": "---\ntags: [Lake, deep-water]\n---\ny", "/c.md": "z"})
    name = bm25(3, 1, 1, 2, 2)
    assert scores(index, "lake") == pytest.approx({"/lake.md": name + 0.30, "/b.md": 0.30})
    found = scores(index, "lake deep-water")
    assert found["/b.md"] == pytest.approx(0.30 * 2 / 2)
    assert found["/lake.md"] == pytest.approx(name + 0.30 * 1 / 2)  # of two, none is above the median


def test_part_of_a_word_is_no_match_in_the_hybrid_search() -> None:
    """`cat` is not in `concatenate`."""
    index = index_of({"/concatenate.md": "concatenate", "/cat.md": "x"})
    assert list(scores(index, "cat")) == ["/cat.md"]


def test_graph_is_the_mean_nearness_to_the_notes_above_the_median() -> None:
    """Base scores 3 × equal and one higher: the one above the median lifts whoever links to it."""
    index = index_of(
        {
            "/top.md": "lake lake lake",
            "/near.md": "lake x [[top]]",
            "/next.md": "lake x [[near]]",
            "/away.md": "lake x [[none]]",
        }
    )
    base = {
        "/top.md": bm25(4, 4, 3, 4, 4),
        "/near.md": bm25(4, 4, 1, 4, 4),
        "/next.md": bm25(4, 4, 1, 4, 4),
        "/away.md": bm25(4, 4, 1, 4, 4),
    }
    expected = {
        "/top.md": base["/top.md"] + 0.15,
        "/near.md": base["/near.md"] + 0.15 / 2,
        "/next.md": base["/next.md"] + 0.15 / 3,
        "/away.md": base["/away.md"],
    }
    found = scores(index, "lake")
    assert found == pytest.approx(expected)
    assert list(found) == ["/top.md", "/near.md", "/next.md", "/away.md"]


def test_one_note_has_nobody_above_the_median() -> None:
    """Then the graph adds nothing."""
    assert scores(index_of({"/a.md": "lake [[a]]"}), "lake") == pytest.approx({"/a.md": bm25(1, 1, 1, 3, 3)})


def test_equal_scores_are_in_the_order_of_paths() -> None:
    """Whatever order they were written in; ten unless told otherwise."""
    names = [f"/n{number:02}.md" for number in range(30)]
    index = index_of(dict.fromkeys(reversed(names), "lake"))
    assert list(scores(index, "lake")) == names[:10]
    assert [index.graph[item.number].path for item in rank(index, "lake", limit=30)] == names
    assert [index.graph[item.number].path for item in rank_scored(index, "lake", limit=30)] == names


def test_early_endings_change_no_result() -> None:
    """What nearness could still lift is looked at: the first three of many are the first three of all."""
    notes = {f"/n{number:03}.md": "lake " * (1 + number % 5) + f"[[n{(number * 7) % 120:03}]]" for number in range(120)}
    index = index_of(notes)
    everything = rank(index, "lake", limit=100)
    assert rank(index, "lake", limit=3) == everything[:3]
    assert rank(index, "lake", limit=1) == everything[:1]


def test_recency_halves_every_thirty_days() -> None:
    """Only when it is asked for: 0.15 now, 0.075 after thirty days, never more for what is from the future."""
    index = index_of({"/a.md": "lake"}, updated_at_us=1000)
    plain = scores(index, "lake")["/a.md"]
    for age_us, extra in ((0, 0.15), (HALF_LIFE_US, 0.075), (2 * HALF_LIFE_US, 0.0375), (-1000, 0.15)):
        assert scores(index, "lake", now_us=1000 + age_us)["/a.md"] == pytest.approx(plain + extra)


def test_the_plain_score_counts_containment() -> None:
    """One per term in the body, two per term in the name, one per equal tag; a tag alone is not enough."""
    index = index_of(
        {
            "/concatenate.md": "The cat sat",
            "/b.md": "---\ntags: [cat, sat]\n---\nCATS",
            "/c.md": "---\ntags: [cat]\n---\nnothing",
        }
    )
    found = {index.graph[item.number].path: item.score for item in rank_scored(index, "Cat sat")}
    assert found == {"/concatenate.md": 2 + 2 * 1, "/b.md": 1 + 2}


def test_terms() -> None:
    """Lower case, at blanks, each once, at most 32."""
    assert query_terms("  Lake\tLAKE water\n") == ["lake", "water"]
    assert len(query_terms(" ".join(map(str, range(100))))) == 32
    assert math.isfinite(sum(scores(index_of(PLAIN), "lake " * 5000).values()))
