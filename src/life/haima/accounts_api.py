"""HTTP routes of the house's accounts, of usage and of costs (haima.md §4.6, §4.7, HM-API-2, HM-API-3).

    GET  /v1/haima/balance[?agent_id=]         what is held; with the wallet that the operator's own agent has
    GET  /v1/haima/history[?cursor=&limit=]    payments and revenue, newest events last
    GET  /v1/haima/health
    GET  /v1/accounts/{agent_id}               available, pending, owed
    GET  /v1/accounts/{agent_id}/statement     every change; `cursor`, `limit`
    POST /v1/accounts/{agent_id}/deposit       book a settled payment (`payment_event_id`)
    POST /v1/accounts/{agent_id}/credit        the operator's word
    POST /v1/accounts/{agent_id}/debit         a charge of the platform
    POST /v1/accounts/{agent_id}/transfer      to another agent
    GET  /v1/cost?window=1d|7d|30d|all         costs by service
    GET  /v1/ledger                            the books: every account's balance

Everything that moves money wants an Idempotency-Key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import format_timestamp
from life.haima.accounts_desk import MAX_PAGE, AccountsDesk, Balance, Moved, Statement
from life.haima.callers import SubjectReader, acting_for, require_role
from life.haima.command_requests import read_command
from life.haima.costs import CostBook, CostReport, report
from life.haima.events import PaymentFailed, PaymentSettled, RevenueReceived, TaskBilled, event_type, read_finance
from life.haima.ledger import Books
from life.haima.ledger_export import decimal

HttpOperation: TypeAlias = "Operation[Request, Response]"
Amount = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Memo = Annotated[str, msgspec.Meta(max_length=500)]

READ: Final = "wallet:read"
WRITE: Final = "wallet:write"

_SCAN: Final = 1_000
_NO_STORE: Final = {"cache-control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bodies with a field that nobody knows are refused."""


class DepositBody(_Strict, frozen=True, kw_only=True):
    """Id of the `finance.revenue_received` that brought the money."""

    payment_event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class CreditBody(_Strict, frozen=True, kw_only=True):
    """How much, and where it comes from."""

    amount_micro: Amount
    memo: Memo


class DebitBody(_Strict, frozen=True, kw_only=True):
    """How much, and what for."""

    amount_micro: Amount
    memo: Memo = ""
    session_id: str | None = None


class TransferBody(_Strict, frozen=True, kw_only=True):
    """How much, to whom, and why."""

    to_agent_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    amount_micro: Amount
    memo: Memo = ""


class WalletView(msgspec.Struct, frozen=True, kw_only=True):
    """The wallet of the operator's own agent, by the books."""

    address: str
    chain: str
    balance_usdc: str
    reserved_usdc: str


class CreditsView(msgspec.Struct, frozen=True, kw_only=True):
    """Micro-credits."""

    available: int
    pending: int


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/haima/balance` as documented."""

    wallet: WalletView | None
    credits: CreditsView


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One money event. `cost` for what was spent, `amount` for what came in or is owed."""

    type: str
    timestamp: str
    event_id: str
    task_id: str | None = None
    cost: int | None = None
    amount: int | None = None
    category: str | None = None
    source: str | None = None
    provider: str | None = None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first; ask again with `next_cursor`."""

    events: tuple[HistoryEntry, ...]
    next_cursor: int | None = None


class HaimaHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/haima/health` as documented."""

    status: str
    wallet_connected: bool
    chain: str | None


class LedgerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account of the books; debits positive."""

    account: str
    balance_micro: int


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """The books as of now. `trial_balance_micro` is zero, always."""

    accounts: tuple[LedgerAccount, ...]
    postings: int
    trial_balance_micro: int
    last_event_at: str | None


