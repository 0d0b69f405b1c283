"""Capabilities: the gate list first, then the allow list, otherwise denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.policy import WORKSPACE_POLICY, PolicySet, evaluate, matches


@pytest.mark.parametrize(
    ("pattern", "capability", "covered"),
    [
        ("*", "anything:at:all", True),
        ("fs:read:**", "fs:read:a/b/c.txt", True),
        ("fs:read:*", "fs:read:a.txt", True),
        ("fs:read:*", "fs:read:a/b.txt", False),
        ("fs:read:src/**", "fs:read:src/a/b", True),
        ("fs:read:src/**", "fs:read:srcs/a", False),
        ("fs:read:*.txt", "fs:read:a.txt", True),
        ("fs:read:*.txt", "fs:read:a.txt.sh", False),
        ("net:egress:*.example.org", "net:egress:a.b.example.org", True),
        ("net:egress:*.example.org", "net:egress:example.org", False),
        ("net:egress:example.org", "net:egress:example.org.evil", False),
        ("exec:cmd:git", "exec:cmd:gitk", False),
        ("fs:read:a.c", "fs:read:abc", False),
    ],
)
def test_patterns(pattern: str, capability: str, covered: bool) -> None:
    """A star stays in its path segment, two stars cross; dots are dots."""
    assert matches(pattern, capability) is covered


def test_the_gate_list_wins() -> None:
    """What is both gated and allowed needs approval; what is neither is denied; the strictest part decides."""
    policy = PolicySet(allow_capabilities=("fs:**", "net:egress:*"), gate_capabilities=("fs:write:**",))
    result = evaluate(policy, ("fs:read:a", "fs:write:a", "exec:cmd:rm"))
    assert result.allowed == ("fs:read:a",)
    assert result.requires_approval == ("fs:write:a",)
    assert result.denied == ("exec:cmd:rm",)
    assert result.decision == "deny"
    assert evaluate(policy, ("fs:write:a",)).decision == "require_approval"
    assert evaluate(policy, ()).decision == "allow"


def test_an_empty_policy_permits_nothing() -> None:
    """No list means nothing, not everything."""
    assert evaluate(PolicySet(), ("fs:read:a",)).decision == "deny"


def test_the_default_of_a_local_agent() -> None:
    """Files of its workspace and HTTP; no commands, no secrets."""
    assert evaluate(WORKSPACE_POLICY, ("fs:write:a/b", "net:egress:example.org")).decision == "allow"
    assert evaluate(WORKSPACE_POLICY, ("exec:cmd:ls",)).decision == "deny"
    assert evaluate(WORKSPACE_POLICY, ("secrets:read:all",)).decision == "deny"


@given(
    st.lists(st.text(max_size=10), max_size=5),
    st.lists(st.text(max_size=10), max_size=5),
    st.lists(st.text(max_size=10)),
)
def test_every_capability_lands_in_exactly_one_list(allow: list[str], gate: list[str], asked: list[str]) -> None:
    """Whatever the patterns hold."""
    policy = PolicySet(allow_capabilities=tuple(allow), gate_capabilities=tuple(gate))
    result = evaluate(policy, tuple(asked))
    assert sorted(result.allowed + result.requires_approval + result.denied) == sorted(asked)


def test_a_search_can_not_read_past_the_gate() -> None:
    """Reading everything below a directory is gated when any of it is; one level's permission does not cover the rest."""
    policy = PolicySet(allow_capabilities=("fs:read:**",), gate_capabilities=("fs:read:src/secret/**", "fs:read:*.key"))
    for capability, decision in (
        ("fs:read:**/*", "require_approval"),
        ("fs:read:src/**/*", "require_approval"),
        ("fs:read:src/secret/deep/**/*", "require_approval"),
        ("fs:read:src/secret/x", "require_approval"),
        ("fs:read:src/plain.py", "allow"),
    ):
        assert evaluate(policy, (capability,)).decision == decision, capability
    narrow = PolicySet(allow_capabilities=("fs:read:**",), gate_capabilities=("fs:read:src/secret/**", "fs:write:**"))
    assert evaluate(narrow, ("fs:read:docs/**/*",)).decision == "allow"
    assert evaluate(PolicySet(allow_capabilities=("fs:read:src/*",)), ("fs:read:src/**/*",)).decision == "deny"
    assert evaluate(PolicySet(allow_capabilities=("fs:read:src/**",)), ("fs:read:src/**/*",)).decision == "allow"
