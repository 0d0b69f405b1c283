"""Accounts of the house: balances folded from postings (haima.md §1.19, invariant 4 of §8.7).

An account is named `<kind>:<owner type>:<owner>`, for example `wallet:agent:01J…`. A balance is what the house owes the
owner; debts and the world outside are negative. Every posting sums to zero, so all balances together are always zero, and
only deposits and withdrawals change what the house holds. No account goes below zero except `external`, `credit_line` and
`receivable`.

Money that exists (`wallet`, `interest_income`, `premium_pool`, `fee_income`, `escrow`) and claims that somebody has
(`credit_line` against `receivable`) each sum to zero with what stands against them: a draw moves cash from the lender to the
agent, and books the debt beside it, so lending makes no money.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

import msgspec

from life.aios.errors import InvalidInputError
from life.haima.errors import InsufficientBalanceError
from life.haima.events.accounts import Entry, LedgerPosted
from life.haima.events.finance_event import FinanceEvent

Kind = Literal[
    "wallet", "receivable", "credit_line", "interest_income", "premium_pool", "fee_income", "escrow", "external"
]
OwnerType = Literal["agent", "user", "pool", "provider", "platform", "task", "network"]

MAY_BE_NEGATIVE: Final = frozenset({"external", "credit_line", "receivable"})
CLAIMS: Final = frozenset({"credit_line", "receivable"})
"""Kinds that say who owes whom; together they are zero, as the money and `external` together are."""
MAX_ENTRIES: Final = 64
"""More entries than this make no posting."""
MAX_BALANCE_MICRO: Final = 2**62
"""More than there is money, and less than what the snapshot's numbers can hold."""
_KINDS: Final = frozenset(get_args(Kind))
_OWNER_TYPES: Final = frozenset(get_args(OwnerType))


def account(kind: Kind, owner_type: OwnerType, owner: str) -> str:
    """The account's name; InvalidInputError for an owner that can't be one."""
    if not owner or len(owner) > 256 or not owner.isprintable():
        raise InvalidInputError("An account's owner must be 1 to 256 printable characters.")
    return f"{kind}:{owner_type}:{owner}"


def parse_account(name: str) -> tuple[str, str, str]:
    """Kind, owner type and owner of a name; InvalidInputError when it is none. Owners may have colons in them."""
    kind, _, rest = name.partition(":")
    owner_type, _, owner = rest.partition(":")
    if kind not in _KINDS or owner_type not in _OWNER_TYPES or not owner:
        raise InvalidInputError(f"{name[:80]!r} is no account.")
    return kind, owner_type, owner


def wallet_of(agent_id: str) -> str:
    """What the house holds for an agent."""
    return account("wallet", "agent", agent_id)


class Accounts(msgspec.Struct, kw_only=True):
    """All balances, in micro-credits. Belongs to one fold."""

    balances: dict[str, int] = {}

    def balance(self, name: str) -> int:
        """Micro-credits; 0 for an account that nothing was ever posted to."""
        return self.balances.get(name, 0)

    def apply(self, event: FinanceEvent, _at_us: int) -> None:
        """Fold one posting in. An account that is back at zero is forgotten."""
        if not isinstance(event, LedgerPosted):
            return
        for entry in event.entries:
            balance = self.balances.get(entry.account, 0) + entry.amount_micro
            if balance:
                self.balances[entry.account] = balance
            else:
                self.balances.pop(entry.account, None)

    def check(self, postings: Iterable[LedgerPosted]) -> None:
        """Whether the postings may be made, one after the other: InvalidInputError when one does not balance or names no
        account, InsufficientBalanceError when one would overdraw."""
        pending: dict[str, int] = {}
        for posting in postings:
            check_balanced(posting.entries)
            for entry in posting.entries:
                kind, _, _ = parse_account(entry.account)
                before = pending.get(entry.account, self.balance(entry.account))
                after = pending[entry.account] = before + entry.amount_micro
                if abs(after) > MAX_BALANCE_MICRO:
                    raise InvalidInputError("An amount is larger than all the money there is.")
                if after < 0 and entry.amount_micro < 0 and kind not in MAY_BE_NEGATIVE:
                    raise InsufficientBalanceError(
                        entry.account, needed_micro=-entry.amount_micro, available_micro=before
                    )


def check_balanced(entries: Iterable[Entry]) -> None:
    """InvalidInputError unless the entries sum to zero, the money and the claims each for themselves, and none is zero."""
    total = claims = count = 0
    for entry in entries:
        count += 1
        if entry.account.partition(":")[0] in CLAIMS:
            claims += entry.amount_micro
        if entry.amount_micro == 0:
            raise InvalidInputError("A posting has an entry without an amount.")
        total += entry.amount_micro
    if total:
        raise InvalidInputError(f"A posting does not balance: {total} micro-credits are left over.")
    if claims:
        raise InvalidInputError(
            "A posting may not turn a claim into money: what is owed and what is held balance apart."
        )
    if not 2 <= count <= MAX_ENTRIES:
        raise InvalidInputError(f"A posting has 2 to {MAX_ENTRIES} entries.")


def move(source: str, target: str, amount_micro: int) -> tuple[Entry, Entry]:
    """The two entries of a plain transfer; InvalidInputError unless the amount is positive and the accounts differ."""
    if amount_micro <= 0:
        raise InvalidInputError("An amount must be positive.")
    if source == target:
        raise InvalidInputError("Money can't be moved from an account to itself.")
    return Entry(source, -amount_micro), Entry(target, amount_micro)
