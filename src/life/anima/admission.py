"""Who may write into an identity's stream from outside (AN-EV-3).

A host writes its own agents' identity events through this package. What other programs bring to a daemon that keeps a journal is
different: their events never go into a stream of an identity, except those that carry their own proof, and these only when the
proof holds at the place where they would stand. Everything else about identities is refused at the door, not only by
readers.
"""

from __future__ import annotations

from life.aios.events import Custom, Kind
from life.aios.record import Stream
from life.anima.errors import StatementRefusedError
from life.anima.events import (
    CapabilityTokenRevoked,
    IdentityRevoked,
    IdentityRotated,
    SessionsRevoked,
    from_kind,
)
from life.anima.genesis import STREAM_PREFIX
from life.anima.state import AnimaState

_PREFIX = "anima."


def concerns_identities(kind: Kind, stream: Stream) -> bool:
    """Whether an event needs `check_outside_event` before it is stored."""
    return stream.session_id.startswith(STREAM_PREFIX) or (
        isinstance(kind, Custom) and kind.event_type.startswith(_PREFIX)
    )


def check_outside_event(kind: Kind, stream: Stream, state: AnimaState | None, *, seq: int) -> None:
    """StatementRefusedError unless another program may store this event at `seq` of `stream`.

    `state` is the stream's folded state (`IdentityRegistry.state`), None when there is none. RotationRefusedError for a rotation
    whose proofs do not hold.
    """
    if not concerns_identities(kind, stream):
        return
    keys = None if state is None else state.keys
    identity = None if state is None else state.identity
    if keys is None or identity is None or stream != Stream(STREAM_PREFIX + identity.agent_id):
        raise StatementRefusedError("Events of an identity are written by its own host, into its own stream.")
    match from_kind(kind):
        case IdentityRotated() as event:
            keys.with_rotation(event, seq=seq)
        case IdentityRevoked() as event:
            keys.with_revocation(event, seq=seq)
        case SessionsRevoked() as event:
            keys.with_sessions_revoked(event)
        case CapabilityTokenRevoked() as event:
            keys.with_capability_revoked(event)
        case _:
            raise StatementRefusedError("Only events that carry their own proof are taken from outside.")
