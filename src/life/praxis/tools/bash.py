"""`bash`: a command in the session's workspace, inside the sandbox.

The workspace is the directory the file tools work in. A failing command is information, not a failure of the tool: its status is `ok` and
its `exit_code` says the rest (praxis.md §2.2). A command is not repeatable: after a crash the probe says `not_done` only when it is on
record that it never began, otherwise `unknown`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from life.aios.events.tool import SandboxExecuted, SandboxViolation
from life.aios.json import Json
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Entropy
from life.aios.ports.sandbox import Captured, Sandbox, SandboxCommand, SandboxLimits, SandboxRun
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import on_thread
from life.praxis.errors import SandboxError, ToolInputError
from life.praxis.paths import canonical_path
from life.praxis.result_store import store_result
from life.praxis.sandbox.capture import shown_text
from life.praxis.sandbox.shell_programs import programs_of
from life.praxis.sandbox.start_marks import StartMarks
from life.praxis.sandbox.workspace_changes import Changes, Snapshot, changes_since, take_snapshot
from life.praxis.tool import input_schema
from life.praxis.workspace import Workspace, WorkspacePolicy

MAX_COMMAND_CHARACTERS: Final = 32_000
_SLACK_S: Final = 30
"""Beyond the longest command: for looking at the workspace before and after."""

_NAMED_PATHS: Final = 50
_DEFAULT_TIMEOUT_S: Final = 60
ANY_PROGRAM: Final = "exec:cmd:*"


class BashArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `bash`."""

    command: Annotated[str, msgspec.Meta(description="The command, as bash reads it.", min_length=1)]
    cwd: Annotated[str, msgspec.Meta(description="Where to run it, relative to the workspace.")] = "."
    timeout_s: Annotated[
        int, msgspec.Meta(description="End it after this many seconds; the operator may have set less.", ge=1, le=3600)
    ] = _DEFAULT_TIMEOUT_S


