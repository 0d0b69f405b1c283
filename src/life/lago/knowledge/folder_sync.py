"""Carrying out a two-way sync between a folder and a session's notes (lago.md §16; the rules are in sync_plan.py).

Every write holds only for the version that the plan has seen, on either side; what changed in between is left for the next sync. A file is
replaced by a rename, never through a link. What both sides have agreed on is kept in a small file outside the folder; losing it, or a crash in the
middle, costs comparisons and no content. It has the journal's head with its digest, too: in a journal that does not go on from there (one that was put
back to an earlier state, or another one) what is missing was not deleted, so the sync begins anew, without deletions.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import ConflictError, LifeError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.lago.files.desk import ABSENT, FileDesk
from life.lago.files.manifest import Manifest
from life.lago.knowledge.directory import DEEPEST, DirectoryNotes, open_below, open_folder
from life.lago.knowledge.journal import cursor_of, holds
from life.lago.knowledge.note import MAX_NOTE_BYTES, is_note_path
from life.lago.knowledge.sync_plan import Step, conflict_path, plan_sync

IGNORE_FILE: Final = ".lifeignore"
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Synced(NamedTuple):
    """What a sync did, or would do."""

    done: tuple[Step, ...]
    left: tuple[tuple[Step, str], ...]
    """What was not done, and why."""
    passed_over: tuple[str, ...]
    """Files here that can't be read; they are left as they are on both sides."""


class _Agreed(msgspec.Struct, frozen=True):
    """What both sides had after the last sync."""

    cursor: str = "0 -"
    paths: dict[str, str] = {}


class _ChangedMeanwhileError(Exception):
    """The file here is not the one that was seen."""


