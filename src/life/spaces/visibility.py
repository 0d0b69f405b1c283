"""Who sees what, computed per row and subscriber (W5): private means private.

everybody     whoever is logged in: profiles, known keys, the directory
listed        a space itself: everybody if it is public or by invitation, else its members
space         members of the row's space
channel       members who may view the row's channel (and read it, for an agent log)
moderators    whoever has message.delete.any in the row's space, and the identities that the row belongs to
admins        whoever has audit.read (the moderation log) or invite.manage (invites) in the row's space
own           only the identities that the row belongs to
conversation  participants
task          the task's two parties
nobody        the engine's own bookkeeping
"""

from __future__ import annotations

from typing import cast

from life.spaces.identity import Caller
from life.spaces.model import (
    Channel,
    ChannelType,
    Invite,
    Member,
    Override,
    Participant,
    Role,
    Row,
    Space,
)
from life.spaces.permissions import IN_CHANNEL, Permission, resolve, role_allows, within_ceiling
from life.spaces.state import State


def effects_for(state: State, channel_id: int, member: Member, permission: Permission) -> frozenset[str]:
    """The overrides of a channel that apply to a member."""
    overrides = state.find(Override, ("channel_id",), channel_id)
    if not overrides:
        return frozenset()
    subjects = (f"role:{member.role.value}", f"identity:{member.identity}")
    return frozenset(
        override.effect
        for override in overrides
        if override.permission == permission.value and override.subject in subjects
    )


def allows(
    state: State, member: Member, permission: Permission, *, channel_id: int = 0, ceiling: frozenset[str] | None = None
) -> bool:
    """Whether a member has a permission, in a channel or in the space as a whole."""
    if not within_ceiling(permission, ceiling):
        return False
    if channel_id and permission in IN_CHANNEL:
        return resolve(member.role, permission, effects_for(state, channel_id, member, permission))
    return role_allows(member.role, permission)


def can_read_channel(state: State, identity: str, channel: Channel, ceiling: frozenset[str] | None = None) -> bool:
    """Whether somebody sees a channel and what is in it."""
    member = state.get(Member, (channel.space_id, identity))
    if member is None:
        return False
    # A ceiling narrows what an agent does, not that a room is there; reading an agent log is a permission of its own.
    if not allows(state, member, Permission.CHANNEL_VIEW, channel_id=channel.id):
        return False
    if channel.channel_type is ChannelType.AGENT_LOG:
        return allows(state, member, Permission.LOG_READ, channel_id=channel.id, ceiling=ceiling)
    return True


class Sight:
    """What one caller sees, with what was found out kept until the state's epoch changes."""

    __slots__ = ("_caller", "_channels", "_epoch", "_members", "_state")

    def __init__(self, state: State, caller: Caller) -> None:
        self._state = state
        self._caller = caller
        self._epoch = -1
        self._channels: dict[int, bool] = {}
        self._members: dict[int, Member | None] = {}

    def _fresh(self) -> None:
        if self._epoch != self._state.epoch:
            self._epoch = self._state.epoch
            self._channels.clear()
            self._members.clear()

    def member(self, space_id: int) -> Member | None:
        """The caller's membership."""
        self._fresh()
        if space_id not in self._members:
            self._members[space_id] = self._state.get(Member, (space_id, self._caller.identity))
        return self._members[space_id]

    def channel(self, channel_id: int) -> bool:
        """Whether the caller reads this channel."""
        self._fresh()
        known = self._channels.get(channel_id)
        if known is None:
            channel = self._state.get(Channel, channel_id)
            known = channel is not None and can_read_channel(
                self._state, self._caller.identity, channel, self._caller.ceiling
            )
            self._channels[channel_id] = known
        return known

    def conversation(self, conversation_id: int) -> bool:
        """Whether the caller takes part in it."""
        return self._state.get(Participant, (conversation_id, self._caller.identity)) is not None

    def may(self, space_id: int, permission: Permission, *, channel_id: int = 0) -> bool:
        """Whether the caller has a permission."""
        member = self.member(space_id)
        return member is not None and allows(
            self._state, member, permission, channel_id=channel_id, ceiling=self._caller.ceiling
        )

    @property
    def identity(self) -> str:
        """Whose sight it is."""
        return self._caller.identity

    def channels(self) -> list[int]:
        """The channels that the caller reads, ascending."""
        return sorted(
            channel.id
            for space_id in self.spaces()
            for channel in self._state.find(Channel, ("space_id",), space_id)
            if self.channel(channel.id)
        )

    def conversations(self) -> list[int]:
        """The conversations that the caller takes part in, ascending."""
        mine = self._state.find(Participant, ("identity",), self._caller.identity)
        return sorted(row.conversation_id for row in mine)

    def spaces(self) -> frozenset[int]:
        """The spaces that the caller is a member of."""
        return frozenset(row.space_id for row in self._state.find(Member, ("identity",), self._caller.identity))

    def sees(self, row: Row) -> bool:
        """Whether a row of the state is visible. Of removed rows only the fan-out knows who saw them (life.spaces.subscriptions)."""
        match row.SIGHT:
            case "channel":
                return self._sees_in_channel(row)
            case "everybody":
                return True
            case "own" | "task":
                return self._owns(row)
            case "space":
                return self.member(_space_of(row)) is not None
            case "listed":
                space = cast(Space, row)
                return space.visibility != "private" or self.member(space.id) is not None
            case "conversation":
                return self.conversation(_conversation_of(row))
            case "moderators":
                channel_id = cast(int, getattr(row, "channel_id", 0))
                if channel_id and self._state.get(Channel, channel_id) is not None and not self.channel(channel_id):
                    return self._owns(row) and self.member(_space_of(row)) is not None
                return self._owns(row) or self.may(_space_of(row), Permission.MESSAGE_DELETE_ANY, channel_id=channel_id)
            case "admins":
                wanted = Permission.INVITE_MANAGE if isinstance(row, Invite) else Permission.AUDIT_READ
                return self.may(_space_of(row), wanted)
            case "nobody":
                return False

    def _owns(self, row: Row) -> bool:
        return any(getattr(row, field) == self._caller.identity for field in row.OWNERS)

    def _sees_in_channel(self, row: Row) -> bool:
        return self.channel(row.id if isinstance(row, Channel) else cast(int, getattr(row, "channel_id")))  # noqa: B009


def _space_of(row: Row) -> int:
    return cast(int, getattr(row, "space_id"))  # noqa: B009  # tables with this sight all have it


def _conversation_of(row: Row) -> int:
    value = getattr(row, "conversation_id", None)
    return cast(int, getattr(row, "id") if value is None else value)  # noqa: B009


def can_act_on(actor: Role, target: Role) -> bool:
    """Whether a level lies strictly above another."""
    return actor.level > target.level
