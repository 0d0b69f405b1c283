"""How telemetry is configured: `[telemetry]` of the settings, and the variables that OpenTelemetry and Vigil document.

    OTEL_SDK_DISABLED                      true: nothing at all
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
    OTEL_EXPORTER_OTLP_ENDPOINT            and _TRACES_ENDPOINT, _METRICS_ENDPOINT, which are taken as they are
    OTEL_EXPORTER_OTLP_PROTOCOL            grpc, http/protobuf (or http)
    OTEL_EXPORTER_OTLP_HEADERS             k=v,k2=v2, percent-encoded; what has no `=` or an empty name is dropped
    VIGIL_EXPORTERS, VIGIL_SAMPLING_RATIO, VIGIL_CAPTURE_CONTENT, VIGIL_CAPTURE_MAX_CHARS, VIGIL_REDACT (one a line),
    VIGIL_GENAI_METRICS, VIGIL_LOG_FORMAT

Such a variable wins over the settings. An endpoint without a word about exporters means `otlp`; without either telemetry is off.
The headers may hold a key: they are read where they are needed (`otlp_headers`), and are no part of the configuration.

Source: vigil.md §1, §21, §22; the OpenTelemetry specification, "OTLP Exporter Configuration".
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from life.vigil.errors import TelemetrySettingError

Profile = Literal["dev", "v1.41", "both"]
Protocol = Literal["http", "grpc"]

_TRUE: Final = ("true", "1", "yes", "on")


class TelemetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry]` (docs/telemetry.md)."""

    exporters: tuple[str, ...] = ()
    """`otlp`, `console`, `file:PATH` (OTLP JSON lines), `prometheus:HOST:PORT` (loopback), `memory`. None named: `otlp` when
    there is an endpoint, otherwise telemetry is off."""
    service_name: str = "life"
    endpoint: str = ""
    """Of an OTLP receiver, without the path of a signal: `http://127.0.0.1:4318`."""
    protocol: Literal["", "http", "grpc"] = ""
    """Empty: gRPC at port 4317, HTTP anywhere else."""
    sampling_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """The share of traces that are exported; one that a caller began goes with the caller's decision."""
    capture_content: bool = False
    """Whether people's and models' words, arguments and results stand on spans."""
    capture_max_chars: Annotated[int, msgspec.Meta(ge=1)] = 8000
    """Of one message."""
    redact: tuple[str, ...] = ()
    """Regular expressions of what is never to be exported, beside keys, tokens and passwords."""
    metrics: Profile = "dev"
    """Which of the convention's metrics: of November 2026 (`dev`), of v1.41, or both."""
    convention: Literal["dev", "v1.41"] = "dev"
    """Names of span attributes."""
    journal_spans: bool = False
    """A span for each append to the journal."""
    log_format: Literal["", "pretty", "json"] = ""
    """Of log lines; empty: as the program has it."""


class TelemetryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force."""

    exporters: tuple[str, ...]
    settings: TelemetrySettings
    protocol: Protocol
    traces_endpoint: str = ""
    """Full address for HTTP, `host:port` address for gRPC; empty without `otlp`."""
    metrics_endpoint: str = ""
    resource: dict[str, str] = {}

    @property
    def is_on(self) -> bool:
        """Whether anything is to be exported."""
        return bool(self.exporters)


class ScrapeAddress(NamedTuple):
    """Where Prometheus finds the metrics."""

    host: str
    port: int


def read_config(settings: TelemetrySettings, environment: Mapping[str, str]) -> TelemetryConfig:
    """What is in force; TelemetrySettingError for what can't be meant."""
    settings = _with_environment(settings, environment)
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return TelemetryConfig(exporters=(), settings=settings, protocol="http")
    endpoint = settings.endpoint
    traces = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    metrics = environment.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "")
    exporters = settings.exporters or (("otlp",) if endpoint or traces or metrics else ())
    for exporter in exporters:
        _check_exporter(exporter)
    protocol = settings.protocol or _protocol_of(endpoint or traces or metrics)
    if "otlp" in exporters:
        endpoint = endpoint or ("" if traces and metrics else default_endpoint(protocol))
        traces = traces or signal_endpoint(endpoint, protocol, "traces")
        metrics = metrics or signal_endpoint(endpoint, protocol, "metrics")
    resource = _resource(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    resource["service.name"] = settings.service_name
    return TelemetryConfig(
        exporters=exporters,
        settings=settings,
        protocol=protocol,
        traces_endpoint=traces,
        metrics_endpoint=metrics,
        resource=resource,
    )


def signal_endpoint(endpoint: str, protocol: Protocol, signal: Literal["traces", "metrics"]) -> str:
    """Where a signal goes. Over HTTP its path is appended (vigil.md §22, trap a), over gRPC the address stays."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TelemetrySettingError(f"The OTLP endpoint {_shown(endpoint)} is no http:// or https:// address.")
    if parts.username is not None or parts.password is not None:
        raise TelemetrySettingError("The OTLP endpoint must not hold a password: use OTEL_EXPORTER_OTLP_HEADERS.")
    if protocol == "grpc":
        return endpoint
    return f"{endpoint.rstrip('/')}/v1/{signal}"


def default_endpoint(protocol: Protocol) -> str:
    """The collector of this machine."""
    return "http://127.0.0.1:4317" if protocol == "grpc" else "http://127.0.0.1:4318"


def otlp_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Headers of every export, names in lower case."""
    headers = {}
    for pair in environment.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            headers[unquote(name.strip()).lower()] = unquote(value.strip())
    return headers


def scrape_address(exporter: str) -> ScrapeAddress:
    """Of `prometheus:HOST:PORT`. Only this machine may ask: what is measured is nobody else's business without TLS."""
    host, _, port = exporter.partition(":")[2].rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        address = ScrapeAddress(host, int(port))
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise TelemetrySettingError(f"'{exporter}' is not prometheus:HOST:PORT.") from None
    if not loopback or not 0 <= address.port <= 65_535:
        raise TelemetrySettingError(
            f"'{exporter}': metrics are served on loopback only.", next_step="Put a proxy with TLS in front of it."
        )
    return address


def _check_exporter(exporter: str) -> None:
    name, colon, rest = exporter.partition(":")
    if name == "prometheus":
        scrape_address(exporter)
    elif not (exporter in ("otlp", "console", "memory") or (name == "file" and colon and rest)):
        raise TelemetrySettingError(
            f"There is no exporter '{exporter}'.",
            next_step="Use otlp, console, file:PATH, prometheus:HOST:PORT or memory.",
        )


def _with_environment(settings: TelemetrySettings, environment: Mapping[str, str]) -> TelemetrySettings:
    """The settings with the documented variables on top; empty ones count as unset, words that nobody knows are errors."""
    found: dict[str, object] = {}
    get = environment.get
    if get("OTEL_SERVICE_NAME"):
        found["service_name"] = get("OTEL_SERVICE_NAME")
    if get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        found["endpoint"] = get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if protocol := get("OTEL_EXPORTER_OTLP_PROTOCOL"):
        found["protocol"] = {"http/protobuf": "http"}.get(protocol, protocol)
    if exporters := get("VIGIL_EXPORTERS"):
        found["exporters"] = tuple(part.strip() for part in exporters.split(",") if part.strip())
    if ratio := get("VIGIL_SAMPLING_RATIO"):
        found["sampling_ratio"] = _ratio(ratio)
    if capture := get("VIGIL_CAPTURE_CONTENT"):
        found["capture_content"] = capture.lower() in _TRUE
    if most := get("VIGIL_CAPTURE_MAX_CHARS"):
        found["capture_max_chars"] = int(most) if most.isdecimal() else most
    if patterns := get("VIGIL_REDACT"):
        found["redact"] = tuple(patterns.splitlines())
    if profile := get("VIGIL_GENAI_METRICS"):
        found["metrics"] = profile
    if log_format := get("VIGIL_LOG_FORMAT"):
        found["log_format"] = log_format
    if not found:
        return settings
    try:
        return msgspec.convert({**msgspec.to_builtins(settings), **found}, TelemetrySettings)
    except msgspec.ValidationError as error:
        raise TelemetrySettingError(f"A variable of telemetry can't be right: {error}.") from None


def _ratio(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else text


def _protocol_of(endpoint: str) -> Protocol:
    try:
        return "grpc" if urlsplit(endpoint).port == 4317 else "http"
    except ValueError:
        return "http"


def _resource(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {unquote(name.strip()): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}


def _shown(endpoint: str) -> str:
    """An address without what might be a password."""
    return endpoint.rpartition("@")[2]
