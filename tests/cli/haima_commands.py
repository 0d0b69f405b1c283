"""The commands of haima as real processes, and a line between them that a test can cut."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple, Self

from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord
from life.haima.chain.local_ledger import LocalLedger
from life.haima.events import event_type, read_finance
from life.haima.x402.networks import BUILT_IN
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from tests.harness.anvil import USDC, DevAccount
from tests.harness.process import ChildProcess

BIN = Path(sys.executable).parent
CHAIN_ID = 84532
NETWORK = f"eip155:{CHAIN_ID}"
ASSET = USDC[CHAIN_ID]
PRICE = 10_000
SELLER = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
"""Whom the shops are for; nobody has its key."""
DEADLINE_S = 30.0


class Paid(NamedTuple):
    """How a `haima pay` ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def line(self) -> dict[str, object]:
        """The JSON of the last line of stdout."""
        parsed = json.loads(self.stdout.splitlines()[-1])
        assert isinstance(parsed, dict)
        return parsed

    @property
    def error_code(self) -> str | None:
        """The code of the error, if there is one."""
        error = self.line.get("error")
        assert error is None or isinstance(error, dict)
        return None if error is None else error["code"]

    @property
    def transaction(self) -> str:
        """The settlement's transaction."""
        settlement = self.line["settlement"]
        assert isinstance(settlement, dict), self
        return str(settlement["transaction"])


def start_pay(
    url: str,
    account: DevAccount | None,
    state: Path,
    *more: str,
    network: str = NETWORK,
    on_command_line: bool = False,
    env: Mapping[str, str] | None = None,
) -> ChildProcess:
    """`haima pay`, started. The key goes through the environment unless it shall stand on the command line."""
    key = [] if account is None or not on_command_line else ["--key", account.key]
    exported = {} if account is None or on_command_line else {"HAIMA_PRIVATE_KEY": account.key}
    argv = [BIN / "haima", "pay", url, *key, "--network", network, "--state", state, *more]
    return ChildProcess.spawn([str(part) for part in argv], name="haima pay", env={**exported, **(env or {})})


def finished(process: ChildProcess, *, deadline_s: float = DEADLINE_S) -> Paid:
    """Wait for a started command; how it ended."""
    with process:
        code = process.wait(deadline_s=deadline_s)
        return Paid(code, process.stdout(), process.stderr())


def pay(
    url: str,
    account: DevAccount | None,
    state: Path,
    *more: str,
    network: str = NETWORK,
    on_command_line: bool = False,
    env: Mapping[str, str] | None = None,
) -> Paid:
    """`haima pay`, run to its end."""
    return finished(start_pay(url, account, state, *more, network=network, on_command_line=on_command_line, env=env))


