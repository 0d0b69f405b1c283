"""Who is here, over all hubs: every heartbeat is a lease in the bucket `<name>-presence`, and every hub keeps the same book of them.

A lease is `{"hub":"…","state":"online","status_text":"…","at_us":…}` under `<identity>.<session>`. It ends when it is deleted (the session
ended), or 30 seconds after its last heartbeat (its hub died): the bucket forgets it, and so does every book.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from life.aios.ports.clock import Clock
from life.spaces.engine.nats.leases import Bucket
from life.spaces.engine.nats.link import Link
from life.spaces.engine.nats.names import Names
from life.spaces.engine.port import PRESENCE_TTL_US, Presence
from life.spaces.errors import SpacesError
from life.spaces.model import PresenceState
from life.spaces.presence import PresenceBook


class _Lease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    hub: str
    state: PresenceState
    status_text: str = ""
    at_us: int


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Lease)


class SharedPresence:
    """The book of one hub, kept equal with the others'. `on_change` hears of every presence that changed, from wherever."""

    def __init__(
        self,
        link: Link,
        names: Names,
        *,
        hub: str,
        clock: Clock,
        replicas: int,
        on_change: Callable[[Presence], None],
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._on_change = on_change
        self._book = PresenceBook()
        self.bucket = Bucket(
            link,
            names.presence,
            names.lease(names.presence),
            ttl_us=PRESENCE_TTL_US,
            replicas=replicas,
            on_put=self._heard,
            on_delete=self._gone,
        )

    async def beat(self, identity: str, session: str, state: PresenceState, status_text: str) -> None:
        """A heartbeat of a session of this hub. InvalidArgumentError for a status that can't be."""
        self._beat(identity, session, state, status_text, self._clock.now_us())
        lease = _Lease(hub=self._hub, state=state, status_text=status_text, at_us=self._clock.now_us())
        await self.bucket.put(f"{identity}.{session}", _encoder.encode(lease))

    async def drop(self, identity: str, session: str) -> None:
        """A session of this hub ended: tell the others."""
        await self.bucket.delete(f"{identity}.{session}")

    def forget(self, identity: str, session: str) -> None:
        """A session ended."""
        changed = self._book.drop(identity, session, now_us=self._clock.monotonic_us())
        if changed is not None:
            self._on_change(changed)

    def expire(self) -> None:
        """End the leases that ran out."""
        for changed in self._book.expire(now_us=self._clock.monotonic_us()):
            self._on_change(changed)

    def of(self, identity: str) -> Presence:
        """Somebody's presence."""
        return self._book.of(identity, now_us=self._clock.monotonic_us())

    def _beat(self, identity: str, session: str, state: PresenceState, status_text: str, at_us: int) -> None:
        changed = self._book.beat(
            identity, session, state, status_text, now_us=self._clock.monotonic_us(), wall_us=at_us
        )
        if changed is not None:
            self._on_change(changed)

    def _heard(self, key: str, value: bytes) -> None:
        identity, dot, session = key.partition(".")
        try:
            lease = _decoder.decode(value)
            if dot and lease.hub != self._hub:  # our own are in the book already, and perhaps ended since
                self._beat(identity, session, lease.state, lease.status_text, lease.at_us)
        except (msgspec.MsgspecError, SpacesError):  # none of ours
            return

    def _gone(self, key: str) -> None:
        identity, _, session = key.partition(".")
        self.forget(identity, session)
