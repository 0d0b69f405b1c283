"""The exporters of one configuration behind the live projection. Needs the extra `otel` for OTLP and metrics."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from life.aios.errors import LifeError
from life.vigil import names as n
from life.vigil.config import scrape_address
from life.vigil.content import Content
from life.vigil.exporters.console import ConsoleSink
from life.vigil.exporters.json_file import JsonFileSink
from life.vigil.exporters.memory import MemorySink
from life.vigil.exporters.sink import SpanSink
from life.vigil.exports import Committed, ExportOrders, ExportStatus, Reading
from life.vigil.pipeline import INTERVAL_S, Pipeline
from life.vigil.span import Span, SpanOptions
from life.vigil.spans import Projection

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader

    from life.vigil.metrics import Meters

_MOST_LEFT_OUT: Final = 10_000
_RATIO_BITS: Final = 1 << 64
_EXTRA: Final = "the extra `otel` is not installed (pip install 'lifeos[otel]')"

_log = logging.getLogger("life.vigil")


class Exporting:
    """`Exports` in this process: a projection, its sinks and its meters. What can't be opened is named, logged and left out."""

    def __init__(self, orders: ExportOrders, *, interval_s: float = INTERVAL_S) -> None:
        settings = orders.config.settings
        self._orders = orders
        self._sinks: list[SpanSink] = []
        self._readers: list[MetricReader] = []
        self._problems: list[str] = []
        self._left_out: OrderedDict[str, None] = OrderedDict()
        self._bound = round(settings.sampling_ratio * _RATIO_BITS)
        self._resource = {**orders.config.resource, "service.version": orders.version}
        if orders.agent_id:
            self._resource |= {"gen_ai.main_agent.id": orders.agent_id, "gen_ai.main_agent.name": orders.agent_name}
        for exporter in orders.config.exporters:
            self._open(exporter)
        self._provider: MeterProvider | None = None
        options = SpanOptions(agent_name=orders.agent_name, v1_41=settings.convention == "v1.41")
        content = Content(
            capture=settings.capture_content, max_chars=settings.capture_max_chars, redact=settings.redact
        )
        self._meter = self._meters()
        self._pipeline = Pipeline(
            Projection(options, content),
            self._sinks,
            measures=self._meter,
            sampled=self._is_sampled,
            interval_s=interval_s,
        )

    @property
    def memory(self) -> MemorySink | None:
        """The spans kept by the exporter `memory`."""
        return next((sink for sink in self._sinks if isinstance(sink, MemorySink)), None)

    @property
    def metric_memory(self) -> InMemoryMetricReader | None:
        """The metrics kept by the exporter `memory`."""
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        return next((reader for reader in self._readers if isinstance(reader, InMemoryMetricReader)), None)

    @property
    def readers(self) -> Sequence[MetricReader]:
        """Everything that reads metrics."""
        return tuple(self._readers)

    def take(self, batch: Iterable[Committed]) -> None:
        """Queue them."""
        self._pipeline.take(batch)

    def span(self, span: Span) -> None:
        """Queue it."""
        self._pipeline.span(span)

    def readings(self, readings: Sequence[Reading]) -> None:
        """Show them on the metrics."""
        if self._meter is not None:
            self._meter.show(readings)

    def leave_out(self, trace_id: str) -> None:
        """Remember it."""
        self._left_out[trace_id] = None
        if len(self._left_out) > _MOST_LEFT_OUT:
            self._left_out.popitem(last=False)

    def status(self, timeout_s: float = 0) -> ExportStatus:
        """How it goes."""
        counts = self._pipeline.counts
        return ExportStatus(
            exporting=bool(self._sinks or self._readers),
            exported=counts.exported,
            dropped=counts.dropped,
            lost_events=self._pipeline.lost_events,
            problems=tuple(self._problems),
        )

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Spans, then metrics."""
        done = self._pipeline.flush(timeout_s)
        if self._provider is not None:
            done = self._provider.force_flush(round(timeout_s * 1000)) and done
        return done

    def close(self, timeout_s: float = 5.0) -> None:
        """Spans, then metrics."""
        self._pipeline.close(timeout_s)
        if self._provider is not None:
            try:
                self._provider.shutdown(timeout_millis=1000)
            except Exception as error:
                _log.warning("The metrics could not be closed in order: %s.", type(error).__name__)

    def _is_sampled(self, trace_id: str) -> bool:
        """The caller's word, or else the ratio (the specification's TraceIdRatioBased)."""
        return trace_id not in self._left_out and int(trace_id[16:], 16) < self._bound

    def _meters(self) -> Meters | None:
        if not self._readers:
            return None
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics._internal.exemplar import AlwaysOffExemplarFilter
        from opentelemetry.sdk.resources import Resource

        from life.vigil.metrics import Meters

        # The readers are closed by us: the process's exit is none of the provider's business.
        self._provider = MeterProvider(
            self._readers,
            Resource(dict(self._resource)),
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        return Meters(self._provider.get_meter(n.SCOPE, self._orders.version), self._orders.config.settings.metrics)

    def _open(self, exporter: str) -> None:
        """Start never fails because of telemetry (vigil.md §23.7)."""
        try:
            self._open_one(exporter)
        except ModuleNotFoundError as missing:
            words = _EXTRA if (missing.name or "").partition(".")[0] in _OF_EXTRA else f"{missing.name} is missing"
            self._problem(exporter, words)
        except LifeError as error:
            self._problem(exporter, error.message.rstrip("."))
        except OSError as error:
            self._problem(exporter, error.strerror or type(error).__name__)
        except Exception as error:
            self._problem(exporter, type(error).__name__)

    def _problem(self, exporter: str, words: str) -> None:
        self._problems.append(f"The exporter {exporter} can't be opened: {words}.")
        _log.warning("%s", self._problems[-1])

    def _open_one(self, exporter: str) -> None:
        kind, _, rest = exporter.partition(":")
        orders, config = self._orders, self._orders.config
        v1_41 = config.settings.convention == "v1.41"
        if kind == "otlp":
            from life.vigil.exporters.otlp import OtlpSink, periodic_metrics
            from life.vigil.otel import Converter

            converter = Converter(self._resource, orders.version, v1_41=v1_41)
            sink = OtlpSink(config.traces_endpoint, config.protocol, converter, headers=orders.headers)
            self._sinks.append(sink)
            self._readers.append(periodic_metrics(config.metrics_endpoint, config.protocol, orders.headers))
        elif kind == "prometheus":
            from life.vigil.exporters.prometheus import ScrapedReader

            self._readers.append(ScrapedReader(scrape_address(exporter)))
        elif kind == "file":
            path = Path(orders.root) / rest
            self._sinks.append(JsonFileSink(path, self._resource, orders.version, v1_41=v1_41))
            if importlib.util.find_spec("opentelemetry.sdk") is not None:
                from life.vigil.exporters.metric_file import file_metrics

                self._readers.append(file_metrics(JsonFileSink(path, self._resource, orders.version)))
        elif kind == "console":
            self._sinks.append(ConsoleSink(sys.stderr))
        else:
            self._sinks.append(MemorySink())
            if importlib.util.find_spec("opentelemetry.sdk") is not None:
                from opentelemetry.sdk.metrics.export import InMemoryMetricReader

                self._readers.append(InMemoryMetricReader())


_OF_EXTRA: Final = ("opentelemetry", "prometheus_client", "grpc", "google")
