"""Metrics into the file of `file:PATH`, one `ExportMetricsServiceRequest` of OTLP in JSON a line. Needs the SDK (extra `otel`).

Every minute (OTEL_METRIC_EXPORT_INTERVAL, in milliseconds) and when telemetry ends. Only what the SDK's readers give with our
instruments is written: sums, gauges, and histograms with explicit buckets, all cumulative.

Source: OTLP specification, "JSON Protobuf Encoding": 64-bit numbers are strings, enumerations are numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    Sum,
)

from life.aios.json import Json
from life.vigil.exporters.json_file import JsonFileSink, encode_attributes
from life.vigil.span import AttributeValue

_MAX_INT: Final = (1 << 63) - 1


def file_metrics(file: JsonFileSink) -> MetricReader:
    """A reader that writes through `file`, a sink of its own on the path (spans are closed before metrics), and closes it."""
    return PeriodicExportingMetricReader(_MetricFile(file))


class _MetricFile(MetricExporter):
    def __init__(self, file: JsonFileSink) -> None:
        super().__init__()
        self._file = file

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        """Write one line."""
        written = self._file.write_line(encode_metrics(metrics_data))
        return MetricExportResult.SUCCESS if written else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Every line is written when it is exported."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Close the file."""
        self._file.close()


def encode_metrics(data: MetricsData) -> bytes:
    """The metrics as OTLP JSON."""
    return msgspec.json.encode(
        {
            "resourceMetrics": [
                {
                    "resource": {"attributes": encode_attributes(_plain(of_resource.resource.attributes))},
                    "scopeMetrics": [
                        {
                            "scope": {"name": of_scope.scope.name, "version": of_scope.scope.version or ""},
                            "metrics": [_metric(metric) for metric in of_scope.metrics],
                        }
                        for of_scope in of_resource.scope_metrics
                    ],
                }
                for of_resource in data.resource_metrics
            ]
        }
    )


def _metric(metric: Metric) -> dict[str, Json]:
    encoded: dict[str, Json] = {"name": metric.name, "description": metric.description or "", "unit": metric.unit or ""}
    match metric.data:
        case Sum() as found:
            points: list[Json] = [_number(point) for point in found.data_points]
            temporality = int(found.aggregation_temporality)
            encoded["sum"] = {
                "dataPoints": points,
                "aggregationTemporality": temporality,
                "isMonotonic": found.is_monotonic,
            }
        case Gauge() as found:
            encoded["gauge"] = {"dataPoints": [_number(point) for point in found.data_points]}
        case Histogram() as found:
            encoded["histogram"] = {
                "dataPoints": [_buckets(point) for point in found.data_points],
                "aggregationTemporality": int(found.aggregation_temporality),
            }
    return encoded


def _number(point: NumberDataPoint) -> Json:
    value: dict[str, Json] = (
        {"asInt": str(point.value)}
        if isinstance(point.value, int) and abs(point.value) <= _MAX_INT
        else {"asDouble": float(point.value)}
    )
    return {**_common(point), **value}


def _buckets(point: HistogramDataPoint) -> Json:
    encoded = _common(point)
    encoded["count"] = str(point.count)
    encoded["sum"] = point.sum
    encoded["bucketCounts"] = [str(count) for count in point.bucket_counts]
    encoded["explicitBounds"] = list(point.explicit_bounds)
    if point.count:
        encoded["min"], encoded["max"] = point.min, point.max
    return encoded


def _common(point: NumberDataPoint | HistogramDataPoint) -> dict[str, Json]:
    return {
        "attributes": encode_attributes(_plain(point.attributes or {})),
        "startTimeUnixNano": str(point.start_time_unix_nano or 0),
        "timeUnixNano": str(point.time_unix_nano),
    }


def _plain(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Values as spans have them."""
    return {
        key: tuple(str(part) for part in value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in attributes.items()
    }
