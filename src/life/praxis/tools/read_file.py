"""`read_file`: lines of a UTF-8 file of the workspace, with the tags that `edit_file` takes, or bare.

Lines end at `\\n` (or `\\r\\n`) and at nothing else; a lone `\\r`, U+2028 and their kin are part of the text (praxis.md §3.1).
"""

from __future__ import annotations

import functools
from typing import Annotated, Final, NamedTuple

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import INLINE_BYTES, on_thread
from life.praxis.errors import NotTextError, TooLargeError, ToolInputError
from life.praxis.hashline import render, split_lines
from life.praxis.paths import canonical_path
from life.praxis.tool import input_schema, read_only_probe
from life.praxis.workspace import OpenFile, Workspace, WorkspacePolicy

MAX_CONTENT_BYTES: Final = 128 * 1024
"""Of text per call; half of what the registry lets through, since JSON escapes may double it."""

MAX_LINES: Final = 2000
NO_TAG: Final = "--------"
"""Stands where the tag of a line that is shown in part would stand."""

_BLOCK_BYTES: Final = 1 << 18


class ReadFileArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `read_file`."""

    path: Annotated[str, msgspec.Meta(description="File, relative to the workspace.")]
    offset: Annotated[int, msgspec.Meta(description="First line to read; the first line of a file is 1.", ge=1)] = 1
    limit: Annotated[int, msgspec.Meta(description="At most this many lines.", ge=1, le=MAX_LINES)] = MAX_LINES
    tags: Annotated[
        bool, msgspec.Meta(description="Show each line as '<number> <tag> | <text>', as edit_file needs it.")
    ] = True


class Lines(NamedTuple):
    """A run of lines of a file."""

    content: bytes
    number: int
    reached_end: bool
    cut_inside_line: bool
    start_bytes: int
    """Where in the file `content` begins."""


class ReadFile:
    """Text by line numbers, with tags, limits and a truncation flag."""

    arguments = ReadFileArguments

    def __init__(self, policy: WorkspacePolicy) -> None:
        self._policy = policy
        self.definition = ToolDefinition(
            name="read_file",
            description=(
                "Read a UTF-8 text file in the workspace. Returns content, first_line, lines, size_bytes and truncated. "
                "Each line of content is '<number> <tag> | <text>'; edit_file names lines by these tags. "
                f"One call gives at most {MAX_LINES} lines or {MAX_CONTENT_BYTES} bytes; when truncated is true, go on "
                "with offset set to next_line."
            ),
            input_schema=input_schema(ReadFileArguments),
            annotations=ToolAnnotations(read_only=True, idempotent=True),
            category="filesystem",
        )

    def capabilities(self, arguments: ReadFileArguments, context: ToolContext) -> tuple[str, ...]:
        """`fs:read:<path>`."""
        path = canonical_path(arguments.path)
        self._policy.check_read(path)
        return (f"fs:read:{path}",)

    async def prepare(self, arguments: ReadFileArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: ReadFileArguments, context: ToolContext) -> ToolOutcome:
        """`{path, content, first_line, lines, size_bytes, truncated, next_line?, line_ends?, note?}`."""
        path = canonical_path(arguments.path)
        with Workspace(context.workspace, self._policy) as workspace, workspace.open_file(path) as opened:
            if opened.size_bytes > self._policy.max_file_bytes:
                raise TooLargeError(f"'{path}' is larger than {self._policy.max_file_bytes} bytes.")
            read = functools.partial(
                _read_lines, opened, arguments.offset, arguments.limit, self._policy.max_file_bytes
            )
            lines = read() if opened.size_bytes <= INLINE_BYTES else await on_thread(read)
        if lines is None:
            raise ToolInputError(f"'{path}' has fewer than {arguments.offset} lines.")
        text = _decode(path, lines)
        output: dict[str, Json] = {
            "path": path,
            "content": _tagged(text, lines, arguments.offset) if arguments.tags else text,
            "first_line": arguments.offset,
            "lines": lines.number,
            "size_bytes": opened.size_bytes,
            "truncated": not lines.reached_end,
        }
        if not lines.reached_end:
            output["next_line"] = arguments.offset + lines.number
        if (ends := _line_ends(text)) is not None:
            output["line_ends"] = ends
        if lines.cut_inside_line:
            output["note"] = f"Line {arguments.offset} is longer than {MAX_CONTENT_BYTES} bytes; its end is left out."
        return ToolOutcome(status="ok", output=output)

    async def probe(self, arguments: ReadFileArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("Reading a file changes nothing.")


def _read_lines(opened: OpenFile, first: int, limit: int, scan_limit_bytes: int) -> Lines | None:
    """`limit` lines from line `first` on, whole lines as long as they fit; None when the file ends before `first`."""
    start = _find_line(opened, first, scan_limit_bytes)
    if start is None:
        return None
    window = opened.read_up_to(MAX_CONTENT_BYTES + 1, start)
    end = 0
    count = 0
    while count < limit and (newline := window.find(b"\n", end)) != -1 and newline < MAX_CONTENT_BYTES:
        end = newline + 1
        count += 1
    if len(window) <= MAX_CONTENT_BYTES:  # the file ends in this window
        if count < limit and end < len(window):  # a last line without a newline
            end = len(window)
            count += 1
        return Lines(window[:end], count, end == len(window), cut_inside_line=False, start_bytes=start)
    if count == 0:  # one line fills the window: its beginning is all that can be given
        return Lines(window[:MAX_CONTENT_BYTES], 1, reached_end=False, cut_inside_line=True, start_bytes=start)
    return Lines(window[:end], count, reached_end=False, cut_inside_line=False, start_bytes=start)


def _find_line(opened: OpenFile, number: int, scan_limit_bytes: int) -> int | None:
    """Where line `number` begins; None when there are fewer lines. An empty file has its empty line 1."""
    missing = number - 1
    position = 0
    while missing > 0 and position < scan_limit_bytes:
        block = opened.read_up_to(_BLOCK_BYTES, position)
        if not block:
            return None
        found = block.count(b"\n")
        if found < missing:
            missing -= found
            position += len(block)
            continue
        at = -1
        for _ in range(missing):
            at = block.index(b"\n", at + 1)
        position += at + 1
        missing = 0
    if missing > 0 or (number > 1 and not opened.read_up_to(1, position)):
        return None
    return position


def _decode(path: str, lines: Lines) -> str:
    """The bytes as text. NotTextError names the offending byte; a character cut by the limit is left out."""
    try:
        return lines.content.decode()
    except UnicodeDecodeError as bad:
        if lines.cut_inside_line and bad.end == len(lines.content) and bad.reason == "unexpected end of data":
            return lines.content[: bad.start].decode()
        raise NotTextError(
            f"'{path}' is not UTF-8 text: byte 0x{lines.content[bad.start]:02x} at offset "
            f"{lines.start_bytes + bad.start} ({bad.reason})."
        ) from None


def _tagged(text: str, lines: Lines, first: int) -> str:
    """The lines with their tags. A line that was cut has none: its tag is that of the whole line."""
    if lines.cut_inside_line:
        return f"{first:>4} {NO_TAG} | {text}"
    return render([line.text for line in split_lines(text)], first=first)


def _line_ends(text: str) -> str | None:
    """`crlf` or `mixed` where that is worth a word; None for plain `\\n`."""
    crlf, newlines = text.count("\r\n"), text.count("\n")
    if crlf == 0:
        return None
    return "crlf" if crlf == newlines else "mixed"
