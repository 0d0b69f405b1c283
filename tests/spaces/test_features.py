"""What the conformance suite does not touch: erasure, expiry, voice, tasks, directory, search, unread counts, hidden channels."""

from __future__ import annotations

import pytest

from life.spaces.commands import (
    CreateChannel,
    CreateInvite,
    CreateTask,
    DeleteChannel,
    DeleteServer,
    KickMember,
    MarkNotificationRead,
    MarkRead,
    MuteMember,
    OpenGroupDm,
    PublishListing,
    PurgeIdentity,
    ReportHealth,
    SendDirectMessage,
    SendMessage,
    SendSignal,
    SendToConversation,
    SetChannelOverride,
    SetSlowMode,
    SkillSpec,
    Sweep,
    UpdateTask,
    VoiceJoin,
    WithdrawListing,
)
from life.spaces.errors import (
    ForbiddenError,
    NotMemberError,
    RateLimitedError,
    SpacesConflictError,
    SpacesNotFoundError,
)
from life.spaces.identity import SYSTEM
from life.spaces.model import (
    Channel,
    ChannelType,
    Conversation,
    DirectMessage,
    Health,
    Idempotency,
    Invite,
    Listing,
    Member,
    Message,
    Mute,
    Notification,
    Profile,
    Skill,
    Task,
    UserKey,
    VoiceMember,
)
from life.spaces.queries import Search, TableQuery, Unread
from life.testing.clock import ManualClock
from life.testing.spaces import ScriptedTokens, enter, furnish, refused, sent
from tests.spaces.test_embedded_faults import opened


async def test_nobody_learns_of_a_hidden_channel_by_its_end() -> None:
    """A channel that Members may not view is deleted, then the whole space: they are told of no row of it, whoever saw it is."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        secret = (await engine.submit(CreateChannel(server_id=room.space_id, name="secret"), room.owner)).row
        assert isinstance(secret, Channel)
        await engine.submit(
            SetChannelOverride(channel_id=secret.id, subject="role:Member", permission="channel.view", effect="deny"),
            room.owner,
        )
        await engine.submit(SendMessage(channel_id=secret.id, content="between us"), room.owner)
        tables = ("message", "channel", "server_member", "server", "space_role_override")
        everything = [TableQuery(table=table) for table in tables]
        member = await engine.subscribe(everything, room.member)
        admin = await engine.subscribe(everything, room.admin)
        stranger = await engine.subscribe(everything, room.stranger)
        assert not any(getattr(row, "channel_id", 0) == secret.id for row in member.initial)
        await engine.submit(DeleteChannel(channel_id=secret.id), room.owner)
        told = [one for update in member.take() for one in update.removed]
        assert not told
        told = [one for update in admin.take() for one in update.removed]
        assert {one.table for one in told} >= {"message", "channel"}
        await engine.submit(DeleteServer(server_id=room.space_id), room.owner)
        assert {one.table for update in member.take() for one in update.removed} >= {
            "server_member",
            "channel",
            "server",
        }
        seen = {one.table for update in stranger.take() for one in update.removed}
        assert seen <= {"server"}


async def test_whoever_is_kicked_sees_their_own_membership_go() -> None:
    """The kicked one's subscription loses the members' rows, their own included."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        listener = await engine.subscribe(
            [TableQuery(table="server_member", where={"space_id": room.space_id})], room.agent
        )
        assert len(listener.initial) == 5
        await engine.submit(KickMember(server_id=room.space_id, identity=room.agent.identity), room.owner)
        (update,) = listener.take()
        assert {one.key for one in update.removed} == {
            (room.space_id, row.identity) for row in listener.initial if isinstance(row, Member)
        }


