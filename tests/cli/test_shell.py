"""`arcan shell` at a real terminal: a pseudo-terminal, and the screen that a person sees."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.daemon import Arcand
from tests.cli.shell_kit import Turns, environment, open_shell, run, script
from tests.harness.terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, TAB, UP, Terminal

PROMPT = r"^›"


@contextmanager
def shell_on(folder: Path, model: str, where: str, *options: str) -> Iterator[Terminal]:
    """A shell that opens the project itself, or one on a running daemon."""
    if where == "here":
        with open_shell(folder, "--model", model, *options) as terminal:
            yield terminal
        return
    with Arcand(folder, "--provider", model, env=environment(folder)), open_shell(folder, *options) as terminal:
        yield terminal


@pytest.mark.parametrize("where", ["here", "daemon"])
def test_a_whole_conversation(tmp_path: Path, where: str) -> None:
    """Words, a card with a difference, a question that a half-typed word does not answer, its answer, the end: the same here and on a daemon."""
    with shell_on(tmp_path, script(tmp_path), where, "-s", "talk") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("do it" + ENTER)
        terminal.wait_for(r"^allow\? y/n/e/s ›")
        terminal.settle()
        seen = terminal.text()
        assert re.search(r"^› do it$", seen, re.MULTILINE)
        assert "I write **three** lines and change one." in seen, "pieces become one line"
        assert "- 世界" in seen
        assert re.search(r"^● write_file  a.txt +ok \d+ ms$", seen, re.MULTILINE)
        assert "  │ + two" in seen
        assert "? bash wants to run  risk high" in seen
        assert "$ echo hello; seq 30" in seen
        terminal.type("maybe" + ENTER)
        terminal.settle()
        assert "allow? y/n/e/s" in terminal.text(), "what is no answer decides nothing"
        terminal.type("y" + ENTER)
        terminal.wait_for(r"^  done · 4 steps · 3 tool calls · 1.2k tokens")
        seen = terminal.text()
        assert "bash allowed" in seen
        assert "(24 more lines)" in seen, "long results are cut"
        assert "  │ - two" in seen
        assert "  │ + 2" in seen, "what was there before is known from the conversation"
        assert seen.index("And a change.") > seen.index("● bash"), "an answer stands behind the result that it answers"
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert "arcan shell -s talk" in terminal.text()


def test_the_screen_is_whole_at_80_by_24(tmp_path: Path) -> None:
    """No row is longer than the terminal, nothing is left of what moved, and the last two rows are the input and the status."""
    with open_shell(tmp_path, "--model", script(tmp_path), "-s", "talk") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("do it" + ENTER)
        terminal.wait_for(r"allow\?")
        terminal.type("y" + ENTER)
        terminal.wait_for(r"^  done ")
        terminal.settle()
        rows = [row for row in terminal.display() if row]
        assert rows[-2] == "›"
        assert re.fullmatch(r"  talk · scripted:test · 1.2k tokens · /help", rows[-1])
        text = terminal.text()
        assert not re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]|thinking", text), "spinners leave nothing behind"
        assert text.count("All is done.") == 1
        assert text.count("# Plan") == 1


@pytest.mark.slow
def test_edit_and_allow_for_the_session(tmp_path: Path) -> None:
    """`e` gives the arguments to change; `s` is not asked again."""
    turns: Turns = [
        {"text": "One.", "calls": [{"tool": "bash", "arguments": {"command": "echo first"}}]},
        {"text": "Two.", "calls": [{"tool": "bash", "arguments": {"command": "echo second"}}]},
        {"text": "Three.", "calls": [{"tool": "bash", "arguments": {"command": "echo third"}}]},
        {"text": "Ready."},
    ]
    with open_shell(tmp_path, "--model", script(tmp_path, turns)) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("go" + ENTER)
        terminal.wait_for(r"allow\?")
        terminal.type("e" + ENTER)
        terminal.wait_for(r"arguments ›")
        terminal.settle()
        assert '"command": "echo first"' in terminal.text()
        terminal.type("\x7f" * 60 + '{"command": "echo changed"}' + ENTER)
        terminal.wait_for(r"echo second\n[^●]*allow\?")
        assert "  │ changed" in terminal.text()
        terminal.type("s" + ENTER)
        terminal.wait_for(r"^  done · 4 steps")
        assert "Allowed for this session: bash" in terminal.text()
        assert "  │ third" in terminal.text(), "the third call was not asked about"
        terminal.type("/rules" + ENTER)
        terminal.wait_for(r"^  1  bash: exec:cmd:echo")


def test_a_refusal_carries_its_reason(tmp_path: Path) -> None:
    """`n too noisy`: the call does not run, and the reason is told."""
    with open_shell(tmp_path, "--model", script(tmp_path)) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("do it" + ENTER)
        terminal.wait_for(r"allow\?")
        terminal.type("n too noisy" + ENTER)
        terminal.wait_for(r"^  done ")
        assert "bash refused (too noisy)" in terminal.text()
        assert re.search(r"● bash .* not run", terminal.text())


@pytest.mark.slow
def test_killed_while_it_asked_it_asks_again(tmp_path: Path) -> None:
    """After kill -9 the next shell shows the turn and the same question; the answer runs that very call, once."""
    model = script(tmp_path)
    with open_shell(tmp_path, "--model", model, "-s", "talk") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("do it" + ENTER)
        terminal.wait_for(r"allow\?")
        terminal.kill()
    with open_shell(tmp_path, "--model", model, "-s", "talk") as terminal:
        terminal.wait_for(r"allow\?")
        assert "› do it" in terminal.text()
        terminal.settle()
        assert terminal.text().count("wants to run") == 1
        terminal.type("y" + ENTER)
        terminal.wait_for(r"^  done · 4 steps")
    exported = run("session", tmp_path, "export", "talk")
    kinds = [json.loads(line)["kind"] for line in exported.stdout.splitlines()]
    started = [kind for kind in kinds if kind["type"] == "ToolCallStarted" and kind["tool_name"] == "bash"]
    assert len(started) == 1


def test_interrupt_queue_and_quit(tmp_path: Path) -> None:
    """What is typed during a run waits and is shown; Ctrl-C stops the run and gives it back; twice leaves."""
    turns: Turns = [{"deltas": ["word "] * 400, "delta_delay_ms": 50}, {"text": "The second answer."}]
    with open_shell(tmp_path, "--model", script(tmp_path, turns)) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("talk" + ENTER)
        terminal.wait_for(r"word word")
        terminal.type("and then?" + ENTER)
        terminal.wait_for(r"and then\?  \(waits\)")
        terminal.type(CTRL_C)
        terminal.wait_for(r"^  stopped · ")
        terminal.settle()
        assert "not said: and then?" in terminal.text()
        assert "Ctrl-C again leaves" in terminal.text(), "the hint can be seen"
        terminal.wait_for(r"^› and then\?")
        terminal.type(ENTER)
        terminal.wait_for(r"The second answer\.")
        terminal.wait_for(r"^  done ")
        terminal.type(CTRL_C)
        terminal.wait_for(r"Ctrl-C again leaves")
        terminal.type(CTRL_C)
        assert terminal.wait() == 0


def test_undo_goes_back_on_a_branch(tmp_path: Path) -> None:
    """The message comes back to be changed, the branch it stood on stays."""
    turns = [{"text": "First answer."}, {"text": "Second answer."}]
    with open_shell(tmp_path, "--model", script(tmp_path, turns), "-s", "talk") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("a question" + ENTER)
        terminal.wait_for(r"^  done ")
        terminal.type("/undo" + ENTER)
        terminal.wait_for(r"On the branch main-before-3")
        terminal.wait_for(r"^› a question$", on_screen=True)
        terminal.type(" again" + ENTER)
        terminal.wait_for(r"First answer\.[^$]*First answer\.")
        terminal.type("/branch" + ENTER)
        terminal.wait_for(r"\* main-before-3 +\d+ events from main after 2")


@pytest.mark.slow
def test_input(tmp_path: Path) -> None:
    """Several lines, completion of commands and files, history with mode 0600, attachments with their contents."""
    (tmp_path / "notes of today.md").write_text("attached words\n")
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe\x00")
    turns = [{"text": "I have read it."}, {"text": "Two lines."}]
    with open_shell(tmp_path, "--model", script(tmp_path, turns), "-s", "talk") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("/sta")
        terminal.wait_for(r"status  session, model")
        terminal.type(TAB + ENTER + ENTER)
        terminal.wait_for(r"^  state     idle")
        terminal.type("look at @picture.png" + ENTER)
        terminal.wait_for(r"picture.png is not text")
        terminal.settle()
        terminal.type("\x15look at @notes")
        terminal.wait_for(r"^ notes of today.md")
        terminal.type(TAB)
        terminal.wait_for(r'@"notes of today.md"')
        terminal.type(ENTER + ENTER)
        terminal.wait_for(r"I have read it\.")
        assert "  + notes of today.md" in terminal.text()
        terminal.type("one\\" + ENTER + "two" + ALT_ENTER + "three")
        terminal.wait_for(r"^› one\n  two\n  three")
        terminal.type(ENTER)
        terminal.wait_for(r"Two lines\.")
        terminal.wait_for(r"^  done [^›]*^›")
        terminal.settle()
        terminal.type(UP)
        terminal.wait_for(r"^› one\n  two\n  three\n  talk", on_screen=True)
        terminal.type(CTRL_C + CTRL_D)
        terminal.wait()
    history = tmp_path / "life" / "shell-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert json.loads(history.read_text().splitlines()[-1]) == "one\ntwo\nthree"
    exported = run("session", tmp_path, "export", "talk").stdout
    said = next(json.loads(line)["kind"]["content"] for line in exported.splitlines() if '"UserMessage"' in line)
    assert "attached words" in said
    assert '<attachment id="' in said


@pytest.mark.slow
def test_commands_tell(tmp_path: Path) -> None:
    """Every command that tells something does so, and an unknown one lists those that begin like it."""
    with open_shell(tmp_path, "--model", script(tmp_path, [{"text": "Fine."}]), "-s", "talk", lines=60) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("how are you" + ENTER)
        terminal.wait_for(r"^  done ")
        for command, expected in (
            ("/cost", r"1 answer without a known price"),
            ("/context", r"window  "),
            ("/model", r"/model SPEC"),
            ("/history", r"you   how are you"),
            ("/search fine", r"agent Fine\."),
            ("/diff", r"No file was changed"),
            ("/files", r"The workspace is empty"),
            ("/memory", r"Nothing is remembered|Memory|user "),
            ("/skill", r"No skills are here|/"),
            ("/queue", r"No message waits"),
            ("/sessions", r"\*  1  talk"),
            ("/config daemon.port", r"daemon.port  3000"),
            ("/st", r"/steer TEXT"),
            ("/nonsense", r"There is no command /nonsense"),
            ("/reasoning", r"Thinking is shown"),
            ("/save talk.md", r"Wrote talk.md"),
            ("/help", r"/quit +leave"),
        ):
            terminal.type(command + ENTER)
            terminal.wait_for(expected)
        terminal.type("/quit" + ENTER)
        assert terminal.wait() == 0
    assert "## You\n\nhow are you\n\n## Agent\n\nFine." in (tmp_path / "talk.md").read_text()


def test_narrow_without_colour_and_without_unicode(tmp_path: Path) -> None:
    """40 columns, NO_COLOR and an ASCII locale: no colour, no sign that can't be shown, no row cut through a word."""
    plain = {"NO_COLOR": "1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    model = script(tmp_path)
    with open_shell(tmp_path, "--model", model, columns=40, locale="C", env=plain) as terminal:
        terminal.wait_for(r"^>")
        terminal.type("do it" + ENTER)
        terminal.wait_for(r"allow\?")
        terminal.type("y" + ENTER)
        terminal.wait_for(r"^  done - 4 steps")
        terminal.settle()
        assert not re.search(rb"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38;5;\d+)m", bytes(terminal.raw))
        assert "* write_file  a.txt" in terminal.text()
        assert terminal.text().isascii()


@pytest.mark.slow
def test_a_daemon_that_restarts_is_found_again(tmp_path: Path) -> None:
    """The shell says that the daemon is gone, and goes on when it is back."""
    with Arcand(tmp_path, "--provider", script(tmp_path, [{"text": "Here."}]), env=environment(tmp_path)) as arcand:
        with open_shell(tmp_path, "-s", "talk") as terminal:
            terminal.wait_for(PROMPT)
            arcand.process.kill()
            terminal.wait_for(r"does not answer\. Trying again")
            arcand.start()
            terminal.wait_for(r"Connected again")
            terminal.type("are you there" + ENTER)
            terminal.wait_for(r"^Here\.")
            terminal.wait_for(r"^  done ")


def test_what_a_model_says_steers_no_terminal(tmp_path: Path) -> None:
    """Escape sequences in words, arguments and results are shown as what they are: characters."""
    evil = "\x1b[2J\x1b]0;title\x07\x1b[31m"
    turns: Turns = [
        {"text": f"say {evil}", "calls": [{"tool": "bash", "arguments": {"command": f"echo '{evil}'"}}]},
        {"text": "Over."},
    ]
    with open_shell(tmp_path, "--model", script(tmp_path, turns)) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("go" + ENTER)
        terminal.wait_for(r"allow\?")
        terminal.type("y" + ENTER)
        terminal.wait_for(r"^Over\.")
        for sequence in (b"\x1b[2J", b"\x1b]0;title", b"\x1b[31m"):
            assert sequence not in terminal.raw


def test_without_a_terminal(tmp_path: Path) -> None:
    """Lines in, answers on standard output, everything else on standard error; nobody is asked, and the status says so."""
    ran = run(
        "shell",
        tmp_path,
        "-s",
        "talk",
        "--model",
        script(tmp_path, [{"text": "One."}, {"text": "Two."}]),
        stdin="a\nb\n/cost\n",
    )
    assert (ran.returncode, ran.stdout) == (0, "One.\nTwo.\n"), ran.stderr
    assert "2 answers without a known price" in ran.stderr
    (tmp_path / "life").rename(tmp_path / "other")
    ran = run("shell", tmp_path, "-s", "talk", "--model", script(tmp_path), stdin="do it\nthen this\n")
    assert ran.returncode == 3
    assert "Decide with: arcan shell -s talk" in ran.stderr


def test_the_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    """Ended by a signal, the shell gives the terminal back: line mode, echo, the cursor shown."""
    with open_shell(tmp_path, "--model", script(tmp_path)) as terminal:
        before = termios.tcgetattr(terminal._descriptor)[3]
        terminal.wait_for(PROMPT)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait() == 0
        assert termios.tcgetattr(terminal._descriptor)[3] == before
        assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l")
