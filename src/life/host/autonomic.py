"""Homeostasis put together: the folds that follow the journal, the regulator that the runtime asks, the mode that the payer
asks, and the keeper who wakes sessions that hibernate.

    async with open_autonomic(journal, snapshots, settings, …) as autonomic:
        Payer(…, mode=autonomic.mode)
        Runtime(…, regulator=autonomic.regulator)
        async with keeping(autonomic, runtime): …

Commands and daemons that only look use the same without the keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from life.aios.errors import InvalidInputError, LifeError, NotFoundError
from life.aios.events import Kind
from life.aios.events.codec import custom
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.regulator import Regulator
from life.aios.ports.snapshots import Snapshots
from life.aios.record import Actor, EventRecord, EventWriter, Stream
from life.aios.state import EconomicMode
from life.arcan.runtime import Runtime
from life.autonomic import modes
from life.autonomic.desk import AgentPicture, Picture
from life.autonomic.economy import TokenRates
from life.autonomic.events import CREDIT_DEPOSITED, STREAM_NAME, WOKEN, CreditDeposited, Woken
from life.autonomic.follower import Follower
from life.autonomic.guarded import GuardedRegulator
from life.autonomic.homeostasis import Homeostasis
from life.autonomic.metrics import Counts, render
from life.autonomic.readings import MAX_COUNT
from life.autonomic.regulator import FoldedRegulator
from life.autonomic.stability import stability
from life.autonomic.state import HomeostaticState
from life.autonomic.thresholds import Thresholds
from life.haima.policy import Mode
from life.host.access import read_token
from life.host.autonomic_client import HttpRegulator
from life.host.settings import AutonomicSettings

AUTONOMIC: Final = Actor("system", "autonomic")
SETTLE_S: Final = 2.0
_log = logging.getLogger("life.autonomic")


class Autonomic:
    """The open parts. One agent's; other agents' sessions can be looked at, too."""

    def __init__(
        self,
        journal: Journal,
        homeostasis: Homeostasis,
        follower: Follower,
        folded: FoldedRegulator,
        guarded: GuardedRegulator | None,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        settings: AutonomicSettings,
        floor: EconomicMode,
    ) -> None:
        self.homeostasis = homeostasis
        self.follower = follower
        self.folded = folded
        self.settings = settings
        self.agent_id = agent_id
        self.clock = clock
        self._guarded = guarded
        self.journal = journal
        self._entropy = entropy
        self._floor = floor
        self.listeners: list[Callable[[EventRecord], None]] = []
        """Are told of every new event, once it is folded in."""

    @property
    def regulator(self) -> Regulator | None:
        """What the runtime asks; None when regulation is switched off."""
        return self._guarded

    @property
    def failure(self) -> str:
        """Why regulation does not work at present; empty while it does."""
        return self.follower.failure or (self._guarded.last_failure if self._guarded is not None else "")

    def mode(self) -> Mode:
        """The economic mode that governs payments now: `unknown` while the journal can't be followed. What the settings say is
        the least strict."""
        if self._guarded is None:
            return self._floor
        if not self.follower.is_current:
            return "unknown"
        economy = self.homeostasis.books(self.agent_id).economy
        return modes.stricter(self._floor, economy.ruling_mode(self.now_ms))

    @property
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.clock.now_us() // 1000

    async def picture(self, stream: Stream) -> Picture:
        """A session as it stands."""
        await self.folded.get_ready(stream)
        vitals = self.homeostasis.vitals(stream)
        agent_id = vitals.agent_id if vitals is not None and vitals.agent_id else self.agent_id
        state, verdict, news = self.folded.news(stream, agent_id, self.now_ms)
        return Picture(vitals is not None, state, verdict, news)

    def agent(self, agent_id: str) -> AgentPicture:
        """An agent over all its sessions."""
        own = [vitals for _, vitals in self.homeostasis.streams() if vitals.agent_id == agent_id]
        state = self.homeostasis.agent_state(agent_id, self.now_ms)
        return AgentPicture(
            bool(own) or agent_id in self.homeostasis.agents,
            state,
            stability(state, tuple(self.folded.latencies_s)),
            sum(vitals.turns > 0 or vitals.run_open for vitals in own),
            sum(bool(vitals.suspended) for vitals in own),
        )

    def known(self) -> list[str]:
        """Every session that ever ran."""
        return sorted(
            {stream.session_id for stream, vitals in self.homeostasis.streams() if vitals.turns or vitals.run_open}
        )

    def scored(self) -> list[str]:
        """The sessions that have scores."""
        return sorted(
            {
                stream.session_id
                for stream, vitals in self.homeostasis.streams()
                if vitals.inline_evals or vitals.async_evals
            }
        )

    async def history(self, stream: Stream, limit: int) -> list[EventRecord]:
        """The newest `autonomic.*` events of a stream, oldest first."""
        return await decisions_of(self.journal, stream, limit=limit)

    def metrics(self) -> str:
        """Prometheus text."""
        counts = Counts(
            self.homeostasis.events,
            self.folded.consultations,
            self.folded.fired,
            self._guarded.failures if self._guarded is not None else 0,
            self.follower.is_current,
            tuple(self.folded.latencies_s),
        )
        return render(self.agent(self.agent_id), counts)

    async def deposit(self, amount_micro: int, *, source: str, actor: Actor) -> int:
        """Let the agent spend this much more; the balance after it. The event is durable on return."""
        if not 0 < amount_micro <= MAX_COUNT:
            raise InvalidInputError("A deposit is a positive amount of micro-credits.")
        balance = self.homeostasis.books(self.agent_id).economy.balance_micro
        after = (balance or 0) + amount_micro
        event = CreditDeposited(amount_micro_credits=amount_micro, source=source, balance_after=after)
        await self._append(Stream(STREAM_NAME), custom(CREDIT_DEPOSITED, event), actor=actor)
        return after

    async def wake(self, session_id: str, *, minutes: int, by: str, branch: str, reason: str = "") -> int:
        """Let a session work as in hustle for so long, although there are no means; until when, in milliseconds since the epoch."""
        until_ms = self.now_ms + minutes * 60_000
        woken = Woken(session_id=session_id, by=by, until_ms=until_ms, reason=reason)
        await self._append(Stream(session_id, branch), custom(WOKEN, woken), actor=Actor("user", by))
        return until_ms

    async def publish(self, stream: Stream, events: tuple[Kind, ...]) -> int:
        """Put events on record in a session's stream; the sequence of the last one."""
        appended = 0
        for kind in events:
            appended = await self._append(stream, kind, actor=AUTONOMIC)
        return appended

    async def _append(self, stream: Stream, kind: Kind, *, actor: Actor, event_id: str | None = None) -> int:
        writer = EventWriter(self.clock, self._entropy, agent_id=self.agent_id, stream=stream, actor=actor)
        stored = await self.journal.append([writer.event(kind, event_id=event_id)])
        with contextlib.suppress(TimeoutError):  # it is durable; only what is shown may be a moment behind
            async with asyncio.timeout(SETTLE_S):
                await self.follower.reached(stored[0].position)
        return stored[0].sequence

    async def deposit_credit(self) -> None:
        """The credit of the settings, once in the life of this agent."""
        credit = self.settings.credit_micro
        event_id = derived_event_id("autonomic.credit", self.agent_id)
        if credit is None or await self.journal.get(event_id) is not None:
            return
        balance = self.homeostasis.books(self.agent_id).economy.balance_micro or 0
        event = CreditDeposited(amount_micro_credits=credit, source="settings", balance_after=balance + credit)
        await self._append(Stream(STREAM_NAME), custom(CREDIT_DEPOSITED, event), actor=AUTONOMIC, event_id=event_id)


