"""bash: one command in the sandbox, and the truth about it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from life.aios.events.tool import SandboxExecuted, SandboxViolation
from life.aios.json import Json, JsonObject
from life.aios.ports.sandbox import (
    Captured,
    ConnectionAttempt,
    Sandbox,
    SandboxCommand,
    SandboxDescription,
    SandboxLimits,
    SandboxRun,
)
from life.aios.ports.tools import Toolbox, ToolCall, ToolContext, ToolOutcome
from life.host.clock import SystemClock
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.praxis.errors import OutsideWorkspaceError, SandboxError, ToolInputError
from life.praxis.registry import ToolRegistry
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.sandbox.process import open_process
from life.praxis.tools.bash import Bash
from life.praxis.tools.read_file import ReadFile
from life.praxis.tools.read_result import ReadResult
from life.praxis.tools.write_file import WriteFile
from life.praxis.workspace import WorkspacePolicy
from life.testing.clock import SeededEntropy
from life.testing.sandbox import alive_with
from life.testing.toolbox import EffectCase, ToolboxSuite

DESCRIPTION = SandboxDescription(
    name="bubblewrap", tier="container", gaps=frozenset(), workspace_path="/workspace", allowed_hosts=()
)


class PlayedSandbox:
    """Gives what it was told to give and notes what it was asked; for what no real command does on demand."""

    def __init__(self, run: SandboxRun | SandboxError, description: SandboxDescription = DESCRIPTION) -> None:
        self.description = description
        self.asked: list[SandboxCommand] = []
        self._run = run

    async def run(self, command: SandboxCommand) -> SandboxRun:
        """The given answer."""
        self.asked.append(command)
        if isinstance(self._run, SandboxError):
            raise self._run
        return self._run


def played(**changes: object) -> SandboxRun:
    """A run that printed nothing and ended well."""
    nothing = Captured(kept=b"", tail=b"", total_bytes=0)
    run = SandboxRun(exit_code=0, stopped=None, duration_ms=1, stdout=nothing, stderr=nothing)
    return msgspec.structs.replace(run, **changes)


def registry_over(sandbox: Sandbox, marks: Path, *, limits: SandboxLimits | None = None) -> ToolRegistry:
    """A registry with this tool and the file tools."""
    made = ToolRegistry()
    policy = WorkspacePolicy()
    made.register(Bash(sandbox, policy, marks_directory=marks, entropy=SeededEntropy(), limits=limits))
    made.register(ReadFile(policy))
    made.register(WriteFile(policy))
    return made


@pytest.fixture
async def registry(tmp_path: Path) -> ToolRegistry:
    """Over bubblewrap."""
    return registry_over(await open_bubblewrap(clock=SystemClock()), tmp_path / "marks")


def call(command: str, **more: Json) -> ToolCall:
    """A call of the tool."""
    return ToolCall(call_id="call-1", tool_name="bash", arguments={"command": command, **more})


def output_of(outcome: ToolOutcome) -> dict[str, Json]:
    """The output as an object."""
    assert isinstance(outcome.output, dict)
    return outcome.output


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


@pytest.mark.part("bubblewrap")
class TestToolboxRules(ToolboxSuite):
    """The rules of every toolbox, with the real sandbox. A command that had begun is never told to be undone or done."""

    @pytest.fixture(autouse=True)
    async def _open(self, tmp_path: Path) -> None:
        self._sandbox = await open_bubblewrap(clock=SystemClock())
        self._marks = tmp_path / "marks"

    def open_toolbox(self) -> Toolbox:
        """Only this tool."""
        made = ToolRegistry()
        made.register(Bash(self._sandbox, WorkspacePolicy(), marks_directory=self._marks, entropy=SeededEntropy()))
        return made

    def effect_cases(self) -> Sequence[EffectCase]:
        """Files made, changed, moved and removed."""

        def arrange(workspace: Path) -> None:
            (workspace / "old").write_text("old")
            (workspace / "gone").write_text("gone")
            (workspace / "same").write_text("same")

        return [
            EffectCase(
                name="many changes",
                tool_name="bash",
                arguments={
                    "command": "mkdir -p a/b; echo new > a/b/c; echo more >> old; rm gone; cat same > /dev/null"
                },
                arrange=arrange,
                disturb=lambda workspace: (workspace / "old").unlink(),
                when_not_run="not_done",
                when_run="unknown",
                when_disturbed="not_done",
            )
        ]

    def read_only_calls(self) -> Sequence[tuple[str, JsonObject]]:
        """None: every command may change something."""
        return []


@pytest.mark.part("bubblewrap")
async def test_what_a_command_gives(registry: ToolRegistry, context: ToolContext, root: Path) -> None:
    """Code, both streams, the sandbox and what changed; a failing command is an ok outcome; it stands in the workspace."""
    (root / "sub").mkdir()
    outcome = await registry.execute(call("pwd; echo oops >&2; echo x > made; false", cwd="sub"), context)
    assert outcome.status == "ok"
    output = output_of(outcome)
    assert output["duration_ms"] == pytest.approx(0, abs=5000)
    assert {key: value for key, value in output.items() if key != "duration_ms"} == {
        "exit_code": 1,
        "stdout": "/workspace/sub\n",
        "stderr": "oops\n",
        "sandbox": "bubblewrap",
        "tier": "container",
        "changed": ["sub/made"],
    }
    assert outcome.mutated_paths == (("sub/made", sha256(b"x\n")),)
    (executed,) = outcome.sandbox
    assert isinstance(executed, SandboxExecuted)
    assert (executed.sandbox_id, executed.exit_code) == ("bubblewrap:sess-1", 1)


@pytest.mark.part("bubblewrap")
async def test_file_tools_and_commands_share_one_workspace(
    registry: ToolRegistry, context: ToolContext, root: Path
) -> None:
    """What one writes the other reads."""
    write = ToolCall("call-2", "write_file", {"path": "given.txt", "content": "given"})
    await registry.execute(write, context)
    assert (
        output_of(await registry.execute(call("cat given.txt; printf made > made.txt"), context))["stdout"] == "given"
    )
    read = await registry.execute(ToolCall("call-3", "read_file", {"path": "made.txt"}), context)
    assert str(output_of(read)["content"]).endswith("made")


@pytest.mark.part("bubblewrap")
async def test_hidden_names_and_git_hooks(registry: ToolRegistry, context: ToolContext, root: Path) -> None:
    """What the file tools may not see, commands don't, at any depth; hooks and configuration of a repository stay."""
    for place in (root, root / "deep" / "er"):
        place.mkdir(parents=True, exist_ok=True)
        (place / ".netrc").write_text("SECRET-4c1e")
        (place / ".life").mkdir()
        (place / ".life" / "journal.db").write_text("SECRET-4c1e")
    (root / ".git" / "hooks").mkdir(parents=True)
    outcome = await registry.execute(
        call(
            "cat .netrc deep/er/.netrc .life/* deep/er/.life/*; echo x > .git/hooks/pre-commit; mv .git away; echo x > .git/HEAD"
        ),
        context,
    )
    assert "SECRET" not in str(outcome.output)
    assert list((root / ".git" / "hooks").iterdir()) == []
    assert (root / ".git" / "HEAD").read_text() == "x\n"
    assert outcome.mutated_paths == ()


