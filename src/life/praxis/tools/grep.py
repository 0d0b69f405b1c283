"""`grep`: lines of the workspace's files that match a regular expression.

The answer is our own engine's (`life.praxis.text_search`), on files opened below the workspace's handle. In a large
workspace ripgrep, where it is installed, names the files that are worth opening (`life.praxis.ripgrep`); with or without
it the answer is the same.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final

import msgspec

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis import ripgrep
from life.praxis.blocking import on_thread
from life.praxis.errors import PathNotFoundError, ToolTimeoutError, WrongFileKindError
from life.praxis.file_walk import IgnoreRules, Walk, ignored_directories, walk_order
from life.praxis.paths import canonical_path
from life.praxis.patterns import PathPattern
from life.praxis.text_search import TextPattern, is_binary
from life.praxis.tool import input_schema, read_only_probe
from life.praxis.tools.glob import everything_below
from life.praxis.workspace import Workspace, WorkspacePolicy

MAX_SEARCH_S: Final = 5.0
MAX_FILE_BYTES: Final = 10 * 1024 * 1024
MAX_LINE_CHARACTERS: Final = 500
_IGNORE_CASE: Final = "(?i)"
_WORTH_RIPGREP: Final = 250
"""Files; fewer are searched faster than a process starts."""


class GrepArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `grep`."""

    pattern: Annotated[str, msgspec.Meta(description="Regular expression, applied to each line.")]
    path: Annotated[str, msgspec.Meta(description="Directory to search, or one file.")] = "."
    glob: Annotated[
        str | None,
        msgspec.Meta(
            description="Only files whose name matches, such as '*.py'; with '/', whose path below `path` does."
        ),
    ] = None
    max_matches: Annotated[int, msgspec.Meta(description="At most this many lines.", ge=1, le=2000)] = 100
    ignore_case: Annotated[bool, msgspec.Meta(description="Whether a and A are the same.")] = False
    include_ignored: Annotated[
        bool, msgspec.Meta(description="Also what .gitignore files leave out, and .git itself.")
    ] = False


