"""The five-tier matrix, cell by cell, as data and through the reducers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from life.spaces.commands import (
    AddReaction,
    ArchiveThread,
    BanMember,
    Command,
    CreateChannel,
    CreateInvite,
    CreateThread,
    DeleteMessage,
    DeleteServer,
    KickMember,
    LogEvent,
    MuteMember,
    PinMessage,
    PublishListing,
    SendMessage,
    SetSlowMode,
    TransferOwnership,
    UpdateMemberRole,
    UpdateServer,
    VoiceJoin,
)
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.engine.port import Engine
from life.spaces.errors import ForbiddenError, SpacesError
from life.spaces.identity import Caller
from life.spaces.model import Channel, ChannelType, Message, Role, Thread
from life.spaces.permissions import MATRIX, Permission, resolve, role_allows, within_ceiling
from life.spaces.queries import TableQuery
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import OPERATOR, Room, ScriptedTokens, furnish, sent, signed_log

ORDER = (Role.OWNER, Role.ADMIN, Role.MODERATOR, Role.MEMBER, Role.AGENT)

TABLE = """
space.delete        y - - - -
space.transfer      y - - - -
space.update        y y - - -
invite.manage       y y - - -
audit.read          y y - - -
role.assign         y y y - -
channel.manage      y y - - -
channel.settings    y y y - -
channel.view        y y y y y
message.announce    y y - - -
message.send        y y y y y
log.write           y y - - y
log.read            y y y y y
message.delete.any  y y y - -
thread.archive.any  y y y - -
message.pin         y y y - -
member.mute         y y y - -
member.kick         y y y - -
member.ban          y y - - -
thread.create       y y y y y
reaction.add        y y y y y
voice.signal        y y y y y
dm.send             y y y y y
mention.everyone    y y y - -
directory.publish   y y - - y
"""
"""spaces.md §5.2, with the two permissions that are ours (channel.view, voice.signal)."""

CELLS = [
    (permission, role, cell == "y")
    for line in TABLE.strip().splitlines()
    for permission, *cells in [line.split()]
    for role, cell in zip(ORDER, cells, strict=True)
]


@pytest.mark.parametrize(("permission", "role", "granted"), CELLS)
def test_every_cell_of_the_matrix(permission: str, role: Role, granted: bool) -> None:
    """The data is the published table."""
    assert role_allows(role, Permission(permission)) is granted


def test_the_matrix_is_complete() -> None:
    """No permission is without a row, none has two."""
    assert {name for name, _, _ in CELLS} == {permission.value for permission in Permission} == set(MATRIX)


def test_deny_wins_over_allow_and_allow_over_the_role() -> None:
    """Overrides in their order; an Owner is never locked out."""
    for permission in Permission:
        for role in Role:
            if role is not Role.OWNER:
                assert not resolve(role, permission, frozenset({"allow", "deny"}))
                assert resolve(role, permission, frozenset({"allow"}))
        assert resolve(Role.OWNER, permission, frozenset({"deny"})) is role_allows(Role.OWNER, permission)


def test_a_ceiling_names_permissions_or_families() -> None:
    """`message.*` is all that begins so; `*` everything; an empty ceiling nothing."""
    assert within_ceiling(Permission.MESSAGE_PIN, frozenset({"message.*"}))
    assert not within_ceiling(Permission.MEMBER_KICK, frozenset({"message.*"}))
    assert within_ceiling(Permission.MEMBER_KICK, frozenset({"*"}))
    assert not within_ceiling(Permission.MESSAGE_SEND, frozenset())
    assert within_ceiling(Permission.MESSAGE_SEND, None)


class Stage:
    """What the commands need to be tried on."""

    def __init__(self, engine: Engine, room: Room, channels: dict[ChannelType, int]) -> None:
        self.engine = engine
        self.room = room
        self.channels = channels

    async def message(self) -> Message:
        """A message of the agent: everybody else is above."""
        return sent(
            await self.engine.submit(SendMessage(channel_id=self.room.channel_id, content="x"), self.room.agent)
        )

    async def thread(self) -> Thread:
        """A thread of the agent."""
        command = CreateThread(channel_id=self.room.channel_id, name="t", content="x")
        row = (await self.engine.submit(command, self.room.agent)).row
        assert isinstance(row, Thread)
        return row


Try = Callable[[Stage, Caller, Message, Thread], Command]

TRIES: dict[str, Try] = {
    "space.delete": lambda s, c, m, t: DeleteServer(server_id=s.room.space_id),
    "space.transfer": lambda s, c, m, t: TransferOwnership(server_id=s.room.space_id, identity=s.room.agent.identity),
    "space.update": lambda s, c, m, t: UpdateServer(server_id=s.room.space_id, name="other"),
    "invite.manage": lambda s, c, m, t: CreateInvite(server_id=s.room.space_id, role=Role.AGENT),
    "role.assign": lambda s, c, m, t: UpdateMemberRole(
        server_id=s.room.space_id, identity=s.room.agent.identity, role=Role.MEMBER
    ),
    "channel.manage": lambda s, c, m, t: CreateChannel(server_id=s.room.space_id, name="new"),
    "channel.settings": lambda s, c, m, t: SetSlowMode(channel_id=s.room.channel_id, seconds=1),
    "message.announce": lambda s, c, m, t: SendMessage(channel_id=s.channels[ChannelType.ANNOUNCEMENT], content="x"),
    "message.send": lambda s, c, m, t: SendMessage(channel_id=s.room.channel_id, content="x"),
    "log.write": lambda s, c, m, t: _log(s, c),
    "message.delete.any": lambda s, c, m, t: DeleteMessage(message_id=m.id),
    "thread.archive.any": lambda s, c, m, t: ArchiveThread(thread_id=t.id),
    "message.pin": lambda s, c, m, t: PinMessage(message_id=m.id),
    "member.mute": lambda s, c, m, t: MuteMember(
        server_id=s.room.space_id, identity=s.room.agent.identity, duration_s=5
    ),
    "member.kick": lambda s, c, m, t: KickMember(server_id=s.room.space_id, identity=s.room.agent.identity),
    "member.ban": lambda s, c, m, t: BanMember(server_id=s.room.space_id, identity=s.room.agent.identity),
    "thread.create": lambda s, c, m, t: CreateThread(channel_id=s.room.channel_id, name="n", content="x"),
    "reaction.add": lambda s, c, m, t: AddReaction(message_id=m.id, emoji="👍"),
    "voice.signal": lambda s, c, m, t: VoiceJoin(channel_id=s.channels[ChannelType.VOICE]),
    "directory.publish": lambda s, c, m, t: PublishListing(name="n", description="d"),
}

OWN_AGENT_CONTENT = {"message.delete.any", "thread.archive.any"}
"""The stage's message and thread are the agent's own: for these the agent's cell is not about other people's."""
NEEDS_A_LOWER_TARGET = {"space.transfer", "role.assign", "member.mute", "member.kick", "member.ban"}
"""The target is the agent, so the agent can't be the one who tries."""


