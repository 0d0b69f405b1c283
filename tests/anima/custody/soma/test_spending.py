"""The soul's limits at the oracle: per payment, in a window, for ever, across starts; and what may be paid with at all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.custody import EvmTransaction, PermitTransfer, TokenPermit, TransferAuthorization
from life.anima.custody.soma.client import SomaCustody
from life.anima.custody.soma.policy import AgentRule, AllowRule, TransactionRule
from life.anima.custody.soma.protocol import Provision
from life.anima.custody.soma.spending import SoulSpending, amount_of
from life.anima.errors import CustodyInputError, KeyNotFoundError, PolicyDeniedError
from life.anima.policy import EconomicLimits, PolicyManifest
from life.crypto.permit2 import EXACT_PROXY, PERMIT2
from life.testing.clock import ManualClock
from tests.anima.custody.requests import NOW_S, PAYEE, USDC, payment
from tests.anima.custody.soma.oracle import BASE_SEPOLIA_USDC, rule, running_oracle

RULE = AllowRule(agents=("alice",), operations=("sign_authorization",), uid=0)
AGENT = AgentRule(assets=(BASE_SEPOLIA_USDC,), session_window_s=100)
LIMITS = PolicyManifest(
    economic_limits=EconomicLimits(
        max_spend_per_tx_micro_credits=10,
        max_spend_per_session_micro_credits=25,
        max_lifetime_spend_micro_credits=60,
    )
)
WALLET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def authorization(number: int, value: int) -> TransferAuthorization:
    """A payment of its own."""
    return TransferAuthorization(
        "eip155:84532", USDC, "USDC", "2", WALLET, PAYEE, value, 0, NOW_S + 60, number.to_bytes(32, "big")
    )


def permit(value: int) -> PermitTransfer:
    """A payment by Permit2."""
    return PermitTransfer("eip155:84532", USDC, WALLET, PAYEE, value, EXACT_PROXY, 1, NOW_S + 60)


def transfer(value: int, **changes: object) -> EvmTransaction:
    """A transaction that transfers USDC."""
    data = bytes.fromhex("a9059cbb") + bytes(12) + b"\x11" * 20 + value.to_bytes(32, "big")
    plain = EvmTransaction(84532, 0, 1, 10, 100_000, USDC, 0, data)
    return plain._replace(**changes)  # type: ignore[arg-type]


WITH_TRANSFERS = AgentRule(
    assets=AGENT.assets,
    transactions=(TransactionRule(chain_id=84532, to=USDC, max_fee_wei=1_000_000),),
)


def test_each_limit_of_the_soul_holds() -> None:
    """Per payment, in any window of the session's length, and for ever."""
    spending = SoulSpending(LIMITS)

    def reserve(number: int, value: int, at_s: int) -> None:
        spending.reserve(authorization(number, value), RULE, AGENT, now_us=at_s * 1_000_000)

    with pytest.raises(PolicyDeniedError, match="per_tx"):
        reserve(0, 11, 0)
    reserve(1, 10, 0)
    reserve(2, 10, 1)
    with pytest.raises(PolicyDeniedError, match="per_session"):
        reserve(3, 6, 99)
    reserve(4, 5, 99)
    reserve(5, 10, 101)
    reserve(6, 10, 300)
    reserve(7, 10, 301)
    with pytest.raises(PolicyDeniedError, match="lifetime"):
        reserve(8, 6, 1000)
    reserve(9, 5, 1000)
    with pytest.raises(PolicyDeniedError, match="lifetime"):
        reserve(10, 1, 10_000)


def test_the_same_payment_counts_once_and_a_failed_one_not_at_all() -> None:
    """Asking again costs nothing, under whatever reservation; what the wallet then refused is given back."""
    spending = SoulSpending(LIMITS)
    one = authorization(1, 10)
    assert spending.reserve(one, RULE, AGENT, now_us=0).amount_micro == 10
    assert spending.reserve(one._replace(reservation_id="other"), RULE, AGENT, now_us=1).amount_micro == 0
    second = spending.reserve(authorization(2, 10), RULE, AGENT, now_us=2)
    spending.release(second)
    spending.release(spending.reserve(one, RULE, AGENT, now_us=3))
    assert spending.reserve(authorization(3, 10), RULE, AGENT, now_us=4).amount_micro == 10
    with pytest.raises(PolicyDeniedError, match="per_session"):
        spending.reserve(authorization(4, 10), RULE, AGENT, now_us=5)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40), st.booleans()), max_size=60))
