"""Tokens of other hosts' agents: believed as far and as long as their published answers prove them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from life.anima.checked_identities import KEPT_US, CheckedIdentities
from life.anima.errors import DocumentRefusedError
from life.anima.replay_store import MemoryReplayStore
from life.anima.revoking import revoke_identity
from life.anima.verifier import TokenVerifier
from tests.anima.material import AgentBench, agent_bench, did_of, handle, refusal_of
from tests.anima.test_kya import PUBLISHER, document_of, revocations_about


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """An agent of another host."""
    return await agent_bench(tmp_path / "identity")


async def learned(agent: AgentBench, identities: CheckedIdentities | None = None) -> CheckedIdentities:
    """What a stranger learns of it."""
    identities = identities or CheckedIdentities(agent.clock)
    told = await revocations_about(agent)
    identities.learn(await document_of(agent), revocations=told, publishers={did_of(handle(PUBLISHER))})
    return identities


def verifier_of(agent: AgentBench, identities: CheckedIdentities) -> TokenVerifier:
    """The stranger's verifier."""
    replay = MemoryReplayStore(agent.clock)
    return TokenVerifier(audience="svc", identities=identities, replay=replay, clock=agent.clock)


async def test_a_strangers_token_is_verified(agent: AgentBench) -> None:
    """Chain, revocations and grace as on its own host, for five minutes."""
    verifier = verifier_of(agent, CheckedIdentities(agent.clock))
    assert refusal_of(verifier, await agent.token()) == "unknown_identity"
    before = await agent.token()
    agent.clock.advance_us(1_000_000)
    await agent.rotate()
    identities = await learned(agent)
    verifier = verifier_of(agent, identities)
    assert verifier.verify_agent_token(await agent.token()).key_state == "current"
    assert verifier.verify_agent_token(before).key_state == "superseded_grace"
    agent.clock.advance_us(KEPT_US)
    await agent.registry.load()
    assert refusal_of(verifier, await agent.token()) == "unknown_identity"


async def test_revocations_are_learned(agent: AgentBench) -> None:
    """After the next fetch the key is refused; older answers are not taken for newer ones."""
    identities = await learned(agent)
    old_document, old_revocations = await document_of(agent), await revocations_about(agent)
    options: dict[str, Any] = {
        "agent_id": agent.agent_id,
        "reason": "compromised",
        "clock": agent.clock,
        "registry": agent.registry,
    }
    await revoke_identity(agent.journal, agent.custody, **options)
    verifier = verifier_of(agent, identities)
    verifier.verify_agent_token(await agent.token())
    await learned(agent, identities)
    assert refusal_of(verifier, await agent.token()) == "revoked"
    with pytest.raises(DocumentRefusedError, match="older"):
        identities.learn(old_document, revocations=old_revocations, publishers={did_of(handle(PUBLISHER))})
    identities.forget(agent.did)
    assert refusal_of(verifier, await agent.token()) == "unknown_identity"


async def test_answers_that_do_not_hold_teach_nothing(agent: AgentBench) -> None:
    """Somebody else's revocations, changed documents, and answers about another identity."""
    identities = CheckedIdentities(agent.clock)
    document, told = await document_of(agent), await revocations_about(agent)
    for content, revocations, publishers in (
        (document, told, None),
        (document, told, {agent.did}),
        (document, document, {did_of(handle(PUBLISHER))}),
        (document.replace(b"active", b"Active"), told, {did_of(handle(PUBLISHER))}),
        (b"", told, None),
    ):
        with pytest.raises(DocumentRefusedError):
            identities.learn(content, revocations=revocations, publishers=publishers)
    assert identities.standing(agent.did) is None
