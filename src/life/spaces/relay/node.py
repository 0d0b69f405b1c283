"""The side where the sessions are: answers openings, checks every command, carries it out once, sends events.

Whoever is not allowed anything gets no answer at all: to them a node that refuses and one that is switched off look the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Final

import msgspec

from life.aios.errors import LifeError, UnavailableError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.crypto.base64url import encode_base64url
from life.spaces.identity import identity_of
from life.spaces.relay.carrier import Carrier, Incoming, quiet
from life.spaces.relay.commands import CommandRunner, Message, error_reply
from life.spaces.relay.envelopes import (
    ACCEPT_TYP,
    OPEN_TYP,
    Acceptance,
    Opening,
    check_time,
    digest,
    parse,
    read_key,
    sign,
    verify_any,
    write,
)
from life.spaces.relay.errors import RelayError, RelayForbiddenError, RelayForgedError, RelayTooLongError
from life.spaces.relay.link import Link
from life.spaces.relay.log import RelayLog
from life.spaces.relay.operations import Watch
from life.spaces.relay.ports import Sessions
from life.spaces.relay.sealing import LinkKeys, OneTimeKey
from life.spaces.relay.stream import MAX_MESSAGE_BYTES

_log: Final = logging.getLogger(__name__)

MAX_LINKS: Final = 64
MAX_LINKS_PER_OWNER: Final = 8
MAX_WATCHES: Final = 8
"""At once on one link."""
MAX_COMMANDS: Final = 64
"""Of one link that wait for their turn; a link with more is closed."""
MAX_COMMAND_BYTES: Final = 4 * 1024 * 1024
"""The same for what they hold together: long ones are cheap to send, packed as they are."""
MAX_OPENINGS: Final = 32
"""That are being checked at once; more are dropped, and come again."""
LOOK_US: Final = 1_000_000
"""How often grants are looked at when nobody asks for anything."""
GONE_EVERY_US: Final = 5_000_000
_GOODBYES_S: Final = 2
_REMEMBERED: Final = 1024


class RelayNode:
    """A node. `run` serves until it is cancelled."""

    def __init__(
        self,
        carrier: Carrier,
        sessions: Sessions,
        log: RelayLog,
        custody: Custody,
        *,
        did: str,
        clock: Clock,
        entropy: Entropy,
        is_trusted: Callable[[str], bool] = lambda _: True,
        keys_of: Callable[[str], Sequence[str]] = lambda did: (did,),
    ) -> None:
        """`is_trusted` says no for a key that is known to be revoked. `keys_of` gives a key and those that it is known to have
        followed by rotation, newest first: rights stay with whoever rotates."""
        self._carrier = carrier
        self._log = log
        self._custody = custody
        self._did = did
        self._clock = clock
        self._entropy = entropy
        self._is_trusted = is_trusted
        self._sessions = sessions
        self._runner = CommandRunner(sessions, log, did=did, clock=clock, is_trusted=is_trusted, keys_of=keys_of)
        self._links: dict[str, OwnerLink] = {}
        self._openings: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """Link ids that were opened, with the digest of their opening and the answer."""
        self._told_gone_us: OrderedDict[str, int] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = 0
        self.ignored = 0
        """Envelopes that were answered with nothing."""

    async def run(self) -> None:
        """Serve."""
        await self._runner.reconcile()
        looking = asyncio.create_task(self._look())
        try:
            async with aclosing(self._carrier.incoming()) as arriving:
                async for incoming in arriving:
                    self._take(incoming)
        finally:
            looking.cancel()
            with suppress(TimeoutError):  # while the server is away nobody hears it
                async with asyncio.timeout(_GOODBYES_S):
                    for owner_link in list(self._links.values()):
                        await owner_link.link.say_goodbye()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(looking, *self._tasks, return_exceptions=True)

    @property
    def owners(self) -> list[str]:
        """Who is attached, once per link."""
        return [one.owner for one in self._links.values()]

    def _take(self, incoming: Incoming) -> None:
        try:
            text = parse(incoming.text)
        except RelayForgedError:
            self.ignored += 1
            return
        if text.kind == "open":
            if self._opening < MAX_OPENINGS:
                self._opening += 1
                self._spawn(self._open(incoming.place, text.body))
            return
        known = self._links.get(text.link)
        if known is not None:
            if text.kind in ("data", "control"):
                known.link.take(text)
        elif text.kind in ("data", "control") and incoming.is_live and self._may_hear(incoming.sender):
            self._tell_gone(incoming.place, text.link)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _may_hear(self, sender: str) -> bool:
        """Whether it is somebody who is allowed something: to others a node that is there must look like one that is not. A server that
        lies about this learns what it knows already."""
        return any(identity_of(grant.did) == sender for grant in self._log.state.grants())

    def _tell_gone(self, place: int, link_id: str) -> None:
        """Now and then: somebody who writes into a link of before a restart opens a new one at once."""
        now_us = self._clock.monotonic_us()
        if now_us - self._told_gone_us.get(link_id, -GONE_EVERY_US) < GONE_EVERY_US:
            return
        self._told_gone_us[link_id] = now_us
        while len(self._told_gone_us) > _REMEMBERED:
            self._told_gone_us.popitem(last=False)
        self._spawn(_ignoring(quiet(self._carrier.signal(place, write("gone", link_id)))))

    # ── links ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _open(self, place: int, token: str) -> None:
        try:
            await self._answer_opening(place, token)
        except LifeError as error:
            self.ignored += 1
            _log.debug("an opening was ignored: %s", error)
        finally:
            self._opening -= 1

    async def _answer_opening(self, place: int, token: str) -> None:
        opening, signer = verify_any(token, Opening, typ=OPEN_TYP)
        if signer != opening.owner or opening.node != self._did or len(opening.link) != 22:
            raise RelayForgedError("The opening is not for this node, or not by its owner.")
        check_time(opening.iat, opening.exp, self._clock)
        their_key = read_key(opening.key)
        state = await self._log.sync()
        if not state.may_something(self._runner.holder(state, signer)) or not self._is_trusted(signer):
            raise RelayForbiddenError("They are not allowed anything.")
        if opening.link in self._links and self._links[opening.link].owner != signer:
            raise RelayForbiddenError("This link is somebody else's.")
        before = self._openings.get(opening.link)
        if before is not None:
            if before[0] == digest(token) and opening.link in self._links:
                await quiet(self._carrier.signal(place, write("accept", opening.link, before[1])))
            return
        self._openings[opening.link] = (digest(token), "")  # claimed before the first await that follows
        while len(self._openings) > _REMEMBERED:
            self._openings.popitem(last=False)
        mine = OneTimeKey(self._entropy)
        acceptance = Acceptance(
            link=opening.link,
            owner=signer,
            node=self._did,
            key=encode_base64url(mine.public),
            opening_sha256=digest(token),
            iat=self._clock.now_us() // 1_000_000,
        )
        answer = await sign(self._custody, acceptance, typ=ACCEPT_TYP)
        keys = mine.agree(their_key, side="node", opening=token, acceptance=answer)
        self._openings[opening.link] = (digest(token), answer)
        self._make_room(signer)
        link = OwnerLink(self, opening.link, keys, place, signer)
        self._links[opening.link] = link
        await quiet(self._carrier.signal(place, write("accept", opening.link, answer)))
        self._spawn(link.run())

    def _make_room(self, owner: str) -> None:
        """An owner's oldest link makes room for their newest: a terminal that was killed does not keep them out."""
        theirs = [one for one in self._links.values() if one.owner == owner]
        if len(theirs) >= MAX_LINKS_PER_OWNER:
            theirs[0].link.close()
            theirs[0].let_go()
        if len(self._links) >= MAX_LINKS:
            raise RelayForbiddenError("Too many links are open.")

    def forget(self, link_id: str) -> None:
        """A link has ended."""
        self._links.pop(link_id, None)

    async def _look(self) -> None:
        """What was revoked ends within a second, also when nobody asks for anything."""
        while True:
            await self._clock.sleep_us(LOOK_US)
            try:
                state = await self._log.sync()
            except LifeError as error:
                _log.warning("grants can't be read: %s", error)
                continue
            for one in list(self._links.values()):
                # Nothing here waits for an owner or for the server: who takes nothing would hold up everybody else's revocation.
                holder = self._runner.holder(state, one.owner)
                if not state.may_something(holder) or not self._is_trusted(one.owner):
                    self._spawn(one.link.say_goodbye())
                    one.let_go()
                    continue
                for watch_id, session in one.watched():
                    if not state.may(holder, session, "watch"):
                        telling = one.end_watch(watch_id, RelayForbiddenError("You may no longer watch this session."))
                        if telling is not None:
                            self._spawn(telling)


