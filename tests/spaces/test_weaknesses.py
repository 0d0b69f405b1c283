"""The weaknesses of the original (spaces.md §14), one by one: each as an attack on our system, from outside where it is reachable there.

`life.testing.spaces` holds the same promises for every engine; these tests go at them in other ways, and over the listeners. W19 is
tests/spaces/a2a, W20 tests/spaces/relay, W21 a licence.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import httpx2
import pytest

from life.aios.events import Custom
from life.aios.events.codec import decode_kind
from life.aios.ports.journal import EventQuery
from life.lago.journal.memory import MemoryJournal
from life.spaces.commands import (
    AddReaction,
    Admit,
    ArchiveThread,
    BanMember,
    CreateChannel,
    CreateInvite,
    CreateServer,
    CreateThread,
    DeleteChannel,
    DeleteMessage,
    DeleteServer,
    EditMessage,
    JoinServer,
    KickMember,
    LeaveServer,
    MarkRead,
    MuteMember,
    PinMessage,
    PurgeIdentity,
    RemoveReaction,
    SendDirectMessage,
    SendMessage,
    SetChannelOverride,
    SetProfile,
    SetSpaceVisibility,
    StartTyping,
    TransferOwnership,
    UpdateMemberRole,
    UpdateServer,
    VoiceJoin,
)
from life.spaces.errors import (
    BannedError,
    ForbiddenError,
    InvalidArgumentError,
    MutedError,
    NotMemberError,
    RateLimitedError,
    RoleRankError,
    SpacesConflictError,
    SpacesError,
    SpacesNotFoundError,
    TooLongError,
    WrongChannelTypeError,
)
from life.spaces.export import JournalExport
from life.spaces.identity import SYSTEM, Caller, default_username, identity_of
from life.spaces.limits import Limits
from life.spaces.model import (
    Audit,
    Channel,
    ChannelType,
    DirectMessage,
    Member,
    Message,
    MessageType,
    Profile,
    ReadState,
    Role,
    Space,
    Thread,
    Tombstone,
)
from life.spaces.queries import DmHistory, History, Rows, Search, TableQuery
from life.spaces.state import State
from life.testing.clock import ManualClock
from life.testing.spaces import GENERAL, HUB, OPERATOR, ScriptedTokens, enter, furnish, refused, sent, signed_log
from tests.spaces.hiring.kit import village
from tests.spaces.spacetimedb.kit import hub
from tests.spaces.test_embedded_faults import opened
from tests.spaces.tools.test_toolbox import Hands

WEAKNESSES = (*(f"w{number}" for number in range(1, 19)), "w22")


def operator() -> Caller:
    """Who owns the Hub."""
    return Caller(identity=identity_of(OPERATOR), did=OPERATOR, kind="person")


def test_every_weakness_has_its_test() -> None:
    """W1 to W18 and W22 are here by name."""
    names = [name for name in vars(sys.modules[__name__]) if name.startswith("test_w")]
    for weakness in WEAKNESSES:
        assert any(name.startswith(f"test_{weakness}_") for name in names), weakness


def test_w1_five_thousand_newcomers_have_five_thousand_names() -> None:
    """The original's 65,536 names collide after 306 identities on average; these have 60 bits of the hash's tail."""
    names = {default_username(identity_of(f"did:test:{number}"), is_agent=number % 2 == 0) for number in range(5_000)}
    assert len(names) == 5_000
    assert all(len(name.partition("-")[2]) == 12 for name in names)


async def test_w1_a_name_that_is_taken_keeps_nobody_out() -> None:
    """Somebody has taken the very name that a newcomer would get: the newcomer is let in under another."""
    async with opened(None) as engine:
        squatter = await enter(engine, ScriptedTokens(), "squatter")
        wanted = default_username(identity_of("did:test:victim"), is_agent=False)
        await engine.submit(SetProfile(username=wanted), squatter)
        victim = await enter(engine, ScriptedTokens(), "victim")
        name = engine.state.table(Profile)[victim.identity].username
        assert name.lower() != wanted.lower()
        assert engine.state.get(Member, (HUB, victim.identity)) is not None


async def test_w2_the_hub_is_governed_by_its_owner_alone() -> None:
    """The operator renames it, makes an Admin and bans; nobody else makes themselves its Owner."""
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        ann, bob = await enter(engine, tokens, "ann"), await enter(engine, tokens, "bob")
        for command in (
            UpdateServer(server_id=HUB, name="Mine"),
            TransferOwnership(server_id=HUB, identity=ann.identity),
            UpdateMemberRole(server_id=HUB, identity=ann.identity, role=Role.OWNER),
        ):
            await refused(engine, command, ann, SpacesError)
        await engine.submit(UpdateServer(server_id=HUB, name="House"), operator())
        await engine.submit(UpdateMemberRole(server_id=HUB, identity=ann.identity, role=Role.ADMIN), operator())
        await engine.submit(BanMember(server_id=HUB, identity=bob.identity), ann)
        assert engine.state.table(Space)[HUB].name == "House"


async def test_w3_a_space_of_the_hubs_name_is_just_another_space() -> None:
    """A hundred impostors, before and after the Hub is renamed: newcomers enter the Hub, which is number one."""
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        name = engine.state.table(Space)[HUB].name
        for number in range(5):
            rogue = await enter(engine, tokens, f"rogue{number}")
            await engine.submit(CreateServer(name=name), rogue)
        await engine.submit(UpdateServer(server_id=HUB, name="Elsewhere"), operator())
        newcomer = await enter(engine, tokens, "newcomer")
        joined = [row.space_id for row in engine.state.table(Member).values() if row.identity == newcomer.identity]
        assert joined == [HUB]


async def test_w4_presence_survives_the_first_of_many_connections() -> None:
    """Fifty connections of one identity; forty-nine close; it is here until the last is silent for its lease."""
    clock = ManualClock()
    async with opened(None, clock) as engine:
        tokens = ScriptedTokens()
        sessions = [await engine.login(tokens.token("pia")) for _ in range(50)]
        who = sessions[0].caller.identity
        for session in sessions:
            await engine.set_presence(session, "online")
        for session in sessions[1:]:
            await engine.logout(session)
        assert (await engine.presence([who]))[0].state == "online"
        clock.advance_us(29_000_000)
        assert (await engine.presence([who]))[0].state == "online"
        clock.advance_us(2_000_000)
        await engine.look()
        assert (await engine.presence([who]))[0].state == "offline"


async def test_w5_a_spy_with_sql_sees_nothing_that_is_not_hers(tmp_path: Path) -> None:
    """Over SpacetimeDB's own protocol, table by table: no direct message, read state, invitation, private space or member of one."""
    async with hub(tmp_path) as home, httpx2.AsyncClient(base_url=home.address, trust_env=False) as http:
        ann, bob = await home.login("ann"), await home.login("bob")
        space = (await home.engine.submit(CreateServer(name="hideaway", visibility="private"), ann.caller)).row
        assert isinstance(space, Space)
        channel = home.engine.state.find(Channel, ("space_id",), space.id)[0]
        message = sent(await home.engine.submit(SendMessage(channel_id=channel.id, content="inside"), ann.caller))
        await home.engine.submit(MarkRead(channel_id=channel.id, message_id=message.id), ann.caller)
        await home.engine.submit(CreateInvite(server_id=space.id), ann.caller)
        await home.engine.submit(SendDirectMessage(recipient=bob.caller.identity, content="a secret"), ann.caller)
        await home.login("spy")
        tables = ("server", "server_member", "channel", "message", "direct_message", "direct_conversation",
                  "dm_participant", "channel_read_state", "invite", "block", "system_notification", "audit")  # fmt: skip
        for table in tables:
            token = home.tokens.token("spy", kind="person")
            answer = await http.post(
                "/v1/database/spaces/sql",
                content=f"SELECT * FROM {table}",
                headers={"authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 200, (table, answer.text)
            for words in ("inside", "a secret", "hideaway"):
                assert words not in answer.text, table
            if table in ("direct_message", "direct_conversation", "dm_participant", "channel_read_state", "invite"):
                assert answer.json()[0]["rows"] == []


async def test_w5_asking_by_number_finds_nothing_either() -> None:
    """History, conversations and search by guessed ids: not found, the same as what does not exist."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        await engine.submit(SetSpaceVisibility(server_id=room.space_id, visibility="private"), room.owner)
        await engine.submit(SendMessage(channel_id=room.channel_id, content="needle"), room.owner)
        await engine.submit(SendDirectMessage(recipient=room.member.identity, content="needle"), room.owner)
        for known, unknown in (
            (History(channel_id=room.channel_id), History(channel_id=999)),
            (DmHistory(conversation_id=1), DmHistory(conversation_id=999)),
        ):
            with pytest.raises(SpacesNotFoundError) as real:
                await engine.query(known, room.stranger)
            with pytest.raises(SpacesNotFoundError) as made_up:
                await engine.query(unknown, room.stranger)
            assert real.value.message == made_up.value.message
        assert (await engine.query(Search(text="needle"), room.stranger)).rows == ()


async def test_w6_what_goes_where_is_enforced_for_the_highest_too() -> None:
    """The Owner writes no text into voice or logs; the type of a channel with words does not become another; an announcement by a Member is
    refused until an override allows it; a made-up agent event is refused."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        made = {}
        for kind in ChannelType:
            row = (await engine.submit(CreateChannel(server_id=room.space_id, name=f"c-{kind.value}", channel_type=kind), room.owner)).row  # fmt: skip
            assert isinstance(row, Channel)
            made[kind] = row
        for kind in (ChannelType.VOICE, ChannelType.AGENT_LOG):
            await refused(engine, SendMessage(channel_id=made[kind].id, content="x"), room.owner, WrongChannelTypeError)
        await refused(engine, VoiceJoin(channel_id=made[ChannelType.TEXT].id), room.owner, WrongChannelTypeError)
        news = made[ChannelType.ANNOUNCEMENT].id
        await refused(engine, SendMessage(channel_id=news, content="x"), room.member, ForbiddenError)
        allow = SetChannelOverride(channel_id=news, subject=f"identity:{room.member.identity}", permission="message.announce", effect="allow")  # fmt: skip
        await engine.submit(allow, room.owner)
        await engine.submit(SendMessage(channel_id=news, content="now I may"), room.member)
        await refused(engine, SendMessage(channel_id=news, content="x"), room.agent, ForbiddenError)
        event = signed_log(engine, room.agent, "gent", made[ChannelType.AGENT_LOG].id, "1")
        forged = type(event)(channel_id=event.channel_id, content=event.content.replace("gent", "boss"), client_id="1", signature=event.signature)  # fmt: skip
        await refused(engine, forged, room.agent, InvalidArgumentError)
        await engine.submit(event, room.agent)
        await refused(engine, EditMessage(message_id=1, content="x"), room.agent, SpacesError)


async def test_w7_nobody_acts_upwards_or_sideways() -> None:
    """Every pair of the five tiers, kick, mute and ban: only a higher one with the power does it to a lower one."""
    order = [Role.OWNER, Role.ADMIN, Role.MODERATOR, Role.MEMBER, Role.AGENT]
    for actor in order:
        for target in order:
            async with opened(None) as engine:
                room = await furnish(engine, ScriptedTokens())
                one, other = room.of(actor), room.of(target)
                if one == other:
                    continue
                higher = order.index(actor) < order.index(target)
                for command, powerful in (
                    (MuteMember(server_id=room.space_id, identity=other.identity, duration_s=9), order[:3]),
                    (BanMember(server_id=room.space_id, identity=other.identity), order[:2]),
                ):
                    if higher and actor in powerful:
                        await engine.submit(command, one)
                    else:
                        kind = ForbiddenError if actor not in powerful else RoleRankError
                        await refused(engine, command, one, kind)


async def test_w8_the_servers_words_stay_the_servers() -> None:
    """Join and Leave messages are edited, signed over or taken over by nobody, the Owner included; a moderator may delete them."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        await engine.submit(LeaveServer(server_id=room.space_id), room.agent)
        notices = [row for row in engine.state.table(Message).values() if row.message_type in (MessageType.JOIN, MessageType.LEAVE) and row.space_id == room.space_id]  # fmt: skip
        assert {row.message_type for row in notices} == {MessageType.JOIN, MessageType.LEAVE}
        for row in notices:
            for caller in (room.owner, room.member, room.agent):
                await refused(engine, EditMessage(message_id=row.id, content="forged"), caller, SpacesError)
        await engine.submit(DeleteMessage(message_id=notices[0].id), room.moderator)


async def test_w9_former_members_leave_their_hands_behind() -> None:
    """Left, kicked and banned: no edit, deletion, reaction, pin, thread or read state any more, in any channel of the space."""
    for how in ("leave", "kick", "ban"):
        async with opened(None) as engine:
            room = await furnish(engine, ScriptedTokens())
            mine = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="mine"), room.member))
            thread = (await engine.submit(CreateThread(channel_id=room.channel_id, name="t", content="x"), room.member)).row  # fmt: skip
            assert isinstance(thread, Thread)
            await engine.submit(AddReaction(message_id=mine.id, emoji="👍"), room.member)
            if how == "leave":
                await engine.submit(LeaveServer(server_id=room.space_id), room.member)
            elif how == "kick":
                await engine.submit(KickMember(server_id=room.space_id, identity=room.member.identity), room.owner)
            else:
                await engine.submit(BanMember(server_id=room.space_id, identity=room.member.identity), room.owner)
            for command in (
                EditMessage(message_id=mine.id, content="y"),
                DeleteMessage(message_id=mine.id),
                RemoveReaction(message_id=mine.id, emoji="👍"),
                AddReaction(message_id=mine.id, emoji="🎉"),
                PinMessage(message_id=mine.id),
                ArchiveThread(thread_id=thread.id),
                MarkRead(channel_id=room.channel_id, message_id=mine.id),
                SendMessage(channel_id=room.channel_id, content="still here"),
                StartTyping(channel_id=room.channel_id),
            ):
                await refused(engine, command, room.member, NotMemberError)


async def test_w10_a_thousand_typists_leave_no_trace() -> None:
    """Typing adds nothing to the log or the state, is told at most every three seconds, and says when it is over."""
    clock = ManualClock()
    async with opened(None, clock, limits=Limits()) as engine:
        room = await furnish(engine, ScriptedTokens())
        before, position = engine.state.digest(), engine.state.position
        listener = await engine.subscribe([TableQuery(table="message", where={"channel_id": room.channel_id})], room.owner)  # fmt: skip
        accepted = 0
        for _ in range(200):
            clock.advance_us(100_000)
            try:
                await engine.submit(StartTyping(channel_id=room.channel_id), room.member)
                accepted += 1
            except RateLimitedError:
                pass
        assert accepted in (6, 7)
        told = [update.transient for update in listener.take() if update.transient is not None]
        assert len(told) == accepted
        assert all(0 < one.expires_us - one.at_us <= 8_000_000 for one in told)
        assert (engine.state.digest(), engine.state.position) == (before, position)


async def test_w11_every_act_of_power_is_on_record_and_a_repeat_is_one() -> None:
    """Kick, ban, mute, pin, role, override, deletion by others: each with actor and target in the audit, seen by those who may and nobody
    else; sent five times at once under one key it is one."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        bad = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="bad"), room.member))
        kick = KickMember(server_id=room.space_id, identity=room.agent.identity, reason="noise")
        answers = await asyncio.gather(*(engine.submit(kick, room.admin, key="k-1") for _ in range(5)))
        assert sorted(answer.duplicate for answer in answers) == [False, True, True, True, True]
        await engine.submit(PinMessage(message_id=bad.id), room.moderator)
        await engine.submit(DeleteMessage(message_id=bad.id, reason="rude"), room.moderator)
        await engine.submit(UpdateMemberRole(server_id=room.space_id, identity=room.member.identity, role=Role.MODERATOR), room.owner)  # fmt: skip
        seen = [row for row in (await engine.query(Rows(tables=(TableQuery(table="audit"),)), room.admin)).rows if isinstance(row, Audit)]  # fmt: skip
        found = [(row.actor, row.action, row.reason) for row in seen if row.space_id == room.space_id]
        assert (room.admin.identity, "member.kick", "noise") in found
        assert (room.moderator.identity, "message.delete", "rude") in found
        assert sum(action == "member.kick" for _, action, _ in found) == 1
        assert (await engine.query(Rows(tables=(TableQuery(table="audit"),)), room.agent)).rows == ()
        assert engine.state.get(Tombstone, bad.id) is not None
        with pytest.raises(SpacesConflictError):
            await engine.submit(LeaveServer(server_id=room.space_id), room.admin, key="k-1")


async def test_w12_pointers_point_into_their_own_place() -> None:
    """A reply, a read mark or a thread of another channel, thread or space is not found, and so is one that never was."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        hub_message = sent(await engine.submit(SendMessage(channel_id=GENERAL, content="hub"), room.member))
        thread = (await engine.submit(CreateThread(channel_id=room.channel_id, name="t", content="x"), room.member)).row
        assert isinstance(thread, Thread)
        for command in (
            SendMessage(channel_id=room.channel_id, content="x", reply_to_id=hub_message.id),
            SendMessage(channel_id=room.channel_id, content="x", reply_to_id=10_000),
            SendMessage(channel_id=GENERAL, content="x", thread_id=thread.id),
            SendMessage(channel_id=room.channel_id, content="x", reply_to_id=thread.opener_id),
            MarkRead(channel_id=room.channel_id, message_id=hub_message.id),
            MarkRead(channel_id=room.channel_id, message_id=10_000),
        ):
            await refused(engine, command, room.member, SpacesNotFoundError)
        await engine.submit(MarkRead(channel_id=GENERAL, message_id=hub_message.id), room.member)
        assert engine.state.table(ReadState)[room.member.identity, GENERAL, 0].last_read_id == hub_message.id


async def test_w13_a_command_costs_the_same_among_ten_times_as_many() -> None:
    """Sending, joining and a direct message in a log of 4,000 identities cost about what they cost among 400 (a scan would cost ten
    times as much)."""

    async def cost(crowd: int) -> float:
        async with opened(None) as engine:
            tokens = ScriptedTokens()
            for number in range(crowd):
                did = f"did:test:crowd{number}"
                await engine.submit(Admit(identity=identity_of(did), did=did, is_agent=False), SYSTEM)
            room = await furnish(engine, tokens)
            best = 1e9
            for round_ in range(5):
                begun = time.process_time()
                for number in range(40):
                    await engine.submit(SendMessage(channel_id=room.channel_id, content=f"{round_}{number}"), room.member)  # fmt: skip
                    await engine.submit(SendDirectMessage(recipient=room.owner.identity, content="x"), room.member)
                    await engine.submit(LeaveServer(server_id=room.space_id), room.agent)
                    await engine.submit(JoinServer(server_id=room.space_id), room.agent)
                best = min(best, time.process_time() - begun)
            return best

    small, large = await cost(400), await cost(4_000)
    assert large < 4 * small, (small, large)


async def test_w14_a_deleted_channel_and_an_erased_identity_leave_no_orphans() -> None:
    """After the end of a channel, of a space and of an identity no row names them; replaying gives the same."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        side = (await engine.submit(CreateChannel(server_id=room.space_id, name="side"), room.owner)).row
        assert isinstance(side, Channel)
        message = sent(await engine.submit(SendMessage(channel_id=side.id, content="x @everyone"), room.owner))
        await engine.submit(CreateThread(channel_id=side.id, name="t", content="y"), room.member)
        await engine.submit(AddReaction(message_id=message.id, emoji="👍"), room.member)
        await engine.submit(PinMessage(message_id=message.id), room.owner)
        await engine.submit(MarkRead(channel_id=side.id, message_id=message.id), room.member)
        await engine.submit(MuteMember(server_id=room.space_id, identity=room.agent.identity, duration_s=60, channel_id=side.id), room.owner)  # fmt: skip
        await engine.submit(DeleteChannel(channel_id=side.id), room.owner)
        assert not [row for row in engine.state.all_rows() if getattr(row, "channel_id", 0) == side.id]
        await engine.submit(PurgeIdentity(identity=room.agent.identity), room.agent)
        await engine.submit(DeleteServer(server_id=room.space_id), room.owner)
        assert not [row for row in engine.state.all_rows() if getattr(row, "space_id", 0) == room.space_id]
        assert engine.verify() == engine.state.position


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        ("message", "𝕏" * 4000, True),  # 16,000 bytes
        ("message", "𝕏" * 4001, False),
        ("message", "e\u0301" * 2000, True),
        ("message", "x" * 4001, False),
        ("space", "ß" * 100, True),
        ("space", "ß" * 101, False),
        ("thread", "", False),
        ("thread", "t" * 101, False),
        ("emoji", "👩\u200d👩\u200d👧\u200d👦", True),
        ("emoji", "👍👍", False),
        ("emoji", ":" + "a" * 33 + ":", False),
        ("emoji", "", False),
        ("reason", "r" * 5000, False),
    ],
)
async def test_w15_everything_has_a_length_in_characters(kind: str, text: str, fits: bool) -> None:
    """Limits are characters that a person counts, with a cap in bytes; what had none in the original has one."""
    async with opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        message = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="x"), room.member))
        command = {
            "message": SendMessage(channel_id=room.channel_id, content=text),
            "space": CreateServer(name=text or "x"),
            "thread": CreateThread(channel_id=room.channel_id, name=text, content="x"),
            "emoji": AddReaction(message_id=message.id, emoji=text),
            "reason": KickMember(server_id=room.space_id, identity=room.agent.identity, reason=text),
        }[kind]
        if fits:
            await engine.submit(command, room.owner)
        else:
            error = await refused(engine, command, room.owner, SpacesError)
            assert isinstance(error, TooLongError | InvalidArgumentError)


