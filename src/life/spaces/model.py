"""The tables of Spaces: one struct per row (spaces.md §2.2 and §15, with the constraints that the original lacked).

Every row is immutable; a change is a new row with the same key. `KEY` names the fields of the primary key (the table's
uniqueness), `INDEXES` those that rows are found by, `ORDERED` the indexes that list keys in ascending order for paging.
`SIGHT` says by which rule a row is visible (life.spaces.visibility).

Identities are 64 hex digits (life.spaces.identity). Times are microseconds since the epoch, ids count from 1 per table and
are never used twice. 0 stands for "none" where an id is part of a key (`thread_id`, `channel_id` of a mute).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final, Literal

import msgspec


class Role(StrEnum):
    """The five tiers."""

    OWNER = "Owner"
    ADMIN = "Admin"
    MODERATOR = "Moderator"
    MEMBER = "Member"
    AGENT = "Agent"

    @property
    def level(self) -> int:
        """50 for the Owner down to 10 for an Agent: five different levels (W7)."""
        return _LEVELS[self]


_LEVELS: Final = {Role.OWNER: 50, Role.ADMIN: 40, Role.MODERATOR: 30, Role.MEMBER: 20, Role.AGENT: 10}


class ChannelType(StrEnum):
    """What a channel takes: text; signalling of voice calls; news by few; structured events of agents."""

    TEXT = "Text"
    VOICE = "Voice"
    ANNOUNCEMENT = "Announcement"
    AGENT_LOG = "AgentLog"


TAKES_TEXT: Final = frozenset({ChannelType.TEXT, ChannelType.ANNOUNCEMENT})
"""Channels with messages in words."""


class MessageType(StrEnum):
    """Clients make Text and AgentEvent; the others are written by the server."""

    TEXT = "Text"
    SYSTEM = "System"
    AGENT_EVENT = "AgentEvent"
    JOIN = "Join"
    LEAVE = "Leave"


Visibility = Literal["public", "invite", "private"]
"""Of a space: anybody joins; joins by invitation but is listed; not even listed."""
Effect = Literal["allow", "deny"]
Sight = Literal[
    "everybody", "space", "listed", "channel", "own", "conversation", "moderators", "admins", "task", "nobody"
]
"""Who sees a row: see life.spaces.visibility."""
PresenceState = Literal["online", "idle", "busy", "offline"]


class Row(msgspec.Struct, frozen=True, kw_only=True, tag_field="table", omit_defaults=True):
    """A row of any table."""

    KEY: ClassVar[tuple[str, ...]] = ("id",)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = ()
    ORDERED: ClassVar[tuple[tuple[str, ...], ...]] = ()
    SIGHT: ClassVar[Sight] = "nobody"
    OWNERS: ClassVar[tuple[str, ...]] = ()
    """Fields that hold the identities a row belongs to, for the sights `own` and `task`."""


class Profile(Row, frozen=True, kw_only=True, tag="user_profile"):
    """Somebody who has been here."""

    KEY = ("identity",)
    INDEXES = (("username_key",),)
    SIGHT = "everybody"

    identity: str
    username: str
    username_key: str
    """The name as it is compared: NFKC, without case. Unique."""
    did: str
    is_agent: bool
    display_name: str | None = None
    avatar_url: str | None = None
    bio: str | None = None
    dm_from_agents: bool = False
    """Whether agents may write without a common space."""
    created_us: int


class UserKey(Row, frozen=True, kw_only=True, tag="user_key"):
    """A key that has logged in as an identity: what signatures are checked against."""

    KEY = ("identity", "key")
    INDEXES = (("identity",),)
    SIGHT = "everybody"

    identity: str
    key: str
    since_us: int


class Space(Row, frozen=True, kw_only=True, tag="server"):
    """A space; the original calls it a server, and so does its table."""

    SIGHT = "listed"

    id: int
    name: str
    description: str | None = None
    icon_url: str | None = None
    owner: str
    visibility: Visibility = "public"
    created_us: int


class Member(Row, frozen=True, kw_only=True, tag="server_member"):
    """A membership."""

    KEY = ("space_id", "identity")
    INDEXES = (("space_id",), ("identity",))
    SIGHT = "space"

    space_id: int
    identity: str
    role: Role
    joined_us: int


class Channel(Row, frozen=True, kw_only=True, tag="channel"):
    """A channel of a space."""

    INDEXES = (("space_id",),)
    SIGHT = "channel"

    id: int
    space_id: int
    name: str
    topic: str | None = None
    channel_type: ChannelType = ChannelType.TEXT
    position: int = 0
    slow_mode_s: int = 0
    created_us: int


class Override(Row, frozen=True, kw_only=True, tag="space_role_override"):
    """One permission of one role or identity in one channel. `subject` is `role:Member` or `identity:<hex>`."""

    KEY = ("channel_id", "subject", "permission")
    INDEXES = (("channel_id",), ("space_id",))
    SIGHT = "channel"

    channel_id: int
    space_id: int
    subject: str
    permission: str
    effect: Effect


class Thread(Row, frozen=True, kw_only=True, tag="thread"):
    """A thread of a channel."""

    INDEXES = (("channel_id",), ("space_id",))
    SIGHT = "channel"

    id: int
    channel_id: int
    space_id: int
    name: str
    creator: str
    created_us: int
    archived: bool = False
    last_message_us: int
    opener_id: int
    auto_archive_s: int = 0
    """Idle time after which it counts as archived; 0 never."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A content in the blob store; never inline."""

    digest: str
    media_type: str
    size_bytes: int
    name: str | None = None


