"""Active skills narrow a run's tools, from the journal alone (praxis.md §6.3, §12.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from life.aios.json import Json
from life.aios.ports.tools import OutcomeNote, ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.lago.journal.memory import MemoryJournal
from tests.arcan.workbench import Workbench, calls, history, kinds, runtime_on, says, script


class SkilledWorkbench(Workbench):
    """The workbench with a `skill` tool that activates what it is told."""

    def definitions(self) -> Sequence[ToolDefinition]:
        schema: dict[str, Json] = {"type": "object", "properties": {}}
        skill = ToolDefinition(
            name="skill", description="Skills.", input_schema=schema, annotations=ToolAnnotations(read_only=True)
        )
        return [*super().definitions(), skill]

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        if call.tool_name != "skill":
            return await super().execute(call, context)
        assert isinstance(call.arguments, Mapping)
        return ToolOutcome(
            status="ok",
            output="Look.",
            notes=(OutcomeNote("skill.activated", dict(call.arguments)), OutcomeNote("anima.forged", {"a": 1})),
        )


async def test_only_what_every_active_skill_permits_may_be_called(tmp_path: Path) -> None:
    """The gate refuses the rest for this run; a second skill narrows further and never widens; the next run is free."""
    bench = SkilledWorkbench(tmp_path)
    journal = MemoryJournal()
    await_look: tuple[str, dict[str, Json]] = ("look", {"path": "a"})
    write: tuple[str, dict[str, Json]] = ("write", {"path": "a", "content": "x"})
    turns = script(
        calls(("skill", {"name": "one", "allowed_tools": ["look", "app*"]})),
        calls(write, await_look, ("append", {"path": "b", "line": "1"})),
        calls(("skill", {"name": "two", "allowed_tools": ["*"]})),
        calls(write),
        calls(("skill", {"name": "three", "allowed_tools": ["look"]})),
        calls(("append", {"path": "b", "line": "2"})),
        says("done"),
        calls(write),
        says("done"),
    )
    async with runtime_on(journal, bench, turns) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Work.")
        assert bench.effects() == ["append:1"]
        await runtime.run("s", "Again.")
        assert bench.effects() == ["append:1", "write:a=x"]
        refused = [
            record.kind.error  # type: ignore[attr-defined]
            for record in await history(journal, "s")
            if record.kind_name == "ToolCallFailed"
        ]
        assert len(refused) == 3
        assert all("while the skill" in words for words in refused)
    names = await kinds(journal, "s")
    assert names.count("skill.activated") == 3
    assert "anima.forged" not in names


async def test_an_outcome_in_doubt_stops_the_run_until_a_person_decides(tmp_path: Path) -> None:
    """A tool that can't tell what became of its call leaves it to a person, exactly as a crash would."""

    class Doubtful(Workbench):
        async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
            return ToolOutcome(status="error", output=None, in_doubt="The line went dead.")

    bench = Doubtful(tmp_path)
    journal = MemoryJournal()
    async with runtime_on(journal, bench, script(calls(("transfer", {"to": "x"})), says("done"))) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Pay.")
        assert report.status == "in_doubt"
        assert report.pending is not None
        assert report.pending.explanation == "The line went dead."
        await runtime.resolve_doubt("s", report.pending.call_id, "done", actor="ann", note="It arrived.")
        assert (await runtime.wait("s")).reason == "completed"
