"""How long a connection may take to say what it wants: requests that never end are let go (slowloris).

Uvicorn closes connections that idle between requests; one that sends a byte of its head now and then, or none at all, it keeps, and a
head may be of any size. Here a head has `HEAD_PATIENCE_S` from its first byte (the first one from the connection's beginning) and at
most `HEAD_BYTES`, and a body has to bring `BODY_BYTES` in `BODY_PATIENCE_S`, unless we are the ones who don't read.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

HEAD_PATIENCE_S: Final = 10.0
HEAD_BYTES: Final = 64 * 1024
BODY_PATIENCE_S: Final = 20.0
BODY_BYTES: Final = 20 * 1024


def patient(fast: bool) -> type[asyncio.Protocol]:
    """Uvicorn's protocol for HTTP (on httptools, or on h11) with patience."""
    base: Any
    if fast:
        from uvicorn.protocols.http import httptools_impl

        base = httptools_impl.HttpToolsProtocol
    else:
        from uvicorn.protocols.http import h11_impl

        base = h11_impl.H11Protocol

    class Patient(base):  # type: ignore[misc]  # chosen above
        """One connection."""

        _waiting: asyncio.TimerHandle | None = None
        _waits_for_body = False
        _received = 0

        def connection_made(self, transport: Any) -> None:
            """Begin to wait for the first request."""
            super().connection_made(transport)
            self._judge()

        def data_received(self, data: bytes) -> None:
            """Count, and look what is waited for now."""
            self._received += len(data)
            super().data_received(data)
            self._judge()

        def connection_lost(self, exc: Exception | None) -> None:
            """Nothing more to wait for."""
            self._stop()
            super().connection_lost(exc)

        def _judge(self) -> None:
            if self.transport.get_protocol() is not self:  # it is a WebSocket now
                self._stop()
                return
            cycle = self.cycle
            if cycle is None or (cycle.response_complete and not cycle.more_body):
                if self._waiting is None or self._waits_for_body:
                    self._received = 0
                    self._wait(HEAD_PATIENCE_S, is_body=False)
                elif self._received > HEAD_BYTES:
                    self.transport.abort()
            elif cycle.more_body:
                if self._waiting is None or not self._waits_for_body:
                    self._received = 0
                    self._wait(BODY_PATIENCE_S, is_body=True)
            else:
                self._stop()

        def _wait(self, patience_s: float, *, is_body: bool) -> None:
            self._stop()
            self._waits_for_body = is_body
            self._waiting = self.loop.call_later(patience_s, self._over)

        def _stop(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _over(self) -> None:
            self._waiting = None
            if self._waits_for_body:
                if not self.cycle.more_body:
                    return
                if self.flow.read_paused or self._received >= BODY_BYTES:
                    self._received = 0
                    self._wait(BODY_PATIENCE_S, is_body=True)
                    return
            if not self.transport.is_closing():
                self.transport.abort()

    return Patient
