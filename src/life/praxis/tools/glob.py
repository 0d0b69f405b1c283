"""`glob`: files of the workspace by path pattern."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Final

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import on_thread
from life.praxis.file_walk import Walk
from life.praxis.paths import canonical_path
from life.praxis.patterns import PathPattern
from life.praxis.tool import input_schema, read_only_probe
from life.praxis.workspace import Workspace, WorkspacePolicy

MAX_SEARCH_S: Final = 5.0


class GlobArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `glob`."""

    pattern: Annotated[
        str,
        msgspec.Meta(
            description="Such as '**/*.py' or 'src/*.{c,h}'. '**' crosses directories; a final '/' means those."
        ),
    ]
    path: Annotated[str, msgspec.Meta(description="Directory to look in; the pattern is relative to it.")] = "."
    limit: Annotated[int, msgspec.Meta(description="At most this many paths.", ge=1, le=5000)] = 1000
    include_ignored: Annotated[
        bool, msgspec.Meta(description="Also what .gitignore files leave out, and .git itself.")
    ] = False


class Glob:
    """Paths by pattern, in order of the directories. No link is followed or named."""

    arguments = GlobArguments

    def __init__(self, policy: WorkspacePolicy) -> None:
        self._policy = policy
        self.definition = ToolDefinition(
            name="glob",
            description=(
                "Find files in the workspace by path pattern: *, ?, [abc], ** and {a,b}. Returns matches (paths relative "
                "to the workspace, sorted), count and truncated. Ignored files and .git are left out unless "
                "include_ignored is true."
            ),
            input_schema=input_schema(GlobArguments),
            annotations=ToolAnnotations(read_only=True, idempotent=True),
            category="filesystem",
        )

    def capabilities(self, arguments: GlobArguments, context: ToolContext) -> tuple[str, ...]:
        """`fs:read:` of everything below the path."""
        path = canonical_path(arguments.path)
        self._policy.check_read(path)
        PathPattern(arguments.pattern)
        return (everything_below(path),)

    async def prepare(self, arguments: GlobArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: GlobArguments, context: ToolContext) -> ToolOutcome:
        """`{path, matches, count, truncated, note?}`."""
        base = canonical_path(arguments.path)
        pattern = PathPattern(arguments.pattern)
        stop = threading.Event()
        with Workspace(context.workspace, self._policy) as workspace:
            walk = Walk(workspace, base, include_ignored=arguments.include_ignored, proceed=lambda: not stop.is_set())
            timer = asyncio.get_running_loop().call_later(MAX_SEARCH_S, stop.set)
            try:
                matches = await on_thread(lambda: _matching(walk, base, pattern, arguments.limit), on_cancel=stop.set)
            finally:
                timer.cancel()
        shown: list[Json] = list(matches[: arguments.limit])
        output: dict[str, Json] = {
            "path": base,
            "matches": shown,
            "count": len(shown),
            "truncated": len(matches) > len(shown) or not walk.complete,
        }
        if not walk.complete:
            output["note"] = "The search ended early: there are too many files. Look in a directory further down."
        return ToolOutcome(status="ok", output=output)

    async def probe(self, arguments: GlobArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("Looking for files changes nothing.")


def everything_below(path: str) -> str:
    """The capability to read a whole directory. Two components, so that a permission for one level does not cover it."""
    return "fs:read:**/*" if path == "." else f"fs:read:{path}/**/*"


def _matching(walk: Walk, base: str, pattern: PathPattern, limit: int) -> list[str]:
    """Up to one more than `limit` paths."""
    start = 0 if base == "." else len(base) + 1
    matches: list[str] = []
    for found in walk:
        if found.is_directory == pattern.directories_only and pattern.matches(found.path[start:]):
            matches.append(found.path)
            if len(matches) > limit:
                break
    return matches
