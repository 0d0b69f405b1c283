"""The fleet: a session's run, the agents that work or worked for it, and theirs; with what each used.

It is read from the events: `arcan.subagent_started` names the children, the children's own sessions tell how they stand.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios import events
from life.aios.events.codec import read_custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.arcan.agents.events import SUBAGENT_STARTED, Spent, SubagentStarted
from life.arcan.checkpoints import SessionHistory
from life.arcan.errors import SessionNotFoundError
from life.arcan.session_state import SessionState, spent_of

MOST_NODES: Final = 1_024
_PAGE: Final = 500


class FleetNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session. `spent` holds what its children used as well, once they have ended."""

    session_id: str
    agent: str = ""
    """Empty: the runtime's own."""
    owner: str = ""
    call_id: str = ""
    """The call of its parent that it works for."""
    status: str
    """idle, running, paused, waiting, in_doubt, closed; `missing`: it was never begun."""
    reason: str = ""
    """Of a finished run."""
    model: str = ""
    steps: int = 0
    spent: Spent = Spent()
    waiting_for: str = ""
    """The tool that a person has to decide about."""
    approval_id: str = ""
    children: tuple[FleetNode, ...] = ()


async def read_fleet(journal: Journal, session_id: str, now_us: int, *, branch: str = MAIN_BRANCH) -> FleetNode:
    """The tree below a session, children in the order they were begun; from the journal alone, so it can be read beside whoever
    works. `now_us` (since the epoch) is for what open runs have worked. SessionNotFoundError."""
    return await _Reader(journal, now_us).node(Stream(session_id, branch), call_id="")


class _Reader:
    def __init__(self, journal: Journal, now_us: int) -> None:
        self._journal = journal
        self._history = SessionHistory(journal)
        self._now_us = now_us
        self._left = MOST_NODES

    async def node(self, stream: Stream, *, call_id: str) -> FleetNode:
        self._left -= 1
        state = await self._history.load(stream)
        if state.deleted or state.head == 0:
            raise SessionNotFoundError(stream.session_id)
        children: list[FleetNode] = []
        for child in await self._children(stream):
            if self._left <= 0:
                break
            try:
                children.append(await self.node(Stream(child.session_id), call_id=child.call_id))
            except SessionNotFoundError:
                children.append(
                    FleetNode(session_id=child.session_id, agent=child.agent, call_id=child.call_id, status="missing")
                )
        return _node(state, call_id, tuple(children), self._now_us)

    async def _children(self, stream: Stream) -> list[SubagentStarted]:
        """Of all runs of the session on this branch."""
        found: list[SubagentStarted] = []
        after = 0
        while True:
            query = EventQuery(stream.session_id, stream.branch_id, after_sequence=after, kinds=("Custom",))
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                after = record.sequence
                if isinstance(record.kind, events.Custom):
                    payload = read_custom(record.kind, SUBAGENT_STARTED, SubagentStarted)
                    if payload is not None:
                        found.append(payload)
            if len(page) < _PAGE:
                return found


def _node(state: SessionState, call_id: str, children: tuple[FleetNode, ...], now_us: int) -> FleetNode:
    run, last = state.run, state.last_run
    waiting = next((call for call in state.calls if call.phase in ("awaiting_approval", "in_doubt")), None)
    return FleetNode(
        session_id=state.session_id,
        agent=state.config.agent.name if state.config.agent is not None else "",
        owner=state.config.owner,
        call_id=call_id,
        status=state.status,
        reason="" if run is not None or last is None else last.reason,
        model=state.model,
        steps=run.steps if run is not None else last.steps if last is not None else 0,
        spent=spent_of(run, now_us) if run is not None else last.spent if last is not None else Spent(),
        waiting_for=waiting.tool_name if waiting is not None else "",
        approval_id=(waiting.approval_id or "") if waiting is not None else "",
        children=children,
    )
