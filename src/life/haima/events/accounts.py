"""The house's own money: what is held for agents, pools and tasks, moved between accounts (haima.md §1.19)."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.haima.events.finance_event import FinanceEvent


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One side of a posting. `account` is `<kind>:<owner type>:<owner>` (life.haima.accounts)."""

    account: str
    amount_micro: int
    """Positive into the account, negative out of it."""


PostingReason = Literal[
    "deposit",
    "withdrawal",
    "transfer",
    "grant",
    "escrow",
    "release",
    "refund",
    "bill",
    "fee",
    "draw",
    "repayment",
    "interest",
    "premium",
    "commission",
    "contribution",
    "payout",
    "seed",
    "correction",
]


class LedgerPosted(FinanceEvent, frozen=True, kw_only=True):
    """Money moved between accounts. The entries sum to zero; corrections are postings of their own (`corrects`)."""

    posting_id: str
    entries: tuple[Entry, ...]
    reason: PostingReason
    memo: str = ""
    cause_id: str | None = None
    """What it was for: a task, bill, policy, claim, credit line or payment id."""
    session_id: str | None = None
    task_id: str | None = None
    corrects: str | None = None


class CommandDone(FinanceEvent, frozen=True, kw_only=True):
    """A command that came with an idempotency key was carried out, by the events before this one in the same batch."""

    key: str
    """The caller and its key."""
    request_digest: str
    """SHA-256 (hex) of the request: the same key with another request is a conflict."""
    answer: msgspec.Raw
    """What the caller was told, and is told again."""


class EvidenceUsed(FinanceEvent, frozen=True, kw_only=True):
    """A fact was counted, in the same batch as what it was counted for; its event id makes that happen once, for ever."""

    evidence: str
    """What: `payment:<claim key>`, for example."""
    key: str | None = None
    """The command that used it, where it had a key."""
