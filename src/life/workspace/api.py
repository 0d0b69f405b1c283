"""The routes that the page needs beyond the session API. They only read.

    GET /sessions/{id}/workspace/block      the folded state at a block's beginning and the block's events
    GET /sessions/{id}/workspace/state      the folded state at a position, with its digest
    GET /sessions/{id}/workspace/search     events of a branch by words, kind and actor
    GET /sessions/{id}/workspace/files/{h}  a file's content by the hash that an event of the session named
    GET /sessions/{id}/workspace/money      events of wallets that concern the session
    GET /sessions/{id}/workspace/export     the session as one HTML file that opens from disk

Who may see a session is the caller's own rule (`allowed`); somebody else's does not exist. Source: workspace-ui.md WS-EVT-5, WS-REP-5,
WS-EXP-1, WS-INSP-2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.blobs import Blobs
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream, encode_record, format_timestamp
from life.workspace.export import export_html, recorded
from life.workspace.positions import EVERY, Positions
from life.workspace.state import State, digest
from life.workspace.values import fields, fields_of, text

MOST_FOUND: Final = 500
_PAGE: Final = 1000
_MOST_FILE_BYTES: Final = 2 * 1_048_576
_BRANCH: Final = Parameter("branch", "Which branch; `main` unless told otherwise.")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a branch: the state at its beginning and its events."""

    session_id: str
    branch: str
    head: int
    """The branch's last event now."""
    base: int
    """The state is that after this event; the events follow it."""
    state: State
    events: list[msgspec.Raw]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The state after one event."""

    session_id: str
    branch: str
    sequence: int
    digest: str
    state: State


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was looked for."""

    sequence: int
    kind: str
    timestamp: str


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, newest first; `complete` says whether that is all."""

    session_id: str
    branch: str
    through: int
    found: list[Found]
    complete: bool


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """The wallets' events that concern a session, oldest first."""

    session_id: str
    events: list[msgspec.Raw]


class Parts(NamedTuple):
    """What the routes read."""

    journal: Journal
    blobs: Blobs
    positions: Positions
    allowed: Callable[[Request], Awaitable[str]]
    """The session in the path, when the caller may see it; raises NotFoundError otherwise."""
    scope: str | None
    """The scope that a caller's token needs."""
    version: str
    money_streams: Callable[[str], bool]
    """Whether a session id is that of a wallet's own stream."""
    recorded_money: Callable[[str], Awaitable[list[EventRecord]]] | None = None
    """The wallets' events of a session that is not in this journal but on record elsewhere; none for others."""


