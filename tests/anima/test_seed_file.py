"""The seed container: no byte of it can change, and no other secret opens it (AN-KEY-2)."""

from __future__ import annotations

import copy
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import CustodyError
from life.anima.errors import CustodyAuthFailedError, CustodyProtocolError, IdentityMismatchError, InsecureFileError
from life.anima.key_source import Passphrase, Secret
from life.anima.seed_file import (
    Seeds,
    open_seeds,
    read_header,
    read_seed_file,
    seal_seeds,
    write_seed_file,
)
from life.crypto.seal import Argon2idParameters, ScryptParameters, derive_key, seal
from life.testing.clock import SeededEntropy
from tests.anima.material import DID_A, DID_B, SEED_A, SEED_B

FAST_ARGON2ID = Argon2idParameters(memory_kib=8192, iterations=1)
FAST_SCRYPT = ScryptParameters(log2_n=14)

HEADER_BYTES = 10 + 1 + 12 + 16 + 12 + 1 + len(DID_A)
REGIONS = {
    "magic": range(10),
    "kdf": range(10, 11),
    "parameters": range(11, 23),
    "salt": range(23, 39),
    "nonce": range(39, 51),
    "did_length": range(51, 52),
    "did": range(52, HEADER_BYTES),
    "ciphertext": range(HEADER_BYTES, HEADER_BYTES + 72),
    "tag": range(HEADER_BYTES + 72, HEADER_BYTES + 88),
}


def raw(filler: int = 7) -> Secret:
    """A raw key."""
    return Secret("raw_key", bytearray([filler]) * 32)


def phrase(text: str = "correct horse battery staple") -> Secret:
    """A passphrase."""
    return Passphrase(text).unlock()


def seeds(auth: bytes = SEED_A, wallet: bytes = SEED_B) -> Seeds:
    """A rotated identity: two seeds, generations 3 and 1."""
    return Seeds(bytearray(auth), bytearray(wallet), auth_generation=3, wallet_generation=1)


RAW = seal_seeds(seeds(), raw(), entropy=SeededEntropy())
ARGON2ID = seal_seeds(seeds(), phrase(), entropy=SeededEntropy(), kdf=FAST_ARGON2ID)
SCRYPT = seal_seeds(seeds(), phrase(), entropy=SeededEntropy(), kdf=FAST_SCRYPT)
SEALED: dict[str, tuple[bytes, Callable[[], Secret]]] = {
    "raw": (RAW, raw),
    "argon2id": (ARGON2ID, phrase),
    "scrypt": (SCRYPT, phrase),
}


@pytest.mark.parametrize("name", SEALED)
def test_round_trip(name: str) -> None:
    """Both seeds and both generations come back, whatever seals them."""
    container, secret = SEALED[name]
    opened = open_seeds(container, secret())
    assert bytes(opened.auth_seed.view) == SEED_A
    assert bytes(opened.wallet_seed.view) == SEED_B
    assert (opened.auth_generation, opened.wallet_generation) == (3, 1)
    assert opened.did() == DID_A
    assert read_header(container).did == DID_A
    assert read_header(container).secret_kind == ("raw_key" if name == "raw" else "passphrase")


def test_the_default_is_argon2id_64_mib() -> None:
    """A passphrase is stretched with Argon2id, 64 MiB, three passes, one lane, and that opens again."""
    container = seal_seeds(seeds(), phrase(), entropy=SeededEntropy())
    assert read_header(container).kdf == Argon2idParameters(memory_kib=65536, iterations=3, lanes=1)
    assert bytes(open_seeds(container, phrase()).auth_seed.view) == SEED_A


def test_layout() -> None:
    """The container is laid out as documented, byte for byte, and the seeds are not in it."""
    assert ARGON2ID[:10] == b"ANIMASEED1"
    assert struct.unpack(">BIII", ARGON2ID[10:23]) == (1, 8192, 1, 1)
    assert struct.unpack(">BIII", SCRYPT[10:23]) == (2, 14, 8, 1)
    assert struct.unpack(">BIII", RAW[10:23]) == (0, 0, 0, 0)
    assert ARGON2ID[51] == len(DID_A)
    assert ARGON2ID[52:HEADER_BYTES] == DID_A.encode()
    assert len(ARGON2ID) == HEADER_BYTES + 72 + 16
    for container in (RAW, ARGON2ID, SCRYPT):
        assert SEED_A not in container
        assert SEED_B not in container


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("bit", [0, 7])
def test_no_byte_can_change(region: str, bit: int) -> None:
    """A flipped bit in any byte of any region is an error with a code, never other seeds."""
    for position in REGIONS[region]:
        changed = bytearray(RAW)
        changed[position] ^= 1 << bit
        with pytest.raises(CustodyError) as refusal:
            open_seeds(changed, raw())
        assert refusal.value.code in ("custody.auth_failed", "custody.protocol")


