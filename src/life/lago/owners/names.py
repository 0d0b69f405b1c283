"""Owners by name, and the session names that are reserved.

    operator              the daemon's own token
    user:<sub>            a user's token
    agent:<agent id>      an agent's token

A session `vault:<sub>` belongs to `user:<sub>` and `agent:<agent id>…` to that agent, whoever makes it: nobody can sit down on another's
name. `site-assets:` and `site-content:` may be read by every caller. `lago:` is the daemon's own and never written from outside.
"""

from __future__ import annotations

from typing import Final, Literal

from life.aios.errors import InvalidInputError
from life.aios.ids import check_id

OPERATOR: Final = "operator"
OWN_PREFIX: Final = "lago:"
PUBLIC_PREFIXES: Final = ("site-assets:", "site-content:")
_VAULT: Final = "vault:"
_AGENT: Final = "agent:"

SessionType = Literal["vault", "agent", "site_assets", "site_content", "default"]
_TYPES: Final[dict[str, SessionType]] = {
    _VAULT: "vault",
    _AGENT: "agent",
    "site-assets:": "site_assets",
    "site-content:": "site_content",
}


def session_type(name: str) -> SessionType:
    """What kind of session has such a name."""
    return next((kind for prefix, kind in _TYPES.items() if name.startswith(prefix)), "default")


def is_reserved(name: str) -> bool:
    """Whether a session is its name: it is unique, and its id is the name."""
    return session_type(name) != "default"


def check_name(name: str) -> str:
    """`name`, when a session may have it; InvalidInputError."""
    if name.startswith(OWN_PREFIX):
        raise InvalidInputError(f"Names that begin with {OWN_PREFIX!r} are the daemon's own.")
    if is_reserved(name):
        check_id(name, what="session name")
        if name.endswith(":") and name.count(":") == 1:
            raise InvalidInputError("Something must stand behind the colon of a reserved name.")
    elif len(name) > 255 or not name.isprintable():
        raise InvalidInputError("A session's name has at most 255 printable characters.")
    return name


def owner_by_name(name: str) -> str | None:
    """Whose a reserved name is; None when its maker owns it."""
    if name.startswith(_VAULT):
        return "user:" + name.removeprefix(_VAULT)
    if name.startswith(_AGENT):
        return _AGENT + name.removeprefix(_AGENT).partition(":")[0]
    return None


def is_public(session_id: str) -> bool:
    """Whether every caller may read it."""
    return session_id.startswith(PUBLIC_PREFIXES)
