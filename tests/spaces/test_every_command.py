"""Every command of Spaces is carried out at least once, and does what it says (spaces.md §15); and the five types of messages."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from life.spaces import commands as c
from life.spaces.agent_events import AgentEventBody
from life.spaces.engine.embedded import EmbeddedEngine
from life.spaces.errors import ArchivedError, ForbiddenError, MutedError, SpacesNotFoundError
from life.spaces.identity import SERVER_IDENTITY, SYSTEM, Caller
from life.spaces.model import (
    Audit,
    Ban,
    Block,
    Channel,
    ChannelType,
    Conversation,
    DirectMessage,
    Health,
    Invite,
    Listing,
    Member,
    Message,
    MessageType,
    Mute,
    Notification,
    Override,
    Participant,
    Pin,
    Profile,
    Reaction,
    ReadState,
    Report,
    Role,
    Row,
    Space,
    Task,
    Thread,
    Tombstone,
    VoiceMember,
)
from life.spaces.queries import TableQuery
from life.testing.clock import ManualClock
from life.testing.spaces import ScriptedTokens, enter, furnish, refused, signed_log
from tests.spaces.test_embedded_faults import opened

R = TypeVar("R", bound=Row)


class Doing:
    """Carries commands out and remembers which."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.engine = engine
        self.done: set[type[c.Command]] = set()

    async def __call__(self, caller: Caller, command: c.Command) -> Any:
        """The row that it is about."""
        result = await self.engine.submit(command, caller)
        self.done.add(type(command))
        return result.row

    def row(self, table: type[R], key: int | str | tuple[int | str, ...]) -> R | None:
        """A row as it stands."""
        return self.engine.state.get(table, key)

    def must(self, table: type[R], key: int | str | tuple[int | str, ...]) -> R:
        """A row that is there."""
        found = self.engine.state.get(table, key)
        assert found is not None
        return found

    def all(self, table: type[R]) -> list[R]:
        """A table."""
        return list(self.engine.state.table(table).values())


