"""Results that are too long for the model, kept whole.

A stored result is a blob: one line that names the session, then the JSON. Its hash stands in the call's outcome, and so
in the journal, which keeps the blob from being collected. Blobs are shared by everybody, so a hash alone must not be
enough to read one: the line says whose result it is, and a blob that does not begin with the caller's own session is, for
that caller, not there.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from life.aios.errors import LifeError
from life.aios.ports.blobs import BlobInfo
from life.praxis.errors import ResultNotFoundError

MAX_STORED_BYTES: Final = 64 * 1024 * 1024

_HEADER: Final = "life tool result of session "

_log = logging.getLogger("life.praxis")


class ResultBlobs(Protocol):
    """What of a blob store results need (`life.aios.ports.blobs.Blobs` has it)."""

    async def put(self, content: bytes) -> BlobInfo:
        """See `Blobs.put`."""
        ...

    async def get(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        """See `Blobs.get`."""
        ...


async def store_result(blobs: ResultBlobs, session_id: str, encoded: bytes) -> str | None:
    """The hash under which the result can be read; None when it can't be kept (too long, no room)."""
    if len(encoded) > MAX_STORED_BYTES:
        return None
    try:
        return (await blobs.put(_header(session_id) + encoded)).hash
    except (LifeError, OSError) as failure:
        _log.warning("a long result could not be kept: %s", type(failure).__name__)
        return None


async def load_result(blobs: ResultBlobs, session_id: str, result: str) -> bytes:
    """The JSON of a stored result. ResultNotFoundError: no such blob, or not a result of this session."""
    header = _header(session_id)
    try:
        content = await blobs.get(result, max_bytes=MAX_STORED_BYTES + len(header))
    except LifeError:
        content = b""
    if not content.startswith(header):
        raise ResultNotFoundError("No result of this session is stored under this hash.")
    return content[len(header) :]


def _header(session_id: str) -> bytes:
    return f"{_HEADER}{session_id}\n".encode()
