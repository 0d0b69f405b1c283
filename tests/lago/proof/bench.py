"""What the tests of proof share: a journal with a few branches, an agent that signs, and its history of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from life.aios.events import UserMessage, encode_kind
from life.aios.record import NewEvent, Stream
from life.anima.custody.in_process import InProcessAnima
from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.checkpoints import Checkpointer
from life.lago.proof.signing_keys import KeyPeriod, KeyRotation, SigningKeys
from life.testing.clock import START_US, ManualClock, SeededEntropy
from tests.anima.material import SEED_A, SEED_B, did_of, handle, rotated

MAIN, SIDE, OTHER = Stream("s"), Stream("s", "side"), Stream("other")
HOUR_US = 3_600_000_000


class ProofBench(NamedTuple):
    """The parts."""

    path: Path
    journal: SqliteJournal
    custody: InProcessAnima
    keys: SigningKeys
    clock: ManualClock
    entropy: SeededEntropy

    def checkpointer(self, custody: InProcessAnima | None = None) -> Checkpointer:
        """One that signs with the agent's key, or another one."""
        return Checkpointer(
            self.journal, custody or self.custody, clock=self.clock, entropy=self.entropy, agent_id="agent"
        )


def said(event_id: str, stream: Stream = MAIN, *, text: str | None = None) -> NewEvent:
    """A message whose content follows from its id."""
    return NewEvent(
        event_id=event_id,
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id="agent",
        timestamp_us=START_US,
        payload=encode_kind(UserMessage(content=text or f"content of {event_id}")),
        kind_name="UserMessage",
        correlation_id="run-1",
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )


def keys_of(custody: InProcessAnima) -> SigningKeys:
    """The history of an agent that never rotated."""
    return SigningKeys(agent_id="agent", keys=(KeyPeriod(did=did_of(custody), from_us=START_US),))


async def rotated_keys(*, at_us: int, doubtful_since_us: int | None = None) -> SigningKeys:
    """The history of an agent whose key A was replaced by B."""
    link = await rotated(SEED_A, SEED_B, clock=ManualClock(at_us))
    return SigningKeys(
        agent_id="agent",
        keys=(
            KeyPeriod(did=link.old_did, from_us=START_US, until_us=at_us, doubtful_since_us=doubtful_since_us),
            KeyPeriod(did=link.new_did, from_us=at_us),
        ),
        rotations=(
            KeyRotation(
                old_did=link.old_did,
                new_did=link.new_did,
                rotation_proof_jws=link.rotation_proof_jws,
                new_key_proof=link.new_key_proof,
                rotated_at=link.rotated_at,
            ),
        ),
    )


@asynccontextmanager
async def proof_bench(path: Path, *, events: int = 20) -> AsyncIterator[ProofBench]:
    """A journal with `events` events in each of three branches."""
    clock, entropy = ManualClock(), SeededEntropy("proof")
    custody = handle(clock=clock)
    async with SqliteJournal.open(path, clock=clock) as journal:
        for number in range(events):
            await journal.append([said(f"{stream}-{number}", stream) for stream in (MAIN, SIDE, OTHER)])
        yield ProofBench(path, journal, custody, keys_of(custody), clock, entropy)
