"""What the tests of Anima share: fixed seeds, a soul, a handle, events as the journal would return them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest

from life.aios.events import Kind, encode_kind
from life.aios.ids import new_id
from life.aios.ports.custody import Custody
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord, format_timestamp
from life.anima.chain import RotationLink, acceptance_claims, proof_claims
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import TokenRefusedError
from life.anima.events import AnimaEvent, IdentityRotated, to_kind
from life.anima.genesis import ensure_genesis, identity_event
from life.anima.home import create_identity, open_identity
from life.anima.identity_file import Identity
from life.anima.key_source import KEY_BYTES, RawKey
from life.anima.policy import PolicyManifest
from life.anima.registry import IdentityRegistry
from life.anima.replay_store import MemoryReplayStore
from life.anima.rotation import Rotation, rotate_identity
from life.anima.seed_rotation import SeedRotator
from life.anima.soul import Ancestor, Creator, Soul, build_soul
from life.anima.state import AnimaState
from life.anima.tokens import issue_agent_token
from life.anima.verifier import TokenVerifier
from life.lago.journal.memory import MemoryJournal
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


async def rotated(old: bytes, new: bytes, *, clock: ManualClock | None = None) -> RotationLink:
    """A rotation from one seed's key to another's, with both proofs."""
    clock = clock or ManualClock()
    first, second = handle(old, clock=clock), handle(new, clock=clock)
    old_did, new_did = did_of(first), did_of(second)
    now_s = clock.now_us() // 1_000_000
    return RotationLink(
        old_did=old_did,
        new_did=new_did,
        rotation_proof_jws=await first.sign_token(proof_claims(old_did, new_did, now_s=now_s)),
        new_key_proof=await second.sign_token(acceptance_claims(old_did, new_did, now_s=now_s)),
        rotated_at=format_timestamp(clock.now_us()),
    )


def rotation_payload(link: RotationLink) -> IdentityRotated:
    """The event of a link."""
    return IdentityRotated(
        old_did=link.old_did,
        new_did=link.new_did,
        rotation_proof_jws=link.rotation_proof_jws,
        new_key_proof=link.new_key_proof,
        rotated_at=link.rotated_at,
    )


def did_of(custody: Custody) -> str:
    """The DID of a handle."""
    did = custody.capabilities().did
    assert did is not None
    return did


def seed_of(number: int) -> bytes:
    """A seed for each number."""
    return hashlib.sha256(b"seed %d" % number).digest()


def forged(content: object, *, seed: bytes = SEED_A, typ: str = "JWT", header: dict[str, object] | None = None) -> str:
    """A JWS of a seed's key with any header and payload, past every check of custody."""
    custody = handle(seed)
    assert custody._auth is not None
    members = {"alg": "ES256", "typ": typ, "kid": custody.capabilities().did} | (header or {})
    message = f"{segment(members)}.{segment(content)}"
    return f"{message}.{segment(custody._auth.sign(message.encode()))}"


def segment(value: object) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class AgentBench:
    """An agent with its identity on a journal in memory, and a registry that knows it."""

    def __init__(self, folder: Path, journal: MemoryJournal, registry: IdentityRegistry, clock: ManualClock) -> None:
        self.folder = folder
        self.journal = journal
        self.registry = registry
        self.clock = clock
        self.entropy = SeededEntropy(str(folder))
        self.opened = open_identity(folder, raw_key(), clock=clock)

    @property
    def custody(self) -> InProcessAnima:
        """The handle of the current key."""
        return self.opened.custody

    @property
    def agent_id(self) -> str:
        """The agent's id."""
        return self.opened.identity.agent_id

    @property
    def did(self) -> str:
        """The current DID."""
        return self.opened.identity.did

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.clock.now_us() // 1_000_000

    async def rotate(self, *, cool_down_s: int = 0) -> Rotation:
        """Rotate the key and open the identity again; the old handle is the caller's."""
        rotator = SeedRotator.open(self.folder, raw_key(), clock=self.clock, entropy=self.entropy)
        try:
            rotation = await rotate_identity(
                self.journal,
                rotator,
                self.custody,
                agent_id=self.agent_id,
                clock=self.clock,
                cool_down_s=cool_down_s,
            )
        finally:
            await rotator.close()
        self.opened = open_identity(self.folder, raw_key(), clock=self.clock)
        await self.registry.catch_up(self.agent_id)
        return rotation

    async def write(self, payload: AnimaEvent) -> AnimaState:
        """Append an event to the agent's stream, as the host does."""
        event = identity_event(
            payload,
            event_id=new_id(self.clock, self.entropy),
            agent_id=self.agent_id,
            timestamp_us=self.clock.now_us(),
        )
        await self.journal.append([event])
        return await self.registry.catch_up(self.agent_id)

    async def token(self, *, custody: InProcessAnima | None = None, audience: str = "svc") -> str:
        """A token of the agent."""
        return await issue_agent_token(
            custody or self.custody,
            agent_id=self.agent_id,
            audience=audience,
            clock=self.clock,
            entropy=self.entropy,
        )

    def verifier(self, **options: Any) -> TokenVerifier:
        """A verifier over the registry."""
        merged: dict[str, Any] = {"replay": MemoryReplayStore(self.clock), "audience": "svc"} | options
        return TokenVerifier(identities=self.registry, clock=self.clock, **merged)


async def agent_bench(
    folder: Path,
    *,
    seed: str = "life",
    values: PolicyManifest | None = None,
    journal: MemoryJournal | None = None,
    registry: IdentityRegistry | None = None,
    clock: ManualClock | None = None,
    operators: tuple[str, ...] = (),
) -> AgentBench:
    """A bench; several may share journal, registry and clock."""
    clock = clock or ManualClock()
    journal = journal or MemoryJournal()
    identity, _ = create_identity(folder, key_source=raw_key(), clock=clock, entropy=SeededEntropy(seed), values=values)
    await ensure_genesis(journal, identity)
    registry = registry or IdentityRegistry(journal, clock, operators=operators)
    await registry.load()
    return AgentBench(folder, journal, registry, clock)


def refusal_of(verifier: TokenVerifier, token: str) -> str:
    """Why a verifier refuses a token, which it does not repeat."""
    with pytest.raises(TokenRefusedError) as error:
        verifier.verify_agent_token(token)
    assert len(token) < 20 or token not in str(error.value)
    return error.value.reason