@asynccontextmanager
async def open_autonomic(
    journal: Journal,
    snapshots: Snapshots | None,
    settings: AutonomicSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    agent_id: str,
    floor: EconomicMode = "sovereign",
    token: Path | None = None,
    deposits: bool = True,
) -> AsyncIterator[Autonomic]:
    """Follow the journal. `floor` is the mode that the settings ask for whatever the means are; `token` the file with the token for
    `settings.url` when the settings name none; `deposits` whether the credit of the settings is deposited here."""
    homeostasis = Homeostasis(
        _thresholds(settings),
        TokenRates(prompt_micro=settings.prompt_token_micro, completion_micro=settings.completion_token_micro),
    )
    listeners: list[Callable[[EventRecord], None]] = []

    def heard(record: EventRecord) -> None:
        for listener in listeners:
            listener(record)

    follower = Follower(journal, homeostasis, clock, snapshots=snapshots, heard=heard)
    folded = FoldedRegulator(homeostasis, clock, is_current=lambda: follower.is_current, refold=follower.refold)
    async with AsyncExitStack() as stack:
        inner: Regulator = folded
        if settings.url:
            file = Path(settings.token_file) if settings.token_file else token
            client = HttpRegulator(settings.url, read_token(file) if file is not None else "")
            stack.push_async_callback(client.aclose)
            inner = client
        guarded = GuardedRegulator(inner, clock, on_failure=settings.on_failure, timeout_ms=settings.timeout_ms)
        await stack.enter_async_context(follower)
        autonomic = Autonomic(
            journal,
            homeostasis,
            follower,
            folded,
            guarded if settings.enabled else None,
            clock=clock,
            entropy=entropy,
            agent_id=agent_id,
            settings=settings,
            floor=floor,
        )
        autonomic.listeners = listeners
        if deposits and settings.enabled:
            await autonomic.deposit_credit()
        yield autonomic


