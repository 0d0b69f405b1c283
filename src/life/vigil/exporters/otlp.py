"""OTLP over HTTP and gRPC, by the official exporters. They compress, retry and time out; what fails in the end is counted.

An exporter's own log lines are switched off, because a dead receiver would fill the log: the pipeline says it once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from life.vigil.config import Protocol
from life.vigil.otel import Converter
from life.vigil.span import Span

TIMEOUT_S = 10.0


class OtlpSink:
    """Spans to one receiver."""

    def __init__(
        self,
        endpoint: str,
        protocol: Protocol,
        converter: Converter,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`endpoint`: with the signal's path over HTTP, without any over gRPC. Opens nothing until the first export."""
        self.name = f"otlp:{urlsplit(endpoint).netloc}"
        self._converter = converter
        self._exporter = _span_exporter(endpoint, protocol, dict(headers or {}), timeout_s)

    def export(self, spans: Sequence[Span]) -> bool:
        """Send them, with the exporter's retries."""
        try:
            return self._exporter.export(self._converter.readable(spans)) is SpanExportResult.SUCCESS
        except Exception:  # whatever a library raises, telemetry ends with it and nothing else
            return False

    def close(self) -> None:
        """Cut retries short and close the connection."""
        self._exporter.shutdown()


def _span_exporter(endpoint: str, protocol: Protocol, headers: dict[str, str], timeout_s: float) -> SpanExporter:
    _silence()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        insecure = endpoint.startswith("http://")
        return GrpcSpans(endpoint=endpoint, insecure=insecure, headers=headers, timeout=timeout_s)
    from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

    return HttpSpans(endpoint=endpoint, headers=headers, timeout=timeout_s, compression=HttpCompression.Gzip)


def periodic_metrics(endpoint: str, protocol: Protocol, headers: Mapping[str, str]) -> MetricReader:
    """Metrics to the same receiver, every minute (OTEL_METRIC_EXPORT_INTERVAL, in milliseconds)."""
    return PeriodicExportingMetricReader(_metric_exporter(endpoint, protocol, headers))


def _metric_exporter(
    endpoint: str, protocol: Protocol, headers: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> MetricExporter:
    _silence()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics

        insecure = endpoint.startswith("http://")
        return GrpcMetrics(endpoint=endpoint, insecure=insecure, headers=dict(headers), timeout=timeout_s)
    from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics

    return HttpMetrics(endpoint=endpoint, headers=dict(headers), timeout=timeout_s, compression=HttpCompression.Gzip)


def _silence() -> None:
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.sdk.metrics").setLevel(logging.CRITICAL)
