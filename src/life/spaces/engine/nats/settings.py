"""How a deployment of Spaces is kept on NATS servers."""

from __future__ import annotations

from typing import Final, NamedTuple

from life.spaces.engine.nats.names import DEFAULT_NAME

PATIENCE_S: Final = 10.0
MAX_SKEW_US: Final = 60_000_000


class NatsSettings(NamedTuple):
    """How a deployment is kept on the servers."""

    name: str = DEFAULT_NAME
    replicas: int = 3
    accept_unverified: bool = False
    """Open a log that may lose what it acknowledged."""
    max_skew_us: int | None = MAX_SKEW_US
    """A hub whose clock differs more from the servers' writes nothing; None: it may differ."""
    patience_s: float = PATIENCE_S
    """How long a command waits for a majority of the servers."""
