"""The bureau: flags, ratings, provenance, signatures (haima.md §1.8, §7 haima-core/bureau.rs; HM-BUREAU)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.anima.custody.in_process import InProcessAnima
from life.haima import bureau
from life.haima.bureau import (
    AgentCreditReport,
    FlagType,
    PaymentHistory,
    PublicReport,
    TrustContext,
    flags,
    rate,
    redact,
    report,
    sign_report,
    summary_of,
    verify_report,
)
from life.haima.credit import Factors, assess
from life.haima.credit_api import read_report
from life.haima.errors import InvalidReportError
from life.testing.clock import ManualClock
from tests.haima.credit_kit import DAY_US, address, custom, fresh, mode, open_bank, paid

NOW = 20_000 * DAY_US
OLD = PaymentHistory(total_transactions=9, oldest_transaction_at_us=NOW - 8 * DAY_US)
CALM = TrustContext()
A = "agent-a"


def changed(base: msgspec.Struct, **fields: object) -> PaymentHistory:
    found = msgspec.structs.replace(base, **fields)
    assert isinstance(found, PaymentHistory)
    return found


@pytest.mark.parametrize(
    ("credit", "trust", "raised", "rating"),
    [
        (0, 0, (), "critical"),
        (299_999, 299_999, (), "critical"),
        (300_000, 300_000, (), "high"),
        (499_999, 499_999, (), "high"),
        (500_000, 500_000, (), "medium"),
        (749_999, 750_000, (), "medium"),
        (750_000, 750_000, (), "low"),
        (1_000_000, 375_000, (), "low"),
        (1_000_000, 1_000_000, ("new_agent",), "low"),
        (1_000_000, 1_000_000, ("rapid_spending",), "medium"),
        (1_000_000, 1_000_000, ("high_utilization", "trust_degrading", "rapid_spending"), "medium"),
        (1_000_000, 1_000_000, ("recent_default",), "high"),
        (1_000_000, 1_000_000, ("economic_hibernate",), "high"),
        (1_000_000, 1_000_000, ("recent_default", "economic_hibernate"), "critical"),
        (400_000, 400_000, ("new_agent",), "high"),
        (2_000_000, 2_000_000, (), "low"),
        (-5, -5, (), "critical"),
    ],
)
def test_the_rating_of_each_band(credit: int, trust: int, raised: tuple[FlagType, ...], rating: str) -> None:
    """Every band, exactly 0.75, one and two critical flags, warnings, info; inputs are clamped."""
    assert rate(credit, trust, raised) == rating


@given(st.integers(0, 1_000_000), st.integers(0, 1_000_000))
def test_ratings_are_exact(credit: int, trust: int) -> None:
    """Integer comparison: 0.6·credit + 0.4·trust without a rounding."""
    tenths = 6 * credit + 4 * trust
    expected = "critical" if tenths < 3_000_000 else "high" if tenths < 5_000_000 else "medium"
    assert rate(credit, trust, ()) == ("low" if tenths >= 7_500_000 else expected)


@pytest.mark.parametrize(
    ("limit", "drawn", "status", "fires"),
    [
        (1_000, 800, "active", False),
        (1_000, 801, "active", True),
        (1_000, 1_000, "frozen", False),
        (0, 0, "active", False),
        (10**15, 8 * 10**14 + 1, "active", True),
    ],
)
def test_high_utilization(limit: int, drawn: int, status: str, fires: bool) -> None:
    """Strictly above 80 % of an active line; one flag for several lines."""
    line = summary_of(limit, drawn, status)  # type: ignore[arg-type]
    assert flags(OLD, CALM, [line, line], NOW) == (("high_utilization",) if fires else ())


@pytest.mark.parametrize(
    ("history", "trust", "raised"),
    [
        (changed(OLD, has_recent_default=True), CALM, ("recent_default",)),
        (OLD, TrustContext(trajectory="degrading"), ("trust_degrading",)),
        (OLD, TrustContext(trajectory="improving"), ()),
        (changed(OLD, oldest_transaction_at_us=NOW - 7 * DAY_US), CALM, ()),
        (changed(OLD, oldest_transaction_at_us=NOW - 7 * DAY_US + 1), CALM, ("new_agent",)),
        (PaymentHistory(), CALM, ("new_agent",)),
        (PaymentHistory(total_transactions=3), CALM, ()),
        (changed(OLD, rapid_spending=True), CALM, ("rapid_spending",)),
        (changed(OLD, economic_hibernate=True), CALM, ("economic_hibernate",)),
    ],
)
def test_each_flag_fires_and_does_not(history: PaymentHistory, trust: TrustContext, raised: tuple[str, ...]) -> None:
    """One by one."""
    assert flags(history, trust, [], NOW) == raised


def test_a_healthy_agent_has_no_flags_and_a_troubled_one_has_all() -> None:
    """In the published order, with the published severities."""
    assert flags(OLD, CALM, [summary_of(1_000, 100, "active")], NOW) == ()
    history = changed(
        OLD,
        oldest_transaction_at_us=NOW,
        has_recent_default=True,
        rapid_spending=True,
        economic_hibernate=True,
    )
    raised = flags(history, TrustContext(trajectory="degrading"), [summary_of(100, 100, "active")], NOW)
    assert [(flag, bureau.SEVERITIES[flag]) for flag in raised] == [
        ("high_utilization", "warning"),
        ("recent_default", "critical"),
        ("trust_degrading", "warning"),
        ("new_agent", "info"),
        ("rapid_spending", "warning"),
        ("economic_hibernate", "critical"),
    ]


def test_an_unknown_agent() -> None:
    """Score 0, tier none, trust 0, unverified, critical, one `new_agent` flag; what is missing is named."""
    made = report(assess("x", Factors(), at_us=NOW), PaymentHistory(), TrustContext(), [], now_us=NOW)
    assert (made.credit_score, made.credit_tier, made.trust_score, made.trust_tier) == (0, "none", 0, "unverified")
    assert (made.risk_rating, [flag.flag_type for flag in made.flags]) == ("critical", ["new_agent"])
    assert len(made.provenance.missing_factors) == 5


def test_the_summary_copies_the_history() -> None:
    """Number for number, as parts of one where the published type has them."""
    history = changed(OLD, total_volume_micro_usd=77, on_time_ppm=950_000, average_settlement_time_ms=40, defaults=2)
    made = report(assess("x", Factors(), at_us=NOW), history, CALM, [summary_of(10, 5, "active")], now_us=NOW)
    summary = made.payment_summary
    assert (summary.total_transactions, summary.total_volume_micro_usd, summary.on_time_rate) == (9, 77, 0.95)
    assert (summary.average_settlement_time_ms, summary.defaults) == (40, 2)
    assert made.credit_lines[0].utilization_ratio == 0.5
    assert msgspec.json.decode(msgspec.json.encode(made), type=AgentCreditReport) == made


# ---- from the journal


async def test_everything_in_a_report_comes_from_the_journal() -> None:
    """Defaults within 30 days, more than 500,000 in five minutes, hibernate, DID, positions."""
    bank = await open_bank()
    await bank.good(A, premium=False)
    await bank.desk.open(A, fresh())
    await bank.desk.draw(A, 90_000, fresh())
    now = bank.clock.now_us()
    await bank.journal.append(
        [
            custom("anima.identity_created", {"did": "did:key:zA"}, A, now),
            mode(A, "hibernate", now),
            *(paid(A, address(f"shop{number}"), 250_001, now - number * 60_000_000) for number in range(2)),
        ]
    )
    made = await read_report(bank.desk, A)
    assert [flag.flag_type for flag in made.flags] == ["high_utilization", "rapid_spending", "economic_hibernate"]
    assert (made.did, made.risk_rating) == ("did:key:zA", "high")
    assert made.payment_summary.total_transactions == 6
    assert made.provenance.as_of_position == bank.runner.position >= made.provenance.house_position > 0
    bank.clock.advance_us(300_000_000)
    assert "rapid_spending" not in [flag.flag_type for flag in (await read_report(bank.desk, A)).flags]


async def test_exactly_the_threshold_is_not_rapid() -> None:
    """500,000 in five minutes is Autonomic's limit; more than that is too fast."""
    bank = await open_bank()
    await bank.journal.append([paid(A, address("x"), 500_000, bank.clock.now_us())])
    assert not bureau.payment_history((await bank.desk.read()).book.conduct(A), bank.clock.now_us()).rapid_spending
    await bank.journal.append([paid(A, address("x"), 1, bank.clock.now_us())])
    assert bureau.payment_history((await bank.desk.read()).book.conduct(A), bank.clock.now_us()).rapid_spending


