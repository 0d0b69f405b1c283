"""The SQL that subscriptions need: `SELECT * FROM table [WHERE column = literal [AND …]]`.

Names may be quoted and columns may name their table, conditions may stand in parentheses, as the official clients write them. Literals are
integers, texts, TRUE and FALSE, and 0x… for identities. Everything else (joins, OR, comparisons, projections, LIMIT, other statements) is
refused with a sentence that says what is understood.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from life.spaces.listeners.spacetimedb.bsatn import (
    BoolType,
    EnumType,
    IdentityType,
    IntType,
    OptionType,
    TextType,
    Type,
)
from life.spaces.listeners.spacetimedb.errors import UnsupportedSqlError
from life.spaces.listeners.spacetimedb.types import TABLES_SEEN, Table
from life.spaces.queries import Scalar, TableQuery

MAX_SQL_CHARACTERS: Final = 4096
MAX_CONDITIONS: Final = 16
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"]|"")*")|(?P<text>'(?:[^']|'')*')|(?P<hex>0[xX][0-9a-fA-F]+)|(?P<number>-?\d+)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><>|!=|<=|>=|[*=.();,<>+-]))""",
    re.VERBOSE,
)
_UNDERSTOOD: Final = "This server understands SELECT * FROM table [WHERE column = literal [AND ...]]."


class _Token(NamedTuple):
    kind: str
    text: str


def parse(query: str) -> TableQuery:
    """The query; UnsupportedSqlError."""
    return _Parser(_tokens(query)).query()


def _tokens(query: str) -> list[_Token]:
    if len(query) > MAX_SQL_CHARACTERS:
        raise _refused(f"it has more than {MAX_SQL_CHARACTERS} characters")
    tokens: list[_Token] = []
    rest = query.strip()
    while rest:
        match = _TOKEN.match(rest)
        if match is None:
            raise _refused("it has characters that mean nothing here")
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match[kind]))
        rest = rest[match.end() :].lstrip()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def query(self) -> TableQuery:
        self._word("SELECT")
        selected = None if self._sign_is("*") else self._name("a table")
        if selected is not None:
            self._sign(".")
        self._sign("*")
        self._word("FROM")
        table = TABLES_SEEN.get(self._name("a table"))
        if table is None or selected not in (None, table.name):
            raise _refused("there is no such table")
        where: dict[str, Scalar] = {}
        if self._peek().text.upper() == "WHERE":
            self._at += 1
            self._conditions(table, where, 0)
        if self._sign_is(";"):
            self._at += 1
        if self._at < len(self._tokens):
            raise _refused(f"'{self._peek().text[:32]}' is not expected there")
        return TableQuery(table=table.name, where=where)

    def _conditions(self, table: Table, where: dict[str, Scalar], depth: int) -> None:
        if depth > MAX_CONDITIONS:
            raise _refused("it is nested too deeply")
        while True:
            if self._sign_is("("):
                self._at += 1
                self._conditions(table, where, depth + 1)
                self._sign(")")
            else:
                self._condition(table, where)
            if self._peek().text.upper() != "AND":
                return
            self._at += 1

    def _condition(self, table: Table, where: dict[str, Scalar]) -> None:
        name = self._name("a column")
        if self._sign_is("."):
            self._at += 1
            if name != table.name:
                raise _refused("a column is of another table")
            name = self._name("a column")
        column = next((column for column in table.columns if column.name == name), None)
        if column is None:
            raise _refused(f"the table {table.name} has no column '{name[:64]}'")
        self._sign("=")
        value = self._literal(column.type)
        if name in where and where[name] != value:
            raise _refused("a column can't have two values")
        if len(where) >= MAX_CONDITIONS:
            raise _refused(f"it has more than {MAX_CONDITIONS} conditions")
        where[name] = value

    def _literal(self, kind: Type) -> Scalar:
        token = self._peek()
        self._at += 1
        inner = kind.inner if isinstance(kind, OptionType) else kind
        match inner, token.kind:
            case IntType(), "number" if len(token.text) <= 20:
                return int(token.text)
            case ((TextType() | EnumType()), "text"):
                return token.text[1:-1].replace("''", "'")
            case BoolType(), "word" if token.text.upper() in ("TRUE", "FALSE"):
                return token.text.upper() == "TRUE"
            case IdentityType(), "hex" if len(token.text) == 66:
                return token.text[2:].lower()
            case IdentityType(), "text" if len(token.text) == 66:
                return token.text[1:-1].lower()
        raise _refused(f"'{token.text[:32]}' is no value of its column")

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "")

    def _word(self, word: str) -> None:
        if self._peek().kind != "word" or self._peek().text.upper() != word:
            raise _refused(f"{word} is missing")
        self._at += 1

    def _sign_is(self, sign: str) -> bool:
        return self._peek() == _Token("sign", sign)

    def _sign(self, sign: str) -> None:
        if not self._sign_is(sign):
            raise _refused(f"'{sign}' is missing")
        self._at += 1

    def _name(self, what: str) -> str:
        token = self._peek()
        self._at += 1
        if token.kind == "word":
            return token.text
        if token.kind == "quoted":
            return token.text[1:-1].replace('""', '"')
        raise _refused(f"{what} is missing")


def _refused(why: str) -> UnsupportedSqlError:
    return UnsupportedSqlError(f"The query is not understood: {why}. {_UNDERSTOOD}")
