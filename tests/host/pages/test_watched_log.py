"""The log as the pages show it, beside the log as the terminal shows it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
from life.host.pages.watched_log import watched_log
log = logging.getLogger("life.host.example")
with watched_log() as kept:
    log.info("all is well")
    log.warning("the disk is %s", "full")
    if len(__import__("sys").argv) > 1:
        logging.getLogger().addHandler(logging.StreamHandler())
        log.warning("and again")
    print([line.message for line in kept.lines()])
"""


def said(*arguments: str) -> tuple[str, str]:
    """Standard output and standard error of a process that nobody told how to log."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_watching_takes_nothing_from_standard_error() -> None:
    """A daemon that is watched still writes its warnings to standard error, once each, and the pages have them, too."""
    out, err = said()
    assert "the disk is full" in out
    assert err == "the disk is full\n"


def test_nothing_is_written_twice() -> None:
    """Where somebody else writes the log, watching does not write it as well."""
    _, err = said("a handler")
    assert err == "the disk is full\nand again\n"
