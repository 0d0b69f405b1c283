"""What a remote caller and its oracle sign to each other (anima.md §13.7; AN-GW-5, AN-REM-1, AN-REM-2).

    permit    typ anima-custody-permit+jwt, by the oracle     who may use which agent for which operations, until when
    request   typ anima-custody-request+jwt, by the caller    {permit, body (both SHA-256), path, iat, jti}
    answer    typ anima-custody-answer+jwt, by the oracle     {request, body (both SHA-256), status}

A permit that was copied is worth nothing without the caller's key; a request counts once and for half a minute; an answer
belongs to one request. So neither side depends on what carries the bytes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.soma.protocol import OracleOperation
from life.anima.errors import CapExpiredError, CustodyAuthFailedError, CustodyInputError, CustodyProtocolError
from life.crypto import jws
from life.crypto.base64url import encode_base64url
from life.crypto.did import Curve, DidKey, encode_did, resolve_did
from life.crypto.errors import CryptoError
from life.crypto.p256 import P256PrivateKey

PERMIT_TYP: Final = "anima-custody-permit+jwt"
REQUEST_TYP: Final = "anima-custody-request+jwt"
ANSWER_TYP: Final = "anima-custody-answer+jwt"
SIGN_PATH: Final = "/v1/custody"
RENEWAL_PATH: Final = "/v1/custody/renewals"
PROOF_HEADER: Final = "x-anima-proof"
PERMIT_SCHEME: Final = "Anima-Permit"
REQUEST_LIFETIME_S: Final = 30
MAX_PERMIT_S: Final = 90 * 86_400
_MAX_SEEN: Final = 200_000


class PermitClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What an oracle lets a key do. Times are Unix seconds."""

    iss: str
    sub: str
    agent: str
    operations: tuple[OracleOperation, ...]
    iat: int
    exp: int
    jti: str