def account_operations(
    desk: AccountsDesk,
    journal: Journal,
    clock: Clock,
    *,
    caller: SubjectReader,
    read_books: Callable[[], Awaitable[Books]],
    read_costs: Callable[[], Awaitable[CostBook]],
    economic_mode: Callable[[], str | None] = lambda: None,
    own_wallet: tuple[str, str] | None = None,
) -> list[HttpOperation]:
    """The routes. `own_wallet`: network and address of the operator's agent, where it has one."""
    api = _Api(desk, journal, clock, caller, read_books, read_costs, economic_mode, own_wallet)
    of_agent = "/v1/accounts/{agent_id}"
    paging = (
        Parameter("cursor", "next_cursor of the page before", "integer"),
        Parameter("limit", f"1 to {MAX_PAGE}", "integer"),
    )
    moved = (400, 402, 403, 409, 422)
    return [
        Operation(
            "GET",
            "/v1/haima/balance",
            "The wallet and the credits",
            api.haima_balance,
            result=BalanceView,
            query=(Parameter("agent_id", "whose credits"),),
            errors=(400,),
            scope=READ,
        ),
        Operation(
            "GET",
            "/v1/haima/history",
            "Payments and revenue",
            api.history,
            result=History,
            query=paging,
            errors=(400,),
            scope=READ,
        ),
        Operation("GET", "/v1/haima/health", "Whether a wallet is connected", api.health, result=HaimaHealth),
        Operation("GET", of_agent, "What is held for an agent", api.balance, result=Balance, errors=(400,), scope=READ),
        Operation(
            "GET",
            f"{of_agent}/statement",
            "Every change of an account",
            api.statement,
            result=Statement,
            query=paging,
            errors=(400,),
            scope=READ,
        ),
        Operation(
            "POST",
            f"{of_agent}/deposit",
            "Book a settled payment",
            api.deposit,
            DepositBody,
            Moved,
            errors=moved,
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{of_agent}/credit",
            "Credit an account by hand",
            api.credit,
            CreditBody,
            Moved,
            errors=moved,
            scope="wallet:admin",
        ),
        Operation(
            "POST",
            f"{of_agent}/debit",
            "Charge an account",
            api.debit,
            DebitBody,
            Moved,
            errors=moved,
            scope="wallet:admin",
        ),
        Operation(
            "POST",
            f"{of_agent}/transfer",
            "Pay another agent",
            api.transfer,
            TransferBody,
            Moved,
            errors=moved,
            scope=WRITE,
        ),
        Operation(
            "GET",
            "/v1/cost",
            "Costs by service",
            api.cost,
            result=CostReport,
            query=(Parameter("window", "1d, 7d, 30d (default) or all"),),
            errors=(400,),
            scope=READ,
        ),
        Operation("GET", "/v1/ledger", "The books", api.ledger, result=LedgerView, scope=READ),
    ]


