"""`life identity migrate`: an identity moves to another backend (anima.md §17; L4-D9, AN-MIG-1).

Where the backends allow it the keys move, and nothing else changes:

    in_process → soma     the seed is handed to somad, which seals it under its own key
    soma ↔ remote         the keys stay at the oracle; only the way to them changes

    1. prepare   the target holds the keys, and proves it by signing the attestation
    2. append    `anima.custody_migrated`, once
    3. switch    soul.json names the target; then what the old backend left in the folder is deleted

`soul.json` says at every moment which backend counts, and until it is written the old one has the same keys. Killed anywhere,
the same command finishes it.

Keys that were made in a TPM or in Vault never leave it, and none can be put into one. There the identity is rotated into a new
key of the target instead (`rotation_into`).
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import SequenceConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.record import parse_timestamp
from life.anima.custody.oracle_handle import OracleAnima
from life.anima.custody.rotation_lock import RotationLock
from life.anima.custody.soma.client import SocketChannel
from life.anima.custody.soma.protocol import Adopt
from life.anima.errors import IdentityMismatchError, UnsupportedOperationError
from life.anima.events import event_name
from life.anima.genesis import agent_stream, ensure_genesis, identity_event, load_state
from life.anima.home import disk_errors, read_identity, wiped_seeds
from life.anima.identity_file import SOUL_FILE, Identity, decode_identity, encode_identity_by
from life.anima.migration import propose_migration
from life.anima.private_files import FolderLock, sync_folder, write_public
from life.anima.seed_file import open_seeds, read_seed_file
from life.crypto.wiping import wipe
from life.host.custody_opening import CustodyContext, open_custody
from life.host.custody_parts import soma_agent
from life.host.custody_settings import AuthBackend

_ATTEMPTS: Final = 8

_SAME_KEYS: Final = frozenset({("in_process", "soma"), ("soma", "remote"), ("remote", "soma")})


class Migration(NamedTuple):
    """What was done."""

    from_backend: str
    to_backend: str
    keys: Literal["unchanged", "rotated"]
    did: str
    wallet: str
    resumed: bool


def keeps_keys(source: str, target: str) -> bool:
    """Whether keys can move from one backend to the other unchanged."""
    return (source, target) in _SAME_KEYS


def why_not(source: str, target: str) -> str:
    """Why the keys can't move unchanged, in one sentence."""
    if target in ("tpm", "vault"):
        return f"Keys of {target} are made inside it; none can be brought."
    if source in ("tpm", "vault"):
        return f"Keys of {source} never leave it."
    if source == "web_crypto" or target == "web_crypto":
        return "A browser's key is made in the browser and stays there."
    if target == "in_process":
        return "An oracle does not hand its keys out."
    return "A remote oracle takes keys over only from its own machine: move them to soma there."


async def migrate_keys(journal: Journal, context: CustodyContext, target: AuthBackend) -> Migration:
    """Move the identity to `target` without changing its keys.

    UnsupportedOperationError where that is not possible, with the reason; PolicyDeniedError when the oracle's policy does not
    let this user bring or use keys; IdentityMismatchError when the target holds other keys. Then nothing has changed.
    """
    identity = await asyncio.to_thread(read_identity, context.folder)
    source = identity.custody
    if source == target:
        await asyncio.to_thread(delete_seeds, context.folder, target)
        return Migration(source, target, "unchanged", identity.did, identity.wallet.address, resumed=True)
    if not keeps_keys(source, target):
        raise UnsupportedOperationError(
            why_not(source, target), next_step="Rotate the identity into the new backend instead: add --rotate."
        )
    lock = await asyncio.to_thread(RotationLock, context.folder)
    try:
        return await _move(journal, context, identity, target)
    finally:
        lock.release()


