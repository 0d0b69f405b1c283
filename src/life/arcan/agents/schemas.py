"""JSON Schema (draft 2020-12) as agents use it: whole, bounded, and without the network.

`$ref` reaches within the schema only; anything else can't be resolved, and is said when the schema is checked. Source:
https://json-schema.org/draft/2020-12; arcan.md §11 ("full JSON Schema validation").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from life.aios.json import Json, JsonObject

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_VALUE_BYTES: Final = 256 * 1024
_MOST_PROBLEMS: Final = 8
_MOST_CHARACTERS: Final = 300
_MAX_DEPTH: Final = 64
_MAX_PATTERN: Final = 512

_IN_PLACE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$ref", "$dynamicRef")
"""Keywords whose schemas are applied to the same value: a circle of these never ends."""


def schema_problem(schema: Json) -> str | None:
    """What is wrong with a schema; None when it can be used."""
    from jsonschema import Draft202012Validator, SchemaError

    if not isinstance(schema, Mapping):
        return "it is not a mapping"
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        return f"it is larger than {MAX_SCHEMA_BYTES} bytes"
    outside = _outside(schema, 0)
    if outside is not None:
        return outside
    if _leads_too_far(schema):
        return "it refers to itself without end"
    try:
        Draft202012Validator.check_schema(schema)
        violations(None, schema)  # what a reference leads to is found out now, not with the first answer
    except SchemaError as error:
        return f"it is no JSON Schema: {error.message[:_MOST_CHARACTERS]}"
    except ValueError as error:
        return str(error)
    return None


def violations(value: Json, schema: JsonObject) -> tuple[str, ...]:
    """Everything in which `value` does not fit, each with its place; none when it fits. ValueError: a broken reference."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if len(msgspec.json.encode(value)) > MAX_VALUE_BYTES:
        return (f"It is larger than {MAX_VALUE_BYTES} bytes.",)
    if _is_deep(value):
        return (f"It is nested more than {_MAX_DEPTH} deep.",)
    checker = Draft202012Validator(schema, registry=Registry())
    found: list[str] = []
    try:
        for error in checker.iter_errors(value):
            if len(found) == _MOST_PROBLEMS:
                found.append("… and more.")
                break
            found.append(f"{error.json_path}: {error.message[:_MOST_CHARACTERS]}")
    except Unresolvable as error:
        raise ValueError(f"its reference {str(error.ref)[:100]!r} leads nowhere") from None
    except RecursionError:
        raise ValueError("it refers to itself without end") from None
    return tuple(found)


def _outside(schema: Json, depth: int) -> str | None:
    """A reference to somewhere else, a depth or a pattern that is too much; None when there is none."""
    if depth > _MAX_DEPTH:
        return f"it is nested more than {_MAX_DEPTH} deep"
    if isinstance(schema, Mapping):
        if depth and isinstance(schema.get("$id"), str):
            return "it holds a schema with an $id of its own"
        for key in ("$ref", "$dynamicRef"):
            reference = schema.get(key)
            if isinstance(reference, str) and not reference.startswith("#"):
                return f"its reference {reference[:100]!r} leads outside of it"
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and len(pattern) > _MAX_PATTERN:
            return f"a pattern is longer than {_MAX_PATTERN} characters"
        inner = list(schema.values())
    elif isinstance(schema, list | tuple):
        inner = list(schema)
    else:
        return None
    return next((problem for each in inner if (problem := _outside(each, depth + 1)) is not None), None)


def _leads_too_far(schema: JsonObject) -> bool:
    """Whether some part applies more than `_MAX_DEPTH` schemas to one value, one within the other.

    The validator would find out by recursion, and where a program has raised the interpreter's limit that ends the process.
    """
    heights: dict[int, int] = {}

    def height(node: Json, depth: int) -> int:
        """How many schemas stand below `node` for the same value; more than `_MAX_DEPTH` for a circle."""
        if not isinstance(node, Mapping):
            return 0
        known = heights.get(id(node))
        if known is None:
            if depth > _MAX_DEPTH:
                return _MAX_DEPTH + 1
            below = [height(each, depth + 1) for each in _same_value(node, schema)]
            known = 1 + max(below, default=0)
            heights[id(node)] = known
        return known

    return any(height(node, 0) > _MAX_DEPTH for node in _schemas(schema))


def _schemas(node: Json) -> Iterator[JsonObject]:
    """Every mapping of the schema; what is none of its schemas does no harm."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            yield current
            waiting += current.values()
        elif isinstance(current, list | tuple):
            waiting += current


def _same_value(node: JsonObject, root: JsonObject) -> Iterator[Json]:
    """The schemas that `node` applies to its own value."""
    for keyword in _IN_PLACE:
        part = node.get(keyword)
        if keyword in ("$ref", "$dynamicRef"):
            if isinstance(part, str):
                yield _referred(part, root)
        elif keyword == "dependentSchemas" and isinstance(part, Mapping):
            yield from part.values()
        elif isinstance(part, list | tuple):
            yield from part
        else:
            yield part


def _referred(reference: str, root: JsonObject) -> Json:
    """What a reference within the schema names; None when that is nothing."""
    pointer = unquote(reference.removeprefix("#"))
    if pointer and not pointer.startswith("/"):
        return next(
            (each for each in _schemas(root) if pointer in (each.get("$anchor"), each.get("$dynamicAnchor"))), None
        )
    node: Json = root
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping):
            node = node.get(token)
        elif isinstance(node, list | tuple) and token.isdecimal() and int(token) < len(node):
            node = node[int(token)]
        else:
            return None
    return node


def _is_deep(value: Json) -> bool:
    """Whether a value is nested more than `_MAX_DEPTH` deep."""
    level: list[Json] = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[Json] = []
        for each in level:
            if isinstance(each, Mapping):
                inner += each.values()
            elif isinstance(each, list | tuple):
                inner += each
        if not inner:
            return False
        level = inner
    return True
