"""The frame: commands are carried out once, whole or not at all, by any number of tasks and processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from life.aios.errors import InvalidInputError, JournalUnavailableError
from life.aios.ports.journal import EventQuery
from life.aios.ports.snapshots import Snapshot
from life.haima.errors import (
    EvidenceUsedError,
    IdempotencyConflictError,
    InsufficientBalanceError,
    NoCreditLineError,
)
from life.haima.events.accounts import CommandDone, EvidenceUsed, LedgerPosted
from life.haima.events.credit import CreditRefused
from life.haima.house import SNAPSHOT, SNAPSHOT_VERSION, STREAM, Decision, House, Key, RefusedError
from life.haima.house_state import HouseState, decode, encode
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import MemorySnapshots
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, Fault, FaultyJournal
from tests.haima.house_kit import (
    ALICE,
    BOB,
    OUTSIDE,
    Moved,
    fund,
    house_events,
    key_of,
    moving,
    open_house,
    replayed,
    spend,
)
from tests.harness.process import ChildProcess

T = TypeVar("T")


async def same(journal: MemoryJournal | SqliteJournal, house: House) -> None:
    """The live state is what the journal's events give, byte for byte, and what its own bytes give."""
    live = encode(house.state)
    assert live == await replayed(journal)
    assert encode(decode(live)) == live
    assert sum(house.state.accounts.balances.values()) == 0


async def test_a_command_moves_money_and_is_durable() -> None:
    """What was decided is in the journal when the call returns, and another house reads it."""
    journal = MemoryJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 100)
    done = await house.decide(moving(ALICE, BOB, 30))
    assert (done.answer.left_micro, done.repeated) == (70, False)
    other = await open_house(journal, seed="other")
    assert (other.state.accounts.balance(ALICE), other.state.accounts.balance(BOB)) == (70, 30)
    assert other.position == house.position
    await same(journal, house)


async def test_a_rule_without_events_writes_nothing() -> None:
    """Looking costs no event; with a key it is remembered."""
    journal = MemoryJournal()
    house = await open_house(journal)

    def looking(_state: HouseState, _now_us: int) -> Decision[Moved]:
        return Decision([], Moved(5))

    assert (await house.decide(looking)).answer == Moved(5)
    assert await house_events(journal) == []
    assert not (await house.decide(looking, key=key_of("k"), answer_type=Moved)).repeated
    assert (await house.decide(looking, key=key_of("k"), answer_type=Moved)).repeated
    assert [type(event) for event in await house_events(journal)] == [CommandDone]


async def test_a_key_is_carried_out_once_for_ever() -> None:
    """The same key gives the first answer: at once, from another house, and after a restart long after."""
    journal, clock = MemoryJournal(), ManualClock()
    first = await open_house(journal, clock=clock)
    second = await open_house(journal, clock=clock, seed="second")
    await fund(first, ALICE, 100)
    told = await first.decide(moving(ALICE, BOB, 30), key=key_of("k"), answer_type=Moved)
    clock.advance_us(10 * 365 * 86_400_000_000)
    for house in (first, second, await open_house(journal, clock=clock, seed="third")):
        again = await house.decide(moving(ALICE, BOB, 30), key=key_of("k"), answer_type=Moved)
        assert again == (told.answer, True)
    assert (await first.catch_up()).accounts.balance(BOB) == 30
    await same(journal, first)


async def test_a_key_belongs_to_its_caller_and_its_request() -> None:
    """Another request under the same key is a conflict; another caller's key is another key, however it is spelled."""
    journal = MemoryJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 100)
    await house.decide(moving(ALICE, BOB, 1), key=Key("a", "b:k", b"1"), answer_type=Moved)
    with pytest.raises(IdempotencyConflictError):
        await house.decide(moving(ALICE, BOB, 2), key=Key("a", "b:k", b"2"), answer_type=Moved)
    done = await house.decide(moving(ALICE, BOB, 1), key=Key("a:b", "k", b"1"), answer_type=Moved)
    assert not done.repeated
    assert house.state.accounts.balance(BOB) == 2


async def test_the_same_key_at_once_in_one_process() -> None:
    """Thirty-two callers with one key: one is carried out, all get its answer."""
    journal = FaultyJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 100)
    done = await asyncio.gather(
        *(house.decide(moving(ALICE, BOB, 10), key=key_of("k"), answer_type=Moved) for _ in range(32))
    )
    assert sorted(one.repeated for one in done) == [False] + [True] * 31
    assert {one.answer.left_micro for one in done} == {90}
    assert house.state.accounts.balance(BOB) == 10


