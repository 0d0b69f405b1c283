"""Giving a redacted event that was imported the digest it had where it comes from.

An export carries a redacted event as its stub and its digest, which was computed over content that nobody has any more
(life.lago.journal.redacted). Appending the stub gives another digest, so the importer puts the true one in its place before the next
event of the branch follows.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from life.aios.errors import ConflictError, NotFoundError
from life.lago.journal import schema
from life.lago.journal.acknowledged import AcknowledgedMark
from life.lago.journal.chain import compact_id
from life.lago.journal.redacted import read_stub

_EVENT = "SELECT pos, stream, seq, body FROM event WHERE id = ?"
_HEAD = "SELECT seq FROM stream WHERE no = ?"


def adopt_digest(path: Path, event_id: str, digest: bytes) -> None:
    """Put `digest` in the place of the stub's own; durable on return, and safe to repeat.

    NotFoundError when there is no such event, ConflictError when it is no stub or not the last of its branch.
    """
    try:
        connection = schema.connect(path, purpose="write")
        try:
            mark = AcknowledgedMark.open(path)
            try:
                with connection:
                    position = _adopt(connection, mark, event_id, digest)
                mark.note(position, digest)
            finally:
                mark.close()
        finally:
            connection.close()
    except (apsw.Error, OSError) as error:
        raise schema.explain(error, path) from None


def _adopt(connection: apsw.Connection, mark: AcknowledgedMark, event_id: str, digest: bytes) -> int:
    row = schema.fetch_one(connection, _EVENT, (compact_id(event_id),))
    if row is None:
        raise NotFoundError(f"There is no event {event_id} in this journal.")
    position, stream, sequence, body = row
    (head,) = schema.fetch_one(connection, _HEAD, (stream,)) or (0,)
    if read_stub(body) is None or head != sequence:
        raise ConflictError(f"Event {event_id} is not a redacted one at the end of its branch.")
    mark.forget(position)
    connection.execute("UPDATE event SET digest = ? WHERE pos = ?", (digest, position))
    connection.execute("UPDATE stream SET digest = ? WHERE no = ?", (digest, stream))
    return int(position)