class Prepared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the intent remembers: which file of marks was there."""

    book: str


class Bash:
    """One command per call, nothing left behind."""

    arguments = BashArguments

    def __init__(
        self,
        sandbox: Sandbox,
        policy: WorkspacePolicy,
        *,
        marks_directory: Path,
        entropy: Entropy,
        blobs: Blobs | None = None,
        limits: SandboxLimits | None = None,
        environment: Mapping[str, str] | None = None,
        confirm: bool = True,
    ) -> None:
        """`limits.wall_time_ms` is the longest that a call may ask for. `environment` is given to every command. `confirm`: a person
        is asked before a command runs, unless a rule of the session covers it."""
        self._sandbox = sandbox
        self._policy = policy
        self._marks = StartMarks(marks_directory, entropy)
        self._blobs = blobs
        self._limits = limits or SandboxLimits()
        self._environment = dict(environment or {})
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        longest_s = max(1, self._limits.wall_time_ms // 1000)
        self.definition = ToolDefinition(
            name="bash",
            description=(
                f"Run a command with bash in the workspace, in a sandbox: {_network_words(sandbox)}, a private /tmp, no input, "
                "and nothing it starts outlives the call. Returns exit_code, stdout, stderr and the files that changed. A "
                f"call ends after at most {longest_s} s; long output is shortened in the middle."
            ),
            input_schema=input_schema(BashArguments),
            annotations=ToolAnnotations(destructive=True, open_world=True, requires_confirmation=confirm),
            category="shell",
            timeout_s=longest_s + _SLACK_S,
        )

    @property
    def backend(self) -> str:
        """The sandbox's name."""
        return self._sandbox.description.name

    def capabilities(self, arguments: BashArguments, context: ToolContext) -> tuple[str, ...]:
        """`exec:cmd:<program>` for every program of the command; `exec:cmd:*` when they can't be told for sure."""
        _check(arguments)
        programs = programs_of(arguments.command)
        return tuple(f"exec:cmd:{program}" for program in programs) if programs else (ANY_PROGRAM,)

    async def prepare(self, arguments: BashArguments, context: ToolContext) -> Json:
        """`{book}`: the file in which the start will be marked."""
        _check(arguments)
        return {"book": await on_thread(lambda: self._marks.book(context.session_id))}

    async def run(self, arguments: BashArguments, context: ToolContext) -> ToolOutcome:
        """`{exit_code, stdout, stderr, duration_ms, sandbox, tier, changed, …}`. SandboxError: it did not run."""
        directory = _check(arguments)
        limits = msgspec.structs.replace(
            self._limits, wall_time_ms=min(self._limits.wall_time_ms, arguments.timeout_s * 1000)
        )
        lock, waiting = self._turns.get(context.workspace, (asyncio.Lock(), 0))
        self._turns[context.workspace] = lock, waiting + 1
        try:
            async with lock:  # one command at a time in a workspace, so that what changed is its own doing
                with Workspace(context.workspace, self._policy) as workspace:
                    with workspace.open_directory(directory):
                        pass
                    return await self._run(arguments.command, directory, limits, workspace, context)
        finally:
            lock, waiting = self._turns.pop(context.workspace)
            if waiting > 1:
                self._turns[context.workspace] = lock, waiting - 1

    async def probe(self, arguments: BashArguments, context: ToolContext, prepared: Json) -> Probe:
        """`not_done` when it is on record that the command never began, otherwise `unknown`."""
        try:
            book = msgspec.convert(prepared, Prepared).book
        except msgspec.ValidationError:
            return Probe(answer="unknown", explanation="It was not recorded whether the command began.")
        begun = await on_thread(lambda: self._marks.was_begun(context.session_id, context.idempotency_key, book))
        if begun is False:
            return Probe(answer="not_done", explanation="The command had not begun.")
        if begun is None:
            return Probe(answer="unknown", explanation="The record of begun commands is not there any more.")
        return Probe(
            answer="unknown",
            explanation="The command had begun when the runtime stopped, and was ended. How far it came can't be told from here: "
            "look at the workspace and at what it reached outside.",
        )

    async def _run(
        self, command: str, directory: str, limits: SandboxLimits, workspace: Workspace, context: ToolContext
    ) -> ToolOutcome:
        before = await on_thread(lambda: self._mark_and_look(workspace, context))
        wanted = SandboxCommand(
            argv=("/bin/bash", "-c", command),
            workspace=context.workspace,
            directory=directory,
            environment=self._environment,
            limits=limits,
            hidden=before.hidden,
            read_only=before.read_only,
        )
        try:
            ran = await self._sandbox.run(wanted)
        except asyncio.CancelledError:
            # Told to stop, and everything is ended: the files it changed until then belong into the journal all the same.
            changes = await on_thread(lambda: changes_since(workspace, before))
            return _stopped(changes)
        changes = await on_thread(lambda: changes_since(workspace, before))
        output = self._output(ran, changes, limits)
        await self._keep_whole(output, ran, limits, context)
        return ToolOutcome(
            status="timeout" if ran.stopped == "time" else "error" if ran.stopped else "ok",
            output=output,
            mutated_paths=changes.paths,
            sandbox=self._events(command, ran, context),
        )

    def _mark_and_look(self, workspace: Workspace, context: ToolContext) -> Snapshot:
        before = take_snapshot(workspace)
        try:
            self._marks.mark(context.session_id, context.idempotency_key)
        except OSError as failure:
            raise SandboxError("The start of the command could not be recorded, so it did not run.") from failure
        return before

    def _output(self, ran: SandboxRun, changes: Changes, limits: SandboxLimits) -> dict[str, Json]:
        stdout, out_cut = shown_text(ran.stdout, limits.shown_bytes)
        stderr, err_cut = shown_text(ran.stderr, limits.shown_bytes)
        description = self._sandbox.description
        output: dict[str, Json] = {
            "exit_code": ran.exit_code,
            "stdout": stdout,
            "stderr": stderr,
            "duration_ms": ran.duration_ms,
            "sandbox": description.name,
            "tier": description.tier,
        }
        notes = [*changes.notes]
        if (name := _signal_name(ran.exit_code)) is not None:
            output["signal"] = name
        if ran.stopped == "time":
            notes.append(
                f"Ended after {limits.wall_time_ms / 1000:g} s with everything it had started; what it did until then stays."
            )
        elif ran.stopped == "disk":
            notes.append("Ended because the disk was nearly full.")
        if ran.stopped is not None:
            output["stopped"] = ran.stopped
        if out_cut or err_cut:
            output["truncated"] = True
            output["stdout_bytes"], output["stderr_bytes"] = ran.stdout.total_bytes, ran.stderr.total_bytes
        if changes.paths:
            output["changed"] = [path for path, _ in changes.paths[:_NAMED_PATHS]]
            if len(changes.paths) > _NAMED_PATHS:
                notes.append(f"{len(changes.paths)} files changed; {_NAMED_PATHS} are named here.")
        if ran.connections:
            output["network"] = [
                f"{'allowed' if one.allowed else 'denied'} {one.host}:{one.port}"
                + (f" ({one.reason})" if one.reason else "")
                for one in ran.connections
            ]
        if description.tier in ("none", "basic"):
            notes.append("This command was not in a sandbox: the operator chose plain processes.")
        if notes:
            output["notes"] = notes
        return output

    async def _keep_whole(
        self, output: dict[str, Json], ran: SandboxRun, limits: SandboxLimits, context: ToolContext
    ) -> None:
        """With a blob store, the output that was kept goes there when it is longer than what is shown."""
        if self._blobs is None or not output.get("truncated"):
            return
        whole = {"stdout": _kept_text(ran.stdout), "stderr": _kept_text(ran.stderr)}
        kept = await store_result(self._blobs, context.session_id, msgspec.json.encode(whole))
        if kept is not None:
            output["result"] = kept
            cut = any(stream.total_bytes > len(stream.kept) for stream in (ran.stdout, ran.stderr))
            output["result_is"] = f"the first {limits.kept_bytes} bytes of each stream" if cut else "the whole output"

    def _events(
        self, command: str, ran: SandboxRun, context: ToolContext
    ) -> tuple[SandboxExecuted | SandboxViolation, ...]:
        """What the journal says about the run, beside the tool's result."""
        sandbox_id = f"{self._sandbox.description.name}:{context.session_id}"
        executed = SandboxExecuted(
            sandbox_id=sandbox_id, command=command[:200], exit_code=ran.exit_code, duration_ms=ran.duration_ms
        )
        denied = [
            SandboxViolation(
                sandbox_id=sandbox_id,
                violation_type="network_denied",
                details=f"{one.host}:{one.port} ({one.reason})",
            )
            for one in ran.connections
            if not one.allowed
        ]
        return (executed, *denied[:20])