class FolderSync:
    """One folder and the notes of one branch. Belongs to one event loop."""

    def __init__(
        self,
        source: DirectoryNotes,
        journal: Journal,
        desk: FileDesk,
        blobs: Blobs,
        entropy: Entropy,
        *,
        session_id: str,
        branch: str = MAIN_BRANCH,
        state_file: Path,
    ) -> None:
        self._source = source
        self._root = source.root
        self._journal = journal
        self._desk = desk
        self._blobs = blobs
        self._entropy = entropy
        self._session_id = session_id
        self._branch = branch
        self._state_file = state_file
        self._ignored: Sequence[str] = ()

    async def sync(self, *, dry_run: bool = False, allow_empty: bool = False) -> Synced:
        """Make both sides the same. ConflictError for a folder that is empty and was not, unless `allow_empty`."""
        base = await self._base()
        here, passed_over = await self._look_here()
        if base and not here and not allow_empty:
            raise ConflictError(
                "The folder is empty, and was not: is it the right one?",
                next_step="Every note would be deleted; --allow-empty says that this is meant.",
            )
        manifest = await self._look_there()
        steps = self._plan(base, here, manifest, set(passed_over))
        if dry_run:
            return Synced(tuple(steps), (), passed_over)
        agreed = {path: blob for path, blob in here.items() if path in manifest and manifest[path].blob_hash == blob}
        waiting = {step.path for step in steps} | set(passed_over)
        agreed |= {path: blob for path, blob in base.items() if path in waiting}
        done, left = [], []
        for step in steps:
            try:
                result = await self._do(step)
            except _ChangedMeanwhileError:
                left.append((step, "changed meanwhile"))
            except OSError as error:
                left.append((step, error.strerror or "can't be written"))
            except LifeError as error:
                left.append((step, error.message))
            else:
                done.append(step)
                agreed.pop(step.path, None)
                agreed.update(result)
        head = await self._journal.head(await self._stream())
        await asyncio.to_thread(_save, self._state_file, _Agreed(cursor_of(head), agreed))
        return Synced(tuple(done), tuple(left), passed_over)

    async def _base(self) -> dict[str, str]:
        agreed = await asyncio.to_thread(_load, self._state_file)
        return agreed.paths if await holds(self._journal, await self._stream(), agreed.cursor) else {}

    async def _stream(self) -> Stream:
        if self._branch == MAIN_BRANCH:
            return Stream(self._session_id)
        return Stream(self._session_id, (await self._desk.view.branch(self._session_id, self._branch)).branch_id)

    async def _look_here(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Path to hash, and what can't be read or is ignored."""
        ignored = self._ignored = await asyncio.to_thread(_ignored, self._root)
        found: dict[str, str] = {}
        passed_over = []
        for file in await self._source.scan():
            if any(fnmatchcase(file.path[1:], pattern) for pattern in ignored):
                passed_over.append(file.path)
                continue
            (content,) = await self._source.contents([file])
            if isinstance(content, str) or len(content) > MAX_NOTE_BYTES:
                passed_over.append(file.path)
            else:
                found[file.path] = sha256(content).hexdigest()
        return found, tuple(passed_over)

    async def _look_there(self) -> Manifest:
        try:
            return await self._desk.view.manifest(self._session_id, self._branch)
        except NotFoundError:
            if self._branch != MAIN_BRANCH:
                raise
            return Manifest()  # a session without events

    def _plan(
        self, base: Mapping[str, str], here: Mapping[str, str], manifest: Manifest, passed_over: set[str]
    ) -> list[Step]:
        there = {path: manifest[path].blob_hash for path in manifest if self._is_synced(path)}
        steps = plan_sync(
            base,
            here,
            there,
            other_paths=[path for path in manifest if path not in there],
        )
        return [step for step in steps if step.path not in passed_over]

    def _is_synced(self, path: str) -> bool:
        """Whether a scan of the folder would find a file of this path."""
        return (
            is_note_path(path)
            and path.count("/") <= DEEPEST
            and not any(part.startswith(".") for part in path.split("/"))
            and not any(fnmatchcase(path[1:], pattern) for pattern in self._ignored)
        )

    async def _do(self, step: Step) -> dict[str, str]:
        """What both sides have afterwards."""
        match step:
            case Step("upload", path, str(here), there):
                await self._upload(path, here, there or ABSENT)
                return {path: here}
            case Step("download", path, here, str(there)):
                await self._download(path, here, there)
                return {path: there}
            case Step("delete there", path, _, str(there)):
                if await asyncio.to_thread(os.path.lexists, self._root / path[1:]):
                    raise _ChangedMeanwhileError
                await self._desk.delete(self._session_id, path, branch=self._branch, expected=there)
                return {}
            case Step("delete here", path, str(here), _):
                await asyncio.to_thread(_delete, self._root, path, here)
                return {}
            case Step("conflict", path, str(here), str(there)):
                copy = conflict_path(path, here)
                content = await self._content_here(path, here)
                with contextlib.suppress(FileExistsError):  # of an earlier, interrupted sync
                    await asyncio.to_thread(_replace, self._root, copy, None, content, self._temporary())
                kept = (await self._look_there()).get(copy)
                if kept is None or kept.blob_hash != here:
                    await self._upload(copy, here, ABSENT)
                await self._download(path, here, there)
                return {copy: here, path: there}
            case _:
                raise ConflictError("A file or a folder of the session stands in its way.")

    async def _upload(self, path: str, here: str, expected: str) -> None:
        content = await self._content_here(path, here)
        await self._desk.write(
            self._session_id,
            path,
            content,
            branch=self._branch,
            content_type="text/markdown",
            expected=expected,
        )

    async def _download(self, path: str, here: str | None, there: str) -> None:
        content = await self._blobs.get(there)
        await asyncio.to_thread(_replace, self._root, path, here, content, self._temporary())

    async def _content_here(self, path: str, here: str) -> bytes:
        content = await asyncio.to_thread(_read, self._root, path)
        if content is None or sha256(content).hexdigest() != here:
            raise _ChangedMeanwhileError
        return content

    def _temporary(self) -> str:
        return f".life-{self._entropy.token_bytes(8).hex()}"


def _read(root: Path, path: str) -> bytes | None:
    try:
        with os.fdopen(open_below(root, path[1:].split("/")), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _check(root: Path, path: str, expected: str | None) -> None:
    content = _read(root, path)
    if (None if content is None else sha256(content).hexdigest()) != expected:
        raise _ChangedMeanwhileError


def _replace(root: Path, path: str, expected: str | None, content: bytes, temporary: str) -> None:
    """Give a file this content, when it still is what was seen (None: not there; FileExistsError otherwise)."""
    parts = path[1:].split("/")
    folder = open_folder(root, parts[:-1], create=True)
    try:
        with os.fdopen(os.open(temporary, _NEW_FILE, 0o644, dir_fd=folder), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            if expected is None and _link(temporary, parts[-1], folder):
                return
            _check(root, path, expected)
            os.rename(temporary, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
    finally:
        os.close(folder)


def _link(temporary: str, name: str, folder: int) -> bool:
    """Give a file its name, if nobody has it (FileExistsError); False where the file system has no hard links."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            return False
        raise
    return True


def _delete(root: Path, path: str, expected: str) -> None:
    _check(root, path, expected)
    parts = path[1:].split("/")
    folder = open_folder(root, parts[:-1])
    try:
        os.unlink(parts[-1], dir_fd=folder)
    finally:
        os.close(folder)


def _ignored(root: Path) -> Sequence[str]:
    """Patterns of the ignore file, one a line, over paths without the leading slash; `#` begins a comment."""
    try:
        lines = (root / IGNORE_FILE).read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _load(file: Path) -> _Agreed:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Agreed)
    except (OSError, msgspec.DecodeError):
        return _Agreed()


def _save(file: Path, agreed: _Agreed) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(agreed, order="deterministic"))
    partial.replace(file)
