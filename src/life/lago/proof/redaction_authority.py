"""Who may take content out of a journal: the signature in a redaction, and whether it counts.

The authorisation is a JWS by the agent's key, typ `life-redaction+jwt`, with claims {iss, type "lago.redaction", session, branch,
events_sha256, reason, iat}; `events_sha256` is over the JSON of the redaction's `events`, without blanks.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from life.aios.record import EventRecord, Stream
from life.crypto import jws
from life.crypto.errors import CryptoError
from life.lago.errors import RedactionRefusedError
from life.lago.journal.redacted import REDACTION, RedactedEvent, Redaction
from life.lago.proof.signing_keys import SigningKeys

TYP: Final = "life-redaction+jwt"


def redaction_claims(did: str, stream: Stream, events: tuple[RedactedEvent, ...], reason: str) -> dict[str, str | int]:
    """What the agent's key signs; `iat` comes to it."""
    return {
        "iss": did,
        "type": REDACTION,
        "session": stream.session_id,
        "branch": stream.branch_id,
        "events_sha256": sha256(msgspec.json.encode(events)).hexdigest(),
        "reason": reason,
    }


def authority_of(record: EventRecord, redaction: Redaction, *, keys: SigningKeys) -> str:
    """The DID that authorised a redaction; RedactionRefusedError when its signature does not hold, or does not count."""
    try:
        verified = jws.verify(redaction.authorisation, typ=TYP)
    except CryptoError as error:
        raise RedactionRefusedError(f"The redaction {record.event_id} is not signed: {error}.") from None
    signer, claims = verified.signer.did, verified.claims
    expected = redaction_claims(signer, record.stream, redaction.events, redaction.reason)
    signed_at_s = claims.get("iat")
    if {name: claims.get(name) for name in expected} != expected or not isinstance(signed_at_s, int):
        raise RedactionRefusedError(f"The redaction {record.event_id} says something else than what was signed.")
    objection = keys.objection(signer, signed_at_s * 1_000_000)
    if objection is not None:
        raise RedactionRefusedError(f"The redaction {record.event_id} does not count: {objection}.")
    return signer
