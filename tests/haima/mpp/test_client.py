"""Our payer against sellers that ask by challenges: honest ones, lying ones, and crashes on either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.ports.journal import Journal
from life.haima import events
from life.haima.errors import (
    AlreadyPaidError,
    InsecurePaymentError,
    NoAcceptableTermsError,
    OutcomeUnknownError,
    PurchaseConflictError,
)
from life.haima.mpp.challenge import Challenge, body_digest, encode_object, format_challenge, format_time
from life.haima.mpp.credential import Receipt as MppReceipt
from life.haima.mpp.credential import decode_credential, encode_receipt
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.driving import CONTEXT, RECEIPT
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.transport import AsyncPayingTransport, PayingTransport, PaymentAuth
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, Fault, FaultyJournal
from tests.haima.mpp.kit import MppShop
from tests.haima.payer_kit import AGENT, finance_events, kinds, replayed, wallet
from tests.haima.shop import PRICE_ATOMIC

POLICY = PaymentPolicy(auto_approve_cap_micro=PRICE_ATOMIC, max_tx_per_minute=1_000_000)
HOST = "localhost"


def payer_over(journal: Journal, clock: ManualClock, *, seed: str = "payer", **options: Any) -> Payer:
    """The development wallet's payer, which prefers challenges."""
    return Payer(
        journal=journal,
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy(seed),
        agent_id=AGENT,
        session_id="s",
        **{"policy": POLICY, "prefer_rail": "mpp", **options},
    )


