"""P-256 signatures: RFC 6979 known answers, verification, loading of keys, and what must be refused."""

import copy
import pickle
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import p256
from life.crypto.errors import InvalidDigestError, InvalidKeyError, InvalidSignatureError
from tests.crypto import vectors
from tests.crypto.strategies import FEW, p256_secrets

RFC6979_SECRET = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        # RFC 6979, appendix A.2.5, SHA-256.
        (
            b"sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            b"test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ],
)
def test_rfc6979_vectors(message: bytes, signature: str) -> None:
    """Deterministic signatures are those of the RFC; s is left as it comes, high in the first vector."""
    key = p256.load_private_key(bytearray.fromhex(RFC6979_SECRET))
    assert key.sign(message) == bytes.fromhex(signature)
    p256.P256PublicKey(key.public_key).verify(message, bytes.fromhex(signature))


@pytest.mark.parametrize(
    ("secret", "public"),
    [(vectors.P256_SECRET_A, vectors.P256_PUBLIC_A), (vectors.P256_SECRET_B, vectors.P256_PUBLIC_B)],
)
def test_known_public_keys(secret: bytes, public: bytes) -> None:
    """The compressed public keys are those of the Anima vectors."""
    assert p256.load_private_key(bytearray(secret)).public_key == public


@FEW
@given(p256_secrets, st.binary(max_size=300))
def test_signatures_verify(secret: bytearray, message: bytes) -> None:
    """Deterministic and hedged signatures verify, over the message and over its digest; only the former repeat."""
    key = p256.load_private_key(secret)
    public = p256.P256PublicKey(p256.decompress(key.public_key))
    digest = sha256(message).digest()
    assert key.sign(message) == key.sign_digest(digest) == key.sign(message)
    for signature in (key.sign(message), key.sign(message, deterministic=False)):
        public.verify(message, signature)
        public.verify_digest(digest, signature)
    assert key.sign_digest(digest, deterministic=False) != key.sign_digest(digest, deterministic=False)
    with pytest.raises(InvalidSignatureError):
        public.verify(message + b"x", key.sign(message))


def test_every_altered_byte_is_noticed() -> None:
    """No change of a single byte of a signature verifies."""
    key = p256.load_private_key(bytearray(vectors.P256_SECRET_A))
    public, signature = p256.P256PublicKey(key.public_key), key.sign(b"message")
    for position in range(64):
        altered = bytearray(signature)
        altered[position] ^= 0x01
        with pytest.raises(InvalidSignatureError):
            public.verify(b"message", bytes(altered))


def test_both_forms_of_s_are_accepted() -> None:
    """Half of all hardware signatures have a high s; neither form is refused."""
    key = p256.load_private_key(bytearray(vectors.P256_SECRET_A))
    signature = key.sign(b"message")
    mirrored = (p256.ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    p256.P256PublicKey(key.public_key).verify(b"message", signature[:32] + mirrored)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(63),
        bytes(64),
        bytes(65),
        p256.ORDER.to_bytes(32, "big") * 2,
        b"\xff" * 64,
        bytes(31) + b"\1" + bytes(32),
    ],
)
def test_malformed_signatures_are_refused(signature: bytes) -> None:
    """Other lengths, zeros and values above the order never verify and never crash."""
    with pytest.raises(InvalidSignatureError):
        p256.P256PublicKey(vectors.P256_PUBLIC_A).verify(b"message", signature)


@pytest.mark.parametrize(
    "secret",
    [
        bytearray(),
        bytearray(b"\x01" * 31),
        bytearray(b"\x01" * 33),
        bytearray(32),
        bytearray(p256.ORDER.to_bytes(32, "big")),
        bytearray(b"\xff" * 32),
    ],
)
def test_bad_secrets_are_refused(secret: bytearray) -> None:
    """Zero, n and above, and other lengths are no keys."""
    with pytest.raises(InvalidKeyError):
        p256.load_private_key(secret)


def test_a_secret_that_cannot_be_wiped_is_refused() -> None:
    """Keys come in writable buffers; n - 1, the largest key, loads from a view."""
    for secret in (
        vectors.P256_SECRET_A,
        memoryview(vectors.P256_SECRET_A),
        memoryview(bytearray(vectors.P256_SECRET_A * 2))[::2],
        vectors.P256_SECRET_A.hex(),
    ):
        with pytest.raises(InvalidKeyError):
            p256.load_private_key(secret)  # type: ignore[arg-type]
    buffer = bytearray((p256.ORDER - 1).to_bytes(32, "big"))
    assert (
        p256.load_private_key(memoryview(buffer)).public_key[1:]
        == p256.load_private_key(bytearray(31) + b"\1").public_key[1:]
    )


def test_a_private_key_shows_nothing() -> None:
    """repr shows the public half; copying and pickling are refused."""
    key = p256.load_private_key(bytearray(vectors.P256_SECRET_A))
    assert repr(key) == f"P256PrivateKey(public_key={vectors.P256_PUBLIC_A.hex()})"
    for attempt in (lambda: pickle.dumps(key), lambda: copy.copy(key), lambda: copy.deepcopy(key)):
        with pytest.raises(TypeError):
            attempt()


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\0",
        vectors.P256_PUBLIC_A[:-1],
        vectors.P256_PUBLIC_A + b"\0",
        b"\x05" + vectors.P256_PUBLIC_A[1:],
        b"\x02" + b"\xff" * 32,
        b"\x04" + bytes(64),
        b"\x06" + p256.decompress(vectors.P256_PUBLIC_A)[1:],
        b"\x07" + p256.decompress(vectors.P256_PUBLIC_A)[1:],
    ],
)
def test_bad_public_keys_are_refused(encoded: bytes) -> None:
    """Off-curve points, hybrid spellings, infinity and other lengths are no keys."""
    with pytest.raises(InvalidKeyError):
        p256.compress(encoded)


def test_compression_round_trips() -> None:
    """33 and 65 bytes are two spellings of one key, equal as objects."""
    long = p256.decompress(vectors.P256_PUBLIC_A)
    assert len(long) == 65
    assert p256.compress(long) == vectors.P256_PUBLIC_A
    assert (
        p256.P256PublicKey(long)
        == p256.P256PublicKey(vectors.P256_PUBLIC_A)
        != p256.P256PublicKey(vectors.P256_PUBLIC_B)
    )
    assert len({p256.P256PublicKey(long), p256.P256PublicKey(vectors.P256_PUBLIC_A)}) == 1


def test_digests_have_32_bytes() -> None:
    """Other lengths are refused by signing and by verification."""
    key = p256.load_private_key(bytearray(vectors.P256_SECRET_A))
    with pytest.raises(InvalidDigestError):
        key.sign_digest(bytes(31))
    with pytest.raises(InvalidDigestError):
        p256.P256PublicKey(key.public_key).verify_digest(bytes(33), bytes(64))


def test_der_signatures_are_converted() -> None:
    """Signatures of TPM, Vault and browsers become 64 bytes; malformed DER and zero or overlarge values are refused."""
    assert p256.signature_from_der(encode_dss_signature(1, p256.ORDER - 1)) == (1).to_bytes(32, "big") + (
        p256.ORDER - 1
    ).to_bytes(32, "big")
    for bad in (
        b"",
        b"\x30\x00",
        encode_dss_signature(0, 1),
        encode_dss_signature(1, p256.ORDER),
        encode_dss_signature(1, 1) + b"\0",
    ):
        with pytest.raises(InvalidSignatureError):
            p256.signature_from_der(bad)
