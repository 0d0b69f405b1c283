"""A session's files as a Git repository: a stream for `git fast-import` (git-fast-import(1)).

One commit for each file event, or for the events of one batch; a merge has two parents; a snapshot is a tag; a branch is a
branch. Times and messages come from the journal, so the same journal always gives the same commit ids.
"""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import ConflictError, InvalidInputError
from life.aios.events import BranchMerged, FileDelete, FileRename, FileWrite
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.blobs import Blobs
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.lago.files.comparison import compare
from life.lago.files.desk import FileDesk
from life.lago.files.manifest import FILE_KINDS
from life.lago.files.view import Branch

_PAGE: Final = 1_000
_NOT_IN_A_NAME: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//+")


class Exported(NamedTuple):
    """What the repository got."""

    commits: int
    branches: int
    tags: int


class _Commit(NamedTuple):
    mark: int
    sequence: int


class GitExport:
    """Writes the stream of one session."""

    def __init__(self, journal: Journal, blobs: Blobs, desk: FileDesk, session_id: str) -> None:
        self._journal = journal
        self._blobs = blobs
        self._desk = desk
        self._session_id = session_id
        self._marks = 0
        self._blob_marks: dict[str, int] = {}
        self._commits: dict[str, list[_Commit]] = {}
        self.done = Exported(0, 0, 0)

    async def stream(self) -> AsyncIterator[bytes]:
        """The stream, piece by piece. `done` is filled when it ends."""
        branches = await self._desk.view.branches(self._session_id)
        tags = 0
        yield b"feature done\n"
        # By the order of their making: a branch comes after its parent, and after what was merged into it before.
        pending = sorted(await self._changes(branches), key=lambda group: group[0].position)
        names = _names(branches)
        for group in pending:
            async for piece in self._commit(group, branches, names):
                yield piece
        for branch in branches.values():
            tip = self._tip(branch.branch_id, branches)
            if tip is not None and not self._commits.get(branch.branch_id):
                yield f"reset refs/heads/{names[branch.branch_id]}\nfrom :{tip}\n\n".encode()
            for point in await self._desk.snapshots(self._session_id, branch=branch.branch_id):
                mark = self._at(branch.branch_id, point.covers_through, branches)
                if mark is not None:
                    tags += 1
                    label = _safe(f"{names[branch.branch_id]}/{point.name}")
                    yield f"reset refs/tags/{label}\nfrom :{mark}\n\n".encode()
        yield b"done\n"
        self.done = Exported(sum(map(len, self._commits.values())), len(branches), tags)

    async def _changes(self, branches: dict[str, Branch]) -> list[list[EventRecord]]:
        """Events of every branch in groups that become one commit each."""
        forks: dict[str, set[int]] = {}
        for branch in branches.values():
            if branch.parent is not None:
                forks.setdefault(branch.parent, set()).add(branch.fork_sequence)
        groups: list[list[EventRecord]] = []
        for branch_id in branches:
            after, group = 0, list[EventRecord]()
            cuts = forks.get(branch_id, set())
            while True:
                query = EventQuery(
                    self._session_id, branch_id, after_sequence=after, kinds=(*FILE_KINDS, "BranchMerged")
                )
                page = await self._journal.read(query, limit=_PAGE)
                for record in page:
                    last = group[-1] if group else None
                    together = (
                        last is not None
                        and last.correlation_id is not None
                        and last.correlation_id == record.correlation_id
                        and last.sequence not in cuts
                        and record.kind_name != "BranchMerged"
                    )
                    if not together:
                        group = []
                        groups.append(group)
                    group.append(record)
                if len(page) < _PAGE:
                    break
                after = page[-1].sequence
        return groups

    async def _commit(
        self, group: list[EventRecord], branches: dict[str, Branch], names: dict[str, str]
    ) -> AsyncIterator[bytes]:
        branch_id, last = group[0].branch_id, group[-1]
        before = await self._desk.view.manifest(self._session_id, branch_id, at=group[0].sequence - 1)
        after = await self._desk.view.manifest(self._session_id, branch_id, at=last.sequence)
        changes = compare(before, after, renames=False)
        for change in changes:
            if change.new is not None and change.new.blob_hash not in self._blob_marks:
                self._marks += 1
                self._blob_marks[change.new.blob_hash] = self._marks
                yield f"blob\nmark :{self._marks}\ndata {change.new.size_bytes}\n".encode()
                async for piece in self._blobs.stream(change.new.blob_hash):
                    yield piece
                yield b"\n"
        parent = self._tip(branch_id, branches)
        self._marks += 1
        message = _message(group).encode()
        lines = [f"commit refs/heads/{names[branch_id]}", f"mark :{self._marks}"]
        who = _safe_person(last.agent_id)
        lines.append(f"committer {who} <{who}@life.invalid> {last.timestamp_us // 1_000_000} +0000")
        lines.append(f"data {len(message)}")
        yield "\n".join(lines).encode() + b"\n" + message + b"\n"
        if parent is not None:
            yield f"from :{parent}\n".encode()
        first = group[0].kind
        if isinstance(first, BranchMerged):
            source = self._at(first.source_branch_id, first.merge_seq, branches)
            if source is not None and source != parent:
                yield f"merge :{source}\n".encode()
        for change in changes:
            path = _quoted(change.path[1:])
            if change.new is None:
                yield f"D {path}\n".encode()
            else:
                yield f"M 100644 :{self._blob_marks[change.new.blob_hash]} {path}\n".encode()
        yield b"\n"
        self._commits.setdefault(branch_id, []).append(_Commit(self._marks, last.sequence))

    def _tip(self, branch_id: str, branches: dict[str, Branch]) -> int | None:
        own = self._commits.get(branch_id)
        if own:
            return own[-1].mark
        branch = branches[branch_id]
        return None if branch.parent is None else self._at(branch.parent, branch.fork_sequence, branches)

    def _at(self, branch_id: str, sequence: int, branches: dict[str, Branch]) -> int | None:
        """The commit that a branch had right after an event."""
        for commit in reversed(self._commits.get(branch_id, [])):
            if commit.sequence <= sequence:
                return commit.mark
        branch = branches.get(branch_id)
        if branch is None or branch.parent is None:
            return None
        return self._at(branch.parent, branch.fork_sequence, branches)


