"""Who a peer is: by identity or by username, with the keys that it logged in with."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from life.spaces.errors import SpacesNotFoundError
from life.spaces.model import Profile, Row, UserKey
from life.spaces.queries import Rows, Scalar, TableQuery
from life.spaces.seat import Seat
from life.spaces.validation import username_key

_HEX: Final = re.compile(r"[0-9a-f]{64}")
KEPT: Final = 4_096


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in Spaces."""

    identity: str
    name: str
    is_agent: bool


async def rows_of(seat: Seat, table: str, where: dict[str, Scalar] | None = None) -> tuple[Row, ...]:
    """The visible rows of one table."""
    return (await seat.query(Rows(tables=(TableQuery(table=table, where=where or {}),)))).rows


class PeerBook:
    """Profiles, kept while the process lives: an identity's DID never changes, its name may (and is only shown)."""

    def __init__(self) -> None:
        self._known: dict[str, Profile] = {}

    async def profile(self, seat: Seat, identity: str) -> Profile:
        """The profile of an identity; SpacesNotFoundError."""
        known = self._known.get(identity)
        return known if known is not None else await self._find(seat, {"identity": identity})

    async def resolve(self, seat: Seat, text: str) -> Profile:
        """Whom a text names: 64 hex digits, or a username with or without `@`. SpacesNotFoundError."""
        if _HEX.fullmatch(text):
            return await self.profile(seat, text)
        return await self._find(seat, {"username_key": username_key(text.removeprefix("@").strip())})

    async def peer(self, seat: Seat, identity: str) -> Peer:
        """Whom to show; one without a profile (the server itself, or one that was erased) by the identity alone."""
        try:
            profile = await self.profile(seat, identity)
        except SpacesNotFoundError:
            return Peer(identity=identity, name=identity[:12], is_agent=False)
        return shown(profile)

    async def keys(self, seat: Seat, identity: str) -> frozenset[str]:
        """The did:keys that the engine saw this identity log in with."""
        rows = await rows_of(seat, "user_key", {"identity": identity})
        return frozenset(row.key for row in rows if isinstance(row, UserKey))

    async def _find(self, seat: Seat, where: dict[str, Scalar]) -> Profile:
        found = await rows_of(seat, "user_profile", where)
        if not found or not isinstance(found[0], Profile):
            raise SpacesNotFoundError("There is nobody of this name or identity in Spaces.")
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[found[0].identity] = found[0]
        return found[0]


def shown(profile: Profile) -> Peer:
    """A profile, as tools and events show it."""
    return Peer(identity=profile.identity, name=profile.username, is_agent=profile.is_agent)
