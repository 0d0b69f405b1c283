"""Schemas of agents are strangers' text: whatever they say, checking them ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from life.aios.json import Json, JsonObject
from life.arcan.agents.schemas import schema_problem, violations


@pytest.fixture
def no_recursion_limit() -> Iterator[None]:
    """As in a program with a library that raised the interpreter's limit: too deep a recursion ends the process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(before)


CHAIN: JsonObject = {
    "$ref": "#/$defs/d0",
    "$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(200)} | {"d200": {}},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$dynamicRef": "#"},
        {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"$anchor": "here", "not": {"$ref": "#here"}}}, "$ref": "#here"},
        {"$defs": {"a/b": {"if": {"$ref": "#/$defs/a~1b"}}}, "$ref": "#/$defs/a~1b"},
        {"$defs": {"x y": {"dependentSchemas": {"k": {"$ref": "#/$defs/x%20y"}}}}, "$ref": "#/$defs/x%20y"},
        {"properties": {"a": {"$defs": {"c": {"$ref": "#/properties/a/$defs/c"}}, "$ref": "#/properties/a/$defs/c"}}},
        CHAIN,
    ],
)
def test_a_schema_that_never_ends_is_found_without_trying(schema: JsonObject, no_recursion_limit: None) -> None:
    """Circles of every keyword that stays on one value, and chains without a circle, are refused by looking at them."""
    assert schema_problem(schema) == "it refers to itself without end"


def test_a_tree_may_be_described(no_recursion_limit: None) -> None:
    """A reference that goes down into the value ends with the value."""
    tree: JsonObject = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert schema_problem(tree) is None
    assert violations({"children": [{"children": []}]}, tree) == ()
    assert violations({"children": [{"children": 3}]}, tree)
    deep: Json = {}
    for _ in range(5_000):
        deep = {"children": [deep]}
    assert "nested" in violations(deep, tree)[0]


def test_a_schema_within_a_schema_is_refused() -> None:
    """An `$id` of its own changes what references mean."""
    assert "$id" in (schema_problem({"$defs": {"a": {"$id": "urn:x", "$ref": "#"}}}) or "")