async def test_every_command_does_what_it_says() -> None:
    """One evening in a space, with everything that can be done in it."""
    clock = ManualClock()
    async with opened(None, clock) as engine:
        tokens = ScriptedTokens()
        room = await furnish(engine, tokens)
        do = Doing(engine)
        do.done |= {c.Initialize, c.Admit, c.CreateServer, c.JoinServer, c.UpdateMemberRole}
        space, general = room.space_id, room.channel_id

        # the space
        await do(room.owner, c.UpdateServer(server_id=space, name="Shop", description="where we work"))
        await do(room.owner, c.SetIcon(server_id=space, icon_url="https://icons.example/a.png"))
        await do(room.owner, c.SetSpaceVisibility(server_id=space, visibility="private"))
        found = do.row(Space, space)
        assert found is not None
        assert (found.name, found.description, found.visibility) == ("Shop", "where we work", "private")
        assert found.icon_url == "https://icons.example/a.png"

        # invitations
        spare: Invite = await do(room.owner, c.CreateInvite(server_id=space))
        await do(room.owner, c.RevokeInvite(code=spare.code))
        await refused(engine, c.UseInvite(code=spare.code), room.stranger, SpacesNotFoundError)
        invite: Invite = await do(room.owner, c.CreateInvite(server_id=space, role=Role.MEMBER, max_uses=1))
        await do(room.stranger, c.UseInvite(code=invite.code))
        assert do.row(Member, (space, room.stranger.identity)) is not None

        # channels
        plans: Channel = await do(room.owner, c.CreateChannel(server_id=space, name="plans", topic="old"))
        await do(room.owner, c.UpdateChannel(channel_id=plans.id, name="goals", topic="new"))
        await do(room.owner, c.MoveChannel(channel_id=plans.id, position=0))
        await do(room.moderator, c.SetSlowMode(channel_id=plans.id, seconds=30))
        await do(room.owner, c.SetChannelType(channel_id=plans.id, channel_type=ChannelType.ANNOUNCEMENT))
        await do(
            room.owner,
            c.SetChannelOverride(channel_id=plans.id, subject="role:Member", permission="channel.view", effect="deny"),
        )
        kept = do.row(Channel, plans.id)
        assert kept is not None
        assert (kept.name, kept.topic, kept.position, kept.slow_mode_s) == ("goals", "new", 0, 30)
        assert kept.channel_type is ChannelType.ANNOUNCEMENT
        assert len(do.all(Override)) == 1
        await do(room.owner, c.DeleteChannel(channel_id=plans.id))
        assert do.row(Channel, plans.id) is None and not do.all(Override)

        # messages
        first: Message = await do(room.member, c.SendMessage(channel_id=general, content="frist"))
        await do(room.member, c.EditMessage(message_id=first.id, content="first"))
        await do(room.moderator, c.PinMessage(message_id=first.id))
        assert [pin.message_id for pin in do.all(Pin)] == [first.id]
        await do(room.moderator, c.UnpinMessage(message_id=first.id))
        assert not do.all(Pin)
        await do(room.agent, c.AddReaction(message_id=first.id, emoji="🎉"))
        assert len(do.all(Reaction)) == 1
        await do(room.agent, c.RemoveReaction(message_id=first.id, emoji="🎉"))
        assert not do.all(Reaction)
        await do(room.owner, c.MarkRead(channel_id=general, message_id=first.id))
        assert do.row(ReadState, (room.owner.identity, general, 0)) is not None
        report: Report = await do(room.agent, c.ReportMessage(message_id=first.id, reason="rude"))
        await do(room.moderator, c.ResolveReport(report_id=report.id, dismissed=True))
        resolved = do.row(Report, report.id)
        assert resolved is not None
        assert (resolved.state, resolved.resolved_by) == ("dismissed", room.moderator.identity)
        logs: Channel = await do(
            room.owner, c.CreateChannel(server_id=space, name="log", channel_type=ChannelType.AGENT_LOG)
        )
        event: Message = await do(room.agent, signed_log(engine, room.agent, "gent", logs.id, "e-1"))
        assert msgspec.json.decode(event.content, type=AgentEventBody).agent
        second: Message = await do(room.member, c.SendMessage(channel_id=general, content="oops"))
        await do(room.member, c.DeleteMessage(message_id=second.id, reason="typo"))
        assert do.row(Message, second.id) is None and do.row(Tombstone, second.id) is not None

        # threads
        thread: Thread = await do(room.member, c.CreateThread(channel_id=general, name="idea", content="what if"))
        await do(room.member, c.RenameThread(thread_id=thread.id, name="ideas"))
        await do(room.member, c.ArchiveThread(thread_id=thread.id))
        late = c.SendMessage(channel_id=general, thread_id=thread.id, content="late")
        await refused(engine, late, room.member, ArchivedError)
        await do(room.moderator, c.UnarchiveThread(thread_id=thread.id))
        await do(room.member, late)
        assert do.must(Thread, thread.id).name == "ideas"

        # direct messages
        direct: DirectMessage = await do(
            room.owner, c.SendDirectMessage(recipient=room.member.identity, content="psst")
        )
        await do(room.owner, c.EditDirectMessage(message_id=direct.id, content="hello"))
        await do(room.member, c.MarkDmRead(conversation_id=direct.conversation_id, message_id=direct.id))
        read = do.row(Participant, (direct.conversation_id, room.member.identity))
        assert read is not None and read.last_read_id == direct.id
        await do(room.owner, c.DeleteDirectMessage(message_id=direct.id))
        assert do.row(DirectMessage, direct.id) is None
        group: Conversation = await do(
            room.owner, c.OpenGroupDm(participants=(room.member.identity, room.admin.identity), title="us")
        )
        await do(room.admin, c.SendToConversation(conversation_id=group.id, content="hi all"))
        await do(room.member, c.LeaveConversation(conversation_id=group.id))
        await refused(
            engine, c.SendToConversation(conversation_id=group.id, content="x"), room.member, SpacesNotFoundError
        )
        await do(room.member, c.BlockIdentity(identity=room.stranger.identity))
        assert len(do.all(Block)) == 1
        await do(room.member, c.UnblockIdentity(identity=room.stranger.identity))
        assert not do.all(Block)
        inbox = [row for row in do.all(Notification) if row.target == room.member.identity]
        assert inbox
        await do(room.member, c.MarkNotificationRead(notification_id=0))
        assert all(row.read_us for row in do.all(Notification) if row.target == room.member.identity)

        # what passes: typing, signals
        listener = await engine.subscribe([TableQuery(table="message", where={"channel_id": general})], room.owner)
        await do(room.member, c.StartTyping(channel_id=general))
        await do(room.member, c.StopTyping(channel_id=general))
        kinds = [update.transient.kind for update in listener.take() if update.transient is not None]
        assert kinds == ["typing.started", "typing.stopped"]
        await listener.aclose()
        voice: Channel = await do(
            room.owner, c.CreateChannel(server_id=space, name="talk", channel_type=ChannelType.VOICE)
        )
        for caller in (room.member, room.admin):
            await do(caller, c.VoiceJoin(channel_id=voice.id))
        listener = await engine.subscribe(
            [TableQuery(table="voice_member", where={"channel_id": voice.id})], room.admin
        )
        await do(room.member, c.SendSignal(channel_id=voice.id, payload="offer", target=room.admin.identity))
        (signal,) = [update.transient for update in listener.take() if update.transient is not None]
        assert (signal.kind, signal.data["payload"]) == ("voice.signal", "offer")
        await do(room.member, c.VoiceLeave(channel_id=voice.id))
        assert [row.identity for row in do.all(VoiceMember)] == [room.admin.identity]

        # moderation
        await do(room.moderator, c.MuteMember(server_id=space, identity=room.agent.identity, duration_s=600))
        await refused(engine, c.SendMessage(channel_id=general, content="x"), room.agent, MutedError)
        await do(room.moderator, c.UnmuteMember(server_id=space, identity=room.agent.identity))
        assert not do.all(Mute)
        await do(room.agent, c.SendMessage(channel_id=general, content="thanks"))
        await do(room.moderator, c.KickMember(server_id=space, identity=room.stranger.identity, reason="spam"))
        await do(room.admin, c.BanMember(server_id=space, identity=room.stranger.identity, reason="spam"))
        assert len(do.all(Ban)) == 1
        await do(room.admin, c.UnbanMember(server_id=space, identity=room.stranger.identity))
        assert not do.all(Ban)
        actions = {row.action for row in do.all(Audit) if row.space_id == space}
        assert {"member.mute", "member.unmute", "member.kick", "member.ban", "member.unban"} <= actions

        # profiles, directory, tasks
        await do(room.member, c.SetProfile(display_name="Mike", bio="builds"))
        assert do.must(Profile, room.member.identity).display_name == "Mike"
        await do(room.agent, c.PublishListing(name="Gent", description="helps", skills=(c.SkillSpec(skill_id="s", name="S"),)))  # fmt: skip
        await do(room.agent, c.ReportHealth(error_streak=1))
        assert do.must(Health, room.agent.identity).score < 100
        await do(room.owner, c.CreateTask(task_id="t-1", context_id="c-1", agent=room.agent.identity, message_id="m-1"))
        task: Task = await do(room.agent, c.UpdateTask(task_id="t-1", state="working"))
        assert task.version == 2
        await do(room.agent, c.WithdrawListing())
        assert not do.all(Listing)

        # the end
        await do(room.owner, c.TransferOwnership(server_id=space, identity=room.admin.identity))
        await do(room.owner, c.LeaveServer(server_id=space))
        await do(room.agent, c.PurgeIdentity(identity=room.agent.identity))
        clock.advance_us(10_000_000_000)
        await do(SYSTEM, c.Sweep())
        await do(room.admin, c.DeleteServer(server_id=space))
        assert do.row(Space, space) is None
        assert engine.verify() == engine.state.position
        missing = set(c.COMMANDS) - do.done
        assert not missing, sorted(kind.__name__ for kind in missing)


