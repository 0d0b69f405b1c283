"""Spans (and metrics, `metric_file`) in a file, one `ExportTraceServiceRequest` of OTLP in JSON a line (mode 0600).

Ids are hex, 64-bit numbers are strings, enumerations are numbers (OTLP specification, "JSON Protobuf Encoding"). A collector's
`otlpjsonfile` receiver reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from life.aios.json import Json
from life.vigil import names as n
from life.vigil.span import Attributes, AttributeValue, Span

_KINDS = {"internal": 1, "server": 2, "client": 3}
_ERROR = 2


class JsonFileSink:
    """Appends to one file. A line that could not be written whole is said to have failed."""

    def __init__(self, path: Path, resource: Mapping[str, str], version: str, *, v1_41: bool = False) -> None:
        """OSError when the file can't be opened."""
        self.name = f"file:{path}"
        self._resource, self._version = dict(resource), version
        self._schema = n.SCHEMA_URL_V1_41 if v1_41 else n.SCHEMA_URL
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "ab", buffering=0)

    def export(self, spans: Sequence[Span]) -> bool:
        """Write them as one line."""
        return self.write_line(encode_spans(spans, self._resource, self._version, self._schema))

    def write_line(self, content: bytes) -> bool:
        """Append a line with one write, so that lines of several threads stay whole; whether it was written whole."""
        line = content + b"\n"
        try:
            return self._file.write(line) == len(line)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def encode_spans(spans: Sequence[Span], resource: Mapping[str, str], version: str, schema: str = n.SCHEMA_URL) -> bytes:
    """The spans as OTLP JSON."""
    return msgspec.json.encode(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": encode_attributes(dict(resource))},
                    "scopeSpans": [
                        {
                            "scope": {"name": n.SCOPE, "version": version},
                            "spans": [_span(span) for span in spans],
                            "schemaUrl": schema,
                        }
                    ],
                }
            ]
        }
    )


def _span(span: Span) -> dict[str, Json]:
    encoded: dict[str, Json] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "flags": 0x101,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start_us * 1000),
        "endTimeUnixNano": str(span.end_us * 1000),
        "attributes": encode_attributes(span.attributes),
        "status": {} if span.error is None else {"code": _ERROR, "message": span.error},
    }
    if span.parent_id is not None:
        encoded["parentSpanId"] = span.parent_id
    if span.events:
        encoded["events"] = [
            {
                "timeUnixNano": str(event.at_us * 1000),
                "name": event.name,
                "attributes": encode_attributes(event.attributes),
            }
            for event in span.events
        ]
    if span.links:
        encoded["links"] = [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links]
    return encoded


def encode_attributes(attributes: Attributes | dict[str, str]) -> list[Json]:
    """Names and values as OTLP has them in JSON."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: AttributeValue) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, tuple):
        return {"arrayValue": {"values": [{"stringValue": part} for part in value]}}
    return {"stringValue": value}
