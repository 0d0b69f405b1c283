"""Webhook subscriptions as events, in a stream of their own (`arcan:webhooks`), and their fold.

    arcan.webhook_created    WebhookCreated    an address, and what is posted to it
    arcan.webhook_rotated    WebhookRotated    another secret; the old one signs along for a day
    arcan.webhook_attempted  WebhookAttempted  one delivery: what came of it, and when the next attempt is due
    arcan.webhook_disabled   WebhookDisabled   nobody answered for too long
    arcan.webhook_deleted    WebhookDeleted    the owner wants no more

The cursor of a subscription is the journal's position of the last event that was delivered (or given up): it is durable with the attempt, so a
restart goes on behind it and repeats at most the delivery that was under way. Secrets are not here: they are derived from a key of the
host's, the subscription's id and its number of rotations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from life.aios.events import Custom
from life.aios.events.codec import read_custom
from life.aios.record import EventRecord, Stream

WEBHOOKS: Final = Stream("arcan:webhooks")
CREATED: Final = "arcan.webhook_created"
ROTATED: Final = "arcan.webhook_rotated"
ATTEMPTED: Final = "arcan.webhook_attempted"
DISABLED: Final = "arcan.webhook_disabled"
DELETED: Final = "arcan.webhook_deleted"


class WebhookCreated(msgspec.Struct, frozen=True, kw_only=True):
    """`events` are kind names (`RunFinished`), dotted names of extension events, or `*`. `owner` None: of all sessions."""

    webhook_id: str
    url: str
    events: tuple[str, ...]
    owner: str | None
    after_position: int
    """Events behind this position of the journal are posted."""


class WebhookRotated(msgspec.Struct, frozen=True, kw_only=True):
    """`rotation` counts from 0."""

    webhook_id: str
    rotation: int
    old_until_us: int


class WebhookAttempted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One delivery of one event. `status` 0: there was no answer (`error` says why)."""

    webhook_id: str
    event_id: str
    position: int
    attempt: int
    status: int
    error: str = ""
    delivered: bool = False
    next_us: int = 0
    """When the next attempt is due; 0: there is none."""


class WebhookDisabled(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription is kept and posts nothing."""

    webhook_id: str
    reason: str


class WebhookDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription is gone."""

    webhook_id: str


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as it stands."""

    webhook_id: str
    url: str
    events: tuple[str, ...]
    owner: str | None
    created_us: int
    cursor: int
    """Position of the last event that is done with."""
    rotation: int = 0
    old_until_us: int = 0
    """Until when the secret before the last rotation signs, too."""
    attempts: int = 0
    """Failed attempts for the event after the cursor."""
    next_us: int = 0
    """When the next attempt is due."""
    disabled: str = ""
    """Why it posts nothing."""

    def wants(self, record: EventRecord) -> bool:
        """Whether the filter names this event."""
        if record.session_id.startswith("arcan:"):
            return False  # our own notes: posting about posting would never end
        if "*" in self.events or record.kind_name in self.events:
            return True
        kind = record.kind if record.kind_name == "Custom" else None
        return isinstance(kind, Custom) and kind.event_type in self.events


def fold_webhooks(webhooks: dict[str, Webhook], records: Iterable[EventRecord]) -> dict[str, Webhook]:
    """The subscriptions after these events; what makes no sense changes nothing."""
    webhooks = dict(webhooks)
    for record in records:
        _advance(webhooks, record)
    return webhooks


def _advance(webhooks: dict[str, Webhook], record: EventRecord) -> None:
    kind = record.kind
    if (made := read_custom(kind, CREATED, WebhookCreated)) is not None:
        webhooks.setdefault(
            made.webhook_id,
            Webhook(
                webhook_id=made.webhook_id,
                url=made.url,
                events=made.events,
                owner=made.owner,
                created_us=record.timestamp_us,
                cursor=made.after_position,
            ),
        )
    elif (rotated := read_custom(kind, ROTATED, WebhookRotated)) is not None:
        if (known := webhooks.get(rotated.webhook_id)) is not None:
            webhooks[known.webhook_id] = replace(known, rotation=rotated.rotation, old_until_us=rotated.old_until_us)
    elif (tried := read_custom(kind, ATTEMPTED, WebhookAttempted)) is not None:
        if (known := webhooks.get(tried.webhook_id)) is not None and tried.position > known.cursor:
            if tried.delivered:
                webhooks[known.webhook_id] = replace(known, cursor=tried.position, attempts=0, next_us=0)
            else:
                webhooks[known.webhook_id] = replace(known, attempts=tried.attempt, next_us=tried.next_us)
    elif (disabled := read_custom(kind, DISABLED, WebhookDisabled)) is not None:
        if (known := webhooks.get(disabled.webhook_id)) is not None:
            webhooks[known.webhook_id] = replace(known, disabled=disabled.reason)
    elif (deleted := read_custom(kind, DELETED, WebhookDeleted)) is not None:
        webhooks.pop(deleted.webhook_id, None)