class Message(Row, frozen=True, kw_only=True, tag="message"):
    """A message of a channel. `content` of an AgentEvent is the JSON of `AgentEventBody`."""

    ORDERED = (("channel_id",), ("channel_id", "thread_id"))
    SIGHT = "channel"

    id: int
    space_id: int
    channel_id: int
    thread_id: int = 0
    sender: str
    content: str
    message_type: MessageType = MessageType.TEXT
    created_us: int
    edited_us: int | None = None
    version: int = 1
    reply_to_id: int | None = None
    client_id: str | None = None
    """The sender's own id of the message; a repeat of it is the same message."""
    attachments: tuple[Attachment, ...] = ()
    signature: str | None = None
    """The sender's JWS over the canonical message (life.spaces.signatures)."""


class MessageEdit(Row, frozen=True, kw_only=True, tag="message_edit"):
    """What a message said before an edit. Moderators and its sender see it."""

    KEY = ("message_id", "version")
    INDEXES = (("message_id",), ("channel_id",), ("space_id",))
    SIGHT = "moderators"
    OWNERS = ("sender",)

    message_id: int
    version: int
    space_id: int
    channel_id: int
    sender: str
    content: str
    at_us: int


class Tombstone(Row, frozen=True, kw_only=True, tag="message_tombstone"):
    """What is left of a deleted message; replies keep a target."""

    KEY = ("message_id",)
    ORDERED = (("channel_id",), ("channel_id", "thread_id"))
    SIGHT = "channel"

    message_id: int
    space_id: int
    channel_id: int
    thread_id: int = 0
    sender: str
    deleted_by: str
    reason: str | None = None
    at_us: int


class Reaction(Row, frozen=True, kw_only=True, tag="reaction"):
    """A reaction; the same emoji once per identity and message."""

    KEY = ("message_id", "identity", "emoji")
    INDEXES = (("message_id",), ("channel_id",))
    SIGHT = "channel"

    message_id: int
    identity: str
    emoji: str
    space_id: int
    channel_id: int
    at_us: int


class Pin(Row, frozen=True, kw_only=True, tag="pin"):
    """A pinned message."""

    KEY = ("channel_id", "message_id")
    INDEXES = (("channel_id",),)
    SIGHT = "channel"

    channel_id: int
    message_id: int
    space_id: int
    by: str
    at_us: int


MentionKind = Literal["user", "role", "everyone", "channel"]


class Mention(Row, frozen=True, kw_only=True, tag="mention"):
    """Whom a message names: an identity, a role's name, `everyone`, or a channel's id."""

    KEY = ("message_id", "kind", "target")
    INDEXES = (("message_id",), ("channel_id",))
    SIGHT = "channel"

    message_id: int
    kind: MentionKind
    target: str
    space_id: int
    channel_id: int


class ReadState(Row, frozen=True, kw_only=True, tag="channel_read_state"):
    """Up to which message somebody has read a channel (thread 0) or thread. Never moves back."""

    KEY = ("identity", "channel_id", "thread_id")
    INDEXES = (("identity",), ("channel_id",))
    SIGHT = "own"
    OWNERS = ("identity",)

    identity: str
    channel_id: int
    thread_id: int = 0
    last_read_id: int


class VoiceMember(Row, frozen=True, kw_only=True, tag="voice_member"):
    """Somebody in a voice channel's roster, while `until_us` lies ahead."""

    KEY = ("channel_id", "identity")
    INDEXES = (("channel_id",), ("identity",))
    SIGHT = "channel"

    channel_id: int
    identity: str
    space_id: int
    joined_us: int
    until_us: int


