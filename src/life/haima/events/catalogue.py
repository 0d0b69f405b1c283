"""What a facilitator lists (life.haima.x402.catalogue)."""

from __future__ import annotations

from msgspec import Raw

from life.haima.events.finance_event import FinanceEvent


class ResourceListed(FinanceEvent, frozen=True, kw_only=True):
    """A settled payment described a paid resource."""

    entry: str
    """What makes it the same entry: medium, address, method or tool, and payee."""
    medium: str
    """`http` or `mcp`."""
    resource: str
    """Its URL, with a template in place of a path with parameters."""
    method: str
    tool: str
    pay_to: str
    accepted: Raw
    """The terms that were paid."""
    declaration: Raw
    """`info`, `schema` and perhaps `routeTemplate`."""
    description: str | None = None
    mime_type: str | None = None
    service_name: str | None = None
    tags: tuple[str, ...] = ()
    icon_url: str | None = None
