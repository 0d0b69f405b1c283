"""Proof of the journal, with the parts of a real agent: whose keys count, and the job that takes checkpoints."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from life.aios.errors import LifeError, NotFoundError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, parse_timestamp
from life.anima.genesis import agent_stream
from life.anima.key_history import KeyHistory
from life.anima.state import AnimaState, replay
from life.lago.proof.checkpoints import Checkpointer
from life.lago.proof.signing_keys import KeyPeriod, KeyRotation, SigningKeys

LOOK_EVERY_S: Final = 60
"""How often the job looks which branches are due."""

_PAGE: Final = 500
_log: Final = logging.getLogger(__name__)


async def signing_keys(journal: Journal, agent_id: str) -> SigningKeys:
    """The public history of an agent's keys, from the identity's stream; NotFoundError when the journal knows no such agent."""
    records = await _identity_records(journal, agent_id)
    state: AnimaState = replay(records)
    if state.keys is None:
        raise NotFoundError(f"The journal knows no identity of agent {agent_id}.")
    return _periods(agent_id, state.keys, records)


async def keep_checkpoints(checkpointer: Checkpointer, *, every_s: int = LOOK_EVERY_S) -> None:
    """Take the checkpoints that are due, until cancelled. What fails (a custody that does not answer) is tried again later."""
    while True:
        try:
            await checkpointer.take()
        except LifeError as error:
            _log.warning("no checkpoint was taken: %s [%s]", error.message, error.code)
        await asyncio.sleep(every_s)


def _periods(agent_id: str, keys: KeyHistory, records: list[EventRecord]) -> SigningKeys:
    came = [records[0].timestamp_us, *(parse_timestamp(link.rotated_at) for link in keys.links)]
    ended = [*came[1:], None]
    periods = [
        KeyPeriod(did=did, from_us=from_us, until_us=until_us, doubtful_since_us=_doubtful_since(keys, did, records))
        for did, from_us, until_us in zip(keys.dids, came, ended, strict=True)
    ]
    rotations = [
        KeyRotation(
            old_did=link.old_did,
            new_did=link.new_did,
            rotation_proof_jws=link.rotation_proof_jws,
            new_key_proof=link.new_key_proof,
            rotated_at=link.rotated_at,
        )
        for link in keys.links
    ]
    return SigningKeys(agent_id=agent_id, keys=tuple(periods), rotations=tuple(rotations))


def _doubtful_since(keys: KeyHistory, did: str, records: list[EventRecord]) -> int | None:
    """The time of the event since which signatures of `did` are doubtful (AN-REV-3)."""
    sequence = keys.compromised_since(did)
    if sequence is None:
        return None
    return next((record.timestamp_us for record in records if record.sequence >= sequence), records[-1].timestamp_us)


async def _identity_records(journal: Journal, agent_id: str) -> list[EventRecord]:
    stream, more = agent_stream(agent_id), True
    found: list[EventRecord] = []
    while more:
        after = found[-1].sequence if found else 0
        page = await journal.read(EventQuery(*stream, after_sequence=after), limit=_PAGE)
        found += page
        more = len(page) == _PAGE
    return found
