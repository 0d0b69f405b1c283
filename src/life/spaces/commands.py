"""What callers ask for: one struct per reducer, named as the reducers of spaces.md §4 and §15.

The field order is the positional order for callers that send arrays. An optional field that may be cleared is `UNSET` when it is
left out and None when it shall be cleared (W17). On the wire a command is an object with `command`: `{"command": "send_message", …}`.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from life.spaces.model import Attachment, ChannelType, Effect, Role, TaskState, Visibility

MAX_COMMAND_BYTES: Final = 64 * 1024
"""A command on the wire is never longer (message content has 16 KiB at most)."""


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True):
    """A request to change something."""

    SYSTEM: ClassVar[bool] = False
    """Only the engine itself submits it."""
    TRANSIENT: ClassVar[bool] = False
    """Its effect is delivered and not stored."""
    LIMIT: ClassVar[Literal["message", "reaction", "log", "other"]] = "other"
    """The bucket of the rate limit that it draws from."""

    @property
    def reducer(self) -> str:
        """The reducer's name: the command's tag."""
        return str(self.__struct_config__.tag)


# ── the server's own ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Initialize(Command, frozen=True, kw_only=True, tag="initialize"):
    """The first entry of every log: the Hub (space 1) with its channels, owned by `owner`, who is a member (W2, W3)."""

    SYSTEM = True

    owner: str
    owner_did: str
    owner_is_agent: bool = False
    hub_name: str = "Spaces Hub"


class Admit(Command, frozen=True, kw_only=True, tag="admit"):
    """Somebody logged in: make the profile, note the key, join the Hub. Nothing changes when all that is so already."""

    SYSTEM = True

    identity: str
    did: str
    key: str = ""
    is_agent: bool = True


class Sweep(Command, frozen=True, kw_only=True, tag="sweep"):
    """Remove what has expired: voice roster rows, bans, mutes, invites, idempotency keys. At most `limit` rows."""

    SYSTEM = True

    limit: int = 200


class PurgeIdentity(Command, frozen=True, kw_only=True, tag="purge_identity"):
    """Erase one's own profile, direct messages' content, blocks, read states, inbox and memberships. Only by oneself or the server."""

    identity: str


# ── users ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class SetProfile(Command, frozen=True, kw_only=True, tag="set_profile"):
    """Change one's own profile; what is left out stays."""

    username: str | UnsetType = UNSET
    display_name: str | UnsetType | None = UNSET
    avatar_url: str | UnsetType | None = UNSET
    bio: str | UnsetType | None = UNSET
    dm_from_agents: bool | UnsetType = UNSET


class BlockIdentity(Command, frozen=True, kw_only=True, tag="block_identity"):
    """Want nothing from somebody: no direct messages, no mentions in the inbox."""

    identity: str


class UnblockIdentity(Command, frozen=True, kw_only=True, tag="unblock_identity"):
    """Take a block back."""

    identity: str


# ── spaces and membership ─────────────────────────────────────────────────────────────────────────────────────────────────────


class CreateServer(Command, frozen=True, kw_only=True, tag="create_server"):
    """A space, with its creator as Owner and the channel `general`."""

    name: str
    description: str | None = None
    visibility: Visibility = "public"


class UpdateServer(Command, frozen=True, kw_only=True, tag="update_server"):
    """Rename or describe a space."""

    server_id: int
    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET


class SetIcon(Command, frozen=True, kw_only=True, tag="set_icon"):
    """Set or clear (None) a space's icon."""

    server_id: int
    icon_url: str | None


class SetSpaceVisibility(Command, frozen=True, kw_only=True, tag="set_space_visibility"):
    """Public, by invitation, or private."""

    server_id: int
    visibility: Visibility


class DeleteServer(Command, frozen=True, kw_only=True, tag="delete_server"):
    """Delete a space with everything in it (W14)."""

    server_id: int


class TransferOwnership(Command, frozen=True, kw_only=True, tag="transfer_ownership"):
    """Make another member the Owner; the old one becomes Admin."""

    server_id: int
    identity: str


class JoinServer(Command, frozen=True, kw_only=True, tag="join_server"):
    """Join a public space."""

    server_id: int


