"""What the tests of Anima share: fixed seeds, a soul, a handle, events as the journal would return them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from life.aios.events import Kind, encode_kind
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.anima.custody.in_process import InProcessAnima
from life.anima.events import AnimaEvent, to_kind
from life.anima.home import create_identity
from life.anima.identity_file import Identity
from life.anima.key_source import KEY_BYTES, RawKey
from life.anima.policy import PolicyManifest
from life.anima.soul import Ancestor, Creator, Soul, build_soul
from life.testing.clock import START_US, ManualClock, SeededEntropy

SEED_A: Final = bytes([0x42]) * 32
SEED_B: Final = bytes(range(32))
PUBLIC_KEY_A: Final = bytes.fromhex("02f654526a0943609a1faadeaae5fc0d7cea206ac78b0d6611382e93adf849f7cf")
"""P-256 key of seed A (anima.md appendix A)."""
PUBLIC_KEY_B: Final = bytes.fromhex("027cbd4f34756620128fcd3811dfb3d178a2c81ffed2bf71e8c40d5e1ef16a4a1f")
"""P-256 key of seed B (anima.md appendix A)."""
DID_A: Final = "did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6v"
DID_B: Final = "did:key:zDnaeYpu2WigB5WSkeZKMR9Fiye5knQQCee467kQhccbruitW"
WALLET_A: Final = "0x8cEa92Eb71bee6E0a86eB66797541b1238C585aa"


def handle(seed: bytes = SEED_A, *, clock: ManualClock | None = None) -> InProcessAnima:
    """A handle of a fixed seed."""
    return InProcessAnima.from_seed(bytearray(seed), clock=clock or ManualClock())


def raw_key(filler: int = 7) -> RawKey:
    """A key source that needs no slow key derivation."""
    return RawKey(bytearray([filler]) * KEY_BYTES)


def soul(
    *,
    name: str = "Ada",
    mission: str = "Count.",
    root_public_key: bytes = PUBLIC_KEY_A,
    created_at_us: int = START_US,
    creator: Creator | None = None,
    lineage: tuple[Ancestor, ...] = (),
    values: PolicyManifest | None = None,
) -> Soul:
    """A soul of seed A's key."""
    return build_soul(
        name=name,
        mission=mission,
        root_public_key=root_public_key,
        created_at_us=created_at_us,
        creator=creator,
        lineage=lineage,
        values=values,
    )


def new_identity(folder: Path, *, seed: str = "life", name: str | None = None) -> Identity:
    """An identity in a folder, the same for the same `seed` of the entropy."""
    identity, _ = create_identity(
        folder, name=name, key_source=raw_key(), clock=ManualClock(), entropy=SeededEntropy(seed)
    )
    return identity


def stored(sequence: int, event: AnimaEvent | Kind, *, timestamp_us: int = START_US) -> EventRecord:
    """An event as the journal gives it back."""
    kind = event if isinstance(event, Kind) else to_kind(event)
    return EventRecord(
        event_id=f"event-{sequence}",
        session_id="identity-test",
        branch_id="main",
        agent_id="agent-test",
        sequence=sequence,
        timestamp_us=timestamp_us,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
    )
