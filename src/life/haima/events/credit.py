"""Credit: scores, lines, draws, repayments (haima.md §1.6, §1.7, §1.14; HM-CREDIT, HM-LEND).

All of them stand in the house's stream; `agent_id` is the borrower. Amounts are micro-USD, rates basis points a year, parts of
one are ppm (1,000,000 = 1). Every money movement has its `LedgerPosted` in the same batch.
"""

from __future__ import annotations

from typing import Literal

from life.haima.events.finance_event import FinanceEvent

Tier = Literal["none", "micro", "standard", "premium"]
LineStatus = Literal["active", "frozen", "closed", "defaulted"]
StatusReason = Literal[
    "requested",
    "operator",
    "tier_loss",
    "trust_degrading",
    "missed_payment",
    "unpaid_after_window",
]
RepaymentSource = Literal["wallet", "payment"]


class CreditInsufficient(FinanceEvent, frozen=True, kw_only=True):
    """A payment needed credit that was not there."""

    agent_id: str
    resource_url: str
    amount_micro_credits: int
    reason: str
    payment_id: str | None = None


class CreditAssessed(FinanceEvent, frozen=True, kw_only=True):
    """A score that something was decided by. A factor that the journal says nothing about is None."""

    agent_id: str
    model: str
    score_ppm: int
    tier: Tier
    limit_micro_usd: int
    confidence_ppm: int
    """The weight of the factors that are known."""
    as_of_position: int
    """The journal position that the factors are of."""
    trust_ppm: int | None = None
    trust_at_us: int | None = None
    payment_history_ppm: int | None = None
    volume_micro_usd: int | None = None
    account_age_days: int | None = None
    stability_ppm: int | None = None


class CreditLineOpened(FinanceEvent, frozen=True, kw_only=True):
    """An agent has a credit line, with these terms for its whole life."""

    line_id: str
    agent_id: str
    tier: Tier
    limit_micro_usd: int
    interest_rate_bps: int
    requested_limit_micro_usd: int | None
    """The agent wanted no more than this; None for whatever the tier gives."""
    cycle_us: int
    payment_window_us: int
    grace_us: int
    default_window_us: int
    minimum_bps: int
    minimum_floor_micro_usd: int


class CreditLimitChanged(FinanceEvent, frozen=True, kw_only=True):
    """A new score, or the agent, changed what the line gives. Never below what is drawn."""

    line_id: str
    agent_id: str
    tier: Tier
    limit_micro_usd: int
    interest_rate_bps: int
    requested_limit_micro_usd: int | None
    reason: Literal["assessed", "requested"]


class CreditDrawn(FinanceEvent, frozen=True, kw_only=True):
    """The lender's money went into the agent's wallet account."""

    line_id: str
    agent_id: str
    amount_micro_usd: int
    purpose: str
    posting_id: str


class InterestAccrued(FinanceEvent, frozen=True, kw_only=True):
    """Interest up to `until_us`: whole micro-USD were charged, and what is less than one is carried on."""

    line_id: str
    agent_id: str
    principal_micro_usd: int
    charged_micro_usd: int
    remainder: int
    """In parts of one micro-USD: life.haima.lending_interest.DENOMINATOR of them; negative when charged ahead."""
    until_us: int


class CreditRepaid(FinanceEvent, frozen=True, kw_only=True):
    """Money came back: interest first, then principal."""

    line_id: str
    agent_id: str
    amount_micro_usd: int
    interest_portion_micro_usd: int
    principal_portion_micro_usd: int
    source: RepaymentSource
    posting_id: str
    evidence: str | None = None
    """The event of the settled payment, where it was one."""


class CreditStatementIssued(FinanceEvent, frozen=True, kw_only=True):
    """A cycle ended with something owed: at least `minimum_micro_usd` is due."""

    line_id: str
    agent_id: str
    number: int
    balance_micro_usd: int
    minimum_micro_usd: int
    due_at_us: int
    late_at_us: int
    """The end of grace. Paid by then is paid on time."""


class CreditStatementSettled(FinanceEvent, frozen=True, kw_only=True):
    """The minimum of a statement was paid."""

    line_id: str
    agent_id: str
    number: int
    on_time: bool


class CreditCycleAdvanced(FinanceEvent, frozen=True, kw_only=True):
    """A cycle ended with nothing owed."""

    line_id: str
    agent_id: str
    ended_at_us: int


class CreditPaymentMissed(FinanceEvent, frozen=True, kw_only=True):
    """Grace ended and the minimum of a statement was not paid."""

    line_id: str
    agent_id: str
    number: int
    overdue_micro_usd: int


class CreditLineStatusChanged(FinanceEvent, frozen=True, kw_only=True):
    """The state machine of haima.md §1.7 took a step."""

    line_id: str
    agent_id: str
    from_status: LineStatus
    to_status: LineStatus
    reason: StatusReason


class CreditRefused(FinanceEvent, frozen=True, kw_only=True):
    """Something about credit was refused; nothing moved. `code` is the error's."""

    agent_id: str
    operation: str
    code: str
    amount_micro_usd: int | None = None


class CreditExposureHeld(FinanceEvent, frozen=True, kw_only=True):
    """A settlement was let through on this agent's credit; it counts against the limit until `until_us`."""

    agent_id: str
    payment: str
    """Which payment: the SHA-256 (hex) of its header."""
    amount_micro_usd: int
    until_us: int
