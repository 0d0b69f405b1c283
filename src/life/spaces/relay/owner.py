"""The side where somebody sits: opens a link to a node, asks, watches; opens another one when the first is lost.

    async with RelayOwner.attached(carrier, node_did, custody, did=…, clock=clock, entropy=entropy) as owner:
        view = await owner.ask("view", "notes", OnBranch())
        async with aclosing(owner.watch("notes", "main", 12)) as records: …

A command keeps its id over every link on which it is sent, so it is carried out once. When no answer came in time the caller is told whether it
may have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, Literal

import msgspec

from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.crypto.base64url import encode_base64url
from life.spaces.errors import ForbiddenError, SpacesError, SpacesNotFoundError
from life.spaces.relay.carrier import Carrier, Incoming, quiet
from life.spaces.relay.envelopes import (
    ACCEPT_TYP,
    COMMAND_TYP,
    LIFETIME_S,
    LINK_BYTES,
    OPEN_TYP,
    Acceptance,
    CommandProof,
    Opening,
    Text,
    digest,
    parse,
    read_key,
    sign,
    verify,
    write,
)
from life.spaces.relay.errors import (
    RelayError,
    RelayForgedError,
    RelayOfflineError,
    RelayOutcomeUnknownError,
    refusal,
)
from life.spaces.relay.link import Link
from life.spaces.relay.log import check_did
from life.spaces.relay.operations import OPERATIONS, Arguments, Unwatch, Watch
from life.spaces.relay.sealing import OneTimeKey

FIRST_BACKOFF_US: Final = 500_000
MAX_BACKOFF_US: Final = 30_000_000
ANSWER_US: Final = 3_000_000
"""How long an opening waits for its answer before it is repeated."""
FIRST_PATIENCE_US: Final = 10_000_000
MAX_UNREAD: Final = 20_000
"""Events of one watch that wait to be read; beyond that it ends, and goes on from where it was read."""


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    status: int = 500
    next_step: str | None = None


class _Message(msgspec.Struct, frozen=True):
    type: Literal["reply", "event", "ended"]
    id: str = ""
    watch: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    record: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


_decoder: Final = msgspec.json.Decoder(_Message)


class _Handshake:
    """An opening that waits for its answer."""

    def __init__(self, link_id: str, token: str, key: OneTimeKey) -> None:
        self.link_id = link_id
        self.token = token
        self.key = key
        self.place = 0
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()


class RelayOwner:
    """A client of one node. Made by `attached`."""

    def __init__(
        self, carrier: Carrier, node: str, custody: Custody, *, did: str, clock: Clock, entropy: Entropy
    ) -> None:
        self._carrier = carrier
        self._node = check_did(node)
        self._custody = custody
        self._did = did
        self._clock = clock
        self._entropy = entropy
        self._handshake: _Handshake | None = None
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._changed = asyncio.Event()
        """Set, and replaced, whenever there is another link or none."""
        self._replies: dict[str, asyncio.Future[_Message]] = {}
        self._watches: dict[str, asyncio.Queue[bytes | RelayError]] = {}
        self._gone: asyncio.Event = asyncio.Event()
        self._farewells: set[asyncio.Task[None]] = set()
        self._failed: SpacesError | None = None
        self.links = 0
        """How many were opened."""

    @classmethod
    @asynccontextmanager
    async def attached(
        cls,
        carrier: Carrier,
        node: str,
        custody: Custody,
        *,
        did: str,
        clock: Clock,
        entropy: Entropy,
        patience_us: int = FIRST_PATIENCE_US,
    ) -> AsyncIterator[RelayOwner]:
        """A client with an open link. RelayOfflineError when the node does not answer in time."""
        owner = cls(carrier, node, custody, did=did, clock=clock, entropy=entropy)
        jobs = [asyncio.create_task(owner._listen()), asyncio.create_task(owner._stay_linked())]
        try:
            if not await owner._wait(owner._linked, patience_us):
                raise owner._silence()
            yield owner
        finally:
            if owner._link is not None:
                await owner._link.say_goodbye()
            for job in [*jobs, *owner._farewells]:
                job.cancel()
            await asyncio.gather(*jobs, *owner._farewells, return_exceptions=True)

    @property
    def is_linked(self) -> bool:
        """Whether the node was heard within three heartbeats."""
        return self._link is not None

    def _silence(self) -> SpacesError:
        if self._failed is not None:
            return self._failed
        return RelayOfflineError(
            "The node does not answer.",
            next_step="Is `life relay serve` running there, with the right time, and were you allowed "
            f"(`life relay allow {self._did}` there)?",
        )

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(
        self, operation: str, session: str, arguments: Arguments, *, command_id: str | None = None
    ) -> msgspec.Raw:
        """The result. RelayErrors: what the node refused, under its own code; RelayOfflineError: it did not hear of it in time;
        RelayOutcomeUnknownError: perhaps it did."""
        command_id = command_id or new_id(self._clock, self._entropy)
        deadline_us = self._clock.monotonic_us() + LIFETIME_S * 1_000_000
        issued_s = self._clock.now_us() // 1_000_000
        raw = msgspec.json.encode(arguments)
        future: asyncio.Future[_Message] = asyncio.get_running_loop().create_future()
        self._replies[command_id] = future
        sent = False
        try:
            while True:
                remaining_us = deadline_us - self._clock.monotonic_us()
                if remaining_us <= 0 or not await self._wait(self._linked, remaining_us):
                    raise self._no_answer(operation, sent=sent)
                link, changed = self._link, self._changed
                if link is None:
                    continue
                proof = CommandProof(
                    id=command_id,
                    link=link.id,
                    owner=self._did,
                    node=self._node,
                    operation=operation,
                    session=session,
                    arguments_sha256=digest(raw),
                    iat=issued_s,
                    exp=issued_s + LIFETIME_S,
                )
                token = await sign(self._custody, proof, typ=COMMAND_TYP)
                message = b'{"type":"command","proof":%s,"arguments":%s}' % (msgspec.json.encode(token), raw)
                sent = await link.put(message, keep=OPERATIONS[operation].changes) or sent
                if await self._wait_for_reply(future, changed, deadline_us):
                    return _result(future.result())
        finally:
            self._replies.pop(command_id, None)

    def _no_answer(self, operation: str, *, sent: bool) -> SpacesError:
        if sent and OPERATIONS[operation].changes:
            return RelayOutcomeUnknownError(
                "The node did not answer; it may have carried this out.",
                next_step="Look at the session once it is back, and say it again if it did not happen.",
            )
        return self._silence()

    async def _wait_for_reply(self, future: asyncio.Future[_Message], changed: asyncio.Event, deadline_us: int) -> bool:
        """Until the answer is there (True), the link is another one, or the time is over."""
        waiting = asyncio.ensure_future(changed.wait())
        timer = asyncio.ensure_future(self._clock.sleep_us(max(0, deadline_us - self._clock.monotonic_us())))
        try:
            waits: set[asyncio.Future[Any]] = {future, waiting, timer}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            timer.cancel()
        return future.done()

    async def _wait(self, event: asyncio.Event, duration_us: int) -> bool:
        waiting = asyncio.ensure_future(event.wait())
        timer = asyncio.ensure_future(self._clock.sleep_us(duration_us))
        try:
            await asyncio.wait([waiting, timer], return_when=asyncio.FIRST_COMPLETED)
            return event.is_set()
        finally:
            waiting.cancel()
            timer.cancel()

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self, session: str, branch: str, after: int) -> AsyncGenerator[bytes, None]:
        """Canonical records after a sequence, then live, each as JSON. RelayOfflineError when the link is lost: go on after the last
        sequence that was seen."""
        watch_id = new_id(self._clock, self._entropy)
        queue: asyncio.Queue[bytes | RelayError] = asyncio.Queue()
        self._watches[watch_id] = queue
        try:
            await self.ask("watch", session, Watch(branch=branch, after=after), command_id=watch_id)
            while True:
                item = await queue.get()
                if isinstance(item, RelayError):
                    raise item
                yield item
        finally:
            self._watches.pop(watch_id, None)
            if self._link is not None:
                self._farewell(watch_id, session)

    def _farewell(self, watch_id: str, session: str) -> None:
        async def say() -> None:
            await quiet(_forgetting(self.ask("unwatch", session, Unwatch(watch=watch_id))))

        task = asyncio.create_task(say())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    def _heard(self, raw: bytes) -> None:
        try:
            message = _decoder.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            if self._link is not None:
                self._link.close()
            return
        if message.type == "reply":
            future = self._replies.get(message.id)
            if future is not None and not future.done():
                future.set_result(message)
            return
        queue = self._watches.get(message.watch)
        if queue is None:
            return
        if message.type == "ended":
            queue.put_nowait(_error_of(message))
        elif queue.qsize() < MAX_UNREAD:
            queue.put_nowait(bytes(message.record))
        elif queue.qsize() == MAX_UNREAD:
            queue.put_nowait(RelayOfflineError("More came than could be shown."))
            self._watches.pop(message.watch, None)

    # ── the link ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        try:
            async with aclosing(self._carrier.incoming()) as arriving:
                async for incoming in arriving:
                    self._take(incoming)
        except SpacesError as error:
            self._failed = error  # thrown out of the server, or logged out for good
            self._drop()

    def _take(self, incoming: Incoming) -> None:
        try:
            text = parse(incoming.text)
        except RelayForgedError:
            return
        link, handshake = self._link, self._handshake
        if text.kind == "accept" and handshake is not None and text.link == handshake.link_id:
            self._take_acceptance(handshake, text, incoming.place)
        elif text.kind in ("data", "control"):
            if link is None and handshake is not None and handshake.link.done():
                link = handshake.link.result()  # opened a moment ago; the task that waits for it has not run yet
            if link is not None and text.link == link.id:
                link.take(text)
        elif text.kind == "gone" and link is not None and text.link == link.id:
            self._gone.set()

    def _take_acceptance(self, handshake: _Handshake, text: Text, place: int) -> None:
        if handshake.link.done():
            return
        try:
            accepted = verify(text.body, Acceptance, typ=ACCEPT_TYP, by=self._node)
            expected = (handshake.link_id, self._did, self._node, digest(handshake.token))
            if (accepted.link, accepted.owner, accepted.node, accepted.opening_sha256) != expected:
                raise RelayForgedError("The answer is to another opening.")
            keys = handshake.key.agree(
                read_key(accepted.key), side="owner", opening=handshake.token, acceptance=text.body
            )
        except RelayError:
            return
        link = Link(
            handshake.link_id,
            keys,
            side="owner",
            carrier=self._carrier,
            place=place,
            clock=self._clock,
            on_message=self._heard,
        )
        handshake.link.set_result(link)

    async def _stay_linked(self) -> None:
        backoff_us = FIRST_BACKOFF_US
        while True:
            link = await self._open()
            if link is None:
                await self._clock.sleep_us(self._jittered(backoff_us))
                backoff_us = min(2 * backoff_us, MAX_BACKOFF_US)
                continue
            backoff_us = FIRST_BACKOFF_US
            self._link = link
            self.links += 1
            self._gone.clear()
            self._linked.set()
            self._tell()
            hearing = asyncio.create_task(self._close_when_gone(link))
            try:
                await link.run()
            finally:
                hearing.cancel()
                self._drop()

    async def _close_when_gone(self, link: Link) -> None:
        await self._gone.wait()
        link.close()

    def _drop(self) -> None:
        self._link = None
        self._linked.clear()
        for queue in self._watches.values():
            queue.put_nowait(RelayOfflineError("The node is not heard any more."))
        self._watches.clear()
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _jittered(self, duration_us: int) -> int:
        return duration_us // 2 + duration_us * self._entropy.token_bytes(1)[0] // 512

    async def _open(self) -> Link | None:
        """One opening: written once durably, repeated as a signal, until it is answered or expires."""
        key = OneTimeKey(self._entropy)
        now_s = self._clock.now_us() // 1_000_000
        opening = Opening(
            link=encode_base64url(self._entropy.token_bytes(LINK_BYTES)),
            owner=self._did,
            node=self._node,
            key=encode_base64url(key.public),
            iat=now_s,
            exp=now_s + LIFETIME_S,
        )
        token = await sign(self._custody, opening, typ=OPEN_TYP)
        handshake = self._handshake = _Handshake(opening.link, token, key)
        text = write("open", token)
        try:
            place = await self._carrier.reach(self._node, text)
            self._failed = None
            for _ in range(3):
                if await self._answered(handshake):
                    return handshake.link.result()
                await quiet(self._carrier.signal(place, text))
        except (SpacesNotFoundError, ForbiddenError) as error:
            self._failed = RelayOfflineError(
                error.message, next_step="Compare the node's DID and the server's address."
            )
        except SpacesError as error:
            self._failed = error
        return handshake.link.result() if handshake.link.done() else None

    async def _answered(self, handshake: _Handshake) -> bool:
        timer = asyncio.ensure_future(self._clock.sleep_us(ANSWER_US))
        try:
            waits: set[asyncio.Future[Any]] = {handshake.link, timer}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return handshake.link.done()


async def _forgetting(work: Awaitable[msgspec.Raw]) -> None:
    await work


def _result(message: _Message) -> msgspec.Raw:
    if message.error is not None:
        raise _error_of(message)
    return message.result


def _error_of(message: _Message) -> RelayError:
    error = message.error
    if error is None:
        return RelayOfflineError("The node ended this.")
    return refusal(error.code, error.message, error.status, error.next_step)
