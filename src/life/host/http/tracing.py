"""W3C Trace Context into every request, and a SERVER span for each.

What a request begins becomes a child of its caller's span: a run's root stands below the request that started it. The span exists
live only; no event tells of a request. Pure ASGI, outside everything else. Source: vigil.md §23.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.vigil import names as n
from life.vigil.propagation import extract
from life.vigil.span import Attributes, Span
from life.vigil.telemetry import LiveTelemetry

_QUIET: Final = ("/health", "/metrics", "/static/")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")


class Traced:
    """The application below a span for each request."""

    def __init__(self, app: ASGIApp, telemetry: LiveTelemetry, routes: Sequence[BaseRoute]) -> None:
        """`routes`: the application's, by which spans are named."""
        self.app = app
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request within its span."""
        if scope["type"] != "http" or scope["path"].startswith(_QUIET):
            await self.app(scope, receive, send)
            return
        telemetry = self._telemetry
        caller = extract(Headers(scope=scope))
        place = telemetry.new_place(caller)
        began_us = telemetry.now_us()
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not status:  # an event stream that is sent from outside: the span ends where it begins
                status = 200
            await send(message)

        try:
            with telemetry.within(place):
                telemetry.caller()  # notes a trace that is not recorded
                await self.app(scope, receive, sent)
        finally:
            status = status or 500
            if status not in (401, 403):  # strangers make no spans
                method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
                route = self._route_of(scope)
                attributes: Attributes = {n.HTTP_METHOD: method, n.HTTP_STATUS: status}
                attributes[n.URL_SCHEME] = scope.get("scheme", "http")
                if route:
                    attributes[n.HTTP_ROUTE] = route
                error = str(status) if status >= 500 else None
                if error is not None:
                    attributes[n.ERROR_TYPE] = error
                telemetry.span(
                    Span(
                        name=f"{method} {route}".rstrip(),
                        kind="server",
                        trace_id=place.trace_id,
                        span_id=place.span_id,
                        parent_id=None if caller is None else caller.span_id,
                        start_us=began_us,
                        end_us=max(telemetry.now_us(), began_us),
                        attributes=attributes,
                        error=error,
                    )
                )

    def _route_of(self, scope: Scope) -> str:
        """The address with its parameters' names, so that spans of one operation share a name; empty for what is no route."""
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return route.path.replace(":path", "")
        return ""
