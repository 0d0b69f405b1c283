"""Where a page and a route for programs share an address: what the request says it wants decides.

A browser asks for `text/html` and posts urlencoded forms; programs ask for anything or JSON and post JSON. Agents and users are programs
whatever they ask for: a page shows everybody's sessions and acts for the operator, the route for programs knows what is theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from life.host.http.authentication import auth_of

_FORM = "application/x-www-form-urlencoded"


def joined(api: Sequence[Route], pages: Sequence[Route]) -> list[Route]:
    """The routes of both, with one route where both have the same path and method."""
    by_place = {(route.path, method): route for route in pages for method in _methods(route)}
    shared = {(route.path, method) for route in api for method in _methods(route)} & by_place.keys()
    routes = [
        Route(route.path, _either(route, by_place[route.path, method]), methods=[method])
        for route in api
        for method in _methods(route)
        if (route.path, method) in shared
    ]
    routes += [route for route in api if not any((route.path, method) in shared for method in _methods(route))]
    return routes + [route for route in pages if not any((route.path, method) in shared for method in _methods(route))]


def _methods(route: Route) -> set[str]:
    return (route.methods or set()) - {"HEAD"}


def _either(program: Route, page: Route) -> Callable[[Request], Awaitable[Response]]:
    async def either(request: Request) -> Response:
        answer: Response = await (page if _is_for_people(request) else program).endpoint(request)
        return answer

    return either


def _is_for_people(request: Request) -> bool:
    if auth_of(request.scope).kind in ("agent", "user"):
        return False
    if request.method in ("GET", "HEAD"):
        return "text/html" in request.headers.get("accept", "")
    return request.headers.get("content-type", "").startswith(_FORM)
