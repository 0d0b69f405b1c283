"""`arcan run`: the answer on standard output, everything else on standard error, and an exit status that says how it went."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.daemon import Arcand
from tests.cli.shell_kit import argv, environment, open_shell, run, script
from tests.harness.process import child_environment
from tests.harness.terminal import CTRL_C, Terminal

BASH = {"text": "A command.", "calls": [{"tool": "bash", "arguments": {"command": "echo hello"}}]}
WRITE = {"text": "I write.", "calls": [{"tool": "write_file", "arguments": {"path": "a.txt", "content": "x"}}]}


def test_a_pipe_gets_the_answer_and_nothing_else(tmp_path: Path) -> None:
    """Words on the way, cards and sums go to standard error; what is piped in goes along, marked."""
    model = script(tmp_path, [WRITE, {"text": "Looks good."}])
    ran = run("run", tmp_path, "review this", "-s", "r", "--model", model, stdin="+ a line\n")
    assert (ran.returncode, ran.stdout) == (0, "Looks good.\n")
    assert re.search(r"● write_file  a.txt +ok", ran.stderr)
    assert "done · 2 steps" in ran.stderr
    exported = run("session", tmp_path, "export", "r").stdout
    said = next(json.loads(line)["kind"]["content"] for line in exported.splitlines() if '"UserMessage"' in line)
    assert said.startswith('review this\n\n<attachment id="')
    assert "+ a line" in said


def test_a_session_is_named_by_the_words_alone(tmp_path: Path) -> None:
    """What is piped in is no part of the name that the list of sessions shows."""
    run("run", tmp_path, "review this", "--model", script(tmp_path, [{"text": "Fine."}]), stdin="+ a line\n")
    (listed,) = json.loads(run("session", tmp_path, "list", "--json").stdout)
    assert listed["name"] == "review this"


def test_the_words_may_come_from_the_pipe(tmp_path: Path) -> None:
    """Without an argument standard input is the objective; with neither it is a usage error."""
    ran = run("run", tmp_path, "--quiet", "--model", script(tmp_path, [{"text": "Yes."}]), stdin="are you there")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Yes.\n", "")
    assert run("run", tmp_path).returncode == 2


def test_files_are_attached(tmp_path: Path) -> None:
    """--attach sends a file along; one that can't be is an error before anything is sent."""
    (tmp_path / "notes.txt").write_text("the notes")
    model = script(tmp_path, [{"text": "Read."}])
    assert run("run", tmp_path, "read", "-s", "r", "--model", model, "--attach", "notes.txt").returncode == 0
    assert "the notes" in run("session", tmp_path, "export", "r").stdout
    refused = run("run", tmp_path, "read", "-s", "r2", "--model", model, "--attach", "missing.txt")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "missing.txt is not a file" in refused.stderr


def test_json_is_one_event_a_line(tmp_path: Path) -> None:
    """Every line is a canonical record; those of the journal come in order, from the user's words to the run's end."""
    ran = run("run", tmp_path, "go", "--json", "--model", script(tmp_path, [WRITE, {"text": "Done."}]))
    records = [json.loads(line) for line in ran.stdout.splitlines()]
    stored = [record for record in records if record["sequence"]]
    assert [record["sequence"] for record in stored] == list(range(stored[0]["sequence"], stored[-1]["sequence"] + 1))
    assert (stored[0]["kind"]["type"], stored[-1]["kind"]["type"]) == ("UserMessage", "RunFinished")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("turns", "options", "status"),
    [
        pytest.param([{"text": "x", "error": {"kind": "unauthorized"}}], [], 1, id="failed"),
        pytest.param([BASH, {"text": "Then not."}], [], 3, id="waits for a person"),
        pytest.param([BASH, {"text": "Then not."}], ["--approve", "none"], 0, id="refused and told"),
        pytest.param([WRITE, {"text": "x"}], ["--max-steps", "1"], 4, id="out of steps"),
        pytest.param([WRITE, {"text": "x"}], ["--max-tool-calls", "0"], 4, id="no tools"),
    ],
)
def test_the_exit_status_says_how_it_went(
    tmp_path: Path, turns: list[dict[str, object]], options: list[str], status: int
) -> None:
    """1 failed, 3 waits for a person and nobody can be asked, 4 stopped by a limit."""
    ran = run("run", tmp_path, "go", "-s", "r", "--model", script(tmp_path, turns), *options)
    assert ran.returncode == status, ran.stderr
    if status == 3:
        assert "arcan shell -s r" in ran.stderr, "it says how to decide"
        assert "--approve none" in ran.stderr


