"""`life chat` at a real terminal: a pseudo-terminal, and the screen that a person sees (WS-TUI-3 to WS-TUI-5)."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.chat.chat_kit import ESC, F6, F7, F8, F9, F10, HOME, LEFT, argv, open_chat
from tests.cli.daemon import Arcand, children
from tests.cli.shell_kit import Turns, environment, run, script
from tests.harness.process import child_environment
from tests.harness.terminal import CTRL_C, ENTER, Terminal

READY = r"F1 help"
CTRL_Q, CTRL_S = "\x11", "\x13"

ASKS: Turns = (
    {"text": "First.", "calls": [{"tool": "bash", "arguments": {"command": "echo one"}}]},
    {"text": "Second.", "calls": [{"tool": "bash", "arguments": {"command": "echo two"}}]},
    {"text": "All is done."},
    {"text": "The second answer."},
)
SLOW: Turns = ({"deltas": ["word "] * 300, "delta_delay_ms": 50}, {"text": "The second answer."})


def modes(terminal: Terminal) -> tuple[int, int]:
    """The terminal's local and output modes, as the next program would find them."""
    _, output, _, local, *_ = termios.tcgetattr(terminal._descriptor)
    return local, output


def is_restored(terminal: Terminal) -> bool:
    """Whether the last word on every mode that the chat switches on was off again."""
    raw = bytes(terminal.raw)

    def last(on: bytes, off: bytes) -> bool:
        return raw.rfind(off) > raw.rfind(on)

    return (
        last(b"\x1b[?1049h", b"\x1b[?1049l")
        and last(b"\x1b[?25l", b"\x1b[?25h")
        and (b"\x1b[?1000h" not in raw or last(b"\x1b[?1000h", b"\x1b[?1000l"))
        and last(b"\x1b[?2004h", b"\x1b[?2004l")
    )


@contextmanager
def chat_on(folder: Path, model: str, where: str, *options: str) -> Iterator[Terminal]:
    """A chat that opens the project itself, or one on a running daemon."""
    if where == "here":
        with open_chat(folder, "--model", model, *options) as terminal:
            yield terminal
        return
    with Arcand(folder, "--provider", model, env=environment(folder)), open_chat(folder, *options) as terminal:
        yield terminal


@pytest.mark.slow
@pytest.mark.parametrize("where", ["here", "daemon"])
def test_run_approve_replay_quit(tmp_path: Path, where: str) -> None:
    """A message, streaming text, a question that typing does not answer, its answer, the end; back through time without a step run; out, and the
    terminal is as it was (acceptance 14)."""
    with chat_on(tmp_path, script(tmp_path, ASKS), where, "-s", "talk") as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.type("do it" + ENTER)
        terminal.wait_for(r"bash wants to run", on_screen=True)
        terminal.type("yes, y" + ENTER)
        terminal.wait_for(r"After this: yes, y", on_screen=True)
        terminal.settle()
        assert "waits for approval" in "\n".join(terminal.display()), (
            "what is typed decides nothing, and waits its turn"
        )
        terminal.type(F9 + ENTER)
        terminal.settle()
        assert "waits for approval" in "\n".join(terminal.display()), "Enter alone approves nothing"
        terminal.type("y")
        terminal.wait_for(r"\$ echo two", on_screen=True)
        terminal.settle(0.5)
        terminal.type(F9 + "n")
        terminal.type("yes, too noisy")
        terminal.wait_for(r"too noisy", on_screen=True)
        terminal.type(ENTER)
        terminal.wait_for(r"The second answer\.", on_screen=True)
        terminal.wait_for(r"● Idle", on_screen=True)
        terminal.type(F6 + LEFT + LEFT)
        terminal.wait_for(r"Paused at #\d+", on_screen=True)
        terminal.type(HOME)
        terminal.wait_for(r"Paused at #1 ", on_screen=True)
        terminal.settle()
        assert "Nothing has happened yet" in "\n".join(terminal.display())
        terminal.type(ESC)
        terminal.wait_for(r"Live at #\d+", on_screen=True)
        terminal.wait_for(r"The second answer\.", on_screen=True)
        terminal.type(CTRL_Q)
        assert terminal.wait() == 0
        assert is_restored(terminal)
        assert "life chat -s talk" in terminal.text()
    events = run("session", tmp_path, "export", "talk").stdout
    assert events.count('"type":"RunStarted"') == 2, "looking back ran nothing"
    assert re.search(r'"decision":"denied","reason":"[^"]*too noisy', events), events