async def test_all_five_types_of_messages_are_written_by_whom_they_belong_to() -> None:
    """Text by people and agents, AgentEvent by agents, and Join, Leave and System by the server, for joining, leaving, being kicked, a new
    topic, a new name, a pin and a new owner; nobody edits or forges what is the server's."""
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        room = await furnish(engine, tokens)
        space, general = room.space_id, room.channel_id
        said = (await engine.submit(c.SendMessage(channel_id=general, content="hello"), room.member)).row
        assert isinstance(said, Message)
        await engine.submit(c.PinMessage(message_id=said.id), room.owner)
        await engine.submit(c.UpdateChannel(channel_id=general, topic="work"), room.owner)
        await engine.submit(c.UpdateChannel(channel_id=general, topic=None), room.owner)
        await engine.submit(c.UpdateChannel(channel_id=general, name="lobby"), room.owner)
        await engine.submit(c.UpdateChannel(channel_id=general, name="lobby"), room.owner)
        await engine.submit(c.TransferOwnership(server_id=space, identity=room.admin.identity), room.owner)
        await engine.submit(c.LeaveServer(server_id=space), room.member)
        await engine.submit(c.KickMember(server_id=space, identity=room.agent.identity), room.admin)
        logs = (await engine.submit(c.CreateChannel(server_id=space, name="log", channel_type=ChannelType.AGENT_LOG), room.admin)).row  # fmt: skip
        assert isinstance(logs, Channel)
        await engine.submit(c.JoinServer(server_id=space), room.agent)
        await engine.submit(signed_log(engine, room.agent, "gent", logs.id, "1"), room.agent)
        await engine.submit(c.UpdateChannel(channel_id=logs.id, topic="no words here"), room.admin)
        rows = [row for row in engine.state.table(Message).values() if row.space_id == space]
        assert {row.message_type for row in rows} == set(MessageType)
        system = [row for row in rows if row.message_type is MessageType.SYSTEM]
        assert [row.content.split(" ", 1)[1] for row in system[:4]] == [
            f"pinned message {said.id}",
            "set the topic: work",
            "cleared the topic",
            "renamed the channel to lobby",
        ]
        assert len(system) == 5 and "handed the space over to" in system[4].content
        assert {row.channel_id for row in system} == {general}
        servers = {MessageType.SYSTEM, MessageType.JOIN, MessageType.LEAVE}
        assert all((row.sender == SERVER_IDENTITY) == (row.message_type in servers) for row in rows)
        for row in system:
            await refused(engine, c.EditMessage(message_id=row.id, content="forged"), room.admin, ForbiddenError)


async def test_a_newcomer_is_told_apart_from_a_person() -> None:
    """`enter` as an agent gives the role Agent in the Hub, as a person Member."""
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        roles = []
        for name, kind in (("ada", "person"), ("bot", "agent")):
            caller = await enter(engine, tokens, name, kind=kind)
            roles.append(engine.state.table(Member)[1, caller.identity].role)
        assert roles == [Role.MEMBER, Role.AGENT]
