"""What is written to the journal about tasks: `spaces.a2a_…`, all in one stream.

Text of the model is not repeated here while it is written; it stands in the session of the run. A task's end carries its artifacts,
so that old tasks are read without their sessions. Tokens and credentials of push configurations are sealed.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from life.aios.events.codec import custom, read_custom
from life.aios.events.kind import Custom, Kind
from life.aios.json import Json
from life.aios.record import Stream
from life.spaces.a2a.wire import Artifact, Message, TaskState

TASKS: Final = Stream("spaces:a2a")
"""Where they stand."""


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all of them share."""

    task_id: str


class TaskOpened(_Fact, frozen=True, kw_only=True):
    """A client asked for something. `skill_id` is empty when it named none."""

    context_id: str
    owner: str
    message: Message
    skill_id: str = ""
    is_paid: bool = False
    """Whether the work begins only after a payment."""


class MessageAdded(_Fact, frozen=True, kw_only=True):
    """The client said more."""

    message: Message


class StatusSet(_Fact, frozen=True, kw_only=True):
    """The task moved on, or stands as it stood with another word about it."""

    state: TaskState
    message: Message | None = None
    artifacts: tuple[Artifact, ...] = ()
    waits_for: str = ""
    """The approval that the client may answer."""


class PaymentSubmitted(_Fact, frozen=True, kw_only=True):
    """The client brought a payment. Nothing was settled yet."""

    payload: Json


class PaymentEnded(_Fact, frozen=True, kw_only=True):
    """The payment was settled, or refused for good."""

    is_paid: bool
    receipt: Json = None
    error: str = ""


class PushSet(_Fact, frozen=True, kw_only=True):
    """Updates go to this address. `secrets`: token and credentials, sealed."""

    config_id: str
    url: str
    secrets: str
    revision: int = 0
    """The update after which posting begins."""


class PushDeleted(_Fact, frozen=True, kw_only=True):
    """They do not go there any more."""

    config_id: str


class Pushed(_Fact, frozen=True, kw_only=True):
    """The update with this number was posted, or given up."""

    config_id: str
    revision: int
    status: int
    error: str = ""


Fact: TypeAlias = (
    TaskOpened | MessageAdded | StatusSet | PaymentSubmitted | PaymentEnded | PushSet | PushDeleted | Pushed
)

NAMES: Final[dict[type[Fact], str]] = {
    TaskOpened: "spaces.a2a_task_opened",
    MessageAdded: "spaces.a2a_message_added",
    StatusSet: "spaces.a2a_status_set",
    PaymentSubmitted: "spaces.a2a_payment_submitted",
    PaymentEnded: "spaces.a2a_payment_ended",
    PushSet: "spaces.a2a_push_set",
    PushDeleted: "spaces.a2a_push_deleted",
    Pushed: "spaces.a2a_pushed",
}
_KINDS: Final = {name: kind for kind, name in NAMES.items()}


def fact_event(fact: Fact) -> Custom:
    """The event of a fact."""
    return custom(NAMES[type(fact)], fact)


def read_fact(kind: Kind) -> Fact | None:
    """The fact in an event; None when it is another event or does not fit."""
    if not isinstance(kind, Custom):
        return None
    wanted = _KINDS.get(kind.event_type)
    return None if wanted is None else read_custom(kind, kind.event_type, wanted)