class SlowMode(Row, frozen=True, kw_only=True, tag="slow_mode"):
    """When somebody last wrote into a channel with slow mode."""

    KEY = ("channel_id", "identity")
    INDEXES = (("channel_id",),)
    SIGHT = "nobody"

    channel_id: int
    identity: str
    last_us: int


class Conversation(Row, frozen=True, kw_only=True, tag="direct_conversation"):
    """A direct conversation of two, or a group of up to ten. `pair` is both identities in order, for two; else empty."""

    INDEXES = (("pair",),)
    SIGHT = "conversation"

    id: int
    pair: str
    title: str | None = None
    creator: str
    created_us: int
    last_message_us: int


class Participant(Row, frozen=True, kw_only=True, tag="dm_participant"):
    """Somebody in a conversation, with how far they have read."""

    KEY = ("conversation_id", "identity")
    INDEXES = (("conversation_id",), ("identity",))
    SIGHT = "conversation"

    conversation_id: int
    identity: str
    last_read_id: int = 0
    joined_us: int


class DirectMessage(Row, frozen=True, kw_only=True, tag="direct_message"):
    """A message of a conversation. `sealed`: the content is encrypted to the participants and opaque here."""

    ORDERED = (("conversation_id",),)
    SIGHT = "conversation"

    id: int
    conversation_id: int
    sender: str
    content: str
    created_us: int
    edited_us: int | None = None
    sealed: bool = False
    client_id: str | None = None
    signature: str | None = None


class Block(Row, frozen=True, kw_only=True, tag="block"):
    """`identity` wants nothing from `blocked`. Only `identity` sees it."""

    KEY = ("identity", "blocked")
    INDEXES = (("identity",),)
    SIGHT = "own"
    OWNERS = ("identity",)

    identity: str
    blocked: str
    at_us: int


class Invite(Row, frozen=True, kw_only=True, tag="invite"):
    """A code to join by. `max_uses` 0 is without limit."""

    KEY = ("code",)
    INDEXES = (("space_id",),)
    SIGHT = "admins"

    code: str
    space_id: int
    role: Role
    max_uses: int = 0
    uses: int = 0
    expires_us: int | None = None
    created_by: str
    created_us: int


class Ban(Row, frozen=True, kw_only=True, tag="ban"):
    """Somebody who may not come back, until a time or for good (None)."""

    KEY = ("space_id", "identity")
    INDEXES = (("space_id",),)
    SIGHT = "moderators"
    OWNERS = ("identity",)

    space_id: int
    identity: str
    did: str
    until_us: int | None = None
    reason: str | None = None
    by: str
    at_us: int


class Mute(Row, frozen=True, kw_only=True, tag="mute"):
    """Somebody who may read but not write, in a channel or (0) the whole space."""

    KEY = ("space_id", "identity", "channel_id")
    INDEXES = (("space_id", "identity"), ("space_id",), ("channel_id",))
    SIGHT = "moderators"
    OWNERS = ("identity",)

    space_id: int
    identity: str
    channel_id: int = 0
    until_us: int
    reason: str | None = None
    by: str
    at_us: int


ReportState = Literal["open", "resolved", "dismissed"]


class Report(Row, frozen=True, kw_only=True, tag="report"):
    """A message that somebody brought to the moderators' attention."""

    INDEXES = (("space_id",), ("message_id",))
    SIGHT = "moderators"
    OWNERS = ("by",)

    id: int
    message_id: int
    channel_id: int
    space_id: int
    by: str
    reason: str
    state: ReportState = "open"
    resolved_by: str | None = None
    at_us: int


class Audit(Row, frozen=True, kw_only=True, tag="audit"):
    """One privileged action: the moderation log."""

    ORDERED = (("space_id",),)
    SIGHT = "admins"

    id: int
    space_id: int
    actor: str
    action: str
    target: str
    reason: str | None = None
    before: str | None = None
    after: str | None = None
    at_us: int


class Notification(Row, frozen=True, kw_only=True, tag="system_notification"):
    """An entry of somebody's inbox."""

    ORDERED = (("target",),)
    SIGHT = "own"
    OWNERS = ("target",)

    id: int
    target: str
    kind: str
    """mention, dm, role, moderation, task."""
    title: str
    body: str
    ref: str
    """What it is about: `message:12`, `dm:3`, `space:1`, `task:…`."""
    created_us: int
    read_us: int | None = None


