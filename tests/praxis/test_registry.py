"""The registry's rules, with tools that misbehave in every way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import LifeError, PaymentError, UnavailableError
from life.aios.json import Json
from life.aios.ports.tools import (
    Probe,
    ToolAnnotations,
    Toolbox,
    ToolCall,
    ToolContext,
    ToolDefinition,
    ToolOutcome,
)
from life.praxis.errors import DuplicateToolError, PathNotFoundError, ToolInputError, ToolNotFoundError
from life.praxis.registry import ToolRegistry
from life.praxis.tool import input_schema

Act = Callable[[], Awaitable[Json]]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the test tool."""

    word: Annotated[str, msgspec.Meta(description="A word.")] = ""


class Scripted:
    """A tool that does what the test says, in each of its four methods."""

    arguments = Arguments

    def __init__(self, act: Act, *, name: str = "scripted", timeout_s: int = 30, read_only: bool = False) -> None:
        self._act = act
        self.definition = ToolDefinition(
            name=name,
            description="Does what the test says.",
            input_schema=input_schema(Arguments),
            annotations=ToolAnnotations(read_only=read_only),
            timeout_s=timeout_s,
        )

    def capabilities(self, arguments: Arguments, context: ToolContext) -> tuple[str, ...]:
        """One capability, from the arguments."""
        return (f"exec:cmd:{arguments.word}",)

    async def prepare(self, arguments: Arguments, context: ToolContext) -> Json:
        """The script's value."""
        return await self._act()

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolOutcome:
        """The script's value as output."""
        return ToolOutcome(status="ok", output=await self._act())

    async def probe(self, arguments: Arguments, context: ToolContext, prepared: Json) -> Probe:
        """Done, if the script ends."""
        await self._act()
        return Probe(answer="done", explanation="scripted")


def returning(value: Json) -> Act:
    """A script that gives a value."""

    async def act() -> Json:
        return value

    return act


def raising(failure: BaseException) -> Act:
    """A script that fails."""

    async def act() -> Json:
        raise failure

    return act


async def endless() -> Json:
    """A script that never ends."""
    await asyncio.Event().wait()
    return None


def call(arguments: Json = None, name: str = "scripted") -> ToolCall:
    """A call of the test tool."""
    return ToolCall(call_id="call-1", tool_name=name, arguments={} if arguments is None else arguments)


def registry_of(act: Act, *, max_result_bytes: int = 262_144, timeout_s: int = 30) -> ToolRegistry:
    """A registry with the test tool."""
    registry = ToolRegistry(max_result_bytes=max_result_bytes)
    registry.register(Scripted(act, timeout_s=timeout_s))
    return registry


def output_of(outcome: ToolOutcome) -> dict[str, object]:
    """The output as an object."""
    return msgspec.convert(outcome.output, dict[str, object])


def test_it_is_a_toolbox() -> None:
    """The registry fits the port."""
    toolbox: Toolbox = ToolRegistry()
    assert toolbox.definitions() == ()


def test_a_name_is_taken_once() -> None:
    """A second tool of the same name is an error unless replacing was asked for."""
    registry = registry_of(returning(1))
    with pytest.raises(DuplicateToolError) as refused:
        registry.register(Scripted(returning(2)))
    assert refused.value.code == "praxis.duplicate_tool"
    registry.register(Scripted(returning(2), timeout_s=7), replace=True)
    assert [definition.timeout_s for definition in registry.definitions()] == [7]


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "x" * 65, "a/b"])
def test_names_are_those_every_provider_takes(name: str) -> None:
    """Letters, digits, `_` and `-`, at most 64."""
    with pytest.raises(ValueError, match="name"):
        ToolRegistry().register(Scripted(returning(1), name=name))


def test_unusable_definitions_and_limits_are_refused() -> None:
    """A schema that is no object, a time limit below a second, a result limit that nothing fits in."""
    tool = Scripted(returning(1))
    tool.definition = msgspec.structs.replace(tool.definition, input_schema={"type": "string"})
    with pytest.raises(ValueError, match="object"):
        ToolRegistry().register(tool)
    with pytest.raises(ValueError, match="time limit"):
        ToolRegistry().register(Scripted(returning(1), timeout_s=0))
    with pytest.raises(ValueError, match="max_result_bytes"):
        ToolRegistry(max_result_bytes=100)


