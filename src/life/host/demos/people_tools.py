"""The demos' tools that turn to people: a branch that is offered, a payment that is asked for."""

from __future__ import annotations

from typing import Annotated, Final

import httpx2

from life.aios.errors import PaymentError
from life.aios.events import Custom
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.aios.ports.journal import EventQuery
from life.aios.ports.tools import ToolContext, ToolOutcome
from life.aios.record import AGENT, EventWriter, Stream
from life.host.demos.tool_parts import DemoParts, failure_told
from life.workspace.demos.expects import BRANCH_OFFERED

_PAGE: Final = 1000
_Url = Annotated[str, "Absolute URL."]


class PeopleTools:
    """See `life.host.demos.tools`."""

    def __init__(self, parts: DemoParts) -> None:
        self._parts = parts

    async def offer_branch(
        self,
        title: Annotated[str, "What the other way is called."],
        reason: Annotated[str, "Why it may be worth trying."],
        message: Annotated[str, "The words to begin it with."],
        context: ToolContext,
    ) -> JsonObject:
        """Tell the person that this session could go another way from here; nothing happens by itself."""
        before = await self._last_words(context)
        offer: JsonObject = {"title": title, "reason": reason, "message": message, "before_sequence": before}
        await self._note(BRANCH_OFFERED, offer, context)
        return {"offered": title, "before_sequence": before}

    async def request_payment(self, url: _Url, context: ToolContext) -> ToolOutcome:
        """Ask the built-in buyer to pay for this run: it answers the price (402), a person decides, the money is settled."""
        try:
            receipt = await self._parts.buy(url, context)
        except PaymentError as refused:
            return ToolOutcome(status="error", output={"simulated": True, **failure_told(refused)})
        except httpx2.HTTPError as failure:
            return ToolOutcome(status="error", output={"simulated": True, **failure_told(failure)})
        return ToolOutcome(status="ok", output={"simulated": True, "buyer": "the built-in buyer", **receipt})

    async def _last_words(self, context: ToolContext) -> int:
        """The sequence of what the person said last on this branch; 0 where they said it on its parent."""
        query = EventQuery(context.session_id, context.branch_id, kinds=("UserMessage",))
        found = 0
        while page := await self._parts.journal.read(query, limit=_PAGE):
            found = page[-1].sequence
            query = query._replace(after_sequence=found)
        return found

    async def _note(self, event_type: str, data: JsonObject, context: ToolContext) -> None:
        await note(self._parts, event_type, data, context)


async def note(parts: DemoParts, event_type: str, data: JsonObject, context: ToolContext) -> None:
    """An event in the session's stream, once for each call."""
    writer = EventWriter(
        parts.clock,
        parts.entropy,
        agent_id=parts.agent_id,
        stream=Stream(context.session_id, context.branch_id),
        actor=AGENT,
    )
    event_id = derived_event_id(event_type, context.idempotency_key)
    if await parts.journal.get(event_id) is None:
        kind = Custom(event_type=event_type, data=data)
        await parts.journal.append([writer.event(kind, event_id=event_id, correlation_id=context.run_id)])