class Grep:
    """Lines by regular expression, in order of the files. No link is followed."""

    arguments = GrepArguments

    def __init__(self, policy: WorkspacePolicy, *, ripgrep_path: str | None) -> None:
        """`ripgrep_path`: where `rg` is, None to do without it."""
        self._policy = policy
        self._ripgrep = ripgrep_path
        self.definition = ToolDefinition(
            name="grep",
            description=(
                "Search files of the workspace for lines that match a regular expression. Returns matches (file, line, "
                "text), count and truncated. Binary files, files above 10 MiB, ignored files and .git are left out; "
                "include_ignored brings back the last two. Line numbers are those of read_file."
            ),
            input_schema=input_schema(GrepArguments),
            annotations=ToolAnnotations(read_only=True, idempotent=True),
            category="filesystem",
            timeout_s=60,
        )

    def capabilities(self, arguments: GrepArguments, context: ToolContext) -> tuple[str, ...]:
        """`fs:read:` of everything below the path, and of the path itself, which may be a file."""
        path = canonical_path(arguments.path)
        self._policy.check_read(path)
        return (everything_below(path),) if path == "." else (f"fs:read:{path}", everything_below(path))

    async def prepare(self, arguments: GrepArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: GrepArguments, context: ToolContext) -> ToolOutcome:
        """`{path, matches: [{file, line, text}], count, truncated, note?}`."""
        base = canonical_path(arguments.path)
        if arguments.pattern.startswith(
            _IGNORE_CASE
        ):  # the one flag that people write; said as an option, it costs nothing
            pattern_text = arguments.pattern.removeprefix(_IGNORE_CASE)
            arguments = msgspec.structs.replace(arguments, pattern=pattern_text, ignore_case=True)
        shared = ripgrep.translate(arguments.pattern)
        pattern = TextPattern(arguments.pattern, ignore_case=arguments.ignore_case, per_line=shared is None)
        name_filter = None if arguments.glob is None else _NameFilter(arguments.glob, base)
        stop = threading.Event()
        timer = asyncio.get_running_loop().call_later(MAX_SEARCH_S, stop.set)
        with Workspace(context.workspace, self._policy) as workspace:
            search = _Search(
                workspace,
                pattern,
                name_filter=name_filter,
                max_matches=arguments.max_matches,
                proceed=lambda: not stop.is_set(),
            )
            try:
                await self._search(search, arguments, base=base, root=context.workspace, shared=shared, stop=stop)
            finally:
                timer.cancel()
        return ToolOutcome(status="ok", output=search.output(base))

    async def probe(self, arguments: GrepArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("Searching files changes nothing.")

    async def _search(
        self,
        search: _Search,
        arguments: GrepArguments,
        *,
        base: str,
        root: str,
        shared: str | None,
        stop: threading.Event,
    ) -> None:
        """Search everything below the base. A few files are searched faster than ripgrep starts; where there are more, it
        looks for candidates among the rest while we search the first."""
        if _is_file(search.workspace, base):
            await on_thread(lambda: search.run([base]), on_cancel=stop.set)
            return
        walk = Walk(
            search.workspace, base, include_ignored=arguments.include_ignored, proceed=lambda: not stop.is_set()
        )
        files = (found.path for found in walk if not found.is_directory)
        if self._ripgrep is None or shared is None:
            await on_thread(lambda: search.run(files), on_cancel=stop.set)
            search.left_over = not walk.complete
            return
        first = await on_thread(lambda: list(itertools.islice(files, _WORTH_RIPGREP)), on_cancel=stop.set)
        if len(first) < _WORTH_RIPGREP:
            await on_thread(lambda: search.run(first), on_cancel=stop.set)
            return
        rules = None if arguments.include_ignored else IgnoreRules(search.workspace)
        left_out: list[str] = []
        if rules is not None:
            left_out = await on_thread(functools.partial(ignored_directories, search.workspace, base, rules))
        asking = asyncio.ensure_future(self._named(arguments, base, root=root, shared=shared, left_out=left_out))
        try:
            await on_thread(lambda: search.run(first), on_cancel=stop.set)
            if search.full:
                return
            named = await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        rest = files if named is None else _behind(first[-1], named, base=base, rules=rules)
        await on_thread(lambda: search.run(rest), on_cancel=stop.set)
        search.left_over = named is None and not walk.complete

    async def _named(
        self, arguments: GrepArguments, base: str, *, root: str, shared: str, left_out: list[str]
    ) -> list[str] | None:
        """What ripgrep names, within the time of the whole search."""
        assert self._ripgrep is not None
        try:
            async with asyncio.timeout(MAX_SEARCH_S):
                return await ripgrep.candidates(
                    self._ripgrep,
                    shared,
                    workspace=root,
                    base=base,
                    ignore_case=arguments.ignore_case,
                    left_out=left_out,
                    max_bytes=MAX_FILE_BYTES,
                )
        except TimeoutError:
            return None


class _NameFilter:
    """Which files count: by name, or by path below the base when the pattern has a `/`."""

    def __init__(self, text: str, base: str) -> None:
        self._pattern = PathPattern(text)
        self._start = 0 if base == "." else len(base) + 1
        self._by_path = "/" in text

    def accepts(self, path: str) -> bool:
        return self._pattern.matches(path[self._start :] if self._by_path else path.rpartition("/")[2])


class _Search:
    """One search through files, and what came of it."""

    def __init__(
        self,
        workspace: Workspace,
        pattern: TextPattern,
        *,
        name_filter: _NameFilter | None,
        max_matches: int,
        proceed: Callable[[], bool],
    ) -> None:
        self.workspace = workspace
        self._pattern = pattern
        self._filter = name_filter
        self._max_matches = max_matches
        self._proceed = proceed
        self._matches: list[Json] = []
        self.full = False
        """Whether there are more matches than were asked for."""
        self.left_over = False
        """Whether there are more files than one walk looks at."""
        self._out_of_time = False

    def run(self, files: Iterable[str]) -> None:
        """Search until there is enough. ToolTimeoutError: the expression is too slow and nothing was found."""
        for path in files:
            if self._filter is not None and not self._filter.accepts(path):
                continue
            if not self._proceed():
                break
            content = self._read(path)
            if content is None:
                continue
            for hit in self._pattern.search(content, proceed=self._proceed):
                if len(self._matches) == self._max_matches:
                    self.full = True
                    return
                self._matches.append({"file": path, "line": hit.line, "text": hit.text[:MAX_LINE_CHARACTERS]})
        self._out_of_time = not self._proceed()

    def output(self, base: str) -> dict[str, Json]:
        """The answer."""
        if self._out_of_time and not self._matches:
            raise ToolTimeoutError(f"Nothing was found in {MAX_SEARCH_S:g} s. Search fewer files, or more simply.")
        output: dict[str, Json] = {
            "path": base,
            "matches": self._matches,
            "count": len(self._matches),
            "truncated": self.full or self.left_over or self._out_of_time,
        }
        if self._out_of_time:
            output["note"] = f"The search ended after {MAX_SEARCH_S:g} s; there may be more."
        elif self.left_over and not self.full:
            output["note"] = "There are more files than one search looks at. Search a directory further down."
        return output

    def _read(self, path: str) -> bytes | None:
        """A file's content; None for what is not searched. What can't be opened (any more) is passed over."""
        try:
            with self.workspace.open_file(path) as opened:
                if opened.size_bytes > MAX_FILE_BYTES:
                    return None
                content = opened.read_up_to(MAX_FILE_BYTES)
        except (ToolError, OSError):
            return None
        return None if is_binary(content) else content


def _behind(last: str, named: list[str], *, base: str, rules: IgnoreRules | None) -> Iterator[str]:
    """The named files that stand behind `last` in the order of a walk and are not left out."""
    above, passed = "" if base == "." else base, walk_order(last)
    for path in sorted(filter(_is_canonical, named), key=walk_order):
        if walk_order(path) > passed and (rules is None or not rules.leave_out_below(path, above)):
            yield path


def _is_canonical(path: str) -> bool:
    """Whether a name that another program gave is a path of the workspace as we write them."""
    try:
        return canonical_path(path) == path
    except ToolError:
        return False


def _is_file(workspace: Workspace, path: str) -> bool:
    """Whether the base is a file. ToolError when it is neither file nor directory."""
    try:
        with workspace.open_directory(path):
            return False
    except WrongFileKindError:
        with workspace.open_file(path):
            return True
    except PathNotFoundError:
        raise PathNotFoundError(f"'{path}' does not exist in the workspace.") from None
