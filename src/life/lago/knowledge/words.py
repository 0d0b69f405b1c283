"""Words and where they stand: an FTS5 table, and BM25 over it (lago.md §13, "Hybrid").

    idf   max(0, ln((N − n + 0.5)/(n + 0.5) + 1))
    part  idf · tf·(k1 + 1)/(tf + k1·(1 − b + b·len/avg)),  k1 = 1.2, b = 0.75

FTS5 holds the inverted lists and cuts words (`unicode61`: letters and digits of every script, lower case, without marks); its own
`bm25()` has another idf, so the lists are read through `fts5vocab` and weighed here. A query never becomes FTS5 syntax. Scripts
that don't write blanks between words are indexed character by character.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import apsw

K1: Final = 1.2
B: Final = 0.75
MAX_TERMS: Final = 32
"""Of a query; further ones are not looked up."""

Row: TypeAlias = tuple[Any, ...]
"""What the engine gives back for a row; SQLite has no types that a checker could follow."""

_TOKENIZER: Final = ("unicode61", ["remove_diacritics", "2"])
_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Words:
    """The words of numbered texts. The texts are not kept: who takes one out says what it was."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Makes the tables when they are not there. The caller owns the connection and its transactions."""
        self._connection = connection
        connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5("
            "text, content='', tokenize='unicode61 remove_diacritics 2')"
        )
        connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.occurrence USING fts5vocab(main, words, instance)")
        self._tokenize = connection.fts5_tokenizer(*_TOKENIZER)
        self._lengths: dict[int, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def load(self) -> None:
        """Read the lengths of the texts; once after opening, and whenever somebody else has written."""
        rows: list[Row] = self._connection.execute("SELECT id, sz FROM words_docsize").fetchall()
        self._lengths = {number: _varint(size) for number, size in rows}
        self._total = sum(self._lengths.values())

    def add(self, number: int, text: str) -> None:
        """Take a text in under a number that is free."""
        self._connection.execute("INSERT INTO words(rowid, text) VALUES (?, ?)", (number, _separate(text)))
        size: Any = self._connection.execute("SELECT sz FROM words_docsize WHERE id = ?", (number,)).get
        length = self._lengths[number] = _varint(size)
        self._total += length

    def remove(self, number: int, text: str) -> None:
        """Take a text out; `text` is what it was."""
        self._connection.execute(
            "INSERT INTO words(words, rowid, text) VALUES ('delete', ?, ?)", (number, _separate(text))
        )
        self._total -= self._lengths.pop(number)

    def terms(self, text: str) -> list[str]:
        """The words of a text as the table knows them, each once, in order."""
        found = self._tokenize(
            _separate(text).encode("utf-8", "replace"),
            apsw.FTS5_TOKENIZE_QUERY,
            None,
            include_offsets=False,
            include_colocated=False,
        )
        return list(dict.fromkeys(word for word in found if isinstance(word, str)))

    def scores(self, terms: Iterable[str]) -> dict[int, float]:
        """BM25 of every text that holds one of the terms."""
        scores: dict[int, float] = {}
        count = len(self._lengths)
        if not count:
            return scores
        lengths = self._lengths
        floor, slope = K1 * (1 - B), K1 * B * count / max(self._total, 1)
        for term in list(terms)[:MAX_TERMS]:
            rows: list[Row] = self._connection.execute(
                "SELECT doc, count(*) FROM temp.occurrence WHERE term = ? GROUP BY doc", (term,)
            ).fetchall()
            weight = idf(count, len(rows)) * (K1 + 1)
            for number, tf in rows:
                part = weight * tf / (tf + floor + slope * lengths[number])
                scores[number] = scores.get(number, 0.0) + part
        return scores


def idf(count: int, holding: int) -> float:
    """How much a word says that `holding` of `count` texts have."""
    return max(0.0, math.log((count - holding + 0.5) / (holding + 0.5) + 1))


def _separate(text: str) -> str:
    return text if text.isascii() else _UNSPACED.sub(r" \g<0> ", text)


def _varint(size: bytes) -> int:
    """The one number in a row of FTS5's size table (SQLite's variable-length integer)."""
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value
