"""Links that are cut, nodes and terminals that are killed, answers that are lost: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import msgspec
import pytest

from life.aios.errors import UnavailableError
from life.arcan.errors import NothingToDecideError
from life.spaces.relay.envelopes import COMMAND_TYP, CommandProof, verify
from life.spaces.relay.errors import (
    RelayConflictError,
    RelayForbiddenError,
    RelayOfflineError,
    RelayOutcomeUnknownError,
    RelayTooLongError,
)
from life.spaces.relay.events import CommandTaken
from life.spaces.relay.link import SILENCE_US
from life.spaces.relay.operations import Decide, FileNamed, OnBranch, Page, Say, Start
from life.spaces.relay.owner import RelayOwner
from life.spaces.relay.stream import MAX_MESSAGE_BYTES
from tests.spaces.relay.kit import Done, Sent, World, world

SILENCE_S = SILENCE_US // 1_000_000


async def follow(owner: RelayOwner, wanted: int, found: list[bytes], w: World) -> None:
    """As a terminal does: watch, and when the link is lost go on after the last sequence that was seen."""
    while len(found) < wanted:
        try:
            async with aclosing(owner.watch("notes", "main", len(found))) as records:
                async for record in records:
                    found.append(record)
                    if len(found) == wanted:
                        return
        except UnavailableError:
            await w.clock.sleep_us(500_000)


@pytest.mark.parametrize("cut_s", [5, 60])
async def test_a_cut_for_the_length_of_a_10_mb_output_loses_nothing(cut_s: int) -> None:
    """Acceptance of spaces.md §11.2: the line is cut for 5 s (the link holds) and for 60 s (it is opened anew) while 10 MB come; every event is
    there once, in order, byte for byte (R9)."""
    async with world() as w:
        await w.allow(2, "watch", session="notes")
        chance = random.Random(3)
        async with w.owner() as owner:
            found: list[bytes] = []
            reading = asyncio.ensure_future(follow(owner, 500, found, w))
            for number in range(500):
                # Half of it can't be compressed; the other half holds characters of several bytes, cut anywhere (R12).
                text = chance.randbytes(10_000).hex() if number % 2 else "ünï😀" * 5_000
                w.sessions.add("notes", text)
                if number == 250:
                    w.hub.cut = True
                    await w.pass_time(cut_s)
                    w.hub.cut = False
                if number % 10 == 0:
                    await w.pass_time(0.1)
            await w.during(reading, seconds=300)
            assert found == w.sessions.records["notes"]
            assert sum(map(len, found)) > 10_000_000
            assert owner.links == (1 if cut_s < SILENCE_S else 2)


async def test_a_hub_that_loses_every_third_text_loses_nothing() -> None:
    """Commands, answers, acknowledgements and events alike: what is lost comes again, and is taken once (R7)."""
    chance = random.Random(8)
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.hub.meddle = lambda sent: [] if chance.random() < 0.34 else [sent]
            for number in range(60):
                w.sessions.add("notes", f"{number}")
            found = await w.collect(owner, 60)
            assert found == w.sessions.records["notes"]
            for number in range(12):
                await w.ask(owner, "send", "notes", Say(message=f"m{number}"))
            said = [done.arguments.message for done in w.sessions.done if isinstance(done.arguments, Say)]
            assert said == [f"m{number}" for number in range(12)]


async def test_offline_after_three_missed_heartbeats() -> None:
    """R8: a node that is gone is known to be within 30 s, on both sides; and is found again when it is back."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            await w.pass_time(3 * SILENCE_S)
            assert owner.is_linked, "heartbeats keep an idle link"
            assert owner.links == 1
            node = w.node
            assert node is not None
            w.hub.cut = True
            await w.pass_time(SILENCE_S - 11)
            assert owner.is_linked
            await w.pass_time(12)
            assert [owner.is_linked, *node.owners] == [False]
            error = await w.refused(owner, "view", "notes", OnBranch())
            assert isinstance(error, RelayOfflineError)
            assert isinstance(error, UnavailableError)
            w.hub.cut = False
            await w.during(owner._linked.wait())
            await w.ask(owner, "view", "notes", OnBranch())


