"""Posting events to webhooks: at least once, in order, over restarts.

Each subscription has one task. It reads the journal from its cursor, posts what the filter wants, one event after the other, and writes what came of
every attempt. An event that is not taken (2xx is) is posted again after the waits of RETRY_S; when the last of them failed, the
subscription is disabled with an event. `410 Gone` disables at once. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from life.aios.errors import JournalError, LifeError
from life.aios.events import SessionCreated
from life.aios.events.codec import custom, read_custom
from life.aios.ids import MAIN_BRANCH, check_id, new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, EventWriter, encode_record
from life.arcan.doors.errors import WebhookNotFoundError
from life.arcan.doors.webhook_events import (
    ATTEMPTED,
    CREATED,
    DELETED,
    DISABLED,
    ROTATED,
    WEBHOOKS,
    Webhook,
    WebhookAttempted,
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookRotated,
    fold_webhooks,
)
from life.arcan.doors.webhook_signature import signed_headers
from life.arcan.session_state import SessionConfig

RETRY_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits between attempts: about three days in all, as Standard Webhooks proposes."""
ROTATION_S: Final = 86_400
_PAGE: Final = 500
_KNOWN_OWNERS: Final = 4096
_log: Final = logging.getLogger("life.arcan")


class PostAnswer(NamedTuple):
    """What came of a post. `status` 0: there was no answer, `error` says why."""

    status: int
    error: str = ""


class WebhookClient(Protocol):
    """How posts leave the house; the host's part, which guards where they go."""

    async def check(self, url: str) -> None:
        """WebhookTargetError when nothing is posted to this URL: not https (or permitted http), or a private address."""
        ...

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> PostAnswer:
        """One POST without redirects, within ten seconds. Never raises for what the other side does."""
        ...


SecretOf = Callable[[str, int], bytes]
"""The 32 bytes of a subscription's secret, by its id and the number of rotations."""


