"""`list_dir`: the entries of one directory of the workspace."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import on_thread
from life.praxis.paths import canonical_path, display_name
from life.praxis.tool import input_schema, read_only_probe
from life.praxis.workspace import TEMPORARY_PREFIX, Workspace, WorkspacePolicy

_INLINE_ENTRIES: Final = 256
"""That many entries are read on the event loop (about 1 µs each); a larger directory goes on on a thread."""

_MAX_SCANNED: Final = 100_000

Row = tuple[str, str, int | None]
"""Name, kind, size in bytes of a file."""


class ListDirArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `list_dir`."""

    path: Annotated[
        str, msgspec.Meta(description="Directory, relative to the workspace. '.' is the workspace itself.")
    ] = "."
    limit: Annotated[int, msgspec.Meta(description="At most this many entries.", ge=1, le=2000)] = 500


class ListDir:
    """Entries sorted by name, with kind and size. Links are named as links and never followed."""

    arguments = ListDirArguments

    def __init__(self, policy: WorkspacePolicy) -> None:
        self._policy = policy
        self.definition = ToolDefinition(
            name="list_dir",
            description=(
                "List the entries of a directory in the workspace, sorted by name. Each entry has a name, a kind "
                "(file, dir, link or other) and, for files, size_bytes. Not recursive. When truncated is true, "
                "total says how many entries there are."
            ),
            input_schema=input_schema(ListDirArguments),
            annotations=ToolAnnotations(read_only=True, idempotent=True),
            category="filesystem",
        )

    def capabilities(self, arguments: ListDirArguments, context: ToolContext) -> tuple[str, ...]:
        """`fs:read:<path>`."""
        path = canonical_path(arguments.path)
        self._policy.check_read(path)
        return (f"fs:read:{path}",)

    async def prepare(self, arguments: ListDirArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: ListDirArguments, context: ToolContext) -> ToolOutcome:
        """`{path, entries: [{name, kind, size_bytes?}], total, truncated}`."""
        path = canonical_path(arguments.path)
        with Workspace(context.workspace, self._policy) as workspace, workspace.open_directory(path) as fd:
            with os.scandir(fd) as scanned:
                visible = (entry for entry in scanned if not self._is_hidden(entry.name))
                rows = list(_rows(itertools.islice(visible, _INLINE_ENTRIES)))
                if len(rows) == _INLINE_ENTRIES:
                    rest = itertools.islice(visible, _MAX_SCANNED - _INLINE_ENTRIES)
                    rows += await on_thread(lambda: list(_rows(rest)))
        rows.sort()
        shown = rows[: arguments.limit]
        entries: list[Json] = [_as_json(row) for row in shown]
        return ToolOutcome(
            status="ok",
            output={"path": path, "entries": entries, "total": len(rows), "truncated": len(shown) < len(rows)},
        )

    async def probe(self, arguments: ListDirArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("Listing a directory changes nothing.")

    def _is_hidden(self, name: str) -> bool:
        return name.startswith(TEMPORARY_PREFIX) or self._policy.hides(name)


def _rows(entries: Iterator[os.DirEntry[str]]) -> Iterator[Row]:
    for entry in entries:
        name = display_name(entry.name)
        if entry.is_symlink():
            yield name, "link", None
        elif entry.is_dir(follow_symlinks=False):
            yield name, "dir", None
        elif entry.is_file(follow_symlinks=False):
            yield name, "file", _size_bytes(entry)
        else:
            yield name, "other", None


def _size_bytes(entry: os.DirEntry[str]) -> int | None:
    """Size of a file, None when it was deleted while the directory was read."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None


def _as_json(row: Row) -> Json:
    name, kind, size_bytes = row
    return (
        {"name": name, "kind": kind} if size_bytes is None else {"name": name, "kind": kind, "size_bytes": size_bytes}
    )