@asynccontextmanager
async def paying(
    app: ASGIApp, *, journal: Journal | None = None, clock: ManualClock | None = None, **options: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client whose requests go to `app`."""
    async with payer_over(journal or MemoryJournal(), clock or ManualClock(), **options) as payer:
        transport = AsyncPayingTransport(payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            yield client


class Seller:
    """Asks by challenges that a test writes, takes every credential, and answers as told."""

    def __init__(self, clock: ManualClock, **changes: Any) -> None:
        self.clock = clock
        self.changes = changes
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.paid: list[str] = []
        self.fresh = True
        self._made = 0
        self._last: list[str] = []

    def request(self, **changes: Any) -> str:
        """The charge."""
        details: dict[str, Any] = {"chainId": 4020402, "credentialTypes": ["authorization"], "decimals": 6}
        details.update(changes.pop("methodDetails", {}))
        usual = {"amount": "50", "currency": PLAY_MONEY.address, "recipient": PAYEE}
        return encode_object({**usual, **changes, "methodDetails": details})

    def challenge(self) -> Challenge:
        """The next one."""
        self._made += 1
        usual = Challenge(
            id=f"challenge-{self._made}",
            realm=HOST,
            method="evm",
            intent="charge",
            request=self.request(),
            expires=format_time(self.clock.now_us() + 300_000_000),
        )
        return usual._replace(**self.changes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await receive()
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        credential = headers.get("authorization", "")
        if scope["path"] == "/elsewhere":
            self.answers.append((0, headers))
            await respond(send, 200, {})
        elif not credential.startswith("Payment "):
            if self.fresh or not self._last:
                self._last = [format_challenge(self.challenge())]
            await respond(send, 402, {"WWW-Authenticate": self._last[0]})
        else:
            self.paid.append(credential)
            status, more = self.answers.pop(0) if self.answers else (200, {"Payment-Receipt": receipt()})
            await respond(send, status, more)


async def respond(send: Send, status: int, headers: dict[str, str]) -> None:
    """An answer without a body."""
    start = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b""})


def receipt(status: str = "success") -> str:
    """What a seller says."""
    said = MppReceipt(status=status, timestamp="2026-11-20T12:00:00.000Z", reference="0xabc", method="evm")
    return encode_receipt(said)


@pytest.fixture
async def shop() -> AsyncIterator[MppShop]:
    """Our own shop under the name by which the client knows it."""
    made = MppShop(realm=HOST)
    await made.fund()
    yield made
    await made.aclose()


async def test_both_rails_behind_one_policy(shop: MppShop) -> None:
    """The same shop, one purchase over each rail: x402 unless the payer prefers challenges; both in the same books."""
    journal = MemoryJournal()
    for rail in ("x402", "mpp"):
        async with paying(shop.served, journal=journal, clock=shop.clock, prefer_rail=rail, seed=rail) as client:
            answer = await client.get("/paid")
            assert answer.status_code == 200
            assert answer.extensions[RECEIPT].state == "settled"
            assert ("payment-receipt" in answer.headers) is (rail == "mpp")
    written = await finance_events(journal)
    assert [event.rail for event in written if isinstance(event, events.PaymentReserved)] == ["x402", "mpp"]
    assert (await replayed(journal)).settled_micro == await shop.booked() == await shop.earned() == 2 * PRICE_ATOMIC


async def test_a_lost_answer_is_asked_for_with_the_same_credential(shop: MppShop) -> None:
    """The connection breaks after the charge: the repetition sends the very same bytes and gets the answer; paid once."""
    lost = Loses(shop.served)
    journal = MemoryJournal()
    async with paying(lost, journal=journal, clock=shop.clock) as client:
        lost.answers = 1
        with pytest.raises(OutcomeUnknownError):
            await client.get("/paid")
        answer = await client.get("/paid")
        assert (answer.status_code, answer.json()["runs"]) == (200, 1)
    assert len(lost.credentials) == 2
    assert len(set(lost.credentials)) == 1
    assert await shop.earned() == PRICE_ATOMIC
    assert (await replayed(journal)).settled_micro == PRICE_ATOMIC


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"realm": "bank.example"}, "realm"),
        ({"realm": f"{HOST}:81"}, "realm"),
        ({"realm": "sub.localhost"}, "realm"),
        ({"method": "tempo"}, "tempo"),
        ({"intent": "session"}, "session"),
        ({"digest": body_digest(b"another")}, "another body"),
        ({"digest": "é"}, "offer that can be read"),
        ({"expires": "soon"}, "expires"),
        ({"expires": "2001-01-01T00:00:00.000Z"}, "expired"),
        ({"request": "e30"}, "can't be read"),
        ({"request": "%%%"}, "base64url"),
        ({"request": {"methodDetails": {"splits": [{}]}}}, "splits"),
        ({"request": {"methodDetails": {"feePayer": True}}}, "fee"),
        ({"request": {"methodDetails": {"credentialTypes": ["hash"]}}}, "authorization"),
        ({"request": {"methodDetails": {"decimals": 2}}}, "decimals"),
        ({"request": {"methodDetails": {"chainId": 0}}}, "chain"),
        ({"request": {"amount": "-1"}}, "amount"),
        ({"request": {"recipient": "0x00"}}, "payTo"),
        ({"request": {"recipient": "0x" + "00" * 20}}, "zero address"),
    ],
    ids=str,
)
async def test_challenges_that_are_not_paid(changes: dict[str, Any], why: str) -> None:
    """Each is refused with its reason before anything is reserved or signed."""
    clock, journal = ManualClock(), MemoryJournal()
    seller = Seller(clock)
    if isinstance(changes.get("request"), dict):
        changes = {"request": seller.request(**changes["request"])}
    if changes.get("digest") == "é":
        seller._last, seller.fresh = (
            ['Payment id="1", realm="localhost", method="evm", intent="charge", request="e30", digest="\\é"'],
            False,
        )
    seller.changes = changes
    async with paying(seller, journal=journal, clock=clock) as client:
        if why == "offer that can be read":
            assert (await client.get("/paid")).status_code == 402, "no challenge of ours: somebody else's 402"
        else:
            with pytest.raises(NoAcceptableTermsError, match=why):
                await client.get("/paid")
    assert seller.paid == []
    assert await kinds(journal) == []


@pytest.mark.parametrize("realm", [HOST, "LOCALHOST", f"{HOST}:80", f"http://{HOST}"])
async def test_a_realm_is_the_host(realm: str) -> None:
    """Name, name with its port, or origin."""
    clock = ManualClock()
    async with paying(Seller(clock, realm=realm), clock=clock) as client:
        assert (await client.get("/paid")).extensions[RECEIPT].transaction == "0xabc"


async def test_a_challenge_is_answered_once() -> None:
    """A seller that shows the same challenge to two purchases gets one payment: the second is refused before it is
    reserved, so nothing is counted twice."""
    clock, journal = ManualClock(), MemoryJournal()
    seller = Seller(clock)
    seller.fresh = False
    async with paying(seller, journal=journal, clock=clock) as client:
        assert (await client.get("/paid")).status_code == 200
        with pytest.raises(PurchaseConflictError):
            await client.get("/paid")
        both = await asyncio.gather(
            client.get("/paid", extensions={CONTEXT: {"purchase_id": "a"}}),
            client.get("/other", extensions={CONTEXT: {"purchase_id": "b"}}),
            return_exceptions=True,
        )
        assert all(isinstance(each, PurchaseConflictError) for each in both)
    assert len(seller.paid) == 1
    assert (await replayed(journal)).settled_micro == 50


async def test_a_challenge_is_answered_once_by_all_processes() -> None:
    """Two processes of one wallet get the same challenge at the same time: one pays it, the other is told; one reservation."""
    clock, journal = ManualClock(), MemoryJournal()
    seller = Seller(clock)
    seller.fresh = False
    async with (
        paying(seller, journal=journal, clock=clock, seed="one") as one,
        paying(seller, journal=journal, clock=clock, seed="two") as two,
    ):
        answers = await asyncio.gather(one.get("/paid"), two.get("/other"), return_exceptions=True)
    assert sorted(isinstance(answer, PurchaseConflictError) for answer in answers) == [False, True]
    assert len(seller.paid) == 1
    assert (await kinds(journal)).count("PaymentReserved") == 1


@pytest.mark.parametrize("said", [{}, {"Payment-Receipt": receipt("failed")}, {"Payment-Receipt": "%%"}], ids=str)
async def test_an_answer_without_a_receipt_is_watched(said: dict[str, str]) -> None:
    """Goods without word of the money: handed out, and the payment keeps counting."""
    clock, journal = ManualClock(), MemoryJournal()
    seller = Seller(clock)
    seller.answers = [(200, said)]
    async with paying(seller, journal=journal, clock=clock) as client:
        answer = await client.get("/paid")
        assert answer.extensions[RECEIPT].state == "unconfirmed"
    assert (await replayed(journal)).outstanding_micro == 50


@pytest.mark.parametrize("status", [402, 403, 400])
async def test_a_refusal_counts_until_it_cannot_land(status: int) -> None:
    """The seller says no: the reservation stands as long as he could still settle it, then it is given back."""
    clock, journal = ManualClock(), MemoryJournal()
    seller = Seller(clock)
    seller.answers = [(status, {})]
    async with paying(seller, journal=journal, clock=clock) as client:
        answer = await client.get("/paid")
        assert (answer.status_code, answer.extensions[RECEIPT].state) == (status, "refused")
        assert (await replayed(journal)).outstanding_micro in (0, 50)
    clock.advance_us(3600 * 1_000_000)
    async with paying(seller, journal=journal, clock=clock):
        pass
    assert (await replayed(journal)).outstanding_micro == 0


@pytest.mark.parametrize("status", [500, 503, 202])
async def test_an_unknown_outcome_is_never_pay_again(status: int) -> None:
    """The same purchase repeats its credential, whatever challenge the seller shows by now."""
    clock = ManualClock()
    seller = Seller(clock)
    seller.answers = [(status, {}), (status, {})]
    async with paying(seller, clock=clock) as client:
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError):
                await client.get("/paid")
        assert (await client.get("/paid")).status_code == 200
        clock.advance_us(3600 * 1_000_000)
    assert len(set(seller.paid)) == 1


async def test_a_credential_says_who_pays_and_what_for() -> None:
    """The challenge as it came, the authorization with its nonce, and the payer's DID."""
    clock = ManualClock()
    seller = Seller(clock, opaque=encode_object({"order": "1"}), description="a report")
    async with paying(seller, clock=clock) as client:
        await client.get("/paid")
    sent = decode_credential(seller.paid[0])
    assert sent.challenge.opaque == encode_object({"order": "1"})
    assert sent.challenge.description is None
    assert sent.source == f"did:pkh:{LOCAL}:0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    payload = msgspec.json.decode(sent.payload)
    assert payload["type"] == "authorization"
    assert int(payload["validBefore"]) <= clock.now_us() // 1_000_000 + 300


async def test_a_redirect_carries_no_credential() -> None:
    """What a seller makes of a paid request goes on without the payment: also to himself."""
    clock = ManualClock()
    seller = Seller(clock)
    seller.answers = [(303, {"Location": "/elsewhere", "Payment-Receipt": receipt()})]
    async with paying(seller, clock=clock) as client:
        answer = await client.get("/paid", follow_redirects=True)
        assert answer.status_code == 200
    [(_, headers)] = seller.answers
    assert "authorization" not in headers


async def test_plain_http_to_elsewhere_is_not_paid() -> None:
    """A credential that others can read is not sent."""
    clock = ManualClock()
    seller = Seller(clock, realm="shop.example")
    async with paying(seller, clock=clock) as client:
        with pytest.raises(InsecurePaymentError):
            await client.get("http://shop.example/paid")
    assert seller.paid == []


async def test_ahead_never_reuses_a_challenge() -> None:
    """Paying with the known terms of a URL is x402's: a challenge is asked for every time."""
    clock = ManualClock()
    seller = Seller(clock)
    async with paying(seller, clock=clock) as client:
        for _ in range(2):
            assert (await client.get("/paid", extensions={CONTEXT: {"ahead": True}})).status_code == 200
    assert len(set(seller.paid)) == 2


async def test_an_auth_flow_pays_challenges_too() -> None:
    """Where the transport is somebody else's; on a redirect the credential is taken off."""
    clock = ManualClock()
    seller = Seller(clock)
    async with payer_over(MemoryJournal(), clock) as payer:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(seller), base_url=f"http://{HOST}") as client:
            assert (await client.get("/paid", auth=PaymentAuth(payer))).status_code == 200
    assert len(seller.paid) == 1


