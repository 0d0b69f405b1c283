"""Haima's HTTP routes: official shapes, right statuses, and the façade for the Rust original's clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from life.haima import api
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.x402 import codes, wire
from life.haima.x402.networks import LOCAL
from life.testing.chain import PAYEE, PAYER, STRANGER_KEY, sign
from tests.haima.shop import OFFER, PRICE_ATOMIC, CountingFacilitator, Shop, edited


class Moody(CountingFacilitator):
    """Raises what it is told to."""

    error: Exception | None = None
    pending = False

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        if self.error is not None:
            raise self.error
        return await super().verify(payload, requirements)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        if self.error is not None:
            raise self.error
        settled = await super().settle(payload, requirements)
        if self.pending:
            return wire.SettlementResponse(
                success=False,
                transaction=settled.transaction,
                network=settled.network,
                error_reason=codes.SETTLEMENT_PENDING,
            )
        return settled


class Server:
    """The routes over a local ledger."""

    def __init__(self) -> None:
        self.shop = Shop()
        self.facilitator = Moody(self.shop.facilitator)
        self.credit: dict[str, int] = {}
        operations = [
            *api.facilitator_operations(self.facilitator),
            *api.facade_operations(self.facilitator, self.shop.clock, credit_check=self.may),
            *api.health_operations("haimad", "1.2.3"),
            *api.state_operations(self.state),
        ]
        app = Starlette(routes=api.routes(operations))
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://haima.test")

    async def may(self, agent_id: str, amount_micro: int, _payment: str) -> bool:
        return self.credit.get(agent_id, 0) >= amount_micro

    async def state(self) -> api.FinancialSummary:
        return api.FinancialSummary(total_revenue=await self.shop.earned(), revenue_count=1, as_of_seq=7)

    def body(self, header: str) -> bytes:
        payload = wire.decode_payment_signature(header)
        return msgspec.json.encode(
            wire.FacilitatorRequest(
                x402_version=2,
                payment_payload=wire.to_raw(payload),
                payment_requirements=wire.to_raw(OFFER.requirements),
            )
        )

    async def facilitate(self, header: str, **changes: object) -> httpx2.Response:
        request: dict[str, object] = {
            "payment_header": header,
            "resource_url": "http://shop.test/paid",
            "amount_micro_usd": PRICE_ATOMIC,
        }
        return await self.client.post("/v1/facilitate", json={**request, **changes})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.shop.fund()
    yield made
    await made.client.aclose()
    await made.shop.aclose()


async def test_verify_settle_and_supported(server: Server) -> None:
    """The official calls, with `transaction` and `network` present in every settlement (x402.md §4)."""
    body = server.body(server.shop.pay(1))
    verified = await server.client.post("/verify", content=body)
    assert (verified.status_code, verified.json()) == (200, {"isValid": True, "payer": PAYER})
    settled = await server.client.post("/settle", content=body)
    assert settled.status_code == 200
    assert settled.headers["cache-control"] == "no-store"
    first = settled.json()
    assert first == {"success": True, "transaction": first["transaction"], "network": LOCAL, "payer": PAYER}
    assert (await server.client.post("/settle", content=body)).json() == first
    supported = (await server.client.get("/supported")).json()
    assert supported["kinds"][0] == {"x402Version": 2, "scheme": "exact", "network": LOCAL}
    assert set(supported) == {"kinds", "extensions", "signers"}


async def test_refusals_are_http_200(server: Server) -> None:
    """A refused payment is an answer in the reference SDKs' shape, with an empty transaction and the network."""
    forged = server.shop.header(server.shop.authorization(1), sign(server.shop.authorization(1), STRANGER_KEY))
    verified = await server.client.post("/verify", content=server.body(forged))
    settled = await server.client.post("/settle", content=server.body(forged))
    assert verified.status_code == settled.status_code == 200
    assert verified.json()["isValid"] is False
    assert verified.json()["invalidReason"] == codes.INVALID_SIGNATURE
    answer = settled.json()
    assert (answer["success"], answer["transaction"], answer["network"]) == (False, "", LOCAL)
    assert answer["errorReason"] == codes.INVALID_SIGNATURE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{]",
        b"[]",
        b"\xff\xfe",
        b'{"x402Version":2}',
        b'{"x402Version":2,"paymentPayload":7,"paymentRequirements":{}}',
        b'{"x402Version":2,"paymentPayload":{"x402Version":2,"accepted":{},"payload":{}},"paymentRequirements":{}}',
        b"[" * 100_000,
        b'"' + b"x" * 300_000 + b'"',
    ],
)
@pytest.mark.parametrize("path", ["/verify", "/settle", "/v1/facilitate"])
async def test_unreadable_bodies_are_400(server: Server, path: str, body: bytes) -> None:
    """Whatever can't be read is 400 in the call's own shape, and never a crash (x402.md §12 row 12)."""
    answer = await server.client.post(path, content=body)
    assert answer.status_code == 400
    key = {"/verify": "invalidReason", "/settle": "errorReason", "/v1/facilitate": "code"}[path]
    assert answer.json()[key] == codes.INVALID_PAYLOAD


async def test_an_unknown_version_is_named(server: Server) -> None:
    """A call of a version that nobody speaks learns that its version is the trouble."""
    answer = await server.client.post(
        "/settle", json={"x402Version": 3, "paymentPayload": {}, "paymentRequirements": {}}
    )
    assert (answer.status_code, answer.json()["errorReason"]) == (400, codes.INVALID_X402_VERSION)