def _thresholds(settings: AutonomicSettings) -> Thresholds:
    return Thresholds(
        spend_velocity_micro=settings.spend_velocity_micro,
        budget_left=settings.budget_left,
        tokens_left=settings.tokens_left,
        error_rate=settings.error_rate,
        min_outcomes=settings.min_outcomes,
        context_soft=settings.context_soft,
    )


class HibernationKeeper:
    """Wakes suspended runs once there are means again, or a person says so. It looks after every event that may matter, at the
    end of a hold, and every so often."""

    def __init__(self, autonomic: Autonomic, runtime: Runtime) -> None:
        self._autonomic = autonomic
        self._runtime = runtime
        self._bell = asyncio.Event()

    def hear(self, record: EventRecord) -> None:
        """An event that may change whether sessions have to stand still."""
        if record.kind_name == "Custom" and (
            b'"autonomic.' in record.payload or b'"finance.' in record.payload or b'"arcan.suspended"' in record.payload
        ):
            self._bell.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._bell.clear()
            pause_ms = await self.look()
            await self._rest(pause_ms)

    async def look(self) -> int:
        """Wake what may be woken; after how many milliseconds to look again."""
        autonomic, now_ms = self._autonomic, self._autonomic.now_ms
        pause_ms = autonomic.settings.probe_interval_s * 1000
        for stream, vitals in autonomic.homeostasis.streams():
            if not vitals.suspended:
                continue
            economy = autonomic.homeostasis.books(vitals.agent_id or autonomic.agent_id).economy
            if now_ms < vitals.awake_until_ms:
                await self._wake(stream, "A person woke it.")
            elif economy.next_mode(now_ms) != "hibernate":
                await self._wake(stream, "There are means again.")
            elif economy.ruling_mode(now_ms) == economy.mode == "hibernate":
                held_ms = economy.mode_since_ms + modes.MODE_HOLD_MS - now_ms
                pause_ms = min(pause_ms, held_ms) if held_ms > 0 else pause_ms
        return max(1, pause_ms)

    async def _wake(self, stream: Stream, reason: str) -> None:
        try:
            await self._runtime.wake(stream.session_id, branch=stream.branch_id, actor=AUTONOMIC, reason=reason)
        except LifeError as error:
            _log.warning("Session %s can't be woken now: %s", stream, error.message)

    async def _rest(self, pause_ms: int) -> None:
        ring = asyncio.ensure_future(self._bell.wait())
        pause = asyncio.ensure_future(self._autonomic.clock.sleep_us(pause_ms * 1000))
        try:
            await asyncio.wait({ring, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (ring, pause):
                waiting.cancel()
            await asyncio.gather(ring, pause, return_exceptions=True)


@asynccontextmanager
async def keeping(autonomic: Autonomic, runtime: Runtime) -> AsyncIterator[HibernationKeeper]:
    """Keep watch over hibernating sessions for the length of the block."""
    keeper = HibernationKeeper(autonomic, runtime)
    autonomic.listeners.append(keeper.hear)
    watching = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        autonomic.listeners.remove(keeper.hear)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def decisions_of(journal: Journal, stream: Stream, *, limit: int) -> list[EventRecord]:
    """The newest `autonomic.*` events of a stream, oldest first."""
    found: list[EventRecord] = []
    after = 0
    while True:
        page = await journal.read(EventQuery(*stream, after_sequence=after, kinds=("Custom",)), limit=1000)
        found += [record for record in page if b'"autonomic.' in record.payload]
        found = found[-limit:]
        if len(page) < 1000:
            return found
        after = page[-1].sequence


async def state_at(journal: Journal, stream: Stream, sequence: int, autonomic: Autonomic) -> HomeostaticState:
    """The state of a session right after one of its events, from the journal. NotFoundError when it has no such event."""
    found = await journal.read(EventQuery(*stream, after_sequence=sequence - 1), limit=1)
    if not found or found[0].sequence != sequence:
        raise NotFoundError(f"The session {stream.session_id} has no event {sequence}.")
    last = found[0]
    homeostasis, after = Homeostasis(autonomic.homeostasis.thresholds, autonomic.homeostasis.rates), 0
    while after < last.position:
        page = await journal.read(EventQuery(after_position=after), limit=1000)
        for record in page:
            if record.position > last.position:
                break
            homeostasis.apply(record)
        if not page:
            break
        after = page[-1].position
    return homeostasis.state(stream, last.agent_id, last.timestamp_us // 1000)
