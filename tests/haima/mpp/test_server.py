"""Asking on both rails: what a challenge pays for, and everything that tries to make it pay for something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from starlette.types import Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.mpp.challenge import challenge_id, decode_object, encode_object, expiry_s, parse_challenges
from life.haima.mpp.evm import challenge_nonce, payload_of, source_of
from life.haima.mpp.server import MachinePayments
from life.haima.x402 import wire
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.host.clock import SystemClock
from life.testing.chain import PAYEE, STRANGER_KEY, sign
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.mpp.kit import REALM, SECRET, MppShop, challenge_of, credential_for, receipt_of
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import PRICE, PRICE_ATOMIC, plain_app

OTHER = "0x" + "11" * 20


@pytest.fixture
async def shop() -> AsyncIterator[MppShop]:
    """A shop with a payer who has money."""
    made = MppShop()
    await made.fund()
    await made.warm_up()
    yield made
    await made.aclose()


async def test_one_402_asks_on_both_rails(shop: MppShop) -> None:
    """x402's terms stand beside a challenge that says the same: amount, token, payee, chain, and how long."""
    answer = await shop.get("/paid")
    [offer] = wire.decode_payment_required(answer.headers["payment-required"]).requirements()
    challenge = challenge_of(answer)
    assert (challenge.realm, challenge.method, challenge.intent) == (REALM, "evm", "charge")
    assert decode_object(challenge.request) == {
        "amount": str(PRICE_ATOMIC),
        "currency": PLAY_MONEY.address,
        "recipient": PAYEE,
        "methodDetails": {"chainId": 4020402, "credentialTypes": ["authorization"], "decimals": 6},
    }
    assert expiry_s(challenge.expires) == shop.clock.now_us() // 1_000_000 + offer[1].max_timeout_seconds
    assert "no-store" in answer.headers["cache-control"]
    assert (await shop.challenge()).id != challenge.id, "a challenge is good for one payment"


async def test_a_credential_is_paid_once_however_often_it_comes(shop: MppShop) -> None:
    """Six arrivals at once and two later ones: one run, one charge, the same answer and transaction for all."""
    credential = shop.credential(await shop.challenge())
    answers = await asyncio.gather(*(shop.pay_challenge(credential) for _ in range(6)))
    answers += [await shop.pay_challenge(credential) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["runs"] for answer in answers} == {1}
    assert len({receipt_of(answer).reference for answer in answers}) == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC


async def test_one_authorization_is_one_payment_on_both_rails(shop: MppShop) -> None:
    """The authorization of a credential, sent over x402 as well: the claim is the same, so nothing runs or moves again."""
    challenge = await shop.challenge()
    assert (await shop.pay_challenge(shop.credential(challenge))).json()["runs"] == 1
    authorization = shop.authorization(0, nonce=challenge_nonce(challenge), valid_before_s=_in(shop, 299))
    again = await shop.get("/paid", shop.header(authorization))
    assert (again.status_code, again.json()["runs"]) == (200, 1)
    assert "payment-receipt" not in again.headers
    assert await shop.earned() == PRICE_ATOMIC


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "AAAA"},
        {"realm": "other.test"},
        {"method": "tempo"},
        {"intent": "session"},
        {"request": encode_object({"amount": "1"})},
        {"expires": "2099-01-01T00:00:00.000Z"},
        {"expires": None},
        {"digest": "sha-256=x"},
        {"opaque": encode_object({"accepted": "{}", "request": "GET /paid"})},
        {"opaque": None},
        {"header": "Payment-Authorization"},
    ],
    ids=str,
)
async def test_a_changed_challenge_pays_for_nothing(shop: MppShop, changes: dict[str, Any]) -> None:
    """Every part is bound. The authorization follows the change, so nothing but the binding can refuse it."""
    challenge = (await shop.challenge())._replace(**changes)
    await refused(shop, shop.credential(challenge), "invalid-challenge")


