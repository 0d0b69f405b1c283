"""Selling over every scheme: Permit2, `upto` with what the handler charges, payers that are contracts, and version 1."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx2
import msgspec
import pytest
from msgspec import Raw
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ports.custody import PermitTransfer
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY, token_permit_digest
from life.crypto.secp256k1 import sign_recoverable
from life.haima import events
from life.haima.x402 import codes, wire
from life.haima.x402.answers import Answer
from life.haima.x402.authorization import build_payload, domain_separator
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.haima.x402.settlement_overrides import charge_of, read_charge
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, sign
from tests.haima.shop import PRICE, PRICE_ATOMIC, CountingFacilitator, Shop, error_of, plain_app, settlement_of

PERMIT2_ROUTE = {"/goods": Route(PRICE, transfer="permit2")}
PAYER_KEY = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
UPTO_ROUTE = {"/goods": Route(PRICE, scheme="upto")}


def charging_app(amount: str | None) -> ASGIApp:
    """Sells goods and says what they cost."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain")]
        if amount is not None:
            headers.append((b"Settlement-Overrides", json.dumps({"amount": amount}).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"goods"})

    return app


async def offer_of(shop: Shop) -> Raw:
    """The offer in the shop's 402, as it goes out."""
    asked = await shop.get("/goods")
    assert asked.status_code == 402
    return wire.decode_payment_required(asked.headers["payment-required"]).accepts[0]


async def permit_header(shop: Shop, number: int, *, signature: bytes | None = None, **changes: Any) -> str:
    """A Permit2 payment for the shop's offer; of scheme `upto` when it is one."""
    accepted = await offer_of(shop)
    facilitator = (wire.decode_requirements(accepted).extra or {}).get("facilitatorAddress")
    permit = PermitTransfer(
        network=LOCAL,
        asset=PLAY_MONEY.address,
        from_address=PAYER,
        to_address=PAYEE,
        value_atomic=PRICE_ATOMIC,
        spender=EXACT_PROXY if facilitator is None else UPTO_PROXY,
        nonce=number,
        deadline_s=shop.clock.now_us() // 1_000_000 + 300,
        facilitator=facilitator if isinstance(facilitator, str) else None,
    )._replace(**changes)
    return wire.encode_header(build_payload(accepted, permit, signature or sign(permit)))


async def open_shop(app: ASGIApp, routes: Any, **options: Any) -> Shop:
    """A shop that has asked its facilitator what it settles, with a payer who has money."""
    shop = Shop(app=app, routes=routes, **options)
    await shop.fund()
    await shop.middleware.start()
    return shop


async def test_permit2_is_sold_once() -> None:
    """An offer by Permit2 says so, a permit pays it, its repetition gets the kept answer, also in another process."""
    shop = await open_shop(plain_app, PERMIT2_ROUTE)
    offer = wire.decode_requirements(await offer_of(shop))
    assert (offer.scheme, offer.extra_text("assetTransferMethod")) == ("exact", "permit2")
    header = await permit_header(shop, 7)
    first = await shop.get("/goods", header)
    assert (first.status_code, first.content) == (200, b"goods")
    other = Shop(journal=shop.journal, clock=shop.clock, app=plain_app, routes=PERMIT2_ROUTE, entropy_seed="other")
    again = await other.get("/goods", header)
    assert again.headers["payment-response"] == first.headers["payment-response"]
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    await other.aclose()
    await shop.aclose()


async def test_permit2_offer_takes_no_other_method() -> None:
    """Terms that name Permit2 are not paid by EIP-3009."""
    shop = await open_shop(plain_app, PERMIT2_ROUTE)
    accepted = await offer_of(shop)
    authorization = shop.authorization(1)
    header = wire.encode_header(build_payload(accepted, authorization, sign(authorization)))
    answer = await shop.get("/goods", header)
    assert (answer.status_code, error_of(answer)) == (402, codes.INVALID_PAYLOAD)
    assert await shop.events() == []
    await shop.aclose()


