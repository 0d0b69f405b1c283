"""Schemas and argument parsing."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from life.aios.json import Json
from life.praxis.errors import ToolInputError
from life.praxis.tool import input_schema, parse_arguments
from life.praxis.tools.edit_file import EditFileArguments
from life.praxis.tools.glob import GlobArguments
from life.praxis.tools.grep import GrepArguments
from life.praxis.tools.http_fetch import HttpFetchArguments
from life.praxis.tools.knowledge_search import KnowledgeSearchArguments
from life.praxis.tools.list_dir import ListDirArguments
from life.praxis.tools.read_file import ReadFileArguments
from life.praxis.tools.read_result import ReadResultArguments
from life.praxis.tools.todo import TodoArguments
from life.praxis.tools.write_file import WriteFileArguments

ARGUMENTS = (
    ListDirArguments,
    ReadFileArguments,
    WriteFileArguments,
    EditFileArguments,
    GlobArguments,
    GrepArguments,
    TodoArguments,
    ReadResultArguments,
    KnowledgeSearchArguments,
    HttpFetchArguments,
)


class Inner(msgspec.Struct, frozen=True):
    """A part."""

    size: int


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A struct with a part."""

    inner: Annotated[Inner, msgspec.Meta(description="The part.")]


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


@pytest.mark.parametrize("arguments", [*ARGUMENTS, Outer, Empty])
def test_schemas_are_plain_closed_objects(arguments: type[msgspec.Struct]) -> None:
    """A valid draft 2020-12 schema of an object that allows nothing else, without a reference at the top."""
    schema = input_schema(arguments)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert "title" not in schema
    assert "$ref" not in schema


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_every_parameter_is_described(arguments: type[msgspec.Struct]) -> None:
    """Models read the descriptions; none is missing."""
    properties = msgspec.convert(input_schema(arguments)["properties"], dict[str, dict[str, object]])
    for name, described in properties.items():
        assert described.get("description"), name


def test_nested_structs_keep_their_definitions() -> None:
    """References point into the schema itself."""
    schema = input_schema(Outer)
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"inner": {"size": 1}})
    assert not validator.is_valid({"inner": {"size": "1"}})


# Integral floats are left out: JSON Schema calls 5.0 an integer, the struct does not (and is the stricter of the two).
scalars = (
    st.none() | st.booleans() | st.integers(-5, 3000) | st.text(max_size=5) | st.sampled_from(["GET", "POST", "."])
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
keys = st.sampled_from(["path", "content", "offset", "limit", "url", "method", "headers", "body", "max_bytes", "other"])


@given(st.sampled_from(ARGUMENTS), st.dictionaries(keys, values, max_size=4) | values)
def test_schema_and_struct_agree(arguments: type[msgspec.Struct], given_value: Json) -> None:
    """An independent validator accepts exactly what the struct accepts."""
    try:
        parse_arguments("tool", arguments, given_value)
        accepted = True
    except ToolInputError:
        accepted = False
    assert Draft202012Validator(input_schema(arguments)).is_valid(given_value) == accepted


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ({}, "missing required field `path`"),
        ({"path": 1}, "Expected `str`, got `int` - at `$.path`"),
        ({"path": "a", "offset": "1"}, "Expected `int`, got `str` - at `$.offset`"),
        ({"path": "a", "offset": True}, "Expected `int`, got `bool`"),
        ({"path": "a", "offset": 0}, "`int` >= 1"),
        ({"path": "a", "encoding": "latin-1"}, "unknown field `encoding`"),
        ("a", "Expected `object`, got `str`"),
    ],
)
def test_the_model_is_told_what_is_wrong(given_value: Json, expected: str) -> None:
    """The tool, the place, the reason, and which parameters there are."""
    with pytest.raises(ToolInputError) as refused:
        parse_arguments("read_file", ReadFileArguments, given_value)
    message = refused.value.message
    assert message.startswith("Invalid arguments for read_file: ")
    assert expected in message
    assert message.endswith("Its parameters are: path (required), offset, limit, tags.")


def test_a_tool_without_parameters_says_so() -> None:
    """No list of nothing."""
    with pytest.raises(ToolInputError, match="It takes no parameters"):
        parse_arguments("empty", Empty, {"x": 1})