def _stopped(changes: Changes) -> ToolOutcome:
    output: dict[str, Json] = {
        "error": "The command was stopped, with everything it had started; what it did until then stays."
    }
    if changes.paths:
        output["changed"] = [path for path, _ in changes.paths[:_NAMED_PATHS]]
    return ToolOutcome(status="cancelled", output=output, mutated_paths=changes.paths)


def _check(arguments: BashArguments) -> str:
    """The canonical directory. ToolInputError: the command can't be run by any shell."""
    if len(arguments.command) > MAX_COMMAND_CHARACTERS:
        raise ToolInputError(
            f"The command is longer than {MAX_COMMAND_CHARACTERS} characters; write a script to a file."
        )
    if "\0" in arguments.command:
        raise ToolInputError("The command contains a NUL character.")
    try:
        arguments.command.encode()
    except UnicodeEncodeError:
        raise ToolInputError("The command is not valid Unicode text (a lone surrogate).") from None
    return canonical_path(arguments.cwd)


def _kept_text(captured: Captured) -> str:
    return captured.kept.decode(errors="replace")


def _signal_name(exit_code: int) -> str | None:
    """The signal behind 128 + n, None for any other code."""
    try:
        return signal.Signals(exit_code - 128).name if exit_code > 128 else None
    except ValueError:
        return None


def _network_words(sandbox: Sandbox) -> str:
    description = sandbox.description
    if "no_network" in description.gaps:
        return "the network as the operator's machine has it"
    if description.allowed_hosts:
        return f"network only to {', '.join(description.allowed_hosts[:20])} over HTTP and HTTPS"
    return "no network"
