"""`spacesd --nats` as people run it: servers started here or joined, agent tokens at every door, clusters and leaf nodes from written settings."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import nats
import nats.errors
import pytest
from click.testing import CliRunner
from nats.aio.client import Client

from life.aios.errors import InvalidInputError
from life.anima.revoking import revoke_identity
from life.anima.tokens import issue_agent_token
from life.cli import spaces as commands
from life.cli.spaces_nats import nats_cluster, nats_leaf
from life.host.access import Access, load_or_create_token
from life.host.anima_identity import open_agent_identity
from life.host.anima_verifier import open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.spaces import AUDIENCE, SpacesParts
from life.host.spaces_nats import (
    CREDENTIALS,
    ClusterPorts,
    SpacesNatsSettings,
    open_spaces_on_nats,
    read_credentials,
    write_cluster,
    write_leaf,
)
from life.lago.journal.memory import MemoryJournal
from life.lago.nats_server import find_binary
from life.spaces.commands import SendMessage
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.errors import InvalidArgumentError, RevokedError, SpacesUnavailableError, TokenReplayedError
from life.spaces.identity import identity_of
from life.testing.clock import SeededEntropy
from life.testing.spaces import GENERAL, ScriptedTokens, enter
from tests.anima.material import raw_key
from tests.harness.nats_cluster import open_hub
from tests.harness.process import ChildProcess

pytestmark = [
    # The official client leaves the streams of attempts that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
]

SERVE = "from life.cli.spacesd import spacesd; spacesd()"


async def _ignore(_: Exception) -> None:
    return


@pytest.mark.usefixtures("swept")
async def test_agent_tokens_open_every_door(tmp_path: Path) -> None:
    """An ES256 agent token opens a session at the hub or a connection at the server, once in all; a revocation ends both at once, and lets
    nobody back."""
    clock, entropy = SystemClock(), SystemEntropy()
    journal = MemoryJournal()
    agent = await open_agent_identity(journal, tmp_path / "identity", raw_key(), clock=clock, entropy=entropy)
    access = Access(load_or_create_token(tmp_path / "token", entropy), clock, entropy)
    principal = identity_of(agent.identity.did)

    async def token(audience: str = AUDIENCE) -> str:
        return await issue_agent_token(
            agent.custody, agent_id=agent.identity.agent_id, audience=audience, clock=clock, entropy=entropy
        )

    async with open_identity_services(
        journal, clock=clock, directory=None, daemon=AUDIENCE, environment={}
    ) as services:
        parts = SpacesParts(tmp_path, journal, access, services)
        opened = open_spaces_on_nats(parts, SpacesNatsSettings(), clock=clock, entropy=entropy)
        async with opened as (spaces, place):
            assert place.agents and place.level == "single_copy" and not place.doubts
            (url,) = place.servers
            shown = await token()
            session = await spaces.engine.login(shown)
            assert session.caller.identity == principal
            with pytest.raises(TokenReplayedError):
                await spaces.engine.login(shown)

            async def connect(with_token: str) -> Client:
                inbox = f"spaces.inbox.{principal}".encode()
                return await nats.connect(
                    url,
                    token=with_token,
                    inbox_prefix=inbox,
                    allow_reconnect=False,
                    error_cb=_ignore,
                    connect_timeout=5,
                )

            for bad in (shown, await token("haimad")):
                with pytest.raises((nats.errors.Error, OSError, asyncio.IncompleteReadError)):
                    await connect(bad)
            client = await connect(await token())
            frame = {"op": "call", "id": 1, "command": {"command": "send_message", "channel_id": 1, "content": "hi"}}
            answer = await client.request(
                f"spaces.cmd.{principal}.1.send_message", msgspec.json.encode(frame), timeout=5
            )
            assert json.loads(answer.data)["row"]["sender"] == principal
            await revoke_identity(
                journal,
                agent.custody,
                agent_id=agent.identity.agent_id,
                reason="compromised",
                clock=clock,
                registry=services.registry,
            )
            assert await asyncio.wait_for(session.closed(), 2) == "revoked"
            async with asyncio.timeout(5):
                while client.is_connected:
                    await asyncio.sleep(0.01)
            with pytest.raises(RevokedError):
                await spaces.engine.login(await token())
            with pytest.raises((nats.errors.Error, OSError, asyncio.IncompleteReadError)):
                await connect(await token())
            assert spaces.export.position >= 1
    agent.custody.close()


@pytest.mark.slow
def test_the_daemon_starts_joins_and_stops(tmp_path: Path) -> None:
    """`--nats` starts a server and stops it; a second hub joins it with `--nats-url` and shows the same; started again all is there."""
    runner = CliRunner()
    data, beside = str(tmp_path / "life"), str(tmp_path / "beside")

    def run(where: str, command: object, *arguments: str) -> str:
        result = runner.invoke(command, [*arguments, "--data-dir", where])  # type: ignore[arg-type]
        assert result.exit_code == 0, result.output
        return result.output

    def daemon(where: str, *options: str) -> ChildProcess:
        arguments = ["--data-dir", where, "--bind", "127.0.0.1:0", *options]
        return ChildProcess.spawn([sys.executable, "-c", SERVE, *arguments], name="spacesd")

    with daemon(data, "--nats") as first:
        url = first.wait_for_line(r"log\s+NATS (\S+) \(single copy\)").group(1)
        first.wait_for_line(r"Ctrl-C stops it\.")
        credentials = str(tmp_path / "life" / "spaces" / "nats" / CREDENTIALS)
        joining = ["--nats-url", url, "--nats-credentials", credentials, "--nats-replicas", "1"]
        with daemon(beside, *joining) as second:
            second.wait_for_line(r"Ctrl-C stops it\.")
            run(data, commands.create, "Lab")
            run(data, commands.send, "general", "from the first", "--space", "Lab")
            assert "from the first" in run(beside, commands.history, "general", "--space", "Lab")
            run(beside, commands.send, "general", "from the second", "--space", "Lab")
            assert "from the second" in run(data, commands.history, "general", "--space", "Lab")
            second.stop()
        server_pid = int((tmp_path / "life" / "spaces" / "nats" / "server.pid").read_text())
        os.kill(server_pid, 0)
        first.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server_pid, 0)
    with daemon(data, "--nats") as again:
        again.wait_for_line(r"Ctrl-C stops it\.")
        assert "from the second" in run(data, commands.history, "general", "--space", "Lab")
        again.stop()


@pytest.mark.slow
def test_what_can_not_be_meant_is_said(tmp_path: Path) -> None:
    """No server, no extra, no data directory, credentials for nobody or that others may read: one clear sentence each."""

    def said(*options: str, prelude: str = "") -> str:
        command = [sys.executable, "-c", prelude + SERVE, "--bind", "127.0.0.1:0", "--data-dir", str(tmp_path / "d")]
        ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode != 0 and "Traceback" not in ended.stderr
        return ended.stderr

    without = "import sys\nsys.modules['nats'] = sys.modules['nats.aio.client'] = None\n"
    assert "extra 'nats'" in said("--nats", prelude=without)
    assert "data directory" in said("--nats", "--memory")
    assert "--nats-url" in said("--nats", "--nats-credentials", "x.json")
    assert "1 to 32 letters" in said("--nats", "--nats-name", "no.good")
    for text in ("{", '{"user": 1}', '{"user": "a", "password": "secret-word", "other": 1}'):
        path = tmp_path / "credentials.json"
        path.write_text(text)
        path.chmod(0o644)
        with pytest.raises(InvalidInputError, match="read by others"):
            read_credentials(path)
        path.chmod(0o600)
        with pytest.raises(InvalidInputError) as caught:
            read_credentials(path)
        assert "secret-word" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="can't be read"):
        read_credentials(tmp_path / "none.json")
    with pytest.raises(InvalidInputError, match="three or five"):
        write_cluster(tmp_path / "c", ("a", "b"), SeededEntropy(), data=tmp_path)
    with pytest.raises(InvalidInputError, match="three or five"):
        write_cluster(tmp_path / "c", ("a", "b", "a"), SeededEntropy(), data=tmp_path)
    with pytest.raises(InvalidArgumentError):
        from life.spaces.engine.nats.nkeys import AccountKey

        AccountKey("SAnothing")


def test_settings_are_written_for_their_owner_only(tmp_path: Path) -> None:
    """Three servers, three copies, always flushed; nobody else may read the files; written again they are the same; the leaf's need the
    credentials; neither prints a secret."""
    runner = CliRunner()
    out = tmp_path / "out"
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    written = runner.invoke(nats_cluster, [*hosts, "--output", str(out), "--data", str(tmp_path / "data")])
    assert written.exit_code == 0, written.output
    files = [out / str(number) / "server.conf" for number in (1, 2, 3)] + [out / CREDENTIALS]
    before = [path.read_bytes() for path in files]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    for number, path in enumerate(files[:3]):
        text = path.read_text()
        assert "sync_interval: always" in text and f'listen: "{hosts[number]}:4222"' in text
        assert all(host in text for host in hosts)
    known = read_credentials(out / CREDENTIALS)
    assert known.callout_seed and known.password not in repr(known)
    for secret in (known.password, known.system_password, known.callout_password, known.callout_seed):
        assert secret and secret not in written.output
    assert known.callout_seed.encode() not in b"".join(before[:3])  # the servers know the public key alone
    runner.invoke(nats_cluster, [*hosts, "--output", str(out), "--data", str(tmp_path / "data")])
    assert [path.read_bytes() for path in files] == before
    leaf = [
        "10.0.0.1",
        "10.0.0.2:7000",
        "--credentials",
        str(out / CREDENTIALS),
        "--output",
        str(tmp_path / "leaf.conf"),
    ]
    made = runner.invoke(nats_leaf, [*leaf, "--data", str(tmp_path / "leaf")])
    assert made.exit_code == 0, made.output
    assert (
        "@10.0.0.1:7422" in (tmp_path / "leaf.conf").read_text()
        and "@10.0.0.2:7000" in (tmp_path / "leaf.conf").read_text()
    )
    assert known.password not in made.output and (tmp_path / "leaf.conf").stat().st_mode & 0o077 == 0
    assert runner.invoke(nats_leaf, ["x:y", *leaf[2:]]).exit_code == 1


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def server(config: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A NATS server with the settings of a file."""
    process = subprocess.Popen([find_binary(), "-c", config])
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


