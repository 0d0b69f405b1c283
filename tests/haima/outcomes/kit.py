"""An outcome desk over a journal in memory, with contracts, people and verifiers that a test can steer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from life.haima.accounts import account, move, wallet_of
from life.haima.events.accounts import LedgerPosted
from life.haima.events.tasks import Complexity, Criterion, RefundTerms, TaskContract
from life.haima.house import Decision, House, Key
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import Contracted, Settled, Subject, TaskDecision
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.room import Task
from life.haima.outcomes.verifiers import Found
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

AGENT = Subject("agent-1")
CUSTOMER = Subject("customer-1")
REVIEWER = Subject("reviewer")
ARBITER = Subject("ada", frozenset({"arbiter"}))

SIMPLE = TaskContract(
    contract_id="simple",
    task_type="code_review",
    name="Review",
    price_floor_micro_credits=2_000_000,
    price_ceiling_micro_credits=5_000_000,
    success_criteria=(
        Criterion(type="tests_passed", scope="unit"),
        Criterion(type="manual_approval", approver="reviewer"),
    ),
)


def contract(
    *criteria: Criterion,
    contract_id: str = "other",
    refund: RefundTerms | None = None,
    dispute_window_seconds: int = 0,
    price_micro: int = 1_000_000,
) -> TaskContract:
    """A contract at one price."""
    return TaskContract(
        contract_id=contract_id,
        task_type="custom",
        name="Work",
        price_floor_micro_credits=price_micro,
        price_ceiling_micro_credits=price_micro,
        success_criteria=criteria or (Criterion(type="tests_passed", scope="unit"),),
        refund_policy=refund or RefundTerms(),
        dispute_window_seconds=dispute_window_seconds,
    )


class Steered:
    """A verifier that says what the test wants it to say; nothing until it is told."""

    name = "steered"

    def __init__(self) -> None:
        self.word: Found | None = None
        self.asked = 0

    async def check(self, task: Task, criterion: Criterion) -> Found | None:
        """See Verifier."""
        self.asked += 1
        return self.word


@dataclass
class Workshop:
    """The desk, and the means to make things happen around it."""

    journal: MemoryJournal
    clock: ManualClock
    entropy: SeededEntropy
    house: House
    desk: OutcomeDesk
    tests: Steered
    trust: dict[str, int] = field(default_factory=dict)
    _keys: int = 0

    def key(self, caller: str = "test") -> Key:
        """A fresh idempotency key."""
        self._keys += 1
        return Key(caller, f"key-{self._keys}", b"{}")

    async def fund(self, agent_id: str, amount_micro: int) -> None:
        """Money from outside into an account."""
        entries = move(account("external", "network", "test"), wallet_of(agent_id), amount_micro)
        posting = LedgerPosted(posting_id=f"fund-{agent_id}", entries=entries, reason="deposit")

        def rule(_state: HouseState, _now_us: int) -> Decision[Settled]:
            return Decision((posting,), Settled())

        await self.house.decide(rule)

    async def accept(
        self,
        task_id: str = "task-1",
        contract_id: str = "simple",
        *,
        escrow: bool = True,
        complexity: Complexity = "simple",
        customer: Subject = CUSTOMER,
    ) -> Contracted:
        """Take a task on."""
        return await self.desk.accept(
            task_id, contract_id, AGENT.id, complexity, customer_id=customer.id, escrow=escrow, key=self.key()
        )

    async def deliver(self, task_id: str = "task-1", result: str = "done") -> TaskDecision:
        """The agent hands its work in."""
        return await self.desk.submit(task_id, AGENT, result, key=self.key())

    async def decide(self, task_id: str = "task-1", *, passed: bool = True) -> TaskDecision:
        """The steered verifier says yes or no, and the task is verified."""
        self.tests.word = Found(passed, "as told")
        return await self.desk.verify(task_id)

    def balance(self, name: str) -> int:
        """What an account holds."""
        return self.house.state.accounts.balance(name)

    def wallet(self, subject: Subject) -> int:
        """What somebody's account holds."""
        return self.balance(wallet_of(subject.id))


@asynccontextmanager
async def open_workshop(*contracts: TaskContract, funds_micro: int = 10_000_000) -> AsyncIterator[Workshop]:
    """A desk with these contracts (or `SIMPLE`) and a customer with money."""
    clock, entropy, tests = ManualClock(), SeededEntropy(), Steered()
    async with MemoryJournal() as journal:
        house = House(journal, clock, entropy, agent_id="house")
        await house.open()
        trust = {AGENT.id: 500_000}

        async def read_trust(agent_id: str) -> int:
            return trust.get(agent_id, 0)

        desk = OutcomeDesk(house, clock, entropy, trust=read_trust, verifiers={"tests_passed": tests})
        workshop = Workshop(journal, clock, entropy, house, desk, tests, trust)
        for offered in contracts or (SIMPLE,):
            await desk.register(offered)
        if funds_micro:
            await workshop.fund(CUSTOMER.id, funds_micro)
        yield workshop
        await house.aclose()
