"""Files: the tree of the workspace at the position, and one file's content, difference and history.

Source: workspace-ui.md §2.3 (Files), §2.4 (Preview); WS-INSP-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from rich.text import Text

from life.aios.errors import LifeError
from life.aios.record import format_timestamp
from life.arcan.workspace_files import WorkspaceFile
from life.cli.chat.facts import blank
from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, beside, plain_rows, prose, wrap
from life.cli.chat.reader import Reader, Wanted
from life.cli.chat.sight import Rows, Sight, clock_time
from life.cli.chat.untrusted import clean, one_line
from life.cli.session_client import SessionClient
from life.cli.shell.known_files import compare
from life.cli.shell.words import size
from life.workspace.state import File
from life.workspace.values import fields_of, text

Shown = Literal["content", "difference", "history"]
FILE_KINDS: Final = ("FileWrite", "FileDelete", "FileRename", "FileMutated")
_OPS: Final = {"write": GOOD, "change": GOOD, "delete": BAD, "rename": ACCENT}
_SIGNS: Final = {"+": "green", "-": "red", " ": "dim", "@": "cyan"}
_MOST_VERSIONS: Final = 40
_MOST_SHOWN: Final = 200_000
"""Characters of a file."""


def files_pane(sight: Sight, width: int, there: Sequence[WorkspaceFile] | None) -> list[Rows]:
    """Files that were touched up to the position; with `there` all that are there now."""
    words, signs = sight.words, sight.signs
    sizes = {} if there is None else {clean(one.path): one.size_bytes for one in there}
    touched = {clean(one.path).replace("\n", " "): one for one in sight.state.files}
    paths = sorted(touched if there is None else sizes)
    if not paths:
        return blank(sight, words("noFiles"), width)
    rows: list[Rows] = []
    folders: tuple[str, ...] = ()
    for path in paths:
        *above, name = path.split("/")
        for depth, folder in enumerate(above):
            if tuple(above[: depth + 1]) != folders[: depth + 1]:
                rows.append(Rows("", (Text(f"{'  ' * depth}{signs.open} {one_line(folder, 80)}/", SOFT),)))
        folders = tuple(above)
        rows.append(
            Rows(f"file/{path}", (_file_row(sight, name, len(above), touched.get(path), sizes.get(path, -1), width),))
        )
    return rows


def _file_row(sight: Sight, name: str, depth: int, file: File | None, size_bytes: int, width: int) -> Text:
    left = Text.assemble("  " * depth, one_line(name, 200))
    right = Text()
    if file is not None:
        right.append(f"{sight.words.term('op_', file.op)} ", _OPS.get(file.op, ""))
        right.append(f"#{file.seq}".rjust(6), SOFT)
        if file.size >= 0:
            size_bytes = file.size
    right.append(f" {size(size_bytes) if size_bytes >= 0 else '':>10}", SOFT)
    return beside(left, right, width, more=sight.signs.more)


class Version(NamedTuple):
    """What a file was from an event on; `hash` is empty where it was deleted."""

    seq: int
    time: str
    hash: str
    op: str


class Preview:
    """One file at the position. `load` reads; `rows` draws what was read."""

    def __init__(self, sight: Sight, client: SessionClient, reader: Reader) -> None:
        self.path = ""
        self.shown: Shown = "content"
        self._sight = sight
        self._client = client
        self._reader = reader
        self._content: str | None = None
        self._before: str | None = None
        self._versions: list[Version] = []
        self._note = ""
        self._mark: object = None
        self._kept: dict[str, bytes] = {}

    @property
    def file(self) -> File | None:
        """The file's row at the position."""
        return next((one for one in reversed(self._sight.state.files) if clean(one.path) == self.path), None)

    @property
    def is_stale(self) -> bool:
        """Whether another version is to be shown than was read."""
        return self.path != "" and self._mark != self._wanted()

    def _wanted(self) -> object:
        file = self.file
        return (self.path, None) if file is None else (self.path, file.seq, file.hash, file.op, file.branch)

    async def load(self) -> None:
        """Read the file's versions up to the position."""
        mark, file = self._wanted(), self.file
        note, content, before, versions = "", None, None, list[Version]()
        try:
            if file is None:
                content = await self._now()
            else:
                versions = await self._history(file)
                newest = versions[0] if versions else Version(file.seq, file.time, file.hash, file.op)
                content = await self._body(newest)
                older = next((one for one in versions[1:] if one.hash and one.hash != newest.hash), None)
                before = None if older is None else await self._body(older)
        except LifeError as error:
            note = error.message
        if mark == self._wanted():
            self._mark, self._note = mark, note
            self._content, self._before, self._versions = content, before, versions

    async def _now(self) -> str | None:
        if not self._sight.is_live:
            return None
        stream = self._sight.track.stream
        return _text(await self._client.file(*stream, self.path))

    async def _body(self, version: Version) -> str | None:
        if not version.hash:
            return None
        known = self._kept.get(version.hash)
        if known is None:
            known = await self._reader.content(self._sight.track.stream, version.hash)
            self._kept[version.hash] = known
            while len(self._kept) > 64:
                del self._kept[next(iter(self._kept))]
        return _text(known)

    async def _history(self, file: File) -> list[Version]:
        track = self._sight.track
        if file.branch != track.stream.branch_id:
            return []
        words = tuple(
            part.casefold()
            for part in (file.path.rpartition("/")[2],)
            if part.isascii() and '"' not in part and "\\" not in part
        )
        found = await self._reader.search(track.stream, Wanted(words=words, kinds=FILE_KINDS), file.seq)
        versions: list[Version] = []
        for sequence in found.sequences:
            record = await track.ready(sequence)
            if record is None or len(versions) >= _MOST_VERSIONS:
                continue
            told = fields_of(record.payload)
            names = [text(told.get(name)).removeprefix("/") for name in ("path", "new_path")]
            if file.path not in names:
                continue
            hash = text(told.get("blob_hash")) or text(told.get("content_hash"))
            gone = record.kind_name == "FileDelete" or hash == "deleted"
            op = "delete" if gone else "rename" if record.kind_name == "FileRename" else "write"
            version = Version(sequence, _time_of(record.timestamp_us), "" if gone else hash, op)
            if versions and versions[-1].hash == version.hash and version.hash:
                versions[-1] = version  # told twice: the first word counts
                continue
            versions.append(version)
        return versions

    def rows(self, width: int) -> list[Rows]:
        """What is to be seen."""
        sight, words = self._sight, self._sight.words
        if not self.path:
            return blank(sight, words("noFileChosen"), width)
        file = self.file
        state = "" if file is None else f"{words.term('op_', file.op)} #{file.seq}"
        tabs = Text()
        for name in ("content", "difference", "history"):
            tabs.append(f" {words(name)} ", "reverse" if name == self.shown else SOFT)
        head = beside(Text(one_line(self.path, 300), "bold"), Text(state, SOFT), width, more=sight.signs.more)
        return [Rows("", (head, tabs, Text())), *self._body_rows(width)]

    def _body_rows(self, width: int) -> list[Rows]:
        sight, words = self._sight, self._sight.words
        file = self.file
        if self._mark is None or self.is_stale:
            return [Rows("", (Text(words("loading"), SOFT),))]
        if self.shown == "history":
            rows = [
                Rows(
                    f"#{one.seq}",
                    (
                        Text.assemble(
                            (f"#{one.seq}".rjust(6), "bold"),
                            f"  {words.term('op_', one.op)}",
                            (f"  {one.time}  {one.hash[:12]}", SOFT),
                        ),
                    ),
                )
                for one in self._versions
            ]
            return rows or blank(sight, words("noEarlier"), width)
        if file is not None and file.op == "delete":
            return blank(sight, words("fileGone", n=file.seq), width)
        if self._note or self._content is None:
            return blank(sight, clean(self._note) or words("contentMissing"), width)
        if "\0" in self._content:
            return blank(sight, words("binary"), width)
        if len(self._content) > _MOST_SHOWN:
            return blank(sight, words("tooLarge"), width)
        if self.shown == "difference":
            return self._difference(width)
        if self.path.lower().endswith((".md", ".markdown")):
            return [Rows("", (row,)) for row in prose(self._content, width, sight.signs)]
        return [Rows("", (row,)) for row in plain_rows(self._content, width)]

    def _difference(self, width: int) -> list[Rows]:
        sight = self._sight
        lines = compare(self._before or "", self._content or "")
        rows = [
            Rows("", wrap(Text(f"{line.sign} {clean(line.text)}", _SIGNS[line.sign]), width, hang=Text("  ")))
            for line in lines
        ]
        if self._before is None:
            return [Rows("", (Text(sight.words("noEarlier"), SOFT),)), *rows]
        return rows or blank(sight, sight.words("same"), width)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "\0"


def _time_of(us: int) -> str:
    return clock_time(format_timestamp(us))