@pytest.mark.parametrize("amount", [10, 11])
async def test_the_same_key_at_once_in_two_processes(amount: int) -> None:
    """The other process was quicker by a hair. The same request gets its answer, another request a conflict; it happens
    once, although the answers, and so the events, would have differed."""
    journal = FaultyJournal()
    clock = ManualClock()
    slow = await open_house(journal, clock=clock, seed="slow")
    quick = await open_house(journal.inner, clock=clock, seed="quick")
    await fund(quick, ALICE, 100)
    await slow.catch_up()
    request = str(amount).encode()

    async def be_quicker() -> None:
        await quick.decide(moving(ALICE, BOB, 3))
        await quick.decide(moving(ALICE, BOB, 10), key=key_of("k", b"10"), answer_type=Moved)

    journal.interfere = be_quicker
    work = slow.decide(moving(ALICE, BOB, amount), key=key_of("k", request), answer_type=Moved)
    if amount == 10:
        assert await work == (Moved(87), True)
    else:
        with pytest.raises(IdempotencyConflictError):
            await work
    assert slow.state.accounts.balance(BOB) == 13
    await same(journal.inner, slow)


async def test_the_same_answer_from_two_processes_does_not_skip_what_came_between() -> None:
    """Both would write the very same CommandDone. The journal calls the second a duplicate; the house must still read what
    the other one wrote before it."""
    journal = FaultyJournal()
    clock = ManualClock()
    slow = await open_house(journal, clock=clock, seed="slow")
    quick = await open_house(journal.inner, clock=clock, seed="quick")

    def nothing(_state: HouseState, _now_us: int) -> Decision[Moved]:
        return Decision([], Moved(0))

    async def be_quicker() -> None:
        await fund(quick, ALICE, 100)
        await quick.decide(nothing, key=key_of("k"), answer_type=Moved)

    journal.interfere = be_quicker
    assert (await slow.decide(nothing, key=key_of("k"), answer_type=Moved)).repeated
    assert slow.state.accounts.balance(ALICE) == 100
    await same(journal.inner, slow)


