"""The local ledger: EIP-3009's rules over the journal, and money that can't be taken for real."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import EventQuery, Journal
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS, DEVELOPMENT_BALANCE_ATOMIC, LedgerState, LocalLedger
from life.haima.x402 import codes
from life.haima.x402.networks import BASE_SEPOLIA, LOCAL, PLAY_MONEY, USDC_BASE_SEPOLIA
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, ChainBench, ChainSuite, settle, sign
from life.testing.clock import ManualClock, SeededEntropy
from tests.harness.anvil import ACCOUNTS

ASSET = PLAY_MONEY.address


def make_bench(journal: Journal | None = None, clock: ManualClock | None = None, network: str = LOCAL) -> ChainBench:
    """A ledger over a journal, with its own entropy for every instance."""
    over = MemoryJournal() if journal is None else journal
    time = ManualClock() if clock is None else clock
    seeds = iter(range(1000))

    def open_ledger() -> LocalLedger:
        return LocalLedger(over, time, SeededEntropy(f"ledger {next(seeds)}"), network=network)

    ledger = open_ledger()

    async def fund(address: str, amount_atomic: int) -> None:
        await ledger.fund(address, amount_atomic, asset=ASSET)

    async def balance(address: str) -> int:
        return await ledger.balance(address, asset=ASSET)

    async def allow(_address: str) -> None:
        """Nobody needs an allowance here."""

    return ChainBench(
        chain=ledger,
        asset=ASSET,
        token_name=PLAY_MONEY.name,
        token_version=PLAY_MONEY.version,
        fund=fund,
        balance=balance,
        now_s=lambda: time.now_us() // 1_000_000,
        reopen=open_ledger,
        allow=allow,
    )


class TestConformance(ChainSuite):
    """The Chain port over a journal in memory."""

    @pytest.fixture
    async def bench(self) -> ChainBench:
        return make_bench()


class TestConformanceOnAnotherNetwork(ChainSuite):
    """Any eip155 network can be played."""

    @pytest.fixture
    async def bench(self) -> ChainBench:
        return make_bench(network="eip155:31337")


async def test_hashes_are_unmistakable() -> None:
    """A hash says that it is local, and does not look like one of a chain."""
    bench = make_bench()
    await bench.fund(PAYER, 10_000)
    authorization = bench.authorization(1)
    prepared, _ = await settle(bench.chain, authorization, sign(authorization))
    assert re.fullmatch(r"local:[0-9a-f]{64}", prepared.transaction_hash)


@pytest.mark.parametrize(
    ("after", "before", "code"),
    [
        (0, 1, None),
        (1, 2, codes.VALID_AFTER),
        (0, 0, codes.VALID_BEFORE),
        (-1, 1, None),
        (-2, -1, codes.VALID_BEFORE),
    ],
)
async def test_window_is_strict(after: int, before: int, code: str | None) -> None:
    """validAfter < now < validBefore, as on chain: both ends are outside. `after` and `before` are seconds from now."""
    bench = make_bench()
    await bench.fund(PAYER, 10_000)
    now_s = bench.now_s()
    authorization = bench.authorization(1)._replace(valid_after_s=now_s - 1 + after, valid_before_s=now_s + before)
    refusal = await bench.chain.check(authorization, sign(authorization))
    assert (None if refusal is None else refusal.code) == code


async def test_zero_address_takes_nothing() -> None:
    """A transfer to the zero address reverts, as in every ERC-20."""
    bench = make_bench()
    await bench.fund(PAYER, 10_000)
    authorization = bench.authorization(1)._replace(to_address="0x" + "0" * 40)
    refusal = await bench.chain.check(authorization, sign(authorization))
    assert refusal is not None
    assert refusal.code == codes.SIMULATION_FAILED


async def test_paying_oneself_changes_nothing() -> None:
    """A transfer to the payer himself uses the nonce and keeps the balance."""
    bench = make_bench()
    await bench.fund(PAYER, 10_000)
    authorization = bench.authorization(1)._replace(to_address=PAYER)
    _, settled = await settle(bench.chain, authorization, sign(authorization))
    assert settled.state == "confirmed"
    assert await bench.balance(PAYER) == 10_000


async def test_development_accounts_are_funded_once() -> None:
    """The ten accounts are those that anvil prints, each gets its balance once however often it is asked for."""
    journal, clock = MemoryJournal(), ManualClock()
    assert tuple(account.address for account in ACCOUNTS) == DEVELOPMENT_ACCOUNTS
    for seed in ("first start", "second start"):
        ledger = LocalLedger(journal, clock, SeededEntropy(seed), network=LOCAL)
        await ledger.fund_development_accounts(ASSET)
        for address in DEVELOPMENT_ACCOUNTS:
            assert await ledger.balance(address, asset=ASSET) == DEVELOPMENT_BALANCE_ATOMIC
    await ledger.fund_development_accounts(ASSET, amount_atomic=1)
    assert await ledger.balance(PAYER, asset=ASSET) == DEVELOPMENT_BALANCE_ATOMIC


async def test_networks_and_assets_are_apart() -> None:
    """Money of one network or token is none of another."""
    journal, clock = MemoryJournal(), ManualClock()
    local = LocalLedger(journal, clock, SeededEntropy("a"), network=LOCAL)
    base = LocalLedger(journal, clock, SeededEntropy("b"), network=BASE_SEPOLIA)
    await local.fund(PAYER, 5, asset=ASSET)
    assert await base.balance(PAYER, asset=ASSET) == 0
    assert await local.balance(PAYER, asset=USDC_BASE_SEPOLIA.address) == 0


@pytest.mark.parametrize("amount", [0, -1, 2**256])
async def test_unfit_funding_is_refused(amount: int) -> None:
    """Money appears only in positive amounts that a token can hold."""
    ledger = LocalLedger(MemoryJournal(), ManualClock(), SeededEntropy(), network=LOCAL)
    with pytest.raises(InvalidInputError):
        await ledger.fund(PAYER, amount, asset=ASSET)
    with pytest.raises(InvalidInputError):
        await ledger.fund("somebody", 1, asset=ASSET)


async def test_processes_agree() -> None:
    """Ten instances over one journal spend one balance that covers three payments: three settle, seven revert, none twice."""
    bench = make_bench()
    await bench.fund(PAYER, 30_000)
    authorizations = [bench.authorization(number) for number in range(1, 11)]
    results = await asyncio.gather(*(settle(bench.reopen(), each, sign(each)) for each in authorizations))
    assert sorted(settled.state for _, settled in results) == ["confirmed"] * 3 + ["reverted"] * 7
    assert await bench.balance(PAYEE) == 30_000
    assert await bench.balance(PAYER) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), max_size=25))
async def test_money_is_conserved_and_the_fold_is_the_state(orders: list[tuple[int, int]]) -> None:
    """Whatever is settled, no balance is negative, their sum is what was funded, and folding the stream from its start
    gives the live state, at every prefix the same as a state that had stopped there."""
    journal = MemoryJournal()
    bench = make_bench(journal)
    await bench.fund(PAYER, 100)
    for nonce, value in orders:
        authorization = bench.authorization(nonce, value_atomic=value)
        await settle(bench.chain, authorization, sign(authorization))
    records = await journal.read(EventQuery(session_id=f"ledger:{LOCAL}"), limit=1000)
    replayed = LedgerState()
    for record in records:
        replayed.apply(record)
        assert all(balance >= 0 for balance in replayed.balances.values())
        assert sum(replayed.balances.values()) == 100
    ledger = bench.reopen()
    assert isinstance(ledger, LocalLedger)
    live = await ledger.state()
    assert (replayed.balances, replayed.transfers, replayed.outcomes) == (live.balances, live.transfers, live.outcomes)
    assert len(live.transfers) == len({event.nonce for event in live.transfers.values()})