async def test_an_answer_that_was_lost_with_its_link_comes_over_the_next_one() -> None:
    """R7: the command was carried out, its answer was cut off; sent again under the same id over a new link, it is not done again and the same
    answer comes."""
    async with world() as w:
        await w.allow(2, "own")
        w.sessions.answer = lambda done: msgspec.json.encode({"run_id": f"run-{len(w.sessions.done)}"})
        async with w.owner() as owner:
            w.hub.meddle = lambda sent: [sent] if sent.sender != w.node_did else []
            asking = asyncio.ensure_future(owner.ask("send", "notes", Say(message="once")))
            await w.pass_time(SILENCE_S + 2)
            assert len(w.sessions.done) == 1
            w.hub.meddle = lambda sent: [sent]
            assert msgspec.json.decode(await w.during(asking)) == {"run_id": "run-1"}
            assert len(w.sessions.done) == 1
            assert owner.links >= 2


async def test_a_command_that_nobody_answers_says_whether_it_may_have_happened() -> None:
    """Never heard of: offline. Sent, and no answer within a minute: not known."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.hub.meddle = lambda sent: [sent] if sent.sender != w.node_did else []
            error = await w.refused(owner, "send", "notes", Say(message="x"))
            assert isinstance(error, RelayOutcomeUnknownError)
            assert not owner.is_linked
            assert isinstance(await w.refused(owner, "send", "notes", Say(message="x")), RelayOfflineError)


@pytest.mark.parametrize(
    ("operation", "arguments", "times"),
    [
        ("decide", Decide(approval_id="t", approved=True), 2),
        ("start", Start(objective="go"), 2),
        ("send", Say(message="hi"), 1),
    ],
)
async def test_a_node_killed_within_a_command(operation: str, arguments: Decide | Start | Say, times: int) -> None:
    """kill -9 after the command was handed to the runtime and before its answer was written down: what the runtime does once is asked again under
    the same key; a message is not said again, and its sender is told that nobody knows."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.hold = asyncio.Event()
            asking = asyncio.ensure_future(owner.ask(operation, "notes", arguments))
            await w.pass_time(2)
            assert len(w.sessions.done) == 1
            # Everything that the process was doing goes with it; only the journal stays.
            await w.kill_node()
            for task in asyncio.all_tasks():
                if "CommandRunner" in repr(task.get_coro()):
                    task.cancel()
            w.sessions.hold = None
            await w.start_node()
            if times == 1:
                with pytest.raises(RelayOutcomeUnknownError):
                    await w.during(asking)
            else:
                await w.during(asking)
            assert len(w.sessions.done) == times


async def test_decided_before_the_crash_or_by_somebody_else() -> None:
    """After a crash the runtime says that nothing is to be decided: whether this command decided it nobody knows, and that is what is told."""
    async with world() as w:
        await w.allow(2, "own")

        def decided(_: Done) -> bytes:
            raise NothingToDecideError("notes", "t")

        async with w.owner() as owner:
            w.sessions.hold = asyncio.Event()
            asking = asyncio.ensure_future(owner.ask("decide", "notes", Decide(approval_id="t", approved=True)))
            await w.pass_time(2)
            await w.kill_node()
            for task in asyncio.all_tasks():
                if "CommandRunner" in repr(task.get_coro()):
                    task.cancel()
            w.sessions.hold, w.sessions.answer = None, decided
            await w.start_node()
            with pytest.raises(RelayOutcomeUnknownError):
                await w.during(asking)


async def test_two_owners_answer_one_approval() -> None:
    """One wins, the other is told under the runtime's own code, and the decision took effect once."""
    async with world() as w:
        await w.allow(2, "own")
        await w.allow(3, "approve", session="notes")
        decisions: list[str] = []

        def decide(done: Done) -> bytes:
            if decisions:
                raise NothingToDecideError("notes", "t")
            decisions.append(done.owner)
            return b'{"run_id":"r"}'

        w.sessions.answer = decide
        async with w.owner(2) as first, w.owner(3) as second:
            answers = await w.during(
                asyncio.gather(
                    first.ask("decide", "notes", Decide(approval_id="t", approved=True)),
                    second.ask("decide", "notes", Decide(approval_id="t", approved=False)),
                    return_exceptions=True,
                )
            )
            (lost,) = [one for one in answers if isinstance(one, BaseException)]
            assert isinstance(lost, RelayConflictError)
            assert lost.code == "arcan.nothing_to_decide"
            assert len(decisions) == 1