async def export_to_git(export: GitExport, repository: Path) -> Exported:
    """Make a repository of it. The folder has to be empty or not there; InvalidInputError where there is no git."""
    if repository.exists() and (not repository.is_dir() or any(repository.iterdir())):
        raise ConflictError(f"{repository} is not empty.", next_step="Name a folder that is empty, or not there yet.")
    await _git("init", "--quiet", f"--initial-branch={MAIN_BRANCH}", str(repository))
    importing = await asyncio.create_subprocess_exec(
        "git", "-C", str(repository), "fast-import", "--quiet", "--done", stdin=PIPE, stdout=DEVNULL, stderr=PIPE
    )
    stdin, stderr = importing.stdin, importing.stderr
    assert stdin is not None
    assert stderr is not None
    reading = asyncio.ensure_future(stderr.read())
    try:
        async for piece in export.stream():
            stdin.write(piece)
            await stdin.drain()
        stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        pass  # git gave up; what it says follows
    except BaseException:
        importing.kill()
        raise
    finally:
        status = await importing.wait()
        told = (await reading).decode(errors="replace").strip()
    if status != 0:
        raise InvalidInputError(f"git fast-import failed: {told[:300]}")
    if export.done.commits:
        await _git("-C", str(repository), "reset", "--quiet", "--hard")
    return export.done


async def _git(*arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec("git", *arguments, stdout=DEVNULL, stderr=PIPE)
    except FileNotFoundError:
        raise InvalidInputError(
            "git is not installed.", next_step="Install it, or write the stream to a file."
        ) from None
    _, told = await process.communicate()
    if process.returncode != 0:
        raise InvalidInputError(f"git failed: {told.decode(errors='replace').strip()[:300]}")


def _names(branches: dict[str, Branch]) -> dict[str, str]:
    """Branch id to a name that git takes; two that fall together get a number."""
    names: dict[str, str] = {}
    for branch in branches.values():
        wanted = base = _safe(branch.name)
        number = 2
        # Git keeps branches as files: `a` and `a/b` can't both be there.
        while any(
            wanted == one or wanted.startswith(one + "/") or one.startswith(wanted + "/") for one in names.values()
        ):
            wanted, number = f"{base.replace('/', '-')}-{number}", number + 1
        names[branch.branch_id] = wanted
    return names


def _safe(name: str) -> str:
    """git-check-ref-format(1)."""
    parts = [part.strip(".").removesuffix(".lock") for part in _NOT_IN_A_NAME.sub("-", name).strip("/").split("/")]
    return "/".join(part or "-" for part in parts).lstrip("-") or "branch"


def _safe_person(name: str) -> str:
    return re.sub(r"[<>\n\0]", "", name).strip() or "life"


def _quoted(path: str) -> str:
    """C style, as git reads a path that begins with a quote or has a line end in it."""
    if not any(character in path for character in '"\\\n'):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _message(group: list[EventRecord]) -> str:
    first, last = group[0], group[-1]
    match first.kind:
        case BranchMerged() as kind:
            subject = f"Merge {kind.source_branch_id}"
        case FileWrite() as kind if len(group) == 1:
            subject = f"Write {kind.path}"
        case FileDelete() as kind if len(group) == 1:
            subject = f"Delete {kind.path}"
        case FileRename() as kind if len(group) == 1:
            subject = f"Rename {kind.old_path} to {kind.new_path}"
        case _:
            subject = f"Change {len(group)} files"
    where = Stream(first.session_id, first.branch_id)
    numbers = str(first.sequence) if len(group) == 1 else f"{first.sequence}-{last.sequence}"
    return f"{subject}\n\nJournal: {where} {numbers}\nEvent-Id: {last.event_id}\n"