async def test_dummy_authorization_beside_a_permit_is_malformed() -> None:
    """The claim is keyed by what was signed, never by a second authorization beside it (x402.md §16.4)."""
    shop = await open_shop(plain_app, PERMIT2_ROUTE)
    document = json.loads(base64.b64decode(await permit_header(shop, 7)))
    paid = json.loads(base64.b64decode(shop.pay(1)))
    document["payload"]["authorization"] = paid["payload"]["authorization"]
    answer = await shop.get("/goods", base64.b64encode(json.dumps(document).encode()).decode())
    assert answer.status_code == 400
    assert await shop.events() == []
    await shop.aclose()


@pytest.mark.parametrize(
    ("amount", "charged"),
    [(None, 10_000), ("1234", 1234), ("25%", 2500), ("0.01%", 1), ("$0.005", 5000), ("10000", 10_000)],
)
async def test_upto_charges_what_the_handler_says(amount: str | None, charged: int) -> None:
    """Of the signed maximum exactly the charge moves and is booked; the header does not leave, the settlement names the amount."""
    shop = await open_shop(charging_app(amount), UPTO_ROUTE)
    answer = await shop.get("/goods", await permit_header(shop, 7))
    assert answer.status_code == 200
    assert "settlement-overrides" not in answer.headers
    assert settlement_of(answer).amount == str(charged)
    assert await shop.earned() == await shop.booked() == charged
    await shop.aclose()


async def test_upto_zero_is_used_up() -> None:
    """A charge of nothing moves nothing and burns nothing on chain; the payment is used up all the same: its repetition gets
    the kept answer, and another request nothing (x402.md §16.10)."""
    shop = await open_shop(charging_app("0"), UPTO_ROUTE)
    header = await permit_header(shop, 7)
    first = await shop.get("/goods", header)
    assert first.status_code == 200
    settlement = settlement_of(first)
    assert (settlement.success, settlement.amount, settlement.transaction) == (True, "0", "")
    assert shop.facilitator.settled == 0
    assert (await shop.get("/goods", header)).headers["payment-response"] == first.headers["payment-response"]
    other = await shop.get("/goods?more=1", header)
    assert (other.status_code, error_of(other)) == (402, codes.NONCE_ALREADY_USED)
    assert await shop.earned() == await shop.booked() == 0
    assert [type(event).__name__ for event in await shop.events()].count("ChargeServed") == 1
    await shop.aclose()


@pytest.mark.parametrize("amount", ["10001", "101%", "-1", "1.5", "ten", "$1", "$0.0000001", ""])
async def test_upto_overcharge_charges_nothing(amount: str) -> None:
    """A handler that charges more than was signed, or what can't be read, is a handler that failed: nothing is charged, and the
    payment can be used again."""
    shop = await open_shop(charging_app(amount), UPTO_ROUTE)
    with pytest.raises(InvalidInputError):
        await shop.get("/goods", await permit_header(shop, 7))
    assert isinstance((await shop.events())[-1], events.ChargeReleased)
    assert await shop.earned() == 0
    await shop.aclose()


async def test_upto_charge_survives_a_crash() -> None:
    """The server died between keeping the answer and settling: what is settled at the next start is the charge that was kept,
    not the maximum."""
    journal = MemoryJournal()
    asked = asyncio.Event()

    class Stuck(CountingFacilitator):
        async def settle(
            self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
        ) -> wire.SettlementResponse:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    shop = await open_shop(charging_app("1234"), UPTO_ROUTE, journal=journal)
    stuck = Shop(
        journal=journal,
        clock=shop.clock,
        app=charging_app("1234"),
        routes=UPTO_ROUTE,
        facilitator=Stuck(shop.facilitator.inner),
        entropy_seed="stuck",
    )
    await stuck.middleware.start()
    header = await permit_header(shop, 7)
    dying = asyncio.ensure_future(stuck.get("/goods", header))
    await asked.wait()
    assert await shop.middleware.start() == 0
    assert await shop.earned() == await shop.booked() == 1234
    again = await shop.get("/goods", header)
    assert (again.status_code, settlement_of(again).amount) == (200, "1234")
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await shop.aclose()


