"""What one tool is: a definition, typed arguments, and four things it can be asked about a call.

To add a tool, write one class beside the others in `life.praxis.tools`. Its arguments are a frozen msgspec struct with
`forbid_unknown_fields=True` and a description at every field; the JSON Schema that models see is derived from it, so the
two can't disagree. The registry validates, limits and catches; a tool only does its work and raises ToolError leaves.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.ports.tools import Probe, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.errors import ToolInputError

Arguments = TypeVar("Arguments", bound=msgspec.Struct)


class Tool(Protocol[Arguments]):
    """One tool. Instances hold configuration only; what a call needs comes with the call."""

    @property
    def definition(self) -> ToolDefinition:
        """Name, description for the model, schema, annotations and time limit."""
        ...

    @property
    def arguments(self) -> type[Arguments]:
        """The struct that a call's arguments are converted to."""
        ...

    def capabilities(self, arguments: Arguments, context: ToolContext) -> tuple[str, ...]:
        """What this call needs (aios.md §8). Quick, no effect. ToolError: the call can't be right."""
        ...

    async def prepare(self, arguments: Arguments, context: ToolContext) -> Json:
        """What `probe` will need to know about the world before the call. Changes nothing."""
        ...

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolOutcome:
        """Do it. ToolError leaves are how it fails; anything else that is raised is a defect and reported as such."""
        ...

    async def probe(self, arguments: Arguments, context: ToolContext, prepared: Json) -> Probe:
        """What became of a call that was interrupted. Changes nothing; `unknown` where it can't be told."""
        ...


def input_schema(arguments: type[msgspec.Struct]) -> JsonObject:
    """A plain JSON Schema object (draft 2020-12) for a struct: no title, no reference at the top."""
    (reference,), components = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    schema = components.pop(reference["$ref"].rpartition("/")[2])
    out = {key: value for key, value in schema.items() if key not in ("title", "description")}
    out.setdefault("properties", {})
    if components:
        out["$defs"] = components
    return out


def parse_arguments(tool: str, arguments: type[Arguments], given: Json) -> Arguments:
    """The given JSON as a checked struct. ToolInputError: its text tells the model what to change."""
    try:
        return msgspec.convert(given, arguments, strict=True)
    except msgspec.ValidationError as unfit:
        raise ToolInputError(f"Invalid arguments for {tool}: {unfit}. {_parameters(arguments)}") from None


def _parameters(arguments: type[msgspec.Struct]) -> str:
    """One sentence naming the parameters, required ones first."""
    fields = msgspec.structs.fields(arguments)
    if not fields:
        return "It takes no parameters."
    named = [f"{field.encode_name} (required)" for field in fields if field.required]
    named += [field.encode_name for field in fields if not field.required]
    return f"Its parameters are: {', '.join(named)}."


def read_only_probe(explanation: str) -> Probe:
    """The answer of a tool that changes nothing."""
    return Probe(answer="repeatable", explanation=explanation)
