"""The registry: an index of every identity, up to date at once (AN-VER-9, AN-REV-4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.aios.errors import JournalUnavailableError
from life.aios.events import Custom, Heartbeat, encode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import NewEvent
from life.anima.errors import IdentitiesStaleError
from life.anima.events import CapabilityGranted
from life.anima.genesis import agent_stream, genesis_events, identity_event
from life.anima.policy import PolicyManifest
from life.anima.registry import FRESH_US, HEARTBEAT_US, IdentityRegistry
from life.anima.revoking import revoke_identity
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import START_US, ManualClock
from tests.anima.material import AgentBench, agent_bench, new_identity
from tests.anima.test_key_history import delegated

OPEN = PolicyManifest(capability_ceiling=("*",))


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """An agent that may be granted anything."""
    return await agent_bench(tmp_path / "identity", values=OPEN)


async def test_standings(agent: AgentBench) -> None:
    """Every DID of the chain is known, the old ones as superseded; a stranger's is not."""
    first = agent.did
    await agent.rotate()
    old, new = agent.registry.standing(first), agent.registry.standing(agent.did)
    assert old is not None and new is not None
    assert (old.key_state, old.current_did, old.superseded_at_us) == ("superseded", agent.did, agent.clock.now_us())
    assert (new.key_state, new.root_did, new.superseded_at_us, new.as_of_seq) == ("current", first, None, 4)
    assert agent.registry.standing("did:key:zDnx") is None
    assert agent.registry.agents() == (agent.agent_id,)


async def test_other_writers_are_seen(tmp_path: Path) -> None:
    """What another process's journal handle stores reaches the registry through the subscription."""
    clock = ManualClock()
    agent_folder = tmp_path / "identity"
    identity = new_identity(agent_folder)
    async with SqliteJournal.open(tmp_path / "journal.db", clock=clock, writer="in_loop") as journal:
        for number in range(30):  # other traffic, so that positions and identities lie apart
            await journal.append([_noise(number)])
        await journal.append(genesis_events(identity))
        async with (
            IdentityRegistry.open(journal, clock) as registry,
            SqliteJournal.open(tmp_path / "journal.db", clock=clock, writer="in_loop") as other,
        ):
            assert registry.agents() == (identity.agent_id,)
            changed = asyncio.Event()
            registry.on_change(lambda _agent_id: changed.set())
            bench = AgentBench(agent_folder, other, registry, clock)  # type: ignore[arg-type]
            await revoke_identity(other, bench.custody, agent_id=identity.agent_id, reason="compromised", clock=clock)
            await asyncio.wait_for(changed.wait(), 20)
            standing = registry.standing(identity.did)
            assert standing is not None and standing.dead


async def test_new_identities_are_seen(tmp_path: Path) -> None:
    """An identity that begins after the registry was opened is known as soon as its genesis is stored."""
    clock, journal = ManualClock(), MemoryJournal()
    first, second = new_identity(tmp_path / "1", seed="1"), new_identity(tmp_path / "2", seed="2")
    await journal.append(genesis_events(first))
    async with IdentityRegistry.open(journal, clock) as registry:
        await journal.append(genesis_events(second))
        for _ in range(100):
            await asyncio.sleep(0)
            if len(registry.agents()) == 2:
                break
        assert registry.standing(second.did) is not None


async def test_a_copy_under_another_name_counts_for_nothing(tmp_path: Path) -> None:
    """Somebody who copies an agent's events into a stream of another name can't hide what the agent revoked."""
    clock, journal = ManualClock(), MemoryJournal()
    identity = new_identity(tmp_path / "1")
    copies = [
        NewEvent(
            event_id=f"copy-{number}",
            session_id="identity-a",
            agent_id="a",
            timestamp_us=START_US,
            payload=event.payload,
            kind_name=event.kind_name,
        )
        for number, event in enumerate(genesis_events(identity))
    ]
    await journal.append(copies)
    registry = IdentityRegistry(journal, clock)
    await registry.load()
    assert registry.standing(identity.did) is None
    await journal.append(genesis_events(identity))
    await registry.load()
    standing = registry.standing(identity.did)
    assert standing is not None and standing.agent_id == identity.agent_id


async def test_a_broken_stream_gives_nobody_a_standing_to_act(agent: AgentBench) -> None:
    """A stream with a fault is dead: what it says after it can't be judged."""
    genesis = (await agent.journal.read(_query(agent)))[0]
    again = NewEvent(
        event_id="again",
        session_id=genesis.session_id,
        agent_id=genesis.agent_id,
        timestamp_us=START_US,
        payload=genesis.payload,
        kind_name=genesis.kind_name,
    )
    await agent.journal.append([again])
    await agent.registry.load()
    standing = agent.registry.standing(agent.did)
    assert standing is not None and standing.dead


async def test_freshness(agent: AgentBench) -> None:
    """After a minute without an answer the registry says so; a heartbeat keeps it fresh while the journal answers."""
    clock, journal = agent.clock, agent.journal
    async with IdentityRegistry.open(journal, clock) as registry:
        for _ in range(8):
            clock.advance_us(HEARTBEAT_US)
            for _ in range(50):
                await asyncio.sleep(0)
            registry.require_fresh()

        async def down(*_: object) -> None:
            raise JournalUnavailableError("gone")

        journal.head = down  # type: ignore[assignment,method-assign]
        for _ in range(5):
            clock.advance_us(HEARTBEAT_US)
            for _ in range(50):
                await asyncio.sleep(0)
        with pytest.raises(IdentitiesStaleError):
            registry.require_fresh()
    assert FRESH_US == 60 * 1_000_000


async def test_capabilities_are_the_intersection(agent: AgentBench) -> None:
    """A child may do what it was granted, its parent delegated, and the parent itself may (AN-DEL-1)."""
    child = await delegated(agent, capabilities=("chat:*",))
    now = agent.clock.now_us()
    registry = agent.registry
    await _grant(agent, child, "*")
    assert not registry.allows(child, "chat:send", {}, at_us=now)
    await _grant(agent, agent.agent_id, "*")
    assert registry.allows(child, "chat:send", {}, at_us=now)
    assert registry.allows(agent.agent_id, "wallet:read", {}, at_us=now)
    assert not registry.allows(child, "wallet:read", {}, at_us=now)
    assert not registry.allows("agent-nobody", "chat:send", {}, at_us=now)
    assert not registry.allows(child, "chat:send", {}, at_us=now + 2_000 * 1_000_000)


async def _grant(agent: AgentBench, agent_id: str, capability: str) -> None:
    event = identity_event(
        CapabilityGranted(capability=capability, granted_by="operator"),
        event_id=f"grant-{agent_id}",
        agent_id=agent_id,
        timestamp_us=agent.clock.now_us(),
    )
    await agent.journal.append([event])
    await agent.registry.catch_up(agent_id)


def _noise(number: int) -> NewEvent:
    kind = Custom(event_type="other.event", data={}) if number % 2 else Heartbeat(summary="x")
    return NewEvent(
        event_id=f"noise-{number}",
        session_id=f"session-{number % 3}",
        agent_id="somebody",
        timestamp_us=START_US,
        payload=encode_kind(kind),
        kind_name=type(kind).__name__,
    )


def _query(agent: AgentBench) -> EventQuery:
    stream = agent_stream(agent.agent_id)
    return EventQuery(session_id=stream.session_id, branch_id=stream.branch_id)
