"""`todo`: the agent's plan, for itself and for the people who watch.

The plan is not kept anywhere: it is the arguments of the last successful call in the journal (`current_plan`), so it
survives what the journal survives, and going back in a branch goes back in the plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.errors import ToolInputError
from life.praxis.tool import input_schema, read_only_probe

NAME: Final = "todo"

TodoStatus = Literal["pending", "in_progress", "done", "dropped"]


class TodoItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a plan."""

    text: Annotated[str, msgspec.Meta(description="What is to be done.", min_length=1, max_length=300)]
    status: Annotated[TodoStatus, msgspec.Meta(description="Where it stands.")] = "pending"


class TodoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `todo`."""

    items: Annotated[
        list[TodoItem],
        msgspec.Meta(description="The whole plan, in order. It replaces the one before.", max_length=50),
    ]


class Todo:
    """Replaces the plan. Touches nothing but the journal, which every call is in anyway."""

    arguments = TodoArguments
    definition = ToolDefinition(
        name=NAME,
        description=(
            "Write down your plan, or where it stands, for work of several steps. Every call gives the whole plan; at most "
            "one item is in_progress. Statuses: pending, in_progress, done, dropped."
        ),
        input_schema=input_schema(TodoArguments),
        annotations=ToolAnnotations(read_only=True, idempotent=True),
        category="planning",
        timeout_s=5,
    )

    def capabilities(self, arguments: TodoArguments, context: ToolContext) -> tuple[str, ...]:
        """None: it touches nothing. ToolInputError when more than one item is in progress."""
        if sum(item.status == "in_progress" for item in arguments.items) > 1:
            raise ToolInputError("todo: at most one item is in_progress.")
        return ()

    async def prepare(self, arguments: TodoArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: TodoArguments, context: ToolContext) -> ToolOutcome:
        """`{items: [{text, status}], done, open}`."""
        self.capabilities(arguments, context)
        items: list[Json] = [{"text": item.text, "status": item.status} for item in arguments.items]
        done = sum(item.status == "done" for item in arguments.items)
        opened = sum(item.status in ("pending", "in_progress") for item in arguments.items)
        return ToolOutcome(status="ok", output={"items": items, "done": done, "open": opened})

    async def probe(self, arguments: TodoArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("A plan is only written down.")


def current_plan(calls: Iterable[tuple[str, Json]]) -> tuple[TodoItem, ...]:
    """The plan after these calls, given as (tool name, arguments) in the order of the journal; only successful ones count.

    Pure. Arguments that are not a plan change nothing.
    """
    plan: tuple[TodoItem, ...] = ()
    for name, arguments in calls:
        if name != NAME:
            continue
        try:
            plan = tuple(msgspec.convert(arguments, TodoArguments).items)
        except msgspec.ValidationError:
            continue
    return plan
