"""somad's socket: who is let in, real users and groups, and clients that mean no good."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from life.aios.errors import ConflictError
from life.anima.custody.soma.client import SocketChannel, SomaCustody
from life.anima.custody.soma.peers import check_folder, peer_of
from life.anima.custody.soma.protocol import (
    MAX_FRAME_BYTES,
    Disable,
    Enable,
    ListAgents,
    Provision,
    Reply,
    SignMessage,
    SignToken,
    decode_reply,
    encode,
    frame,
)
from life.anima.custody.soma.server import ServerLimits, SomaServer
from life.anima.custody.soma.service import REFUSALS_PER_MINUTE
from life.anima.errors import (
    CustodyInputError,
    CustodyLockedError,
    CustodyUnavailableError,
    InsecureFileError,
    KeyNotFoundError,
    PolicyDeniedError,
)
from life.testing.clock import ManualClock
from tests.anima.custody.soma.oracle import Oracle, rule, running_oracle, toml_lines, write_policy

QUICK = ServerLimits(connections=6, connections_per_user=4, frame_s=0.15, idle_s=0.4)
SPEAK = """
import json, os, socket, sys
uid, gid, groups, path, request = json.loads(sys.argv[1])
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
try:
    c = socket.socket(socket.AF_UNIX); c.settimeout(20); c.connect(path)
    content = request.encode(); c.sendall(len(content).to_bytes(4, "big") + content)
    head = c.recv(4, socket.MSG_WAITALL)
    print(c.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL).decode())
except OSError as error:
    print(json.dumps({"refused": type(error).__name__}))
"""


@pytest.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[Oracle]:
    """A daemon with short patience."""
    admin = [{"uid": os.getuid(), "operations": ["provision", "disable", "enable", "list"]}]
    async with running_oracle(tmp_path / "soma", limits=QUICK, admin=admin) as found:
        yield found


async def connected(oracle: Oracle) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection."""
    return await asyncio.open_unix_connection(str(oracle.socket))


async def answer(reader: asyncio.StreamReader) -> Reply:
    """The next reply."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    return decode_reply(await reader.readexactly(length))


async def code_of(reader: asyncio.StreamReader) -> str:
    """The next reply's error."""
    reply = await answer(reader)
    return reply.error.code if reply.error else "none"


async def test_requests_may_be_sent_without_waiting(oracle: Oracle) -> None:
    """A hundred frames in one write, cut anywhere on the way, are answered in their order."""
    reader, writer = await connected(oracle)
    sent = b"".join(frame(encode(SignMessage(id=n, agent="alice", message=b"%d" % n))) for n in range(1, 101))
    for start in range(0, len(sent), 777):
        writer.write(sent[start : start + 777])
        await writer.drain()
    assert [(await answer(reader)).id for _ in range(100)] == list(range(1, 101))
    writer.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x00",
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"\xff\xfe"),
        frame(b"[]"),
        frame(b'{"op":"sign_digest","agent":"alice","digest":"AAAA"}'),
        frame(b'{"op":"sign_message","agent":"alice","message":"","more":1}'),
        frame(b'{"op":"sign_token","agent":"alice","claims":' + b"[" * 5000 + b"}"),
        frame(b'{"op":"sign_authorization","agent":"alice","authorization":["eip155:1"]}'),
    ],
)
async def test_what_is_no_request_ends_the_connection(oracle: Oracle, garbage: bytes) -> None:
    """One clear error, then the end; there is no operation that signs a digest; others are answered on."""
    reader, writer = await connected(oracle)
    writer.write(garbage)
    assert await code_of(reader) == "custody.protocol"
    assert await reader.read() == b""
    writer.close()
    handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
    assert await handle.sign_token({})
    await handle.close()


async def test_drips_and_silence_are_not_waited_for(oracle: Oracle) -> None:
    """A frame that comes byte by byte is cut off in time, and a connection that says nothing for long is closed."""
    reader, writer = await connected(oracle)
    silent, other = await connected(oracle)
    whole = frame(encode(SignMessage(id=1, agent="alice", message=b"x" * 100)))
    slow = asyncio.create_task(_drip(writer, whole))
    assert await code_of(reader) == "custody.timeout"
    assert await reader.read() == b""
    assert await silent.read() == b""
    slow.cancel()
    writer.close()
    other.close()


async def _drip(writer: asyncio.StreamWriter, content: bytes) -> None:
    for byte in content:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def test_a_client_that_does_not_read_is_closed(oracle: Oracle) -> None:
    """Answers pile up only so far; then the connection ends, and the others go on."""
    raw = socket.socket(socket.AF_UNIX)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, str(oracle.socket))
    flood = frame(encode(SignMessage(id=1, agent="alice", message=b"x"))) * 500

    async def push() -> None:
        while True:
            await loop.sock_sendall(raw, flood)

    with pytest.raises(OSError, match=r"[Bb]roken|reset"):
        await asyncio.wait_for(push(), 60)
    raw.close()
    handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
    assert await handle.sign_token({})
    await handle.close()


