"""todo."""

from __future__ import annotations

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.registry import ToolRegistry
from life.praxis.tools.todo import Todo, TodoItem, current_plan


async def test_the_plan_is_the_last_call(context: ToolContext) -> None:
    """The answer echoes the plan; the fold over the journal's calls finds it again and passes over everything else."""
    registry = ToolRegistry()
    registry.register(Todo())
    items: Json = [{"text": "one", "status": "done"}, {"text": "two", "status": "in_progress"}, {"text": "three"}]
    outcome = await registry.execute(ToolCall("c", "todo", {"items": items}), context)
    assert outcome.status == "ok"
    assert outcome.output == {
        "items": [
            {"text": "one", "status": "done"},
            {"text": "two", "status": "in_progress"},
            {"text": "three", "status": "pending"},
        ],
        "done": 1,
        "open": 2,
    }
    calls: list[tuple[str, Json]] = [
        ("todo", {"items": [{"text": "old"}]}),
        ("read_file", {"items": []}),
        ("todo", {"items": items}),
        ("todo", {"nonsense": True}),
    ]
    assert [item.text for item in current_plan(calls)] == ["one", "two", "three"]
    assert current_plan(calls[:2]) == (TodoItem("old"),)
    assert current_plan([]) == ()


async def test_one_thing_at_a_time(context: ToolContext) -> None:
    """Two items in progress, an empty text, an unknown status, too many items: refused."""
    registry = ToolRegistry()
    registry.register(Todo())
    active: Json = {"text": "x", "status": "in_progress"}
    bad: tuple[Json, ...] = ([active, active], [{"text": ""}], [{"text": "x", "status": "later"}], [{"text": "x"}] * 51)
    for items in bad:
        outcome = await registry.execute(ToolCall("c", "todo", {"items": items}), context)
        assert outcome.status == "error"
        assert "praxis.invalid_input" in str(outcome.output)
