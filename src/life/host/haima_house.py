"""The finance house of a daemon: accounts, credit, outcomes, insurance, books and costs over one journal, and their jobs.

    async with open_house(journal, snapshots, clock, entropy, prepared) as house, house.jobs(clock):
        operations += house.operations(subject_of)

Everything shares the one `House`, so every command of every room is decided on one stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Final, cast

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import EventRecord, Stream
from life.haima.accounts import account
from life.haima.accounts_api import account_operations
from life.haima.accounts_desk import AccountsDesk
from life.haima.bureau import trust_context
from life.haima.callers import SubjectReader
from life.haima.costs import CostBook, CostProjection
from life.haima.credit_api import credit_operations
from life.haima.events import RevenueReceived, read_finance
from life.haima.events.tasks import CriterionType
from life.haima.insurance.api import insurance_operations
from life.haima.insurance.desk import InsuranceDesk
from life.haima.insurance.evidence import EvidenceReader
from life.haima.insurance.parameters import POOL_ID
from life.haima.insurance.pricing import RiskFactors
from life.haima.ledger import Books, LedgerProjection
from life.haima.outcomes.api import outcome_operations
from life.haima.outcomes.contracts import DEFAULT_CONTRACTS, FLEET_CONTRACTS
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.verifiers import DataValidated, SilentApproval, TestsPassed, Verifier, WebhookConfirmed
from life.host.haima_config import Prepared
from life.host.haima_credit import OpenCredit, credit_over, lending_job
from life.host.http.routes import ApiOperation
from life.host.outcome_verifiers import command_runner, webhook_poster
from life.lago.journal.chain import event_digest
from life.lago.projection import ProjectionRunner
from life.praxis.egress import EgressPolicy

SLA_CHECK_S: Final = 30
_SNAPSHOT_EVENTS: Final = 20_000
_ALLOCATED: Final = "haima.bill_payments"
_GENESIS: Final = "0" * 64
_PAGE: Final = 2_000
_log: Final = logging.getLogger(__name__)


class FinanceHouse:
    """The open rooms. Make one with `open_house`."""

    def __init__(
        self,
        journal: Journal,
        snapshots: Snapshots | None,
        clock: Clock,
        entropy: Entropy,
        *,
        credit: OpenCredit,
        outcomes: OutcomeDesk,
        insurance: InsuranceDesk,
        accounts: AccountsDesk,
    ) -> None:
        self.credit = credit
        self.outcomes = outcomes
        self.insurance = insurance
        self.accounts = accounts
        self._journal = journal
        self._snapshots = snapshots
        self._clock = clock
        self._entropy = entropy
        self._books = ProjectionRunner(journal, LedgerProjection(), snapshots, snapshot_events=_SNAPSHOT_EVENTS)
        self._costs = ProjectionRunner(journal, CostProjection(), snapshots, snapshot_events=_SNAPSHOT_EVENTS)
        self._reading = asyncio.Lock()

    async def read_books(self) -> Books:
        """The books as of the journal's end."""
        async with self._reading:  # two readers at once would fold the same page twice
            return await self._books.catch_up()

    async def read_costs(self) -> CostBook:
        """The costs as of the journal's end."""
        async with self._reading:
            return await self._costs.catch_up()

    async def save(self) -> None:
        """Keep snapshots for a quick start."""
        await self._books.save()
        await self._costs.save()

    def operations(
        self,
        caller: SubjectReader,
        *,
        signer: Custody | None = None,
        economic_mode: Callable[[], str | None] = lambda: None,
        own_wallet: tuple[str, str] | None = None,
        legacy_status: bool = False,
    ) -> list[ApiOperation]:
        """All routes of the house."""
        return [
            *credit_operations(self.credit.desk, signer=signer, legacy_status=legacy_status, caller=caller),
            *outcome_operations(self.outcomes, self.credit.house, self._clock, self._entropy, caller=caller),
            *insurance_operations(self.insurance, self.credit.house, caller=caller),
            *account_operations(
                self.accounts,
                self._journal,
                self._clock,
                caller=caller,
                read_books=self.read_books,
                read_costs=self.read_costs,
                economic_mode=economic_mode,
                own_wallet=own_wallet,
            ),
        ]

    @asynccontextmanager
    async def jobs(self, *, sla_check_s: int | None = SLA_CHECK_S) -> AsyncIterator[None]:
        """Do what time brings, until the block ends: credit lines, late tasks and due releases, expired cover, payments that
        came in for bills. `sla_check_s` None switches the SLA monitor off."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(lending_job(self.credit, self._clock))
            if sla_check_s is not None:
                await stack.enter_async_context(_running(self._every(sla_check_s, self._watch_tasks)))
            await stack.enter_async_context(_running(self._every(3600, self._watch_cover)))
            await stack.enter_async_context(_running(self._allocate()))
            yield

    async def _watch_tasks(self) -> None:
        await self.outcomes.expire_overdue()
        await self.outcomes.settle_reviews()
        await self.outcomes.release_due()

    async def _watch_cover(self) -> None:
        await self.insurance.expire()
        for pool_id in list(self.insurance.room.pools):
            await self.insurance.charge_management_fee(pool_id)

    async def _every(self, seconds: int, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except LifeError as error:
                _log.warning("a job of the house failed and is tried again: %s [%s]", error, error.code)
            await self._clock.sleep_us(seconds * 1_000_000)

    async def _allocate(self) -> None:
        """Allocate payments to the bills of their tasks as they come in. Each is allocated once, however often it is seen."""
        kept = await self._snapshots.load(_ALLOCATED, 1) if self._snapshots is not None else None
        position = kept.position if kept is not None else 0
        query = EventQuery(after_position=position, kinds=("Custom",))
        # The port promises `aclose`; its type names only the iterator.
        subscription = cast(AsyncGenerator[EventRecord, None], self._journal.subscribe(query))
        seen = 0
        async with aclosing(subscription):
            async for record in subscription:
                seen += 1
                event = read_finance(record)
                if isinstance(event, RevenueReceived) and event.task_id is not None:
                    await self._allocate_one(record, event)
                    seen = _SNAPSHOT_EVENTS
                if seen >= _SNAPSHOT_EVENTS and self._snapshots is not None:
                    await self._snapshots.save(_ALLOCATED, 1, Snapshot(record.position, b"{}"))
                    seen = 0

    async def _allocate_one(self, record: EventRecord, event: RevenueReceived) -> None:
        assert event.task_id is not None
        while True:
            try:
                await self.outcomes.allocate_payment(
                    event.task_id,
                    event.payment_id or record.event_id,
                    event.amount_micro_credits,
                    network=event.network or "unknown",
                )
                return
            except LifeError as error:
                if not error.retryable:
                    _log.warning("payment %s could not be allocated: %s [%s]", record.event_id, error, error.code)
                    return
            await self._clock.sleep_us(1_000_000)


@asynccontextmanager
async def open_house(
    journal: Journal, snapshots: Snapshots | None, clock: Clock, entropy: Entropy, prepared: Prepared
) -> AsyncIterator[FinanceHouse]:
    """All rooms over an open journal, with what the configuration names."""
    config = prepared.config
    async with AsyncExitStack() as stack:
        credit = await stack.enter_async_context(
            credit_over(journal, snapshots, clock, entropy, repayment_addresses=config.accounts.repayment_addresses)
        )
        house = credit.house

        async def trust_ppm(agent_id: str) -> int:
            assessed = (await credit.read()).book.assess(agent_id, clock.now_us())
            return assessed.factors.trust_ppm or 0

        async def owns(agent_id: str, address: str) -> bool:
            return (await credit.read()).book.owns(agent_id, address)

        verifiers: dict[CriterionType, Verifier] = {"manual_approval": SilentApproval(clock)}
        if config.outcomes.tests:
            verifiers["tests_passed"] = TestsPassed(command_runner(config.outcomes.tests))
        if prepared.schemas:
            verifiers["data_validated"] = DataValidated(prepared.schemas)
        if prepared.webhook_secret is not None:
            post, client = webhook_poster(EgressPolicy())
            stack.push_async_callback(client.aclose)
            verifiers["webhook_confirmed"] = WebhookConfirmed(post, secret=prepared.webhook_secret, clock=clock)
        outcomes = OutcomeDesk(house, clock, entropy, trust=trust_ppm, verifiers=verifiers)
        for contract in (*DEFAULT_CONTRACTS, *(FLEET_CONTRACTS if config.outcomes.fleet_contracts else ())):
            await outcomes.register(contract)
        evidence = EvidenceReader(
            journal,
            chain_holds=_chain_check(journal),
            task_owner=lambda task_id: house.state.outcomes.owner_of(task_id),
        )
        insurance = InsuranceDesk(house, clock, entropy, risk=_risk_reader(credit, clock), evidence=evidence)
        if config.insurance.enabled:
            seed = config.insurance.seed_micro_usd
            operator = account("external", "network", "operator")
            await insurance.open_pool(pool_id=POOL_ID, seed_micro_usd=seed, seeded_from=operator if seed else None)
        accounts = AccountsDesk(
            house, journal, clock, entropy, owns=owns, deposit_addresses=config.accounts.deposit_addresses
        )
        opened = FinanceHouse(
            journal,
            snapshots,
            clock,
            entropy,
            credit=credit,
            outcomes=outcomes,
            insurance=insurance,
            accounts=accounts,
        )
        stack.push_async_callback(opened.save)
        yield opened


def _risk_reader(credit: OpenCredit, clock: Clock) -> Callable[[str], Awaitable[RiskFactors]]:
    """Insurance's factors from the credit book: what is not known keeps its default, trust counts for operations and tasks."""

    async def read(agent_id: str) -> RiskFactors:
        book = (await credit.read()).book
        assessed = book.assess(agent_id, clock.now_us())
        known = assessed.factors
        trust = trust_context(book.conduct(agent_id), assessed)
        default = RiskFactors()
        return RiskFactors(
            operational_ppm=trust.score_ppm,
            task_ppm=trust.score_ppm,
            payment_ppm=default.payment_ppm if known.payment_history_ppm is None else known.payment_history_ppm,
            economic_ppm=default.economic_ppm if known.stability_ppm is None else known.stability_ppm,
            trust_ppm=trust.score_ppm,
            account_age_days=known.account_age_days or 0,
            trust_is_degrading=trust.trajectory == "degrading",
        )

    return read


def _chain_check(journal: Journal) -> Callable[[EventRecord], Awaitable[bool]]:
    """Recomputes a stream's digests from its beginning up to an event."""

    async def holds(record: EventRecord) -> bool:
        stream, digest, after = Stream(record.session_id, record.branch_id), _GENESIS, 0
        while True:
            query = EventQuery(
                stream.session_id, stream.branch_id, after_sequence=after, before_sequence=record.sequence + 1
            )
            page = await journal.read(query, limit=_PAGE)
            for stored in page:
                if stored.sequence != after + 1:
                    return False
                digest, after = event_digest(digest, stored), stored.sequence
                if digest != stored.digest:
                    return False
            if after == record.sequence:
                return digest == record.digest
            if len(page) < _PAGE:
                return False

    return holds


@asynccontextmanager
async def _running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
