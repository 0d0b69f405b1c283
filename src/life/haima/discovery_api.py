"""Discovery over HTTP: what paid resources there are (x402.md §4).

    GET /discovery/resources?type&payTo&scheme&network&extensions&limit&offset
    GET /discovery/search?query&type&payTo&scheme&network&extensions&limit&cursor

Open to everybody, as the facilitator is. A page has 1 to 100 entries, 20 by default. `with_extension_responses` adds the
header EXTENSION-RESPONSES to /verify and /settle, which says what became of a payment's declaration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.http import Operation, Parameter
from life.haima.x402.catalogue import (
    DEFAULT_LIMIT,
    Catalogue,
    Filter,
    ResourcePage,
    SearchPage,
    extension_responses,
)
from life.haima.x402.wire import EXTENSION_RESPONSES

HttpOperation: TypeAlias = "Operation[Request, Response]"

_FILTERS: Final = (
    Parameter("type", "`http` or `mcp`."),
    Parameter("payTo", "Who is paid."),
    Parameter("scheme", "Payment scheme, such as `exact`."),
    Parameter("network", "CAIP-2 name of a network."),
    Parameter("extensions", "An extension that the resource declares."),
    Parameter("limit", "Entries of a page, 1 to 100.", "integer"),
)
_encode: Final = msgspec.json.Encoder().encode


def discovery_operations(catalogue: Catalogue) -> list[HttpOperation]:
    """The two routes over a catalogue."""

    async def resources(request: Request) -> Response:
        given = request.query_params
        page = await catalogue.page(
            _filter(given), limit=_number(given, "limit", DEFAULT_LIMIT), offset=_number(given, "offset", 0)
        )
        return _json(page)

    async def search(request: Request) -> Response:
        given = request.query_params
        page = await catalogue.search(
            given.get("query", ""),
            _filter(given),
            limit=_number(given, "limit", DEFAULT_LIMIT),
            cursor=given.get("cursor"),
        )
        return _json(page)

    return [
        Operation(
            "GET",
            "/discovery/resources",
            "Paid resources, newest first",
            resources,
            result=ResourcePage,
            query=(*_FILTERS, Parameter("offset", "Entries to leave out.", "integer")),
            errors=(400,),
        ),
        Operation(
            "GET",
            "/discovery/search",
            "Paid resources that fit a query",
            search,
            result=SearchPage,
            query=(
                Parameter("query", "Words to look for."),
                *_FILTERS,
                Parameter("cursor", "Where the last page ended."),
            ),
            errors=(400,),
        ),
    ]


def with_extension_responses(operations: Sequence[HttpOperation]) -> list[HttpOperation]:
    """The operations of a facilitator that lists, with EXTENSION-RESPONSES on the answers that have something to say."""
    return [
        operation._replace(endpoint=_told(operation.endpoint))
        if operation.path in ("/verify", "/settle")
        else operation
        for operation in operations
    ]


def _told(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def telling(request: Request) -> Response:
        response = await endpoint(request)
        told = extension_responses(_answered.decode(response.body).extensions)
        if told is not None:
            response.headers[EXTENSION_RESPONSES] = told
        return response

    return telling


class _Answered(msgspec.Struct):
    extensions: JsonObject | None = None


_answered: Final = msgspec.json.Decoder(_Answered)


def _filter(given: Mapping[str, str]) -> Filter:
    return Filter(*(given.get(name) for name in ("type", "payTo", "scheme", "network", "extensions")))


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInputError(f"{name} must be a number.")
    return int(text)


def _json(page: ResourcePage | SearchPage) -> Response:
    return Response(_encode(page), media_type="application/json", headers={"cache-control": "no-store"})
