"""`life up` at a person's terminal: one link, opened where there is a desktop, and a port that is taken."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.daemon import BIN, free_port


def _environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    return {**kept, "LIFE_KEY_FILE": str(folder / "keys" / "identity.key"), **more}


def _up(folder: Path, *options: str, seconds: float = 30, **more: str) -> str:
    """What it prints at a terminal until it says how to stop it; then it is stopped."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BIN / "life", "up", *options],
        cwd=folder,
        env=_environment(folder, **more),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    text, deadline = "", time.monotonic() + seconds
    try:
        while "Ctrl-C stops it" not in text and process.poll() is None and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    text += os.read(ours, 65_536).decode(errors="replace")
                except OSError:
                    break
        if "opened" in more.get("BROWSER", ""):
            while not (folder / "opened.txt").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(20)
        os.close(ours)
    return text


@pytest.mark.slow
def test_one_link_is_printed_and_opened_at_a_desktop(tmp_path: Path) -> None:
    """The link in the browser is the one that is printed, once; --no-browser, or no desktop, opens nothing."""
    opener = tmp_path / "opened.sh"
    opener.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened.txt\n')
    opener.chmod(0o700)
    shown = _up(tmp_path, "--port", str(free_port()), DISPLAY=":77", BROWSER=f"{opener} %s")
    links = re.findall(r"http://\S+/login\?code=\S+", shown)
    assert len(links) == 1
    assert (tmp_path / "opened.txt").read_text().split() == links
    (tmp_path / "opened.txt").unlink()
    quiet = f"{opener} %s".replace("opened.sh", "quiet.sh")
    opener.rename(tmp_path / "quiet.sh")
    _up(tmp_path, "--port", str(free_port()), "--no-browser", DISPLAY=":77", BROWSER=quiet)
    _up(tmp_path, "--port", str(free_port()), BROWSER=quiet)
    assert not (tmp_path / "opened.txt").exists()


def test_a_taken_port_is_told_with_a_free_one(tmp_path: Path) -> None:
    """Exit code 1, who has it, and the command line to use instead."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [BIN / "life", "up", "--port", str(port)],
            cwd=tmp_path,
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
        )
    assert answer.returncode == 1
    assert f"process {os.getpid()}" in answer.stderr
    assert re.search(r"Port \d+ is free: --port \d+", answer.stderr)