@pytest.mark.parametrize(
    "position", [10, 13, 14, 18, 22, 23, 38, 39, 50, 52, HEADER_BYTES, HEADER_BYTES + 71, HEADER_BYTES + 87]
)
def test_no_byte_can_change_under_a_passphrase(position: int) -> None:
    """The same behind Argon2id: parameters, salt, nonce, DID, ciphertext and tag."""
    changed = bytearray(ARGON2ID)
    changed[position] ^= 1
    with pytest.raises(CustodyError) as refusal:
        open_seeds(changed, phrase())
    assert refusal.value.code in ("custody.auth_failed", "custody.protocol")


def test_every_length_but_the_right_one_is_refused() -> None:
    """Truncation at any byte and trailing bytes are found before anything is derived."""
    for length in range(len(RAW)):
        with pytest.raises(CustodyProtocolError):
            open_seeds(RAW[:length], raw())
    with pytest.raises(CustodyProtocolError):
        open_seeds(RAW + b"\0", raw())


@settings(max_examples=200)
@given(junk=st.binary(max_size=300))
def test_junk_is_refused(junk: bytes) -> None:
    """Random bytes, with or without the magic, are a protocol error."""
    for content in (junk, b"ANIMASEED1" + junk):
        with pytest.raises(CustodyProtocolError):
            read_header(content)


@pytest.mark.parametrize(
    ("kdf", "parameters"),
    [
        (0, (1, 0, 0)),
        (1, (2**32 - 1, 3, 1)),
        (1, (1024, 3, 1)),
        (1, (65536, 0, 1)),
        (1, (65536, 2**32 - 1, 1)),
        (1, (65536, 3, 0)),
        (2, (63, 8, 1)),
        (2, (1, 8, 1)),
        (2, (17, 2**31, 1)),
        (2, (17, 8, 2**31)),
        (3, (0, 0, 0)),
        (255, (65536, 3, 1)),
    ],
)
def test_kdf_parameters_are_bounded(kdf: int, parameters: tuple[int, int, int]) -> None:
    """A hostile file can neither ask for gigabytes or hours nor for a worthless stretch."""
    changed = ARGON2ID[:10] + struct.pack(">BIII", kdf, *parameters) + ARGON2ID[23:]
    with pytest.raises(CustodyProtocolError):
        open_seeds(changed, phrase())


def test_wrong_secrets() -> None:
    """A wrong passphrase, a wrong key and the wrong kind of secret do not open, and say nothing of the secret."""
    attempts = [
        (ARGON2ID, phrase("correct horse battery stapl")),
        (ARGON2ID, phrase("Correct horse battery staple")),
        (ARGON2ID, raw()),
        (RAW, raw(8)),
        (RAW, phrase()),
    ]
    for container, secret in attempts:
        with pytest.raises(CustodyAuthFailedError) as refusal:
            open_seeds(container, secret)
        told = str(refusal.value) + str(refusal.value.next_step)
        assert "horse" not in told
        assert secret.buffer.hex() not in told


def test_unicode_passphrases_are_normalised() -> None:
    """The same passphrase typed composed or decomposed opens the same file (RFC 8265)."""
    container = seal_seeds(seeds(), phrase("Grüße aus Köln"), entropy=SeededEntropy(), kdf=FAST_ARGON2ID)
    assert open_seeds(container, phrase("Gru\u0308ße aus Ko\u0308ln")).auth_generation == 3


def test_the_seed_must_be_that_of_the_header() -> None:
    """A container whose key holder wrote another identity's seed under this DID is refused."""
    parameters = ARGON2ID[:52]
    header = parameters[:51] + bytes([len(DID_B)]) + DID_B.encode()
    key = derive_key(FAST_ARGON2ID, phrase().buffer, salt=header[23:39])
    plaintext = SEED_A + SEED_B + bytes(8)
    forged = header + seal(plaintext, key=key, nonce=header[39:51], associated_data=header)
    with pytest.raises(IdentityMismatchError):
        open_seeds(forged, phrase())


def test_salt_and_nonce_are_new_each_time() -> None:
    """Sealing the same seeds twice never repeats salt or nonce."""
    entropy = SeededEntropy()
    first, second = (read_header(seal_seeds(seeds(), raw(), entropy=entropy)) for _ in "ab")
    assert first.salt != second.salt
    assert first.nonce != second.nonce


def test_seeds_hide_themselves() -> None:
    """Seeds and secrets show nothing and can't be pickled or copied; wiped seeds can't be read."""
    held = seeds()
    assert SEED_A.hex() not in repr(held)
    assert "42" not in repr(held).replace("generations", "")
    assert repr(raw()) == "<secret raw_key>"
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            duplicate(held)
    held.wipe()
    held.wipe()
    with pytest.raises(ValueError, match="wiped"):
        held.did()


def test_on_disk(tmp_path: Path) -> None:
    """The file is private from the start, and one that is not is refused."""
    path = tmp_path / "seed.enc"
    assert read_seed_file(path) is None
    write_seed_file(path, RAW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_seed_file(path) == RAW
    path.chmod(0o640)
    with pytest.raises(InsecureFileError):
        read_seed_file(path)