@pytest.mark.part("bubblewrap")
async def test_a_time_limit_of_the_call(registry: ToolRegistry, context: ToolContext, root: Path) -> None:
    """A timeout outcome with what was said and changed until then, and nothing alive."""
    outcome = await registry.execute(
        call("echo begun; echo x > made; (setsid sleep 17320 &); sleep 17320", timeout_s=1), context
    )
    assert outcome.status == "timeout"
    output = output_of(outcome)
    assert (output["stdout"], output["stopped"]) == ("begun\n", "time")
    assert output["notes"] == ["Ended after 1 s with everything it had started; what it did until then stays."]
    assert outcome.mutated_paths == (("made", sha256(b"x\n")),)
    assert alive_with("17320") == []


@pytest.mark.part("bubblewrap")
async def test_a_call_may_not_ask_for_more_time_than_the_operator_grants(tmp_path: Path, context: ToolContext) -> None:
    """The smaller of the two holds."""
    sandbox = await open_bubblewrap(clock=SystemClock())
    registry = registry_over(sandbox, tmp_path / "marks", limits=SandboxLimits(wall_time_ms=400))
    outcome = await registry.execute(call("sleep 60", timeout_s=3600), context)
    assert outcome.status == "timeout"


@pytest.mark.part("bubblewrap")
async def test_cancelling_ends_the_tree_and_tells_what_changed(
    registry: ToolRegistry, context: ToolContext, root: Path
) -> None:
    """Within a second; the files it wrote are named all the same."""
    task = asyncio.ensure_future(registry.execute(call("echo x > made; setsid sleep 16661 & sleep 16661"), context))
    async with asyncio.timeout(10):
        while not alive_with("sleep\x0016661"):  # begun after the file was written
            await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    task.cancel()
    outcome = await task
    assert asyncio.get_running_loop().time() - began < 1
    assert outcome.status == "cancelled"
    assert outcome.mutated_paths == (("made", sha256(b"x\n")),)
    assert alive_with("16661") == []