class Webhooks:
    """All subscriptions of a journal, and their deliveries. `start` it, and close it with `aclose`."""

    def __init__(
        self,
        journal: Journal,
        client: WebhookClient,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        secret_of: SecretOf,
    ) -> None:
        self._journal = journal
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._secret_of = secret_of
        self._writer = EventWriter(clock, entropy, agent_id=agent_id, stream=WEBHOOKS)
        self._webhooks: dict[str, Webhook] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owners: OrderedDict[str, str | None] = OrderedDict()

    async def start(self) -> None:
        """Read the subscriptions and begin to post."""
        after = 0
        while True:
            page = await self._journal.read(EventQuery(*WEBHOOKS, after_sequence=after), limit=_PAGE)
            self._webhooks = fold_webhooks(self._webhooks, page)
            if len(page) < _PAGE:
                break
            after = page[-1].sequence
        for webhook in self._webhooks.values():
            self._begin(webhook.webhook_id)

    async def aclose(self) -> None:
        """Stop posting. What was not posted is posted after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    # ---- what owners do

    def all_of(self, owner: str | None) -> list[Webhook]:
        """The subscriptions of an owner (None: all), oldest first."""
        return [webhook for webhook in self._webhooks.values() if owner is None or webhook.owner == owner]

    def get(self, webhook_id: str, owner: str | None) -> Webhook:
        """One of them; WebhookNotFoundError."""
        webhook = self._webhooks.get(webhook_id)
        if webhook is None or (owner is not None and webhook.owner != owner):
            raise WebhookNotFoundError(webhook_id)
        return webhook

    async def create(self, url: str, events: tuple[str, ...], *, owner: str | None) -> tuple[Webhook, bytes]:
        """A subscription for what happens from now on, and its secret, which is not shown again."""
        await self._client.check(url)
        for name in events:
            check_id(name, what="event name")
        webhook_id = f"wh-{new_id(self._clock, self._entropy)}"
        await self._write(
            CREATED,
            WebhookCreated(
                webhook_id=webhook_id, url=url, events=events, owner=owner, after_position=await self._last_position()
            ),
        )
        self._begin(webhook_id)
        return self._webhooks[webhook_id], self._secret_of(webhook_id, 0)

    async def rotate(self, webhook_id: str, owner: str | None) -> tuple[Webhook, bytes]:
        """Another secret; the old one signs along for a day."""
        webhook = self.get(webhook_id, owner)
        rotation = webhook.rotation + 1
        until = self._clock.now_us() + ROTATION_S * 1_000_000
        await self._write(ROTATED, WebhookRotated(webhook_id=webhook_id, rotation=rotation, old_until_us=until))
        return self._webhooks[webhook_id], self._secret_of(webhook_id, rotation)

    async def delete(self, webhook_id: str, owner: str | None) -> None:
        """No more."""
        self.get(webhook_id, owner)
        await self._write(DELETED, WebhookDeleted(webhook_id=webhook_id))
        task = self._tasks.pop(webhook_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def test(self, webhook_id: str, owner: str | None) -> PostAnswer:
        """Post a signed `arcan.webhook_test` now; nothing is stored and nothing repeated."""
        webhook = self.get(webhook_id, owner)
        message_id = new_id(self._clock, self._entropy)
        body = msgspec.json.encode({"type": "arcan.webhook_test", "webhook_id": webhook_id})
        return await self._post(webhook, message_id, body)

    async def deliveries(
        self, webhook_id: str, owner: str | None, *, after_sequence: int, limit: int
    ) -> list[tuple[int, int, WebhookAttempted]]:
        """Attempts with their sequence and time, oldest first."""
        self.get(webhook_id, owner)
        found: list[tuple[int, int, WebhookAttempted]] = []
        while True:
            page = await self._journal.read(EventQuery(*WEBHOOKS, after_sequence=after_sequence), limit=_PAGE)
            for record in page:
                tried = read_custom(record.kind, ATTEMPTED, WebhookAttempted)
                if tried is not None and tried.webhook_id == webhook_id:
                    found.append((record.sequence, record.timestamp_us, tried))
                    if len(found) == limit:
                        return found
            if len(page) < _PAGE:
                return found
            after_sequence = page[-1].sequence

    # ---- posting

    def _begin(self, webhook_id: str) -> None:
        if not self._webhooks[webhook_id].disabled:
            self._tasks[webhook_id] = asyncio.create_task(self._run(webhook_id))

    async def _run(self, webhook_id: str) -> None:
        try:
            query = EventQuery(
                after_position=self._webhooks[webhook_id].cursor, kinds=_kinds(self._webhooks[webhook_id])
            )
            events = self._journal.subscribe(query)
            try:
                async for record in events:
                    webhook = self._webhooks[webhook_id]
                    is_wanted = webhook.wants(record) and await self._is_owners(webhook, record)
                    if is_wanted and not await self._deliver(webhook_id, record):
                        return
            finally:
                close = getattr(events, "aclose", None)
                if close is not None:
                    await close()
        except JournalError as error:
            _log.warning("Webhook %s stands still: %s", webhook_id, error.message)

    async def _deliver(self, webhook_id: str, record: EventRecord) -> bool:
        """Post until it is taken; False when the subscription is disabled instead."""
        body = encode_record(record)
        while True:
            webhook = self._webhooks[webhook_id]
            wait_us = webhook.next_us - self._clock.now_us()
            if webhook.attempts and wait_us > 0:
                await self._clock.sleep_us(wait_us)
            answer = await self._post(self._webhooks[webhook_id], record.event_id, body)
            taken = 200 <= answer.status < 300
            attempt = webhook.attempts + 1
            last = attempt > len(RETRY_S)
            due = 0 if taken or last else self._clock.now_us() + RETRY_S[attempt - 1] * 1_000_000
            tried = WebhookAttempted(
                webhook_id=webhook_id,
                event_id=record.event_id,
                position=record.position,
                attempt=attempt,
                status=answer.status,
                error=answer.error[:200],
                delivered=taken,
                next_us=due,
            )
            await self._write(ATTEMPTED, tried)
            if taken:
                return True
            if last or answer.status == 410:
                reason = "The address answers 410 Gone." if answer.status == 410 else "It was not taken for three days."
                await self._write(DISABLED, WebhookDisabled(webhook_id=webhook_id, reason=reason))
                return False

    async def _post(self, webhook: Webhook, message_id: str, body: bytes) -> PostAnswer:
        now_us = self._clock.now_us()
        secrets = [self._secret_of(webhook.webhook_id, webhook.rotation)]
        if webhook.rotation and now_us < webhook.old_until_us:
            secrets.append(self._secret_of(webhook.webhook_id, webhook.rotation - 1))
        headers = signed_headers(secrets, message_id, now_us // 1_000_000, body)
        try:
            return await self._client.post(webhook.url, {"content-type": "application/json", **headers}, body)
        except LifeError as error:
            return PostAnswer(0, error.message)

    async def _is_owners(self, webhook: Webhook, record: EventRecord) -> bool:
        """Whether the event's session is the subscriber's."""
        if webhook.owner is None:
            return True
        session_id = record.session_id
        if session_id not in self._owners:
            page = await self._journal.read(EventQuery(session_id, MAIN_BRANCH), limit=1)
            self._owners[session_id] = _owner(page[0]) if page else None
            if len(self._owners) > _KNOWN_OWNERS:
                self._owners.popitem(last=False)
        return self._owners[session_id] == webhook.owner

    async def _last_position(self) -> int:
        """Where the journal ends now: the position of a note that is written for this."""
        mark = self._writer.event(custom("arcan.webhook_mark", _Mark()))
        return (await self._journal.append([mark]))[0].position

    async def _write(self, name: str, payload: msgspec.Struct) -> None:
        event = self._writer.event(custom(name, payload))
        place = (await self._journal.append([event]))[0]
        record = await self._journal.get(event.event_id)
        if record is not None:
            self._webhooks = fold_webhooks(self._webhooks, [replace(record, position=place.position)])


class _Mark(msgspec.Struct, frozen=True):
    """Nothing but a place."""


def _kinds(webhook: Webhook) -> tuple[str, ...]:
    """The kinds to read: all for `*`; extension events are all of the kind Custom."""
    if "*" in webhook.events:
        return ()
    return tuple({"Custom" if "." in name else name for name in webhook.events})


def _owner(first: EventRecord) -> str | None:
    kind = first.kind
    if not isinstance(kind, SessionCreated):
        return None
    try:
        return msgspec.convert(kind.config, SessionConfig).owner
    except msgspec.ValidationError:
        return None
