"""The first events of an agent's journal (anima.md §8)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.events import Custom
from life.aios.ports.journal import EventQuery
from life.aios.record import EventWriter, NewEvent
from life.anima.errors import (
    IdentityMismatchError,
    SoulIntegrityViolationError,
    SoulMisplacedError,
    SoulNotFoundError,
)
from life.anima.events import CustodyDenied, PolicyViolationDetected, to_kind
from life.anima.genesis import agent_stream, ensure_genesis, genesis_events, load_state
from life.anima.identity_file import Identity
from life.anima.state import require_sound
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import new_identity, soul


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """A new identity."""
    return new_identity(tmp_path / "identity")


def writer(identity: Identity) -> EventWriter:
    """Writes into the agent's own stream."""
    return EventWriter(
        ManualClock(), SeededEntropy("w"), agent_id=identity.agent_id, stream=agent_stream(identity.agent_id)
    )


async def test_soul_first_then_identity(identity: Identity) -> None:
    """The journal begins with the soul and folds to an active identity."""
    journal = MemoryJournal()
    state = await ensure_genesis(journal, identity)
    born, current = require_sound(state)
    assert born == identity.soul
    assert (current.did, current.wallet_address, current.lifecycle) == (identity.did, identity.wallet, "active")
    assert current.agent_id == identity.agent_id
    names = [event.kind.event_type for event in await journal.read(_all(identity)) if isinstance(event.kind, Custom)]
    assert names == ["anima.soul_genesis", "anima.identity_created", "anima.identity_transitioned"]


async def test_repeating_changes_nothing(identity: Identity) -> None:
    """Any number of starts, at once or later, leave the same three events."""
    journal = MemoryJournal()
    states = await asyncio.gather(*(ensure_genesis(journal, identity) for _ in range(8)))
    later = await ensure_genesis(journal, identity, host_id="other-host")
    assert all(state == states[0] for state in [*states, later])
    assert (await journal.head(agent_stream(identity.agent_id))).sequence == 3


async def test_the_events_are_the_same_for_everybody(identity: Identity, tmp_path: Path) -> None:
    """Ids, times and bytes follow from the identity; a raw repeat is a duplicate, another host's is not."""
    events = genesis_events(identity)
    assert events == genesis_events(identity)
    assert [event.event_id for event in events] != [
        event.event_id for event in genesis_events(new_identity(tmp_path / "other", seed="other"))
    ]
    journal = MemoryJournal()
    await journal.append(events)
    assert all(one.duplicate for one in await journal.append(events))
    moved = await journal.append(genesis_events(identity, host_id="laptop"))
    assert [one.duplicate for one in moved] == [True, False, True]
    assert require_sound(await load_state(journal, identity.agent_id))[1].host_id == "laptop"


async def test_a_journal_of_another_soul_is_refused(identity: Identity) -> None:
    """The same keys with another soul, or another wallet chain, do not start."""
    journal = MemoryJournal()
    await ensure_genesis(journal, identity)
    renamed = msgspec.structs.replace(
        identity, soul=soul(name="Eve", root_public_key=bytes.fromhex(identity.soul.root_public_key))
    )
    chained = msgspec.structs.replace(identity, wallet=msgspec.structs.replace(identity.wallet, chain="eip155:1"))
    for other in (renamed, chained):
        with pytest.raises(IdentityMismatchError):
            await ensure_genesis(journal, other)


async def test_a_journal_that_began_without_soul_is_refused(identity: Identity) -> None:
    """Nothing is written into a stream that holds something else already."""
    journal = MemoryJournal()
    stray = writer(identity).event(to_kind(CustodyDenied(did=None, op="sign_token", reason="r")))
    await journal.append([stray])
    with pytest.raises(SoulNotFoundError):
        await ensure_genesis(journal, identity)
    await journal.append(genesis_events(identity))
    with pytest.raises(SoulMisplacedError):
        await ensure_genesis(journal, identity)


async def test_a_forged_journal_is_refused(identity: Identity) -> None:
    """A changed soul in the journal keeps the daemon from starting."""
    genesis, *rest = genesis_events(identity)
    forged: list[NewEvent] = [
        msgspec.structs.replace(genesis, payload=genesis.payload.replace(b"Assist", b"Resist")),
        *rest,
    ]
    assert forged[0].payload != genesis.payload
    journal = MemoryJournal()
    await journal.append(forged)
    with pytest.raises(SoulIntegrityViolationError):
        await ensure_genesis(journal, identity)


async def test_long_streams_are_folded_whole(identity: Identity) -> None:
    """More events than one page holds are all read."""
    journal = MemoryJournal()
    await ensure_genesis(journal, identity)
    make = writer(identity)
    last = make.event(to_kind(PolicyViolationDetected(capability="x", reason="r", blocked=True)))
    await journal.append(
        [make.event(Custom(event_type="anima.custody_denied", data={"op": "sign_token"})) for _ in range(1200)]
    )
    await journal.append([last])
    state = await ensure_genesis(journal, identity)
    assert (require_sound(state)[1].lifecycle, state.violations) == ("active", 1)
    assert state.last_sequence == 1204


def test_stream_names_have_their_form() -> None:
    """An agent id that is none is refused before it becomes a session."""
    with pytest.raises(InvalidInputError):
        agent_stream("../x")


def _all(identity: Identity) -> EventQuery:
    stream = agent_stream(identity.agent_id)
    return EventQuery(session_id=stream.session_id, branch_id=stream.branch_id)
