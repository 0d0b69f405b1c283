"""What the commands of outcome pricing are asked by, and what they answer."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from life.haima.events.tasks import Complexity


class Subject(NamedTuple):
    """Who asks: an authenticated id (or DID), and the roles that its token gives it."""

    id: str
    roles: frozenset[str] = frozenset()

    def is_one_of(self, *names: str | None) -> bool:
        """Whether this subject is, or may act as, one of these."""
        return any(name is not None and (name == self.id or name in self.roles) for name in names)


class TaskQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A price for one task."""

    quote_id: str
    contract_id: str
    agent_id: str
    complexity: Complexity
    price_micro_credits: int
    valid_until_us: int


class Contracted(msgspec.Struct, frozen=True, kw_only=True):
    """A task was taken on."""

    task_id: str
    contract_id: str
    agent_id: str
    complexity: Complexity
    price_micro_credits: int
    sla_deadline_ms: int
    escrowed: bool


class TaskDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands after it was looked at."""

    task_id: str
    status: str
    outcome: str | None = None
    price_micro_credits: int = 0
    """What the outcome has earned."""
    refund_micro_credits: int = 0
    awaiting: tuple[int, ...] = ()
    """Places of criteria that still have no result."""


class Refunded(msgspec.Struct, frozen=True, kw_only=True):
    """Money of a task went back."""

    task_id: str
    refund_micro_credits: int


class BillPaid(msgspec.Struct, frozen=True, kw_only=True):
    """A payment was allocated to a bill."""

    bill_id: str
    status: str
    allocated_micro_credits: int
    open_micro_credits: int
    overpaid_micro_credits: int = 0


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that a job has finished."""

    task_ids: tuple[str, ...] = ()
