"""What happens to tasks, as signed events in an agent log of Spaces, where people and other agents watch.

Each is an AgentEvent of the kind `a2a.task` with the task, its context and whose it is; never what was said. Sending one twice is one
event. A log that does not take it (closed, full, no permission) holds no task up: it is noted here and passed over.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

import msgspec

from life.aios.errors import LifeError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock
from life.spaces.a2a.ports import TokenSigner
from life.spaces.agent_events import AgentEventBody
from life.spaces.commands import Command, LogEvent
from life.spaces.engine.port import Result
from life.spaces.identity import Caller
from life.spaces.signatures import TYP, claims_for, place_of

KIND: Final = "a2a.task"
_log: Final = logging.getLogger("life.spaces.a2a")


class Engine(Protocol):
    """What is needed of an engine (life.spaces.engine.port.Engine)."""

    async def submit(
        self, command: Command, caller: Caller, *, key: str | None = None, trace_id: str | None = None
    ) -> Result:
        """Carry a command out."""
        ...


class AgentLogChannel:
    """Posts into one AgentLog channel as this agent (life.spaces.a2a.ports.TaskChannel)."""

    def __init__(
        self, engine: Engine, caller: Caller, channel_id: int, signer: TokenSigner, clock: Clock, *, agent_id: str
    ) -> None:
        """`caller` has logged in with the key that `signer` signs with."""
        self._engine = engine
        self._caller = caller
        self._channel_id = channel_id
        self._signer = signer
        self._clock = clock
        self._agent_id = agent_id

    async def tell(self, owner: str, context_id: str, task_id: str, line: str) -> None:
        """See TaskChannel."""
        body = AgentEventBody(
            kind=KIND,
            agent=self._agent_id[:256],
            data={"task_id": task_id, "context_id": context_id, "owner": owner[:256], "line": line[:500]},
        )
        content = msgspec.json.encode(body).decode()
        client_id = derived_event_id("spaces.a2a_told", task_id, line)
        claims = claims_for(
            sender=self._caller.identity,
            place=place_of(channel_id=self._channel_id),
            client_id=client_id,
            content=content,
            now_s=self._clock.now_us() // 1_000_000,
        )
        try:
            signature = await self._signer.sign_token(msgspec.to_builtins(claims), typ=TYP)
            command = LogEvent(channel_id=self._channel_id, content=content, client_id=client_id, signature=signature)
            await self._engine.submit(command, self._caller)
        except LifeError as error:
            _log.warning("Task %s was not told to the agent log: %s", task_id, error.message)
