"""The finance daemon's routes from end to end: accounts, outcomes, bills, insurance, credit, costs (haima.md §4)."""

from __future__ import annotations

import jwt

from life.aios.events import Custom, ErrorRaised
from life.aios.record import AGENT, EventWriter, Stream, format_timestamp
from life.host.haima_config import HaimadConfig, InsuranceConfig, Prepared
from life.testing.clock import SeededEntropy
from tests.host.finance_daemon import USER_SECRET, Daemon, open_daemon

WITH_POOL = Prepared(config=HaimadConfig(insurance=InsuranceConfig(seed_micro_usd=50_000_000)))


def user(daemon: Daemon, subject: str, *scopes: str) -> dict[str, str]:
    """The headers of a user."""
    now_s = daemon.clock.now_us() // 1_000_000
    claims = {
        "sub": subject,
        "email": f"{subject}@example.org",
        "iat": now_s,
        "exp": now_s + 600,
        "aud": "broomva-life-services",
        "iss": "https://broomva.tech",
        "scopes": list(scopes),
    }
    return {"authorization": "Bearer " + jwt.encode(claims, USER_SECRET, "HS256")}


async def trust(daemon: Daemon, agent_id: str, score: float) -> None:
    """Autonomic's word on an agent."""
    writer = EventWriter(daemon.clock, SeededEntropy(agent_id), agent_id=agent_id, stream=Stream("autonomic"))
    said = Custom(
        event_type="autonomic.TrustAssessed",
        data={"score": score, "tier": "trusted", "trajectory": "stable", "agent_id": agent_id},
    )
    await daemon.journal.append([writer.event(said)])


async def test_money_comes_in_moves_and_is_told() -> None:
    """A credit by hand, a transfer, a charge; each once for its key, and the statement has every change."""
    async with open_daemon() as daemon:
        credit = {"amount_micro": 5_000_000, "memo": "cash"}
        first = await daemon.post("/v1/accounts/a/credit", credit, key="k1")
        again = await daemon.post("/v1/accounts/a/credit", credit, key="k1")
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        other = await daemon.post("/v1/accounts/a/credit", {"amount_micro": 1, "memo": "cash"}, key="k1")
        assert (other.status_code, other.json()["code"]) == (409, "haima.idempotency_conflict")
        moved = await daemon.post(
            "/v1/accounts/a/transfer", {"to_agent_id": "b", "amount_micro": 2_000_000, "memo": "thanks"}, key="k2"
        )
        assert moved.json()["new_balance_micro"] == 3_000_000
        await daemon.post("/v1/accounts/a/debit", {"amount_micro": 500_000, "memo": "storage"}, key="k3")
        short = await daemon.post("/v1/accounts/a/transfer", {"to_agent_id": "b", "amount_micro": 9_000_000}, key="k4")
        assert (short.status_code, short.json()["code"]) == (402, "haima.insufficient_balance")
        assert (await daemon.get("/v1/accounts/a")).json()["available_micro"] == 2_500_000
        lines = (await daemon.get("/v1/accounts/a/statement")).json()["entries"]
        assert [line["delta_micro"] for line in lines] == [5_000_000, -2_000_000, -500_000]
        page = (await daemon.get("/v1/accounts/a/statement?limit=2")).json()
        rest = (await daemon.get(f"/v1/accounts/a/statement?cursor={page['next_cursor']}")).json()
        assert [line["delta_micro"] for line in rest["entries"]] == [-500_000]
        books = (await daemon.get("/v1/ledger")).json()
        assert books["trial_balance_micro"] == 0
        assert {"account": "Liabilities:Held:Agent:B", "balance_micro": -2_000_000} in books["accounts"]


async def test_commands_without_a_key_or_with_odd_bodies_do_nothing() -> None:
    """400 without an Idempotency-Key, 422 for fields and amounts that can't be meant, and no money moved."""
    async with open_daemon() as daemon:
        assert (await daemon.post("/v1/accounts/a/credit", {"amount_micro": 5, "memo": "m"})).status_code == 400
        for body in (
            {"amount_micro": -5, "memo": "m"},
            {"amount_micro": 5, "memo": "m", "x": 1},
            {"amount_micro": 1.5},
        ):
            assert (await daemon.post("/v1/accounts/a/credit", body, key="k")).status_code == 422
        assert (
            await daemon.post("/v1/accounts/a/credit", {"amount_micro": 5, "memo": " "}, key="k")
        ).status_code == 400
        assert (await daemon.get("/v1/accounts/a")).json()["available_micro"] == 0


