"""Recursive-length prefix encoding (Ethereum yellow paper, appendix B), read strictly.

An item is ``bytes`` or a list (or tuple) of items. Decoding accepts only what encoding would write, so a transaction has one
spelling and one hash.
"""

from typing import TypeAlias

from life.crypto.errors import InvalidRlpError

Item: TypeAlias = "bytes | list[Item] | tuple[Item, ...]"
"""What :func:`encode` takes."""

Decoded: TypeAlias = "bytes | list[Decoded]"
"""What :func:`decode` returns."""

MAX_DEPTH = 32


def encode(item: Item) -> bytes:
    """Encode an item."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(len(item), 0x80) + item
    if not isinstance(item, list | tuple):
        raise InvalidRlpError("RLP holds bytes and lists of items")
    payload = b"".join(encode(part) for part in item)
    return _head(len(payload), 0xC0) + payload


def encode_integer(number: int) -> bytes:
    """Return ``number`` as big-endian bytes without leading zeros (zero is empty), ready to be an item.

    Raises :class:`InvalidRlpError` for a negative number.
    """
    if number < 0:
        raise InvalidRlpError("RLP has no negative integers")
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def decode_integer(item: Decoded) -> int:
    """Read an integer item. Raises :class:`InvalidRlpError` for a list or a leading zero."""
    if not isinstance(item, bytes) or item[:1] == b"\0":
        raise InvalidRlpError("an RLP integer is a string without leading zeros")
    return int.from_bytes(item, "big")


def decode(data: bytes) -> Decoded:
    """Decode exactly one item.

    Raises :class:`InvalidRlpError` for truncated or surplus bytes, a length or a single byte that is not in its shortest
    form, or lists nested more than ``MAX_DEPTH`` deep.
    """
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise InvalidRlpError("bytes follow the RLP item")
    return item


def _head(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = encode_integer(length)
    return bytes((offset + 55 + len(size),)) + size


def _decode(data: bytes, start: int, end: int, depth: int) -> tuple[Decoded, int]:
    """Decode the item at ``start``, which must end by ``end``; return it and the position after it."""
    if start >= end:
        raise InvalidRlpError("the RLP item is truncated")
    prefix = data[start]
    if prefix < 0x80:
        return data[start : start + 1], start + 1
    is_list = prefix >= 0xC0
    body, stop = _bounds(data, start, end, prefix - (0xC0 if is_list else 0x80))
    if not is_list:
        if stop - body == 1 and data[body] < 0x80:
            raise InvalidRlpError("a single byte below 128 is its own RLP")
        return data[body:stop], stop
    if depth >= MAX_DEPTH:
        raise InvalidRlpError("the RLP lists are nested too deeply")
    items: list[Decoded] = []
    position = body
    while position < stop:
        item, position = _decode(data, position, stop, depth + 1)
        items.append(item)
    return items, stop


def _bounds(data: bytes, start: int, end: int, code: int) -> tuple[int, int]:
    """Return where the payload of the item at ``start`` begins and ends; ``code`` is its prefix less the type's offset."""
    body, length = start + 1, code
    if code > 55:
        size = data[body : body + code - 55]
        length, body = int.from_bytes(size, "big"), body + code - 55
        if body > end or size[0] == 0 or length < 56:
            raise InvalidRlpError("the RLP length is truncated or not in its shortest form")
    if body + length > end:
        raise InvalidRlpError("the RLP item is truncated")
    return body, body + length
