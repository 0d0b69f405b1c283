"""Rules, roles and hooks, and `policy.toml`, which has them (lago.md §10).

The shape is the Rust original's: arrays `rules`, `roles`, `hooks`. New are `default_decision` (deny unless the file says otherwise),
`assignments` (who has which role; in the original nobody could have one), and `plans` with `quotas` (life.lago.owners.quotas).
The action `Transform` is not offered, and a file that has one is refused.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.state import PolicyDecisionKind
from life.lago.access_rules.conditions import TIERS, Condition, Request, check
from life.lago.owners.quotas import PLANS, Quota, Quotas

MAX_FILE_BYTES: Final = 1024 * 1024


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first that matches decides: lower priority first, then the order of the file."""

    id: str
    condition: Condition
    decision: PolicyDecisionKind
    name: str = ""
    priority: int = 0
    explanation: str | None = None
    required_sandbox: str | None = None
    """An allowance that holds only in a sandbox at least this tight."""


class _Permission(
    msgspec.Struct, frozen=True, tag_field="type", tag=lambda name: name, forbid_unknown_fields=True, kw_only=True
):
    pass


class AllowTool(_Permission, frozen=True, kw_only=True):
    """May use the tool; `*` at the end covers every name that begins so."""

    value: str


class DenyTool(_Permission, frozen=True, kw_only=True):
    """May not use it, whatever else allows it."""

    value: str


class AllowCategory(_Permission, frozen=True, kw_only=True):
    """May use the tools of a category."""

    value: str


class DenyCategory(_Permission, frozen=True, kw_only=True):
    """May not use them, whatever else allows it."""

    value: str


class Admin(_Permission, frozen=True, kw_only=True):
    """May do everything; rules are not asked."""


Permission: TypeAlias = AllowTool | DenyTool | AllowCategory | DenyCategory | Admin


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What its holders may do. A role that neither allows nor denies something does not allow it."""

    name: str
    permissions: tuple[Permission, ...]


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has a role: an owner's name (`user:ada`, `agent:…`, `operator`), or `*` for everybody."""

    subject: str
    role: str


class Log(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Log", forbid_unknown_fields=True):
    """Write a line into the daemon's log."""

    message: str


class Notify(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Notify", forbid_unknown_fields=True):
    """Append a `lago.notification` to the stream `lago:notify:<channel>`, which anybody who may can follow."""

    channel: str


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told when a request matches: before the decision is known (`pre`), or after it (`post`)."""

    name: str
    phase: Literal["pre", "post"]
    condition: Condition
    action: Log | Notify


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole policy file."""

    rules: tuple[Rule, ...] = ()
    roles: tuple[Role, ...] = ()
    hooks: tuple[Hook, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    default_decision: PolicyDecisionKind = "deny"
    journal_reads: bool = False
    """Whether allowed requests that only read are journaled, too."""
    plans: dict[str, Quota] = {}
    quotas: Quotas = Quotas()

    def roles_of(self, request: Request) -> list[Role]:
        """The roles that hold for a request, in the order of the file."""
        names = {*request.roles, *(each.role for each in self.assignments if each.subject in ("*", request.subject))}
        return [role for role in self.roles if role.name in names]

    def quota_of(self, owner: str) -> Quota:
        """What an owner may use."""
        plan = self.quotas.owners.get(owner, self.quotas.default)
        return self.plans.get(plan) or PLANS[plan]


def read_rules(file: Path) -> Rules:
    """The policy in a file; InvalidInputError names what is wrong with it."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"The policy {file} can't be read: {error.strerror}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidInputError(f"The policy {file} is longer than {MAX_FILE_BYTES} bytes.")
    return parse_rules(raw, name=str(file))


def parse_rules(raw: bytes, *, name: str = "policy.toml") -> Rules:
    """The policy in TOML bytes; InvalidInputError names what is wrong with it."""
    try:
        rules = msgspec.convert(tomllib.loads(raw.decode()), Rules)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"The policy {name} does not fit: {error}") from None
    problem = _problem(rules)
    if problem is not None:
        raise InvalidInputError(f"The policy {name} does not fit: {problem}.")
    return rules


def _problem(rules: Rules) -> str | None:
    """What the form does not say: unique ids, known names."""
    roles = [role.name for role in rules.roles]
    for names, what in (
        ([rule.id for rule in rules.rules], "rule"),
        (roles, "role"),
        ([h.name for h in rules.hooks], "hook"),
    ):
        twice = next((each for each in names if names.count(each) > 1), None)
        if twice is not None:
            return f"there are two {what}s {twice!r}"
    for assignment in rules.assignments:
        if assignment.role not in roles:
            return f"there is no role {assignment.role!r} to assign"
    for rule in rules.rules:
        if rule.required_sandbox is not None and rule.required_sandbox not in TIERS:
            return f"rule {rule.id!r}: there is no sandbox tier {rule.required_sandbox!r}"
    conditions = [rule.condition for rule in rules.rules] + [hook.condition for hook in rules.hooks]
    for condition in conditions:
        problem = check(condition)
        if problem is not None:
            return problem
    for plan in (rules.quotas.default, *rules.quotas.owners.values()):
        if plan not in rules.plans and plan not in PLANS:
            return f"there is no plan {plan!r}"
    return None
