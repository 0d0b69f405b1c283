"""What an agent signs its payments with: custody for EVM networks, a transfer account for Solana, or both.

It signs reserved payments and nothing else, and puts a signature on disk before it leaves wherever signing again would not give the same
bytes. Which payment is signed, and when, is the payer's to say.
"""

from __future__ import annotations

from collections.abc import Collection

from life.aios.errors import CustodyError
from life.aios.ports.clock import Entropy
from life.aios.ports.custody import CancelSigning, Capabilities, Custody, PermitTransfer, TransferAuthorization
from life.crypto.address import format_address, parse_address
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import recover_address
from life.haima.errors import WalletMismatchError
from life.haima.events import PaymentSigned
from life.haima.purse import Order, Purse
from life.haima.reservations import Payment, authorization_of
from life.haima.transfer_account import SENDABLE_S, TransferAccount
from life.haima.x402.authorization import digest
from life.haima.x402.payment_header import allowance_of, payment_header
from life.haima.x402.sign_in import Proof
from life.haima.x402.sign_in_message import encode_proof
from life.haima.x402.terms import Terms


class PaymentSigner:
    """Signs for one wallet per kind of chain."""

    def __init__(self, custody: Custody | None, solana: TransferAccount | None, entropy: Entropy) -> None:
        """WalletMismatchError when custody has no wallet that signs authorizations, or when there is no wallet at all."""
        self.operations: Collection[str] = ()
        """What custody can do (`sign_permit`, `sign_message`, …)."""
        if custody is not None:
            capabilities = custody.capabilities()
            self.operations = capabilities.operations
            self.address = _wallet_of(capabilities)
            # RFC 6979 in our own process gives the same bytes again, so the signature need not be stored when all goes
            # well. Another signer may not, or asks a person each time: there it is on disk before it leaves.
            self._signs_alike = capabilities.backend == "in_process" and not capabilities.user_confirmation
        elif solana is not None:
            self.address, self._signs_alike = solana.address, False
        else:
            raise WalletMismatchError("There is no wallet to pay from.")
        self._custody = custody
        self._solana = solana
        self._entropy = entropy
        self._signer_checked = False

    @property
    def has_evm_wallet(self) -> bool:
        """Whether it pays on EVM networks."""
        return self._custody is not None

    @property
    def signs_in(self) -> bool:
        """Whether it can prove to a seller who paid (Sign-In-With-X)."""
        return self._custody is not None and "sign_message" in self.operations

    async def prepare(self, order: Order, chosen: Terms) -> Order:
        """A Solana order with its whole transaction, which the reservation will hold. Nothing is signed, and nothing written."""
        assert self._solana is not None  # or there are no such terms
        memo = self._entropy.token_bytes(16).hex().encode()
        decimals = None if chosen.domain is None else chosen.domain.decimals
        made = await self._solana.prepare(chosen.requirements, memo=memo, decimals=decimals)
        return order._replace(
            transaction=made.transaction,
            nonce="0x" + made.message_hash,
            last_valid_block_height=made.last_valid_block_height,
            from_slot=made.from_slot,
            timeout_s=min(order.timeout_s, SENDABLE_S),
        )

    async def sign(self, purse: Purse, payment: Payment) -> str:
        """The payment header over the reserved payment; its signature is noted in `purse`."""
        if payment.reserved.transaction is not None:
            return await self._sign_transfer(purse, payment)
        authorization = authorization_of(payment.reserved)
        if isinstance(authorization, PermitTransfer):
            signature = await self._evm.sign_permit(authorization)
        else:
            signature = await self._evm.sign_authorization(authorization)
        if not self._signer_checked:
            self._check_signer(digest(authorization), signature)
        signed = PaymentSigned(payment_id=payment.payment_id, signature="0x" + signature.hex())
        if self._signs_alike:
            purse.hold(payment.payment_id, signed)
        else:
            await purse.record(signed)
        allowance = await self._sign_allowance(payment)
        return payment_header(payment.reserved, signature, allowance, authorization=authorization)

    async def repeat(self, payment: Payment, signature: str) -> str:
        """The header over a signature (0x…) that is on disk already."""
        return payment_header(payment.reserved, bytes.fromhex(signature[2:]), await self._sign_allowance(payment))

    async def sign_in(self, proof: Proof) -> str:
        """The header that proves whose the payments were."""
        return encode_proof(proof, await self._evm.sign_message(proof.message().encode()))

    async def sign_cancellation(self, authorization: TransferAuthorization) -> bytes:
        """The signature that burns an authorization on its chain. Only where `cancels` is true."""
        custody: object = self._custody
        assert isinstance(custody, CancelSigning)
        return await custody.sign_cancellation(authorization)

    @property
    def cancels(self) -> bool:
        """Whether custody signs cancellations (EIP-3009)."""
        custody: object = self._custody
        return isinstance(custody, CancelSigning)

    @property
    def _evm(self) -> Custody:
        if self._custody is None:
            raise WalletMismatchError("There is no wallet here for EVM networks.")
        return self._custody

    async def _sign_transfer(self, purse: Purse, payment: Payment) -> str:
        """Sign the reserved transaction, once: the signature is on disk before it leaves."""
        reserved = payment.reserved
        if self._solana is None or self._solana.address != reserved.wallet or reserved.transaction is None:
            raise WalletMismatchError("This payment belongs to another wallet.")
        signature = await self._solana.sign(reserved.transaction)
        header = payment_header(reserved, signature)  # fails unless it is this wallet's signature over this transaction
        await purse.record(PaymentSigned(payment_id=payment.payment_id, signature="0x" + signature.hex()))
        return header

    async def _sign_allowance(self, payment: Payment) -> bytes | None:
        """The allowance that goes with a payment; it moves nothing by itself, and signing it again is harmless."""
        permit = allowance_of(payment.reserved)
        return None if permit is None else await self._evm.sign_permit(permit)

    def _check_signer(self, digest: bytes, signature: bytes) -> None:
        """Once: custody signs with the wallet that it names. A payment by another key would only be refused."""
        try:
            signer = recover_address(digest, signature)
        except CryptoError as error:
            raise CustodyError(f"Custody gave a signature that is none: {error}.") from None
        if signer != parse_address(self.address):
            raise WalletMismatchError("Custody signs with another wallet than the one it names.")
        self._signer_checked = True


def _wallet_of(capabilities: Capabilities) -> str:
    if capabilities.wallet_address is None or "sign_authorization" not in capabilities.operations:
        raise WalletMismatchError("This custody has no wallet that can sign payments.")
    try:
        return format_address(parse_address(capabilities.wallet_address))
    except CryptoError:
        raise WalletMismatchError("Custody names a wallet address that is none.") from None
