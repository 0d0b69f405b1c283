"""Telemetry of a program: opened from the settings, closed last, and what `life doctor` says about it.

Off is the default. Then nothing of `life.vigil` is imported and nothing of it runs. Whatever is wrong with it is logged once; no
daemon and no run fails because of it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

import life
from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.host.custody_doctor import Finding
from life.host.settings import load_settings
from life.vigil.config import TelemetryConfig, TelemetrySettings, read_config, scrape_address

if TYPE_CHECKING:
    from life.vigil.exports import ExportStatus
    from life.vigil.telemetry import LiveTelemetry

CLOSING_S: Final = 5.0
AGENT_NAME: Final = "life"
_LOOK_S: Final = 1.0
_HOLDS_US: Final = 5_000_000

_log = logging.getLogger("life.vigil")


class TelemetryHealth(msgspec.Struct, frozen=True):
    """What `/health` says about telemetry (vigil.md §23.7)."""

    otlp_configured: bool
    exporting: bool
    """Whether anything takes spans or metrics. Whether they arrive, only the receiver knows."""


class TelemetryWatch:
    """Answers `/health` for one daemon. Anybody may ask that, so the process that exports is asked by one at a time, in a thread,
    and an answer holds for five seconds."""

    def __init__(self, telemetry: LiveTelemetry | None, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._asking: asyncio.Task[ExportStatus] | None = None
        self._asked_us = 0

    async def health(self) -> TelemetryHealth:
        """How it goes; a process that does not answer within a second exports nothing."""
        if self._telemetry is None:
            return TelemetryHealth(otlp_configured=False, exporting=False)
        asking, now_us = self._asking, self._clock.monotonic_us()
        if asking is None or (asking.done() and now_us - self._asked_us >= _HOLDS_US):
            self._asked_us = now_us
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._telemetry.status, _LOOK_S))
        status = await asyncio.shield(asking)
        return TelemetryHealth("otlp" in self._telemetry.config.exporters, status.exporting)


async def open_host_telemetry(
    stack: AsyncExitStack,
    settings: TelemetrySettings,
    environment: Mapping[str, str],
    *,
    clock: Clock,
    entropy: Entropy,
    root: Path,
) -> LiveTelemetry | None:
    """What exports, closed with `stack` within five seconds; None when telemetry is off or can't be had."""
    try:
        config = read_config(settings, environment)
    except LifeError as error:
        _log.warning("Telemetry stays off: %s", error.message)
        return None
    if config.settings.log_format:
        use_log_format(config.settings)
    if not config.is_on:
        return None
    if importlib.util.find_spec("opentelemetry") is None:
        _log.warning("Telemetry stays off: the package opentelemetry-api is missing.")
        return None
    from life.vigil.telemetry import open_telemetry

    try:
        telemetry = await asyncio.to_thread(
            open_telemetry,
            config,
            environment,
            clock=clock,
            entropy=entropy,
            version=life.__version__,
            root=root,
            agent_name=AGENT_NAME,
        )
    except (LifeError, OSError) as error:
        _log.warning("Telemetry stays off: %s", error)
        return None
    stack.push_async_callback(asyncio.to_thread, telemetry.close, CLOSING_S)
    return telemetry


async def open_daemon_telemetry(
    stack: AsyncExitStack,
    name: str,
    environment: Mapping[str, str],
    *,
    clock: Clock,
    entropy: Entropy,
    root: Path | None,
) -> LiveTelemetry | None:
    """The telemetry of a daemon beside `arcand`, by `[telemetry]` of `root`'s config.toml and the documented variables; its service
    is called `name` unless they call it something. None when it is off or can't be had."""
    try:
        settings = load_settings(None if root is None else root / "config.toml", environment).telemetry
    except (LifeError, OSError) as error:
        _log.warning("Telemetry stays off: %s", error)
        return None
    if settings.service_name == TelemetrySettings().service_name:
        settings = msgspec.structs.replace(settings, service_name=name)
    return await open_host_telemetry(
        stack, settings, environment, clock=clock, entropy=entropy, root=Path() if root is None else root
    )


