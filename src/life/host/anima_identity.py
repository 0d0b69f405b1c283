"""Opening the agent's identity on its journal, in the one right order.

Make what is missing, finish a rotation that was interrupted, open the keys, write the genesis, and compare: the journal, the
folder and the keys must tell of the same identity. A daemon that starts otherwise could sign with a key that was replaced.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.genesis import ensure_genesis
from life.anima.home import create_identity, open_identity, read_identity
from life.anima.identity_file import Identity
from life.anima.key_source import KeySource
from life.anima.rotation import Settled, settle_rotation
from life.anima.seed_rotation import SeedRotator, rotation_is_pending
from life.anima.state import AnimaState


class OpenedAgent(NamedTuple):
    """The identity, the handle that signs for it (close it when done), its folded state, and how it came about."""

    identity: Identity
    custody: InProcessAnima
    state: AnimaState
    is_new: bool
    settled: Settled


async def open_agent_identity(
    journal: Journal,
    folder: Path,
    key_source: KeySource,
    *,
    clock: Clock,
    entropy: Entropy,
    rules: WalletRules | None = None,
    observer: CustodyObserver | None = None,
    create: bool = True,
) -> OpenedAgent:
    """The identity in `folder`, ready to sign; made first when there is none and `create` is set.

    Errors of `create_identity`, `open_identity` and `ensure_genesis`. ConflictError while another process rotates its key.
    """
    is_new = False
    if create:
        _, is_new = await asyncio.to_thread(
            create_identity, folder, key_source=key_source, clock=clock, entropy=entropy
        )
    settled = await settle_folder(journal, folder, key_source, clock=clock, entropy=entropy)
    opened = await asyncio.to_thread(open_identity, folder, key_source, clock=clock, rules=rules, observer=observer)
    try:
        state = await ensure_genesis(journal, opened.identity)
    except BaseException:
        opened.custody.close()
        raise
    return OpenedAgent(opened.identity, opened.custody, state, is_new, settled)


async def settle_folder(
    journal: Journal, folder: Path, key_source: KeySource, *, clock: Clock, entropy: Entropy
) -> Settled:
    """Finish the rotation that a killed process left in `folder`, if one did. Asks `key_source` only then."""
    if not rotation_is_pending(folder):
        return "nothing"
    identity = await asyncio.to_thread(read_identity, folder)
    rotator = await asyncio.to_thread(SeedRotator.open, folder, key_source, clock=clock, entropy=entropy)
    try:
        return await settle_rotation(journal, rotator, agent_id=identity.agent_id, published=identity.rotations)
    finally:
        await rotator.close()