@pytest.mark.slow
def test_ctrl_c_stops_the_run_and_the_second_leaves(tmp_path: Path) -> None:
    """The first cancels the run and says what the second does; the second within two seconds leaves; the terminal is as it was (WS-TUI-4)."""
    with open_chat(tmp_path, "--model", script(tmp_path, SLOW), "-s", "talk") as terminal:
        before = modes(terminal)
        terminal.wait_for(READY, on_screen=True)
        assert modes(terminal) != before
        terminal.type("go" + ENTER)
        terminal.wait_for(r"word word", on_screen=True)
        terminal.type(CTRL_C)
        terminal.wait_for(r"Ctrl-C again leaves", on_screen=True)
        terminal.wait_for(r"Run ended: cancelled", on_screen=True)
        terminal.type(CTRL_C + CTRL_C)
        assert terminal.wait() == 0
        assert is_restored(terminal)
        assert modes(terminal) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(tmp_path: Path, number: signal.Signals) -> None:
    """Somebody ends it from outside: it closes what it opened and leaves the terminal as it was."""
    with open_chat(tmp_path, "--model", script(tmp_path, SLOW)) as terminal:
        before = modes(terminal)
        terminal.wait_for(READY, on_screen=True)
        os.kill(terminal.pid, number)
        assert terminal.wait() == 0
        assert is_restored(terminal) and modes(terminal) == before


def test_a_crash_leaves_the_terminal_as_it_was_and_tells_no_values(tmp_path: Path) -> None:
    """A fault of ours ends the chat with its place in the code, without the values of variables, on a terminal that is as it was."""
    code = (
        "import life.cli.chat.screen as screen\n"
        "def draw(self):\n"
        "    hidden = 'sk-' + 'hidden' * 3\n"
        "    raise RuntimeError('a fault of ours')\n"
        "screen.ChatApp.draw = draw\n"
        "from life.cli.chat.command import chat; chat()\n"
    )
    recording = Path(__file__).with_name("scenes") / "tools.jsonl"
    with Terminal.spawn(
        [sys.executable, "-c", code, "--file", str(recording)], env=environment(tmp_path), cwd=tmp_path
    ) as terminal:
        before = modes(terminal)
        assert terminal.wait() == 1
        assert is_restored(terminal) and modes(terminal) == before
        assert "a fault of ours" in terminal.text()
        assert "hiddenhidden" not in terminal.text()