async def test_a_challenge_of_another_server_pays_for_nothing(shop: MppShop) -> None:
    """Another secret, or our secret for another realm: not ours."""
    challenge = (await shop.challenge())._replace(realm="other.test")
    ours = challenge._replace(id=challenge_id(SECRET, challenge))
    await refused(shop, shop.credential(ours), "invalid-challenge")
    theirs = (await shop.challenge())._replace(id="")
    theirs = theirs._replace(id=challenge_id(b"\x08" * 32, theirs))
    await refused(shop, shop.credential(theirs), "invalid-challenge")


async def test_a_secret_can_be_replaced() -> None:
    """Challenges of the old secret are still paid while it is listed behind the new one."""
    old = MppShop()
    new = MppShop(journal=old.journal, clock=old.clock, secrets=(b"\x09" * 32, SECRET), entropy_seed="new")
    await old.fund()
    credential = old.credential(await old.challenge())
    assert (await new.pay_challenge(credential)).status_code == 200
    assert parse_challenges((await new.get("/paid")).headers["www-authenticate"])[0].id
    fresh = new.credential(await new.challenge())
    await refused(old, fresh, "invalid-challenge", earned=PRICE_ATOMIC)
    for shop in (old, new):
        await shop.aclose()


@pytest.mark.parametrize("path", ["/fail", "/paid?cheap=1"])
async def test_a_challenge_is_for_the_request_that_got_it(shop: MppShop, path: str) -> None:
    """Another route of the same price, or another query, is another purchase."""
    credential = shop.credential(await shop.challenge(path))
    await refused(shop, credential, "invalid-challenge")


async def test_another_method_is_another_purchase(shop: MppShop) -> None:
    """A challenge for a POST does not pay a GET."""
    await refused(shop, shop.credential(await shop.challenge(method="POST")), "invalid-challenge")


async def test_an_expired_challenge_is_not_paid(shop: MppShop) -> None:
    """After its time the answer is a new challenge; an authorization can't be made to outlive it."""
    challenge = await shop.challenge()
    lasting = shop.credential(challenge, valid_before_s=_in(shop, 3600))
    await refused(shop, lasting, "malformed-credential")
    credential = shop.credential(challenge, valid_before_s=_in(shop, 306))
    shop.clock.advance_us(301_000_000)
    answer = await shop.pay_challenge(credential)
    assert answer.status_code == 402
    assert challenge_of(answer).id != challenge.id
    assert await shop.earned() == 0


async def test_a_paid_answer_outlives_its_challenge(shop: MppShop) -> None:
    """Who repeats late what he paid in time gets the answer, not a demand."""
    credential = shop.credential(await shop.challenge())
    first = await shop.pay_challenge(credential)
    shop.clock.advance_us(600_000_000)
    late = await shop.pay_challenge(credential)
    assert (late.status_code, late.content) == (200, first.content)
    assert await shop.earned() == PRICE_ATOMIC


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": b"\x01" * 32},
        {"to_address": OTHER},
        {"value_atomic": PRICE_ATOMIC - 1},
        {"value_atomic": PRICE_ATOMIC + 1},
    ],
    ids=str,
)
async def test_another_authorization_is_not_the_challenges(shop: MppShop, changes: dict[str, Any]) -> None:
    """Another nonce, payee or amount, each properly signed."""
    answer = await shop.pay_challenge(shop.credential(await shop.challenge(), **changes))
    assert answer.status_code == 402
    assert (await shop.hits())["paid"] == 0
    assert await shop.earned() == 0