async def test_users_act_for_themselves_and_within_their_scopes() -> None:
    """W23, W26: somebody else's account, a missing scope, no token: refused; one's own: fine."""
    async with open_daemon() as daemon:
        await daemon.post("/v1/accounts/ann/credit", {"amount_micro": 1_000, "memo": "cash"}, key="k")
        ann = user(daemon, "ann", "wallet:read", "wallet:write", "outcomes:write")
        assert (await daemon.get("/v1/accounts/ann", ann)).json()["available_micro"] == 1_000
        assert (await daemon.get("/v1/accounts/bob", ann)).status_code == 403
        stolen = {"to_agent_id": "ann", "amount_micro": 1}
        assert (await daemon.post("/v1/accounts/bob/transfer", stolen, key="k", headers=ann)).status_code == 403
        assert (
            await daemon.post("/v1/accounts/ann/credit", {"amount_micro": 9, "memo": "m"}, key="z", headers=ann)
        ).status_code == 403
        assert (await daemon.get("/v1/ledger", user(daemon, "ann", "credit:read"))).status_code == 403
        assert (await daemon.client.get("/v1/accounts/ann")).status_code == 401
        paid = {"to_agent_id": "bob", "amount_micro": 400}
        assert (await daemon.post("/v1/accounts/ann/transfer", paid, key="k", headers=ann)).status_code == 200


async def test_a_task_from_contract_to_payment() -> None:
    """Quote, escrow, delivery, two results, and the money is the agent's; the dashboard counts it."""
    async with open_daemon() as daemon:
        await trust(daemon, "worker", 0.5)
        await daemon.post("/v1/accounts/client/credit", {"amount_micro": 9_000_000, "memo": "cash"}, key="k")
        quote = {"contract_id": "contract-support-ticket-v1", "agent_id": "worker", "complexity": "standard"}
        offered = (await daemon.post("/v1/outcomes/quotes", quote)).json()
        assert offered["price_micro_credits"] == 845_000
        taken = await daemon.post(
            "/v1/outcomes/t-1/contract",
            {**quote, "customer_id": "client", "quote_id": offered["quote_id"], "escrow": True},
            key="accept",
        )
        assert taken.status_code == 201
        assert (await daemon.get("/v1/accounts/client")).json()["pending_micro"] == 845_000
        worker = user(daemon, "worker", "outcomes:write", "outcomes:read")
        done = await daemon.post("/v1/outcomes/t-1/submit", {"result": "solved"}, key="submit", headers=worker)
        assert done.json()["status"] == "submitted"
        own = await daemon.post("/v1/outcomes/t-1/verify", {"results": [{"index": 0, "passed": True}]}, headers=worker)
        assert (own.status_code, own.json()["code"]) == (403, "haima.role_refused")
        client = user(daemon, "client", "outcomes:write")
        decided = await daemon.post(
            "/v1/outcomes/t-1/verify", {"results": [{"index": 0, "passed": True}]}, headers=client
        )
        assert (decided.json()["status"], decided.json()["outcome"]) == ("paid", "success")
        assert (await daemon.get("/v1/accounts/worker")).json()["available_micro"] == 845_000
        dashboard = (await daemon.get("/v1/outcomes/dashboard")).json()
        assert (dashboard["total_tasks_contracted"], dashboard["total_outcome_revenue"]) == (1, 845_000)
        (bill,) = (await daemon.get("/v1/bills?payer=client")).json()["bills"]
        assert (bill["status"], bill["amount_micro_credits"]) == ("paid", 845_000)
        assert (await daemon.get("/v1/outcomes/t-1", worker)).json()["status"] == "paid"
        assert (await daemon.get("/v1/outcomes/nothing")).status_code == 404


async def test_late_work_is_ended_by_the_job() -> None:
    """POST /v1/outcomes/check-sla is the job by hand, for operators."""
    async with open_daemon() as daemon:
        await trust(daemon, "worker", 0.5)
        taken = {"contract_id": "contract-support-ticket-v1", "agent_id": "worker", "complexity": "simple"}
        await daemon.post("/v1/outcomes/t-1/contract", taken, key="a")
        assert (await daemon.get("/v1/outcomes/pending")).json()["count"] == 1
        daemon.clock.advance_us(2_101 * 1_000_000)
        assert (await daemon.get("/v1/outcomes/pending")).json()["pending_tasks"][0]["sla_breached"]
        ended = (await daemon.post("/v1/outcomes/check-sla")).json()
        assert ended["task_ids"] == ["t-1"]
        assert (await daemon.get("/v1/outcomes/records")).json()["records"][0]["outcome"] == "timeout"


