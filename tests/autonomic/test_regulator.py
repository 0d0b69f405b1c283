"""The regulator over a real journal: what it advises, what it puts on record, and what happens when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from life.aios import events
from life.aios.events import Kind
from life.aios.json import Json
from life.aios.ports.journal import EventQuery
from life.aios.ports.regulator import SAFE_ADVICE, Advice, RunView
from life.aios.record import EventRecord, EventWriter, Stream
from life.aios.state import AgentStateVector, GatingProfile, TokenUsage
from life.autonomic.errors import RegulatorBehindError
from life.autonomic.follower import Follower
from life.autonomic.guarded import GuardedRegulator, OnFailure, stricter_gates
from life.autonomic.homeostasis import MOST_STREAMS, Homeostasis
from life.autonomic.regulator import FoldedRegulator
from life.lago.journal.memory import MemoryJournal
from life.lago.snapshots import MemorySnapshots
from life.testing.clock import ManualClock, SeededEntropy
from tests.autonomic.vitals import named, record

AGENT = "agent"


class Kit:
    """A journal, a clock, and homeostasis that follows."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.entropy = SeededEntropy()
        self.journal = MemoryJournal()
        self.snapshots = MemorySnapshots()
        self.homeostasis = Homeostasis()
        self.follower = Follower(self.journal, self.homeostasis, self.clock, snapshots=self.snapshots)
        self.regulator = FoldedRegulator(
            self.homeostasis,
            self.clock,
            is_current=lambda: self.follower.is_current,
            refold=self.follower.refold,
        )

    async def write(self, *kinds: Kind, session: str = "s", agent: str = AGENT) -> None:
        """Append, and wait until it is folded in."""
        writer = EventWriter(self.clock, self.entropy, agent_id=agent, stream=Stream(session))
        stored = await self.journal.append([writer.event(kind) for kind in kinds])
        if self.follower.is_current:
            await self.follower.reached(stored[-1].position)

    def view(self, session: str = "s", recent: tuple[EventRecord, ...] = ()) -> RunView:
        """What the loop tells."""
        return RunView(
            session_id=session,
            branch_id="main",
            agent_id=AGENT,
            run_id="r",
            step=0,
            vector=AgentStateVector(),
            mode="execute",
            gates=None,
            model_tier=None,
            errors=0,
            tool_calls=0,
            prompt_tokens=0,
            completion_tokens=0,
            cost_micro=0,
            worked_ms=0,
            recent=recent,
        )

    async def consult(self, session: str = "s", recent: tuple[EventRecord, ...] = ()) -> Advice:
        """Ask, and write what it wants on record, as the loop does."""
        advice = await self.regulator.consult(self.view(session, recent))
        if advice.events:
            await self.write(*advice.events, session=session)
        return advice


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    kit = Kit()
    async with kit.journal, kit.follower:
        yield kit


def types(advice: Advice) -> list[str]:
    """The names of the events it wants on record."""
    return [event.event_type for event in advice.events if isinstance(event, events.Custom)]


def error(number: int = 0) -> Kind:
    return events.ToolCallCompleted(
        tool_run_id=f"t{number}", call_id=f"c{number}", tool_name="t", result="", duration_ms=1, status="error"
    )


def call(cost_micro: int) -> Kind:
    usage = TokenUsage(prompt_tokens=1, completion_tokens=1, total_tokens=2, cost_micro=cost_micro)
    return events.Message(role="assistant", content="", token_usage=usage)


def deposit(amount: int) -> Kind:
    return named("autonomic.CreditDeposited", amount_micro_credits=amount, source="test")


async def test_a_healthy_session_costs_no_event(kit: Kit) -> None:
    """Nothing is held back, nothing is put on record, and what was held back before is lifted."""
    await kit.write(events.RunStarted(provider="p", max_iterations=3), call(10))
    advice = await kit.consult()
    assert advice.is_whole and advice.gates is None and advice.events == () and advice.suspend is None
    assert (advice.model_tier, advice.max_output_tokens) == (None, None)
    assert advice.allow_expensive_tools and advice.allow_replication


