"""One purchase from the first try to its receipt, and everything that can come in between."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from life.aios.errors import (
    ConflictError,
    CustodyError,
    InvalidInputError,
    JournalUnavailableError,
    NotFoundError,
    PaymentError,
)
from life.aios.ports.custody import Capabilities, TransferAuthorization
from life.aios.ports.journal import EventQuery
from life.haima import events
from life.haima.errors import (
    AlreadyPaidError,
    InsecurePaymentError,
    MalformedPaymentError,
    NoAcceptableTermsError,
    OutcomeUnknownError,
    PolicyDeniedError,
    PurchaseConflictError,
    PurchaseInProgressError,
    UnrepeatableRequestError,
    WalletMismatchError,
)
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy, SoulLimits
from life.haima.reservations import EXPIRY_MARGIN_S
from life.haima.x402 import wire
from life.haima.x402.driving import CONTEXT, RECEIPT
from life.haima.x402.networks import LOCAL
from life.haima.x402.purchase import (
    INTERRUPTED_AFTER_S,
    PurchaseRequest,
    Receipt,
    Reply,
    Send,
    Wait,
    check_protected,
    public_url,
)
from life.haima.x402.transport import AsyncPayingTransport
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import FaultyJournal
from tests.haima.payee import Payee
from tests.haima.payer_kit import ADDRESS, AGENT, Kit, finance_events, kinds, paying, replayed, same_state, wallet

EXPIRED_US = (300 + EXPIRY_MARGIN_S) * 1_000_000


def receipt_of(response: httpx2.Response) -> Receipt:
    """The receipt on a response."""
    receipt = response.extensions[RECEIPT]
    assert isinstance(receipt, Receipt)
    return receipt


def life(**context: object) -> dict[str, object]:
    """The request extension."""
    return {CONTEXT: context}


# --- paying -----------------------------------------------------------------------------------------------------------


async def test_a_free_resource_costs_nothing() -> None:
    """Without a 402 nothing is decided, reserved or signed."""
    async with paying() as kit:
        answer = await kit.client.get("/free")
        assert answer.text == "free" and RECEIPT not in answer.extensions
        assert await kinds(kit.journal) == []


async def test_a_paid_resource() -> None:
    """402, reserve, sign, once more: the same method, body and headers, one charge, and a receipt."""
    async with paying() as kit:
        answer = await kit.client.post("/paid", content=b"question", headers={"X-Mine": "1"})
        assert (answer.status_code, answer.content) == (200, b"goodsquestion")
        receipt = receipt_of(answer)
        assert (receipt.state, receipt.amount_micro, receipt.transaction) == ("settled", 50, "0x" + "ab" * 32)
        (first, second) = kit.payee.requests
        assert first[:3] == second[:3] == ("POST", "/paid", b"question")
        assert first[3]["x-mine"] == second[3]["x-mine"] == "1"
        assert wire.PAYMENT_SIGNATURE.lower() not in first[3]
        assert kit.payee.charged == 50
        await kit.payer.flush()
        assert await kinds(kit.journal) == ["PaymentReserved", "PaymentSettled"]
        assert same_state(kit.payer.purse(LOCAL).state, await replayed(kit.journal))


async def test_the_events_say_whose_payment_it_was() -> None:
    """Reservation and settlement carry session, task, wallet, network, token, payee, nonce and amount; no secret of the
    URL is stored."""
    async with paying() as kit:
        await kit.client.get(
            "/paid?token=hush#part", extensions=life(session_id="s1", task_id="t1", max_amount_micro=50)
        )
        await kit.payer.flush()
        reserved, settled = await finance_events(kit.journal)
        assert isinstance(reserved, events.PaymentReserved) and isinstance(settled, events.PaymentSettled)
        assert (reserved.session_id, reserved.task_id) == (settled.session_id, settled.task_id) == ("s1", "t1")
        assert (reserved.wallet, reserved.network) == (settled.wallet, settled.network) == (ADDRESS, LOCAL)
        assert reserved.nonce == settled.nonce and settled.amount_atomic == "50" and settled.source == "payee"
        assert reserved.resource_url == "http://localhost/paid"
        for record in await kit.journal.read(EventQuery()):
            assert b"hush" not in record.payload


async def test_the_echo_is_verbatim_and_carries_an_identifier() -> None:
    """`accepted`, `resource` and `extensions` go back as they came; the payment identifier is added when it is wanted."""
    payee = Payee()
    offer = (
        b'{ "scheme":"exact","network":"eip155:4020402", "unknown":1.0,' + bytes(wire.to_raw(payee.requirements))[50:]
    )
    del offer  # the raw offer below is what the payee advertises
    raw = json.loads(bytes(wire.to_raw(payee.requirements)))
    raw["unknown"] = {"n": [1]}
    body = {
        "x402Version": 2,
        "accepts": [raw],
        "resource": {"url": "http://localhost/paid", "odd": None},
        "extensions": {
            "bazaar": {"info": {"x": 1}, "schema": {"type": "object"}},
            "payment-identifier": {"info": {"required": True}, "schema": {}},
        },
    }
    payee.terms = wire.decode_payment_required(base64.b64encode(json.dumps(body).encode()).decode())
    async with paying(payee=payee) as kit:
        receipt = receipt_of(await kit.client.get("/paid"))
        sent = json.loads(base64.b64decode(payee.presented[0]))
        assert sent["accepted"] == raw and sent["resource"] == body["resource"]
        identifier = sent["extensions"].pop("payment-identifier")
        assert identifier == {"info": {"required": True, "id": receipt.payment.payment_id}, "schema": {}}
        assert sent["extensions"] == {"bazaar": body["extensions"]["bazaar"]}  # type: ignore[index]
        assert 16 <= len(receipt.payment.payment_id) <= 128


async def test_the_signature_is_stored_when_the_answer_takes_its_time() -> None:
    """What is settled at once needs no note of its signature; an open payment has one soon, and every payment whose
    outcome is unknown."""
    async with paying() as kit:
        kit.payee.delay_s = 0.05
        call = asyncio.create_task(kit.client.get("/paid"))
        while not kit.clock.sleepers:
            await asyncio.sleep(0)
        kit.clock.advance_us(100_000)
        for _ in range(5):
            await asyncio.sleep(0)
        assert await kinds(kit.journal) == ["PaymentReserved", "PaymentSigned"] and not call.done()
        await call
        kit.payee.faults = ["lose_answer"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid")
        await kit.payer.flush()
        assert (await kinds(kit.journal))[-2:] == ["PaymentSigned", "PaymentAmbiguous"]


async def test_each_call_is_a_purchase_of_its_own() -> None:
    """Two deliberate calls are two payments."""
    async with paying() as kit:
        first, second = await kit.client.get("/paid"), await kit.client.get("/paid")
        assert kit.payee.charged == 100
        assert receipt_of(first).payment.payment_id != receipt_of(second).payment.payment_id


async def test_many_calls_at_once() -> None:
    """64 calls at once are 64 payments, each charged once."""
    async with paying() as kit:
        answers = await asyncio.gather(*(kit.client.get("/paid") for _ in range(64)))
        assert all(answer.status_code == 200 for answer in answers)
        assert len(kit.payee.settled) == 64 and set(kit.payee.executions.values()) == {1}


# --- what the payee may answer ------------------------------------------------------------------------------------------


async def test_a_402_that_is_no_x402_is_handed_through() -> None:
    """Somebody else's 402 is the caller's business."""

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 402, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"buy"})  # type: ignore[operator]

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport) as client:
            answer = await client.get("http://localhost/")
            assert (answer.status_code, answer.text) == (402, "buy") and RECEIPT not in answer.extensions


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ("%%%", MalformedPaymentError),
        (base64.b64encode(b'{"x402Version":1,"accepts":[]}').decode(), MalformedPaymentError),
        (base64.b64encode(b'{"x402Version":2,"accepts":[]}').decode(), NoAcceptableTermsError),
        (base64.b64encode(b'{"x402Version":2,"accepts":[{"scheme":"upto"}]}').decode(), NoAcceptableTermsError),
    ],
)
async def test_terms_that_can_not_be_met(terms: str, error: type[PaymentError]) -> None:
    """Unreadable or unacceptable terms are errors with a code; nothing is reserved."""

    async def app(scope: object, receive: object, send: object) -> None:
        headers = [(b"payment-required", terms.encode())]
        await send({"type": "http.response.start", "status": 402, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(app))
        async with httpx2.AsyncClient(transport=transport) as client:
            with pytest.raises(error):
                await client.get("http://localhost/")
        assert await kinds(kit.journal) == []


@pytest.mark.parametrize("fault", ["refuse", "refuse_after_settling", "http_404"])
async def test_a_refusal_keeps_the_reservation(fault: str) -> None:
    """A refusal comes back as the payee's answer. It is not proof: the amount stays reserved, and the same request sends
    the identical payment, never a second one."""
    async with paying() as kit:
        kit.payee.faults = [fault]  # type: ignore[list-item]
        refused = await kit.client.get("/paid")
        assert refused.status_code in (402, 404)
        receipt = receipt_of(refused)
        assert receipt.state == "refused" and receipt.reason
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 50
        again = await kit.client.get("/paid")
        assert again.status_code == 200 and receipt_of(again).state == "settled"
        assert kit.payee.presented[0] == kit.payee.presented[1]
        assert kit.payee.charged == 50


@pytest.mark.parametrize("fault", ["lose_answer", "lose_before_settling", "http_500", "http_202", "pending"])
async def test_an_unknown_outcome_is_said_and_repeated_with_the_same_payment(fault: str) -> None:
    """Lost answers, 5xx, 202 and pending settlements are unknown, never "pay again"; repeating costs nothing twice."""
    async with paying() as kit:
        kit.payee.faults = [fault]  # type: ignore[list-item]
        with pytest.raises(OutcomeUnknownError) as caught:
            await kit.client.get("/paid")
        assert caught.value.status == 503 and "Repeat the same purchase" in (caught.value.next_step or "")
        assert caught.value.details.get("retry_after_s") == (3 if fault == "http_202" else None)
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 50
        answer = await kit.client.get("/paid")
        assert answer.status_code == 200 and receipt_of(answer).state == "settled"
        assert len(kit.payee.requests) == 3, "no second unpaid try"
        assert kit.payee.presented[0] == kit.payee.presented[1] and kit.payee.charged == 50
        await kit.client.get("/paid")
        assert kit.payee.charged == 100, "what is settled is over"


@pytest.mark.parametrize("fault", ["no_settlement_header", "garbage_settlement"])
async def test_goods_without_a_settlement(fault: str) -> None:
    """The answer is handed out, the payment watched; a new call is a new purchase."""
    async with paying() as kit:
        kit.payee.faults = [fault]  # type: ignore[list-item]
        answer = await kit.client.get("/paid")
        assert answer.text == "goods" and receipt_of(answer).state == "unconfirmed"
        payment = kit.payer.payment(receipt_of(answer).payment)
        assert payment.state == "ambiguous"
        await kit.client.get("/paid")
        assert len(set(kit.payee.presented)) == 2


async def test_a_settlement_counts_whatever_the_status() -> None:
    """The handler broke after settling: the money is gone, and the caller sees the 500."""
    async with paying() as kit:
        kit.payee.faults = ["success_with_500"]
        answer = await kit.client.get("/paid")
        assert answer.status_code == 500 and receipt_of(answer).state == "settled"
        assert kit.payer.purse(LOCAL).state.settled_micro == 50


async def test_a_signature_does_not_follow_a_redirect() -> None:
    """The redirect of a paid answer is followed by the client without any payment header (x402 to another origin)."""
    async with paying() as kit:
        kit.payee.faults = ["redirect"]
        answer = await kit.client.get("/paid", follow_redirects=True)
        assert answer.text == "free"
        assert [path for _, path, _, _ in kit.payee.requests] == ["/paid", "/paid", "/free"]
        assert wire.PAYMENT_SIGNATURE.lower() not in kit.payee.requests[-1][3]


async def test_a_payee_that_answers_once_only() -> None:
    """The first answer was lost, and the payee refuses the payment it has charged: without a chain to ask the outcome
    stays unknown, and nothing new is signed."""
    async with paying(payee=Payee(idempotent=False)) as kit:
        kit.payee.faults = ["lose_answer"]
        for _ in range(3):
            with pytest.raises(OutcomeUnknownError):
                await kit.client.get("/paid")
        assert len(set(kit.payee.presented)) == 1 and kit.payee.charged == 50


async def test_the_chain_decides_when_it_can_be_asked() -> None:
    """The same with a chain: the nonce is burnt, so the money moved, and the caller is told so."""
    payee = Payee(idempotent=False)
    async with paying(payee=payee, chain=payee.chain) as kit:
        payee.faults = ["lose_answer"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid")
        with pytest.raises(AlreadyPaidError):
            await kit.client.get("/paid")
        assert kit.payer.purse(LOCAL).state.settled_micro == 50
        assert (await kit.client.get("/paid")).status_code == 200
        assert payee.charged == 100


# --- purchases with an id -----------------------------------------------------------------------------------------------


async def test_one_id_is_one_payment_for_ever() -> None:
    """Repeating a purchase by its id gives the answer again and never charges twice, also in another process."""
    async with paying() as kit:
        one = life(purchase_id="order-1")
        first = await kit.client.get("/paid", extensions=one)
        second = await kit.client.get("/paid", extensions=one)
        assert first.content == second.content and kit.payee.charged == 50
        await kit.payer.flush()
        async with paying(payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="restarted") as later:
            assert (await later.client.get("/paid", extensions=one)).content == first.content
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1
        await kit.client.get("/paid", extensions=life(purchase_id="order-2"))
        assert kit.payee.charged == 100


async def test_a_paid_id_whose_answer_is_gone() -> None:
    """A payee that does not answer twice: the purchase is said to be paid, and nothing is paid again."""
    async with paying(payee=Payee(idempotent=False)) as kit:
        one = life(purchase_id="order-1")
        await kit.client.get("/paid", extensions=one)
        with pytest.raises(AlreadyPaidError) as caught:
            await kit.client.get("/paid", extensions=one)
        assert caught.value.details["transaction"] == "0x" + "ab" * 32
        assert kit.payee.charged == 50


async def test_an_id_belongs_to_one_request() -> None:
    """Another URL, method or body under the same id is a conflict."""
    async with paying() as kit:
        one = life(purchase_id="order-1")
        await kit.client.get("/paid", extensions=one)
        for method, path, body in (("GET", "/paid?x=1", b""), ("POST", "/paid", b""), ("POST", "/paid", b"y")):
            with pytest.raises(PurchaseConflictError):
                await kit.client.request(method, path, content=body, extensions=one)
        assert kit.payee.charged == 50


async def test_an_id_that_is_under_way() -> None:
    """The same id twice at once in one process: one goes through, the other is told to wait for it."""
    async with paying() as kit:
        kit.payee.delay_s = 0.01
        one = life(purchase_id="order-1")
        outcomes = await asyncio.gather(
            *(kit.client.get("/paid", extensions=one) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(outcome, PurchaseInProgressError) for outcome in outcomes) == 3
        assert kit.payee.charged == 50
        assert (await kit.client.get("/paid", extensions=one)).status_code == 200


async def test_two_processes_buy_the_same() -> None:
    """The same id in two processes at once: one payment, presented by both."""
    async with paying() as kit:
        async with paying(payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="second") as other:
            kit.payee.delay_s = 0.005
            one = life(purchase_id="order-1")
            outcomes = await asyncio.gather(
                kit.client.get("/paid", extensions=one), other.client.get("/paid", extensions=one)
            )
            assert [outcome.status_code for outcome in outcomes] == [200, 200]
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1


async def test_an_expired_unknown_purchase_is_not_paid_again() -> None:
    """After validBefore nobody could settle any more, but it may have been settled before: without a chain the purchase
    stays unknown; with one it is cleared up."""
    payee = Payee()
    clock, journal = ManualClock(), MemoryJournal()
    one = life(purchase_id="order-1")
    async with paying(payee=payee, journal=journal, clock=clock) as kit:
        payee.faults = ["lose_before_settling"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid", extensions=one)
        clock.advance_us(EXPIRED_US)
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid", extensions=one)
        assert len(payee.presented) == 1
    async with paying(payee=payee, journal=journal, clock=clock, chain=payee.chain, seed="second") as kit:
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 0, "cleared up on start"
        assert (await kit.client.get("/paid", extensions=one)).status_code == 200
        assert payee.charged == 50 and len(set(payee.presented)) == 2


async def test_an_expired_charged_purchase_is_paid() -> None:
    """The same when it had been settled: the chain says so, and the purchase is over."""
    payee = Payee(idempotent=False)
    clock = ManualClock()
    one = life(purchase_id="order-1")
    async with paying(payee=payee, clock=clock, chain=payee.chain) as kit:
        payee.faults = ["lose_answer"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid", extensions=one)
        clock.advance_us(EXPIRED_US)
        with pytest.raises(AlreadyPaidError):
            await kit.client.get("/paid", extensions=one)
        assert len(payee.presented) == 1 and kit.payer.purse(LOCAL).state.settled_micro == 50


async def test_a_refused_purchase_starts_anew_after_its_time() -> None:
    """What the payee refused and can't land any more is released; the purchase gets a second attempt."""
    async with paying() as kit:
        one = life(purchase_id="order-1")
        kit.payee.faults = ["refuse"]
        await kit.client.get("/paid", extensions=one)
        kit.clock.advance_us(EXPIRED_US)
        answer = await kit.client.get("/paid", extensions=one)
        assert receipt_of(answer).payment.reserved.attempt == 2
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 2