async def test_erasure_leaves_nothing_personal() -> None:
    """Profile texts, keys, direct messages, inbox, memberships and listing go; what was said in spaces stays there, without a name."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        await engine.submit(PublishListing(name="gent", description="does things"), room.agent)
        await engine.submit(SendDirectMessage(recipient=room.member.identity, content="private"), room.agent)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="public"), room.agent)
        await refused(engine, PurgeIdentity(identity=room.agent.identity), room.owner, ForbiddenError)
        await refused(engine, PurgeIdentity(identity=room.owner.identity), room.owner, SpacesConflictError)
        await engine.submit(PurgeIdentity(identity=room.agent.identity), room.agent)
        state = engine.state
        who = room.agent.identity
        assert not [row for row in state.table(DirectMessage).values() if row.sender == who]
        assert not [row for row in state.table(UserKey).values() if row.identity == who]
        assert not [row for row in state.table(Member).values() if row.identity == who]
        assert not state.table(Listing) and not state.table(Skill)
        assert state.table(Profile)[who].bio is None
        assert "public" in [row.content for row in state.table(Message).values()]
        assert engine.verify() == state.position


async def test_what_expires_is_swept() -> None:
    """Mutes, invites, voice rosters and idempotency keys go when their time is over, as entries of the log; before that they stay."""
    clock = ManualClock()
    async with opened(None, clock) as engine:
        room = await furnish(engine, ScriptedTokens())
        voice = (await engine.submit(CreateChannel(server_id=room.space_id, name="v", channel_type=ChannelType.VOICE), room.owner)).row  # fmt: skip
        assert isinstance(voice, Channel)
        await engine.submit(VoiceJoin(channel_id=voice.id), room.member)
        await engine.submit(
            MuteMember(server_id=room.space_id, identity=room.agent.identity, duration_s=60), room.owner
        )
        await engine.submit(CreateInvite(server_id=room.space_id, lifetime_s=60), room.owner)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="x", client_id="1"), room.member)
        position = engine.state.position
        await engine.submit(Sweep(), SYSTEM)
        assert engine.state.position == position
        clock.advance_us(61_000_000)
        await engine.submit(Sweep(), SYSTEM)
        for table in (Mute, Invite, VoiceMember):
            assert not engine.state.table(table)
        assert engine.state.table(Idempotency)
        clock.advance_us(26 * 3_600_000_000)
        await engine.submit(Sweep(), SYSTEM)
        assert not engine.state.table(Idempotency)


async def test_signals_reach_only_the_roster() -> None:
    """Who is not in the call neither sends nor hears; a target hears alone."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        voice = (await engine.submit(CreateChannel(server_id=room.space_id, name="v", channel_type=ChannelType.VOICE), room.owner)).row  # fmt: skip
        assert isinstance(voice, Channel)
        where = [TableQuery(table="voice_member", where={"channel_id": voice.id})]
        await engine.submit(VoiceJoin(channel_id=voice.id), room.member)
        await refused(engine, SendSignal(channel_id=voice.id, payload="offer"), room.owner, NotMemberError)
        await engine.submit(VoiceJoin(channel_id=voice.id), room.agent)
        hearing = {
            caller.identity: await engine.subscribe(where, caller) for caller in (room.member, room.agent, room.owner)
        }
        await engine.submit(SendSignal(channel_id=voice.id, payload="offer", target=room.agent.identity), room.member)
        heard = {
            who: [update.transient.data for update in one.take() if update.transient] for who, one in hearing.items()
        }
        assert heard == {room.member.identity: [], room.agent.identity: [{"payload": "offer"}], room.owner.identity: []}


