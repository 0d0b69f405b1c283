"""Sealed secrets and passphrase hashes."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.crypto.errors import DecryptionError, InvalidKeyError, InvalidParametersError
from life.crypto.seal import (
    Argon2idParameters,
    ScryptParameters,
    derive_key,
    open_sealed,
    parse_kdf_parameters,
    seal,
)
from tests.crypto.strategies import PROPERTY

KEY = b"\x2a" * 32
NONCE = bytes(range(12))
QUICK = Argon2idParameters(memory_kib=8192, iterations=1)


def test_key_blob_vector() -> None:
    """Haima reference, appendix A: the key blob, sealed and opened."""
    blob = bytes.fromhex(
        "9fbc3391b06639f894f85fa517c2fdc1f67b89da0cda2be519c79f0496a36e1a1a3ffe67d3e1f5a9f994bf200ed05880"
    )
    assert seal(b"\x01" * 32, key=KEY, nonce=NONCE, associated_data=b"") == blob
    assert open_sealed(blob, key=KEY, nonce=NONCE, associated_data=b"") == b"\x01" * 32


def test_rfc8439_vector() -> None:
    """RFC 8439, section 2.8.2, with associated data."""
    sealed = seal(
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
        key=bytes(range(0x80, 0xA0)),
        nonce=bytes.fromhex("070000004041424344454647"),
        associated_data=bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
    )
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


@PROPERTY
@given(
    st.binary(max_size=200),
    st.binary(max_size=50),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=12, max_size=12),
)
def test_opening_inverts_sealing(plaintext: bytes, context: bytes, key: bytes, nonce: bytes) -> None:
    """Any plaintext comes back, in a buffer that can be wiped, 16 bytes shorter than it was sealed."""
    sealed = seal(bytearray(plaintext), key=bytearray(key), nonce=nonce, associated_data=context)
    assert len(sealed) == len(plaintext) + 16
    opened = open_sealed(sealed, key=key, nonce=nonce, associated_data=context)
    assert isinstance(opened, bytearray)
    assert opened == plaintext


def test_every_altered_byte_is_noticed() -> None:
    """Any altered byte of ciphertext, tag, key, nonce or context keeps the seal shut, with one error for all."""
    sealed = seal(b"\x01" * 32, key=KEY, nonce=NONCE, associated_data=b"context")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(DecryptionError):
            open_sealed(bytes(altered), key=KEY, nonce=NONCE, associated_data=b"context")
    for arguments in (
        {"key": b"\x2b" + KEY[1:]},
        {"nonce": b"\x01" + NONCE[1:]},
        {"associated_data": b"other"},
        {"associated_data": b""},
    ):
        given_arguments: dict[str, Any] = {"key": KEY, "nonce": NONCE, "associated_data": b"context"} | arguments
        with pytest.raises(DecryptionError):
            open_sealed(sealed, **given_arguments)
    for length in (0, 15, 16, len(sealed) - 1):
        with pytest.raises(DecryptionError):
            open_sealed(sealed[:length], key=KEY, nonce=NONCE, associated_data=b"context")


def test_keys_and_nonces_have_their_lengths() -> None:
    """Other lengths are errors on both sides, never padded."""
    for key in (b"", bytes(16), bytes(31), bytes(33)):
        with pytest.raises(InvalidKeyError):
            seal(b"x", key=key, nonce=NONCE, associated_data=b"")
        with pytest.raises(InvalidKeyError):
            open_sealed(bytes(20), key=key, nonce=NONCE, associated_data=b"")
    for nonce in (b"", bytes(8), bytes(24)):
        with pytest.raises(InvalidParametersError):
            seal(b"x", key=KEY, nonce=nonce, associated_data=b"")


def test_scrypt_is_the_standard_librarys() -> None:
    """The struct's fields reach scrypt as N, r and p; the smallest accepted cost is used here."""
    key = derive_key(ScryptParameters(log2_n=14, r=8, p=1), bytearray(b"pleaseletmein"), salt=b"SodiumChloride..")
    assert key == hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride..", n=1 << 14, r=8, p=1, dklen=32)


def test_argon2id_is_pinned() -> None:
    """A stored file opens for ever: this key was computed once, and memory, passes and lanes each change it."""
    salt = bytes(range(16))
    key = derive_key(QUICK, bytearray(b"correct horse"), salt=salt)
    assert key.hex() == "68aa6b3e6343f355586e5dd84710fb380cc542b0a47fa8a06ad81318fa48e3b3"
    others = [
        Argon2idParameters(memory_kib=9216, iterations=1),
        Argon2idParameters(memory_kib=8192, iterations=2),
        Argon2idParameters(memory_kib=8192, iterations=1, lanes=2),
    ]
    keys = [bytes(derive_key(parameters, bytearray(b"correct horse"), salt=salt)) for parameters in others]
    assert len({bytes(key), *keys}) == 4


def test_passphrases_and_salts_are_checked() -> None:
    """An empty passphrase and a short or long salt are refused."""
    with pytest.raises(InvalidKeyError):
        derive_key(QUICK, bytearray(), salt=bytes(16))
    for salt in (b"", bytes(15), bytes(65)):
        with pytest.raises(InvalidParametersError):
            derive_key(QUICK, bytearray(b"x"), salt=salt)


def test_parameters_of_a_file() -> None:
    """The members of a file become the struct; the defaults are those of AN-KEY-2."""
    argon2id = {"kdf": "argon2id", "memory_kib": 65536, "iterations": 3, "lanes": 1}
    scrypt = {"kdf": "scrypt", "log2_n": 17, "r": 8, "p": 1}
    assert parse_kdf_parameters(argon2id) == Argon2idParameters()
    assert parse_kdf_parameters(scrypt) == ScryptParameters()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"kdf": "pbkdf2", "iterations": 1},
        {"kdf": "argon2id"},
        {"kdf": "argon2id", "memory_kib": 65536, "iterations": 3},
        {"kdf": "argon2id", "memory_kib": 65536, "iterations": 3, "lanes": 1, "surplus": 1},
        {"kdf": "argon2id", "memory_kib": "65536", "iterations": 3, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": True, "iterations": 3, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": 8191, "iterations": 3, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": 2**20 + 1, "iterations": 3, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": 2**40, "iterations": 3, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": 65536, "iterations": 0, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": 65536, "iterations": 17, "lanes": 1},
        {"kdf": "argon2id", "memory_kib": 65536, "iterations": 3, "lanes": 0},
        {"kdf": "argon2id", "memory_kib": 65536, "iterations": 3, "lanes": 17},
        {"kdf": "scrypt", "log2_n": 13, "r": 8, "p": 1},
        {"kdf": "scrypt", "log2_n": 21, "r": 8, "p": 1},
        {"kdf": "scrypt", "log2_n": 20, "r": 9, "p": 1},
        {"kdf": "scrypt", "log2_n": 17, "r": 7, "p": 1},
        {"kdf": "scrypt", "log2_n": 17, "r": 33, "p": 1},
        {"kdf": "scrypt", "log2_n": 17, "r": 8, "p": 9},
        {"kdf": "scrypt", "log2_n": 17, "r": 8, "p": -1},
        {"kdf": "scrypt", "log2_n": 10**30, "r": 8, "p": 1},
    ],
)
def test_hostile_parameters_are_refused(members: dict[str, object]) -> None:
    """Unknown KDFs, missing and surplus members, and costs too low or too high are refused before anything is computed."""
    with pytest.raises(InvalidParametersError):
        parse_kdf_parameters(members)