async def test_one_id_is_one_command() -> None:
    """The same id with other arguments, another session or by another owner is refused; with the same it gets the first answer, also at once."""
    async with world() as w:
        await w.allow(2, "own")
        await w.allow(3, "own")
        async with w.owner(2) as owner, w.owner(3) as other:
            w.sessions.hold = asyncio.Event()
            first = asyncio.ensure_future(owner.ask("send", "notes", Say(message="a"), command_id="c1"))
            await w.pass_time(1)
            stolen = asyncio.ensure_future(other.ask("send", "notes", Say(message="a"), command_id="c1"))
            await w.pass_time(1)
            w.sessions.hold.set()
            await w.during(asyncio.wait([first, stolen]))
            assert isinstance(stolen.exception(), RelayForbiddenError)
            assert await w.ask(owner, "send", "notes", Say(message="a"), command_id="c1") is None
            for session, arguments in (("notes", Say(message="b")), ("diary", Say(message="a"))):
                await w.refused(owner, "send", session, arguments, command_id="c1")
            assert len(w.sessions.done) == 1


async def test_a_killed_terminal_leaves_nothing_behind() -> None:
    """R4: a terminal that goes without a word holds its watch for three heartbeats, and the node's runtime is not touched."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.add("notes", "x")
            await w.collect(owner, 1)
            assert w.node is not None
            w.hub.meddle = lambda sent: [sent] if sent.sender == w.node_did else []
            await w.pass_time(SILENCE_S + 1)
            assert w.node.owners == []
            w.hub.meddle = lambda sent: [sent]
        assert not any(done.operation in ("cancel", "pause") for done in w.sessions.done)
        await w.pass_time(1)
        assert w.node.owners == []


async def test_a_terminal_that_leaves_says_so() -> None:
    """The node need not wait for the silence."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner():
            assert w.node is not None
            assert len(w.node.owners) == 1
        await w.pass_time(1)
        assert w.node.owners == []


async def test_sessions_do_not_mix() -> None:
    """R5: two sessions watched and steered at once, each gets what was for it."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            for number in range(5):
                w.sessions.add("notes", f"n{number}")
                w.sessions.add("diary", f"d{number}")
            both = await w.during(asyncio.gather(first_of(owner, "notes"), first_of(owner, "diary")))
            assert [b'"n' in record for record in both[0]] == [True] * 5
            assert [b'"d' in record for record in both[1]] == [True] * 5
            await w.ask(owner, "send", "notes", Say(message="to notes"))
            await w.ask(owner, "send", "diary", Say(message="to diary"))
            assert [
                (one.session, one.arguments.message) for one in w.sessions.done if isinstance(one.arguments, Say)
            ] == [
                ("notes", "to notes"),
                ("diary", "to diary"),
            ]


async def first_of(owner: RelayOwner, session: str) -> list[bytes]:
    found = []
    async with aclosing(owner.watch(session, "main", 0)) as records:
        async for record in records:
            found.append(record)
            if len(found) == 5:
                break
    return found


async def test_refusals_keep_their_code() -> None:
    """What the runtime refuses comes under its own code and status; a large answer comes whole."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:

            def away(_: Done) -> bytes:
                raise UnavailableError("No arcand works at the node.")

            w.sessions.answer = away
            error = await w.refused(owner, "send", "notes", Say(message="x"))
            assert isinstance(error, UnavailableError)
            assert error.code == "life.unavailable"
            w.sessions.answer = lambda _: msgspec.json.encode(["y" * 100] * 20_000)
            assert len(await w.ask(owner, "events", "notes", Page())) == 20_000  # type: ignore[arg-type]
            assert await w.ask(owner, "resume", "notes", OnBranch(), command_id="big") == ["y" * 100] * 20_000
            assert await w.ask(owner, "resume", "notes", OnBranch(), command_id="big") is None, "remembered as done"


async def test_what_is_stored_on_the_way() -> None:
    """Openings and commands that change something are stored by the server, everything else only passes through."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.add("notes", "x" * 100_000)
            await w.collect(owner, 1)
            await w.ask(owner, "view", "notes", OnBranch())
            before = [sent for sent in w.hub.log if sent.stored]
            assert [sent.text.split(" ")[1] for sent in before] == ["open"]
            await w.ask(owner, "decide", "notes", Decide(approval_id="t", approved=True))
            stored: list[Sent] = [sent for sent in w.hub.log if sent.stored][1:]
            assert [sent.text.split(" ")[1] for sent in stored] == ["data"]
        assert all(len(sent.text) <= (4000 if sent.stored else 16 * 1024) for sent in w.hub.log)


async def test_a_node_that_is_not_there() -> None:
    """Nobody of this DID at the server, or no DID at all: one sentence, at once or after ten seconds."""
    async with world() as w:
        with pytest.raises(RelayOfflineError) as refused:
            async with w.owner(2, node=w.did(8)):
                pass
        assert "never logged in" in str(refused.value)


async def test_what_is_too_long_is_refused_and_not_tried_for_ever() -> None:
    """An answer or an event that is longer than what is carried: one error, on a link that goes on; an owner that sends more than a node
    takes at once loses the link."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.answer = lambda _: b'"' + b"x" * MAX_MESSAGE_BYTES + b'"'
            assert isinstance(await w.refused(owner, "file", "notes", FileNamed(path="big")), RelayTooLongError)
            w.sessions.add("notes", "x" * MAX_MESSAGE_BYTES)
            with pytest.raises(RelayTooLongError):
                await w.collect(owner, 1)
            assert owner.links == 1
            link = owner._link
            assert link is not None
            await link.put(b'{"type":"command","proof":"' + b"x" * 2_000_000 + b'","arguments":{}}')
            await w.during(link.closed.wait(), seconds=60)


