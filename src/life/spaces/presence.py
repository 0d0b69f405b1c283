"""Presence: leases per connection; an identity is present while any of its leases runs (W4). Kept in memory, never in the log."""

from __future__ import annotations

from typing import Final, NamedTuple

from life.spaces.engine.port import PRESENCE_TTL_US, Presence
from life.spaces.model import PresenceState
from life.spaces.validation import MAX_STATUS, check_name

_RANK: Final[dict[PresenceState, int]] = {"offline": 0, "idle": 1, "busy": 2, "online": 3}


class _Lease(NamedTuple):
    state: PresenceState
    status_text: str
    until_us: int
    beat_us: int


class PresenceBook:
    """Who is here. Times are those of a clock that does not step back."""

    def __init__(self, *, ttl_us: int = PRESENCE_TTL_US) -> None:
        self._ttl_us = ttl_us
        self._leases: dict[str, dict[str, _Lease]] = {}
        self._last_seen_us: dict[str, int] = {}

    def beat(
        self, identity: str, connection: str, state: PresenceState, status_text: str, *, now_us: int, wall_us: int
    ) -> Presence | None:
        """A heartbeat; the identity's presence when it changed by it."""
        text = check_name(status_text, what="status", limit=MAX_STATUS) if status_text else ""
        before = self.of(identity, now_us=now_us)
        leases = self._leases.setdefault(identity, {})
        leases[connection] = _Lease(state, text, now_us + self._ttl_us, now_us)
        self._last_seen_us[identity] = wall_us
        return self._changed(before, now_us)

    def drop(self, identity: str, connection: str, *, now_us: int) -> Presence | None:
        """A connection ended; the identity's presence when it changed by it."""
        before = self.of(identity, now_us=now_us)
        leases = self._leases.get(identity)
        if leases is None or leases.pop(connection, None) is None:
            return None
        if not leases:
            del self._leases[identity]
        return self._changed(before, now_us)

    def expire(self, *, now_us: int) -> list[Presence]:
        """End the leases that ran out; the presences that changed by it."""
        changed = []
        for identity in [
            name for name, leases in self._leases.items() if any(x.until_us <= now_us for x in leases.values())
        ]:
            leases = self._leases[identity]
            before = self._judge(identity, list(leases.values()))
            living = {name: lease for name, lease in leases.items() if lease.until_us > now_us}
            if living:
                self._leases[identity] = living
            else:
                del self._leases[identity]
            after = self.of(identity, now_us=now_us)
            if (before.state, before.status_text) != (after.state, after.status_text):
                changed.append(after)
        return changed

    def of(self, identity: str, *, now_us: int) -> Presence:
        """Somebody's presence over all their connections: the liveliest state, the newest status."""
        leases = [lease for lease in self._leases.get(identity, {}).values() if lease.until_us > now_us]
        return self._judge(identity, leases)

    def _judge(self, identity: str, leases: list[_Lease]) -> Presence:
        seen = self._last_seen_us.get(identity, 0)
        if not leases:
            return Presence(identity=identity, state="offline", last_seen_us=seen)
        liveliest = max(leases, key=lambda lease: _RANK[lease.state])
        newest = max(leases, key=lambda lease: lease.beat_us)
        return Presence(identity=identity, state=liveliest.state, status_text=newest.status_text, last_seen_us=seen)

    def _changed(self, before: Presence, now_us: int) -> Presence | None:
        after = self.of(before.identity, now_us=now_us)
        return after if (before.state, before.status_text) != (after.state, after.status_text) else None
