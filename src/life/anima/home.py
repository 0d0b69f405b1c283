"""The identity folder, `.life/identity`: making an identity and opening it (anima.md §22).

    soul.json   public, sealed by the identity's own key; commit it
    seed.enc    the encrypted seed, mode 0600; back it up, never commit it
    .lock       held while the folder is changed

`create_identity` writes the seed first and soul.json last, each file whole or not at all. Killed at any point it is
simply run again: a seed that is already there is used, never replaced, so the DID and the wallet stay the same. Two
processes that start at once make one identity. An existing identity is returned as it is, whatever name is asked for.

`open_identity` verifies everything before it hands out a handle: the seal and the soul's hash, and that DID and wallet
follow from the seed. Whatever does not match is an error that keeps a daemon from starting.

The functions block (for the key derivation about 0.15 s); asynchronous callers run them in a thread. What `entropy`
returns for a new seed is a `bytes` object, which Python frees without wiping: the process that makes an identity is best a
short one, like `arcan identity new`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.ports.clock import Clock, Entropy
from life.aios.record import format_timestamp
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.errors import (
    CustodyUnavailableError,
    IdentityMismatchError,
    IdentityNotFoundError,
    KeyNotFoundError,
    UnsupportedOperationError,
)
from life.anima.identity import DEFAULT_CHAIN, check_chain
from life.anima.identity_file import SEED_FILE, SOUL_FILE, Identity, decode_identity, encode_identity
from life.anima.key_source import KeySource, SecretKind
from life.anima.policy import PolicyManifest
from life.anima.private_files import FolderLock, make_private_folder, read_public, write_public
from life.anima.seed_file import (
    NEXT_SEED_FILE,
    SEED_BYTES,
    Seeds,
    open_seeds,
    read_header,
    read_seed_file,
    seal_seeds,
    write_seed_file,
)
from life.anima.soul import Origin, SystemCreator, build_soul
from life.crypto.did import resolve_did
from life.crypto.wiping import wipe, wiped

DEFAULT_MISSION: Final = "Assist the person who runs me."
DEFAULT_NAME_PREFIX: Final = "life-agent-"


class OpenedIdentity(NamedTuple):
    """An identity with the handle that signs for it. Close the custody when done."""

    identity: Identity
    custody: InProcessAnima


def create_identity(
    folder: Path,
    *,
    name: str | None = None,
    mission: str | None = None,
    chain: str = DEFAULT_CHAIN,
    key_source: KeySource,
    clock: Clock,
    entropy: Entropy,
    values: PolicyManifest | None = None,
) -> tuple[Identity, bool]:
    """The identity in `folder`, made if there is none; True when it was made now.

    The default name is `life-agent-` and the last six characters of the wallet's address. What is already there is verified
    as far as that needs no secret, so `key_source` is asked only when keys are made or a left-over seed is used. Errors:
    InvalidInputError for a name, mission or chain that can't be right; those of `read_identity` and `open_identity` for
    what is already there; those of the key source; CustodyUnavailableError when the disk refuses.
    """
    check_chain(chain)
    mission = DEFAULT_MISSION if mission is None else mission
    _check_wishes(name, mission, clock)
    with disk_errors(folder):
        existing = _read(folder)
        if existing is None:
            make_private_folder(folder)
            with FolderLock(folder):
                existing = _read(folder)  # another process may have been faster
                if existing is None:
                    made = _create(
                        folder,
                        name=name,
                        mission=mission,
                        chain=chain,
                        key_source=key_source,
                        clock=clock,
                        entropy=entropy,
                        values=values,
                    )
                    return made, True
        _check_header(existing)
        return existing, False


def read_identity(folder: Path) -> Identity:
    """The public half, verified; needs no key. IdentityNotFoundError when the folder holds none."""
    with disk_errors(folder):
        identity = _read(folder)
    if identity is None:
        raise IdentityNotFoundError(
            f"There is no identity in {folder}.",
            next_step="Run `arcan identity new` to make one.",
            details={"folder": str(folder)},
        )
    return identity


def seed_secret_kind(identity: Identity) -> SecretKind:
    """What opens the identity's seed: a passphrase (the caller may have to ask for it) or a raw key."""
    with disk_errors(identity.folder):
        return read_header(_seed_container(identity)).secret_kind


def open_identity(
    folder: Path,
    key_source: KeySource,
    *,
    clock: Clock,
    rules: WalletRules | None = None,
    observer: CustodyObserver | None = None,
) -> OpenedIdentity:
    """The identity in `folder` and a handle that signs for it under `rules`.

    IdentityNotFoundError; IdentityFileError or SoulIntegrityViolationError for a changed soul.json; KeyNotFoundError
    without seed file or key; InsecureFileError; CustodyAuthFailedError for a wrong secret or a changed seed file;
    IdentityMismatchError when the seed is another identity's.
    """
    identity = read_identity(folder)
    with disk_errors(folder), wiped_seeds(_open_seed(identity, key_source)) as seeds:
        custody = _handle(identity, seeds, clock=clock, rules=rules or WalletRules(), observer=observer)
    return OpenedIdentity(identity, custody)