def test_no_sequence_gets_past_the_limits(payments: list[tuple[int, int, bool]]) -> None:
    """Whatever is asked for, whenever, and given back or not: what counts never exceeds a limit."""
    spending, now_s = SoulSpending(LIMITS), 0
    kept: list[tuple[int, int]] = []
    for number, (value, wait_s, fails) in enumerate(payments):
        now_s += wait_s
        try:
            reserved = spending.reserve(authorization(number, value), RULE, AGENT, now_us=now_s * 1_000_000)
        except PolicyDeniedError:
            continue
        if fails:
            spending.release(reserved)
        else:
            kept.append((now_s, value))
    assert sum(value for _, value in kept) <= 60
    for at_s, _ in kept:
        assert sum(value for when, value in kept if at_s - 100 < when <= at_s) <= 25
    assert all(value <= 10 for _, value in kept)


def test_every_kind_of_payment_counts() -> None:
    """Permit2 payments and transfers by transaction like authorizations; the allowance beside a permit is bounded only."""
    spending = SoulSpending(LIMITS)
    assert spending.reserve(permit(10), RULE, AGENT, now_us=0).amount_micro == 10
    assert spending.reserve(transfer(10), RULE, WITH_TRANSFERS, now_us=0).amount_micro == 10
    allowance = TokenPermit("eip155:84532", USDC, "USDC", "2", WALLET, PERMIT2, 10, 0, NOW_S + 60)
    assert spending.reserve(allowance, RULE, AGENT, now_us=0).amount_micro == 0
    with pytest.raises(PolicyDeniedError, match="per_tx"):
        spending.reserve(allowance._replace(value_atomic=11), RULE, AGENT, now_us=0)
    with pytest.raises(PolicyDeniedError, match="per_session"):
        spending.reserve(permit(10)._replace(nonce=2), RULE, AGENT, now_us=0)


@pytest.mark.parametrize(
    ("request_", "agent"),
    [
        (authorization(1, 1)._replace(network="eip155:8453"), AGENT),
        (authorization(1, 1)._replace(asset=PAYEE), AGENT),
        (authorization(1, 1), AgentRule()),
        (permit(1)._replace(asset=PAYEE), AGENT),
        (transfer(1), AGENT),
        (transfer(1, to_address=PAYEE), WITH_TRANSFERS),
        (transfer(1, chain_id=1), WITH_TRANSFERS),
        (transfer(1, value_wei=1), WITH_TRANSFERS),
        (transfer(1, max_fee_per_gas_wei=11), WITH_TRANSFERS),
        (transfer(1, data=b""), WITH_TRANSFERS),
        (transfer(1, data=bytes.fromhex("095ea7b3") + bytes(64)), WITH_TRANSFERS),
        (transfer(1, data=transfer(1).data + b"\x00"), WITH_TRANSFERS),
    ],
)
def test_only_what_the_policy_names_is_paid(request_: TransferAuthorization | EvmTransaction, agent: AgentRule) -> None:
    """Another token, chain or recipient, too much of a fee, an approval in place of a transfer: refused."""
    with pytest.raises(PolicyDeniedError):
        SoulSpending(LIMITS).reserve(request_, RULE, agent, now_us=0)


