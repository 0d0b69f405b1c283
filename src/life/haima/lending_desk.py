"""The lending desk: what the API, the command line and a program in process call (HM-LEND, W17, W26, W27).

It reads the score from the journal's projection, makes ids, looks evidence up, and hands rules to the house. Everything that
moves money takes the caller's idempotency key.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.haima import lending
from life.haima.credit import Assessment, CreditCheck, check
from life.haima.errors import EvidenceInvalidError, EvidenceUsedError, InsufficientCreditError, NoCreditLineError
from life.haima.events import read_finance
from life.haima.events.accounts import LedgerPosted
from life.haima.events.credit import CreditExposureHeld, CreditRefused
from life.haima.events.payments import RevenueReceived
from life.haima.house import Decision, Done, House, Key, RefusedError
from life.haima.house_state import HouseState
from life.haima.lending import DrawResult, LendingTerms, Purpose, RepaymentRecord, SettledPayment
from life.haima.lending_clock import ReadCredit, Reading
from life.haima.lending_work import CreditLine, LineAnswer, check_agent, check_amount, view

EXPOSURE_US: Final = 24 * 3600 * 1_000_000
"""How long a settlement that was let through counts against the agent's limit, up to the end of a minute."""
_MINUTE_US: Final = 60_000_000


class ExposureAnswer(msgspec.Struct, frozen=True):
    """A settlement may go through on the agent's credit."""

    remaining_limit: int