class OwnerLink:
    """One owner's terminal, as the node sees it."""

    def __init__(self, node: RelayNode, link_id: str, keys: LinkKeys, place: int, owner: str) -> None:
        self._node = node
        self.owner = owner
        self._commands: asyncio.Queue[bytes] = asyncio.Queue(MAX_COMMANDS)
        self._waiting_bytes = 0
        self._watches: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self.link = Link(
            link_id,
            keys,
            side="node",
            carrier=node._carrier,
            place=place,
            clock=node._clock,
            on_message=self._heard,
        )

    async def run(self) -> None:
        """Until the link is closed."""
        working = asyncio.create_task(self._work())
        working.add_done_callback(lambda _: self.link.close())  # a link on which nobody works is none
        try:
            await self.link.run()
        finally:
            self._node.forget(self.link.id)
            tasks = [working, *(task for _, task in self._watches.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def let_go(self) -> None:
        """Nothing of theirs is taken in any more, and nothing read for them. A command that was begun is carried to its end."""
        self._node.forget(self.link.id)
        for _, watching in self._watches.values():
            watching.cancel()
        self._watches.clear()

    def watched(self) -> list[tuple[str, str]]:
        """What is being watched: the command that began it, and the session."""
        return [(watch_id, session) for watch_id, (session, _) in self._watches.items()]

    def _heard(self, message: bytes) -> None:
        if self.link.closed.is_set():
            return  # the rest of a batch
        self._waiting_bytes += len(message)
        if self._commands.full() or self._waiting_bytes > MAX_COMMAND_BYTES:
            self.link.close()
        else:
            self._commands.put_nowait(message)

    async def _work(self) -> None:
        """One command after the other, in the order in which they were sent."""
        while True:
            raw = await self._commands.get()
            self._waiting_bytes -= len(raw)
            try:
                message = msgspec.json.decode(raw, type=Message)
            except (msgspec.MsgspecError, RecursionError):
                self.link.close()
                return
            await self._obey(message)

    async def _obey(self, message: Message) -> None:
        runner = self._node._runner
        try:
            checked = await runner.check(message, link=self.link.id, owner=self.owner)
        except LifeError as error:
            await self.link.put(error_reply(runner.id_of(message), error))
            return
        if isinstance(checked.arguments, Watch):
            await self._begin_watch(checked.proof.id, checked.proof.session, checked.arguments)
            return
        if checked.proof.operation == "unwatch":
            found = self._watches.pop(str(getattr(checked.arguments, "watch", "")), None)
            if found is not None:
                found[1].cancel()
            await self.link.put(runner.done(checked.proof.id))
            return
        # A command that was begun is carried to its end, whatever becomes of the link.
        answer = await asyncio.shield(asyncio.ensure_future(runner.carry_out(checked)))
        await self.link.put(answer)

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _begin_watch(self, watch_id: str, session: str, wanted: Watch) -> None:
        if len(self._watches) >= MAX_WATCHES or watch_id in self._watches:
            error = RelayForbiddenError("Too much is being watched at once, or something under this id already.")
            await self.link.put(error_reply(watch_id, error))
            return
        if not await self.link.put(self._node._runner.done(watch_id)):
            return
        task = asyncio.create_task(self._pump(watch_id, session, wanted))
        self._watches[watch_id] = (session, task)

    async def _pump(self, watch_id: str, session: str, wanted: Watch) -> None:
        """Events, no faster than they are taken: while the link is full, nothing is read from the runtime."""
        ended: LifeError = UnavailableError("The node's runtime does not answer.")
        try:
            async with aclosing(self._node._sessions.watch(session, wanted.branch, wanted.after)) as records:
                async for record in records:
                    message = b'{"type":"event","watch":%s,"record":%s}' % (msgspec.json.encode(watch_id), record)
                    if len(message) > MAX_MESSAGE_BYTES:
                        raise RelayTooLongError("The session has an event that is too long to be carried.")
                    if not await self.link.put(message):
                        return
        except LifeError as error:
            ended = error
        self._watches.pop(watch_id, None)
        await self._tell_ended(watch_id, ended)

    def end_watch(self, watch_id: str, why: RelayError) -> Coroutine[object, object, None] | None:
        """Stop it, at once; what is given back says why, and may have to wait for room."""
        found = self._watches.pop(watch_id, None)
        if found is None:
            return None
        found[1].cancel()
        return self._tell_ended(watch_id, why)

    async def _tell_ended(self, watch_id: str, why: LifeError) -> None:
        error = msgspec.json.encode({"code": why.code, "message": why.message, "status": why.status})
        await self.link.put(b'{"type":"ended","watch":%s,"error":%s}' % (msgspec.json.encode(watch_id), error))


async def _ignoring(work: Awaitable[bool]) -> None:
    await work
