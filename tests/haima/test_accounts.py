"""Accounts: every posting balances, claims stay apart from money, nobody who may not is overdrawn (invariant 4)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima.accounts import Accounts, account, check_balanced, move, parse_account, wallet_of
from life.haima.errors import InsufficientBalanceError
from life.haima.events import CreditInsufficient
from life.haima.events.accounts import Entry, LedgerPosted

A, B, C = wallet_of("a"), wallet_of("b"), wallet_of("c")
OUTSIDE = account("external", "network", "eip155:8453")
DEBT = account("credit_line", "agent", "a")
CLAIM = account("receivable", "pool", "lending")


def posting(*entries: Entry) -> LedgerPosted:
    return LedgerPosted(posting_id="p", entries=entries, reason="transfer")


def test_names_go_both_ways() -> None:
    """Owners may have colons; the name gives back what it was made of."""
    assert parse_account(OUTSIDE) == ("external", "network", "eip155:8453")
    assert parse_account(A) == ("wallet", "agent", "a")


@pytest.mark.parametrize(
    "name", ["", "wallet", "wallet:agent", "wallet:agent:", "purse:agent:a", "wallet:dog:a", ":::"]
)
def test_what_is_no_account_is_refused(name: str) -> None:
    """Unknown kinds, unknown owners and missing parts."""
    with pytest.raises(InvalidInputError):
        parse_account(name)


@pytest.mark.parametrize("owner", ["", "x" * 257, "a\nb", "\x00"])
def test_an_owner_must_be_readable(owner: str) -> None:
    """1 to 256 printable characters."""
    with pytest.raises(InvalidInputError):
        account("wallet", "agent", owner)


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (Entry(A, 0), Entry(B, 0)),
        (Entry(A, 5),),
        (Entry(A, 5), Entry(B, -4)),
        (Entry(DEBT, -5), Entry(A, 5)),
        (Entry(CLAIM, 5), Entry(OUTSIDE, -5)),
        (*(Entry(A, 1) for _ in range(64)), Entry(B, -64)),
    ],
)
def test_a_posting_must_balance(entries: tuple[Entry, ...]) -> None:
    """Sum zero, no empty entries, no claim turned into money, at most 64 entries."""
    with pytest.raises(InvalidInputError):
        check_balanced(entries)


def test_postings_are_checked_one_after_the_other() -> None:
    """What the first brings, the second may spend; not more, and not the other way round."""
    accounts = Accounts()
    accounts.check([posting(*move(OUTSIDE, A, 10)), posting(*move(A, B, 10))])
    with pytest.raises(InsufficientBalanceError):
        accounts.check([posting(*move(A, B, 10)), posting(*move(OUTSIDE, A, 10))])
    with pytest.raises(InsufficientBalanceError) as refused:
        accounts.check([posting(*move(OUTSIDE, A, 10)), posting(*move(A, B, 11))])
    assert (refused.value.code, refused.value.details["available_micro"]) == ("haima.insufficient_balance", 10)


def test_debts_and_the_world_may_be_negative() -> None:
    """A draw: cash moves, and the debt is booked beside it."""
    accounts = Accounts()
    accounts.apply(posting(*move(OUTSIDE, B, 10)), 1)
    draw = posting(Entry(B, -7), Entry(A, 7), Entry(DEBT, -7), Entry(CLAIM, 7))
    accounts.check([draw])
    accounts.apply(draw, 1)
    assert accounts.balances == {OUTSIDE: -10, B: 3, A: 7, DEBT: -7, CLAIM: 7}


def test_more_money_than_there_is_is_refused() -> None:
    """Balances stay within what a snapshot's numbers can hold."""
    with pytest.raises(InvalidInputError):
        Accounts().check([posting(*move(OUTSIDE, A, 2**62 + 1))])


@pytest.mark.parametrize(("source", "target", "amount"), [(A, B, 0), (A, B, -1), (A, A, 1)])
def test_a_transfer_goes_somewhere(source: str, target: str, amount: int) -> None:
    """A positive amount between two accounts (W42: no negative contribution)."""
    with pytest.raises(InvalidInputError):
        move(source, target, amount)


def test_other_events_change_nothing() -> None:
    """A room reads its own."""
    accounts = Accounts()
    accounts.apply(CreditInsufficient(agent_id="a", resource_url="u", amount_micro_credits=1, reason="r"), 1)
    assert accounts == Accounts()


transfers = st.lists(
    st.tuples(st.sampled_from([A, B, C, OUTSIDE]), st.sampled_from([A, B, C, OUTSIDE]), st.integers(1, 50)), max_size=30
)


@given(transfers, st.integers(0, 30))
def test_any_accepted_history_balances(orders: list[tuple[str, str, int]], cut: int) -> None:
    """All balances sum to zero, wallets are never negative, an empty account is forgotten, and folding on from stored bytes
    gives the same bytes."""
    accounts = Accounts()
    again = Accounts()
    for number, (source, target, amount) in enumerate(orders):
        if number == cut:
            again = msgspec.json.decode(msgspec.json.encode(again), type=Accounts)
        if source == target:
            continue
        event = posting(*move(source, target, amount))
        try:
            accounts.check([event])
        except InsufficientBalanceError:
            assert accounts.balance(source) < amount
            continue
        accounts.apply(event, number)
        again.apply(event, number)
    assert sum(accounts.balances.values()) == 0
    assert all(balance for balance in accounts.balances.values())
    assert all(accounts.balance(name) >= 0 for name in (A, B, C))
    encode = msgspec.json.Encoder(order="deterministic").encode
    assert encode(again) == encode(accounts)
