"""Paying on Solana by the law of the house: one transaction per purchase, whatever crashes, repeats, lies or gets lost."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from life.aios.errors import CustodyError
from life.anima.custody.solana_wallet import SolanaWallet
from life.haima import events
from life.haima.errors import (
    ChainUnavailableError,
    NoAcceptableTermsError,
    OutcomeUnknownError,
    PolicyDeniedError,
    WalletMismatchError,
)
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.solana import paying
from life.haima.solana.paying import LAG_BLOCKS
from life.haima.x402.networks import SOLANA_DEVNET, USDC_SOLANA_DEVNET
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, FaultyJournal
from tests.haima.payer_kit import wallet
from tests.haima.solana.kit import PAYEE, InstantClock, payer, prepare
from tests.haima.solana.market import OPEN, Change, Line, Shop, account, buy, close_all, make_payer, written
from tests.harness.solana_node import LIFETIME_BLOCKS, SolanaNode

GONE = LIFETIME_BLOCKS + LAG_BLOCKS + 1


@pytest.fixture
async def node() -> AsyncIterator[SolanaNode]:
    with SolanaNode(mint=USDC_SOLANA_DEVNET.address) as running:
        prepare(running)
        yield running
        await close_all()


async def test_a_purchase_is_paid_and_booked(node: SolanaNode) -> None:
    """The money moves once, the books say so, and the same purchase again has the same answer."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    ours = make_payer(node, journal, InstantClock())
    await ours.open()
    answer = await buy(ours, line)
    assert (answer.status_code, answer.text) == (200, "the goods")
    await ours.flush()
    names = [type(event).__name__ for event in await written(journal)]
    assert names == ["PaymentReserved", "PaymentSigned", "PaymentSettled"]
    reserved = (await written(journal))[0]
    assert isinstance(reserved, events.PaymentReserved)
    assert (reserved.transfer_method, reserved.payee, reserved.amount_micro) == ("solana", PAYEE, 10_000)
    assert (await buy(ours, line)).text == "the goods"
    assert (node.tokens_of(PAYEE), shop.runs, len(set(line.transactions))) == (10_000, 1, 1)
    state = ours.purse(SOLANA_DEVNET).state
    assert (state.settled_micro, state.outstanding_micro) == (10_000, 0)
    await ours.aclose()


CRASHES = [
    *(f"append-{number}-{when}" for number in range(1, 5) for when in ("before", "after")),
    "before_sending",
    "before_the_answer",
    "none",
]


@pytest.mark.parametrize("second", ["none", "before_the_answer", "append-1-before", "append-1-after"])
@pytest.mark.parametrize("first", CRASHES)
async def test_every_crash(node: SolanaNode, first: str, second: str) -> None:
    """Two crashes at any points, then a quiet run: the purchase ends with its goods, one transaction was ever presented, and
    the money moved once."""
    shop, inner, clock = Shop(node), MemoryJournal(), InstantClock()
    await shop.app.start()
    line = Line(shop)
    text = ""
    for number, crash in enumerate((first, second, "none")):
        journal = FaultyJournal(inner)
        if crash.startswith("append"):
            _, place, when = crash.split("-")
            journal.faults = ["none"] * (int(place) - 1)
            journal.faults.append("crash_before" if when == "before" else "crash_after")
        line.crash = crash
        ours = make_payer(node, journal, clock, seed=f"process-{number}")
        try:
            await ours.open()
            text = (await buy(ours, line)).text
            if crash == "none":
                await ours.aclose()
        except CrashError:
            pass
        except OutcomeUnknownError:
            await _close(ours)
        journal.dead = True
    assert text == "the goods"
    assert len(set(line.transactions)) == 1, "never two transactions for one purchase"
    assert (node.tokens_of(PAYEE), list(node.executed.values())) == (10_000, [1])
    signatures = {event.signature for event in await written(inner) if isinstance(event, events.PaymentSigned)}
    assert len(signatures) == 1


