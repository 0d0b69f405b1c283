"""Wallet signatures: known answers, independent implementations, and everything that must be refused."""

import subprocess
import sys

import coincurve
import pytest
from eth_keys import datatypes as eth_keys
from hypothesis import given

from life.crypto import secp256k1
from life.crypto.address import format_address
from life.crypto.errors import InvalidDigestError, InvalidKeyError, InvalidSignatureError
from tests.crypto import vectors
from tests.crypto.strategies import PROPERTY, digests, secp256k1_secrets

N = secp256k1.ORDER
SECRET = bytearray(b"\x01" * 32)
DIGEST = bytes(range(32))


def mirrored(signature: bytes) -> bytes:
    """Return the other valid spelling of a signature: n - s, with the other parity."""
    s = N - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


@pytest.mark.parametrize(
    ("secret", "address"),
    [
        (b"\x01" * 32, "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"),  # Haima reference, appendix A
        (vectors.SECP256K1_SECRET_A, vectors.ADDRESS_A),
        (vectors.SECP256K1_SECRET_B, vectors.ADDRESS_B),
        (vectors.DEV_SECRET_0, vectors.DEV_ADDRESS_0),
        (vectors.DEV_SECRET_1, vectors.DEV_ADDRESS_1),
    ],
)
def test_known_addresses(secret: bytes, address: str) -> None:
    """Secret to public key to address gives the published address, from both spellings of the public key."""
    public = secp256k1.public_key(bytearray(secret))
    assert format_address(secp256k1.address_of(public)) == address
    assert secp256k1.address_of(public[1:]) == secp256k1.address_of(public)


@PROPERTY
@given(secp256k1_secrets, digests)
def test_signing_agrees_with_two_other_libraries(secret: bytearray, digest: bytes) -> None:
    """The bytes are those of coincurve and eth-keys (RFC 6979, low s), so a repeated signature is the same one."""
    signature = secp256k1.sign_recoverable(digest, secret)
    theirs = coincurve.PrivateKey(bytes(secret)).sign_recoverable(digest, hasher=None)
    assert signature == theirs[:64] + bytes((27 + theirs[64],))
    assert signature[:64] == eth_keys.PrivateKey(bytes(secret)).sign_msg_hash(digest).to_bytes()[:64]
    assert secp256k1.is_low_s(signature)
    assert secp256k1.sign_recoverable(digest, memoryview(secret)) == signature


@PROPERTY
@given(secp256k1_secrets, digests)
def test_recovery_returns_the_signer(secret: bytearray, digest: bytes) -> None:
    """Recovery accepts v as 27/28 and as 0/1 and gives the signer's key; the plain check agrees."""
    public = secp256k1.public_key(secret)
    signature = secp256k1.sign_recoverable(digest, secret)
    short_v = signature[:64] + bytes((signature[64] - 27,))
    assert secp256k1.recover(digest, signature) == secp256k1.recover(digest, short_v) == public[1:]
    assert secp256k1.recover_address(digest, signature) == secp256k1.address_of(public)
    for key in (public, secp256k1.compress(public)):
        secp256k1.verify(digest, signature[:64], key)


def test_every_altered_byte_is_noticed() -> None:
    """No change of a single bit anywhere in a signature or its digest still names the signer."""
    signature = secp256k1.sign_recoverable(DIGEST, SECRET)
    signer = secp256k1.address_of(secp256k1.public_key(SECRET))
    for position in range(65):
        for bit in range(8):
            altered = bytearray(signature)
            altered[position] ^= 1 << bit
            if bytes(altered[:64]) == signature[:64] and altered[64] % 27 == signature[64] % 27:
                continue
            try:
                assert secp256k1.recover_address(DIGEST, bytes(altered)) != signer
            except InvalidSignatureError:
                pass
    other = bytes([DIGEST[0] ^ 1]) + DIGEST[1:]
    assert secp256k1.recover_address(other, signature) != signer


def test_the_mirrored_signature_is_refused() -> None:
    """High s is refused wherever it is not asked for, so nobody can respell a signature (EIP-2)."""
    signature = secp256k1.sign_recoverable(DIGEST, SECRET)
    public = secp256k1.public_key(SECRET)
    high = mirrored(signature)
    assert not secp256k1.is_low_s(high)
    with pytest.raises(InvalidSignatureError, match="high s"):
        secp256k1.recover(DIGEST, high)
    with pytest.raises(InvalidSignatureError, match="high s"):
        secp256k1.verify(DIGEST, high[:64], public)
    secp256k1.verify(DIGEST, high[:64], public, allow_high_s=True)


def test_the_boundary_of_low_s() -> None:
    """Exactly n/2 is low, n/2 + 1 is high."""
    half = N // 2
    assert secp256k1.is_low_s(bytes(32) + half.to_bytes(32, "big"))
    assert not secp256k1.is_low_s(bytes(32) + (half + 1).to_bytes(32, "big") + b"\x1b")
    with pytest.raises(InvalidSignatureError):
        secp256k1.is_low_s(bytes(63))


