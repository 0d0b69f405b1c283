"""Tools from typed functions."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.praxis.errors import SchemaError
from life.praxis.function_tool import tool
from life.praxis.registry import ToolRegistry
from life.praxis.tool import Tool


class Place(msgspec.Struct):
    """A place."""

    city: str
    zip_code: Annotated[int, msgspec.Meta(ge=1)] = 1


@dataclass
class Report:
    """What a tool may give."""

    words: str
    when: datetime.date


@tool(read_only=True)
async def weather(
    place: Place,
    unit: Annotated[Literal["c", "f"], "Celsius or Fahrenheit."] = "c",
    days: Annotated[int, "How many days.", msgspec.Meta(ge=1, le=9)] = 3,
    tags: list[str] = [],  # noqa: B006
    note: str | None = None,
) -> Report:
    """The weather of the next days.

    Of one place.
    """
    tags.append("changed")
    return Report(f"{place.city} {unit} {days} {tags} {note}", datetime.date(2026, 1, 2))


@tool
def double(number: int, context: ToolContext) -> dict[str, Json]:
    """Twice a number."""
    return {"number": number * 2, "session": context.session_id}


async def run(made: Tool[msgspec.Struct], context: ToolContext, arguments: Json) -> ToolOutcome:
    """One call through a registry."""
    registry = ToolRegistry()
    registry.register(made)
    return await registry.execute(ToolCall("c", made.definition.name, arguments), context)


def test_the_schema_comes_from_the_signature() -> None:
    """Types, bounds, choices, defaults and descriptions; the context is not a parameter."""
    schema = weather.definition.input_schema
    Draft202012Validator.check_schema(schema)
    properties = msgspec.convert(schema["properties"], dict[str, dict[str, Json]])
    assert schema["required"] == ["place"]
    assert schema["additionalProperties"] is False
    assert properties["unit"] == {"enum": ["c", "f"], "default": "c", "description": "Celsius or Fahrenheit."}
    assert properties["days"]["minimum"] == 1
    assert properties["days"]["maximum"] == 9
    assert properties["days"]["description"] == "How many days."
    assert list(msgspec.convert(double.definition.input_schema["properties"], dict[str, Json])) == ["number"]
    assert weather.definition.description == "The weather of the next days.\n\nOf one place."
    assert weather.definition.annotations.read_only
    assert not double.definition.annotations.read_only
    Draft202012Validator(schema).validate({"place": {"city": "x"}, "days": 9})


async def test_calls(context: ToolContext) -> None:
    """Arguments come converted, results go as JSON, defaults are made anew, sync and async alike."""
    for _ in range(2):
        outcome = await run(weather, context, {"place": {"city": "Berlin"}})
        assert outcome == ToolOutcome(
            status="ok", output={"words": "Berlin c 3 ['changed'] None", "when": "2026-01-02"}
        )
    assert (await run(double, context, {"number": 4})).output == {"number": 8, "session": "sess-1"}
    unfits: tuple[Json, ...] = (
        {"place": {"city": 1}},
        {"place": {"city": "x"}, "days": 10},
        {"place": {"city": "x"}, "unit": "k"},
        {},
    )
    for unfit in unfits:
        outcome = await run(weather, context, unfit)
        assert outcome.status == "error"
        assert "praxis.invalid_input" in str(outcome.output)


def test_the_function_stays_a_function(context: ToolContext) -> None:
    """It can be called and tested as before."""
    assert double(2, context)["number"] == 4
    assert double.__name__ == "double"


async def test_what_a_function_may_give(context: ToolContext) -> None:
    """An outcome passes as it is; nothing is null; what is not JSON, or raised, is an error that can be read."""

    @tool
    def outcome() -> ToolOutcome:
        """An outcome of its own."""
        return ToolOutcome(status="ok", output=1, mutated_paths=(("f", "deleted"),))

    @tool
    def nothing() -> None:
        """Nothing."""

    @tool
    def strange() -> object:
        """An object."""
        return object()

    @tool
    async def refuses() -> None:
        """Refuses."""
        raise ToolError("Not today.")

    @tool
    def breaks() -> None:
        """Breaks."""
        raise ZeroDivisionError("with a secret")

    @tool
    def stops() -> None:
        """Stops."""
        raise StopIteration

    assert (await run(outcome, context, {})).mutated_paths == (("f", "deleted"),)
    assert (await run(nothing, context, {})).output is None
    assert "not JSON" in str((await run(strange, context, {})).output)
    assert "Not today." in str((await run(refuses, context, {})).output)
    assert "secret" not in str((await run(breaks, context, {})).output)
    assert (await run(stops, context, {})).status == "error"


async def test_acceptance_7_a_time_limit_holds_for_a_function_that_never_ends(context: ToolContext) -> None:
    """Acceptance 7 (praxis.md §12): its thread can't be stopped, but the call ends and says what that means."""
    release = threading.Event()

    @tool(timeout_s=1)
    def endless() -> None:
        """Waits."""
        release.wait(30)

    @tool(timeout_s=1)
    async def endless_too() -> None:
        """Waits."""
        await asyncio.Event().wait()

    try:
        outcomes = await asyncio.gather(run(endless, context, {}), run(endless_too, context, {}))
    finally:
        release.set()
    for outcome in outcomes:
        assert outcome.status == "timeout"
        assert "may or may not have taken effect" in str(outcome.output)


async def test_probes_promise_no_more_than_was_declared(context: ToolContext) -> None:
    """Read-only and idempotent functions may run again; of the others nobody knows."""

    def work() -> None:
        """Works."""

    for made, answer in (
        (tool(read_only=True)(work), "repeatable"),
        (tool(idempotent=True)(work), "repeatable"),
        (tool(work), "unknown"),
    ):
        registry = ToolRegistry()
        registry.register(made)
        call = ToolCall("c", "work", {})
        assert (await registry.probe(call, context, None)).answer == answer
        assert registry.capabilities(call, context) == ("tool:call:work",)


def test_a_function_can_say_what_it_needs(context: ToolContext) -> None:
    """Capabilities from the very arguments of the call."""

    @tool(name="fetch-it", capabilities=lambda host: [f"net:egress:{host}"])
    def fetch(host: str) -> str:
        """Fetches."""
        return host

    registry = ToolRegistry()
    registry.register(fetch)
    assert registry.capabilities(ToolCall("c", "fetch-it", {"host": "a.example"}), context) == ("net:egress:a.example",)


def untyped(number) -> None:  # type: ignore[no-untyped-def]
    """No type."""


def many(*numbers: int) -> None:
    """Any number of them."""


def positional(number: int, /) -> None:
    """Not by name."""


def impossible(call: Callable[[], None]) -> None:
    """No JSON form."""


def silent() -> None:
    pass


@pytest.mark.parametrize("function", [untyped, many, positional, impossible, silent])
def test_what_can_not_be_a_tool(function: Callable[..., None]) -> None:
    """Said at once, with the reason, not at the first call."""
    with pytest.raises(SchemaError):
        tool(function)
