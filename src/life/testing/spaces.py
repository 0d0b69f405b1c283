"""What every Spaces engine must do: the conformance suite of life.spaces.engine.port, with the faults of the original as tests.

To run it against an engine, give it a harness::

    class TestMyEngine(SpacesConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> SpacesHarness:
            return MyHarness(tmp_path)

A harness opens the same log again and again, checks the tokens that `ScriptedTokens.token` makes, and moves time. Needs pytest and
pytest-asyncio (auto mode). `W1` … `W17`, `W22` name the weaknesses of the original that a test designs out; the others are about parts
elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, cast

import pytest

from life.crypto.did import Curve, DidKey, encode_did, resolve_did
from life.crypto.p256 import P256PrivateKey, load_private_key
from life.spaces.commands import (
    AddReaction,
    BanMember,
    BlockIdentity,
    Command,
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
    LogEvent,
    MarkRead,
    MuteMember,
    PinMessage,
    RemoveReaction,
    SendDirectMessage,
    SendMessage,
    SetChannelOverride,
    SetProfile,
    SetSpaceVisibility,
    StartTyping,
    TransferOwnership,
    UpdateMemberRole,
    UseInvite,
)
from life.spaces.engine.port import Engine, Result, Session, Subscription, Update
from life.spaces.errors import (
    AlreadyExistsError,
    BannedError,
    ForbiddenError,
    InvalidArgumentError,
    MutedError,
    NotMemberError,
    RevokedError,
    RoleRankError,
    SpacesConflictError,
    SpacesError,
    SpacesNotFoundError,
    StaleSequenceError,
    TooLongError,
    UnauthenticatedError,
    WrongChannelTypeError,
)
from life.spaces.identity import SERVER_IDENTITY, Caller, identity_of
from life.spaces.model import (
    Audit,
    Channel,
    ChannelType,
    DirectMessage,
    Invite,
    Member,
    Message,
    MessageType,
    Notification,
    Profile,
    ReadState,
    Role,
    Space,
    Thread,
    Tombstone,
)
from life.spaces.queries import DmHistory, History, Rows, TableQuery, topic_queries
from life.spaces.sessions import Login
from life.spaces.signatures import claims_for, place_of, sign_message
from life.spaces.state import State

HUB: Final = 1
GENERAL: Final = 1
AGENT_LOGS: Final = 2
SYSTEM_NEWS: Final = 3
OPERATOR: Final = "operator"
"""The subject that owns the Hub in tests."""


class ScriptedKey(NamedTuple):
    """A P-256 key that everybody knows; for tests only."""

    key: DidKey
    private: P256PrivateKey


def scripted_key(name: str) -> ScriptedKey:
    """The key that belongs to a name, the same in every run."""
    secret = bytearray(sha256(f"life.testing.spaces:{name}".encode()).digest())
    private = load_private_key(secret)
    return ScriptedKey(resolve_did(encode_did(Curve.P256, private.public_key)), private)


class ScriptedTokens:
    """A TokenCheck whose tokens are plain words: `agent:alice`, `person:bob`, each good once with a running number after `#`.

    A faithful stand-in for the verifier in what matters here: a token is good once, names a root DID and a key, and a login can be
    revoked. It proves nothing.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._revoked: set[str] = set()
        self._numbers = itertools.count(1)

    def token(self, name: str, *, kind: str = "agent", ceiling: str = "", key: str = "") -> str:
        """A fresh token. `ceiling` is a comma list of permissions; `key` names another key of the same identity."""
        return f"{kind}|{name}|{ceiling}|{key or name}#{next(self._numbers)}"

    def revoke(self, name: str) -> None:
        """From now on nobody of this name is let in, and open sessions end."""
        self._revoked.add(name)

    async def check(self, token: str) -> Login:
        """See TokenCheck."""
        body, hash_, _ = token.rpartition("#")
        parts = body.split("|")
        if not hash_ or len(parts) != 4 or parts[0] not in ("agent", "person"):
            raise UnauthenticatedError("This is no token.")
        if token in self._used:
            raise UnauthenticatedError("The token was used before.")
        kind, name, ceiling, key = parts
        if name in self._revoked:
            raise RevokedError("The identity is revoked.")
        self._used.add(token)
        return Login(
            did=f"did:test:{name}",
            key=scripted_key(key).key.did,
            kind="agent" if kind == "agent" else "person",
            ceiling=frozenset(ceiling.split(",")) if ceiling else None,
        )

    async def is_revoked(self, login: Login) -> bool:
        """See TokenCheck."""
        return login.did.removeprefix("did:test:") in self._revoked


