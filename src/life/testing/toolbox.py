"""The conformance suite of the `Toolbox` port (life.aios.ports.tools).

Inherit it in a test module, name the class `Test…`, and say how your toolbox is opened and which calls change files::

    class TestMyToolbox(ToolboxSuite):
        def open_toolbox(self) -> Toolbox:
            return my_toolbox()

        def effect_cases(self) -> Sequence[EffectCase]:
            return [EffectCase(...)]

        def read_only_calls(self) -> Sequence[tuple[str, JsonObject]]:
            return [("look", {"path": "."})]

Its heart is probe honesty. A call is interrupted between effect and outcome, before the effect, or with somebody else's
change in between, and a fresh toolbox, which remembers nothing, must tell which it was from the world and from what was
written with the intent. A wrong `not_done` repeats an effect; a wrong `done` loses one.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from life.aios.errors import ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.tools import ProbeAnswer, Toolbox, ToolCall, ToolContext


def nothing(workspace: Path) -> None:
    """The `arrange` of a case that starts with an empty workspace."""


@dataclass(frozen=True, kw_only=True)
class EffectCase:
    """A call that changes files of the workspace, and what a probe must answer about it.

    `arrange` prepares the workspace before the call. `disturb` is a foreign change, after the intent and without the
    call, that leaves neither the old state nor the new.
    """

    name: str
    tool_name: str
    arguments: JsonObject
    disturb: Callable[[Path], None]
    arrange: Callable[[Path], None] = nothing
    when_not_run: ProbeAnswer = "not_done"
    when_run: ProbeAnswer = "done"
    when_disturbed: ProbeAnswer = "unknown"


def contents(workspace: Path) -> Mapping[str, str]:
    """SHA-256 (hex) of every file below a directory, by relative path."""
    return {
        str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


class ToolboxSuite(abc.ABC):
    """What every toolbox owes. Not collected itself; inherit it."""

    @abc.abstractmethod
    def open_toolbox(self) -> Toolbox:
        """A toolbox that has run nothing yet. Called again to play the process after a crash."""

    @abc.abstractmethod
    def effect_cases(self) -> Sequence[EffectCase]:
        """At least one call per tool that changes files."""

    @abc.abstractmethod
    def read_only_calls(self) -> Sequence[tuple[str, JsonObject]]:
        """Tool name and arguments, at least one per read-only tool, that succeed in an empty workspace or fail there."""

    def free_tools(self) -> frozenset[str]:
        """Read-only tools that need no capability, since they touch nothing that a policy could close."""
        return frozenset()

    def _context(self, tmp_path: Path) -> ToolContext:
        workspace = tmp_path / "workspace"
        workspace.mkdir()
        return ToolContext(
            session_id="sess-conformance",
            branch_id="main",
            agent_id="agent-conformance",
            run_id="run-1",
            workspace=str(workspace),
            idempotency_key="sess-conformance/main/call-1",
        )

    def _call(self, tool_name: str, arguments: Json) -> ToolCall:
        return ToolCall(call_id="call-1", tool_name=tool_name, arguments=arguments)

    def test_definitions_are_ordered_and_carry_usable_schemas(self) -> None:
        """Definitions come sorted by unique name, each with a description and a valid JSON Schema of an object."""
        definitions = self.open_toolbox().definitions()
        names = [definition.name for definition in definitions]
        assert names == sorted(set(names)), "names are unique and sorted"
        for definition in definitions:
            assert definition.description
            assert definition.timeout_s > 0
            assert definition.input_schema["type"] == "object"
            Draft202012Validator.check_schema(definition.input_schema)

    def test_every_tool_is_covered(self) -> None:
        """The cases given to this suite name only tools that exist, and every read-only tool."""
        by_name = {definition.name: definition for definition in self.open_toolbox().definitions()}
        looked_at = {name for name, _ in self.read_only_calls()}
        assert looked_at == {name for name, one in by_name.items() if one.annotations.read_only}
        assert {case.tool_name for case in self.effect_cases()} <= by_name.keys() - looked_at

    async def test_an_unknown_tool_is_refused_everywhere(self, tmp_path: Path) -> None:
        """Capabilities raise, execution is an error outcome, and a probe can't tell."""
        toolbox, context = self.open_toolbox(), self._context(tmp_path)
        call = self._call("no_such_tool", {})
        with pytest.raises(ToolError):
            toolbox.capabilities(call, context)
        assert (await toolbox.execute(call, context)).status == "error"
        assert (await toolbox.probe(call, context, None)).answer == "unknown"

    @pytest.mark.parametrize("arguments", [None, [], "text", {"no such argument": 1}])
    async def test_unfit_arguments_never_reach_a_tool(self, arguments: Json, tmp_path: Path) -> None:
        """Arguments that the schema forbids: no capabilities, an error the model can read, and no effect."""
        toolbox, context = self.open_toolbox(), self._context(tmp_path)
        for definition in toolbox.definitions():
            if Draft202012Validator(definition.input_schema).is_valid(arguments):
                continue
            call = self._call(definition.name, arguments)
            with pytest.raises(ToolError) as refused:
                toolbox.capabilities(call, context)
            assert definition.name in refused.value.message
            outcome = await toolbox.execute(call, context)
            assert outcome.status == "error"
            assert outcome.mutated_paths == ()
        assert contents(Path(context.workspace)) == {}

    async def test_read_only_tools_change_nothing_and_are_repeatable(self, tmp_path: Path) -> None:
        """A read-only call leaves the workspace as it was, needs capabilities unless it is free, and may be run again."""
        toolbox, context = self.open_toolbox(), self._context(tmp_path)
        for name, arguments in self.read_only_calls():
            call = self._call(name, arguments)
            assert bool(toolbox.capabilities(call, context)) == (name not in self.free_tools()), name
            prepared = await toolbox.prepare(call, context)
            outcome = await toolbox.execute(call, context)
            assert outcome.mutated_paths == ()
            assert (await self.open_toolbox().probe(call, context, prepared)).answer == "repeatable"
        assert contents(Path(context.workspace)) == {}

    async def test_outcomes_name_every_change_truly_and_no_host_path(self, tmp_path: Path) -> None:
        """`mutated_paths` are exactly the files that changed, with their digests; outputs hold no path of the host."""
        for number, case in enumerate(self.effect_cases()):
            context = self._context(_fresh(tmp_path, number))
            workspace = Path(context.workspace)
            case.arrange(workspace)
            before = contents(workspace)
            toolbox, call = self.open_toolbox(), self._call(case.tool_name, case.arguments)
            assert toolbox.capabilities(call, context), case.name
            outcome = await toolbox.execute(call, context)
            assert outcome.status == "ok", (case.name, outcome.output)
            after = contents(workspace)
            changed = {path: digest for path, digest in after.items() if before.get(path) != digest}
            changed |= dict.fromkeys(before.keys() - after.keys(), "deleted")
            assert dict(outcome.mutated_paths) == changed, case.name
            assert str(tmp_path) not in msgspec.json.encode(outcome.output).decode(), case.name

    async def test_a_call_that_never_ran_is_told(self, tmp_path: Path) -> None:
        """Killed after the intent, before the effect: the probe says so, changes nothing, and the call can run."""
        for number, case in enumerate(self.effect_cases()):
            context = self._context(_fresh(tmp_path, number))
            workspace = Path(context.workspace)
            case.arrange(workspace)
            before = contents(workspace)
            call = self._call(case.tool_name, case.arguments)
            prepared = _stored(await self.open_toolbox().prepare(call, context))
            assert contents(workspace) == before, f"{case.name}: prepare changed something"
            probe = await self.open_toolbox().probe(call, context, prepared)
            assert probe.answer == case.when_not_run, (case.name, probe.explanation)
            assert contents(workspace) == before, f"{case.name}: the probe changed something"
            assert (await self.open_toolbox().execute(call, context)).status == "ok", case.name

    async def test_an_effect_without_an_outcome_is_told(self, tmp_path: Path) -> None:
        """Killed after the effect, before the outcome: the probe says so, with the same mutated paths."""
        for number, case in enumerate(self.effect_cases()):
            context = self._context(_fresh(tmp_path, number))
            workspace = Path(context.workspace)
            case.arrange(workspace)
            call = self._call(case.tool_name, case.arguments)
            toolbox = self.open_toolbox()
            prepared = _stored(await toolbox.prepare(call, context))
            lost = await toolbox.execute(call, context)
            after = contents(workspace)
            probe = await self.open_toolbox().probe(call, context, prepared)
            assert probe.answer == case.when_run, (case.name, probe.explanation)
            assert contents(workspace) == after, f"{case.name}: the probe changed something"
            if probe.answer == "done":
                assert probe.outcome is not None, case.name
                assert probe.outcome.mutated_paths == lost.mutated_paths, case.name

    async def test_a_foreign_change_is_not_taken_for_ours(self, tmp_path: Path) -> None:
        """Somebody else changed the place in between: the probe does not guess."""
        for number, case in enumerate(self.effect_cases()):
            context = self._context(_fresh(tmp_path, number))
            workspace = Path(context.workspace)
            case.arrange(workspace)
            call = self._call(case.tool_name, case.arguments)
            prepared = _stored(await self.open_toolbox().prepare(call, context))
            case.disturb(workspace)
            disturbed = contents(workspace)
            probe = await self.open_toolbox().probe(call, context, prepared)
            assert probe.answer == case.when_disturbed, (case.name, probe.explanation)
            assert contents(workspace) == disturbed, f"{case.name}: the probe changed something"

    async def test_what_was_prepared_may_be_lost_or_foreign(self, tmp_path: Path) -> None:
        """A probe with nothing prepared, or with nonsense, never claims that an effect did not happen."""
        for number, case in enumerate(self.effect_cases()):
            context = self._context(_fresh(tmp_path, number))
            case.arrange(Path(context.workspace))
            call = self._call(case.tool_name, case.arguments)
            strange: tuple[Json, ...] = (None, [], "text", {"path": 1}, {"unexpected": True})
            for nonsense in strange:
                probe = await self.open_toolbox().probe(call, context, nonsense)
                assert probe.answer == "unknown", (case.name, nonsense)


def _fresh(tmp_path: Path, number: int) -> Path:
    """One directory per case."""
    directory = tmp_path / f"case-{number}"
    directory.mkdir()
    return directory


def _stored(prepared: Json) -> Json:
    """What comes back from the journal: the JSON of what was given."""
    back: Json = msgspec.json.decode(msgspec.json.encode(prepared))
    return back
