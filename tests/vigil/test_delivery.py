"""Delivery, checked where it counts: at a real receiver. And what happens when there is none (vigil.md §23.6, §23.7, §26.3, §26.5)."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from life.vigil import names as n
from life.vigil.export_process import ExportProcess
from life.vigil.exporting import Exporting
from life.vigil.metrics import AGENT_SECONDS
from life.vigil.span import Span
from life.vigil.spans import project
from life.vigil.telemetry import LiveTelemetry
from tests.arcan.workbench import Workbench, calls, history, kinds, says, script
from tests.vigil.kit import MovingClock, spans_of, telemetry_on, watched_runtime
from tests.vigil.receivers import Received, grpc_receiver, http_receiver

TURNS = script(calls(("write", {"path": "a", "content": "x"}), ("fail", {})), says("Done."))


async def run_once(tmp_path: Path, live: LiveTelemetry | None) -> tuple[list[str], list[Span]]:
    """The kinds of a run's events, and the spans that they make."""
    async with watched_runtime(Workbench(tmp_path), TURNS, live) as (runtime, journal):
        await runtime.create_session("s")
        report = await runtime.run("s", "Go.")
        assert report.final_answer == "Done."
        return await kinds(journal, "s"), project(await history(journal, "s"))


def check_received(received: Received, spans: list[Span]) -> None:
    """Everything arrived as it was."""
    assert {span.span_id.hex() for span in received.spans} == {span.span_id for span in spans}
    by_id = {span.span_id.hex(): span for span in received.spans}
    for span in spans:
        got = by_id[span.span_id]
        assert got.name == span.name
        assert got.trace_id.hex() == span.trace_id
        assert got.parent_span_id.hex() == (span.parent_id or "")
        assert got.start_time_unix_nano == span.start_us * 1000 and got.end_time_unix_nano == span.end_us * 1000
        assert got.kind == (ProtoSpan.SPAN_KIND_CLIENT if span.kind == "client" else ProtoSpan.SPAN_KIND_INTERNAL)
        assert got.status.code == (Status.STATUS_CODE_UNSET if span.error is None else Status.STATUS_CODE_ERROR)
        assert {attribute.key for attribute in got.attributes} == span.attributes.keys()
    (resource,) = {request.resource_spans[0].resource.SerializeToString() for request in received.traces}
    assert b"shop" in resource and b"1.2.3" in resource and b"deployment" in resource
    assert received.traces[0].resource_spans[0].scope_spans[0].schema_url == n.SCHEMA_URL


@pytest.mark.parametrize("in_process", [True, False])
async def test_over_http(tmp_path: Path, in_process: bool) -> None:
    """Spans and metrics reach an OTLP/HTTP receiver compressed, with the headers, whole; from a thread and from a process."""
    with http_receiver() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.address,
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20abc,broken,=x",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        live = telemetry_on(environment, in_process=in_process)
        _, spans = await run_once(tmp_path, live)
        assert await asyncio.to_thread(live.flush)
        check_received(received, spans)
        assert received.headers[0]["authorization"] == "Bearer abc"
        assert received.headers[0]["content-encoding"] == "gzip"
        assert {"gen_ai.client.inference.duration", "life.tool.executions"} <= received.metric_names
        status = await asyncio.to_thread(live.status)
        assert (status.exporting, status.exported, status.dropped, status.problems) == (True, len(spans), 0, ())
        await asyncio.to_thread(live.close)


async def test_over_grpc(tmp_path: Path) -> None:
    """The same over gRPC, by the same endpoint variable."""
    with grpc_receiver() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.address,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        live = telemetry_on(environment, in_process=True)
        _, spans = await run_once(tmp_path, live)
        assert await asyncio.to_thread(live.flush)
        check_received(received, spans)
        assert received.headers[0]["x-key"] == "abc"
        assert "gen_ai.client.inference.duration" in received.metric_names
        await asyncio.to_thread(live.close)


