"""What the pages, commands and routes ask of homeostasis, and the pictures they get."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from life.aios.events import Kind
from life.aios.record import EventRecord, Stream
from life.autonomic.profile import Verdict
from life.autonomic.stability import StabilityBudget
from life.autonomic.state import HomeostaticState


class Picture(NamedTuple):
    """A session as homeostasis sees it now."""

    found: bool
    """Whether the journal has anything of it."""
    state: HomeostaticState
    verdict: Verdict
    news: tuple[Kind, ...]
    """What would be put on record about it."""


class AgentPicture(NamedTuple):
    """An agent over all its sessions."""

    found: bool
    state: HomeostaticState
    stability: StabilityBudget
    sessions: int
    suspended: int


class Desk(Protocol):
    """Homeostasis for those who only look, and for the one who publishes."""

    async def picture(self, stream: Stream) -> Picture:
        """A session as it stands."""
        ...

    def agent(self, agent_id: str) -> AgentPicture:
        """An agent as it stands."""
        ...

    async def publish(self, stream: Stream, events: tuple[Kind, ...]) -> int:
        """Put events on record in a session's stream; the sequence of the last one, 0 for none."""
        ...

    async def history(self, stream: Stream, limit: int) -> list[EventRecord]:
        """The newest `autonomic.*` events of a session, oldest first."""
        ...

    def metrics(self) -> str:
        """The daemon's metrics, as Prometheus text."""
        ...