async def test_somebody_elses_signature_or_source_is_refused(shop: MppShop) -> None:
    """The payer is who signed; a source that names another one is a lie."""
    challenge = await shop.challenge()
    authorization = shop.authorization(0, nonce=challenge_nonce(challenge), valid_before_s=_in(shop, 299))
    forged = payload_of(authorization, sign(authorization, STRANGER_KEY))
    assert (await shop.pay_challenge(credential_for(challenge, forged, None))).status_code == 402
    honest = payload_of(authorization, sign(authorization))
    for source in (f"did:pkh:{LOCAL}:{OTHER}", "did:pkh:eip155:1:" + authorization.from_address, "did:key:z6Mk"):
        await refused(shop, credential_for(challenge, honest, source), "malformed-credential")
    assert (await shop.pay_challenge(credential_for(challenge, honest, source_of(authorization)))).status_code == 200


async def test_a_request_carries_one_payment(shop: MppShop) -> None:
    """A credential and an x402 payment, or two credentials: nobody guesses which was meant; neither is taken."""
    credential = shop.credential(await shop.challenge())
    both = await shop.pay_challenge(credential, **{"PAYMENT-SIGNATURE": shop.pay(1)})
    two = await shop.client.get("/paid", headers=[("Authorization", credential), ("Authorization", credential)])
    old = await shop.pay_challenge(credential, **{"X-PAYMENT": "e30="})
    for answer in (both, two, old):
        assert answer.status_code == 402
        assert answer.json()["type"].endswith("/malformed-credential")
    assert (await shop.hits())["paid"] == 0
    assert await shop.earned() == 0


async def test_a_payment_that_was_used_elsewhere_is_403(shop: MppShop) -> None:
    """Its authorization was settled without us: no challenge that would invite to pay a second time."""
    challenge = await shop.challenge()
    authorization = shop.authorization(0, nonce=challenge_nonce(challenge), valid_before_s=_in(shop, 299))
    payment = wire.decode_payment_signature(shop.header(authorization))
    assert (await shop.facilitator.inner.settle(payment, payment.requirements())).success
    # The facilitator remembers its own settlements; another one's are refused.
    shop.facilitator.inner = _Refuses(shop.facilitator.inner)
    answer = await shop.pay_challenge(shop.credential(challenge))
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/verification-failed")
    assert "www-authenticate" not in answer.headers
    assert "payment-required" not in answer.headers
    assert (await shop.hits())["paid"] == 0


@pytest.mark.parametrize("step", ["moves and hangs up", "pending 200", "status 500"])
async def test_an_unknown_outcome_asks_for_nothing(step: str) -> None:
    """503 without a challenge; the same credential again is delivered, charged once."""
    with ScriptedFacilitator(LOCAL, extensions=(REPEATABLE_SETTLEMENT,)) as scripted:
        remote = RemoteFacilitator(scripted.url, SystemClock(), timeout_s=0.5, pending_resends=0)
        shop = MppShop(facilitator=remote)
        await shop.warm_up()
        scripted.script("settle", step)
        credential = shop.credential(await shop.challenge())
        unknown = await shop.pay_challenge(credential)
        assert unknown.status_code == 503
        assert "www-authenticate" not in unknown.headers
        again = await shop.pay_challenge(credential)
        assert (again.status_code, again.json()["runs"]) == (200, 1)
        assert set(scripted.moved.values()) == {1}
        await shop.aclose()


async def test_a_failing_handler_is_not_charged(shop: MppShop) -> None:
    """Its answer goes out without a receipt, and the same credential may try again."""
    credential = shop.credential(await shop.challenge("/fail"))
    for _ in range(2):
        answer = await shop.pay_challenge(credential, "/fail")
        assert answer.status_code == 500
        assert "payment-receipt" not in answer.headers
    assert await shop.earned() == 0


async def test_a_stream_has_its_receipt_before_its_first_byte() -> None:
    """Settled first, and said so in the headers."""

    earned: list[int] = []
    made: list[MppShop] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        earned.append(await made[0].earned())
        await send({"type": "http.response.body", "body": b"two"})

    shop = MppShop(app=app, routes={"/goods": Route(PRICE, stream=True)})
    made.append(shop)
    await shop.fund()
    answer = await shop.pay_challenge(shop.credential(await shop.challenge("/goods")), "/goods")
    assert (answer.status_code, answer.content, earned) == (200, b"onetwo", [PRICE_ATOMIC])
    assert receipt_of(answer).reference
    await shop.aclose()