@pytest.mark.part("bubblewrap")
async def test_long_output_keeps_both_ends_and_the_whole_is_stored(tmp_path: Path, context: ToolContext) -> None:
    """50 MiB: bounded, marked, counted; what was kept can be read page by page by this session."""
    blobs = BlobStore(DirectoryObjects(tmp_path / "blobs", SeededEntropy()), SeededEntropy("kept"))
    registry = ToolRegistry(blobs=blobs)
    registry.register(
        Bash(
            await open_bubblewrap(clock=SystemClock()),
            WorkspacePolicy(),
            marks_directory=tmp_path / "marks",
            entropy=SeededEntropy(),
            blobs=blobs,
            limits=SandboxLimits(shown_bytes=1000, kept_bytes=100_000),
        )
    )
    registry.register(ReadResult(blobs))
    output = output_of(await registry.execute(call("echo first; yes | head -c 50M; echo last"), context))
    stdout = output["stdout"]
    assert isinstance(stdout, str)
    assert stdout.startswith("first\ny\n")
    assert stdout.endswith("y\nlast\n")
    assert len(stdout) < 1200
    assert "bytes left out" in stdout
    assert (output["truncated"], output["stdout_bytes"]) == (True, 50 * 1024**2 + len("first\nlast\n"))
    assert output["result_is"] == "the first 100000 bytes of each stream"
    page = await registry.execute(ToolCall("call-2", "read_result", {"result": output["result"], "limit": 64}), context)
    assert str(output_of(page)["content"]).startswith('{"stdout":"first\\ny')


@pytest.mark.part("bubblewrap")
async def test_a_short_output_is_whole_and_not_stored(registry: ToolRegistry, context: ToolContext) -> None:
    """Nothing is cut where nothing has to be, bytes that are no text are replaced."""
    output = output_of(await registry.execute(call("printf 'a\\377b'"), context))
    assert output["stdout"] == "a\ufffdb"
    assert "truncated" not in output


async def test_plain_processes_are_named_in_every_result(tmp_path: Path, context: ToolContext) -> None:
    """Nobody can overlook that there was no sandbox."""
    registry = registry_over(await open_process(clock=SystemClock()), tmp_path / "marks")
    output = output_of(await registry.execute(call("true"), context))
    assert (output["sandbox"], output["tier"]) == ("process", "basic")
    assert output["notes"] == ["This command was not in a sandbox: the operator chose plain processes."]


async def test_connections_are_told_to_the_model_and_denied_ones_to_the_journal(
    tmp_path: Path, context: ToolContext
) -> None:
    """Allowed and denied, with the reason; a denial is a violation event."""
    attempts = (
        ConnectionAttempt("allowed.test", 443, True, ""),
        ConnectionAttempt("evil.test", 443, False, "not on the list of allowed hosts"),
    )
    registry = registry_over(PlayedSandbox(played(connections=attempts)), tmp_path / "marks")
    outcome = await registry.execute(call("fetch"), context)
    assert output_of(outcome)["network"] == [
        "allowed allowed.test:443",
        "denied evil.test:443 (not on the list of allowed hosts)",
    ]
    violations = [event for event in outcome.sandbox if isinstance(event, SandboxViolation)]
    assert [(one.violation_type, one.details) for one in violations] == [
        ("network_denied", "evil.test:443 (not on the list of allowed hosts)")
    ]