async def test_a_retry_delivers(tmp_path: Path) -> None:
    """A receiver that is busy for a moment (503) gets the spans all the same, once."""
    with http_receiver() as received:
        received.answers = [503]
        live = telemetry_on({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{received.address}/v1/traces",
                             "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{received.address}/v1/metrics"}, in_process=True)  # fmt: skip
        _, spans = await run_once(tmp_path, live)
        assert await asyncio.to_thread(live.flush)
        assert len(received.spans) == len(spans)
        await asyncio.to_thread(live.close)


async def test_closing_delivers_the_rest(tmp_path: Path) -> None:
    """What was not exported yet goes out when the program ends."""
    with http_receiver() as received:
        live = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": received.address})
        _, spans = await run_once(tmp_path, live)
        await asyncio.to_thread(live.close)
        assert len(received.spans) == len(spans)


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize("how", ["nobody", "401", "hangs"])
async def test_a_bad_receiver_changes_nothing(tmp_path: Path, how: str, in_process: bool) -> None:
    """With a receiver that is not there, refuses, or hangs, the agent's events are the same as without telemetry, and closing takes
    no longer than it may."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "traced").mkdir()
    plain, _ = await run_once(tmp_path / "plain", None)
    with http_receiver() as received:
        endpoint = received.address if how != "nobody" else f"http://127.0.0.1:{free_port()}"
        received.answers = [401] * 50
        if how == "hangs":
            received.hang.set()
        live = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, in_process=in_process)
        traced, spans = await run_once(tmp_path / "traced", live)
        assert traced == plain
        began = time.monotonic()
        if how == "401":
            await asyncio.to_thread(live.flush, 3.0)
            status = await asyncio.to_thread(live.status)
            assert (status.exported, status.dropped) == (0, len(spans))
        await asyncio.to_thread(live.close, 1.0)
        assert time.monotonic() - began < 8
        assert received.spans == []


async def test_lost_spans_are_counted(tmp_path: Path) -> None:
    """Spans that the receiver refused show in the metric `vigil.export.dropped`."""
    with http_receiver() as received:
        received.answers = [401] * 50
        live = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": received.address}, exporters=("otlp", "memory"))
        await run_once(tmp_path, live)
        await asyncio.to_thread(live.flush, 3.0)
        assert isinstance(live.exports, Exporting) and live.exports.metric_memory is not None
        data = json.loads(live.exports.metric_memory.get_metrics_data().to_json())  # type: ignore[union-attr]
        metrics = {metric["name"]: metric for metric in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]}
        (point,) = metrics["vigil.export.dropped"]["data"]["data_points"]
        assert point["value"] > 0
        assert len(spans_of(live)) > 0  # the other exporter has them
        await asyncio.to_thread(live.close, 1.0)


async def test_the_process_may_die(tmp_path: Path) -> None:
    """When the exporting process is killed, runs go on; the status says that nothing is exported any more."""
    with http_receiver() as received:
        live = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": received.address})
        assert isinstance(live.exports, ExportProcess)
        live.exports._process.kill()
        live.exports._process.wait()
        names, _ = await run_once(tmp_path, live)
        assert "RunFinished" in names
        status = await asyncio.to_thread(live.status)
        assert not status.exporting and status.problems
        await asyncio.to_thread(live.close, 1.0)


async def test_an_exporter_that_cannot_be_opened(tmp_path: Path) -> None:
    """Start never fails because of telemetry: what can't be opened is named, the rest works."""
    live = telemetry_on(exporters=(f"file:{tmp_path}/missing/spans.jsonl", "memory"))
    status = live.status()
    assert status.exporting and len(status.problems) == 1 and "No such file" in status.problems[0]
    await run_once(tmp_path, live)
    assert spans_of(live)
    live.close()