def test_a_synchronous_client_pays_challenges_too() -> None:
    """The same conversation, driven from a thread."""
    clock = ManualClock()
    seller = Seller(clock)

    def answer(request: httpx2.Request) -> httpx2.Response:
        credential = request.headers.get("authorization")
        if credential is None:
            return httpx2.Response(402, headers={"WWW-Authenticate": format_challenge(seller.challenge())})
        seller.paid.append(credential)
        return httpx2.Response(200, headers={"Payment-Receipt": receipt()}, content=b"goods")

    with BlockingPayer(lambda wake: payer_over(MemoryJournal(), clock, wake=wake)) as payer:
        with httpx2.Client(transport=PayingTransport(payer, httpx2.MockTransport(answer))) as client:
            assert client.get(f"http://{HOST}/paid").content == b"goods"
    assert len(seller.paid) == 1


# --- kill -9 between any two writes -----------------------------------------------------------------------------------


class Loses:
    """Drops so many paid answers after the shop has made them."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner
        self.answers = 0
        self.credentials: list[str] = []
        self.error: Callable[[], BaseException] = ConnectionResetError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        credential = dict(scope["headers"]).get(b"authorization")
        if credential is None:
            await self.inner(scope, receive, send)
            return
        self.credentials.append(credential.decode())
        if not self.answers:
            await self.inner(scope, receive, send)
            return
        self.answers -= 1

        async def nowhere(_: Any) -> None:
            return

        await self.inner(scope, receive, nowhere)
        raise self.error()


CRASHES = [*(f"{number} {when}" for number in range(5) for when in ("crash_before", "crash_after")), "answer", "none"]


@pytest.mark.parametrize("eager", [True, False], ids=["notes-at-once", "notes-never"])
@pytest.mark.parametrize("crash", CRASHES)
async def test_the_payer_dies_anywhere(crash: str, eager: bool) -> None:
    """At every write, and between payment and answer; then the purchase is repeated by a new process: paid once, one
    credential ever, delivered, and the books say what moved."""
    shop = MppShop(realm=HOST)
    await shop.fund()
    disk = MemoryJournal()
    wire = Loses(shop.served)
    for number in range(2):
        journal = FaultyJournal(disk)
        if number == 0 and crash == "answer":
            wire.answers, wire.error = 1, CrashError
        elif number == 0 and crash != "none":
            place, when = crash.split()
            journal.faults = [*("none" for _ in range(int(place))), when]  # type: ignore[list-item]
        payer = payer_over(journal, shop.clock, seed=f"process-{number}", ride_along_us=0 if eager else 10**12)
        status = 0
        try:
            await payer.open()
            transport = AsyncPayingTransport(payer, httpx2.ASGITransport(wire))
            async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                answer = await client.get("/paid", extensions={CONTEXT: {"purchase_id": "order-1"}})
                status = answer.status_code
                for _ in range(3):
                    await asyncio.sleep(0)
            if number:
                await payer.aclose()
        except (CrashError, OutcomeUnknownError, AlreadyPaidError):
            assert number == 0
        journal.dead = True
    assert status == 200
    assert len(set(wire.credentials)) == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    state = await replayed(disk)
    assert (state.outstanding_micro, state.settled_micro) == (0, PRICE_ATOMIC)
    await shop.aclose()


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_the_seller_dies_anywhere(when: Any) -> None:
    """Before and after every write of a sale by credential; then the same credential comes again: charged once or not at
    all, and delivered if and only if it was charged."""
    reached = 0
    for write in range(16):
        disk, clock = MemoryJournal(), ManualClock()
        journal = FaultyJournal(disk)
        first = MppShop(journal=journal, clock=clock, entropy_seed="first")
        await first.fund()
        await first.warm_up()
        credential = first.credential(await first.challenge())
        journal.faults = [*_none(write), when]
        try:
            await first.pay_challenge(credential)
        except CrashError:
            pass
        if not journal.dead:
            break
        reached += 1
        again = MppShop(journal=disk, clock=clock, entropy_seed="second")
        await again.warm_up()
        assert await again.middleware.start() == 0
        answers = [await again.pay_challenge(credential) for _ in range(2)]
        assert len({answer.status_code for answer in answers}) == 1
        earned = await again.earned()
        assert earned == await again.booked()
        if answers[0].status_code == 200:
            assert earned == PRICE_ATOMIC
            assert "payment-receipt" in answers[0].headers
        else:
            assert (answers[0].status_code, earned) == (402, 0)
        await again.aclose()
    else:
        raise AssertionError("more writes than the walk has steps")
    assert reached >= 3


def _none(writes: int) -> list[Fault]:
    """So many writes without a fault."""
    return ["none" for _ in range(writes)]