async def test_cover_from_quote_to_payout() -> None:
    """The premium is collected, the journal bears the claim out, and a second verification pays nothing more."""
    async with open_daemon(WITH_POOL) as daemon:
        await trust(daemon, "agent", 0.85)
        await daemon.post("/v1/accounts/agent/credit", {"amount_micro": 1_000_000, "memo": "cash"}, key="k")
        assert (await daemon.get("/v1/insurance/products?product_type=task_failure")).json()["count"] == 1
        wanted = {"agent_id": "agent", "product_type": "task_failure", "coverage_micro_usd": 10_000_000}
        quote = (await daemon.post("/v1/insurance/quotes", wanted)).json()
        bound = await daemon.post(
            "/v1/insurance/policies", {"quote_id": quote["quote_id"], "agent_id": "agent"}, key="bind"
        )
        assert bound.status_code == 201
        writer = EventWriter(daemon.clock, SeededEntropy("e"), agent_id="agent", stream=Stream("work"), actor=AGENT)
        failed = writer.event(ErrorRaised(message="it broke"))
        await daemon.journal.append([failed])
        claim = {
            "policy_id": bound.json()["policy_id"],
            "agent_id": "agent",
            "incident_type": "task_failure",
            "claimed_amount_micro_usd": 950_000,
            "incident_at": "2026-01-01T00:00:00Z",
            "evidence_event_ids": [failed.event_id],
        }
        assert (await daemon.post("/v1/insurance/claims", claim, key="c0")).status_code == 422
        claim["incident_at"] = format_timestamp(daemon.clock.now_us())
        filed = (await daemon.post("/v1/insurance/claims", claim, key="c1")).json()
        route = f"/v1/insurance/claims/{filed['claim_id']}"
        for _ in range(2):
            decided = (await daemon.post(f"{route}/verify")).json()
            assert (decided["status"], decided["payout_micro_usd"]) == ("paid", 900_000)
        assert (await daemon.get(route)).json()["status"] == "paid"
        pool = (await daemon.get("/v1/insurance/pool")).json()
        assert (pool["total_payouts_micro_usd"], pool["status"]) == (900_000, "active")
        assert (await daemon.get("/v1/insurance/dashboard")).json()["total_claims_filed"] == 1
        assert (await daemon.post(f"{route}/verify", headers=user(daemon, "eve", "insurance:write"))).status_code == 403


async def test_insurance_can_be_switched_off() -> None:
    """Then there is no pool, and nothing is sold."""
    off = Prepared(config=HaimadConfig(insurance=InsuranceConfig(enabled=False)))
    async with open_daemon(off) as daemon:
        assert (await daemon.get("/v1/insurance/pool")).status_code == 404
        assert (await daemon.get("/v1/insurance/products")).json()["count"] == 0


async def test_the_documented_routes_answer_in_their_shapes() -> None:
    """haima.md §4.2 and §4.6: health, state, credit, bureau, balance, history, cost."""
    async with open_daemon() as daemon:
        assert (await daemon.client.get("/ready")).json()["status"] == "ready"
        assert (await daemon.get("/v1/haima/health")).json() == {
            "status": "ok",
            "wallet_connected": False,
            "chain": None,
        }
        balance = (await daemon.get("/v1/haima/balance?agent_id=a")).json()
        assert balance == {"wallet": None, "credits": {"available": 0, "pending": 0}}
        assert (await daemon.get("/v1/haima/history")).json() == {"events": [], "next_cursor": None}
        cost = (await daemon.get("/v1/cost?window=7d")).json()
        assert (cost["total_micro_credits"], cost["services"]) == (0, [])
        assert (await daemon.get("/v1/cost?window=1y")).status_code == 400
        assert (await daemon.get("/v1/credit/unknown")).json()["tier"] == "none"
        assert (await daemon.get("/v1/bureau/unknown")).json()["risk_rating"] == "critical"
        refused = await daemon.post("/v1/credit/unknown/line", {}, key="k")
        assert (refused.status_code, refused.json()["reason"]) == (422, "insufficient_credit_score")
    async with open_daemon(legacy_status=True) as daemon:
        assert (await daemon.post("/v1/credit/unknown/line", {}, key="k")).status_code == 200


async def test_every_route_is_described_and_those_of_value_want_a_scope() -> None:
    """The OpenAPI document knows them all; a user without scopes gets nowhere but to what is open."""
    async with open_daemon() as daemon:
        paths = (await daemon.get("/openapi.json")).json()["paths"]
        assert len(paths) > 50
        nobody = user(daemon, "nobody")
        for path, methods in paths.items():
            if path in ("/health", "/ready", "/verify", "/settle", "/supported"):
                continue
            for method in methods:
                answer = await daemon.client.request(
                    method.upper(), path.replace("{", "").replace("}", ""), headers=nobody, json={}
                )
                assert answer.status_code in (401, 403), (method, path, answer.status_code)
