"""Log lines: JSON with time, level and the ids of the span that is worked in (vigil.md §23.9)."""

from __future__ import annotations

import json
import logging

from life.aios.ports.telemetry import SpanPlace
from life.vigil.logs import JsonFormatter, PlaceFilter, PrettyFormatter, log_handler
from tests.vigil.kit import telemetry_on

PLACE = SpanPlace("ab" * 16, "cd" * 8)


def a_line(words: str = "hello %s", *args: object) -> logging.LogRecord:
    """A record at a fixed time."""
    record = logging.LogRecord("life.arcan", logging.WARNING, "f", 1, words, args or ("you",), None)
    record.created = 1_763_622_180.25
    return record


def test_json_lines() -> None:
    """RFC 3339 with milliseconds, and no ids outside a span."""
    record = a_line()
    PlaceFilter().filter(record)
    assert json.loads(JsonFormatter().format(record)) == {
        "timestamp": "2025-11-20T07:03:00.250Z",
        "level": "WARNING",
        "logger": "life.arcan",
        "message": "hello you",
    }


def test_lines_within_a_span() -> None:
    """Within a span, lines carry its ids, for programs and for people."""
    live = telemetry_on()
    record = a_line()
    with live.within(PLACE):
        PlaceFilter().filter(record)
    line = json.loads(JsonFormatter().format(record))
    assert (line["trace_id"], line["span_id"]) == (PLACE.trace_id, PLACE.span_id)
    assert "[abababab/cdcdcdcd]: hello you" in PrettyFormatter().format(record)
    live.close()


def test_exceptions_show_their_type_only() -> None:
    """The words of an exception may hold anything: a JSON line has its type."""
    try:
        raise ValueError("secret words")
    except ValueError as error:
        record = logging.LogRecord(
            "life", logging.ERROR, "f", 1, "failed", (), (type(error), error, error.__traceback__)
        )
    line = json.loads(JsonFormatter().format(record))
    assert line["exception"] == "ValueError" and "secret" not in json.dumps(line)


def test_a_line_is_one_line() -> None:
    """A message with line breaks stays one JSON line."""
    handler = log_handler("json")
    assert "\n" not in handler.format(a_line("a\nb %s", "c\nd"))
