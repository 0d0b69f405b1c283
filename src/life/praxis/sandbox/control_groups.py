"""Limits on all processes of a sandbox together, by Linux control groups, where this process may make them.

Version 2 (cgroup-v2.rst: `pids.max`, `memory.max`, `cgroup.kill`) below our own group or beside it, when memory and pids are
delegated there; version 1 (hierarchies `pids` and `memory`) otherwise. Whether it works is found by doing it: a group is made, its
limits are set, a process is moved in, and everything is taken down again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

_MOUNTS: Final = Path("/proc/self/mounts")
_OWN: Final = Path("/proc/self/cgroup")
_PREFIX: Final = "life-sandbox-"


class ControlGroup:
    """One group (in version 1: one per hierarchy), made for one command."""

    def __init__(self, directories: tuple[Path, ...]) -> None:
        self._directories = directories

    def add(self, process_id: int) -> None:
        """Move a process in; what it starts stays in. OSError."""
        for directory in self._directories:
            (directory / "cgroup.procs").write_text(str(process_id))

    def end_all(self) -> bool:
        """Kill what is in the group now; whether it was empty."""
        empty = True
        for directory in self._directories:
            with contextlib.suppress(OSError):
                for line in (directory / "cgroup.procs").read_text().split():
                    empty = False
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(int(line), signal.SIGKILL)
        return empty

    def remove(self) -> None:
        """Take the group down once it is empty."""
        for directory in self._directories:
            with contextlib.suppress(OSError):
                directory.rmdir()


class ControlGroups(Protocol):
    """Makes groups."""

    def make(self, name: str, *, memory_bytes: int, processes: int) -> ControlGroup:
        """A group with these limits. OSError."""
        ...


class _Hierarchy(NamedTuple):
    """A directory in which groups can be made, and the limits that it has."""

    directory: Path
    memory: tuple[str, ...]
    """Files for the limit in bytes; the first has to take it, the others (swap) may be missing."""
    processes: tuple[str, ...]


class _Groups:
    """Groups in one hierarchy (version 2) or two (version 1)."""

    def __init__(self, hierarchies: tuple[_Hierarchy, ...]) -> None:
        self._hierarchies = hierarchies

    def make(self, name: str, *, memory_bytes: int, processes: int) -> ControlGroup:
        made: list[Path] = []
        try:
            for hierarchy in self._hierarchies:
                directory = hierarchy.directory / name
                directory.mkdir()
                made.append(directory)
                _write(directory, hierarchy.memory, memory_bytes)
                _write(directory, hierarchy.processes, processes)
        except OSError:
            ControlGroup(tuple(made)).remove()
            raise
        return ControlGroup(tuple(made))


def _write(directory: Path, files: tuple[str, ...], value: int) -> None:
    for index, file in enumerate(files):
        text = "0" if file.endswith("swap.max") else str(value)
        if index == 0:
            (directory / file).write_text(text)
        else:
            with contextlib.suppress(OSError):
                (directory / file).write_text(text)


def find_control_groups() -> ControlGroups | None:
    """What this process may use, tried; None when it may not limit memory and processes."""
    for hierarchies in _candidates():
        groups = _Groups(hierarchies)
        if _works(groups):
            _remove_left_over(hierarchies)
            return groups
    return None


def group_name(number: int) -> str:
    """The name of this process's group `number`."""
    return f"{_PREFIX}{os.getpid()}-{number}"


def _remove_left_over(hierarchies: tuple[_Hierarchy, ...]) -> None:
    """Empty groups of processes that were killed before they could take them down."""
    for hierarchy in hierarchies:
        for directory in hierarchy.directory.glob(f"{_PREFIX}*-*"):
            owner = directory.name.removeprefix(_PREFIX).split("-")[0]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):
                    directory.rmdir()


def _works(groups: _Groups) -> bool:
    name = group_name(0)
    try:
        group = groups.make(name, memory_bytes=64 * 1024**2, processes=16)
    except OSError:
        return False
    try:
        # It waits for its input to end, so it is alive while it is moved.
        with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={}) as probe:
            try:
                group.add(probe.pid)
            finally:
                probe.communicate()
    except OSError:
        return False
    finally:
        group.remove()
    return True


def _candidates() -> Iterator[tuple[_Hierarchy, ...]]:
    own = _own_groups()
    mounted = _mounted()
    if (root := mounted.get("cgroup2")) is not None and (mine := own.get("")) is not None:
        place = root / mine.lstrip("/")
        for directory in (place, place.parent):
            if directory.is_relative_to(root) and _delegates(directory):
                yield (_Hierarchy(directory, ("memory.max", "memory.swap.max"), ("pids.max",)),)
    memory, pids = mounted.get("memory"), mounted.get("pids")
    if memory is not None and pids is not None:
        limits = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        yield (
            _Hierarchy(memory / own.get("memory", "/").lstrip("/"), limits, ()),
            _Hierarchy(pids / own.get("pids", "/").lstrip("/"), (), ("pids.max",)),
        )


def _delegates(directory: Path) -> bool:
    try:
        return {"memory", "pids"} <= set((directory / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False


def _own_groups() -> dict[str, str]:
    """Controller → path of our group; version 2 under the empty name (proc_pid_cgroup(5))."""
    own: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in _OWN.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own.update(dict.fromkeys(controllers.split(","), path))
    return own


def _mounted() -> dict[str, Path]:
    """`cgroup2`, or a version 1 controller → where it is mounted."""
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text().splitlines():
            _, place, kind, options, *_ = line.split(" ")
            if kind == "cgroup2":
                found.setdefault("cgroup2", Path(place))
            elif kind == "cgroup":
                for option in options.split(","):
                    found.setdefault(option, Path(place))
    return found