async def test_a_lost_answer_is_asked_for_again(node: SolanaNode) -> None:
    """OutcomeUnknownError, then the very same transaction, then the goods."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    line.lose = 1
    ours = make_payer(node, journal, InstantClock())
    await ours.open()
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line)
    assert ours.purse(SOLANA_DEVNET).state.outstanding_micro == 10_000
    assert (await buy(ours, line)).text == "the goods"
    assert len(line.sent) == 2
    assert len(set(line.transactions)) == 1
    assert (node.tokens_of(PAYEE), shop.runs) == (10_000, 1)
    await ours.aclose()


async def test_an_answer_that_never_comes_is_told_by_the_chain(node: SolanaNode) -> None:
    """It was executed: found in the wallet's history by its message, settled, and not paid again."""
    shop, journal, clock = Shop(node), MemoryJournal(), InstantClock()
    line = Line(shop)
    await shop.app.start()
    line.lose = 1
    ours = make_payer(node, journal, clock)
    await ours.open()
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line)
    clock.us += 600_000_000
    for _ in range(3):  # others pay the same wallet's way, too
        node.advance_blocks(1)
    done = await ours.reconcile()
    assert (done.settled, done.released, done.still_open) == (1, 0, 0)
    assert (await buy(ours, line)).text == "the goods", "the shop kept its answer"
    assert len(set(line.transactions)) == 1
    assert node.tokens_of(PAYEE) == 10_000
    await ours.aclose()


@pytest.mark.parametrize("tells_memos", [True, False], ids=["memos", "no-memos"])
async def test_it_is_found_behind_many_others(
    node: SolanaNode, monkeypatch: pytest.MonkeyPatch, tells_memos: bool
) -> None:
    """The history is read page by page, back to where the transaction was made; a node need not tell memos."""
    monkeypatch.setattr(paying, "_PAGE", 2)
    shop, journal, clock = Shop(node), MemoryJournal(), InstantClock()
    line = Line(shop)
    await shop.app.start()
    ours = make_payer(node, journal, clock)
    await ours.open()
    await buy(ours, line, "before")
    line.lose = 1
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line, "lost")
    for number in range(6):
        node.advance_blocks(1)
        await buy(ours, line, f"after-{number}")
    node.tells_memos, node.calls["getTransaction"] = tells_memos, 0
    assert (await ours.reconcile()).settled == 1
    assert node.calls["getTransaction"] == (1 if tells_memos else 7)
    assert ours.purse(SOLANA_DEVNET).state.settled_micro == 80_000 == node.tokens_of(PAYEE)
    await ours.aclose()


