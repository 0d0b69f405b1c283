"""Chains that settle EIP-3009 authorizations: a ledger of our own or an EVM network."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from life.aios.ports.custody import TransferAuthorization

AuthorizationState = Literal["unused", "used", "unknown"]
TransactionState = Literal["pending", "confirmed", "reverted", "not_found"]


class Refusal(NamedTuple):
    """Why the chain would not settle: a code of x402.md §7 and a sentence."""

    code: str
    message: str


class Prepared(NamedTuple):
    """A settlement that is ready to leave: its hash is known before it is sent, so a crash can find it again."""

    transaction_hash: str
    raw: bytes
    account_nonce: int | None = None
    """The sender's account nonce that the transaction occupies; None on chains without one."""


class Settlement(NamedTuple):
    """What the chain says of one transaction."""

    state: TransactionState
    transaction_hash: str
    block_number: int | None = None
    reason: str | None = None


class Chain(Protocol):
    """One network. `check` and the readers change nothing; only `broadcast` moves money."""

    @property
    def network(self) -> str:
        """CAIP-2, for example `eip155:84532`."""
        ...

    async def check(self, authorization: TransferAuthorization, signature: bytes) -> Refusal | None:
        """Whether the chain would settle this now: funds, nonce, window, a dry run. None means yes."""
        ...

    async def prepare(self, authorization: TransferAuthorization, signature: bytes) -> Prepared:
        """Sign the settling transaction without sending it. Must be followed by `broadcast` or `abandon`."""
        ...

    async def broadcast(self, prepared: Prepared) -> None:
        """Send it. Sending the same bytes again is harmless. An error that means "not taken" is a ChainRefusedError;
        any other error leaves the outcome unknown."""
        ...

    async def abandon(self, prepared: Prepared) -> None:
        """It will never be sent: give its account nonce back."""
        ...

    async def settlement(self, transaction_hash: str, authorization: TransferAuthorization) -> Settlement:
        """What became of it: confirmed only when the receipt holds the exact Transfer."""
        ...
