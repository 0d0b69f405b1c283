"""The policy: every verdict at its boundary, in order, for any amounts."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from life.aios.errors import InvalidInputError
from life.haima.errors import DenialCode
from life.haima.payees import Familiarity
from life.haima.policy import (
    MAX_AMOUNT_MICRO,
    PaymentPolicy,
    Proposal,
    SoulLimits,
    Spending,
    Verdict,
    decide,
    decide_on_account,
)

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
NOW_US = 1_000_000_000_000
NOTHING = Spending(0, 0, 0, 0, 0, NOW_US)
PROPOSAL = Proposal("eip155:8453", "0xa", "0xPayee", 100, asset_known=True, network_known=True)
POLICY = PaymentPolicy()


def verdict(
    amount_micro: int | None = 100,
    *,
    policy: PaymentPolicy = POLICY,
    spending: Spending = NOTHING,
    mode: str | None = None,
    soul: SoulLimits | None = None,
    approved: bool = False,
    total_cap_micro: int | None = None,
    proposal: Proposal = PROPOSAL,
    odd: Familiarity | None = None,
) -> Verdict:
    """The verdict on an amount, everything else as usual."""
    return decide(
        policy,
        proposal._replace(amount_micro=amount_micro),
        spending,
        now_us=NOW_US,
        mode=mode,  # type: ignore[arg-type]
        soul=soul,
        approved=approved,
        total_cap_micro=total_cap_micro,
        familiarity=odd,
    )


@pytest.mark.parametrize(
    ("amount_micro", "code"),
    [
        (1, None),
        (100, None),
        (101, "needs_approval"),
        (1_000_000, "needs_approval"),
        (1_000_001, "hard_cap"),
        (0, "amount_out_of_range"),
        (-1, "amount_out_of_range"),
        (MAX_AMOUNT_MICRO, "hard_cap"),
        (MAX_AMOUNT_MICRO + 1, "amount_out_of_range"),
        (2**64, "amount_out_of_range"),
        (2**255, "amount_out_of_range"),
        (None, "amount_out_of_range"),
    ],
)
def test_bands_of_the_default_policy(amount_micro: int | None, code: str | None) -> None:
    """Exactly 100 passes by itself, 101 needs a person, exactly 1,000,000 may be approved, one more is denied; what
    wrapped around in the original is out of range (haima.md §1.4, W01)."""
    assert verdict(amount_micro).code == code


def test_approval_replaces_the_last_step_only() -> None:
    """A person's grant lifts the auto-approve cap and nothing else."""
    assert verdict(1_000_000, approved=True).decision == "allow"
    assert verdict(1_000_001, approved=True).code == "hard_cap"
    spent = NOTHING._replace(session_micro=9_999_000)
    assert verdict(1_001, approved=True, spending=spent).code == "session_cap"


@pytest.mark.parametrize(
    ("proposal", "code"),
    [
        (PROPOSAL._replace(network_known=False), "network_not_allowed"),
        (PROPOSAL._replace(asset_known=False), "asset_not_allowed"),
        (PROPOSAL._replace(payee=None), "recipient_malformed"),
        (PROPOSAL._replace(ceiling_micro=99), "call_ceiling"),
        (PROPOSAL._replace(ceiling_micro=100), None),
    ],
)
def test_terms(proposal: Proposal, code: str | None) -> None:
    """Network, token and payee must be known; the caller's ceiling is inclusive."""
    assert verdict(100, proposal=proposal).code == code


def test_an_allow_list_replaces_the_registry() -> None:
    """Networks of the policy's list may be paid on, others not, known or unknown."""
    only = PaymentPolicy(networks=("eip155:1",))
    assert verdict(policy=only).code == "network_not_allowed"
    assert verdict(policy=only, proposal=PROPOSAL._replace(network="eip155:1", network_known=False)).decision == "allow"


@pytest.mark.parametrize(
    ("mode", "hibernate", "hustle", "amount_micro", "code"),
    [
        (None, False, False, 101, "needs_approval"),
        ("sovereign", False, False, 101, "needs_approval"),
        ("conserving", False, False, 100, None),
        ("hibernate", False, True, 1, "mode_hibernate"),
        ("hibernate", True, True, 100, None),
        ("hustle", False, True, 100, None),
        ("hustle", False, True, 101, "mode_hustle"),
        ("hustle", False, False, 1, "mode_hustle"),
        ("unknown", False, True, 1, "mode_hibernate"),
        ("unknown", True, True, 100, None),
        ("unknown", True, True, 101, "mode_hustle"),
        ("unknown", True, False, 1, "mode_hustle"),
    ],
)
def test_modes(mode: str | None, hibernate: bool, hustle: bool, amount_micro: int, code: str | None) -> None:
    """Hibernation denies, hustle pays the auto band only, an unknown mode is as strict as both together."""
    policy = PaymentPolicy(allow_in_hibernate=hibernate, allow_in_hustle=hustle)
    assert verdict(amount_micro, policy=policy, mode=mode).code == code


