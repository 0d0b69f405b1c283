"""The encrypted seed: the container `seed.enc` (AN-KEY-2).

    10 bytes  magic "ANIMASEED1"
     1 byte   KDF: 0 raw key, 1 Argon2id, 2 scrypt
    12 bytes  three parameters, 4 bytes big-endian each
              (Argon2id: memory in KiB, passes, lanes; scrypt: log2 N, r, p; raw key: zeros)
    16 bytes  salt
    12 bytes  nonce
     1 byte   length of the DID, then the DID in ASCII
    88 bytes  ChaCha20-Poly1305 of the plaintext, with its tag

Everything before the sealed part, DID included, is its associated data, so no byte of the file can change unnoticed. The
plaintext is auth seed (32 bytes), wallet seed (32), auth generation and wallet generation (4 bytes big-endian each): a
rotated auth key can be kept with an unchanged wallet.

A passphrase becomes a key by Argon2id (64 MiB, three passes, one lane: about 0.15 s) or, in files made so, by scrypt. A raw
32-byte key is expanded with the salt by HKDF-SHA-256. Parameters read from a file are bounded on both sides
(`life.crypto.seal`). Opening derives the identity key again and compares it with the DID in the header.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from life.aios.ports.clock import Entropy
from life.anima.custody.locked_memory import LockedSecret
from life.anima.errors import CustodyAuthFailedError, CustodyProtocolError, IdentityMismatchError
from life.anima.key_source import Secret, SecretKind
from life.anima.private_files import read_private, write_private
from life.crypto.derivation import derive_p256_secret, derive_subkey
from life.crypto.did import Curve, encode_did, resolve_did
from life.crypto.errors import CryptoError, DecryptionError
from life.crypto.p256 import load_private_key
from life.crypto.seal import (
    NONCE_BYTES,
    Argon2idParameters,
    KdfParameters,
    ScryptParameters,
    derive_key,
    open_sealed,
    seal,
)
from life.crypto.wiping import wiped

MAGIC: Final = b"ANIMASEED1"
NEXT_SEED_FILE: Final = "seed.next.enc"
"""The container of a key that a rotation made and has not switched to yet."""
SALT_BYTES: Final = 16
SEED_BYTES: Final = 32

_KDF_RAW: Final = 0
_KDF_ARGON2ID: Final = 1
_KDF_SCRYPT: Final = 2
_FIXED: Final = struct.Struct(f">{len(MAGIC)}sBIII{SALT_BYTES}s{NONCE_BYTES}sB")
_GENERATIONS: Final = struct.Struct(">II")
_PLAINTEXT_BYTES: Final = 2 * SEED_BYTES + _GENERATIONS.size
_SEALED_BYTES: Final = _PLAINTEXT_BYTES + 16
_RAW_LABEL: Final = b"anima/seed-file/v1/"


class Seeds:
    """The seeds of both keys, in locked memory, and how often each was replaced. Wipe it when its keys are loaded."""

    __slots__ = ("auth_generation", "auth_seed", "wallet_generation", "wallet_seed")

    def __init__(
        self,
        auth_seed: bytearray | memoryview,
        wallet_seed: bytearray | memoryview,
        *,
        auth_generation: int = 0,
        wallet_generation: int = 0,
    ) -> None:
        """Copies both seeds (32 bytes each), which stay the caller's to wipe."""
        self.auth_seed = LockedSecret(auth_seed)
        self.wallet_seed = LockedSecret(wallet_seed)
        self.auth_generation = auth_generation
        self.wallet_generation = wallet_generation

    def did(self) -> str:
        """The DID of the auth key that follows from these seeds."""
        with wiped(derive_p256_secret(self.auth_seed.view)) as secret:
            return encode_did(Curve.P256, load_private_key(secret).public_key)

    def wipe(self) -> None:
        """Overwrite both seeds. May be called again."""
        self.auth_seed.wipe()
        self.wallet_seed.wipe()

    def __repr__(self) -> str:
        return f"<Seeds: generations {self.auth_generation}, {self.wallet_generation}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("seeds are not pickled or copied")


class SeedHeader(NamedTuple):
    """What a seed file says without its key. Nothing here is authenticated before the file was opened."""

    did: str
    kdf: KdfParameters | None
    """None when the file is sealed with a raw key."""
    salt: bytes
    nonce: bytes

    @property
    def secret_kind(self) -> SecretKind:
        """What opens the file."""
        return "raw_key" if self.kdf is None else "passphrase"


def seal_seeds(seeds: Seeds, secret: Secret, *, entropy: Entropy, kdf: KdfParameters | None = None) -> bytes:
    """The container of `seeds`, sealed with `secret`. `kdf` (default Argon2id) is for passphrases. Blocks for the KDF."""
    parameters = None if secret.kind == "raw_key" else (kdf or Argon2idParameters())
    header = SeedHeader(
        did=seeds.did(),
        kdf=parameters,
        salt=entropy.token_bytes(SALT_BYTES),
        nonce=entropy.token_bytes(NONCE_BYTES),
    )
    encoded = _encode_header(header)
    with wiped(bytearray(_PLAINTEXT_BYTES)) as plaintext, wiped(_sealing_key(header, secret)) as key:
        plaintext[:32] = seeds.auth_seed.view
        plaintext[32:64] = seeds.wallet_seed.view
        _GENERATIONS.pack_into(plaintext, 64, seeds.auth_generation, seeds.wallet_generation)
        return encoded + seal(plaintext, key=key, nonce=header.nonce, associated_data=encoded)


