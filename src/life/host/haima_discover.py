"""Looking for paid resources, from the command line or a program."""

from __future__ import annotations

from life.haima.x402.discovery import AGENTIC_MARKET, Discovery, Offering
from life.host.clock import SystemClock


async def discover(
    query: str | None, *, facilitator: str | None, limit: int, allow_plain_http: bool = False
) -> tuple[Offering, ...]:
    """What a facilitator's catalogue has (or agentic.market, when none is named): all of it, or what fits a query.

    InvalidInputError for an address that can't be right; UnavailableError when the catalogue does not answer.
    """
    clock = SystemClock()
    if facilitator is None:
        source = Discovery(AGENTIC_MARKET, clock, source="agentic_market")
    else:
        source = Discovery(facilitator, clock, allow_plain_http=allow_plain_http, max_offerings=max(limit, 1))
    async with source as discovery:
        if query is not None:
            return await discovery.search(query, limit=min(limit, 100))
        return (await discovery.offerings())[:limit]


__all__ = ["discover"]
