"""How a runtime behaves, and the parts every run uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from life.aios.ids import MAIN_BRANCH
from life.aios.policy import WORKSPACE_POLICY, PolicySet
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelProvider
from life.aios.ports.regulator import ModelTier, Regulator
from life.aios.ports.snapshots import Snapshots
from life.aios.ports.telemetry import Telemetry
from life.aios.ports.tools import Toolbox
from life.aios.ports.working_copies import SessionFiles
from life.aios.record import Stream
from life.arcan.agents.delegation import Delegation
from life.arcan.context.keeper import ContextParts
from life.arcan.errors import BranchFilesMissingError
from life.arcan.events import RunLimits
from life.arcan.hooks import Hooks
from life.arcan.middleware import Middleware

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
    reads_at_once: int = 8
    """How many calls of tools that only read run side by side, when an answer asks for them one after the other; 1: none."""
    cancel_grace_ms: int = 1_000
    """How long a tool that was told to stop may take."""
    shutdown_grace_ms: int = 5_000
    """How long running tools may take to finish when the runtime closes."""
    regulator_timeout_ms: int = 500
    """How long the regulator may think; then the safe profile holds."""
    tier_providers: dict[ModelTier, str] = {}
    """Provider specifications of the regulator's model tiers; a tier without one changes nothing."""
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
    context: ContextParts = ContextParts()
    files: SessionFiles | None = None
    """Working copies and versions of files; without it branches can't be run."""
    checkpoints: Snapshots | None = None
    """Where folded states are kept, so that a long session is not folded from its beginning."""
    middleware: tuple[Middleware, ...] = ()
    hooks: Hooks = Hooks()
    regulator: Regulator | None = None
    telemetry: Telemetry | None = None
    """When it is on, events carry the ids of the spans that they belong to."""
    delegation: Delegation | None = None
    """Runs the agents that are spawned; None where there are none."""
    provider_of: Callable[[str], ModelProvider] | None = None
    """Opens the provider of a specification; None where a runtime has only the one."""

    def workspace(self, stream: Stream) -> str:
        """The absolute path of a branch's workspace; main has the session's own."""
        if stream.branch_id == MAIN_BRANCH:
            return self.workspace_of(stream.session_id)
        if self.files is None:
            raise BranchFilesMissingError
        return self.files.copies.directory(stream)
