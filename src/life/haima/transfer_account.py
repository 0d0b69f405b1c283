"""What a payer needs of a chain whose payments are whole transactions (Solana): a port, so that the payer can do without it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from life.aios.ports.chain import AuthorizationState
from life.haima.events import PaymentReserved
from life.haima.x402.wire import PaymentRequirements

SENDABLE_S = 90
"""How long a payment is sent again: about as long as its block lives. What became of it after that, the chain says."""


class PreparedTransfer(NamedTuple):
    """A transaction that is ready to be reserved. Nobody has signed it."""

    transaction: str
    """Base64."""
    message_hash: str
    """SHA-256 (hex) of what is signed."""
    fee_payer: str
    last_valid_block_height: int
    """After this height the chain takes it no more."""
    from_slot: int
    """It can't have been executed before this slot."""


class TransferAccount(Protocol):
    """A wallet on one network and the node that is asked there."""

    @property
    def network(self) -> str:
        """CAIP-2."""
        ...

    @property
    def address(self) -> str:
        """The wallet's."""
        ...

    async def prepare(
        self, requirements: PaymentRequirements, *, memo: bytes, decimals: int | None
    ) -> PreparedTransfer:
        """A transaction that pays these terms. `memo` is used where the terms have none; `decimals` are those that the token
        must have, where they are known. NoAcceptableTermsError for terms that can't be paid; ChainError when the node does
        not answer."""
        ...

    async def sign(self, transaction: str) -> bytes:
        """The wallet's signature over a prepared transaction. CustodyError."""
        ...

    async def state(self, reserved: PaymentReserved) -> AuthorizationState:
        """`used`: it was executed. `unused`: it was not, and never will be. `unknown`: it may still be. Never raises for what
        the node does."""
        ...
