"""The few pieces of Solidity's ABI encoding that settlements need: words, addresses, byte strings."""

from __future__ import annotations


def address_bytes(address: str) -> bytes:
    """The 20 bytes of `0x` and 40 hex digits in any case; ValueError otherwise."""
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError("an address has 20 bytes")
    return raw


def address_word(address: str) -> bytes:
    """An address as a word of 32 bytes."""
    return address_bytes(address).rjust(32, b"\0")


def word(value: int) -> bytes:
    """An unsigned integer as a word of 32 bytes."""
    return value.to_bytes(32, "big")


def byte_string(content: bytes) -> bytes:
    """The tail of a `bytes` argument: its length, and its content filled up to whole words."""
    return word(len(content)) + content + bytes(-len(content) % 32)


def address_topic(address: str) -> str:
    """An indexed address as a log shows it: `0x`, 64 lower-case hex digits."""
    return "0x" + address_word(address).hex()