async def test_what_the_method_cannot_ask_for_is_left_to_x402() -> None:
    """`upto`, Permit2, and resources that want a payment identifier have no challenge."""
    for options in ({"payment_identifier": "required"}, {"routes": {"/paid": Route(PRICE, transfer="permit2")}}):
        shop = MppShop(app=plain_app, **{"routes": {"/paid": PRICE}, **options})
        answer = await shop.get("/paid")
        assert (answer.status_code, "payment-required" in answer.headers) == (402, True)
        assert "www-authenticate" not in answer.headers
        await shop.aclose()


async def test_what_costs_nothing_stays_as_it_is(shop: MppShop) -> None:
    """Free routes answer whatever credential comes; the application's own authentication passes untouched."""
    assert (await shop.pay_challenge("Payment garbage", "/free")).status_code == 200
    assert "www-authenticate" not in (await shop.get("/free")).headers
    bearer = await shop.client.get("/paid", headers={"Authorization": "Bearer token"})
    assert bearer.status_code == 402
    assert "www-authenticate" in bearer.headers


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    value=st.text(st.characters(max_codepoint=0xFF), max_size=60)
    | st.dictionaries(st.text(max_size=5), st.text(max_size=5)).map(encode_object)
)
async def test_any_credential_is_refused_with_a_code(shop: MppShop, value: str) -> None:
    """Never a 500, never a run."""
    raw = f"Payment {value}".encode("latin-1")
    if any(byte in raw for byte in b"\r\n\0"):
        return
    answer = await shop.client.get("/paid", headers=[(b"authorization", raw)])
    assert answer.status_code == 402
    assert (await shop.hits())["paid"] == 0


@pytest.mark.parametrize("payload", [b"null", b"[]", b'{"type":"hash"}', b'{"type":"authorization"}', b'"x"'])
async def test_any_payload_is_refused_with_a_code(shop: MppShop, payload: bytes) -> None:
    """A good challenge with a payload that is none."""
    await refused(shop, credential_for(await shop.challenge(), Raw(payload), None), "malformed-credential")


@pytest.mark.parametrize("options", [{"realm": ""}, {"realm": "é"}, {"secrets": ()}, {"secrets": (b"short",)}], ids=str)
def test_a_server_needs_a_realm_and_a_secret(options: dict[str, Any]) -> None:
    """A realm that payers can check, and a secret that nobody guesses; the error names neither."""
    usual: dict[str, Any] = {
        "realm": REALM,
        "secrets": (SECRET,),
        "clock": ManualClock(),
        "entropy": SeededEntropy("x"),
    }
    with pytest.raises(InvalidInputError) as error:
        MachinePayments(plain_app, **{**usual, **options})
    assert "short" not in str(error.value)


class _Refuses:
    """A facilitator that finds every nonce burnt."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        """No."""
        return wire.VerifyResponse(is_valid=False, invalid_reason="invalid_exact_evm_nonce_already_used")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def refused(shop: MppShop, credential: str, problem: str, *, earned: int = 0) -> None:
    """402 with a fresh challenge and this problem; nothing ran, nothing moved."""
    runs = (await shop.hits())["paid"]
    answer = await shop.pay_challenge(credential)
    assert answer.status_code == 402
    assert answer.json()["type"].rsplit("/", 1)[1] == problem
    assert challenge_of(answer).id
    assert "payment-required" in answer.headers
    assert (await shop.hits())["paid"] == runs
    assert await shop.earned() == earned


def _in(shop: MppShop, seconds: int) -> int:
    return shop.clock.now_us() // 1_000_000 + seconds