async def test_never_means_never() -> None:
    """A call may insist on being a purchase of its own."""
    async with paying() as kit:
        kit.payee.faults = ["lose_before_settling"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid")
        await kit.client.get("/paid", extensions=life(repeat="never"))
        assert len(set(kit.payee.presented)) == 2


# --- after a crash ------------------------------------------------------------------------------------------------------


async def test_an_interrupted_payment_is_taken_up_by_a_later_call() -> None:
    """A process died between reserving and the answer. Another one's equal request leaves the payment alone while it may
    be under way there, and finishes it when it must be dead."""
    journal, clock = FaultyJournal(), ManualClock()
    payee = Payee()
    async with paying(payee=payee, journal=journal.inner, clock=clock) as dead:
        conversation = dead.payer.purchase(PurchaseRequest("GET", "http://localhost/paid"))
        step = next(conversation)
        assert isinstance(step, Send)
        step.reply = Reply(402, {wire.PAYMENT_REQUIRED: wire.encode_header(payee.terms)}.get)
        step = next(conversation)
        assert isinstance(step, Wait)
        await step.perform()
        step = next(conversation)
        assert isinstance(step, Send)
        assert step.header is not None
        header = step.header[1]
        await dead.payer.flush()
        async with paying(payee=payee, journal=journal.inner, clock=clock, seed="next") as kit:
            await kit.client.get("/paid")
            assert header not in payee.presented
            clock.advance_us(INTERRUPTED_AFTER_S * 1_000_000)
            await kit.client.get("/paid")
            assert payee.presented[-1] == header, "bit by bit the same payment"
        conversation.close()


# --- the payer's own refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "context", "code"),
    [
        (PaymentPolicy(enabled=False), {}, "policy_disabled"),
        (PaymentPolicy(hard_cap_per_tx_micro=49), {}, "hard_cap"),
        (PaymentPolicy(session_spend_cap_micro=49), {}, "session_cap"),
        (PaymentPolicy(total_cap_micro=49), {}, "total_cap"),
        (PaymentPolicy(max_tx_per_minute=0), {}, "rate_limited"),
        (PaymentPolicy(auto_approve_cap_micro=49), {}, "needs_approval"),
        (PaymentPolicy(networks=("eip155:8453",)), {}, "network_not_allowed"),
        (PaymentPolicy(), {"max_amount_micro": 49}, "call_ceiling"),
    ],
)
async def test_the_policy_refuses_before_anything_is_signed(
    policy: PaymentPolicy, context: dict[str, object], code: str
) -> None:
    """Each refusal has its code and its event; the payee sees no signature (invariant 10)."""
    async with paying(policy=policy) as kit:
        with pytest.raises(PolicyDeniedError) as caught:
            await kit.client.get("/paid", extensions={CONTEXT: context} if context else None)
        assert caught.value.code == f"haima.{code}" and kit.payee.presented == []
        await kit.payer.flush()
        network = "eip155:8453" if code == "network_not_allowed" else LOCAL
        written = await kinds(kit.journal, network)
        assert written == ["ApprovalRequested" if code == "needs_approval" else "PaymentDeclined"]


