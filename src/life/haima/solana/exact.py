"""Scheme `exact` on Solana: reading and checking a payment without a chain, and building one (x402.md §3.6).

The payload is `{"transaction": <base64>}`: a transaction that the payer has signed and the fee payer, who is named in
`extra.feePayer`, has not. What a verifier checks offline: scheme, network, fee payer, shape, mint, destination, exact amount,
memo, the payer's signature. The rest is asked of the chain by simulating the transaction.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.chain import Refusal
from life.crypto import solana_transfer
from life.crypto.errors import InvalidTransactionError
from life.crypto.solana_transfer import TokenTransfer, associated_account, check_signature, is_address, make_transfer
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes, networks
from life.haima.x402.wire import PaymentPayload, PaymentRequirements

SCHEME: Final = "exact"
NAMESPACE: Final = "solana"
MAINNET: Final = networks.SOLANA
DEVNET: Final = networks.SOLANA_DEVNET
USDC: Final = {token.network: token.address for token in (networks.USDC_SOLANA, networks.USDC_SOLANA_DEVNET)}
"""Mints of USDC, six decimals."""

MISSING_FEE_PAYER: Final = codes.SVM_MISSING_FEE_PAYER
FEE_PAYER_NOT_MANAGED: Final = codes.SVM_FEE_PAYER_NOT_MANAGED
TRANSACTION_REFUSED: Final = codes.SVM_TRANSACTION
MINT_MISMATCH: Final = codes.SVM_MINT_MISMATCH
RECIPIENT_MISMATCH: Final = codes.SVM_RECIPIENT_MISMATCH
AMOUNT_MISMATCH: Final = codes.SVM_AMOUNT_MISMATCH
MEMO_MISMATCH: Final = codes.SVM_MEMO_MISMATCH
INVALID_SIGNATURE: Final = codes.SVM_SIGNATURE


class _Payload(msgspec.Struct):
    transaction: str


_payload: Final = msgspec.json.Decoder(_Payload)


class SolanaPayment(NamedTuple):
    """A payment as it was signed."""

    transfer: TokenTransfer
    payer: str
    key: str
    """Network and hash of the message, joined by '|'. One key settles once, for ever."""


def read_payment(payload: PaymentPayload, requirements: PaymentRequirements) -> SolanaPayment:
    """Read a payment against its terms. MalformedPaymentError for what is no such payment; PaymentRefusedError for another
    scheme or network, or a transaction of another shape."""
    accepted = payload.requirements()
    if accepted.scheme != SCHEME or requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    if accepted.network != requirements.network:
        raise PaymentRefusedError(codes.NETWORK_MISMATCH)
    try:
        raw = base64.b64decode(_payload.decode(payload.payload).transaction, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise MalformedPaymentError("The payload has no transaction in base64.") from None
    try:
        transfer = solana_transfer.read_transfer(raw)
    except InvalidTransactionError as error:
        raise PaymentRefusedError(TRANSACTION_REFUSED, f"The transaction is refused: {error}.") from None
    return SolanaPayment(transfer, transfer.authority, f"{requirements.network}|{transfer.message_hash}")


def verify_offline(
    payment: SolanaPayment, requirements: PaymentRequirements, *, fee_payers: Collection[str]
) -> Refusal | None:
    """Everything that needs no chain. `fee_payers`: the accounts that we sign for; none of them may lose money by it."""
    transfer = payment.transfer
    fee_payer = requirements.extra_text("feePayer")
    if not fee_payer:
        return Refusal(MISSING_FEE_PAYER, "The terms name no fee payer.")
    if fee_payer not in fee_payers or transfer.fee_payer != fee_payer:
        return Refusal(FEE_PAYER_NOT_MANAGED, "The fee payer is not one of ours, or not that of the terms.")
    if transfer.authority in fee_payers:
        return Refusal(TRANSACTION_REFUSED, "The transaction moves the money of a fee payer.")
    if transfer.mint != requirements.asset:
        return Refusal(MINT_MISMATCH, "The payment is in another token.")
    if not is_address(requirements.pay_to):
        return Refusal(RECIPIENT_MISMATCH, "payTo is no Solana address.")
    if transfer.destination != associated_account(requirements.pay_to, requirements.asset, transfer.token_program):
        return Refusal(RECIPIENT_MISMATCH, "The payment goes to somebody else.")
    if str(transfer.amount_atomic) != requirements.amount:
        return Refusal(AMOUNT_MISMATCH, "The payment is not exactly the amount that is asked.")
    memo = requirements.extra_text("memo")
    if memo is not None and transfer.memos != (memo.encode(),):
        return Refusal(MEMO_MISMATCH, "The payment does not carry the memo of the terms.")
    try:
        check_signature(transfer)
    except InvalidTransactionError as error:
        return Refusal(INVALID_SIGNATURE, f"The signature is refused: {error}.")
    return None


def build_payment(
    requirements: PaymentRequirements,
    *,
    payer: str,
    token_program: str,
    decimals: int,
    blockhash: str,
    memo: bytes,
) -> TokenTransfer:
    """The unsigned transaction that pays these terms; PaymentRefusedError for terms that can't be paid.

    `memo` is used where the terms ask for none: random bytes, so that two equal payments are two.
    """
    fee_payer, wanted = requirements.extra_text("feePayer"), requirements.extra_text("memo")
    if not fee_payer or not requirements.amount.isascii() or not requirements.amount.isdigit():
        raise PaymentRefusedError(MISSING_FEE_PAYER, "The terms name no fee payer, or no amount.")
    try:
        return make_transfer(
            fee_payer=fee_payer,
            payer=payer,
            payee=requirements.pay_to,
            mint=requirements.asset,
            token_program=token_program,
            amount_atomic=int(requirements.amount),
            decimals=decimals,
            blockhash=blockhash,
            memo=memo if wanted is None else wanted.encode(),
        )
    except InvalidTransactionError as error:
        raise PaymentRefusedError(TRANSACTION_REFUSED, f"The terms can't be paid: {error}.") from None


def encode_transfer(transfer: TokenTransfer) -> str:
    """Base64 of the transaction, as the payload carries it."""
    return base64.b64encode(bytes(transfer.transaction)).decode()