async def test_w16_an_agent_is_whom_the_login_says() -> None:
    """No command makes somebody an agent or stops them being one, whatever they call themselves; and a ceiling cannot be raised by a role."""
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        room = await furnish(engine, tokens)
        await engine.submit(SetProfile(username="agent-of-mine", bio="I am an agent"), room.member)
        profile = engine.state.table(Profile)[room.member.identity]
        assert not profile.is_agent
        assert not any("is_agent" in command.__struct_fields__ for command in (SetProfile,))
        bound = (await engine.login(tokens.token("gent", ceiling="message.read"))).caller
        assert bound.identity == room.agent.identity
        await engine.submit(UpdateMemberRole(server_id=room.space_id, identity=bound.identity, role=Role.ADMIN), room.owner)  # fmt: skip
        await refused(engine, SendMessage(channel_id=room.channel_id, content="x"), bound, ForbiddenError)
        await refused(engine, KickMember(server_id=room.space_id, identity=room.member.identity), bound, ForbiddenError)


async def test_w17_one_field_changes_one_field() -> None:
    """Each field of a profile, alone: the others stay as they were."""
    async with opened(None) as engine:
        ann = await enter(engine, ScriptedTokens(), "ann")
        full = {"username": "Ann", "display_name": "Ann B.", "avatar_url": "https://a.example/a.png", "bio": "builds"}
        await engine.submit(SetProfile(**full), ann)  # type: ignore[arg-type]
        for field, value in (("username", "Anna"), ("display_name", "A"), ("avatar_url", None), ("bio", "rests")):
            before = engine.state.table(Profile)[ann.identity]
            await engine.submit(SetProfile(**{field: value}), ann)  # type: ignore[arg-type]
            after = engine.state.table(Profile)[ann.identity]
            changed = {name for name in full if getattr(before, name) != getattr(after, name)}
            assert (changed, getattr(after, field)) == ({field}, value)


