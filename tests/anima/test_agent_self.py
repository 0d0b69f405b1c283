"""The self: one way to get one, and it checks (AN-SELF-1 to AN-SELF-4)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from life.aios.record import format_timestamp
from life.anima.agent_self import AgentSelf
from life.anima.beliefs import AgentBelief, Grant
from life.anima.errors import (
    CapabilityCeilingExceededError,
    IdentityMismatchError,
    IdentityRevokedError,
    SoulNotFoundError,
    StaleHandleError,
)
from life.anima.events import CapabilityGranted, EconomicBeliefUpdated
from life.anima.revoking import revoke_identity
from life.anima.state import AnimaState
from tests.anima.material import SEED_B, AgentBench, agent_bench, handle


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """An agent with two grants, one of which ends."""
    bench = await agent_bench(tmp_path / "identity")
    await bench.write(CapabilityGranted(capability="chat:*", granted_by="operator"))
    end = format_timestamp(bench.clock.now_us() + 10)
    await bench.write(CapabilityGranted(capability="knowledge:read", granted_by="operator", expires_at=end))
    return bench


def state_of(agent: AgentBench) -> AnimaState:
    """The agent's folded state."""
    state = agent.registry.state(agent.agent_id)
    assert state is not None
    return state


def self_of(agent: AgentBench) -> AgentSelf:
    """The agent's self."""
    return AgentSelf(state_of(agent), agent.custody, clock=agent.clock)


async def test_who_it_is(agent: AgentBench) -> None:
    """Names, grants that have not ended, and the words for a model (anima.md §5)."""
    me = self_of(agent)
    assert (me.agent_id, me.did, me.soul, me.custody) == (
        agent.agent_id,
        agent.did,
        agent.opened.identity.soul,
        agent.custody,
    )
    assert [grant.capability for grant in me.capabilities()] == ["chat:*", "knowledge:read"]
    agent.clock.advance_us(10)
    assert [grant.capability for grant in me.capabilities()] == ["chat:*"]
    assert me.persona_block() == (
        f"You are {agent.opened.identity.name} — Assist the person who runs me.\n"
        f"Identity: {agent.did}\nCapabilities: chat:*\nEconomic mode: sovereign"
    )
    assert me.policy_allows("chat:send") and not me.policy_allows("knowledge:read")
    patch = me.context_patch()
    assert (patch["is_active"], patch["capabilities_count"], patch["soul_hash"]) == (True, 1, me.soul.soul_hash)


async def test_it_lives_through_rotations(agent: AgentBench) -> None:
    """A verified chain from the root key is as good as the root key; the replaced handle is refused (AN-SELF-1)."""
    old = agent.custody
    await agent.rotate()
    await agent.rotate()
    assert self_of(agent).did == agent.did != agent.opened.identity.root_did
    with pytest.raises(StaleHandleError):
        AgentSelf(state_of(agent), old, clock=agent.clock)


async def test_what_does_not_belong_together_is_refused(agent: AgentBench) -> None:
    """Another's handle, a forged chain, grants above the ceiling, no soul."""
    await agent.rotate()
    state = state_of(agent)
    assert state.keys is not None and state.identity is not None
    with pytest.raises(IdentityMismatchError):
        AgentSelf(state, handle(SEED_B), clock=agent.clock)
    forged = msgspec.structs.replace(state.keys.links[0], rotation_proof_jws="x")
    wrong_keys = (
        None,
        msgspec.structs.replace(state.keys, links=()),
        msgspec.structs.replace(state.keys, links=(forged,)),
        msgspec.structs.replace(state.keys, root_did=agent.did),
        msgspec.structs.replace(state.keys, current_did=state.keys.root_did),
    )
    for keys in wrong_keys:
        with pytest.raises(IdentityMismatchError):
            AgentSelf(msgspec.structs.replace(state, keys=keys), agent.custody, clock=agent.clock)
    above = AgentBelief(capabilities=(Grant(capability="wallet:*", granted_by="x", granted_at="t"),))
    with pytest.raises(CapabilityCeilingExceededError):
        AgentSelf(msgspec.structs.replace(state, beliefs=above), agent.custody, clock=agent.clock)
    with pytest.raises(SoulNotFoundError):
        AgentSelf(AnimaState(), agent.custody, clock=agent.clock)


async def test_a_dead_identity_has_no_self(agent: AgentBench) -> None:
    """After a revocation nothing acts in its name."""
    me = self_of(agent)
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        reason="compromised",
        clock=agent.clock,
        registry=agent.registry,
    )
    with pytest.raises(IdentityRevokedError):
        me.refreshed(state_of(agent))


async def test_it_follows_the_journal(agent: AgentBench, tmp_path: Path) -> None:
    """A later state gives a later self; another agent's state does not."""
    me = self_of(agent)
    await agent.write(EconomicBeliefUpdated(balance_micro_credits=1, burn_rate_per_hour=1, economic_mode="hibernate"))
    assert me.refreshed(state_of(agent)).economic_mode == "hibernate"
    other = await agent_bench(tmp_path / "other", seed="other")
    with pytest.raises(IdentityMismatchError):
        me.refreshed(state_of(other))
