"""Who may do what: grants, what falls with them, and that the fold is one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.record import EventRecord
from life.lago.journal.memory import MemoryJournal
from life.spaces.relay.errors import RelayForbiddenError
from life.spaces.relay.events import (
    OPERATOR,
    RIGHTS,
    CommandDone,
    CommandTaken,
    Granted,
    NodeForgotten,
    NodeKnown,
    RelayEvent,
    Revoked,
    new_event,
    read_event,
)
from life.spaces.relay.log import RelayLog
from life.spaces.relay.state import KEEP_COMMANDS_S, RelayState
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import DID_A, DID_B, did_of, handle, seed_of

DIDS = [did_of(handle(seed_of(number))) for number in range(4)]
_people = st.sampled_from(DIDS)
_sessions = st.sampled_from(["*", "notes", "diary"])
_events = st.lists(
    st.one_of(
        st.builds(
            Granted,
            did=_people,
            session=_sessions,
            rights=st.sets(st.sampled_from(RIGHTS), min_size=1).map(tuple),
            by=st.one_of(st.just(OPERATOR), _people),
        ),
        st.builds(
            Revoked, did=_people, session=st.sampled_from(["", "*", "notes"]), by=st.one_of(st.just(OPERATOR), _people)
        ),
    ),
    max_size=30,
)


def folded(events: list[RelayEvent]) -> RelayState:
    state = RelayState()
    for event in events:
        state.apply(event, 0)
    return state


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_events)
def test_every_grant_goes_back_to_the_operator(events: list[RelayEvent]) -> None:
    """Whatever anybody writes: each grant that holds was given by the operator, or by somebody who owns the node by a grant that holds."""
    state = folded(events)
    by_place = {(one.did, one.session): one for one in state.grants()}
    for grant in by_place.values():
        seen, one = set(), grant
        while one.by != OPERATOR:
            assert one.by not in seen
            seen.add(one.by)
            one = by_place[one.by, "*"]
            assert "own" in one.rights


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_events, st.sampled_from(DIDS))
def test_revoking_somebody_leaves_nothing_of_theirs(events: list[RelayEvent], did: str) -> None:
    """After the operator revoked a key, it may do nothing, and neither does anything hold that it gave."""
    state = folded([*events, Revoked(did=did, by=OPERATOR)])
    assert not state.may_something(did)
    assert all(one.by != did and one.did != did for one in state.grants())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    _events,
    st.lists(
        st.builds(Granted, did=_people, session=_sessions, rights=st.just(("own",)), by=st.just(DIDS[3])), max_size=5
    ),
)
def test_nobody_changes_what_others_gave(events: list[RelayEvent], tries: list[RelayEvent]) -> None:
    """What the operator gave to the others stays as it is, whatever a second device of somebody's writes."""
    state = folded(events)
    before = [one for one in state.grants() if one.by == OPERATOR]
    for event in [*tries, *(Revoked(did=did, by=DIDS[3]) for did in DIDS)]:
        state.apply(event, 0)
    assert [one for one in state.grants() if one.by == OPERATOR] == before


def test_the_rights() -> None:
    """Steering and approving include watching; owning includes all, for every session; a session's grant is for that session."""
    state = folded(
        [
            Granted(did=DIDS[0], session="*", rights=("own",), by=OPERATOR),
            Granted(did=DIDS[1], session="notes", rights=("approve",), by=DIDS[0]),
            Granted(did=DIDS[2], session="diary", rights=("own",), by=OPERATOR),
        ]
    )
    assert all(state.may(DIDS[0], "anything", right) for right in RIGHTS)
    assert state.may(DIDS[1], "notes", "watch")
    assert state.may(DIDS[1], "notes", "approve")
    assert not state.may(DIDS[1], "notes", "steer")
    assert not state.may(DIDS[1], "diary", "watch")
    assert not state.may(DIDS[2], "notes", "watch")
    assert not state.may_grant(DIDS[2], DIDS[3], "diary"), "who owns one session owns no node"
    assert not state.may(DIDS[3], "notes", "watch")


def test_an_owner_who_owns_no_longer_gave_nothing() -> None:
    """Reduced from owning to watching: what they allowed falls, and does not come back when they own again."""
    state = folded(
        [
            Granted(did=DIDS[0], session="*", rights=("own",), by=OPERATOR),
            Granted(did=DIDS[1], session="*", rights=("own",), by=DIDS[0]),
            Granted(did=DIDS[2], session="notes", rights=("steer",), by=DIDS[1]),
        ]
    )
    assert len(state.grants()) == 3
    state.apply(Granted(did=DIDS[0], session="*", rights=("watch",), by=OPERATOR), 0)
    assert [one.did for one in state.grants()] == [DIDS[0]]
    state.apply(Granted(did=DIDS[0], session="*", rights=("own",), by=OPERATOR), 0)
    assert not state.may_something(DIDS[1])
    assert not state.may_something(DIDS[2])