def traced(app: ASGIApp, telemetry: LiveTelemetry | None, routes: Sequence[BaseRoute]) -> ASGIApp:
    """The application below a span for each request; as it is when telemetry is off."""
    if telemetry is None:
        return app
    from life.host.http.tracing import Traced

    return Traced(app, telemetry, routes)


def use_log_format(settings: TelemetrySettings) -> None:
    """Log lines of Life in this format, on standard error, once."""
    from life.vigil.content import Content
    from life.vigil.logs import log_handler

    logger = logging.getLogger("life")
    for handler in [one for one in logger.handlers if getattr(one, "of_telemetry", False)]:
        logger.removeHandler(handler)
    handler = log_handler(settings.log_format, Content(max_chars=16_000, redact=settings.redact))
    handler.of_telemetry = True  # type: ignore[attr-defined]
    logger.addHandler(handler)
    logger.propagate = False
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def telemetry_findings(
    settings: TelemetrySettings, environment: Mapping[str, str], *, network: bool = True
) -> list[Finding]:
    """What is configured, whether its parts are installed, and (with `network`) whether anybody listens there. Sends nothing."""
    try:
        config = read_config(settings, environment)
    except LifeError as error:
        return [
            Finding(check="telemetry", result="failed", says=error.message, next_step=error.next_step, code=error.code)
        ]
    if not config.is_on:
        return [
            Finding(
                check="telemetry",
                result="ok",
                says="Telemetry is off, and costs nothing.",
                next_step="Set OTEL_EXPORTER_OTLP_ENDPOINT, or telemetry.exporters, to turn it on (docs/telemetry.md).",
            )
        ]
    findings = [_installed(config)]
    if config.settings.capture_content:
        findings.append(
            Finding(
                check="telemetry content",
                result="warning",
                says="Words of people and models, arguments and results are exported.",
                next_step="Unset telemetry.capture_content unless the receiver may have them.",
            )
        )
    findings += [_reachable(exporter, config) for exporter in config.exporters if network or exporter != "otlp"]
    return findings


def _installed(config: TelemetryConfig) -> Finding:
    wanted = {"opentelemetry.sdk"} if any(name != "console" for name in config.exporters) else set()
    for exporter in config.exporters:
        if exporter == "otlp":
            package = "grpc" if config.protocol == "grpc" else "http"
            wanted.add(f"opentelemetry.exporter.otlp.proto.{package}")
        elif exporter.startswith("prometheus:"):
            wanted.add("opentelemetry.exporter.prometheus")
        elif exporter.startswith("file:"):
            wanted.discard("opentelemetry.sdk")
    missing = sorted(name for name in wanted if not _has(name))
    if missing:
        return Finding(
            check="telemetry",
            result="failed",
            says=f"Telemetry is on, but {', '.join(missing)} is not installed; nothing goes there.",
            next_step="pip install 'lifeos[otel]'",
            code="life.missing_extra",
        )
    return Finding(check="telemetry", result="ok", says=f"Telemetry is on: {', '.join(config.exporters)}.")


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _reachable(exporter: str, config: TelemetryConfig) -> Finding:
    """Whether somebody listens, or the file can be written; whether spans are taken, only the receiver knows."""
    check = f"telemetry {exporter.partition(':')[0]}"
    if exporter == "otlp":
        address = urlsplit(config.traces_endpoint)
        host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((host, port), timeout=_LOOK_S).close()
        except OSError as error:
            return Finding(
                check=check,
                result="warning",
                says=f"Nobody answers at {host}:{port} ({error.strerror or type(error).__name__}); spans are dropped "
                "until somebody does.",
                next_step="Start the collector, or correct the endpoint.",
                code="vigil.export",
            )
        return Finding(check=check, result="ok", says=f"Somebody listens at {host}:{port} ({config.protocol}).")
    if exporter.startswith("prometheus:"):
        scrape = scrape_address(exporter)
        return Finding(
            check=check, result="ok", says=f"Metrics are served at http://{scrape.host}:{scrape.port}/metrics."
        )
    return Finding(check=check, result="ok", says="Spans are written there.")