async def _move(journal: Journal, context: CustodyContext, identity: Identity, target: AuthBackend) -> Migration:
    await ensure_genesis(journal, identity)
    if target == "soma" and identity.custody == "in_process":
        await _bring_to_soma(context, identity)
    there = toward(context, target)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(open_custody(toward(context, identity.custody), identity=identity))
        new = await stack.enter_async_context(open_custody(there, identity=None))
        _check_same(new, identity)
        resumed = not await _append(journal, context, identity, old, new)
        content = await encode_identity_by(new, identity.soul, wallet=identity.wallet, rotations=identity.rotations)
    await asyncio.to_thread(switch_soul, context.folder, content)
    await asyncio.to_thread(delete_seeds, context.folder, target)
    return Migration(identity.custody, target, "unchanged", identity.did, identity.wallet.address, resumed)


async def _bring_to_soma(context: CustodyContext, identity: Identity) -> None:
    """Hand the seeds to somad; asked again, it says that it has them."""
    channel = SocketChannel(Path(context.settings.soma.socket))
    try:
        request = await asyncio.to_thread(_adoption, context, identity)
        await channel.ask(request)
    finally:
        await channel.close()


def _adoption(context: CustodyContext, identity: Identity) -> Adopt:
    with disk_errors(identity.folder):
        container = read_seed_file(identity.seed_path)
    if container is None:
        raise IdentityMismatchError(f"The seed file {identity.seed_path} is missing; there is nothing to move.")
    secret = context.key_source().unlock()
    try:
        seeds = open_seeds(container, secret)
    finally:
        wipe(secret.buffer)
    with wiped_seeds(seeds):
        return Adopt(
            agent=soma_agent(context.settings.soma),
            soul=msgspec.json.encode(identity.soul).decode(),
            chain=identity.wallet.chain,
            auth_seed=bytes(seeds.auth_seed.view),
            wallet_seed=bytes(seeds.wallet_seed.view),
            rotations=msgspec.json.encode(identity.rotations).decode(),
        )


def _check_same(handle: Custody, identity: Identity) -> None:
    found = handle.capabilities()
    if (found.did, found.wallet_address) != (identity.did, identity.wallet.address):
        raise IdentityMismatchError("The target holds other keys than this identity's; nothing was changed.")
    if isinstance(handle, OracleAnima) and "sign_token" not in handle.facts.operations:
        raise UnsupportedOperationError("The oracle's policy lets this user sign no tokens with these keys.")


async def _append(journal: Journal, context: CustodyContext, identity: Identity, old: Custody, new: Custody) -> bool:
    """Write the migration at the head that was judged; False when the journal tells of it already."""
    event = await propose_migration(old, new, clock=context.clock)
    stream = agent_stream(identity.agent_id)
    for _ in range(_ATTEMPTS):
        head = await journal.head(stream)
        state = await load_state(journal, identity.agent_id)
        if state.custody_backend == event.to_backend:
            return False
        new_event = identity_event(
            event,
            event_id=derived_event_id(event_name(event), identity.did, event.to_backend, str(head.sequence)),
            agent_id=identity.agent_id,
            timestamp_us=parse_timestamp(event.migrated_at),
        )
        with suppress(SequenceConflictError):
            await journal.append([new_event], expected={stream: head.sequence})
            return True
    raise UnsupportedOperationError("The identity's stream never rests; try again.")


def switch_soul(folder: Path, content: bytes) -> None:
    """Write soul.json, which from now on names where the keys are."""
    decode_identity(content, folder=folder)  # what is written is what can be read
    with disk_errors(folder), FolderLock(folder):
        write_public(folder / SOUL_FILE, content)


def delete_seeds(folder: Path, target: str) -> None:
    """Delete seeds of an identity whose keys are elsewhere now; the wallet's own file stays."""
    identity = read_identity(folder)
    if identity.custody != target or target == "in_process":
        return
    with disk_errors(folder), FolderLock(folder):
        for name in ("seed.enc", "seed.next.enc"):
            (folder / name).unlink(missing_ok=True)
        sync_folder(folder)


def toward(context: CustodyContext, backend: str) -> CustodyContext:
    """The same context, with `backend` in the settings."""
    settings = msgspec.structs.replace(context.settings, backend=msgspec.convert(backend, AuthBackend))
    return context._replace(settings=settings)
