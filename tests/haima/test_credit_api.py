"""The routes of credit, lending and the bureau: documented shapes, correct statuses, keys, strict bodies (HM-API, §4.2, §4.3)."""

from __future__ import annotations

import json

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from life.anima.custody.in_process import InProcessAnima
from life.haima.bureau import verify_report
from life.haima.credit_api import credit_operations
from life.haima.outcomes.answers import Subject
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import openapi_document, routes
from tests.haima.credit_kit import LENDER_ADDRESS, Bank, address, earned, open_bank

A = "agent-a"


class Api:
    """A client of the routes, and the lender behind them."""

    def __init__(self, bank: Bank, *, legacy: bool = False, who: Subject | None = None) -> None:
        self.bank = bank
        self.who = who
        self.custody = InProcessAnima.from_seed(bytearray(b"\x07" * 32), clock=bank.clock)
        self.operations = credit_operations(
            bank.desk, signer=self.custody, legacy_status=legacy, caller=None if who is None else self.caller
        )
        app = Starlette(routes=routes(self.operations), exception_handlers=EXCEPTION_HANDLERS)
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://haima.test")
        self.keys = 0

    def caller(self, _: Request) -> Subject:
        assert self.who is not None
        return self.who

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers=headers)

    async def post(
        self, path: str, body: object = None, *, key: str | None = "", raw: bytes | None = None
    ) -> httpx2.Response:
        self.keys += 1
        headers = {} if key is None else {"idempotency-key": key or f"key-{self.keys}"}
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers=headers)


async def api(*, premium: bool = True, good: bool = True, legacy: bool = False) -> Api:
    bank = await open_bank()
    if good:
        await bank.good(A, premium=premium)
    return Api(bank, legacy=legacy)


async def test_the_score_of_an_agent_and_of_nobody() -> None:
    """The published fields; an unknown agent has tier none and 200, with what is missing named; nothing is written."""
    here = await api()
    known = (await here.get(f"/v1/credit/{A}")).json()
    assert (known["tier"], known["spending_limit_micro_usd"], known["model"]) == (
        "premium",
        10_000_000,
        "haima-credit-1",
    )
    assert known["factors"]["trust_score"] == 0.9
    assert known["factors"]["transaction_volume"] == 12_000_000
    assert known["missing"] == []
    before = here.bank.journal.batches.copy()
    unknown = await here.get("/v1/credit/nobody")
    assert unknown.status_code == 200
    body = unknown.json()
    assert (body["tier"], body["score"], body["spending_limit_micro_usd"], body["confidence"]) == ("none", 0, 0, 0)
    assert len(body["missing"]) == 5
    assert here.bank.journal.batches == before


async def test_route_six_opens_modifies_freezes_and_closes() -> None:
    """201 for a new line, 200 after that; the documented words."""
    here = await api()
    path = f"/v1/credit/{A}/line"
    assert (await here.get(path)).json()["status"] == "not_found"
    opened = await here.post(path)
    assert (opened.status_code, opened.json()["status"]) == (201, "opened")
    assert opened.json()["credit_line"]["limit_micro_usd"] == 10_000_000
    for body, status, word in [
        ({}, 200, "unchanged"),
        ({"action": "open"}, 200, "exists"),
        ({"limit_micro_usd": 5_000}, 200, "modified"),
        ({"action": "modify", "limit_micro_usd": 6_000, "unknown": 1}, 200, "modified"),
        ({"action": "freeze"}, 200, "frozen"),
        ({"action": "freeze"}, 200, "unchanged"),
        ({"action": "unfreeze"}, 200, "unfrozen"),
        ({"action": "close"}, 200, "closed"),
        ({}, 201, "opened"),
    ]:
        answer = await here.post(path, body)
        assert (answer.status_code, answer.json()["status"]) == (status, word), body
    shown = await here.get(path)
    assert (shown.status_code, shown.json()["status"]) == (200, "active")