async def test_a_change_is_put_on_record_once(kit: Kit) -> None:
    """With every rule that fired, and the version of the rules; the way back, too."""
    await kit.write(*[error(n) for n in range(5)])
    advice = await kit.consult()
    assert types(advice) == ["autonomic.GatingDecision"]
    (event,) = advice.events
    assert isinstance(event, events.Custom) and isinstance(event.data, dict)
    assert tuple(event.data["rules_fired"]) == ("error_rate",) and event.data["rules"] == 1
    assert advice.gates is not None and not advice.gates.allow_side_effects
    assert types(await kit.consult()) == []
    kit.clock.advance_us(31 * 60_000_000)
    back = await kit.consult()
    assert back.gates is None and types(back) == ["autonomic.GatingDecision"]
    assert types(await kit.consult()) == []


async def test_events_that_are_not_written_yet_count(kit: Kit) -> None:
    """The loop's own tail is folded in for the verdict, and changes nothing that is kept."""
    await kit.write(events.RunStarted(provider="p", max_iterations=3))
    tail = tuple(record(error(n), sequence=2 + n, at_ms=kit.clock.now_us() // 1000) for n in range(5))
    ahead = await kit.regulator.consult(kit.view(recent=tail))
    assert ahead.gates is not None
    vitals = kit.homeostasis.vitals(Stream("s"))
    assert vitals is not None and vitals.total_errors == 0
    assert (await kit.regulator.consult(kit.view())).gates is None


async def test_means_are_the_agents_and_errors_the_sessions(kit: Kit) -> None:
    """One session's errors hold no other back; one session's spending holds all of them."""
    await kit.write(*[error(n) for n in range(5)], session="a")
    assert (await kit.consult("a")).gates is not None
    assert (await kit.consult("b")).gates is None
    await kit.write(deposit(100), session="autonomic:agent")
    await kit.write(call(200), session="a")
    assert (await kit.consult("b")).suspend is not None
    other = await kit.regulator.consult(msgspec.structs.replace(kit.view("c"), agent_id="somebody"))
    assert other.suspend is None


async def test_spend_hibernate_deposit_recover(kit: Kit) -> None:
    """The mode moves at once when means end, and half a minute after they are back."""
    await kit.write(deposit(1_000))
    await kit.write(call(2_000))
    broke = await kit.consult()
    assert broke.suspend is not None and broke.suspend.startswith("Hibernate")
    assert types(broke) == ["autonomic.EconomicModeChanged", "autonomic.GatingDecision"]
    await kit.write(deposit(10**9))
    assert (await kit.consult()).suspend is not None, "relaxation is held"
    kit.clock.advance_us(30_000_000)
    back = await kit.consult()
    assert back.suspend is None and types(back) == ["autonomic.EconomicModeChanged", "autonomic.GatingDecision"]
    assert kit.homeostasis.books(AGENT).economy.mode == "sovereign"


async def test_a_person_may_wake_it_for_a_while(kit: Kit) -> None:
    """As in hustle, and then it sleeps again."""
    await kit.write(deposit(1), call(2))
    assert (await kit.consult()).suspend is not None
    now_ms = kit.clock.now_us() // 1000
    await kit.write(named("autonomic.Woken", session_id="s", by="ada", until_ms=now_ms + 60_000))
    woken = await kit.consult()
    assert woken.suspend is None and woken.gates is not None and woken.gates.max_tool_calls_per_tick == 5
    assert (await kit.consult("other")).suspend is not None
    kit.clock.advance_us(60_000_000)
    assert (await kit.consult()).suspend is not None


async def test_a_rollback_is_asked_for_once(kit: Kit) -> None:
    """It goes on record with the decision; the fold remembers it."""
    promoted = named("egri.knowledge.promoted", version="v2", rollback_target="v1", artifact={"health_threshold": 0.9})
    health = events.KnowledgeEvaluated(health_score=0.8, note_count=3, contradictions=0, missing_pages=0, orphans=0)
    await kit.write(promoted, *[health] * 4)
    assert types(await kit.consult()).count("autonomic.RollbackRequested") == 1
    await kit.write(health, health)
    assert "autonomic.RollbackRequested" not in types(await kit.consult())


@pytest.mark.parametrize("mode", ["sovereign", "conserving", "hustle", "hibernate"])
async def test_a_restart_finds_every_mode_again(kit: Kit, mode: str) -> None:
    """From the journal alone, and from a snapshot with what came after."""
    await kit.write(deposit(10**6), named("autonomic.EconomicModeChanged", to=mode, reason="r"), call(10))
    before = msgspec.json.encode(kit.homeostasis.state(Stream("s"), AGENT, 10**13))
    for snapshots in (None, kit.snapshots):
        await kit.follower._save()
        again = Homeostasis()
        async with Follower(kit.journal, again, kit.clock, snapshots=snapshots) as follower:
            assert follower.is_current
            assert msgspec.json.encode(again.state(Stream("s"), AGENT, 10**13)) == before
            assert again.books(AGENT).economy.mode == mode


async def test_other_thresholds_do_not_take_a_snapshot_over(kit: Kit) -> None:
    """A snapshot belongs to what it was folded with."""
    from life.autonomic.thresholds import Thresholds

    await kit.write(*[error(n) for n in range(5)])
    await kit.follower._save()
    strict = Homeostasis(Thresholds(error_rate=0.9))
    async with Follower(kit.journal, strict, kit.clock, snapshots=kit.snapshots):
        vitals = strict.vitals(Stream("s"))
        assert vitals is not None and vitals.error_gate.threshold_enter == 0.9


async def test_a_damaged_snapshot_is_thrown_away(kit: Kit) -> None:
    """It is a cache: the journal is read instead."""
    from life.aios.ports.snapshots import Snapshot
    from life.autonomic.homeostasis import VERSION

    await kit.write(call(5))
    name = f"autonomic:{kit.homeostasis.fingerprint}"
    await kit.snapshots.save(name, VERSION, Snapshot(10**6, b"\xc1 nonsense"))
    again = Homeostasis()
    async with Follower(kit.journal, again, kit.clock, snapshots=kit.snapshots):
        assert again.books(AGENT).economy.costs_micro == 5


async def test_a_thousand_sessions(kit: Kit) -> None:
    """Each has its own vitals; all have one economy."""
    writer = [EventWriter(kit.clock, kit.entropy, agent_id=AGENT, stream=Stream(f"s{n}")) for n in range(1_000)]
    stored = await kit.journal.append([one.event(call(1)) for one in writer])
    await kit.follower.reached(stored[-1].position)
    assert kit.homeostasis.books(AGENT).economy.costs_micro == 1_000
    assert len(list(kit.homeostasis.streams())) == 1_000


async def test_forgotten_streams_are_folded_again(kit: Kit) -> None:
    """Memory is bounded; a stream that comes back has all of its past."""
    await kit.write(*[error(n) for n in range(5)], session="old")
    kit.clock.advance_us(1_000_000)
    for number in range(MOST_STREAMS):
        kit.homeostasis.apply(record(call(0), session_id=f"n{number}", at_ms=kit.clock.now_us() // 1000))
    assert kit.homeostasis.vitals(Stream("old")) is None
    assert len(list(kit.homeostasis.streams())) <= MOST_STREAMS
    assert (await kit.consult("old")).gates is not None


async def test_events_of_other_makers_break_nothing(kit: Kit) -> None:
    """Wrong types, missing fields, unknown names."""
    for event_type in ("autonomic.CreditDeposited", "autonomic.EconomicModeChanged", "eval.InlineCompleted", "x.y"):
        odd: list[Json] = [
            None,
            [],
            "x",
            {"to": "rich"},
            {"amount_micro_credits": "1"},
            {"score": []},
            {"": [[1]] * 50},
        ]
        for data in odd:
            await kit.write(events.Custom(event_type=event_type, data=data))
    advice = await kit.consult()
    assert advice.gates is None and advice.suspend is None


async def test_latency_is_that_of_decisions(kit: Kit) -> None:
    """From the newest event to the verdict, however long the session rested before."""
    await kit.write(call(1))
    kit.clock.advance_us(3_600_000_000)
    now_us = kit.clock.now_us()
    fresh = record(call(1), sequence=2, at_ms=(now_us - 20_000) // 1000)
    await kit.regulator.consult(kit.view(recent=(fresh,)))
    assert list(kit.regulator.latencies_s) == [pytest.approx(0.02)]


# When it fails


class Broken:
    """A regulator that raises, hangs, or works, as told."""

    def __init__(self, what: str = "raise") -> None:
        self.what = what

    async def consult(self, view: RunView) -> Advice:
        if self.what == "raise":
            raise RuntimeError("secret words")
        if self.what == "hang":
            await asyncio.Event().wait()
        return Advice(model_tier="economy", is_whole=True, suspend="no")


@pytest.mark.parametrize("what", ["raise", "hang"])
@pytest.mark.parametrize("on_failure", ["safe", "open", "last_known"])
async def test_a_regulator_that_fails_is_answered_for(
    kit: Kit, what: str, on_failure: OnFailure, caplog: pytest.LogCaptureFixture
) -> None:
    """By the configured profile, with one event and one line; the error's words, which may hold anything, are in neither."""
    guarded = GuardedRegulator(Broken(what), kit.clock, on_failure=on_failure, timeout_ms=20)
    first, second = await guarded.consult(kit.view()), await guarded.consult(kit.view())
    assert types(first) == ["autonomic.RegulatorFailed"] and types(second) == []
    assert (first.gates is None) == (on_failure == "open")
    if on_failure == "safe":
        assert first.gates == SAFE_ADVICE.gates
    assert guarded.failures == 2 and guarded.last_failure
    assert len(caplog.records) == 1 and "secret" not in caplog.text


async def test_the_last_profile_holds_for_a_minute_and_is_tightened_then(kit: Kit) -> None:
    """Not what it suspended: a run is not held by a regulator that is not there."""
    broken = Broken("work")
    guarded = GuardedRegulator(broken, kit.clock, on_failure="last_known")
    await guarded.consult(kit.view())
    broken.what = "raise"
    held = await guarded.consult(kit.view())
    assert (held.model_tier, held.gates, held.suspend) == ("economy", None, None)
    kit.clock.advance_us(60_000_001)
    tight = await guarded.consult(kit.view())
    assert tight.model_tier == "economy" and tight.gates == SAFE_ADVICE.gates and not tight.allow_replication
    broken.what = "work"
    assert (await guarded.consult(kit.view())).gates is None
    assert guarded.last_failure == ""


def test_tightening_takes_the_stricter_of_each_field() -> None:
    """Never looser than either."""
    gates = stricter_gates(
        GatingProfile(allow_network=False, max_tool_calls_per_tick=1, require_approval_for_risk="critical"),
        GatingProfile(allow_shell=False, max_file_mutations_per_tick=0, require_approval_for_risk="medium"),
    )
    assert gates == GatingProfile(
        require_approval_for_risk="medium",
        max_tool_calls_per_tick=1,
        max_file_mutations_per_tick=0,
        allow_network=False,
        allow_shell=False,
    )


async def test_without_the_journal_it_does_not_guess() -> None:
    """Folds that do not follow are no ground for advice."""
    kit = Kit()
    async with kit.journal:
        with pytest.raises(RegulatorBehindError):
            await kit.regulator.consult(kit.view())


async def test_a_subscription_that_breaks_is_taken_up_again(kit: Kit) -> None:
    """Nothing is lost or counted twice by it."""

    class Flaky:
        """The journal, whose first subscription ends after one event."""

        def __init__(self, journal: MemoryJournal) -> None:
            self.journal = journal
            self.broken = 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.journal, name)

        async def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
            async for one in self.journal.subscribe(query):
                yield one
                if not self.broken:
                    self.broken = 1
                    return

    homeostasis, clock = Homeostasis(), ManualClock()
    flaky = Flaky(kit.journal)
    async with Follower(flaky, homeostasis, clock) as follower:  # type: ignore[arg-type]
        await kit.write(call(1))
        await follower.reached(1)
        await kit.write(call(1))
        while not follower.failure:
            await asyncio.sleep(0.001)
        assert not follower.is_current
        clock.advance_us(200_000)
        await follower.reached(2)
        assert homeostasis.books(AGENT).economy.costs_micro == 2 and follower.is_current
