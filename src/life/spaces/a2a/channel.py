"""Tasks told in Spaces: what happens to each stands in an agent log, signed by this agent (spaces.md §10.3).

    {"kind": "a2a.task", "agent": "…", "run_id": "…", "session_id": "…", "data": {"task_id": "…", "state": "working", …}}

The channel is one for everybody who may read it, so it says what moves, by whom and in which run, never what was said. Following it
(`channel:{id}`) is following every task; the run it names is the work itself, in the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal, Protocol

import msgspec

from life.aios.ids import derived_event_id
from life.spaces.a2a.ports import Told
from life.spaces.agent_events import MAX_FIELD, AgentEventBody
from life.spaces.commands import Command, LogEvent
from life.spaces.errors import SpacesConflictError, SpacesNotFoundError
from life.spaces.model import Channel, ChannelType
from life.spaces.queries import Answer, AnyQuery, Rows, TableQuery
from life.spaces.signatures import place_of

KIND: Final = "a2a.task"
MAX_LINE: Final = 500


class Seat(Protocol):
    """What is needed of a seat (life.spaces.seat.Seat)."""

    async def submit(self, command: Command, *, key: str | None = None, trace_id: str | None = None) -> object:
        """Carry a command out."""
        ...

    async def query(self, query: AnyQuery) -> Answer:
        """Answer a question."""
        ...

    async def sign(self, place: str, client_id: str, content: str) -> str:
        """Sign a message."""
        ...


class AgentLogChannel:
    """Posts into one AgentLog channel as this agent (life.spaces.a2a.ports.TaskChannel)."""

    def __init__(
        self, seat: Callable[[], Awaitable[Seat]], channel: str | int, *, agent_id: str, space_id: int = 1
    ) -> None:
        """`channel` is an id, or the name of an agent log in the space; it is looked up when the first task is told."""
        self._seat = seat
        self._channel = channel
        self._space_id = space_id
        self._agent_id = agent_id

    async def tell(self, told: Told) -> None:
        """See TaskChannel."""
        body = AgentEventBody(
            kind=KIND,
            agent=self._agent_id[:MAX_FIELD],
            run_id=told.run_id[:MAX_FIELD],
            session_id=told.session_id[:MAX_FIELD],
            severity=_severity(told.state),
            data={
                "task_id": told.task_id,
                "context_id": told.context_id,
                "owner": told.owner[:MAX_FIELD],
                "state": told.state,
                "line": told.line[:MAX_LINE],
            },
        )
        content = msgspec.json.encode(body).decode()
        client_id = derived_event_id("spaces.a2a_told", told.task_id, str(told.revision))
        seat = await self._seat()
        channel_id = await self._channel_id(seat)
        signature = await seat.sign(place_of(channel_id=channel_id), client_id, content)
        command = LogEvent(channel_id=channel_id, content=content, client_id=client_id, signature=signature)
        with suppress(SpacesConflictError):  # it was told before a restart, when less or more was known
            await seat.submit(command, trace_id=told.trace_id)

    async def _channel_id(self, seat: Seat) -> int:
        if isinstance(self._channel, int):
            return self._channel
        found = await seat.query(Rows(tables=(TableQuery(table="channel", where={"space_id": self._space_id}),)))
        name = self._channel.removeprefix("#")
        for row in found.rows:
            if isinstance(row, Channel) and row.channel_type is ChannelType.AGENT_LOG and row.name == name:
                self._channel = row.id
                return row.id
        raise SpacesNotFoundError(f"There is no agent log #{name} in space {self._space_id}.")


def _severity(state: str) -> Literal["info", "warning", "error"]:
    if state == "failed":
        return "error"
    return "warning" if state in ("rejected", "canceled") else "info"