async def test_w18_the_agents_tools_reach_the_real_thing() -> None:
    """Channels with their real types (with and without a topic), the newest messages and not the oldest, replies and threads kept, the stored row
    of what was sent, a direct message that arrives: read back from the engine, not from the tools."""
    async with village() as place:
        ada, ben = Hands(place, await place.villager("ada")), await place.villager("ben")
        engine = place.engine
        listed = await ada.use("spaces_list_channels")
        assert {(one["id"], one["type"].lower()) for one in listed["channels"]} >= {(GENERAL, "text"), (2, "agentlog")}
        sent_rows = [await ada.use("spaces_send_message", channel=GENERAL, content=f"m{number}") for number in range(5)]
        stored = engine.state.table(Message)[sent_rows[-1]["message_id"]]
        assert (stored.content, stored.channel_id, stored.sender) == ("m4", GENERAL, ada.who.seat.identity)
        read = await ada.use("spaces_read_messages", channel=GENERAL, limit=2)
        assert [one["quoted"] for one in read["messages"]] == ["m3", "m4"]
        reply = await ada.use("spaces_send_message", channel=GENERAL, content="re", reply_to_id=stored.id)
        assert engine.state.table(Message)[reply["message_id"]].reply_to_id == stored.id
        opened_ = await ada.use("spaces_reply_in_thread", channel=GENERAL, name="side", content="aside")
        assert engine.state.table(Message)[opened_["message_id"]].thread_id == opened_["thread_id"]
        await ben.seat.submit(SetProfile(dm_from_agents=True))
        told = await ada.use("spaces_send_dm", peer=ben.seat.identity, content="psst")
        (direct,) = [row for row in engine.state.table(DirectMessage).values() if row.id == told["message_id"]]
        assert (direct.content, direct.sender) == ("psst", ada.who.seat.identity)


