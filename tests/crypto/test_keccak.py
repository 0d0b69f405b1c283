"""Keccak-256 against published digests and an independent implementation."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from eth_utils.crypto import keccak as oracle
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import keccak as module
from life.crypto.keccak import keccak256
from tests.crypto.strategies import PROPERTY


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        # Keccak reference known-answer tests, 256 bits, messages of 0 and 8 bits; the third is the usual Ethereum one.
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"),
        (b"hello", "1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8"),
    ],
)
def test_published_digests(message: bytes, digest: str) -> None:
    """The digest is Keccak with its original padding, not SHA3-256."""
    assert keccak256(message).hex() == digest


@PROPERTY
@given(st.binary(max_size=600))
def test_agrees_with_an_independent_implementation(message: bytes) -> None:
    """Every length around the 136-byte block gives the digest others give."""
    assert keccak256(message) == oracle(message)


def test_refuses_what_is_not_bytes() -> None:
    """A wrong type is an error, and the next hash is right again."""
    for wrong in ("text", 32, None, bytearray(b"x"), memoryview(b"x")):
        with pytest.raises(TypeError):
            keccak256(wrong)  # type: ignore[arg-type]
    assert keccak256(b"hello") == oracle(b"hello")


def test_subclasses_of_bytes_are_bytes() -> None:
    """HexBytes, which Ethereum libraries hand out, hashes like its content."""
    assert keccak256(HexBytes("0x68656c6c6f")) == oracle(b"hello")


def test_threads_do_not_share_a_state() -> None:
    """Hashes running at the same time in several threads do not mix."""
    messages = [bytes([index]) * 5000 for index in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(keccak256, messages)) == [oracle(message) for message in messages]


def test_both_roads_give_the_same_digest() -> None:
    """Without cffi declarations (python -OO) hashing still works, through pycryptodome's public interface."""
    script = "from life.crypto.keccak import keccak256; print(keccak256(b'hello').hex())"
    result = subprocess.run([sys.executable, "-OO", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == oracle(b"hello").hex()


def test_loading_waits_for_the_first_hash() -> None:
    """Importing the module loads neither pycryptodome nor a C parser."""
    script = (
        "import sys, life.crypto.keccak; print([m for m in sys.modules if m.split('.')[0] in ('Crypto', 'pycparser')])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert module.keccak256 is keccak256
