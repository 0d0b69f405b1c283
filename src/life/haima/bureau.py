"""The credit bureau: a report on an agent, from projections of the journal (haima.md §1.8, HM-BUREAU).

    composite = 0.6·credit + 0.4·trust
    critical   two critical flags, or composite < 0.30
    high       one critical flag, or composite < 0.50
    medium     composite < 0.75, or a warning
    low        otherwise

`report` and `rate` are pure and exact: scores are ppm, ratios are compared as integers. The report says which journal
position it is of. A signed report is a JWS (ES256) whose `typ` is `life-bureau+jwt`; anybody can check it offline with
`verify_report` and the lender's DID. Third parties get the redacted view: tier, rating and flags, no amounts, no scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.custody import Custody
from life.aios.record import format_timestamp
from life.crypto import jws
from life.crypto.did import Curve
from life.crypto.errors import CryptoError
from life.haima.credit import ONE_PPM, Assessment, ratio_ppm
from life.haima.credit_book import Conduct, has_recent_default, overdue_bills, spent_recently
from life.haima.errors import InvalidReportError
from life.haima.events.credit import LineStatus, Tier
from life.haima.lending_state import Line

TYP: Final = "life-bureau+jwt"
MODEL: Final = "haima-bureau-1"
VELOCITY_MICRO: Final = 500_000
"""More than this leaving in five minutes is rapid (Autonomic's own threshold)."""
NEW_AGENT_US: Final = 7 * 86_400_000_000
HIGH_UTILIZATION_PPM: Final = 800_000
MAX_LIFETIME_S: Final = 30 * 86_400
LEEWAY_S: Final = 30

FlagType = Literal[
    "high_utilization", "recent_default", "trust_degrading", "new_agent", "rapid_spending", "economic_hibernate"
]
Severity = Literal["info", "warning", "critical"]
Rating = Literal["low", "medium", "high", "critical"]
Trajectory = Literal["improving", "stable", "degrading"]

SEVERITIES: Final[dict[FlagType, Severity]] = {
    "high_utilization": "warning",
    "recent_default": "critical",
    "trust_degrading": "warning",
    "new_agent": "info",
    "rapid_spending": "warning",
    "economic_hibernate": "critical",
}
_WORDS: Final[dict[FlagType, str]] = {
    "high_utilization": "More than 80 % of an active credit line is drawn.",
    "recent_default": "A credit line went into default within 30 days.",
    "trust_degrading": "The agent's trust is falling.",
    "new_agent": "The agent has been settling payments for less than 7 days, or not at all.",
    "rapid_spending": "More than 0.50 USDC were spent within 5 minutes.",
    "economic_hibernate": "The agent is in hibernate mode.",
}


class PaymentHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What the report says about payments; amounts in micro-USD."""

    total_transactions: int = 0
    total_volume_micro_usd: int = 0
    on_time_ppm: int = 0
    average_settlement_time_ms: int = 0
    defaults: int = 0
    oldest_transaction_at_us: int | None = None
    has_recent_default: bool = False
    rapid_spending: bool = False
    economic_hibernate: bool = False


class TrustContext(msgspec.Struct, frozen=True, kw_only=True):
    """What Autonomic says about the agent."""

    score_ppm: int = 0
    tier: str = "unverified"
    trajectory: Trajectory = "stable"


class CreditLineSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A line in the report."""

    limit_micro_usd: int
    drawn_micro_usd: int
    status: LineStatus
    utilization_ratio: float = 0.0

    @property
    def is_highly_used(self) -> bool:
        """Whether more than 80 % of an active line is drawn; exactly 80 % is not more."""
        active = self.status == "active" and self.limit_micro_usd > 0
        return active and self.drawn_micro_usd * ONE_PPM > HIGH_UTILIZATION_PPM * self.limit_micro_usd


class RiskFlag(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look at."""

    flag_type: FlagType
    severity: Severity
    description: str
    detected_at: str


class PaymentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The payments, as the report shows them."""

    total_transactions: int
    total_volume_micro_usd: int
    on_time_rate: float
    average_settlement_time_ms: int
    defaults: int
    oldest_transaction_at: str | None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What the report was computed from: the journal positions, the models, and what was not known."""

    as_of_position: int
    house_position: int
    credit_model: str
    bureau_model: str = MODEL
    confidence: float
    missing_factors: tuple[str, ...]


class AgentCreditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report (haima.md §1.8). Scores are parts of one."""

    agent_id: str
    did: str | None
    credit_score: float
    credit_tier: Tier
    trust_score: float
    trust_tier: str
    risk_rating: Rating
    payment_summary: PaymentSummary
    credit_lines: tuple[CreditLineSummary, ...]
    flags: tuple[RiskFlag, ...]
    report_generated_at: str
    provenance: Provenance
    view: Literal["full"] = "full"


class PublicFlag(msgspec.Struct, frozen=True):
    """A flag without words and times."""

    flag_type: FlagType
    severity: Severity


class PublicReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report as third parties see it."""

    agent_id: str
    did: str | None
    credit_tier: Tier
    trust_tier: str
    risk_rating: Rating
    flags: tuple[PublicFlag, ...]
    report_generated_at: str
    as_of_position: int
    view: Literal["redacted"] = "redacted"


Report = AgentCreditReport | PublicReport


def payment_history(conduct: Conduct, now_us: int) -> PaymentHistory:
    """An agent's record as the report's input."""
    return PaymentHistory(
        total_transactions=conduct.transactions,
        total_volume_micro_usd=conduct.volume_micro,
        on_time_ppm=ratio_ppm(conduct.met, conduct.due + overdue_bills(conduct, now_us)),
        average_settlement_time_ms=conduct.latency_ms // conduct.latencies if conduct.latencies else 0,
        defaults=conduct.defaults,
        oldest_transaction_at_us=conduct.first_settled_us,
        has_recent_default=has_recent_default(conduct, now_us),
        rapid_spending=spent_recently(conduct, now_us) > VELOCITY_MICRO,
        economic_hibernate=conduct.mode == "hibernate",
    )


def trust_context(conduct: Conduct, assessed: Assessment) -> TrustContext:
    """An agent's trust as the report's input; one that is too old counts as none."""
    if assessed.factors.trust_ppm is None:
        return TrustContext()
    trajectory: Trajectory = "stable"
    if conduct.trajectory == "improving":
        trajectory = "improving"
    elif conduct.trajectory == "degrading":
        trajectory = "degrading"
    return TrustContext(score_ppm=assessed.factors.trust_ppm, tier=conduct.trust_tier, trajectory=trajectory)


def summarize_line(line: Line) -> CreditLineSummary:
    """A line as the report shows it."""
    return summary_of(line.limit_micro_usd, line.principal_micro_usd, line.status)


def summary_of(limit_micro: int, drawn_micro: int, status: LineStatus) -> CreditLineSummary:
    """A line with its utilisation: drawn over limit, 0 without a limit."""
    ratio = drawn_micro / limit_micro if limit_micro else 0.0
    return CreditLineSummary(
        limit_micro_usd=limit_micro, drawn_micro_usd=drawn_micro, status=status, utilization_ratio=ratio
    )


def flags(
    history: PaymentHistory, trust: TrustContext, lines: Sequence[CreditLineSummary], now_us: int
) -> tuple[FlagType, ...]:
    """The flags that fire, each at most once."""
    oldest = history.oldest_transaction_at_us
    is_new = history.total_transactions == 0 if oldest is None else now_us - oldest < NEW_AGENT_US
    fires: dict[FlagType, bool] = {
        "high_utilization": any(line.is_highly_used for line in lines),
        "recent_default": history.has_recent_default,
        "trust_degrading": trust.trajectory == "degrading",
        "new_agent": is_new,
        "rapid_spending": history.rapid_spending,
        "economic_hibernate": history.economic_hibernate,
    }
    return tuple(flag for flag, does in fires.items() if does)


def rate(credit_ppm: int, trust_ppm: int, raised: Sequence[FlagType]) -> Rating:
    """The risk rating. Info flags never make it worse."""
    tenths = 6 * _clamped(credit_ppm) + 4 * _clamped(trust_ppm)  # of a ppm
    critical = sum(SEVERITIES[flag] == "critical" for flag in raised)
    warnings = sum(SEVERITIES[flag] == "warning" for flag in raised)
    if critical >= 2 or tenths < 3_000_000:
        return "critical"
    if critical or tenths < 5_000_000:
        return "high"
    if warnings or tenths < 7_500_000:
        return "medium"
    return "low"


def report(
    assessed: Assessment,
    history: PaymentHistory,
    trust: TrustContext,
    lines: Sequence[CreditLineSummary],
    *,
    now_us: int,
    did: str | None = None,
    house_position: int = 0,
) -> AgentCreditReport:
    """The report of one agent as of `now_us`."""
    raised = flags(history, trust, lines, now_us)
    at = format_timestamp(now_us)
    oldest = history.oldest_transaction_at_us
    return AgentCreditReport(
        agent_id=assessed.agent_id,
        did=did,
        credit_score=assessed.score_ppm / ONE_PPM,
        credit_tier=assessed.tier,
        trust_score=trust.score_ppm / ONE_PPM,
        trust_tier=trust.tier,
        risk_rating=rate(assessed.score_ppm, trust.score_ppm, raised),
        payment_summary=PaymentSummary(
            total_transactions=history.total_transactions,
            total_volume_micro_usd=history.total_volume_micro_usd,
            on_time_rate=history.on_time_ppm / ONE_PPM,
            average_settlement_time_ms=history.average_settlement_time_ms,
            defaults=history.defaults,
            oldest_transaction_at=None if oldest is None else format_timestamp(oldest),
        ),
        credit_lines=tuple(lines),
        flags=tuple(
            RiskFlag(flag_type=flag, severity=SEVERITIES[flag], description=_WORDS[flag], detected_at=at)
            for flag in raised
        ),
        report_generated_at=at,
        provenance=Provenance(
            as_of_position=assessed.as_of_position,
            house_position=house_position,
            credit_model=assessed.model,
            confidence=assessed.confidence_ppm / ONE_PPM,
            missing_factors=assessed.factors.missing(),
        ),
    )


def redact(full: AgentCreditReport) -> PublicReport:
    """What third parties may see."""
    return PublicReport(
        agent_id=full.agent_id,
        did=full.did,
        credit_tier=full.credit_tier,
        trust_tier=full.trust_tier,
        risk_rating=full.risk_rating,
        flags=tuple(PublicFlag(flag.flag_type, flag.severity) for flag in full.flags),
        report_generated_at=full.report_generated_at,
        as_of_position=full.provenance.as_of_position,
    )


# ---- signed reports


class ReportClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a signed report: who says it, about whom, when, how long it is good for, for whom."""

    sub: str
    iat: int
    exp: int
    report: Report
    aud: str | None = None


class _ClaimsForm(msgspec.Struct):
    sub: str
    iat: int
    exp: int
    report: msgspec.Raw
    aud: str | None = None


async def sign_report(
    content: Report, custody: Custody, *, now_us: int, lifetime_s: int = 3_600, audience: str | None = None
) -> str:
    """The report as a compact JWS under the custody's auth key. InvalidInputError for a lifetime outside 1 s to 30 days;
    custody's errors, and crypto's for a report that is too long."""
    if not 1 <= lifetime_s <= MAX_LIFETIME_S:
        raise InvalidInputError("A report is good for 1 second to 30 days.")
    now_s = now_us // 1_000_000
    claims: dict[str, Json] = {"sub": content.agent_id, "iat": now_s, "exp": now_s + lifetime_s}
    if audience is not None:
        claims["aud"] = audience
    claims["report"] = msgspec.to_builtins(content)
    return await custody.sign_token(claims, typ=TYP)


def verify_report(
    token: str, *, did: str, now_s: int, agent_id: str | None = None, audience: str | None = None
) -> ReportClaims:
    """A signed report, checked offline: made by `did` (a `did:key` of P-256), about `agent_id` if that is given, not
    expired, and for nobody else than `audience`. InvalidReportError says what is wrong with it."""
    try:
        verified = jws.verify(token, typ=TYP, curves=(Curve.P256,))
    except CryptoError as error:
        raise InvalidReportError(f"The report's signature does not hold: {error}.") from None
    if verified.signer.did != did:
        raise InvalidReportError("The report was signed by somebody else.")
    try:
        form = msgspec.json.decode(verified.payload, type=_ClaimsForm)
        content = _read_report(bytes(form.report))
    except msgspec.DecodeError as error:
        raise InvalidReportError(f"The report can't be read: {error}.") from None
    if form.sub != content.agent_id or agent_id not in (None, form.sub):
        raise InvalidReportError("The report is about another agent.")
    if form.aud is not None and form.aud != audience:
        raise InvalidReportError("The report was made for somebody else.")
    if not form.iat - LEEWAY_S <= now_s < form.exp or form.exp - form.iat > MAX_LIFETIME_S:
        raise InvalidReportError("The report is not current.")
    return ReportClaims(sub=form.sub, iat=form.iat, exp=form.exp, report=content, aud=form.aud)


class _View(msgspec.Struct):
    view: str


def _read_report(content: bytes) -> Report:
    if msgspec.json.decode(content, type=_View).view == "redacted":
        return msgspec.json.decode(content, type=PublicReport)
    return msgspec.json.decode(content, type=AgentCreditReport)


def _clamped(ppm: int) -> int:
    return min(ONE_PPM, max(0, ppm))
