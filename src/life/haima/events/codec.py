"""Finance events as the journal keeps them: the contract's `Custom` under `finance.<name>`, whose data carries `kind`."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from life.aios.events import Custom, Kind
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.telemetry import working_in
from life.aios.record import SYSTEM, Actor, EventRecord, NewEvent, Stream
from life.haima.events import (
    accounts,
    approvals,
    catalogue,
    charges,
    credit,
    deposits,
    insurance,
    payments,
    refunds,
    settlements,
    solana,
    tasks,
    wallets,
)
from life.haima.events.finance_event import PREFIX, FinanceEvent, snake

_MODULES: Final = (
    payments,
    accounts,
    wallets,
    approvals,
    tasks,
    credit,
    insurance,
    charges,
    settlements,
    solana,
    refunds,
    catalogue,
    deposits,
)
_FAMILIES: Final = ("Claimed",)
"""Bases that several modules share; no events themselves."""


class _Stored(msgspec.Struct):
    event_type: str
    data: Raw


EVENTS: Final[dict[str, type[FinanceEvent]]] = {
    PREFIX + snake(name): member
    for module in _MODULES
    for name, member in vars(module).items()
    if isinstance(member, type) and member.__module__ == module.__name__ and name not in _FAMILIES
    if issubclass(member, FinanceEvent) and not name.startswith("_")
}
"""Every known event by its type, `finance.<name>`."""

_encoder: Final = msgspec.json.Encoder()
_stored: Final = msgspec.json.Decoder(_Stored)
_decoders: Final = {name: msgspec.json.Decoder(member) for name, member in EVENTS.items()}
_heads: Final = {
    member: b'{"type":"Custom","event_type":"' + name.encode() + b'","data":' for name, member in EVENTS.items()
}
_CUSTOM: Final = Custom.__name__


def event_type(event: FinanceEvent) -> str:
    """`finance.<name>`."""
    return PREFIX + snake(type(event).__name__)


def finance_event(
    event: FinanceEvent,
    clock: Clock,
    entropy: Entropy,
    *,
    stream: Stream,
    agent_id: str,
    event_id: str | None = None,
    actor: Actor = SYSTEM,
    causation_id: str | None = None,
    correlation_id: str | None = None,
    timestamp_us: int | None = None,
) -> NewEvent:
    """`event` as an event of `stream`, now or at `timestamp_us`; ready for the journal."""
    place = working_in.get()
    return NewEvent(
        event_id=event_id or new_id(clock, entropy),
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id=agent_id,
        timestamp_us=clock.now_us() if timestamp_us is None else timestamp_us,
        payload=_heads[type(event)] + _encoder.encode(event) + b"}",
        kind_name=_CUSTOM,
        actor=actor,
        causation_id=causation_id,
        correlation_id=correlation_id,
        trace_id=None if place is None else place.trace_id,
        span_id=None if place is None else place.span_id,
    )


def read_finance(record: EventRecord | NewEvent) -> FinanceEvent | None:
    """The finance event in a record. None for any other event, for an unknown `finance.*` and for one that does not fit:
    folds skip those (HM-EVT)."""
    if record.kind_name != _CUSTOM:
        return None
    try:
        stored = _stored.decode(record.payload)
    except msgspec.DecodeError:
        return None
    decoder = _decoders.get(stored.event_type)
    if decoder is None:
        return None
    try:
        return decoder.decode(stored.data)
    except msgspec.DecodeError:
        return None


def as_kind(event: FinanceEvent) -> Kind:
    """The contract's `Custom` of an event, for writers that use the generic event writer."""
    return Custom(event_type=event_type(event), data=msgspec.json.decode(_encoder.encode(event)))


def wallet_stream(network: str, address: str) -> Stream:
    """The stream of one wallet on one network; the address in lower case, so that every spelling means one stream. Solana's
    base58 has one spelling, and case means something there."""
    return Stream(f"wallet:{network}:{address if network.startswith('solana:') else address.lower()}")
