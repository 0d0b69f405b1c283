"""Signatures of contracts: ERC-1271 calls and the ERC-6492 wrapper, as pure bytes.

A wallet with code says itself which signatures it takes (ERC-1271, ``isValidSignature``). One that is not deployed yet has no
code to ask; its signature comes wrapped with the factory call that deploys it (ERC-6492)::

    abi.encode(address factory, bytes factoryCalldata, bytes signature) ‖ 6492…6492

The address, chain and code are the caller's business; nothing here trusts a factory.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.crypto.errors import InvalidSignatureError

IS_VALID_SIGNATURE: Final = bytes.fromhex("1626ba7e")
"""isValidSignature(bytes32,bytes): the selector, and what the wallet answers when it agrees (ERC-1271)."""
WRAPPER_SUFFIX: Final = bytes.fromhex("6492" * 16)
_MAX_PART_BYTES: Final = 65_536


class WrappedSignature(NamedTuple):
    """The parts of an ERC-6492 signature."""

    factory: bytes
    """20 bytes: the contract that deploys the wallet."""
    factory_data: bytes
    """The call that deploys it."""
    signature: bytes
    """What the wallet itself takes."""


def is_wrapped(signature: bytes) -> bool:
    """Whether a signature ends with ERC-6492's suffix."""
    return signature.endswith(WRAPPER_SUFFIX)


def unwrap(signature: bytes) -> WrappedSignature | None:
    """The parts of an ERC-6492 signature; None when it is not wrapped. InvalidSignatureError when it is, but malformed."""
    if not is_wrapped(signature):
        return None
    body = signature[: -len(WRAPPER_SUFFIX)]
    if len(body) < 96 or any(body[:12]):
        raise InvalidSignatureError("the ERC-6492 wrapper has no factory")
    return WrappedSignature(body[12:32], _dynamic(body, 32), _dynamic(body, 64))


def wrap(parts: WrappedSignature) -> bytes:
    """The ERC-6492 form of a signature. InvalidSignatureError unless the factory has 20 bytes."""
    if len(parts.factory) != 20:
        raise InvalidSignatureError("a factory address has 20 bytes")
    data, inner = _padded(parts.factory_data), _padded(parts.signature)
    head = bytes(12) + parts.factory + (96).to_bytes(32, "big") + (96 + len(data)).to_bytes(32, "big")
    return head + data + inner + WRAPPER_SUFFIX


def _padded(content: bytes) -> bytes:
    return len(content).to_bytes(32, "big") + content + bytes(-len(content) % 32)


def _dynamic(body: bytes, place: int) -> bytes:
    """The bytes whose offset stands at `place`."""
    offset = int.from_bytes(body[place : place + 32], "big")
    if offset + 32 > len(body):
        raise InvalidSignatureError("the ERC-6492 wrapper points outside of itself")
    length = int.from_bytes(body[offset : offset + 32], "big")
    if length > _MAX_PART_BYTES or offset + 32 + length > len(body):
        raise InvalidSignatureError("the ERC-6492 wrapper points outside of itself")
    return body[offset + 32 : offset + 32 + length]
