"""Signed answers: JSON that carries its publisher's signature, whatever its length (AN-ROT-8, AN-KYA-2).

    {"body": {…}, "proof": "<JWS>"}

The proof is a compact JWS with claims {iss, type, body_sha256, iat, exp}; `body_sha256` is the hash of the body's RFC 8785 form. A
token has at most 8 KiB and a chain of 256 rotations has far more, so the body stands beside the signature, not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.anima.errors import DocumentRefusedError, StatementRefusedError, UnsupportedOperationError
from life.anima.statements import JWT, read_statement, time_claim
from life.crypto.canonical import canonical_json
from life.crypto.errors import CryptoError, InvalidEncodingError
from life.crypto.strict_json import decode_json_object

MAX_ANSWER_BYTES: Final = 1 << 20
LIFETIME_S: Final = 300
LEEWAY_S: Final = 30


class SignedAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body and the proof of who published it, and when."""

    body: JsonObject
    proof: str


class ReadAnswer(NamedTuple):
    """A body whose proof holds."""

    signer: str
    issued_at_s: int
    body: JsonObject


async def sign_answer(
    custody: Custody, body: JsonObject, *, kind: str, clock: Clock, lifetime_s: int = LIFETIME_S, typ: str = JWT
) -> SignedAnswer:
    """`body` with a proof by the identity of `custody`, good for `lifetime_s`."""
    issuer = custody.capabilities().did
    if issuer is None:
        raise UnsupportedOperationError("This custody handle has no identity key, so it can't sign answers.")
    now_s = clock.now_us() // 1_000_000
    proof = await custody.sign_token(
        {"iss": issuer, "type": kind, "body_sha256": _hash_of(body), "iat": now_s, "exp": now_s + lifetime_s}, typ=typ
    )
    return SignedAnswer(body=dict(body), proof=proof)


def read_answer(content: bytes, *, kind: str, now_s: int, typ: str = JWT) -> ReadAnswer:
    """The body in `content`, when its proof holds now; DocumentRefusedError otherwise. Who signed is the caller's to judge."""
    if len(content) > MAX_ANSWER_BYTES:
        raise DocumentRefusedError("The answer is far too long.")
    try:
        answer = msgspec.convert(decode_json_object(content), SignedAnswer)
        expected = {"body_sha256": _hash_of(answer.body)}
        statement = read_statement(answer.proof, kind=kind, expected=expected, typ=typ)
        expires_at_s = time_claim(statement.claims, "exp")
    except (InvalidEncodingError, msgspec.ValidationError) as error:
        raise DocumentRefusedError(f"The answer can't be read: {error}.") from None
    except (StatementRefusedError, CryptoError) as error:
        raise DocumentRefusedError(f"The answer is not signed as it should be: {error}") from None
    if not statement.issued_at_s - LEEWAY_S <= now_s < expires_at_s + LEEWAY_S:
        raise DocumentRefusedError("The answer is too old, or from the future.")
    return ReadAnswer(statement.issuer, statement.issued_at_s, answer.body)


def _hash_of(body: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical_json(dict(body))).hexdigest()
