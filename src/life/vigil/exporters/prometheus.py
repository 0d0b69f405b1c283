"""Metrics for Prometheus to fetch: `GET /metrics` on a loopback address, in a thread of its own."""

from __future__ import annotations

from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry, start_http_server

from life.vigil.config import ScrapeAddress
from life.vigil.errors import TelemetrySettingError


class ScrapedReader(PrometheusMetricReader):
    """The SDK's reader with a server and a registry of its own."""

    def __init__(self, address: ScrapeAddress) -> None:
        """TelemetrySettingError when the port is taken."""
        registry = CollectorRegistry()
        super().__init__(registry=registry)
        try:
            self._server, self._thread = start_http_server(address.port, address.host, registry)
        except OSError as error:
            raise TelemetrySettingError(
                f"Nobody can listen on {address.host}:{address.port}: {error.strerror}"
            ) from None
        self.port: int = self._server.server_address[1]

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing to do: metrics are collected when they are fetched. (Collecting them here would show them twice there.)"""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout_millis / 1000)
        super().shutdown(timeout_millis, **kwargs)