def _with(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(66),
        _with(0, 1, 27),
        _with(1, 0, 27),
        _with(0, 0, 28),
        _with(N, 1, 27),
        _with(2**256 - 1, 1, 27),
        _with(1, N, 27),
        _with(5, 1, 27),  # no point of the curve has x = 5
        *(_with(1, 1, v) for v in (2, 3, 26, 29, 30, 35, 36, 255)),
    ],
)
def test_malformed_signatures_are_refused(signature: bytes) -> None:
    """Wrong length, zero or overlarge r or s, an r that is no x, and every v but 0, 1, 27, 28 are refused."""
    with pytest.raises(InvalidSignatureError):
        secp256k1.recover(DIGEST, signature)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_digests_have_32_bytes(digest: bytes) -> None:
    """The C code reads 32 bytes whatever it is given, so every entry checks first."""
    for call in (
        lambda: secp256k1.sign_recoverable(digest, SECRET),
        lambda: secp256k1.recover(digest, bytes(65)),
        lambda: secp256k1.verify(digest, bytes(64), secp256k1.public_key(SECRET)),
    ):
        with pytest.raises(InvalidDigestError):
            call()


@pytest.mark.parametrize(
    "secret",
    [
        bytearray(),
        bytearray(b"\x01" * 31),
        bytearray(b"\x01" * 33),
        bytearray(32),
        bytearray(N.to_bytes(32, "big")),
        bytearray(b"\xff" * 32),
    ],
)
def test_bad_secrets_are_refused(secret: bytearray) -> None:
    """Zero, n and above, and other lengths are refused by signing and by derivation of the public key."""
    with pytest.raises(InvalidKeyError):
        secp256k1.sign_recoverable(DIGEST, secret)
    with pytest.raises(InvalidKeyError):
        secp256k1.public_key(secret)


@pytest.mark.parametrize(
    "secret", [b"\x01" * 32, memoryview(b"\x01" * 32), memoryview(bytearray(b"\x01" * 64))[::2], "01" * 16, 1, None]
)
def test_a_secret_that_cannot_be_wiped_is_refused(secret: object) -> None:
    """Immutable secrets are refused before they are used, and the message does not repeat them."""
    with pytest.raises(InvalidKeyError) as caught:
        secp256k1.sign_recoverable(DIGEST, secret)  # type: ignore[arg-type]
    assert "01" not in str(caught.value)


def test_the_secret_is_only_read() -> None:
    """Signing leaves the caller's buffer as it was and does not keep it: it can be resized and wiped afterwards."""
    secret = bytearray(SECRET)
    secp256k1.sign_recoverable(DIGEST, secret)
    assert secret == SECRET
    secret.extend(b"x")  # would raise BufferError if a view of it were still held
    part = memoryview(bytearray(b"\0" * 8 + SECRET))[8:]
    assert secp256k1.public_key(part) == secp256k1.public_key(SECRET)


def test_public_keys_are_checked() -> None:
    """Compression round-trips; hybrid spellings, off-curve points and other lengths are refused."""
    public = secp256k1.public_key(SECRET)
    small = secp256k1.compress(public)
    assert len(small) == 33
    assert secp256k1.decompress(small) == secp256k1.decompress(public) == public
    bad = [b"", small[:-1], small + b"\0", public + b"\0", b"\x05" + small[1:], b"\x02" + (5).to_bytes(32, "big")]
    bad += [bytes((6 + (public[-1] & 1),)) + public[1:], b"\x04" + bytes(64), public[:-1] + bytes((public[-1] ^ 1,))]
    for key in bad:
        with pytest.raises(InvalidKeyError):
            secp256k1.compress(key)
        with pytest.raises(InvalidKeyError):
            secp256k1.verify(DIGEST, bytes(64), key)
    for shape in (b"", bytes(33), b"\x05" + bytes(64)):
        with pytest.raises(InvalidKeyError):
            secp256k1.address_of(shape)


def test_plain_verification_refuses_bad_signatures() -> None:
    """Altered, short, zero and overlarge signatures do not verify."""
    signature = secp256k1.sign_recoverable(DIGEST, SECRET)[:64]
    public = secp256k1.public_key(SECRET)
    bad = [
        b"",
        signature[:-1],
        bytes(64),
        signature[:32] + bytes(32),
        bytes(32) + signature[32:],
        N.to_bytes(32, "big") * 2,
    ]
    bad.append(signature[:-1] + bytes((signature[-1] ^ 1,)))
    for candidate in bad:
        with pytest.raises(InvalidSignatureError):
            secp256k1.verify(DIGEST, candidate, public, allow_high_s=True)


def test_a_missing_library_is_named() -> None:
    """Without the compiled extension the import fails and says which package to install."""
    script = "import sys; sys.modules['_btclib_libsecp256k1'] = None; import life.crypto.secp256k1"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "btclib-libsecp256k1" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("v", [2, 3, 26, 29, 30, 35, 36, 255])
def test_v_has_four_spellings(v: int) -> None:
    """A genuine signature under any other v is refused for its v."""
    signature = secp256k1.sign_recoverable(DIGEST, SECRET)
    with pytest.raises(InvalidSignatureError, match="v of"):
        secp256k1.recover(DIGEST, signature[:64] + bytes((v,)))
