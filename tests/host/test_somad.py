"""somad as a program: started, administered, killed hard, started again; and its remote side."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.anima.custody.remote import CapabilityFile, Offer, RemoteAnima, RemoteSettings
from life.anima.custody.soma.audit import verify_audit
from life.anima.custody.soma.client import SomaCustody
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import CustodyUnavailableError, PolicyDeniedError
from life.crypto.eip191 import personal_message_digest
from life.crypto.secp256k1 import recover_address
from life.host.clock import SystemClock, SystemEntropy
from tests.anima.custody.requests import payment
from tests.anima.custody.soma.oracle import ALL, BASE_SEPOLIA_USDC, write_policy
from tests.anima.custody.test_vault_tls import Authority

PROGRAM = "from life.cli import somad; somad()"


class Somad:
    """The program in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o755)
        self.policy()
        self.process: subprocess.Popen[str] | None = None
        self.remote = ""

    def policy(self, **changes: object) -> None:
        """The policy: this user may do everything."""
        own = {"uid": os.getuid(), "agents": ["alice"], "operations": ALL, "max_per_minute": 10**6}
        admin = {"uid": os.getuid(), "operations": ["provision", "disable", "enable", "list", "grant"]}
        members = {"allow": [own], "admin": [admin], **changes}
        write_policy(
            self.folder / "policy.toml",
            agent={"assets": [BASE_SEPOLIA_USDC]},
            group=grp.getgrgid(os.getgid()).gr_name,
            **members,  # type: ignore[arg-type]
        )

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "somad.sock"

    def command(self, *arguments: str) -> list[str]:
        """The program's command line."""
        options = (
            f"--socket={self.socket}",
            f"--store={self.folder / 'store'}",
            f"--policy={self.folder / 'policy.toml'}",
            f"--key-file={self.folder / 'key' / 'somad.key'}",
        )
        return [sys.executable, "-c", PROGRAM, *options, *arguments]

    def start(self, *arguments: str) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip().startswith("remote"):
                self.remote = line.split()[1]
            if "Ctrl-C" in line:
                return
        raise AssertionError(self.process.communicate()[1])

    def ask(self, *arguments: str, fails: bool = False) -> str:
        """What a command prints."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def somad(tmp_path: Path) -> Iterator[Somad]:
    """The program, ended in the end."""
    program = Somad(tmp_path / "soma")
    yield program
    if program.process is not None and program.process.poll() is None:
        program.stop(signal.SIGKILL)


async def opened(somad: Somad) -> SomaCustody:
    """A handle of alice."""
    return await SomaCustody.open(
        somad.socket, "alice", clock=SystemClock(), rules=WalletRules(require_reservation=True)
    )


def pay(handle: SomaCustody, number: int, value: int = 1_000) -> object:
    """A payment of its own that is valid now."""
    now_s = SystemClock().now_us() // 1_000_000
    asked = payment(
        handle,
        nonce=number.to_bytes(32, "big"),
        value_atomic=value,
        valid_after_s=0,
        valid_before_s=now_s + 60,
        reservation_id=f"res-{number}",
    )
    return handle.sign_authorization(asked)


def test_from_nothing_to_a_signature(somad: Somad) -> None:
    """Start, provision, list, sign, disable, verify the audit, stop: exit code 0, and the socket is gone."""
    somad.start()
    made = json.loads(somad.ask("provision", "alice", "--max-per-tx-micro", "5000", "--json"))
    assert made["created"]
    assert not json.loads(somad.ask("provision", "alice", "--json"))["created"]
    assert "alice has keys already" in somad.ask("provision", "alice")
    assert json.loads(somad.ask("list", "--json"))["agents"][0]["did"] == made["did"]

    async def use() -> None:
        handle = await opened(somad)
        assert handle.capabilities().did == made["did"]
        signature = await handle.sign_message(b"hello")
        address = recover_address(personal_message_digest(b"hello"), signature).hex()
        assert address == made["wallet"][2:].lower()
        await pay(handle, 1, 5_000)  # type: ignore[misc]
        with pytest.raises(PolicyDeniedError, match="per_tx"):
            await pay(handle, 2, 5_001)  # type: ignore[misc]
        await handle.close()

    asyncio.run(use())
    somad.ask("disable", "alice")
    assert "disabled" in somad.ask("list")
    somad.ask("enable", "alice")
    assert "can be used" in somad.ask("check-policy")
    assert somad.stop() == 0
    assert not somad.socket.exists()
    assert json.loads(somad.ask("audit", "--json"))["records"] >= 6
    assert "no oracle" in somad.ask("list", fails=True)


def test_it_refuses_to_start_where_it_must_not(somad: Somad, tmp_path: Path) -> None:
    """One sentence each: no policy, an unknown group, an open folder, a second daemon, another key, a changed audit."""
    somad.start()
    somad.ask("provision", "alice")
    assert "custody.conflict" not in somad.ask(fails=True)
    assert "Another somad" in somad.ask(fails=True)
    somad.stop()
    store_key = somad.folder / "key" / "somad.key"
    content = store_key.read_bytes()
    store_key.write_bytes(bytes(32))
    assert "custody.auth_failed" in somad.ask(fails=True)
    store_key.write_bytes(content)
    audit = somad.folder / "store" / "audit-000001.jsonl"
    good = audit.read_text()
    audit.write_text(good.replace("opened", "openee"))
    assert "custody.protocol" in somad.ask(fails=True)
    audit.write_text(good)
    (somad.folder / "store").chmod(0o755)
    assert "custody.insecure_file" in somad.ask(fails=True)
    (somad.folder / "store").chmod(0o700)
    somad.folder.chmod(0o777)
    assert "custody.insecure_file" in somad.ask(fails=True)
    somad.folder.chmod(0o755)
    write_policy(somad.folder / "policy.toml", group="no-such-group-here")
    assert "no group no-such-group-here" in somad.ask(fails=True)
    (somad.folder / "policy.toml").unlink()
    assert "custody.bad_input" in somad.ask("check-policy", fails=True)
    assert "custody.bad_input" in somad.ask(fails=True)


@pytest.mark.slow
def test_killed_hard_it_forgets_nothing(somad: Somad) -> None:
    """kill −9 amid a flood of payments, five times over: every call gets a signature or a clear error, every signature that
    was handed out is in the audit, and the session's limit holds over all starts together."""
    limit = 40
    somad.start()
    somad.ask("provision", "alice", "--max-per-tx-micro", "1000", "--max-per-session-micro", str(limit * 1000))
    numbers = iter(range(10_000))

    async def flood(kill_after: int) -> int:
        handle = await opened(somad)
        signed = 0

        async def one() -> None:
            nonlocal signed
            try:
                await pay(handle, next(numbers))  # type: ignore[misc]
            except (CustodyUnavailableError, PolicyDeniedError):
                return
            signed += 1
            if signed == kill_after:
                assert somad.process is not None
                somad.process.kill()

        await asyncio.gather(*(one() for _ in range(30)))
        await handle.close()
        return signed

    total = 0
    for round_ in range(5):
        total += asyncio.run(flood(3 + 2 * round_))
        assert somad.process is not None
        somad.process.kill()
        somad.process.communicate()
        somad.start()
    total += asyncio.run(flood(10_000))
    somad.stop()
    assert total <= limit
    verify_audit(somad.folder / "store")
    records = [
        json.loads(line)["record"] for line in (somad.folder / "store" / "audit-000001.jsonl").read_text().splitlines()
    ]
    recorded = sum(record["kind"] == "signed" for record in records)
    assert total <= recorded <= limit
    assert recorded == limit