async def test_a_default_is_recent_for_thirty_days() -> None:
    """It is written by the clock alone."""
    bank = await open_bank()
    await bank.good(A, premium=False)
    await bank.desk.open(A, fresh())
    await bank.desk.draw(A, 90_000, fresh())
    for days in (30, 18.1, 30.1):
        await bank.later(days)
    assert "recent_default" in [flag.flag_type for flag in (await read_report(bank.desk, A)).flags]
    await bank.later(30.1)
    assert "recent_default" not in [flag.flag_type for flag in (await read_report(bank.desk, A)).flags]
    assert (await read_report(bank.desk, A)).payment_summary.defaults == 1


def test_third_parties_see_no_amounts_and_no_scores() -> None:
    """The redacted view holds tier, rating and flags."""
    full = report(
        assess("x", Factors(trust_ppm=123_456), at_us=NOW, as_of_position=7),
        changed(OLD, total_volume_micro_usd=987_654_321),
        TrustContext(score_ppm=123_456),
        [summary_of(7_654_321, 1_234_567, "active")],
        now_us=NOW,
        did="did:key:zX",
    )
    public = msgspec.json.encode(redact(full))
    for secret in (b"987654321", b"7654321", b"1234567", b"0.123456", b"score"):
        assert secret not in public
    assert set(msgspec.json.decode(public)) == {
        "agent_id",
        "did",
        "credit_tier",
        "trust_tier",
        "risk_rating",
        "flags",
        "report_generated_at",
        "as_of_position",
        "view",
    }