@pytest.mark.parametrize("value", ["ten", "-1", "1e3"])
async def test_unfit_amounts_are_refusals(server: Server, value: str) -> None:
    """`value: "ten"` is a refusal, not a crash (x402.md §12 row 12)."""
    header = edited(server.shop.pay(1), payload__authorization__value=value)
    answer = await server.client.post("/settle", content=server.body(header))
    assert (answer.status_code, answer.json()["errorReason"]) == (200, codes.INVALID_PAYLOAD)


@pytest.mark.parametrize("error", [FacilitatorUnavailableError("down"), OutcomeUnknownError("lost")])
async def test_trouble_is_503_with_retry_after(server: Server, error: Exception) -> None:
    """When the chain can't be asked: 503, Retry-After, and a body that no client reads as a refusal of the payment."""
    server.facilitator.error = error
    body = server.body(server.shop.pay(1))
    verified = await server.client.post("/verify", content=body)
    settled = await server.client.post("/settle", content=body)
    assert verified.status_code == settled.status_code == 503
    assert "retry-after" in verified.headers
    assert verified.json()["invalidReason"] == codes.UNEXPECTED_VERIFY_ERROR
    assert settled.json()["errorReason"] == codes.UNEXPECTED_SETTLE_ERROR


async def test_facade_settles_for_real(server: Server) -> None:
    """200 `settled` with a receipt whose payer, payee and hash are those of the settlement; again the same."""
    header = server.shop.pay(1)
    answer = await server.facilitate(header)
    assert answer.status_code == 200
    settled = answer.json()
    receipt = settled["receipt"]
    assert (settled["status"], settled["facilitator_fee_bps"]) == ("settled", 0)
    assert (receipt["payer"], receipt["payee"]) == (PAYER, PAYEE)
    assert (receipt["amount_micro_usd"], receipt["chain"]) == (PRICE_ATOMIC, LOCAL)
    assert receipt["tx_hash"].startswith("local:")
    assert receipt["settled_at"].endswith("Z")
    again = (await server.facilitate(header)).json()
    assert again["receipt"]["tx_hash"] == receipt["tx_hash"]
    assert await server.shop.earned() == PRICE_ATOMIC


async def test_facade_rejects(server: Server) -> None:
    """402 `rejected` with the old word and x402's code; 64 bytes of 0xab no longer settle anything (haima.md W14)."""
    shop = server.shop
    cases: list[tuple[str, dict[str, object], str, str]] = [
        ("garbage", {}, "invalid_header", codes.INVALID_PAYLOAD),
        (edited(shop.pay(1), payload__signature="0x" + "ab" * 64), {}, "invalid_signature", codes.INVALID_SIGNATURE),
        (edited(shop.pay(1), payload__signature="0x" + "ab" * 65), {}, "invalid_signature", codes.INVALID_SIGNATURE),
        (edited(shop.pay(1), accepted__scheme="upto"), {}, "unsupported_scheme", codes.UNSUPPORTED_SCHEME),
        (shop.pay(1), {"amount_micro_usd": 9_999}, codes.VALUE_MISMATCH, codes.VALUE_MISMATCH),
        (
            edited(shop.pay(1), resource={"url": "http://elsewhere.test/"}),
            {},
            codes.INVALID_PAYMENT_REQUIREMENTS,
            codes.INVALID_PAYMENT_REQUIREMENTS,
        ),
        (shop.pay(1), {"agent_id": "unknown"}, "insufficient_credit", "insufficient_credit"),
        (edited(shop.pay(1), accepted__amount="ten"), {}, "invalid_header", codes.INVALID_PAYLOAD),
        (
            edited(shop.pay(1), accepted__asset=PAYEE),
            {},
            codes.INVALID_PAYMENT_REQUIREMENTS,
            codes.INVALID_PAYMENT_REQUIREMENTS,
        ),
    ]
    for header, changes, reason, code in cases:
        answer = await server.facilitate(header, **changes)
        rejected = answer.json()
        assert (answer.status_code, rejected["status"]) == (402, "rejected")
        assert (rejected["reason"], rejected["code"]) == (reason, code)
        assert "receipt" not in rejected
    assert await server.shop.earned() == 0


async def test_facade_checks_credit(server: Server) -> None:
    """With an agent and enough credit it settles."""
    server.credit["agent-1"] = PRICE_ATOMIC
    assert (await server.facilitate(server.shop.pay(1), agent_id="agent-1")).status_code == 200


async def test_facade_is_pending_while_nobody_knows(server: Server) -> None:
    """202 `pending` for an open outcome, with the hash where there is one; the same request later is settled."""
    header = server.shop.pay(1)
    server.facilitator.error = OutcomeUnknownError("lost")
    assert (await server.facilitate(header)).status_code == 202
    server.facilitator.error = None
    server.facilitator.pending = True
    pending = await server.facilitate(header)
    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
    assert pending.json()["transaction"].startswith("local:")
    server.facilitator.pending = False
    assert (await server.facilitate(header)).status_code == 200
    assert await server.shop.earned() == PRICE_ATOMIC


async def test_health_and_state(server: Server) -> None:
    """The fields of haima.md §4.2."""
    health = await server.client.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok", "service": "haimad", "version": "1.2.3"})
    state = (await server.client.get("/state")).json()
    assert state == {
        "total_expenses": 0,
        "total_revenue": 0,
        "net_balance": 0,
        "payment_count": 0,
        "revenue_count": 1,
        "failed_count": 0,
        "session_spend": 0,
        "wallet_address": None,
        "on_chain_balance": None,
        "pending_bills": 0,
        "last_event_at": None,
        "as_of_seq": 7,
    }
