"""The metadata at the head of a note (lago.md §13, "Parsing").

    an optional byte-order mark, `---`, a line end, YAML, a line that begins with `---`

It is frontmatter only there. What has no end, is no YAML, or is no mapping (two horizontal rules with text between them)
stays part of the body.

YAML is read as a stream of parser events, from which text, numbers, lists and mappings are built here: no object is ever constructed, no
tag but those of the core schema is taken, and dates stay the text that they are. Aliases are refused, so a small text can't
stand for a large one; depth and length have limits. Scalars follow the YAML 1.2 core schema: `no`, `on` and `12:30` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol, cast

import yaml

from life.aios.json import Json, JsonObject

MAX_FRONTMATTER_CHARACTERS: Final = 64 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 10_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its parser is used
_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(("true", "True", "TRUE"))
_FALSE: Final = frozenset(("false", "False", "FALSE"))
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,4})?")
_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int", "float", "timestamp", "seq", "map")
)
_OPENING: Final = re.compile("\ufeff?---\r?\n")
_CLOSING: Final = re.compile(r"^---.*(?:\n|\Z)", re.MULTILINE)


class Split(NamedTuple):
    """A note's text in its two parts."""

    frontmatter: JsonObject | None
    body: str
    problem: str | None = None
    """Why what looked like frontmatter is none, where that seems a mistake."""


class _Event(Protocol):
    """What is used of a parser event."""

    tag: str | None
    value: str
    implicit: tuple[bool, bool]


class UnfitYamlError(Exception):
    """The text is no YAML, or none that is taken."""


def split_frontmatter(text: str) -> Split:
    """Metadata and body of a note's text."""
    opening = _OPENING.match(text)
    if opening is None:
        return Split(None, text.removeprefix("\ufeff"))
    everything = text.removeprefix("\ufeff")
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        return Split(None, everything)
    source = text[opening.end() : closing.start()]
    if not source.strip():
        return Split({}, text[closing.end() :])
    try:
        found = read_yaml(source)
    except UnfitYamlError as error:
        return Split(None, everything, f"frontmatter: {error}")
    if found is None:  # nothing but comments
        return Split({}, text[closing.end() :])
    if not isinstance(found, dict):
        return Split(None, everything)
    return Split(found, text[closing.end() :])


def read_yaml(text: str) -> Json:
    """The one document in a YAML text, as JSON; UnfitYamlError."""
    if len(text) > MAX_FRONTMATTER_CHARACTERS:
        raise UnfitYamlError(f"longer than {MAX_FRONTMATTER_CHARACTERS} characters")
    builder = _Builder(_events(text))
    try:
        return builder.document()
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None)
        raise UnfitYamlError(str(problem or "not YAML")) from None
    except (ValueError, UnicodeError):
        raise UnfitYamlError("not YAML") from None


def _events(text: str) -> Iterator[object]:
    return cast("Iterator[object]", yaml.parse(text, Loader=_LOADER))


class _Builder:
    """JSON from parser events, depth first, with a limit on both directions."""

    def __init__(self, events: Iterator[object]) -> None:
        self._events = events
        self._left = MAX_NODES

    def document(self) -> Json:
        value: Json = None
        documents = 0
        for event in self._events:
            match event:
                case yaml.StreamStartEvent() | yaml.StreamEndEvent() | yaml.DocumentEndEvent():
                    continue
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise UnfitYamlError("more than one document")
                case _:
                    value = self._value(event, 0)
        return value

    def _value(self, event: object, depth: int) -> Json:
        self._left -= 1
        if self._left < 0:
            raise UnfitYamlError(f"more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise UnfitYamlError(f"deeper than {MAX_DEPTH}")
        match event:
            case yaml.ScalarEvent():
                return _scalar(cast(_Event, event))
            case yaml.SequenceStartEvent():
                _check_tag(cast(_Event, event).tag)
                return self._sequence(depth)
            case yaml.MappingStartEvent():
                _check_tag(cast(_Event, event).tag)
                return self._mapping(depth)
            case _:
                raise UnfitYamlError("aliases are not taken")

    def _sequence(self, depth: int) -> Json:
        items: list[Json] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> Json:
        found: dict[str, Json] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise UnfitYamlError("a key is not a text")
            found[cast(_Event, event).value] = self._value(next(self._events), depth + 1)
        return found


def _check_tag(tag: str | None) -> None:
    if tag is not None and tag != "!" and tag not in _TAGS:
        raise UnfitYamlError("a tag that is not taken")


def _scalar(event: _Event) -> Json:
    _check_tag(event.tag)
    text = event.value
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UnfitYamlError("half a character")
    if not event.implicit[0]:  # quoted, a block, or tagged: what it says
        return text
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