# ---- signed reports


def lender(seed: int = 1) -> InProcessAnima:
    return InProcessAnima.from_seed(bytearray([seed] * 32), clock=ManualClock(NOW))


def some_report() -> AgentCreditReport:
    return report(
        assess("x", Factors(trust_ppm=800_000), at_us=NOW), OLD, CALM, [summary_of(10, 5, "active")], now_us=NOW
    )


def did_of(custody: InProcessAnima) -> str:
    did = custody.capabilities().did
    assert did is not None
    return did


@pytest.mark.parametrize("view", ["full", "redacted"])
async def test_a_signed_report_is_checked_offline(view: str) -> None:
    """By its DID alone; what comes out is what went in."""
    custody = lender()
    content = some_report() if view == "full" else redact(some_report())
    token = await sign_report(content, custody, now_us=NOW, audience="market")
    claims = verify_report(token, did=did_of(custody), now_s=NOW // 1_000_000 + 5, agent_id="x", audience="market")
    assert claims.report == content
    assert isinstance(claims.report, AgentCreditReport if view == "full" else PublicReport)


@pytest.mark.parametrize(
    "attack",
    [
        "other_signer",
        "changed",
        "other_type",
        "expired",
        "future",
        "other_agent",
        "other_audience",
        "no_audience",
        "swapped_subject",
        "rubbish",
        "too_long_lived",
    ],
)
async def test_a_report_that_is_not_what_it_says_is_refused(attack: str) -> None:
    """Another key, changed bytes, another kind of token, the wrong time, agent or reader."""
    custody, now_s = lender(), NOW // 1_000_000
    did = did_of(custody)
    token = await sign_report(some_report(), custody, now_us=NOW, audience="market")
    audience: str | None = "market"
    agent_id = "x"
    if attack == "other_signer":
        token = await sign_report(some_report(), lender(2), now_us=NOW, audience="market")
    elif attack == "changed":
        head, body, signature = token.split(".")
        middle = len(body) // 2
        token = f"{head}.{body[:middle]}{'A' if body[middle] != 'A' else 'B'}{body[middle + 1 :]}.{signature}"
    elif attack == "other_type":
        token = await custody.sign_token({"sub": "x", "iat": now_s, "exp": now_s + 60, "report": {}}, typ="JWT")
    elif attack == "expired":
        now_s += 3_600
    elif attack == "future":
        now_s -= 31
    elif attack == "other_agent":
        agent_id = "y"
    elif attack == "other_audience":
        audience = "somebody-else"
    elif attack == "no_audience":
        audience = None
    elif attack == "rubbish":
        token = "a.b.c"
    elif attack == "too_long_lived":
        content = msgspec.to_builtins(some_report())
        claims = {"sub": "x", "iat": now_s, "exp": now_s + 10**9, "report": content}
        token = await custody.sign_token(claims, typ=bureau.TYP)
        audience = None
    else:
        content = msgspec.to_builtins(some_report())
        token = await custody.sign_token(
            {"sub": "y", "iat": now_s, "exp": now_s + 60, "report": content}, typ=bureau.TYP
        )
        agent_id, audience = "y", None
    with pytest.raises(InvalidReportError) as refused:
        verify_report(token, did=did, now_s=now_s, agent_id=agent_id, audience=audience)
    assert refused.value.code == "haima.invalid_report"


@pytest.mark.parametrize("lifetime_s", [0, 30 * 86_400 + 1])
async def test_a_report_is_good_for_a_while_only(lifetime_s: int) -> None:
    """1 second to 30 days."""
    with pytest.raises(InvalidInputError):
        await sign_report(some_report(), lender(), now_us=NOW, lifetime_s=lifetime_s)
