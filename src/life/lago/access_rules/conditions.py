"""What a rule or a hook looks for in a request."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from life.aios.json import Json

RISKS: Final = ("low", "medium", "high", "critical")
TIERS: Final = ("none", "basic", "process", "container")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to do. An HTTP request is a tool by the name `http.<resource>.<action>` in the category `http`."""

    tool_name: str
    subject: str = ""
    """Who: an owner's name (life.lago.owners)."""
    arguments: Json = None
    category: str | None = None
    risk: str | None = None
    session_id: str = ""
    roles: tuple[str, ...] = ()
    """Roles that the caller brings; the rules' own assignments come on top."""
    sandbox_tier: str | None = None


class _Condition(
    msgspec.Struct, frozen=True, tag_field="type", tag=lambda name: name, forbid_unknown_fields=True, kw_only=True
):
    pass


class ToolName(_Condition, frozen=True, kw_only=True):
    """The tool has exactly this name."""

    value: str


class ToolPattern(_Condition, frozen=True, kw_only=True):
    """The tool's name fits; `*` is any run of characters."""

    value: str


class Category(_Condition, frozen=True, kw_only=True):
    """The tool is of this category."""

    value: str


class RiskAtLeast(_Condition, frozen=True, kw_only=True):
    """The risk is known, and this or higher."""

    value: str


class SandboxTierAtLeast(_Condition, frozen=True, kw_only=True):
    """The sandbox is known, and this tight or tighter."""

    value: str


class And(_Condition, frozen=True, kw_only=True):
    """All of these."""

    value: tuple[Condition, ...]


class Or(_Condition, frozen=True, kw_only=True):
    """One of these."""

    value: tuple[Condition, ...]


class Not(_Condition, frozen=True, kw_only=True):
    """Not this."""

    value: Condition


class Always(_Condition, frozen=True, kw_only=True):
    """Everything."""


Condition: TypeAlias = ToolName | ToolPattern | Category | RiskAtLeast | SandboxTierAtLeast | And | Or | Not | Always


def matches(condition: Condition, request: Request) -> bool:
    """Whether a request is what the condition looks for."""
    match condition:
        case ToolName():
            return request.tool_name == condition.value
        case ToolPattern():
            return _fits(condition.value, request.tool_name)
        case Category():
            return request.category == condition.value
        case RiskAtLeast():
            return _at_least(RISKS, request.risk, condition.value)
        case SandboxTierAtLeast():
            return _at_least(TIERS, request.sandbox_tier, condition.value)
        case And():
            return all(matches(each, request) for each in condition.value)
        case Or():
            return any(matches(each, request) for each in condition.value)
        case Not():
            return not matches(condition.value, request)
        case Always():
            return True


def check(condition: Condition) -> str | None:
    """What is wrong with a condition that has the right form; None when nothing is."""
    match condition:
        case RiskAtLeast() if condition.value not in RISKS:
            return f"there is no risk {condition.value!r}; risks are {', '.join(RISKS)}"
        case SandboxTierAtLeast() if condition.value not in TIERS:
            return f"there is no sandbox tier {condition.value!r}; tiers are {', '.join(TIERS)}"
        case And() | Or():
            if not condition.value:
                return f"{type(condition).__name__} has no conditions"
            return next((problem for each in condition.value if (problem := check(each)) is not None), None)
        case Not():
            return check(condition.value)
        case _:
            return None


def describe(condition: Condition) -> str:
    """The condition in words, for explanations."""
    match condition:
        case And() | Or():
            word = " and " if isinstance(condition, And) else " or "
            return "(" + word.join(describe(each) for each in condition.value) + ")"
        case Not():
            return f"not {describe(condition.value)}"
        case Always():
            return "always"
        case _:
            return f"{type(condition).__name__} {condition.value}"


def is_below(tier: str | None, required: str) -> bool:
    """Whether a sandbox is not as tight as required; an unknown one is none."""
    return not _at_least(TIERS, tier or "none", required)


def _at_least(order: tuple[str, ...], found: str | None, least: str) -> bool:
    return found in order and order.index(found) >= order.index(least)


def _fits(pattern: str, name: str) -> bool:
    """Whether a name is the pattern's pieces in order, with anything where a star stands. Each piece is looked for once, from where the
    last one ended, so no pattern takes longer than its own length times the name's."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == first
    *middle, last = rest
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
