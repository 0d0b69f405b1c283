"""Commands as plain processes of this machine. No protection: only for operators who ask for it by name.

What holds: a clean environment, no inherited descriptors, no gain of privileges, the limits, and that nothing is left running.
What does not: a command reads, writes and connects wherever the user of this process may, and can signal its processes.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from life.aios.ports.clock import Clock
from life.aios.ports.sandbox import Guarantee, SandboxDescription
from life.praxis.errors import SandboxError, SandboxUnavailableError
from life.praxis.sandbox.control_groups import find_control_groups
from life.praxis.sandbox.landlock import try_supervised, unlimited_without_groups
from life.praxis.sandbox.supervised import Confinement, SupervisedSandbox

NAME: Final = "process"
BANNER: Final = "NO SANDBOX: commands of the agent run as plain processes of this user. They can read, change and send anything this user can."
"""What the host shows at start, and every result of `bash` carries."""

_GAPS: Final[tuple[Guarantee, ...]] = (
    "outside_unreadable",
    "outside_unwritable",
    "hidden_names",
    "private_tmp",
    "stable_path",
    "no_network",
    "host_allow_list",
    "no_host_sockets",
    "signals_confined",
    "processes_hidden",
    "system_calls_filtered",
)
_GAPS_AS_ROOT: Final[tuple[Guarantee, ...]] = ("system_unwritable", "no_privileges")


async def open_process(*, clock: Clock) -> SupervisedSandbox:
    """Plain processes. SandboxUnavailableError when even they can't be started."""
    groups = await asyncio.to_thread(find_control_groups)
    gaps = {
        *_GAPS,
        *(_GAPS_AS_ROOT if os.geteuid() == 0 else ()),
        *(unlimited_without_groups() if groups is None else ()),
    }
    description = SandboxDescription(
        name=NAME, tier="basic", gaps=frozenset(gaps), workspace_path=None, allowed_hosts=()
    )
    nothing = Confinement(landlock=None, seccomp=None, drop_capabilities=False)
    sandbox = SupervisedSandbox(description, clock=clock, groups=groups, confine=lambda workspace, tmp: nothing)
    try:
        await try_supervised(sandbox)
    except SandboxError as failure:
        raise SandboxUnavailableError(
            f"Commands can't be run on this machine: {failure.message}",
            next_step="Install bash and see that /tmp can be written.",
        ) from None
    return sandbox