class SpacesHarness(Protocol):
    """What the suite needs of an engine under test."""

    tokens: ScriptedTokens

    def engine(self) -> AbstractAsyncContextManager[Engine]:
        """Open the engine on the harness's one log (made at the first time, its Hub owned by OPERATOR, without rate limits)."""
        ...

    async def pass_time(self, engine: Engine, duration_us: int) -> None:
        """Let time pass for the engine, and let it look after what expired."""
        ...


class Room(NamedTuple):
    """A space with one member of each role, and a stranger."""

    space_id: int
    channel_id: int
    owner: Caller
    admin: Caller
    moderator: Caller
    member: Caller
    agent: Caller
    stranger: Caller

    def of(self, role: Role) -> Caller:
        """The member with this role."""
        return {
            Role.OWNER: self.owner,
            Role.ADMIN: self.admin,
            Role.MODERATOR: self.moderator,
            Role.MEMBER: self.member,
            Role.AGENT: self.agent,
        }[role]


async def enter(
    engine: Engine, tokens: ScriptedTokens, name: str, *, kind: str = "person", ceiling: str = ""
) -> Caller:
    """Log somebody in and out again: they exist from then on."""
    session = await engine.login(tokens.token(name, kind=kind, ceiling=ceiling))
    caller = session.caller
    await engine.logout(session)
    return caller


async def furnish(engine: Engine, tokens: ScriptedTokens, *, name: str = "Workshop") -> Room:
    """A space with everybody in it."""
    owner, admin, moderator, member, stranger = [
        await enter(engine, tokens, who) for who in ("olga", "adam", "moira", "mike", "sam")
    ]
    agent = await enter(engine, tokens, "gent", kind="agent")
    space = cast(Space, (await engine.submit(CreateServer(name=name), owner)).row)
    for caller in (admin, moderator, member, agent):
        await engine.submit(JoinServer(server_id=space.id), caller)
    for caller, role in ((admin, Role.ADMIN), (moderator, Role.MODERATOR)):
        await engine.submit(UpdateMemberRole(server_id=space.id, identity=caller.identity, role=role), owner)
    channel = engine.state.find(Channel, ("space_id",), space.id)[0]
    return Room(space.id, channel.id, owner, admin, moderator, member, agent, stranger)


def sent(result: Result) -> Message:
    """The message that a command made."""
    assert isinstance(result.row, Message)
    return result.row


async def refused(engine: Engine, command: Command, caller: Caller, kind: type[SpacesError]) -> SpacesError:
    """A command is refused with an error of this kind, and changes nothing."""
    before = engine.state.digest()
    with pytest.raises(kind) as caught:
        await engine.submit(command, caller)
    assert engine.state.digest() == before
    return caught.value


async def updates(subscription: Subscription, count: int, *, within_s: float = 10.0) -> list[Update]:
    """The next updates."""
    found: list[Update] = []
    async with asyncio.timeout(within_s):
        async for update in subscription:
            found.append(update)
            if len(found) == count:
                return found
    raise AssertionError("the subscription ended")


async def watch(engine: Engine, topic: str, caller: Caller, *, since: int | None = None) -> Subscription:
    """Subscribe to a topic."""
    return await engine.subscribe(topic_queries(engine.state, topic, caller), caller, since=since)


def contents(update: Update) -> list[str]:
    """The texts of the messages that an update brought."""
    return [row.content for row in update.inserts if isinstance(row, Message | DirectMessage)]


