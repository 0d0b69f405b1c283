"""Path patterns: `*`, `?`, `[…]` within a component, `**` across components, `{a,b}` for alternatives.

A component is matched by the expression of `fnmatch`, whose stars do not backtrack into one another, and the components
by two pointers, so no pattern takes more than (components of the pattern) x (components of the path) steps.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Sequence
from typing import Final

from life.praxis.errors import OutsideWorkspaceError, ToolInputError

MAX_PATTERN_CHARACTERS: Final = 1000
_MAX_ALTERNATIVES: Final = 64

Component = re.Pattern[str] | None
"""The expression of one component; None is `**`."""


class PathPattern:
    """A compiled pattern over canonical paths."""

    __slots__ = ("_alternatives", "directories_only")

    def __init__(self, text: str) -> None:
        """ToolInputError: empty, too long, too many alternatives; OutsideWorkspaceError: absolute or with `..`."""
        if not text or len(text) > MAX_PATTERN_CHARACTERS or "\0" in text:
            raise ToolInputError(f"A pattern has 1 to {MAX_PATTERN_CHARACTERS} characters and no NUL.")
        self.directories_only = text.endswith("/")
        self._alternatives: list[tuple[Component, ...]] = []
        for alternative in expand_braces(text):
            if alternative.startswith("/"):
                raise OutsideWorkspaceError("The pattern is absolute; patterns are relative to the workspace.")
            parts = [part for part in alternative.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise OutsideWorkspaceError("The pattern contains '..'; patterns never go up.")
            if parts and parts[-1] == "**":  # everything below, and not the directory itself
                parts.append("*")
            self._alternatives.append(compile_components(parts))

    def matches(self, path: str) -> bool:
        """Whether a path, relative to where the pattern applies, fits."""
        parts = path.split("/")
        return any(match_components(alternative, parts) for alternative in self._alternatives)


def expand_braces(text: str) -> list[str]:
    """`a.{b,c}` as `a.b` and `a.c`; nested braces too. Braces that do not pair, or hold no comma, are plain text.

    ToolInputError past 64 alternatives.
    """
    done: list[str] = []
    waiting = [text]
    while waiting:
        current = waiting.pop()
        found = _first_group(current)
        if found is None:
            done.append(current)
        else:
            start, end, options = found
            waiting += [current[:start] + option + current[end + 1 :] for option in reversed(options)]
        if len(done) + len(waiting) > _MAX_ALTERNATIVES:
            raise ToolInputError(f"The pattern has more than {_MAX_ALTERNATIVES} alternatives.")
    return done


def _first_group(text: str) -> tuple[int, int, list[str]] | None:
    """The first outermost `{…,…}`: where it starts and ends, and its options."""
    start = text.find("{")
    while start != -1:
        depth, options, begin = 0, [], start + 1
        for index in range(start, len(text)):
            character = text[index]
            if character == "{":
                depth += 1
            elif character == "}":
                depth -= 1
                if depth == 0:
                    options.append(text[begin:index])
                    if len(options) > 1:
                        return start, index, options
                    break
            elif character == "," and depth == 1:
                options.append(text[begin:index])
                begin = index + 1
        start = text.find("{", start + 1)
    return None


def compile_components(parts: Sequence[str]) -> tuple[Component, ...]:
    """Components as expressions; runs of `**` count once."""
    out: list[Component] = []
    for part in parts:
        if part == "**":
            if not out or out[-1] is not None:
                out.append(None)
        else:
            out.append(_component(part))
    return tuple(out)


@functools.lru_cache(maxsize=4096)
def _component(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))


def match_components(pattern: Sequence[Component], parts: Sequence[str]) -> bool:
    """Whether the components fit; on a mismatch only the last `**` takes one component more."""
    at, index = 0, 0
    star, resume = -1, 0
    while index < len(parts):
        if at < len(pattern):
            expression = pattern[at]
            if expression is None:
                star, resume = at, index
                at += 1
                continue
            if expression.match(parts[index]):
                at += 1
                index += 1
                continue
        if star == -1:
            return False
        resume += 1
        at, index = star + 1, resume
    return all(expression is None for expression in pattern[at:])
