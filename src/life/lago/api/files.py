"""Files: contents, manifests, differences, history.

A path in an address is decoded once and then judged as a manifest's path: no `.`, `..` or empty parts. `If-Match` (the hash that the path
must have) and `If-None-Match: *` (it must not be there) make a change hold only for the version that the caller has seen.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.lago.api.bodies import answer, empty, json_body, number, parts, word
from life.lago.api.callers import Caller, CallerReader
from life.lago.api.content import Content, content_response
from life.lago.api.desks import Desks
from life.lago.api.entries import EntryView, entry_view
from life.lago.api.snapshots import find_point
from life.lago.files.comparison import compare, text_difference
from life.lago.files.desk import ABSENT
from life.lago.files.manifest import FileEntry, Manifest, check_path
from life.lago.hashline import LineEdit, apply_edits, to_hashline
from life.lago.owners.registry import Owners

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
MAX_ENTRIES: Final = 10_000
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
"""Files that are read or edited as lines."""
_MAX_DIFF_BYTES: Final = 1024 * 1024
_CACHE: Final = "private, no-cache"
_TYPE_LIMIT: Final = 128


class ManifestView(msgspec.Struct, frozen=True, kw_only=True):
    """A branch's files by path; `next_path` continues behind a full page."""

    session_id: str
    entries: list[EntryView]
    next_path: str | None = None


