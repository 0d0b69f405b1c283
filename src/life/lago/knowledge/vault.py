"""A vault: one owner's notes on one branch, kept up to date and asked (lago.md §13; the port is life.aios.ports.knowledge).

Work on the index runs in the vault's own thread, one thing after the other; the event loop only waits. Each question first looks for
new events, which costs one look at the stream's head when there are none.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from life.aios.errors import UnavailableError
from life.aios.ports.clock import Clock
from life.aios.ports.embeddings import Embeddings
from life.aios.ports.knowledge import AssembledContext, LinkedNote, NoteHit, NoteView
from life.lago.knowledge.assembly import assemble
from life.lago.knowledge.catalogue import catalogue
from life.lago.knowledge.index import NOTHING, NoteIndex, Plan, Problem, ReadNote, Unread
from life.lago.knowledge.lint import LintReport, lint
from life.lago.knowledge.note import UnreadableNoteError, parse_note
from life.lago.knowledge.own_thread import OwnThread
from life.lago.knowledge.ranking import MAX_QUERY_CHARACTERS
from life.lago.knowledge.search import Mode, find, linked_note, search, traverse, view
from life.lago.knowledge.semantic import EMBEDDED_CHARACTERS, Meaning, unit
from life.lago.knowledge.source import NoteFile, NoteSource

T = TypeVar("T")

_BATCH: Final = 256
_EMBEDDED_AT_ONCE: Final = 32


class SyncReport(NamedTuple):
    """What a look at the source brought."""

    read: int
    """How many notes are new, or say something else than before."""
    removed: int
    unreadable: int
    notes: int
    """How many there are now."""
    unembedded: int = 0
    """How many have no vector, because the model did not answer."""


class Vault:
    """The Knowledge port over one source. Belongs to one event loop."""

    def __init__(
        self,
        source: NoteSource,
        clock: Clock,
        *,
        index_file: Path | None = None,
        looks_first: bool = True,
        embeddings: Embeddings | None = None,
    ) -> None:
        """`index_file`: None keeps the index in memory. Without `looks_first` questions are answered from what the last `sync`
        saw. With `embeddings`, meaning counts too; notes are given to that model."""
        self._source = source
        self._embeddings = embeddings
        self._clock = clock
        self._looks_first = looks_first
        self._is_embedded = embeddings is None
        self._thread = OwnThread(lambda: NoteIndex(index_file))
        self._run = self._thread.run
        self._syncing = asyncio.Lock()

    async def __aenter__(self) -> Vault:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file and end the thread. The next question opens both again."""
        await self._thread.aclose()

    # ---- the port

    async def search(
        self, query: str, *, limit: int = 10, recent: bool = False, mode: Mode = "hybrid"
    ) -> list[NoteHit]:
        """See Knowledge."""
        now_us = self._clock.now_us() if recent else None
        meaning = await self._meaning(query) if mode == "hybrid" else None
        return await self._ask(
            lambda index: search(index, query, limit=limit, mode=mode, now_us=now_us, meaning=meaning)
        )

    async def note(self, reference: str) -> NoteView:
        """See Knowledge."""
        return await self._ask(lambda index: view(index, reference))

    async def traverse(self, target: str, *, depth: int = 1, max_notes: int = 15) -> list[LinkedNote]:
        """See Knowledge."""
        return await self._ask(lambda index: traverse(index, target, depth=depth, max_notes=max_notes))

    async def assemble(self, query: str, *, budget_tokens: int) -> AssembledContext:
        """See Knowledge."""
        meaning = await self._meaning(query)
        return await self._ask(lambda index: assemble(index, query, budget_tokens=budget_tokens, meaning=meaning))

    # ---- beyond it

    async def backlinks(self, reference: str) -> list[LinkedNote]:
        """The notes that link to this one, by path."""

        def look(index: NoteIndex) -> list[LinkedNote]:
            number = find(index, reference)
            return [linked_note(index, other, 1) for other in index.graph.backlinks(number)]

        return await self._ask(look)

    async def linked(self, hits: Sequence[NoteHit], *, limit: int = 10) -> list[LinkedNote]:
        """The notes that results link to and that are none of them, in the order of the results, at depth 1."""

        def look(index: NoteIndex) -> list[LinkedNote]:
            numbers = [number for hit in hits if (number := index.graph.number(hit.path)) is not None]
            found = dict.fromkeys(other for number in numbers for other in index.graph.following(number))
            return [linked_note(index, other, 1) for other in found if other not in set(numbers)][:limit]

        return await self._ask(look)

    async def lint(self) -> LintReport:
        """What is wrong with the notes. Today is that of UTC."""
        today = datetime.fromtimestamp(self._clock.now_us() / 1_000_000, UTC).date()
        return await self._ask(lambda index: lint(index, today=today))

    async def catalogue(self) -> str:
        """The table of contents, in markdown."""
        return await self._ask(catalogue)

    async def sync(self, *, rebuild: bool = False) -> SyncReport:
        """Take in what is new at the source; with `rebuild` everything, from the beginning. A file that can't be read is named among
        the problems and stops nobody."""
        async with self._syncing:
            if rebuild:
                await self._run(lambda index: index.clear())
            cursor = await self._run(lambda index: index.cursor)
            changes = await self._source.changes(cursor)
            if changes.cursor == cursor and not changes.steps and not changes.complete:
                return SyncReport(0, 0, 0, await self._run(len), 0 if self._is_embedded else await self._embed())
            plan = await self._run(lambda index: index.plan(changes))
            changed, unreadable = await self._take_in(plan, changes.cursor, known=cursor)
            notes, unembedded = await self._run(len), await self._embed()
        return SyncReport(changed, len(plan.removed), unreadable, notes, unembedded)

    async def problems(self) -> list[Problem]:
        """The files that can't be read as notes, or whose frontmatter can't, by path."""
        return await self._ask(lambda index: index.problems)

    async def follow(self, *, every_us: int, on_change: Callable[[SyncReport], None] | None = None) -> None:
        """Look at the source again and again, until cancelled."""
        while True:
            report = await self.sync()
            if on_change is not None and (report.read or report.removed or report.unreadable):
                on_change(report)
            await self._clock.sleep_us(every_us)

    # ---- inside

    async def _take_in(self, plan: Plan, cursor: str, *, known: str | None) -> tuple[int, int]:
        """Read and store in batches; the cursor moves with the last. How many notes say something else now, and how many files
        can't be read."""
        changed = unreadable = 0
        for start in range(0, len(plan.read), _BATCH):
            files = plan.read[start : start + _BATCH]
            contents = list(zip(files, await self._source.contents(files), strict=True))

            def store(index: NoteIndex, contents: list[tuple[NoteFile, bytes | str]] = contents) -> tuple[int, int]:
                read, unread = _parsed(contents)
                return index.apply(read=read, unread=unread), len(unread)

            done = await self._run(store)
            changed, unreadable = changed + done[0], unreadable + done[1]
        if (plan, cursor) != (NOTHING, known):  # otherwise nobody else has to look at the file again
            await self._run(lambda index: index.apply(touched=plan.touched, removed=plan.removed, cursor=cursor))
        if len(plan.read) > 10 * _BATCH:
            await self._run(lambda index: index.optimize())
        return changed, unreadable

    async def _embed(self) -> int:
        """Give the model what is new; how many notes are left when it does not answer."""
        if self._embeddings is None:
            return 0
        self._is_embedded = False
        model = self._embeddings.model()
        while waiting := await self._run(lambda index: index.unembedded(model, _EMBEDDED_AT_ONCE)):
            try:
                vectors = await self._embeddings.embed([text[:EMBEDDED_CHARACTERS] for _, _, text in waiting])
            except UnavailableError:
                return await self._run(lambda index: index.count_unembedded(model))
            # A text without direction gets a vector that is like nothing, so that it is not asked for again.
            kept = [
                (number, blob_hash, unit(vector) or array("f", bytes(4 * len(vector))))
                for (number, blob_hash, _), vector in zip(waiting, vectors, strict=True)
            ]
            await self._run(partial(NoteIndex.keep_vectors, model=model, vectors=kept))
        self._is_embedded = True
        return 0

    async def _meaning(self, query: str) -> Meaning | None:
        """The query's vector; None without a model, or when it does not answer."""
        if self._embeddings is None or not query.strip():
            return None
        try:
            (vector,) = await self._embeddings.embed([query[:MAX_QUERY_CHARACTERS]])
        except UnavailableError:
            return None
        found = unit(vector)
        return None if found is None else Meaning(self._embeddings.model(), found)

    async def _ask(self, question: Callable[[NoteIndex], T]) -> T:
        if self._looks_first:
            await self.sync()
        return await self._run(question)


def _parsed(contents: Sequence[tuple[NoteFile, bytes | str]]) -> tuple[list[ReadNote], list[Unread]]:
    read: list[ReadNote] = []
    unread: list[Unread] = []
    for file, content in contents:
        if isinstance(content, str):
            unread.append(Unread(file, content))
            continue
        try:
            read.append(ReadNote(file, sha256(content).hexdigest(), parse_note(file.path, content)))
        except UnreadableNoteError as error:
            unread.append(Unread(file, str(error)))
    return read, unread