@pytest.mark.slow
def test_killed_at_once_the_terminal_is_as_it_was(tmp_path: Path) -> None:
    """kill -9 leaves no time for anything; what watches over the terminal puts it back."""
    recording = Path(__file__).with_name("scenes") / "tools.jsonl"
    command = shlex.join(argv(tmp_path, "--file", str(recording)))
    with Terminal.spawn(["sh", "-c", f"{command}; sleep 20"], env=environment(tmp_path), cwd=tmp_path) as terminal:
        before = modes(terminal)
        terminal.wait_for(READY, on_screen=True)
        terminal.settle()
        assert modes(terminal) != before
        [chat] = [pid for pid in children(terminal.pid) if "chat" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(chat, signal.SIGKILL)
        terminal.settle(1.0)
        assert is_restored(terminal) and modes(terminal) == before


@pytest.mark.slow
def test_resizing_leaves_nothing_behind(tmp_path: Path) -> None:
    """From one column to three and back the screen is whole each time."""
    recording = Path(__file__).with_name("scenes") / "tools.jsonl"
    with open_chat(tmp_path, "--file", str(recording), columns=80, lines=24) as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.settle()
        first = terminal.display()
        for columns, lines in ((190, 50), (44, 14), (120, 30), (30, 10)):
            terminal.resize(columns, lines)
            terminal.settle(0.5)
        assert "At least 40 columns" in "\n".join(terminal.display())
        terminal.resize(80, 24)
        terminal.settle(0.6)
        assert terminal.display() == first


@pytest.mark.slow
def test_no_colour_and_no_unicode(tmp_path: Path) -> None:
    """With NO_COLOR no colour is sent, with --ascii no byte outside of ASCII; what one sees says the same."""
    recording = Path(__file__).with_name("scenes") / "tools.jsonl"
    with open_chat(tmp_path, "--file", str(recording), "--ascii", env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.type("héllo 世界")
        terminal.settle()
        assert "hello ????" in "\n".join(terminal.display())
        raw = bytes(terminal.raw)
        assert max(raw) < 0x80
        colours = re.findall(rb"\x1b\[[0-9;]*m", raw)
        assert colours, "bold and reverse are still told"
        for each in colours:
            codes = [code for code in each[2:-1].split(b";") if code]
            assert not any(re.fullmatch(rb"3[0-8]|4[0-8]|9[0-7]|10[0-7]", code) for code in codes), each


@pytest.mark.slow
def test_a_locale_without_unicode_gets_ascii(tmp_path: Path) -> None:
    """A terminal whose locale can't say UTF-8 is sent ASCII without being asked."""
    recording = Path(__file__).with_name("scenes") / "tools.jsonl"
    with open_chat(
        tmp_path, "--file", str(recording), locale="POSIX", env={"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ) as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.settle()
        assert max(bytes(terminal.raw)) < 0x80


def test_without_a_terminal_it_goes_on_line_by_line(tmp_path: Path) -> None:
    """One sentence that names arcan run and the shell, on standard error; the answer on standard output; nothing is drawn."""
    done = subprocess.run(
        argv(tmp_path, "--model", script(tmp_path, ({"text": "An answer."},))),
        input="hello\n",
        env={**os.environ, **child_environment({**environment(tmp_path), "LC_ALL": "C.UTF-8"})},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "An answer."
    assert "arcan run" in done.stderr.splitlines()[0] and "arcan shell" in done.stderr.splitlines()[0]
    assert "\x1b" not in done.stdout + done.stderr


def test_without_a_terminal_a_recording_is_told(tmp_path: Path) -> None:
    """What is only looked at is told line by line."""
    recording = Path(__file__).with_name("scenes") / "tools.jsonl"
    done = subprocess.run(
        argv(tmp_path, "--file", str(recording)),
        env={**os.environ, **child_environment({"LC_ALL": "C.UTF-8"})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Three orders look" in done.stdout and "arcan session replay" in done.stderr


@pytest.mark.slow
def test_edit_allow_for_the_session_and_pause_after(tmp_path: Path) -> None:
    """`e` gives the arguments to change, `p` runs the call and holds the run, F10 lets it go on, `s` is not asked again."""
    turns: Turns = (
        *(
            {"text": f"{word}.", "calls": [{"tool": "bash", "arguments": {"command": f"echo {word}"}}]}
            for word in ("a", "b", "c", "d")
        ),
        {"text": "All is done."},
    )
    with open_chat(tmp_path, "--model", script(tmp_path, turns), "-s", "talk") as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.type("go" + ENTER)
        terminal.wait_for(r"│ \$ echo a", on_screen=True)
        terminal.settle(0.5)
        terminal.type(F9 + "e")
        terminal.wait_for(r'"command": "echo a"', on_screen=True)
        for keys in ("\x1b[B", "\x1b[F", "\x7f", "\x7f", 'changed"'):
            terminal.type(keys)
            terminal.settle()
        terminal.type(CTRL_S)
        terminal.wait_for(r"│ changed", on_screen=True)
        terminal.wait_for(r"│ \$ echo b", on_screen=True)
        terminal.settle(0.5)
        terminal.type(F9 + "p")
        terminal.wait_for(r"● Held", on_screen=True)
        terminal.settle()
        assert "$ echo c" not in "\n".join(terminal.display())
        terminal.type(F10)
        terminal.wait_for(r"│ \$ echo c", on_screen=True)
        terminal.settle(0.5)
        terminal.type(F9 + "s")
        terminal.wait_for(r"All is done\.", on_screen=True)
    events = run("session", tmp_path, "export", "talk").stdout
    assert events.count('"type":"ApprovalRequested"') == 3, "the fourth call was allowed for the session"
    assert events.count('"arcan.run_paused"') == 1


@pytest.mark.slow
def test_the_daemon_dies_while_it_asked(tmp_path: Path) -> None:
    """The loss is told, the question stands when the daemon is back, and its answer runs that very call, once (acceptance 4)."""
    model = script(tmp_path, (ASKS[0], {"text": "All is done."}))
    daemon = Arcand(tmp_path, "--provider", model, env=environment(tmp_path)).start()
    try:
        with open_chat(tmp_path, "-s", "talk") as terminal:
            terminal.wait_for(READY, on_screen=True)
            terminal.type("go" + ENTER)
            terminal.wait_for(r"bash wants to run", on_screen=True)
            daemon.process.kill()
            terminal.wait_for(r"Connection lost", on_screen=True)
            daemon.start()
            terminal.wait_for(r"● Waiting for you", on_screen=True)
            terminal.settle(0.5)
            terminal.type(F9 + "y")
            terminal.wait_for(r"All is done\.", on_screen=True)
            terminal.wait_for(r"● Idle", on_screen=True)
    finally:
        daemon.process.stop()
    events = run("session", tmp_path, "export", "talk").stdout
    assert events.count('"type":"ToolCallStarted"') == 1


@pytest.mark.slow
def test_a_message_that_waits_can_be_edited_and_taken_back(tmp_path: Path) -> None:
    """What is said during a run is seen, removed, or given back to be changed; what was taken back is never said."""
    with open_chat(tmp_path, "--model", script(tmp_path, SLOW), "-s", "talk") as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.type("go" + ENTER)
        terminal.wait_for(r"word word", on_screen=True)
        terminal.type("first thing" + ENTER)
        terminal.wait_for(r"After this: first thing", on_screen=True)
        terminal.type("second thing" + ENTER)
        terminal.wait_for(r"After this: second thing", on_screen=True)
        terminal.type(F8)
        terminal.wait_for(r"Waiting messages", on_screen=True)
        terminal.settle()
        terminal.type("d")
        terminal.settle(0.5)
        assert "first thing" not in "\n".join(terminal.display())
        terminal.type(F8)
        terminal.wait_for(r"Waiting messages", on_screen=True)
        terminal.settle()
        terminal.type("e")
        terminal.wait_for(r"❯ second thing", on_screen=True)
        terminal.type(CTRL_C)
        terminal.wait_for(r"Run ended: cancelled", on_screen=True)
        assert "❯ second thing" in "\n".join(terminal.display())
    events = run("session", tmp_path, "export", "talk").stdout
    assert events.count('"type":"QueueDrained"') == 2
    assert "first thing" not in [line for line in events.splitlines() if '"UserMessage"' in line][-1]


@pytest.mark.slow
def test_a_branch_from_the_past_leaves_its_parent_alone(tmp_path: Path) -> None:
    """Look back, branch there without running, and the branch has what was there; main is as it was (WS-BR-1, WS-BR-2)."""
    with open_chat(tmp_path, "--model", script(tmp_path, ({"text": "Only words."},) * 2), "-s", "talk") as terminal:
        terminal.wait_for(READY, on_screen=True)
        terminal.type("first" + ENTER)
        terminal.wait_for(r"Run ended: completed", on_screen=True)
        before = run("session", tmp_path, "export", "talk").stdout
        terminal.type(F6 + HOME)
        terminal.wait_for(r"Paused at #1 ", on_screen=True)
        terminal.type("\x1b[1;2C")
        terminal.wait_for(r"Paused at #11 ", on_screen=True)
        terminal.type(F7)
        terminal.wait_for(r"A branch from event #11", on_screen=True)
        for keys in ("\x15", "idea"):
            terminal.settle()
            terminal.type(keys)
        terminal.wait_for(r"│  idea ", on_screen=True)
        terminal.type(CTRL_S)
        terminal.wait_for(r"On the branch", on_screen=True)
        terminal.settle()
        screen = "\n".join(terminal.display())
        assert "❯ first" in screen
        terminal.type(CTRL_Q)
        assert terminal.wait() == 0
        assert "--branch" in terminal.text()
    after = run("session", tmp_path, "export", "talk").stdout
    assert after == before, "the parent is as it was"