class _Api:
    def __init__(
        self,
        desk: AccountsDesk,
        journal: Journal,
        clock: Clock,
        caller: SubjectReader,
        read_books: Callable[[], Awaitable[Books]],
        read_costs: Callable[[], Awaitable[CostBook]],
        economic_mode: Callable[[], str | None],
        own_wallet: tuple[str, str] | None,
    ) -> None:
        self._desk = desk
        self._journal = journal
        self._clock = clock
        self._caller = caller
        self._read_books = read_books
        self._read_costs = read_costs
        self._economic_mode = economic_mode
        self._own_wallet = own_wallet

    async def haima_balance(self, request: Request) -> Response:
        caller = self._caller(request)
        agent_id = acting_for(caller, request.query_params.get("agent_id", caller.id)).id
        held = await self._desk.balance(agent_id)
        books = await self._read_books()
        wallet = None
        if self._own_wallet is not None:
            network, address = self._own_wallet
            available, reserved = books.wallet(network, address)
            wallet = WalletView(
                address=address, chain=network, balance_usdc=decimal(available), reserved_usdc=decimal(reserved)
            )
        view = BalanceView(
            wallet=wallet, credits=CreditsView(available=held.available_micro, pending=held.pending_micro)
        )
        return _json(view)

    async def history(self, request: Request) -> Response:
        after, limit = _number(request, "cursor", 0), _number(request, "limit", 50)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"limit is between 1 and {MAX_PAGE}.")
        found: list[HistoryEntry] = []
        while True:
            page = await self._journal.read(EventQuery(after_position=after, kinds=("Custom",)), limit=_SCAN)
            for record in page:
                after = record.position
                entry = _entry(record.event_id, record.timestamp_us, read_finance(record))
                if entry is not None:
                    found.append(entry)
                if len(found) == limit:
                    return _json(History(events=tuple(found), next_cursor=after))
            if len(page) < _SCAN:
                return _json(History(events=tuple(found)))

    async def health(self, _: Request) -> Response:
        chain = self._own_wallet[0] if self._own_wallet is not None else None
        return _json(HaimaHealth(status="ok", wallet_connected=self._own_wallet is not None, chain=chain))

    async def balance(self, request: Request) -> Response:
        return _json(await self._desk.balance(self._own(request)))

    async def statement(self, request: Request) -> Response:
        page = await self._desk.statement(
            self._own(request), after=_number(request, "cursor", 0), limit=_number(request, "limit", 50)
        )
        return _json(page)

    async def deposit(self, request: Request) -> Response:
        agent_id = self._own(request)
        body, key = await read_command(request, DepositBody, caller=self._caller(request).id)
        return _json(await self._desk.deposit_payment(agent_id, body.payment_event_id, key=key))

    async def credit(self, request: Request) -> Response:
        caller = self._caller(request)
        require_role(caller, "wallet:admin")
        body, key = await read_command(request, CreditBody, caller=caller.id)
        agent_id = request.path_params["agent_id"]
        return _json(await self._desk.credit(agent_id, body.amount_micro, memo=body.memo, key=key))

    async def debit(self, request: Request) -> Response:
        caller = self._caller(request)
        require_role(caller, "wallet:admin")
        body, key = await read_command(request, DebitBody, caller=caller.id)
        done = await self._desk.debit(
            request.path_params["agent_id"], body.amount_micro, memo=body.memo, key=key, session_id=body.session_id
        )
        return _json(done)

    async def transfer(self, request: Request) -> Response:
        agent_id = self._own(request)
        body, key = await read_command(request, TransferBody, caller=self._caller(request).id)
        return _json(await self._desk.transfer(agent_id, body.to_agent_id, body.amount_micro, memo=body.memo, key=key))

    async def cost(self, request: Request) -> Response:
        books = await self._read_books()
        balance = None
        if self._own_wallet is not None:
            balance = books.wallet(*self._own_wallet)[0]
        told = report(
            await self._read_costs(),
            request.query_params.get("window", "30d"),
            now_us=self._clock.now_us(),
            economic_mode=self._economic_mode(),
            balance_micro=balance,
        )
        return _json(told)

    async def ledger(self, _: Request) -> Response:
        books = await self._read_books()
        accounts = tuple(
            LedgerAccount(account=name, balance_micro=amount) for name, amount in sorted(books.balances.items())
        )
        view = LedgerView(
            accounts=accounts,
            postings=books.postings,
            trial_balance_micro=books.trial_balance_micro,
            last_event_at=format_timestamp(books.last_at_us) if books.last_at_us else None,
        )
        return _json(view)

    def _own(self, request: Request) -> str:
        """The agent of the path, if the caller is it or the operator (W23)."""
        return acting_for(self._caller(request), request.path_params["agent_id"]).id


def _entry(event_id: str, at_us: int, event: object) -> HistoryEntry | None:
    at = format_timestamp(at_us)
    match event:
        case PaymentSettled():
            return HistoryEntry(
                type=event_type(event),
                timestamp=at,
                event_id=event_id,
                task_id=event.task_id,
                cost=event.amount_micro_credits,
                category="payment",
                provider=event.payee,
            )
        case PaymentFailed():
            return HistoryEntry(
                type=event_type(event),
                timestamp=at,
                event_id=event_id,
                task_id=event.task_id,
                cost=0,
                category=event.reason[:200],
                provider=event.payee,
            )
        case RevenueReceived():
            return HistoryEntry(
                type=event_type(event),
                timestamp=at,
                event_id=event_id,
                task_id=event.task_id,
                amount=event.amount_micro_credits,
                source=event.payer_address,
            )
        case TaskBilled():
            return HistoryEntry(
                type=event_type(event),
                timestamp=at,
                event_id=event_id,
                task_id=event.task_id,
                amount=event.price_micro_credits,
                source=event.payer,
            )
        case _:
            return None


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInputError(f"{name} is a number.")
    return int(text)


def _json(content: msgspec.Struct) -> Response:
    return Response(_encode(content), 200, dict(_NO_STORE), "application/json")
