"""Rotation of an identity on whichever backend holds its key, and making up for one that was interrupted.

The journal decides which key counts. When it names another one than `soul.json`, or a prepared key lies about, the rotator of the
backend completes or discards what a killed process left, before the identity is opened.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from life.aios.ports.journal import Journal
from life.anima.custody.oracle_rotation import OracleRotator
from life.anima.custody.remote import RemoteChannel
from life.anima.custody.soma.client import SocketChannel
from life.anima.custody.tpm import TpmRotator
from life.anima.custody.vault_transit import VaultRotator
from life.anima.errors import (
    CustodyTimeoutError,
    CustodyUnavailableError,
    PolicyDeniedError,
    RotationIncompleteError,
    UnsupportedOperationError,
)
from life.anima.genesis import load_state
from life.anima.home import read_identity
from life.anima.identity_file import Identity
from life.anima.rotation import KeyRotator, Settled, settle_rotation
from life.anima.seed_rotation import SeedRotator, rotation_is_pending
from life.anima.soul_rotation import SoulFileRotator
from life.host.custody_opening import CustodyContext, backend_of
from life.host.custody_parts import (
    remote_settings,
    soma_agent,
    tpm_pin,
    tpm_settings,
    vault_rotation_token,
    vault_settings,
)
from life.host.custody_settings import AuthBackend
from life.host.rotation_into import rotation_into_is_pending, settle_rotation_into


async def open_rotator(context: CustodyContext, identity: Identity) -> KeyRotator:
    """What replaces the identity's key on its own backend. Close it. UnsupportedOperationError where that is not possible
    from here; errors of the backend; ConflictError while another rotator works."""
    backend: AuthBackend = backend_of(context.settings, identity)
    settings, folder, clock = context.settings, context.folder, context.clock
    if backend == "in_process":
        return await asyncio.to_thread(
            SeedRotator.open, folder, context.key_source(), clock=clock, entropy=context.entropy
        )
    if backend == "tpm":
        tpm = await TpmRotator.open(
            tpm_settings(settings.tpm, auth=True, wallet=False),
            tpm_pin(settings.tpm),
            did=identity.did,
            folder=folder,
            clock=clock,
        )
        return SoulFileRotator(tpm, folder)
    if backend == "vault":
        vault = await VaultRotator.open(
            vault_settings(settings.vault),
            vault_rotation_token(settings.vault),
            did=identity.did,
            folder=folder,
            clock=clock,
            entropy=context.entropy,
        )
        return SoulFileRotator(vault, folder)
    if backend == "soma":
        socket = SocketChannel(Path(settings.soma.socket), timeout_s=settings.soma.timeout_s)
        agent = soma_agent(settings.soma)
        return SoulFileRotator(
            await OracleRotator.open(socket, agent, backend="soma", folder=folder, clock=clock), folder
        )
    if backend == "remote":
        remote = await asyncio.to_thread(
            RemoteChannel, remote_settings(settings.remote), clock=clock, entropy=context.entropy
        )
        return SoulFileRotator(
            await OracleRotator.open(remote, remote.agent, backend="remote", folder=folder, clock=clock), folder
        )
    raise UnsupportedOperationError(
        f"The key of an identity at the backend {backend} is not rotated from here.",
        next_step="A browser's key is replaced by enrolling another browser.",
    )


class SettledIdentity(NamedTuple):
    """The identity, and what became of a rotation that was interrupted before."""

    identity: Identity
    settled: Settled


async def settle_identity(journal: Journal, context: CustodyContext) -> SettledIdentity:
    """The identity in the folder, after finishing a rotation that was interrupted. Asks for secrets only when one was.

    RotationIncompleteError when the journal names a new key that its backend can't be asked about now.
    """
    settled: Settled = "nothing"
    if rotation_into_is_pending(context.folder):
        settled = await settle_rotation_into(journal, context)
    identity = await asyncio.to_thread(read_identity, context.folder)
    if not await _is_unsettled(journal, context, identity):
        return SettledIdentity(identity, settled)
    try:
        rotator = await open_rotator(context, identity)
        try:
            settled = await settle_rotation(journal, rotator, agent_id=identity.agent_id)
        finally:
            await rotator.close()
    except PolicyDeniedError:
        if identity.custody not in ("soma", "remote"):
            raise
        return SettledIdentity(identity, settled)  # whoever may not rotate has begun no rotation
    except (CustodyUnavailableError, CustodyTimeoutError) as error:
        raise RotationIncompleteError(f"A rotation may have to be finished first: {error.message}") from error
    return SettledIdentity(await asyncio.to_thread(read_identity, context.folder), settled)


async def _is_unsettled(journal: Journal, context: CustodyContext, identity: Identity) -> bool:
    """Whether a rotation may be unfinished. An oracle that has ever rotated is asked, as only it knows."""
    if identity.custody == "in_process":
        return rotation_is_pending(context.folder)
    if identity.custody == "web_crypto":
        return False
    keys = (await load_state(journal, identity.agent_id)).keys
    if keys is None or not keys.links:
        return False
    return identity.custody in ("soma", "remote") or identity.did in [link.old_did for link in keys.links]
