"""History from a running arcand, over the routes that serve the workspace page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import LifeError, NotFoundError
from life.aios.record import EventRecord, Stream
from life.arcan.approvals import PendingApproval
from life.cli.chat.reader import MOST_FOUND, About, Block, Found, PaymentQuestion, Wanted, expiries
from life.cli.session_daemon import DaemonClient


class _Block(msgspec.Struct):
    head: int
    base: int
    state: msgspec.Raw
    events: list[msgspec.Raw]


class _Hit(msgspec.Struct):
    sequence: int
    kind: str


class _Search(msgspec.Struct):
    found: list[_Hit]
    complete: bool


class _Money(msgspec.Struct):
    events: list[msgspec.Raw]


class _Payments(msgspec.Struct):
    approvals: list[PaymentQuestion]


_MOST_PAGES: Final = 40
"""How often a search goes on when most of what was found is left out."""


class DaemonReader:
    """`Reader` over HTTP."""

    def __init__(self, client: DaemonClient) -> None:
        self._client = client
        self._about: About | None = None

    async def block(self, stream: Stream, at: int | None = None) -> Block:
        """See Reader."""
        query = {"branch": stream.branch_id} | ({} if at is None else {"at": str(max(at, 1))})
        told = await self._client.ask("GET", f"{_workspace(stream)}/block", _Block, query=query)
        records = [decode_record(bytes(raw)) for raw in told.events]
        return Block(told.head, told.base, bytes(told.state), records)

    async def search(self, stream: Stream, wanted: Wanted, through: int) -> Found:
        """See Reader."""
        found: list[int] = []
        for _ in range(_MOST_PAGES):
            query = {
                "branch": stream.branch_id,
                "q": " ".join(wanted.words),
                "kind": ",".join(wanted.kinds),
                "at": str(through),
                "limit": str(MOST_FOUND),
            }
            told = await self._client.ask("GET", f"{_workspace(stream)}/search", _Search, query=query)
            found += [hit.sequence for hit in told.found if not hit.kind.startswith(wanted.unlike or ("\0",))]
            if told.complete or len(found) >= MOST_FOUND:
                return Found(tuple(found[:MOST_FOUND]), complete=told.complete and len(found) <= MOST_FOUND)
            through = told.found[-1].sequence - 1
        return Found(tuple(found), complete=False)

    async def content(self, stream: Stream, hash: str) -> bytes:
        """See Reader."""
        path = f"{_workspace(stream)}/files/{quote(hash, safe='')}"
        return await self._client.bytes_of(path, query={"branch": stream.branch_id})

    async def money(self, session_id: str) -> Sequence[EventRecord]:
        """See Reader."""
        told = await self._client.ask("GET", f"{_workspace(Stream(session_id, ''))}/money", _Money)
        return [decode_record(bytes(raw)) for raw in told.events]

    async def about(self) -> About | None:
        """See Reader."""
        if self._about is None:
            try:
                self._about = await self._client.ask("GET", "/workspace/about", About)
            except LifeError:
                return None  # an older daemon tells less
        return self._about

    async def deadlines(self) -> Mapping[str, int]:
        """See Reader."""
        return expiries(await self._client.ask("GET", "/approvals", list[PendingApproval]))

    async def payments(self) -> Sequence[PaymentQuestion]:
        """See Reader."""
        try:
            return (await self._client.ask("GET", "/v1/approvals", _Payments)).approvals
        except NotFoundError:
            return ()

    async def decide_payment(self, ticket_id: str, *, approved: bool, reason: str | None) -> None:
        """See Reader."""
        body = {"decision": "approve" if approved else "deny", "reason": reason}
        await self._client.ask("POST", f"/v1/approvals/{quote(ticket_id, safe='')}", PaymentQuestion, body=body)


def _workspace(stream: Stream) -> str:
    return f"/sessions/{quote(stream.session_id, safe='')}/workspace"
