"""Solana in commands: the extra that it needs, and wallets from keys in the environment.

A key comes as Solana's own tools write it: a JSON array of 64 numbers (`solana-keygen`), or base58 of 64 bytes (what wallets
export) or of the 32-byte seed. It is turned into bytes once, goes into custody, and the bytes are wiped; no message repeats it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import msgspec

from life.aios.errors import CustodyError, InvalidInputError, MissingExtraError
from life.crypto.base58 import decode_base58
from life.crypto.errors import CryptoError
from life.crypto.wiping import wipe

if TYPE_CHECKING:
    from life.anima.custody.solana_wallet import SolanaWallet


def require_solana() -> None:
    """MissingExtraError when the extra `solana` is not installed."""
    if find_spec("solders") is None:
        raise MissingExtraError("Solana", "solana")


def wallet_of_solana_key(text: str, *, role: Literal["payer", "fee_payer"]) -> SolanaWallet:
    """The wallet of a key. InvalidInputError when it is none; MissingExtraError without the extra. Close the wallet."""
    require_solana()
    from life.anima.custody.solana_wallet import SolanaWallet

    seed = _bytes_of(text.strip())
    try:
        return SolanaWallet.from_seed(seed, role=role)
    except CustodyError as error:
        raise InvalidInputError(error.message) from None
    finally:
        wipe(seed)


def read_solana_address(text: str, what: str) -> str:
    """A Solana address in base58; InvalidInputError when it is none."""
    require_solana()
    from life.crypto.solana_transfer import is_address

    address = text.strip()
    if not is_address(address):
        raise InvalidInputError(f"The {what} is no Solana address (base58 of 32 bytes).")
    return address


def _bytes_of(text: str) -> bytearray:
    try:
        if text.startswith("["):
            return bytearray(msgspec.json.decode(text.encode(), type=list[int]))
        return bytearray(decode_base58(text))
    except (CryptoError, ValueError):  # msgspec's errors are ValueErrors; what they say may quote the key
        raise InvalidInputError(
            "The Solana key is neither base58 nor a JSON array of 64 numbers, as solana-keygen writes it."
        ) from None
