"""The gate: what a call needs, and whether the session may do it (aios.md §8, arcan.md §7).

Capabilities come from the toolbox, which computes them from the tool and its real arguments; nobody can declare them.
The session's policy sorts them; what homeostasis currently forbids (GatesUpdated, once there was one) is added; a tool
that asks to be confirmed always is.
"""

from __future__ import annotations

from typing import NamedTuple

from life.aios.errors import ToolError
from life.aios.policy import PolicySet, evaluate
from life.aios.ports.tools import Toolbox, ToolCall, ToolContext, ToolDefinition
from life.aios.state import GatingProfile, PolicyDecisionKind, RiskLevel
from life.arcan.session_state import CallState, RunState

_WORDS = 300
"""Longest list of capabilities that is written with a permission."""

_RISKS: tuple[RiskLevel, ...] = ("low", "medium", "high", "critical")


class Ruling(NamedTuple):
    """What the gate says about one call."""

    decision: PolicyDecisionKind
    rule_id: str
    explanation: str | None
    risk: RiskLevel


class Unfit(NamedTuple):
    """The call can't be run at all: no such tool, or arguments that don't fit. The model is told."""

    error: str


def rule_on(
    call: CallState,
    context: ToolContext,
    *,
    toolbox: Toolbox,
    definition: ToolDefinition | None,
    policy: PolicySet,
    gates: GatingProfile | None,
    run: RunState,
) -> Ruling | Unfit:
    """Allow, deny or ask, with the reason that the journal and the model get."""
    if definition is None:
        return Unfit(f"There is no tool named '{call.tool_name}'.")
    if isinstance(call.arguments, str):
        return Unfit("The arguments are not a JSON object.")
    try:
        needed = toolbox.capabilities(ToolCall(call.call_id, call.tool_name, call.arguments), context)
    except ToolError as error:
        return Unfit(error.message)
    risk = risk_of(definition, needed)
    evaluation = evaluate(policy, needed)
    if evaluation.denied:
        return Ruling("deny", "policy", f"Not permitted: {', '.join(evaluation.denied)}.", risk)
    forbidden = _forbidden_now(gates, definition, needed, run)
    if forbidden is not None:
        return Ruling("deny", "gates", forbidden, risk)
    if evaluation.requires_approval:
        words = f"Needs approval: {', '.join(evaluation.requires_approval)}."
        return Ruling("require_approval", "policy", words, risk)
    if definition.annotations.requires_confirmation:
        return Ruling("require_approval", "tool", "The tool asks to be confirmed.", risk)
    if gates is not None and _RISKS.index(risk) >= _RISKS.index(gates.require_approval_for_risk):
        return Ruling("require_approval", "gates", f"Calls of {risk} risk need approval now.", risk)
    return Ruling("allow", "policy", ", ".join(needed)[:_WORDS] or None, risk)


def risk_of(definition: ToolDefinition, capabilities: tuple[str, ...]) -> RiskLevel:
    """How much a call can spoil, for the person who is asked."""
    if any(capability.startswith("payments:") for capability in capabilities):
        return "critical"
    if any(capability.startswith(("exec:", "secrets:")) for capability in capabilities):
        return "high"
    if definition.annotations.read_only:
        return "low"
    return "high" if definition.annotations.destructive and definition.annotations.open_world else "medium"


def _forbidden_now(
    gates: GatingProfile | None, definition: ToolDefinition, capabilities: tuple[str, ...], run: RunState
) -> str | None:
    """What homeostasis forbids at present, or None."""
    if gates is None:
        return None
    if not gates.allow_side_effects and not definition.annotations.read_only:
        return "Side effects are switched off at present."
    if not gates.allow_network and any(capability.startswith("net:") for capability in capabilities):
        return "The network is switched off at present."
    if not gates.allow_shell and any(capability.startswith("exec:") for capability in capabilities):
        return "Commands are switched off at present."
    if run.step_runs >= gates.max_tool_calls_per_tick:
        return f"At most {gates.max_tool_calls_per_tick} tool calls per step are permitted at present."
    if not definition.annotations.read_only and run.step_mutations >= gates.max_file_mutations_per_tick:
        return f"At most {gates.max_file_mutations_per_tick} changed files per step are permitted at present."
    return None
