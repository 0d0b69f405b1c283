"""What the house knows: one fold, made of one part per room. Each part reads its own events and nothing else.

A part is a mutable struct with `apply(event, at_us)` that belongs to the one fold it is in; events it does not know change
nothing. Equal events give equal bytes (`msgspec.json.encode(..., order="deterministic")`).
"""

from __future__ import annotations

import msgspec

from life.haima.accounts import Accounts
from life.haima.events import FinanceEvent
from life.haima.events.accounts import LedgerPosted


class HouseState(msgspec.Struct, kw_only=True):
    """Accounts and the rooms that share their money."""

    accounts: Accounts = msgspec.field(default_factory=Accounts)

    def apply(self, event: FinanceEvent, at_us: int) -> None:
        """Fold one event in."""
        if isinstance(event, LedgerPosted):
            self.accounts.apply(event)
