"""Child processes of the harness: they are waited for, their last words are kept, and they really end."""

from __future__ import annotations

import os
import sys

import pytest

from tests.harness.process import ChildProcess, ProcessError, child_environment

READY = "import time; print('ready http://x', flush=True); time.sleep(60)"


def python(program: str) -> ChildProcess:
    """Run a line of Python."""
    return ChildProcess.spawn([sys.executable, "-c", program])


def is_alive(pid: int) -> bool:
    """Whether a process of that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ready_line_is_found_and_the_process_ends_with_the_block() -> None:
    """The match of the awaited line is returned; leaving the block ends the process."""
    with python(READY) as child:
        assert child.wait_for_line(r"^ready (\S+)")[1] == "http://x"
        assert is_alive(child.pid)
    assert not is_alive(child.pid)
    assert child.stdout() == "ready http://x\n"


def test_half_a_line_is_not_ready() -> None:
    """A line counts once it is complete, so an address is never cut short."""
    with python("import time; print('ready http://127', end='', flush=True); time.sleep(60)") as child:
        with pytest.raises(ProcessError, match="was not ready after"):
            child.wait_for_line(r"ready (\S+)", deadline_s=0.5)


def test_early_death_is_reported_with_its_words() -> None:
    """A program that dies before it is ready raises, and the error carries what it wrote."""
    child = python("import sys; print('half'); sys.exit('no such file')")
    with pytest.raises(ProcessError, match=r"ended with code 1 before it was ready[\s\S]*half[\s\S]*no such file"):
        child.wait_for_line("ready")


def test_last_words_count_as_ready() -> None:
    """A program that prints the line and ends at once was ready."""
    with python("print('ready now')") as child:
        assert child.wait_for_line(r"ready (\w+)")[1] == "now"


def test_endless_program_is_stopped_at_the_deadline() -> None:
    """`wait` ends a program that does not end by itself."""
    child = python(READY)
    with pytest.raises(ProcessError, match="was still running after"):
        child.wait(deadline_s=0.3)
    assert not is_alive(child.pid)


def test_stubborn_program_is_killed() -> None:
    """A program that ignores SIGTERM is killed when patience ends."""
    child = python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY)
    child.wait_for_line("ready.*")
    child.stop(patience_s=0.2)
    assert not is_alive(child.pid)
    child.stop()


def test_frozen_program_can_be_stopped() -> None:
    """`stop` wakes a suspended program, which could not end otherwise."""
    child = python(READY)
    child.wait_for_line("ready.*")
    child.suspend()
    child.stop()
    assert not is_alive(child.pid)


def test_large_output_does_not_block() -> None:
    """More output than a pipe holds is taken, and all of it can be read."""
    with python("print('x' * 1_000_000)") as child:
        assert child.wait(deadline_s=20) == 0
        assert len(child.stdout()) == 1_000_001


def test_environment_has_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings of the machine do not reach the children."""
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    environment = child_environment({"EXTRA": "1"})
    assert "HTTP_PROXY" not in environment
    assert environment["NO_PROXY"] == "*"
    assert environment["EXTRA"] == "1"
