"""Claims: of all requests in all processes exactly one owns a payment, decides it and books it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.ports.journal import Journal
from life.haima import events
from life.haima.x402 import exact
from life.haima.x402.answers import Answer
from life.haima.x402.claims import STREAM, Claim, Claims, Request, Taken
from life.haima.x402.networks import BUILT_IN
from life.haima.x402.wire import decode_payment_signature
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.shop import OFFER, Shop

SHOP = Shop()
PAYMENT = decode_payment_signature(SHOP.pay(1))
SIGNED = exact.parse_exact(PAYMENT, OFFER.requirements)
REQUEST = Request("GET /paid", "http://shop.test/paid", None, False)
ANSWER = Answer(200, [(b"content-type", b"text/plain"), (b"x-name", "ü".encode("latin-1"))], b"goods \x00\xff")


def make_claims(journal: Journal, owner: str, clock: ManualClock | None = None) -> Claims:
    """A process's claims."""
    return Claims(journal, clock or ManualClock(), SeededEntropy(owner), agent_id="seller", stream=STREAM, owner=owner)


async def claim(claims: Claims, attempt: int = 0, **changes: Any) -> Claim | Taken:
    """Claim the one payment."""
    request = Request(*(changes.get(name, getattr(REQUEST, name)) for name in Request.__struct_fields__))
    return await claims.claim(SIGNED, OFFER, request, attempt=attempt)


async def won(claims: Claims, attempt: int = 0) -> Claim:
    """Claim it and have it."""
    claimed = await claim(claims, attempt)
    assert isinstance(claimed, Claim)
    return claimed


async def test_one_of_many_wins() -> None:
    """Twenty processes claim one payment at once: one owns it, the others learn that it is taken."""
    journal = MemoryJournal()
    results = await asyncio.gather(*(claim(make_claims(journal, f"process {n}")) for n in range(20)))
    assert sum(isinstance(result, Claim) for result in results) == 1
    assert [result for result in results if isinstance(result, Taken)] == [Taken(identifier=False)] * 19


async def test_attempts_follow_each_other() -> None:
    """After a release the next attempt can be claimed, by anybody; the payment's id stays the same."""
    journal = MemoryJournal()
    first, second = make_claims(journal, "one"), make_claims(journal, "two")
    claimed = await won(first)
    assert await first.release(claimed, "handler failed")
    again = await won(second, 1)
    assert again.payment_id == claimed.payment_id
    state = await first.find(SIGNED.key)
    assert state is not None
    assert (state.claim.attempt, state.claim.event.owner, state.decision) == (1, "two", None)


@pytest.mark.parametrize("first", ["serve", "release", "interrupt"])
@pytest.mark.parametrize("second", ["serve", "release", "interrupt"])
async def test_a_claim_is_decided_once(first: str, second: str) -> None:
    """Whoever decides first decides: a later decision of any kind is refused."""
    claims = make_claims(MemoryJournal(), "one")
    claimed = await won(claims)

    def decide(how: str, note: str) -> Any:
        if how == "serve":
            return claims.serve(claimed, Answer(200, [], note.encode()), max_body_bytes=1000)
        return getattr(claims, how)(claimed, note)

    assert await decide(first, "first") is True
    assert await decide(second, "second") is False


async def test_a_claim_is_closed_once() -> None:
    """Settled or refused, whichever is written first; revenue is one event."""
    journal = MemoryJournal()
    claims = make_claims(journal, "one")
    claimed = await won(claims)
    results = await asyncio.gather(*(claims.settled(claimed, "0xabc") for _ in range(5)))
    assert sorted(results) == [False] * 4 + [True]
    assert await claims.refuse(claimed, "no", "") is False
    state = await claims.find(SIGNED.key)
    assert state is not None
    assert isinstance(state.outcome, events.RevenueReceived)
    assert state.outcome.amount_micro_credits == 10_000


