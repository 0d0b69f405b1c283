"""All files below a directory of the workspace, in order, and none that a link would lead to.

Every directory is opened below the workspace's own handle (`Workspace.open_directory`), so a directory that is exchanged
for a link while the walk runs is an error for that directory, not a way out. Hidden names never appear; `.git` and
what `.gitignore` files leave out appear only when asked for.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from life.aios.errors import ToolError
from life.praxis.gitignore import FILE_NAME, MAX_FILE_BYTES, IgnoreFile, is_ignored, parse_ignore_file
from life.praxis.workspace import TEMPORARY_PREFIX, Workspace

MAX_SCANNED: Final = 200_000
"""Entries that one walk looks at; a workspace with more is searched in parts."""

_GIT: Final = ".git"
_MAX_LOOKED_AT: Final = 60
_MAX_LEFT_OUT: Final = 500


def walk_order(path: str) -> list[str]:
    """The key that sorts paths as a walk finds them."""
    return path.split("/")


class Found(NamedTuple):
    """A file or directory."""

    path: str
    """Canonical, from the workspace."""
    is_directory: bool


class IgnoreRules:
    """What the workspace's `.gitignore` files leave out, each file read once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._of: dict[str, list[IgnoreFile]] = {}
        self._left_out: dict[str, bool] = {}

    def within(self, directory: str) -> list[IgnoreFile]:
        """The rules for what lies directly in a directory (empty text: the top), the top ones first."""
        rules = self._of.get(directory)
        if rules is None:
            above = self.within(directory.rpartition("/")[0]) if directory else []
            rules = self._of[directory] = [*above, *self._read(directory)]
        return rules

    def leave_out(self, path: str, *, directory: bool) -> bool:
        """Whether a path is left out by itself; the directories above it have been asked before."""
        parent, _, name = path.rpartition("/")
        return name == _GIT or is_ignored(path, self.within(parent), directory=directory)

    def leave_out_below(self, path: str, base: str) -> bool:
        """Whether a file is left out, or any directory between it and `base` (which was asked for by name)."""
        start = len(base) + 1 if base else 0
        position = path.find("/", start)
        while position != -1:
            above = path[:position]
            left_out = self._left_out.get(above)
            if left_out is None:
                left_out = self._left_out[above] = self.leave_out(above, directory=True)
            if left_out:
                return True
            position = path.find("/", position + 1)
        return self.leave_out(path, directory=False)

    def _read(self, directory: str) -> list[IgnoreFile]:
        path = f"{directory}/{FILE_NAME}" if directory else FILE_NAME
        with contextlib.suppress(ToolError, OSError), self._workspace.open_file(path) as opened:
            text = opened.read_up_to(MAX_FILE_BYTES).decode(errors="replace")
            return [parse_ignore_file(directory, text)]
        return []


def ignored_directories(workspace: Workspace, base: str, rules: IgnoreRules) -> list[str]:
    """Directories near the top of a search that are left out: the usual heavy ones, not necessarily all."""
    waiting = deque(["" if base == "." else base])
    found: list[str] = []
    for _ in range(_MAX_LOOKED_AT):
        if not waiting:
            break
        directory = waiting.popleft()
        with (
            contextlib.suppress(ToolError, OSError),
            workspace.open_directory(directory or ".") as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and _is_text(entry.name):
                    path = f"{directory}/{entry.name}" if directory else entry.name
                    (found if rules.leave_out(path, directory=True) else waiting).append(path)
    return found[:_MAX_LEFT_OUT]


class Walk:
    """One walk. `scanned` and `complete` tell afterwards how far it came."""

    def __init__(
        self, workspace: Workspace, base: str, *, include_ignored: bool, proceed: Callable[[], bool] = lambda: True
    ) -> None:
        """`proceed` is asked at every directory; when it says no, the walk ends early (`complete` is then False)."""
        self._workspace = workspace
        self._base = "" if base == "." else base
        self._rules = None if include_ignored else IgnoreRules(workspace)
        self._proceed = proceed
        self.scanned = 0
        self.complete = True

    def __iter__(self) -> Iterator[Found]:
        """Depth first, each directory's entries by name. ToolError when the base can't be opened."""
        with self._workspace.open_directory(self._base or "."):
            pass
        stack = [self._entries(self._base)]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            yield found
            if found.is_directory:
                stack.append(self._entries(found.path))

    def _entries(self, directory: str) -> Iterator[Found]:
        """The files and directories of one directory that are not left out."""
        for name, is_directory in self._names(directory):
            path = f"{directory}/{name}" if directory else name
            if self._rules is None or not self._rules.leave_out(path, directory=is_directory):
                yield Found(path, is_directory)

    def _names(self, directory: str) -> list[tuple[str, bool]]:
        """Names of regular files and directories, sorted; nothing when the directory can't be opened (any more)."""
        if not self._proceed() or self.scanned >= MAX_SCANNED:
            self.complete = False
            return []
        names: list[tuple[str, bool]] = []
        policy = self._workspace.policy
        with (
            contextlib.suppress(ToolError, OSError),
            self._workspace.open_directory(directory or ".") as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                self.scanned += 1
                is_directory = entry.is_dir(follow_symlinks=False)
                if not is_directory and not entry.is_file(follow_symlinks=False):
                    continue
                name = entry.name
                if name.startswith(TEMPORARY_PREFIX) or policy.hides(name) or not _is_text(name):
                    continue
                names.append((name, is_directory))
        names.sort()
        return names


def _is_text(name: str) -> bool:
    """Names that are not UTF-8 can't be given to any tool, so they are left out."""
    return name.isascii() or not any(0xD800 <= ord(character) < 0xE000 for character in name)
