"""BM25 over FTS5, against the formula written out."""

from __future__ import annotations

import math
import random
import re

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.lago.knowledge.words import Words, idf


def words_of(texts: dict[int, str]) -> Words:
    words = Words(apsw.Connection(":memory:"))
    for number, text in texts.items():
        words.add(number, text)
    return words


def reference_scores(texts: dict[int, str], terms: list[str], k1: float = 1.2, b: float = 0.75) -> dict[int, float]:
    """The formula of lago.md §13, word for word."""
    tokens = {number: re.findall(r"[a-z0-9]+", text.lower()) for number, text in texts.items()}
    count = len(tokens)
    average = sum(map(len, tokens.values())) / count
    scores: dict[int, float] = {}
    for number, words in tokens.items():
        total = 0.0
        for term in terms:
            holding = sum(term in other for other in tokens.values())
            weight = max(0.0, math.log((count - holding + 0.5) / (holding + 0.5) + 1))
            tf = words.count(term)
            total += weight * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(words) / average))
        if total:
            scores[number] = total
    return scores


def test_one_number_by_hand() -> None:
    """Two texts, one has the word: idf ln(1.5/1.5 + 1), tf 1, length 2 of an average of 3."""
    words = words_of({1: "lake water", 2: "one two three four"})
    assert words.scores(["lake"]) == pytest.approx({1: math.log(2) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 3))})
    assert idf(1, 1) == pytest.approx(math.log(0.5 / 1.5 + 1))


def test_random_texts_score_as_the_formula_says() -> None:
    """Two hundred texts, after changes and removals too."""
    rng = random.Random(4)
    vocabulary = [f"w{number}" for number in range(60)]
    texts = {number: " ".join(rng.choices(vocabulary, k=rng.randint(1, 40))) for number in range(1, 201)}
    words = words_of(texts)
    for number in range(1, 60):
        words.remove(number, texts.pop(number))
        if number % 2:
            texts[number] = " ".join(rng.choices(vocabulary, k=rng.randint(0, 40)))
            words.add(number, texts[number])
    for _ in range(50):
        terms = rng.sample(vocabulary, k=rng.randint(1, 5))
        assert words.scores(terms) == pytest.approx(reference_scores(texts, terms))
    words.load()
    assert words.scores(["w1", "w2"]) == pytest.approx(reference_scores(texts, ["w1", "w2"]))


def test_words_of_every_script() -> None:
    """Letters count without their marks, scripts without blanks character by character; a part of a word is no match."""
    words = words_of({1: "Grüße aus Köln", 2: "東京の湖", 3: "concatenate"})
    assert words.terms("GRUSSE grüße KÖLN") == ["grusse", "grüße".replace("ü", "u"), "koln"]
    assert set(words.scores(words.terms("koln"))) == {1}
    assert set(words.scores(words.terms("湖"))) == {2}
    assert words.scores(words.terms("cat")) == {}
    assert words.scores([]) == {}
    assert words_of({}).scores(["a"]) == {}


@given(st.text())
def test_no_query_is_syntax(query: str) -> None:
    """Any text is words and nothing else."""
    words = words_of({1: "lake water", 2: "NEAR AND OR NOT"})
    assert set(words.scores(words.terms(query))) <= {1, 2}


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "lake*",
        "words : lake",
        "lake AND",
        "NEAR(lake water)",
        "'; DROP TABLE words; --",
        "^lake",
        "-lake",
        "{lake}",
    ],
)
def test_fts_operators_are_no_operators(query: str) -> None:
    """What FTS5 would take for an operator is passed over, or a word."""
    words = words_of({1: "lake water", 2: "river"})
    found = words.scores(words.terms(query))
    assert set(found) == ({1} if "lake" in query else set())
    assert set(words.scores(["river"])) == {2}