async def test_mode_and_soul_are_asked_for_each_payment() -> None:
    """The regulator's mode is read when the payment is decided; the soul's limits bind."""
    mode = "sovereign"
    async with paying(mode=lambda: mode, soul=SoulLimits(max_spend_per_session_micro=50)) as kit:  # type: ignore[arg-type,return-value]
        await kit.client.get("/paid")
        with pytest.raises(PolicyDeniedError) as caught:
            await kit.client.get("/paid")
        assert caught.value.verdict == "soul_limit"
        mode = "hibernate"
        with pytest.raises(PolicyDeniedError) as caught:
            await kit.client.get("/paid")
        assert caught.value.verdict == "mode_hibernate"


async def test_no_payment_over_plain_http() -> None:
    """Off this machine a payment travels encrypted or not at all, unless that is allowed."""
    async with paying() as kit:
        with pytest.raises(InsecurePaymentError):
            await kit.client.get("http://shop.example/paid")
        assert kit.payee.presented == [] and await kinds(kit.journal) == []
        assert (await kit.client.get("https://shop.example/paid")).status_code == 200


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://a.example/", True),
        ("http://127.0.0.1:3000/x", True),
        ("http://127.8.9.10/", True),
        ("http://[::1]:80/", True),
        ("http://localhost/", True),
        ("http://api.localhost/", True),
        ("http://a.example/", False),
        ("http://127.0.0.1.a.example/", False),
        ("http://10.0.0.1/", False),
        ("http://localhost.a.example/", False),
        ("ftp://localhost/", False),
    ],
)
def test_protected_urls(url: str, fine: bool) -> None:
    """HTTPS anywhere, plain HTTP on this machine only."""
    if fine:
        check_protected(url)
    else:
        with pytest.raises(InsecurePaymentError):
            check_protected(url)