class LendingDesk:
    """Lines of all agents. `repayment_addresses` are the lender's own addresses that take repayments and nothing else: what
    is settled to one of them by an agent's own wallet may be used as a repayment, once."""

    def __init__(
        self,
        house: House,
        journal: Journal,
        read_credit: ReadCredit,
        clock: Clock,
        entropy: Entropy,
        *,
        terms: LendingTerms | None = None,
        repayment_addresses: Collection[str] = (),
    ) -> None:
        self._house = house
        self._journal = journal
        self._read_credit = read_credit
        self._clock = clock
        self._entropy = entropy
        self._terms = terms or LendingTerms()
        self._addresses = frozenset(address.lower() for address in repayment_addresses)

    @property
    def now_us(self) -> int:
        """The house's time."""
        return self._house.now_us

    @property
    def house_position(self) -> int:
        """The journal position that the house's state is of."""
        return self._house.position

    async def read(self) -> Reading:
        """The projection up to the journal's end."""
        return await self._read_credit()

    async def assess(self, agent_id: str) -> Assessment:
        """The agent's score now. Writes nothing."""
        check_agent(agent_id)
        reading = await self._read_credit()
        return reading.book.assess(agent_id, self.now_us, as_of_position=reading.position)

    async def line(self, agent_id: str) -> CreditLine:
        """The agent's line; NoCreditLineError when there is none."""
        check_agent(agent_id)
        line = (await self._house.catch_up()).lending.line(agent_id)
        if line is None:
            raise NoCreditLineError(agent_id)
        return view(line)

    async def state(self) -> HouseState:
        """What the house knows, read up to the journal's end. For reading only."""
        return await self._house.catch_up()

    async def check(self, agent_id: str, amount_micro: int) -> CreditCheck:
        """Whether an amount would fit under the agent's limit, beside what it owes and what was let through. Reserves
        nothing; an unknown agent is refused."""
        check_amount(amount_micro, zero=True)
        assessed = await self.assess(agent_id)
        return _check(await self._house.catch_up(), assessed, amount_micro, self.now_us)

    # ---- lines

    async def open(self, agent_id: str, key: Key, *, limit_micro: int | None = None) -> Done[LineAnswer]:
        """Open a line, or find the one there is."""
        rule = lending.open_line(
            await self.assess(agent_id), line_id=self._id(), terms=self._terms, limit_micro=limit_micro
        )
        return await self._house.decide(rule, key=key, answer_type=LineAnswer)

    async def modify(self, agent_id: str, key: Key, *, limit_micro: int | None = None) -> Done[LineAnswer]:
        """Another limit."""
        rule = lending.modify_line(await self.assess(agent_id), limit_micro=limit_micro)
        return await self._house.decide(rule, key=key, answer_type=LineAnswer)

    async def open_or_modify(self, agent_id: str, key: Key, *, limit_micro: int | None = None) -> Done[LineAnswer]:
        """Open a line when there is none (or a closed one), otherwise change its limit; decided on one state."""
        assessed = await self.assess(agent_id)
        opening = lending.open_line(assessed, line_id=self._id(), terms=self._terms, limit_micro=limit_micro)
        changing = lending.modify_line(assessed, limit_micro=limit_micro)

        def rule(state: HouseState, now_us: int) -> Decision[LineAnswer]:
            line = state.lending.line(agent_id)
            return (opening if line is None or line.status == "closed" else changing)(state, now_us)

        return await self._house.decide(rule, key=key, answer_type=LineAnswer)

    async def freeze(self, agent_id: str, key: Key) -> Done[LineAnswer]:
        """Freeze by hand."""
        return await self._house.decide(lending.freeze_line(agent_id), key=key, answer_type=LineAnswer)

    async def unfreeze(self, agent_id: str, key: Key) -> Done[LineAnswer]:
        """Unfreeze, when what froze it is over."""
        rule = lending.unfreeze_line(await self.assess(agent_id))
        return await self._house.decide(rule, key=key, answer_type=LineAnswer)

    async def close(self, agent_id: str, key: Key) -> Done[LineAnswer]:
        """Close, when nothing is owed."""
        return await self._house.decide(lending.close_line(agent_id), key=key, answer_type=LineAnswer)

    # ---- money

    async def draw(
        self, agent_id: str, amount_micro: int, key: Key, *, purpose: Purpose = "task_payment"
    ) -> Done[DrawResult]:
        """From the lender into the agent's wallet account."""
        assessed = await self.assess(agent_id)
        rule = lending.draw(assessed, amount_micro, purpose=purpose, posting_id=self._id())
        return await self._house.decide(rule, key=key, answer_type=DrawResult)

    async def repay(self, agent_id: str, amount_micro: int, key: Key) -> Done[RepaymentRecord]:
        """From the agent's wallet account to the lender."""
        rule = lending.repay(agent_id, amount_micro, posting_id=self._id())
        return await self._house.decide(rule, key=key, answer_type=RepaymentRecord)

    async def repay_with_payment(self, agent_id: str, event_id: str, key: Key) -> Done[RepaymentRecord]:
        """By a payment that the agent's own wallet made to a repayment address. `event_id` is that of its
        `finance.revenue_received`. EvidenceInvalidError, EvidenceUsedError."""
        try:
            payment = await self._payment(check_agent(agent_id), event_id)
            rule = lending.repay(agent_id, payment.amount_micro, posting_id=self._id(), payment=payment)
            return await self._house.decide(rule, key=key, answer_type=RepaymentRecord, evidence=[payment.evidence])
        except (EvidenceInvalidError, EvidenceUsedError) as error:
            refused = CreditRefused(agent_id=agent_id, operation="repay", code=error.code)
            await self._house.decide(lambda _state, _now_us: Decision([refused], refused))
            raise

    async def fund(self, amount_micro: int, key: Key) -> Done[LedgerPosted]:
        """The operator's capital, for agents to draw on."""
        rule = lending.seed_lender(amount_micro, posting_id=self._id())
        return await self._house.decide(rule, key=key, answer_type=LedgerPosted)

    async def may_settle(self, agent_id: str, amount_micro: int, payment: str) -> bool:
        """Whether a facilitator may settle this payment on the agent's credit (life.haima.facilitator.facade.CreditCheck).

        Yes means that the amount counts against the agent's limit for a day, once for each `payment`. An unknown agent,
        an invalid id or amount: no.
        """
        try:
            check_amount(amount_micro)
            assessed = await self.assess(agent_id)
        except InvalidInputError:
            return False

        def rule(state: HouseState, now_us: int) -> Decision[ExposureAnswer]:
            checked = _check(state, assessed, amount_micro, now_us)
            if not checked.approved:
                error = InsufficientCreditError(asked_micro=amount_micro, available_micro=checked.remaining_limit)
                refused = CreditRefused(
                    agent_id=agent_id, operation="facilitate", code=error.code, amount_micro_usd=amount_micro
                )
                raise RefusedError(error, [refused])
            until_us = -(-(now_us + EXPOSURE_US) // _MINUTE_US) * _MINUTE_US
            held = CreditExposureHeld(
                agent_id=agent_id, payment=payment, amount_micro_usd=amount_micro, until_us=until_us
            )
            return Decision([held], ExposureAnswer(checked.remaining_limit))

        key = Key(f"facilitate:{agent_id}", payment, str(amount_micro).encode())
        try:
            await self._house.decide(rule, key=key, answer_type=ExposureAnswer)
        except InsufficientCreditError:
            return False
        return True

    # ---- evidence

    async def _payment(self, agent_id: str, event_id: str) -> SettledPayment:
        record = await self._journal.get(event_id)
        event = None if record is None or record.actor.type != "system" else read_finance(record)
        if not isinstance(event, RevenueReceived) or event.payment_id is None or event.network is None:
            raise EvidenceInvalidError("The journal holds no settled payment under this id.")
        if event.amount_micro_credits <= 0:
            raise EvidenceInvalidError("The payment's value in dollars is not known.")
        if event.payee is None or event.payee.lower() not in self._addresses:
            raise EvidenceInvalidError("The payment did not go to an address for repayments.")
        if not (await self._read_credit()).book.owns(agent_id, event.payer_address):
            raise EvidenceInvalidError("The payment did not come from a wallet of this agent's.")
        return SettledPayment(f"payment:{event.payment_id}", event_id, event.network, event.amount_micro_credits)

    def _id(self) -> str:
        return new_id(self._clock, self._entropy)


def _check(state: HouseState, assessed: Assessment, amount_micro: int, now_us: int) -> CreditCheck:
    line = state.lending.line(assessed.agent_id)
    owed = 0 if line is None else line.owed_micro_usd
    if line is not None and line.status in ("frozen", "defaulted"):
        return CreditCheck(approved=False, tier=assessed.tier, remaining_limit=0, reason="insufficient_credit")
    exposed = state.lending.exposure_micro_usd(assessed.agent_id, now_us)
    return check(assessed.tier, assessed.limit_micro_usd, -(owed + exposed), amount_micro)
