"""What stands in the place of an event whose content was taken out, and why the chain still holds (docs/proof.md).

The row of a redacted event keeps its id, time, origin and digest. Its kind becomes `Custom` and its payload this stub, to the byte::

    {"type":"Custom","event_type":"lago.redacted","data":{"kind":<JSON string>,"redaction":<JSON string>}}

`kind` is the name that the kind had, `redaction` the id of the event that says who took it out and why. That event stands later in
the same stream, is a `Custom` event `lago.redaction`, and names for each event that it redacts

    sequence, event_id
    digest        the event's digest, which was computed over the content; the chain goes on from it
    stub_digest   what the digest's formula (life.lago.journal.chain) gives for the row with the stub in it

So a row whose bytes don't give its digest is in order if, and only if, its payload is a stub, the event that the stub names is
there, and that event names this row with the digest stored and the digest found. Nobody who only changes rows can make such an
event: it stands in the chain, and its authorisation is signed (life.lago.proof.redaction).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

REDACTED: Final = "lago.redacted"
REDACTION: Final = "lago.redaction"

_PREFIX: Final = b'{"type":"Custom","event_type":"lago.redacted",'
_REDACTION_PREFIX: Final = b'{"type":"Custom","event_type":"lago.redaction",'


class RedactedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a redaction took the content of. Digests are 64 hex digits."""

    sequence: int
    event_id: str
    digest: str
    stub_digest: str


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """Data of `lago.redaction`, in the stream of the events it names."""

    events: tuple[RedactedEvent, ...]
    reason: str
    authorisation: str
    """A JWS by the agent's key over all of it (life.lago.proof.redaction)."""


class Stub(msgspec.Struct, frozen=True, kw_only=True):
    """Data of `lago.redacted`."""

    kind: str
    redaction: str


class _StubPayload(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    event_type: str
    data: Stub


class _RedactionPayload(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    event_type: str
    data: Redaction


class Claimed(NamedTuple):
    """A row with a stub whose digest is not that of its bytes: in order only if its redaction says both digests."""

    session_id: str
    branch_id: str
    sequence: int
    redaction: str
    digest: str
    stub_digest: str


_stub: Final = msgspec.json.Decoder(_StubPayload)
_redaction: Final = msgspec.json.Decoder(_RedactionPayload)


def stub_payload(*, kind: str, redaction: str) -> bytes:
    """The payload that replaces the content of an event."""
    return msgspec.json.encode(
        _StubPayload(type="Custom", event_type=REDACTED, data=Stub(kind=kind, redaction=redaction))
    )


def read_stub(payload: bytes) -> Stub | None:
    """The stub, when these are the very bytes of one."""
    if not payload.startswith(_PREFIX):
        return None
    try:
        data = _stub.decode(payload).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return data if stub_payload(kind=data.kind, redaction=data.redaction) == payload else None


def read_redaction(payload: bytes) -> Redaction | None:
    """The data of a `lago.redaction` event, when the payload is one."""
    if not payload.startswith(_REDACTION_PREFIX):
        return None
    try:
        return _redaction.decode(payload).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_covered(claim: Claimed, redaction: Redaction | None) -> bool:
    """Whether the redaction that a stub names says the same of it."""
    return redaction is not None and any(
        (one.sequence, one.digest, one.stub_digest) == (claim.sequence, claim.digest, claim.stub_digest)
        for one in redaction.events
    )
