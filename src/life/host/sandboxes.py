"""Choosing and opening the sandbox of the tool `bash`, and saying truthfully what it enforces on this machine.

Only what the settings name is opened; where it does not work, that is an error at the start. `auto`, the default, is bubblewrap, and
Landlock where bubblewrap can't run; it never comes down to plain processes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from life.aios.errors import LifeError
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.sandbox import Guarantee, Sandbox, SandboxLimits
from life.host.errors import SettingsError
from life.host.settings import SandboxSettings
from life.praxis.egress import EgressPolicy
from life.praxis.errors import SandboxUnavailableError
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.sandbox.landlock import open_landlock
from life.praxis.sandbox.probing import PROMISES, Area, holds
from life.praxis.sandbox.process import BANNER, open_process
from life.praxis.sandbox.proxy import FilteringProxy
from life.praxis.tools.bash import Bash
from life.praxis.workspace import WorkspacePolicy

LANDLOCK_BANNER: Final = (
    "Commands run under Landlock, because bubblewrap does not work here; `life doctor` says what that leaves open."
)

MARKS: Final = "commands-begun"
"""The folder of the data directory in which begun commands are marked."""

Backend = Literal["bubblewrap", "landlock", "process"]
BACKENDS: Final[tuple[Backend, ...]] = ("bubblewrap", "landlock", "process")
_TOO_WIDE: Final = ("/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var")  # noqa: S108
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAMES: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|SESSION|SEED|^LIFE_", re.IGNORECASE)
_CHECKS_AT_ONCE: Final = 3


class SandboxFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was tried with one backend."""

    backend: Backend
    chosen: bool
    """Whether the settings name this backend."""
    area: Area | Literal["start"]
    result: Literal["enforced", "not_enforced", "unavailable", "broken"]
    """`broken`: not as the backend says of itself. `unavailable`: the backend does not work here, so nothing else was tried."""
    says: str
    guarantee: Guarantee | None = None
    next_step: str | None = None


async def open_sandbox(
    settings: SandboxSettings, *, clock: Clock, data_root: Path, allow_private_hosts: tuple[str, ...] = ()
) -> Sandbox | None:
    """The sandbox that the settings name, tried; None for `off`.

    SettingsError: a setting can't be meant. SandboxUnavailableError: the backend does not work here, or can't do what is asked of it.
    `allow_private_hosts` is `tools.allow_private_hosts`: allowed hosts that may have private addresses.
    """
    if settings.backend == "off":
        return None
    system_paths = _system_paths(settings, data_root)
    if settings.backend in ("auto", "bubblewrap"):
        proxy = _proxy(settings, allow_private_hosts)
        try:
            return await open_bubblewrap(clock=clock, proxy=proxy, system_paths=system_paths)
        except SandboxUnavailableError as unavailable:
            if settings.backend != "auto" or settings.allow_hosts:
                raise
            return await _landlock_instead(unavailable, clock, system_paths)
    if settings.allow_hosts:
        raise SandboxUnavailableError(
            f"The sandbox {settings.backend} can't hold commands to a list of hosts (sandbox.allow_hosts).",
            next_step='Use sandbox.backend = "bubblewrap", or leave sandbox.allow_hosts empty.',
        )
    if settings.backend == "landlock":
        return await open_landlock(clock=clock, system_paths=system_paths)
    return await open_process(clock=clock)


async def open_bash(
    settings: SandboxSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    data_root: Path,
    environment: Mapping[str, str],
    workspace: WorkspacePolicy | None = None,
    blobs: Blobs | None = None,
    allow_private_hosts: tuple[str, ...] = (),
) -> Bash | None:
    """The tool `bash` over the chosen sandbox, None for `off`. Errors as `open_sandbox`. Nothing has to be closed."""
    passed = _passed(settings, environment)
    sandbox = await open_sandbox(settings, clock=clock, data_root=data_root, allow_private_hosts=allow_private_hosts)
    if sandbox is None:
        return None
    return Bash(
        sandbox,
        workspace or WorkspacePolicy(),
        marks_directory=data_root / MARKS,
        entropy=entropy,
        blobs=blobs,
        limits=sandbox_limits(settings),
        environment=passed,
        confirm=settings.confirm,
    )


async def _landlock_instead(
    unavailable: SandboxUnavailableError, clock: Clock, system_paths: tuple[str, ...]
) -> Sandbox:
    try:
        return await open_landlock(clock=clock, system_paths=system_paths)
    except SandboxUnavailableError as neither:
        raise SandboxUnavailableError(
            f"Commands can't be run safely here. {unavailable.message} {neither.message}",
            next_step=f'{unavailable.next_step} Or set LIFE_SANDBOX_BACKEND=off: agents then have no tool "bash".',
        ) from None


def sandbox_banner(settings: SandboxSettings, backend: str | None) -> str | None:
    """What has to be shown at every start, None when there is nothing to warn of. `backend` is the one that was opened."""
    if backend == "process":
        return BANNER
    if backend == "landlock" and settings.backend == "auto":
        return LANDLOCK_BANNER
    return None