def test_named_contracts_and_accounts_may_be_called_within_bounds() -> None:
    """A transaction to a named account that is no token is bounded in wei and moves no micro-credits."""
    agent = AgentRule(transactions=(TransactionRule(chain_id=1, to=PAYEE, max_value_wei=5, max_fee_wei=10),))
    call = EvmTransaction(1, 0, 1, 1, 10, PAYEE.lower(), 5, b"anything")
    assert amount_of(call, agent) is None
    for excessive in (call._replace(value_wei=6), call._replace(gas_limit=11)):
        with pytest.raises(PolicyDeniedError):
            amount_of(excessive, agent)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda: authorization(1, -5),
        lambda: authorization(1, 1)._replace(asset="0x12"),
        lambda: authorization(1, 1)._replace(network="solana:x"),
        lambda: transfer(1, to_address=""),
    ],
)
def test_what_can_not_be_right_is_an_input_error(break_it: Callable[[], TransferAuthorization]) -> None:
    """Malformed requests are refused before anything is counted."""
    with pytest.raises(CustodyInputError):
        SoulSpending(LIMITS).reserve(break_it(), RULE, AGENT, now_us=0)


def test_a_caller_may_have_a_limit_of_its_own() -> None:
    """`max_payment_micro` of a rule holds beside the soul's limits."""
    narrow = AllowRule(agents=("alice",), operations=("sign_authorization",), uid=0, max_payment_micro=3)
    with pytest.raises(PolicyDeniedError, match="may pay 3"):
        SoulSpending(LIMITS).reserve(authorization(1, 4), narrow, AGENT, now_us=0)


async def test_limits_hold_over_the_socket_and_across_starts(tmp_path: Path) -> None:
    """A hundred payments at once spend exactly the soul's limit; a new start remembers it, a hard stop or not."""
    clock = ManualClock()
    provision = Provision(agent="alice", max_per_tx_micro=10, max_per_session_micro=100, max_lifetime_micro=150)

    async def pay(handle: SomaCustody, count: int, first: int) -> int:
        asked = [
            payment(handle, nonce=number.to_bytes(32, "big"), value_atomic=10) for number in range(first, first + count)
        ]
        results = await asyncio.gather(*map(handle.sign_authorization, asked), return_exceptions=True)
        assert all(isinstance(result, bytes | PolicyDeniedError) for result in results)
        return sum(isinstance(result, bytes) for result in results)

    async with running_oracle(tmp_path / "soma", clock=clock, provision=provision) as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=clock)
        assert await pay(handle, 100, 0) == 10
        with pytest.raises(CustodyInputError):
            await handle.sign_authorization(payment(handle, valid_before_s=NOW_S - 1))
    async with running_oracle(tmp_path / "soma", clock=clock):
        assert await pay(handle, 5, 200) == 0
        clock.advance_us(86_401 * 1_000_000)
        later = clock.now_us() // 1_000_000
        asked = [
            payment(handle, nonce=n.to_bytes(32, "big"), value_atomic=10, valid_before_s=later + 60)
            for n in range(300, 310)
        ]
        results = await asyncio.gather(*map(handle.sign_authorization, asked), return_exceptions=True)
        assert sum(isinstance(result, bytes) for result in results) == 5
        assert any("lifetime" in str(result) for result in results)
    await handle.close()


async def test_a_wallet_that_demands_reservations(tmp_path: Path) -> None:
    """By default no payment is signed without naming what allows it."""
    async with running_oracle(tmp_path / "soma", agent={"assets": [BASE_SEPOLIA_USDC]}, allow=[rule()]) as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
        with pytest.raises(PolicyDeniedError, match="reservation"):
            await handle.sign_authorization(payment(handle))
        assert await handle.sign_authorization(payment(handle, reservation_id="res-1"))
        await handle.close()


async def test_an_agent_whose_folder_was_taken_away_stops_nobody(tmp_path: Path) -> None:
    """The audit still tells of what it spent; the daemon starts, and says that it has no such keys."""
    async with running_oracle(tmp_path / "soma", allow=[rule(agents=["*"])]) as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
        await handle.sign_authorization(payment(handle))
        await handle.close()
    shutil.rmtree(tmp_path / "soma" / "store" / "agents" / "alice")
    bob = Provision(agent="bob")
    async with running_oracle(tmp_path / "soma", provision=bob) as oracle:
        with pytest.raises(KeyNotFoundError):
            await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
        handle = await SomaCustody.open(oracle.socket, "bob", clock=ManualClock())
        assert await handle.sign_token({})
        await handle.close()