async def test_upto_waits_for_the_facilitator() -> None:
    """Until the facilitator has said who carries `upto` payments out, nobody can be asked for one: 503."""
    shop = Shop(app=plain_app, routes=UPTO_ROUTE)
    assert (await shop.get("/goods")).status_code == 503
    await shop.middleware.start()
    assert (await shop.get("/goods")).status_code == 402
    await shop.aclose()


@pytest.mark.parametrize(
    "route",
    [
        Route(PRICE, scheme="upto", settle_first=True),
        Route(PRICE, scheme="upto", stream=True),
        Route(PRICE, scheme="upto", transfer="eip3009"),
    ],
)
def test_upto_options_that_contradict(route: Route) -> None:
    """What is charged is known after the handler, and only Permit2 knows a maximum."""
    with pytest.raises(InvalidInputError):
        Shop(app=plain_app, routes={"/goods": route})


@pytest.mark.parametrize(
    ("text", "micro", "expected"),
    [("50%", 7, 3), ("$0.000002", 7, 2), ("100.00%", None, 7), ("7", None, 7), ("$0", 7, 0), ("$0.00", 7, 0)],
)
def test_amounts_of_a_charge(text: str, micro: int | None, expected: int) -> None:
    """Percentages round down; dollars need a token whose value is known and must come out exactly."""
    assert read_charge(text, amount_atomic=7, amount_micro=micro) == expected


def test_dollars_need_a_known_value() -> None:
    """An amount in dollars of a token without a known value means nothing."""
    answer = Answer(200, [(b"settlement-overrides", b'{"amount": "$0.01"}')], b"")
    with pytest.raises(InvalidInputError, match="value of this token"):
        charge_of(answer, amount_atomic=7, amount_micro=None)


async def test_allowance_that_comes_along_is_kept_with_the_claim() -> None:
    """Where allowances are sponsored, the 402 says so, and a payment's EIP-2612 permit stands in the claim, so that settling it
    again after a crash sends it along again; nothing else of the extensions does."""
    routes = {"/goods": Route(PRICE, transfer="permit2", sponsor_allowance=True)}
    shop = await open_shop(plain_app, routes)
    asked = wire.decode_payment_required((await shop.get("/goods")).headers["payment-required"])
    offered: Any = wire.read_extensions(asked.extensions)["eip2612GasSponsoring"]
    deadline_s = shop.clock.now_us() // 1_000_000 + 300
    digest = token_permit_digest(
        domain_separator(LOCAL, PLAY_MONEY.address, PLAY_MONEY.name, PLAY_MONEY.version),
        owner=bytes.fromhex(PAYER[2:]),
        spender=bytes.fromhex(PERMIT2[2:]),
        value=PRICE_ATOMIC,
        nonce=0,
        deadline=deadline_s,
    )
    signature = sign_recoverable(digest, bytearray(PAYER_KEY))
    offered["info"] |= {
        "from": PAYER,
        "asset": PLAY_MONEY.address,
        "spender": PERMIT2,
        "amount": str(PRICE_ATOMIC),
        "nonce": "0",
        "deadline": str(deadline_s),
        "signature": "0x" + signature.hex(),
    }
    document = json.loads(base64.b64decode(await permit_header(shop, 7)))
    document["extensions"] = {"eip2612GasSponsoring": offered, "mine": {"info": {"secret": 1}}}
    answer = await shop.get("/goods", base64.b64encode(json.dumps(document).encode()).decode())
    assert answer.status_code == 200, error_of(answer)
    (claimed,) = [event for event in await shop.events() if isinstance(event, events.ChargeClaimed)]
    assert isinstance(claimed.payment, Raw)
    kept = wire.decode_payment(bytes(claimed.payment))
    assert list(wire.read_extensions(kept.extensions)) == ["eip2612GasSponsoring"]
    await shop.aclose()