def sandbox_limits(settings: SandboxSettings) -> SandboxLimits:
    """The limits in force."""
    mib = 1024**2
    return SandboxLimits(
        wall_time_ms=settings.max_time_s * 1000,
        cpu_time_s=settings.cpu_time_s,
        memory_bytes=settings.memory_mib * mib,
        processes=settings.processes,
        file_bytes=settings.file_mib * mib,
        tmp_bytes=settings.tmp_mib * mib,
    )


async def sandbox_findings(settings: SandboxSettings, *, clock: Clock) -> tuple[SandboxFinding, ...]:
    """Every backend, opened, and each of its guarantees tried by running something; the chosen one first. Takes about ten seconds."""
    order = sorted(BACKENDS, key=lambda name: name != settings.backend)
    found = {backend: await _examine(backend, chosen=backend == settings.backend, clock=clock) for backend in order}
    if settings.backend == "auto":
        safe: tuple[Backend, ...] = ("bubblewrap", "landlock")
        chosen = next((backend for backend in safe if found[backend][0].result != "unavailable"), None)
        if chosen is not None:
            found[chosen] = [msgspec.structs.replace(finding, chosen=True) for finding in found[chosen]]
    return tuple(finding for findings in found.values() for finding in findings)


async def _examine(backend: Backend, *, chosen: bool, clock: Clock) -> list[SandboxFinding]:
    try:
        sandbox = await _open_plain(backend, clock)
    except LifeError as refused:
        return [
            SandboxFinding(
                backend=backend,
                chosen=chosen,
                area="start",
                result="unavailable",
                says=refused.message,
                next_step=refused.next_step,
            )
        ]
    at_once = asyncio.Semaphore(_CHECKS_AT_ONCE)

    async def try_one(guarantee: Guarantee) -> SandboxFinding:
        promise = PROMISES[guarantee]
        declared = guarantee not in sandbox.description.gaps
        async with at_once:
            try:
                held = await holds(sandbox, guarantee)
            except (LifeError, OSError) as failure:
                words = failure.message if isinstance(failure, LifeError) else type(failure).__name__
                return SandboxFinding(
                    backend=backend,
                    chosen=chosen,
                    area=promise.area,
                    result="broken",
                    says=f"It could not be tried whether {promise.says}: {words}",
                    guarantee=guarantee,
                )
        if held:
            return SandboxFinding(
                backend=backend,
                chosen=chosen,
                area=promise.area,
                result="enforced",
                says=promise.says,
                guarantee=guarantee,
            )
        return SandboxFinding(
            backend=backend,
            chosen=chosen,
            area=promise.area,
            result="broken" if declared else "not_enforced",
            says=f"It does not hold that {promise.says}.",
            guarantee=guarantee,
            next_step="Do not let the agent run commands here, and report this." if declared else None,
        )

    return list(await asyncio.gather(*(try_one(guarantee) for guarantee in PROMISES)))


async def _open_plain(backend: Backend, clock: Clock) -> Sandbox:
    if backend == "bubblewrap":
        return await open_bubblewrap(clock=clock)
    if backend == "landlock":
        return await open_landlock(clock=clock)
    return await open_process(clock=clock)


def _proxy(settings: SandboxSettings, allow_private_hosts: tuple[str, ...]) -> FilteringProxy | None:
    if not settings.allow_hosts:
        return None
    try:
        return FilteringProxy(settings.allow_hosts, egress=EgressPolicy(allow_private_hosts=allow_private_hosts))
    except ValueError as unfit:
        raise SettingsError(f"sandbox.allow_hosts: {unfit}.") from None


def _system_paths(settings: SandboxSettings, data_root: Path) -> tuple[str, ...]:
    """The further paths, resolved. SettingsError: one that would show more than programs."""
    paths = []
    data = data_root.resolve()
    for text in settings.system_paths:
        path = Path(text)
        if not path.is_absolute() or not path.exists():
            raise SettingsError(f"sandbox.system_paths: '{text}' is not an absolute path that exists.")
        resolved = path.resolve()
        if str(resolved) in _TOO_WIDE or data.is_relative_to(resolved) or resolved.is_relative_to(data):
            raise SettingsError(f"sandbox.system_paths: '{text}' would show commands more than programs.")
        if str(resolved) != str(path):
            raise SettingsError(f"sandbox.system_paths: '{text}' goes through a link; name '{resolved}'.")
        paths.append(text)
    return tuple(paths)


def _passed(settings: SandboxSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are handed on. SettingsError: a name that is none, or that of a secret."""
    passed = {}
    for name in settings.pass_environment:
        if _VARIABLE.fullmatch(name) is None:
            raise SettingsError(f"sandbox.pass_environment: '{name}' is not the name of a variable.")
        if _SECRET_NAMES.search(name):
            raise SettingsError(f"sandbox.pass_environment: '{name}' looks like a secret, which commands never get.")
        if name in environment:
            passed[name] = environment[name]
    return passed
