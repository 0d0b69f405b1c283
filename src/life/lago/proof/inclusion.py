"""Proof that one event stood in a branch when it was checkpointed, without the rest of the branch (docs/proof.md).

A proof is one JSON object::

    {"type": "life.inclusion_proof", "version": 1, "record": {…}, "previous_digest": hex, "size": n, "path": [hex, …],
     "checkpoint": "<JWS>"}

To check it: the record's digest follows from its fields and `previous_digest` (life.lago.journal.chain); the path leads from that
digest at place `record.sequence - 1` of a tree with `size` leaves to the root that the checkpoint names (life.lago.proof.merkle); the
checkpoint is of the record's branch, of `size` events, and signed by a key of the agent. The path has at most ⌈log2 n⌉ hashes.
A redacted event's proof shows that it was there and with which digest, and no longer what it said.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import MalformedEventError, NotFoundError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, encode_record
from life.lago.errors import ProofRefusedError
from life.lago.journal import chain
from life.lago.journal.redacted import read_stub
from life.lago.proof.checkpoints import Checkpoint, read_checkpoint, read_checkpoints
from life.lago.proof.merkle import inclusion_path, root_from_path
from life.lago.proof.signing_keys import SigningKeys

TYPE: Final = "life.inclusion_proof"
_PAGE: Final = 5_000


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See above. Hashes are 64 hex digits."""

    type: str = TYPE
    version: int = 1
    record: msgspec.Raw
    previous_digest: str
    size: int
    path: tuple[str, ...]
    checkpoint: str


class ProvenEvent(NamedTuple):
    """What a proof shows."""

    record: EventRecord
    checkpoint: Checkpoint
    signer: str
    redacted: bool
    """Its content was taken out; the proof is of its place and digest."""


async def prove(journal: Journal, event_id: str) -> InclusionProof:
    """The proof of an event by the first checkpoint that covers it; O(n) in the events up to there.

    NotFoundError when there is no such event; ProofRefusedError when no checkpoint covers it yet.
    """
    record = await journal.get(event_id)
    if record is None:
        raise NotFoundError(f"There is no event {event_id} in this journal.")
    checkpoint = await _covering(journal, record)
    digests: list[bytes] = []
    after = 0
    while after < checkpoint.sequence:
        query = EventQuery(*record.stream, after_sequence=after, before_sequence=checkpoint.sequence + 1)
        page = await journal.read(query, limit=_PAGE)
        if not page:
            raise ProofRefusedError(f"The checkpoint {checkpoint} reaches beyond the end of its branch.")
        digests += [bytes.fromhex(str(one.digest)) for one in page]
        after = page[-1].sequence
    place = record.sequence - 1
    previous = chain.GENESIS if place == 0 else digests[place - 1]
    return InclusionProof(
        record=msgspec.Raw(encode_record(record)),
        previous_digest=previous.hex(),
        size=checkpoint.sequence,
        path=tuple(node.hex() for node in inclusion_path(digests, place)),
        checkpoint=checkpoint.token,
    )


def check_proof(content: bytes, *, keys: SigningKeys | None = None) -> ProvenEvent:
    """What a proof shows, when it holds; ProofRefusedError or CheckpointRefusedError otherwise.

    Without `keys` any signer is taken: who it is, is then for the caller to judge.
    """
    try:
        proof = msgspec.json.decode(content, type=InclusionProof)
        record = decode_record(bytes(proof.record))
        path = [bytes.fromhex(node) for node in proof.path]
        digest = bytes.fromhex(record.digest or "")
        found = chain.event_digest(proof.previous_digest, record)
    except (msgspec.DecodeError, MalformedEventError, ValueError) as error:
        raise ProofRefusedError(f"This is no inclusion proof: {error}.") from None
    if (proof.type, proof.version) != (TYPE, 1) or len(digest) != 32:
        raise ProofRefusedError("This is no inclusion proof of a version that is known here.")
    redacted = found != record.digest and read_stub(record.payload) is not None
    if found != record.digest and not redacted:
        raise ProofRefusedError("The record's content does not give its digest.")
    checkpoint, signer = read_checkpoint(proof.checkpoint, keys=keys)
    if checkpoint.stream != record.stream or checkpoint.sequence != proof.size:
        raise ProofRefusedError("The checkpoint is of another branch, or of another length of it.")
    root = root_from_path(digest, index=record.sequence - 1, size=proof.size, path=path)
    if root is None or root.hex() != checkpoint.root:
        raise ProofRefusedError("The path does not lead to the signed root.")
    return ProvenEvent(record, checkpoint, signer, redacted)


async def _covering(journal: Journal, record: EventRecord) -> Checkpoint:
    for _, checkpoint in await read_checkpoints(journal, session_id=record.session_id):
        if checkpoint.branch_id == record.branch_id and checkpoint.sequence >= record.sequence:
            return checkpoint
    raise ProofRefusedError(
        f"No checkpoint covers sequence {record.sequence} of {record.stream} yet.",
        next_step="life journal checkpoint",
    )
