"""Credit as the API and the command line show it: published field names, parts of one, RFC 3339 times (haima.md §1.6, §1.7)."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios.record import format_timestamp
from life.haima.credit import ONE_PPM, Assessment
from life.haima.events.credit import LineStatus, Tier
from life.haima.lending_work import CreditLine


class FactorsView(msgspec.Struct, frozen=True, kw_only=True):
    """The factors under their published names, as parts of one; what is missing shows as 0 here and is named in `missing`."""

    trust_score: float
    payment_history: float
    transaction_volume: int
    account_age_days: int
    economic_stability: float


class CreditScoreView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/credit/{id}` (haima.md §1.6). `current_balance_micro_usd` is negative when something is owed."""

    agent_id: str
    tier: Tier
    score: float
    spending_limit_micro_usd: int
    current_balance_micro_usd: int
    factors: FactorsView
    assessed_at: str
    model: str
    score_ppm: int
    confidence: float
    missing: tuple[str, ...]
    trust_assessed_at: str | None
    counterparties: int
    as_of_position: int


class StatementBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is due, until when."""

    number: int
    balance_micro_usd: int
    minimum_micro_usd: int
    paid_micro_usd: int
    due_at: str
    late_at: str
    missed_at: str | None


class CreditLineView(msgspec.Struct, frozen=True, kw_only=True):
    """A credit line (haima.md §1.7); times RFC 3339."""

    line_id: str
    agent_id: str
    tier: Tier
    limit_micro_usd: int
    drawn_micro_usd: int
    available_micro_usd: int
    interest_rate_bps: int
    accrued_interest_micro_usd: int
    opened_at: str
    last_draw_at: str | None
    last_accrual_at: str
    status: LineStatus
    status_reason: str
    statement: StatementBody | None


class LineAnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: `opened` is 201, the others 200."""

    status: Literal["opened", "exists", "modified", "unchanged", "frozen", "unfrozen", "closed"]
    credit_line: CreditLineView


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was done. `code` is stable."""

    status: Literal["rejected", "error", "not_found"]
    reason: str
    code: str
    details: str


class RefusedDraw(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was drawn."""

    reason: str
    code: str
    approved: Literal[False] = False
    drawn_amount: int = 0
    new_balance: int = 0
    available: int = 0
    interest_accrued: int = 0


class RepaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """What was applied of a repayment."""

    agent_id: str
    amount_micro_usd: int
    interest_portion: int
    principal_portion: int
    remaining_balance: int
    repaid_at: str


def score_view(assessed: Assessment, *, owed_micro: int, counterparties: int) -> CreditScoreView:
    """A score as the API shows it."""
    factors = assessed.factors
    trust_us = assessed.trust_at_us
    return CreditScoreView(
        agent_id=assessed.agent_id,
        tier=assessed.tier,
        score=assessed.score_ppm / ONE_PPM,
        spending_limit_micro_usd=assessed.limit_micro_usd,
        current_balance_micro_usd=-owed_micro,
        factors=FactorsView(
            trust_score=(factors.trust_ppm or 0) / ONE_PPM,
            payment_history=(factors.payment_history_ppm or 0) / ONE_PPM,
            transaction_volume=factors.volume_micro_usd or 0,
            account_age_days=factors.account_age_days or 0,
            economic_stability=(factors.stability_ppm or 0) / ONE_PPM,
        ),
        assessed_at=format_timestamp(assessed.assessed_at_us),
        model=assessed.model,
        score_ppm=assessed.score_ppm,
        confidence=assessed.confidence_ppm / ONE_PPM,
        missing=factors.missing(),
        trust_assessed_at=None if trust_us is None else format_timestamp(trust_us),
        counterparties=counterparties,
        as_of_position=assessed.as_of_position,
    )


def line_view(line: CreditLine) -> CreditLineView:
    """A line as the API shows it."""
    statement = line.statement
    return CreditLineView(
        line_id=line.line_id,
        agent_id=line.agent_id,
        tier=line.tier,
        limit_micro_usd=line.limit_micro_usd,
        drawn_micro_usd=line.drawn_micro_usd,
        available_micro_usd=line.available_micro_usd,
        interest_rate_bps=line.interest_rate_bps,
        accrued_interest_micro_usd=line.accrued_interest_micro_usd,
        opened_at=format_timestamp(line.opened_at_us),
        last_draw_at=_time(line.last_draw_at_us),
        last_accrual_at=format_timestamp(line.last_accrual_at_us),
        status=line.status,
        status_reason=line.status_reason,
        statement=None
        if statement is None
        else StatementBody(
            number=statement.number,
            balance_micro_usd=statement.balance_micro_usd,
            minimum_micro_usd=statement.minimum_micro_usd,
            paid_micro_usd=statement.paid_micro_usd,
            due_at=format_timestamp(statement.due_at_us),
            late_at=format_timestamp(statement.late_at_us),
            missed_at=_time(statement.missed_at_us),
        ),
    )


def _time(at_us: int | None) -> str | None:
    return None if at_us is None else format_timestamp(at_us)
