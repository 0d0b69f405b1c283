"""The gate: what a call needs, and whether the session may do it (aios.md §8, arcan.md §7).

Capabilities come from the toolbox, which computes them from the tool and its real arguments; nobody can declare them.
The session's policy sorts them; what homeostasis currently forbids (GatesUpdated, once there was one) is added; a tool
that asks to be confirmed always is. What a person allowed for the rest of the session (SessionRule) is not asked about again; a rule
never lifts a denial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from life.aios.errors import ToolError
from life.aios.policy import PolicySet, evaluate, matches
from life.aios.ports.tools import Toolbox, ToolCall, ToolContext, ToolDefinition
from life.aios.state import GatingProfile, PolicyDecisionKind, RiskLevel
from life.arcan.agents.budget import SPAWN_AGENT
from life.arcan.control import Regulated
from life.arcan.session_state import CallState, RunState, SessionRule

_WORDS = 300
"""Longest list of capabilities that is written with a permission."""

_UNREGULATED = Regulated()

_RISKS: tuple[RiskLevel, ...] = ("low", "medium", "high", "critical")


class Ruling(NamedTuple):
    """What the gate says about one call."""

    decision: PolicyDecisionKind
    rule_id: str
    explanation: str | None
    risk: RiskLevel
    capabilities: tuple[str, ...] = ()
    """What the call needs; of a denial by the policy, what is denied."""


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
    rules: Sequence[SessionRule] = (),
    regulation: Regulated = _UNREGULATED,
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
        return Ruling("deny", "policy", f"Not permitted: {', '.join(evaluation.denied)}.", risk, evaluation.denied)
    forbidden = _withheld_now(regulation, definition, needed) or _forbidden_now(gates, definition, needed, run)
    if forbidden is not None:
        return Ruling("deny", "gates", forbidden, risk)
    asked: tuple[str, str] | None = None
    if evaluation.requires_approval:
        asked = ("policy", f"Needs approval: {', '.join(evaluation.requires_approval)}.")
    elif definition.annotations.requires_confirmation:
        asked = ("tool", "The tool asks to be confirmed.")
    elif gates is not None and _RISKS.index(risk) >= _RISKS.index(gates.require_approval_for_risk):
        asked = ("gates", f"Calls of {risk} risk need approval now.")
    if asked is None:
        return Ruling("allow", "policy", ", ".join(needed)[:_WORDS] or None, risk, needed)
    rule = covering_rule(rules, call.tool_name, needed, policy)
    if rule is not None:
        return Ruling("allow", f"session_rule:{rule.rule_id}", "Allowed for this session.", risk, needed)
    return Ruling("require_approval", asked[0], asked[1], risk, needed)


def covering_rule(
    rules: Sequence[SessionRule], tool_name: str, needed: tuple[str, ...], policy: PolicySet
) -> SessionRule | None:
    """The first rule of this tool under which everything `needed` is allowed by the policy itself or fits one of the rule's
    patterns; None without one."""
    allowed = set(evaluate(policy, needed).allowed)
    for rule in rules:
        if rule.tool_name == tool_name and all(
            capability in allowed or any(matches(pattern, capability) for pattern in rule.patterns)
            for capability in needed
        ):
            return rule
    return None


def risk_of(definition: ToolDefinition, capabilities: tuple[str, ...]) -> RiskLevel:
    """How much a call can spoil, for the person who is asked."""
    if any(capability.startswith("payments:") for capability in capabilities):
        return "critical"
    if any(capability.startswith(("exec:", "secrets:")) for capability in capabilities):
        return "high"
    if definition.annotations.read_only:
        return "low"
    return "high" if definition.annotations.destructive and definition.annotations.open_world else "medium"


def _withheld_now(regulation: Regulated, definition: ToolDefinition, capabilities: tuple[str, ...]) -> str | None:
    """What the regulator withholds at present, or None."""
    if not regulation.allow_replication and definition.name == SPAWN_AGENT:
        return "Starting further agents is switched off at present."
    if regulation.allow_expensive_tools:
        return None
    if definition.cost_class == "expensive" or any(item.startswith("payments:") for item in capabilities):
        return "Expensive tools are switched off at present."
    return None


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
