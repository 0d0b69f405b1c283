"""The books: every event of money has its posting, every posting balances, and equal events give equal books."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from life.haima import events
from life.haima.accounts import move, wallet_of
from life.haima.events.accounts import LedgerPosted
from life.haima.events.tasks import BillStatusChanged
from life.haima.ledger import Books, LedgerProjection, component, post_all
from tests.haima.books_kit import NETWORK, WALLET, billed, earned, records, reserved, settled

WALLET_ACCOUNT = f"Assets:Wallet:Eip155-84532:{WALLET.lower()}"
RESERVED_ACCOUNT = f"Assets:Reserved:Eip155-84532:{WALLET.lower()}"


def books(*told: events.FinanceEvent) -> Books:
    state = Books()
    for record in records(*told):
        state.apply(record)
    return state


def synced(on_chain: int, internal: int, *, adjusted: bool) -> events.BalanceSynced:
    return events.BalanceSynced(
        address=WALLET,
        chain=NETWORK,
        on_chain_micro_credits=on_chain,
        internal_micro_credits=internal,
        drift=on_chain - internal,
        adjusted=adjusted,
    )


def test_a_reservation_leaves_the_wallet_and_stays_an_asset() -> None:
    """Reserved money is not spent yet: it moves from one asset to another."""
    state = books(reserved("p1", 500))
    assert state.balances == {WALLET_ACCOUNT: -500, RESERVED_ACCOUNT: 500}


def test_a_settled_payment_becomes_an_expense_of_its_host() -> None:
    """The reservation is used up, and the expense stands under the host that was paid."""
    state = books(reserved("p1", 500), settled("p1", 500))
    assert state.balances == {WALLET_ACCOUNT: -500, "Expenses:Payments:Shop-example": 500}
    assert state.reserved == {}


def test_what_was_reserved_beyond_the_charge_goes_back() -> None:
    """Scheme `upto`: the maximum is reserved, the charge is less, the rest is the wallet's again."""
    state = books(reserved("p1", 500), settled("p1", 120))
    assert state.balances == {WALLET_ACCOUNT: -120, "Expenses:Payments:Shop-example": 120}


def test_a_released_reservation_leaves_no_trace_in_the_balances() -> None:
    """Nothing was paid, so all is as before; the two postings stay in the register."""
    state = books(reserved("p1", 500), events.PaymentReleased(payment_id="p1", reason="expired_unused"))
    assert state.balances == {}
    assert state.postings == 2


def test_a_payment_without_a_reservation_is_posted_all_the_same() -> None:
    """Journals of the Rust original know only settlements."""
    state = books(settled(None, 70))
    assert state.balance("Expenses:Payments:Other") == 70
    assert state.balance("Assets:Wallet") == -70


def test_revenue_pays_the_bill_of_its_task_first() -> None:
    """What a bill still asks for is taken from the receivable; only what is beyond it is a sale."""
    state = books(billed("t1", 300), earned(200, task_id="t1"))
    assert state.balance("Assets:Receivable:Customer-1") == 100
    state = books(billed("t1", 300), earned(200, task_id="t1"), earned(150, task_id="t1"))
    assert state.balance("Assets:Receivable:Customer-1") == 0
    assert state.balance("Income:Sales") == -50
    assert state.balance("Income:Tasks") == -300
    assert state.balance("Assets:Wallet") == 350


def test_a_task_is_billed_once() -> None:
    """A second bill for an open one changes nothing."""
    assert books(billed("t1", 300), billed("t1", 300)).balances == books(billed("t1", 300)).balances


def test_a_void_bill_is_written_off_and_one_through_the_house_is_not_ours() -> None:
    """What nobody will pay is no income; a bill that names a payee is somebody else's."""
    void = BillStatusChanged(bill_id="b", task_id="t1", status="void", reason="friends")
    assert books(billed("t1", 300), void).balances == {}
    assert books(msgspec.structs.replace(billed("t1", 300), payee="agent-1")).balances == {}