class FileStored(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was written."""

    path: str
    blob_hash: str
    size_bytes: int
    seq: int


class DifferenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One path that differs. `text` is a unified diff where both sides are text and it was asked for."""

    change: Literal["added", "removed", "modified", "renamed"]
    path: str
    old: EntryView | None
    new: EntryView | None
    text: str | None = None


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a path; `entry` is null when it was gone afterwards."""

    branch_id: str
    seq: int
    event_id: str
    at: int
    change: str
    entry: EntryView | None


class FileApi:
    """The routes."""

    def __init__(self, journal: Journal, owners: Owners, desks: Desks, caller: CallerReader) -> None:
        self._journal = journal
        self._owners = owners
        self._desks = desks
        self._caller = caller

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        session = "/v1/sessions/{session_id}"
        file = f"{session}/files/{{path:path}}"
        branch = Parameter("branch", "Id or name of the branch; `main` unless told otherwise.")
        at = Parameter("at", "The state right after this event of the branch.", "integer")
        return [
            Operation(
                "GET",
                file,
                "A file's content (Range, If-None-Match), or its lines with numbers and hashes",
                self.read,
                None,
                None,
                (branch, at, Parameter("format", "`hashline`: text with line numbers and hashes.")),
                media_type="application/octet-stream",
                errors=(400, 404, 416, 429),
                scope="files:read",
            ),
            Operation(
                "PUT",
                file,
                "Write a file",
                self.write,
                None,
                FileStored,
                (branch,),
                status=201,
                errors=(400, 404, 409, 413, 429),
                scope="files:write",
            ),
            Operation(
                "PATCH",
                file,
                "Edit lines of a text, each named by its number and hash",
                self.patch,
                list[LineEdit],
                FileStored,
                (branch,),
                errors=(400, 404, 409, 413, 429),
                scope="files:write",
            ),
            Operation(
                "DELETE",
                file,
                "Remove a file, or all below a folder; also when there is none",
                self.delete,
                None,
                None,
                (branch,),
                status=204,
                errors=(400, 404, 409, 429),
                scope="files:write",
            ),
            Operation(
                "GET",
                f"{session}/manifest",
                "A branch's files",
                self.manifest,
                None,
                ManifestView,
                (
                    branch,
                    at,
                    Parameter("after_path", "`next_path` of the page before."),
                    Parameter("limit", f"How many, 1 to {MAX_ENTRIES}.", "integer"),
                ),
                errors=(400, 404, 429),
                scope="files:read",
            ),
            Operation(
                "GET",
                f"{session}/history/{{path:path}}",
                "Every change of a path",
                self.history,
                None,
                list[VersionView],
                (branch,),
                errors=(400, 404, 429),
                scope="files:read",
            ),
            Operation(
                "GET",
                f"{session}/diff",
                "What differs between two states: a sequence of the branch, `snap:<name>`, or a branch",
                self.diff,
                None,
                list[DifferenceView],
                (
                    branch,
                    Parameter("from", "The older state."),
                    Parameter("to", "The newer state; the branch's head unless told otherwise."),
                    Parameter("text", "`true`: with unified diffs.", "boolean"),
                ),
                errors=(400, 404, 429),
                scope="files:read",
            ),
        ]

    # ---- contents

    async def read(self, request: Request) -> Response:
        """GET …/files/{path}"""
        session_id = await self._readable(request)
        return await self.read_from(request, session_id)

    async def read_from(self, request: Request, session_id: str) -> Response:
        """A file of a session that the caller may read."""
        path = check_path(str(request.path_params["path"]))
        manifest = await self._desks.view.manifest(session_id, word(request, "branch", MAIN_BRANCH), at=_at(request))
        entry = manifest.get(path)
        if entry is None:
            raise NotFoundError("There is no such file.", details={"path": path[:255]})
        if request.query_params.get("format") == "hashline":
            return await self._hashline(entry)
        if "format" in request.query_params:
            raise InvalidInputError("The parameter 'format' can only be hashline.")
        name = path.rpartition("/")[2]
        content = Content(entry.blob_hash, entry.size_bytes, entry.content_type, name, _CACHE)
        return await content_response(request, self._desks.blobs, content)

    async def write(self, request: Request) -> Response:
        """PUT …/files/{path}"""
        caller = self._caller(request)
        session_id = str(request.path_params["session_id"])
        owner = await self._owners.require(session_id, caller.owner, write=True)
        return await self.write_into(request, session_id, caller, owner)

    async def write_into(
        self, request: Request, session_id: str, caller: Caller, owner: str, *, default_type: str | None = None
    ) -> Response:
        """Write a file of a session that the caller may write. The content goes to the blob store as it comes in."""
        path = check_path(str(request.path_params["path"]))
        branch = word(request, "branch", MAIN_BRANCH)
        expected = _expected(request)
        async with self._owners.within(owner, events=1, size_bytes=_declared(request)):
            pass  # refused before the body is read, where it says its length
        info = await self._desks.blobs.put_stream(parts(request, limit_bytes=MAX_FILE_BYTES))
        async with self._owners.within(owner, events=1, size_bytes=info.size_bytes):
            changed = await self._desks.write_stored(
                caller,
                session_id,
                path,
                info,
                branch=branch,
                content_type=_content_type(request) or default_type,
                expected=expected,
            )
        return answer(FileStored(path=path, blob_hash=info.hash, size_bytes=info.size_bytes, seq=changed.sequence), 201)

    async def patch(self, request: Request) -> Response:
        """PATCH …/files/{path}: on the version that the edits were checked against, or a conflict."""
        edits = await json_body(request, list[LineEdit])
        caller = self._caller(request)
        session_id = str(request.path_params["session_id"])
        owner = await self._owners.require(session_id, caller.owner, write=True)
        path, branch = check_path(str(request.path_params["path"])), word(request, "branch", MAIN_BRANCH)
        entry = (await self._desks.view.manifest(session_id, branch)).get(path)
        if entry is None:
            raise NotFoundError("There is no such file.", details={"path": path[:255]})
        told = _expected(request)
        content = apply_edits(await self._text_of(entry), edits).encode()
        async with self._owners.within(owner, events=1, size_bytes=len(content)):
            changed = await self._desks.of(caller).write(
                session_id,
                path,
                content,
                branch=branch,
                content_type=entry.content_type,
                expected=entry.blob_hash if told is None else told,
            )
        stored = changed.entry
        return answer(
            FileStored(
                path=path,
                blob_hash=stored.blob_hash if stored is not None else "",
                size_bytes=len(content),
                seq=changed.sequence,
            )
        )

    async def _hashline(self, entry: FileEntry) -> Response:
        headers = {"x-format": "hashline", "x-blob-hash": entry.blob_hash, "x-content-type-options": "nosniff"}
        return Response(
            to_hashline(await self._text_of(entry)),
            headers={**headers, "cache-control": _CACHE},
            media_type="text/plain",
        )

    async def _text_of(self, entry: FileEntry) -> str:
        try:
            return (await self._desks.blobs.get(entry.blob_hash, max_bytes=MAX_TEXT_BYTES)).decode()
        except UnicodeDecodeError:
            raise InvalidInputError("The file is not text.") from None

    async def delete(self, request: Request) -> Response:
        """DELETE …/files/{path}"""
        caller = self._caller(request)
        session_id = str(request.path_params["session_id"])
        owner = await self._owners.require(session_id, caller.owner, write=True)
        return await self.delete_from(request, session_id, caller, owner)

    async def delete_from(self, request: Request, session_id: str, caller: Caller, owner: str) -> Response:
        """Remove a file of a session that the caller may write."""
        path = check_path(str(request.path_params["path"]))
        branch = word(request, "branch", MAIN_BRANCH)
        view = self._desks.view
        if branch != MAIN_BRANCH:
            await view.branch(session_id, branch)
        manifest = await view.manifest(session_id, branch)
        if path in manifest or manifest.below(path):
            async with self._owners.within(owner, events=1):
                await self._desks.of(caller).delete(session_id, path, branch=branch, expected=_expected(request))
        return empty()

    # ---- states

    async def manifest(self, request: Request) -> Response:
        """GET …/manifest"""
        return await self.manifest_of(request, await self._readable(request))

    async def manifest_of(self, request: Request, session_id: str) -> Response:
        """The manifest of a session that the caller may read."""
        limit = number(request, "limit", MAX_ENTRIES, 1, MAX_ENTRIES)
        after = request.query_params.get("after_path", "")
        manifest = await self._desks.view.manifest(session_id, word(request, "branch", MAIN_BRANCH), at=_at(request))
        paths = [path for path in manifest if path > after]
        entries = [entry_view(manifest[path]) for path in paths[:limit]]
        return answer(
            ManifestView(
                session_id=session_id,
                entries=entries,
                next_path=entries[-1].path if len(paths) > limit else None,
            )
        )

    async def history(self, request: Request) -> Response:
        """GET …/history/{path}"""
        session_id = await self._readable(request)
        versions = await self._desks.view.history(
            session_id, str(request.path_params["path"]), word(request, "branch", MAIN_BRANCH)
        )
        return answer(
            [
                VersionView(
                    branch_id=each.branch_id,
                    seq=each.sequence,
                    event_id=each.event_id,
                    at=each.at_us,
                    change=each.change,
                    entry=None if each.entry is None else entry_view(each.entry),
                )
                for each in versions
            ]
        )

    async def diff(self, request: Request) -> Response:
        """GET …/diff"""
        session_id = await self._readable(request)
        branch = word(request, "branch", MAIN_BRANCH)
        wanted = request.query_params.get("from")
        if wanted is None:
            raise InvalidInputError("The parameter 'from' names the older state.")
        old = await self._state(session_id, branch, wanted)
        new = await self._state(session_id, branch, request.query_params.get("to"))
        with_text = request.query_params.get("text") == "true"
        return answer(
            [
                DifferenceView(
                    change=each.change,
                    path=each.path,
                    old=None if each.old is None else entry_view(each.old),
                    new=None if each.new is None else entry_view(each.new),
                    text=await self._text(each.path, each.old, each.new) if with_text else None,
                )
                for each in compare(old, new)
            ]
        )

    async def _state(self, session_id: str, branch: str, reference: str | None) -> Manifest:
        """A number is a sequence of the branch, `snap:<name>` a snapshot of it, anything else another branch."""
        view = self._desks.view
        if reference is None:
            return await view.manifest(session_id, branch)
        if reference.isascii() and reference.isdigit() and len(reference) < 19:
            return await view.manifest(session_id, branch, at=int(reference))
        if reference.startswith("snap:"):
            point = await find_point(self._desks, session_id, branch, reference.removeprefix("snap:"))
            return await view.manifest(session_id, point.branch_id, at=point.covers_through)
        return await view.manifest(session_id, reference)

    async def _text(self, path: str, old: FileEntry | None, new: FileEntry | None) -> str | None:
        sides = [entry for entry in (old, new) if entry is not None]
        if any(entry.size_bytes > _MAX_DIFF_BYTES for entry in sides):
            return None
        before, after = [
            b"" if entry is None else await self._desks.blobs.get(entry.blob_hash, max_bytes=_MAX_DIFF_BYTES)
            for entry in (old, new)
        ]
        return text_difference(before, after, path=path)

    async def _readable(self, request: Request) -> str:
        session_id = str(request.path_params["session_id"])
        await self._owners.require(session_id, self._caller(request).owner, write=False)
        return session_id

    async def head_of(self, session_id: str) -> int:
        """The last event of a session's main branch; 0 for none."""
        return (await self._journal.head(Stream(session_id))).sequence


def _at(request: Request) -> int | None:
    return number(request, "at", 0, 0, 2**53) if "at" in request.query_params else None


def _expected(request: Request) -> str | None:
    """The version that a change is for; None when it is for any."""
    match = request.headers.get("if-match")
    absent = request.headers.get("if-none-match")
    if absent is not None:
        if absent.strip() != "*" or match is not None:
            raise InvalidInputError("A change takes 'If-None-Match: *' or an 'If-Match' with one hash.")
        return ABSENT
    if match is None:
        return None
    blob = match.strip().removeprefix('"').removesuffix('"')
    if len(blob) != 64 or blob.strip("0123456789abcdef"):
        raise InvalidInputError("'If-Match' names one version by its hash.")
    return blob


def _content_type(request: Request) -> str | None:
    told = request.headers.get("content-type", "").strip().lower()
    if len(told) > _TYPE_LIMIT or not told.isprintable() or not told.isascii():
        raise InvalidInputError("The content type is not one.")
    return told or None


def _declared(request: Request) -> int:
    told = request.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 16 else 0
