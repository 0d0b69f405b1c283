"""The financial fold: haima.md §1.15, pure and total."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import Custom, ErrorRaised, Kind, encode_kind
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.haima import events
from life.haima.state import FinancialState, apply, encode, fold


def record(kind: Kind, at_us: int = 1) -> EventRecord:
    return EventRecord(
        event_id=f"e{at_us}",
        session_id="wallet",
        branch_id="main",
        agent_id="a",
        sequence=1,
        timestamp_us=at_us,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
    )


def settled(amount_micro: int, session_id: str | None = None) -> EventRecord:
    event = events.PaymentSettled(
        tx_hash="0x1",
        amount_micro_credits=amount_micro,
        chain="eip155:1",
        latency_ms=1,
        facilitator="f",
        session_id=session_id,
    )
    return record(events.as_kind(event))


def revenue(amount_micro: int, task_id: str | None = None) -> EventRecord:
    event = events.RevenueReceived(
        tx_hash="0x2", amount_micro_credits=amount_micro, payer_address="0xb", task_id=task_id
    )
    return record(events.as_kind(event))


def billed(task_id: str, price_micro: int) -> EventRecord:
    event = events.TaskBilled(
        task_id=task_id, description="d", price_micro_credits=price_micro, token="USDC", chain="eip155:1"
    )
    return record(events.as_kind(event), at_us=7)


def test_each_event_has_the_effect_of_the_table() -> None:
    """Expenses, revenue, counts, bills and the wallet, after one of each."""
    failed = events.PaymentFailed(resource_url="u", amount_micro_credits=5, reason="r")
    wallet = events.WalletCreated(address="0xa", chain="eip155:1")
    synced = events.BalanceSynced(
        address="0xa", chain="eip155:1", on_chain_micro_credits=90, internal_micro_credits=100, drift=-10
    )
    state = fold(
        [
            settled(30, "s1"),
            settled(12, "s1"),
            settled(1),
            revenue(100),
            record(events.as_kind(failed)),
            record(events.as_kind(wallet)),
            record(events.as_kind(synced)),
            billed("t1", 50),
        ]
    )
    assert (state.total_expenses, state.total_revenue, state.net_balance) == (43, 100, 57)
    assert (state.payment_count, state.revenue_count, state.failed_count) == (3, 1, 1)
    assert state.spend_by_session == {"s1": 42, "": 1}
    assert (state.wallet_address, state.on_chain_balance) == ("0xa", 90)
    assert [(bill.task_id, bill.price_micro_credits, bill.billed_at_us) for bill in state.pending_bills] == [
        ("t1", 50, 7)
    ]


def test_revenue_with_a_task_clears_its_bills_only() -> None:
    """Other tasks' bills stay; revenue without a task clears nothing."""
    state = fold([billed("t1", 1), billed("t2", 2), billed("t1", 3), revenue(9), revenue(1, "t1")])
    assert [bill.task_id for bill in state.pending_bills] == ["t2"]


foreign = st.one_of(
    st.builds(ErrorRaised, message=st.text(max_size=5)),
    st.builds(
        Custom,
        event_type=st.sampled_from(["finance.unheard_of", "finance.payment_settled", "anima.x", "", "finance."]),
        data=st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=5,
        ),
    ),
)


@given(st.lists(foreign, max_size=8))
def test_events_that_are_not_understood_change_nothing(kinds: list[Kind]) -> None:
    """Unknown kinds, unknown finance names and payloads that do not fit never raise and never move money."""
    assert fold([record(kind) for kind in kinds]) == FinancialState()


@given(st.lists(st.tuples(st.sampled_from(["pay", "earn"]), st.integers(1, 10**15)), max_size=20), st.integers(0, 20))
def test_folding_in_two_parts_gives_the_same_bytes(moves: list[tuple[str, int]], cut: int) -> None:
    """fold(all) equals fold(rest, fold(first)); the balance is what came minus what went."""
    records = [settled(amount) if move == "pay" else revenue(amount) for move, amount in moves]
    whole = fold(records)
    parts = fold(records[cut:], fold(records[:cut]))
    assert encode(whole) == encode(parts)
    assert whole.net_balance == sum(amount if move == "earn" else -amount for move, amount in moves)


def test_apply_leaves_the_earlier_state_alone() -> None:
    """States are values."""
    before = FinancialState()
    apply(before, events.read_finance(settled(5, "s")), 1)
    assert before == FinancialState()