async def test_definitions_come_by_name_and_capabilities_from_arguments(context: ToolContext) -> None:
    """Order of registration plays no role; capabilities are computed for this very call."""
    registry = ToolRegistry()
    for name in ("zeta", "alpha", "Beta"):
        registry.register(Scripted(returning(name), name=name))
    assert [definition.name for definition in registry.definitions()] == ["Beta", "alpha", "zeta"]
    assert registry.capabilities(call({"word": "ls"}, "zeta"), context) == ("exec:cmd:ls",)
    assert (await registry.execute(call({}, "alpha"), context)).output == "alpha"


async def test_an_unknown_tool_names_the_known_ones(context: ToolContext) -> None:
    """The model can correct itself; a hostile name is shown shortened and quoted."""
    registry = registry_of(returning(1))
    with pytest.raises(ToolNotFoundError):
        registry.capabilities(call({}, "other"), context)
    with pytest.raises(ToolNotFoundError):
        await registry.prepare(call({}, "other"), context)
    outcome = await registry.execute(call({}, "x\n" * 500), context)
    assert outcome.status == "error"
    output = output_of(outcome)
    assert output["code"] == "praxis.not_found"
    assert "Tools: scripted." in str(output["error"])
    assert len(str(output["error"])) < 300


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (PathNotFoundError("'x' does not exist in the workspace."), "praxis.path_not_found", "'x' does not exist"),
        (PaymentError("The daily limit is reached."), "haima.error", "The daily limit is reached."),
        (OSError(13, "Permission denied", "/host/secret/path"), "praxis.file_access", "Permission denied"),
        (OSError("/host/secret/path"), "praxis.file_access", "OSError"),
        (TimeoutError("/host/secret/path"), "praxis.timeout", "waited too long"),
        (RuntimeError("/host/secret/path sk-live-123"), "praxis.tool_failed", "defect (RuntimeError)"),
        (RecursionError("/host/secret/path"), "praxis.tool_failed", "defect (RecursionError)"),
    ],
)
async def test_whatever_a_tool_raises_is_an_outcome(
    failure: Exception, code: str, text: str, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Status error, a stable code, words for the model, and never the text of an unexpected exception."""
    caplog.set_level(logging.CRITICAL, "life.praxis")
    outcome = await registry_of(raising(failure)).execute(call(), context)
    assert outcome.status == "error"
    assert output_of(outcome)["code"] == code
    assert text in str(output_of(outcome)["error"])
    assert "secret" not in msgspec.json.encode(outcome.output).decode()


async def test_refusals_of_other_parts_advise_about_repetition(context: ToolContext) -> None:
    """What may be tried later says so, with the next step; a payment never does, however retryable Haima calls it."""

    class OutcomeUnknownError(PaymentError):
        code = "haima.outcome_unknown"
        retryable = True

    class BrokenError(LifeError):
        code = "host.broken"

    for failure, advice, next_step in (
        (OutcomeUnknownError("Unknown.", next_step="Repeat it."), "a repeated call is a new purchase", None),
        (PaymentError("Refused.", next_step="Make a new purchase."), "Do not repeat this call as it is", None),
        (UnavailableError("The journal is busy.", next_step="Wait."), "may go through later", "Wait."),
        (BrokenError("Broken."), "Do not repeat this call as it is", None),
    ):
        output = output_of(await registry_of(raising(failure)).execute(call(), context))
        assert advice in str(output["advice"])
        assert output["code"] == failure.code
        assert output.get("next_step") == next_step


async def test_time_limits_hold(context: ToolContext) -> None:
    """A tool that does not end is stopped at its limit; the words say whether its effect is in doubt."""
    registry = ToolRegistry(max_timeout_s=1)
    registry.register(Scripted(endless, name="writer"))
    registry.register(Scripted(endless, name="reader", read_only=True))
    writer, reader, prepared, probed = await asyncio.gather(
        registry.execute(call({}, "writer"), context),
        registry.execute(call({}, "reader"), context),
        registry.prepare(call({}, "writer"), context),
        registry.probe(call({}, "writer"), context, None),
    )
    assert (writer.status, reader.status) == ("timeout", "timeout")
    assert "may or may not have taken effect" in str(output_of(writer)["error"])
    assert "changes nothing" in str(output_of(reader)["error"])
    assert output_of(writer)["code"] == "praxis.timeout"
    assert prepared == {"unprepared": "praxis.timeout"}
    assert probed.answer == "unknown"


async def test_cancellation_passes_through(context: ToolContext) -> None:
    """A cancelled call is cancelled inside the tool too, and no outcome is made up."""
    inside: list[str] = []
    running = asyncio.Event()

    async def act() -> Json:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            inside.append("cancelled")
            raise
        return None

    task = asyncio.create_task(registry_of(act).execute(call(), context))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inside == ["cancelled"]


async def test_prepare_tells_when_the_tool_could_not_look(context: ToolContext) -> None:
    """Arguments that do not fit are an error; an obstacle in the world is written down instead."""
    with pytest.raises(ToolInputError):
        await registry_of(returning(1)).prepare(call({"word": 1}), context)
    for failure, code in ((PathNotFoundError("x"), "praxis.path_not_found"), (OSError(5, "io"), "praxis.file_access")):
        assert await registry_of(raising(failure)).prepare(call(), context) == {"unprepared": code}


async def test_a_probe_that_fails_is_unknown(context: ToolContext, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong while looking, the answer is never a guess."""
    caplog.set_level(logging.CRITICAL, "life.praxis")
    for failure in (PathNotFoundError("x"), OSError(5, "io", "/host/secret"), RuntimeError("/host/secret")):
        probe = await registry_of(raising(failure)).probe(call(), context, None)
        assert probe.answer == "unknown"
        assert "secret" not in probe.explanation
    assert (await registry_of(returning(1)).probe(call({"word": 1}), context, None)).answer == "unknown"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.integers(0, 3), st.sampled_from(['"', "\\", "\x01", "é", "\U0001f600", "a"]))
