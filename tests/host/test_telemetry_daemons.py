"""Telemetry of the daemons beside arcand: spans of requests with propagation in, settlements of haimad, and where it is configured."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from life.aios.ports.telemetry import SpanPlace
from life.aios.record import Stream
from life.haima import events
from life.haima.events import FinanceEvent, finance_event
from life.host.access import Access
from life.host.anima_verifier import open_identity_services
from life.host.autonomic import open_autonomic
from life.host.autonomicd import autonomicd_app
from life.host.settings import AutonomicSettings
from life.host.telemetry import open_daemon_telemetry
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from life.vigil import names as n
from life.vigil.spans import project
from life.vigil.telemetry import LiveTelemetry
from tests.host.finance_daemon import open_daemon
from tests.host.lagod_bench import TOKEN, running_lagod
from tests.vigil.kit import spans_of, telemetry_on
from tests.vigil.test_metrics import read

CALLER = SpanPlace("ab" * 16, "cd" * 8)
HEADERS = {"traceparent": CALLER.traceparent}
NETWORK = "eip155:4020402"


def requests_of(live: LiveTelemetry) -> list[tuple[str, str, str | None]]:
    """Name, trace and parent of each request's span."""
    return [(span.name, span.trace_id, span.parent_id) for span in spans_of(live) if span.kind == "server"]


async def test_requests_to_haimad() -> None:
    """A request is a SERVER span below its caller's; health checks and refused strangers make none."""
    live = telemetry_on()
    async with open_daemon(telemetry=live) as daemon:
        assert (await daemon.client.get("/supported", headers=HEADERS)).status_code == 200
        assert (await daemon.client.get("/health", headers=HEADERS)).status_code == 200
        assert (await daemon.client.get("/state", headers=HEADERS)).status_code == 401
    assert requests_of(live) == [("GET /supported", CALLER.trace_id, CALLER.span_id)]
    live.close()


async def test_requests_to_lagod(tmp_path: Path) -> None:
    """The same of lagod, over real HTTP; the sessions that others write there make no spans of ours."""
    live = telemetry_on()
    async with running_lagod(tmp_path, telemetry=live) as daemon:
        known = {"authorization": f"Bearer {TOKEN}", **HEADERS}
        async with httpx2.AsyncClient(base_url=daemon.address) as client:
            made = await client.post("/v1/sessions", json={"name": "first", "session_id": "s"}, headers=known)
            assert made.status_code == 201
            run = daemon.event("r1", {"type": "RunStarted", "provider": "p", "max_iterations": 3})
            stored = await client.post("/v1/sessions/s/events", json={"events": [run]}, headers=known)
            assert stored.status_code in (200, 201)
            assert (await client.get("/v1/sessions", headers=HEADERS)).status_code == 401
    spans = spans_of(live)
    assert {span.kind for span in spans} == {"server"}
    assert requests_of(live) == [
        ("POST /v1/sessions", CALLER.trace_id, CALLER.span_id),
        ("POST /v1/sessions/{session_id}/events", CALLER.trace_id, CALLER.span_id),
    ]
    live.close()


async def test_requests_to_autonomicd() -> None:
    """The same of autonomicd."""
    live, clock, entropy = telemetry_on(), ManualClock(), SeededEntropy("a")
    async with (
        MemoryJournal() as journal,
        open_autonomic(journal, None, AutonomicSettings(), clock=clock, entropy=entropy, agent_id="a") as autonomic,
        open_identity_services(
            journal, clock=clock, directory=None, daemon="autonomicd", environment={}, secret_variables=()
        ) as services,
    ):
        access = Access(TOKEN, clock, entropy)
        app = autonomicd_app(autonomic, access, TOKEN, services, clock, hosts=["autonomicd"], telemetry=live)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://autonomicd") as client:
            known = {"authorization": f"Bearer {TOKEN}", **HEADERS}
            assert (await client.get("/gating/s", headers=known)).status_code == 200
    assert requests_of(live) == [("GET /gating/{session_id}", CALLER.trace_id, CALLER.span_id)]
    live.close()


