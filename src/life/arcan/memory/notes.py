"""A memory as a markdown note, so that the knowledge index finds it, and the limits of what is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.record import format_timestamp
from life.aios.state import MemoryScope
from life.arcan.memory.errors import MemoryRefusedError
from life.arcan.unicode import whole_characters

MAX_ENTRIES: Final = 20
MAX_ENTRY_CHARACTERS: Final = 8_000
MAX_TAGS: Final = 16
FOLDER: Final = "/memory/"
DUPLICATE_OVERLAP: Final = 0.8
"""Memories whose words overlap by more (Jaccard) are one (arcan.md §6.1)."""

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORD: Final = re.compile(r"\w+")
_SECRET: Final = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abp]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|[sr]k_live_[A-Za-z0-9]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_FRONT: Final = re.compile(r"\A---\n.*?\n---\n\n?", re.DOTALL)


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to remember. `[[Name]]` in it links to another note."""

    content: str
    tags: tuple[str, ...] = ()


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where it comes from: the events of a session, by sequence (aios.md §12)."""

    session_id: str = ""
    branch_id: str = ""
    event_start: int = 0
    event_end: int = 0


class ProposedEntries(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a proposal: the blob that `MemoryProposed.entries_ref` names."""

    entries: tuple[MemoryEntry, ...]
    provenance: Provenance = Provenance()


def check_entries(entries: Sequence[MemoryEntry]) -> tuple[MemoryEntry, ...]:
    """The entries, trimmed; MemoryRefusedError when there are none, too many or too long ones, or a secret in one."""
    checked = []
    for entry in entries:
        content = whole_characters(entry.content).replace("\x00", "").strip()
        if not content:
            continue
        if len(content) > MAX_ENTRY_CHARACTERS:
            raise MemoryRefusedError(
                f"A memory has at most {MAX_ENTRY_CHARACTERS} characters; write down what matters of it."
            )
        if holds_secret(content):
            raise MemoryRefusedError("This looks like a secret (a key or token). Secrets are not remembered.")
        tags = tuple(dict.fromkeys(tag.strip()[:40] for tag in entry.tags[:MAX_TAGS] if tag.strip()))
        checked.append(MemoryEntry(content=content, tags=tags))
    if not checked:
        raise MemoryRefusedError("There is nothing to remember in this.")
    if len(checked) > MAX_ENTRIES:
        raise MemoryRefusedError(f"At most {MAX_ENTRIES} entries are proposed at once.")
    return tuple(checked)


def check_key(key: str) -> str:
    """`key`, when it is 1 to 64 ASCII letters, digits, `-` and `_` (praxis.md §2.3)."""
    if _KEY.fullmatch(key) is None:
        raise MemoryRefusedError("A key is 1 to 64 ASCII letters, digits, '-' and '_'.")
    return key


def note_of(
    proposed: ProposedEntries, *, scope: MemoryScope, memory_id: str, proposal_id: str, created_us: int
) -> bytes:
    """The note of a memory. Values of the frontmatter are JSON, which is YAML that nobody's words can leave."""
    tags = list(dict.fromkeys(tag for entry in proposed.entries for tag in entry.tags))
    source = proposed.provenance
    fields: dict[str, object] = {
        "memory": memory_id,
        "scope": scope,
        "created": format_timestamp(created_us),
        "proposal": proposal_id,
        "tags": tags,
    }
    if source.session_id:
        fields["source"] = f"{source.session_id}/{source.branch_id or 'main'} {source.event_start}-{source.event_end}"
    front = "".join(f"{name}: {msgspec.json.encode(value).decode()}\n" for name, value in fields.items())
    body = "\n\n".join(entry.content for entry in proposed.entries)
    return f"---\n{front}---\n\n{body}\n".encode()


def body_of(note: bytes) -> str:
    """The text of a note without its frontmatter."""
    return _FRONT.sub("", note.decode("utf-8", "replace"), count=1).strip()


def words_of(text: str) -> frozenset[str]:
    """The words that overlap is counted by."""
    return frozenset(_WORD.findall(text.casefold()))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard: shared words / all words; 0 where there are none."""
    union = len(one | other)
    return len(one & other) / union if union else 0.0


def holds_secret(text: str) -> bool:
    """Whether a known form of key or token stands in it."""
    return _SECRET.search(text) is not None
