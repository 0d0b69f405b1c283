"""Requests that the tests of custody backends sign, and what to read of the answers."""

from __future__ import annotations

from typing import Final

from life.aios.ports.custody import Custody, EvmTransaction, TransferAuthorization
from life.testing.clock import START_US

NOW_S: Final = START_US // 1_000_000
PAYEE: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
USDC: Final = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"


def payment(handle: Custody, **changes: object) -> TransferAuthorization:
    """One cent of USDC on Base Sepolia to PAYEE, from the handle's wallet."""
    return TransferAuthorization(
        network="eip155:84532",
        asset=USDC,
        token_name="USDC",
        token_version="2",
        from_address=handle.capabilities().wallet_address or "",
        to_address=PAYEE,
        value_atomic=10_000,
        valid_after_s=NOW_S - 600,
        valid_before_s=NOW_S + 300,
        nonce=bytes(32),
    )._replace(**changes)  # type: ignore[arg-type]


def transaction() -> EvmTransaction:
    """A plain transfer of the chain's own money."""
    return EvmTransaction(84532, 7, 10**9, 3 * 10**10, 21_000, PAYEE, 10**15, b"")