class LeaveServer(Command, frozen=True, kw_only=True, tag="leave_server"):
    """Leave; the Owner transfers first."""

    server_id: int


class UpdateMemberRole(Command, frozen=True, kw_only=True, tag="update_member_role"):
    """Give a member another role."""

    server_id: int
    identity: str
    role: Role


class CreateInvite(Command, frozen=True, kw_only=True, tag="create_invite"):
    """A code to join by. `lifetime_s` 0 never ends, `max_uses` 0 is without limit."""

    server_id: int
    role: Role = Role.MEMBER
    max_uses: int = 0
    lifetime_s: int = 7 * 86_400


class RevokeInvite(Command, frozen=True, kw_only=True, tag="revoke_invite"):
    """Make a code worthless."""

    code: str


class UseInvite(Command, frozen=True, kw_only=True, tag="use_invite"):
    """Join by a code."""

    code: str


class KickMember(Command, frozen=True, kw_only=True, tag="kick_member"):
    """Remove a member; they may come back."""

    server_id: int
    identity: str
    reason: str | None = None


class BanMember(Command, frozen=True, kw_only=True, tag="ban_member"):
    """Remove somebody (member or not) and keep them out, for `duration_s` or (0) for good."""

    server_id: int
    identity: str
    reason: str | None = None
    duration_s: int = 0


class UnbanMember(Command, frozen=True, kw_only=True, tag="unban_member"):
    """Let somebody come back."""

    server_id: int
    identity: str


class MuteMember(Command, frozen=True, kw_only=True, tag="mute_member"):
    """Keep a member from writing, in one channel or (0) everywhere in the space."""

    server_id: int
    identity: str
    duration_s: int
    channel_id: int = 0
    reason: str | None = None


class UnmuteMember(Command, frozen=True, kw_only=True, tag="unmute_member"):
    """Let a member write again."""

    server_id: int
    identity: str
    channel_id: int = 0


# ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CreateChannel(Command, frozen=True, kw_only=True, tag="create_channel"):
    """A channel at the end of the list."""

    server_id: int
    name: str
    channel_type: ChannelType = ChannelType.TEXT
    topic: str | None = None


class UpdateChannel(Command, frozen=True, kw_only=True, tag="update_channel"):
    """Rename a channel (channel.manage) or set its topic (channel.settings)."""

    channel_id: int
    name: str | UnsetType = UNSET
    topic: str | UnsetType | None = UNSET


class MoveChannel(Command, frozen=True, kw_only=True, tag="move_channel"):
    """Put a channel at another place of the list (0 is the first)."""

    channel_id: int
    position: int


class SetChannelType(Command, frozen=True, kw_only=True, tag="set_channel_type"):
    """Between Text and Announcement only."""

    channel_id: int
    channel_type: ChannelType


class SetSlowMode(Command, frozen=True, kw_only=True, tag="set_slow_mode"):
    """At most one message per member and so many seconds; 0 ends it. At most six hours."""

    channel_id: int
    seconds: int


class SetChannelOverride(Command, frozen=True, kw_only=True, tag="set_channel_override"):
    """Allow or deny one permission to a role (`role:Member`) or identity (`identity:<hex>`) in one channel; None: back to the role."""

    channel_id: int
    subject: str
    permission: str
    effect: Effect | None


class DeleteChannel(Command, frozen=True, kw_only=True, tag="delete_channel"):
    """Delete a channel with everything in it."""

    channel_id: int


# ── threads ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CreateThread(Command, frozen=True, kw_only=True, tag="create_thread"):
    """A thread with its first message."""

    LIMIT = "message"

    channel_id: int
    name: str
    content: str
    auto_archive_s: int = 0
    client_id: str | None = None


class RenameThread(Command, frozen=True, kw_only=True, tag="rename_thread"):
    """Give a thread another name (its creator, or thread.archive.any)."""

    thread_id: int
    name: str


class ArchiveThread(Command, frozen=True, kw_only=True, tag="archive_thread"):
    """Close a thread for writing."""

    thread_id: int


class UnarchiveThread(Command, frozen=True, kw_only=True, tag="unarchive_thread"):
    """Open it again."""

    thread_id: int


# ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class SendMessage(Command, frozen=True, kw_only=True, tag="send_message"):
    """A Text message. `client_id` makes it safe to send again; `signature` is described in life.spaces.signatures."""

    LIMIT = "message"

    channel_id: int
    content: str
    thread_id: int = 0
    reply_to_id: int | None = None
    client_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    signature: str | None = None


class LogEvent(Command, frozen=True, kw_only=True, tag="log_event"):
    """A structured event of an agent, into an AgentLog channel. `content` is the JSON of `AgentEventBody`; signature and client_id required."""

    LIMIT = "log"

    channel_id: int
    content: str
    client_id: str
    signature: str
    thread_id: int = 0


class EditMessage(Command, frozen=True, kw_only=True, tag="edit_message"):
    """Change one's own Text message; what it said before is kept for moderators."""

    LIMIT = "message"

    message_id: int
    content: str
    signature: str | None = None


class DeleteMessage(Command, frozen=True, kw_only=True, tag="delete_message"):
    """Delete one's own message, or another's (message.delete.any). A tombstone stays."""

    message_id: int
    reason: str | None = None


class PinMessage(Command, frozen=True, kw_only=True, tag="pin_message"):
    """Pin a message in its channel; at most 50."""

    message_id: int


class UnpinMessage(Command, frozen=True, kw_only=True, tag="unpin_message"):
    """Take a pin away."""

    message_id: int


class ReportMessage(Command, frozen=True, kw_only=True, tag="report_message"):
    """Bring a message to the moderators' attention."""

    message_id: int
    reason: str


class ResolveReport(Command, frozen=True, kw_only=True, tag="resolve_report"):
    """Close a report: something was done, or (dismissed) nothing is to be done."""

    report_id: int
    dismissed: bool = False


class AddReaction(Command, frozen=True, kw_only=True, tag="add_reaction"):
    """React with one emoji or `:shortcode:`; at most 20 different ones per message."""

    LIMIT = "reaction"

    message_id: int
    emoji: str


class RemoveReaction(Command, frozen=True, kw_only=True, tag="remove_reaction"):
    """Take one's own reaction away."""

    LIMIT = "reaction"

    message_id: int
    emoji: str


class MarkRead(Command, frozen=True, kw_only=True, tag="mark_read"):
    """Have read a channel (or thread) up to a message. Moving back is not an error and changes nothing."""

    channel_id: int
    message_id: int
    thread_id: int = 0


class MarkNotificationRead(Command, frozen=True, kw_only=True, tag="mark_notification_read"):
    """Have read an inbox entry; 0 marks all of them."""

    notification_id: int


# ── direct messages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class SendDirectMessage(Command, frozen=True, kw_only=True, tag="send_direct_message"):
    """Write to one identity; the conversation is made by the first message."""

    LIMIT = "message"

    recipient: str
    content: str
    client_id: str | None = None
    sealed: bool = False
    signature: str | None = None


class OpenGroupDm(Command, frozen=True, kw_only=True, tag="open_group_dm"):
    """A conversation of 3 to 10, the caller included."""

    participants: tuple[str, ...]
    title: str | None = None


class SendToConversation(Command, frozen=True, kw_only=True, tag="send_to_conversation"):
    """Write into a conversation that one is part of."""

    LIMIT = "message"

    conversation_id: int
    content: str
    client_id: str | None = None
    sealed: bool = False
    signature: str | None = None


class LeaveConversation(Command, frozen=True, kw_only=True, tag="leave_conversation"):
    """Leave a group."""

    conversation_id: int


class EditDirectMessage(Command, frozen=True, kw_only=True, tag="edit_direct_message"):
    """Change one's own direct message."""

    LIMIT = "message"

    message_id: int
    content: str


class DeleteDirectMessage(Command, frozen=True, kw_only=True, tag="delete_direct_message"):
    """Delete one's own direct message."""

    message_id: int


class MarkDmRead(Command, frozen=True, kw_only=True, tag="mark_dm_read"):
    """Have read a conversation up to a message."""

    conversation_id: int
    message_id: int


# ── transient: delivered, never stored ────────────────────────────────────────────────────────────────────────────────────────


