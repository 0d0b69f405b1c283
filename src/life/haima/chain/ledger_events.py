"""Events of a local ledger, on its own stream `ledger:<network>`: `Custom` kinds with a typed payload.

    finance.ledger_funded        play money appeared
    finance.ledger_transferred   an authorization moved money; its nonce is used for ever
    finance.ledger_reverted      a transaction was executed and moved nothing

Amounts are decimal strings of atomic units (a uint256 does not fit a JSON number), nonces 64 hex digits, addresses EIP-55.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.events import Custom, Kind
from life.aios.events.codec import custom, read_custom


class LedgerFunded(msgspec.Struct, frozen=True, kw_only=True):
    """`address` was given play money."""

    network: str
    asset: str
    address: str
    amount_atomic: str
    reason: str


class LedgerTransferred(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction carried out an EIP-3009 authorization, or a Permit2 permit (`permit2`), whose nonces count across
    all tokens."""

    network: str
    asset: str
    from_address: str
    to_address: str
    value_atomic: str
    nonce: str
    transaction: str
    permit2: bool = False


class LedgerReverted(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction was executed against the rules; `reason` is a code of x402.md §7."""

    network: str
    transaction: str
    reason: str


LedgerEvent = LedgerFunded | LedgerTransferred | LedgerReverted

_NAMES: Final[dict[type[LedgerEvent], str]] = {
    LedgerFunded: "finance.ledger_funded",
    LedgerTransferred: "finance.ledger_transferred",
    LedgerReverted: "finance.ledger_reverted",
}
_TYPES: Final = {name: payload for payload, name in _NAMES.items()}


def to_kind(event: LedgerEvent) -> Custom:
    """The event as a Custom kind."""
    return custom(_NAMES[type(event)], event)


def from_kind(kind: Kind) -> LedgerEvent | None:
    """The ledger's event in a kind; None for every other kind."""
    payload = _TYPES.get(kind.event_type) if isinstance(kind, Custom) else None
    return None if payload is None else read_custom(kind, _NAMES[payload], payload)
