"""Commands inside Landlock(7), for machines where bubblewrap cannot run: no namespaces are needed, only Linux 6.2 and no rights.

The kernel lets a command read the system's programs and its workspace, write its workspace and a temporary directory of its own, and
nothing else; it can't look into processes outside (`/proc/…/environ`, ptrace). The filter of `seccomp` denies every socket, so there is
no network and no way to a host's Unix sockets. From ABI 6 on (Linux 6.12) signals to processes outside are denied, too. Weaker than
bubblewrap: the workspace has its own path, names inside it can't be hidden, other processes' command lines can be seen, and no
host can be allowed.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import os
import struct
import tempfile
from collections.abc import Sequence
from typing import Final

from life.aios.ports.clock import Clock
from life.aios.ports.sandbox import Guarantee, SandboxCommand, SandboxDescription
from life.praxis.errors import SandboxError, SandboxUnavailableError
from life.praxis.sandbox import seccomp
from life.praxis.sandbox.control_groups import find_control_groups
from life.praxis.sandbox.supervised import Confinement, LandlockRules, SupervisedSandbox, remove_left_over
from life.praxis.sandbox.surroundings import SYSTEM_DIRECTORIES, SYSTEM_FILES

NAME: Final = "landlock"
_SYS_CREATE_RULESET: Final = 444
_VERSION_FLAG: Final = 1
_OLDEST_ABI: Final = 3
"""Before it (Linux 6.2) a file outside could be truncated."""
_SIGNAL_SCOPE_ABI: Final = 6
_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_TRUNCATE: Final = 1 << 14
_ALL_OF_ABI_3: Final = (1 << 15) - 1
_DEVICE_NODES: Final = (1 << 6) | (1 << 11)
_IOCTL_DEV: Final = 1 << 15
_NET_TCP: Final = 0b11
_SCOPES: Final = 0b11
_READ: Final = _READ_FILE | _READ_DIR
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_NAMES: Final = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts")


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 when it has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return max(0, int(libc.syscall(_SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))))


def rules_for(abi: int, *, workspace: str, tmp: str, system_paths: Sequence[str] = ()) -> LandlockRules:
    """The ruleset for one command."""
    handled = _ALL_OF_ABI_3 | (_IOCTL_DEV if abi >= 5 else 0)
    attributes = struct.pack("=Q", handled)
    if abi >= 4:
        attributes += struct.pack("=Q", _NET_TCP)
    if abi >= _SIGNAL_SCOPE_ABI:
        attributes += struct.pack("=Q", _SCOPES)
    own = _ALL_OF_ABI_3 & ~_DEVICE_NODES
    own_file = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
    rules: list[tuple[str, int, int]] = []
    for path in (*SYSTEM_DIRECTORIES, *SYSTEM_FILES, *system_paths):
        rules.append((os.path.realpath(path), _READ | _EXECUTE, _READ_FILE | _EXECUTE))
    rules += [(path, _READ, _READ_FILE) for path in (*_NAMES, "/proc")]
    rules += [(path, 0, _READ_FILE | _WRITE_FILE) for path in _DEVICES]
    rules += [(path, own, own_file) for path in (workspace, tmp)]
    return LandlockRules(base64.b64encode(attributes).decode(), rules)


async def open_landlock(*, clock: Clock, system_paths: Sequence[str] = ()) -> SupervisedSandbox:
    """Landlock, found by running it. SandboxUnavailableError says what does not work."""
    abi = landlock_abi()
    if abi < _OLDEST_ABI:
        found = "does not offer Landlock" if abi == 0 else f"has Landlock ABI {abi}"
        raise SandboxUnavailableError(
            f"This kernel {found}; the sandbox landlock needs ABI {_OLDEST_ABI} (Linux 6.2, with landlock in its list of LSMs).",
            next_step='Use bubblewrap, or, without any protection, set sandbox.backend to "process".',
        )
    if not seccomp.is_supported():
        raise SandboxUnavailableError(
            "The sandbox landlock needs a filter of system calls, which is known for x86-64 and 64-bit ARM only.",
            next_step="Use bubblewrap.",
        )
    groups = await asyncio.to_thread(find_control_groups)
    filter_text = base64.b64encode(seccomp.assemble(sockets=False)).decode()

    def confine(workspace: str, tmp: str) -> Confinement:
        rules = rules_for(abi, workspace=workspace, tmp=tmp, system_paths=system_paths)
        return Confinement(landlock=rules, seccomp=filter_text, drop_capabilities=True)

    gaps: set[Guarantee] = {"hidden_names", "stable_path", "processes_hidden", "host_allow_list"}
    if abi < _SIGNAL_SCOPE_ABI:
        gaps.add("signals_confined")
    gaps |= unlimited_without_groups() if groups is None else set()
    description = SandboxDescription(
        name=NAME, tier="process", gaps=frozenset(gaps), workspace_path=None, allowed_hosts=()
    )
    sandbox = SupervisedSandbox(description, clock=clock, groups=groups, confine=confine)
    try:
        await try_supervised(sandbox)
    except SandboxError as failure:
        raise SandboxUnavailableError(
            f"Landlock is there but does not work here: {failure.message}", next_step="Use bubblewrap."
        ) from None
    return sandbox


def unlimited_without_groups() -> set[Guarantee]:
    """What only control groups can limit."""
    return {"memory_limit_of_all", "process_limit"} if os.geteuid() == 0 else {"memory_limit_of_all"}


async def try_supervised(sandbox: SupervisedSandbox) -> None:
    """Run one command, and clean up after runtimes that were killed. SandboxError when it does not give what it should."""
    await asyncio.to_thread(remove_left_over)
    with tempfile.TemporaryDirectory(prefix="life-probe-") as workspace:
        argv = ("/bin/bash", "-c", "echo works > result && cat result")
        ran = await sandbox.run(SandboxCommand(argv=argv, workspace=os.path.realpath(workspace)))
    if ran.exit_code != 0 or ran.stdout.kept != b"works\n":
        said = ran.stderr.kept.decode(errors="replace").strip()[:200]
        raise SandboxError(f"The sandbox could not be set up, so the command did not run: {said or 'no answer'}.")
