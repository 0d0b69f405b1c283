"""The books against the chain: what was in doubt is settled by what the chain says, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from life.aios.ids import derived_event_id
from life.aios.money import format_micro
from life.aios.ports.custody import TransferAuthorization
from life.cli.haima_reconcile import reconcile_
from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.chain.local_ledger import LocalLedger
from life.haima.events import PaymentReserved, finance_event, wallet_stream
from life.haima.reservations import authorization_of
from life.haima.x402.networks import BUILT_IN, LOCAL
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_books import open_books
from life.host.haima_reconciliation import Reconciled, reconcile
from life.lago.journal.sqlite import SqliteJournal
from life.testing.chain import sign
from tests.haima.books_kit import reserved
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.harness.anvil import FACILITATOR, PAYER, Anvil
from tests.harness.fixtures import chain, session_chain

__all__ = ["chain", "session_chain"]

ASSET = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"


def promise(
    number: int, network: str, *, expires_in_s: int, amount: int = 1_000, asset: str = ASSET
) -> PaymentReserved:
    """A reservation of the development wallet that ends so many seconds from now."""
    now_s = SystemClock().now_us() // 1_000_000
    return msgspec.structs.replace(
        reserved(derived_event_id("test", str(number)), amount),
        network=network,
        asset=asset,
        wallet=PAYER.address,
        nonce="0x" + f"{number:02x}" * 32,
        valid_after_s=0,
        valid_before_s=now_s + expires_in_s,
    )


async def write(directory: Path, *promises: PaymentReserved) -> None:
    """A wallet's journal with these reservations, and nothing about what became of them."""
    async with SqliteJournal.open(directory / "journal.db", clock=SystemClock()) as journal:
        for event in promises:
            stored = finance_event(
                event,
                SystemClock(),
                SystemEntropy(),
                stream=wallet_stream(event.network, event.wallet),
                agent_id="a",
                event_id=event.payment_id,
            )
            await journal.append([stored])


def signed(event: PaymentReserved) -> tuple[TransferAuthorization, bytes]:
    """The reserved authorization and the wallet's signature."""
    authorization = authorization_of(event)
    assert isinstance(authorization, TransferAuthorization)
    return authorization, sign(authorization, bytes.fromhex(PAYER.key.removeprefix("0x")))


def states(done: Reconciled) -> dict[str, str]:
    """What became of each payment."""
    return {payment.payment_id: payment.state for payment in done.payments}


async def test_the_local_ledger_settles_what_was_in_doubt(tmp_path: Path) -> None:
    """Used: settled. Unused and over: given back. Unused and not over: open. A second look finds only what is open."""
    used, over, alive = (
        promise(number, LOCAL, expires_in_s=expires) for number, expires in ((1, 600), (2, -3600), (3, 600))
    )
    await write(tmp_path, used, over, alive)
    async with SqliteJournal.open(tmp_path / "journal.db", clock=SystemClock()) as journal:
        ledger = LocalLedger(journal, SystemClock(), SystemEntropy(), network=LOCAL)
        await ledger.fund(PAYER.address, 10_000, asset=ASSET, reason="test")
        authorization, signature = signed(used)
        await ledger.broadcast(await ledger.prepare(authorization, signature))
    first = await reconcile(tmp_path, {})
    assert states(first) == {used.payment_id: "settled", over.payment_id: "released", alive.payment_id: "open"}
    assert not first.agrees
    assert states(await reconcile(tmp_path, {})) == {alive.payment_id: "open"}
    async with open_books(tmp_path) as opened:
        books = await opened.read()
        assert books.wallet(LOCAL, PAYER.address)[1] == 1_000
        assert books.balance("Expenses:Payments") == 1_000