def test_public_urls() -> None:
    """Only scheme, host, port and path are written down."""
    assert public_url("https://u:p@a.example:8443/x/y?key=1#f") == "https://a.example:8443/x/y"
    assert public_url("http://[::1]:80/") == "http://[::1]:80/"


async def test_a_body_that_can_not_be_repeated_is_not_paid_for() -> None:
    """A long streamed body is sent, but when the resource wants money it is refused before anything is signed; a shorter
    one is kept and sent again."""

    async def body(parts: int) -> AsyncIterator[bytes]:
        for _ in range(parts):
            yield b"x" * 1024

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(kit.payee), max_body_bytes=4096)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.post("/free", content=body(9))).text == "free"
            assert len(kit.payee.requests[-1][2]) == 9 * 1024
            with pytest.raises(UnrepeatableRequestError):
                await client.post("/paid", content=body(5))
            assert kit.payee.presented == []
            answer = await client.post("/paid", content=body(4))
            assert answer.content == b"goods" + b"x" * 4096


@pytest.mark.parametrize(
    "context",
    [
        {"purchase": "x"},
        {"max_amount_micro": "5"},
        {"max_amount_micro": True},
        {"max_amount_micro": -1},
        {"max_amount_micro": 5.0},
        {"purchase_id": ""},
        {"purchase_id": "two words"},
        {"session_id": 7},
        {"repeat": "always"},
        "text",
    ],
    ids=str,
)
async def test_a_context_that_can_not_be_right(context: object) -> None:
    """A misspelt ceiling is no ceiling, so it is an error and nothing is sent."""
    async with paying() as kit:
        with pytest.raises(InvalidInputError):
            await kit.client.get("/paid", extensions={CONTEXT: context})
        assert kit.payee.requests == []


