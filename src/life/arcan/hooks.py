"""Hooks: commands that run when something happens in a session (arcan.md §15).

    [[hooks]]
    event = "pre_tool_use"
    command = ["python3", "check.py"]
    matcher = "bash|write_*"
    timeout_s = 10
    blocking = true

The command is an argument list and is never given to a shell. What happened comes as one JSON object on its standard input and, in short, in
`LIFE_HOOK_EVENT`, `LIFE_SESSION_ID`, `LIFE_WORKSPACE`, `LIFE_TOOL_NAME`; nothing is pasted into the command line, so nothing that a model wrote
can become a command. Its environment is `PATH`, `HOME` and `LANG` beside these: no keys.

    session_start session_end        a session was created, or closed
    user_prompt_submit               a message came in            may veto
    run_start run_end                a run begins, or ended       run_start may veto
    pre_tool_use                     once per call, before the gate  may veto
    post_tool_use post_tool_use_failure   after a call that worked, or did not
    pre_compact post_compact         older turns give way to a summary
    config_change                    provider, policy or rules of a session changed

A blocking hook is waited for, once; where it may veto, an exit status other than 0 is a veto and the first kilobyte of its
standard output is the reason. A blocking hook that can't be started or takes too long vetoes, too: a check that did not happen
was not passed. Other hooks run beside the session, and their failures are logged only. `matcher` is a list of tool names with `*`,
separated by `|`; only the three tool events have one.

Hooks of a project's own files are run only after somebody accepted exactly those bytes: `parse_hooks` gives them with their digest, and
`trusted` tells whether it is among the accepted ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import hashlib
import logging
import os
import signal
import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.arcan.middleware import ArgumentsEdit, Middleware, Veto

HookEvent = Literal[
    "session_start",
    "session_end",
    "pre_tool_use",
    "post_tool_use",
    "post_tool_use_failure",
    "run_start",
    "run_end",
    "pre_compact",
    "post_compact",
    "user_prompt_submit",
    "config_change",
]

_VETOING: Final = frozenset({"pre_tool_use", "user_prompt_submit", "run_start"})
TOOL_EVENTS: Final[tuple[HookEvent, ...]] = ("pre_tool_use", "post_tool_use", "post_tool_use_failure")
_REASON_BYTES: Final = 1024
_MOST_HOOKS: Final = 64
_KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG")

_log = logging.getLogger("life.arcan")


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configured command."""

    event: HookEvent
    command: tuple[str, ...]
    matcher: str = "*"
    timeout_s: int = 10
    blocking: bool = False


class _HooksFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hooks: tuple[Hook, ...] = ()


class HooksFile(NamedTuple):
    """The hooks of one file, and the digest that somebody accepts them by (SHA-256 of the file, hex)."""

    hooks: tuple[Hook, ...]
    digest: str

    def trusted(self, accepted: Collection[str]) -> bool:
        """Whether exactly these bytes were accepted; a file without hooks needs nobody's trust."""
        return not self.hooks or self.digest in accepted


def parse_hooks(raw: bytes) -> HooksFile:
    """The hooks of a TOML file; InvalidInputError says what is wrong with it."""
    try:
        parsed = msgspec.convert(tomllib.loads(raw.decode()), _HooksFile)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidInputError(f"The hooks can't be read: {error}.") from None
    if len(parsed.hooks) > _MOST_HOOKS:
        raise InvalidInputError(f"At most {_MOST_HOOKS} hooks are run.")
    for hook in parsed.hooks:
        if not hook.command or not hook.command[0] or not all("\0" not in part for part in hook.command):
            raise InvalidInputError(f"A hook of {hook.event} has no command.")
        if not 1 <= hook.timeout_s <= 600:
            raise InvalidInputError(f"The time limit of a hook of {hook.event} must be 1 to 600 seconds.")
        if hook.matcher != "*" and hook.event not in TOOL_EVENTS:
            raise InvalidInputError(f"A hook of {hook.event} has no tool to match.")
    return HooksFile(parsed.hooks, hashlib.sha256(raw).hexdigest())


