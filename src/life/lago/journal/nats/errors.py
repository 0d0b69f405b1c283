"""Errors that only the NATS engine has.

LifeError
├── JournalError
│   ├── JournalNotDurableError  lago.not_durable       409  the servers would acknowledge before the bytes are on disk
│   ├── StreamUnfitError        lago.nats_stream       409  a JetStream stream of that name is set up in another way
│   ├── BatchTooLargeError      lago.batch_too_large   413  more events at once than the server takes in one batch
│   └── JournalUnavailableError
│       ├── OutcomeUnknownError journal.unavailable    503  no majority answered in time: stored or not can't be known now
│       └── TornBatchError      lago.torn_batch        507  a server without room stored part of a batch
└── UnavailableError
    └── NatsServerError         lago.nats_server       503  the bundled server could not be started or stopped
"""

from __future__ import annotations

from collections.abc import Sequence

from life.aios.errors import JournalError, JournalUnavailableError, UnavailableError


class JournalNotDurableError(JournalError):
    """The stream is not as durable as the settings ask; `found` says in which ways. Nothing was written."""

    code = "lago.not_durable"
    status = 409

    def __init__(self, found: Sequence[str]) -> None:
        super().__init__(
            f"The NATS journal is not durable: {'; '.join(found)}.",
            next_step="Set `jetstream { sync_interval: always }` on every server and give the stream its replicas, "
            "or open the journal with durability 'accept' and know that acknowledged events can be lost.",
            details={f"found_{number}": reason for number, reason in enumerate(found, 1)},
        )


class StreamUnfitError(JournalError):
    """A stream of this name exists and can't hold a journal. It was not touched."""

    code = "lago.nats_stream"
    status = 409

    def __init__(self, name: str, differences: Sequence[str]) -> None:
        super().__init__(
            f"The JetStream stream {name} can't hold a journal: {'; '.join(differences)}.",
            next_step="Use another name for the journal, or move that stream away.",
            details={"stream": name},
        )


class BatchTooLargeError(JournalError):
    """The batch has more messages than the server takes at once. Nothing of it is stored."""

    code = "lago.batch_too_large"
    status = 413

    def __init__(self, events: int, reason: str) -> None:
        super().__init__(
            f"The NATS server refuses a batch of {events} events: {reason}.",
            next_step="Append fewer events at once, or raise `jetstream { limits { batch { max_msgs } } }` on the servers.",
            details={"events": events},
        )


class OutcomeUnknownError(JournalUnavailableError):
    """No majority of the servers answered in time. The batch is there whole or not at all; appending it again is safe."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The NATS journal did not acknowledge the events: {reason}.",
            next_step="Append the same events again when a majority of the servers is back; they are stored once.",
            details={"outcome": "unknown"},
        )


class TornBatchError(JournalUnavailableError):
    """A single server ran out of room in the middle of a batch and kept its beginning. The only case in which a batch is
    not whole; a cluster stops taking batches instead."""

    code = "lago.torn_batch"
    status = 507

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The NATS server stored only part of the batch: {reason}.",
            next_step="Make room for the server and append the same events again, without an expected head: what is "
            "missing is stored then.",
            details={"outcome": "torn"},
        )


class NatsServerError(UnavailableError):
    """The bundled NATS server did not start, or another one uses its folder."""

    code = "lago.nats_server"
