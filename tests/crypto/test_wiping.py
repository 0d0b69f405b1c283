"""Wiping of buffers, and what is left in memory of keys that were used and wiped."""

import subprocess
import sys
from pathlib import Path

import pytest

from life.crypto import derivation
from life.crypto.errors import InvalidKeyError
from life.crypto.seal import seal
from life.crypto.wiping import secret_view, wipe, wiped
from tests.crypto import vectors


def test_wipe_overwrites_in_place() -> None:
    """The same memory is zero afterwards, seen through any view of it, and keeps its length."""
    buffer = bytearray(b"secret bytes")
    view = memoryview(buffer)
    wipe(buffer)
    assert bytes(view) == bytes(12)
    part = bytearray(b"head" + b"tail")
    wipe(memoryview(part)[4:])
    assert part == b"head\0\0\0\0"
    wipe(bytearray())


def test_wipe_refuses_what_it_cannot_overwrite() -> None:
    """A read-only view is an error, never a silent failure."""
    with pytest.raises(TypeError):
        wipe(memoryview(b"secret"))


def test_a_secret_is_viewed_not_copied() -> None:
    """The view shares the caller's memory; read-only, scattered, short or long memory is refused."""
    buffer = bytearray(b"0123")
    view = secret_view(buffer, length_bytes=4)
    wipe(buffer)
    assert bytes(view) == bytes(4)
    bad: tuple[object, ...] = (
        b"0123",
        memoryview(b"0123"),
        memoryview(bytearray(8))[::2],
        bytearray(3),
        bytearray(5),
        "0123",
    )
    for secret in bad:
        with pytest.raises(InvalidKeyError):
            secret_view(secret, length_bytes=4)  # type: ignore[arg-type]


def test_wiped_overwrites_when_the_block_fails() -> None:
    """The buffer is zero after the block, also after an exception."""
    buffer = bytearray(b"secret")
    with pytest.raises(RuntimeError):
        with wiped(buffer) as lent:
            assert lent == b"secret"
            raise RuntimeError
    assert buffer == bytes(6)


_CHILD = """
import gc, sys
from life.crypto import derivation, p256, seal, secp256k1
raw = open(0, "rb", buffering=0)
if sys.argv[1] == "seal":
    key, sealed = bytearray(32), bytearray(48)
    raw.readinto(key), raw.readinto(sealed)
    secret = seal.open_sealed(sealed, key=key, nonce=bytes(12), associated_data=b"")
    held = secret
else:
    seed = bytearray(32)
    raw.readinto(seed)
    if sys.argv[1] == "p256":
        secret = derivation.derive_p256_secret(seed)
        held = p256.load_private_key(secret)
        held.sign(b"message")
    else:
        secret = derivation.derive_secp256k1_secret(seed)
        held = secp256k1.public_key(secret)
        secp256k1.sign_recoverable(bytes(32), secret)
    derivation.wipe(seed)
print("alive", flush=True)
raw.read(1)
derivation.wipe(secret)
del held, secret
gc.collect()
print("wiped", flush=True)
raw.read(1)
"""


def _copies_in(process_id: int, needle: bytes) -> int:
    """Count occurrences of ``needle`` in the writable memory of a process."""
    found = 0
    with open(f"/proc/{process_id}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{process_id}/maps").read_text().splitlines():
            span, permissions = line.split()[:2]
            if not permissions.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            memory.seek(start)
            try:
                found += memory.read(end - start).count(needle)
            except OSError:  # the kernel's own pages
                continue
    return found


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc to look into a process")
@pytest.mark.parametrize("kind", ["p256", "secp256k1", "seal"])
def test_no_copy_of_a_scalar_remains(kind: str) -> None:
    """While a key is in use at least one copy is in memory; after wiping and release there is none, in either byte order."""
    seed = bytes(range(100, 132))
    if kind == "p256":
        secret = bytes(derivation.derive_p256_secret(bytearray(seed)))
    elif kind == "secp256k1":
        secret = bytes(derivation.derive_secp256k1_secret(bytearray(seed)))
    else:
        secret = vectors.P256_SECRET_B
    given = seed if kind != "seal" else seed + seal(secret, key=seed, nonce=bytes(12), associated_data=b"")
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if kind == "seal":
            child.stdin.write(given[:32])
            child.stdin.write(given[32:])
        else:
            child.stdin.write(given)
        assert child.stdout.readline() == b"alive\n"
        assert _copies_in(child.pid, secret) + _copies_in(child.pid, secret[::-1]) >= 1
        child.stdin.write(b"x")
        assert child.stdout.readline() == b"wiped\n"
        remaining = _copies_in(child.pid, secret) + _copies_in(child.pid, secret[::-1])
        child.stdin.write(b"x")
    assert remaining == 0