async def test_connections_are_counted_for_each_user(oracle: Oracle) -> None:
    """One user can't take all places; a place is free again when a connection ends."""
    held = [await connected(oracle) for _ in range(QUICK.connections_per_user)]
    reader, writer = await connected(oracle)
    assert await code_of(reader) == "custody.rate_limited"
    writer.close()
    for _, other in held:
        other.close()
        await other.wait_closed()
    await asyncio.sleep(0.05)
    handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
    assert await handle.sign_token({})
    await handle.close()


async def test_a_flood_is_limited_to_the_rate(tmp_path: Path) -> None:
    """Ten seconds' worth of the rate at once, then refusals that say so; with time, it goes on."""
    clock = ManualClock()
    async with running_oracle(tmp_path / "soma", clock=clock, allow=[rule(max_per_minute=60)]) as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=clock)
        results = await asyncio.gather(*(handle.sign_token({"n": n}) for n in range(50)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, CustodyUnavailableError)]
        assert len(refused) == 40
        assert {error.code for error in refused} == {"custody.rate_limited"}
        clock.advance_us(2_000_000)
        assert await handle.sign_token({})
        await handle.close()


async def test_a_flood_of_refusals_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Of a caller who is refused again and again, the audit keeps ten seconds' worth of a bounded rate; every answer is the
    same refusal."""
    async with running_oracle(tmp_path / "soma", allow=[rule(operations=["sign_token"])]) as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
        write_policy(oracle.policy_file, allow=[])
        results = await asyncio.gather(*(handle.sign_token({"n": n}) for n in range(500)), return_exceptions=True)
        assert {type(result) for result in results} == {PolicyDeniedError}
        await handle.close()
    lines = (tmp_path / "soma" / "store" / "audit-000001.jsonl").read_text().splitlines()
    assert len(lines) == 1 + REFUSALS_PER_MINUTE // 6


async def test_administration(oracle: Oracle) -> None:
    """Whoever may, provisions, lists, disables and enables; running it again changes nothing."""
    channel = SocketChannel(oracle.socket)
    made = (await channel.ask(Provision(agent="bob", max_per_tx_micro=5))).agents or ()
    assert made[0].created
    again = (await channel.ask(Provision(agent="bob"))).agents or ()
    assert (again[0].created, again[0].did) == (False, made[0].did)
    listed = (await channel.ask(ListAgents())).agents or ()
    assert [facts.agent for facts in listed] == ["alice", "bob"]
    handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
    await channel.ask(Disable(agent="alice"))
    with pytest.raises(CustodyLockedError, match="disabled"):
        await handle.sign_token({})
    assert [facts.disabled for facts in (await channel.ask(ListAgents())).agents or ()] == [True, False]
    await channel.ask(Enable(agent="alice"))
    assert await handle.sign_token({})
    for wrong in ("", "..", "a/b", "x" * 65, "-x", "ä"):
        with pytest.raises(CustodyInputError):
            await channel.ask(Provision(agent=wrong))
    with pytest.raises(KeyNotFoundError):
        await channel.ask(Disable(agent="nobody"))
    write_policy(oracle.policy_file, admin=[])
    for request in (Provision(agent="bob"), Disable(agent="bob"), Enable(agent="bob"), ListAgents()):
        with pytest.raises(PolicyDeniedError):
            await channel.ask(request)
    await handle.close()
    await channel.close()


async def test_a_policy_that_can_not_be_believed_allows_nothing(oracle: Oracle) -> None:
    """Broken, writable by others, gone: everything is refused, until it is right again."""
    handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
    good = oracle.policy_file.read_text()
    oracle.policy_file.write_text("group = ")
    with pytest.raises(CustodyInputError, match="can't be understood"):
        await handle.sign_token({})
    oracle.policy_file.write_text(good)
    oracle.policy_file.chmod(0o666)
    with pytest.raises(InsecureFileError, match="could be changed"):
        await handle.sign_token({})
    oracle.policy_file.unlink()
    with pytest.raises(CustodyInputError, match="can't be read"):
        await handle.sign_token({})
    oracle.policy_file.write_text(good)
    oracle.policy_file.chmod(0o644)
    assert await handle.sign_token({})
    await handle.close()


async def test_statements_of_the_identity_are_kept_back(oracle: Oracle) -> None:
    """A caller may have ordinary tokens signed, but no rotation, revocation or grant unless its rule names them."""
    handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
    assert await handle.sign_token({"type": "anima.identity_seal"})
    for claims, typ in (
        ({"type": "anima.rotation_proof"}, "JWT"),
        ({"type": "anima.identity_revocation"}, "JWT"),
        ({}, "anima-cap+jwt"),
        ({}, "ANIMA-CAP+jwt"),
    ):
        with pytest.raises(PolicyDeniedError):
            await handle.sign_token(claims, typ=typ)
    write_policy(oracle.policy_file, allow=[rule(statements=["anima.rotation_proof"])])
    assert await handle.sign_token({"type": "anima.rotation_proof"})
    write_policy(oracle.policy_file, allow=[rule(statements=["*"])])
    assert await handle.sign_token({}, typ="anima-cap+jwt")
    await handle.close()


async def test_it_refuses_a_place_where_it_could_be_replaced(tmp_path: Path, oracle: Oracle) -> None:
    """A folder that others may write into, a file in the socket's place, another daemon there."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(InsecureFileError, match="write into"):
        await SomaServer.open(oracle.service, folder / "s.sock")
    folder.chmod(0o775)
    with pytest.raises(InsecureFileError, match="write into"):
        await SomaServer.open(oracle.service, folder / "s.sock")
    folder.chmod(0o1777)
    with pytest.raises(InsecureFileError, match="write into"):
        await SomaServer.open(oracle.service, folder / "s.sock")
    folder.chmod(0o755)
    (folder / "s.sock").write_text("")
    with pytest.raises(InsecureFileError, match="not a socket"):
        await SomaServer.open(oracle.service, folder / "s.sock")
    with pytest.raises(ConflictError, match="Another somad"):
        await SomaServer.open(oracle.service, oracle.socket)
    with pytest.raises(CustodyUnavailableError):
        await SomaServer.open(oracle.service, tmp_path / "none" / "s.sock")
    with pytest.raises(CustodyUnavailableError, match="can't listen"):
        await SomaServer.open(oracle.service, folder / ("s" * 120))
    with pytest.raises(CustodyUnavailableError):
        check_folder(tmp_path / "none")
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
        with pytest.raises(InsecureFileError, match="another user"):
            check_folder(folder)