class Hooks:
    """Runs the hooks of a runtime."""

    def __init__(self, hooks: Sequence[Hook] = (), *, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is where `PATH`, `HOME` and `LANG` are taken from."""
        self._hooks = tuple(hooks)
        known = environment or {}
        self._environment = {name: known[name] for name in _KEPT_VARIABLES if name in known}
        self._beside: set[asyncio.Task[object]] = set()

    def listens(self, event: HookEvent) -> bool:
        """Whether any hook is configured for it."""
        return any(hook.event == event for hook in self._hooks)

    async def fire(
        self,
        event: HookEvent,
        data: Mapping[str, Json],
        *,
        session_id: str,
        workspace: str = "",
        tool_name: str = "",
    ) -> Veto | None:
        """Run the hooks of this event; a veto, where the event knows one, or None."""
        told: dict[str, Json] = {**data, "event": event, "session_id": session_id, "workspace": workspace}
        if tool_name:
            told["tool_name"] = tool_name
        for hook in self._hooks:
            if hook.event != event or not _fits(hook, tool_name):
                continue
            if not hook.blocking:
                task = asyncio.get_running_loop().create_task(self._run(hook, told))
                self._beside.add(task)
                task.add_done_callback(self._beside.discard)
                continue
            refusal = await self._run(hook, told)
            if refusal is not None and event in _VETOING:
                return Veto(refusal)
        return None

    async def aclose(self) -> None:
        """Stop what still runs beside the sessions."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def _run(self, hook: Hook, told: Mapping[str, Json]) -> str | None:
        """Run a command once; why it refuses, or None."""
        variables = {
            "LIFE_HOOK_EVENT": str(told["event"]),
            "LIFE_SESSION_ID": str(told["session_id"]),
            "LIFE_WORKSPACE": str(told["workspace"]),
            "LIFE_TOOL_NAME": str(told.get("tool_name", "")),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *hook.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environment | variables,
                cwd=str(told["workspace"]) or None,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            _log.warning("A hook of %s can't be started: %s", hook.event, type(error).__name__)
            return f"The hook {hook.command[0]} can't be started."
        try:
            async with asyncio.timeout(hook.timeout_s):
                said, _ = await process.communicate(msgspec.json.encode(told))
        except TimeoutError:
            _log.warning("A hook of %s took longer than %d s.", hook.event, hook.timeout_s)
            return f"The hook {hook.command[0]} did not answer in time."
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode == 0:
            return None
        words = said[:_REASON_BYTES].decode(errors="replace").strip()
        _log.info("A hook of %s ended with status %d.", hook.event, process.returncode)
        return words or f"The hook {hook.command[0]} refused."


class ToolHooks(Middleware):
    """The three tool events, as middleware of the one loop."""

    name = "hooks"
    required = True
    timeout_s = _MOST_HOOKS * 600
    """Every command has its own limit."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    async def before_tool(self, call: ToolCall, context: ToolContext) -> ArgumentsEdit | Veto | ToolOutcome | None:
        """`pre_tool_use`."""
        return await self._hooks.fire(
            "pre_tool_use",
            {"call_id": call.call_id, "tool_input": call.arguments},
            session_id=context.session_id,
            workspace=context.workspace,
            tool_name=call.tool_name,
        )

    async def after_tool(self, call: ToolCall, context: ToolContext, outcome: ToolOutcome) -> ToolOutcome | None:
        """`post_tool_use` or `post_tool_use_failure`."""
        await self._hooks.fire(
            "post_tool_use" if outcome.status == "ok" else "post_tool_use_failure",
            {
                "call_id": call.call_id,
                "tool_input": call.arguments,
                "status": outcome.status,
                "tool_output": outcome.output,
            },
            session_id=context.session_id,
            workspace=context.workspace,
            tool_name=call.tool_name,
        )
        return None


def _fits(hook: Hook, tool_name: str) -> bool:
    return any(fnmatch.fnmatchcase(tool_name, pattern.strip()) for pattern in hook.matcher.split("|"))
