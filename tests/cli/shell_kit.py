"""The shell and its neighbours as a test starts them: real processes on one data directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.process import child_environment
from tests.harness.terminal import Terminal

ENVIRONMENT = {"LIFE_SANDBOX_BACKEND": "process", "LIFE_DAEMON_JOURNAL_WRITER": "in_loop"}
"""Commands run in the test's own account, so that no sandbox has to be there."""

_SHELL = "from life.cli.shell.command import shell as command"
_RUN = "from life.cli.session_run import run_once as command"
_SESSION = "from life.cli.session import session as command"
_INIT = "from life.cli.init import init as command"
_DOCTOR = "from life.cli.doctor import doctor as command"

COMMANDS = {"shell": _SHELL, "run": _RUN, "session": _SESSION, "init": _INIT, "doctor": _DOCTOR}

Turns = Sequence[Mapping[str, object]]

CONVERSATION: Turns = (
    {
        "deltas": ["# Plan\n\n", "I write **three** lines ", "and change one.\n\n- höflich\n", "- 世界\n"],
        "delta_delay_ms": 20,
        "calls": [{"tool": "write_file", "arguments": {"path": "a.txt", "content": "one\ntwo\nthree\n"}}],
    },
    {"text": "Now a command.", "calls": [{"tool": "bash", "arguments": {"command": "echo hello; seq 30"}}]},
    {
        "text": "And a change.",
        "calls": [{"tool": "write_file", "arguments": {"path": "a.txt", "content": "one\n2\nthree\n"}}],
    },
    {"text": "All is done.", "usage": {"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234}},
    {"deltas": ["word "] * 400, "delta_delay_ms": 50},
    {"text": "The second answer."},
    {"text": "The third answer."},
)


def script(folder: Path, turns: Turns = CONVERSATION) -> str:
    """The specification of a scripted model."""
    path = folder / "script.json"
    path.write_text(json.dumps({"name": "test", "turns": list(turns)}))
    return f"scripted:{path}"


def environment(folder: Path) -> dict[str, str]:
    return {**ENVIRONMENT, "LIFE_KEY_FILE": str(folder / "keys" / "identity.key")}


def argv(name: str, folder: Path, *options: str) -> list[str]:
    """A command of this version, on the folder's data directory."""
    command, *rest = options if name == "session" else ("", *options)
    words = (
        [command, "--data-dir", str(folder / "life"), *rest] if command else ["--data-dir", str(folder / "life"), *rest]
    )
    return [sys.executable, "-c", f"{COMMANDS[name]}; command()", *words]


def open_shell(
    folder: Path,
    *options: str,
    columns: int = 80,
    lines: int = 24,
    env: Mapping[str, str] | None = None,
    locale: str = "C.UTF-8",
) -> Terminal:
    """`arcan shell` in a terminal."""
    return Terminal.spawn(
        argv("shell", folder, *options),
        env={**environment(folder), **(env or {})},
        cwd=folder,
        columns=columns,
        lines=lines,
        locale=locale,
    )


def run(
    name: str, folder: Path, *options: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command without a terminal, to its end."""
    return subprocess.run(
        argv(name, folder, *options),
        input=stdin,
        env={**os.environ, **child_environment({**environment(folder), "LC_ALL": "C.UTF-8", **(env or {})})},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
