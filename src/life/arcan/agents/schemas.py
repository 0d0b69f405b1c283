"""JSON Schema (draft 2020-12) as agents use it: whole, bounded, and without the network.

`$ref` reaches within the schema only; anything else can't be resolved, and is said when the schema is checked. Source:
https://json-schema.org/draft/2020-12; arcan.md §11 ("full JSON Schema validation").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from life.aios.json import Json, JsonObject

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_VALUE_BYTES: Final = 256 * 1024
_MOST_PROBLEMS: Final = 8
_MOST_CHARACTERS: Final = 300
_MAX_DEPTH: Final = 64
_MAX_PATTERN: Final = 512


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
