"""Whose memory it is. Every scope of everybody is a stream of its own, and so is its knowledge index: a question can't reach further.

    session  memory:<session id>     this conversation
    user     vault:<subject>         the owner of the session, in all of theirs (also `/v1/memory` of lagod)
    agent    agent:<agent id>        this agent, whoever it works for
    org      org:<name>              all agents of an installation

What stands in `agent` and `org` is read by every owner, so only the operator takes it over; owners may propose. Owners whose name can't be an id
are known by its hash. Source: arcan.md §6.3, §17.7.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple, get_args

from life.aios.errors import InvalidInputError
from life.aios.ids import check_id
from life.aios.record import Stream
from life.aios.state import MemoryScope

SCOPES: Final[tuple[MemoryScope, ...]] = get_args(MemoryScope)
SHARED: Final[frozenset[MemoryScope]] = frozenset({"agent", "org"})
"""Scopes that more than one owner reads."""

OPERATOR: Final = "agent:operator"
"""The memory of whoever runs this installation; sessions without an owner are theirs."""


class Place(NamedTuple):
    """Who asks, and from where."""

    session_id: str
    agent_id: str
    owner: str = ""
    """Of the session; empty for the operator."""
    org: str = "local"
    by_operator: bool = False
    """The operator asks about somebody's memory, at the command line."""

    @property
    def is_operator(self) -> bool:
        """Whether the operator asks."""
        return self.by_operator or self.owner == ""


def stream_of(scope: MemoryScope, place: Place) -> Stream:
    """The stream of a scope; InvalidInputError where the place has none (the command line has no session)."""
    if scope == "session":
        if not place.session_id:
            raise InvalidInputError("Memory of a session needs the session's id.")
        return Stream(check_id("memory:" + place.session_id, what="session id"))
    if scope == "user":
        return Stream(user_stream(place.owner))
    if scope == "agent":
        return Stream("agent:" + check_id(place.agent_id, what="agent id")[:200])
    return Stream("org:" + check_id(place.org, what="organisation")[:200])


def user_stream(owner: str) -> str:
    """The session id of an owner's memory. Different owners never share one."""
    if not owner:
        return OPERATOR
    kind, _, subject = owner.partition(":")
    name = "vault:" + subject if kind == "user" and subject else "vault:owner:" + owner
    is_plain = name.isascii() and name.isprintable() and " " not in name and len(name) <= 200
    # Subjects that begin like our own names are told apart from them by their hash.
    if not is_plain or (kind == "user" and subject.startswith(("owner:", "sha256:"))):
        return "vault:sha256:" + sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()
    return name


def check_scope(scope: str) -> MemoryScope:
    """`scope`, when it is one."""
    for known in SCOPES:
        if scope == known:
            return known
    raise InvalidInputError(f"A scope is one of {', '.join(SCOPES)}.", details={"scope": scope[:40]})
