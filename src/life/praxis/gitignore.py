"""`.gitignore` rules (gitignore(5)): which files a search leaves out.

Rules of a file apply below its directory; a later rule, and a rule of a deeper file, wins; `!` takes a path back in,
unless a directory above it is left out. Only the `.gitignore` files of the workspace count: not a person's global
ignore file, not `.git/info/exclude`, nothing above the workspace, so that every machine finds the same files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from life.praxis.patterns import Component, compile_components, match_components

FILE_NAME: Final = ".gitignore"
MAX_FILE_BYTES: Final = 256 * 1024
_MAX_RULES: Final = 4000


class Rule(NamedTuple):
    """One line."""

    components: tuple[Component, ...]
    excludes: bool
    directories_only: bool
    anchored: bool
    """Whether the pattern holds for the path from the file's directory, not for the last name alone."""


class IgnoreFile(NamedTuple):
    """The rules of one file."""

    directory: str
    """Canonical path of the directory they hold for; `` (empty) for the top."""
    rules: tuple[Rule, ...]


def parse_ignore_file(directory: str, text: str) -> IgnoreFile:
    """The rules of a file's text. Lines that make no pattern are passed over, as git does."""
    rules: list[Rule] = []
    for line in text.split("\n")[:_MAX_RULES]:
        rule = _parse_line(line.removesuffix("\r"))
        if rule is not None:
            rules.append(rule)
    return IgnoreFile(directory, tuple(rules))


def _parse_line(line: str) -> Rule | None:
    line = _without_trailing_blanks(line.removeprefix("\ufeff"))
    if not line or line.startswith("#"):
        return None
    excludes = not line.startswith("!")
    if not excludes:
        line = line[1:]
    directories_only = line.endswith("/")
    anchored = "/" in line.rstrip("/")
    parts = [part for part in line.split("/") if part]
    if not parts:
        return None
    try:
        components = compile_components([part if part == "**" else _as_fnmatch(part) for part in parts])
    except re.error:
        return None
    if components[-1] is None and len(components) > 1:  # `a/**` is everything below `a`, not `a` itself
        components = (*components, *compile_components(["*"]))
    return Rule(components, excludes, directories_only, anchored)


def _without_trailing_blanks(line: str) -> str:
    """Trailing blanks do not count unless a backslash stands before them."""
    end = len(line)
    while end and line[end - 1] == " " and not (end > 1 and line[end - 2] == "\\"):
        end -= 1
    return line[:end]


def _as_fnmatch(part: str) -> str:
    """Backslash escapes of gitignore as the brackets of fnmatch, and its `[^` as `[!`."""
    out: list[str] = []
    index = 0
    while index < len(part):
        character = part[index]
        if character == "\\" and index + 1 < len(part):
            index += 1
            escaped = part[index]
            out.append(f"[{escaped}]" if escaped in "*?[" else escaped)
        elif part.startswith("[^", index):
            out.append("[!")
            index += 1
        else:
            out.append(character)
        index += 1
    return "".join(out)


def is_ignored(path: str, files: Sequence[IgnoreFile], *, directory: bool) -> bool:
    """Whether the rules leave a path out. `files` are those of its directories, the top one first; the directories above
    it have been asked before."""
    name = path.rpartition("/")[2]
    for file in reversed(files):
        below = path[len(file.directory) + 1 :] if file.directory else path
        parts: list[str] | None = None
        for rule in reversed(file.rules):
            if rule.directories_only and not directory:
                continue
            if not rule.anchored:
                matched = rule.components[0] is None or rule.components[0].match(name) is not None
            else:
                parts = parts or below.split("/")
                matched = match_components(rule.components, parts)
            if matched:
                return rule.excludes
    return False
