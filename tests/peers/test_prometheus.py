"""A real Prometheus: it scrapes Life's metrics, the shipped rules are valid, and dashboard and rules ask for metrics that exist."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from life.vigil import names as n
from life.vigil.exporting import Exporting
from life.vigil.span import Attributes, Span, SpanEvent
from life.vigil.telemetry import LiveTelemetry
from tests.arcan.workbench import EVERYTHING, Workbench
from tests.harness.process import ChildProcess
from tests.vigil.kit import MovingClock, telemetry_on, watched_runtime
from tests.vigil.receivers import http_receiver
from tests.vigil.test_spans import FULL_RUN, Failing

DEPLOY = Path(__file__).parents[2] / "deploy"
_FUNCTIONS = {"by", "sum", "rate", "increase", "histogram_quantile", "le"}


def expressions() -> list[str]:
    """Every expression of the dashboard and of the rules."""
    import yaml

    dashboard = json.loads((DEPLOY / "grafana" / "life.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus" / "life-alerts.yml").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return found + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|\"[^\"]*\"", " ", expression)
    return {name for name in re.findall(r"[a-z_][a-zA-Z0-9_]*", bare) if name not in _FUNCTIONS}


@pytest.mark.part("prometheus")
def test_the_rules_are_valid() -> None:
    """Prometheus's own checker accepts configuration and rules."""
    for command, file in (("rules", "life-alerts.yml"), ("config", "prometheus.yml")):
        subprocess.run(
            ["promtool", "check", command, str(DEPLOY / "prometheus" / file)],
            check=True,
            capture_output=True,
            timeout=60,
        )


async def everything_measured(live: LiveTelemetry, tmp_path: Path) -> None:
    """Runs, and spans of what these runs do not have, so that every metric has a value."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with watched_runtime(Workbench(tmp_path / "a"), FULL_RUN, live) as (runtime, _):
        await runtime.create_session("s")
        await runtime.wait("s", await runtime.start("s", "Go."))
    for times in (0, 9):
        runtime = Runtime(
            live.watch(MemoryJournal()),
            Workbench(tmp_path / "b"),
            provider=Failing(times=times),
            clock=MovingClock(),
            entropy=SeededEntropy("p"),
            agent_id="agent-1",
            workspace_of=lambda _: str(tmp_path),
            settings=RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0),
            telemetry=live,
        )
        async with runtime:
            await runtime.create_session("s")
            await runtime.run("s", "Go.")
    labels: Attributes = {n.EVALUATION_NAME: "grounded", n.EVALUATION_SCORE: 0.8}
    happened = (
        SpanEvent("life.mode_changed", 1, {n.MODE_FROM: "explore", n.MODE_TO: "recover"}),
        SpanEvent(n.EVALUATION_RESULT, 1, labels),
    )
    for outcome in ("settled", "ambiguous"):
        live.span(
            Span(
                name=n.PAYMENT,
                trace_id="ab" * 16,
                span_id="cd" * 8,
                start_us=0,
                end_us=1,
                attributes={n.PAYMENT_OUTCOME: outcome, n.PAYMENT_NETWORK: "eip155:1", n.PAYMENT_AMOUNT: 5},
                events=happened,
            )
        )


def get(port: int, path: str, **query: str) -> Any:
    """The data of Prometheus's answer."""
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.loads(answer.read())
    assert found["status"] == "success"
    return found["data"]


@pytest.mark.part("prometheus")
async def test_prometheus_scrapes_it(tmp_path: Path) -> None:
    """Prometheus scrapes the endpoint without a complaint; its values are those that were measured; every metric that the dashboard
    and the rules name exists, and every one of their expressions is answered."""
    with http_receiver() as receiver:
        receiver.answers = [401] * 100  # so that spans are dropped, and counted
        live = telemetry_on(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address},
            exporters=("otlp", "prometheus:127.0.0.1:0"),
            in_process=True,
        )
        await everything_measured(live, tmp_path)
        await asyncio.to_thread(live.flush, 3.0)
        assert isinstance(live.exports, Exporting)
        scraped = next(reader.port for reader in live.exports.readers if hasattr(reader, "port"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        config = config.replace("127.0.0.1:9464", f"127.0.0.1:{scraped}").replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(config)
        (tmp_path / "life-alerts.yml").write_text((DEPLOY / "prometheus" / "life-alerts.yml").read_text())
        command = [
            "prometheus",
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with ChildProcess.spawn(command, name="prometheus") as prometheus:
            for _ in range(300):
                assert prometheus.is_running, prometheus.stderr()
                try:
                    if (await asyncio.to_thread(get, port, "query", query="life_runs_total"))["result"]:
                        break
                except OSError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.1)
            (target,) = (await asyncio.to_thread(get, port, "targets"))["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")
            names = set(await asyncio.to_thread(get, port, "label/__name__/values"))
            for expression in expressions():
                missing = metrics_in(expression) - names
                assert not missing, (missing, expression)
                query = expression.replace("$__rate_interval", "1m")
                await asyncio.to_thread(get, port, "query", query=query)
            runs = await asyncio.to_thread(get, port, "query", query="sum by (life_run_reason) (life_runs_total)")
            assert {one["metric"]["life_run_reason"]: one["value"][1] for one in runs["result"]} == {
                "approval": "1",
                "completed": "1",
                "error": "1",
            }
        await asyncio.to_thread(live.close, 2.0)