async def test_refusals_of_route_six() -> None:
    """422 without a score, above the tier, below what is drawn; 409 where the state machine has no arrow; 404 without a line."""
    here = await api()
    nobody = await here.post("/v1/credit/nobody/line")
    assert nobody.status_code == 422
    assert (nobody.json()["status"], nobody.json()["reason"]) == ("rejected", "insufficient_credit_score")
    path = f"/v1/credit/{A}/line"
    assert (await here.post(path, {"action": "modify"})).status_code == 404
    assert (await here.post(path, {"action": "unfreeze"})).status_code == 404
    await here.post(path)
    assert (await here.post(path, {"limit_micro_usd": 10_000_001})).json()["reason"] == "limit_above_tier"
    assert (await here.post(path, {"action": "unfreeze"})).status_code == 409
    await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 500})
    assert (await here.post(path, {"limit_micro_usd": 499})).json()["reason"] == "limit_below_drawn"
    assert (await here.post(path, {"action": "close"})).status_code == 409


async def test_draw_and_repay() -> None:
    """The life cycle of the original's tests, with the statuses it should have had."""
    here = await api(premium=False)
    none = await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 1})
    assert (none.status_code, none.json()["approved"]) == (404, False)
    assert none.json()["reason"].startswith("no_credit_line")
    assert (await here.post(f"/v1/credit/{A}/open")).status_code == 201
    drawn = await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 60_000, "purpose": "prepay"})
    assert drawn.json() == {
        "approved": True,
        "drawn_amount": 60_000,
        "new_balance": 60_000,
        "available": 40_000,
        "interest_accrued": 0,
    }
    over = await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 40_001})
    assert (over.status_code, over.json()["available"], over.json()["new_balance"]) == (402, 40_000, 60_000)
    assert over.json()["reason"].startswith("insufficient_credit")
    score = (await here.get(f"/v1/credit/{A}")).json()
    assert score["current_balance_micro_usd"] == -60_000
    repaid = await here.post(f"/v1/credit/{A}/repay", {"amount_micro_usd": 10_000})
    assert (repaid.status_code, repaid.json()["remaining_balance"]) == (200, 50_000)
    await here.post(f"/v1/credit/{A}/line", {"action": "freeze"})
    frozen = await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 1})
    assert frozen.status_code == 409
    assert frozen.json()["reason"].startswith("credit_line_not_active")


async def test_repayment_by_payment_and_without_money() -> None:
    """402 for an empty wallet account, 422 and 409 for evidence that is none or was used."""
    here = await api()
    await here.post(f"/v1/credit/{A}/open")
    await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 1_000})
    payment = earned("lender", address(A), 400, here.bank.clock.now_us(), payee=LENDER_ADDRESS, payment_id="p1")
    await here.bank.journal.append([payment])
    path = f"/v1/credit/{A}/repay"
    done = await here.post(path, {"payment_event_id": payment.event_id})
    assert (done.status_code, done.json()["principal_portion"]) == (200, 400)
    again = await here.post(path, {"payment_event_id": payment.event_id})
    assert (again.status_code, again.json()["code"]) == (409, "haima.evidence_used")
    none = await here.post(path, {"payment_event_id": "no-such-event"})
    assert (none.status_code, none.json()["code"]) == (422, "haima.evidence_invalid")
    nobody = await here.post("/v1/credit/nobody/repay", {"amount_micro_usd": 5})
    assert (nobody.status_code, nobody.json()["status"]) == (404, "error")


