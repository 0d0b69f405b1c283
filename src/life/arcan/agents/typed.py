"""How an agent is asked and how a typed one answers (arcan.md §11.2).

The input is a JSON code block. An agent with an output schema gets one more tool, `record_answer {answer}`; its run ends with the
first answer that fits. An answer that does not fit is an error which the model reads; ending without any is a turn that
says so. Each of the two is a corrective attempt, and after `max_retries` of them the run ends for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.ports.tools import ToolAnnotations, ToolDefinition
from life.arcan.agents.profile import AgentProfile
from life.arcan.agents.schemas import violations

RECORD_ANSWER: Final = "record_answer"

SUFFIX: Final = (
    "When you are done, call the tool record_answer exactly once, with your answer in the form that its schema asks for. "
    "Only what you record there is your answer."
)

NOT_EMITTED: Final = "You ended without recording an answer. Call record_answer with it now."


def objective_of(value: Json) -> str:
    """The objective of a run with this input: text as it is, anything else as a JSON code block."""
    if isinstance(value, str):
        return value
    return f"```json\n{msgspec.json.format(msgspec.json.encode(value), indent=2).decode()}\n```"


def instructions_of(instructions: str, output_schema: JsonObject | None) -> str:
    """What the agent's session begins with."""
    return instructions if output_schema is None else f"{instructions}\n\n{SUFFIX}"


def answer_tool(schema: JsonObject) -> ToolDefinition:
    """`record_answer` for answers of this schema."""
    return ToolDefinition(
        name=RECORD_ANSWER,
        description="Record your final answer. It ends your work.",
        input_schema={
            "type": "object",
            "properties": {"answer": schema},
            "required": ["answer"],
            **_definitions(schema),
        },
        annotations=ToolAnnotations(read_only=True, idempotent=True),
        category="agents",
    )


def fault_of(arguments: Json, profile: AgentProfile) -> str | None:
    """Why the arguments of a `record_answer` are no answer; None when they are."""
    if not isinstance(arguments, Mapping) or "answer" not in arguments:
        return "The arguments have no 'answer'."
    assert profile.output_schema is not None
    try:
        found = violations(arguments["answer"], profile.output_schema)
    except ValueError as error:
        return f"The schema can't be used: {error}."
    return None if not found else "The answer does not fit. " + " ".join(found)


def _definitions(schema: JsonObject) -> dict[str, Json]:
    """A schema's own definitions stand at the top, where its `#/$defs/…` look for them."""
    return {key: schema[key] for key in ("$defs", "definitions") if key in schema}
