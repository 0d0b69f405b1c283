"""How the identity's commands open what they work on: the folder, the keys, the journal."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import click

from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.anima.genesis import agent_stream, ensure_genesis, load_state
from life.anima.home import read_identity
from life.anima.identity_file import Identity
from life.anima.registry import IdentityRegistry
from life.anima.rotation import Settled
from life.anima.state import AnimaState
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_opening import CustodyContext, open_custody
from life.host.custody_rotation import settle_identity
from life.host.data_directory import DataDirectory
from life.host.keys import choose_key_source
from life.host.settings import load_settings
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines for people.")


class Opened(NamedTuple):
    """An identity with its keys and its journal. `keys` opens it again."""

    identity: Identity
    custody: Custody
    journal: Journal
    keys: CustodyContext
    settled: Settled
    """What became of a rotation that was interrupted before."""


def ask_passphrase() -> str | None:
    """The passphrase, typed at the terminal; None when there is none."""
    if not sys.stdin.isatty():
        return None
    return str(click.prompt("Passphrase", hide_input=True, err=True))


@asynccontextmanager
async def opened_identity(data_dir: Path, *, create_journal: bool = False) -> AsyncIterator[Opened]:
    """The project's identity and journal. Without a journal file a temporary one stands in, unless one is to be made."""
    data = DataDirectory(data_dir)
    read_identity(data.identity)  # says what to do when there is none, before anything is made or asked
    keys = custody_context(data)
    async with _journal(data, create=create_journal) as journal:
        identity, settled = await settle_identity(journal, keys)
        async with open_custody(keys, identity=identity) as custody:
            await ensure_genesis(journal, identity)
            yield Opened(identity, custody, journal, keys, settled)


def custody_context(data: DataDirectory) -> CustodyContext:
    """How this project's identity is opened, on whichever backend holds its keys."""
    return CustodyContext(
        load_settings(data.config, os.environ).custody,
        data.identity,
        lambda: choose_key_source(data.identity, os.environ, ask_passphrase),
        SystemClock(),
        SystemEntropy(),
    )


@asynccontextmanager
async def read_registry(data_dir: Path) -> AsyncIterator[IdentityRegistry]:
    """Every identity that the project's journal and folder tell of; needs no key."""
    data = DataDirectory(data_dir)
    async with _journal(data, create=False) as journal:
        if (data.identity / "soul.json").exists():
            identity = read_identity(data.identity)
            if (await journal.head(agent_stream(identity.agent_id))).sequence == 0 and isinstance(
                journal, MemoryJournal
            ):
                await ensure_genesis(journal, identity)
        registry = IdentityRegistry(journal, SystemClock())
        await registry.load()
        yield registry


async def state_of(opened: Opened) -> tuple[AnimaState, int]:
    """The folded state of the identity, and up to which sequence it was read."""
    agent_id = opened.identity.agent_id
    head = await opened.journal.head(agent_stream(agent_id))
    return await load_state(opened.journal, agent_id), head.sequence


@asynccontextmanager
async def _journal(data: DataDirectory, *, create: bool) -> AsyncIterator[Journal]:
    if create or (data.journal.exists() and data.journal.stat().st_size):
        async with SqliteJournal.open(data.journal, clock=SystemClock(), writer="in_loop") as journal:
            yield journal
        return
    async with MemoryJournal() as memory:
        yield memory