async def test_a_sandbox_that_does_not_open_is_an_error_outcome(tmp_path: Path, context: ToolContext) -> None:
    """Nothing ran, and the model is told so."""
    registry = registry_over(PlayedSandbox(SandboxError("No room; the command did not run.")), tmp_path / "marks")
    outcome = await registry.execute(call("true"), context)
    assert (outcome.status, output_of(outcome)["code"]) == ("error", "praxis.sandbox")


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("ls", ("exec:cmd:ls",)),
        ("git status; rm -rf / | tee log", ("exec:cmd:git", "exec:cmd:rm", "exec:cmd:tee")),
        ("./ls", ("exec:cmd:./ls",)),
        ("$(curl evil)", ("exec:cmd:*",)),
        ("env rm x", ("exec:cmd:*",)),
        ("> file", ("exec:cmd:*",)),
    ],
)
def test_every_program_of_a_command_is_a_capability(
    command: str, needed: tuple[str, ...], tmp_path: Path, context: ToolContext
) -> None:
    """All of them, or all programs when they can't be told for sure."""
    assert registry_over(PlayedSandbox(played()), tmp_path).capabilities(call(command), context) == needed


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"command": ""}, ToolInputError),
        ({"command": "a\0b"}, ToolInputError),
        ({"command": "x" * 40_000}, ToolInputError),
        ({"command": "ls", "timeout_s": 0}, ToolInputError),
        ({"command": "ls", "cwd": "/etc"}, OutsideWorkspaceError),
        ({"command": "ls", "cwd": "a/../.."}, OutsideWorkspaceError),
    ],
)
def test_calls_that_can_not_be_right(
    arguments: JsonObject, error: type[Exception], tmp_path: Path, context: ToolContext
) -> None:
    """Refused before anything is asked of the sandbox."""
    sandbox = PlayedSandbox(played())
    with pytest.raises(error):
        registry_over(sandbox, tmp_path).capabilities(ToolCall("call-1", "bash", arguments), context)
    assert sandbox.asked == []


async def test_a_directory_that_is_a_link_or_missing(tmp_path: Path, context: ToolContext, root: Path) -> None:
    """An error outcome; the sandbox is not asked."""
    (root / "link").symlink_to("/etc")
    sandbox = PlayedSandbox(played())
    registry = registry_over(sandbox, tmp_path / "marks")
    for cwd in ("link", "missing"):
        assert (await registry.execute(call("ls", cwd=cwd), context)).status == "error"
    assert sandbox.asked == []


async def test_commands_of_one_workspace_take_turns(tmp_path: Path, context: ToolContext) -> None:
    """So that the files that changed during a command are its own doing."""
    running = 0
    most = 0

    class Counting(PlayedSandbox):
        async def run(self, command: SandboxCommand) -> SandboxRun:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return played()

    registry = registry_over(Counting(played()), tmp_path / "marks")
    await asyncio.gather(*(registry.execute(call("ls"), context) for _ in range(5)))
    assert most == 1


async def test_a_start_that_can_not_be_recorded_is_no_start(tmp_path: Path, context: ToolContext) -> None:
    """Without the mark a crash could not be told from a call that never began."""
    (tmp_path / "marks").write_text("in the way")
    sandbox = PlayedSandbox(played())
    outcome = await registry_over(sandbox, tmp_path / "marks").execute(call("ls"), context)
    assert output_of(outcome)["code"] == "praxis.sandbox"
    assert sandbox.asked == []


KILLED = """
import asyncio, os, sys
from pathlib import Path
from life.aios.ports.tools import ToolCall, ToolContext
from life.host.clock import SystemClock
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.tools.bash import Bash, BashArguments
from life.praxis.workspace import WorkspacePolicy
from life.testing.clock import SeededEntropy
async def main():
    sandbox = await open_bubblewrap(clock=SystemClock())
    tool = Bash(sandbox, WorkspacePolicy(), marks_directory=Path(sys.argv[2]), entropy=SeededEntropy())
    context = ToolContext(session_id="sess-1", branch_id="main", agent_id="agent-1", run_id="run-1", workspace=sys.argv[1],
                          idempotency_key="sess-1/main/call-1")
    arguments = BashArguments(command="echo x >> effect; sleep 60")
    print(__import__("json").dumps(await tool.prepare(arguments, context)), flush=True)
    if sys.argv[3] == "begin":
        await tool.run(arguments, context)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


@pytest.mark.part("bubblewrap")
@pytest.mark.parametrize(("moment", "answer"), [("prepare", "not_done"), ("begin", "unknown")])
async def test_after_kill_9_the_probe_tells_a_start_from_no_start(
    moment: str, answer: str, tmp_path: Path, root: Path, context: ToolContext
) -> None:
    """Killed before the command began: not done. Killed while it ran: nobody can tell, and it is not run again."""
    marks = tmp_path / "marks"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, str(root), str(marks), moment), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    prepared: Json = msgspec.json.decode(await process.stdout.readline())
    if moment == "begin":
        async with asyncio.timeout(20):
            while not (root / "effect").exists():
                await asyncio.sleep(0.01)
        process.kill()
    await process.communicate()
    registry = registry_over(PlayedSandbox(played()), marks)
    probe = await registry.probe(call("echo x >> effect; sleep 60"), context, prepared)
    assert probe.answer == answer
    assert os.path.exists(root / "effect") is (moment == "begin")
