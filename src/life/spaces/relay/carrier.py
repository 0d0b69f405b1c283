"""Envelopes over Spaces: the two ways in which they travel.

Openings and commands that change something are direct messages between the two identities: durable before they are acknowledged, delivered to
a node that is away for a moment, there to be shown to a third party (as sealed text). Everything else (answers, events, acknowledgements) are
signals of the same conversation: delivered and never stored. What a session did is in the node's own journal already; a second copy in the
server's log would cost its disk for ever and would be a notification for every few words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Final, NamedTuple, Protocol

from life.aios.ports.clock import Clock
from life.spaces.commands import SendDirectMessage, SendSignal, SendToConversation, SetProfile
from life.spaces.errors import RateLimitedError, SpacesError, SpacesNotFoundError, SpacesUnavailableError
from life.spaces.identity import identity_of
from life.spaces.listeners.websocket.client import Snapshot, SpacesClient
from life.spaces.listeners.websocket.frames import TransientFrame, UpdateFrame
from life.spaces.model import DirectMessage, UserKey
from life.spaces.queries import Rows, TableQuery
from life.spaces.relay.envelopes import is_relay

LATEST: Final = 50


class Incoming(NamedTuple):
    """An envelope that arrived. Nothing in it is proven."""

    place: int
    """The conversation; answers go there."""
    text: str
    is_live: bool = True
    """Not one that was found stored at the start."""
    sender: str = ""
    """Whose it is by the word of the server: 64 hex digits, or nothing."""


class Carrier(Protocol):
    """Something that carries text between two identities. It may lose, repeat, reorder, change, invent."""

    async def reach(self, did: str, text: str) -> int:
        """Write to somebody by their DID; the place where answers come from, and where to go on writing."""
        ...

    async def post(self, place: int, text: str, *, key: str) -> None:
        """Write, durably; the same key again writes nothing."""
        ...

    async def signal(self, place: int, text: str) -> None:
        """Write, for whoever listens now."""
        ...

    def incoming(self) -> AsyncGenerator[Incoming, None]:
        """What others write, without end."""
        ...


class SpacesCarrier:
    """`Carrier` over a connection to a Spaces server."""

    def __init__(self, client: SpacesClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._turn = asyncio.Lock()

    async def be_reachable(self) -> None:
        """Let agents write here without sharing a space: what is not Relay's stays ordinary direct messages. Presence is not set: anybody
        could ask for it, and a node tells only its owners that it is there."""
        await self._client.call(SetProfile(dm_from_agents=True))

    async def reach(self, did: str, text: str) -> int:
        """See Carrier. A key that was rotated in is found under the identity it has logged in as; whoever answers proves the key."""
        result = await self._calmly(SendDirectMessage(recipient=await self._identity(did), content=text, sealed=True))
        if not isinstance(result, DirectMessage):
            raise SpacesUnavailableError("The server gave no message back.")
        return result.conversation_id

    async def _identity(self, did: str) -> str:
        answer = await self._client.query(Rows(tables=(TableQuery(table="user_key", where={"key": did}),)))
        found = [row.identity for row in answer.rows if isinstance(row, UserKey)]
        if not found:
            raise SpacesNotFoundError("This node has never logged in at this server.")
        return found[0] if len(found) == 1 else identity_of(did)

    async def post(self, place: int, text: str, *, key: str) -> None:
        """See Carrier."""
        await self._calmly(SendToConversation(conversation_id=place, content=text, client_id=key, sealed=True))

    async def signal(self, place: int, text: str) -> None:
        """See Carrier. The server's rate is one for all links: they take turns, so that a long output does not drown another link's heartbeat."""
        async with self._turn:
            await self._calmly(SendSignal(conversation_id=place, payload=text))

    async def _calmly(self, command: SendDirectMessage | SendToConversation | SendSignal) -> object:
        """Carry it out, as fast as the server lets."""
        while True:
            try:
                return (await self._client.call(command)).row
            except RateLimitedError as error:
                await self._clock.sleep_us(1000 * max(10, int(error.details.get("retry_after_ms", 1000))))
            except TimeoutError:
                raise SpacesUnavailableError("The server does not answer.") from None

    async def incoming(self) -> AsyncGenerator[Incoming, None]:
        """See Carrier."""
        welcome = self._client.welcome
        me = "" if welcome is None else welcome.identity
        async with aclosing(self._client.follow(["dm:self"], latest=LATEST)) as news:
            async for one in news:
                if isinstance(one, TransientFrame):
                    payload, place = one.data.get("payload"), one.data.get("conversation_id")
                    if isinstance(payload, str) and type(place) is int and one.actor != me and is_relay(payload):
                        yield Incoming(place, payload, sender=one.actor)
                elif isinstance(one, Snapshot | UpdateFrame):
                    rows = one.rows if isinstance(one, Snapshot) else one.inserts
                    for row in rows:
                        if isinstance(row, DirectMessage) and row.sender != me and is_relay(row.content):
                            is_live = isinstance(one, UpdateFrame)
                            yield Incoming(row.conversation_id, row.content, is_live, row.sender)


async def quiet(work: Awaitable[None]) -> bool:
    """Send something that is sent again anyway when it gets lost; whether the server took it."""
    try:
        await work
    except SpacesError:
        return False
    return True
