"""An agent as a file: `<name>.md`, a YAML frontmatter between two lines of `---`, then the instructions.

    ---
    name: reviewer
    description: Reads a change and says what is wrong with it.
    model: anthropic:claude-sonnet-4-5
    max_turns: 12
    allowed_tools: [read_file, grep, glob]
    input_schema: {type: object, required: [path], properties: {path: {type: string}}}
    output_schema: {type: object, required: [verdict], properties: {verdict: {enum: [good, bad]}}}
    ---
    You review one file. …

`name` and `description` are required; the name is the file's. Without `model` the agent thinks with its parent's. Without
`output_schema` it answers in words. A key that is not known is a remark, not an error. Nothing here runs: aliases, tags,
references to elsewhere and large files are refused. Source: arcan.md §11.1.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from life.aios.json import Json, JsonObject
from life.arcan.agents.schemas import schema_problem
from life.arcan.errors import AgentDefinitionError

MAX_FILE_BYTES: Final = 128 * 1024
MAX_FRONTMATTER_BYTES: Final = 96 * 1024
MAX_NESTING: Final = 32
MAX_DESCRIPTION_CHARACTERS: Final = 1_024

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_FENCE: Final = "---"


class AgentDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent that can be run. `instructions` is the body of its file."""

    name: str
    description: str
    instructions: str
    model: str = ""
    """A provider specification; empty: that of whoever runs it."""
    max_turns: int = 16
    """Model calls of one run."""
    max_retries: int = 3
    """Corrections of an answer that does not fit."""
    max_tokens: int | None = None
    max_time_s: int | None = None
    max_cost_micro: int | None = None
    """In micro-USD. Whatever stands here, a child gets no more than its parent has left."""
    allowed_tools: tuple[str, ...] | None = None
    """Names or patterns with `*`; None: all that its parent has."""
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    extensions: dict[str, Json] = {}
    """For others; kept as they are."""
    digest: str = ""
    """SHA-256 of the file."""
    path: str = ""
    remarks: tuple[str, ...] = ()


class _Frontmatter(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    model: str = ""
    max_turns: int = 16
    max_retries: int = 3
    max_tokens: int | None = None
    max_time_s: int | None = None
    max_cost_micro: int | None = None
    allowed_tools: list[str] | None = None
    input_schema: dict[str, Json] | None = None
    output_schema: dict[str, Json] | None = None
    extensions: dict[str, Json] = {}


_BOUNDS: Final = {
    "max_turns": (1, 1000),
    "max_retries": (0, 16),
    "max_tokens": (1, 2**53 - 1),
    "max_time_s": (1, 7 * 86_400),
    "max_cost_micro": (1, 2**53 - 1),
}


def split_file(raw: bytes) -> tuple[str, str] | None:
    """Frontmatter and body of a file; None when it has none, or no body: documentation. AgentDefinitionError: not text."""
    if len(raw) > MAX_FILE_BYTES:
        raise AgentDefinitionError(f"The file is larger than {MAX_FILE_BYTES} bytes.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AgentDefinitionError("The file is not UTF-8.") from None
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != _FENCE:
        return None
    for number, line in enumerate(lines[1:], start=1):
        if line.strip() == _FENCE:
            body = "".join(lines[number + 1 :]).strip()
            return ("".join(lines[1:number]), body) if body else None
    raise AgentDefinitionError("The frontmatter has no end: a line of `---` is missing.")


def parse_definition(raw: bytes, *, stem: str, path: str = "") -> AgentDefinition | None:
    """The definition in a file whose name without `.md` is `stem`; None for documentation. AgentDefinitionError says what
    does not fit."""
    parts = split_file(raw)
    if parts is None:
        return None
    frontmatter, body = parts
    fields = _mapping(frontmatter)
    known = set(_Frontmatter.__struct_fields__)
    remarks = tuple(f"The key '{key[:64]}' is not known." for key in sorted(set(fields) - known))
    try:
        given = msgspec.convert({key: value for key, value in fields.items() if key in known}, _Frontmatter)
    except msgspec.ValidationError as error:
        raise AgentDefinitionError(f"The frontmatter does not fit: {error}.") from None
    _check(given, stem)
    return AgentDefinition(
        name=given.name,
        description=given.description.strip(),
        instructions=body,
        model=given.model.strip(),
        max_turns=given.max_turns,
        max_retries=given.max_retries,
        max_tokens=given.max_tokens,
        max_time_s=given.max_time_s,
        max_cost_micro=given.max_cost_micro,
        allowed_tools=None if given.allowed_tools is None else tuple(given.allowed_tools),
        input_schema=given.input_schema,
        output_schema=given.output_schema,
        extensions=given.extensions,
        digest=hashlib.sha256(raw).hexdigest(),
        path=path,
        remarks=remarks,
    )


def check_name(name: str) -> str:
    """`name`, when it can be an agent's: AgentDefinitionError otherwise."""
    if _NAME.fullmatch(name) is None:
        raise AgentDefinitionError("A name is 1 to 64 lower-case letters, digits, '-' and '_'.")
    return name


def _check(given: _Frontmatter, stem: str) -> None:
    check_name(given.name)
    if given.name != stem:
        raise AgentDefinitionError(f"The file is called {stem}.md, but its agent is named '{given.name}'.")
    if not 1 <= len(given.description.strip()) <= MAX_DESCRIPTION_CHARACTERS:
        raise AgentDefinitionError(f"The description has 1 to {MAX_DESCRIPTION_CHARACTERS} characters.")
    for name, (low, high) in _BOUNDS.items():
        value = getattr(given, name)
        if value is not None and not low <= value <= high:
            raise AgentDefinitionError(f"{name} is from {low} to {high}, not {value}.")
    for name, schema in (("input_schema", given.input_schema), ("output_schema", given.output_schema)):
        problem = None if schema is None else schema_problem(schema)
        if problem is not None:
            raise AgentDefinitionError(f"The {name} can't be used: {problem}.")
    if any(not 1 <= len(tool) <= 128 for tool in given.allowed_tools or ()):
        raise AgentDefinitionError("A tool's name has 1 to 128 characters.")


def _mapping(text: str) -> dict[str, Json]:
    """The frontmatter as plain data."""
    import yaml  # a twentieth of a second that a project without agents need not wait

    if len(text.encode()) > MAX_FRONTMATTER_BYTES:
        raise AgentDefinitionError(f"The frontmatter is larger than {MAX_FRONTMATTER_BYTES} bytes.")
    try:
        _check_shape(text)
        fields = msgspec.convert(yaml.safe_load(text), dict[str, object])
        plain: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(fields))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, msgspec.MsgspecError) as error:
        place = getattr(error, "problem_mark", None)
        where = "" if place is None else f" (line {place.line + 2})"
        raise AgentDefinitionError(f"The frontmatter is not a YAML mapping of plain values{where}.") from None
    return plain


def _check_shape(text: str) -> None:
    """Refuse aliases and deep nesting while the text is read, before they cost time."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise AgentDefinitionError("The frontmatter uses an alias, which is not accepted.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_NESTING:
            raise AgentDefinitionError(f"The frontmatter is nested more than {MAX_NESTING} deep.")