class WorkspaceApi:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        root = "/sessions/{session_id}/workspace"
        at = Parameter("at", "Sequence of an event; the head unless told otherwise.", "integer")
        own: list[Operation[Request, Response]] = [
            Operation(
                "GET",
                f"{root}/block",
                "The folded state at the beginning of a block of events, and the events",
                self.block,
                None,
                Block,
                (at, _BRANCH),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{root}/state",
                "The state that the page draws at a position, folded from the journal alone",
                self.state,
                None,
                Position,
                (at, _BRANCH),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{root}/search",
                "Events by words, kind and actor, newest first",
                self.search,
                None,
                Search,
                (
                    Parameter("q", "Words that the event contains, in any case."),
                    Parameter("kind", "Kind names or their beginnings, with commas between them."),
                    Parameter("actor", "user, agent or system."),
                    Parameter("limit", f"How many, 1 to {MOST_FOUND}.", "integer"),
                    at,
                    _BRANCH,
                ),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{root}/files/{{hash}}",
                "A file's content by its hash, when an event of the branch names it",
                self.file,
                None,
                None,
                (_BRANCH,),
                media_type="application/octet-stream",
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{root}/money",
                "Events of wallets that concern the session",
                self.money,
                None,
                Money,
                errors=(404,),
            ),
            Operation(
                "GET",
                f"{root}/export",
                "The session as one HTML file that opens without a network",
                self.export,
                None,
                None,
                (_BRANCH,),
                media_type="text/html",
                errors=(400, 404),
            ),
        ]
        return [operation._replace(scope=self._parts.scope) for operation in own]

    async def block(self, request: Request) -> Response:
        """GET …/workspace/block"""
        stream = await self._stream(request)
        head = (await self._parts.journal.head(stream)).sequence
        at = _number(request, "at", head)
        if at > head:
            raise NotFoundError(f"The branch ends at event {head}.")
        base = max(0, (at - 1) // EVERY * EVERY)
        state = await self._parts.positions.at(stream, base)
        records = await self._parts.journal.read(EventQuery(*stream, after_sequence=base), limit=EVERY)
        return _json(
            Block(
                session_id=stream.session_id,
                branch=stream.branch_id,
                head=max(head, records[-1].sequence if records else 0),
                base=base,
                state=state,
                events=_raw(records),
            )
        )

    async def state(self, request: Request) -> Response:
        """GET …/workspace/state"""
        stream = await self._stream(request)
        head = (await self._parts.journal.head(stream)).sequence
        at = _number(request, "at", head)
        state = await self._parts.positions.at(stream, at)
        return _json(
            Position(
                session_id=stream.session_id,
                branch=stream.branch_id,
                sequence=at,
                digest=digest(state),
                state=state,
            )
        )

    async def search(self, request: Request) -> Response:
        """GET …/workspace/search"""
        stream = await self._stream(request)
        head = (await self._parts.journal.head(stream)).sequence
        through = min(_number(request, "at", head), head)
        limit = max(1, min(_number(request, "limit", 200), MOST_FOUND))
        words = request.query_params.get("q", "").casefold().split()
        kinds = tuple(kind for kind in request.query_params.get("kind", "").split(",") if kind)
        actor = request.query_params.get("actor", "")
        found: list[Found] = []
        async for record in self._backwards(stream, through):
            name = name_of(record)
            if kinds and not name.startswith(kinds):
                continue
            if actor and record.actor.type != actor:
                continue
            if words:
                content = record.payload.decode(errors="replace").casefold()
                if not all(word in content for word in words):
                    continue
            if len(found) == limit:
                return _json(self._found(stream, through, found, complete=False))
            found.append(Found(sequence=record.sequence, kind=name, timestamp=format_timestamp(record.timestamp_us)))
        return _json(self._found(stream, through, found, complete=True))

    def _found(self, stream: Stream, through: int, found: list[Found], *, complete: bool) -> Search:
        return Search(
            session_id=stream.session_id, branch=stream.branch_id, through=through, found=found, complete=complete
        )

    async def _backwards(self, stream: Stream, through: int) -> AsyncIterator[EventRecord]:
        before = through + 1
        while before > 1:
            after = max(0, before - 1 - _PAGE)
            query = EventQuery(*stream, after_sequence=after, before_sequence=before)
            for record in reversed(await self._parts.journal.read(query, limit=_PAGE)):
                yield record
            before = after + 1

    async def file(self, request: Request) -> Response:
        """GET …/workspace/files/{hash}"""
        stream = await self._stream(request)
        wanted = str(request.path_params["hash"])
        if not await self._is_named(stream, wanted):
            raise NotFoundError("No event of this branch names such a file.")
        content = await self._parts.blobs.get(wanted, max_bytes=_MOST_FILE_BYTES)
        return Response(content, 200, _UNTRUSTED, "application/octet-stream")

    async def _is_named(self, stream: Stream, wanted: str) -> bool:
        """Whether the branch, or one that it goes back to, has this content."""
        lineage: Stream | None = stream
        while lineage is not None:
            after = 0
            while page := await self._parts.journal.read(
                EventQuery(*lineage, after_sequence=after, kinds=("FileWrite", "FileMutated")), limit=_PAGE
            ):
                for record in page:
                    told = fields_of(record.payload)
                    if wanted in (told.get("blob_hash"), told.get("content_hash")):
                        return True
                after = page[-1].sequence
            fork = await self._parts.positions.fork_of(lineage)
            lineage = None if fork is None else Stream(stream.session_id, fork.parent)
        return False

    async def money(self, request: Request) -> Response:
        """GET …/workspace/money"""
        session_id = await self._parts.allowed(request)
        concerned: set[str] = set()
        records: list[EventRecord] = []
        for stream in await self._parts.journal.streams():
            if not self._parts.money_streams(stream.session_id):
                continue
            after = 0
            while page := await self._parts.journal.read(EventQuery(*stream, after_sequence=after), limit=_PAGE):
                for record in page:
                    data = fields(fields_of(record.payload).get("data"))
                    payment = text(data.get("payment_id")) or text(data.get("purchase_id"))
                    if text(data.get("session_id")) == session_id:
                        concerned.add(payment)
                    elif not payment or payment not in concerned:
                        continue
                    if name_of(record) in _KEPT_BACK:
                        continue
                    records.append(record)
                after = page[-1].sequence
        if self._parts.recorded_money is not None:
            recorded = await self._parts.recorded_money(session_id)
            records += (record for record in recorded if name_of(record) not in _KEPT_BACK)
        return _json(Money(session_id=session_id, events=_raw(records)))

    async def export(self, request: Request) -> Response:
        """GET …/workspace/export"""
        stream = await self._stream(request)
        parts = self._parts
        html = export_html(await recorded(stream, parts.journal, parts.positions, parts.version))
        name = "".join(
            character if character.isalnum() or character in "-_" else "-" for character in stream.session_id
        )
        headers = {**_UNTRUSTED, "content-disposition": f'attachment; filename="{name[:80]}.html"'}
        return Response(html, 200, headers, "text/html")

    async def _stream(self, request: Request) -> Stream:
        session_id = await self._parts.allowed(request)
        stream = Stream(session_id, request.query_params.get("branch", MAIN_BRANCH))
        if (await self._parts.journal.head(stream)).sequence == 0:
            raise NotFoundError("There is no such branch.")
        return stream


_KEPT_BACK: Final = ("finance.payment_signed",)
"""A signature is worth money until it is settled; the page has no use for it."""

_UNTRUSTED: Final = {
    # What an agent wrote is never run by a browser that looks at it.
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "content-disposition": "attachment",
}


def name_of(record: EventRecord) -> str:
    """The kind's name; of an extension event its dotted type."""
    if record.kind_name != "Custom":
        return record.kind_name
    return text(fields_of(record.payload).get("event_type")) or "Custom"


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise InvalidInputError(f"The parameter '{name}' must be a whole number.")
    return int(given)


def _raw(records: list[EventRecord]) -> list[msgspec.Raw]:
    return [msgspec.Raw(encode_record(record)) for record in records]


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), 200, {"cache-control": "no-store"}, "application/json")
