"""The stand-in for an embedding service: real vectors, and a price by length."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.host.demos.embeddings import DIMENSIONS, embed, embedding_price_micro, embeddings, likeness, tokens_of


@given(st.text())
def test_a_vector_has_length_one_or_none(text: str) -> None:
    """Whatever the text: the same vector every time, of length 1, or all zeros where there is no word."""
    vector = embed(text)
    assert len(vector) == DIMENSIONS
    assert vector == embed(text)
    length = math.sqrt(sum(value * value for value in vector))
    assert length == pytest.approx(1.0) or length == 0.0


def test_texts_with_words_in_common_are_near() -> None:
    """The nearer of two is the one that speaks of the same things."""
    asked = embed("an append-only journal of events")
    near = likeness(asked, embed("The journal holds events; it is append-only."))
    far = likeness(asked, embed("The loss falls when parameters move against the gradient."))
    assert near > far
    assert likeness(asked, asked) == pytest.approx(1.0)


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_price_is_whole_and_rounded_up(size: int, rate: int) -> None:
    """At least a micro-USD, never less than the tokens cost, and less than one more."""
    price = embedding_price_micro(size, rate)
    exact = tokens_of(size) * rate
    assert price >= 1
    assert price * 1_000_000 >= exact
    assert price == 1 or (price - 1) * 1_000_000 < exact


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"input": 7}', b"\xff", b'{"input": "text"}x'])
def test_what_is_no_request_is_told_so(body: bytes) -> None:
    """An answer in words; nothing is raised."""
    answer = embeddings(body)
    assert isinstance(answer, dict)
    assert answer["simulated"] is True
    assert "error" in answer


def test_each_text_gets_its_vector() -> None:
    """In order, with the dimensions that it says."""
    answer = embeddings(json.dumps({"input": ["one text", "another"]}).encode())
    assert isinstance(answer, dict)
    vectors = answer["vectors"]
    assert isinstance(vectors, list)
    assert [len(vector) for vector in vectors] == [DIMENSIONS, DIMENSIONS]
    assert vectors[0] == pytest.approx(embed("one text"), abs=1e-3)
