"""Messages, tasks and events as they travel: proto3 JSON of the package lf.a2a.v1 (A2A 1.0, "Data Model").

Names are camel case; what has its default is left out; unknown fields are passed over. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from life.aios.json import Json
from life.spaces.a2a.errors import InvalidParamsError

VERSION: Final = "1.0"
VERSION_HEADER: Final = "a2a-version"
EXTENSIONS_HEADER: Final = "a2a-extensions"
MEDIA_TYPE: Final = "application/a2a+json"
CARD_PATH: Final = "/.well-known/agent-card.json"

MAX_BODY_BYTES: Final = 1_048_576
MAX_PARTS: Final = 64
MAX_PART_CHARACTERS: Final = 262_144
MAX_IDS: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
Metadata = dict[str, Json]


class TaskState(StrEnum):
    """Where a task stands."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
    REJECTED = "TASK_STATE_REJECTED"
    AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"


TERMINAL: Final = frozenset((TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED))
INTERRUPTED: Final = frozenset((TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED))


class Role(StrEnum):
    """Who speaks: the client (user) or the agent."""

    USER = "ROLE_USER"
    AGENT = "ROLE_AGENT"


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The form that all of them share."""


class Part(_Wire, frozen=True, kw_only=True):
    """A piece of content: exactly one of `text`, `raw` (base64), `url`, `data` (any JSON)."""

    text: str | UnsetType = UNSET
    raw: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    data: Json | UnsetType = UNSET
    metadata: Metadata | None = None
    filename: str = ""
    media_type: str = ""


class Message(_Wire, frozen=True, kw_only=True):
    """One turn of the talk between client and agent."""

    message_id: Id
    context_id: str = ""
    task_id: str = ""
    role: Role
    parts: tuple[Part, ...]
    metadata: Metadata | None = None
    extensions: tuple[str, ...] = ()
    reference_task_ids: tuple[str, ...] = ()


class Artifact(_Wire, frozen=True, kw_only=True):
    """What a task brought forth."""

    artifact_id: str
    name: str = ""
    description: str = ""
    parts: tuple[Part, ...]
    metadata: Metadata | None = None
    extensions: tuple[str, ...] = ()


class TaskStatus(_Wire, frozen=True, kw_only=True):
    """The state of a task, a word of the agent about it, and since when."""

    state: TaskState
    message: Message | None = None
    timestamp: str = ""


class Task(_Wire, frozen=True, kw_only=True):
    """A piece of work."""

    id: str
    context_id: str = ""
    status: TaskStatus
    artifacts: tuple[Artifact, ...] = ()
    history: tuple[Message, ...] = ()
    metadata: Metadata | None = None


class StatusUpdate(_Wire, frozen=True, kw_only=True):
    """A task's status changed."""

    task_id: str
    context_id: str
    status: TaskStatus
    metadata: Metadata | None = None


class ArtifactUpdate(_Wire, frozen=True, kw_only=True):
    """An artifact, or with `append` more of one."""

    task_id: str
    context_id: str
    artifact: Artifact
    append: bool = False
    last_chunk: bool = False
    metadata: Metadata | None = None


class StreamResponse(_Wire, frozen=True, kw_only=True):
    """One event of a stream: exactly one field is there."""

    task: Task | None = None
    message: Message | None = None
    status_update: StatusUpdate | None = None
    artifact_update: ArtifactUpdate | None = None


class SendMessageResponse(_Wire, frozen=True, kw_only=True):
    """The answer to a message: a task, or (of simple agents) a message."""

    task: Task | None = None
    message: Message | None = None


class AuthenticationInfo(_Wire, frozen=True, kw_only=True):
    """How the receiver of notifications wants to be shown who calls."""

    scheme: str
    credentials: str = ""

    def __repr__(self) -> str:
        return f"AuthenticationInfo(scheme={self.scheme!r})"


class PushConfig(_Wire, frozen=True, kw_only=True):
    """Where a task's updates are posted."""

    tenant: str = ""
    id: str = ""
    task_id: str = ""
    url: str
    token: str = ""
    authentication: AuthenticationInfo | None = None

    def __repr__(self) -> str:
        return f"PushConfig(id={self.id!r}, task_id={self.task_id!r}, url={self.url!r})"


class SendConfiguration(_Wire, frozen=True, kw_only=True):
    """How the client wants to be answered."""

    accepted_output_modes: tuple[str, ...] = ()
    task_push_notification_config: PushConfig | None = None
    history_length: int | None = None
    return_immediately: bool = False


class SendMessageRequest(_Wire, frozen=True, kw_only=True):
    """SendMessage and SendStreamingMessage."""

    tenant: str = ""
    message: Message
    configuration: SendConfiguration | None = None
    metadata: Metadata | None = None


class TaskRequest(_Wire, frozen=True, kw_only=True):
    """GetTask, CancelTask and SubscribeToTask."""

    tenant: str = ""
    id: str
    history_length: int | None = None
    metadata: Metadata | None = None


class ListTasksRequest(_Wire, frozen=True, kw_only=True):
    """ListTasks."""

    tenant: str = ""
    context_id: str = ""
    status: TaskState | None = None
    page_size: int | None = None
    page_token: str = ""
    history_length: int | None = None
    status_timestamp_after: str = ""
    include_artifacts: bool = False


class ListTasksResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One page of the caller's tasks, the last changed first. Every field is always there."""

    tasks: tuple[Task, ...]
    next_page_token: str
    page_size: int
    total_size: int


class PushConfigRequest(_Wire, frozen=True, kw_only=True):
    """GetTaskPushNotificationConfig and DeleteTaskPushNotificationConfig."""

    tenant: str = ""
    task_id: str
    id: str


class ListPushConfigsRequest(_Wire, frozen=True, kw_only=True):
    """ListTaskPushNotificationConfigs."""

    tenant: str = ""
    task_id: str
    page_size: int | None = None
    page_token: str = ""


class ListPushConfigsResponse(_Wire, frozen=True, kw_only=True):
    """All configurations of a task."""

    configs: tuple[PushConfig, ...] = ()
    next_page_token: str = ""


class ExtendedCardRequest(_Wire, frozen=True, kw_only=True):
    """GetExtendedAgentCard."""

    tenant: str = ""


def timestamp(at_us: int) -> str:
    """RFC 3339 with milliseconds."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_timestamp(text: str) -> int:
    """Microseconds since the epoch; InvalidParamsError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParamsError("A timestamp is RFC 3339.") from None
    if at.tzinfo is None:
        raise InvalidParamsError("A timestamp has a zone.")
    return (at - _EPOCH) // timedelta(microseconds=1)


def check_message(message: Message) -> None:
    """InvalidParamsError unless the message is one that a client may send."""
    if message.role is not Role.USER:
        raise InvalidParamsError("A client's message has the role ROLE_USER.")
    if not 1 <= len(message.parts) <= MAX_PARTS:
        raise InvalidParamsError(f"A message has 1 to {MAX_PARTS} parts.")
    if len(message.extensions) > MAX_IDS or len(message.reference_task_ids) > MAX_IDS:
        raise InvalidParamsError(f"A message names at most {MAX_IDS} extensions and tasks.")
    for part in message.parts:
        if sum(content is not UNSET for content in (part.text, part.raw, part.url, part.data)) != 1:
            raise InvalidParamsError("A part has exactly one of text, raw, url and data.")


def text_part(text: str) -> Part:
    """Plain text."""
    return Part(text=text, media_type="text/plain")


def text_of(parts: tuple[Part, ...]) -> str:
    """All text of these parts."""
    return "\n\n".join(part.text for part in parts if isinstance(part.text, str))
