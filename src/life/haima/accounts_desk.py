"""Money that the house holds for agents: deposits, transfers, debits, statements (haima.md §4.7, HM-API-3, W19 to W24).

Nothing is granted by itself: an account begins at zero, and what comes in is a settled payment to one of the house's deposit
addresses from a wallet of the agent's own, used once for ever, or the operator's word, which stands in the journal as that.
Every movement is a posting; corrections are postings of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.haima.accounts import account, move, wallet_of
from life.haima.errors import EvidenceInvalidError
from life.haima.events import read_finance
from life.haima.events.accounts import LedgerPosted, PostingReason
from life.haima.events.payments import RevenueReceived
from life.haima.house import STREAM, Decision, House, Key
from life.haima.house_state import HouseState

MAX_AMOUNT_MICRO: Final = 2**53
MAX_MEMO_CHARS: Final = 500
MAX_PAGE: Final = 200
_SCAN: Final = 1_000

WalletOwner = Callable[[str, str], Awaitable[bool]]
"""(agent id, address) → whether the journal knows the address as a wallet of this agent's."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What is held for an agent. `pending` is put aside for tasks that are not done."""

    agent_id: str
    available_micro: int
    pending_micro: int
    owed_micro: int
    """Drawn on a credit line and not paid back."""
    currency: str = "USDC"
    as_of_position: int = 0


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A posting was made."""

    posting_id: str
    amount_micro: int
    new_balance_micro: int
    """Of the account that the caller asked about."""


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an account."""

    entry_id: str
    at_us: int
    delta_micro: int
    reason: str
    memo: str
    cause_id: str | None
    session_id: str | None
    sequence: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Changes, oldest first; ask again with `next_cursor`."""

    agent_id: str
    entries: tuple[StatementLine, ...]
    next_cursor: int | None = None


class AccountsDesk:
    """The commands of the house's accounts. Belongs to one event loop."""

    def __init__(
        self,
        house: House,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        owns: WalletOwner,
        deposit_addresses: Collection[str] = (),
    ) -> None:
        """`deposit_addresses`: addresses of the house that take deposits and nothing else."""
        self._house = house
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._owns = owns
        self._addresses = frozenset(address.lower() for address in deposit_addresses)

    async def balance(self, agent_id: str) -> Balance:
        """What is held for an agent; zero for one that nobody knows."""
        name = wallet_of(agent_id)
        state = await self._house.catch_up()
        pending = sum(
            state.accounts.balance(task.escrow)
            for task in (state.outcomes.tasks[task_id] for task_id in state.outcomes.open_tasks)
            if task.customer_id == agent_id
        )
        return Balance(
            agent_id=agent_id,
            available_micro=state.accounts.balance(name),
            pending_micro=pending,
            owed_micro=-min(0, state.accounts.balance(account("credit_line", "agent", agent_id))),
            as_of_position=self._house.position,
        )

    async def deposit_payment(self, agent_id: str, payment_event_id: str, *, key: Key) -> Moved:
        """Book a settled payment as the agent's deposit. EvidenceInvalidError when the journal does not hold it, it went
        elsewhere, or came from somebody else; EvidenceUsedError when it was booked before."""
        record = await self._journal.get(payment_event_id)
        event = None if record is None or record.actor.type != "system" else read_finance(record)
        if not isinstance(event, RevenueReceived) or event.payment_id is None or event.network is None:
            raise EvidenceInvalidError("The journal holds no settled payment under this id.")
        if event.payee is None or event.payee.lower() not in self._addresses:
            raise EvidenceInvalidError("The payment did not go to an address for deposits.")
        if not await self._owns(agent_id, event.payer_address):
            raise EvidenceInvalidError("The payment did not come from a wallet of this agent's.")
        source = account("external", "network", event.network)
        return await self._move(
            source,
            wallet_of(agent_id),
            event.amount_micro_credits,
            "deposit",
            key=key,
            shown=wallet_of(agent_id),
            cause_id=event.payment_id,
            evidence=(f"payment:{event.payment_id}",),
        )

    async def credit(self, agent_id: str, amount_micro: int, *, memo: str, key: Key) -> Moved:
        """The operator puts money into an account: cash that came in some other way, or play money. It says so."""
        if not memo.strip():
            raise InvalidInputError("A credit by hand needs a memo that says where the money comes from.")
        source = account("external", "network", "operator")
        return await self._move(
            source, wallet_of(agent_id), amount_micro, "grant", key=key, shown=wallet_of(agent_id), memo=memo
        )

    async def debit(
        self, agent_id: str, amount_micro: int, *, memo: str, key: Key, session_id: str | None = None
    ) -> Moved:
        """The platform charges an agent for something. InsufficientBalanceError instead of an overdraft."""
        target = account("fee_income", "platform", "house")
        return await self._move(
            wallet_of(agent_id),
            target,
            amount_micro,
            "fee",
            key=key,
            shown=wallet_of(agent_id),
            memo=memo,
            session_id=session_id,
        )

    async def transfer(self, source_agent: str, target_agent: str, amount_micro: int, *, memo: str, key: Key) -> Moved:
        """From one agent to another, both legs at once."""
        return await self._move(
            wallet_of(source_agent),
            wallet_of(target_agent),
            amount_micro,
            "transfer",
            key=key,
            shown=wallet_of(source_agent),
            memo=memo,
        )

    async def statement(self, agent_id: str, *, after: int = 0, limit: int = 50) -> Statement:
        """Changes of an agent's account behind the cursor. InvalidInputError for a limit beyond a page."""
        if not 1 <= limit <= MAX_PAGE or after < 0:
            raise InvalidInputError(f"limit is between 1 and {MAX_PAGE}, the cursor a number.")
        name = wallet_of(agent_id)
        found: list[StatementLine] = []
        while True:
            query = EventQuery(STREAM.session_id, STREAM.branch_id, after_sequence=after)
            page = await self._journal.read(query, limit=_SCAN)
            for record in page:
                after = record.sequence
                event = read_finance(record)
                delta = _delta(event, name) if isinstance(event, LedgerPosted) else 0
                if not isinstance(event, LedgerPosted) or not delta:
                    continue
                found.append(
                    StatementLine(
                        entry_id=event.posting_id,
                        at_us=record.timestamp_us,
                        delta_micro=delta,
                        reason=event.reason,
                        memo=event.memo,
                        cause_id=event.cause_id,
                        session_id=event.session_id,
                        sequence=record.sequence,
                    )
                )
                if len(found) == limit:
                    return Statement(agent_id=agent_id, entries=tuple(found), next_cursor=after)
            if len(page) < _SCAN:
                return Statement(agent_id=agent_id, entries=tuple(found))

    async def _move(
        self,
        source: str,
        target: str,
        amount_micro: int,
        reason: PostingReason,
        *,
        key: Key,
        shown: str,
        memo: str = "",
        cause_id: str | None = None,
        session_id: str | None = None,
        evidence: tuple[str, ...] = (),
    ) -> Moved:
        if not 0 < amount_micro <= MAX_AMOUNT_MICRO:
            raise InvalidInputError("An amount must be positive, and no more than there is.")
        if len(memo) > MAX_MEMO_CHARS:
            raise InvalidInputError(f"A memo has at most {MAX_MEMO_CHARS} characters.")
        posting = LedgerPosted(
            posting_id=new_id(self._clock, self._entropy),
            entries=move(source, target, amount_micro),
            reason=reason,
            memo=memo,
            cause_id=cause_id,
            session_id=session_id,
        )

        def rule(state: HouseState, _now_us: int) -> Decision[Moved]:
            after = state.accounts.balance(shown) + _delta(posting, shown)
            return Decision(
                (posting,), Moved(posting_id=posting.posting_id, amount_micro=amount_micro, new_balance_micro=after)
            )

        return (await self._house.decide(rule, key=key, answer_type=Moved, evidence=evidence)).answer


def _delta(posting: LedgerPosted, name: str) -> int:
    return sum(entry.amount_micro for entry in posting.entries if entry.account == name)
