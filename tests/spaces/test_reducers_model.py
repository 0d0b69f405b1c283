"""Random commands by random people: whatever they try, the invariants hold and the log replays to the same state."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.spaces import commands as c
from life.spaces.errors import SpacesError
from life.spaces.identity import Caller
from life.spaces.model import Channel, Member, Message, Reaction, Role, Space, Thread, Tombstone
from life.spaces.queries import TableQuery, select
from life.spaces.state import State
from life.spaces.visibility import Sight
from life.testing.spaces import ScriptedTokens, enter
from tests.spaces.test_permissions import opened

NUMBERS = st.integers(1, 6)
WHO = st.integers(0, 4)
TEXTS = st.sampled_from(["hi", "@everyone look", "#general", "é\u0301", "x" * 4001, "", "a\nb"])

STEPS = st.one_of(
    st.builds(lambda n: ("server", c.CreateServer(name=f"space {n}")), NUMBERS),
    st.builds(lambda n: ("join", c.JoinServer(server_id=n)), NUMBERS),
    st.builds(lambda n: ("leave", c.LeaveServer(server_id=n)), NUMBERS),
    st.builds(lambda n: ("delete space", c.DeleteServer(server_id=n)), NUMBERS),
    st.builds(lambda n, t: ("send", c.SendMessage(channel_id=n, content=t)), NUMBERS, TEXTS),
    st.builds(lambda n, m: ("reply", c.SendMessage(channel_id=n, content="re", reply_to_id=m)), NUMBERS, NUMBERS),
    st.builds(lambda m: ("edit", c.EditMessage(message_id=m, content="edited")), NUMBERS),
    st.builds(lambda m: ("delete", c.DeleteMessage(message_id=m)), NUMBERS),
    st.builds(lambda m: ("react", c.AddReaction(message_id=m, emoji="👍")), NUMBERS),
    st.builds(lambda m: ("unreact", c.RemoveReaction(message_id=m, emoji="👍")), NUMBERS),
    st.builds(lambda n: ("thread", c.CreateThread(channel_id=n, name="t", content="x")), NUMBERS),
    st.builds(lambda n: ("channel", c.CreateChannel(server_id=n, name=f"c{n}")), NUMBERS),
    st.builds(lambda n: ("drop channel", c.DeleteChannel(channel_id=n)), NUMBERS),
    st.builds(lambda n, m: ("read", c.MarkRead(channel_id=n, message_id=m)), NUMBERS, NUMBERS),
    st.builds(lambda n, w: ("kick", (c.KickMember, n, w)), NUMBERS, WHO),
    st.builds(lambda n, w: ("ban", (c.BanMember, n, w)), NUMBERS, WHO),
    st.builds(lambda n, w: ("transfer", (c.TransferOwnership, n, w)), NUMBERS, WHO),
    st.builds(lambda n, w, r: ("role", (c.UpdateMemberRole, n, w, r)), NUMBERS, WHO, st.sampled_from(list(Role))),
    st.builds(lambda n: ("private", c.SetSpaceVisibility(server_id=n, visibility="private")), NUMBERS),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(WHO, STEPS), min_size=10, max_size=60))
def test_invariants_hold_whatever_is_tried(steps: list[tuple[int, tuple[str, object]]]) -> None:
    """One Owner per space who is a member; nothing without its parent; nothing seen without membership; replay is exact."""
    first = asyncio.run(_play(steps))
    assert asyncio.run(_play(steps)) == first  # the same commands, times and chance: the same state, in any process


async def _play(steps: list[tuple[int, tuple[str, object]]]) -> str:
    async with opened(None) as engine:
        tokens = ScriptedTokens()
        people = [
            await enter(engine, tokens, f"p{number}", kind="agent" if number == 4 else "person") for number in range(5)
        ]
        for who, (_, what) in steps:
            command = _command(what, people)
            try:
                await engine.submit(command, people[who])
            except SpacesError:
                continue
        state = engine.state
        check_invariants(state, people)
        replay = State()
        for entry in await engine.entries(0, limit=10_000):
            replay.apply(entry)
        assert replay.digest() == state.digest()
        assert engine.verify() == state.position
        return state.digest()


def _command(what: object, people: list[Caller]) -> c.Command:
    if isinstance(what, c.Command):
        return what
    assert isinstance(what, tuple)
    kind, server_id, who, *rest = what
    fields = {"command": kind.__struct_config__.tag, "server_id": server_id, "identity": people[who].identity}
    if rest:
        fields["role"] = rest[0]
    return msgspec.convert(fields, kind)  # type: ignore[no-any-return]


def check_invariants(state: State, people: list[Caller]) -> None:
    """What must be true of every state."""
    owners = Counter(row.space_id for row in state.table(Member).values() if row.role is Role.OWNER)
    for space in state.table(Space).values():
        assert owners[space.id] == 1
        assert state.table(Member)[space.id, space.owner].role is Role.OWNER
    spaces, channels = state.table(Space), state.table(Channel)
    assert all(row.space_id in spaces for row in state.table(Member).values())
    assert all(row.space_id in spaces for row in channels.values())
    places = [
        *(row.channel_id for row in state.table(Message).values()),
        *(row.channel_id for row in state.table(Tombstone).values()),
        *(row.channel_id for row in state.table(Thread).values()),
    ]
    assert all(place in channels for place in places)
    assert all(row.channel_id in channels for row in state.table(Reaction).values())
    assert all(row.message_id in state.table(Message) for row in state.table(Reaction).values())
    for person in people:
        sight = Sight(state, person)
        mine = sight.spaces()
        for name in ("message", "server_member", "channel", "reaction", "thread"):
            for row in select(state, TableQuery(table=name), sight):
                assert getattr(row, "space_id") in mine  # noqa: B009