@contextmanager
def wiped_seeds(seeds: Seeds) -> Iterator[Seeds]:
    """Lend `seeds` to a `with` block and wipe them when it ends."""
    try:
        yield seeds
    finally:
        seeds.wipe()


def _check_wishes(name: str | None, mission: str, clock: Clock) -> None:
    """InvalidInputError for a name or mission that no soul can have, before anything is made."""
    Origin(
        created_at=format_timestamp(clock.now_us()),
        creator=SystemCreator(),
        name=DEFAULT_NAME_PREFIX if name is None else name,
        mission=mission,
    )


def _create(
    folder: Path,
    *,
    name: str | None,
    mission: str,
    chain: str,
    key_source: KeySource,
    clock: Clock,
    entropy: Entropy,
    values: PolicyManifest | None,
) -> Identity:
    """Seed first, soul last. The caller holds the lock and has seen that there is no soul."""
    with wiped_seeds(_seed_for_new(folder / SEED_FILE, key_source, entropy)) as seeds:
        custody = InProcessAnima.from_seeds(seeds.auth_seed.view, seeds.wallet_seed.view, clock=clock)
    try:
        capabilities = custody.capabilities()
        wallet = capabilities.wallet_address or ""
        soul = build_soul(
            name=DEFAULT_NAME_PREFIX + wallet[-6:] if name is None else name,
            mission=mission,
            root_public_key=resolve_did(capabilities.did or "").public_key,
            created_at_us=clock.now_us(),
            values=values,
        )
        content = encode_identity(soul, chain=chain, custody=custody)
        identity = decode_identity(content, folder=folder)  # what is written is what can be read
        write_public(folder / SOUL_FILE, content)
        return identity
    finally:
        custody.close()


def _seed_for_new(path: Path, key_source: KeySource, entropy: Entropy) -> Seeds:
    """The seed that an interrupted creation left, or a new one, stored before anything is derived from it."""
    left_over = read_seed_file(path)
    if left_over is not None:
        secret = key_source.unlock()
        try:
            return open_seeds(left_over, secret)
        finally:
            wipe(secret.buffer)
    secret = key_source.provision(entropy)
    try:
        with wiped(bytearray(entropy.token_bytes(SEED_BYTES))) as seed:
            seeds = Seeds(seed, seed)
        write_seed_file(path, seal_seeds(seeds, secret, entropy=entropy))
        return seeds
    finally:
        wipe(secret.buffer)


def _read(folder: Path) -> Identity | None:
    content = read_public(folder / SOUL_FILE)
    return None if content is None else decode_identity(content, folder=folder)


def _seed_container(identity: Identity) -> bytes:
    if identity.custody != "in_process":
        raise UnsupportedOperationError(
            f"The keys of this identity are held by {identity.custody}, not by a seed file."
        )
    container = read_seed_file(identity.seed_path)
    if container is None or read_header(container).did != identity.did:
        # A rotation that was interrupted after its last record: the new key still waits beside the old one.
        waiting = read_seed_file(identity.folder / NEXT_SEED_FILE)
        if waiting is not None and read_header(waiting).did == identity.did:
            return waiting
    if container is None:
        raise KeyNotFoundError(
            f"The identity {identity.name} is here, but its seed file {identity.seed_path} is not.",
            next_step="Copy the seed file from where the identity was made, or from a backup. A new seed would be another identity.",
            details={"path": str(identity.seed_path)},
        )
    return container


def _check_header(identity: Identity) -> None:
    if read_header(_seed_container(identity)).did != identity.did:
        raise _foreign_seed(identity, "DID")


def _open_seed(identity: Identity, key_source: KeySource) -> Seeds:
    container = _seed_container(identity)
    secret = key_source.unlock()
    try:
        return open_seeds(container, secret)
    finally:
        wipe(secret.buffer)


def _handle(
    identity: Identity, seeds: Seeds, *, clock: Clock, rules: WalletRules, observer: CustodyObserver | None
) -> InProcessAnima:
    """A handle whose DID and wallet are those of the identity."""
    custody = InProcessAnima.from_seeds(
        seeds.auth_seed.view, seeds.wallet_seed.view, clock=clock, rules=rules, observer=observer
    )
    capabilities = custody.capabilities()
    if capabilities.did == identity.did and capabilities.wallet_address == identity.wallet.address:
        return custody
    custody.close()
    half = "DID" if capabilities.did != identity.did else "wallet"
    raise _foreign_seed(identity, half)


def _foreign_seed(identity: Identity, half: str) -> IdentityMismatchError:
    return IdentityMismatchError(
        f"The seed file in {identity.folder} belongs to another identity: its {half} is not the one in {SOUL_FILE}.",
        next_step="Put back the seed file that belongs to this soul.",
    )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error with a code."""
    try:
        yield
    except OSError as error:
        raise CustodyUnavailableError(
            f"{error.filename or folder} can't be used: {error.strerror or type(error).__name__}.",
            next_step="Check its owner, its mode and the free space.",
            details={"folder": str(folder)},
        ) from None
