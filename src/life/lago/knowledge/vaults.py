"""The vaults of a journal: a session's notes are its owner's, the memory of a person is the session `vault:<subject>`, and no question
ever reaches into another one (lago.md §13).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH, check_id
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock
from life.aios.ports.embeddings import Embeddings
from life.aios.ports.journal import Journal
from life.lago.files.view import FileView
from life.lago.knowledge.event_search import EventSearch
from life.lago.knowledge.journal import JournalNotes
from life.lago.knowledge.vault import Vault

OWNER_PREFIX: Final = "vault:"
_KEPT: Final = 32
"""How many vaults stay open; the others open again when they are asked."""


class Vaults:
    """The vaults of a journal. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        clock: Clock,
        *,
        folder: Path | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        """`folder`: where the index files are, beside the journal; None keeps the indexes in memory (as owners whose blobs are
        sealed need: an index has their words in plain)."""
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._folder = folder
        self._embeddings = embeddings
        self._view = FileView(journal)
        self._open: OrderedDict[tuple[str, str], Vault] = OrderedDict()
        self._events: OrderedDict[str, EventSearch] = OrderedDict()

    async def vault(self, session_id: str, branch: str = MAIN_BRANCH) -> Vault:
        """The notes of a session's branch (by id or name). A session without events has none; NotFoundError for a branch that is
        not there. The caller may have it: that is decided before."""
        check_id(session_id, what="session id")
        if branch != MAIN_BRANCH:
            branch = (await self._view.branch(session_id, branch)).branch_id
        key = (session_id, branch)
        vault = self._open.get(key)
        if vault is None:
            source = JournalNotes(self._journal, self._blobs, session_id, branch, view=self._view)
            vault = self._open[key] = Vault(
                source, self._clock, index_file=self._file("notes", *key), embeddings=self._embeddings
            )
        self._open.move_to_end(key)
        while len(self._open) > _KEPT:
            _, oldest = self._open.popitem(last=False)
            await oldest.aclose()
        return vault

    async def events(self, session_id: str) -> EventSearch:
        """Search in what was said and done in one session."""
        check_id(session_id, what="session id")
        found = self._events.get(session_id)
        if found is None:
            file = self._file("events", session_id)
            found = self._events[session_id] = EventSearch(self._journal, session_id, index_file=file)
        self._events.move_to_end(session_id)
        while len(self._events) > _KEPT:
            _, oldest = self._events.popitem(last=False)
            await oldest.aclose()
        return found

    async def aclose(self) -> None:
        """Close every index."""
        for vault in self._open.values():
            await vault.aclose()
        for events in self._events.values():
            await events.aclose()
        self._open.clear()
        self._events.clear()

    def _file(self, what: str, *parts: str) -> Path | None:
        """Named by a hash: ids of sessions are no file names."""
        if self._folder is None:
            return None
        return self._folder / f"{what}-{sha256(chr(0).join(parts).encode()).hexdigest()[:40]}.db"


def owner_session(subject: str) -> str:
    """The session of a person's memory; InvalidInputError for a subject that can't be part of an id."""
    if not subject:
        raise InvalidInputError("The subject is empty.")
    return check_id(OWNER_PREFIX + subject, what="vault")
