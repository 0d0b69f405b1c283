"""Custody: the only place where keys live.

A handle belongs to one agent. Signing is typed: a token, a message, an authorization to pay, a transaction; nobody
outside can have an arbitrary digest signed (anima.md §11, ARCHITECTURE.md §2.8). No method returns key bytes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import msgspec

from life.aios.json import JsonObject

BackendKind = Literal["in_process", "vault", "web_crypto", "tpm", "soma", "hardware_wallet", "remote"]
Operation = Literal["sign_token", "sign_message", "sign_authorization", "sign_transaction"]


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

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed EIP-1559 transaction, ready to broadcast."""
        ...
