"""Events: append, read, head, stream.

What comes from outside is checked as if nobody had: a known kind must fit its type, events that subsystems decide on are theirs to
write, an agent writes as itself, and what concerns identities carries its own proof (the host hands in that check).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.envelope import UNKNOWN_AGENT, decode_record
from life.aios.errors import InvalidInputError, NotFoundError, SequenceConflictError
from life.aios.events import Custom, FileWrite, Kind
from life.aios.events.codec import check_payload_of
from life.aios.ids import MAIN_BRANCH, check_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, NewEvent, Stream, encode_record
from life.lago.api.bodies import answer, flag, json_body, number, word
from life.lago.api.callers import Caller, CallerReader
from life.lago.errors import NotOwnerError
from life.lago.files.view import FileView
from life.lago.owners.names import OPERATOR, OWN_PREFIX
from life.lago.owners.registry import Owners
from life.lago.streams.catalogue import FORMATS, find_format
from life.lago.streams.follower import Wanted

MAX_BATCH: Final = 1_000
MAX_BEHIND_US: Final = 24 * 3_600_000_000
MAX_AHEAD_US: Final = 300_000_000
"""How far the time of an event may be from ours: quotas count by it."""
MAX_PAGE: Final = 10_000
_OWN_KINDS: Final = ("lago.",)
"""Custom events that nobody writes from outside: quotas and approvals are folded from them."""
_SUBSYSTEM_KINDS: Final = ("finance.", "haima.", "arcan.", "autonomic.", "vigil.", "spaces.", "praxis.")
"""Those that only the operator's own programs write: subsystems fold them wherever they stand."""

_ABSENT: Final = msgspec.Raw(b"")

CheckOutside = Callable[[Kind, Stream, int], Awaitable[None]]
"""Refuses an event that other programs may not write at a place: kind, stream, sequence."""
StreamAnswer = Callable[[Request, Wanted], Awaitable[Response]]
"""Answers with a server-sent event stream."""


class NewEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/events: one `event` or several `events`, each a record in any of the known spellings. Session and branch are those of
    the address. `expected_head` is the sequence at which the branch must end."""

    event: JsonObject | None = None
    events: list[JsonObject] = []
    branch: str = MAIN_BRANCH
    expected_head: int | None = None


class _NewEventBytes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same with the records as the bytes that came: what this version does not know is stored as it is."""

    event: msgspec.Raw = _ABSENT
    events: list[msgspec.Raw] = []
    branch: str = MAIN_BRANCH
    expected_head: int | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event stands. `duplicate`: the very same was there before."""

    event_id: str
    seq: int
    digest: str
    duplicate: bool


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What was appended; `seq` is that of the last event."""

    seq: int
    events: list[Stored]