@pytest.mark.parametrize("in_process", [True, False])
async def test_the_file(tmp_path: Path, in_process: bool) -> None:
    """The JSON file holds spans and metrics as OTLP JSON that the official messages read, and nobody else may read it."""
    from google.protobuf import json_format  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    live = telemetry_on(exporters=("file:spans.jsonl",), root=tmp_path, in_process=in_process)
    _, spans = await run_once(tmp_path, live)
    await asyncio.to_thread(live.close)
    file = tmp_path / "spans.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    found = []
    metrics: dict[str, Any] = {}
    for line in file.read_text().splitlines():
        document = json.loads(line)
        if "resourceMetrics" in document:
            read = json_format.ParseDict(document, ExportMetricsServiceRequest()).resource_metrics[0]
            assert ("service.name", "life") in {
                (each.key, each.value.string_value) for each in read.resource.attributes
            }
            metrics = {metric.name: metric for metric in read.scope_metrics[0].metrics}
            continue
        for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            found.append((span["traceId"], span["spanId"], span.get("parentSpanId")))
            # OTLP's JSON has ids in hex, protobuf's own mapping in base64: without them the messages must parse it.
            for field in ("traceId", "spanId", "parentSpanId"):
                span.pop(field, None)
            for link in span.get("links", []):
                link.clear()
        json_format.ParseDict(document, ExportTraceServiceRequest())
    assert sorted(found, key=str) == sorted(((s.trace_id, s.span_id, s.parent_id) for s in spans), key=str)
    (runs,) = metrics["life.runs"].sum.data_points
    assert (runs.as_int, metrics["life.runs"].sum.is_monotonic) == (1, True)
    assert metrics["life.runs"].sum.aggregation_temporality == 2  # cumulative
    (lasted,) = metrics["gen_ai.invoke_agent.duration"].histogram.data_points
    assert (lasted.count, sum(lasted.bucket_counts), tuple(lasted.explicit_bounds)) == (1, 1, AGENT_SECONDS)
    assert metrics["life.budget.tokens_remaining"].gauge.data_points[0].time_unix_nano > 0


async def test_sampling(tmp_path: Path) -> None:
    """A ratio of 0 exports nothing and still measures; a caller who does not record is obeyed, whatever the ratio."""
    from life.aios.ports.telemetry import SpanPlace

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    live = telemetry_on(sampling_ratio=0.0)
    await run_once(tmp_path / "a", live)
    assert spans_of(live) == []
    assert isinstance(live.exports, Exporting) and live.exports.metric_memory is not None
    assert "life.runs" in live.exports.metric_memory.get_metrics_data().to_json()  # type: ignore[union-attr]
    live.close()
    live = telemetry_on()
    with live.within(SpanPlace("ab" * 16, "cd" * 8, sampled=False)):
        await run_once(tmp_path / "b", live)
    assert spans_of(live) == []
    live.close()


async def test_journal_spans(tmp_path: Path) -> None:
    """On request each append is a span below what its events belong to; these exist live only."""
    clock = MovingClock()
    live = telemetry_on(journal_spans=True, clock=clock)
    async with watched_runtime(Workbench(tmp_path), TURNS, live, clock=clock) as (runtime, journal):
        await runtime.create_session("s")
        await runtime.run("s", "Go.")
        rebuilt = project(await history(journal, "s"))
    appends = [span for span in spans_of(live) if span.name == n.APPEND]
    assert appends and all(span.end_us > span.start_us for span in appends)
    known = {(span.trace_id, span.span_id) for span in rebuilt}
    assert all((span.trace_id, span.parent_id) in known for span in appends)
    assert not [span for span in rebuilt if span.name == n.APPEND]
    live.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.arcan.workbench import Workbench
from tests.vigil.kit import telemetry_on, watched_runtime
from tests.vigil.test_delivery import TURNS

async def main():
    live = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[1]})
    async with watched_runtime(Workbench(Path(sys.argv[2])), TURNS, live) as (runtime, _):
        await runtime.create_session("s")
        await runtime.run("s", "Go.")
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_program(tmp_path: Path) -> None:
    """When the program is killed, what it had handed over is still exported, and the exporting process does not stay behind."""
    import os
    import subprocess
    import sys

    with http_receiver() as received:
        root = Path(__file__).parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", KILLED, received.address, str(tmp_path)]
        killed = await asyncio.to_thread(subprocess.run, command, env=environment, cwd=root, timeout=60, check=False)
        assert killed.returncode == -9
        for _ in range(200):
            if any(span.name == "invoke_agent life" for span in received.spans):
                break
            await asyncio.sleep(0.05)
        assert any(span.name == "invoke_agent life" for span in received.spans)
