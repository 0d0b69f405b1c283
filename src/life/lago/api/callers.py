"""Who asks, as the routes see it. The host knows how callers prove who they are, and hands in a reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import Request

from life.aios.record import Actor
from life.lago.owners.names import OPERATOR


class Caller(NamedTuple):
    """A caller that was let in."""

    owner: str
    """`operator`, `user:<sub>` or `agent:<agent id>`."""
    agent_id: str
    """As whom its events are written."""
    actor: Actor

    @property
    def is_operator(self) -> bool:
        """Whether it showed the daemon's own token."""
        return self.owner == OPERATOR


CallerReader = Callable[[Request], Caller]
"""Who made a request; never anonymous, the host refuses those before."""
