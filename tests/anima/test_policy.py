"""The policy manifest: ceiling and limits (anima.md §2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.anima.policy import EconomicLimits, PolicyManifest


def test_defaults_are_those_of_the_reference() -> None:
    """The default manifest of anima.md §2."""
    manifest = PolicyManifest()
    assert [(one.id, one.severity) for one in manifest.safety_constraints] == [
        ("no-impersonation", "critical"),
        ("no-unaudited-transfers", "critical"),
    ]
    assert manifest.capability_ceiling == ("chat:*", "knowledge:read", "tool:execute")
    limits = manifest.economic_limits
    assert limits.max_spend_per_tx_micro_credits == 1_000_000
    assert limits.max_spend_per_session_micro_credits == 10_000_000
    assert limits.max_lifetime_spend_micro_credits is None
    assert limits.max_risk_tolerance == "moderate"
    assert manifest.communication_policy.allow_unsolicited_contact


@pytest.mark.parametrize(
    ("ceiling", "capability", "allowed"),
    [
        (("chat:*",), "chat:send", True),
        (("chat:*",), "chat:", True),
        (("chat:*",), "chat", False),
        (("chat:*",), "chat:*", True),
        (("chat:*",), "chat:a*", True),
        (("chat:*",), "*", False),
        (("chat:*",), "chat*", False),
        (("knowledge:read",), "knowledge:read", True),
        (("knowledge:read",), "knowledge:read*", False),
        (("knowledge:read",), "knowledge:reader", False),
        (("*",), "anything:at:all", True),
        (("*",), "*", True),
        ((), "chat:send", False),
        ((), "", False),
        ((), "*", False),
    ],
)
def test_ceiling(ceiling: tuple[str, ...], capability: str, allowed: bool) -> None:
    """Globs end in `*`; a pattern is covered only by a wider one; an empty ceiling allows nothing (AN-POL-1)."""
    assert PolicyManifest(capability_ceiling=ceiling).allows_capability(capability) is allowed


@pytest.mark.parametrize("pattern", ["", "a*b", "**", "a b", "ä", "x" * 256, "\n"])
def test_patterns_have_their_form(pattern: str) -> None:
    """A star anywhere but at the end, blanks and other characters are refused."""
    with pytest.raises(InvalidInputError):
        PolicyManifest(capability_ceiling=(pattern,))


@pytest.mark.parametrize("limit", [-1, 2**53])
def test_limits_have_their_range(limit: int) -> None:
    """Negative limits and limits without canonical JSON are refused."""
    with pytest.raises(InvalidInputError):
        EconomicLimits(max_spend_per_tx_micro_credits=limit)
    with pytest.raises(InvalidInputError):
        EconomicLimits(max_lifetime_spend_micro_credits=limit)


amounts = st.integers(0, 10**15)


@given(
    amount=amounts, session=amounts, lifetime=amounts, per_tx=amounts, per_session=amounts, total=st.none() | amounts
)
def test_all_three_limits_hold(
    amount: int, session: int, lifetime: int, per_tx: int, per_session: int, total: int | None
) -> None:
    """Spending is allowed exactly when no limit is exceeded, and a limit may be reached (AN-POL-2)."""
    manifest = PolicyManifest(
        economic_limits=EconomicLimits(
            max_spend_per_tx_micro_credits=per_tx,
            max_spend_per_session_micro_credits=per_session,
            max_lifetime_spend_micro_credits=total,
        )
    )
    fits = amount <= per_tx and session + amount <= per_session and (total is None or lifetime + amount <= total)
    assert manifest.allows_spend(amount, session_spent_micro=session, lifetime_spent_micro=lifetime) is fits


def test_the_first_limit_is_named() -> None:
    """The refusal says which limit was hit."""
    manifest = PolicyManifest(economic_limits=EconomicLimits(max_lifetime_spend_micro_credits=20_000_000))

    def exceeded(amount: int, session: int, lifetime: int) -> str | None:
        return manifest.exceeded_limit(amount, session_spent_micro=session, lifetime_spent_micro=lifetime)

    assert exceeded(1_000_001, 0, 0) == "per_tx"
    assert exceeded(1_000_000, 9_000_001, 9_000_001) == "per_session"
    assert exceeded(1_000_000, 0, 19_000_001) == "lifetime"
    assert exceeded(1_000_000, 9_000_000, 19_000_000) is None
    with pytest.raises(InvalidInputError):
        exceeded(-1, 0, 0)
