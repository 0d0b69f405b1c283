"""W3C Trace Context, level 1: what comes in with a request, and what goes out with one.

A header that is not exactly right is as if it were not there; it never fails a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from life.aios.ports.telemetry import SpanPlace

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MOST_STATE: Final = 512
_MEMBER: Final = re.compile(
    r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


def parse_traceparent(text: str, tracestate: str = "") -> SpanPlace | None:
    """The caller's span, or None. Later versions of the header are read as far as this one goes."""
    found = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return SpanPlace(trace_id, span_id, bool(int(flags, 16) & 1), _state(tracestate))


def extract(headers: Mapping[str, str]) -> SpanPlace | None:
    """From headers with lower-case names, or the `_meta` of an MCP request."""
    text = headers.get("traceparent")
    state = headers.get("tracestate", "")
    if not isinstance(text, str):
        return None
    return parse_traceparent(text, state if isinstance(state, str) else "")


def headers_of(place: SpanPlace) -> dict[str, str]:
    """What goes out with a request that belongs to this span."""
    headers = {"traceparent": place.traceparent}
    if place.tracestate:
        headers["tracestate"] = place.tracestate
    return headers


def _state(text: str) -> str:
    """The list of other vendors, or nothing when it is none."""
    members = [member.strip(" \t") for member in text.split(",") if member.strip(" \t")]
    fits = len(members) <= 32 and len(text) <= _MOST_STATE and all(_MEMBER.fullmatch(member) for member in members)
    keys = [member.partition("=")[0] for member in members]
    return ",".join(members) if fits and len(set(keys)) == len(keys) else ""
