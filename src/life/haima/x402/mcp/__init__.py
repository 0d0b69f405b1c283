"""Paid tools over the Model Context Protocol, both ways (x402.md §6).

Payment and settlement travel in `_meta`, so MCP itself is unchanged: a paid call carries the payment object in
`params._meta["x402/payment"]`, its result the settlement in `_meta["x402/payment-response"]`. A call without payment is
answered by a result with `isError` whose `structuredContent` (and first text) is the PaymentRequired. The resource is
`mcp://tool/<name>`.

`server` sells the tools of an MCPServer, `client` pays for those of another. Both need the official SDK (`mcp` 2.x).
"""

from __future__ import annotations

from typing import Final

PAYMENT_META: Final = "x402/payment"
PAYMENT_RESPONSE_META: Final = "x402/payment-response"
TOOL_SCHEME: Final = "mcp://tool/"


def tool_url(name: str) -> str:
    """The resource that a tool is."""
    return TOOL_SCHEME + name
