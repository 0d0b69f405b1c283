"""What lagod's operators watch, as Prometheus text (exposition format 0.0.4).

    lago_http_requests_total{method,route,status}     answers; `route` is the address with its parameters' names
    lago_http_request_duration_seconds{method,route}  how long handlers took; of a stream, until it began
    lago_stream_subscribers                           open event streams
    lago_journal_events_total                         events that were appended over HTTP
    lago_blobs_total                                  blobs that were put over HTTP
    lago_sessions                                     sessions that have events

Counters start at 0 with the process. Labels are names of ours only, so nobody can make up series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.host.http.routes import ApiOperation

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_MS: Final = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)


class RequestMetrics:
    """Counts and times the answers of operations."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._times: dict[tuple[str, str], list[int]] = {}
        """By operation: a count for each bucket, the count of all, and their sum in microseconds."""

    def measured(self, operations: Sequence[ApiOperation]) -> list[ApiOperation]:
        """The operations, watched."""
        return [operation._replace(endpoint=self._watched(operation)) for operation in operations]

    def _watched(self, operation: ApiOperation) -> Callable[[Request], Awaitable[Response]]:
        method, route, endpoint = operation.method, operation.path.replace(":path", ""), operation.endpoint

        async def watch(request: Request) -> Response:
            began_us, status = self._clock.monotonic_us(), 500
            try:
                response = await endpoint(request)
                status = response.status_code
                return response
            except LifeError as error:
                status = error.status
                raise
            finally:
                self._answers[method, route, status] += 1
                self._time((method, route), self._clock.monotonic_us() - began_us)

        return watch

    def _time(self, key: tuple[str, str], took_us: int) -> None:
        times = self._times.setdefault(key, [0] * (len(_BUCKETS_MS) + 2))
        for index, bound_ms in enumerate(_BUCKETS_MS):
            if took_us <= bound_ms * 1000:
                times[index] += 1
        times[-2] += 1
        times[-1] += took_us

    def render(self, gauges: dict[str, int], counters: dict[str, int]) -> str:
        """The text, with gauges and counters of others."""
        lines = ["# TYPE lago_http_requests_total counter"]
        for (method, route, status), count in sorted(self._answers.items()):
            lines.append(f'lago_http_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines.append("# TYPE lago_http_request_duration_seconds histogram")
        name = "lago_http_request_duration_seconds"
        for (method, route), times in sorted(self._times.items()):
            labels = f'method="{method}",route="{route}"'
            for bound_ms, count in zip(_BUCKETS_MS, times, strict=False):
                lines.append(f'{name}_bucket{{{labels},le="{bound_ms / 1000:g}"}} {count}')
            lines.append(f'{name}_bucket{{{labels},le="+Inf"}} {times[-2]}')
            lines.append(f"{name}_sum{{{labels}}} {times[-1] / 1_000_000:.6f}")
            lines.append(f"{name}_count{{{labels}}} {times[-2]}")
        for kind, values in (("gauge", gauges), ("counter", counters)):
            for series, value in values.items():
                lines += (f"# TYPE {series} {kind}", f"{series} {value}")
        return "\n".join(lines) + "\n"
