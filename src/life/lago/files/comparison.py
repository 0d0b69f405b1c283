"""Comparing manifests and contents, and merging them (lago.md §5)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from life.lago.files.manifest import FileEntry, Manifest

MAX_TEXT_BYTES: Final = 1024 * 1024
"""Longer contents are compared by their hashes only."""

Change = Literal["added", "removed", "modified", "renamed"]
Strategy = Literal["ours", "theirs"]


class Difference(NamedTuple):
    """One path that differs. A rename names both sides' entries; its path is the new one."""

    change: Change
    path: str
    old: FileEntry | None
    new: FileEntry | None


class Conflict(NamedTuple):
    """A path that both sides changed, and not to the same content. None: it is not there on that side."""

    path: str
    base: FileEntry | None
    ours: FileEntry | None
    theirs: FileEntry | None


class Merged(NamedTuple):
    """Three manifests made one. Where there is a conflict, the result has ours."""

    manifest: Manifest
    conflicts: tuple[Conflict, ...]


def compare(old: Mapping[str, FileEntry], new: Mapping[str, FileEntry], *, renames: bool = True) -> list[Difference]:
    """What differs, by path. With `renames`, a content that left one path and came up on another is one difference."""
    removed = [path for path in old if path not in new]
    added = [path for path in new if path not in old]
    found = [
        Difference("modified", path, old[path], new[path])
        for path in new
        if path in old and old[path].blob_hash != new[path].blob_hash
    ]
    if renames:
        by_content: dict[str, list[str]] = {}
        for path in removed:
            by_content.setdefault(old[path].blob_hash, []).append(path)
        for path in list(added):
            left = by_content.get(new[path].blob_hash)
            if left:
                origin = left.pop(0)
                removed.remove(origin)
                added.remove(path)
                found.append(Difference("renamed", path, old[origin], new[path]))
    found += [Difference("removed", path, old[path], None) for path in removed]
    found += [Difference("added", path, None, new[path]) for path in added]
    return sorted(found, key=lambda difference: difference.path)


def merge(
    base: Mapping[str, FileEntry],
    ours: Mapping[str, FileEntry],
    theirs: Mapping[str, FileEntry],
    *,
    strategy: Strategy | None = None,
) -> Merged:
    """The three-way merge: what one side changed is taken; what both changed the same way is taken once; everything else is a
    conflict, unless a strategy says whose side wins."""
    result: dict[str, FileEntry] = {}
    conflicts: list[Conflict] = []
    for path in sorted({*base, *ours, *theirs}):
        was, here, there = base.get(path), ours.get(path), theirs.get(path)
        if _same(here, there) or _same(was, there):
            chosen = here
        elif _same(was, here):
            chosen = there
        elif strategy is None:
            conflicts.append(Conflict(path, was, here, there))
            chosen = here
        else:
            chosen = here if strategy == "ours" else there
        if chosen is not None:
            result[path] = chosen
    return Merged(Manifest(result), tuple(conflicts))


def text_difference(old: bytes, new: bytes, *, path: str, context_lines: int = 3) -> str | None:
    """A unified diff; None when one side is not text or too long for one. Lines end only at `\\n`: other line ends are
    content and show as such."""
    if max(len(old), len(new)) > MAX_TEXT_BYTES:
        return None
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        return None
    told = []
    lines = difflib.unified_diff(before, after, f"a{path}", f"b{path}", n=context_lines, lineterm="")
    for number, line in enumerate(lines):
        told.append(line if line.endswith("\n") else line + "\n")
        if number > 1 and line[0] in " +-" and not line.endswith("\n"):
            told.append("\\ No newline at end of file\n")
    return "".join(told)


def _same(one: FileEntry | None, other: FileEntry | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.blob_hash == other.blob_hash


def _lines(content: bytes) -> list[str] | None:
    if b"\0" in content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    *whole, last = text.split("\n")
    return [line + "\n" for line in whole] + ([last] if last else [])