class StartTyping(Command, frozen=True, kw_only=True, tag="start_typing"):
    """Show that one writes, for eight seconds; at most every three."""

    TRANSIENT = True

    channel_id: int
    thread_id: int = 0


class StopTyping(Command, frozen=True, kw_only=True, tag="stop_typing"):
    """Show that one writes no more."""

    TRANSIENT = True

    channel_id: int
    thread_id: int = 0


class SendSignal(Command, frozen=True, kw_only=True, tag="send_signal"):
    """An opaque payload to one member of a voice channel's roster, or (empty) to all of it; with a conversation_id to its participants."""

    TRANSIENT = True

    channel_id: int = 0
    payload: str
    target: str = ""
    conversation_id: int = 0


class VoiceJoin(Command, frozen=True, kw_only=True, tag="voice_join"):
    """Enter a voice channel's roster for `lifetime_s`; enter again to stay."""

    channel_id: int
    lifetime_s: int = 60


class VoiceLeave(Command, frozen=True, kw_only=True, tag="voice_leave"):
    """Leave the roster."""

    channel_id: int


# ── directory and tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────


class SkillSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A skill of a listing."""

    skill_id: str
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    input_modes: tuple[str, ...] = ()
    output_modes: tuple[str, ...] = ()


class PublishListing(Command, frozen=True, kw_only=True, tag="publish_listing"):
    """Enter oneself into the directory, or replace one's entry with its skills."""

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
    skills: tuple[SkillSpec, ...] = ()


class WithdrawListing(Command, frozen=True, kw_only=True, tag="withdraw_listing"):
    """Leave the directory."""


class ReportHealth(Command, frozen=True, kw_only=True, tag="report_health"):
    """How the listed caller is doing; the score is computed here."""

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


class CreateTask(Command, frozen=True, kw_only=True, tag="create_task"):
    """Ask `agent` for work. `message_id` is the request's own id: asking again with it is the same task."""

    task_id: str
    context_id: str
    agent: str
    message_id: str
    body: str = "{}"
    channel_id: int = 0
    thread_id: int = 0


class UpdateTask(Command, frozen=True, kw_only=True, tag="update_task"):
    """Move a task to another state, or replace its body. The agent may make every move, the owner cancel and answer."""

    task_id: str
    state: TaskState
    body: str | UnsetType = UNSET
    expected_version: int = 0
    """The version that the caller saw; 0 does not check."""


COMMANDS: Final[tuple[type[Command], ...]] = (
    Initialize,
    Admit,
    Sweep,
    PurgeIdentity,
    SetProfile,
    BlockIdentity,
    UnblockIdentity,
    CreateServer,
    UpdateServer,
    SetIcon,
    SetSpaceVisibility,
    DeleteServer,
    TransferOwnership,
    JoinServer,
    LeaveServer,
    UpdateMemberRole,
    CreateInvite,
    RevokeInvite,
    UseInvite,
    KickMember,
    BanMember,
    UnbanMember,
    MuteMember,
    UnmuteMember,
    CreateChannel,
    UpdateChannel,
    MoveChannel,
    SetChannelType,
    SetSlowMode,
    SetChannelOverride,
    DeleteChannel,
    CreateThread,
    RenameThread,
    ArchiveThread,
    UnarchiveThread,
    SendMessage,
    LogEvent,
    EditMessage,
    DeleteMessage,
    PinMessage,
    UnpinMessage,
    ReportMessage,
    ResolveReport,
    AddReaction,
    RemoveReaction,
    MarkRead,
    MarkNotificationRead,
    SendDirectMessage,
    OpenGroupDm,
    SendToConversation,
    LeaveConversation,
    EditDirectMessage,
    DeleteDirectMessage,
    MarkDmRead,
    StartTyping,
    StopTyping,
    SendSignal,
    VoiceJoin,
    VoiceLeave,
    PublishListing,
    WithdrawListing,
    ReportHealth,
    CreateTask,
    UpdateTask,
)
"""Every command."""

BY_NAME: Final[dict[str, type[Command]]] = {str(command.__struct_config__.tag): command for command in COMMANDS}
"""The commands by name."""
