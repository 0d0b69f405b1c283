"""Knowledge: notes that can be found again, each answer with where it comes from (lago.md §13).

One object is one vault: the notes of one owner on one branch. Who may have it is the host's decision, made before.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from life.aios.json import JsonObject


class NoteHit(msgspec.Struct, frozen=True, kw_only=True):
    """One result of a search."""

    path: str
    name: str
    frontmatter: JsonObject | None
    excerpts: tuple[str, ...]
    """Up to five lines of the body that hold a word of the query."""
    links: tuple[str, ...]
    score: float
    sequence: int
    """Of the event that gave the note its content; 0 when it comes from a folder."""
    blob_hash: str
    """SHA-256 of the content, 64 hex digits."""


class NoteView(msgspec.Struct, frozen=True, kw_only=True):
    """One note."""

    path: str
    name: str
    frontmatter: JsonObject | None
    body: str
    links: tuple[str, ...]
    backlinks: tuple[str, ...]
    """Paths of the notes that link here."""
    sequence: int
    blob_hash: str
    updated_at_us: int


class LinkedNote(msgspec.Struct, frozen=True, kw_only=True):
    """A note that links lead to."""

    path: str
    name: str
    depth: int
    """0 for where the walk began."""
    links: tuple[str, ...]


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a note, with the source to check it by."""

    path: str
    name: str
    text: str
    tokens: int
    """With its heading, as counted by the budget."""
    score: float
    sequence: int
    blob_hash: str


class AssembledContext(msgspec.Struct, frozen=True, kw_only=True):
    """Excerpts for a model, within a budget."""

    text: str
    """Every excerpt under a heading that cites path, sequence and hash."""
    excerpts: tuple[Excerpt, ...]
    tokens: int
    left_out: int
    """How many relevant notes did not fit."""


class Knowledge(Protocol):
    """One vault. Tokens are estimated at four characters each."""

    async def search(self, query: str, *, limit: int = 10, recent: bool = False) -> list[NoteHit]:
        """Notes by relevance, best first, equal ones by path. `recent` adds up to 0.15 to what was changed lately."""
        ...

    async def note(self, reference: str) -> NoteView:
        """The note of this name or path (`[[Name]]`, `folder/name`, `/folder/name.md`); NotFoundError."""
        ...

    async def traverse(self, target: str, *, depth: int = 1, max_notes: int = 15) -> list[LinkedNote]:
        """A note and what its links lead to, breadth first, the note itself first; NotFoundError."""
        ...

    async def assemble(self, query: str, *, budget_tokens: int) -> AssembledContext:
        """The most relevant passages that fit the budget, each with its citation."""
        ...
