"""Identifiers.

Ids are opaque text: nothing reads meaning out of them. New event ids are ULIDs (48 bits of milliseconds, 80 bits of
chance, Crockford base32), so they sort by time; ids of other makers (UUIDs, names) are accepted as they are.

`derived_event_id` gives the same id for the same parts. Since the journal stores an id once, appending an event under a
derived id is a claim that exactly one writer can win, in whatever process it runs (x402.md §16.4).

Source: aios.md §2; the ULID specification; the session path grammar of aios.md §11.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy

MAIN_BRANCH: Final = "main"
"""The branch every session has."""

MAX_ID_LENGTH: Final = 255
"""Longest accepted id in characters."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE_32: Final = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(chr(code))] if chr(code) in _ALPHABET else 0x7E
    for code in range(256)
)
"""Crockford's digits to those that `int(…, 32)` reads; every other byte becomes `~`, which is a digit in no base."""
_DIGITS: Final = _ALPHABET.encode().ljust(256, b"~")
"""Five bits to their character."""
_LANES: Final = 64
_LANE_PADDING: Final = bytes(10)


def _spreading_steps() -> list[tuple[int, int, int]]:
    """For each step of `encode_ulids`: the bits that stay, those that move up, and how far."""
    every_lane = sum(1 << 208 * lane for lane in range(_LANES))
    steps = []
    groups = [(0, 26)]  # position of the lowest bit, and how many digits of five bits follow
    for digits in (16, 8, 4, 2, 1):
        distance = 3 * digits
        kept = moved = 0
        split = []
        for bit, count in groups:
            low = min(count, digits)
            kept |= (1 << 5 * low) - 1 << bit
            split.append((bit, low))
            if count > digits:
                moved |= (1 << 5 * (count - digits)) - 1 << bit + 5 * digits
                split.append((bit + 8 * digits, count - digits))
        groups = split
        steps.append((kept * every_lane, moved * every_lane, distance))
    return steps


_SPREAD: Final = _spreading_steps()
_PATH_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]


def encode_ulid(value: bytes) -> str:
    """The 26 characters of 16 bytes."""
    number = int.from_bytes(value, "big")
    pairs = _PAIRS
    return "".join(
        [
            pairs[number >> 120],
            pairs[number >> 110 & 1023],
            pairs[number >> 100 & 1023],
            pairs[number >> 90 & 1023],
            pairs[number >> 80 & 1023],
            pairs[number >> 70 & 1023],
            pairs[number >> 60 & 1023],
            pairs[number >> 50 & 1023],
            pairs[number >> 40 & 1023],
            pairs[number >> 30 & 1023],
            pairs[number >> 20 & 1023],
            pairs[number >> 10 & 1023],
            pairs[number & 1023],
        ]
    )


def encode_ulids(values: Sequence[bytes]) -> list[str]:
    """The 26 characters of each of many 16 bytes; four times faster than one by one.

    Sixty-four numbers stand in one long integer, each at the bottom of a lane of 26 bytes. Five steps move groups of
    16, 8, 4, 2 and 1 digits up to where their bytes will be, in all lanes at once; then each byte holds one digit.
    """
    texts: list[str] = []
    for start in range(0, len(values), _LANES):
        some = values[start : start + _LANES]
        raw = _LANE_PADDING.join((b"", *some))
        if len(raw) != 26 * len(some):
            raise InvalidInputError("A ULID has 16 bytes.")
        lanes = int.from_bytes(raw, "big")
        for kept, moved, distance in _SPREAD:
            lanes = lanes & kept | (lanes & moved) << distance
        digits = lanes.to_bytes(26 * len(some), "big").translate(_DIGITS).decode()
        texts += [digits[at : at + 26] for at in range(0, len(digits), 26)]
    return texts


def decode_ulid(text: str) -> bytes | None:
    """The 16 bytes of a canonical (upper-case) ULID, or None when the text is not one."""
    if len(text) != 26:
        return None
    try:
        return int(text.encode().translate(_BASE_32), 32).to_bytes(16, "big")
    except (ValueError, OverflowError):  # a foreign character; a first digit above 7
        return None


def new_id(clock: Clock, entropy: Entropy) -> str:
    """A new ULID."""
    return encode_ulid((clock.now_us() // 1000).to_bytes(6, "big") + entropy.token_bytes(10))


def derived_event_id(*parts: str) -> str:
    """The ULID-shaped id that belongs to `parts`, and to nothing else: 128 bits of SHA-256, parts length-prefixed."""
    digest = hashlib.sha256(b"life.derived-id.1")
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    value = bytearray(digest.digest()[:16])
    return encode_ulid(bytes(value))


def check_id(value: str, *, what: str = "id") -> str:
    """`value`, when it is 1 to 255 printable ASCII characters without blanks; otherwise an InvalidInputError."""
    if _PRINTABLE.fullmatch(value) is None:
        raise InvalidInputError(f"The {what} must be 1 to {MAX_ID_LENGTH} printable ASCII characters without blanks.")
    return value


def check_path_id(value: str, *, what: str = "session id") -> str:
    """`value`, when it may become a path component: `[A-Za-z0-9][A-Za-z0-9_-]{0,127}` (aios.md §2)."""
    if _PATH_ID.fullmatch(value) is None:
        raise InvalidInputError(
            f"The {what} must start with a letter or digit and hold at most 128 letters, digits, '-' and '_'."
        )
    return value
