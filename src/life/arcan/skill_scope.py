"""Active skills of a session: what they leave of its tools (praxis.md §6.3).

`skill.activated` and `skill.deactivated` are written by whoever activates a skill: the tool `skill` (as notes of its outcome), or a
person (`/name`). An activation holds for the run in which it happened, or, between runs, for the next one. While
skills are active, a call may go to a tool only if every active skill that names tools names it: skills narrow, they never
widen. The gate asks here before it asks anything else; what it decides follows from the journal alone, so it is the same
after a crash.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from life.aios.ports.tools import ALWAYS_WITHIN_SKILLS
from life.aios.record import EventRecord

if TYPE_CHECKING:  # it holds the state of this module
    from life.arcan.session_state import SessionState

SKILL_ACTIVATED: Final = "skill.activated"
SKILL_DEACTIVATED: Final = "skill.deactivated"
MAX_ACTIVE: Final = 16


class ActiveSkill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A skill that is active in one run."""

    name: str
    allowed_tools: tuple[str, ...] | None = None
    """Names or patterns with `*`; None: it names none and narrows nothing."""
    run_number: int = 0
    """The session's how many-th run it is active in."""


class SkillActivated(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of `skill.activated`, as far as the gate needs it."""

    name: str
    allowed_tools: tuple[str, ...] | None = None


class SkillDeactivated(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of `skill.deactivated`, as far as the gate needs it."""

    name: str


def skill_activated(state: SessionState, payload: SkillActivated, _record: EventRecord) -> SessionState:
    """The skill is active in the open run, or in the next one."""
    current = _current(state)
    kept = tuple(skill for skill in state.skills if skill.run_number == current)
    skill = ActiveSkill(name=payload.name, allowed_tools=payload.allowed_tools, run_number=current)
    if skill in kept or len(kept) >= MAX_ACTIVE:
        return state
    return replace(state, skills=(*kept, skill))


def skill_deactivated(state: SessionState, payload: SkillDeactivated, _record: EventRecord) -> SessionState:
    """A person ends it."""
    return replace(state, skills=tuple(skill for skill in state.skills if skill.name != payload.name))


def _current(state: SessionState) -> int:
    return state.totals.runs + (state.run is None)


def outside_skills(active: tuple[ActiveSkill, ...], tool: str, *, runs: int) -> str | None:
    """Why a call of `tool` is outside what the active skills permit; None when it is not."""
    if tool in ALWAYS_WITHIN_SKILLS:
        return None
    for skill in active:
        if skill.run_number != runs or skill.allowed_tools is None:
            continue
        if not any(fnmatch.fnmatchcase(tool, pattern) for pattern in skill.allowed_tools):
            named = ", ".join(skill.allowed_tools) or "no tool"
            return f"Not permitted while the skill {skill.name} is active: it permits {named}."
    return None


SKILL_FOLDS: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., SessionState]]]] = {
    SKILL_ACTIVATED: (SkillActivated, skill_activated),
    SKILL_DEACTIVATED: (SkillDeactivated, skill_deactivated),
}
