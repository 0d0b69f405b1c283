"""Reservations: caps that hold for tasks and processes at once, one payment per purchase, and what a broken journal does."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from life.aios.errors import InvalidInputError, JournalUnavailableError, NotFoundError
from life.aios.ports.journal import Journal
from life.haima import events, reservations
from life.haima.errors import ApprovalDecidedError, PolicyDeniedError, PurchaseConflictError
from life.haima.policy import PaymentPolicy, SoulLimits
from life.haima.purse import Order, Purse
from life.haima.reservations import EXPIRY_MARGIN_S, Payment
from life.haima.x402.networks import LOCAL, PLAY_MONEY, TokenDomain
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import FaultyJournal
from tests.haima.payer_kit import ADDRESS, AGENT, OPEN_POLICY, kinds, replayed, same_state

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
DOMAIN = TokenDomain(PLAY_MONEY.name, PLAY_MONEY.version, 4020402, PLAY_MONEY.address, 6)


def order(purchase_id: str, amount_micro: int = 100, **changes: object) -> Order:
    """A payment that somebody wants to make."""
    base = Order(
        purchase_id=purchase_id,
        request_key="request",
        resource_url="https://a.example/x",
        network=LOCAL,
        network_known=True,
        asset=PLAY_MONEY.address,
        domain=DOMAIN,
        payee=PAYEE,
        amount_atomic=amount_micro,
        amount_micro=amount_micro,
        timeout_s=300,
        accepted=msgspec.Raw(b'{"scheme":"exact"}'),
        resource=msgspec.UNSET,
        extensions=msgspec.UNSET,
        session_id="s",
    )
    return base._replace(**changes)  # type: ignore[arg-type]


def make(
    journal: Journal,
    *,
    clock: ManualClock | None = None,
    seed: str = "purse",
    policy: PaymentPolicy = OPEN_POLICY,
    soul: SoulLimits | None = None,
) -> Purse:
    """A purse over a journal; another seed is another process."""
    return Purse(
        journal,
        clock or ManualClock(),
        SeededEntropy(seed),
        network=LOCAL,
        address=ADDRESS,
        agent_id=AGENT,
        policy=policy,
        soul=soul,
    )


def settle(purse: Purse, payment: Payment) -> None:
    """The payee says that it was paid."""
    purse.settle(
        events.PaymentSettled(
            payment_id=payment.payment_id,
            tx_hash="0x1",
            amount_micro_credits=payment.reserved.amount_micro,
            chain=LOCAL,
            latency_ms=1,
            facilitator="",
        )
    )


async def test_a_reservation_is_on_disk_when_it_is_given() -> None:
    """Intent before effect: the journal holds the whole authorization before `reserve` returns."""
    journal = MemoryJournal()
    purse = make(journal)
    await purse.open()
    reserved = await purse.reserve(order("a"))
    assert reserved.created and reserved.payment.state == "held"
    record = await journal.get(reserved.payment.payment_id)
    assert record is not None and record.session_id == f"wallet:{LOCAL}:{ADDRESS.lower()}"
    event = events.read_finance(record)
    assert event == reserved.payment.reserved
    assert isinstance(event, events.PaymentReserved) and len(event.nonce) == 66
    now_s = ManualClock().now_us() // 1_000_000
    assert (event.valid_after_s, event.valid_before_s) == (now_s - 600, now_s + 300)


async def test_the_payees_timeout_is_capped() -> None:
    """A payee can't get a signature that lives longer than the policy allows (W06)."""
    purse = make(MemoryJournal())
    await purse.open()
    reserved = await purse.reserve(order("a", timeout_s=10**9))
    assert reserved.payment.reserved.valid_before_s == ManualClock().now_us() // 1_000_000 + 600


