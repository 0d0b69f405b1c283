"""Payments on Solana as sellers handle them: read, checked offline, kept as one more kind of signed payment (x402.md §3.6).

Everything here works without the extra `solana`, except reading a payment, which imports it when the first one comes.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal, NamedTuple, TypeAlias

from life.aios.errors import MissingExtraError
from life.crypto.base58 import decode_base58
from life.crypto.errors import CryptoError
from life.haima.errors import PaymentRefusedError
from life.haima.x402.authorization import SignedAuthorization
from life.haima.x402.wire import PaymentPayload, PaymentRequirements

METHOD: Final[Literal["solana"]] = "solana"
"""How the money moves: by a transaction that the payer has signed and the fee payer completes."""
FEE_PAYER: Final = "feePayer"
"""In `extra` of an offer: who pays the chain's fees, the facilitator's account."""


class SolanaTransfer(NamedTuple):
    """What a payer signed, in the words that sellers have for every payment."""

    network: str
    asset: str
    """The mint, base58."""
    from_address: str
    to_address: str
    """The owner of the account that gets the money."""
    value_atomic: int
    valid_after_s: int = 0
    valid_before_s: int = 0
    """0: its time ends with its block, which only the chain knows."""


class SignedSolanaTransfer(NamedTuple):
    """A payment by a Solana transaction, checked against its terms. Compare SignedAuthorization."""

    authorization: SolanaTransfer
    signature: bytes
    """The payer's, 64 bytes."""
    payer: str
    key: str
    """Network and hash of the message, joined by '|'. One key settles once, for ever."""
    permit: None = None

    @property
    def scheme(self) -> Literal["exact"]:
        """There is one."""
        return "exact"


SignedPayment: TypeAlias = SignedAuthorization | SignedSolanaTransfer
"""Any payment that a seller takes."""


def require_solana() -> None:
    """MissingExtraError when the extra `solana` is not installed."""
    if find_spec("solders") is None:
        raise MissingExtraError("Solana", "solana")


def is_solana_address(text: str) -> bool:
    """Whether it is base58 of 32 bytes."""
    try:
        return len(decode_base58(text)) == 32
    except CryptoError:
        return False


def read_transfer(payload: PaymentPayload, requirements: PaymentRequirements) -> SignedSolanaTransfer:
    """A payment, read and checked against its terms as far as that needs no chain. MalformedPaymentError for what is none,
    PaymentRefusedError with its code for one that does not fulfil the terms."""
    from life.crypto.solana_transfer import signature_of
    from life.haima.solana import exact

    payment = exact.read_payment(payload, requirements)
    fee_payer = requirements.extra_text(FEE_PAYER)
    refusal = exact.verify_offline(payment, requirements, fee_payers=() if fee_payer is None else (fee_payer,))
    if refusal is not None:
        raise PaymentRefusedError(refusal.code, refusal.message)
    transfer = payment.transfer
    sent = SolanaTransfer(
        requirements.network, transfer.mint, payment.payer, requirements.pay_to, transfer.amount_atomic
    )
    return SignedSolanaTransfer(sent, signature_of(transfer), payment.payer, payment.key)


__all__ = [
    "FEE_PAYER",
    "METHOD",
    "SignedPayment",
    "SignedSolanaTransfer",
    "SolanaTransfer",
    "is_solana_address",
    "read_transfer",
    "require_solana",
]
