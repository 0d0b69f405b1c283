"""What other programs may write about identities: only what proves itself (AN-EV-3)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from life.aios.events import Custom, Heartbeat, Kind
from life.aios.record import Stream, format_timestamp
from life.anima.admission import check_outside_event, concerns_identities
from life.anima.errors import RotationRefusedError, StatementRefusedError
from life.anima.events import EVENT_TYPES, CapabilityGranted, IdentityRevoked, SoulGenesis, to_kind
from life.anima.genesis import agent_stream
from life.anima.revocation import revocation_claims
from tests.anima.material import AgentBench, agent_bench, rotated, rotation_payload, seed_of, soul


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """A registered agent."""
    return await agent_bench(tmp_path / "identity")


def check(agent: AgentBench, kind: Kind, stream: Stream | None = None) -> None:
    """Whether another program may store this."""
    state = agent.registry.state(agent.agent_id)
    check_outside_event(kind, stream or agent_stream(agent.agent_id), state, seq=4)


async def test_other_events_are_no_business_of_identities(agent: AgentBench) -> None:
    """Sessions are written as always; an anima event there is not."""
    check(agent, Heartbeat(summary="x"), Stream("session-1"))
    check(agent, Custom(event_type="finance.payment_settled", data={}), Stream("session-1"))
    for kind in (
        Custom(event_type="anima.unknown", data={}),
        to_kind(CapabilityGranted(capability="*", granted_by="x")),
    ):
        assert concerns_identities(kind, Stream("session-1"))
        with pytest.raises(StatementRefusedError):
            check(agent, kind, Stream("session-1"))


async def test_nothing_unproven_enters_an_identity(agent: AgentBench) -> None:
    """Not a grant, not a genesis, not a heartbeat, not a revocation without a signature."""
    born = soul(name="Eve")
    kinds: list[Kind] = [
        Heartbeat(summary="x"),
        to_kind(SoulGenesis(soul=born, soul_hash=born.soul_hash)),
        to_kind(CapabilityGranted(capability="chat:send", granted_by="x")),
        to_kind(IdentityRevoked(did=agent.did, reason="x", revoked_at="t")),
        *(Custom(event_type=name, data={}) for name in EVENT_TYPES if name != "anima.soul_genesis"),
    ]
    for kind in kinds:
        for stream in (None, Stream("identity-agent-else"), Stream(agent_stream(agent.agent_id).session_id, "fork")):
            with pytest.raises(StatementRefusedError):
                check(agent, kind, stream)
    foreign = rotation_payload(await rotated(seed_of(1), seed_of(2)))
    with pytest.raises(RotationRefusedError):
        check(agent, to_kind(foreign))


async def test_a_proven_revocation_may_come_from_outside(agent: AgentBench) -> None:
    """Whoever holds the key can end it through any door."""
    claims = revocation_claims(agent.did, authority=agent.did, reason="lost_device", now_s=agent.now_s)
    event = IdentityRevoked(
        did=agent.did,
        reason="lost_device",
        revoked_at=format_timestamp(agent.clock.now_us()),
        revocation_jws=await agent.custody.sign_token(claims),
    )
    check(agent, to_kind(event))
    with pytest.raises(StatementRefusedError):
        check(agent, to_kind(msgspec.structs.replace(event, did="did:key:zDnx")))
