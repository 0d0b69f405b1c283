"""The policy manifest: the values an agent is born with (anima.md §2).

The manifest is part of the soul, so it never changes. It names what the agent may not do (safety constraints), the most
it can ever be granted (capability ceiling), the most it may spend, and whom it talks to.

An empty ceiling means nothing; the literal `*` means everything (AN-POL-1). Amounts are micro-credits.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.anima.scopes import any_covers, is_pattern

Severity = Literal["medium", "high", "critical"]
RiskTolerance = Literal["conservative", "moderate", "aggressive"]
SpendLimit = Literal["per_tx", "per_session", "lifetime"]

MAX_JSON_INTEGER: Final = 2**53 - 1
"""Largest integer with one RFC 8785 spelling; a manifest is hashed in that form."""


class SafetyConstraint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line the agent must not cross. Medium is logged, high halts the action, critical halts and revokes."""

    id: str
    description: str
    severity: Severity


class EconomicLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may be spent. None means no lifetime limit; zero means nothing at all."""

    max_spend_per_tx_micro_credits: int = 1_000_000
    max_spend_per_session_micro_credits: int = 10_000_000
    max_lifetime_spend_micro_credits: int | None = None
    max_risk_tolerance: RiskTolerance = "moderate"

    def __post_init__(self) -> None:
        for limit in (
            self.max_spend_per_tx_micro_credits,
            self.max_spend_per_session_micro_credits,
            self.max_lifetime_spend_micro_credits,
        ):
            if limit is not None and not 0 <= limit <= MAX_JSON_INTEGER:
                raise InvalidInputError("A spending limit must be between 0 and 2^53-1 micro-credits.")


class CommunicationPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom the agent talks to. No allowed peers means all peers; disclosure restrictions are topics it keeps to itself."""

    allowed_peers: tuple[str, ...] = ()
    disclosure_restrictions: tuple[str, ...] = ()
    allow_unsolicited_contact: bool = True


DEFAULT_CONSTRAINTS: Final = (
    SafetyConstraint(
        id="no-impersonation",
        description="Never claim to be a person or another agent.",
        severity="critical",
    ),
    SafetyConstraint(
        id="no-unaudited-transfers",
        description="Never move money without a record in the journal.",
        severity="critical",
    ),
)
DEFAULT_CEILING: Final = ("chat:*", "knowledge:read", "tool:execute")


class PolicyManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values of a soul. A bad pattern or limit is an InvalidInputError."""

    safety_constraints: tuple[SafetyConstraint, ...] = DEFAULT_CONSTRAINTS
    capability_ceiling: tuple[str, ...] = DEFAULT_CEILING
    economic_limits: EconomicLimits = EconomicLimits()
    communication_policy: CommunicationPolicy = CommunicationPolicy()

    def __post_init__(self) -> None:
        for pattern in self.capability_ceiling:
            if not is_pattern(pattern):
                raise InvalidInputError(
                    "A capability in the ceiling is printable ASCII without blanks, with '*' only as its last character."
                )

    def allows_capability(self, capability: str) -> bool:
        """Whether the ceiling covers `capability`, a name or itself a pattern that ends in `*` (AN-POL-1)."""
        return any_covers(self.capability_ceiling, capability)

    def exceeded_limit(
        self, amount_micro: int, *, session_spent_micro: int, lifetime_spent_micro: int
    ) -> SpendLimit | None:
        """The first limit that spending `amount_micro` more would break, or None (AN-POL-2).

        What counts as spent includes what is reserved. Negative amounts are an InvalidInputError.
        """
        if amount_micro < 0 or session_spent_micro < 0 or lifetime_spent_micro < 0:
            raise InvalidInputError("Amounts to spend are not negative.")
        limits = self.economic_limits
        if amount_micro > limits.max_spend_per_tx_micro_credits:
            return "per_tx"
        if session_spent_micro + amount_micro > limits.max_spend_per_session_micro_credits:
            return "per_session"
        lifetime = limits.max_lifetime_spend_micro_credits
        if lifetime is not None and lifetime_spent_micro + amount_micro > lifetime:
            return "lifetime"
        return None

    def allows_spend(self, amount_micro: int, *, session_spent_micro: int, lifetime_spent_micro: int) -> bool:
        """Whether all three limits leave room for `amount_micro`."""
        exceeded = self.exceeded_limit(
            amount_micro, session_spent_micro=session_spent_micro, lifetime_spent_micro=lifetime_spent_micro
        )
        return exceeded is None