async def test_results_keep_their_limit(value: Json, repeat: int, character: str) -> None:
    """Whatever the output and its escapes, the JSON of the outcome stays within the limit; small ones are untouched."""
    context = ToolContext(
        session_id="s", branch_id="b", agent_id="a", run_id="r", workspace="/nowhere", idempotency_key="k"
    )
    given_output: Json = {"value": value, "filler": character * (700 * repeat)}
    size = len(msgspec.json.encode(given_output))
    outcome = await registry_of(returning(given_output), max_result_bytes=1024).execute(call(), context)
    assert outcome.status == "ok"
    if size <= 1024:
        assert outcome.output == given_output
        return
    output = output_of(outcome)
    assert len(msgspec.json.encode(output)) <= 1024
    assert output["truncated"] is True
    assert output["total_bytes"] == size
    shown = str(output["json_beginning"])
    assert msgspec.json.encode(given_output).decode().startswith(shown)
    assert output["shown_bytes"] == len(shown.encode()) > 0


async def test_a_cut_result_keeps_its_mutations(context: ToolContext) -> None:
    """Cutting the text never hides what was changed."""

    class Writing(Scripted):
        async def run(self, arguments: Arguments, context: ToolContext) -> ToolOutcome:
            return ToolOutcome(status="ok", output="x" * 5000, mutated_paths=(("f", "ab"),))

    registry = ToolRegistry(max_result_bytes=1024)
    registry.register(Writing(returning(1)))
    outcome = await registry.execute(call(), context)
    assert outcome.mutated_paths == (("f", "ab"),)
    assert output_of(outcome)["truncated"] is True


async def test_an_output_that_is_no_json_is_a_defect(context: ToolContext, caplog: pytest.LogCaptureFixture) -> None:
    """An object that can't be written down, or text with a lone surrogate, never reaches the journal."""
    caplog.set_level(logging.CRITICAL, "life.praxis")
    for value in (object(), "\ud800"):
        registry = registry_of(returning(value))  # type: ignore[arg-type]
        assert (await registry.execute(call(), context)).status == "error"