async def test_a_payment_header_of_the_callers_own_is_refused() -> None:
    """Two hands on one header would hide what was paid."""
    async with paying() as kit:
        with pytest.raises(InvalidInputError):
            await kit.client.get("/paid", headers={"payment-signature": "x"})


async def test_nothing_is_signed_when_the_intent_can_not_be_stored() -> None:
    """A journal that does not take the reservation stops the payment (invariant 3)."""
    journal = FaultyJournal()
    async with paying(journal=journal) as kit:
        journal.faults = ["before"]
        with pytest.raises(JournalUnavailableError):
            await kit.client.get("/paid")
        assert kit.payee.presented == []
        journal.faults = ["after"]
        with pytest.raises(JournalUnavailableError):
            await kit.client.get("/paid")
        assert kit.payee.presented == []
        assert (await kit.client.get("/paid")).status_code == 200
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 0


# --- custody ------------------------------------------------------------------------------------------------------------


class OddCustody:
    """A custody that refuses, lies or takes its time."""

    def __init__(self, clock: ManualClock, *, address: str = ADDRESS, answer: str = "sign") -> None:
        self._real = wallet(clock)
        self._address = address
        self.answer = answer
        self.signed: list[TransferAuthorization] = []

    def capabilities(self) -> Capabilities:
        """A wallet that asks a person each time."""
        return Capabilities(
            backend="hardware_wallet",
            operations=frozenset({"sign_authorization"}),
            did=None,
            wallet_address=self._address,
            user_confirmation=True,
        )

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """What a signer may do."""
        self.signed.append(authorization)
        if self.answer == "refuse":
            raise CustodyError("The person said no.")
        if self.answer == "hang":
            await asyncio.Event().wait()
        if self.answer == "garbage":
            return b"\0" * 65
        return await self._real.sign_authorization(authorization._replace(from_address=ADDRESS))

    async def sign_token(self, claims: object, *, typ: str = "JWT") -> str:
        """Not a token signer."""
        raise CustodyError("no")

    async def sign_message(self, message: bytes) -> bytes:
        """Not a message signer."""
        raise CustodyError("no")

    async def sign_permit(self, permit: object) -> bytes:
        """Not a signer of permits."""
        raise CustodyError("no")

    async def sign_transaction(self, transaction: object) -> bytes:
        """Not a transaction signer."""
        raise CustodyError("no")