@pytest.mark.slow
def test_what_waits_is_decided_later(tmp_path: Path) -> None:
    """The question of a run that ended with status 3 is asked by the next shell, and its answer finishes the run."""
    model = script(tmp_path, [BASH, {"text": "All is done."}])
    assert run("run", tmp_path, "go", "-s", "r", "--model", model).returncode == 3
    with open_shell(tmp_path, "-s", "r", "--model", model) as terminal:
        terminal.wait_for(r"allow\?")
        terminal.type("y\r")
        terminal.wait_for(r"All is done\.")


def test_a_person_at_the_terminal_is_asked(tmp_path: Path) -> None:
    """At a terminal the question is put there, and the answer streams, without what would steer the terminal."""
    model = script(tmp_path, [BASH, {"deltas": ["All ", "is ", "done.\x1b[2J\x1b]0;title\x07"]}])
    with Terminal.spawn(
        argv("run", tmp_path, "go", "--model", model), env=environment(tmp_path), cwd=tmp_path
    ) as terminal:
        terminal.wait_for(r"allow\? y/n/s")
        terminal.type("what\r")
        terminal.wait_for(r"y yes, n \[REASON\] no")
        terminal.type("y\r")
        terminal.wait_for(r"^All is done\.")
        assert terminal.wait() == 0
        assert "  │ hello" in terminal.text()
        assert b"\x1b[2J" not in terminal.raw
        assert b"\x1b]0;" not in terminal.raw


def test_an_interrupt_stops_the_run_cleanly(tmp_path: Path) -> None:
    """Ctrl-C: the run ends as cancelled, the status is 130, and the session can be used again."""
    model = script(tmp_path, [{"deltas": ["word "] * 400, "delta_delay_ms": 50}, {"text": "Again."}])
    command = argv("run", tmp_path, "talk", "-s", "r", "--model", model)
    with Terminal.spawn(command, env=environment(tmp_path), cwd=tmp_path) as terminal:
        terminal.wait_for(r"word word")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert "stopped · 1 step" in terminal.text()
    ran = run("run", tmp_path, "again", "-s", "r", "--model", model)
    assert (ran.returncode, ran.stdout) == (0, "Again.\n")


@pytest.mark.slow
def test_beside_a_daemon(tmp_path: Path) -> None:
    """The daemon runs it; when it dies meanwhile the status is 5, and nothing ran twice."""
    model = script(tmp_path, [{"text": "From the daemon."}, {"deltas": ["word "] * 400, "delta_delay_ms": 50}])
    with Arcand(tmp_path, "--provider", model, env=environment(tmp_path)) as arcand:
        ran = run("run", tmp_path, "go", "-s", "r", "--quiet")
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "From the daemon.\n", "")
        process = subprocess.Popen(
            argv("run", tmp_path, "talk", "-s", "r"),
            env={**os.environ, **child_environment(environment(tmp_path))},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 30
        while "RunStarted" not in str(arcand.events("r")[-3:]) and time.monotonic() < deadline:
            time.sleep(0.02)
        arcand.process.kill()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 5
        assert b"does not answer" in err


def test_terminated_it_stops_the_run(tmp_path: Path) -> None:
    """SIGTERM is an interrupt, too."""
    model = script(tmp_path, [{"deltas": ["word "] * 400, "delta_delay_ms": 50}])
    command = argv("run", tmp_path, "talk", "--model", model)
    with Terminal.spawn(command, env=environment(tmp_path), cwd=tmp_path) as terminal:
        terminal.wait_for(r"word word")
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait() == 130
