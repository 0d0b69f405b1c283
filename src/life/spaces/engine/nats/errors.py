"""Errors that only the NATS engine has.

SpacesError
├── SpacesUnavailableError
│   ├── OutcomeUnknownError   spaces.unavailable   503  no majority answered: carried out or not can't be known now
│   ├── CutOffError           spaces.unavailable   503  this hub has not heard from the log's leader for too long
│   └── NotDurableError       spaces.unavailable   503  the servers could lose what they acknowledge
└── StreamUnfitError          spaces.nats_stream   409  a JetStream stream of that name is something else
"""

from __future__ import annotations

from collections.abc import Sequence

from life.spaces.errors import SpacesError, SpacesUnavailableError


class OutcomeUnknownError(SpacesUnavailableError):
    """No majority of the servers answered in time. It was carried out or not; repeat it under the same key to learn which."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Whether the command was carried out is not known: {reason}.",
            next_step="Repeat it with the same key (or client_id); it is carried out once.",
            details={"outcome": "unknown"},
        )


class CutOffError(SpacesUnavailableError):
    """What this hub knows may be old, and somebody who was thrown out may not be known to be. Nothing is served from it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This hub has no contact with the log: {reason}.",
            next_step="Wait, or use another hub. A majority of the NATS servers must run and reach each other.",
        )


class NotDurableError(SpacesUnavailableError):
    """The log is not as durable as the settings ask. Nothing was written."""

    retryable = False

    def __init__(self, doubts: Sequence[str]) -> None:
        super().__init__(
            f"Spaces on these NATS servers would not be durable: {'; '.join(doubts)}.",
            next_step="Set `jetstream { sync_interval: always }` on every server and keep three copies, or accept it in so many "
            "words (--nats-accept-unverified) and know that acknowledged commands can be lost.",
            details={f"found_{number}": doubt for number, doubt in enumerate(doubts, 1)},
        )


class StreamUnfitError(SpacesError):
    """A stream of this name exists and can't hold a log of Spaces. It was not touched."""

    code = "spaces.nats_stream"
    status = 409

    def __init__(self, name: str, differences: Sequence[str]) -> None:
        super().__init__(
            f"The JetStream stream {name} can't hold a log of Spaces: {'; '.join(differences)}.",
            next_step="Use another name for the deployment, or move that stream away.",
            details={"stream": name},
        )
