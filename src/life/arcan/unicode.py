"""Text from models as text that can be stored.

JSON lets a program send half a character: an emoji as two surrogate escapes, perhaps in two pieces of a stream, or one
half alone. UTF-8 has no such thing, so halves are joined where both come and replaced by U+FFFD where only one does.
"""

from __future__ import annotations


def whole_characters(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced; the same text when there are none."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def ends_in_half(text: str) -> bool:
    """Whether the last character is the first half of a pair."""
    return "\ud800" <= text[-1:] <= "\udbff"