async def _with_custody(custody: OddCustody, journal: MemoryJournal, payee: Payee, clock: ManualClock) -> Payer:
    payer = Payer(journal=journal, custody=custody, clock=clock, entropy=SeededEntropy(), agent_id=AGENT)
    await payer.open()
    return payer


async def test_a_refused_signature_frees_the_reservation() -> None:
    """Custody says no: nothing was signed, nothing counts."""
    clock, journal, payee = ManualClock(), MemoryJournal(), Payee()
    custody = OddCustody(clock, answer="refuse")
    payer = await _with_custody(custody, journal, payee, clock)
    transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(CustodyError):
            await client.get("/paid")
        assert payer.purse(LOCAL).state.outstanding_micro == 0 and payee.presented == []
        assert custody.signed[0].reservation_id != ""
        custody.answer = "hang"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.get("/paid")
        assert payer.purse(LOCAL).state.outstanding_micro == 0
        custody.answer = "garbage"
        with pytest.raises(CustodyError):
            await client.get("/paid")
        custody.answer = "sign"
        assert (await client.get("/paid")).status_code == 200
    await payer.aclose()


async def test_a_signature_that_can_not_be_had_again_is_stored_before_it_leaves() -> None:
    """For a signer that asks a person, the signature is on disk before the payee sees it."""
    clock, journal, payee = ManualClock(), FaultyJournal(), Payee()
    payer = await _with_custody(OddCustody(clock), journal, payee, clock)  # type: ignore[arg-type]
    transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        journal.faults = ["none", "before"]
        with pytest.raises(JournalUnavailableError):
            await client.get("/paid")
        assert payee.presented == []
        payee.faults = ["lose_answer"]
        with pytest.raises(OutcomeUnknownError):
            await client.get("/paid")
        assert "PaymentSigned" in await kinds(journal)
    await payer.aclose()


