"""Plans: how much an owner may use (lago.md §10). None is without limit; the operator has none."""

from __future__ import annotations

from typing import Final

import msgspec


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one owner may use."""

    events_per_month: int | None = None
    bytes: int | None = None
    """Events, files and blobs together, as they are before compression."""
    sessions: int | None = None
    calls_per_hour: int | None = None


class Quotas(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which plan holds for whom."""

    default: str = "unlimited"
    owners: dict[str, str] = {}


_GIGABYTE: Final = 1_000_000_000

PLANS: Final = {
    "free": Quota(events_per_month=100_000, bytes=_GIGABYTE, sessions=10, calls_per_hour=1_000),
    "pro": Quota(events_per_month=10_000_000, bytes=100 * _GIGABYTE, sessions=100, calls_per_hour=50_000),
    "unlimited": Quota(),
}
