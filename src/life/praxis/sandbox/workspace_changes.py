"""Which files of a workspace a command changed: what was there before compared with what is there after.

A file counts as touched when its size, modification time, change time or inode is another; the change time can't be set back by a
command. Only regular files that tools may see are looked at, nothing below `.git`, and no link is followed. Everything is bounded, and a
bound that was met is told.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final, NamedTuple

from life.aios.errors import ToolError
from life.praxis.workspace import TEMPORARY_PREFIX, Workspace

MAX_ENTRIES: Final = 50_000
MAX_CHANGED: Final = 1_000
MAX_HASHED_BYTES: Final = 512 * 1024**2
MAX_DEPTH: Final = 64
_MAX_HIDDEN: Final = 256
_GIT: Final = ".git"
_GIT_RUNS: Final = ("hooks", "config")
"""What git runs or obeys when a person uses it in the workspace later."""

Mark = tuple[int, int, int, int]
"""Size, modification time, change time (ns), inode."""


class Snapshot(NamedTuple):
    """Files by canonical path."""

    files: dict[str, Mark]
    hidden: tuple[str, ...]
    """Paths that tools may not see; not entered."""
    read_only: tuple[str, ...]
    """Parts of `.git` that no command may change."""
    complete: bool


class Changes(NamedTuple):
    """What a command did to files."""

    paths: tuple[tuple[str, str], ...]
    """Path and SHA-256 (hex), or `deleted`; sorted."""
    notes: tuple[str, ...]
    """What could not be told."""


def take_snapshot(workspace: Workspace) -> Snapshot:
    """Look at every file once. Blocks."""
    files: dict[str, Mark] = {}
    hidden: list[str] = []
    read_only: list[str] = []
    complete = True
    seen = 0
    waiting = ["."]
    while waiting:
        directory = waiting.pop()
        prefix = "" if directory == "." else f"{directory}/"
        if seen >= MAX_ENTRIES or prefix.count("/") > MAX_DEPTH:
            complete = False
            continue
        with (
            contextlib.suppress(ToolError, OSError),
            workspace.open_directory(directory) as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                seen += 1
                name, path = entry.name, f"{prefix}{entry.name}"
                if workspace.policy.hides(name):
                    hidden.append(path)
                elif name == _GIT and entry.is_dir(follow_symlinks=False):
                    read_only += [f"{path}/{part}" for part in _GIT_RUNS]
                elif not _is_text(name) or name.startswith(TEMPORARY_PREFIX):
                    continue
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        files[path] = _mark(entry.stat(follow_symlinks=False))
    complete = complete and len(hidden) <= _MAX_HIDDEN
    return Snapshot(files, tuple(hidden[:_MAX_HIDDEN]), tuple(read_only[:_MAX_HIDDEN]), complete)


def changes_since(workspace: Workspace, before: Snapshot) -> Changes:
    """What is another now than in `before`, with digests. Blocks."""
    after = take_snapshot(workspace)
    notes: list[str] = []
    if not (before.complete and after.complete):
        notes.append(
            f"The workspace is too large to be looked at whole ({MAX_ENTRIES} entries); changes may be missing."
        )
    touched = sorted(path for path, mark in after.files.items() if before.files.get(path) != mark)
    gone = sorted(before.files.keys() - after.files.keys()) if after.complete else []
    if len(touched) + len(gone) > MAX_CHANGED:
        notes.append(f"{len(touched)} files were changed and {len(gone)} deleted; only {MAX_CHANGED} are named.")
    found: dict[str, str] = {}
    room_bytes = MAX_HASHED_BYTES
    for path in touched[:MAX_CHANGED]:
        size_bytes = after.files[path][0]
        if size_bytes > room_bytes:
            notes.append(f"'{path}' was changed; it is too large for its digest to be taken.")
            continue
        room_bytes -= size_bytes
        try:
            digest = workspace.content_sha256(path)
        except (ToolError, OSError) as failure:
            notes.append(failure.message if isinstance(failure, ToolError) else f"'{path}' could not be read.")
            continue
        found[path] = digest or "deleted"
    found.update(dict.fromkeys(gone[: MAX_CHANGED - len(found)], "deleted"))
    return Changes(tuple(sorted(found.items())), tuple(notes[:20]))


def _mark(found: os.stat_result) -> Mark:
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _is_text(name: str) -> bool:
    """Names that are not UTF-8 can't stand in an event."""
    return name.isascii() or not any(0xD800 <= ord(character) < 0xE000 for character in name)