async def test_a_transaction_that_failed_on_the_chain_is_over(node: SolanaNode) -> None:
    """Executed with an error: no money moved, and the same transaction is never executed again."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    ours = make_payer(node, journal, InstantClock())
    await ours.open()
    line.lose, node.drop_next = 1, 10_000
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line)
    node.give_tokens(payer().address, 0)
    node.drop_next = 0
    assert (await buy(ours, line)).status_code == 402
    assert (len(set(line.transactions)), list(node.executed.values())) == (1, [1])
    assert (await ours.reconcile()).released == 1
    assert node.tokens_of(PAYEE) == 0
    await ours.aclose()


async def test_what_was_never_executed_is_released_on_the_chains_word_only(node: SolanaNode) -> None:
    """Expired block: no clock releases it, nor a node that lags, has lost its history, or does not answer. The chain, past the
    last block, does; then a new transaction buys."""
    shop, journal, clock = Shop(node), MemoryJournal(), InstantClock()
    line = Line(shop)
    await shop.app.start()
    node.drop_next = 10_000
    ours = make_payer(node, journal, clock)
    await ours.open()
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line)
    clock.us += 3_600_000_000
    assert (await ours.reconcile()).still_open == 1
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line)
    node.advance_blocks(GONE)
    node.lag_blocks = LAG_BLOCKS
    assert (await ours.reconcile()).still_open == 1, "a node that lags proves nothing"
    node.lag_blocks, node.first_slot = 0, 1_000
    assert (await ours.reconcile()).still_open == 1, "nor one that forgot"
    node.first_slot, node.down = 0, True
    assert (await ours.reconcile()).still_open == 1, "nor one that is down"
    node.down, node.drop_next = False, 0
    done = await ours.reconcile()
    assert (done.settled, done.released, done.still_open) == (0, 1, 0)
    assert ours.purse(SOLANA_DEVNET).state.outstanding_micro == 0
    assert (await buy(ours, line)).text == "the goods"
    assert len(set(line.transactions)) == 2
    assert node.tokens_of(PAYEE) == 10_000
    await ours.aclose()


async def test_a_refused_payment_counts_until_the_chain_has_forgotten_it(node: SolanaNode) -> None:
    """A seller that says no can still have the transaction executed, as long as its block lives."""
    shop, journal, clock = Shop(node), MemoryJournal(), InstantClock()
    line = Line(shop)
    await shop.app.start()
    node.give_tokens(payer().address, 0)
    ours = make_payer(node, journal, clock)
    await ours.open()
    assert (await buy(ours, line)).status_code == 402
    node.give_tokens(payer().address, 50_000)
    clock.us += 3_600_000_000
    assert (await ours.reconcile()).still_open == 1
    assert ours.purse(SOLANA_DEVNET).state.outstanding_micro == 10_000
    node.advance_blocks(GONE)
    assert (await ours.reconcile()).released == 1
    assert (await buy(ours, line)).text == "the goods"
    assert node.tokens_of(PAYEE) == 10_000
    await ours.aclose()


async def test_the_caps_hold(node: SolanaNode) -> None:
    """Solana's dollars count as any: per payment, in sum, and while an outcome is open."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    policy = PaymentPolicy(max_tx_per_minute=1_000, auto_approve_cap_micro=10_000, session_spend_cap_micro=25_000)
    ours = make_payer(node, journal, InstantClock(), policy=policy)
    await ours.open()
    line.lose = 1
    with pytest.raises(OutcomeUnknownError):
        await buy(ours, line, "order-1")
    assert (await buy(ours, line, "order-2")).status_code == 200
    with pytest.raises(PolicyDeniedError) as denied:
        await buy(ours, line, "order-3")
    assert denied.value.verdict == "session_cap"
    assert len(set(line.transactions)) == 2
    await ours.aclose()
    small = PaymentPolicy(auto_approve_cap_micro=9_999)
    ours = make_payer(node, MemoryJournal(), InstantClock(), policy=small)
    await ours.open()
    with pytest.raises(PolicyDeniedError) as denied:
        await buy(ours, line, "order-4")
    assert (denied.value.verdict, denied.value.ticket_id is not None) == ("needs_approval", True)
    await ours.aclose()


