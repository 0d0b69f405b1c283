"""A handle stops when its key does (AN-CUS-3, AN-REV-4, weakness 11), whatever the backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from life.aios.ports.custody import Custody, EvmTransaction, SaleReceipt, TransferAuthorization
from life.anima.errors import IdentitiesStaleError, IdentityRevokedError, PolicyDeniedError, StaleHandleError
from life.anima.events import PolicyViolationDetected
from life.anima.guarded_custody import GuardedCustody
from life.anima.revoking import revoke_identity
from tests.anima.material import SEED_B, AgentBench, agent_bench, handle

PAYEE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """A registered agent."""
    return await agent_bench(tmp_path / "identity")


def calls(custody: Custody, agent: AgentBench) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One call of each operation."""
    authorization = TransferAuthorization(
        network="eip155:84532",
        asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        token_name="USDC",
        token_version="2",
        from_address=custody.capabilities().wallet_address or "",
        to_address=PAYEE,
        value_atomic=1,
        valid_after_s=0,
        valid_before_s=agent.now_s + 60,
        nonce=bytes(32),
    )
    transaction = EvmTransaction(
        chain_id=84532,
        nonce=0,
        max_priority_fee_per_gas_wei=1,
        max_fee_per_gas_wei=2,
        gas_limit=21_000,
        to_address=PAYEE,
        value_wei=1,
        data=b"",
    )
    receipt = SaleReceipt(
        network="eip155:84532", resource_url="https://x", payer=PAYEE, issued_at_s=agent.now_s, transaction=""
    )
    guarded: Any = custody
    return {
        "token": lambda: custody.sign_token({}),
        "message": lambda: custody.sign_message(b"x"),
        "authorization": lambda: custody.sign_authorization(authorization),
        "transaction": lambda: custody.sign_transaction(transaction),
        "sale": lambda: guarded.sign_sale_document(receipt),
    }


async def outcomes(custody: Custody, agent: AgentBench) -> dict[str, str]:
    """What each operation does: `signed`, or the error."""
    results = {}
    for name, call in calls(custody, agent).items():
        try:
            results[name] = "signed" if await call() else "nothing"
        except Exception as error:
            results[name] = type(error).__name__
    return results


async def test_it_signs_as_long_as_the_key_is_the_identitys(agent: AgentBench) -> None:
    """Every operation goes through to the wrapped handle."""
    guarded = GuardedCustody(agent.custody, agent.registry)
    assert set((await outcomes(guarded, agent)).values()) == {"signed"}
    assert guarded.capabilities() == agent.custody.capabilities()
    stranger = GuardedCustody(handle(SEED_B, clock=agent.clock), agent.registry)
    assert (await outcomes(stranger, agent))["token"] == "signed"


async def test_a_rotated_key_signs_nothing(agent: AgentBench) -> None:
    """The old handle is stale from the moment of the rotation; the new one signs."""
    old = GuardedCustody(agent.custody, agent.registry)
    await agent.rotate()
    assert set((await outcomes(old, agent)).values()) == {StaleHandleError.__name__}
    assert set((await outcomes(GuardedCustody(agent.custody, agent.registry), agent)).values()) == {"signed"}


async def test_a_revoked_key_signs_nothing(agent: AgentBench) -> None:
    """Neither tokens nor payments, from the moment the revocation is stored."""
    guarded = GuardedCustody(agent.custody, agent.registry)
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        reason="lost_device",
        clock=agent.clock,
        registry=agent.registry,
    )
    assert set((await outcomes(guarded, agent)).values()) == {IdentityRevokedError.__name__}


async def test_a_frozen_wallet_does_not_sign(agent: AgentBench) -> None:
    """A critical violation stops payments, not the identity (AN-POL-3)."""
    await agent.write(PolicyViolationDetected(capability="x", reason="r", blocked=True, severity="critical"))
    results = await outcomes(GuardedCustody(agent.custody, agent.registry), agent)
    assert results.pop("token") == "signed"
    assert set(results.values()) == {PolicyDeniedError.__name__}


async def test_a_silent_journal_stops_it(agent: AgentBench) -> None:
    """When a revocation could have been missed, nothing is signed."""
    agent.clock.advance_us(61 * 1_000_000)
    results = await outcomes(GuardedCustody(agent.custody, agent.registry), agent)
    assert set(results.values()) == {IdentitiesStaleError.__name__}