def settlement(payment_id: str) -> Sequence[FinanceEvent]:
    """A payment whose first attempt the chain did not take, and whose second it did."""
    return [
        events.SettlementIntended(
            claim_key="k",
            payment_id=payment_id,
            network=NETWORK,
            asset="0xasset",
            token_name="t",
            token_version="1",
            payer="0xpayer",
            payee="0xpayee",
            amount_atomic="100",
            valid_after_s=0,
            valid_before_s=9,
            nonce="0x00",
            signature="0xcanary",
        ),
        events.SettlementPrepared(
            claim_key="k",
            payment_id=payment_id,
            attempt=0,
            network=NETWORK,
            transaction="0x1",
            raw_transaction="0xcanary",
        ),
        events.SettlementFailed(
            claim_key="k", payment_id=payment_id, attempt=0, network=NETWORK, reason="canary words", sent=False
        ),
        events.SettlementPrepared(
            claim_key="k",
            payment_id=payment_id,
            attempt=1,
            network=NETWORK,
            transaction="0x2",
            raw_transaction="0xcanary",
        ),
        events.SettlementConfirmed(
            claim_key="k",
            payment_id=payment_id,
            attempt=1,
            transaction="0x2",
            network=NETWORK,
            payer="0xpayer",
            amount_atomic="100",
            amount_micro=100,
        ),
        events.SettlementRefused(
            claim_key="k2", network=NETWORK, payer="0xpayer", amount_atomic="5", reason="canary words"
        ),
    ]


async def test_settlements() -> None:
    """Each attempt is a span below the request that asked for it, live and rebuilt alike; a refusal of ours is no error; signatures,
    transactions and reasons stay in the journal."""
    live, clock, entropy = telemetry_on(), ManualClock(), SeededEntropy("s")
    journal = live.watch(MemoryJournal())
    with live.within(CALLER):
        for event in settlement("p1"):
            clock.advance_us(1000)
            await journal.append(
                [finance_event(event, clock, entropy, stream=Stream("facilitator"), agent_id="haimad")]
            )
    spans = spans_of(live)
    assert [(span.name, span.attributes[n.PAYMENT_OUTCOME], span.error) for span in spans] == [
        (n.SETTLEMENT, "failed", "settlement_failed"),
        (n.SETTLEMENT, "settled", None),
        (n.SETTLEMENT, "refused", None),
    ]
    assert len({span.span_id for span in spans}) == 3
    assert {(span.trace_id, span.parent_id) for span in spans} == {(CALLER.trace_id, CALLER.span_id)}
    assert [span.end_us - span.start_us for span in spans] == [2000, 1000, 0]
    assert spans[1].attributes[n.PAYMENT_AMOUNT] == 100 and "canary" not in repr(spans)
    assert all(span.attributes.keys() <= n.ATTRIBUTES for span in spans)
    from life.aios.ports.journal import EventQuery

    assert project(await journal.read(EventQuery("facilitator"))) == spans
    points = read(live)["life.settlements"]["data"]["data_points"]
    assert {point["attributes"][n.PAYMENT_OUTCOME]: point["value"] for point in points} == {
        "failed": 1,
        "settled": 1,
        "refused": 1,
    }
    live.close()


async def test_where_it_is_configured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`[telemetry]` of the daemon's folder or OTEL_*; off without either; a broken file is a line in the log and no failed start."""

    async def opened(root: Path | None, environment: dict[str, str]) -> LiveTelemetry | None:
        return await open_daemon_telemetry(
            stack, "haimad", environment, clock=ManualClock(), entropy=SeededEntropy("w"), root=root
        )

    async with AsyncExitStack() as stack:
        assert await opened(tmp_path, {}) is None and await opened(None, {}) is None
        named = await opened(None, {"VIGIL_EXPORTERS": "memory"})
        assert named is not None and named.config.resource["service.name"] == "haimad"
        called = await opened(None, {"VIGIL_EXPORTERS": "memory", "OTEL_SERVICE_NAME": "till"})
        assert called is not None and called.config.resource["service.name"] == "till"
        (tmp_path / "config.toml").write_text('[telemetry]\nexporters = ["memory"]\n')
        assert await opened(tmp_path, {}) is not None
        assert await opened(tmp_path, {"OTEL_SDK_DISABLED": "true"}) is None
        assert not caplog.records
        (tmp_path / "config.toml").write_text("[telemetry\n")
        assert await opened(tmp_path, {}) is None
        assert "Telemetry stays off" in caplog.text