class HeadView(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a branch."""

    seq: int
    digest: str


class EventApi:
    """The routes."""

    def __init__(
        self,
        journal: Journal,
        owners: Owners,
        view: FileView,
        caller: CallerReader,
        clock: Clock,
        *,
        check_outside: CheckOutside,
        stream_answer: StreamAnswer,
    ) -> None:
        self._journal = journal
        self._owners = owners
        self._view = view
        self._caller = caller
        self._clock = clock
        self._check_outside = check_outside
        self._stream_answer = stream_answer
        self.appended = 0
        """Events that were stored through these routes."""

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        events = "/v1/sessions/{session_id}/events"
        branch = Parameter("branch", "Id or name of the branch; `main` unless told otherwise.")
        return [
            Operation(
                "GET",
                events,
                "Events as they happen (server-sent events), after `Last-Event-ID` or `after_seq`",
                self.stream,
                None,
                None,
                (
                    Parameter("format", f"One of {', '.join(FORMATS)}; `lago` unless told otherwise."),
                    branch,
                    Parameter("after_seq", "The last sequence that the client has.", "integer"),
                    Parameter("follow", "`false`: end with the history.", "boolean"),
                    Parameter("until", "`run_finished`: end with the first run that ends."),
                    Parameter("include_usage", "OpenAI's usage chunk.", "boolean"),
                ),
                media_type="text/event-stream",
                errors=(400, 404, 429),
                scope="events:read",
            ),
            Operation(
                "POST",
                events,
                "Append one event or a batch, all or none",
                self.append,
                NewEvents,
                Appended,
                errors=(400, 404, 409, 413, 429),
                scope="events:write",
            ),
            Operation(
                "GET",
                f"{events}/read",
                "A page of events, oldest first",
                self.read,
                None,
                list[JsonObject],
                (
                    branch,
                    Parameter("after", "Events after this sequence.", "integer"),
                    Parameter(
                        "after_seq", "For older clients: events from this sequence on, itself included.", "integer"
                    ),
                    Parameter("limit", f"How many, 1 to {MAX_PAGE}; 1000 unless told otherwise.", "integer"),
                ),
                errors=(400, 404, 429),
                scope="events:read",
            ),
            Operation(
                "GET",
                f"{events}/head",
                "The end of a branch",
                self.head,
                None,
                HeadView,
                (branch,),
                errors=(400, 404, 429),
                scope="events:read",
            ),
        ]

    async def stream(self, request: Request) -> Response:
        """GET /v1/sessions/{session_id}/events"""
        until = request.query_params.get("until")
        if until not in (None, "run_finished"):
            raise InvalidInputError("The parameter 'until' can only be run_finished.")
        format_ = find_format(
            request.query_params.get("format", "lago"), with_usage=flag(request, "include_usage", default=False)
        )
        return await self._stream_answer(
            request,
            Wanted(
                stream=await self._readable(request),
                format=format_,
                after_sequence=_cursor(request),
                follow=flag(request, "follow", default=True),
                until_run_ends=until is not None,
            ),
        )

    async def append(self, request: Request) -> Response:
        """POST /v1/sessions/{session_id}/events"""
        session_id = check_id(str(request.path_params["session_id"]), what="session id")
        body = await json_body(request, _NewEventBytes)
        told = body.events or ([body.event] if bytes(body.event) else [])
        if not 1 <= len(told) <= MAX_BATCH or (bytes(body.event) and body.events):
            raise InvalidInputError(f"Give one 'event', or 1 to {MAX_BATCH} 'events'.")
        caller = self._caller(request)
        owner = await self._owner_for_append(session_id, caller)
        stream = Stream(session_id, await self._branch_to_write(session_id, body.branch))
        events = [_new_event(bytes(raw), stream, caller) for raw in told]
        head = (await self._journal.head(stream)).sequence
        if body.expected_head is not None and head != body.expected_head:
            known = await self._journal.get(events[0].event_id)
            if known is None or known.stream != stream:  # otherwise it may be a repetition, and the journal knows
                raise SequenceConflictError(*stream, expected=body.expected_head, actual=head)
        guarded = await self._check_kinds(events, stream, caller, head)
        if not caller.is_operator:
            await self._check_claims(events, caller)
        head_wanted = head if guarded else body.expected_head
        expected = None if head_wanted is None else {stream: head_wanted}
        async with self._owners.within(owner, events=len(events), size_bytes=sum(len(each.payload) for each in events)):
            placed = await self._journal.append(events, expected=expected)
        self.appended += sum(not each.duplicate for each in placed)
        stored = [
            Stored(event_id=event.event_id, seq=each.sequence, digest=each.digest, duplicate=each.duplicate)
            for event, each in zip(events, placed, strict=True)
        ]
        return answer(Appended(seq=stored[-1].seq, events=stored))

    async def read(self, request: Request) -> Response:
        """GET /v1/sessions/{session_id}/events/read"""
        stream = await self._readable(request)
        limit = number(request, "limit", 1_000, 1, MAX_PAGE)
        older = number(request, "after_seq", 0, 0, 2**53)
        after = number(request, "after", max(older - 1, 0), 0, 2**53)
        page = await self._journal.read(EventQuery(*stream, after_sequence=after), limit=limit)
        return answer([msgspec.Raw(encode_record(record)) for record in page])

    async def head(self, request: Request) -> Response:
        """GET /v1/sessions/{session_id}/events/head"""
        head = await self._journal.head(await self._readable(request))
        return answer(HeadView(seq=head.sequence, digest=head.digest))

    async def _readable(self, request: Request) -> Stream:
        session_id = str(request.path_params["session_id"])
        await self._owners.require(session_id, self._caller(request).owner, write=False)
        branch = word(request, "branch", MAIN_BRANCH)
        if branch == MAIN_BRANCH:
            return Stream(session_id)
        return Stream(session_id, (await self._view.branch(session_id, branch)).branch_id)

    async def _owner_for_append(self, session_id: str, caller: Caller) -> str:
        """Whose session it is. The operator may begin one by appending to it, as older programs do."""
        try:
            return await self._owners.require(session_id, caller.owner, write=True)
        except NotFoundError:
            if caller.is_operator and not session_id.startswith(OWN_PREFIX):
                return OPERATOR
            raise

    async def _branch_to_write(self, session_id: str, branch: str) -> str:
        if branch == MAIN_BRANCH:
            return branch
        return (await self._view.branch(session_id, check_id(branch, what="branch"))).branch_id

    async def _check_kinds(self, events: list[NewEvent], stream: Stream, caller: Caller, head: int) -> bool:
        """Refuse what may not be written from outside; whether the events must stand right behind `head`."""
        guarded = False
        for event in events:
            kind = check_payload_of(event.kind_name, event.payload)
            if isinstance(kind, Custom):
                closed = _OWN_KINDS if caller.is_operator else (*_OWN_KINDS, *_SUBSYSTEM_KINDS)
                if kind.event_type.startswith(closed):
                    raise NotOwnerError(
                        "Events of this type are written by the part of the system that decides on them.",
                        details={"event_type": kind.event_type[:128]},
                    )
                guarded = guarded or kind.event_type.startswith("anima.")
            await self._check_outside(kind, stream, head + 1)
        if guarded and len(events) > 1:
            raise InvalidInputError(
                "An event about an identity is appended by itself: its proof is judged at its place."
            )
        return guarded

    async def _check_claims(self, events: list[NewEvent], caller: Caller) -> None:
        """Times that are ours, and files whose contents the caller has put: a hash alone gives nobody a content."""
        now_us = self._clock.now_us()
        for event in events:
            if not now_us - MAX_BEHIND_US <= event.timestamp_us <= now_us + MAX_AHEAD_US:
                raise InvalidInputError("The event's time is too far from this daemon's.")
            kind = check_payload_of(event.kind_name, event.payload)
            if isinstance(kind, FileWrite) and not await self._owners.may_read_blob(caller.owner, kind.blob_hash):
                raise NotOwnerError("Put the blob before a file names it.", details={"blob": kind.blob_hash[:64]})


def _new_event(raw: bytes, stream: Stream, caller: Caller) -> NewEvent:
    record: EventRecord = decode_record(raw)
    if not caller.is_operator and record.agent_id not in (caller.agent_id, UNKNOWN_AGENT):
        raise NotOwnerError("An event names the agent that writes it; this one names another.")
    agent_id = caller.agent_id if record.agent_id == UNKNOWN_AGENT else record.agent_id
    actor = record.actor if caller.is_operator else caller.actor
    return NewEvent(
        event_id=check_id(record.event_id, what="event id"),
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id=agent_id,
        timestamp_us=record.timestamp_us,
        payload=record.payload,
        kind_name=record.kind_name,
        actor=actor,
        schema=record.schema,
        causation_id=record.causation_id,
        correlation_id=record.correlation_id,
        trace_id=record.trace_id,
        span_id=record.span_id,
    )


def _cursor(request: Request) -> int:
    """Last-Event-ID, which wins, or `after_seq`."""
    text = request.headers.get("last-event-id") or request.query_params.get("after_seq") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInputError("The cursor must be the sequence number of an event.")
    return int(text)