async def test_one_purchase_has_one_payment() -> None:
    """The same purchase id gets the same reservation, at once, later and from another process."""
    journal = MemoryJournal()
    purse, other = make(journal), make(journal, seed="other")
    await purse.open()
    await other.open()
    first, second = await asyncio.gather(purse.reserve(order("a")), purse.reserve(order("a")))
    third = await other.reserve(order("a"))
    fourth = await purse.reserve(order("a"))
    nonces = {each.payment.reserved.nonce for each in (first, second, third, fourth)}
    assert len(nonces) == 1
    assert [each.created for each in (first, second, third, fourth)] == [True, False, False, False]
    assert await kinds(journal) == ["PaymentReserved"]


async def test_a_purchase_id_is_bound_to_its_request() -> None:
    """Reusing an id for another request is a conflict, not a second purchase."""
    purse = make(MemoryJournal())
    await purse.open()
    await purse.reserve(order("a"))
    with pytest.raises(PurchaseConflictError):
        await purse.reserve(order("a", request_key="another"))


async def test_a_released_purchase_may_be_tried_again() -> None:
    """After a release the next attempt is another payment with another nonce."""
    purse = make(MemoryJournal())
    await purse.open()
    first = await purse.reserve(order("a"))
    purse.release(first.payment, "never_sent")
    second = await purse.reserve(order("a"))
    assert second.created and second.payment.reserved.attempt == 2
    assert second.payment.reserved.nonce != first.payment.reserved.nonce


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_many_at_once_never_exceed_a_cap(processes: int) -> None:
    """64 tasks in one or several processes: exactly as many pass as the cap has room for (invariant 1)."""
    journal = MemoryJournal()
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=1_050)
    purses = [make(journal, seed=f"p{number}", policy=policy) for number in range(processes)]
    for purse in purses:
        await purse.open()
    outcomes = await asyncio.gather(
        *(purses[number % processes].reserve(order(f"o{number}")) for number in range(64)), return_exceptions=True
    )
    passed = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    denied = [outcome for outcome in outcomes if isinstance(outcome, PolicyDeniedError)]
    assert len(passed) == 10 and len(denied) == 54
    assert {error.verdict for error in denied} == {"session_cap"}
    state = await replayed(journal)
    assert state.outstanding_micro == 1_000
    for purse in purses:
        await purse.catch_up()
        assert same_state(purse.state, await replayed(journal))


async def test_many_at_once_are_few_commits() -> None:
    """Reservations that are asked for together are stored together, in the order of their decisions."""
    journal = FaultyJournal()
    purse = make(journal)
    await purse.open()
    await asyncio.gather(*(purse.reserve(order(f"o{number}", 1)) for number in range(64)))
    assert len(journal.batches) <= 2 and sum(journal.batches) == 64


async def test_the_rate_holds_over_processes() -> None:
    """Two processes share the window of 60 seconds, and the refusal says when to come back."""
    journal, clock = MemoryJournal(), ManualClock()
    policy = PaymentPolicy(max_tx_per_minute=3)
    purses = [make(journal, seed=f"p{number}", policy=policy, clock=clock) for number in range(2)]
    for purse in purses:
        await purse.open()
    for number in range(3):
        await purses[number % 2].reserve(order(f"o{number}", 1))
        clock.advance_us(1_000_000)
    with pytest.raises(PolicyDeniedError) as caught:
        await purses[1].reserve(order("o3", 1))
    assert caught.value.code == "haima.rate_limited" and caught.value.retry_after_ms == 57_000
    clock.advance_us(57_000_000)
    assert (await purses[1].reserve(order("o3", 1))).created


async def test_a_denial_is_taken_on_a_fresh_view_and_leaves_an_event() -> None:
    """Another process gave its reservation back: this one sees it before it says no. A refusal is in the journal."""
    journal = MemoryJournal()
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=100)
    purse, other = make(journal, policy=policy), make(journal, seed="other", policy=policy)
    await purse.open()
    await other.open()
    held = await other.reserve(order("a"))
    with pytest.raises(PolicyDeniedError):
        await purse.reserve(order("b"))
    other.release(held.payment, "never_sent")
    await other.flush()
    assert (await purse.reserve(order("b"))).created
    await purse.flush()
    assert "PaymentDeclined" in await kinds(journal)


