"""Tools that cost money, on an MCPServer of the official SDK.

    paid = PaidTools(till)
    server = MCPServer("weather", extensions=[paid])

    @server.tool()
    @paid.tool("$0.01")
    async def forecast(city: str) -> str: ...

The till is that of the HTTP adapters (`life.haima.x402.till`), with the same promises: a payment is claimed on disk before its
tool runs, the tool runs once for it whatever repeats or crashes, and a repeated call gets the first result. A payment pays for
one tool with one set of arguments. A tool that fails (`isError`, or an exception) is not charged; when the settlement fails, the
result does not leave.

Prices are checked when the tool is declared, except for `scheme="upto"`, which waits for the facilitator.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from life.aios.errors import InvalidInputError, MissingExtraError, UnavailableError

try:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.extension import Extension
    from mcp_types import CallToolRequestParams, CallToolResult, TextContent
except ImportError:
    raise MissingExtraError("Selling tools over MCP", "mcp") from None

from life.crypto.canonical import canonical_json
from life.crypto.errors import NotCanonicalizableError
from life.haima.errors import MalformedPaymentError
from life.haima.facilitator.port import encode_settlement
from life.haima.x402 import answers
from life.haima.x402.answers import Answer, Declared, Terms
from life.haima.x402.bazaar import BAZAAR, ToolDiscovery, declare_tool
from life.haima.x402.mcp import PAYMENT_META, PAYMENT_RESPONSE_META, tool_url
from life.haima.x402.paid_routes import FixedPrice, Route
from life.haima.x402.sale import Payment, Sale
from life.haima.x402.till import Till
from life.haima.x402.wire import ResourceInfo, decode_payment_response

F = TypeVar("F", bound=Callable[..., Any])

_RESULT: Final = (b"content-type", b"application/vnd.mcp.tool-result+json")
_PAYMENT_REQUIRED: Final = "Payment required to access this tool"


class PaidTools(Extension):
    """Asks for money before the tools it has prices for; the others are left alone."""

    identifier = "dev.lifeos/x402-paid-tools"

    def __init__(self, till: Till) -> None:
        self._till = till
        self._prices: dict[str, tuple[Route, ToolDiscovery | None]] = {}
        self._terms: dict[str, Terms] = {}

    def tool(
        self, price: FixedPrice, *, name: str | None = None, discovery: ToolDiscovery | None = None, **options: Any
    ) -> Callable[[F], F]:
        """A decorator below `@server.tool()`: the tool of this function, or of `name`, costs `price`. `options` are those
        of `Route` that do not need HTTP: `settle_first`, `rerun_interrupted`, `description`, `max_timeout_s`, `scheme`,
        `transfer`."""

        def priced(function: F) -> F:
            self.price(name or function.__name__, price, discovery=discovery, **options)
            return function

        return priced

    def price(self, name: str, price: FixedPrice, *, discovery: ToolDiscovery | None = None, **options: Any) -> None:
        """Set the price of a tool by its name. InvalidInputError for a price or options that can't be right."""
        route = Route(price, **options)
        if route.stream or route.sign_in is not None or route.discovery is not None or callable(route.price):
            raise InvalidInputError("A tool has a fixed price, and is neither streamed nor signed in to.")
        self._prices[name] = route, discovery
        if route.scheme == "exact":
            with suppress(UnavailableError):  # what the facilitator has a part in is made when it has said so
                self._terms[name] = self._make_terms(name, route, discovery)

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """One `tools/call` (called by the server)."""
        priced = self._prices.get(params.name)
        if priced is None:
            return await call_next(ctx)
        route, discovery = priced
        try:
            terms = self._terms.get(params.name) or await self._terms_now(params.name, route, discovery)
            request = _request_name(params)
        except UnavailableError as error:
            return _problem(answers.facilitator_unavailable(error.message))
        except MalformedPaymentError as error:
            return _problem(answers.malformed(error.message))
        payment = (params.meta or {}).get(PAYMENT_META)
        if payment is None:
            return _required(terms.document(_PAYMENT_REQUIRED, await self._till.fresh(None, terms, "")))

        async def handler(paid: Payment) -> Answer:
            result = await call_next(ctx)
            if not isinstance(result, CallToolResult):
                raise RuntimeError("a paid tool must answer at once, not ask for more input")
            body = result.model_dump_json(by_alias=True, exclude_none=True).encode()
            return Answer(500 if result.is_error else 200, [_RESULT], body)

        sale = Sale(
            msgspec.json.encode(payment),
            "json",
            terms,
            request,
            route.settle_first,
            route.rerun_interrupted,
            handler,
        )
        return _result(await self._till.sell_tool(sale))

    async def _terms_now(self, name: str, route: Route, discovery: ToolDiscovery | None) -> Terms:
        try:
            return self._make_terms(name, route, discovery)
        except UnavailableError:
            if not await self._till.ask_again():
                raise
            return self._make_terms(name, route, discovery)

    def _make_terms(self, name: str, route: Route, discovery: ToolDiscovery | None) -> Terms:
        resource = ResourceInfo(
            url=tool_url(name),
            description=route.description,
            mime_type=route.mime_type or "application/json",
            service_name=route.service_name,
            tags=route.tags or None,
            icon_url=route.icon_url,
        )
        declared: tuple[Declared, ...] = ()
        if discovery is not None:
            content = declare_tool(discovery, name=name)
            declared = (Declared(BAZAAR, content, msgspec.json.encode(content)),)
        return Terms(self._till.offers(route.price, route), resource, self._till.identifier, declared)  # type: ignore[arg-type]


def _request_name(params: CallToolRequestParams) -> str:
    """What a payment pays for: the tool and its arguments, in whatever order they stand."""
    try:
        arguments = canonical_json(params.arguments or {}, big_integers=True)
    except NotCanonicalizableError as error:
        raise MalformedPaymentError(f"The arguments can't be told apart from others: {error}.") from None
    return f"tools/call {params.name[:120]} sha256:{hashlib.sha256(arguments).hexdigest()}"


def _result(answer: Answer) -> CallToolResult:
    """The tool's own result with its settlement, or what was answered instead of it."""
    if answers.header_of(answer, b"content-type") == _RESULT[1]:
        result = CallToolResult.model_validate_json(answer.body)
        return result.model_copy(update={"meta": {**(result.meta or {}), **_settlement(answer)}})
    required = answers.header_of(answer, answers.PAYMENT_REQUIRED)
    if required is not None:
        return _required(binascii.a2b_base64(required), _settlement(answer))
    return _problem(answer)


def _required(document: bytes, meta: dict[str, object] | None = None) -> CallToolResult:
    """A result that asks for money."""
    return CallToolResult(
        content=[TextContent(type="text", text=document.decode())],
        structured_content=msgspec.json.decode(document),
        is_error=True,
        _meta=meta or None,
    )


def _problem(answer: Answer) -> CallToolResult:
    """A result that says what went wrong; `structuredContent` is the problem (RFC 9457)."""
    return CallToolResult(
        content=[TextContent(type="text", text=answer.body.decode())],
        structured_content=msgspec.json.decode(answer.body),
        is_error=True,
        _meta=_settlement(answer) or None,
    )


def _settlement(answer: Answer) -> dict[str, object]:
    header = answers.header_of(answer, answers.PAYMENT_RESPONSE)
    if header is None:
        return {}
    settlement = decode_payment_response(header.decode("ascii"))
    return {PAYMENT_RESPONSE_META: msgspec.json.decode(encode_settlement(settlement))}


__all__ = ["PaidTools"]
