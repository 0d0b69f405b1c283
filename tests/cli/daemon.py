"""`arcand` as a real process, driven and read from outside."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import apsw
import httpx2

from tests.harness.process import ChildProcess

BIN = Path(sys.executable).parent
Event = dict[str, object]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Arcand:
    """A daemon on one data directory; `start` may be called again after `kill` or `stop`, on the same port."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """`folder` holds the data directory (`life`) and the key file; `wrapper` is put before the command."""
        self.folder = folder
        self.data = folder / "life"
        self.port = port or free_port()
        self.env = {"LIFE_KEY_FILE": str(folder / "keys" / "identity.key"), **(env or {})}
        self._options = options
        self._wrapper = wrapper
        self._process: ChildProcess | None = None

    @property
    def process(self) -> ChildProcess:
        assert self._process is not None
        return self._process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    @property
    def client(self) -> httpx2.Client:
        """With the token; close it."""
        return httpx2.Client(base_url=self.url, headers=self.bearer, trust_env=False, timeout=30)

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def spawn(self) -> ChildProcess:
        """Start the process; nothing is waited for."""
        if self._process is not None:
            self._process.stop()
        command = [*self._wrapper, str(BIN / "arcand"), "--port", str(self.port), "--data-dir", str(self.data)]
        self._process = ChildProcess.spawn([*command, *self._options], name="arcand", env=self.env, cwd=self.folder)
        return self._process

    def start(self) -> Self:
        """Start the process and wait until it says that it listens."""
        self.spawn().wait_for_line(r"arcand listens on http://127\.0\.0\.1:\d+")
        return self

    def request(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """One request with the token."""
        with self.client as client:
            return client.request(method, path, json=body, headers=dict(headers or {}))

    def get(self, path: str) -> object:
        """The JSON at `path`."""
        response = self.request("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def events(self, session_id: str) -> list[Event]:
        """All events of a session, as the API gives them."""
        page = self.get(f"/sessions/{session_id}/events?limit=10000")
        assert isinstance(page, dict)
        events: list[Event] = page["events"]
        return events

    def start_run(self, session_id: str, objective: str = "go", **more: object) -> str:
        """Begin a run without waiting for it; its id."""
        body = {"objective": objective, "wait": False, **more}
        response = self.request("POST", f"/sessions/{session_id}/runs", body)
        assert response.status_code == 202, response.text
        return str(response.json()["run_id"])

    def output(self) -> str:
        """Everything it said."""
        return self.process.stdout() + self.process.stderr()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.stop()


def run_command(*words: str | Path, folder: Path, deadline_s: float = 30.0) -> tuple[int, str, str]:
    """A command run to its end in `folder`: exit code, standard output, standard error."""
    argv = [str(BIN / words[0]), *map(str, words[1:])]
    env = {"LIFE_KEY_FILE": str(folder / "keys" / "identity.key")}
    with ChildProcess.spawn(argv, env=env, cwd=folder) as process:
        code = process.wait(deadline_s=deadline_s)
        return code, process.stdout(), process.stderr()


def kind(event: Event) -> str:
    """The kind's name, or its dotted type."""
    content = event["kind"]
    assert isinstance(content, dict)
    name = str(content["type"])
    return str(content.get("event_type", name)) if name == "Custom" else name


def write_script(path: Path, turns: Sequence[Mapping[str, object]]) -> str:
    """A script for the scripted provider; how `--provider` names it."""
    path.write_text(json.dumps({"name": "test", "turns": turns}))
    return f"scripted:{path}"


def damage(journal: Path, statement: str, *bindings: object) -> None:
    """Change a journal behind its back, as a failing disk or an editor would."""
    connection = apsw.Connection(str(journal))
    try:
        connection.execute(statement, bindings)
        assert connection.changes() == 1
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def children(pid: int) -> list[int]:
    """The process ids of a process's children (Linux)."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry))
    return found
