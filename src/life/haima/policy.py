"""The spending policy: may this payment be made? (HM-POL, haima.md §1.4)

`decide` is pure and takes the steps in a fixed order; the first that objects gives the verdict its stable code. It sees
what is already spent and reserved; that the answer still holds when the reservation is written is the purse's business.

    1  amount in range, payee well formed; network, token, host and payee allowed (a deny list beats an allow list)
    2  payments enabled
    3  economic mode: hibernate, hustle; an unknown mode counts as the strictest
    4  limits of the soul: per payment, session, lifetime
    5  hard cap per payment, ceiling of this call
    6  session cap, lifetime cap, caps per UTC day and per 24 hours, per task, payee and host: settled + reserved + this
    7  rate: reservations in the last 60 seconds
    8  a known seller at another address or with a price that jumped; auto-approve cap: otherwise a person's approval

All amounts are micro-credits. Every boundary is inclusive: exactly the cap passes, one more does not.

A day is what the journal's times say. `day_cap_micro` counts the UTC day; `rolling_day_cap_micro` counts the last 24 hours in
steps of a quarter of an hour (so up to 15 minutes more). A clock that jumps opens no room in time that is spent already: every
period keeps its own sum, whatever order the periods come in.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.money import format_micro
from life.aios.state import EconomicMode
from life.haima.errors import DenialCode
from life.haima.payees import Familiarity, HostList, PayeeList

RATE_WINDOW_US: Final = 60_000_000
MAX_AMOUNT_MICRO: Final = 2**63 - 1
"""Larger amounts are refused before any cap is looked at (HM-MONEY; W01 is what happened without it)."""

Mode = EconomicMode | Literal["unknown"]
"""`unknown`: there is a regulator, and it has not spoken or not lately."""


PayeeChange = Literal["ask", "alarm", "ignore"]
"""`ask`: a person has to approve it. `alarm`: it is paid, with an event that says so. `ignore`: sellers may change at will."""


class PaymentPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent. The defaults are those of the original (haima.md §1.4); None means no such cap."""

    enabled: bool = True
    auto_approve_cap_micro: int = 100
    hard_cap_per_tx_micro: int = 1_000_000
    session_spend_cap_micro: int = 10_000_000
    total_cap_micro: int | None = None
    """Lifetime of the wallet on its network."""
    task_cap_micro: int | None = None
    payee_cap_micro: int | None = None
    """Lifetime, per payee's address."""
    host_cap_micro: int | None = None
    """Lifetime, per host of the resource's URL."""
    day_cap_micro: int | None = None
    """Per UTC day."""
    rolling_day_cap_micro: int | None = None
    """Per 24 hours, sliding."""
    max_tx_per_minute: int = 10
    auto_approve_by_mode_micro: dict[EconomicMode, int] = {}
    """Another auto-approve cap in some economic modes."""
    allow_hosts: tuple[str, ...] | None = None
    """Hosts that may be paid: `api.example.org` exactly, `.example.org` with everything below it; None: every host."""
    deny_hosts: tuple[str, ...] = ()
    """Hosts that may not be paid, in the same forms. Deny wins."""
    allow_payees: tuple[str, ...] | None = None
    """Addresses that may be paid, in any case; None: every address."""
    deny_payees: tuple[str, ...] = ()
    """Addresses that may not be paid. Deny wins."""
    on_payee_change: PayeeChange = "ask"
    """What happens when a known seller wants its money at another address, in another token or on another network, or at a
    price that jumped."""
    price_jump_percent: int | None = 300
    """The price of a known resource may be at most this many percent of the highest that was accepted for it; a new resource
    of a known seller is measured at the highest that was accepted there. None: no price is too high a jump."""
    allow_in_hibernate: bool = False
    allow_in_hustle: bool = True
    networks: tuple[str, ...] | None = None
    """CAIP-2 names that may be paid on; None: every network of the registry."""
    max_validity_s: int = 600
    """Longest life of a signature, whatever the payee asks for (HM-WAL-3)."""
    backdate_s: int = 600
    """How far before now a signature becomes valid: a chain's clock may be behind ours (W09)."""

    def __post_init__(self) -> None:
        """InvalidInputError for a cap below zero or a window that can't work."""
        for name in (
            "auto_approve_cap_micro",
            "hard_cap_per_tx_micro",
            "session_spend_cap_micro",
            "total_cap_micro",
            "task_cap_micro",
            "payee_cap_micro",
            "host_cap_micro",
            "day_cap_micro",
            "rolling_day_cap_micro",
            "max_tx_per_minute",
            "backdate_s",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InvalidInputError(f"The policy's {name} must not be negative.")
        if any(cap < 0 for cap in self.auto_approve_by_mode_micro.values()):
            raise InvalidInputError("The policy's auto_approve_by_mode_micro must not be negative.")
        if not 10 <= self.max_validity_s <= 86_400:
            raise InvalidInputError("The policy's max_validity_s must be between 10 seconds and a day.")
        if self.price_jump_percent is not None and self.price_jump_percent < 100:
            raise InvalidInputError("The policy's price_jump_percent must be at least 100.")
        HostList(self.allow_hosts, self.deny_hosts)
        PayeeList(self.allow_payees, self.deny_payees)

    def auto_approve_cap_in(self, mode: Mode | None) -> int:
        """The auto-approve cap in this economic mode."""
        if mode is None or mode == "unknown":
            return self.auto_approve_cap_micro
        return self.auto_approve_by_mode_micro.get(mode, self.auto_approve_cap_micro)


class SoulLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The economic limits of the agent's soul (anima). They bind even where the policy is wider."""

    max_spend_per_tx_micro: int = 1_000_000
    max_spend_per_session_micro: int = 10_000_000
    max_lifetime_spend_micro: int | None = None


class Proposal(NamedTuple):
    """A payment that somebody would like to make."""

    network: str
    asset: str
    payee: str | None
    """EIP-55; None when the terms name no well-formed payee."""
    amount_micro: int | None
    """None when the amount has no exact value in micro-credits."""
    asset_known: bool
    network_known: bool
    ceiling_micro: int | None = None
    """What the caller is ready to pay for this call."""
    host: str = ""
    """Of the resource's URL, in canonical form."""


class Spending(NamedTuple):
    """What counts already: settled and reserved together, in micro-credits."""

    session_micro: int
    total_micro: int
    task_micro: int
    payee_micro: int
    recent_reservations: int
    """Within the rate window."""
    window_opens_us: int
    """When the oldest of them leaves the window."""
    day_micro: int = 0
    """In this UTC day."""
    rolling_day_micro: int = 0
    """In the last 24 hours, up to 15 minutes more."""
    host_micro: int = 0


class Verdict(NamedTuple):
    """`allow` has no code. `retry_after_ms` comes with `rate_limited`."""

    decision: Literal["allow", "deny", "needs_approval"]
    code: DenialCode | None = None
    reason: str = ""
    retry_after_ms: int | None = None


ALLOW: Final = Verdict("allow")
_NOTHING_SPENT: Final = Spending(0, 0, 0, 0, 0, 0)


def decide(
    policy: PaymentPolicy,
    proposal: Proposal,
    spending: Spending,
    *,
    now_us: int,
    mode: Mode | None = None,
    soul: SoulLimits | None = None,
    approved: bool = False,
    total_cap_micro: int | None = None,
    familiarity: Familiarity | None = None,
) -> Verdict:
    """The verdict of HM-POL.

    `mode` None means that no regulator is wired in. `approved` says that a person granted exactly this payment: it
    replaces step 8 and nothing else. `total_cap_micro` is the cap kept with the wallet, beside the policy's own.
    `familiarity`: what is odd about this seller, against what was paid there before.
    """
    return (
        _terms(policy, proposal)
        or _switches(policy, proposal, mode)
        or _ceilings(policy, proposal, spending, soul)
        or _caps(policy, proposal, spending, total_cap_micro)
        or _rate(policy, spending, now_us)
        or _approval(policy, proposal, approved, mode, familiarity)
    )


def decide_on_account(
    policy: PaymentPolicy,
    proposal: Proposal,
    *,
    mode: Mode | None = None,
    soul: SoulLimits | None = None,
    total_cap_micro: int | None = None,
) -> Verdict:
    """The verdict on spending what lies on an account at somebody's already: paid in under the caps once, earned, or given back.

    Every switch and ceiling of HM-POL binds, and no amount may exceed a cap by itself. Sums are not counted again: what was
    paid in counts already, and what was given back may be used for another try. It moves nothing on a chain, so the
    proposal's token and payee play no part; a person's approval is the business of whoever asks.
    """
    return (
        _range(proposal)
        or _host(policy, proposal)
        or _switches(policy, proposal, mode)
        or _ceilings(policy, proposal, _NOTHING_SPENT, soul)
        or _caps(policy, proposal, _NOTHING_SPENT, total_cap_micro)
        or ALLOW
    )


def _deny(code: DenialCode, reason: str) -> Verdict:
    return Verdict("deny", code, reason)


def _terms(policy: PaymentPolicy, proposal: Proposal) -> Verdict | None:
    out_of_range = _range(proposal)
    if out_of_range is not None:
        return out_of_range
    allowed = proposal.network_known if policy.networks is None else proposal.network in policy.networks
    if not allowed:
        return _deny("network_not_allowed", f"Payments on {proposal.network} are not allowed.")
    if not proposal.asset_known:
        return _deny("asset_not_allowed", f"The token {proposal.asset} is not one that may be spent.")
    if proposal.amount_micro is None:
        return _deny("amount_out_of_range", "The amount has no exact value in micro-credits.")
    if proposal.payee is None:
        return _deny("recipient_malformed", "The payee is not a well-formed address.")
    elsewhere = _host(policy, proposal)
    if elsewhere is not None:
        return elsewhere
    if not _payees(policy.allow_payees, policy.deny_payees).permits(proposal.payee):
        return _deny("payee_not_allowed", f"Payments to {proposal.payee} are not allowed.")
    return None


def _range(proposal: Proposal) -> Verdict | None:
    amount = proposal.amount_micro
    if amount is None or 0 < amount <= MAX_AMOUNT_MICRO:
        return None
    return _deny("amount_out_of_range", "The amount is not a positive number of micro-credits within range.")


def _host(policy: PaymentPolicy, proposal: Proposal) -> Verdict | None:
    if _hosts(policy.allow_hosts, policy.deny_hosts).permits(proposal.host):
        return None
    return _deny("host_not_allowed", f"Payments to {proposal.host or 'a nameless host'} are not allowed.")


def _switches(policy: PaymentPolicy, proposal: Proposal, mode: Mode | None) -> Verdict | None:
    if not policy.enabled:
        return _deny("policy_disabled", "Payments are switched off.")
    if mode in ("hibernate", "unknown") and not policy.allow_in_hibernate:
        said = "in hibernation" if mode == "hibernate" else "without word from its regulator"
        return _deny("mode_hibernate", f"The agent is {said} and does not pay.")
    if mode in ("hustle", "unknown"):
        if not policy.allow_in_hustle:
            return _deny("mode_hustle", "The agent is short of money and does not pay.")
        if _amount(proposal) > policy.auto_approve_cap_in(mode):
            return _deny("mode_hustle", "The agent is short of money and pays only what needs no approval.")
    return None


def _ceilings(policy: PaymentPolicy, proposal: Proposal, spending: Spending, soul: SoulLimits | None) -> Verdict | None:
    amount = _amount(proposal)
    if soul is not None:
        lifetime = soul.max_lifetime_spend_micro
        if (
            amount > soul.max_spend_per_tx_micro
            or spending.session_micro + amount > soul.max_spend_per_session_micro
            or (lifetime is not None and spending.total_micro + amount > lifetime)
        ):
            return _deny("soul_limit", "The agent's soul does not allow to spend this much.")
    if amount > policy.hard_cap_per_tx_micro:
        return _deny(
            "hard_cap", f"{format_micro(amount)} is more than {format_micro(policy.hard_cap_per_tx_micro)} per payment."
        )
    ceiling = proposal.ceiling_micro
    if ceiling is not None and amount > ceiling:
        return _deny(
            "call_ceiling", f"{format_micro(amount)} is more than this call may cost ({format_micro(ceiling)})."
        )
    return None


def _caps(
    policy: PaymentPolicy, proposal: Proposal, spending: Spending, stored_total_cap_micro: int | None
) -> Verdict | None:
    amount = _amount(proposal)
    caps: tuple[tuple[DenialCode, str, int, int | None], ...] = (
        ("session_cap", "session", spending.session_micro, policy.session_spend_cap_micro),
        ("total_cap", "wallet", spending.total_micro, policy.total_cap_micro),
        ("total_cap", "wallet", spending.total_micro, stored_total_cap_micro),
        ("day_cap", "day", spending.day_micro, policy.day_cap_micro),
        ("day_cap", "day", spending.rolling_day_micro, policy.rolling_day_cap_micro),
        ("task_cap", "task", spending.task_micro, policy.task_cap_micro),
        ("payee_cap", "payee", spending.payee_micro, policy.payee_cap_micro),
        ("host_cap", "host", spending.host_micro, policy.host_cap_micro),
    )
    for code, what, counted, cap in caps:
        if cap is not None and counted + amount > cap:
            return _deny(
                code,
                f"The cap of this {what} is {format_micro(cap)}; {format_micro(counted)} of it are spent or reserved.",
            )
    return None


def _rate(policy: PaymentPolicy, spending: Spending, now_us: int) -> Verdict | None:
    if spending.recent_reservations < policy.max_tx_per_minute:
        return None
    wait_ms = max(1, -(-(spending.window_opens_us - now_us) // 1000))
    return Verdict(
        "deny",
        "rate_limited",
        f"{policy.max_tx_per_minute} payments a minute are allowed; wait.",
        retry_after_ms=wait_ms,
    )


def _approval(
    policy: PaymentPolicy, proposal: Proposal, approved: bool, mode: Mode | None, familiarity: Familiarity | None
) -> Verdict:
    amount = _amount(proposal)
    if approved:
        return ALLOW
    if familiarity is not None and policy.on_payee_change == "ask":
        return Verdict("needs_approval", familiarity.code, familiarity.reason)
    if amount <= policy.auto_approve_cap_in(mode):
        return ALLOW
    return Verdict("needs_approval", "needs_approval", f"{format_micro(amount)} needs a person's approval.")


_hosts = lru_cache(maxsize=64)(HostList)
_payees = lru_cache(maxsize=64)(PayeeList)
"""The lists of a policy, read once."""


def _amount(proposal: Proposal) -> int:
    assert proposal.amount_micro is not None  # step 1
    return proposal.amount_micro
