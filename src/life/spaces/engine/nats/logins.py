"""Agents that are connected to the NATS servers themselves: who, with which key, until when. Every hub keeps the same book of them.

A login is a lease in the bucket `<name>-logins` under `<principal>.<server>-<connection>`. It begins when the auth callout lets somebody in and
ends when the connection does, when they are thrown out, or with the lease.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.clock import Clock
from life.spaces.engine.nats.leases import Bucket
from life.spaces.engine.nats.link import Link
from life.spaces.engine.nats.names import Names
from life.spaces.engine.port import LEASE_US
from life.spaces.identity import CallerKind
from life.spaces.sessions import Login

_KEY: Final = re.compile(r"([0-9a-f]{64})\.([A-Z0-9]{10,64})-([0-9]{1,20})")
_LATE_S: Final = 1.0


class Connection(NamedTuple):
    """One connection of a principal."""

    principal: str
    server: str
    """The server's id (`N…`)."""
    client: int
    """The server's number of the connection."""

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return f"{self.principal}.{self.server}-{self.client}"


class DirectLogin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a connection was let in by."""

    did: str
    key: str
    kind: CallerKind = "agent"
    ceiling: tuple[str, ...] | None = None
    issued_at_s: int = 0
    at_us: int
    until_us: int

    @property
    def login(self) -> Login:
        """As it was proven."""
        ceiling = None if self.ceiling is None else frozenset(self.ceiling)
        return Login(self.did, self.key, self.kind, ceiling, self.issued_at_s)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(DirectLogin)


class Logins:
    """The book."""

    def __init__(self, link: Link, names: Names, clock: Clock, *, replicas: int) -> None:
        self._clock = clock
        self._book: dict[str, dict[Connection, DirectLogin]] = {}
        self._news = asyncio.Event()
        self.bucket = Bucket(
            link,
            names.logins,
            names.lease(names.logins),
            ttl_us=LEASE_US,
            replicas=replicas,
            on_put=self._heard,
            on_delete=self._gone,
        )

    def __len__(self) -> int:
        return sum(len(each) for each in self._book.values())

    async def begin(self, connection: Connection, login: Login) -> DirectLogin:
        """Somebody was let in."""
        now_us = self._clock.now_us()
        ceiling = None if login.ceiling is None else tuple(sorted(login.ceiling))
        made = DirectLogin(
            did=login.did,
            key=login.key,
            kind=login.kind,
            ceiling=ceiling,
            issued_at_s=login.issued_at_s,
            at_us=now_us,
            until_us=now_us + LEASE_US,
        )
        self._book.setdefault(connection.principal, {})[connection] = made
        await self.bucket.put(connection.key, _encoder.encode(made))
        return made

    async def end(self, connection: Connection) -> None:
        """A connection is gone, or shall be."""
        self._forget(connection)
        await self.bucket.delete(connection.key)

    def of(self, principal: str) -> DirectLogin | None:
        """The newest login of somebody: what they may is what the last token said."""
        now_us = self._clock.now_us()
        living = [login for login in self._book.get(principal, {}).values() if login.until_us > now_us]
        return max(living, key=lambda login: login.at_us, default=None)

    async def find(self, principal: str) -> DirectLogin | None:
        """The same; if there is none yet, another hub may have let them in just now."""
        found = self.of(principal)
        if found is not None:
            return found
        await self.bucket.read()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _LATE_S
        while (found := self.of(principal)) is None and loop.time() < deadline:
            self._news.clear()
            try:
                async with asyncio.timeout(deadline - loop.time()):
                    await self._news.wait()
            except TimeoutError:
                break
        return self.of(principal)

    def all(self) -> Iterator[tuple[Connection, DirectLogin]]:
        """Every connection."""
        for each in list(self._book.values()):
            yield from list(each.items())

    def connections(self, principal: str) -> dict[Connection, DirectLogin]:
        """Those of one principal."""
        return dict(self._book.get(principal, {}))

    def at(self, server: str, client: int) -> Connection | None:
        """Who has this connection."""
        for connection, _ in self.all():
            if (connection.server, connection.client) == (server, client):
                return connection
        return None

    def _heard(self, key: str, value: bytes) -> None:
        found = _KEY.fullmatch(key)
        if found is None:
            return
        try:
            login = _decoder.decode(value)
        except msgspec.MsgspecError:  # none of ours
            return
        self._book.setdefault(found[1], {})[Connection(found[1], found[2], int(found[3]))] = login
        self._news.set()

    def _gone(self, key: str) -> None:
        found = _KEY.fullmatch(key)
        if found is not None:
            self._forget(Connection(found[1], found[2], int(found[3])))

    def _forget(self, connection: Connection) -> None:
        mine = self._book.get(connection.principal)
        if mine is not None:
            mine.pop(connection, None)
            if not mine:
                del self._book[connection.principal]