@pytest.mark.slow
def test_killed_while_provisioning_there_is_one_identity(somad: Somad) -> None:
    """kill −9 at any moment of making keys: run again, it makes them or finds them, and never two."""
    somad.start()
    seen: dict[str, str] = {}
    for round_ in range(6):
        name = f"agent{round_}"
        asking = subprocess.Popen(
            somad.command("provision", name, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        folder = somad.folder / "store" / "agents" / name
        wanted = folder / ("seed.enc" if round_ % 2 else "soul.json")
        while asking.poll() is None and not wanted.exists():
            pass
        assert somad.process is not None
        somad.process.kill()
        somad.process.communicate()
        said = asking.communicate(timeout=60)[0]
        if said:
            seen[name] = json.loads(said)["did"]
        somad.start()
        again = json.loads(somad.ask("provision", name, "--json"))["did"]
        assert seen.setdefault(name, again) == again
        assert json.loads(somad.ask("provision", name, "--json"))["did"] == again


def test_callers_from_afar(somad: Somad, tmp_path: Path) -> None:
    """Key, permit, rule: then a handle over TLS; beyond this machine it is not offered without TLS."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("somad")
    file = CapabilityFile(tmp_path / "caller" / "capability.json")
    did = file.make(SystemEntropy())
    own = {"uid": os.getuid(), "agents": ["alice"], "operations": ALL}
    far = {"did": did, "agents": ["alice"], "operations": ["sign_token"]}
    somad.policy(allow=[own, far])
    assert "host.bind_refused" in somad.ask("--remote", "0.0.0.0:0", fails=True)
    assert "host.invalid_setting" in somad.ask("--remote", "nowhere", fails=True)
    assert "host.invalid_setting" in somad.ask("--remote", "127.0.0.1:0", f"--tls-key={key}", fails=True)
    somad.start("--remote", "127.0.0.1:0", f"--tls-certificate={certificate}", f"--tls-key={key}")
    somad.ask("provision", "alice")
    permit = json.loads(somad.ask("grant", "alice", "--to", did, "--operation", "sign_token"))
    file.accept(Offer(**permit))

    async def use() -> None:
        settings = RemoteSettings(url=somad.remote, capability_file=file.path, ca_file=authority.file)
        handle = await RemoteAnima.open(settings, clock=SystemClock(), entropy=SystemEntropy())
        assert handle.capabilities().operations == {"sign_token"}
        assert await handle.sign_token({})
        await handle.close()

    asyncio.run(use())
    assert somad.remote.startswith("https://127.0.0.1:")
    assert somad.stop() == 0


AS_DAEMON = """
import encodings.idna, json, os, pwd, grp, sys, asyncio
from life.cli.somad import somad
try:
    import uvloop
except ImportError:
    pass
user, group = pwd.getpwnam("daemon"), grp.getgrnam("users")
os.setgroups([]); os.setgid(group.gr_gid); os.setuid(user.pw_uid)
somad()
"""


@pytest.mark.part("root")
def test_as_a_user_of_its_own() -> None:
    """As docs/custody/soma.md sets it up: the daemon's user owns keys and socket, root administers and is bound by the rules,
    and nobody else reads the store."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    process: subprocess.Popen[str] | None = None
    try:
        root.chmod(0o755)
        uid, gid = pwd.getpwnam("daemon").pw_uid, grp.getgrnam("users").gr_gid
        for name, mode in (("run", 0o755), ("store", 0o700), ("key", 0o700)):
            (root / name).mkdir()
            (root / name).chmod(mode)
            os.chown(root / name, uid, gid)
        write_policy(
            root / "policy.toml",
            allow=[{"user": "daemon", "agents": ["alice"], "operations": ["sign_token"]}],
            admin=[{"user": "root", "operations": ["provision"]}],
            group="users",
        )
        options = [f"--socket={root}/run/s.sock", f"--store={root}/store", f"--policy={root}/policy.toml"]
        options.append(f"--key-file={root}/key/somad.key")
        process = subprocess.Popen(
            [sys.executable, "-c", AS_DAEMON, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert any("Ctrl-C" in line for line in process.stdout), process.communicate()[1]
        made = subprocess.run(
            [sys.executable, "-c", PROGRAM, *options, "provision", "alice", "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert json.loads(made.stdout)["created"]
        seed = root / "store" / "agents" / "alice" / "seed.enc"
        assert (seed.stat().st_uid, seed.stat().st_mode & 0o777) == (uid, 0o600)
        assert (root / "run" / "s.sock").stat().st_gid == gid

        async def refused() -> None:
            with pytest.raises(PolicyDeniedError):
                await SomaCustody.open(root / "run" / "s.sock", "alice", clock=SystemClock())

        asyncio.run(refused())
    finally:
        if process is not None:
            process.terminate()
            process.communicate(timeout=30)
        shutil.rmtree(root)