@pytest.mark.slow
@pytest.mark.usefixtures("swept")
@pytest.mark.timeout(180)
async def test_a_cluster_and_a_leaf_from_written_settings(tmp_path: Path) -> None:
    """Three servers with written settings keep three flushed copies. A laptop's hub behind a leaf node writes and reads; while the leaf stands still the hub
    serves nothing; afterwards it goes on and has missed nothing."""
    ports = ClusterPorts(free_port(), free_port(), free_port())
    hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    folder, leaf_port = tmp_path / "cluster", free_port()
    entropy = SeededEntropy()
    configs = write_cluster(folder, hosts, entropy, data=tmp_path / "data", ports=ports)[:3]
    known = read_credentials(folder / CREDENTIALS)
    write_leaf(
        tmp_path / "leaf.conf",
        folder / CREDENTIALS,
        tuple((host, ports.leaves) for host in hosts),
        data=tmp_path / "leaf",
        port=leaf_port,
    )
    tokens = ScriptedTokens()
    async with AsyncExitStack() as stack:
        for number, config in enumerate(configs, 1):
            own = tmp_path / f"n{number}"  # three servers on one machine can't share the folder that the settings name
            (own / "ports").mkdir(parents=True)
            config.write_text(re.sub(re.escape(str(tmp_path / "data")), str(own), config.read_text()))
            await stack.enter_async_context(server(config))
        urls = tuple(f"nats://{host}:{ports.clients}" for host in hosts)
        users = (known.user, known.password, known.system_user, known.system_password)
        hub = await stack.enter_async_context(patient_hub(NatsAccess(urls, *users), tmp_path / "hub.db", tokens))
        assert hub.durability.level == "replicated"
        leaf = await stack.enter_async_context(server(tmp_path / "leaf.conf"))
        at_leaf = NatsAccess((f"nats://127.0.0.1:{leaf_port}",), *users)
        laptop = await stack.enter_async_context(patient_hub(at_leaf, tmp_path / "laptop.db", tokens))
        assert laptop.durability.level == "replicated"
        caller = await enter(laptop, tokens, "ann")
        await hub.follower.sync()
        sent = await hub.submit(SendMessage(channel_id=GENERAL, content="from the cluster"), caller)
        async with asyncio.timeout(10):
            while laptop.state.position < sent.position:
                await asyncio.sleep(0.01)
        leaf.send_signal(19)
        try:
            async with asyncio.timeout(20):
                while (await laptop.health()).ready:
                    await asyncio.sleep(0.1)
            with pytest.raises(SpacesUnavailableError):
                await laptop.subscribe([], caller)
            missed = await hub.submit(SendMessage(channel_id=GENERAL, content="missed"), caller)
        finally:
            leaf.send_signal(18)
        async with asyncio.timeout(30):
            while laptop.state.position < missed.position or not (await laptop.health()).ready:
                await asyncio.sleep(0.05)
        await laptop.submit(SendMessage(channel_id=GENERAL, content="from the laptop"), caller)
        await hub.follower.sync()
        assert hub.state.digest() == laptop.state.digest()


@asynccontextmanager
async def patient_hub(access: NatsAccess, path: Path, tokens: ScriptedTokens) -> AsyncIterator[NatsEngine]:
    """A hub, once its servers let it in and have a leader."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 40
    while True:
        async with AsyncExitStack() as stack:
            try:
                engine = await stack.enter_async_context(open_hub(access, path, tokens=tokens, patience_s=5))
            except SpacesUnavailableError:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(0.3)
                continue
            yield engine
            return
