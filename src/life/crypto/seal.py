"""Sealing secrets at rest: ChaCha20-Poly1305 (RFC 8439) and the passphrase hashes that make its keys.

Nonces and salts come from the caller, who must never use a nonce twice with one key. Opened plaintexts and derived keys
are buffers owned by the caller, who wipes them. KDF parameters read from a file are bounded on both sides: a hostile
file can neither make us spend gigabytes or minutes, nor talk us down to a passphrase hash worth nothing.
"""

from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from life.crypto.errors import DecryptionError, InvalidKeyError, InvalidParametersError

Octets = bytes | bytearray | memoryview

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MIN_SALT_BYTES = 16
MAX_SALT_BYTES = 64
MAX_KDF_MEMORY_BYTES = 1 << 30
"""Most memory a KDF may take: 1 GiB, sixteen times the default."""


class Argon2idParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kdf", tag="argon2id"):
    """Argon2id (RFC 9106). Default: 64 MiB, three passes, one lane (AN-KEY-2).

    Bounds: memory 8 MiB to 1 GiB, 1 to 16 passes, 1 to 16 lanes. Raises :class:`InvalidParametersError`.
    """

    memory_kib: int = 65536
    iterations: int = 3
    lanes: int = 1

    def __post_init__(self) -> None:
        if not 8192 <= self.memory_kib <= MAX_KDF_MEMORY_BYTES // 1024:
            raise InvalidParametersError("Argon2id memory lies between 8 MiB and 1 GiB")
        if not 1 <= self.iterations <= 16 or not 1 <= self.lanes <= 16:
            raise InvalidParametersError("Argon2id takes 1 to 16 passes and 1 to 16 lanes")


class ScryptParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kdf", tag="scrypt"):
    """scrypt (RFC 7914) with N = 2**``log2_n``. Default: N = 2**17, r = 8, p = 1 (AN-KEY-2).

    Bounds: log2 N 14 to 20, r 8 to 32, p 1 to 8, and 128·N·r at most 1 GiB. Raises :class:`InvalidParametersError`.
    """

    log2_n: int = 17
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        if not 14 <= self.log2_n <= 20 or not 8 <= self.r <= 32 or not 1 <= self.p <= 8:
            raise InvalidParametersError("scrypt takes N from 2**14 to 2**20, r from 8 to 32, p from 1 to 8")
        if 128 * self.r << self.log2_n > MAX_KDF_MEMORY_BYTES:
            raise InvalidParametersError("scrypt memory is at most 1 GiB")


KdfParameters = Argon2idParameters | ScryptParameters


def parse_kdf_parameters(members: Mapping[str, object]) -> KdfParameters:
    """Read parameters as a file holds them: ``kdf`` (``argon2id`` or ``scrypt``) and the members of that struct.

    Every member must be there: a parameter that is left out of a file is not a default, it is a different file.
    Raises :class:`InvalidParametersError`.
    """
    try:
        parameters: KdfParameters = msgspec.convert(members, KdfParameters)
    except msgspec.ValidationError as error:
        raise InvalidParametersError(f"the KDF parameters are not acceptable: {error}") from None
    if members.keys() != msgspec.to_builtins(parameters).keys():
        raise InvalidParametersError("the KDF parameters are not exactly those of their KDF")
    return parameters


def derive_key(parameters: KdfParameters, passphrase: bytearray, *, salt: bytes) -> bytearray:
    """Derive a 32-byte sealing key from a passphrase (UTF-8 bytes in a buffer the caller wipes).

    Takes long by design: about 0.1 s for the Argon2id default. Raises :class:`InvalidKeyError` for an empty passphrase
    and :class:`InvalidParametersError` for a salt outside 16 to 64 bytes.
    """
    if not passphrase:
        raise InvalidKeyError("the passphrase is empty")
    if not MIN_SALT_BYTES <= len(salt) <= MAX_SALT_BYTES:
        raise InvalidParametersError(f"a salt has {MIN_SALT_BYTES} to {MAX_SALT_BYTES} bytes")
    kdf: Argon2id | Scrypt
    match parameters:
        case Argon2idParameters(memory_kib=memory, iterations=iterations, lanes=lanes):
            kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory)
        case ScryptParameters(log2_n=log2_n, r=r, p=p):
            kdf = Scrypt(salt=salt, length=KEY_BYTES, n=1 << log2_n, r=r, p=p)
    key = bytearray(KEY_BYTES)
    kdf.derive_into(passphrase, key)  # type: ignore[arg-type]  # the stub of Argon2id says bytes; any buffer is read
    return key


def seal(plaintext: Octets, *, key: Octets, nonce: bytes, associated_data: bytes) -> bytes:
    """Encrypt and authenticate; return ciphertext followed by its 16-byte tag.

    ``associated_data`` is authenticated and not encrypted; pass ``b""`` for none. Raises :class:`InvalidKeyError` unless
    the key has 32 bytes, :class:`InvalidParametersError` unless the nonce has 12.
    """
    return _cipher(key, nonce).encrypt(nonce, plaintext, associated_data)


def open_sealed(sealed: Octets, *, key: Octets, nonce: bytes, associated_data: bytes) -> bytearray:
    """Check and decrypt what :func:`seal` made; return the plaintext in a buffer for the caller to wipe.

    Raises :class:`DecryptionError` when it does not open, otherwise as :func:`seal`.
    """
    cipher = _cipher(key, nonce)
    if len(sealed) < TAG_BYTES:
        raise DecryptionError("the sealed text is too short")
    plaintext = bytearray(len(sealed) - TAG_BYTES)
    try:
        cipher.decrypt_into(nonce, sealed, associated_data, plaintext)
    except InvalidTag:
        raise DecryptionError("the sealed text does not open: wrong key, wrong context, or altered bytes") from None
    return plaintext


def _cipher(key: Octets, nonce: bytes) -> ChaCha20Poly1305:
    if len(key) != KEY_BYTES:
        raise InvalidKeyError("a sealing key has 32 bytes")
    if len(nonce) != NONCE_BYTES:
        raise InvalidParametersError("a sealing nonce has 12 bytes")
    return ChaCha20Poly1305(key)