async def test_answer_is_kept_byte_for_byte() -> None:
    """Status, headers and body come back as they were, bytes that are no text included."""
    claims = make_claims(MemoryJournal(), "one")
    await claims.serve(await won(claims), ANSWER, max_body_bytes=1000)
    state = await claims.find(SIGNED.key)
    assert state is not None
    served = state.decision
    assert isinstance(served, events.ChargeServed)
    assert (served.status, served.body, served.body_bytes) == (200, ANSWER.body, 8)
    assert [(name.encode("latin-1"), value.encode("latin-1")) for name, value in served.headers] == ANSWER.headers


async def test_large_body_is_not_kept() -> None:
    """Above the limit only its size stands in the journal."""
    claims = make_claims(MemoryJournal(), "one")
    await claims.serve(await won(claims), ANSWER, max_body_bytes=7)
    state = await claims.find(SIGNED.key)
    assert state is not None
    served = state.decision
    assert isinstance(served, events.ChargeServed)
    assert (served.body, served.body_bytes) == (None, 8)


async def test_payment_is_rebuilt_from_the_claim() -> None:
    """What is settled again after a crash is the same authorization with the same signature."""
    payload, requirements = (await won(make_claims(MemoryJournal(), "one"))).payment(BUILT_IN)
    assert requirements == OFFER.requirements
    assert exact.parse_exact(payload, requirements) == SIGNED


async def test_identifier_belongs_to_one_payment() -> None:
    """The identifier of another payment is a conflict; of the same payment, in a later attempt, it is not."""
    journal = MemoryJournal()
    claims = make_claims(journal, "one")
    first = await claim(claims, identifier="purchase-00000001")
    assert isinstance(first, Claim)
    other = exact.parse_exact(decode_payment_signature(SHOP.pay(2)), OFFER.requirements)
    request = Request("GET /paid", "http://shop.test/paid", "purchase-00000001", False)
    assert await claims.claim(other, OFFER, request, attempt=0) == Taken(identifier=True)
    assert await claims.find(other.key) is None
    await claims.release(first, "failed")
    assert isinstance(await claim(claims, 1, identifier="purchase-00000001"), Claim)


async def test_open_claims_are_found_without_reading_everything() -> None:
    """Only claims without an end are open, and only those that are not older than asked for."""
    journal, clock = MemoryJournal(), ManualClock()
    claims = make_claims(journal, "one", clock)

    async def sell(number: int, *steps: str) -> None:
        signed = exact.parse_exact(decode_payment_signature(SHOP.pay(number)), OFFER.requirements)
        claimed = await claims.claim(signed, OFFER, REQUEST, attempt=0)
        assert isinstance(claimed, Claim)
        for step in steps:
            if step == "serve":
                await claims.serve(claimed, ANSWER, max_body_bytes=100)
            elif step == "settle":
                await claims.settled(claimed, "0xabc")
            elif step == "refuse":
                await claims.refuse(claimed, "no", "")
            else:
                await getattr(claims, step)(claimed, "because")

    await sell(999)
    clock.advance_us(3600 * 10**6)
    recent_us = clock.now_us()
    for number in range(1, 400):
        await sell(number, "serve", "settle")
    await sell(401)
    await sell(402, "serve")
    await sell(403, "serve", "refuse")
    await sell(404, "release")
    await sell(405, "interrupt")
    await sell(406, "settle")
    found = {int(state.claim.key[-8:], 16) for state in await claims.open_claims(since_us=recent_us)}
    assert found == {401, 402, 406}
    assert 999 in {int(state.claim.key[-8:], 16) for state in await claims.open_claims(since_us=0)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70))
async def test_newest_attempt_is_found_with_few_reads(attempts: int) -> None:
    """However many attempts there were, the newest is found, in a logarithmic number of reads."""
    journal = MemoryJournal()
    claims = make_claims(journal, "one")
    for attempt in range(attempts):
        await claims.release(await won(claims, attempt), "failed")
    reads = 0
    get = journal.get

    async def counted(event_id: str) -> Any:
        nonlocal reads
        reads += 1
        return await get(event_id)

    journal.get = counted  # type: ignore[method-assign]
    state = await claims.find(SIGNED.key)
    assert state is not None
    assert state.claim.attempt == attempts - 1
    assert reads <= 2 * attempts.bit_length() + 5
