"""Rotation of an identity whose keys a backend outside of the folder holds: TPM, Vault, an oracle.

The backend's own rotator replaces the key; this one stands around it and writes soul.json, sealed by the new key, before the old
one is destroyed. Killed in between, soul.json names the new key, which the backend has, and the next settling destroys the
old one. Keys that follow from a seed file have `life.anima.seed_rotation`, which does both.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from life.aios.ports.custody import Custody
from life.anima.chain import RotationLink
from life.anima.errors import IdentityMismatchError
from life.anima.home import disk_errors, read_identity
from life.anima.identity_file import SOUL_FILE, decode_identity, encode_identity_by
from life.anima.private_files import FolderLock, write_public
from life.anima.rotation import KeyRotator


class SoulFileRotator:
    """A KeyRotator around another one, for the identity in a folder."""

    def __init__(self, inner: KeyRotator, folder: Path) -> None:
        """`inner` keeps other rotators out; closing this one closes it."""
        self._inner = inner
        self._folder = folder

    async def prepared(self) -> Custody | None:
        """The backend's prepared key."""
        return await self._inner.prepared()

    async def prepare(self) -> Custody:
        """A new key of the backend."""
        return await self._inner.prepare()

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """soul.json first, then the backend. IdentityMismatchError when the backend's new key is another."""
        identity = await asyncio.to_thread(read_identity, self._folder)
        if identity.did != links[-1].new_did:
            handle = await self._inner.prepared()
            if handle is None or handle.capabilities().did != links[-1].new_did:
                raise IdentityMismatchError("The prepared key is not the one that the identity was rotated to.")
            content = await encode_identity_by(handle, identity.soul, wallet=identity.wallet, rotations=links)
            await asyncio.to_thread(self._write, content)
        await self._inner.commit(links)

    async def discard(self) -> None:
        """Destroy the backend's prepared key."""
        await self._inner.discard()

    async def close(self) -> None:
        """Close the backend's rotator."""
        await self._inner.close()

    def _write(self, content: bytes) -> None:
        decode_identity(content, folder=self._folder)  # what is written is what can be read
        with disk_errors(self._folder), FolderLock(self._folder):
            write_public(self._folder / SOUL_FILE, content)
