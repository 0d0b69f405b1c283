"""An Ed25519 wallet in this process's memory, for x402 on Solana: a payer's, or a facilitator's fee payer.

It signs token transfers that `life.crypto.solana_transfer` has taken apart and nothing else: never a bare digest, never another
transaction. As payer it signs only what moves its own money; as fee payer only what moves somebody else's. The key lives inside
an object of the `cryptography` package. `close` drops it.

Needs the extra `solana`.
"""

from __future__ import annotations

from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from solders.pubkey import Pubkey

from life.anima.errors import CustodyInputError, PolicyDeniedError, StaleHandleError
from life.crypto.solana_transfer import TokenTransfer


class SolanaWallet:
    """One account. Make it with `from_seed`; close it."""

    __slots__ = ("_key", "_role", "address")

    def __init__(self, key: Ed25519PrivateKey, *, role: Literal["payer", "fee_payer"]) -> None:
        self._key: Ed25519PrivateKey | None = key
        self._role = role
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.address = str(Pubkey.from_bytes(raw))
        """Base58."""

    @classmethod
    def from_seed(cls, seed: bytearray | memoryview, *, role: Literal["payer", "fee_payer"]) -> SolanaWallet:
        """From a 32-byte seed, or the 64 bytes (seed and public key) that Solana's tools write; the buffer stays the caller's
        to wipe. CustodyInputError for anything else."""
        if len(seed) not in (32, 64):
            raise CustodyInputError("A Solana key has 32 bytes, or 64 with its public half.")
        key = Ed25519PrivateKey.from_private_bytes(memoryview(seed)[:32])
        if len(seed) == 64 and key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != bytes(seed[32:]):
            raise CustodyInputError("The two halves of this Solana key do not belong together.")
        return cls(key, role=role)

    async def sign_transfer(self, transfer: TokenTransfer) -> bytes:
        """64 bytes over the transaction's message. PolicyDeniedError for a transaction that this wallet has another part in,
        or none; StaleHandleError after `close`."""
        if self._key is None:
            raise StaleHandleError("This wallet is closed.")
        own = transfer.authority if self._role == "payer" else transfer.fee_payer
        other = transfer.fee_payer if self._role == "payer" else transfer.authority
        if own != self.address or other == self.address:
            raise PolicyDeniedError("This wallet does not sign a transaction of this kind.")
        return self._key.sign(transfer.message)

    def close(self) -> None:
        """Drop the key."""
        self._key = None

    def __repr__(self) -> str:
        return f"<SolanaWallet {self.address}>"