async def test_many_at_once_are_one(node: SolanaNode) -> None:
    """Two processes over one journal, eight tasks each, one purchase: one transaction."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    payers = [make_payer(node, journal, InstantClock(), seed=f"p{number}") for number in range(2)]
    for ours in payers:
        await ours.open()
    answers = await asyncio.gather(*(buy(ours, line) for ours in payers for _ in range(8)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(set(line.transactions)) == 1
    assert (node.tokens_of(PAYEE), shop.runs) == (10_000, 1)
    for ours in payers:
        await ours.aclose()


STRANGER = str(Keypair().pubkey())


def _set(name: str, value: object) -> Change:
    return lambda terms: terms["accepts"][0].update({name: value})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_set("extra", {}), NoAcceptableTermsError),
        (_set("extra", {"feePayer": payer().address}), NoAcceptableTermsError),
        (_set("extra", {"feePayer": "0x" + "11" * 20}), NoAcceptableTermsError),
        (_set("asset", STRANGER), PolicyDeniedError),
        (_set("asset", USDC_SOLANA_DEVNET.address.swapcase()), (NoAcceptableTermsError, PolicyDeniedError)),
        (_set("payTo", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), NoAcceptableTermsError),
        (_set("amount", "0"), NoAcceptableTermsError),
        (_set("amount", str(1 << 64)), NoAcceptableTermsError),
        (_set("amount", "2000000"), PolicyDeniedError),
        (_set("scheme", "upto"), NoAcceptableTermsError),
        (_set("network", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), NoAcceptableTermsError),
        (_set("extra", {"feePayer": STRANGER, "memo": "x" * 257}), NoAcceptableTermsError),
    ],
)
async def test_terms_that_lie(
    node: SolanaNode, change: Change, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Another fee payer than can be, another mint, an amount above the cap, no address: nothing is signed."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    line.change = change
    ours = make_payer(node, journal, InstantClock())
    await ours.open()
    with pytest.raises(error):
        await buy(ours, line)
    await ours.flush()
    assert not [event for event in await written(journal) if isinstance(event, events.PaymentReserved)]
    assert line.sent == []
    await ours.aclose()


async def test_a_seller_can_add_nothing_to_the_transaction(node: SolanaNode) -> None:
    """Whatever stands in `extra`, what is signed is a budget, one transfer of the reserved amount, and a memo; with the
    seller's own block of his choosing left aside."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()

    def crowd(terms: dict[str, object]) -> None:
        accepts = terms["accepts"]
        assert isinstance(accepts, list)
        accepts[0]["extra"].update(
            {"instructions": ["drain"], "recentBlockhash": "1" * 32, "feePayer": STRANGER, "memo": "order 7"}
        )

    line.change = crowd
    ours = make_payer(node, journal, InstantClock())
    await ours.open()
    assert (await buy(ours, line)).status_code == 402, "these are not the shop's terms"
    (raw,) = line.transactions
    message = VersionedTransaction.from_bytes(base64.b64decode(raw)).message
    assert len(message.instructions) == 4
    assert bytes(message.instructions[3].data) == b"order 7"
    assert str(message.account_keys[0]) == STRANGER
    assert str(message.recent_blockhash) != "1" * 32
    assert node.tokens_of(PAYEE) == 0
    await ours.aclose()


async def test_a_wallet_that_signs_something_else(node: SolanaNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature that is not over the reserved transaction never leaves; the reservation is given back."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    ours = make_payer(node, journal, InstantClock())
    await ours.open()

    async def other(self: SolanaWallet, transfer: object) -> bytes:
        return bytes(Keypair().sign_message(b"something else"))

    monkeypatch.setattr(SolanaWallet, "sign_transfer", other)
    with pytest.raises(CustodyError):
        await buy(ours, line)
    assert (line.sent, ours.purse(SOLANA_DEVNET).state.outstanding_micro) == ([], 0)
    await ours.aclose()


async def test_without_its_node_nothing_is_paid(node: SolanaNode) -> None:
    """No block, no payment: the error says so, and nothing is reserved."""
    shop, journal = Shop(node), MemoryJournal()
    line = Line(shop)
    await shop.app.start()
    ours = make_payer(node, journal, InstantClock())
    await ours.open()
    await buy(ours, line, "order-0")
    node.down = True
    with pytest.raises((ChainUnavailableError, OutcomeUnknownError)):
        await buy(ours, line)
    assert len(line.sent) == 1
    await ours.aclose()


async def test_a_wallet_of_each_kind(node: SolanaNode) -> None:
    """One payer with both: books for each network, one address each; without any wallet there is no payer."""
    clock = ManualClock()
    both = Payer(
        journal=MemoryJournal(),
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy("both"),
        agent_id="agent-1",
        policy=OPEN,
        solana=account(node),
    )
    assert both.purse("solana-devnet").address == payer().address
    assert both.purse("local").address == both.address != payer().address
    with pytest.raises(WalletMismatchError):
        Payer(journal=MemoryJournal(), custody=None, clock=clock, entropy=SeededEntropy("none"), agent_id="agent-1")


async def _close(ours: Payer) -> None:
    try:
        await ours.aclose()
    except CrashError:
        pass