async def test_the_wallets_cap_binds_every_process() -> None:
    """A lifetime cap that is kept with the wallet holds for processes that know nothing of it, and can be lifted."""
    journal = MemoryJournal()
    purse, other = make(journal), make(journal, seed="other")
    await purse.open()
    await other.open()
    await purse.set_total_cap(150)
    assert (await other.reserve(order("a"))).created
    with pytest.raises(PolicyDeniedError) as caught:
        await other.reserve(order("b"))
    assert caught.value.verdict == "total_cap"
    await purse.set_total_cap(None)
    assert (await other.reserve(order("b"))).created
    with pytest.raises(InvalidInputError):
        await purse.set_total_cap(-1)


async def test_settled_spending_counts_for_ever_and_per_session() -> None:
    """The session's cap is per session, the lifetime cap over all of them."""
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=100, total_cap_micro=250)
    purse = make(MemoryJournal(), policy=policy)
    await purse.open()
    settle(purse, (await purse.reserve(order("a"))).payment)
    with pytest.raises(PolicyDeniedError):
        await purse.reserve(order("b"))
    assert (await purse.reserve(order("b", session_id="t"))).created
    with pytest.raises(PolicyDeniedError) as caught:
        await purse.reserve(order("c", session_id="u"))
    assert caught.value.verdict == "total_cap"


async def test_an_approval_is_asked_once_and_used_once() -> None:
    """A payment above the auto cap waits for a person; the grant fits exactly these terms, once, and expires."""
    journal, clock = MemoryJournal(), ManualClock()
    purse, desk = make(journal, clock=clock), make(journal, seed="desk", clock=clock)
    await purse.open()
    await desk.open()

    async def ask(purchase_id: str, amount_micro: int = 5000, **changes: object) -> str | None:
        with pytest.raises(PolicyDeniedError) as caught:
            await purse.reserve(order(purchase_id, amount_micro, **changes))
        assert caught.value.verdict == "needs_approval"
        return caught.value.ticket_id

    ticket = await ask("a")
    assert ticket is not None and await ask("a") == ticket
    await desk.resolve_ticket(ticket, approved=True, by="ada")
    assert await ask("b", 5001) != ticket
    assert await ask("b", payee=ADDRESS) != ticket
    granted = await purse.reserve(order("a", 5000))
    assert granted.payment.reserved.approval_id == ticket
    other = await ask("b")
    assert other != ticket
    await desk.resolve_ticket(other or "", approved=False)
    with pytest.raises(ApprovalDecidedError):
        await desk.resolve_ticket(other or "", approved=True)
    with pytest.raises(NotFoundError):
        await desk.resolve_ticket("01ARZ3NDEKTSV4RRFFQ69G5FAV", approved=True)
    third = await ask("b")
    await desk.resolve_ticket(third or "", approved=True)
    clock.advance_us(901_000_000)
    assert await ask("b") not in (ticket, other, third)


async def test_a_grant_does_not_lift_a_cap() -> None:
    """Approving runs the other steps again: what is over a cap stays over it."""
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=6_000)
    purse = make(MemoryJournal(), policy=policy)
    await purse.open()
    with pytest.raises(PolicyDeniedError) as caught:
        await purse.reserve(order("a", 5000))
    await purse.resolve_ticket(caught.value.ticket_id or "", approved=True)
    for number in range(11):
        await purse.reserve(order(f"small{number}", 100))
    with pytest.raises(PolicyDeniedError) as caught:
        await purse.reserve(order("a", 5000))
    assert caught.value.verdict == "session_cap"


async def test_what_was_refused_is_given_back_after_its_time() -> None:
    """A refusal frees the amount when the authorization can't land any more, not before; the next denial sees to it."""
    clock = ManualClock()
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=100)
    purse = make(MemoryJournal(), clock=clock, policy=policy)
    await purse.open()
    payment = (await purse.reserve(order("a"))).payment
    purse.note(events.PaymentSigned(payment_id=payment.payment_id, signature="0x"))
    purse.note(
        events.PaymentFailed(payment_id=payment.payment_id, resource_url="", amount_micro_credits=100, reason="no")
    )
    clock.advance_us((300 + EXPIRY_MARGIN_S - 1) * 1_000_000)
    with pytest.raises(PolicyDeniedError):
        await purse.reserve(order("b"))
    clock.advance_us(1_000_000)
    assert (await purse.reserve(order("b"))).created