def _log(stage: Stage, caller: Caller) -> LogEvent:
    name = {
        stage.room.owner.identity: "olga",
        stage.room.admin.identity: "adam",
        stage.room.moderator.identity: "moira",
        stage.room.member.identity: "mike",
        stage.room.agent.identity: "gent",
    }[caller.identity]
    return signed_log(stage.engine, caller, name, stage.channels[ChannelType.AGENT_LOG], f"c-{name}")


def opened(path: Path | None) -> AbstractAsyncContextManager[EmbeddedEngine]:
    """An engine without limits."""
    return EmbeddedEngine.open(
        path,
        clock=ManualClock(),
        entropy=SeededEntropy(),
        tokens=ScriptedTokens(),
        owner=Owner(OPERATOR),
        limits=None,
        synchronous=False,
    )


async def staged(engine: Engine) -> Stage:
    """The room with one channel of each type."""
    room = await furnish(engine, ScriptedTokens())
    channels = {}
    for kind in (ChannelType.ANNOUNCEMENT, ChannelType.VOICE, ChannelType.AGENT_LOG):
        row = (
            await engine.submit(CreateChannel(server_id=room.space_id, name=kind.value, channel_type=kind), room.owner)
        ).row
        assert isinstance(row, Channel)
        channels[kind] = row.id
    return Stage(engine, room, channels)


@pytest.mark.parametrize("permission", sorted(TRIES))
async def test_the_reducers_follow_the_matrix(permission: str) -> None:
    """Each permission's command succeeds for the roles that have it and is forbidden to the others and to strangers."""
    for role in ORDER:
        if role is Role.AGENT and permission in OWN_AGENT_CONTENT | NEEDS_A_LOWER_TARGET:
            continue
        async with opened(None) as engine:
            stage = await staged(engine)
            message, thread = await stage.message(), await stage.thread()
            caller = stage.room.of(role)
            command = TRIES[permission](stage, caller, message, thread)
            if role_allows(role, Permission(permission)):
                await engine.submit(command, caller)
            else:
                with pytest.raises(ForbiddenError):
                    await engine.submit(command, caller)
    if permission != "directory.publish":
        async with opened(None) as engine:
            stage = await staged(engine)
            message, thread = await stage.message(), await stage.thread()
            caller = stage.room.stranger
            if permission == "log.write":
                return
            with pytest.raises(SpacesError):
                await engine.submit(TRIES[permission](stage, caller, message, thread), caller)


async def test_audit_and_edit_history_are_seen_by_those_who_may() -> None:
    """audit.read through visibility: Owner and Admin read the moderation log, the others get no row of it."""
    async with opened(None) as engine:
        stage = await staged(engine)
        for role in ORDER:
            rows = await engine.subscribe([TableQuery(table="audit")], stage.room.of(role))
            assert bool(rows.initial) is role_allows(role, Permission.AUDIT_READ)
