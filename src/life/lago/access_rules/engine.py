"""The one evaluation: roles first, then rules, otherwise the default.

    1  a role of the caller that denies            deny, whatever follows
    2  a role that is Admin                        allow, rules are not asked
    3  the file has roles, and none allows         the default decision
    4  the first rule that matches                 its decision
    5  nothing matched                             the default decision (deny unless the file says otherwise)

An allowance that needs a sandbox is a refusal where there is none as tight. Evaluation is pure: the same request gives the same
verdict, and its explanation says every step.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.state import PolicyDecisionKind
from life.lago.access_rules.conditions import Request, describe, is_below, matches
from life.lago.access_rules.rules import (
    Admin,
    AllowCategory,
    AllowTool,
    DenyCategory,
    DenyTool,
    Permission,
    Role,
    Rule,
    Rules,
)

OPERATOR: Final = "operator"
"""The subject that the daemon's own token proves. It may do everything: who has the token has the disk."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    what: str
    """`role agent`, `rule deny-shell`, `default`."""
    looked_for: str
    matched: bool
    outcome: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision, why, and how it came about."""

    decision: PolicyDecisionKind
    rule_id: str | None
    explanation: str
    required_sandbox: str | None = None
    steps: tuple[Step, ...] = ()


class PolicyEngine:
    """Evaluates requests against one policy."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._ordered: tuple[Rule, ...] = tuple(sorted(rules.rules, key=lambda rule: rule.priority))  # stable

    def evaluate(self, request: Request) -> Verdict:
        """The verdict on a request."""
        steps: list[Step] = []
        if request.subject == OPERATOR:
            return Verdict(decision="allow", rule_id=None, explanation="The operator may do everything.")
        by_role = self._by_roles(request, steps)
        if by_role is not None:
            return by_role
        for rule in self._ordered:
            matched = matches(rule.condition, request)
            outcome = rule.decision if matched else ""
            steps.append(
                Step(what=f"rule {rule.id}", looked_for=describe(rule.condition), matched=matched, outcome=outcome)
            )
            if matched:
                return self._by_rule(rule, request, steps)
        return self._default("No rule matches.", steps)

    def _by_roles(self, request: Request, steps: list[Step]) -> Verdict | None:
        """The verdict of the caller's roles; None when they leave it to the rules."""
        if not self.rules.roles:
            return None
        roles = self.rules.roles_of(request)
        allowing: Role | None = None
        admin: Role | None = None
        for role in roles:
            for permission in role.permissions:
                if not _applies(permission, request):
                    continue
                kind = type(permission).__name__
                steps.append(Step(what=f"role {role.name}", looked_for=kind, matched=True, outcome=kind))
                if isinstance(permission, DenyTool | DenyCategory):
                    return Verdict(
                        decision="deny",
                        rule_id=f"role:{role.name}",
                        explanation=f"The role {role.name} denies it.",
                        steps=tuple(steps),
                    )
                if isinstance(permission, Admin):
                    admin = admin or role
                allowing = allowing or role
        if admin is not None:
            return Verdict(
                decision="allow",
                rule_id=f"role:{admin.name}",
                explanation=f"The role {admin.name} may do everything.",
                steps=tuple(steps),
            )
        if allowing is None:
            names = ", ".join(role.name for role in roles) or "none"
            return self._default(f"No role of the caller allows it (roles: {names}).", steps)
        return None

    def _by_rule(self, rule: Rule, request: Request, steps: list[Step]) -> Verdict:
        decision, explanation = rule.decision, rule.explanation or f"The rule {rule.id} says so."
        if (
            decision == "allow"
            and rule.required_sandbox is not None
            and is_below(request.sandbox_tier, rule.required_sandbox)
        ):
            decision = "deny"
            explanation = f"{explanation} It needs a sandbox at least as tight as {rule.required_sandbox}."
        return Verdict(
            decision=decision,
            rule_id=rule.id,
            explanation=explanation,
            required_sandbox=rule.required_sandbox,
            steps=tuple(steps),
        )

    def _default(self, why: str, steps: list[Step]) -> Verdict:
        decision = self.rules.default_decision
        steps.append(Step(what="default", looked_for="everything else", matched=True, outcome=decision))
        return Verdict(
            decision=decision, rule_id=None, explanation=f"{why} The default is {decision}.", steps=tuple(steps)
        )


def _applies(permission: Permission, request: Request) -> bool:
    match permission:
        case AllowTool() | DenyTool():
            name = permission.value
            return request.tool_name.startswith(name[:-1]) if name.endswith("*") else request.tool_name == name
        case AllowCategory() | DenyCategory():
            return request.category == permission.value
        case Admin():
            return True
