"""Which programs a command runs: told for sure, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.praxis.sandbox.shell_programs import programs_of


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("ls", {"ls"}),
        ("  ls -la  # rm x", {"ls"}),
        ("ls; rm -rf x", {"ls", "rm"}),
        ("ls\nrm x\n", {"ls", "rm"}),
        ("ls&rm x", {"ls", "rm"}),
        ("ls && rm x || cat y |& wc", {"ls", "rm", "cat", "wc"}),
        ("grep -r 'a;b|c' . | sort -u > out 2>&1", {"grep", "sort"}),
        ("2>errors ls <in", {"ls"}),
        ('"r"m x', {"rm"}),
        ("l\\s", {"ls"}),
        ("e''cho hi", {"echo"}),
        ("./ls", {"./ls"}),
        ("/usr/bin/git status", {"/usr/bin/git"}),
        ("echo $HOME \"$USER\" '$(rm)' \\$\\(rm\\)", {"echo"}),
        ("echo a#b \\\n more", {"echo"}),
        ("find . -name '*.py'", {"find"}),
        ("printf '%s' x", {"printf"}),
        ("test -f x && make", {"test", "make"}),
        ("> file", set()),
        ("", set()),
        ("# nothing", set()),
    ],
)
def test_told_for_sure(command: str, programs: set[str]) -> None:
    """Every program of every pipeline and list, whatever the quoting."""
    assert programs_of(command) == tuple(sorted(programs))


@pytest.mark.parametrize(
    "command",
    [
        "$(rm x)",
        "echo $(rm x)",
        'echo "$(rm x)"',
        "echo `rm x`",
        'echo "`rm x`"',
        "cat <(rm x)",
        "cat >(rm x)",
        "echo ${x:-$(rm)}",
        "echo $((1+1))",
        "echo $[1]",
        "$X",
        "$'\\x72m' x",
        "~/rm",
        "r?",
        "{rm,x}",
        "A=1 ls",
        "PATH=. ls",
        "a[0]=x ls",
        "if true; then rm x; fi",
        "! rm x",
        "{ rm x; }",
        "(rm x)",
        "time rm x",
        "ti\\\nme rm x",
        "function f { rm x; }",
        "ls() { rm x; }",
        "cat <<E\nx\nE",
        "cat <<<x",
        "eval rm",
        "command rm",
        "exec rm",
        ". ./x",
        "source x",
        "trap 'rm x' EXIT",
        "alias ls=rm",
        "env rm",
        "/usr/bin/env rm",
        "xargs rm",
        "sh -c rm",
        "bash x",
        "sudo rm",
        "timeout 1 rm",
        "find . -exec rm {} +",
        "find . $X",
        "test -v 'a[$(rm)]'",
        "[ -v 'a[$(rm)]' ]",
        "printf -v 'a[$(rm)]' x",
        "read 'a[$(rm)]'",
        "[[ -v x ]]",
        "let 'a[$(rm)]'",
        "export A",
        "ls 'unclosed",
        'ls "unclosed',
        "ls \\",
        "ls >",
        "ls > > x",
        "ls\0rm",
        "ls\r\nrm",
        "ls $",
        "x" * 30_000,
    ],
)
def test_not_told(command: str) -> None:
    """Whatever could run something that is not written there as a program."""
    assert programs_of(command) is None


_PIECES = st.sampled_from(
    [
        *(
            "alpha",
            "beta",
            "gamma",
            " ",
            " ",
            ";",
            "|",
            "&&",
            "||",
            "&",
            "\n",
            "'",
            '"',
            "\\",
            "$",
            "(",
            ")",
            "`",
            "{",
            "}",
            "#",
        ),
        *(
            "!",
            "=",
            "A=1",
            "<",
            ">",
            "2>&1",
            "x",
            "*",
            "~",
            "[",
            "]",
            "if",
            "then",
            "fi",
            "time",
            "\\\n",
            "$x",
            "eval",
            "${",
            "<<",
        ),
    ]
)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose three programs write their own names down."""
    place = tmp_path_factory.mktemp("programs")
    for name in ("alpha", "beta", "gamma"):
        program = place / name
        program.write_text(f'#!/bin/sh\necho {name} >> "$TRACE"\n')
        program.chmod(0o755)
    return place


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is what is compared with")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(_PIECES, max_size=12))
def test_bash_runs_nothing_that_was_not_told(pieces: list[str], traced: Path, tmp_path: Path) -> None:
    """Random commands, run by the real bash: every program that ran is among those that were told."""
    command = "".join(pieces)
    told = programs_of(command)
    if told is None:
        return
    trace = tmp_path / "trace"
    trace.unlink(missing_ok=True)
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    environment = {"PATH": str(traced), "TRACE": str(trace), "HOME": str(work)}
    subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=work,
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
        check=False,
    )
    ran = set(trace.read_text().split()) if trace.exists() else set()
    assert ran <= set(told), (command, os.listdir(work))