class Listing(Row, frozen=True, kw_only=True, tag="agent_listing"):
    """An agent's entry in the directory. Prices are micro-units of `currency` per request."""

    KEY = ("identity",)
    SIGHT = "everybody"

    identity: str
    name: str
    description: str
    url: str | None = None
    version: str = "1"
    provider_name: str | None = None
    provider_url: str | None = None
    documentation_url: str | None = None
    pricing_model: Literal["pay_per_use", "free", "subscription", "custom"] = "free"
    price_per_request_micro: int = 0
    currency: str = "USDC"
    tier: Literal["free", "premium", "featured"] = "free"
    input_modes: tuple[str, ...] = ("text/plain",)
    output_modes: tuple[str, ...] = ("text/plain",)
    supports_streaming: bool = False
    updated_us: int


class Skill(Row, frozen=True, kw_only=True, tag="agent_skill"):
    """One thing a listed agent can do."""

    KEY = ("identity", "skill_id")
    INDEXES = (("identity",),)
    SIGHT = "everybody"

    identity: str
    skill_id: str
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    input_modes: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()


class Health(Row, frozen=True, kw_only=True, tag="agent_health"):
    """How a listed agent says it is doing. Shares are in basis points (0..10,000), `score` 0..100."""

    KEY = ("identity",)
    SIGHT = "everybody"

    identity: str
    vertical: str = ""
    progress_bp: int = 0
    uncertainty_bp: int = 0
    error_streak: int = 0
    context_pressure_bp: int = 0
    budget_remaining_bp: int = 10_000
    operating_mode: str = "normal"
    is_online: bool = True
    tasks_completed: int = 0
    tasks_failed: int = 0
    score: int = 100
    updated_us: int


TaskState = Literal[
    "submitted", "working", "input_required", "auth_required", "completed", "failed", "canceled", "rejected"
]


class Task(Row, frozen=True, kw_only=True, tag="a2a_task"):
    """A piece of work that one identity asks another to do (A2A). `body` is JSON that only the two of them read."""

    KEY = ("task_id",)
    INDEXES = (("owner",), ("agent",), ("owner", "context_id"))
    SIGHT = "task"
    OWNERS = ("owner", "agent")

    task_id: str
    context_id: str
    owner: str
    agent: str
    state: TaskState = "submitted"
    channel_id: int = 0
    thread_id: int = 0
    message_id: str = ""
    """The request's own id, unique per owner: a repeat is the same task."""
    body: str = "{}"
    version: int = 1
    created_us: int
    updated_us: int


class Idempotency(Row, frozen=True, kw_only=True, tag="idempotency"):
    """The first answer to a keyed command, kept for 24 hours."""

    KEY = ("identity", "key")
    INDEXES = (("expires_hour",),)
    SIGHT = "nobody"

    identity: str
    key: str
    digest: str
    """BLAKE3 of the command, 32 hex digits: the same key with another command is a conflict."""
    position: int
    space_seq: int
    result: tuple[str, tuple[int | str, ...]] | None = None
    """Table and key of the row that the command gave back."""
    expires_hour: int
    """Hours since the epoch: what the sweep finds it by."""


ROWS: Final[tuple[type[Row], ...]] = (
    Profile,
    UserKey,
    Space,
    Member,
    Channel,
    Override,
    Thread,
    Message,
    MessageEdit,
    Tombstone,
    Reaction,
    Pin,
    Mention,
    ReadState,
    VoiceMember,
    SlowMode,
    Conversation,
    Participant,
    DirectMessage,
    Block,
    Invite,
    Ban,
    Mute,
    Report,
    Audit,
    Notification,
    Listing,
    Skill,
    Health,
    Task,
    Idempotency,
)
"""Every table."""

TABLES: Final[dict[str, type[Row]]] = {str(row.__struct_config__.tag): row for row in ROWS}
"""The tables by name."""

AnyRow = (
    Profile
    | UserKey
    | Space
    | Member
    | Channel
    | Override
    | Thread
    | Message
    | MessageEdit
    | Tombstone
    | Reaction
    | Pin
    | Mention
    | ReadState
    | VoiceMember
    | SlowMode
    | Conversation
    | Participant
    | DirectMessage
    | Block
    | Invite
    | Ban
    | Mute
    | Report
    | Audit
    | Notification
    | Listing
    | Skill
    | Health
    | Task
    | Idempotency
)
"""For decoders."""

Key = int | str | tuple[int | str, ...]
"""A primary key: the value of one field, or the values of several."""


def table_name(row: Row | type[Row]) -> str:
    """The table of a row."""
    return str(row.__struct_config__.tag)


def key_values(row: Row) -> tuple[int | str, ...]:
    """The primary key of a row, always as a tuple."""
    return tuple(getattr(row, field) for field in row.KEY)
