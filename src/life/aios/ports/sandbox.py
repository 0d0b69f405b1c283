"""A place to run a command in: what it may touch, how much it may use, and what it did.

A sandbox runs one command at a time and leaves nothing running behind it. What it can't guarantee on this machine it says in
`SandboxDescription.gaps`; `life.testing.sandbox` tries every guarantee, the declared gaps included (praxis.md §5, aios.md §10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

SandboxTier = Literal["none", "basic", "process", "container", "micro_vm"]
"""Weakest first; a policy can say "at least"."""

Guarantee = Literal[
    "outside_unreadable",
    "outside_unwritable",
    "system_unwritable",
    "hidden_names",
    "private_tmp",
    "stable_path",
    "no_network",
    "host_allow_list",
    "no_host_sockets",
    "no_survivors",
    "signals_confined",
    "processes_hidden",
    "process_limit",
    "memory_limit",
    "memory_limit_of_all",
    "time_limit",
    "file_size_limit",
    "clean_environment",
    "no_inherited_files",
    "no_privileges",
    "system_calls_filtered",
]
"""One promise each, and each can be tried by running something (`life.praxis.sandbox.probing` says how)."""

StopReason = Literal["time", "disk"]


class SandboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one command may use."""

    wall_time_ms: int = 60_000
    cpu_time_s: int = 120
    """Of each process."""
    memory_bytes: int = 4 * 1024**3
    """Of all processes together where control groups are available, otherwise of each process's address space."""
    processes: int = 256
    open_files: int = 1024
    file_bytes: int = 1024**3
    """The largest file that can be written."""
    tmp_bytes: int = 256 * 1024**2
    """Of the private /tmp."""
    min_free_disk_bytes: int = 256 * 1024**2
    """A command that fills the workspace's disk to this point is ended."""
    shown_bytes: int = 64 * 1024
    """Of each output stream: the first half and the last half of this are kept at hand."""
    kept_bytes: int = 8 * 1024**2
    """Of each output stream: the beginning that is kept whole."""


class SandboxCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and where."""

    argv: tuple[str, ...]
    workspace: str
    """Absolute host path of the directory that is the sandbox's to write."""
    directory: str = "."
    """Where to start, relative to the workspace; canonical."""
    environment: Mapping[str, str] = {}
    """Beside the few variables that every sandbox sets."""
    limits: SandboxLimits = SandboxLimits()
    hidden: tuple[str, ...] = ()
    """Workspace paths whose content the command must not see."""
    read_only: tuple[str, ...] = ()
    """Workspace paths that the command must not change."""


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """One output stream. `kept` is its beginning; when `total_bytes` is more, `tail` is its end."""

    kept: bytes
    tail: bytes
    total_bytes: int


class ConnectionAttempt(NamedTuple):
    """One try to reach a host through the filtering proxy."""

    host: str
    port: int
    allowed: bool
    reason: str
    """Empty when it was allowed."""


class SandboxRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did. `exit_code` is 128 + n after signal n, as shells count."""

    exit_code: int
    stopped: StopReason | None
    duration_ms: int
    stdout: Captured
    stderr: Captured
    connections: tuple[ConnectionAttempt, ...] = ()


class SandboxDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox is on this machine."""

    name: str
    tier: SandboxTier
    gaps: frozenset[Guarantee]
    """Guarantees that it does not give."""
    workspace_path: str | None
    """Where a command finds its workspace; None when that is the workspace's own path."""
    allowed_hosts: tuple[str, ...]
    """Hosts that commands may reach through the proxy."""


class Sandbox(Protocol):
    """Runs commands. Safe for concurrent use."""

    @property
    def description(self) -> SandboxDescription:
        """What it is and what it does not guarantee."""
        ...

    async def run(self, command: SandboxCommand) -> SandboxRun:
        """Run to the end, or to a limit; nothing it started is alive when this returns or is cancelled (within 1 s).

        ToolError leaves when the command could not be started; what the command does is never an error.
        """
        ...