def open_seeds(container: bytes | bytearray, secret: Secret) -> Seeds:
    """The seeds in `container`. Blocks for the KDF.

    CustodyProtocolError when it is no seed file, CustodyAuthFailedError when the secret is wrong or of the wrong kind, or
    any byte was changed, IdentityMismatchError when the seed is not that of the DID in the header.
    """
    header, header_bytes = _parse_header(container)
    if header.secret_kind != secret.kind:
        raise _wrong_kind(header.secret_kind)
    encoded, sealed = bytes(container[:header_bytes]), bytes(container[header_bytes:])
    try:
        with wiped(_sealing_key(header, secret)) as key:
            plaintext = open_sealed(sealed, key=key, nonce=header.nonce, associated_data=encoded)
    except DecryptionError:
        raise CustodyAuthFailedError(
            "The seed file does not open: the passphrase or key is wrong, or the file was changed.",
            next_step="Check the passphrase or key; if it is right, restore the seed file from a backup.",
        ) from None
    with wiped(plaintext), memoryview(plaintext) as view:
        auth_generation, wallet_generation = _GENERATIONS.unpack_from(view, 64)
        seeds = Seeds(view[:32], view[32:64], auth_generation=auth_generation, wallet_generation=wallet_generation)
    if seeds.did() != header.did:
        seeds.wipe()
        raise IdentityMismatchError("The seed file holds the seed of another identity than its header says.")
    return seeds


def read_header(container: bytes | bytearray) -> SeedHeader:
    """What the file says of itself. CustodyProtocolError when it is no seed file or its parameters are out of bounds."""
    return _parse_header(container)[0]


def write_seed_file(path: Path, container: bytes) -> None:
    """Put a container at `path`, mode 0600, whole or not at all. The caller holds the folder's lock."""
    write_private(path, container)


def read_seed_file(path: Path) -> bytes | None:
    """The container at `path`, or None. InsecureFileError when others may read it or it is a link."""
    content = read_private(path)
    return None if content is None else bytes(content)


def _encode_header(header: SeedHeader) -> bytes:
    match header.kdf:
        case None:
            kdf, parameters = _KDF_RAW, (0, 0, 0)
        case Argon2idParameters(memory_kib=memory, iterations=iterations, lanes=lanes):
            kdf, parameters = _KDF_ARGON2ID, (memory, iterations, lanes)
        case ScryptParameters(log2_n=log2_n, r=r, p=p):
            kdf, parameters = _KDF_SCRYPT, (log2_n, r, p)
    did = header.did.encode("ascii")
    return _FIXED.pack(MAGIC, kdf, *parameters, header.salt, header.nonce, len(did)) + did


def _parse_header(container: bytes | bytearray) -> tuple[SeedHeader, int]:
    if len(container) < _FIXED.size:
        raise CustodyProtocolError("This is not a seed file: it is too short.")
    magic, kdf, first, second, third, salt, nonce, did_length = _FIXED.unpack_from(container)
    if magic != MAGIC:
        raise CustodyProtocolError("This is not a seed file of this version.")
    header_bytes = _FIXED.size + did_length
    if len(container) != header_bytes + _SEALED_BYTES:
        raise CustodyProtocolError("The seed file is truncated or has bytes after its end.")
    try:
        did = resolve_did(bytes(container[_FIXED.size : header_bytes]).decode("ascii")).did
        parameters = _kdf_parameters(kdf, first, second, third)
    except (CryptoError, UnicodeDecodeError):
        raise CustodyProtocolError(
            "The seed file's header is damaged or its KDF parameters are out of bounds."
        ) from None
    return SeedHeader(did=did, kdf=parameters, salt=salt, nonce=nonce), header_bytes


def _kdf_parameters(kdf: int, first: int, second: int, third: int) -> KdfParameters | None:
    if kdf == _KDF_ARGON2ID:
        return Argon2idParameters(memory_kib=first, iterations=second, lanes=third)
    if kdf == _KDF_SCRYPT:
        return ScryptParameters(log2_n=first, r=second, p=third)
    if kdf == _KDF_RAW and (first, second, third) == (0, 0, 0):
        return None
    raise CustodyProtocolError("The seed file uses a KDF that this version does not know.")


def _sealing_key(header: SeedHeader, secret: Secret) -> bytearray:
    if header.kdf is None:
        return derive_subkey(secret.buffer, _RAW_LABEL + header.salt)
    return derive_key(header.kdf, secret.buffer, salt=header.salt)


def _wrong_kind(needed: SecretKind) -> CustodyAuthFailedError:
    if needed == "passphrase":
        return CustodyAuthFailedError(
            "The seed file is sealed with a passphrase, but a key was given.",
            next_step="Give the passphrase at the prompt or in LIFE_PASSPHRASE.",
        )
    return CustodyAuthFailedError(
        "The seed file is sealed with a random key, but a passphrase was given.",
        next_step="Name the key file with LIFE_KEY_FILE, or leave the passphrase out to use the default key file.",
    )
