"""The evaluation: conditions, order, roles, defaults, explanations, files."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.lago.access_rules.conditions import (
    RISKS,
    TIERS,
    Always,
    And,
    Category,
    Condition,
    Not,
    Or,
    Request,
    RiskAtLeast,
    SandboxTierAtLeast,
    ToolName,
    ToolPattern,
    matches,
)
from life.lago.access_rules.engine import PolicyEngine
from life.lago.access_rules.rules import Rule, Rules, parse_rules, read_rules

ORIGINAL = b"""
# The shape and the content of the Rust original's default-policy.toml (lago.md section 10), in our words.
[[rules]]
id = "deny-shell"
name = "No shell"
priority = 10
condition = { type = "ToolName", value = "exec_shell" }
decision = "deny"
explanation = "Shell commands are not run."

[[rules]]
id = "approve-critical"
name = "A person decides"
priority = 20
condition = { type = "RiskAtLeast", value = "critical" }
decision = "require_approval"

[[rules]]
id = "contain-high"
name = "Contained"
priority = 30
condition = { type = "RiskAtLeast", value = "high" }
decision = "allow"
required_sandbox = "container"

[[rules]]
id = "files"
name = "Files"
priority = 50
condition = { type = "ToolPattern", value = "file_*" }
decision = "allow"

[[rules]]
id = "rest"
name = "Everything else"
priority = 1000
condition = { type = "Always" }
decision = "allow"

[[roles]]
name = "agent"
permissions = [{ type = "AllowCategory", value = "filesystem" }, { type = "DenyTool", value = "exec_shell" }]

[[roles]]
name = "admin"
permissions = [{ type = "Admin" }]

[[roles]]
name = "readonly"
permissions = [{ type = "AllowTool", value = "file_read" }, { type = "AllowTool", value = "file_list" }]

[[hooks]]
name = "log-all"
phase = "pre"
condition = { type = "Always" }
action = { type = "Log", message = "asked" }

[[hooks]]
name = "notify-critical"
phase = "post"
condition = { type = "RiskAtLeast", value = "critical" }
action = { type = "Notify", channel = "ops" }

[[assignments]]
subject = "agent:a"
role = "agent"

[[assignments]]
subject = "user:root"
role = "admin"

[[assignments]]
subject = "user:reader"
role = "readonly"
"""


def decide(rules: Rules, **request: object) -> tuple[str, str | None]:
    """The decision and the rule."""
    verdict = PolicyEngine(rules).evaluate(Request(**request))  # type: ignore[arg-type]
    return verdict.decision, verdict.rule_id


@pytest.mark.parametrize(
    ("condition", "request_", "expected"),
    [
        (ToolName(value="a"), Request(tool_name="a"), True),
        (ToolName(value="a"), Request(tool_name="ab"), False),
        (ToolPattern(value="file_*"), Request(tool_name="file_read"), True),
        (ToolPattern(value="*_read"), Request(tool_name="file\n_read"), True),
        (ToolPattern(value="f*e*d"), Request(tool_name="file_read"), True),
        (ToolPattern(value="file.*"), Request(tool_name="file_read"), False),
        (Category(value="http"), Request(tool_name="a", category="http"), True),
        (Category(value="http"), Request(tool_name="a"), False),
        (RiskAtLeast(value="high"), Request(tool_name="a", risk="critical"), True),
        (RiskAtLeast(value="high"), Request(tool_name="a", risk="medium"), False),
        (RiskAtLeast(value="low"), Request(tool_name="a"), False),
        (RiskAtLeast(value="low"), Request(tool_name="a", risk="enormous"), False),
        (SandboxTierAtLeast(value="process"), Request(tool_name="a", sandbox_tier="container"), True),
        (SandboxTierAtLeast(value="none"), Request(tool_name="a"), False),
        (And(value=(Always(), ToolName(value="a"))), Request(tool_name="a"), True),
        (And(value=(Always(), ToolName(value="b"))), Request(tool_name="a"), False),
        (Or(value=(ToolName(value="b"), ToolName(value="a"))), Request(tool_name="a"), True),
        (Not(value=ToolName(value="a")), Request(tool_name="a"), False),
    ],
)
def test_conditions(condition: Condition, request_: Request, expected: bool) -> None:
    """What each condition matches (lago.md §10)."""
    assert matches(condition, request_) is expected


def test_a_hostile_pattern_is_quick() -> None:
    """Many stars over a long name: no time grows with their powers."""
    condition = ToolPattern(value="*a" * 12 + "*b")
    assert matches(condition, Request(tool_name="a" * 40)) is False


def test_the_originals_file() -> None:
    """Its rules and roles decide as their words say; roles can be had, and readonly is read only."""
    rules = parse_rules(ORIGINAL)
    root = {"subject": "user:root"}
    assert decide(rules, tool_name="exec_shell", subject="agent:a") == ("deny", "role:agent")
    assert decide(rules, tool_name="exec_shell", **root) == ("allow", "role:admin")
    assert decide(rules, tool_name="file_read", category="filesystem", subject="agent:a") == ("allow", "files")
    assert decide(rules, tool_name="http_get", category="network", subject="agent:a") == ("deny", None)
    assert decide(rules, tool_name="file_read", subject="user:reader") == ("allow", "files")
    assert decide(rules, tool_name="file_write", subject="user:reader") == ("deny", None)
    assert decide(rules, tool_name="file_read", subject="user:nobody") == ("deny", None)
    assert decide(rules, tool_name="file_read", roles=("readonly",), risk="critical") == (
        "require_approval",
        "approve-critical",
    )
    contained = {"tool_name": "file_read", "roles": ("readonly",), "risk": "high"}
    assert decide(rules, **contained) == ("deny", "contain-high")
    assert decide(rules, **contained, sandbox_tier="process") == ("deny", "contain-high")
    assert decide(rules, **contained, sandbox_tier="container") == ("allow", "contain-high")


def test_nothing_is_denied_and_the_default_is_the_files() -> None:
    """Without a match: deny, unless the file says otherwise. The operator is never judged."""
    assert decide(Rules(), tool_name="x") == ("deny", None)
    assert decide(parse_rules(b'default_decision = "allow"'), tool_name="x") == ("allow", None)
    assert decide(Rules(), tool_name="x", subject="operator") == ("allow", None)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_stars_are_any_run(pattern: str, name: str) -> None:
    """The same as the standard library's file patterns, which have other rules for other characters only."""
    assert matches(ToolPattern(value=pattern), Request(tool_name=name)) is fnmatch.fnmatchcase(name, pattern)


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["allow", "deny", "require_approval"])), max_size=8))
def test_order_is_priority_then_file(rules: list[tuple[int, str]]) -> None:
    """The first of the lowest priority decides, whatever the order in the file; equal priorities keep the file's order."""
    made = tuple(
        Rule(id=str(at), condition=Always(), decision=decision, priority=priority)  # type: ignore[arg-type]
        for at, (priority, decision) in enumerate(rules)
    )
    expected = min(made, key=lambda rule: (rule.priority, int(rule.id)), default=None)
    wanted = ("deny", None) if expected is None else (expected.decision, expected.id)
    assert decide(Rules(rules=made), tool_name="x") == wanted