def test_hustle_does_not_take_a_grant() -> None:
    """Short of money, not even an approved payment above the auto band is made."""
    assert verdict(101, mode="hustle", approved=True).code == "mode_hustle"


def test_the_soul_binds_where_the_policy_is_wider() -> None:
    """Per payment, per session, lifetime; each boundary inclusive."""
    soul = SoulLimits(max_spend_per_tx_micro=50, max_spend_per_session_micro=500, max_lifetime_spend_micro=1000)
    assert verdict(50, soul=soul).decision == "allow"
    assert verdict(51, soul=soul).code == "soul_limit"
    assert verdict(50, soul=soul, spending=NOTHING._replace(session_micro=450)).decision == "allow"
    assert verdict(50, soul=soul, spending=NOTHING._replace(session_micro=451)).code == "soul_limit"
    assert verdict(50, soul=soul, spending=NOTHING._replace(total_micro=951)).code == "soul_limit"


@pytest.mark.parametrize(
    ("field", "policy", "code"),
    [
        ("session_micro", PaymentPolicy(session_spend_cap_micro=1000), "session_cap"),
        ("total_micro", PaymentPolicy(total_cap_micro=1000), "total_cap"),
        ("task_micro", PaymentPolicy(task_cap_micro=1000), "task_cap"),
        ("payee_micro", PaymentPolicy(payee_cap_micro=1000), "payee_cap"),
    ],
)
@given(counted=st.integers(0, 2000), amount_micro=st.integers(1, 100))
def test_caps(field: str, policy: PaymentPolicy, code: str, counted: int, amount_micro: int) -> None:
    """Property: what counts already plus this payment may reach a cap and not exceed it."""
    found = verdict(amount_micro, policy=policy, spending=NOTHING._replace(**{field: counted}))
    assert found.code == (code if counted + amount_micro > 1000 else None)


def test_the_wallets_own_cap_binds_beside_the_policys() -> None:
    """A cap that is kept with the wallet holds whatever policy a process brings along."""
    spent = NOTHING._replace(total_micro=950)
    assert verdict(50, spending=spent, total_cap_micro=1000).decision == "allow"
    assert verdict(51, spending=spent, total_cap_micro=1000).code == "total_cap"
    wide = PaymentPolicy(total_cap_micro=10**9)
    assert verdict(51, policy=wide, spending=spent, total_cap_micro=1000).code == "total_cap"


def test_the_rate_says_when_to_come_back() -> None:
    """The eleventh payment of a minute waits until the oldest leaves the window."""
    ten = NOTHING._replace(recent_reservations=10, window_opens_us=NOW_US + 1_500_001)
    found = verdict(spending=ten)
    assert (found.code, found.retry_after_ms) == ("rate_limited", 1501)
    assert verdict(spending=ten._replace(recent_reservations=9)).decision == "allow"


