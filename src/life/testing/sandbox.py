"""The conformance suite of the `Sandbox` port (life.aios.ports.sandbox).

Inherit it in a test module, name the class `Test…`, mark it with the part the backend needs, and say how it is opened::

    @pytest.mark.part("bubblewrap")
    class TestBubblewrap(SandboxSuite):
        async def open_sandbox(self) -> Sandbox:
            return await open_bubblewrap(clock=SystemClock())

Every guarantee is tried by running something. A guarantee that does not hold and is not declared as a gap is red, and so is a declared gap
that holds: what people are told must be true in both directions.
"""

from __future__ import annotations

import abc
import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from life.aios.errors import ToolError
from life.aios.ports.sandbox import Guarantee, Sandbox, SandboxCommand, SandboxLimits, SandboxRun
from life.praxis.sandbox.probing import PROMISES, holds


async def run_bash(
    sandbox: Sandbox,
    workspace: Path,
    script: str,
    *,
    limits: SandboxLimits | None = None,
    environment: Mapping[str, str] | None = None,
    directory: str = ".",
) -> SandboxRun:
    """A script in a workspace, ended after 20 s unless told otherwise."""
    return await sandbox.run(
        SandboxCommand(
            argv=("/bin/bash", "-c", script),
            workspace=str(workspace),
            directory=directory,
            environment=environment or {},
            limits=limits or SandboxLimits(wall_time_ms=20_000),
        )
    )


def alive_with(mark: str) -> list[str]:
    """Command lines of living processes that hold `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


class SandboxSuite(abc.ABC):
    """What every sandbox owes. Not collected itself; inherit it."""

    @abc.abstractmethod
    async def open_sandbox(self) -> Sandbox:
        """The sandbox, without hosts that may be reached."""

    @pytest.mark.parametrize("guarantee", sorted(PROMISES))
    async def test_a_guarantee_holds_exactly_when_it_is_declared(self, guarantee: Guarantee) -> None:
        """Tried for real: held and declared, or a gap and declared as one."""
        sandbox = await self.open_sandbox()
        declared = guarantee not in sandbox.description.gaps
        assert await holds(sandbox, guarantee) is declared, PROMISES[guarantee].says

    async def test_without_a_proxy_no_host_is_allowed(self) -> None:
        """A sandbox without hosts says so."""
        description = (await self.open_sandbox()).description
        assert description.allowed_hosts == ()
        assert "host_allow_list" in description.gaps

    async def test_output_and_exit_code_are_those_of_the_command(self, tmp_path: Path) -> None:
        """Both streams, byte for byte, and the code; input is empty."""
        sandbox = await self.open_sandbox()
        ran = await run_bash(sandbox, tmp_path, "cat; printf 'a\\377b'; printf err >&2; exit 7")
        assert (ran.exit_code, ran.stopped) == (7, None)
        assert (ran.stdout.kept, ran.stderr.kept) == (b"a\xffb", b"err")
        assert ran.stdout.total_bytes == 3

    async def test_a_signal_is_told_as_shells_tell_it(self, tmp_path: Path) -> None:
        """128 + n."""
        ran = await run_bash(await self.open_sandbox(), tmp_path, "kill -SEGV $$")
        assert ran.exit_code == 128 + 11

    async def test_the_workspace_is_shared_and_the_directory_is_kept(self, tmp_path: Path) -> None:
        """What the command writes is there afterwards, what was there is seen, and it starts where it should."""
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "given").write_text("from outside")
        ran = await run_bash(await self.open_sandbox(), tmp_path, "cat given; echo made > made", directory="sub")
        assert ran.stdout.kept == b"from outside"
        assert (tmp_path / "sub" / "made").read_text() == "made\n"

    async def test_the_given_environment_arrives(self, tmp_path: Path) -> None:
        """Variables with any text in them."""
        ran = await run_bash(
            await self.open_sandbox(), tmp_path, 'printf "%s" "$GIVEN"', environment={"GIVEN": "a b\n=ü"}
        )
        assert ran.stdout.kept.decode() == "a b\n=ü"

    async def test_a_flood_of_output_takes_bounded_memory_and_keeps_both_ends(self, tmp_path: Path) -> None:
        """64 MiB on each stream at once: drained without a deadlock, the beginning and the end kept, the rest counted."""
        limits = SandboxLimits(wall_time_ms=60_000, kept_bytes=100_000, shown_bytes=10_000)
        script = "echo first; head -c 64M /dev/zero & head -c 64M /dev/zero >&2; wait; printf last"
        ran = await run_bash(await self.open_sandbox(), tmp_path, script, limits=limits)
        assert ran.exit_code == 0
        assert ran.stdout.total_bytes == 64 * 1024**2 + len("first\nlast")
        assert ran.stderr.total_bytes == 64 * 1024**2
        assert len(ran.stdout.kept) == 100_000
        assert ran.stdout.kept.startswith(b"first\n")
        assert len(ran.stdout.tail) == 5_000
        assert ran.stdout.tail.endswith(b"last")

    async def test_a_background_child_that_holds_the_output_does_not_hold_the_call(self, tmp_path: Path) -> None:
        """The call ends with the command, not with what it left in the background."""
        began = asyncio.get_running_loop().time()
        ran = await run_bash(await self.open_sandbox(), tmp_path, "(trap '' TERM HUP; sleep 31417) & echo done")
        assert ran.stdout.kept == b"done\n"
        assert asyncio.get_running_loop().time() - began < 5
        assert alive_with("31417") == []

    async def test_cancellation_ends_the_whole_tree_within_a_second(self, tmp_path: Path) -> None:
        """Children in sessions of their own that ignore signals included."""
        sandbox = await self.open_sandbox()
        script = (
            "trap '' TERM INT HUP; setsid sleep 27182 & (setsid sleep 27182 &) ; echo up > up; sleep 27182; sleep 27182"
        )
        task = asyncio.ensure_future(run_bash(sandbox, tmp_path, script))
        async with asyncio.timeout(10):
            while not (tmp_path / "up").exists():  # noqa: ASYNC110 -- the command tells through the file
                await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() - began < 1
        assert alive_with("27182") == []

    async def test_many_commands_at_once(self, tmp_path: Path) -> None:
        """Sixteen at a time, each with its own workspace, output and limits."""
        sandbox = await self.open_sandbox()
        places = [tmp_path / str(number) for number in range(16)]
        for place in places:
            place.mkdir()
        runs = await asyncio.gather(*(run_bash(sandbox, place, f"echo {place.name} | tee mine") for place in places))
        assert [ran.stdout.kept.decode().strip() for ran in runs] == [place.name for place in places]
        assert all((place / "mine").read_text().strip() == place.name for place in places)

    async def test_nothing_is_left_open_or_lying_about(self, tmp_path: Path) -> None:
        """Descriptors of this process are as many after ten commands as before."""
        sandbox = await self.open_sandbox()
        await run_bash(sandbox, tmp_path, "true")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(10):
            await run_bash(sandbox, tmp_path, "true")
        await asyncio.sleep(0)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before

    async def test_a_missing_workspace_is_an_error_and_nothing_runs(self, tmp_path: Path) -> None:
        """Also a workspace that is a link: the host names the real place."""
        sandbox = await self.open_sandbox()
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        for place in (tmp_path / "missing", tmp_path / "link"):
            with pytest.raises(ToolError) as refused:
                await run_bash(sandbox, place, "touch ran")
            assert refused.value.code.startswith("praxis.sandbox")
        assert list((tmp_path / "real").iterdir()) == []
