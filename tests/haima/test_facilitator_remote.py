"""RemoteFacilitator against a facilitator over real HTTP that misbehaves as scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from life.aios.errors import InvalidInputError
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.x402 import codes, wire
from life.haima.x402.networks import LOCAL
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import OFFER, Shop


class EagerClock:
    """Sleeps are over at once; they are counted."""

    def __init__(self) -> None:
        self.slept_us: list[int] = []

    def now_us(self) -> int:
        """No time."""
        return 0

    def monotonic_us(self) -> int:
        """No time."""
        return 0

    async def sleep_us(self, duration_us: int) -> None:
        """Only noted."""
        self.slept_us.append(duration_us)
        await asyncio.sleep(0)


@pytest.fixture
def scripted() -> Iterator[ScriptedFacilitator]:
    with ScriptedFacilitator(LOCAL) as facilitator:
        yield facilitator


@pytest.fixture
async def remote(scripted: ScriptedFacilitator) -> AsyncIterator[RemoteFacilitator]:
    client = RemoteFacilitator(scripted.url + "/", EagerClock(), timeout_s=0.4)
    yield client
    await client.aclose()


@pytest.fixture
def payment() -> wire.PaymentPayload:
    return wire.decode_payment_signature(Shop().pay(1))


TERMS = OFFER.requirements


async def test_settles_and_sends_the_payment_as_it_came(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload
) -> None:
    """The official body, with the payer's own bytes in it; the answer is the settlement."""
    settled = await remote.settle(payment, TERMS)
    assert settled.success
    assert settled.transaction.startswith("0x")
    ((endpoint, body),) = scripted.calls
    assert endpoint == "settle"
    assert body.startswith(b'{"x402Version":2,"paymentPayload":{"x402Version":2,"accepted":')
    assert bytes(payment.payload) in body
    assert bytes(payment.accepted) in body


async def test_verifies(scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload) -> None:
    """Yes and no are answers."""
    scripted.script("verify", "ok", "refuse insufficient_funds")
    assert (await remote.verify(payment, TERMS)).is_valid
    refused = await remote.verify(payment, TERMS)
    assert (refused.is_valid, refused.invalid_reason) == (False, "insufficient_funds")


@pytest.mark.parametrize("step", ["status 500", "status 401", "garbage", "hangs up", "silent"])
async def test_no_verdict_is_unavailable(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload, step: str
) -> None:
    """Whatever is no verdict is "ask again", never "valid" and never "refused"."""
    scripted.script("verify", step)
    with pytest.raises(FacilitatorUnavailableError):
        await remote.verify(payment, TERMS)


@pytest.mark.parametrize("status", [200, 202, 500, 502])
async def test_pending_is_read_whatever_the_status_and_resent_identically(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload, status: int
) -> None:
    """`settlement_pending` under any status is asked again with the very same bytes, until it is settled
    (x402.md §12 rows 8 and 9)."""
    scripted.script("settle", f"pending {status}", f"pending {status}")
    assert (await remote.settle(payment, TERMS)).success
    bodies = [body for _, body in scripted.calls]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert set(scripted.moved.values()) == {1}


async def test_pending_for_ever_is_returned_as_pending(
    scripted: ScriptedFacilitator, payment: wire.PaymentPayload
) -> None:
    """After a bounded number of times pending is the answer, with the hash."""
    clock = EagerClock()
    remote = RemoteFacilitator(scripted.url, clock, pending_resends=2, pending_pause_us=7)
    scripted.script("settle", *["pending 200"] * 10)
    settled = await remote.settle(payment, TERMS)
    await remote.aclose()
    assert (settled.success, settled.error_reason) == (False, codes.SETTLEMENT_PENDING)
    assert settled.transaction
    assert scripted.count("settle") == 3
    assert clock.slept_us == [7, 7]


@pytest.mark.parametrize("step", ["moves and hangs up", "status 500", "status 302", "garbage", "silent"])
async def test_lost_settlement_is_unknown_and_not_repeated(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload, step: str
) -> None:
    """An answer that got lost says nothing of the money. It is not repeated behind the caller's back."""
    scripted.script("settle", step)
    with pytest.raises(OutcomeUnknownError):
        await remote.settle(payment, TERMS)
    assert scripted.count("settle") == 1


async def test_unexpected_settle_error_is_unknown(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload
) -> None:
    """A facilitator that stumbled over its own feet has not refused."""
    scripted.script("settle", f"refuse {codes.UNEXPECTED_SETTLE_ERROR}")
    with pytest.raises(OutcomeUnknownError):
        await remote.settle(payment, TERMS)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
async def test_refused_call_is_unavailable(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload, status: int
) -> None:
    """A 4xx without a settlement: the call was not taken, nothing was sent."""
    scripted.script("settle", f"status {status}")
    with pytest.raises(FacilitatorUnavailableError):
        await remote.settle(payment, TERMS)


async def test_nobody_there_is_unavailable(payment: wire.PaymentPayload) -> None:
    """Without a connection nothing was sent, and the message shows no credentials."""
    remote = RemoteFacilitator("http://user:secret@127.0.0.1:9/base", EagerClock(), timeout_s=2.0)
    for call in (remote.verify, remote.settle):
        with pytest.raises(FacilitatorUnavailableError) as error:
            await call(payment, TERMS)
        assert "secret" not in str(error.value)
    await remote.aclose()


async def test_refusal_is_an_answer(
    scripted: ScriptedFacilitator, remote: RemoteFacilitator, payment: wire.PaymentPayload
) -> None:
    """A refused settlement comes back with its reason."""
    scripted.script("settle", "refuse insufficient_funds")
    settled = await remote.settle(payment, TERMS)
    assert (settled.success, settled.error_reason) == (False, "insufficient_funds")


@pytest.mark.parametrize(("extensions", "expected"), [((), False), ((REPEATABLE_SETTLEMENT,), True)])
async def test_says_whether_it_remembers(extensions: tuple[str, ...], expected: bool) -> None:
    """Only a facilitator that says so counts as one that remembers; it is asked once."""
    with ScriptedFacilitator(LOCAL, extensions=extensions) as scripted:
        remote = RemoteFacilitator(scripted.url, EagerClock())
        assert await remote.repeatable() is expected
        assert await remote.repeatable() is expected
        assert scripted.count("supported") == 1
        await remote.aclose()


async def test_headers_are_made_for_each_call(scripted: ScriptedFacilitator, payment: wire.PaymentPayload) -> None:
    """Bearer tokens and the like are made anew for each endpoint, by a function or a coroutine function."""

    async def headers(endpoint: str) -> dict[str, str]:
        return {"authorization": f"Bearer for {endpoint}"}

    remote = RemoteFacilitator(scripted.url, EagerClock(), headers=headers)
    await remote.verify(payment, TERMS)
    await remote.settle(payment, TERMS)
    await remote.aclose()
    assert [each.get("authorization") for each in scripted.headers] == ["Bearer for verify", "Bearer for settle"]


@pytest.mark.parametrize("url", ["ftp://x", "http://", "facilitator", "http://facilitator.example"])
async def test_unfit_addresses_are_refused(url: str) -> None:
    """No address, or plain HTTP to another machine, is an error at once."""
    with pytest.raises(InvalidInputError):
        RemoteFacilitator(url, EagerClock())


async def test_plain_http_can_be_allowed() -> None:
    """Inside a trusted network plain HTTP is a choice."""
    await RemoteFacilitator("http://facilitator.example", EagerClock(), allow_plain_http=True).aclose()
