"""Names of capabilities and scopes, and which name covers which (anima.md §2, §21; AN-POL-1).

    agent:dispatch  agent:read  agent:approve  agent:catalog  agent:spawn  events:read[:namespace]  wallet:read
    wallet:write  x402:pay  identity:read  identity:write

A pattern is a name, or a name that ends in `*`; the literal `*` covers everything. `events:read` covers every namespace of
it. Nothing else is implied: whoever may `wallet:write` may not therefore `x402:pay`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from life.aios.errors import InvalidInputError

KNOWN_SCOPES: Final = frozenset(
    {
        "agent:dispatch",
        "agent:read",
        "agent:approve",
        "agent:catalog",
        "agent:spawn",
        "events:read",
        "wallet:read",
        "wallet:write",
        "x402:pay",
        "identity:read",
        "identity:write",
    }
)
"""The scopes that daemons ask for."""

_PATTERN: Final = re.compile(r"\*|[\x21-\x29\x2b-\x7e]{1,254}\*?")
_NAMESPACED: Final = "events:read"


def is_pattern(text: str) -> bool:
    """Whether `text` is printable ASCII without blanks, with `*` only as its last character."""
    return _PATTERN.fullmatch(text) is not None


def check_pattern(text: str) -> str:
    """`text`, when it is a pattern; otherwise an InvalidInputError."""
    if not is_pattern(text):
        raise InvalidInputError("A capability is printable ASCII without blanks, with '*' only as its last character.")
    return text


def covers(pattern: str, name: str) -> bool:
    """Whether `pattern` covers `name`, which may itself be a pattern and then has to be covered whole."""
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return pattern == name or (pattern == _NAMESPACED and name.startswith(_NAMESPACED + ":"))


def any_covers(patterns: Iterable[str], name: str) -> bool:
    """Whether one of `patterns` covers `name`."""
    return any(covers(pattern, name) for pattern in patterns)
