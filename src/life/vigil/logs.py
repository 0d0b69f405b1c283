"""Log lines that say which span they belong to.

As JSON, a line holds `timestamp` (RFC 3339, UTC, milliseconds), `level`, `logger`, `message`, of an exception only its type and,
within a span, `trace_id` and `span_id`. Messages are redacted as captured content is. Source: vigil.md §7, §23.9.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final

import msgspec

from life.aios.ports.telemetry import working_in
from life.vigil.content import Content

_PRETTY: Final = "%(asctime)s %(levelname)-7s %(name)s%(place)s: %(message)s"


class PlaceFilter(logging.Filter):
    """Puts the span that is worked in onto every record: `trace_id`, `span_id`, and `place` for people."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything through."""
        place = working_in.get()
        record.trace_id = "" if place is None else place.trace_id
        record.span_id = "" if place is None else place.span_id
        record.place = "" if place is None else f" [{place.trace_id[:8]}/{place.span_id[:8]}]"
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, content: Content | None = None) -> None:
        super().__init__()
        self._content = content or Content(max_chars=16_000)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, str] = {
            "timestamp": moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": self._content.text(record.getMessage()),
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        for name in ("trace_id", "span_id"):
            value = getattr(record, name, "")
            if value:
                line[name] = value
        return msgspec.json.encode(line).decode()


class PrettyFormatter(logging.Formatter):
    """A line for people, redacted too."""

    def __init__(self, content: Content | None = None) -> None:
        super().__init__(_PRETTY)
        self._content = content or Content(max_chars=16_000)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return self._content.text(super().format(record))


def log_handler(log_format: str, content: Content | None = None) -> logging.Handler:
    """A handler for standard error, `json` or `pretty`."""
    handler = logging.StreamHandler()
    handler.addFilter(PlaceFilter())
    handler.setFormatter(JsonFormatter(content) if log_format == "json" else PrettyFormatter(content))
    return handler
