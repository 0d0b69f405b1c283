"""EVM addresses: 20 bytes inside, EIP-55 text outside (HM-WAL-1)."""

from functools import lru_cache

from life.crypto.errors import InvalidAddressError
from life.crypto.keccak import keccak256

ADDRESS_BYTES = 20
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


@lru_cache(maxsize=1024)
def format_address(address: bytes) -> str:
    """Return the EIP-55 text of a 20-byte address: ``0x`` and 40 hex digits whose case is a checksum.

    Raises :class:`InvalidAddressError` for another length.
    """
    if len(address) != ADDRESS_BYTES:
        raise InvalidAddressError("an address has 20 bytes")
    digits = address.hex()
    checksum = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, checksum[:40], strict=True)
    )


def parse_address(text: str) -> bytes:
    """Return the 20 bytes of an address text ``0x`` + 40 hex digits.

    Digits all in one case carry no checksum and are accepted; in mixed case the EIP-55 checksum must be right, because a
    wrong one means a mistyped address. Raises :class:`InvalidAddressError`.
    """
    digits = text[2:]
    if len(text) != 42 or not text.startswith("0x") or not _HEX_DIGITS.issuperset(digits):
        raise InvalidAddressError("an address is 0x and 40 hex digits")
    address = bytes.fromhex(digits)
    if digits not in (digits.lower(), digits.upper()) and format_address(address) != text:
        raise InvalidAddressError("the address has a wrong EIP-55 checksum")
    return address
