"""What a rule decides, and the profile that all decisions together give.

Fields that are None leave things as they are. Source: autonomic.md §6, §7.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios.events import Kind
from life.aios.state import EconomicMode, GatingProfile
from life.autonomic.state import ModelTier

Ruling = Literal["breathe", "dilate", "compress", "emergency"]


class ContextAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about the context: nothing, let it grow, or shorten it to `target_tokens`."""

    ruling: Ruling
    pressure: float
    target_tokens: int | None
    rationale: str


class GatingDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's word. `rationale` says it in plain language, with the numbers that led to it."""

    rule_id: str
    rationale: str
    economic_mode: EconomicMode | None = None
    max_tokens_next_turn: int | None = None
    preferred_model: ModelTier | None = None
    restrict_expensive_tools: bool = False
    restrict_side_effects: bool = False
    max_tool_calls_per_tick: int | None = None
    advisory_events: tuple[Kind, ...] = ()


class EconomicGates(msgspec.Struct, frozen=True, kw_only=True):
    """What money permits now."""

    economic_mode: EconomicMode = "sovereign"
    max_tokens_next_turn: int | None = None
    preferred_model: ModelTier | None = None
    allow_expensive_tools: bool = True
    allow_replication: bool = True


class AutonomicGatingProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What is permitted now, and why."""

    operational: GatingProfile = GatingProfile()
    economic: EconomicGates = EconomicGates()
    rationale: tuple[str, ...] = ()
    advisory_events: tuple[Kind, ...] = ()
