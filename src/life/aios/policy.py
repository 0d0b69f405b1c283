"""Capabilities and the three-way policy over them (aios.md §8).

A capability is text, `<domain>:<verb>:<target>`: `fs:read:<path>`, `fs:write:<path>`, `net:egress:<host>`,
`exec:cmd:<name>`, `secrets:read:<scope>`, `payments:initiate`, `tool:call:<name>` (a function the developer
registered), `agent:spawn:<name>`. Reading everything below a directory is `fs:read:<path>/**/*`. The set a call needs is computed from the tool and its
arguments, never taken from the caller; evaluation puts each one into allowed, requires_approval or denied.

Patterns: `*` alone matches everything. In `fs` targets `*` stays within one path segment and `**` crosses segments; in
other targets `*` matches any run of characters. Paths are compared after they were made canonical by the tool.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import msgspec


class PolicySet(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may do: the gate list is asked first, then the allow list; anything else is denied."""

    allow_capabilities: tuple[str, ...] = ()
    gate_capabilities: tuple[str, ...] = ()
    max_tool_runtime_secs: int = 30
    max_events_per_turn: int = 256


class PolicyEvaluation(msgspec.Struct, frozen=True):
    """Each requested capability in exactly one of three lists."""

    allowed: tuple[str, ...]
    requires_approval: tuple[str, ...]
    denied: tuple[str, ...]

    @property
    def decision(self) -> str:
        """`deny`, `require_approval` or `allow`: the strictest of the parts."""
        if self.denied:
            return "deny"
        return "require_approval" if self.requires_approval else "allow"


WORKSPACE_POLICY: Final = PolicySet(
    allow_capabilities=(
        "fs:read:**",
        "fs:write:**",
        "net:egress:*",
        "tool:call:*",
        "agent:spawn:*",
        "memory:read:*",
        "memory:propose:*",
        "memory:write:session",
    ),
    gate_capabilities=("memory:write:user", "memory:write:agent", "memory:write:org"),
)
"""What a local agent may do by default: files of its own workspace (the tools refuse anything outside) and HTTP, where
private addresses need an explicit permit and money has its own policy in Haima. No commands, no secrets."""


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    domain = pattern.split(":", 1)[0]
    out: list[str] = []
    index = 0
    while index < len(pattern):
        if pattern.startswith("**", index):
            out.append(".*")
            index += 2
        elif pattern[index] == "*":
            out.append("[^/]*" if domain == "fs" else ".*")
            index += 1
        else:
            out.append(re.escape(pattern[index]))
            index += 1
    return re.compile("".join(out), re.DOTALL)


def matches(pattern: str, capability: str) -> bool:
    """Whether one pattern covers one capability."""
    return pattern == "*" or _compiled(pattern).fullmatch(capability) is not None


_SUBTREE: Final = "**/*"
"""The end of a capability for everything below a directory (`fs:read:src/**/*`), as searches need it."""


def touches(pattern: str, capability: str) -> bool:
    """Whether a pattern covers any part of what a capability asks for.

    A search of a directory also reads the one file in it that is gated, so it is gated itself: whenever the fixed
    beginning of the pattern and the directory lie on one path.
    """
    if matches(pattern, capability):
        return True
    if not capability.endswith(_SUBTREE):
        return False
    directory, fixed = capability.removesuffix(_SUBTREE), pattern.partition("*")[0]
    return directory.startswith(fixed) or fixed.startswith(directory)


def evaluate(policy: PolicySet, capabilities: tuple[str, ...]) -> PolicyEvaluation:
    """Sort the capabilities: gate list first, then allow list, otherwise denied."""
    allowed: list[str] = []
    gated: list[str] = []
    denied: list[str] = []
    for capability in capabilities:
        if any(touches(pattern, capability) for pattern in policy.gate_capabilities):
            gated.append(capability)
        elif any(matches(pattern, capability) for pattern in policy.allow_capabilities):
            allowed.append(capability)
        else:
            denied.append(capability)
    return PolicyEvaluation(tuple(allowed), tuple(gated), tuple(denied))
