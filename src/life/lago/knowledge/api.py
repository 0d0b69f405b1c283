"""The memory routes over HTTP (lago.md §9), as a table that the host composes into its daemons.

    POST /v1/memory/search      {query, max_results, follow_links, recent, mode} → {results[], linked_notes?}
    POST /v1/memory/traverse    {target, depth, max_notes} → {notes[]}
    GET  /v1/memory/note/{name}   {path, name, frontmatter, body, links, …}
    GET  /v1/memory/lint          health and what makes it so
    POST /v1/memory/context     {query, budget_tokens} → passages with their citations
    POST /v1/memory/events      {query, max_results} → events of the caller's own session

Whose memory is asked, the host says: `vault_of` and `events_of` are given the request, and answer with the vault of the one whose token it carries,
or raise. Nothing in a request names another vault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ports.http import Operation
from life.aios.ports.knowledge import AssembledContext, LinkedNote, NoteHit, NoteView
from life.lago.knowledge.assembly import MAX_BUDGET_TOKENS
from life.lago.knowledge.event_search import EventHit, EventSearch
from life.lago.knowledge.lint import LintReport
from life.lago.knowledge.ranking import MAX_QUERY_CHARACTERS
from life.lago.knowledge.search import MAX_DEPTH, MAX_NOTES, MAX_RESULTS, Mode
from life.lago.knowledge.vault import Vault

HttpOperation: TypeAlias = "Operation[Request, Response]"
VaultOf: TypeAlias = Callable[[Request], Awaitable[Vault]]
EventsOf: TypeAlias = Callable[[Request], Awaitable[EventSearch]]

MAX_BODY_BYTES: Final = 64 * 1024
SCOPE: Final = "knowledge:read"
_HEADERS: Final = {"cache-control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode
_Body = TypeVar("_Body", bound=msgspec.Struct)

Query: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_QUERY_CHARACTERS)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_RESULTS)]


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for. `recent` lets what was changed lately count more; `mode` is `hybrid` or `scored`."""

    query: Query
    max_results: Count = 10
    follow_links: bool = False
    recent: bool = False
    mode: Mode = "hybrid"


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Notes, best first; with `follow_links` up to ten more that they link to."""

    results: list[NoteHit]
    linked_notes: list[LinkedNote] | None = None


class TraverseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to begin, and how far to go."""

    target: Query
    depth: Annotated[int, msgspec.Meta(ge=0, le=MAX_DEPTH)] = 1
    max_notes: Annotated[int, msgspec.Meta(ge=1, le=MAX_NOTES)] = 15


class TraverseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Notes in the order of the walk."""

    notes: list[LinkedNote]


class ContextRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the context is for, and how long it may be."""

    query: Query
    budget_tokens: Annotated[int, msgspec.Meta(ge=1, le=MAX_BUDGET_TOKENS)] = 900


class EventSearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for."""

    query: Query
    max_results: Count = 10


class EventSearchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Events, best first."""

    results: list[EventHit]


def knowledge_operations(vault_of: VaultOf, events_of: EventsOf | None = None) -> list[HttpOperation]:
    """The routes. Without `events_of` there is no search in events."""
    routes = _Routes(vault_of)
    operations: list[HttpOperation] = [
        Operation(
            "POST",
            "/v1/memory/search",
            "Search the caller's notes",
            routes.search,
            SearchRequest,
            SearchAnswer,
            errors=(400,),
            scope=SCOPE,
        ),
        Operation(
            "POST",
            "/v1/memory/traverse",
            "A note and what its links lead to",
            routes.traverse,
            TraverseRequest,
            TraverseAnswer,
            errors=(400, 404),
            scope=SCOPE,
        ),
        Operation(
            "GET",
            "/v1/memory/note/{name}",
            "One note, by its name",
            routes.note,
            None,
            NoteView,
            errors=(404,),
            scope=SCOPE,
        ),
        Operation(
            "GET", "/v1/memory/lint", "The health of the caller's notes", routes.lint, None, LintReport, scope=SCOPE
        ),
        Operation(
            "POST",
            "/v1/memory/context",
            "Passages for a model, within a budget, each with its citation",
            routes.context,
            ContextRequest,
            AssembledContext,
            errors=(400,),
            scope=SCOPE,
        ),
    ]
    if events_of is not None:
        operations.append(_event_search(events_of))
    return operations


def _event_search(events_of: EventsOf) -> HttpOperation:
    async def search(request: Request) -> Response:
        events = await events_of(request)
        asked = _decode(await _body(request), EventSearchRequest)
        return _json(EventSearchAnswer(results=await events.search(asked.query, limit=asked.max_results)))

    return Operation(
        "POST",
        "/v1/memory/events",
        "Search the events of the caller's session",
        search,
        EventSearchRequest,
        EventSearchAnswer,
        errors=(400,),
        scope=SCOPE,
    )


class _Routes:
    """The endpoints. Who asks is settled before the body is read."""

    def __init__(self, vault_of: VaultOf) -> None:
        self._vault_of = vault_of

    async def search(self, request: Request) -> Response:
        vault = await self._vault_of(request)
        asked = _decode(await _body(request), SearchRequest)
        hits = await vault.search(asked.query, limit=asked.max_results, recent=asked.recent, mode=asked.mode)
        linked = await vault.linked(hits) if asked.follow_links else None
        return _json(SearchAnswer(results=hits, linked_notes=linked))

    async def traverse(self, request: Request) -> Response:
        vault = await self._vault_of(request)
        asked = _decode(await _body(request), TraverseRequest)
        notes = await vault.traverse(asked.target, depth=asked.depth, max_notes=asked.max_notes)
        return _json(TraverseAnswer(notes=notes))

    async def note(self, request: Request) -> Response:
        vault = await self._vault_of(request)
        return _json(await vault.note(request.path_params["name"]))

    async def lint(self, request: Request) -> Response:
        vault = await self._vault_of(request)
        return _json(await vault.lint())

    async def context(self, request: Request) -> Response:
        vault = await self._vault_of(request)
        asked = _decode(await _body(request), ContextRequest)
        return _json(await vault.assemble(asked.query, budget_tokens=asked.budget_tokens))


async def _body(request: Request) -> bytes:
    chunks, size_bytes = [], 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > MAX_BODY_BYTES:
            raise InvalidInputError("The body is too long.")
        chunks.append(chunk)
    return b"".join(chunks)


def _decode(content: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The body can't be read: {error}.") from None


def _json(value: object) -> Response:
    return Response(_encode(value), 200, _HEADERS, "application/json")
