"""A project folder with its custody settings, and what the tests of backends do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from life.aios.ports.custody import Custody
from life.anima.custody.wallet_rules import WalletRules
from life.anima.genesis import ensure_genesis, load_state
from life.anima.home import read_identity
from life.anima.identity_file import Identity
from life.anima.key_source import KeyFile
from life.anima.rotation import Rotation, rotate_identity
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_opening import CustodyContext, ensure_identity, open_custody
from life.host.custody_rotation import open_rotator, settle_identity
from life.host.custody_settings import CustodySettings
from life.lago.journal.sqlite import SqliteJournal


class Project:
    """A `.life` folder without a daemon."""

    def __init__(self, root: Path, **custody: Any) -> None:
        self.root = root
        root.mkdir(mode=0o700, exist_ok=True)
        self.custody: dict[str, Any] = custody

    @property
    def folder(self) -> Path:
        """The identity's."""
        return self.root / "identity"

    @property
    def context(self) -> CustodyContext:
        """With the settings as they are now."""
        return CustodyContext(
            msgspec.convert(self.custody, CustodySettings),
            self.folder,
            lambda: KeyFile(self.root / "identity.key"),
            SystemClock(),
            SystemEntropy(),
        )

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[SqliteJournal]:
        """Its journal."""
        async with SqliteJournal.open(self.root / "journal.db", clock=SystemClock(), writer="in_loop") as journal:
            yield journal

    @asynccontextmanager
    async def opened(self, rules: WalletRules | None = None) -> AsyncIterator[tuple[Identity, Custody]]:
        """As a daemon opens it: made if need be, settled, compared with the journal."""
        async with self.journal() as journal:
            await ensure_identity(self.context)
            identity = (await settle_identity(journal, self.context)).identity
            async with open_custody(self.context, identity=identity, rules=rules or WalletRules()) as custody:
                await ensure_genesis(journal, identity)
                yield identity, custody

    async def proven(self) -> Identity:
        """The identity, after one token and one message were signed; the journal names this key and wallet."""
        async with self.opened() as (identity, custody):
            assert await custody.sign_token({})
            assert await custody.sign_message(b"")
        async with self.journal() as journal:
            state = await load_state(journal, identity.agent_id)
            assert state.identity is not None
            assert state.identity.did == identity.did
        return identity

    async def rotated(self) -> Rotation:
        """A rotation on the identity's own backend."""
        async with self.journal() as journal:
            identity = (await settle_identity(journal, self.context)).identity
            async with open_custody(self.context, identity=identity) as custody:
                rotator = await open_rotator(self.context, identity)
                try:
                    return await rotate_identity(
                        journal,
                        rotator,
                        custody,
                        agent_id=identity.agent_id,
                        clock=SystemClock(),
                        cool_down_s=0,
                    )
                finally:
                    await rotator.close()

    @property
    def identity(self) -> Identity:
        """What soul.json says."""
        return read_identity(self.folder)
