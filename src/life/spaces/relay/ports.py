"""What Relay needs of a node's runtime. The host makes it of Arcan's session API (life.host.relay)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from life.spaces.relay.operations import Arguments


class Sessions(Protocol):
    """The sessions of a node. Who may ask for what has been checked before."""

    async def carry_out(
        self, operation: str, session: str, arguments: Arguments, *, command_id: str, owner: str
    ) -> bytes:
        """The result as JSON. LifeErrors are the runtime's refusals; UnavailableError: it did not happen;
        RelayOutcomeUnknownError: it may have."""
        ...

    def watch(self, session: str, branch: str, after: int) -> AsyncGenerator[bytes, None]:
        """The canonical records of a session's events after a sequence, then live, each as JSON. UnavailableError when the runtime is gone
        or the reader was too slow; it goes on after the last sequence that was seen."""
        ...