async def test_the_socket_is_its_groups_alone(oracle: Oracle) -> None:
    """Mode 0660 and the policy's group; gone when the daemon ends; a stale one is replaced."""
    status = oracle.socket.stat()
    assert status.st_mode & 0o777 == 0o660
    assert status.st_gid == os.getgid()
    stale = oracle.folder / "stale.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(stale))
    left.close()
    server = await SomaServer.open(oracle.service, stale)
    await server.close()
    await server.close()
    assert not stale.exists()


def test_only_unix_sockets_have_peers() -> None:
    """The kernel's answer is asked for, and its silence is a refusal."""
    one, other = socket.socketpair()
    with one, other:
        peer = peer_of(one)
        assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
        assert os.getgid() in peer.groups


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can look into, as /run/life is."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def said_by(user: str, groups: list[int], oracle: Oracle, request: SignToken | SignMessage) -> str:
    """What a process of this user, in these groups, is answered."""
    entry = pwd.getpwnam(user)
    who = json.dumps([entry.pw_uid, entry.pw_gid, groups, str(oracle.socket), encode(request).decode()])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", SPEAK, who, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    told = json.loads(output)
    return str(told.get("refused") or (told.get("error") or {}).get("code") or "signed")


@pytest.mark.part("root")
async def test_users_and_groups_of_the_system(public_folder: Path) -> None:
    """Group and rule must both let a user in: a member with a rule signs what the rule says; a member without is refused;
    who is in no group does not get a connection, not even with a rule; root is bound by the rules, too."""
    group = grp.getgrnam("users")
    allow = [
        {"user": "daemon", "agents": ["alice"], "operations": ["sign_token"]},
        {"user": "bin", "agents": ["alice"], "operations": ["sign_message"]},
        {"user": "games", "agents": ["alice"], "operations": ["sign_token"]},
    ]
    token, message = SignToken(id=1, agent="alice", claims={}), SignMessage(id=1, agent="alice", message=b"x")
    other = SignToken(id=1, agent="bob", claims={})
    async with running_oracle(public_folder / "soma", allow=allow, group=group.gr_name) as oracle:
        member = [group.gr_gid]
        assert await said_by("daemon", member, oracle, token) == "signed"
        assert await said_by("daemon", member, oracle, message) == "custody.policy_denied"
        assert await said_by("daemon", member, oracle, other) == "custody.policy_denied"
        assert await said_by("bin", member, oracle, message) == "signed"
        assert await said_by("nobody", member, oracle, token) == "custody.policy_denied"
        assert await said_by("games", [], oracle, token) == "PermissionError"
        assert await said_by("root", [], oracle, token) == "custody.policy_denied"
        # Somebody who got past the file's mode is still refused by the group.
        oracle.socket.chmod(0o666)
        assert await said_by("games", [], oracle, token) == "custody.auth_failed"
        records = (oracle.folder / "store" / "audit-000001.jsonl").read_text()
        assert f'"kind":"signed","uid":{pwd.getpwnam("daemon").pw_uid}' in records
        assert f'"kind":"connection_refused","uid":{pwd.getpwnam("games").pw_uid}' in records


def test_a_policy_of_the_tests_is_a_policy() -> None:
    """The writer of policies quotes what it writes."""
    assert toml_lines({"a": [1, "b"], "c": {"d": True}}) == 'a = [1, "b"]\nc = {d = true}\n'