async def test_a_key_is_needed_and_good_for_one_request() -> None:
    """400 without one; the first answer again, status included, and marked; 409 for another request, also on another route."""
    here = await api()
    assert (await here.post(f"/v1/credit/{A}/open", key=None)).status_code == 400
    for bad in ("with blank", "x" * 256):
        assert (await here.post(f"/v1/credit/{A}/open", key=bad)).json()["code"] == "haima.malformed_request"
    first = await here.post(f"/v1/credit/{A}/open", key="k1")
    again = await here.post(f"/v1/credit/{A}/open", key="k1")
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = await here.post(f"/v1/credit/{A}/draw", {"amount_micro_usd": 5}, key="k1")
    assert (other.status_code, other.json()["code"]) == (409, "haima.idempotency_conflict")
    body = {"amount_micro_usd": 5}
    for _ in range(3):
        assert (await here.post(f"/v1/credit/{A}/draw", body, key="k2")).json()["new_balance"] == 5


@pytest.mark.parametrize(
    ("path", "raw", "status"),
    [
        ("draw", b'{"amount_micro_usd": 5, "extra": 1}', 422),
        ("draw", b'{"amount_micro_usd": -5}', 422),
        ("draw", b'{"amount_micro_usd": 1.5}', 422),
        ("draw", b'{"amount_micro_usd": "5"}', 422),
        ("draw", b'{"amount_micro_usd": 9223372036854775808}', 422),
        ("draw", b'{"amount_micro_usd": 5, "purpose": "fun"}', 422),
        ("draw", b"{}", 422),
        ("draw", b"{", 400),
        ("draw", b"\xff", 400),
        ("draw", b"[" * 100_000, 400),
        ("draw", b" " * 70_000, 400),
        ("repay", b"{}", 422),
        ("repay", b'{"amount_micro_usd": 0}', 422),
        ("repay", b'{"amount_micro_usd": 5, "payment_event_id": "x"}', 422),
        ("open", b'{"limit": 5}', 422),
        ("check", b'{"amount_micro_usd": true}', 422),
        ("line", b'{"action": "steal"}', 422),
        ("line", b'{"action": "freeze", "limit_micro_usd": 5}', 422),
    ],
)
async def test_bodies_that_can_not_be_so(path: str, raw: bytes, status: int) -> None:
    """Refused before anything is decided, with a code and without a trace of Python."""
    here = await api()
    answer = await here.post(f"/v1/credit/{A}/{path}", raw=raw)
    assert answer.status_code == status
    assert answer.json()["code"] in ("haima.invalid_request", "haima.malformed_request")
    assert "Traceback" not in answer.text


async def test_an_id_that_can_not_be_one() -> None:
    """400, for reading and writing."""
    here = await api()
    for path in ("/v1/credit/a%20b", "/v1/bureau/%00", "/v1/credit/a%20b/line"):
        assert (await here.get(path)).status_code == 400
    assert (await here.post("/v1/credit/a%20b/open")).status_code == 400


async def test_everybody_acts_for_itself_only() -> None:
    """W26: another agent neither reads nor moves anything; unfreezing is the operator's; keys belong to who sent them."""
    bank = await open_bank()
    await bank.good(A)
    here = Api(bank, who=Subject("mallory", frozenset({"customer"})))
    before = bank.journal.batches.copy()
    for path, body in [
        ("line", {}),
        ("open", {}),
        ("draw", {"amount_micro_usd": 5}),
        ("repay", {"amount_micro_usd": 5}),
        ("check", {"amount_micro_usd": 5}),
    ]:
        assert (await here.post(f"/v1/credit/{A}/{path}", body)).status_code == 403
    for path in (f"/v1/credit/{A}", f"/v1/credit/{A}/line", f"/v1/bureau/{A}?view=full"):
        assert (await here.get(path)).status_code == 403
    assert (await here.get(f"/v1/bureau/{A}")).json()["view"] == "redacted"
    assert bank.journal.batches == before
    here.who = Subject(A, frozenset())
    assert (await here.post(f"/v1/credit/{A}/open", key="k")).status_code == 201
    assert (await here.post(f"/v1/credit/{A}/line", {"action": "freeze"})).status_code == 200
    assert (await here.post(f"/v1/credit/{A}/line", {"action": "unfreeze"})).status_code == 403
    assert (await here.get(f"/v1/bureau/{A}")).json()["view"] == "full"
    here.who = Subject("boss", frozenset({"operator"}))
    assert (await here.post(f"/v1/credit/{A}/line", {"action": "unfreeze"}, key="k")).json()["status"] == "unfrozen"