async def test_a_drift_is_taken_over_only_when_nothing_is_under_way(tmp_path: Path) -> None:
    """Money from outside comes into the books once the wallet is quiet; with --no-adjust never."""
    over = promise(2, LOCAL, expires_in_s=-3600)
    await write(tmp_path, over)
    async with SqliteJournal.open(tmp_path / "journal.db", clock=SystemClock()) as journal:
        ledger = LocalLedger(journal, SystemClock(), SystemEntropy(), network=LOCAL)
        known = BUILT_IN.default_token(LOCAL)
        assert known is not None
        await ledger.fund(PAYER.address, 7_000, asset=known.address, reason="test")
    untouched = await reconcile(tmp_path, {}, adjust=False)
    assert [(wallet.drift_micro, wallet.adjusted) for wallet in untouched.wallets] == [(7_000, False)]
    taken = await reconcile(tmp_path, {})
    assert [(wallet.drift_micro, wallet.adjusted) for wallet in taken.wallets] == [(7_000, True)]
    agreed = await reconcile(tmp_path, {})
    assert [wallet.drift_micro for wallet in agreed.wallets] == [0]
    assert agreed.agrees


async def test_a_ledger_that_another_journal_keeps_is_not_guessed_about(tmp_path: Path) -> None:
    """Play money that a facilitator keeps in its own directory: nothing is released, no balance is taken over."""
    await write(tmp_path, promise(2, LOCAL, expires_in_s=-3600))
    done = await reconcile(tmp_path, {})
    assert list(states(done).values()) == ["unknown"]
    assert not any(wallet.adjusted for wallet in done.wallets)


async def test_a_network_without_a_node_is_not_guessed_about(tmp_path: Path) -> None:
    """Nothing is released and no balance claimed on nobody's word."""
    over = promise(2, "eip155:84532", expires_in_s=-3600)
    await write(tmp_path, over)
    done = await reconcile(tmp_path, {})
    assert states(done) == {over.payment_id: "unknown"}
    assert [wallet.on_chain_micro for wallet in done.wallets] == [None]
    assert not done.agrees


@pytest.mark.part("anvil", "solc")
async def test_a_real_chain_names_the_transaction(chain: Anvil, tmp_path: Path) -> None:
    """A payment whose note was lost is settled under the hash that the chain's logs have; the balances agree."""
    chain.mint(PAYER.address, 50_000)
    used = promise(1, chain.network, expires_in_s=600, amount=20_000, asset=chain.token)
    over = promise(2, chain.network, expires_in_s=-3600, asset=chain.token)
    await write(tmp_path, used, over)
    rpc = JsonRpc(chain.url, timeout_s=5)
    try:
        gas = DevelopmentGasAccount(FACILITATOR.key)
        evm = EvmChain(rpc, network=chain.network, gas_custody=gas, clock=SystemClock())
        authorization, signature = signed(used)
        prepared = await evm.prepare(authorization, signature)
        await evm.broadcast(prepared)
        chain.wait_for_receipt(prepared.transaction_hash)
        done = await reconcile(tmp_path, {chain.network: rpc})
    finally:
        await rpc.aclose()
    by_id = {payment.payment_id: payment for payment in done.payments}
    assert by_id[used.payment_id].state == "settled"
    assert by_id[used.payment_id].transaction == prepared.transaction_hash
    assert by_id[over.payment_id].state == "released"
    (wallet,) = done.wallets
    assert wallet.on_chain_micro == chain.balance_of(PAYER.address)
    assert wallet.adjusted


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    """A table for people, one document for programs, exit code 3 while something is open."""
    alive = promise(3, LOCAL, expires_in_s=600)
    asyncio.run(write(tmp_path, alive))
    told = CliRunner().invoke(reconcile_, ["--data-dir", str(tmp_path)])
    assert told.exit_code == 3
    assert alive.payment_id in told.output
    assert format_micro(1_000) in told.output
    document = json.loads(CliRunner().invoke(reconcile_, ["--data-dir", str(tmp_path), "--json"]).output)
    assert document["agrees"] is False
    assert document["payments"][0]["state"] == "unknown"  # the play money's ledger is in another journal
    assert "kept in another journal" in told.output
    assert "--rpc" not in told.output
    nowhere = CliRunner().invoke(reconcile_, ["--data-dir", str(tmp_path / "nothing")])
    assert nowhere.exit_code == 1