def test_only_permit2_needs_an_allowance() -> None:
    """An offer by EIP-3009 has nothing to sponsor."""
    with pytest.raises(InvalidInputError, match="needs an allowance"):
        Shop(app=plain_app, routes={"/goods": Route(PRICE, sponsor_allowance=True)})


# ---- payers that are contracts


class ContractFacilitator(CountingFacilitator):
    """As a chain does with a contract's wallet: exactly one signature per payment is good. Settles in memory, each once."""

    def __init__(self, inner: Any, good: bytes) -> None:
        super().__init__(inner)
        self.good = good
        self.moved: set[str] = set()

    def _signature(self, payload: wire.PaymentPayload) -> bytes:
        return bytes.fromhex(msgspec.json.decode(payload.payload)["signature"][2:])

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        self.verified += 1
        if self._signature(payload) != self.good:
            return wire.VerifyResponse(is_valid=False, invalid_reason=codes.INVALID_SIGNATURE)
        nonce = msgspec.json.decode(payload.payload)["authorization"]["nonce"]
        if nonce in self.moved:
            return wire.VerifyResponse(is_valid=False, invalid_reason=codes.NONCE_ALREADY_USED)
        return wire.VerifyResponse(is_valid=True)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        self.settled += 1
        self.moved.add(msgspec.json.decode(payload.payload)["authorization"]["nonce"])
        return wire.SettlementResponse(success=True, transaction="0xabc", network=LOCAL)


WALLET = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
GOOD, BAD = b"\x01" * 96, b"\x02" * 96


@pytest.mark.parametrize("verify", ["facilitator", "local"])
async def test_contract_pays_by_its_own_rules(verify: str) -> None:
    """A signature that is no plain key's is judged by the chain before anything is claimed, also with local checks only; the
    repetition needs the very same bytes."""
    base = Shop()
    facilitator = ContractFacilitator(base.facilitator.inner, GOOD)
    shop = Shop(facilitator=facilitator, verify=verify, journal=base.journal, clock=base.clock, entropy_seed="contract")
    authorization = shop.authorization(1, from_address=WALLET)
    forged = await shop.get("/paid", shop.header(authorization, BAD))
    assert (forged.status_code, error_of(forged)) == (402, codes.INVALID_SIGNATURE)
    assert await shop.events() == []
    header = shop.header(authorization, GOOD)
    first = await shop.get("/paid", header)
    assert (first.status_code, first.json()["runs"]) == (200, 1)
    again = await shop.get("/paid", header)
    assert again.content == first.content
    stolen = await shop.get("/paid", shop.header(authorization, BAD))
    assert stolen.status_code == 402
    assert b"runs" not in stolen.content
    shop.clock.advance_us(600 * 1_000_000)
    assert (await shop.get("/paid", header)).content == first.content
    assert b"runs" not in (await shop.get("/paid", shop.header(authorization, BAD))).content
    assert facilitator.settled == 1
    await shop.aclose()
    await base.aclose()


async def test_forger_shares_no_answer_and_stands_in_nobodys_way() -> None:
    """A forged twin of a contract's payment that arrives while the real one is served waits for nothing and gets nothing; one
    that arrives first delays nobody."""
    gate = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await plain_app(scope, receive, send)

    base = Shop()
    facilitator = ContractFacilitator(base.facilitator.inner, GOOD)
    shop = Shop(
        facilitator=facilitator,
        app=slow,
        routes={"/goods": PRICE},
        journal=base.journal,
        clock=base.clock,
        entropy_seed="contract",
    )
    authorization = shop.authorization(1, from_address=WALLET)
    early = asyncio.ensure_future(shop.get("/goods", shop.header(authorization, BAD)))
    real = asyncio.ensure_future(shop.get("/goods", shop.header(authorization, GOOD)))
    late = asyncio.ensure_future(shop.get("/goods", shop.header(authorization, BAD)))
    while not await shop.events():
        await asyncio.sleep(0)
    gate.set()
    assert [(await each).status_code for each in (early, real, late)] == [402, 200, 402]
    assert facilitator.settled == 1
    await shop.aclose()
    await base.aclose()