class RequestClaims(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a caller."""

    permit: str
    body: str
    path: str
    iat: int
    jti: str


class AnswerClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The oracle's answer to one request."""

    request: str
    body: str
    status: int


def issue_permit(
    oracle: InProcessAnima,
    *,
    caller_did: str,
    agent: str,
    operations: tuple[OracleOperation, ...],
    lifetime_s: int,
    clock: Clock,
    entropy: Entropy,
) -> str:
    """A permit for the key `caller_did`. CustodyInputError for what can't be meant."""
    try:
        if resolve_did(caller_did).curve is not Curve.P256:
            raise CustodyInputError("A remote caller has a P-256 key.")
    except CryptoError as error:
        raise CustodyInputError(f"The caller's DID is malformed: {error}.") from None
    if not 0 < lifetime_s <= MAX_PERMIT_S or not operations:
        raise CustodyInputError("A permit names operations and lasts for a second to 90 days.")
    now_s = clock.now_us() // 1_000_000
    claims = PermitClaims(
        iss=oracle.capabilities().did or "",
        sub=caller_did,
        agent=agent,
        operations=operations,
        iat=now_s,
        exp=now_s + lifetime_s,
        jti=new_id(clock, entropy),
    )
    return oracle.sign_claims(msgspec.to_builtins(claims), typ=PERMIT_TYP)


def read_permit(permit: str, *, oracle_did: str) -> PermitClaims:
    """The claims of a permit of this oracle; CustodyAuthFailedError when it is none. Its time is judged by `check_time`."""
    try:
        verified = jws.verify(permit, typ=PERMIT_TYP)
        claims = msgspec.convert(verified.claims, PermitClaims)
    except (CryptoError, msgspec.ValidationError):
        raise CustodyAuthFailedError("The permit to use the remote key is not valid.") from None
    if verified.signer.did != oracle_did or claims.iss != oracle_did:
        raise CustodyAuthFailedError("The permit is not one of this oracle.")
    if not 0 < claims.exp - claims.iat <= MAX_PERMIT_S:
        raise CustodyAuthFailedError("The permit lasts longer than any may.")
    return claims


def check_time(claims: PermitClaims, now_s: int) -> None:
    """CapExpiredError once the permit has run out; CustodyAuthFailedError when it begins in the future."""
    if claims.iat > now_s + REQUEST_LIFETIME_S:
        raise CustodyAuthFailedError("The permit is not valid yet; compare the clocks.")
    if now_s >= claims.exp:
        raise CapExpiredError(
            "The permit to use the remote key has run out.",
            next_step="Ask whoever runs the oracle for a new one: somad grant",
        )


class CallerKey:
    """The key of a remote caller. It signs requests, and shows only its DID."""

    __slots__ = ("_key", "did")

    def __init__(self, key: P256PrivateKey) -> None:
        self._key = key
        self.did: DidKey = resolve_did(encode_did(Curve.P256, key.public_key))

    def prove(self, *, permit: str, body: bytes, path: str, clock: Clock, entropy: Entropy) -> str:
        """The proof that goes with a request."""
        claims = RequestClaims(
            permit=fingerprint(permit.encode()),
            body=fingerprint(body),
            path=path,
            iat=clock.now_us() // 1_000_000,
            jti=new_id(clock, entropy),
        )
        return jws.sign(claims, key=self.did, typ=REQUEST_TYP, signer=self._key.sign)

    def __repr__(self) -> str:
        return f"<CallerKey {self.did.did}>"


class RequestJudge:
    """Judges requests at the oracle: whose they are, that they are fresh, and that none counts twice."""

    def __init__(self, clock: Clock) -> None:
        """What was signed before this moment is refused: it may have been answered before a restart."""
        self._clock = clock
        self._not_before_s = clock.now_us() // 1_000_000
        self._seen: OrderedDict[str, int] = OrderedDict()

    def check(self, proof: str, *, caller_did: str, permit: str, body: bytes, path: str) -> None:
        """CustodyAuthFailedError unless the caller signed this very request just now, and for the first time."""
        try:
            verified = jws.verify(proof, typ=REQUEST_TYP)
            claims = msgspec.convert(verified.claims, RequestClaims)
        except (CryptoError, msgspec.ValidationError):
            raise CustodyAuthFailedError("The request's proof is not valid.") from None
        if verified.signer.did != caller_did:
            raise CustodyAuthFailedError("The request is not signed by the permit's owner.")
        if (claims.permit, claims.body, claims.path) != (fingerprint(permit.encode()), fingerprint(body), path):
            raise CustodyAuthFailedError("The request's proof is one of another request.")
        now_s = self._clock.now_us() // 1_000_000
        if abs(now_s - claims.iat) > REQUEST_LIFETIME_S or claims.iat < self._not_before_s:
            raise CustodyAuthFailedError(
                "The request is too old, or the clocks differ.", next_step="Compare the clocks."
            )
        while self._seen and next(iter(self._seen.values())) < now_s:
            self._seen.popitem(last=False)
        key = f"{caller_did} {claims.jti}"
        if key in self._seen:
            raise CustodyAuthFailedError("The request was sent before.")
        if len(self._seen) >= _MAX_SEEN:
            raise CustodyAuthFailedError("Too many requests at once to tell old from new.")
        self._seen[key] = now_s + 2 * REQUEST_LIFETIME_S


def sign_answer(oracle: InProcessAnima, *, request_proof: str, body: bytes, status: int) -> str:
    """The proof that goes with an answer."""
    claims = AnswerClaims(request=fingerprint(request_proof.encode()), body=fingerprint(body), status=status)
    return oracle.sign_claims(msgspec.to_builtins(claims), typ=ANSWER_TYP)


def check_answer(proof: str, *, oracle_did: str, request_proof: str, body: bytes, status: int) -> None:
    """CustodyProtocolError unless the oracle gave this answer to this request."""
    try:
        verified = jws.verify(proof, typ=ANSWER_TYP)
        claims = msgspec.convert(verified.claims, AnswerClaims)
    except (CryptoError, msgspec.ValidationError):
        raise CustodyProtocolError("The answer is not signed by the oracle.") from None
    expected = AnswerClaims(request=fingerprint(request_proof.encode()), body=fingerprint(body), status=status)
    if verified.signer.did != oracle_did or claims != expected:
        raise CustodyProtocolError("The answer is not the oracle's answer to this request.")


def fingerprint(content: bytes) -> str:
    """SHA-256 in base64url."""
    return encode_base64url(hashlib.sha256(content).digest())
