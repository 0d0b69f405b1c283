"""Signatures and refusals reach the journal (AN-EV-2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from life.aios.errors import CustodyError, JournalUnavailableError
from life.aios.ports.journal import EventQuery
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody_journal import MAX_WAITING, CustodyJournal, custody_stream
from life.anima.events import CustodyDenied, CustodySigned, from_kind
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import SEED_A


def observer_of(journal: MemoryJournal, **options: Any) -> CustodyJournal:
    """An observer."""
    return CustodyJournal(journal, agent_id="agent-1", clock=ManualClock(), entropy=SeededEntropy(), **options)


async def written(journal: MemoryJournal) -> list[CustodySigned | CustodyDenied]:
    """What stands in the agent's custody stream."""
    stream = custody_stream("agent-1")
    records = await journal.read(EventQuery(session_id=stream.session_id, branch_id=stream.branch_id))
    events = [from_kind(record.kind) for record in records]
    return [event for event in events if isinstance(event, CustodySigned | CustodyDenied)]


async def test_everything_a_wallet_does_is_written() -> None:
    """Signatures with the hash of what was signed, refusals with their code, no signature bytes anywhere."""
    journal = MemoryJournal()
    observer = observer_of(journal)
    custody = InProcessAnima.from_seed(bytearray(SEED_A), clock=ManualClock(), observer=observer)
    writing = asyncio.create_task(observer.run())
    signature = await custody.sign_message(b"hello")
    await custody.sign_token({})
    with pytest.raises(CustodyError):
        await custody.sign_token({"iss": "somebody"})
    for _ in range(20):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    events = await written(journal)
    assert [(type(event).__name__, event.op) for event in events] == [
        ("CustodySigned", "sign_message"),
        ("CustodySigned", "sign_token"),
        ("CustodyDenied", "sign_token"),
    ]
    assert all(signature.hex() not in str(event) for event in events)


async def test_tokens_may_be_sampled() -> None:
    """One in so many; refusals always."""
    journal = MemoryJournal()
    observer = observer_of(journal, token_sample=10)
    signed = CustodySigned(
        did="d", op="sign_token", purpose="p", payload_hash="", policy_decision="allowed", backend="in_process"
    )
    for _ in range(25):
        observer(signed)
    observer(CustodyDenied(did="d", op="sign_token", reason="custody.bad_input"))
    await observer.flush()
    assert len(await written(journal)) == 3
    silent = observer_of(MemoryJournal(), token_sample=0)
    silent(signed)
    await silent.flush()


async def test_a_journal_that_fails_stops_nobody() -> None:
    """Events that can't be written are counted, and the queue is bounded."""
    journal = MemoryJournal()
    observer = observer_of(journal)
    denied = CustodyDenied(did="d", op="sign_message", reason="x")
    for _ in range(MAX_WAITING + 5):
        observer(denied)
    assert observer.lost == 5

    async def down(*_: Any, **__: Any) -> None:
        raise JournalUnavailableError("gone")

    real, journal.append = journal.append, down  # type: ignore[assignment,method-assign]
    await observer.flush()
    assert observer.lost == MAX_WAITING + 5
    journal.append = real  # type: ignore[method-assign]
    observer(denied)
    await observer.flush()
    assert len(await written(journal)) == 1