def nonsense(_: Done) -> bytes:
    raise ZeroDivisionError


async def test_a_node_with_a_fault_of_its_own_lets_go_of_the_link() -> None:
    """A runtime that answers with nonsense: the link is closed instead of standing there deaf, and the next one works."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as owner:
            w.sessions.answer = nonsense
            asking = asyncio.ensure_future(owner.ask("view", "notes", OnBranch()))
            await w.pass_time(3)
            w.sessions.answer = lambda _: b"1"
            assert msgspec.json.decode(await w.during(asking)) == 1
            assert owner.links >= 2


async def test_a_command_is_kept_with_the_owners_signature() -> None:
    """What was done, for whom and with what outcome stands in the node's journal, with the statement that the owner signed."""
    async with world() as w:
        did = await w.allow(2, "own")
        async with w.owner() as owner:
            await w.ask(owner, "decide", "notes", Decide(approval_id="t", approved=False), command_id="c7")
        command = (await w.log.sync()).command("c7")
        assert command is not None
        assert command.done is not None
        proof = verify(command.taken.proof, CommandProof, typ=COMMAND_TYP, by=did)
        assert (proof.id, proof.operation, proof.session, proof.arguments_sha256) == (
            "c7",
            "decide",
            "notes",
            command.taken.arguments_sha256,
        )


async def test_a_node_killed_in_the_middle_of_an_output() -> None:
    """kill -9 of the node while events stream: its next process goes on after the last event that was seen, with none missing and none twice."""
    async with world() as w:
        await w.allow(2, "watch", session="notes")
        async with w.owner() as owner:
            found: list[bytes] = []
            reading = asyncio.ensure_future(follow(owner, 300, found, w))
            for number in range(300):
                w.sessions.add("notes", f"{number}" * 500)
                await w.pass_time(0.05)
                if number in (100, 200):
                    await w.kill_node()
                    await w.start_node()
            await w.during(reading)
            assert found == w.sessions.records["notes"]


async def test_two_terminals_of_one_person() -> None:
    """The same key twice at once: each has a link of its own, and neither disturbs the other."""
    async with world() as w:
        await w.allow(2, "own")
        async with w.owner() as one, w.owner() as other:
            w.sessions.add("notes", "x")
            both = await w.during(asyncio.gather(*(owner.ask("view", "notes", OnBranch()) for owner in (one, other))))
            assert [bytes(raw) for raw in both] == [b"null", b"null"]
            assert await w.collect(one, 1) == await w.collect(other, 1)
            await w.pass_time(SILENCE_S * 2)
            assert (one.links, other.links) == (1, 1)
            assert w.node is not None
            assert len(w.node.owners) == 2


async def test_what_was_left_open_is_closed_at_the_next_start() -> None:
    """A command that was taken up by a process that is gone, and that nobody can send again: its outcome is written down as unknown."""
    async with world() as w:
        did = await w.allow(2, "own")
        now_s = w.clock.now_us() // 1_000_000
        for name, expires_s in (("old", now_s + 60), ("new", now_s + 3600)):
            await w.log.take(
                CommandTaken(
                    command_id=name,
                    owner=did,
                    operation="send",
                    session="notes",
                    arguments_sha256="0" * 64,
                    expires_s=expires_s,
                )
            )
        await w.kill_node()
        await w.pass_time(100)
        await w.start_node()
        state = await w.log.sync()
        assert [one.command_id for one in state.open_commands()] == ["new"]
        old = state.command("old")
        assert old is not None
        assert old.done is not None
        assert old.done.code == RelayOutcomeUnknownError.code
