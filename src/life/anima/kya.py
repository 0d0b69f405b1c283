"""Know your agent: checking a counterparty before dealing with it (anima.md §6, AN-KYA-5).

    challenge = new_challenge(verifier_did, clock=clock, entropy=entropy)      # send it
    response  = await answer_challenge(custody, challenge, clock=clock)        # the other side
    report    = check_counterparty(document, revocations=…, challenge=challenge, response=response, …)

The order: document → its signature → the chain → revocations → attestations by issuers that the verifier trusts → the
capability that is asked for → proof that the key is there now. The first that fails ends the check. `report.event` is what the
verifier writes into its own journal; only then may its trust in this peer move (AN-BEL-3).

A response is a JWS of typ `anima-kya+jwt` with its own type, so that signing somebody's challenge never signs anything else. A
challenge is good for two minutes and for one response: the verifier forgets it after use.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.anima.attestations import Attestation
from life.anima.document import AgentIdentityDocument, CheckedDocument, check_document
from life.anima.errors import DocumentRefusedError, StatementRefusedError, UnsupportedOperationError
from life.anima.events import IdentityVerified
from life.anima.scopes import any_covers
from life.anima.statements import read_statement
from life.anima.well_known import ReadRevocations, read_revocations
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError

RESPONSE_TYP: Final = "anima-kya+jwt"
RESPONSE_TYPE: Final = "anima.kya.challenge"
NONCE_BYTES: Final = 32
CHALLENGE_LIFETIME_S: Final = 120
LEEWAY_S: Final = 30

Verdict = Literal["verified", "document", "publisher", "revoked", "inactive", "attestations", "capability", "challenge"]
"""`verified`, or the first step that failed."""


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """32 bytes that only the verifier can have known, in base64url, and who asks. Times are Unix seconds."""

    nonce: str
    verifier_did: str
    issued_at_s: int


class KyaReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a check went."""

    verdict: Verdict
    reason: str
    did: str | None = None
    agent_id: str | None = None
    name: str | None = None
    key_proven: bool = False
    """Whether the counterparty answered a challenge: without one, the document may have been shown by anybody."""
    trusted_attestations: tuple[Attestation, ...] = ()
    revocations_as_of_seq: int | None = None

    @property
    def is_verified(self) -> bool:
        """Whether every step held."""
        return self.verdict == "verified"

    def event(self, verifier_did: str) -> IdentityVerified:
        """What the verifier writes into its own journal. Trust needs the proof that the key is there."""
        return IdentityVerified(
            verifier_did=verifier_did,
            method="kya.challenge" if self.key_proven else "kya.document",
            verified=self.is_verified and self.key_proven,
            subject_did=self.did,
        )


