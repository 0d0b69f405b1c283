"""What the house knows: one fold, made of one part per room. Each part reads its own events and nothing else.

A room is a mutable struct with defaults for all its fields and one method, `apply(event, at_us)`, that never raises and
changes nothing for events it does not know. It belongs to the one fold it is in. Equal events give equal bytes (`encode`),
so a room keeps no sets and nothing that depends on when it was read.

To add a room: write the struct, and add one field to `HouseState`, like

    lending: Lending = msgspec.field(default_factory=Lending)

Nothing else: every field but `last_at_us` is a room, and every event is shown to every room, in the order of the fields.
When the same events should give another state, raise `life.haima.house.SNAPSHOT_VERSION`; adding a room counts as that.
A rule (life.haima.house) reads any room and decides for several at once; what it gives is stored whole or not at all.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.haima.accounts import Accounts
from life.haima.events import FinanceEvent
from life.haima.insurance.room import Insurance
from life.haima.lending_state import Lending
from life.haima.outcomes.room import Outcomes


class HouseState(msgspec.Struct, kw_only=True):
    """Accounts and the rooms that share their money."""

    last_at_us: int = 0
    """The time of the newest event. Time in the house never runs backwards: a rule is given at least this."""
    accounts: Accounts = msgspec.field(default_factory=Accounts)
    lending: Lending = msgspec.field(default_factory=Lending)
    insurance: Insurance = msgspec.field(default_factory=Insurance)
    outcomes: Outcomes = msgspec.field(default_factory=Outcomes)

    def apply(self, event: FinanceEvent, at_us: int) -> None:
        """Fold one event in."""
        self.last_at_us = max(self.last_at_us, at_us)
        for name in _ROOMS:
            getattr(self, name).apply(event, at_us)


_ROOMS: Final = tuple(name for name in HouseState.__struct_fields__ if name != "last_at_us")


def encode(state: HouseState) -> bytes:
    """The state as JSON; equal states give equal bytes."""
    return msgspec.json.encode(state, order="deterministic")


def decode(content: bytes) -> HouseState:
    """What `encode` wrote; msgspec.DecodeError for anything else."""
    return _decoder.decode(content)


_decoder: Final = msgspec.json.Decoder(HouseState)