async def test_another_wallets_signature_is_noticed() -> None:
    """Custody that names one wallet and signs with another is found out at the first signature."""
    clock, payee = ManualClock(), Payee()
    custody = OddCustody(clock, address="0x209693Bc6afc0C5328bA36FaF03C514EF312287C")
    payer = await _with_custody(custody, MemoryJournal(), payee, clock)
    transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(WalletMismatchError):
            await client.get("/paid")
    assert payee.presented == []
    with pytest.raises(WalletMismatchError):
        await _with_custody(OddCustody(clock, address="0x12"), MemoryJournal(), payee, clock)


# --- losing things on the way -------------------------------------------------------------------------------------------


class Broken(httpx2.AsyncBaseTransport):
    """A transport that fails at the paid request in a given way."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, error: BaseException, *, deliver: bool = False) -> None:
        self._inner = inner
        self._error: BaseException | None = error
        self._deliver = deliver

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Fail once, when a payment is on board."""
        if wire.PAYMENT_SIGNATURE in request.headers and self._error is not None:
            error, self._error = self._error, None
            if self._deliver:
                await self._inner.handle_async_request(request)
            raise error
        return await self._inner.handle_async_request(request)


async def _broken(kit: Kit, error: BaseException, *, deliver: bool = False) -> httpx2.AsyncClient:
    inner = Broken(httpx2.ASGITransport(kit.payee), error, deliver=deliver)
    return httpx2.AsyncClient(transport=AsyncPayingTransport(kit.payer, inner), base_url="http://localhost")


