"""SKILL.md: a YAML frontmatter between two lines of `---`, then the body, which is what the model is given.

    ---
    name: review-python
    description: How to review Python changes. Use it before a merge.
    allowed-tools: read_file grep
    ---
    First look at …

`name` and `description` are required. `allowed-tools` (or `allowed_tools`) is a list, or text with blanks between; `Read`, `Edit`, `Bash`
and the like of other hosts are understood as our tools of that kind. A scoped entry such as `Bash(git:*)` can't be kept as it
is meant, so it permits nothing. Keys that are not known are kept as metadata. Nothing here runs: aliases, tags and large
frontmatters are refused.

Source: the Agent Skills specification; praxis.md §6.1.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
import yaml

from life.aios.json import Json
from life.praxis.errors import SkillError

FILE_NAME: Final = "SKILL.md"
MAX_FRONTMATTER_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 16
MAX_FILE_BYTES: Final = 128 * 1024
MAX_BODY_CHARACTERS: Final = 64_000
MAX_DESCRIPTION_CHARACTERS: Final = 1_024

_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_TOOL: Final = re.compile(r"[A-Za-z0-9_*-]{1,64}")
_MAX_NAME: Final = 64
_SEPARATORS: Final = re.compile(r"[\s,]+")
_INVISIBLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]+"
)
_OTHER_HOSTS: Final = {
    "Read": ("read_file",),
    "Write": ("write_file",),
    "Edit": ("edit_file",),
    "MultiEdit": ("edit_file",),
    "Bash": ("bash",),
    "Glob": ("glob",),
    "Grep": ("grep",),
    "LS": ("list_dir",),
    "WebFetch": ("http_fetch",),
    "TodoWrite": ("todo",),
    "Task": ("spawn_agent",),
}


class SkillManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed SKILL.md."""

    name: str
    description: str
    body: str
    license: str | None = None
    compatibility: str | None = None
    tags: tuple[str, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    """Names of our tools, `*` as wildcard; None: the skill names none and narrows nothing."""
    user_invocable: bool = True
    """Whether a person may begin with `/name`."""
    model_invocable: bool = True
    """Whether the model is told of it and may activate it."""
    metadata: dict[str, Json] = {}
    remarks: tuple[str, ...] = ()
    """What was understood otherwise than it was written."""


def parse_manifest(content: bytes) -> SkillManifest:
    """The manifest of a file's content. SkillError says what is wrong."""
    if len(content) > MAX_FILE_BYTES:
        raise SkillError(f"SKILL.md is larger than {MAX_FILE_BYTES} bytes.")
    try:
        text = content.decode().removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        raise SkillError("SKILL.md is not UTF-8 text.") from None
    front, body = _split(text.replace("\r\n", "\n"))
    fields = _frontmatter(front)
    remarks: list[str] = []
    name = _required(fields, "name")
    if _NAME.fullmatch(name) is None or len(name) > _MAX_NAME:
        raise SkillError("The name must be 1 to 64 lower-case letters, digits and single '-' between them.")
    description = _INVISIBLE.sub(" ", _required(fields, "description")).strip()
    if len(description) > MAX_DESCRIPTION_CHARACTERS:
        description = description[:MAX_DESCRIPTION_CHARACTERS]
        remarks.append(f"the description was cut at {MAX_DESCRIPTION_CHARACTERS} characters")
    if len(body) > MAX_BODY_CHARACTERS:
        raise SkillError(f"The body has more than {MAX_BODY_CHARACTERS} characters.")
    if "mcp_servers" in fields:
        remarks.append("its mcp_servers are not started; name them in the file of MCP servers")
    return SkillManifest(
        name=name,
        description=description,
        body=body,
        license=_text(fields.pop("license", None), "license"),
        compatibility=_text(fields.pop("compatibility", None), "compatibility"),
        tags=_words(fields.pop("tags", None), "tags") or (),
        allowed_tools=_allowed(fields, remarks),
        user_invocable=_flag(fields, ("user-invocable", "user_invocable"), default=True),
        model_invocable=not _flag(fields, ("disable-model-invocation", "disable_model_invocation"), default=False),
        metadata=fields,
        remarks=tuple(remarks),
    )


def _split(text: str) -> tuple[str, str]:
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        raise SkillError("SKILL.md does not begin with a frontmatter ('---').")
    for number, line in enumerate(lines[1:], start=1):
        if line.startswith("---"):
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]).strip()
    raise SkillError("The frontmatter has no end ('---').")


def _frontmatter(text: str) -> dict[str, Json]:
    if len(text.encode()) > MAX_FRONTMATTER_BYTES:
        raise SkillError(f"The frontmatter is larger than {MAX_FRONTMATTER_BYTES} bytes.")
    try:
        _check_shape(text)
        loaded = yaml.safe_load(text)
        fields = msgspec.convert(loaded, dict[str, object])
        plain: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(fields))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, msgspec.MsgspecError) as error:
        place = getattr(error, "problem_mark", None)
        where = "" if place is None else f" (line {place.line + 2})"
        raise SkillError(f"The frontmatter is not a YAML mapping of plain values{where}.") from None
    return plain


def _check_shape(text: str) -> None:
    """Refuse aliases and deep nesting while the text is read, before it costs time: the reader is slow at both."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise SkillError("The frontmatter uses an alias, which is not accepted.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise SkillError(f"The frontmatter is no mapping of plain values: it is nested more than {MAX_DEPTH} deep.")


def _required(fields: dict[str, Json], key: str) -> str:
    value = fields.pop(key, None)
    if not isinstance(value, str) or not value.strip():
        raise SkillError(f"The frontmatter has no {key}.")
    return value.strip()


def _text(value: Json, key: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise SkillError(f"{key} must be text.")
    return str(value)[:500]


def _words(value: Json, key: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    words = _SEPARATORS.split(value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or len(words) > 100:
        raise SkillError(f"{key} must be a list of at most 100 names.")
    return tuple(str(word) for word in words if word)


def _flag(fields: dict[str, Json], keys: tuple[str, ...], *, default: bool) -> bool:
    for key in keys:
        value = fields.pop(key, None)
        if value is not None:
            if not isinstance(value, bool):
                raise SkillError(f"{key} must be true or false.")
            return value
    return default


def _allowed(fields: dict[str, Json], remarks: list[str]) -> tuple[str, ...] | None:
    written = None
    for key in ("allowed-tools", "allowed_tools"):
        value = fields.pop(key, None)
        if value is not None:
            if isinstance(value, str):
                value = re.findall(r"[^\s,(]+(?:\([^)]*\))?", value)
            written = _words(value, key)
    if written is None:
        return None
    names: list[str] = []
    for word in written:
        if word in _OTHER_HOSTS:
            names += _OTHER_HOSTS[word]
        elif _TOOL.fullmatch(word) is not None:
            names.append(word)
        else:
            remarks.append(f"the tool {word[:64]!r} can't be permitted as it is written, so it is not permitted")
    return tuple(dict.fromkeys(names))