# ---- version 1


def v1_header(shop: Shop, number: int, *, network: str = "local", **changes: Any) -> str:
    """X-PAYMENT as a client of version 1 makes it."""
    authorization = shop.authorization(number, **changes)
    payload = json.loads(base64.b64decode(shop.header(authorization)))["payload"]
    document = {"x402Version": 1, "scheme": "exact", "network": network, "payload": payload}
    return base64.b64encode(json.dumps(document).encode()).decode()


async def v1_get(shop: Shop, header: str) -> httpx2.Response:
    """A request of version 1."""
    return await shop.client.get("/paid", headers={"X-PAYMENT": header})


async def test_version_1_is_asked_for_and_pays() -> None:
    """Switched on, the body of the 402 has version 1's terms beside the header of version 2; X-PAYMENT buys, and the settlement
    comes back in both headers, in each version's words. It is the same payment in either version."""
    shop = Shop(accept_v1=True)
    await shop.fund()
    asked = await shop.get("/paid")
    body = asked.json()
    assert (body["x402Version"], body["code"]) == (1, "haima.payment_required")
    (terms,) = body["accepts"]
    assert terms == {
        "scheme": "exact",
        "network": "local",
        "maxAmountRequired": str(PRICE_ATOMIC),
        "resource": "http://shop.test/paid",
        "description": "the paid route of a demo shop",
        "mimeType": "",
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "asset": PLAY_MONEY.address,
        "extra": {"name": PLAY_MONEY.name, "version": PLAY_MONEY.version},
        "outputSchema": None,
    }
    assert wire.decode_payment_required(asked.headers["payment-required"]).x402_version == 2
    paid = await v1_get(shop, v1_header(shop, 1))
    assert (paid.status_code, paid.json()["runs"]) == (200, 1)
    told = wire.decode_payment_response(paid.headers["x-payment-response"])
    assert (told.success, told.network) == (True, "local")
    assert told.transaction == settlement_of(paid).transaction
    same = await shop.get("/paid", shop.pay(1))
    assert same.json()["runs"] == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    await shop.aclose()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"network": "base"}, 402),
        ({"value_atomic": PRICE_ATOMIC + 1}, 402),
        ({"to_address": WALLET}, 402),
        ({"valid_before_s": 5}, 402),
    ],
)
async def test_version_1_pays_only_what_is_asked(changes: dict[str, Any], status: int) -> None:
    """Another network, amount, payee or an expired window pays nothing."""
    shop = Shop(accept_v1=True)
    await shop.fund()
    answer = await v1_get(shop, v1_header(shop, 1, **changes))
    assert answer.status_code == status
    assert await shop.events() == []
    await shop.aclose()


@pytest.mark.parametrize(
    "header", ["%%%", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"x402Version":2}').decode()]
)
async def test_version_1_that_cannot_be_read_is_400(header: str) -> None:
    """Garbage is malformed, not unpaid."""
    shop = Shop(accept_v1=True)
    assert (await v1_get(shop, header)).status_code == 400
    await shop.aclose()


async def test_version_1_is_off_unless_switched_on() -> None:
    """Without the switch X-PAYMENT is no payment, and the body says nothing of version 1."""
    shop = Shop()
    await shop.fund()
    answer = await v1_get(shop, v1_header(shop, 1))
    assert answer.status_code == 402
    assert "x402Version" not in answer.json()
    assert await shop.events() == []
    await shop.aclose()