def test_the_first_objection_gives_the_code() -> None:
    """With everything wrong at once, lifting one obstacle after the other shows the order of HM-POL."""
    proposal = Proposal(
        "x", "y", None, 2**70, asset_known=False, network_known=False, ceiling_micro=0, host="shop.example"
    )
    policy = PaymentPolicy(
        enabled=False,
        session_spend_cap_micro=0,
        total_cap_micro=0,
        task_cap_micro=0,
        payee_cap_micro=0,
        host_cap_micro=0,
        day_cap_micro=0,
        rolling_day_cap_micro=0,
        deny_hosts=(".example",),
        deny_payees=(PAYEE,),
    )
    odd: Familiarity | None = Familiarity("payee_changed", "It changed.", "0x1")
    spending = Spending(1, 1, 1, 1, 99, NOW_US, 1, 1, 1)
    soul: SoulLimits | None = SoulLimits(max_spend_per_tx_micro=0)
    mode: str | None = "unknown"
    seen = []
    for _ in range(30):
        found = verdict(
            proposal.amount_micro, policy=policy, spending=spending, mode=mode, soul=soul, proposal=proposal, odd=odd
        )
        if found.code is None:
            break
        seen.append(found.code)
        match found.code:
            case "amount_out_of_range":
                proposal = proposal._replace(amount_micro=2_000_000)
            case "network_not_allowed":
                proposal = proposal._replace(network_known=True)
            case "asset_not_allowed":
                proposal = proposal._replace(asset_known=True)
            case "recipient_malformed":
                proposal = proposal._replace(payee=PAYEE)
            case "host_not_allowed":
                policy = _with(policy, deny_hosts=())
            case "payee_not_allowed":
                policy = _with(policy, deny_payees=())
            case "policy_disabled":
                policy = _with(policy, enabled=True)
            case "mode_hibernate":
                mode = "hustle"
            case "mode_hustle":
                mode = None
            case "soul_limit":
                soul = None
            case "hard_cap":
                policy = _with(policy, hard_cap_per_tx_micro=2_000_000)
            case "call_ceiling":
                proposal = proposal._replace(ceiling_micro=None)
            case "session_cap":
                policy = _with(policy, session_spend_cap_micro=2**40)
            case "total_cap":
                policy = _with(policy, total_cap_micro=None)
            case "day_cap":
                policy = _with(policy, day_cap_micro=None, rolling_day_cap_micro=None)
            case "task_cap":
                policy = _with(policy, task_cap_micro=None)
            case "payee_cap":
                policy = _with(policy, payee_cap_micro=None)
            case "host_cap":
                policy = _with(policy, host_cap_micro=None)
            case "rate_limited":
                spending = spending._replace(recent_reservations=0)
            case "payee_changed":
                odd = odd._replace(code="price_jumped") if odd is not None else None
            case "price_jumped":
                odd = None
            case "needs_approval":
                policy = _with(policy, auto_approve_cap_micro=2_000_000)
    assert sorted(seen) == sorted({*get_args(DenialCode)} - {"approval_denied", "approval_expired", "approvals_full"})
    assert seen == [
        "amount_out_of_range",
        "network_not_allowed",
        "asset_not_allowed",
        "recipient_malformed",
        "host_not_allowed",
        "payee_not_allowed",
        "policy_disabled",
        "mode_hibernate",
        "mode_hustle",
        "soul_limit",
        "hard_cap",
        "call_ceiling",
        "session_cap",
        "total_cap",
        "day_cap",
        "task_cap",
        "payee_cap",
        "host_cap",
        "rate_limited",
        "payee_changed",
        "price_jumped",
        "needs_approval",
    ]


def _with(policy: PaymentPolicy, **changes: object) -> PaymentPolicy:
    fields = {name: getattr(policy, name) for name in policy.__struct_fields__}
    return PaymentPolicy(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [{"hard_cap_per_tx_micro": -1}, {"max_tx_per_minute": -1}, {"max_validity_s": 0}, {"total_cap_micro": -5}],
)
def test_a_policy_that_can_not_be_right_is_refused(changes: dict[str, int]) -> None:
    """A negative cap is an error when the policy is made, not a surprise when money moves."""
    with pytest.raises(InvalidInputError):
        _with(PaymentPolicy(), **changes)


@pytest.mark.parametrize(
    ("changes", "amount_micro", "code"),
    [
        ({}, 1_000_000, None),
        ({}, 1_000_001, "hard_cap"),
        ({}, 0, "amount_out_of_range"),
        ({"enabled": False}, 1, "policy_disabled"),
        ({"deny_hosts": ("house.example",)}, 1, "host_not_allowed"),
        ({"session_spend_cap_micro": 99}, 100, "session_cap"),
        ({"day_cap_micro": 99}, 100, "day_cap"),
    ],
)
def test_money_on_account_meets_switches_ceilings_and_caps(
    changes: dict[str, Any], amount_micro: int, code: DenialCode | None
) -> None:
    """It was counted when it was paid in: each cap bounds one spending, none bounds the sum; no approval is asked for here."""
    proposal = PROPOSAL._replace(amount_micro=amount_micro, host="house.example", payee=None)
    said = decide_on_account(structs.replace(POLICY, **changes), proposal)
    assert (said.decision, said.code) == ("allow" if code is None else "deny", code)


def test_money_on_account_meets_mode_soul_and_the_wallets_own_cap() -> None:
    """As a payment does."""
    assert decide_on_account(POLICY, PROPOSAL, mode="hibernate").code == "mode_hibernate"
    assert decide_on_account(POLICY, PROPOSAL, mode="hustle").code is None
    assert decide_on_account(POLICY, PROPOSAL, soul=SoulLimits(max_spend_per_tx_micro=99)).code == "soul_limit"
    assert decide_on_account(POLICY, PROPOSAL, total_cap_micro=99).code == "total_cap"