@pytest.mark.parametrize("move", ["nothing", "signed", "ambiguous"])
async def test_an_unknown_outcome_counts_until_it_is_known(move: str) -> None:
    """Without anybody to ask, a payment that may have been charged counts against the caps for ever."""
    clock = ManualClock()
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=100)
    purse = make(MemoryJournal(), clock=clock, policy=policy)
    await purse.open()
    payment_id = (await purse.reserve(order("a"))).payment.payment_id
    if move == "signed":
        purse.note(events.PaymentSigned(payment_id=payment_id, signature="0x"))
    elif move == "ambiguous":
        purse.note(events.PaymentAmbiguous(payment_id=payment_id, reason="lost"))
    clock.advance_us(10**12)
    with pytest.raises(PolicyDeniedError):
        await purse.reserve(order("b"))


# --- a journal that breaks --------------------------------------------------------------------------------------------


async def test_nothing_is_reserved_that_is_not_stored() -> None:
    """The journal fails before storing: the caller is told, nothing counts, and the next attempt is the first."""
    journal = FaultyJournal()
    purse = make(journal)
    await purse.open()
    journal.faults = ["before"]
    with pytest.raises(JournalUnavailableError):
        await purse.reserve(order("a"))
    assert purse.state.outstanding_micro == 0
    again = await purse.reserve(order("a"))
    assert again.created and again.payment.reserved.attempt == 1
    assert same_state(purse.state, await replayed(journal))


async def test_what_was_stored_without_an_answer_is_given_back() -> None:
    """The journal stored the reservation and failed to say so: nobody signs it, so it is released, and the same purchase
    gets a second attempt."""
    journal = FaultyJournal()
    purse = make(journal)
    await purse.open()
    journal.faults = ["after"]
    with pytest.raises(JournalUnavailableError):
        await purse.reserve(order("a"))
    again = await purse.reserve(order("a"))
    assert again.created and again.payment.reserved.attempt == 2
    await purse.flush()
    assert await kinds(journal) == ["PaymentReserved", "PaymentReleased", "PaymentReserved"]
    assert purse.state.outstanding_micro == 100
    assert same_state(purse.state, await replayed(journal))


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_notes_outlive_a_broken_journal(fault: str) -> None:
    """What was noted stays queued and is stored once, whatever the failed append did."""
    journal = FaultyJournal()
    purse = make(journal)
    await purse.open()
    payment = (await purse.reserve(order("a"))).payment
    settle(purse, payment)
    journal.faults = [fault]  # type: ignore[list-item]
    with pytest.raises(JournalUnavailableError):
        await purse.flush()
    known = purse.state.payment(payment.payment_id)
    assert known is not None and known.state == "settled"
    await purse.aclose()
    assert await kinds(journal) == ["PaymentReserved", "PaymentSettled"]
    assert same_state(purse.state, await replayed(journal))


async def test_notes_are_stored_in_time_on_their_own() -> None:
    """A note waits for company, but not for long; a failure is tried again."""
    clock, journal = ManualClock(), FaultyJournal()
    purse = make(journal, clock=clock)
    await purse.open()
    settle(purse, (await purse.reserve(order("a"))).payment)
    await asyncio.sleep(0)
    assert await kinds(journal) == ["PaymentReserved"]
    journal.faults = ["before"]
    for _ in range(2):
        clock.advance_us(300_000)
        for _ in range(5):
            await asyncio.sleep(0)
    assert await kinds(journal) == ["PaymentReserved", "PaymentSettled"]
    await purse.aclose()
    with pytest.raises(JournalUnavailableError):
        await purse.reserve(order("b"))


