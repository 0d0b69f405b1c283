"""What the demos' tools work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from life.aios.errors import LifeError
from life.aios.json import Json, JsonObject
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.tools import ToolContext
from life.praxis.egress import EgressClient
from life.praxis.workspace import WorkspacePolicy

CATEGORY: Final = "demo"
PERSON_WAIT_S: Final = 900
MOST_FILE_BYTES: Final = 4 * 1_048_576


class DemoParts(NamedTuple):
    """What the tools work with."""

    client: EgressClient
    blobs: Blobs
    journal: Journal
    clock: Clock
    entropy: Entropy
    agent_id: str
    workspace: WorkspacePolicy
    buy: Callable[[str, ToolContext], Awaitable[JsonObject]]
    """Lets the built-in buyer buy what a URL sells; the receipt."""


def failure_told(failure: Exception) -> dict[str, Json]:
    """A failed request as the model reads it."""
    if isinstance(failure, LifeError):
        return {"error": failure.message, "code": failure.code}
    return {"error": f"No connection ({type(failure).__name__}).", "code": "praxis.fetch"}
