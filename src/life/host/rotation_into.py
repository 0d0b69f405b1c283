"""Rotating an identity into another backend: the wallet stays, the identity key is a new one there (anima.md §15, §17).

Keys of a TPM or of Vault are made inside and never come out, so an identity moves there by a rotation: the old key proves the new
one, the journal gets the rotation, and then soul.json names the new backend. `migration.json` says meanwhile which backend and
which key were begun with. The journal decides: killed before the rotation is written, the old key stays the valid one and the new
one is nobody's; killed after it, opening the identity finishes the switch (`settle_rotation_into`).

A wallet that followed from the old seed goes on as `wallet.enc`; then the seed, and the old key with it, is deleted.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.anima.chain import RotationLink
from life.anima.custody.rotation_lock import RotationLock
from life.anima.errors import IdentityMismatchError, UnsupportedOperationError
from life.anima.genesis import ensure_genesis
from life.anima.home import disk_errors, read_identity
from life.anima.identity_file import Identity, encode_identity_by
from life.anima.private_files import FolderLock, read_public, sync_folder, write_public
from life.anima.rotation import Settled, rotate_identity, settle_rotation
from life.host.custody_migration import Migration, delete_seeds, switch_soul, toward
from life.host.custody_opening import CustodyContext, backend_of, open_auth, open_custody
from life.host.custody_settings import AuthBackend, wallet_backend_of
from life.host.errors import SettingsError
from life.host.wallet_seed import take_wallet_of

MARKER: Final = "migration.json"
TARGETS: Final = frozenset({"tpm", "vault"})


class _Marker(msgspec.Struct, frozen=True):
    to: AuthBackend
    did: str


async def rotate_into(journal: Journal, context: CustodyContext, target: AuthBackend, *, cool_down_s: int) -> Migration:
    """Rotate the identity into a new key of `target` (tpm, vault); the wallet stays.

    UnsupportedOperationError for another target; SettingsError when the settings leave the wallet nowhere, or with another
    backend; errors of `rotate_identity` and of the backends. Before the rotation is written nothing has changed.
    """
    identity = await asyncio.to_thread(read_identity, context.folder)
    if target not in TARGETS:
        raise UnsupportedOperationError(f"An identity is not rotated into {target}: its keys are not made from here.")
    if identity.custody == target:
        raise SettingsError(f"The identity's key is at {target} already.", next_step="life identity rotate")
    _check_wallet_stays(context, identity, target)
    rotator = await IntoBackendRotator.open(context, target)
    try:
        await ensure_genesis(journal, identity)
        async with open_custody(toward(context, identity.custody), identity=identity) as old:
            rotation = await rotate_identity(
                journal, rotator, old, agent_id=identity.agent_id, clock=context.clock, cool_down_s=cool_down_s
            )
    finally:
        await rotator.close()
    return Migration(
        identity.custody, target, "rotated", rotation.link.new_did, identity.wallet.address, rotation.resumed
    )


def _check_wallet_stays(context: CustodyContext, identity: Identity, target: AuthBackend) -> None:
    now = wallet_backend_of(
        toward(context, identity.custody).settings, backend_of(toward(context, identity.custody).settings, identity)
    )
    then = wallet_backend_of(toward(context, target).settings, target)
    if then != now:
        raise SettingsError(
            f"The wallet is held by {now}, but would be held by {then}; that would be another wallet.",
            next_step=f"Set custody.wallet_backend to {now}.",
        )


def rotation_into_is_pending(folder: Path) -> bool:
    """Whether a rotation into another backend was begun in `folder` and not finished."""
    return os.path.lexists(folder / MARKER)


async def settle_rotation_into(journal: Journal, context: CustodyContext) -> Settled:
    """Finish or give up a rotation into another backend that was interrupted, as the journal says."""
    identity = await asyncio.to_thread(read_identity, context.folder)
    marker = await asyncio.to_thread(_read_marker, context.folder)
    if marker is None:
        return "nothing"
    rotator = await IntoBackendRotator.open(context, marker.to)
    try:
        return await settle_rotation(journal, rotator, agent_id=identity.agent_id)
    finally:
        await rotator.close()


class IntoBackendRotator:
    """A KeyRotator whose new key is in another backend. Make one with `open`; close it."""

    def __init__(self, context: CustodyContext, target: AuthBackend, lock: RotationLock) -> None:
        """Takes over the lock. Callers use `open`."""
        self._context = context
        self._target: AuthBackend = target
        self._lock = lock
        self._stack = AsyncExitStack()
        self._handle: Custody | None = None

    @classmethod
    async def open(cls, context: CustodyContext, target: AuthBackend) -> IntoBackendRotator:
        """ConflictError while another rotator of the identity works."""
        return cls(context, target, await asyncio.to_thread(RotationLock, context.folder))

    async def prepared(self) -> Custody | None:
        """The target's key that was begun with."""
        marker = await asyncio.to_thread(_read_marker, self._context.folder)
        if marker is None or marker.to != self._target:
            return None
        return await self._opened(marker.did)

    async def prepare(self) -> Custody:
        """A key of the target, made there if it has none."""
        handle = await self._opened(None)
        did = handle.capabilities().did or ""
        await asyncio.to_thread(self._mark, _Marker(self._target, did))
        return handle

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """Keep the wallet, write soul.json by the new key, and delete the old seed."""
        folder = self._context.folder
        identity = await asyncio.to_thread(read_identity, folder)
        if identity.did != links[-1].new_did:
            handle = await self._opened(links[-1].new_did)
            content = await encode_identity_by(handle, identity.soul, wallet=identity.wallet, rotations=links)
            if identity.custody == "in_process":
                await asyncio.to_thread(self._keep_wallet, identity)
            await asyncio.to_thread(switch_soul, folder, content)
        await asyncio.to_thread(delete_seeds, folder, self._target)
        await asyncio.to_thread(self._unmark)

    async def discard(self) -> None:
        """Think no more of the target's key; it stays there, and is nobody's."""
        await asyncio.to_thread(self._unmark)

    async def close(self) -> None:
        """Close the target and let the next rotator in."""
        try:
            await self._stack.aclose()
        finally:
            self._lock.release()

    async def _opened(self, did: str | None) -> Custody:
        if self._handle is None or (did is not None and self._handle.capabilities().did != did):
            context = toward(self._context, self._target)
            handle = await self._stack.enter_async_context(open_auth(context, did))
            if did is not None and handle.capabilities().did != did:
                raise IdentityMismatchError(
                    f"The key at {self._target} is not the one that the identity was rotated to."
                )
            self._handle = handle
        return self._handle

    def _keep_wallet(self, identity: Identity) -> None:
        context = self._context
        take_wallet_of(context.folder, identity.seed_path, context.key_source(), entropy=context.entropy)

    def _mark(self, marker: _Marker) -> None:
        with disk_errors(self._context.folder), FolderLock(self._context.folder):
            write_public(self._context.folder / MARKER, msgspec.json.encode(marker))

    def _unmark(self) -> None:
        with disk_errors(self._context.folder), FolderLock(self._context.folder):
            (self._context.folder / MARKER).unlink(missing_ok=True)
            sync_folder(self._context.folder)


def _read_marker(folder: Path) -> _Marker | None:
    with disk_errors(folder):
        content = read_public(folder / MARKER)
    try:
        return None if content is None else msgspec.json.decode(content, type=_Marker)
    except msgspec.DecodeError:
        raise IdentityMismatchError(f"{folder / MARKER} can't be read.") from None