async def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    """A reservation whose caller was cancelled while it was being stored is never signed, so it is given back."""
    journal = FaultyJournal()
    purse = make(journal)
    await purse.open()
    journal.gate = asyncio.Event()
    waiting = [asyncio.create_task(purse.reserve(order(name))) for name in ("a", "b", "c")]
    for _ in range(3):
        await asyncio.sleep(0)
    for task in waiting[:2]:
        task.cancel()
    await asyncio.sleep(0)
    journal.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, True, False]
    await purse.flush()
    assert purse.state.outstanding_micro == 100
    assert same_state(purse.state, await replayed(journal))
    assert {payment.reserved.purchase_id for payment in purse.state.open_payments()} == {"c"}


async def test_a_quicker_process_is_noticed() -> None:
    """Between a decision and its storing another process reserves: the decision is taken again and the cap holds."""
    journal = FaultyJournal()
    policy = PaymentPolicy(max_tx_per_minute=10**6, session_spend_cap_micro=150)
    purse, other = make(journal, policy=policy), make(journal.inner, seed="other", policy=policy)
    await purse.open()
    await other.open()

    async def quicker() -> None:
        await other.reserve(order("theirs"))

    journal.interfere = quicker
    with pytest.raises(PolicyDeniedError):
        await purse.reserve(order("ours"))
    assert (await replayed(journal)).outstanding_micro == 100


async def test_an_old_purchase_is_found_through_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A purchase that left memory long ago is still the same purchase."""
    monkeypatch.setattr(reservations, "KEPT_FINAL", 2)
    journal = MemoryJournal()
    purse = make(journal)
    await purse.open()
    for number in range(6):
        payment = (await purse.reserve(order(f"o{number}", 1))).payment
        if number == 1:
            purse.release(payment, "never_sent")
        else:
            settle(purse, payment)
    await purse.flush()
    assert purse.state.of_purchase("o0") is None
    old = await purse.find_purchase("o0")
    assert old is not None and old.state == "settled" and old.transaction == "0x1"
    released = await purse.find_purchase("o1")
    assert released is not None and released.state == "released" and released.reserved.attempt == 1
    again = await purse.reserve(order("o1", 1, attempt=2))
    assert again.payment.reserved.attempt == 2
    found = await purse.find_purchase("o1")
    assert found is not None and found.state == "held"
    assert await purse.find_purchase("never") is None


async def test_two_observers_make_one_settlement() -> None:
    """Payee and chain may both report it, in two processes: the journal has one event."""
    journal = MemoryJournal()
    purse, other = make(journal), make(journal, seed="other")
    await purse.open()
    payment = (await purse.reserve(order("a"))).payment
    await other.open()
    settle(purse, payment)
    settle(other, payment)
    await purse.flush()
    await other.flush()
    assert await kinds(journal) == ["PaymentReserved", "PaymentSettled"]
    assert purse.state.settled_micro == other.state.settled_micro == 100


async def test_a_settlement_that_is_told_again_much_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished payment that left memory is settled a second time, in other words: its one event stands, and nothing
    that waits behind the second is held up."""
    monkeypatch.setattr(reservations, "KEPT_FINAL", 1)
    journal = MemoryJournal()
    purse = make(journal)
    await purse.open()
    first = (await purse.reserve(order("a"))).payment
    settle(purse, first)
    settle(purse, (await purse.reserve(order("b"))).payment)
    await purse.flush()
    assert purse.state.payment(first.payment_id) is None
    purse.settle(
        events.PaymentSettled(
            payment_id=first.payment_id,
            tx_hash="0x2",
            amount_micro_credits=100,
            chain=LOCAL,
            latency_ms=9,
            facilitator="",
        )
    )
    last = (await purse.reserve(order("c"))).payment
    settle(purse, last)
    await purse.flush()
    assert (await kinds(journal)).count("PaymentSettled") == 3
    assert purse.state.settled_micro == 300
    assert same_state(purse.state, await replayed(journal))