def test_a_deposit_is_a_liability_and_no_income() -> None:
    """Money that came in as a payment and belongs to an agent is taken out of the sales again."""
    deposit = LedgerPosted(
        posting_id="d1",
        entries=move("external:network:" + NETWORK, wallet_of("agent-1"), 400),
        reason="deposit",
        cause_id="p9",
    )
    state = books(earned(400, payment_id="p9"), deposit)
    assert state.balances == {WALLET_ACCOUNT: 400, "Liabilities:Held:Agent:Agent-1": -400}


def test_a_deposit_that_no_payment_brought_comes_from_outside() -> None:
    """An operator's deposit has no payment behind it."""
    deposit = LedgerPosted(
        posting_id="d1", entries=move("external:network:" + NETWORK, wallet_of("agent-1"), 400), reason="deposit"
    )
    assert books(deposit).balances == {
        "Equity:Outside:Eip155-84532": 400,
        "Liabilities:Held:Agent:Agent-1": -400,
    }


def test_the_books_take_over_what_the_chain_says_only_when_told() -> None:
    """A drift that a payment under way may explain is no posting; an adjusted one is."""
    assert books(synced(900, 0, adjusted=False)).balances == {}
    assert books(synced(900, 0, adjusted=True)).balances == {
        WALLET_ACCOUNT: 900,
        "Equity:Outside:Eip155-84532": -900,
    }


def test_account_names_are_fit_for_plain_text_accounting() -> None:
    """A name begins with a capital or a digit and has only letters, digits and dashes; odd ones get a mark of their own."""
    assert component("agent-1") == "Agent-1"
    assert component("0xab") == "0xab"
    odd = component("did:key:zDn x")
    assert odd.startswith("Did-key-zDn-x-")
    assert component("did:key:zDn/x") != odd
    assert component("") != component(" ")


_event = st.one_of(
    st.builds(lambda i, a: reserved(f"p{i}", a), st.integers(0, 5), st.integers(-5, 1000)),
    st.builds(lambda i, a: settled(f"p{i}", a), st.integers(0, 5), st.integers(0, 1000)),
    st.builds(lambda i: events.PaymentReleased(payment_id=f"p{i}", reason="r"), st.integers(0, 5)),
    st.builds(lambda i, a: billed(f"t{i}", a), st.integers(0, 3), st.integers(-5, 1000)),
    st.builds(
        lambda i, t, a: earned(a, payment_id=f"p{i}", task_id=None if t == 0 else f"t{t}"),
        st.integers(0, 5),
        st.integers(0, 3),
        st.integers(0, 1000),
    ),
    st.builds(lambda a, b, on: synced(a, b, adjusted=on), st.integers(0, 99), st.integers(0, 99), st.booleans()),
    st.builds(
        lambda a, i, reason: LedgerPosted(
            posting_id="x", entries=move("external:network:n", wallet_of(f"a{i}"), a), reason=reason, cause_id=f"p{i}"
        ),
        st.integers(1, 1000),
        st.integers(0, 5),
        st.sampled_from(("deposit", "grant", "correction")),
    ),
)


@given(st.lists(_event, max_size=60), st.integers(0, 60))
def test_books_always_balance_and_go_on_from_any_snapshot(told: list[events.FinanceEvent], cut: int) -> None:
    """Invariants 4 and 5: all accounts together are zero after any events in any order, every posting balances, and
    folding on from a stored snapshot gives the same bytes as folding everything."""
    projection = LedgerProjection()
    whole = Books()
    history = records(*told)
    for posting in post_all(history, whole):
        assert sum(entry.amount_micro for entry in posting.entries) == 0
    assert whole.trial_balance_micro == 0
    half = Books()
    for record in history[:cut]:
        half = projection.apply(half, record)
    resumed = projection.decode(projection.encode(half))
    for record in history[cut:]:
        resumed = projection.apply(resumed, record)
    assert projection.encode(resumed) == projection.encode(whole)