async def test_a_task_moves_as_it_may() -> None:
    """Asked twice it is one task; the agent works, the owner answers and cancels; the end is the end; a third one sees nothing."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        ask = CreateTask(task_id="t1", context_id="c1", agent=room.agent.identity, message_id="m1")
        spy = await engine.subscribe([TableQuery(table="a2a_task")], room.stranger)
        await engine.submit(ask, room.member)
        again = (await engine.submit(ask, room.member)).row
        assert isinstance(again, Task) and len(engine.state.table(Task)) == 1

        def move(state: str, **more: object) -> UpdateTask:
            return UpdateTask(task_id="t1", state=state, **more)  # type: ignore[arg-type]

        await refused(engine, move("working"), room.member, ForbiddenError)
        await refused(engine, move("completed"), room.agent, SpacesConflictError)
        await engine.submit(move("working"), room.agent)
        await engine.submit(move("input_required", body='{"question":"which?"}'), room.agent)
        await refused(engine, move("working", expected_version=1), room.member, SpacesConflictError)
        await engine.submit(move("working", body='{"answer":"that"}'), room.member)
        await refused(engine, move("working", body='{"hijack":1}'), room.member, ForbiddenError)
        await engine.submit(move("completed"), room.agent)
        await refused(engine, move("canceled"), room.member, SpacesConflictError)
        await refused(engine, move("working"), room.stranger, SpacesNotFoundError)
        assert not spy.take() and not spy.initial


async def test_the_directory_says_who_can_what_and_how_they_are() -> None:
    """Listing, skills, health with its score; replaced and withdrawn as a whole."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        skills = (SkillSpec(skill_id="paint", name="Paint", tags=("Art",)), SkillSpec(skill_id="sing", name="Sing"))
        await engine.submit(PublishListing(name="g", description="d", skills=skills), room.agent)
        await engine.submit(PublishListing(name="g", description="d", skills=skills[:1]), room.agent)
        assert [row.skill_id for row in engine.state.table(Skill).values()] == ["paint"]
        report = ReportHealth(error_streak=2, context_pressure_bp=5000, budget_remaining_bp=1000, uncertainty_bp=4000)
        health = (await engine.submit(report, room.agent)).row
        assert isinstance(health, Health) and health.score == 100 - 20 - 10 - 12 - 10
        await refused(engine, PublishListing(name="x", description="y"), room.member, ForbiddenError)
        await engine.submit(WithdrawListing(), room.agent)
        assert not engine.state.table(Skill) and not engine.state.table(Health)


async def test_search_unread_and_the_inbox() -> None:
    """Search finds what one reads and nothing else; unread counts go down by reading; the inbox is read."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        name = engine.state.table(Profile)[room.member.identity].username
        first = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="The NEEDLE"), room.owner))
        last = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content=f"hey @{name}"), room.owner))
        found = await engine.query(Search(text="needle"), room.member)
        assert found.rows == (first,)
        assert not (await engine.query(Search(text="needle"), room.stranger)).rows
        counts = {
            one.channel_id: one for one in (await engine.query(Unread(space_id=room.space_id), room.member)).counts
        }
        assert counts[room.channel_id].mentions == 1 and counts[room.channel_id].unread >= 2
        await engine.submit(MarkRead(channel_id=room.channel_id, message_id=last.id), room.member)
        assert not (await engine.query(Unread(space_id=room.space_id), room.member)).counts
        await engine.submit(MarkNotificationRead(notification_id=0), room.member)
        mine = [row for row in engine.state.table(Notification).values() if row.target == room.member.identity]
        assert mine and all(row.read_us for row in mine)


async def test_a_group_of_three_and_slow_mode() -> None:
    """Only the group reads its messages; slow mode names the time to wait and spares moderators."""
    clock = ManualClock()
    async with opened(None, clock) as engine:
        room = await furnish(engine, ScriptedTokens())
        others = (room.member.identity, room.admin.identity)
        group = (await engine.submit(OpenGroupDm(participants=others, title="plan"), room.owner)).row
        assert isinstance(group, Conversation)
        await engine.submit(SendToConversation(conversation_id=group.id, content="hi"), room.member)
        await refused(
            engine, SendToConversation(conversation_id=group.id, content="x"), room.moderator, SpacesNotFoundError
        )
        await engine.submit(SetSlowMode(channel_id=room.channel_id, seconds=10), room.moderator)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="1"), room.member)
        with pytest.raises(RateLimitedError) as caught:
            await engine.submit(SendMessage(channel_id=room.channel_id, content="2"), room.member)
        assert caught.value.retry_after_ms == 10_000
        for text in ("a", "b"):
            await engine.submit(SendMessage(channel_id=room.channel_id, content=text), room.moderator)
        clock.advance_us(10_000_000)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="2"), room.member)


async def test_a_newcomer_with_many_keys() -> None:
    """Each login's key is noted once, and no more than a hundred are kept."""
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        for number in range(3):
            session = await engine.login(tokens.token("kim", key=f"key{number}"))
            await engine.logout(session)
        caller = await enter(engine, tokens, "kim")
        position = engine.state.position
        await enter(engine, tokens, "kim")
        assert engine.state.position == position
        assert engine.state.count(UserKey, ("identity",), caller.identity) == 4
