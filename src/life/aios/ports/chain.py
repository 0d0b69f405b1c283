"""Chains that settle what payers signed, EIP-3009 authorizations and Permit2 permits: a ledger of our own or an EVM network.

`check`, `prepare` and `settlement` take the authorization as it was signed. Two things may come beside it: `value_atomic`, what
is really moved of an `upto` payment's maximum (None: the signed amount), and an EIP-2612 permit that gives Permit2 the
allowance it needs in the same transaction.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

from life.aios.ports.custody import PaymentAuthorization, TokenPermit

AuthorizationState = Literal["unused", "used", "unknown"]
TransactionState = Literal["pending", "confirmed", "reverted", "not_found"]
Standing = Literal["final", "recent", "gone"]
"""Of a confirmed settlement: buried deep enough, not yet, or its block is no longer part of the chain."""


class SignedPermit(NamedTuple):
    """An EIP-2612 permit and its signature of 65 bytes."""

    permit: TokenPermit
    signature: bytes


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
    block_hash: str | None = None
    """Of the block that holds it; None on chains that never take a block back."""


class Chain(Protocol):
    """One network. `check` and the readers change nothing; only `broadcast` moves money."""

    @property
    def network(self) -> str:
        """CAIP-2, for example `eip155:84532`."""
        ...

    @property
    def settler(self) -> str:
        """EIP-55 address of the account that carries settlements out: the facilitator that an `upto` payment must name."""
        ...

    async def check(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Refusal | None:
        """Whether the chain would settle this now: funds, nonce, window, a dry run. None means yes.

        The signature is that of a plain key (65 bytes), of a contract (ERC-1271), or wrapped by ERC-6492.
        """
        ...

    async def prepare(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Prepared:
        """Sign the settling transaction without sending it. Must be followed by `broadcast` or `abandon`."""
        ...

    async def broadcast(self, prepared: Prepared) -> None:
        """Send it. Sending the same bytes again is harmless. An error that means "not taken" is a ChainRefusedError;
        any other error leaves the outcome unknown."""
        ...

    async def abandon(self, prepared: Prepared) -> None:
        """It will never be sent: give its account nonce back."""
        ...

    async def settlement(
        self, transaction_hash: str, authorization: PaymentAuthorization, *, value_atomic: int | None = None
    ) -> Settlement:
        """What became of it: confirmed only when the receipt holds the exact Transfer."""
        ...


@runtime_checkable
class PublicChain(Chain, Protocol):
    """A chain that is shared with others: transactions wait there until a block takes them, and a block may be taken back."""

    async def reprice(self, prepared: Prepared) -> Prepared:
        """The same transaction with the same account nonce and fees at least 10 % higher, so that nodes take it in place of
        the first. Only one of the two can ever be executed. ChainRefusedError when the fee limit does not allow it."""
        ...

    async def standing(self, settlement: Settlement) -> Standing:
        """Whether a confirmed settlement still stands. Cheap: one question per block, not per settlement."""
        ...
