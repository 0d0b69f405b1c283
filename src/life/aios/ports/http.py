"""How a subsystem describes its HTTP routes, so that one table gives both the router and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Literal, NamedTuple, TypeVar

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Parameter(NamedTuple):
    """One query parameter."""

    name: str
    description: str
    type: Literal["string", "integer", "boolean"] = "string"


class Operation(NamedTuple, Generic[RequestT, ResponseT]):
    """One route: what it does, what goes in, what comes out. `endpoint` takes the web framework's request."""

    method: Method
    path: str
    """With `{name}` for path parameters."""
    summary: str
    endpoint: Callable[[RequestT], Awaitable[ResponseT]]
    body: type | None = None
    """The msgspec struct of the JSON body, when there is one."""
    result: type | None = None
    """The msgspec struct (or list of structs) of the answer; None for streams and empty answers."""
    query: tuple[Parameter, ...] = ()
    status: int = 200
    media_type: str = "application/json"
    errors: tuple[int, ...] = ()
    """Problem statuses beyond 401, 403 and 500, which every route may answer."""
    others: tuple[tuple[int, type], ...] = ()
    """Further statuses that are answered in JSON of the route's own; the same status may be in `errors`, too."""
    scope: str | None = None
    """What a caller's token must permit, like `credit:write`. None: nothing beyond being let in."""