@given(
    st.recursive(
        st.one_of(
            st.just(Always()),
            st.sampled_from(RISKS).map(lambda risk: RiskAtLeast(value=risk)),
            st.sampled_from(TIERS).map(lambda tier: SandboxTierAtLeast(value=tier)),
            st.sampled_from(["a", "b"]).map(lambda name: ToolName(value=name)),
        ),
        lambda inner: st.one_of(
            inner.map(lambda each: Not(value=each)),
            st.lists(inner, min_size=1, max_size=3).map(lambda each: And(value=tuple(each))),
            st.lists(inner, min_size=1, max_size=3).map(lambda each: Or(value=tuple(each))),
        ),
        max_leaves=8,
    ),
    st.sampled_from([None, *RISKS]),
)
def test_not_is_the_opposite(condition: Condition, risk: str | None) -> None:
    """Whatever a condition is made of, its Not matches exactly what it does not."""
    request = Request(tool_name="a", risk=risk)
    assert matches(Not(value=condition), request) is not matches(condition, request)


def test_an_explanation_says_every_step() -> None:
    """Which roles and rules were looked at, in order, and which one decided."""
    verdict = PolicyEngine(parse_rules(ORIGINAL)).evaluate(Request(tool_name="file_read", subject="user:reader"))
    assert [(step.what, step.matched) for step in verdict.steps] == [
        ("role readonly", True),
        ("rule deny-shell", False),
        ("rule approve-critical", False),
        ("rule contain-high", False),
        ("rule files", True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "rules = 1",
        "unknown = 1",
        '[[rules]]\nid = "x"',
        '[[rules]]\nid = "x"\ncondition = { type = "Magic" }\ndecision = "allow"',
        '[[rules]]\nid = "x"\ncondition = { type = "Always" }\ndecision = "maybe"',
        '[[rules]]\nid = "x"\ncondition = { type = "Always", value = "y" }\ndecision = "allow"',
        '[[rules]]\nid = "x"\ncondition = { type = "RiskAtLeast", value = "huge" }\ndecision = "allow"',
        '[[rules]]\nid = "x"\ncondition = { type = "And", value = [] }\ndecision = "allow"',
        '[[rules]]\nid = "x"\ncondition = { type = "Always" }\ndecision = "allow"\nrequired_sandbox = "vault"',
        '[[rules]]\nid = "x"\ncondition = { type = "Always" }\ndecision = "allow"\n' * 2,
        '[[assignments]]\nsubject = "x"\nrole = "none"',
        '[[hooks]]\nname = "x"\nphase = "post"\ncondition = { type = "Always" }\naction = { type = "Transform", script = "x" }',
        '[quotas]\ndefault = "gold"',
        "\x00",
    ],
)
def test_files_that_can_not_be_meant_are_refused(text: str, tmp_path: Path) -> None:
    """A name that is unknown, twice there, or of the wrong kind; a transform, which is not offered."""
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match="policy"):
        read_rules(file)
    with pytest.raises(InvalidInputError):
        read_rules(tmp_path / "none.toml")