def new_challenge(verifier_did: str, *, clock: Clock, entropy: Entropy) -> Challenge:
    """A challenge by `verifier_did`, which must be a DID (InvalidInputError)."""
    try:
        resolve_did(verifier_did)
    except CryptoError as error:
        raise InvalidInputError(f"The verifier is named by a DID: {error}.") from None
    nonce = encode_base64url(entropy.token_bytes(NONCE_BYTES))
    return Challenge(nonce=nonce, verifier_did=verifier_did, issued_at_s=clock.now_us() // 1_000_000)


async def answer_challenge(custody: Custody, challenge: Challenge, *, clock: Clock) -> str:
    """The proof that `custody` holds its key now. InvalidInputError for a challenge that can't be right or is over."""
    did = custody.capabilities().did
    if did is None:
        raise UnsupportedOperationError("This custody handle has no identity key, so it can't answer.")
    now_s = clock.now_us() // 1_000_000
    if not _is_nonce(challenge.nonce) or not _is_open(challenge, now_s):
        raise InvalidInputError("The challenge is malformed, or it is over.")
    try:
        resolve_did(challenge.verifier_did)
    except CryptoError as error:
        raise InvalidInputError(f"The verifier is named by a DID: {error}.") from None
    return await custody.sign_token(
        {
            "iss": did,
            "type": RESPONSE_TYPE,
            "aud": challenge.verifier_did,
            "nonce": challenge.nonce,
            "challenged_at": challenge.issued_at_s,
            "iat": now_s,
        },
        typ=RESPONSE_TYP,
    )


def check_response(response: str, challenge: Challenge, *, did: str, now_s: int) -> None:
    """StatementRefusedError unless `did`'s key answered this challenge, in time."""
    expected = {
        "aud": challenge.verifier_did,
        "nonce": challenge.nonce,
        "challenged_at": challenge.issued_at_s,
    }
    statement = read_statement(response, kind=RESPONSE_TYPE, expected=expected, typ=RESPONSE_TYP)
    if statement.issuer != did:
        raise StatementRefusedError("Another key than that of the document answered the challenge.")
    if not _is_open(challenge, now_s):
        raise StatementRefusedError("The challenge was answered too late.")


def check_counterparty(
    document: bytes,
    *,
    revocations: bytes | None,
    publishers: Collection[str],
    clock: Clock,
    trusted_issuers: Collection[str] = (),
    required_claims: Collection[str] = (),
    capability: str | None = None,
    challenge: Challenge | None = None,
    response: str | None = None,
    operators: tuple[str, ...] = (),
) -> KyaReport:
    """Check a counterparty from what it and its host publish.

    `publishers` are the DIDs whose revocations answer is believed; the identity's own may be among them, but then a thief of its
    key can hide that it was revoked. `trusted_issuers` are DIDs whose attestations count for `required_claims`.
    """
    now_s = clock.now_us() // 1_000_000
    try:
        checked = check_document(document, now_s=now_s)
    except DocumentRefusedError as error:
        return KyaReport(verdict="document", reason=error.message)
    about = checked.document
    try:
        told = _revocations(checked, revocations, publishers, operators, now_s)
    except DocumentRefusedError as error:
        return _report(about, "publisher", error.message)
    if told.answer.seq is not None or told.answer.revocations:
        return _report(about, "revoked", "A key of the identity is revoked.", told)
    if about.lifecycle != "active":
        return _report(about, "inactive", f"The identity is {about.lifecycle}.", told)
    trusted = tuple(
        attestation
        for attestation in about.attestations
        if attestation.verified
        and attestation.issuer in trusted_issuers
        and attestation.expires_at_s is not None
        and now_s < attestation.expires_at_s
    )
    missing = set(required_claims) - {attestation.claim for attestation in trusted}
    if missing:
        reason = f"Nobody whom the verifier trusts attests {', '.join(sorted(missing))}."
        return _report(about, "attestations", reason, told)
    if capability is not None and not any_covers(about.capabilities, capability):
        return _report(about, "capability", "The identity does not have the capability.", told)
    if challenge is not None:
        try:
            check_response(response or "", challenge, did=about.did, now_s=now_s)
        except StatementRefusedError as error:
            return _report(about, "challenge", error.message, told)
    report = _report(about, "verified", "Every step held.", told)
    return msgspec.structs.replace(report, key_proven=challenge is not None, trusted_attestations=trusted)


def _revocations(
    checked: CheckedDocument,
    content: bytes | None,
    publishers: Collection[str],
    operators: tuple[str, ...],
    now_s: int,
) -> ReadRevocations:
    """What is told of revocations; nobody telling anything is a reason to stop."""
    if content is None:
        raise DocumentRefusedError("Nobody was asked whether the identity is revoked.")
    document = checked.document
    dids = (document.did, *(link.old_did for link in document.rotation_chain))
    controller = () if document.controller_did is None else (document.controller_did,)
    told = read_revocations(content, did=document.did, authorities=(*dids, *controller, *operators), now_s=now_s)
    if told.publisher not in publishers:
        raise DocumentRefusedError("The revocations are by a publisher that the verifier does not believe.")
    if told.answer.as_of_seq < document.published_at_seq:
        raise DocumentRefusedError("The revocations are older than the document.")
    return _ending(told, document.did)


def _ending(told: ReadRevocations, did: str) -> ReadRevocations:
    """Only what ends the identity: a revocation of a key that was replaced before leaves its successors valid (AN-REV-2)."""
    ending = tuple(
        revocation
        for revocation in told.answer.revocations
        if revocation.did == did
        or (revocation.compromised_since_seq is not None and revocation.authority != revocation.did)
    )
    return told._replace(answer=msgspec.structs.replace(told.answer, revocations=ending))


def _report(
    document: AgentIdentityDocument, verdict: Verdict, reason: str, told: ReadRevocations | None = None
) -> KyaReport:
    return KyaReport(
        verdict=verdict,
        reason=reason,
        did=document.did,
        agent_id=document.agent_id,
        name=document.name,
        revocations_as_of_seq=None if told is None else told.answer.as_of_seq,
    )


def _is_open(challenge: Challenge, now_s: int) -> bool:
    return challenge.issued_at_s - LEEWAY_S <= now_s <= challenge.issued_at_s + CHALLENGE_LIFETIME_S


def _is_nonce(text: str) -> bool:
    try:
        return len(decode_base64url(text)) == NONCE_BYTES
    except CryptoError:
        return False
