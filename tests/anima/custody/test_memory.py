"""Which copies of a key a process keeps (custody-testbeds.md §8.2): the parent reads the child's memory.

One run cannot prove that no copy exists anywhere (registers, swap, freed pages); it does show that what is said to be wiped
is not lying around.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from life.anima.home import create_identity
from life.anima.key_source import KeyFile
from life.anima.seed_file import open_seeds
from life.crypto.derivation import derive_p256_secret, derive_secp256k1_secret
from life.testing.clock import ManualClock

FROM_SEED = """
seed = bytearray(32)
assert os.readv(0, [seed]) == 32
handle = InProcessAnima.from_seed(seed, clock=ManualClock())
wipe(seed)
del seed
"""

FROM_FOLDER = """
os.read(0, 32)
folder = Path(sys.argv[1])
handle = open_identity(folder / "identity", KeyFile(folder / "identity.key"), clock=ManualClock()).custody
"""

CHILD = """
import asyncio, gc, os, sys
from pathlib import Path
from life.anima.custody.in_process import InProcessAnima
from life.anima.home import open_identity
from life.anima.key_source import KeyFile
from life.aios.ports.custody import TransferAuthorization
from life.crypto.wiping import wipe
from life.testing.clock import START_US, ManualClock
{opening}
now = START_US // 1_000_000


async def use():
    for number in range(50):
        await handle.sign_token({"n": number})
        await handle.sign_message(b"hello")
        await handle.sign_authorization(
            TransferAuthorization(
                "eip155:84532", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC", "2",
                handle.capabilities().wallet_address, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
                10_000, now - 1, now + 60, number.to_bytes(32, "big"),
            )
        )


def pause(word):
    gc.collect()
    os.write(1, word)
    os.read(0, 1)


asyncio.run(use())
pause(b"alive\\n")
handle.close()
pause(b"closed\\n")
"""


class OsEntropy:
    """Real chance: this test looks for bytes that occur nowhere else."""

    def token_bytes(self, length: int) -> bytes:
        """From the system."""
        return os.urandom(length)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_key_stays_behind() -> None:
    """While a handle is open the wallet key lies in exactly one place, its seed nowhere; after closing, no key anywhere.

    The identity key is in one place too, the object of the `cryptography` package.
    """
    seed = os.urandom(32)
    alive, closed = watched(FROM_SEED, derived(seed), first_bytes=seed)
    assert alive == {"seed": 0, "wallet": 1, "identity": 1}
    assert closed == {"seed": 0, "wallet": 0, "identity": 0}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_opening_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    """The same when the seed comes out of its file: neither the seed nor the key that sealed it stays."""
    key_file = KeyFile(tmp_path / "identity.key")
    create_identity(tmp_path / "identity", key_source=key_file, clock=ManualClock(), entropy=OsEntropy())
    seeds = open_seeds((tmp_path / "identity" / "seed.enc").read_bytes(), key_file.unlock())
    secrets = derived(bytes(seeds.auth_seed.view)) | {"key file": key_file.path.read_bytes()}
    alive, closed = watched(FROM_FOLDER, secrets, first_bytes=bytes(32), arguments=[str(tmp_path)])
    assert alive == {"seed": 0, "wallet": 1, "identity": 1, "key file": 0}
    assert closed == {"seed": 0, "wallet": 0, "identity": 0, "key file": 0}


REFUSING = (
    FROM_SEED
    + """
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import CustodyInputError, PolicyDeniedError
handle._rules = WalletRules(guard=lambda request: "no")
for claims in ({"iss": "somebody"}, {"x": object()}, {"long": "x" * 9000}):
    try:
        handle.sign_claims(claims)
    except CustodyInputError as error:
        kept = error
for call in (handle.sign_message(b"m"), handle.sign_message("no bytes")):
    try:
        asyncio.run(call)
    except (PolicyDeniedError, CustodyInputError) as error:
        kept = error
handle._rules = WalletRules()
"""
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_refusals_leave_nothing_behind() -> None:
    """Refused requests, whose errors somebody keeps with their tracebacks, add no copy of a key, and hold none alive."""
    seed = os.urandom(32)
    alive, closed = watched(REFUSING, derived(seed), first_bytes=seed)
    assert alive == {"seed": 0, "wallet": 1, "identity": 1}
    assert closed == {"seed": 0, "wallet": 0, "identity": 0}


def derived(seed: bytes) -> dict[str, bytes]:
    """A seed and both its keys."""
    return {
        "seed": seed,
        "wallet": bytes(derive_secp256k1_secret(bytearray(seed))),
        "identity": bytes(derive_p256_secret(bytearray(seed))),
    }


def watched(
    opening: str, secrets: dict[str, bytes], *, first_bytes: bytes, arguments: Sequence[str] = ()
) -> tuple[dict[str, int], dict[str, int]]:
    """Copies of the secrets in a child that uses a handle: while it is open, and after it was closed."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD.replace("{opening}", opening), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(first_bytes)
        assert child.stdout.readline() == b"alive\n"
        alive = copies(child.pid, secrets)
        child.stdin.write(b".")
        assert child.stdout.readline() == b"closed\n"
        closed = copies(child.pid, secrets)
        child.stdin.write(b".")
    assert child.returncode == 0
    return alive, closed


def copies(pid: int, secrets: dict[str, bytes]) -> dict[str, int]:
    """How often each secret occurs in the writable memory of a process: as it is, reversed, and as a Python int."""
    found = dict.fromkeys(secrets, 0)
    spellings = {name: (secret, secret[::-1], python_digits(secret)) for name, secret in secrets.items()}
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, mode, *rest = line.split()
            if "w" not in mode or rest[-1] in ("[vvar]", "[vsyscall]"):
                continue
            start, end = (int(bound, 16) for bound in span.split("-"))
            memory.seek(start)
            try:
                region = memory.read(end - start)
            except OSError:
                continue
            for name, forms in spellings.items():
                found[name] += sum(region.count(form) for form in forms)
    return found


def python_digits(secret: bytes) -> bytes:
    """The 30-bit digits of CPython's int, little-endian, four bytes each."""
    number, digits = int.from_bytes(secret, "big"), b""
    while number:
        digits += (number & (2**30 - 1)).to_bytes(4, "little")
        number >>= 30
    return digits
