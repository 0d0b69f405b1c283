"""What the demonstration of `life demo first-payment` proves: the journal alone gives back every state, byte for byte.

chain of digests    every event is the one that was written, in its place
session state       what the runtime knows about the session (life.arcan.state)
wallet and caps     reservations, sums and caps of the wallet (life.haima.reservations)
financial state     what was spent and earned (life.haima.state)
ledger balances     play money and used authorizations (life.haima.chain.local_ledger)
model calls         none while it was rebuilt
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from life.aios import events as aios_events
from life.aios.errors import LifeError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import Chunk, ModelRequest
from life.aios.record import EventRecord
from life.arcan.runtime import Runtime
from life.arcan.state import encode_state as encode_session
from life.arcan.state import fold as fold_session
from life.haima import state as finance
from life.haima.chain.local_ledger import LedgerState
from life.haima.events import read_finance, wallet_stream
from life.haima.reservations import WalletState
from life.haima.x402.networks import LOCAL
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from life.praxis.registry import ToolRegistry

_PAGE: Final = 1000


class Proof(NamedTuple):
    """One proof: what it is about, what was found, and whether it holds."""

    name: str
    found: str
    holds: bool


class Live(NamedTuple):
    """What the running system says of itself, to be compared with what the journal says."""

    session_id: str
    session: bytes
    wallet: bytes
    finance: bytes
    ledger: bytes
    model_calls: int
    wallet_address: str
    since: int
    """The journal's position before it began."""
    proofs: list[Proof]
    """What only the running system could show."""


class Rebuilt(NamedTuple):
    """What the journal says when nothing else is asked."""

    events: int
    streams: int
    trail: list[str]
    """The events of this run that are about money."""
    proofs: list[Proof]


class _CountingModel:
    """A model that must not be asked."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """Counts, and fails."""
        self.calls += 1
        raise LifeError("No model is asked here.")


async def rebuild(root: Path, live: Live) -> Rebuilt:
    """Open the journal anew, with nothing else, and build every state from its events."""
    model = _CountingModel()
    clock, entropy = SystemClock(), SystemEntropy()
    async with SqliteJournal.open(root / "journal.db", clock=clock) as journal:
        checked = await journal.verify()
        everything = await everything_in(journal)
        async with Runtime(
            journal,
            ToolRegistry(),
            provider=model,
            clock=clock,
            entropy=entropy,
            agent_id="auditor",
            workspace_of=lambda session_id: str(root),
        ) as runtime:
            read = encode_session(await runtime.state(live.session_id))
        session = encode_session(fold_session(live.session_id, await stream_in(journal, live.session_id)))
        wallet = WalletState()
        for record in await stream_in(journal, wallet_stream(LOCAL, live.wallet_address).session_id):
            wallet.apply(read_finance(record), record.timestamp_us)
        ledger = LedgerState()
        for record in await stream_in(journal, f"ledger:{LOCAL}"):
            ledger.apply(record)
        money = finance.encode(finance.fold(everything))
    proofs = [
        Proof("chain of digests", f"{checked.events} events verified", checked.events == len(everything)),
        _same("session state", live.session, session, read),
        _same("wallet and caps", live.wallet, wallet.encode()),
        _same("financial state", live.finance, money),
        _same("ledger balances", live.ledger, encode_ledger(ledger)),
        Proof("model calls", f"{live.model_calls} while it ran, {model.calls} while it was rebuilt", model.calls == 0),
    ]
    return Rebuilt(checked.events, checked.streams, _trail(everything, live.since), proofs)


def _same(name: str, live: bytes, *rebuilt: bytes) -> Proof:
    digest = hashlib.sha256(live).hexdigest()[:16]
    holds = all(each == live for each in rebuilt)
    words = "rebuilt = live" if holds else "rebuilt differs from live"
    return Proof(name, f"{words}, {len(live)} bytes, sha256 {digest}…", holds)


def encode_ledger(ledger: LedgerState) -> bytes:
    """Balances and used authorizations in canonical form."""
    balances = sorted((asset.hex(), account.hex(), amount) for (asset, account), amount in ledger.balances.items())
    used = sorted(b"".join(key).hex() for key in ledger.transfers)
    return json.dumps([ledger.sequence, balances, used]).encode()


def _trail(records: list[EventRecord], since: int) -> list[str]:
    """The events behind a position that are about money, with their places in the journal."""
    lines = []
    for record in records:
        kind = record.kind
        if record.position > since and isinstance(kind, aios_events.Custom):
            family, _, name = kind.event_type.partition(".")
            if family == "finance":
                whose = record.session_id.partition(":")[0]
                lines.append(f"#{record.position:<4} {whose:<12} {name}")
    return lines


async def everything_in(journal: Journal) -> list[EventRecord]:
    """Every event, in the order of the journal."""
    found: list[EventRecord] = []
    while True:
        page = await journal.read(EventQuery(after_position=found[-1].position if found else 0), limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


async def stream_in(journal: Journal, session_id: str) -> list[EventRecord]:
    """The events of a session's main branch."""
    found: list[EventRecord] = []
    while True:
        after = found[-1].sequence if found else 0
        page = await journal.read(EventQuery(session_id, "main", after_sequence=after), limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found