def run(*argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Paid:
    """Any command, run to its end."""
    return finished(ChildProcess.spawn([str(BIN / argv[0]), *map(str, argv[1:])], env=env, cwd=cwd))


class Daemon:
    """A daemon of ours: its address and its process. `restart` runs the same command again on the same port."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None) -> None:
        self._argv = list(argv)
        self._env = env
        self._cwd = cwd
        self.process: ChildProcess
        self.url: str
        self._start()

    @classmethod
    def start(cls, *argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Run it and wait until it says where it listens."""
        return cls([str(BIN / argv[0]), *map(str, argv[1:])], env, cwd)

    def _start(self) -> None:
        self.process = ChildProcess.spawn(self._argv, name=" ".join(self._argv[1:3]), env=self._env, cwd=self._cwd)
        self.url = self.process.wait_for_line(r"^\S.* listens on (http://\S+)", deadline_s=DEADLINE_S)[1]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def restart(self) -> None:
        """Start it again where it was."""
        place = self._argv.index("--port")
        self._argv[place + 1] = str(self.port)
        self._start()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send SIGTERM (or another signal); the exit code."""
        os.kill(self.process.pid, number)
        code = self.process.wait(deadline_s=DEADLINE_S)
        self.process.stop()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.stop()


def local_facilitator(directory: Path, *more: str) -> Daemon:
    """`haima facilitator` on the local ledger, as Base Sepolia."""
    return Daemon.start(
        "haima", "facilitator", "--port", "0", "--network", NETWORK, "--asset", ASSET, "--data-dir", directory, *more
    )


def anvil_facilitator(directory: Path, rpc: str, account: DevAccount, *more: str) -> Daemon:
    """`haima facilitator` on a chain."""
    options = ("--port", "0", "--rpc", rpc, "--network", NETWORK, "--data-dir", directory)
    return Daemon.start("haima", "facilitator", *options, *more, env={"HAIMA_PRIVATE_KEY": account.key})


def shop(directory: Path, facilitator: str, *more: str, pay_to: str = SELLER) -> Daemon:
    """`haima serve`."""
    options = ("--port", "0", "--facilitator", facilitator, "--pay-to", pay_to, "--asset", ASSET, "--network", NETWORK)
    return Daemon.start("haima", "serve", *options, "--data-dir", directory, *more)


def get_json(url: str, headers: Mapping[str, str] | None = None) -> dict[str, object]:
    """The JSON at a URL."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=10) as answer:
        parsed = json.load(answer)
    assert isinstance(parsed, dict)
    return parsed


def hits(daemon: Daemon) -> dict[str, object]:
    """How often each handler of a shop has run."""
    return get_json(daemon.url + "/hits")


def ledger_balance(directory: Path, address: str) -> int:
    """What an account holds on the local ledger, as Base Sepolia, in a facilitator's directory."""
    return ledger_balance_on(NETWORK, directory, address)


def ledger_balance_on(network: str, directory: Path, address: str) -> int:
    """What an account holds of a network's known token on the local ledger in a facilitator's directory."""
    token = BUILT_IN.default_token(network)
    assert token is not None

    async def read() -> int:
        async with SqliteJournal.open(directory / "journal.db", clock=SystemClock()) as journal:
            ledger = LocalLedger(journal, SystemClock(), SystemEntropy(), network=network)
            return await ledger.balance(address, asset=token.address)

    return asyncio.run(read())


def finance_events(directory: Path) -> list[str]:
    """The names of all finance events in a directory's journal, in their order."""

    async def read() -> list[str]:
        async with SqliteJournal.open(directory / "journal.db", clock=SystemClock()) as journal:
            return finance_events_of(await journal.read(EventQuery(), limit=10_000))

    return asyncio.run(read())


def finance_events_of(records: Sequence[EventRecord]) -> list[str]:
    """The names of the finance events among these."""
    found = [read_finance(record) for record in records]
    return [event_type(event).removeprefix("finance.") for event in found if event is not None]


class Line:
    """A TCP line to a server that can be cut: a context manager around a listening port on loopback.

    `lose_answer`: the next request that carries `marker` reaches the server, its answer is swallowed and the connection
    closed. `break_answer`: half of it is let through. `hold_answer`: the next such answer is kept back until `release` or
    `drop`; `held` is set when it is there.
    """

    def __init__(self, upstream: str, marker: bytes = b"payment-signature") -> None:
        host, _, port = upstream.removeprefix("http://").partition(":")
        self._upstream = (host, int(port))
        self._marker = marker.lower()
        self._lose = False
        self._break = False
        self._hold = False
        self._dropped = False
        self.held = threading.Event()
        self._released = threading.Event()
        self._stack = ExitStack()
        self._listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def lose_answer(self) -> None:
        """Swallow the answer to the next marked request."""
        self._lose = True

    def break_answer(self) -> None:
        """Break off in the middle of the body of the answer to the next marked request."""
        self._break = True

    def hold_answer(self) -> None:
        """Keep the answer to the next marked request back."""
        self.held.clear()
        self._released.clear()
        self._dropped = False
        self._hold = True

    def release(self) -> None:
        """Let what is held go on."""
        self._released.set()

    def drop(self) -> None:
        """Swallow what is held and close its connection."""
        self._dropped = True
        self._released.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        self._released.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for connections
        self._stack.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        """One connection: requests and answers take turns, as HTTP/1.1 does without pipelining."""
        with client, suppress(OSError):
            try:
                server = socket.create_connection(self._upstream, timeout=60)
            except OSError:
                return
            with server:
                while request := _message(client):
                    marked = self._marker in request.lower()
                    server.sendall(request)
                    if marked and self._lose:
                        self._lose = False
                        _message(server)
                        return
                    answer = _message(server)
                    if marked and self._hold:
                        self._hold = False
                        self.held.set()
                        self._released.wait(60)
                        if self._dropped:
                            return
                    if not answer:
                        return
                    if marked and self._break:
                        self._break = False
                        client.sendall(answer[:-10])
                        return
                    client.sendall(answer)


def _message(connection: socket.socket) -> bytes:
    """One HTTP message with a Content-Length or without a body; empty at the end of the connection."""
    content = b""
    while b"\r\n\r\n" not in content:
        part = connection.recv(65536)
        if not part:
            return content
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    length = 0
    for field in head.lower().split(b"\r\n"):
        if field.startswith(b"content-length:"):
            length = int(field.partition(b":")[2])
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            return content
        content += part
        body += part
    return content


def in_parallel(starts: Sequence[Callable[[], ChildProcess]]) -> list[Paid]:
    """Start all commands at once; how they ended."""
    return [finished(process) for process in [start() for start in starts]]