async def test_what_never_left_is_given_back() -> None:
    """No connection, so no byte of the payment left: the error is the client's own, and nothing counts."""
    async with paying() as kit, await _broken(kit, httpx2.ConnectError("refused")) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("/paid")
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 0
        assert (await client.get("/paid")).status_code == 200 and kit.payee.charged == 50


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("slow"), httpx2.ReadError("reset"), httpx2.WriteError("half")])
async def test_what_may_have_left_is_not_given_back(error: Exception) -> None:
    """From the first byte on the outcome is unknown; the original error is the cause."""
    async with paying() as kit, await _broken(kit, error, deliver=True) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.get("/paid")
        assert caught.value.__cause__ is error
        assert (await client.get("/paid")).status_code == 200
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1


async def test_a_cancelled_caller_leaves_the_outcome_open() -> None:
    """A time limit of the caller's own around the call: the payment is watched, and taken up by the next equal call."""
    async with paying() as kit:
        kit.payee.delay_s = 0.05
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await kit.client.get("/paid")
        assert kit.payer.purse(LOCAL).state.outstanding_micro == 50
        kit.payee.delay_s = 0
        assert (await kit.client.get("/paid")).status_code == 200
        assert len(set(kit.payee.presented)) == 1


async def test_an_answer_that_breaks_off_is_fetched_again() -> None:
    """The payee settled and its answer broke off: the next equal call sends the same payment and gets the goods."""

    class Half(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"go"
            raise httpx2.ReadError("reset")

    class Cutting(httpx2.AsyncBaseTransport):
        def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
            self.inner = inner
            self.cut = True

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await self.inner.handle_async_request(request)
            if self.cut and wire.PAYMENT_SIGNATURE in request.headers:
                self.cut = False
                response.stream = Half()
            return response

    async with paying() as kit:
        transport = AsyncPayingTransport(kit.payer, Cutting(httpx2.ASGITransport(kit.payee)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with pytest.raises(httpx2.ReadError):
                await client.get("/paid")
            assert (await client.get("/paid")).text == "goods"
            assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1


# --- clearing up --------------------------------------------------------------------------------------------------------


async def test_reconciling_with_a_chain() -> None:
    """Charged, uncharged and still open payments are told apart by the chain."""
    payee, clock = Payee(idempotent=False), ManualClock()
    async with paying(payee=payee, clock=clock, chain=payee.chain) as kit:
        for fault in ("lose_answer", "lose_before_settling"):
            payee.faults = [fault]
            with pytest.raises(OutcomeUnknownError):
                await kit.client.get("/paid", extensions=life(purchase_id=fault))
        assert await kit.payer.reconcile() == (1, 0, 1)
        clock.advance_us(EXPIRED_US)
        assert await kit.payer.reconcile() == (0, 1, 0)
        state = kit.payer.purse(LOCAL).state
        assert (state.settled_micro, state.outstanding_micro) == (50, 0)
        assert same_state(state, await replayed(kit.journal))


async def test_a_full_cap_is_cleared_up_with_the_chain() -> None:
    """A cap that is full of payments that can't land any more does not block: the chain is asked before saying no."""
    payee, clock = Payee(), ManualClock()
    policy = PaymentPolicy(session_spend_cap_micro=50)
    async with paying(payee=payee, clock=clock, chain=payee.chain, policy=policy) as kit:
        payee.faults = ["lose_before_settling"]
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid", extensions=life(purchase_id="a"))
        with pytest.raises(PolicyDeniedError):
            await kit.client.get("/paid", extensions=life(purchase_id="b"))
        clock.advance_us(EXPIRED_US)
        assert (await kit.client.get("/paid", extensions=life(purchase_id="b"))).status_code == 200


async def test_an_operator_can_say_what_happened() -> None:
    """Without a chain a person decides; giving back is refused while the payee could still settle."""
    async with paying() as kit:
        for name in ("a", "b"):
            kit.payee.faults = ["lose_before_settling"]
            with pytest.raises(OutcomeUnknownError):
                await kit.client.get("/paid", extensions=life(purchase_id=name))
        first, second = kit.payer.purse(LOCAL).state.open_payments()
        await kit.payer.resolve(first.payment_id, charged=True)
        with pytest.raises(ConflictError):
            await kit.payer.resolve(second.payment_id, charged=False)
        kit.clock.advance_us(EXPIRED_US)
        await kit.payer.resolve(second.payment_id, charged=False)
        with pytest.raises(NotFoundError):
            await kit.payer.resolve(second.payment_id, charged=False)
        state = kit.payer.purse(LOCAL).state
        assert (state.settled_micro, state.outstanding_micro) == (50, 0)
