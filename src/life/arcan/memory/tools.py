"""Memory as tools for a model (praxis.md §2.3-2.5), under the same gate and journal as all others.

    memory_query    {scope, limit?}                    what a scope remembers, newest first     memory:read:<scope>
    memory_search   {query, limit?, scopes?}           by words, over the caller's scopes       memory:read:<scope>
    memory_recent   {limit?}                           the newest of all scopes                 memory:read:<scope>
    memory_graph    {start, depth?, max_notes?}        along [[links]]                          memory:read:<scope>
    read_memory     {key, scope?}                      one memory by key or id                  memory:read:<scope>
    memory_propose  {scope, entries, expires_days?}    nothing shows before it is taken over    memory:propose:<scope>
    memory_commit   {proposal_id, supersedes?}         take it over                             memory:write:<scope>
    write_memory    {key, content, scope?}             propose and take over under a key        memory:write:<scope>
    memory_forget   {key, reason?}                     a tombstone                              memory:write:<scope>

What lasts beyond the session is asked about: the default policy gates `memory:write:user`, `:agent` and `:org`, because a page that an agent has read
must not be able to write into what it will read for ever. Whose memory it is follows from the session, never from arguments.

An interrupted call is exact: ids follow from the call's idempotency key, so a probe knows whether it took effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from life.aios.errors import LifeError, ToolError
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.tools import Probe, ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.record import AGENT, format_timestamp
from life.aios.state import MemoryScope
from life.arcan.context.cutting import cut_characters
from life.arcan.memory.arguments import (
    MemoryCommit,
    MemoryForget,
    MemoryGraph,
    MemoryPropose,
    MemoryQuery,
    MemoryRecent,
    MemorySearch,
    ReadMemory,
    WriteMemory,
)
from life.arcan.memory.notes import MemoryEntry, Provenance, check_key
from life.arcan.memory.scopes import Place, stream_of
from life.arcan.memory.service import MemoryService, Remembered

TIMEOUT_S: Final = 10
CONTENT_CHARACTERS: Final = 2_000
"""Of each memory in a list; `read_memory` gives all of it."""


class _Tool(NamedTuple):
    definition: ToolDefinition
    arguments: type[msgspec.Struct]
    needs: Callable[[Any, Place], tuple[str, ...]]
    run: Callable[[Any, Place, ToolContext], Awaitable[Json]]
    took_effect: Callable[[Any, Place, ToolContext], Awaitable[Json]] | None
    """The result of an interrupted call that took effect; None when it did not. Without: it only reads."""


class MemoryTools:
    """The Toolbox port over the memory. The host joins it with the others."""

    def __init__(self, service: MemoryService, journal: Journal, clock: Clock, *, org: str = "local") -> None:
        self._service = service
        self._journal = journal
        self._clock = clock
        self._org = org
        self._owners: dict[str, str] = {}
        self._tools = {tool.definition.name: tool for tool in self._all()}
        self._definitions = tuple(self._tools[name].definition for name in sorted(self._tools))

    # ---- the port

    def definitions(self) -> Sequence[ToolDefinition]:
        """See Toolbox."""
        return self._definitions

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """See Toolbox."""
        tool, arguments = self._opened(call)
        return tool.needs(arguments, Place(context.session_id, context.agent_id))

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """See Toolbox. What a probe needs is in the call's key."""
        self._opened(call)
        return None

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """See Toolbox."""
        try:
            tool, arguments = self._opened(call)
            async with asyncio.timeout(TIMEOUT_S):
                output = await tool.run(arguments, await self._place(context), context)
        except LifeError as error:
            return ToolOutcome(status="error", output={"error": error.message, "code": error.code})
        except TimeoutError:
            return ToolOutcome(
                status="timeout", output={"error": f"{call.tool_name} did not end within {TIMEOUT_S} s."}
            )
        return ToolOutcome(status="ok", output=output)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """See Toolbox."""
        tool, arguments = self._opened(call)
        if tool.took_effect is None:
            return Probe(answer="repeatable", explanation="It only reads.")
        done = await tool.took_effect(arguments, await self._place(context), context)
        if done is None:
            return Probe(answer="not_done", explanation="The memory's events don't have it.")
        outcome = ToolOutcome(status="ok", output=done)
        return Probe(answer="done", explanation="The memory's events have it.", outcome=outcome)

    # ---- what they do

    async def _query(self, given: MemoryQuery, place: Place, _: ToolContext) -> Json:
        memories = await self._service.query(place, given.scope, limit=given.limit)
        return {"scope": given.scope, "memories": [_shown(memory) for memory in memories]}

    async def _search(self, given: MemorySearch, place: Place, _: ToolContext) -> Json:
        hits = await self._service.search(place, given.query, scopes=given.scopes or None, limit=given.limit)
        matches: list[Json] = [
            {"id": hit.memory_id, "scope": hit.scope, "excerpt": hit.excerpt, "score": hit.score} for hit in hits
        ]
        return {"query": given.query, "matches": matches, "total": len(matches)}

    async def _recent(self, given: MemoryRecent, place: Place, _: ToolContext) -> Json:
        found: list[Remembered] = []
        for scope in self._service.scopes_of(place):
            found += await self._service.query(place, scope, limit=given.limit)
        found.sort(key=lambda memory: (-memory.created_us, memory.memory_id))
        return {"memories": [_shown(memory) for memory in found[: given.limit]]}

    async def _graph(self, given: MemoryGraph, place: Place, _: ToolContext) -> Json:
        notes = await self._service.graph(place, given.start, depth=given.depth, max_notes=given.max_notes)
        return {"start": given.start, "notes": msgspec.to_builtins(notes)}

    async def _read(self, given: ReadMemory, place: Place, _: ToolContext) -> Json:
        memory = await self._service.get(place, given.key, scope=given.scope)
        return {"id": memory.memory_id, "scope": memory.scope, "content": memory.content, "path": memory.path}

    async def _propose(self, given: MemoryPropose, place: Place, context: ToolContext) -> Json:
        expires = None
        if given.expires_days is not None:
            expires = self._clock.now_us() + given.expires_days * 86_400 * 1_000_000
        entries = [MemoryEntry(content=entry.content, tags=entry.tags) for entry in given.entries]
        proposal = await self._service.propose(
            place,
            given.scope,
            entries,
            run_id=context.run_id,
            provenance=Provenance(session_id=context.session_id, branch_id=context.branch_id),
            expires_at_us=expires,
            once=context.idempotency_key,
            actor=AGENT,
        )
        return {"proposal_id": proposal.proposal_id, "entry_count": len(entries), "committed": False}

    async def _proposed(self, given: MemoryPropose, place: Place, context: ToolContext) -> Json:
        stream = stream_of(given.scope, place)
        proposal_id = self._service.proposal_id(stream, context.idempotency_key)
        fold = await self._service.state(place, given.scope)
        if proposal_id not in fold.proposals:
            return None
        return {"proposal_id": proposal_id, "entry_count": len(given.entries), "committed": False}

    async def _commit(self, given: MemoryCommit, place: Place, _: ToolContext) -> Json:
        await self._check_scope(given, place)
        done = await self._service.commit(place, given.proposal_id, supersedes=given.supersedes, actor=AGENT)
        return {"memory_id": done.memory_id, "committed": True, "merged": list(done.merged)}

    async def _committed(self, given: MemoryCommit, place: Place, _: ToolContext) -> Json:
        fold = await self._service.state(place, given.scope)
        for memory in fold.memories.values():
            if memory.proposal_id == given.proposal_id:
                return {"memory_id": memory.memory_id, "committed": True}
        return None

    async def _write(self, given: WriteMemory, place: Place, context: ToolContext) -> Json:
        proposal = await self._service.propose(
            place,
            given.scope,
            [MemoryEntry(content=given.content)],
            run_id=context.run_id,
            provenance=Provenance(session_id=context.session_id, branch_id=context.branch_id),
            key=check_key(given.key),
            once=context.idempotency_key,
            actor=AGENT,
        )
        done = await self._service.commit(place, proposal.proposal_id, actor=AGENT)
        return {"success": True, "id": done.memory_id, "path": done.path}

    async def _written(self, given: WriteMemory, place: Place, context: ToolContext) -> Json:
        fold = await self._service.state(place, given.scope)
        proposal_id = self._service.proposal_id(stream_of(given.scope, place), context.idempotency_key)
        for memory in fold.memories.values():
            if memory.proposal_id == proposal_id:
                return {"success": True, "id": memory.memory_id, "path": memory.path}
        return None

    async def _forget(self, given: MemoryForget, place: Place, _: ToolContext) -> Json:
        ids = await self._service.forget(
            place, given.key, scope=given.scope, reason=given.reason or "forgotten by the agent", actor=AGENT
        )
        return {"forgotten": list(ids)}

    async def _check_scope(self, given: MemoryCommit, place: Place) -> None:
        """What the gate was told must be where the proposal is."""
        fold = await self._service.state(place, given.scope)
        if given.proposal_id not in fold.proposals:
            raise ToolError(f"There is no proposal of this id in the scope '{given.scope}'.")

    # ---- inside

    def _opened(self, call: ToolCall) -> tuple[_Tool, msgspec.Struct]:
        tool = self._tools.get(call.tool_name)
        if tool is None:
            raise ToolError(f"There is no memory tool named '{call.tool_name[:64]}'.")
        try:
            return tool, msgspec.convert(call.arguments, tool.arguments, strict=True)
        except msgspec.ValidationError as unfit:
            raise ToolError(f"Invalid arguments for {call.tool_name}: {unfit}.") from None

    async def _place(self, context: ToolContext) -> Place:
        return Place(context.session_id, context.agent_id, await self.owner_of(context.session_id), self._org)

    async def owner_of(self, session_id: str) -> str:
        """The owner that a session was made for; it never changes. ToolError for a session that is not there."""
        known = self._owners.get(session_id)
        if known is None:
            page = await self._journal.read(EventQuery(session_id, MAIN_BRANCH), limit=1)
            if not page or page[0].kind_name != "SessionCreated":
                raise ToolError("Memory belongs to sessions, and this is none.")
            config: Json = getattr(page[0].kind, "config", None)
            owner = config.get("owner") if isinstance(config, Mapping) else ""
            known = owner if isinstance(owner, str) else ""
            if len(self._owners) > 10_000:
                self._owners.clear()
            self._owners[session_id] = known
        return known

    def _all(self) -> list[_Tool]:
        return [
            _reading(
                "memory_query",
                "List what a scope of your memory holds, newest first.",
                MemoryQuery,
                self._query,
                lambda given, _: (given.scope,),
            ),
            _reading(
                "memory_search",
                "Search your memory by words.",
                MemorySearch,
                self._search,
                lambda given, place: given.scopes or self._service.scopes_of(place),
            ),
            _reading(
                "memory_recent",
                "The newest memories of all scopes.",
                MemoryRecent,
                self._recent,
                lambda _, place: self._service.scopes_of(place),
            ),
            _reading(
                "memory_graph",
                "Follow the [[links]] of a memory.",
                MemoryGraph,
                self._graph,
                lambda _, place: self._service.scopes_of(place),
            ),
            _reading(
                "read_memory",
                "Read one memory in full.",
                ReadMemory,
                self._read,
                lambda given, place: (given.scope,) if given.scope else self._service.scopes_of(place),
            ),
            _changing(
                "memory_propose",
                "Propose something to remember. It shows once it is taken over (memory_commit, or a person).",
                MemoryPropose,
                "propose",
                self._propose,
                self._proposed,
            ),
            _changing(
                "memory_commit",
                "Take over a proposal into memory.",
                MemoryCommit,
                "write",
                self._commit,
                self._committed,
            ),
            _changing(
                "write_memory",
                "Remember a text under a key, in place of what stood there.",
                WriteMemory,
                "write",
                self._write,
                self._written,
            ),
            _Tool(
                _definition(
                    "memory_forget",
                    "Let a memory show no more.",
                    MemoryForget,
                    ToolAnnotations(destructive=True, idempotent=True),
                ),
                MemoryForget,
                lambda given, _: (f"memory:write:{given.scope}",),
                self._forget,
                self._forgotten,
            ),
        ]

    async def _forgotten(self, given: MemoryForget, place: Place, _: ToolContext) -> Json:
        """A tombstone stays, so what does not show any more is forgotten, by whomever."""
        fold = await self._service.state(place, given.scope)
        for memory in fold.memories.values():
            if given.key in (memory.memory_id, memory.path) and memory.status == "forgotten":
                return {"forgotten": [memory.memory_id]}
        return None


