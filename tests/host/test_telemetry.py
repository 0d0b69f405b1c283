"""Telemetry of a whole system: an agent that pays, the requests around it, and what a doctor says."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from life.aios.ports.telemetry import SpanPlace, working_in
from life.haima.x402.networks import PLAY_MONEY
from life.haima.x402.seller_app import demo_seller_app
from life.host import first_payment
from life.host.first_payment import TASK, _shop, _write_script
from life.host.http.server import bind
from life.host.http.tracing import Traced
from life.host.settings import ModelSettings, Settings, ToolSettings, load_settings
from life.host.system import open_system
from life.host.telemetry import TelemetryHealth, TelemetryWatch, telemetry_findings, use_log_format
from life.host.trace import session_spans
from life.testing.clock import ManualClock
from life.vigil import names as n
from life.vigil.config import TelemetrySettings
from life.vigil.exports import ExportStatus
from life.vigil.span import Span
from tests.vigil.kit import spans_of, telemetry_on, tree

PAID = [
    "invoke_agent life",
    "  life.tick",
    "    life.phase perceive",
    "    life.phase deliberate",
    "      chat first-payment",
    "    life.phase gate decision=allow",
    "    life.phase execute",
    "      execute_tool http_fetch status=ok",
    "        life.payment outcome=settled amount_micro=100",
    "        life.custody sign_authorization",
    "    life.phase commit",
    "    life.phase reflect",
    "  life.tick",
    "    life.phase deliberate",
    "      chat first-payment",
]


async def buy(root: Path, telemetry: TelemetrySettings, seen: list[str]) -> tuple[list[Span], list[Span]]:
    """An agent buys a page: the exported spans of its run, and those that are rebuilt. `seen`: traceparents at the shop."""

    def listening(price: str, till: object) -> Starlette:
        app = demo_seller_app(price, till)  # type: ignore[arg-type]

        class Listen:
            def __init__(self, app: object) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: object, send: object) -> None:
                headers = dict(scope.get("headers", []))
                seen.append(headers.get(b"traceparent", b"").decode())
                await self.app(scope, receive, send)  # type: ignore[operator]

        app.add_middleware(Listen)
        return app

    root.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_payment, "demo_seller_app", listening)
        with bind("127.0.0.1", 0) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            model = ModelSettings(provider=f"scripted:{_write_script(root / 'script.json', f'http://{address}/paid')}")
            settings = Settings(model=model, tools=ToolSettings(allow_private_hosts=(address,)), telemetry=telemetry)
            async with open_system(root, settings=settings, environment={"LIFE_KEY_FILE": str(root / "key")}) as system:
                await system.ledger.fund(
                    system.identity.wallet.address, 1_000_000, asset=PLAY_MONEY.address, reason="test"
                )
                async with _shop(system, listener):
                    await system.runtime.create_session("s")
                    await system.runtime.run("s", TASK.format(url=f"http://{address}/paid"))
                    await system.payer.flush()
                rebuilt: list[Span] = []
                for _ in range(100):  # what custody signed is written in the background
                    rebuilt = await session_spans(system.journal, "s")
                    if not telemetry.exporters or any(span.name.startswith(n.CUSTODY) for span in rebuilt):
                        break
                    await asyncio.sleep(0.02)
                live = [] if system.telemetry is None else spans_of(system.telemetry)
    kept = {span.trace_id for span in rebuilt}
    return [span for span in live if span.trace_id in kept], rebuilt


async def test_a_payment_in_the_tree(tmp_path: Path) -> None:
    """The payment and its signature stand below the tool that made them, live and rebuilt alike; the request and the paid request both
    carry the tool's span to the shop."""
    seen: list[str] = []
    live, rebuilt = await buy(tmp_path / "life", TelemetrySettings(exporters=("memory",)), seen)
    assert tree(rebuilt, n.GATE_DECISION, n.TOOL_STATUS, n.PAYMENT_OUTCOME, n.PAYMENT_AMOUNT) == PAID
    assert {span.span_id: span for span in live} == {span.span_id: span for span in rebuilt}
    tool = next(span for span in rebuilt if span.name == "execute_tool http_fetch")
    assert seen == [f"00-{tool.trace_id}-{tool.span_id}-01"] * 2
    payment = next(span for span in rebuilt if span.name == n.PAYMENT)
    assert payment.kind == "client" and payment.attributes[n.SERVER_ADDRESS] == "127.0.0.1"
    assert payment.start_us >= tool.start_us and payment.end_us > payment.start_us


