"""The auth callout: agents log in to the NATS servers with their agent token (spaces-engines.md §3.1; NATS ADR-26).

A server that somebody connects to asks on `$SYS.REQ.USER.AUTH`, in the account `AUTH`, where only hubs listen. The hub checks the token as at
every other door and answers with a user token, signed by the account key, for the account of the hubs: publish to one's own
commands, listen to one's own events and inbox, nothing else, until the lease ends. The server itself then vouches for who says what.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from life.aios.ports.clock import Clock
from life.spaces.engine.nats.link import Link, Msg, NatsSubscription
from life.spaces.engine.nats.logins import Connection
from life.spaces.engine.nats.names import Names
from life.spaces.engine.nats.nkeys import AccountKey, is_user_key, verified_claims
from life.spaces.engine.port import LEASE_US
from life.spaces.errors import SpacesError, UnauthenticatedError
from life.spaces.identity import identity_of
from life.spaces.sessions import Login

_log: Final = logging.getLogger(__name__)

SUBJECT: Final = "$SYS.REQ.USER.AUTH"
QUEUE: Final = "hubs"
MAX_SUBSCRIPTIONS: Final = 100
MAX_PAYLOAD_BYTES: Final = 512 * 1024


class _Server(msgspec.Struct):
    id: str


class _Client(msgspec.Struct):
    id: int = 0


class _Options(msgspec.Struct):
    auth_token: str = ""
    password: str = msgspec.field(default="", name="pass")


class _Request(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    client_info: _Client = msgspec.field(default_factory=_Client)
    connect_opts: _Options = msgspec.field(default_factory=_Options)


class _Claims(msgspec.Struct):
    nats: _Request


class Callout:
    """One hub's half. `check` proves a token, `admit` notes who was let in; both raise SpacesErrors."""

    def __init__(
        self,
        link: Link,
        names: Names,
        key: AccountKey,
        clock: Clock,
        *,
        account: str,
        check: Callable[[str], Awaitable[Login]],
        admit: Callable[[Connection, Login], Awaitable[None]],
    ) -> None:
        self._link = link
        self._names = names
        self._key = key
        self._clock = clock
        self._account = account
        self._check = check
        self._admit = admit
        self.admitted = 0
        self.refused = 0

    async def listen(self) -> NatsSubscription:
        """Answer the servers' questions; any hub may get each of them."""
        return await self._link.subscribe(SUBJECT, self._asked, queue=QUEUE)

    async def _asked(self, message: Msg) -> None:
        try:
            request = msgspec.json.decode(verified_claims(message.data.decode()), type=_Claims).nats
            if not is_user_key(request.user_nkey):
                raise UnauthenticatedError("The request names no user key.")
        except (SpacesError, msgspec.MsgspecError, UnicodeError) as error:
            _log.warning("a question of the auth callout was not understood: %s", type(error).__name__)
            return
        try:
            answer = {"jwt": await self._let_in(request)}
            self.admitted += 1
        except SpacesError as error:
            self.refused += 1
            _log.info("an agent was not let in: %s", error.word)
            answer = {"error": error.word}
        except Exception:
            _log.exception("the auth callout failed")
            answer = {"error": "unavailable"}
        await self._link.tell(message.reply, self._signed(request, answer).encode())

    async def _let_in(self, request: _Request) -> str:
        options = request.connect_opts
        login = await self._check(options.auth_token or options.password)
        if not login.did:
            raise UnauthenticatedError("The token names nobody.")
        principal = identity_of(login.did)
        await self._admit(Connection(principal, request.server_id.id, request.client_info.id), login)
        at_s = self._clock.now_us() // 1_000_000
        claims: dict[str, object] = {
            "name": principal,
            "sub": request.user_nkey,
            "aud": self._account,
            "exp": at_s + LEASE_US // 1_000_000,
            "nats": {
                "type": "user",
                "version": 2,
                "pub": {"allow": [self._names.commands_of(principal)]},
                "sub": {"allow": [self._names.events_of(principal), f"{self._names.inbox_of(principal)}.>"]},
                "subs": MAX_SUBSCRIPTIONS,
                "payload": MAX_PAYLOAD_BYTES,
                "data": -1,
            },
        }
        return self._key.sign(claims, at_s=at_s)

    def _signed(self, request: _Request, answer: dict[str, str]) -> str:
        claims: dict[str, object] = {
            "sub": request.user_nkey,
            "aud": request.server_id.id,
            "nats": {"type": "authorization_response", "version": 2, **answer},
        }
        return self._key.sign(claims, at_s=self._clock.now_us() // 1_000_000)
