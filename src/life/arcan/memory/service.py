"""The memory of one agent: proposals with their content, commits, tombstones, and finding things again.

    service = MemoryService(journal, blobs, clock=…, entropy=…, agent_id=…, knowledge=vaults.vault)
    proposal = await service.propose(place, "user", [MemoryEntry(content="Prefers metric units.")])
    memory = await service.commit(place, proposal.proposal_id)

Every change is one batch on the scope's stream: the memory's event and the file event of its note, so the knowledge index (which follows file
events) and the fold can't disagree. Contents are blobs, written first. Ids follow from what is done, so a repeated call changes nothing.

The journal is asked for what is new before every answer; a scope's fold is kept between calls.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from life.aios import events
from life.aios.errors import LifeError, NotFoundError, SequenceConflictError
from life.aios.events import Kind
from life.aios.ids import derived_event_id, new_id
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.knowledge import Knowledge, LinkedNote
from life.aios.record import SYSTEM, Actor, EventWriter, Stream
from life.aios.state import MemoryScope
from life.arcan.memory.errors import MemoryNotFoundError, MemoryNotYoursError
from life.arcan.memory.notes import (
    DUPLICATE_OVERLAP,
    FOLDER,
    MemoryEntry,
    ProposedEntries,
    Provenance,
    body_of,
    check_entries,
    check_key,
    note_of,
    overlap,
    words_of,
)
from life.arcan.memory.scopes import SCOPES, SHARED, Place, stream_of
from life.arcan.memory.state import Memory, MemoryFold, Proposal

MAX_NOTE_BYTES: Final = 4 * 1024 * 1024
COMPARED: Final = 500
"""Newest memories of a scope that a new one is compared with."""

_PAGE: Final = 1_000
_ATTEMPTS: Final = 32
_KEPT_SCOPES: Final = 256
_KEPT_WORDS: Final = 4_096
_KINDS: Final = (
    "MemoryProposed",
    "MemoryCommitted",
    "MemoryTombstoned",
    "ObservationAppended",
    "ReflectionCompacted",
)

_decode: Final = msgspec.json.Decoder(ProposedEntries).decode


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A memory with its text."""

    memory_id: str
    scope: MemoryScope
    content: str
    path: str
    created_us: int
    expires_at_us: int | None
    blob_hash: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A memory that a search found."""

    memory_id: str
    scope: MemoryScope
    path: str
    excerpt: str
    score: float
    blob_hash: str


class Committed(NamedTuple):
    """What became of a commit."""

    memory_id: str
    path: str
    merged: tuple[str, ...]
    """Memories that said the same and gave way to this one."""


class MemoryService:
    """Memory of every scope. Belongs to one event loop; several processes may share the journal."""

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        knowledge: Callable[[str], Awaitable[Knowledge]],
    ) -> None:
        """`knowledge` opens the index over the files of a session id (`Vaults.vault`)."""
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._knowledge = knowledge
        self._folds: OrderedDict[Stream, MemoryFold] = OrderedDict()
        self._words: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._lock = asyncio.Lock()

    # ---- changing

    async def propose(
        self,
        place: Place,
        scope: MemoryScope,
        entries: Sequence[MemoryEntry],
        *,
        run_id: str | None = None,
        provenance: Provenance | None = None,
        key: str | None = None,
        expires_at_us: int | None = None,
        once: str | None = None,
        actor: Actor = SYSTEM,
    ) -> Proposal:
        """Put entries forward; nothing shows yet. The same `once` gives the same proposal. MemoryRefusedError for entries that can't be kept."""
        checked = check_entries(entries)
        if key is not None:
            check_key(key)
        stream = stream_of(scope, place)
        content = ProposedEntries(entries=checked, provenance=provenance or Provenance(session_id=place.session_id))
        proposal_id = self.proposal_id(stream, once) if once is not None else new_id(self._clock, self._entropy)
        fold = await self._fold(stream)
        known = fold.proposals.get(proposal_id)
        if known is not None:
            return known
        info = await self._blobs.put(msgspec.json.encode(content))
        kind = events.MemoryProposed(
            scope=scope,
            proposal_id=proposal_id,
            entries_ref=info.hash,
            source_run_id=run_id,
            key=key,
            expires_at_us=expires_at_us,
        )
        await self._append(
            stream, lambda _: [(kind, derived_event_id("arcan.memory.proposed", *stream, proposal_id))], actor
        )
        return (await self._fold(stream)).proposals[proposal_id]

    async def commit(
        self, place: Place, proposal_id: str, *, supersedes: str | None = None, actor: Actor = SYSTEM
    ) -> Committed:
        """Take a proposal over: it shows from now on. What says the same (overlap of words above 0.8) gives way, as does what stood under its
        key. Twice is once. MemoryNotFoundError; MemoryNotYoursError where the operator decides."""
        stream, proposal = await self._proposal(place, proposal_id)
        _check_decides(place, proposal.scope)
        content = await self._entries(proposal)
        memory_id = derived_event_id("arcan.memory", *stream, proposal_id)
        path = f"{FOLDER}{proposal.key or memory_id}.md"
        note = note_of(
            content, scope=proposal.scope, memory_id=memory_id, proposal_id=proposal_id, created_us=proposal.at_us
        )
        info = await self._blobs.put(note)
        words = words_of(body_of(note))
        merged: list[str] = []
        alike = await self._alike(await self._fold(stream), words)

        def kinds(fold: MemoryFold) -> list[tuple[Kind, str]]:
            known = fold.memories.get(memory_id)
            current = fold.proposals.get(proposal_id)
            if known is not None or current is None:
                return []
            if current.status == "rejected":
                raise MemoryNotFoundError("open proposal of this id")
            now_us = self._clock.now_us()
            if supersedes is not None:
                old = fold.memories.get(supersedes)
                if old is None or old.status != "committed":
                    raise MemoryNotFoundError("memory to supersede")
            gone = [
                memory
                for memory in fold.live(now_us)
                if memory.memory_id == supersedes or memory.path == path or memory.memory_id in alike
            ]
            merged[:] = [memory.memory_id for memory in gone]
            first = supersedes or (merged[0] if merged else None)
            batch: list[tuple[Kind, str]] = [
                (events.FileDelete(path=memory.path), new_id(self._clock, self._entropy))
                for memory in gone
                if memory.path and memory.path != path
            ]
            batch += [
                (
                    events.MemoryTombstoned(
                        scope=proposal.scope, memory_id=memory.memory_id, reason=f"merged into {memory_id}"
                    ),
                    new_id(self._clock, self._entropy),
                )
                for memory in gone
                if memory.memory_id != first
            ]
            committed = events.MemoryCommitted(
                scope=proposal.scope,
                memory_id=memory_id,
                committed_ref=info.hash,
                supersedes=first,
                proposal_id=proposal_id,
                path=path,
                expires_at_us=proposal.expires_at_us,
            )
            written = events.FileWrite(
                path=path, blob_hash=info.hash, size_bytes=info.size_bytes, content_type="text/markdown"
            )
            batch.append((committed, derived_event_id("arcan.memory.committed", memory_id)))
            batch.append((written, derived_event_id("arcan.memory.note", memory_id)))
            return batch

        await self._append(stream, kinds, actor)
        return Committed(memory_id, path, tuple(merged))

    async def forget(
        self,
        place: Place,
        reference: str,
        *,
        scope: MemoryScope | None = None,
        reason: str = "",
        actor: Actor = SYSTEM,
    ) -> list[str]:
        """Let a memory (by id, key or path) or an open proposal show no more, in the narrowest scope that has it, or in this one; the ids. Events
        and contents stay in the journal. MemoryNotFoundError; MemoryNotYoursError where the operator decides."""
        for each in (scope,) if scope is not None else self.scopes_of(place):
            stream = stream_of(each, place)
            fold = await self._fold(stream)
            ids = [memory.memory_id for memory in fold.live(self._clock.now_us()) if _means(reference, memory)]
            if each not in SHARED or place.is_operator:
                ids += [proposal.proposal_id for proposal in fold.open_proposals() if proposal.proposal_id == reference]
            if ids:
                _check_decides(place, each)
                for memory_id in ids:
                    await self._tombstone(stream, each, memory_id, reason or "forgotten", actor)
                return ids
        raise MemoryNotFoundError(f"memory '{reference[:64]}'")

    async def tombstone_in(self, stream: Stream, scope: MemoryScope, memory_id: str, reason: str) -> None:
        """Forget one memory of a stream, for retention."""
        await self._tombstone(stream, scope, memory_id, reason, SYSTEM)

    async def append_kinds(
        self, stream: Stream, kinds: Callable[[MemoryFold], list[tuple[Kind, str]]], actor: Actor = SYSTEM
    ) -> None:
        """Append what `kinds` makes of the fold at the stream's head, as one batch; asked again when somebody was quicker."""
        await self._append(stream, kinds, actor)

    # ---- asking

    def scopes_of(self, place: Place) -> tuple[MemoryScope, ...]:
        """The scopes that this place has."""
        return SCOPES if place.session_id else SCOPES[1:]

    async def state(self, place: Place, scope: MemoryScope) -> MemoryFold:
        """The fold of a scope at the journal's head. Treat it as immutable."""
        return await self._fold(stream_of(scope, place))

    async def state_of(self, stream: Stream) -> MemoryFold:
        """The same by its stream, for those who look after all of them."""
        return await self._fold(stream)

    async def query(self, place: Place, scope: MemoryScope, *, limit: int = 20) -> list[Remembered]:
        """What a scope remembers, newest first."""
        fold = await self._fold(stream_of(scope, place))
        return [await self._remembered(memory) for memory in fold.live(self._clock.now_us())[: max(0, limit)]]

    async def get(self, place: Place, reference: str, *, scope: MemoryScope | None = None) -> Remembered:
        """A memory by its id, key or path, the narrowest scope first. MemoryNotFoundError."""
        for each in (scope,) if scope is not None else self.scopes_of(place):
            fold = await self._fold(stream_of(each, place))
            for memory in fold.live(self._clock.now_us()):
                if _means(reference, memory):
                    return await self._remembered(memory)
        raise MemoryNotFoundError(f"memory '{reference[:64]}'")

    async def proposals(self, place: Place, scope: MemoryScope) -> list[tuple[Proposal, ProposedEntries]]:
        """Open proposals with their content, oldest first. Those to shared scopes are shown to the operator only."""
        _check_decides(place, scope)
        fold = await self._fold(stream_of(scope, place))
        return [(proposal, await self._entries(proposal)) for proposal in fold.open_proposals()]

    async def search(
        self, place: Place, query: str, *, scopes: Sequence[MemoryScope] | None = None, limit: int = 10
    ) -> list[Found]:
        """The best memories of these scopes; of equal scores the narrower scope first."""
        found: list[Found] = []
        for scope in scopes or self.scopes_of(place):
            stream = stream_of(scope, place)
            showing = {memory.path: memory for memory in (await self._fold(stream)).live(self._clock.now_us())}
            if not showing:
                continue
            knowledge = await self._knowledge(stream.session_id)
            for hit in await knowledge.search(query, limit=min(100, max(1, limit) * 2), recent=True):
                memory = showing.get(hit.path)
                if memory is None:
                    continue  # a note of the owner's own, or a memory that is over
                found.append(
                    Found(
                        memory_id=memory.memory_id,
                        scope=scope,
                        path=hit.path,
                        excerpt="\n".join(hit.excerpts[:3]),
                        score=round(hit.score, 6),
                        blob_hash=hit.blob_hash,
                    )
                )
        found.sort(key=lambda item: (-item.score, SCOPES.index(item.scope), item.path))
        return found[: max(0, limit)]

    async def graph(
        self, place: Place, start: str, *, depth: int = 2, max_notes: int = 12, scope: MemoryScope | None = None
    ) -> list[LinkedNote]:
        """A memory and what its `[[links]]` lead to, breadth first. MemoryNotFoundError."""
        for each in (scope,) if scope is not None else self.scopes_of(place):
            knowledge = await self._knowledge(stream_of(each, place).session_id)
            try:
                return await knowledge.traverse(start, depth=depth, max_notes=max_notes)
            except NotFoundError:
                continue
        raise MemoryNotFoundError(f"note '{start[:64]}'")

    async def export(self, place: Place, scope: MemoryScope) -> AsyncIterator[bytes]:
        """A scope as lines of JSON: what shows now with its text and history ids, oldest first."""
        fold = await self._fold(stream_of(scope, place))
        for memory in reversed(fold.live(self._clock.now_us())):
            remembered = await self._remembered(memory)
            yield msgspec.json.encode({**msgspec.to_builtins(remembered), "proposal_id": memory.proposal_id}) + b"\n"

    def proposal_id(self, stream: Stream, once: str) -> str:
        """The id of the proposal that is made once."""
        return derived_event_id("arcan.memory.proposal", *stream, once)

    async def put_blob(self, content: bytes) -> str:
        """Keep a content; its hash."""
        return (await self._blobs.put(content)).hash

    async def get_blob(self, ref: str) -> bytes:
        """A content by its hash."""
        return await self._blobs.get(ref, max_bytes=MAX_NOTE_BYTES)

    # ---- inside

    async def _fold(self, stream: Stream) -> MemoryFold:
        """The scope's fold, with what is new in the journal."""
        async with self._lock:
            fold = self._folds.get(stream)
            if fold is None:
                fold = self._folds[stream] = MemoryFold()
            self._folds.move_to_end(stream)
            while len(self._folds) > _KEPT_SCOPES:
                self._folds.popitem(last=False)
            head = (await self._journal.head(stream)).sequence
            while fold.head < head:
                query = EventQuery(*stream, after_sequence=fold.head, before_sequence=head + 1, kinds=_KINDS)
                page = await self._journal.read(query, limit=_PAGE)
                for record in page:
                    fold.apply(record)
                if len(page) < _PAGE:
                    fold.head = head
            return fold

    async def _append(
        self, stream: Stream, kinds: Callable[[MemoryFold], list[tuple[Kind, str]]], actor: Actor
    ) -> None:
        writer = EventWriter(self._clock, self._entropy, agent_id=self._agent_id, stream=stream, actor=actor)
        for attempt in range(_ATTEMPTS):
            fold = await self._fold(stream)
            head, batch = fold.head, kinds(fold)
            if not batch:
                return
            new = [writer.event(kind, event_id=event_id) for kind, event_id in batch]
            try:
                await self._journal.append(new, expected={stream: head})
            except SequenceConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return

    async def _tombstone(self, stream: Stream, scope: MemoryScope, memory_id: str, reason: str, actor: Actor) -> None:
        def kinds(fold: MemoryFold) -> list[tuple[Kind, str]]:
            memory = fold.memories.get(memory_id)
            proposal = fold.proposals.get(memory_id)
            if (memory is None or memory.status != "committed") and (proposal is None or proposal.status != "open"):
                return []
            tombstone = events.MemoryTombstoned(scope=scope, memory_id=memory_id, reason=reason[:400])
            batch: list[tuple[Kind, str]] = [
                (tombstone, derived_event_id("arcan.memory.tombstone", *stream, memory_id))
            ]
            if memory is not None and memory.path:
                batch.append(
                    (events.FileDelete(path=memory.path), derived_event_id("arcan.memory.gone", *stream, memory_id))
                )
            return batch

        await self._append(stream, kinds, actor)

    async def _proposal(self, place: Place, proposal_id: str) -> tuple[Stream, Proposal]:
        for scope in self.scopes_of(place):
            stream = stream_of(scope, place)
            proposal = (await self._fold(stream)).proposals.get(proposal_id)
            if proposal is not None:
                return stream, proposal
        raise MemoryNotFoundError(f"proposal '{proposal_id[:64]}'")

    async def _entries(self, proposal: Proposal) -> ProposedEntries:
        raw = await self.get_blob(proposal.entries_ref)
        try:
            return _decode(raw)
        except msgspec.DecodeError:
            raise MemoryNotFoundError("content of this proposal") from None

    async def _remembered(self, memory: Memory) -> Remembered:
        try:
            content = body_of(await self.get_blob(memory.ref))
        except LifeError as error:
            content = f"(its content can't be read: {error.code})"
        return Remembered(
            memory_id=memory.memory_id,
            scope=memory.scope,
            content=content,
            path=memory.path,
            created_us=memory.at_us,
            expires_at_us=memory.expires_at_us,
            blob_hash=memory.ref,
        )

    async def _alike(self, fold: MemoryFold, words: frozenset[str]) -> set[str]:
        """Ids of memories that say the same."""
        found = set()
        for memory in fold.live(self._clock.now_us())[:COMPARED]:
            if overlap(await self.words(memory), words) > DUPLICATE_OVERLAP:
                found.add(memory.memory_id)
        return found

    async def words(self, memory: Memory) -> frozenset[str]:
        """The words of a memory; kept, because a blob never changes."""
        known = self._words.get(memory.ref)
        if known is None:
            try:
                known = words_of(body_of(await self.get_blob(memory.ref)))
            except LifeError:
                known = frozenset()
            self._words[memory.ref] = known
            while len(self._words) > _KEPT_WORDS:
                self._words.popitem(last=False)
        return known


def _check_decides(place: Place, scope: MemoryScope) -> None:
    if scope in SHARED and not place.is_operator:
        raise MemoryNotYoursError(scope)


def _means(reference: str, memory: Memory) -> bool:
    return reference in (memory.memory_id, memory.path, memory.path.removeprefix(FOLDER).removesuffix(".md"))