class SpacesConformance:
    """The scenarios. A subclass gives the fixture `harness`."""

    # ── the weaknesses of the original ────────────────────────────────────────────────────────────────────────────────────────

    async def test_w1_default_names_do_not_collide(self, harness: SpacesHarness) -> None:
        """W1: forty newcomers get forty names, none of them made of the identity's constant prefix."""
        async with harness.engine() as engine:
            callers = [await enter(engine, harness.tokens, f"new{number}") for number in range(40)]
            names = {engine.state.table(Profile)[caller.identity].username for caller in callers}
            assert len(names) == 40
            assert not any("c200" in name for name in names)

    async def test_w2_w3_the_hub_has_an_owner_who_can_govern_it_and_is_known_by_its_id(
        self, harness: SpacesHarness
    ) -> None:
        """W2, W3: the Hub's owner is a member with the role Owner; another space of the same name is not entered by newcomers."""
        async with harness.engine() as engine:
            owner = identity_of(OPERATOR)
            hub = engine.state.get(Space, HUB)
            assert hub is not None and hub.owner == owner
            assert engine.state.table(Member)[HUB, owner].role is Role.OWNER
            impostor = await enter(engine, harness.tokens, "impostor")
            twin = cast(Space, (await engine.submit(CreateServer(name=hub.name), impostor)).row)
            newcomer = await enter(engine, harness.tokens, "newcomer")
            assert engine.state.get(Member, (HUB, newcomer.identity)) is not None
            assert engine.state.get(Member, (twin.id, newcomer.identity)) is None

    async def test_w4_presence_counts_connections(self, harness: SpacesHarness) -> None:
        """W4: of two connections the first to close does not make an identity offline; the last does, and so does silence."""
        async with harness.engine() as engine:
            first = await engine.login(harness.tokens.token("pia"))
            second = await engine.login(harness.tokens.token("pia"))
            who = first.caller.identity
            await engine.set_presence(first, "online")
            await engine.set_presence(second, "busy", "in a call")
            await engine.logout(first)
            assert [(one.state, one.status_text) for one in await engine.presence([who])] == [("busy", "in a call")]
            await harness.pass_time(engine, 31_000_000)
            assert (await engine.presence([who]))[0].state == "offline"
            await engine.set_presence(second, "online")
            assert (await engine.presence([who]))[0].state == "online"
            await engine.logout(second)
            assert (await engine.presence([who]))[0].state == "offline"

    async def test_w5_private_means_private(self, harness: SpacesHarness) -> None:
        """W5: a third subscriber to everything sees nothing of a conversation, a private space, others' inbox, read states and blocks."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            await engine.submit(SetSpaceVisibility(server_id=room.space_id, visibility="private"), room.owner)
            everything = [
                TableQuery(table=table)
                for table in (
                    "server", "server_member", "channel", "message", "direct_message", "direct_conversation", "dm_participant",
                    "system_notification", "channel_read_state", "block", "audit", "invite", "mention", "reaction",
                )
            ]  # fmt: skip
            spy = await engine.subscribe(everything, room.stranger)
            await engine.submit(SendDirectMessage(recipient=room.member.identity, content="a secret"), room.owner)
            message = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="inside"), room.owner))
            await engine.submit(AddReaction(message_id=message.id, emoji="🎉"), room.member)
            await engine.submit(MarkRead(channel_id=room.channel_id, message_id=message.id), room.member)
            await engine.submit(BlockIdentity(identity=room.stranger.identity), room.owner)
            await engine.submit(CreateInvite(server_id=room.space_id), room.owner)
            marker = await engine.submit(SendMessage(channel_id=GENERAL, content="marker"), room.stranger)
            (seen,) = await updates(spy, 1)
            assert seen.position == marker.position
            for row in (*spy.initial, *seen.inserts):
                assert getattr(row, "space_id", HUB) != room.space_id
                assert not (isinstance(row, Space) and row.id == room.space_id)
            for query in (
                History(channel_id=room.channel_id),
                DmHistory(conversation_id=1),
            ):
                with pytest.raises(SpacesNotFoundError):
                    await engine.query(query, room.stranger)
            mine = await engine.query(DmHistory(conversation_id=1), room.member)
            assert [row.content for row in mine.rows if isinstance(row, DirectMessage)] == ["a secret"]

    async def test_w6_channel_types_are_enforced(self, harness: SpacesHarness) -> None:
        """W6: only some post announcements, text does not go into voice and log channels, agent events are reachable."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            news, voice, log = [
                cast(Channel, (await engine.submit(CreateChannel(server_id=room.space_id, name=kind.value, channel_type=kind), room.owner)).row)
                for kind in (ChannelType.ANNOUNCEMENT, ChannelType.VOICE, ChannelType.AGENT_LOG)
            ]  # fmt: skip
            await refused(engine, SendMessage(channel_id=news.id, content="x"), room.member, ForbiddenError)
            await engine.submit(SendMessage(channel_id=news.id, content="read this"), room.admin)
            thread = await engine.submit(
                CreateThread(channel_id=news.id, name="replies", content="thanks"), room.member
            )
            assert isinstance(thread.row, Thread)
            for channel in (voice, log):
                await refused(
                    engine, SendMessage(channel_id=channel.id, content="x"), room.owner, WrongChannelTypeError
                )
            event = sent(await engine.submit(signed_log(engine, room.agent, "gent", log.id, "1"), room.agent))
            assert event.message_type is MessageType.AGENT_EVENT
            await refused(engine, signed_log(engine, room.member, "mike", log.id, "2"), room.member, ForbiddenError)

    async def test_w7_every_tier_has_powers_of_its_own(self, harness: SpacesHarness) -> None:
        """W7: a moderator mutes and kicks members but bans nobody; an agent is below a member; nobody acts on their own level."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            space = room.space_id
            await engine.submit(
                MuteMember(server_id=space, identity=room.agent.identity, duration_s=60), room.moderator
            )
            await refused(engine, SendMessage(channel_id=room.channel_id, content="x"), room.agent, MutedError)
            await refused(
                engine, KickMember(server_id=space, identity=room.admin.identity), room.moderator, RoleRankError
            )
            await refused(
                engine, KickMember(server_id=space, identity=room.agent.identity), room.member, ForbiddenError
            )
            await refused(
                engine, BanMember(server_id=space, identity=room.agent.identity), room.moderator, ForbiddenError
            )
            promote = UpdateMemberRole(server_id=space, identity=room.member.identity, role=Role.MODERATOR)
            await refused(engine, promote, room.moderator, RoleRankError)
            await engine.submit(KickMember(server_id=space, identity=room.agent.identity), room.moderator)
            await engine.submit(JoinServer(server_id=space), room.agent)
            await engine.submit(BanMember(server_id=space, identity=room.agent.identity, duration_s=60), room.admin)
            await refused(engine, JoinServer(server_id=space), room.agent, BannedError)
            actions = [row.action for row in engine.state.table(Audit).values()]
            assert actions[-3:] == ["member.mute", "member.kick", "member.ban"]
            await harness.pass_time(engine, 61_000_000)
            await engine.submit(JoinServer(server_id=space), room.agent)

    async def test_ownership_is_handed_over_and_always_one(self, harness: SpacesHarness) -> None:
        """The Owner can't leave; after a transfer the old one is Admin and there is exactly one Owner."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            await refused(engine, LeaveServer(server_id=room.space_id), room.owner, SpacesConflictError)
            await refused(
                engine,
                TransferOwnership(server_id=room.space_id, identity=room.admin.identity),
                room.admin,
                ForbiddenError,
            )
            await engine.submit(TransferOwnership(server_id=room.space_id, identity=room.member.identity), room.owner)
            roles = {row.identity: row.role for row in engine.state.find(Member, ("space_id",), room.space_id)}
            assert roles[room.member.identity] is Role.OWNER and roles[room.owner.identity] is Role.ADMIN
            assert sum(role is Role.OWNER for role in roles.values()) == 1

    async def test_w8_w9_nobody_rewrites_what_is_not_theirs_any_more(self, harness: SpacesHarness) -> None:
        """W8, W9: Join messages are the server's; former members edit, delete, react, un-react and mark nothing."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            joins = [row for row in engine.state.table(Message).values() if row.message_type is MessageType.JOIN]
            assert joins and all(row.sender == SERVER_IDENTITY for row in joins)
            await refused(engine, EditMessage(message_id=joins[-1].id, content="x"), room.owner, ForbiddenError)
            mine = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="mine"), room.member))
            await engine.submit(AddReaction(message_id=mine.id, emoji=":ok:"), room.member)
            await engine.submit(LeaveServer(server_id=room.space_id), room.member)
            for command in (
                EditMessage(message_id=mine.id, content="y"),
                DeleteMessage(message_id=mine.id),
                RemoveReaction(message_id=mine.id, emoji=":ok:"),
                MarkRead(channel_id=room.channel_id, message_id=mine.id),
            ):
                await refused(engine, command, room.member, NotMemberError)

    async def test_w10_typing_is_delivered_and_never_stored(self, harness: SpacesHarness) -> None:
        """W10: typing reaches who reads the channel and leaves the log alone; a mention fills the inbox."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            listener = await watch(engine, f"channel:{room.channel_id}", room.member)
            position = engine.state.position
            result = await engine.submit(StartTyping(channel_id=room.channel_id), room.owner)
            assert (result.position, engine.state.position) == (0, position)
            (update,) = await updates(listener, 1)
            assert update.transient is not None and update.transient.kind == "typing.started"
            name = engine.state.table(Profile)[room.member.identity].username
            await engine.submit(SendMessage(channel_id=room.channel_id, content=f"look, @{name}."), room.owner)
            inbox = await engine.query(Rows(tables=(TableQuery(table="system_notification"),)), room.member)
            assert any(isinstance(row, Notification) and row.kind == "mention" for row in inbox.rows)

    async def test_w11_a_repeated_command_is_carried_out_once(self, harness: SpacesHarness) -> None:
        """W11: the same client id or key twice, at once or later, gives one message and the first answer; another text under it is a conflict."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            command = SendMessage(channel_id=room.channel_id, content="once", client_id="c-1")
            first, second = await asyncio.gather(
                engine.submit(command, room.member), engine.submit(command, room.member)
            )
            assert {first.duplicate, second.duplicate} == {False, True}
            assert sent(first) == sent(second) and first.position == second.position
            other = SendMessage(channel_id=room.channel_id, content="twice", client_id="c-1")
            await refused(engine, other, room.member, SpacesConflictError)
            await engine.submit(CreateServer(name="once"), room.owner, key="k-1")
            again = await engine.submit(CreateServer(name="once"), room.owner, key="k-1")
            assert again.duplicate and isinstance(again.row, Space)
            assert sum(space.name == "once" for space in engine.state.table(Space).values()) == 1
        async with harness.engine() as engine:
            late = await engine.submit(command, room.member)
            assert late.duplicate and late.position == first.position

    async def test_w11_deletes_leave_tombstones(self, harness: SpacesHarness) -> None:
        """W11: a deleted message leaves who, by whom and why; its content is gone from the state, replies keep a target."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            bad = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="bad"), room.member))
            await engine.submit(PinMessage(message_id=bad.id), room.moderator)
            await engine.submit(DeleteMessage(message_id=bad.id, reason="spam"), room.moderator)
            page = await engine.query(History(channel_id=room.channel_id), room.member)
            (stone,) = [row for row in page.rows if isinstance(row, Tombstone)]
            assert (stone.deleted_by, stone.reason) == (room.moderator.identity, "spam")
            await engine.submit(
                SendMessage(channel_id=room.channel_id, content="why?", reply_to_id=bad.id), room.member
            )

    async def test_w12_replies_and_read_states_stay_in_their_place(self, harness: SpacesHarness) -> None:
        """W12: a reply's target is in the same channel; a read state names a message of the channel and never moves back."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            other = cast(
                Channel, (await engine.submit(CreateChannel(server_id=room.space_id, name="other"), room.owner)).row
            )
            first = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="1"), room.member))
            second = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="2"), room.member))
            await refused(
                engine,
                SendMessage(channel_id=other.id, content="x", reply_to_id=first.id),
                room.member,
                SpacesNotFoundError,
            )
            await refused(engine, MarkRead(channel_id=other.id, message_id=first.id), room.member, SpacesNotFoundError)
            await engine.submit(MarkRead(channel_id=room.channel_id, message_id=second.id), room.member)
            back = await engine.submit(MarkRead(channel_id=room.channel_id, message_id=first.id), room.member)
            assert isinstance(back.row, ReadState) and back.row.last_read_id == second.id

    async def test_w13_w14_nothing_is_left_of_a_deleted_space(self, harness: SpacesHarness) -> None:
        """W13, W14: deleting a space removes every row that belonged to it."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            message = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="x"), room.member))
            await engine.submit(MarkRead(channel_id=room.channel_id, message_id=message.id), room.member)
            await engine.submit(AddReaction(message_id=message.id, emoji="👍"), room.agent)
            await engine.submit(
                MuteMember(server_id=room.space_id, identity=room.agent.identity, duration_s=9), room.admin
            )
            await engine.submit(
                SetChannelOverride(
                    channel_id=room.channel_id, subject="role:Agent", permission="message.send", effect="deny"
                ),
                room.owner,
            )
            await engine.submit(DeleteServer(server_id=room.space_id), room.owner)
            for row in engine.state.all_rows():
                assert getattr(row, "space_id", 0) != room.space_id, row
                assert getattr(row, "channel_id", 0) != room.channel_id, row

    async def test_w15_lengths_are_characters(self, harness: SpacesHarness) -> None:
        """W15: four thousand characters outside ASCII fit, one more does not; names have limits; hostile texts are refused."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            await engine.submit(SendMessage(channel_id=room.channel_id, content="é" * 4000), room.member)
            await refused(
                engine, SendMessage(channel_id=room.channel_id, content="é" * 4001), room.member, TooLongError
            )
            await refused(engine, CreateServer(name="n" * 101), room.member, TooLongError)
            for text in ("\x00", "a\x1b[2J", "\u202egnp.exe", "\ud800", "   ", ""):
                await refused(
                    engine, SendMessage(channel_id=room.channel_id, content=text), room.member, InvalidArgumentError
                )
            for name in ("", "a b", "@bob", "bob\u200b", "b\u202eob", "\u2066x", "x" * 33):
                await refused(engine, SetProfile(username=name), room.member, SpacesError)

    async def test_w16_being_an_agent_comes_from_the_login(self, harness: SpacesHarness) -> None:
        """W16: an agent's membership has the role Agent; nobody declares themselves one."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            assert engine.state.table(Member)[room.space_id, room.agent.identity].role is Role.AGENT
            assert engine.state.table(Member)[room.space_id, room.member.identity].role is Role.MEMBER
            assert engine.state.table(Profile)[room.agent.identity].is_agent

    async def test_w17_what_is_left_out_of_a_profile_stays(self, harness: SpacesHarness) -> None:
        """W17: changing the name keeps the bio; None clears it; two people never have names that differ by case only."""
        async with harness.engine() as engine:
            ann = await enter(engine, harness.tokens, "ann")
            bob = await enter(engine, harness.tokens, "bob")
            await engine.submit(SetProfile(username="Ann", bio="builds things"), ann)
            changed = await engine.submit(SetProfile(display_name="Ann B."), ann)
            assert isinstance(changed.row, Profile) and changed.row.bio == "builds things"
            await refused(engine, SetProfile(username="ANN"), bob, AlreadyExistsError)
            await refused(engine, SetProfile(username="ＡＮＮ"), bob, AlreadyExistsError)
            cleared = await engine.submit(SetProfile(bio=None), ann)
            assert isinstance(cleared.row, Profile) and cleared.row.bio is None

    async def test_w22_replaying_the_log_gives_the_same_state(self, harness: SpacesHarness) -> None:
        """W22: the entries alone, folded from empty, give the engine's state byte for byte; also after it was opened again."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            message = sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="1"), room.member))
            await engine.submit(EditMessage(message_id=message.id, content="2"), room.member)
            await engine.submit(SendDirectMessage(recipient=room.member.identity, content="hi"), room.owner)
            await engine.submit(KickMember(server_id=room.space_id, identity=room.agent.identity), room.owner)
            digest = engine.state.digest()
            assert (await replayed(engine)).digest() == digest
        async with harness.engine() as engine:
            assert engine.state.digest() == digest

    # ── order, delivery, resuming ─────────────────────────────────────────────────────────────────────────────────────────────

    async def test_every_space_counts_its_own_events_without_gaps(self, harness: SpacesHarness) -> None:
        """Positions count all entries, space sequences the events of each space; concurrent senders leave no gap in either."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            results = await asyncio.gather(
                *(
                    engine.submit(SendMessage(channel_id=place, content=str(number)), room.member)
                    for number in range(40)
                    for place in (room.channel_id, GENERAL)
                )
            )
            assert len({result.position for result in results}) == 80
            entries = await engine.entries(0, limit=10_000)
            assert [entry.position for entry in entries] == list(range(1, engine.state.position + 1))
            for space_id in (HUB, room.space_id):
                numbers = [event.space_seq for entry in entries for event in entry.events if event.space_id == space_id]
                assert numbers == list(range(1, len(numbers) + 1))

    async def test_subscribers_get_every_change_in_order(self, harness: SpacesHarness) -> None:
        """A subscriber sees the rows, then each change once, as of ascending positions."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            await engine.submit(SendMessage(channel_id=room.channel_id, content="before"), room.owner)
            listener = await watch(engine, f"channel:{room.channel_id}", room.member)
            assert "before" in [row.content for row in listener.initial if isinstance(row, Message)]
            for number in range(20):
                await engine.submit(SendMessage(channel_id=room.channel_id, content=str(number)), room.owner)
            seen = await updates(listener, 20)
            assert [text for update in seen for text in contents(update)] == [str(number) for number in range(20)]
            assert [update.position for update in seen] == sorted({update.position for update in seen})

    async def test_resuming_misses_nothing_and_repeats_nothing(self, harness: SpacesHarness) -> None:
        """A subscriber that was away gets exactly what it missed, also over a restart of the engine; a position of the future is stale."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            listener = await watch(engine, f"channel:{room.channel_id}", room.member)
            await engine.submit(SendMessage(channel_id=room.channel_id, content="0"), room.owner)
            (update,) = await updates(listener, 1)
            await listener.aclose()
            for number in range(1, 4):
                await engine.submit(SendMessage(channel_id=room.channel_id, content=str(number)), room.owner)
        async with harness.engine() as engine:
            again = await watch(engine, f"channel:{room.channel_id}", room.member, since=update.position)
            await engine.submit(SendMessage(channel_id=room.channel_id, content="4"), room.owner)
            seen = await updates(again, 4)
            assert [text for one in seen for text in contents(one)] == ["1", "2", "3", "4"]
            with pytest.raises(StaleSequenceError):
                await watch(engine, f"channel:{room.channel_id}", room.member, since=10**9)

    async def test_who_loses_sight_is_told_that_rows_are_gone(self, harness: SpacesHarness) -> None:
        """Kicked while subscribed: the space's rows are removed at that position, and nothing comes after."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            sent(await engine.submit(SendMessage(channel_id=room.channel_id, content="x"), room.owner))
            listener = await watch(engine, f"channel:{room.channel_id}", room.agent)
            kicked = await engine.submit(KickMember(server_id=room.space_id, identity=room.agent.identity), room.owner)
            await engine.submit(SendMessage(channel_id=room.channel_id, content="after"), room.owner)
            (update,) = await updates(listener, 1)
            assert update.position == kicked.position
            known = {(row.id) for row in listener.initial if isinstance(row, Message)}
            gone = {one.key[0] for one in update.removed if one.table == "message"}
            assert known <= gone
            with pytest.raises(TimeoutError):
                await updates(listener, 1, within_s=0.2)

    async def test_an_override_hides_and_shows_a_channel(self, harness: SpacesHarness) -> None:
        """channel.view denied to Members: they lose the channel's rows; given back, they get them again; the others notice nothing."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            await engine.submit(SendMessage(channel_id=room.channel_id, content="x"), room.owner)
            member = await watch(engine, f"channel:{room.channel_id}", room.member)
            hide = SetChannelOverride(
                channel_id=room.channel_id, subject="role:Member", permission="channel.view", effect="deny"
            )
            await engine.submit(hide, room.owner)
            (lost,) = await updates(member, 1)
            assert {one.table for one in lost.removed} >= {"message"}
            await engine.submit(SendMessage(channel_id=room.channel_id, content="hidden"), room.owner)
            await refused(
                engine, SendMessage(channel_id=room.channel_id, content="y"), room.member, SpacesNotFoundError
            )
            await engine.submit(
                SetChannelOverride(
                    channel_id=room.channel_id, subject="role:Member", permission="channel.view", effect=None
                ),
                room.owner,
            )
            (back,) = await updates(member, 1)
            assert "hidden" in contents(back)

    async def test_a_resumed_subscriber_whose_rights_changed_starts_anew(self, harness: SpacesHarness) -> None:
        """Resuming over a change of one's own rights is refused as stale instead of guessing."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            listener = await watch(engine, f"channel:{room.channel_id}", room.member)
            position = listener.position
            await listener.aclose()
            await engine.submit(
                UpdateMemberRole(server_id=room.space_id, identity=room.member.identity, role=Role.AGENT), room.owner
            )
            with pytest.raises(StaleSequenceError):
                await watch(engine, f"channel:{room.channel_id}", room.member, since=position)

    async def test_an_invite_opens_a_private_space_once(self, harness: SpacesHarness) -> None:
        """A code with one use lets one in, as Agent if it is one; the second is told nothing; it grants no more than its maker may."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            await engine.submit(SetSpaceVisibility(server_id=room.space_id, visibility="private"), room.owner)
            await refused(engine, JoinServer(server_id=room.space_id), room.stranger, SpacesNotFoundError)
            await refused(engine, CreateInvite(server_id=room.space_id, role=Role.ADMIN), room.admin, RoleRankError)
            invite = (await engine.submit(CreateInvite(server_id=room.space_id, max_uses=1), room.admin)).row
            assert isinstance(invite, Invite)
            robot = await enter(engine, harness.tokens, "robot", kind="agent")
            await engine.submit(UseInvite(code=invite.code), robot)
            assert engine.state.table(Member)[room.space_id, robot.identity].role is Role.AGENT
            await refused(engine, UseInvite(code=invite.code), room.stranger, SpacesNotFoundError)

    async def test_agents_write_only_where_they_are_welcome(self, harness: SpacesHarness) -> None:
        """dm.send: an agent reaches who shares a space or opted in, nobody else; a block holds for everybody."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            hello = SendDirectMessage(recipient=room.stranger.identity, content="buy this")
            await refused(engine, hello, room.agent, ForbiddenError)
            await engine.submit(SendDirectMessage(recipient=room.member.identity, content="hi"), room.agent)
            await engine.submit(SetProfile(dm_from_agents=True), room.stranger)
            await engine.submit(hello, room.agent)
            await engine.submit(BlockIdentity(identity=room.agent.identity), room.stranger)
            await refused(engine, hello, room.agent, ForbiddenError)

    async def test_a_ceiling_narrows_what_an_agent_may(self, harness: SpacesHarness) -> None:
        """An agent's effective permission is its role's and its own policy's."""
        async with harness.engine() as engine:
            await enter(engine, harness.tokens, "tame", kind="agent", ceiling="reaction.*")
            session = await engine.login(harness.tokens.token("tame", ceiling="reaction.add"))
            error = await refused(engine, SendMessage(channel_id=GENERAL, content="x"), session.caller, ForbiddenError)
            assert error.details["permission"] == "message.send"

    # ── identity ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_logins_are_single_use_and_a_rotated_key_is_the_same_identity(self, harness: SpacesHarness) -> None:
        """A token opens one session; another key of the same root DID is the same member."""
        async with harness.engine() as engine:
            token = harness.tokens.token("kim")
            first = await engine.login(token)
            with pytest.raises(UnauthenticatedError):
                await engine.login(token)
            with pytest.raises(UnauthenticatedError):
                await engine.login("nonsense")
            second = await engine.login(harness.tokens.token("kim", key="kim-new-key"))
            assert second.caller.identity == first.caller.identity
            assert second.caller.key != first.caller.key

    async def test_kick_revocation_and_expiry_end_sessions(self, harness: SpacesHarness) -> None:
        """A kicked session ends at once, a revoked identity's within a look, an unrenewed one's with its lease; subscriptions end too."""
        async with harness.engine() as engine:
            kicked = await engine.login(harness.tokens.token("kit"))
            listener = await watch(engine, f"channel:{GENERAL}", kicked.caller)
            assert await engine.kick(kicked.caller.identity) == 1
            assert await ended(kicked) == "kicked"
            with pytest.raises(UnauthenticatedError):
                await updates(listener, 1)
            rogue = await engine.login(harness.tokens.token("rogue"))
            harness.tokens.revoke("rogue")
            await harness.pass_time(engine, 1_100_000)
            assert await ended(rogue) == "revoked"
            with pytest.raises(RevokedError):
                await engine.login(harness.tokens.token("rogue"))
            idle = await engine.login(harness.tokens.token("ida"))
            busy = await engine.login(harness.tokens.token("bea"))
            await harness.pass_time(engine, 10 * 60_000_000)
            await engine.renew(busy, harness.tokens.token("bea"))
            with pytest.raises(UnauthenticatedError):
                await engine.renew(busy, harness.tokens.token("ida"))
            await harness.pass_time(engine, 6 * 60_000_000)
            assert await ended(idle) == "expired"
            await engine.set_presence(busy, "online")

    async def test_agent_log_entries_are_signed_by_their_sender(self, harness: SpacesHarness) -> None:
        """A log event with somebody else's key, over another text or for another channel is refused; no edit, no delete."""
        async with harness.engine() as engine:
            gent = await enter(engine, harness.tokens, "gent", kind="agent")
            good = signed_log(engine, gent, "gent", AGENT_LOGS, "1")
            stored = sent(await engine.submit(good, gent))
            for bad in (
                signed_log(engine, gent, "mallory", AGENT_LOGS, "2"),
                LogEvent(
                    channel_id=AGENT_LOGS, content='{"kind":"x","agent":"y"}', client_id="3", signature=good.signature
                ),
                LogEvent(channel_id=AGENT_LOGS, content=good.content, client_id="4", signature="a.b.c"),
            ):
                await refused(engine, bad, gent, InvalidArgumentError)
            await refused(engine, EditMessage(message_id=stored.id, content="x"), gent, ForbiddenError)
            operator = Caller(identity=identity_of(OPERATOR), did=OPERATOR, kind="person")
            await refused(engine, DeleteMessage(message_id=stored.id), operator, WrongChannelTypeError)

    async def test_concurrent_claims_have_one_winner(self, harness: SpacesHarness) -> None:
        """Twenty callers race for one name: one gets it, nineteen are told so; twenty join once each."""
        async with harness.engine() as engine:
            callers = [await enter(engine, harness.tokens, f"racer{number}") for number in range(20)]
            outcomes = await asyncio.gather(
                *(engine.submit(SetProfile(username="winner"), caller) for caller in callers), return_exceptions=True
            )
            assert sum(isinstance(outcome, Result) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, AlreadyExistsError) for outcome in outcomes) == 19

    async def test_deleting_a_channel_tells_its_readers(self, harness: SpacesHarness) -> None:
        """A deleted channel's rows are removed from whoever saw them."""
        async with harness.engine() as engine:
            room = await furnish(engine, harness.tokens)
            side = cast(
                Channel, (await engine.submit(CreateChannel(server_id=room.space_id, name="side"), room.owner)).row
            )
            message = sent(await engine.submit(SendMessage(channel_id=side.id, content="x"), room.member))
            listener = await watch(engine, f"channel:{side.id}", room.member)
            await engine.submit(DeleteChannel(channel_id=side.id), room.admin)
            (update,) = await updates(listener, 1)
            assert ("message", (message.id,)) in [(one.table, one.key) for one in update.removed]


async def ended(session: Session) -> str:
    """Why a session ended; it must end soon."""
    return await asyncio.wait_for(session.closed(), 5)


async def replayed(engine: Engine) -> State:
    """A state folded from the engine's whole log."""
    state = State()
    while True:
        page = await engine.entries(state.position, limit=500)
        for entry in page:
            state.apply(entry)
        if not page:
            return state


def signed_log(engine: Engine, caller: Caller, key_name: str, channel_id: int, client_id: str) -> LogEvent:
    """A log event signed by the key that belongs to a name, at the time of the log's last entry."""
    content = f'{{"kind":"task.finished","agent":"gent","run_id":"{client_id}"}}'
    claims = claims_for(
        sender=caller.identity,
        place=place_of(channel_id=channel_id),
        client_id=client_id,
        content=content,
        now_s=engine.state.at_us // 1_000_000,
    )
    known = scripted_key(key_name)
    signature = sign_message(claims, key=known.key, signer=known.private.sign)
    return LogEvent(channel_id=channel_id, content=content, client_id=client_id, signature=signature)
