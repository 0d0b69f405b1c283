"""The gate: capabilities come from the tool and its arguments, and the strictest word counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.policy import PolicySet
from life.aios.ports.tools import ToolAnnotations, ToolContext, ToolDefinition
from life.aios.state import GatingProfile
from life.arcan.events import RunLimits
from life.arcan.gate import Ruling, Unfit, risk_of, rule_on
from life.arcan.session_state import CallState, RunState
from tests.arcan.workbench import Workbench

RUN = RunState(run_id="r", provider="p", limits=RunLimits(), started_us=0, active_since_us=0)


def ruling(
    bench: Workbench,
    tool: str,
    arguments: object = None,
    *,
    allow: tuple[str, ...] = ("*",),
    gate: tuple[str, ...] = (),
    gates: GatingProfile | None = None,
    run: RunState = RUN,
) -> Ruling | Unfit:
    """What the gate says about a call."""
    given = {"path": "a.txt", "content": "x", "to": "bob", "text": "t"} if arguments is None else arguments
    context = ToolContext(
        session_id="s", branch_id="main", agent_id="a", run_id="r", workspace="/", idempotency_key="k"
    )
    return rule_on(
        CallState(call_id="c", tool_name=tool, arguments=given),  # type: ignore[arg-type]
        context,
        toolbox=bench,
        definition={definition.name: definition for definition in bench.definitions()}.get(tool),
        policy=PolicySet(allow_capabilities=allow, gate_capabilities=gate),
        gates=gates,
        run=run,
    )


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """Tools on a directory."""
    return Workbench(tmp_path)


@pytest.mark.parametrize(
    ("tool", "allow", "gate", "decision"),
    [
        ("write", ("fs:write:*",), (), "allow"),
        ("write", ("fs:read:**",), (), "deny"),
        ("write", ("*",), ("fs:write:**",), "require_approval"),
        ("write", (), ("fs:write:**",), "require_approval"),
        ("transfer", ("*",), ("payments:initiate",), "require_approval"),
        ("sign", ("*",), (), "require_approval"),
        ("fail", (), (), "allow"),
    ],
)
def test_the_strictest_word_counts(
    bench: Workbench, tool: str, allow: tuple[str, ...], gate: tuple[str, ...], decision: str
) -> None:
    """Gate list, then allow list, otherwise denied; a tool that asks to be confirmed is; a call that needs nothing may."""
    said = ruling(bench, tool, allow=allow, gate=gate)
    assert isinstance(said, Ruling) and said.decision == decision


def test_the_arguments_decide(bench: Workbench) -> None:
    """The same tool is allowed for one path and denied for another."""
    allow = ("fs:write:notes/*",)
    inside = ruling(bench, "write", {"path": "notes/a.txt", "content": "x"}, allow=allow)
    outside = ruling(bench, "write", {"path": "keys/a.txt", "content": "x"}, allow=allow)
    assert isinstance(inside, Ruling) and inside.decision == "allow"
    assert isinstance(outside, Ruling) and outside.explanation == "Not permitted: fs:write:keys/a.txt."


@pytest.mark.parametrize(("tool", "arguments"), [("nothing", {}), ("write", "text"), ("write", {}), ("write", [1])])
def test_calls_that_can_not_be_run(bench: Workbench, tool: str, arguments: object) -> None:
    """Unknown tools and unfit arguments are told back; they never count as allowed."""
    assert isinstance(ruling(bench, tool, arguments), Unfit)


@pytest.mark.parametrize(
    ("gates", "tool", "decision"),
    [
        (GatingProfile(allow_side_effects=False), "write", "deny"),
        (GatingProfile(allow_side_effects=False), "look", "allow"),
        (GatingProfile(require_approval_for_risk="medium"), "write", "require_approval"),
        (GatingProfile(require_approval_for_risk="medium"), "look", "allow"),
        (GatingProfile(), "transfer", "require_approval"),
        (GatingProfile(max_tool_calls_per_tick=0), "look", "deny"),
        (GatingProfile(max_file_mutations_per_tick=0), "write", "deny"),
        (GatingProfile(max_file_mutations_per_tick=0), "look", "allow"),
    ],
)
def test_homeostasis_adds_to_it(bench: Workbench, gates: GatingProfile, tool: str, decision: str) -> None:
    """What is switched off is denied, what is risky is asked about; nothing is ever allowed by it."""
    said = ruling(bench, tool, gates=gates)
    assert isinstance(said, Ruling) and (said.decision, said.rule_id if decision != "allow" else "") == (
        decision,
        "gates" if decision != "allow" else "",
    )
    denied = ruling(bench, tool, allow=(), gates=gates)
    assert isinstance(denied, Ruling) and denied.decision == "deny"


@pytest.mark.parametrize(
    ("annotations", "capabilities", "risk"),
    [
        (ToolAnnotations(read_only=True), ("fs:read:a",), "low"),
        (ToolAnnotations(), ("fs:write:a",), "medium"),
        (ToolAnnotations(destructive=True, open_world=True), (), "high"),
        (ToolAnnotations(read_only=True), ("exec:cmd:ls",), "high"),
        (ToolAnnotations(read_only=True), ("secrets:read:x",), "high"),
        (ToolAnnotations(), ("payments:initiate",), "critical"),
    ],
)
def test_risks(annotations: ToolAnnotations, capabilities: tuple[str, ...], risk: str) -> None:
    """What a call can spoil decides, not what its tool calls itself."""
    definition = ToolDefinition(name="t", description="", input_schema={}, annotations=annotations)
    assert risk_of(definition, capabilities) == risk


def test_networks_and_commands_can_be_switched_off(bench: Workbench) -> None:
    """By the capability, whatever the tool is named."""
    for capability, gates in (
        ("net:egress:example.org", GatingProfile(allow_network=False)),
        ("exec:cmd:ls", GatingProfile(allow_shell=False, require_approval_for_risk="critical")),
    ):
        bench.capabilities = lambda call, context, needed=capability: (needed,)  # type: ignore[method-assign,misc]
        said = ruling(bench, "look", gates=gates)
        assert isinstance(said, Ruling) and said.decision == "deny"