def _reading(
    name: str,
    description: str,
    arguments: type[msgspec.Struct],
    run: Callable[[Any, Place, ToolContext], Awaitable[Json]],
    scopes: Callable[[Any, Place], Sequence[MemoryScope]],
) -> _Tool:
    return _Tool(
        _definition(name, description, arguments, ToolAnnotations(read_only=True, idempotent=True)),
        arguments,
        lambda given, place: tuple(f"memory:read:{scope}" for scope in scopes(given, place)),
        run,
        None,
    )


def _changing(
    name: str,
    description: str,
    arguments: type[msgspec.Struct],
    verb: str,
    run: Callable[[Any, Place, ToolContext], Awaitable[Json]],
    took_effect: Callable[[Any, Place, ToolContext], Awaitable[Json]],
) -> _Tool:
    return _Tool(
        _definition(name, description, arguments, ToolAnnotations(idempotent=True)),
        arguments,
        lambda given, _: (f"memory:{verb}:{given.scope}",),
        run,
        took_effect,
    )


def _definition(
    name: str, description: str, arguments: type[msgspec.Struct], annotations: ToolAnnotations
) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=description,
        input_schema=_schema(arguments),
        annotations=annotations,
        category="memory",
        timeout_s=TIMEOUT_S,
    )


def _schema(arguments: type[msgspec.Struct]) -> JsonObject:
    (reference,), components = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    schema = components.pop(reference["$ref"].rpartition("/")[2])
    out = {key: value for key, value in schema.items() if key not in ("title", "description")}
    out.setdefault("properties", {})
    if components:
        out["$defs"] = components
    return out


def _shown(memory: Remembered) -> Json:
    return {
        "id": memory.memory_id,
        "scope": memory.scope,
        "path": memory.path,
        "created": format_timestamp(memory.created_us),
        "content": cut_characters(memory.content, CONTENT_CHARACTERS),
    }
