"""Deciding ahead of the log: whatever a group does, the state is the same afterwards, and the log gets what one by one would give."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.spaces import commands as c
from life.spaces.commands import Admit, Command, Initialize
from life.spaces.engine.nats.blocks import Kick
from life.spaces.engine.nats.draft import Asked, Draft, draft
from life.spaces.engine.port import Result
from life.spaces.errors import SpacesError
from life.spaces.identity import SYSTEM, Caller, identity_of
from life.spaces.state import State
from life.testing.clock import START_US
from tests.spaces.test_reducers_model import STEPS, WHO

PEOPLE = [
    Caller(identity=identity_of(f"p{number}"), did=f"p{number}", kind="agent" if number == 4 else "person")
    for number in range(5)
]


def decided(state: State, group: list[Asked], *, limit_bytes: int = 2**20) -> Draft:
    """A draft at a time that stands still, with chance that is none."""
    return draft(state, group, now_us=START_US, nonce=lambda: bytes(32), limit_bytes=limit_bytes)


def started() -> State:
    """A Hub with five people in it."""
    state = State()
    group = [Asked(Initialize(owner=PEOPLE[0].identity, owner_did="p0"), SYSTEM)]
    group += [Asked(Admit(identity=one.identity, did=one.did, is_agent=one.is_agent), SYSTEM) for one in PEOPLE]
    for entry in decided(state, group).entries:
        state.apply(entry)
    return state


def command_of(what: object) -> Command:
    """A step of the reducers' model as a command."""
    if isinstance(what, Command):
        return what
    assert isinstance(what, tuple)
    kind, number, who, *rest = what
    target = PEOPLE[who].identity
    made: Command = kind(server_id=number, identity=target, **({"role": rest[0]} if rest else {}))
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(WHO, STEPS), min_size=1, max_size=50), st.integers(1, 20))
def test_a_draft_leaves_no_trace(steps: list[tuple[int, tuple[str, object]]], size: int) -> None:
    """Digest, heads and answers: a draft changes nothing, and its entries give the state that one command after the other gives."""
    state, alone = started(), started()
    asked = [Asked(command_of(what), PEOPLE[who]) for who, (_, what) in steps]
    for start in range(0, len(asked), size):
        group = asked[start : start + size]
        before = state.digest()
        made = decided(state, group)
        assert state.digest() == before
        assert decided(state, group) == made or any(isinstance(one, SpacesError) for one in made.answers)
        for entry in made.entries:
            state.apply(entry)
        for one in group:
            for entry in decided(alone, [one]).entries:
                alone.apply(entry)
        assert state.digest() == alone.digest()
    replay = State()
    assert replay.digest() != state.digest()


def test_a_group_ends_where_the_block_is_full() -> None:
    """What does not fit is left for the next block; one entry alone may be longer than the limit; kicks ride along."""
    state = started()
    group = [Asked(c.SendMessage(channel_id=1, content="x" * 1000), PEOPLE[0]) for _ in range(5)]
    made = decided(state, group, limit_bytes=3500)
    assert len(made.entries) == len(made.answers) == 2
    assert len(decided(state, group, limit_bytes=10).entries) == 1
    kick = Kick(identity=PEOPLE[1].identity)
    made = decided(state, [Asked(None, SYSTEM, kick=kick), group[0]])
    assert made.kicks == [kick] and len(made.entries) == 1 and not made.is_empty
    assert [type(answer) for answer in made.answers] == [Result, Result]
