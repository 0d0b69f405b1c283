"""The three answers that others check an identity with (anima.md §15.4, AN-ROT-8).

    /.well-known/anima/identity?did=     {"body": AgentIdentityDocument, "proof"}            typ anima-id+jwt, by the identity itself
    /.well-known/anima/rotations?did=    {"body": {did, as_of_seq, events [link …]}, "proof"}          by the publisher
    /.well-known/anima/revocations?did=  {"body": {did, as_of_seq, seq, revocations […]}, "proof"}     by the publisher

`seq` is the sequence of the first revocation of that DID, or null. Answers are good for five minutes. Links and revocations carry
their own proofs, so a publisher can leave one out but can't invent one; `as_of_seq` lets a reader notice that it was told less
than before.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from life.anima.chain import RotationLink, verify_chain
from life.anima.errors import DocumentRefusedError, RotationRefusedError, StatementRefusedError
from life.anima.registry import Standing
from life.anima.revocation import Revocation, read_revocation
from life.anima.signed_answers import read_answer

ROTATIONS_TYPE: Final = "anima.rotations_answer"
REVOCATIONS_TYPE: Final = "anima.revocations_answer"


class RotationsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole chain that a DID belongs to, oldest link first."""

    did: str
    as_of_seq: int
    events: tuple[RotationLink, ...] = ()


class RevocationsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The revocations of the chain that a DID belongs to; `seq` is that of this very DID, or null."""

    did: str
    as_of_seq: int
    seq: int | None = None
    revocations: tuple[Revocation, ...] = ()
    sessions_not_before_s: int = 0


class ReadRevocations(NamedTuple):
    """A revocations answer whose every revocation was proven."""

    publisher: str
    answer: RevocationsAnswer


def rotations_of(standing: Standing) -> RotationsAnswer:
    """The answer for a DID."""
    return RotationsAnswer(did=standing.did, as_of_seq=standing.as_of_seq, events=standing.keys.links)


def revocations_of(standing: Standing) -> RevocationsAnswer:
    """The answer for a DID."""
    revocation = standing.keys.revocation_of(standing.did)
    return RevocationsAnswer(
        did=standing.did,
        as_of_seq=standing.as_of_seq,
        seq=None if revocation is None else revocation.seq,
        revocations=standing.keys.revocations,
        sessions_not_before_s=standing.sessions_not_before_s,
    )


def read_rotations(content: bytes, *, did: str, now_s: int) -> RotationsAnswer:
    """A rotations answer about `did` whose every link was verified; DocumentRefusedError otherwise."""
    signed = read_answer(content, kind=ROTATIONS_TYPE, now_s=now_s)
    try:
        answer = msgspec.convert(signed.body, RotationsAnswer)
        root = answer.events[0].old_did if answer.events else did
        verify_chain(answer.events, start=root)
    except msgspec.ValidationError as error:
        raise DocumentRefusedError(f"The rotations can't be read: {error}.") from None
    except RotationRefusedError as error:
        raise DocumentRefusedError(f"The rotations do not hold: {error.message}") from None
    if answer.did != did or did not in (root, *(link.new_did for link in answer.events)):
        raise DocumentRefusedError("The rotations are those of another DID.")
    return answer


def read_revocations(content: bytes, *, did: str, authorities: tuple[str, ...], now_s: int) -> ReadRevocations:
    """A revocations answer about `did`; DocumentRefusedError when it can't be believed.

    A revocation by none of `authorities` is left out of `revocations`, but `seq` is kept as it was told: not believing that a
    key is revoked is the dangerous side.
    """
    signed = read_answer(content, kind=REVOCATIONS_TYPE, now_s=now_s)
    try:
        answer = msgspec.convert(signed.body, RevocationsAnswer)
    except msgspec.ValidationError as error:
        raise DocumentRefusedError(f"The revocations can't be read: {error}.") from None
    if answer.did != did:
        raise DocumentRefusedError("The revocations are those of another DID.")
    proven = []
    for revocation in answer.revocations:
        try:
            proven.append(
                read_revocation(
                    revocation.revocation_jws, did=revocation.did, authorities=authorities, seq=revocation.seq
                )
            )
        except StatementRefusedError:
            continue
    return ReadRevocations(signed.signer, msgspec.structs.replace(answer, revocations=tuple(proven)))