def test_commands_are_remembered_for_as_long_as_they_could_come_again() -> None:
    """The first outcome stands; an id is forgotten long after its command has expired."""
    state = RelayState()
    taken = CommandTaken(
        command_id="c", owner=DIDS[0], operation="send", session="notes", arguments_sha256="0" * 64, expires_s=100
    )
    state.apply(taken, 40_000_000)
    known = state.command("c")
    assert known is not None
    assert known.done is None
    state.apply(CommandDone(command_id="c", result="1"), 41_000_000)
    state.apply(CommandDone(command_id="c", result="2"), 42_000_000)
    state.apply(CommandDone(command_id="never taken"), 42_000_000)
    known = state.command("c")
    assert known is not None
    assert known.done is not None
    assert known.done.result == "1"
    state.apply(NodeForgotten(did=DIDS[0]), (100 + KEEP_COMMANDS_S + 61) * 1_000_000)
    assert state.command("c") is None


async def test_events_survive_the_journal() -> None:
    """Each event is read back as it was written; what is unknown or somebody else's changes nothing."""
    journal = MemoryJournal()
    events: list[RelayEvent] = [
        Granted(did=DID_A, session="*", rights=("own",), by=OPERATOR, name="Ada's phone"),
        Revoked(did=DID_A, by=OPERATOR),
        CommandTaken(
            command_id="c", owner=DID_A, operation="send", session="s", arguments_sha256="0" * 64, expires_s=1
        ),
        CommandDone(command_id="c", result='{"a":1}', code="x.y", message="no", status=409),
        NodeKnown(did=DID_A, name="home"),
        NodeForgotten(did=DID_A),
    ]
    await journal.append(
        [new_event(event, event_id=f"event-{n}", agent_id="agent-x", now_us=n) for n, event in enumerate(events)]
    )
    from life.aios.ports.journal import EventQuery

    records: list[EventRecord] = await journal.read(EventQuery("relay-agent-x", "main"))
    assert [read_event(record) for record in records] == events
    RelayState().apply(None, 0)
    await journal.aclose()


async def test_two_processes_agree_on_the_log() -> None:
    """What a command line writes the running node reads; of two that take the same command one carries it out."""
    journal, clock = MemoryJournal(), ManualClock()
    node = RelayLog(journal, clock, SeededEntropy("a"), agent_id="agent-x")
    line = RelayLog(journal, clock, SeededEntropy("b"), agent_id="agent-x")
    await line.allow(DID_A, session="*", rights=("own",), by=OPERATOR, name="Ada")
    assert (await node.sync()).may(DID_A, "notes", "steer")
    await node.allow(DID_B, session="notes", rights=("watch",), by=DID_A)
    with pytest.raises(RelayForbiddenError):
        await node.allow(DID_A, session="*", rights=("watch",), by=DID_B)
    with pytest.raises(RelayForbiddenError):
        await node.allow(DID_A, session="*", rights=("watch",), by=DID_A)
    with pytest.raises(NotFoundError):
        await node.revoke(DID_A, by=DID_B)
    with pytest.raises(InvalidInputError):
        await node.allow("did:key:nonsense", session="*", rights=("watch",), by=OPERATOR)
    with pytest.raises(InvalidInputError):
        await node.allow(DID_B, session="notes", rights=("own",), by=OPERATOR)
    with pytest.raises(InvalidInputError):
        await node.allow(DID_B, session="no/path", rights=("watch",), by=OPERATOR)
    with pytest.raises(InvalidInputError):
        await node.allow(DID_B, session="*", rights=(), by=OPERATOR)
    taken = CommandTaken(
        command_id="c", owner=DID_A, operation="send", session="s", arguments_sha256="0" * 64, expires_s=1
    )
    assert await node.take(taken) is None
    assert await line.take(taken) is not None
    await line.know(DID_B, name="home", address="https://spaces.example")
    await line.know(DID_A, name="home", address="")
    assert [one.did for one in (await node.sync()).nodes()] == [DID_A], "a name names one node"
    await node.forget("home")
    with pytest.raises(NotFoundError):
        await line.forget("home")
    await journal.aclose()
