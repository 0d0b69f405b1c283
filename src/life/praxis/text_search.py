"""Searching text for a regular expression, line by line, within a time limit.

The expressions are those of Python's `re`. They are matched by the `regex` library, which can stop in the middle of a match:
an expression that backtracks for ever costs its time limit and no more, and other threads run meanwhile. What that library
adds to the language (recursion, approximate matching) is refused: it has no bound on memory. `\\w`, `\\d`,
`\\s` and `\\b` mean ASCII, so that the answer depends on no Unicode table. A line is what stands between two `\\n`, without a
`\\r` at its end; lines that are not UTF-8 are passed over, and a file with a NUL in its first 8 KiB is binary.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import regex

from life.praxis.errors import ToolInputError, ToolTimeoutError

MAX_PATTERN_CHARACTERS: Final = 1000
MAX_SEARCH_S: Final = 0.5
"""Of processor time, for one line. An ordinary expression needs 10 ms for 10 MiB."""

MAX_GROUPS: Final = 100
"""Both engines read groups recursively; how deep they get would depend on who calls."""

_MAX_WHOLE_S: Final = 0.25
_BINARY_WINDOW: Final = 8192
_BRACE: Final = re.compile(r"(\\.)|\{(?!\d+,?\d*\}|,\d*\})", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FLAGS: Final = regex.VERSION0 | regex.ASCII


class Hit(NamedTuple):
    """A line that matches."""

    line: int
    text: str


class TextPattern:
    """A compiled expression."""

    def __init__(self, pattern: str, *, ignore_case: bool, per_line: bool) -> None:
        """`per_line`: the expression may mean something else over a whole text than over one line of it (look-around,
        `\\A`, references …), so the quick look at the whole is left out. ToolInputError: not an expression."""
        if not 0 < len(pattern) <= MAX_PATTERN_CHARACTERS:
            raise ToolInputError(f"A pattern has 1 to {MAX_PATTERN_CHARACTERS} characters.")
        if pattern.count("(") > MAX_GROUPS:
            raise ToolInputError(f"A pattern has at most {MAX_GROUPS} groups.")
        pattern = _plain(pattern)
        flags = _FLAGS | (regex.IGNORECASE if ignore_case else 0)
        try:
            self._line = regex.compile(pattern, flags, cache_pattern=False)
            self._whole = None if per_line else regex.compile(pattern, flags | regex.MULTILINE, cache_pattern=False)
        except (regex.error, ValueError, OverflowError, RecursionError, MemoryError) as bad:
            raise _no_expression(bad) from None

    def search(self, content: bytes, *, proceed: Callable[[], bool]) -> Iterator[Hit]:
        """The matching lines of a file's content, in order, as long as `proceed` says so.

        ToolTimeoutError when the expression takes more than half a second for one line.
        """
        valid = True
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode(errors="surrogateescape")
            valid = False
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        hits = self._every_line(text, proceed) if self._whole is None else self._from_match_to_match(text, proceed)
        return hits if valid else (hit for hit in hits if not _SURROGATE.search(hit.text))

    def _from_match_to_match(self, text: str, proceed: Callable[[], bool]) -> Iterator[Hit]:
        """The leftmost match of the whole text: no line before it holds one. Its own line is then asked by itself."""
        assert self._whole is not None
        position = number = counted = 0
        while proceed():
            try:
                found = self._whole.search(text, pos=position, timeout=_MAX_WHOLE_S, concurrent=True)
            except (
                TimeoutError,
                MemoryError,
            ):  # over line ends an expression can have far more to try than within them
                rest = self._every_line(text[position:], proceed)
                yield from (Hit(hit.line + text.count("\n", 0, position), hit.text) for hit in rest)
                return
            if found is None:
                return
            begin = text.rfind("\n", 0, found.start()) + 1
            end = text.find("\n", begin)
            if begin == len(text):
                return  # after the final newline there is no line
            number += text.count("\n", counted, begin)
            counted = begin
            line = text[begin:] if end == -1 else text[begin:end]
            if self._fits(line):
                yield Hit(number + 1, line)
            if end == -1:
                return
            position = end + 1

    def _every_line(self, text: str, proceed: Callable[[], bool]) -> Iterator[Hit]:
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        for number, line in enumerate(lines, start=1):
            if not proceed():
                return
            if self._fits(line):
                yield Hit(number, line)

    def _fits(self, line: str) -> bool:
        try:
            return self._line.search(line, timeout=MAX_SEARCH_S, concurrent=True) is not None
        except (TimeoutError, MemoryError):
            raise _too_slow() from None


def _plain(pattern: str) -> str:
    """The expression with every brace escaped that is no repetition to `re` (to `regex` it may be approximate matching).

    ToolInputError for anything that is not an expression of `re`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sets that may mean something else one day
            re.compile(pattern)
    except (re.error, ValueError, OverflowError, RecursionError, MemoryError) as bad:
        raise _no_expression(bad) from None
    return _BRACE.sub(lambda found: found[1] or "\\{", pattern)


def _no_expression(bad: Exception) -> ToolInputError:
    return ToolInputError(f"The pattern is not a regular expression: {str(bad)[:200]}.")


def is_binary(content: bytes) -> bool:
    """Whether a file's beginning holds a NUL."""
    return b"\0" in content[:_BINARY_WINDOW]


def _too_slow() -> ToolTimeoutError:
    return ToolTimeoutError(
        f"The pattern took more than {MAX_SEARCH_S:g} s on one line: it backtracks too much. Write it simpler."
    )
