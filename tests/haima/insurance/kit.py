"""An insurance desk over a journal in memory, with a clock and events of the insured agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from life.aios.events import ErrorRaised, Kind
from life.aios.record import AGENT, EventRecord, EventWriter, Stream
from life.haima import events
from life.haima.accounts import account, move, wallet_of
from life.haima.events.accounts import LedgerPosted
from life.haima.house import Decision, House, Key
from life.haima.house_state import HouseState
from life.haima.insurance.desk import Bound, Count, InsuranceDesk
from life.haima.insurance.evidence import EvidenceReader
from life.haima.insurance.parameters import POOL_ID
from life.haima.insurance.pricing import RiskFactors
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

AGENT_ID = "agent-1"
GOOD = RiskFactors(
    operational_ppm=850_000,
    payment_ppm=800_000,
    economic_ppm=800_000,
    task_ppm=850_000,
    trust_ppm=850_000,
    account_age_days=60,
)


@dataclass
class Office:
    """The desk, and the means to make things happen around it."""

    journal: MemoryJournal
    clock: ManualClock
    entropy: SeededEntropy
    house: House
    desk: InsuranceDesk
    factors: dict[str, RiskFactors] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Events up to which the chain does not hold."""
    _keys: int = 0

    def key(self, caller: str = "test") -> Key:
        """A fresh idempotency key."""
        self._keys += 1
        return Key(caller, f"key-{self._keys}", b"{}")

    async def fund(self, agent_id: str, amount_micro: int) -> None:
        """Money from outside into an agent's account."""
        entries = move(account("external", "network", "test"), wallet_of(agent_id), amount_micro)
        posting = LedgerPosted(posting_id=f"fund-{agent_id}-{self.clock.now_us()}", entries=entries, reason="deposit")

        def rule(_state: HouseState, _now_us: int) -> Decision[Count]:
            return Decision((posting,), Count(1))

        await self.house.decide(rule)

    async def happen(self, kind: Kind, *, agent_id: str = AGENT_ID, session_id: str = "session") -> str:
        """An event of an agent's own session; its id."""
        writer = EventWriter(self.clock, self.entropy, agent_id=agent_id, stream=Stream(session_id), actor=AGENT)
        event = writer.event(kind)
        await self.journal.append([event])
        return event.event_id

    async def fail(self, *, agent_id: str = AGENT_ID, session_id: str = "session") -> str:
        """Something went wrong for the agent; the event's id."""
        return await self.happen(ErrorRaised(message="it broke"), agent_id=agent_id, session_id=session_id)

    async def pay(self, amount_micro: int) -> str:
        """The agent lost this much in a payment; the event's id."""
        settled = events.PaymentSettled(
            tx_hash="0x1", amount_micro_credits=amount_micro, chain="eip155:1", latency_ms=1, facilitator="f"
        )
        return await self.happen(events.as_kind(settled))

    async def cover(
        self, product_type: str = "task_failure", coverage_micro: int = 10_000_000, *, agent_id: str = AGENT_ID
    ) -> Bound:
        """Buy cover."""
        quote = await self.desk.quote(agent_id, product_type, coverage_micro)
        return await self.desk.bind(quote.quote_id, agent_id, key=self.key(agent_id))

    async def claim(
        self,
        policy_id: str,
        amount_micro: int,
        *evidence: str,
        incident_type: str = "task_failure",
        session_id: str | None = None,
        agent_id: str = AGENT_ID,
    ) -> str:
        """Report a loss that happened just now; the claim's id."""
        filed = await self.desk.file_claim(
            agent_id,
            policy_id,
            incident_type=incident_type,
            claimed_amount_micro_usd=amount_micro,
            incident_at_us=self.clock.now_us(),
            evidence_event_ids=evidence,
            session_id=session_id,
            key=self.key(agent_id),
        )
        return filed.claim_id

    def balance(self, name: str) -> int:
        """What an account of the house holds."""
        return self.house.state.accounts.balance(name)

    @property
    def reserves(self) -> int:
        """What the pool holds."""
        return self.desk.reserves_micro(self.desk.room.pools[POOL_ID])


@asynccontextmanager
async def open_office(*, seed_micro: int = 100_000_000, funds_micro: int = 10_000_000) -> AsyncIterator[Office]:
    """A desk with an open pool and a funded agent."""
    clock, entropy = ManualClock(), SeededEntropy()
    async with MemoryJournal() as journal:
        house = House(journal, clock, entropy, agent_id="house")
        await house.open()
        factors = {AGENT_ID: GOOD}
        broken: set[str] = set()

        async def risk(agent_id: str) -> RiskFactors:
            return factors.get(agent_id, RiskFactors())

        async def chain_holds(record: EventRecord) -> bool:
            return record.event_id not in broken

        reader = EvidenceReader(journal, chain_holds=chain_holds, task_owner={"task-1": AGENT_ID}.get)
        desk = InsuranceDesk(house, clock, entropy, risk=risk, evidence=reader)
        office = Office(journal, clock, entropy, house, desk, factors, broken)
        await desk.open_pool(seed_micro_usd=seed_micro, seeded_from=account("external", "network", "test"))
        if funds_micro:
            await office.fund(AGENT_ID, funds_micro)
        yield office
        await house.aclose()
