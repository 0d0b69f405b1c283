"""haimad's application over a journal in memory, for tests of its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx2
from starlette.types import ASGIApp

from life.aios.ports.journal import Journal
from life.host.access import Access
from life.host.anima_verifier import open_identity_services
from life.host.haima_config import Prepared
from life.host.haima_facilitator import Settlement, open_settler
from life.host.haima_house import FinanceHouse, open_house
from life.host.haimad import haimad_app
from life.lago.journal.memory import MemoryJournal
from life.lago.snapshots import MemorySnapshots
from life.testing.clock import ManualClock, SeededEntropy
from life.vigil.telemetry import LiveTelemetry

TOKEN = "t" * 43
KNOWN = {"authorization": f"Bearer {TOKEN}"}
USER_SECRET = "s" * 48


class Daemon(NamedTuple):
    """The parts that a test looks at."""

    client: httpx2.AsyncClient
    journal: Journal
    house: FinanceHouse
    clock: ManualClock
    app: ASGIApp

    async def post(
        self, path: str, body: object = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """A command of the operator."""
        named = {**KNOWN, **(headers or {}), **({"idempotency-key": key} if key else {})}
        return await self.client.post(path, json=body if body is not None else {}, headers=named)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        """A question of the operator."""
        return await self.client.get(path, headers=headers or KNOWN)


@asynccontextmanager
async def _watched(journal: MemoryJournal, telemetry: LiveTelemetry | None) -> AsyncIterator[Journal]:
    yield journal if telemetry is None else telemetry.watch(journal)


@asynccontextmanager
async def open_daemon(
    prepared: Prepared | None = None, *, legacy_status: bool = False, telemetry: LiveTelemetry | None = None
) -> AsyncIterator[Daemon]:
    """The application without its jobs; users' tokens are accepted under `USER_SECRET`."""
    clock, entropy = ManualClock(), SeededEntropy("haimad")
    async with (
        MemoryJournal() as memory,
        _watched(memory, telemetry) as journal,
        open_settler(Settlement("local"), journal, clock, entropy) as settler,
        open_house(journal, MemorySnapshots(), clock, entropy, prepared or Prepared()) as house,
        open_identity_services(
            journal,
            clock=clock,
            directory=None,
            daemon="haimad",
            environment={"HAIMA_JWT_SECRET": USER_SECRET},
            secret_variables=("HAIMA_JWT_SECRET",),
        ) as services,
    ):
        app = haimad_app(
            settler.facilitator,
            journal,
            house,
            Access(TOKEN, clock, entropy),
            TOKEN,
            services,
            clock,
            hosts=["haimad"],
            legacy_status=legacy_status,
            telemetry=telemetry,
        )
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://haimad") as client:
            yield Daemon(client, journal, house, clock, app)