async def test_off_leaves_no_trace(tmp_path: Path) -> None:
    """With telemetry off no event carries ids and no request a traceparent; the rebuilt tree still has the payment in its place."""
    seen: list[str] = []
    live, rebuilt = await buy(tmp_path / "life", TelemetrySettings(), seen)
    assert live == [] and seen == ["", ""]
    lines = tree(rebuilt, n.GATE_DECISION, n.TOOL_STATUS, n.PAYMENT_OUTCOME, n.PAYMENT_AMOUNT)
    assert lines == [line for line in PAID if "life.custody" not in line]  # its events name no session
    tool = next(span for span in rebuilt if span.name == "execute_tool http_fetch")
    payment = next(span for span in rebuilt if span.name == n.PAYMENT)
    assert (payment.trace_id, payment.parent_id) == (tool.trace_id, tool.span_id)


def test_off_imports_nothing() -> None:
    """Opening the host does not import OpenTelemetry, nor the half of ours that needs it."""
    code = (
        "import sys, life.host.system\n"
        "assert not [m for m in sys.modules if m == 'life.vigil.telemetry' or m.startswith('opentelemetry.sdk')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def application(telemetry: object) -> Traced:
    """An application that shows the span in which its handlers work."""

    async def place(request: Request) -> Response:
        found = working_in.get()
        return PlainTextResponse(found.traceparent if found else "none")

    async def broken(request: Request) -> Response:
        raise RuntimeError("kaputt")

    async def refused(request: Request) -> Response:
        return PlainTextResponse("no", 401)

    routes = [
        Route("/sessions/{session_id}/place", place),
        Route("/broken", broken),
        Route("/refused", refused),
        Route("/health", place),
    ]
    app = Starlette(routes=routes)
    return Traced(app, telemetry, app.routes)  # type: ignore[arg-type]


async def test_requests_have_spans() -> None:
    """A request is a SERVER span below its caller's, named for the route; health checks and strangers make none, defects are errors."""
    live = telemetry_on()
    transport = httpx2.ASGITransport(application(live), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://h") as client:
        caller = SpanPlace("ab" * 16, "cd" * 8, tracestate="a=b")
        headers = {"traceparent": caller.traceparent, "tracestate": "a=b"}
        inside = (await client.get("/sessions/s1/place", headers=headers)).text
        assert (await client.get("/sessions/s2/place", headers={"traceparent": "nonsense"})).text != "none"
        await client.get("/broken")
        await client.get("/refused")
        await client.get("/health")
        await client.get("/nowhere")
    spans = sorted(spans_of(live), key=lambda span: span.start_us)
    assert [(span.name, span.attributes[n.HTTP_STATUS], span.error) for span in spans] == [
        ("GET /sessions/{session_id}/place", 200, None),
        ("GET /sessions/{session_id}/place", 200, None),
        ("GET /broken", 500, "500"),
        ("GET", 404, None),
    ]
    first, second = spans[:2]
    assert (first.kind, first.trace_id, first.parent_id) == ("server", caller.trace_id, caller.span_id)
    assert inside == f"00-{first.trace_id}-{first.span_id}-01"
    assert second.parent_id is None and second.trace_id != caller.trace_id
    assert all(span.attributes.keys() <= n.ATTRIBUTES for span in spans)
    live.close()


def test_findings() -> None:
    """A doctor says that it is off and costs nothing, what is missing, who does not answer, and that content is exported."""
    (off,) = telemetry_findings(TelemetrySettings(), {})
    assert off.result == "ok" and "costs nothing" in off.says and off.next_step is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = telemetry_findings(
            TelemetrySettings(capture_content=True), {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        )
    assert [(one.check, one.result) for one in found] == [
        ("telemetry", "ok"),
        ("telemetry content", "warning"),
        ("telemetry otlp", "ok"),
    ]
    (_, nobody) = telemetry_findings(TelemetrySettings(endpoint=f"http://127.0.0.1:{port}"), {})
    assert nobody.result == "warning" and f"127.0.0.1:{port}" in nobody.says and nobody.code == "vigil.export"
    (wrong,) = telemetry_findings(TelemetrySettings(exporters=("jaeger",)), {})
    assert (wrong.result, wrong.code) == ("failed", "vigil.setting")


async def test_a_bad_setting_does_not_stop_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A system with impossible telemetry opens without it, and says so once."""
    settings = Settings(telemetry=TelemetrySettings(exporters=("jaeger",)))
    async with open_system(
        tmp_path / "life", settings=settings, environment={"LIFE_KEY_FILE": str(tmp_path / "key")}
    ) as system:
        assert system.telemetry is None
    assert "Telemetry stays off: There is no exporter 'jaeger'." in caplog.text


def test_settings_and_their_variables(tmp_path: Path) -> None:
    """`[telemetry]` is a section like any other: from the file, from LIFE_TELEMETRY_…, and a mistake in it is an error."""
    file = tmp_path / "config.toml"
    file.write_text('[telemetry]\nexporters = ["file:spans.jsonl"]\nsampling_ratio = 0.25\n')
    settings = load_settings(
        file, {"LIFE_TELEMETRY_CAPTURE_CONTENT": "true", "LIFE_TELEMETRY_ENDPOINT": "http://h:4318"}
    )
    found = settings.telemetry
    assert (found.exporters, found.sampling_ratio, found.capture_content) == (("file:spans.jsonl",), 0.25, True)


@contextmanager
def kept_logger() -> Iterator[logging.Logger]:
    """Life's logger, put back as it was."""
    logger = logging.getLogger("life")
    before = (list(logger.handlers), logger.propagate, logger.level)
    try:
        yield logger
    finally:
        logger.handlers[:], logger.propagate = before[0], before[1]
        logger.setLevel(before[2])


def test_the_log_format_is_set_once() -> None:
    """However often telemetry is opened, a line is written once."""
    with kept_logger() as logger:
        count = len(logger.handlers)
        use_log_format(TelemetrySettings(log_format="json"))
        use_log_format(TelemetrySettings(log_format="pretty"))
        assert len(logger.handlers) == count + 1


async def test_health_asks_once() -> None:
    """However many ask at once, the process that exports is asked by one, and its answer holds for a while; off says off."""
    live, clock = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, in_process=True), ManualClock()
    asked: list[float] = []

    class Counted:
        config = live.config

        def status(self, timeout_s: float) -> ExportStatus:
            asked.append(timeout_s)
            return live.status(timeout_s)

    watch = TelemetryWatch(Counted(), clock)  # type: ignore[arg-type]
    answers = await asyncio.gather(*(watch.health() for _ in range(20)))
    assert set(answers) == {TelemetryHealth(otlp_configured=True, exporting=True)} and asked == [1.0]
    clock.advance_us(5_000_000)
    await watch.health()
    assert len(asked) == 2
    assert await TelemetryWatch(None, clock).health() == TelemetryHealth(otlp_configured=False, exporting=False)
    live.exports.close(0.2)


async def test_agents_that_work_for_others(tmp_path: Path) -> None:
    """Children that run side by side stand below the call that spawned them, in their parent's trace, live and rebuilt alike."""
    from life.arcan.agents.catalogue import AgentCatalogue
    from life.arcan.providers.scripted import Script
    from life.arcan.runtime import Runtime
    from life.arcan.settings import RuntimeSettings
    from life.lago.journal.memory import MemoryJournal
    from life.testing.clock import SeededEntropy
    from tests.arcan.agents.fleet_kit import Cast, agent, spawn, turn
    from tests.arcan.workbench import EVERYTHING, Workbench
    from tests.vigil.kit import MovingClock

    live, bench, clock, journal = telemetry_on(), Workbench(tmp_path), MovingClock(), MemoryJournal()
    scripts = {
        "root": Script(turns=(turn(spawn("one"), spawn("two")), turn(text="Both."))),
        "one": Script(turns=(turn(text="First."),)),
        "two": Script(turns=(turn(text="Second."),)),
    }
    runtime = Runtime(
        live.watch(journal),
        bench,
        provider=Cast(scripts, bench),
        clock=clock,
        entropy=SeededEntropy("fleet"),
        agent_id="agent-1",
        workspace_of=lambda _: str(bench.workspace),
        settings=RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0),
        agents=AgentCatalogue((agent("one"), agent("two"))),
        telemetry=live,
    )
    async with runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Ask both.")
        assert report.final_answer == "Both."
    rebuilt = await session_spans(journal, "s")
    assert {span.span_id: span for span in spans_of(live)} == {span.span_id: span for span in rebuilt}
    assert len({span.trace_id for span in rebuilt}) == 1
    by_id = {span.span_id: span for span in rebuilt}
    children = [span for span in rebuilt if span.name.startswith("invoke_agent") and span.parent_id is not None]
    assert len(children) == 2
    assert {span.name for span in children} == {"invoke_agent one", "invoke_agent two"}
    tools = [by_id[span.parent_id or ""] for span in children]
    assert [tool.name for tool in tools] == ["execute_tool spawn_agent"] * 2
    assert tools[0].span_id != tools[1].span_id and not any(tool.attributes.get(n.UNFINISHED) for tool in tools)
    assert max(tool.start_us for tool in tools) < min(tool.end_us for tool in tools)
    live.close()


async def test_a_run_over_http(tmp_path: Path) -> None:
    """Over arcand's API: the caller's span is the parent of the request's, that of the run; the events that a client reads carry the ids."""
    from life.host.access import Access
    from life.host.arcand import open_application
    from life.testing.clock import SeededEntropy

    token, host = "t" * 43, "127.0.0.1:3000"
    settings = Settings(telemetry=TelemetrySettings(exporters=("memory",)))
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    async with open_system(tmp_path / "life", settings=settings, environment=environment) as system:
        access = Access(token, system.clock, SeededEntropy())
        async with (
            open_application(system, access, token, hosts=[host], environment={}) as app,
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{host}") as client,
        ):
            caller = SpanPlace("ab" * 16, "cd" * 8)
            headers = {"authorization": f"Bearer {token}", "traceparent": caller.traceparent}
            await client.post("/sessions", json={"session_id": "s"}, headers=headers)
            run = await client.post("/sessions/s/runs", json={"objective": "write a.txt: hello"}, headers=headers)
            assert run.json()["status"] == "finished"
            page = (await client.get("/sessions/s/events?limit=100", headers=headers)).json()
            health = (await client.get("/health")).json()
            assert health["telemetry"] == {"otlp_configured": False, "exporting": True}
            strange = {"traceparent": SpanPlace("ee" * 16, "ff" * 8).traceparent}
            assert (await client.get("/sessions", headers=strange)).status_code == 401
        assert system.telemetry is not None
        spans = spans_of(system.telemetry)
    by_id = {span.span_id: span for span in spans}
    root = next(span for span in spans if span.name == "invoke_agent life")
    request = by_id[root.parent_id or ""]
    assert (request.name, request.kind) == ("POST /sessions/{session_id}/runs", "server")
    assert (request.trace_id, request.parent_id) == (caller.trace_id, caller.span_id)
    assert request.start_us <= root.start_us
    tool = next(event for event in page["events"] if event["kind"]["type"] == "ToolCallCompleted")
    assert by_id[tool["span_id"]].name == "execute_tool write_file" and tool["trace_id"] == caller.trace_id
    assert not [span for span in spans if span.trace_id == "ee" * 16]
