"""Custody: the only place where keys live.

A handle belongs to one agent. Signing is typed: a token, a message, an authorization to pay, a transaction; nobody
outside can have an arbitrary digest signed (anima.md §11, ARCHITECTURE.md §2.8). No method returns key bytes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from life.aios.json import JsonObject

BackendKind = Literal["in_process", "vault", "web_crypto", "tpm", "soma", "hardware_wallet", "remote"]
Operation = Literal[
    "sign_token",
    "sign_message",
    "sign_authorization",
    "sign_permit",
    "sign_transaction",
    "sign_sale_document",
    "sign_cancellation",
]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What this handle can do. An operation that is not listed raises UnsupportedOperationError."""

    backend: BackendKind
    operations: frozenset[Operation]
    did: str | None
    """`did:key` of the P-256 auth key; None when there is no auth half."""
    wallet_address: str | None
    """EIP-55 address of the secp256k1 wallet; None when there is no wallet half."""
    user_confirmation: bool = False
    exportable: bool = False


class TransferAuthorization(NamedTuple):
    """EIP-3009 TransferWithAuthorization over one token. Amounts in atomic units, times in Unix seconds."""

    network: str
    """CAIP-2, `eip155:<chain id>`."""
    asset: str
    """The token contract (verifyingContract)."""
    token_name: str
    token_version: str
    from_address: str
    to_address: str
    value_atomic: int
    valid_after_s: int
    valid_before_s: int
    nonce: bytes
    """32 bytes, never used before by this payer on this token."""
    reservation_id: str = ""
    """The durable reservation that allows this signature (invariant 3 of haima.md §8.7)."""


class PermitTransfer(NamedTuple):
    """A payment by Permit2: PermitWitnessTransferFrom for one of x402's two proxies (x402.md §3.2, §3.3).

    Fields that mean the same as those of a `TransferAuthorization` have its names. Amounts in atomic units, times in Unix
    seconds.
    """

    network: str
    """CAIP-2, `eip155:<chain id>`."""
    asset: str
    """The token contract: `permitted.token`."""
    from_address: str
    """Whose money it is: the owner, who signs."""
    to_address: str
    """Who gets it: `witness.to`."""
    value_atomic: int
    """`permitted.amount`: what is moved; with a facilitator (scheme `upto`) the most that may be moved."""
    spender: str
    """The proxy that may carry it out: `life.crypto.permit2.EXACT_PROXY`, with a facilitator `UPTO_PROXY`."""
    nonce: int
    """Below 2^256, never used before by this payer with Permit2, on any token."""
    deadline_s: int
    """The last second in which it may be carried out."""
    valid_after_s: int = 0
    """`witness.validAfter`: the first second in which it may be carried out."""
    facilitator: str | None = None
    """`witness.facilitator`, the only account that may carry out an `upto` payment; None for scheme `exact`."""
    reservation_id: str = ""
    """The durable reservation that allows this signature (invariant 3 of haima.md §8.7)."""

    @property
    def valid_before_s(self) -> int:
        """The first second in which it can no longer be carried out, as a `TransferAuthorization` says it."""
        return self.deadline_s + 1


PaymentAuthorization = TransferAuthorization | PermitTransfer
"""What a payer signs to pay. Both have network, asset, from_address, to_address, value_atomic, valid_after_s,
valid_before_s and reservation_id; both have a nonce, one of bytes, the other an int."""


class TokenPermit(NamedTuple):
    """EIP-2612 Permit: gives Permit2 an allowance over one token, beside a `PermitTransfer` of the same amount.

    Amounts in atomic units, times in Unix seconds.
    """

    network: str
    """CAIP-2, `eip155:<chain id>`."""
    asset: str
    """The token contract (verifyingContract)."""
    token_name: str
    token_version: str
    from_address: str
    """The owner, who signs."""
    spender: str
    """Who gets the allowance: `life.crypto.permit2.PERMIT2` and nobody else."""
    value_atomic: int
    nonce: int
    """The token's own count of the owner's permits (`nonces(owner)`)."""
    deadline_s: int
    reservation_id: str = ""
    """The reservation of the payment that it serves."""


class SaleOffer(NamedTuple):
    """What a seller offers, for a signature that anybody can hold against it (x402's extension `offer-receipt`)."""

    resource_url: str
    scheme: str
    network: str
    """CAIP-2."""
    asset: str
    pay_to: str
    amount: str
    """Atomic units, decimal."""
    valid_until_s: int


class SaleReceipt(NamedTuple):
    """That a seller was paid (x402's extension `offer-receipt`)."""

    network: str
    """CAIP-2."""
    resource_url: str
    payer: str
    issued_at_s: int
    transaction: str
    """Empty when the seller does not tell it."""


SaleDocument = SaleOffer | SaleReceipt


class EvmTransaction(NamedTuple):
    """An EIP-1559 transaction to sign. Wei and gas as ints."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas_wei: int
    max_fee_per_gas_wei: int
    gas_limit: int
    to_address: str
    value_wei: int
    data: bytes


class Custody(Protocol):
    """Signatures of one agent."""

    def capabilities(self) -> Capabilities:
        """What this handle can do, and its public names."""
        ...

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS (ES256, `kid` = the DID) over `claims`."""
        ...

    async def sign_message(self, message: bytes) -> bytes:
        """EIP-191 personal signature by the wallet: 65 bytes r‖s‖v, v 27 or 28, low s."""
        ...

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature by the wallet: 65 bytes r‖s‖v, v 27 or 28, low s. `from_address` must be the wallet's own."""
        ...

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """EIP-712 signature by the wallet over a Permit2 payment or the allowance that goes with it: 65 bytes r‖s‖v, v 27
        or 28, low s. `from_address` must be the wallet's own, `spender` the one that the type names."""
        ...

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed EIP-1559 transaction, ready to broadcast."""
        ...


@runtime_checkable
class CancelSigning(Protocol):
    """What a custody handle may be able to do beside its port: burn an authorization that it signed before it is used."""

    async def sign_cancellation(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature by the wallet over EIP-3009's CancelAuthorization of this authorization's nonce: 65 bytes
        r‖s‖v, v 27 or 28, low s. It moves no money. `from_address` must be the wallet's own."""
        ...


@runtime_checkable
class SaleSigning(Protocol):
    """What a custody handle may be able to do beside its port: sign what a seller says about its own sales.

    Not every backend has it, and none needs it to pay. The two documents have EIP-712 domains of their own, without a
    contract, so that no such signature can move money (life.crypto.sale_documents).
    """

    async def sign_sale_document(self, document: SaleDocument) -> bytes:
        """EIP-712 signature by the wallet: 65 bytes r‖s‖v, v 27 or 28, low s."""
        ...
