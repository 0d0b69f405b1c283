"""How a runtime behaves, and the parts every run uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from life.aios.policy import WORKSPACE_POLICY, PolicySet
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.tools import Toolbox
from life.arcan.events import RunLimits

DEFAULT_SYSTEM_PROMPT: Final = (
    "You are an agent that works in a workspace of its own through the tools you are given. "
    "Use a tool when it gets you further, read its result before you go on, and say plainly what you did and what failed. "
    "When the objective is reached, answer without calling another tool."
)


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of a runtime; sessions and runs may differ where their calls allow it."""

    limits: RunLimits = RunLimits()
    policy: PolicySet = WORKSPACE_POLICY
    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    max_output_tokens: int = 4096
    approval_timeout_s: int | None = 300
    """How long an approval may wait; then it counts as refused and the model is told. None: for ever."""
    model_repeats: int = 2
    """How often a model call that broke off in the middle is asked again within a step."""
    cancel_grace_ms: int = 1_000
    """How long a tool that was told to stop may take."""
    shutdown_grace_ms: int = 5_000
    """How long running tools may take to finish when the runtime closes."""
    loaded_sessions: int = 512
    """Sessions kept folded in memory; idle ones beyond this are read again when needed."""


class Parts(NamedTuple):
    """What a run is made of."""

    journal: Journal
    toolbox: Toolbox
    clock: Clock
    entropy: Entropy
    workspace_of: Callable[[str], str]
    """The absolute path of a session's workspace; it exists when this returns."""
    settings: RuntimeSettings
