"""Rotation of an identity whose keys follow from a seed file (AN-INP-1, AN-KEY-2).

The new auth seed is sealed into `seed.next.enc` beside `seed.enc`, together with the unchanged wallet seed, under the same
kind of secret. The switch writes soul.json, now with the rotation and sealed by the new key, and then moves the new
container over the old one. Between those two steps soul.json names the new key and both containers exist; opening takes the
one that fits, so the folder is usable at every moment.

    state                                    soul.json   seed.enc   seed.next.enc     opened as
    nothing going on                         old         old        –                 old
    prepared; the journal may have it        old         old        new               old, until `settle_rotation`
    soul.json written                        new         old        new               new
    switched                                 new         new        –                 new
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from life.aios.ports.clock import Clock, Entropy
from life.anima.chain import RotationLink
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.rotation_lock import RotationLock
from life.anima.errors import IdentityMismatchError, KeyNotFoundError
from life.anima.home import disk_errors, read_identity, wiped_seeds
from life.anima.identity_file import SOUL_FILE, Identity, decode_identity, encode_identity
from life.anima.key_source import KeySource
from life.anima.private_files import FolderLock, sync_folder, write_public
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
from life.crypto.wiping import wipe, wiped


class SeedRotator:
    """The KeyRotator of an identity folder (`life.anima.rotation`). Make one with `open`; close it."""

    def __init__(
        self, identity: Identity, key_source: KeySource, *, clock: Clock, entropy: Entropy, lock: RotationLock
    ) -> None:
        """Takes over the lock. Callers use `open`."""
        self._identity = identity
        self._key_source = key_source
        self._clock = clock
        self._entropy = entropy
        self._lock = lock
        self._opened: InProcessAnima | None = None

    @classmethod
    def open(cls, folder: Path, key_source: KeySource, *, clock: Clock, entropy: Entropy) -> SeedRotator:
        """The rotator of the identity in `folder`. ConflictError while another one works there; errors of `read_identity`."""
        identity = read_identity(folder)
        return cls(identity, key_source, clock=clock, entropy=entropy, lock=RotationLock(folder))

    async def prepared(self) -> InProcessAnima | None:
        """The handle of the key in `seed.next.enc`."""
        return await asyncio.to_thread(self._prepared)

    async def prepare(self) -> InProcessAnima:
        """A handle of a new key, which is on disk before anything is derived from it."""
        return await asyncio.to_thread(self._prepare)

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """soul.json first, then the seed; either may be done already."""
        await asyncio.to_thread(self._commit, links)

    async def discard(self) -> None:
        """Delete the prepared key."""
        await asyncio.to_thread(self._discard)

    async def close(self) -> None:
        """Release the lock and wipe the prepared handle."""
        self._wipe()
        self._lock.release()

    @property
    def _next(self) -> Path:
        return self._identity.folder / NEXT_SEED_FILE

    def _prepared(self) -> InProcessAnima | None:
        with disk_errors(self._identity.folder):
            container = read_seed_file(self._next)
        if container is None:
            return None
        if self._opened is None or self._opened.capabilities().did != read_header(container).did:
            self._wipe()
            with wiped_seeds(self._unseal(container)) as seeds:
                self._opened = self._handle(seeds)
        return self._opened

    def _prepare(self) -> InProcessAnima:
        identity = self._identity
        with disk_errors(identity.folder), FolderLock(identity.folder):
            current = read_seed_file(identity.seed_path)
            if current is None:
                raise KeyNotFoundError(f"The seed file {identity.seed_path} is missing; there is no key to rotate.")
            with (
                wiped_seeds(self._unseal(current)) as old,
                wiped(bytearray(self._entropy.token_bytes(SEED_BYTES))) as new,
            ):
                seeds = Seeds(
                    new,
                    old.wallet_seed.view,
                    auth_generation=old.auth_generation + 1,
                    wallet_generation=old.wallet_generation,
                )
            with wiped_seeds(seeds):
                secret = self._key_source.unlock()
                try:
                    write_seed_file(self._next, seal_seeds(seeds, secret, entropy=self._entropy))
                finally:
                    wipe(secret.buffer)
                self._wipe()
                self._opened = self._handle(seeds)
        return self._opened

    def _commit(self, links: tuple[RotationLink, ...]) -> None:
        handle = self._prepared()
        folder = self._identity.folder
        if handle is None:
            if read_identity(folder).did == links[-1].new_did:
                return  # done before
            raise KeyNotFoundError(f"The new key in {self._next} is missing.")
        if handle.capabilities().did != links[-1].new_did:
            raise IdentityMismatchError("The prepared key is not the one that the identity was rotated to.")
        with disk_errors(folder), FolderLock(folder):
            content = encode_identity(
                self._identity.soul, chain=self._identity.wallet.chain, custody=handle, rotations=links
            )
            identity = decode_identity(content, folder=folder)  # what is written is what can be read
            if identity.wallet != self._identity.wallet:
                raise IdentityMismatchError("The prepared key comes with another wallet.")
            write_public(folder / SOUL_FILE, content)
            self._next.replace(identity.seed_path)
            sync_folder(folder)
        self._identity = identity
        self._wipe()

    def _discard(self) -> None:
        self._wipe()
        with disk_errors(self._identity.folder), FolderLock(self._identity.folder):
            self._next.unlink(missing_ok=True)
            sync_folder(self._identity.folder)

    def _unseal(self, container: bytes) -> Seeds:
        secret = self._key_source.unlock()
        try:
            return open_seeds(container, secret)
        finally:
            wipe(secret.buffer)

    def _handle(self, seeds: Seeds) -> InProcessAnima:
        return InProcessAnima.from_seeds(seeds.auth_seed.view, seeds.wallet_seed.view, clock=self._clock)

    def _wipe(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


def rotation_is_pending(folder: Path) -> bool:
    """Whether a rotation of this folder's identity was prepared and not finished, so that it must be settled first."""
    with disk_errors(folder):
        return os.path.lexists(folder / NEXT_SEED_FILE)
