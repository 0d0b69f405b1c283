"""Claims against the journal: an event bears a claim out only if it is there, and is what the claim says (HM-INS, W38).

An event counts when all of this holds: it is stored; the chain of digests holds up to it; it belongs to the insured agent
(its envelope says so, or the task it is about is the agent's); it is of the claimed session, where one is named; it happened
while the cover was in force and within a day of the incident; its kind is one that can show such a loss; and no earlier
claim used it. What the claimant counts or says plays no role.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.journal import Journal
from life.aios.record import EventRecord
from life.haima.events import PaymentSettled, TaskRefunded, TaskVerified, event_type, read_finance
from life.haima.insurance.parameters import DAY_S, RELEVANT_EVENTS
from life.haima.insurance.room import Claim, Policy

MAX_EVIDENCE: Final = 64
"""More events than this are not read; an incident is shown by a few."""

_INCIDENT_WINDOW_US: Final = DAY_S * 1_000_000

ChainCheck = Callable[[EventRecord], Awaitable[bool]]
"""Whether the digests of the event's stream hold up to this event."""

TaskOwner = Callable[[str], str | None]
"""The agent that a task was contracted to; None when no such task is known."""


class _EventType(msgspec.Struct):
    event_type: str = ""


_custom: Final = msgspec.json.Decoder(_EventType)


class Evidence(NamedTuple):
    """What the journal says to a claim."""

    valid_event_ids: tuple[str, ...]
    total: int
    documented_micro_usd: int
    """The losses that the valid events name, together."""
    notes: tuple[str, ...]
    """One line for each event that does not count, and why."""


class EvidenceReader:
    """Reads the events that a claim names."""

    def __init__(self, journal: Journal, *, chain_holds: ChainCheck, task_owner: TaskOwner) -> None:
        self._journal = journal
        self._chain_holds = chain_holds
        self._task_owner = task_owner

    async def read(self, claim: Claim, policy: Policy) -> Evidence:
        """Look every named event up."""
        wanted = list(dict.fromkeys(claim.evidence_event_ids))[:MAX_EVIDENCE]
        valid: list[str] = []
        notes: list[str] = []
        documented = 0
        for event_id in wanted:
            record = await self._journal.get(event_id)
            objection = "it is not in the journal" if record is None else await self._objection(record, claim, policy)
            if record is None or objection is not None:
                notes.append(f"{event_id[:64]}: {objection}")
                continue
            valid.append(event_id)
            documented += _loss_micro(record)
        return Evidence(tuple(valid), len(wanted), documented, tuple(notes))

    async def _objection(self, record: EventRecord, claim: Claim, policy: Policy) -> str | None:
        event = read_finance(record)
        if not self._is_of_agent(record, policy.agent_id):
            return "it is not of this agent"
        if claim.session_id is not None and claim.session_id not in (
            record.session_id,
            getattr(event, "session_id", None),
        ):
            return "it is of another session"
        if not policy.effective_from_us <= record.timestamp_us < policy.effective_until_us:
            return "it happened outside the time of the cover"
        if abs(record.timestamp_us - claim.incident_at_us) > _INCIDENT_WINDOW_US:
            return "it is more than a day from the incident"
        if kind_of(record) not in RELEVANT_EVENTS[policy.product_type]:
            return f"its kind shows no {policy.product_type.replace('_', ' ')}"
        if isinstance(event, TaskVerified) and event.outcome == "success":
            return "the task succeeded"
        if isinstance(event, TaskVerified) and policy.product_type == "sla_penalty" and event.outcome != "timeout":
            return "the task was not late"
        return None if await self._chain_holds(record) else "the journal does not hold up to it"

    def _is_of_agent(self, record: EventRecord, agent_id: str) -> bool:
        event = read_finance(record)
        if isinstance(event, TaskVerified | TaskRefunded):  # written by the house, about somebody's task
            return self._task_owner(event.task_id) == agent_id
        return record.agent_id == agent_id


def kind_of(record: EventRecord) -> str:
    """The kind's name; a `Custom` event's own type."""
    if record.kind_name != "Custom":
        return record.kind_name
    event = read_finance(record)
    if event is not None:
        return event_type(event)
    try:
        return _custom.decode(record.payload).event_type
    except msgspec.DecodeError:
        return ""


def _loss_micro(record: EventRecord) -> int:
    """The money that an event says was lost; 0 where it names none."""
    match read_finance(record):
        case PaymentSettled(amount_micro_credits=amount):
            return max(0, amount)
        case TaskVerified(price_micro_credits=amount):
            return max(0, amount)
        case TaskRefunded(refund_micro_credits=amount):
            return max(0, amount)
        case _:
            return 0
