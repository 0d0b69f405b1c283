"""What is journaled about owners, as Custom events. The owner of a session stands in its SessionCreated, under `config.owner`."""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.events import Kind, SessionCreated
from life.aios.record import Stream

BLOB_STORED: Final = "lago.blob_stored"
CALLS_COUNTED: Final = "lago.calls_counted"
BLOBS_STREAM: Final = Stream("lago:blobs")
CALLS_STREAM: Final = Stream("lago:calls")


class BlobStored(msgspec.Struct, frozen=True, kw_only=True):
    """An owner put this blob. Its event id is derived from both, so it stands in the journal once, and is the proof that the owner
    may read the blob."""

    owner: str
    blob: str
    size_bytes: int


class CallsCounted(msgspec.Struct, frozen=True, kw_only=True):
    """An owner called so often since the last such event. `hour` counts from the epoch."""

    owner: str
    hour: int
    calls: int


def owner_of(kind: Kind) -> str | None:
    """The owner that a session's first event names; None when it names none."""
    if isinstance(kind, SessionCreated) and isinstance(kind.config, dict):
        owner = kind.config.get("owner")
        if isinstance(owner, str) and owner:
            return owner
    return None