async def test_w22_the_journal_alone_tells_the_state() -> None:
    """The events in Lago, with their rows, folded from empty without the log: the same rows as the engine's (its bookkeeping of repeats
    apart)."""
    async with MemoryJournal() as journal, opened(None) as engine:
        room = await furnish(engine, ScriptedTokens())
        message = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="1"), room.member))
        await engine.submit(AddReaction(message_id=message.id, emoji="👍"), room.owner)
        await engine.submit(DeleteMessage(message_id=message.id), room.moderator)
        await engine.submit(SendDirectMessage(recipient=room.member.identity, content="hi"), room.owner)
        await engine.submit(MuteMember(server_id=room.space_id, identity=room.agent.identity, duration_s=9), room.owner)
        with pytest.raises(MutedError):
            await engine.submit(SendMessage(channel_id=room.channel_id, content="x"), room.agent)
        await engine.submit(BanMember(server_id=room.space_id, identity=room.agent.identity), room.owner)
        with pytest.raises(BannedError):
            await engine.submit(JoinServer(server_id=room.space_id), room.agent)
        export = JournalExport(engine, journal, ManualClock(), deployment=engine.deployment)
        await export.catch_up()
        rows: dict[str, object] = {}
        for record in await journal.read(EventQuery(export.stream.session_id), limit=10_000):
            kind = decode_kind(record.payload)
            assert isinstance(kind, Custom) and isinstance(kind.data, dict)
            for gone in kind.data["removed"]:
                name, key = gone
                rows.pop(f"{name}/{key}", None)
            for row in kind.data["puts"]:
                rows[_place(row)] = row
        expected = {_place(row): row for row in _plain(engine.state) if row["table"] != "idempotency"}
        assert rows == expected


def _plain(state: State) -> list[dict[str, object]]:
    import msgspec

    return [msgspec.to_builtins(row) for row in state.all_rows()]


def _place(row: object) -> str:
    from life.spaces.model import TABLES

    assert isinstance(row, dict)
    table = TABLES[row["table"]]
    return f"{row['table']}/{[row.get(field, 0) for field in table.KEY]}"
