"""The loop guard: an agent that does the same over and over is told, and then stopped (arcan.md §2.4).

A call's signature is BLAKE2b-128 over its tool's name and its arguments as JSON with sorted keys and without spaces; numbers
stay as the model wrote them (1 and 1.0 differ). The last 20 signatures of a run are looked at. A pattern of one to four calls that
stands at their end three times in a row is worth a warning, five times a stop: so A A A is found, and so is A B A B A B.
Any other call breaks a pattern; a test that is run again after each edit is not one, because the edits differ.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from life.aios.json import Json

WINDOW: Final = 20
WARN_AT: Final = 3
STOP_AT: Final = 5
_LONGEST_PATTERN: Final = WINDOW // STOP_AT

_encoder: Final = msgspec.json.Encoder(order="sorted")


def signature(tool_name: str, arguments: Json) -> str:
    """32 hex digits that are equal for equal calls."""
    return hashlib.blake2b(_encoder.encode((tool_name, arguments)), digest_size=16).hexdigest()


def remembered(recent: tuple[str, ...], new: str) -> tuple[str, ...]:
    """The window with one more signature."""
    return (*recent[-(WINDOW - 1) :], new)


def repetitions(recent: tuple[str, ...]) -> int:
    """How many times in a row the best repeated pattern stands at the end; 1 when nothing repeats, 0 for nothing."""
    most = 1 if recent else 0
    for length in range(1, _LONGEST_PATTERN + 1):
        pattern = recent[-length:]
        if len(recent) < 2 * length or (pattern == recent[-1:] * length and length > 1):
            continue
        times, end = 1, len(recent) - length
        while end >= length and recent[end - length : end] == pattern:
            times += 1
            end -= length
        most = max(most, times)
    return most