async def test_evidence_counts_once_whoever_brings_it() -> None:
    """A fact that one command used is refused to every other, in every process, for ever; a repetition is none."""
    journal, clock = FaultyJournal(), ManualClock()
    house = await open_house(journal, clock=clock)
    other = await open_house(journal.inner, clock=clock, seed="other")
    pay = moving(OUTSIDE, ALICE, 5)
    await house.decide(pay, key=key_of("k1"), answer_type=Moved, evidence=["payment:1"])
    assert (await house.decide(pay, key=key_of("k1"), answer_type=Moved, evidence=["payment:1"])).repeated
    for which in (house, other):
        with pytest.raises(EvidenceUsedError):
            await which.decide(pay, key=key_of("k2"), answer_type=Moved, evidence=["payment:1"])

    async def be_quicker() -> None:
        await other.decide(pay, evidence=["payment:2"])

    journal.interfere = be_quicker
    outcomes = await asyncio.gather(
        *(house.decide(pay, evidence=["payment:2"]) for _ in range(5)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [EvidenceUsedError] * 5
    assert house.state.accounts.balance(ALICE) == 10
    assert sum(isinstance(event, EvidenceUsed) for event in await house_events(journal)) == 2


async def test_many_commands_share_a_commit_and_never_overdraw() -> None:
    """Sixty-four tasks want 3 of 100: thirty-three get it, in few commits, and the rest is refused."""
    journal = FaultyJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 100)
    journal.batches.clear()
    paid = await asyncio.gather(*(spend(house, 3) for _ in range(64)))
    assert sum(paid) == 33
    assert house.state.accounts.balance(ALICE) == 1
    assert len(journal.batches) <= 3
    await same(journal.inner, house)


async def test_commands_are_decided_again_when_somebody_was_quicker() -> None:
    """What was decided on top of what did not hold is decided anew: nobody is told anything that is not true."""
    journal, clock = FaultyJournal(), ManualClock()
    house = await open_house(journal, clock=clock)
    other = await open_house(journal.inner, clock=clock, seed="other")
    await fund(house, ALICE, 100)

    async def be_quicker() -> None:
        await other.catch_up()
        assert await spend(other, 60)

    journal.interfere = be_quicker
    paid = await asyncio.gather(*(spend(house, 30) for _ in range(5)))
    assert paid == [True, False, False, False, False]
    assert house.state.accounts.balance(ALICE) == 10
    await same(journal.inner, house)


async def test_a_refusal_that_is_a_fact_is_stored_and_not_remembered() -> None:
    """Its events are in the journal; the same key may be tried again."""
    journal = MemoryJournal()
    house = await open_house(journal)

    def refusing(_state: HouseState, _now_us: int) -> Decision[Moved]:
        event = CreditRefused(agent_id="alice", operation="draw", code="haima.no_credit_line")
        raise RefusedError(NoCreditLineError("alice"), [event])

    for _ in range(2):
        with pytest.raises(NoCreditLineError):
            await house.decide(refusing, key=key_of("k"), answer_type=Moved)
    assert [type(event) for event in await house_events(journal)] == [CreditRefused, CreditRefused]
    await fund(house, ALICE, 1)
    assert not (await house.decide(moving(ALICE, BOB, 1), key=key_of("k"), answer_type=Moved)).repeated


async def test_a_rule_that_is_wrong_hurts_nobody_else() -> None:
    """An unbalanced posting and a bug in a rule are their callers' trouble."""
    journal = MemoryJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 10)

    def unbalanced(_state: HouseState, _now_us: int) -> Decision[Moved]:
        entries = (*moving(ALICE, BOB, 1)(house.state, 0).events[0].entries[:1],)  # type: ignore[attr-defined]
        return Decision([LedgerPosted(posting_id="p", entries=entries, reason="transfer")], Moved(0))

    def broken(_state: HouseState, _now_us: int) -> Decision[Moved]:
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        house.decide(unbalanced),
        house.decide(broken),
        house.decide(moving(ALICE, BOB, 11)),
        house.decide(moving(ALICE, BOB, 10)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes[:3]] == [
        InvalidInputError,
        ZeroDivisionError,
        InsufficientBalanceError,
    ]
    assert house.state.accounts.balance(BOB) == 10
    await same(journal, house)


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_journal_that_fails_leaves_no_half_truth(fault: Fault) -> None:
    """The callers are told that it is not known; repeated with their keys, each is carried out once."""
    journal = FaultyJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 100)
    journal.faults = [fault]
    outcomes = await asyncio.gather(*(spend(house, 1, f"k{number}") for number in range(8)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {JournalUnavailableError}
    assert all(await asyncio.gather(*(spend(house, 1, f"k{number}") for number in range(8))))
    assert house.state.accounts.balance(BOB) == 8
    await same(journal.inner, house)


@pytest.mark.parametrize("point", range(6))
@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
async def test_a_crash_between_any_two_writes_loses_and_doubles_nothing(point: int, fault: Fault) -> None:
    """The process dies at one of its writes; the next one repeats everything with the same keys."""
    disk, clock = MemoryJournal(), ManualClock()
    journal = FaultyJournal(disk)
    house = await open_house(journal, clock=clock)
    await fund(house, ALICE, 100)
    journal.faults = [*["none"] * point, fault]  # type: ignore[list-item]
    with pytest.raises(CrashError):
        for number in range(8):
            await spend(house, 7, f"k{number}")
    survivor = await open_house(disk, clock=clock, seed="next")
    await same(disk, survivor)
    for number in range(8):
        assert await spend(survivor, 7, f"k{number}")
    assert survivor.state.accounts.balance(BOB) == 56
    await same(disk, survivor)


async def test_a_caller_that_gives_up_takes_nobody_with_it() -> None:
    """Its own command may still be stored; the others' are carried out once."""
    journal = FaultyJournal()
    house = await open_house(journal)
    await fund(house, ALICE, 100)
    journal.gate = asyncio.Event()
    first = asyncio.create_task(spend(house, 10, "first"))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(spend(house, 1)) for _ in range(3)]
    given_up = asyncio.create_task(spend(house, 50))
    await asyncio.sleep(0.01)
    first.cancel()
    given_up.cancel()
    await asyncio.sleep(0.01)
    journal.gate.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert first.cancelled() and given_up.cancelled()
    assert house.state.accounts.balance(BOB) == 13  # the first was under way; the one that had not begun is gone
    assert await spend(house, 10, "first")
    assert house.state.accounts.balance(BOB) == 13
    await house.aclose()


async def test_a_start_from_a_snapshot_is_the_same_start() -> None:
    """Snapshot and replay give the same bytes; only what came after is folded."""
    journal, snapshots = MemoryJournal(), MemorySnapshots()
    house = await open_house(journal, snapshots=snapshots)
    await fund(house, ALICE, 100)
    await spend(house, 5, "k")
    await house.aclose()
    await spend(house, 6)
    again = await open_house(journal, snapshots=snapshots, seed="again")
    assert encode(again.state) == encode(house.state)
    await same(journal, again)
    assert await spend(again, 5, "k")
    assert again.state.accounts.balance(BOB) == 11


@pytest.mark.parametrize("damage", ["bytes", "digest", "position", "state"])
async def test_a_snapshot_that_does_not_fit_is_thrown_away(damage: str) -> None:
    """Unreadable, of another journal, or ahead of this one: the journal alone counts."""
    journal, snapshots = MemoryJournal(), MemorySnapshots()
    house = await open_house(journal, snapshots=snapshots)
    await fund(house, ALICE, 100)
    await house.aclose()
    kept = await snapshots.load(SNAPSHOT, SNAPSHOT_VERSION)
    assert kept is not None
    if damage == "bytes":
        wrong = Snapshot(kept.position, b"\xff")
    elif damage == "digest":
        wrong = Snapshot(kept.position, kept.state.replace(b'"digest":"', b'"digest":"0').replace(b":100", b":999"))
    elif damage == "state":
        wrong = Snapshot(kept.position, kept.state.replace(b":100", b':"x"'))
    else:
        wrong = Snapshot(kept.position + 7, kept.state)
    await snapshots.save(SNAPSHOT, SNAPSHOT_VERSION, Snapshot(wrong.position, wrong.state))
    again = await open_house(journal, snapshots=snapshots, seed="again")
    await same(journal, again)
    assert again.state.accounts.balance(ALICE) == 100


async def test_time_in_the_house_never_runs_backwards() -> None:
    """A clock that is set back stands still for rules and events until it has caught up."""
    journal, clock = MemoryJournal(), ManualClock()
    house = await open_house(journal, clock=clock)
    await fund(house, ALICE, 10)
    before_us = clock.now_us()
    clock.step_wall_us(-3_600_000_000)
    seen: list[int] = []

    def noting(_state: HouseState, now_us: int) -> Decision[Moved]:
        seen.append(now_us)
        return Decision([], Moved(0))

    await house.decide(noting)
    await spend(house, 1)
    records = await journal.read(EventQuery(STREAM.session_id, STREAM.branch_id))
    assert seen == [before_us]
    assert [record.timestamp_us for record in records] == [before_us, before_us]
    await same(journal, house)


async def test_foreign_events_in_the_stream_change_nothing() -> None:
    """Unknown kinds and finance events of other rooms move the cursor, and nothing else."""
    from life.aios.events import Custom, ErrorRaised
    from life.aios.record import EventWriter

    journal, clock = MemoryJournal(), ManualClock()
    house = await open_house(journal, clock=clock)
    await fund(house, ALICE, 10)
    before = encode(house.state)
    writer = EventWriter(clock, SeededEntropy("foreign"), agent_id="x", stream=STREAM)
    await journal.append(
        [
            writer.event(ErrorRaised(message="m")),
            writer.event(Custom(event_type="finance.unheard_of", data={"a": 1})),
            writer.event(Custom(event_type="finance.ledger_posted", data={"posting_id": 7})),
        ]
    )
    await house.catch_up()
    assert encode(house.state) == before
    assert await spend(house, 1)
    await same(journal, house)


class Houses(RuleBasedStateMachine):
    """Three processes over one journal that fails and crashes, with keys that are repeated (invariants 4 and 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.disk = MemoryJournal()
        self.snapshots = MemorySnapshots()
        self.starts = 0
        self.journals: list[FaultyJournal] = []
        self.houses: list[House] = []
        for _ in range(3):
            self._start(len(self.houses))
        self.run(fund(self.houses[0], ALICE, 1_000))
        self.done: dict[str, int] = {}
        """Keys whose callers were told that it was done, with the amount."""

    def teardown(self) -> None:
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def _start(self, index: int) -> None:
        self.starts += 1
        journal = FaultyJournal(self.disk)
        house = self.run(open_house(journal, clock=self.clock, seed=f"start-{self.starts}", snapshots=self.snapshots))
        if index == len(self.houses):
            self.journals.append(journal)
            self.houses.append(house)
        else:
            self.journals[index], self.houses[index] = journal, house

    @rule(
        process=st.integers(0, 2),
        orders=st.lists(st.tuples(st.integers(0, 12), st.sampled_from([1, 90, 400])), min_size=1, max_size=4),
    )
    def command(self, process: int, orders: list[tuple[int, int]]) -> None:
        """Some transfers at once; a key that was used is repeated."""

        async def one(number: int, amount: int) -> None:
            name = f"k{number}"
            work = self.houses[process].decide(
                moving(ALICE, BOB, amount), key=key_of(name, str(amount).encode()), answer_type=Moved
            )
            try:
                done = await work
            except (InsufficientBalanceError, JournalUnavailableError):
                return
            except IdempotencyConflictError:
                return
            assert done.repeated or name not in self.done
            assert self.done.setdefault(name, amount) == amount

        async def several() -> None:
            await asyncio.gather(*(one(number, amount) for number, amount in orders))

        self.run(several())

    @rule(process=st.integers(0, 2), fault=st.sampled_from(["before", "after"]))
    def break_journal(self, process: int, fault: Fault) -> None:
        """The next append of a process fails."""
        self.journals[process].faults = [fault]

    @rule(process=st.integers(0, 2), keep=st.booleans())
    def restart(self, process: int, keep: bool) -> None:
        """A process ends, in peace or not, and another takes its place."""
        if keep:
            self.run(self.houses[process].aclose())
        self._start(process)

    @rule(change_us=st.sampled_from([-5_000_000, 1, 86_400_000_000]))
    def jump(self, change_us: int) -> None:
        """The wall clock is set."""
        self.clock.step_wall_us(change_us)

    @invariant()
    def nothing_is_lost_or_made(self) -> None:
        """Replay is the live state; balances sum to zero; nobody is overdrawn; what was told is booked."""
        expected = self.run(replayed(self.disk))
        for house in self.houses:
            assert encode(self.run(house.catch_up())) == expected
        accounts = self.houses[0].state.accounts
        assert sum(accounts.balances.values()) == 0
        assert accounts.balance(ALICE) >= 0
        assert accounts.balance(BOB) >= sum(self.done.values())
        assert accounts.balance(ALICE) + accounts.balance(BOB) == 1_000


TestHouses = Houses.TestCase
TestHouses.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@pytest.mark.slow
def test_a_killed_process_leaves_every_command_whole(tmp_path: Path) -> None:
    """SIGKILL in the middle, several times; the keys are repeated until all are done. Each was carried out once."""
    path = tmp_path / "journal.db"
    count, amount = 400, 3

    async def prepare() -> None:
        async with SqliteJournal.open(path, clock=ManualClock(1)) as journal:
            await fund(await open_house(journal, clock=ManualClock(1)), ALICE, count * amount)

    asyncio.run(prepare())
    command = [sys.executable, "-m", "tests.haima.house_process", str(path), "k", str(count), str(amount)]
    for wanted in (20, 100, 230):
        with ChildProcess.spawn(command) as child:
            child.wait_for_line(rf"paid {wanted}")
            child.kill()
    with ChildProcess.spawn(command) as child:
        assert child.wait() == 0, child.stderr()
        assert child.stdout().count("paid ") == count

    async def look() -> None:
        async with SqliteJournal.open(path, clock=ManualClock(1)) as journal:
            house = await open_house(journal)
            assert (house.state.accounts.balance(ALICE), house.state.accounts.balance(BOB)) == (0, count * amount)
            await same(journal, house)

    asyncio.run(look())


@pytest.mark.slow
def test_two_processes_never_overdraw_together(tmp_path: Path) -> None:
    """Both want 200 times 1 of 250: exactly 250 are paid."""
    path = tmp_path / "journal.db"

    async def prepare() -> None:
        async with SqliteJournal.open(path, clock=ManualClock(1)) as journal:
            await fund(await open_house(journal, clock=ManualClock(1)), ALICE, 250)

    asyncio.run(prepare())

    def start(name: str) -> ChildProcess:
        return ChildProcess.spawn([sys.executable, "-m", "tests.haima.house_process", str(path), name, "200", "1"])

    with start("a") as first, start("b") as second:
        assert first.wait() == 0, first.stderr()
        assert second.wait() == 0, second.stderr()
        paid = first.stdout().count("paid ") + second.stdout().count("paid ")
    assert paid == 250

    async def look() -> None:
        async with SqliteJournal.open(path, clock=ManualClock(1)) as journal:
            house = await open_house(journal)
            assert (house.state.accounts.balance(ALICE), house.state.accounts.balance(BOB)) == (0, 250)
            await same(journal, house)

    asyncio.run(look())
