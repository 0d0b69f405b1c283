"""The base of all finance events."""

from __future__ import annotations

from typing import Final

import msgspec

PREFIX: Final = "finance."


def snake(name: str) -> str:
    """`PaymentSettled` as `payment_settled`."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class FinanceEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="kind",
    tag=snake,
):
    """Base of all finance events. The class name in snake_case is the event's name."""