async def test_check_reserves_nothing() -> None:
    """The documented answer; an unknown agent is refused."""
    here = await api(premium=False)
    for _ in range(2):
        found = await here.post(f"/v1/credit/{A}/check", {"amount_micro_usd": 60_000}, key=None)
        assert found.json() == {"approved": True, "tier": "standard", "remaining_limit": 40_000}
    refused = await here.post("/v1/credit/nobody/check", {"amount_micro_usd": 1}, key=None)
    assert refused.json()["reason"] == "insufficient_credit"


async def test_the_report_and_its_views() -> None:
    """Full, redacted, with an ETag that holds as long as nothing changed."""
    here = await api()
    full = await here.get(f"/v1/bureau/{A}")
    assert full.json()["risk_rating"] == "low"
    assert full.json()["provenance"]["as_of_position"] > 0
    here.bank.clock.advance_us(1_000_000)
    same = await here.get(f"/v1/bureau/{A}", **{"if-none-match": full.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    await here.bank.trust(A, 0.1)
    changed = await here.get(f"/v1/bureau/{A}", **{"if-none-match": full.headers["etag"]})
    assert changed.status_code == 200
    redacted = (await here.get(f"/v1/bureau/{A}?view=redacted")).json()
    assert "payment_summary" not in redacted and redacted["view"] == "redacted"
    nobody = (await here.get("/v1/bureau/nobody")).json()
    assert (nobody["risk_rating"], [flag["flag_type"] for flag in nobody["flags"]]) == ("critical", ["new_agent"])
    assert (await here.get(f"/v1/bureau/{A}?format=xml")).status_code == 400


async def test_the_report_signed() -> None:
    """`format=jws`: what a counterparty verifies with the lender's DID alone."""
    here = await api()
    answer = await here.get(f"/v1/bureau/{A}?format=jws&view=redacted&aud=market")
    assert answer.headers["content-type"] == "application/jose"
    did = here.custody.capabilities().did
    assert did is not None
    now_s = here.bank.clock.now_us() // 1_000_000
    claims = verify_report(answer.text, did=did, now_s=now_s, agent_id=A, audience="market")
    assert claims.report.risk_rating == "low"
    unsigned = Starlette(routes=routes(credit_operations(here.bank.desk)), exception_handlers=EXCEPTION_HANDLERS)
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=unsigned), base_url="http://haima.test")
    assert (await client.get(f"/v1/bureau/{A}?format=jws")).status_code == 400


async def test_legacy_clients_get_two_hundred() -> None:
    """Opt-in: every handled answer is 200, the bodies stay; what can't be read is still an error."""
    here = await api(legacy=True)
    for path, body in [
        (f"/v1/credit/{A}/line", None),
        ("/v1/credit/nobody/open", None),
        (f"/v1/credit/{A}/draw", {"amount_micro_usd": 10**14}),
        ("/v1/credit/nobody/repay", {"amount_micro_usd": 5}),
    ]:
        assert (await here.post(path, body)).status_code == 200
    assert (await here.get("/v1/credit/nobody/line")).json()["status"] == "not_found"
    assert (await here.post(f"/v1/credit/{A}/draw", raw=b"{")).status_code == 400


async def test_the_operations_describe_themselves() -> None:
    """Every route has a scope, and the OpenAPI document can be made."""
    here = await api(good=False)
    scopes = {(one.method, one.path): one.scope for one in here.operations}
    assert scopes["POST", "/v1/credit/{id}/line"] == "credit:write"
    assert scopes["GET", "/v1/bureau/{id}"] == "bureau:read"
    assert all(scopes.values())
    document = msgspec.json.decode(openapi_document("x", here.operations))
    assert len(document["paths"]) == 7
