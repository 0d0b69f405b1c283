"""Paying for tools of an MCP server, out of a Payer's purse.

    async with Client("https://weather.example/mcp") as client:
        tools = PayingTools(client, payer, server="https://weather.example/mcp")
        result = await tools.call_tool("forecast", {"city": "Oslo"}, max_amount_micro=20_000)

Every call is a purchase like any other (`life.haima.x402.purchase`): the tool is asked once without payment, its terms are
chosen, decided by the policy, reserved on disk, signed, and the very same call is repeated with the payment; a call whose
outcome is unknown is finished with the identical payment when it is repeated. A result that asks for money and is refused
comes back as it is; the receipt stands beside it.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from life.aios.errors import InvalidInputError, MissingExtraError

try:
    from mcp_types import CallToolResult, RequestParamsMeta
except ImportError:
    raise MissingExtraError("Paying for tools over MCP", "mcp") from None

from life.crypto.canonical import canonical_json
from life.crypto.errors import NotCanonicalizableError
from life.haima.payer import Payer
from life.haima.x402.mcp import PAYMENT_META, PAYMENT_RESPONSE_META
from life.haima.x402.purchase import PurchaseRequest, ReadBody, Receipt, RepeatRule, Reply, Send
from life.haima.x402.wire import PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE

HERE: Final = "http://localhost/mcp"
"""The server of a process on this machine, which has no address."""


class ToolClient(Protocol):
    """What is needed of the official SDK's `Client` (or `ClientSession`)."""

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: float | None = None,
        *,
        meta: RequestParamsMeta | None = None,
    ) -> CallToolResult:
        """Call a tool."""
        ...


class PaidResult(NamedTuple):
    """What a tool answered, and what was paid for it: None when nothing had to be."""

    result: CallToolResult
    receipt: Receipt | None


class PayingTools:
    """Calls the tools of one server and pays where they cost something."""

    def __init__(self, client: ToolClient, payer: Payer, *, server: str = HERE) -> None:
        """`server` is the server's URL, which budgets by host and the books name. A payment travels only over https, or to
        this machine; leave it out for servers that run here (stdio, in memory)."""
        self._client = client
        self._payer = payer
        self._server = server.rstrip("/")

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        purchase_id: str | None = None,
        session_id: str | None = None,
        task_id: str | None = None,
        max_amount_micro: int | None = None,
        repeat: RepeatRule = "usual",
        timeout_s: float | None = None,
    ) -> PaidResult:
        """Call a tool, paying if it asks for it. Raises what a purchase raises (PaymentErrors), and the SDK's own errors
        for calls that were not paid for."""
        given = dict(arguments or {})
        try:
            body = canonical_json(given, big_integers=True)
        except NotCanonicalizableError as error:
            raise InvalidInputError(f"These arguments are no JSON: {error}.") from None
        wanted = PurchaseRequest(
            method="tools/call",
            url=f"{self._server}/{name}",
            body=body,
            purchase_id=purchase_id,
            session_id=session_id,
            task_id=task_id,
            max_amount_micro=max_amount_micro,
            repeat=repeat,
        )
        conversation = self._payer.purchase(wanted)
        last: CallToolResult | None = None
        try:
            step = next(conversation)
            while True:
                try:
                    if isinstance(step, Send):
                        last = await self._call(name, given, step, timeout_s)
                        step.reply = _reply(last)
                    elif not isinstance(step, ReadBody):  # version 1 has no MCP form: there is no body to read
                        await step.perform()
                except BaseException as error:
                    step = conversation.throw(error)
                else:
                    step = next(conversation)
        except StopIteration as done:
            assert last is not None  # every conversation sends before it ends
            receipt: Receipt | None = done.value
        finally:
            conversation.close()
        if receipt is not None and receipt.state != "refused":
            self._payer.note_delivered(receipt.payment)
        return PaidResult(last, receipt)

    async def _call(self, name: str, arguments: dict[str, Any], step: Send, timeout_s: float | None) -> CallToolResult:
        meta: Any = None
        if step.header is not None and step.header[0] == PAYMENT_SIGNATURE:
            meta = {PAYMENT_META: msgspec.json.decode(binascii.a2b_base64(step.header[1]))}
        return await self._client.call_tool(name, arguments, timeout_s, meta=meta)


def _reply(result: CallToolResult) -> Reply:
    """A tool's result as the answer of a resource. What asks for money is a 402; a problem has its own status; any other
    failure of a tool was not charged for (x402.md §6), like a 4xx."""
    headers: dict[str, str] = {}
    settlement = (result.meta or {}).get(PAYMENT_RESPONSE_META)
    if isinstance(settlement, dict):
        headers[PAYMENT_RESPONSE.lower()] = _base64(settlement)
    status = 200
    if result.is_error:
        document = result.structured_content
        if document is None:
            document = _first_text(result)
        status = 422
        if isinstance(document, dict) and "x402Version" in document and isinstance(document.get("accepts"), list):
            status, headers[PAYMENT_REQUIRED.lower()] = 402, _base64(document)
        elif isinstance(document, dict) and isinstance(document.get("status"), int) and "code" in document:
            status = document["status"]
    return Reply(status, lambda name: headers.get(name.lower()))


def _first_text(result: CallToolResult) -> object:
    """The JSON in the first text of a result; None when there is none."""
    text = getattr(result.content[0], "text", None) if result.content else None
    if not isinstance(text, str):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _base64(document: object) -> str:
    return binascii.b2a_base64(msgspec.json.encode(document), newline=False).decode("ascii")


__all__ = ["HERE", "PaidResult", "PayingTools", "ToolClient"]
