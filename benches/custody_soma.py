"""The custody oracle: signatures a second over one connection, against the bare curve of the same run.

somad runs as a program of its own, with its audit on disk; the client sends 128 requests without waiting, and checks every
signature that comes back, as it always does.

    token            P-256        limit: 3,000 signatures/s
    payment          secp256k1    limit: 3,000 signatures/s, every batch of records synced to disk before it is answered
    P-256, secp256k1 the bare signature over a digest that is there, in this process
    remote token     over HTTP on loopback, one at a time, with a proof in each direction

The first limits are absolute, so they hold on a machine that is idle; the ratio to the curve is what the oracle costs beside it.
"""

from __future__ import annotations

import asyncio
import grp
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from measure import Claim, arguments, interleaved, report, runner

from life.aios.ports.custody import TransferAuthorization
from life.anima.custody.remote import CapabilityFile, Offer, RemoteAnima, RemoteSettings
from life.anima.custody.soma.client import SocketChannel, SomaCustody
from life.anima.custody.soma.protocol import Grant, Provision
from life.crypto import secp256k1
from life.crypto.derivation import derive_p256_secret, derive_secp256k1_secret
from life.crypto.p256 import load_private_key
from life.host.clock import SystemClock, SystemEntropy

PIPELINED = 128
TARGET = 3_000.0
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PROGRAM = "from life.cli import somad; somad()"


DIGEST = b"D" * 32


def per_second(work: Callable[[], object], count: int) -> float:
    """Calls a second, one after the other."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - start)


def policy(did: str) -> str:
    """Everything for this user and for the remote key, without rates that matter here."""
    rule = 'agents = ["bench"]\noperations = ["sign_token", "sign_authorization"]\nmax_per_minute = 1000000000\n'
    return (
        f'group = "{grp.getgrgid(os.getgid()).gr_name}"\n'
        f"[[allow]]\nuid = {os.getuid()}\n{rule}[[allow]]\ndid = '{did}'\n{rule}"
        f'[[admin]]\nuid = {os.getuid()}\noperations = ["provision", "grant"]\n'
        f'[agents.bench]\nassets = ["eip155:84532/{USDC}"]\n'
    )


class Bench:
    """A daemon in a folder, and the handles that use it, on a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.runner = runner()
        self.loop = self.runner.get_loop()
        self.folder = folder
        self.clock = SystemClock()
        self.file = CapabilityFile(folder / "caller" / "capability.json")
        (folder / "policy.toml").write_text(policy(self.file.make(SystemEntropy())))
        (folder / "policy.toml").chmod(0o644)
        options = ("--socket", "somad.sock", "--store", "store", "--policy", "policy.toml", "--key-file", "key/key")
        self.daemon = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *options, "--remote", "127.0.0.1:0"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.daemon.stdout is not None
        url = ""
        for line in self.daemon.stdout:
            if "remote" in line:
                url = line.split()[1]
            if "Ctrl-C" in line:
                break
        self.soma, self.remote = self.loop.run_until_complete(self._open(url))

    async def _open(self, url: str) -> tuple[SomaCustody, RemoteAnima]:
        path = self.folder / "somad.sock"
        channel = SocketChannel(path)
        await channel.ask(Provision(agent="bench", max_per_session_micro=2**53 - 1, max_per_tx_micro=2**53 - 1))
        did = self.file.caller_key().did.did
        reply = await channel.ask(
            Grant(agent="bench", did=did, operations=("sign_token", "sign_authorization"), lifetime_s=3600)
        )
        await channel.close()
        self.file.accept(Offer(oracle=reply.oracle or "", agent="bench", permit=reply.token or ""))
        remote = await RemoteAnima.open(
            RemoteSettings(url=url, capability_file=self.file.path), clock=self.clock, entropy=SystemEntropy()
        )
        return await SomaCustody.open(path, "bench", clock=self.clock), remote

    def close(self) -> None:
        """Stop everything."""
        self.loop.run_until_complete(self.soma.close())
        self.loop.run_until_complete(self.remote.close())
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.communicate(timeout=30)
        self.runner.close()

    def rate(self, call: Callable[[int], Awaitable[object]], count: int, *, at_once: int) -> float:
        """Calls a second, `at_once` of them under way."""

        async def worker(numbers: range) -> None:
            for number in numbers:
                await call(number)

        async def work() -> float:
            start = time.perf_counter()
            await asyncio.gather(*(worker(range(first, count, at_once)) for first in range(at_once)))
            return count / (time.perf_counter() - start)

        return self.loop.run_until_complete(work())


def main() -> int:
    """Run and report."""
    options = arguments(__doc__ or "")
    count = 1_000 if options.quick else 6_000
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        bench = Bench(Path(name))
        p256 = load_private_key(derive_p256_secret(bytearray(DIGEST)))
        secret = derive_secp256k1_secret(bytearray(DIGEST))
        started = time.time_ns()

        def payment(handle: SomaCustody, number: int) -> TransferAuthorization:
            now_s = bench.clock.now_us() // 1_000_000
            return TransferAuthorization(
                network="eip155:84532",
                asset=USDC,
                token_name="USDC",
                token_version="2",
                from_address=handle.capabilities().wallet_address or "",
                to_address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                value_atomic=1,
                valid_after_s=0,
                valid_before_s=now_s + 300,
                nonce=(started + time.perf_counter_ns() + number).to_bytes(32, "big"),
                reservation_id="bench",
            )

        cases = {
            "token": lambda: bench.rate(lambda n: bench.soma.sign_token({"n": n}), count, at_once=PIPELINED),
            "payment": lambda: bench.rate(
                lambda n: bench.soma.sign_authorization(payment(bench.soma, n)), count, at_once=PIPELINED
            ),
            "P-256": lambda: per_second(lambda: p256.sign_digest(DIGEST), count),
            "secp256k1": lambda: per_second(lambda: secp256k1.sign_recoverable(DIGEST, secret), count),
            "remote token": lambda: bench.rate(lambda n: bench.remote.sign_token({"n": n}), count // 20, at_once=1),
            "3,000 a second": lambda: TARGET,
        }
        results = interleaved(cases, rounds=options.rounds)
        bench.close()
    return report(
        results,
        "/s",
        [
            Claim("tokens over one connection", "token", "3,000 a second", at_least=1.0),
            Claim("payments over one connection", "payment", "3,000 a second", at_least=1.0),
            Claim("tokens against the bare curve", "token", "P-256", at_least=0.1),
            Claim("payments against the bare curve", "payment", "secp256k1", at_least=0.1),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
