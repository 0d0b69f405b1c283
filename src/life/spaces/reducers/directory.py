"""The directory: agents that offer something, and how they are doing."""

from __future__ import annotations

import re
from typing import Final

from life.spaces.commands import PublishListing, ReportHealth, SkillSpec, WithdrawListing
from life.spaces.errors import AlreadyExistsError, InvalidArgumentError, SpacesNotFoundError
from life.spaces.model import Health, Listing, Member, Role, Skill
from life.spaces.permissions import Permission
from life.spaces.reducers.access import forbid, profile_of, require_ceiling
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import (
    MAX_DESCRIPTION,
    MAX_NAME,
    check_name,
    check_number,
    check_optional,
    check_text,
    check_url,
)

MAX_SKILLS: Final = 50
MAX_TAGS: Final = 20
MAX_EXAMPLES: Final = 10
MAX_MODES: Final = 20
BUDGET_FLOOR_BP: Final = 2000
"""Below a fifth of its budget an agent's score suffers."""
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9._\-]{0,63}")
_MODE: Final = re.compile(r"[a-z0-9!#$&^_.+\-]{1,64}/[a-z0-9!#$&^_.+\-*]{1,64}|text|\*/\*")
_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{1,9}")
_VERTICALS: Final = 64


def publish_listing(command: PublishListing, tx: Transaction) -> Listing:
    """Enter oneself, or replace one's entry. Agents may; people when they are Owner or Admin of some space."""
    mine = profile_of(tx, tx.caller.identity)
    require_ceiling(tx, Permission.DIRECTORY_PUBLISH)
    if not mine.is_agent and not any(
        member.role in (Role.OWNER, Role.ADMIN) for member in tx.find(Member, ("identity",), mine.identity)
    ):
        forbid(Permission.DIRECTORY_PUBLISH)
    if _CURRENCY.fullmatch(command.currency) is None:
        raise InvalidArgumentError("A currency looks like USDC.")
    if len(command.skills) > MAX_SKILLS:
        raise InvalidArgumentError(f"A listing has at most {MAX_SKILLS} skills.")
    known = tx.get(Listing, mine.identity)
    listing = tx.put(
        Listing(
            identity=mine.identity,
            name=check_name(command.name, what="name"),
            description=check_text(command.description, MAX_DESCRIPTION, what="description"),
            url=check_url(command.url, what="address"),
            version=check_name(command.version, what="version", limit=32),
            provider_name=check_optional(command.provider_name, MAX_NAME, what="provider"),
            provider_url=check_url(command.provider_url, what="provider's address"),
            documentation_url=check_url(command.documentation_url, what="documentation's address"),
            pricing_model=command.pricing_model,
            price_per_request_micro=check_number(command.price_per_request_micro, what="price"),
            currency=command.currency,
            tier=command.tier,
            input_modes=_modes(command.input_modes),
            output_modes=_modes(command.output_modes),
            supports_streaming=command.supports_streaming,
            updated_us=tx.now_us,
        )
    )
    skills = [_skill(tx, spec) for spec in command.skills]
    if len({skill.skill_id for skill in skills}) != len(skills):
        raise AlreadyExistsError("Two skills have the same id.")
    wanted = {skill.skill_id for skill in skills}
    for old in tx.find(Skill, ("identity",), mine.identity):
        if old.skill_id not in wanted:
            tx.remove(old)
    for skill in skills:
        tx.put(skill)
    tx.emit("directory.listed" if known is None else "directory.updated")
    return listing


def _skill(tx: Transaction, spec: SkillSpec) -> Skill:
    if _SLUG.fullmatch(spec.skill_id) is None:
        raise InvalidArgumentError("A skill's id consists of lower-case letters, digits, '.', '_' and '-'.")
    if len(spec.tags) > MAX_TAGS or len(spec.examples) > MAX_EXAMPLES:
        raise InvalidArgumentError(f"A skill has at most {MAX_TAGS} tags and {MAX_EXAMPLES} examples.")
    return Skill(
        identity=tx.caller.identity,
        skill_id=spec.skill_id,
        name=check_name(spec.name, what="skill's name"),
        description=check_text(spec.description, MAX_DESCRIPTION, what="skill's description", least=0),
        tags=tuple(check_name(tag, what="tag", limit=32).casefold() for tag in spec.tags),
        examples=tuple(check_text(example, 512, what="example") for example in spec.examples),
        input_modes=_modes(spec.input_modes),
        output_modes=_modes(spec.output_modes),
    )


def _modes(modes: tuple[str, ...]) -> tuple[str, ...]:
    if len(modes) > MAX_MODES or any(_MODE.fullmatch(mode) is None for mode in modes):
        raise InvalidArgumentError(f"Modes are at most {MAX_MODES} media types.")
    return modes


def withdraw_listing(command: WithdrawListing, tx: Transaction) -> None:
    """Leave the directory."""
    listing = tx.get(Listing, tx.caller.identity)
    if listing is None:
        raise SpacesNotFoundError("You are not in the directory.")
    remove_listing(tx, listing)
    tx.emit("directory.withdrawn")


def remove_listing(tx: Transaction, listing: Listing) -> None:
    """A listing with its skills and health; the caller emits the event."""
    for skill in tx.find(Skill, ("identity",), listing.identity):
        tx.remove(skill)
    health = tx.get(Health, listing.identity)
    if health is not None:
        tx.remove(health)
    tx.remove(listing)


def report_health(command: ReportHealth, tx: Transaction) -> Health:
    """How the listed caller is doing."""
    if tx.get(Listing, tx.caller.identity) is None:
        raise SpacesNotFoundError("You are not in the directory.")
    for what in ("progress_bp", "uncertainty_bp", "context_pressure_bp", "budget_remaining_bp"):
        check_number(getattr(command, what), what=what, most=10_000)
    for what in ("error_streak", "tasks_completed", "tasks_failed"):
        check_number(getattr(command, what), what=what, most=10**9)
    health = tx.put(
        Health(
            identity=tx.caller.identity,
            vertical=check_text(command.vertical, _VERTICALS, what="vertical", least=0),
            progress_bp=command.progress_bp,
            uncertainty_bp=command.uncertainty_bp,
            error_streak=command.error_streak,
            context_pressure_bp=command.context_pressure_bp,
            budget_remaining_bp=command.budget_remaining_bp,
            operating_mode=check_text(command.operating_mode, _VERTICALS, what="operating mode", least=0),
            is_online=command.is_online,
            tasks_completed=command.tasks_completed,
            tasks_failed=command.tasks_failed,
            score=health_score(command),
            updated_us=tx.now_us,
        )
    )
    tx.emit("directory.health")
    return health


def health_score(report: ReportHealth) -> int:
    """0..100: up to 30 off for errors (10 each), 20 for context pressure, 25 for a budget below the floor, 25 for uncertainty; 0 offline."""
    if not report.is_online:
        return 0
    short_bp = max(0, BUDGET_FLOOR_BP - report.budget_remaining_bp)
    lost = (
        min(30, 10 * report.error_streak)
        + 20 * report.context_pressure_bp // 10_000
        + 25 * short_bp // BUDGET_FLOOR_BP
        + 25 * report.uncertainty_bp // 10_000
    )
    return max(0, 100 - lost)


REDUCERS: Final = {
    PublishListing: publish_listing,
    WithdrawListing: withdraw_listing,
    ReportHealth: report_health,
}
