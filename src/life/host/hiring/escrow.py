"""The Escrow port over a house in this process, and over one at another daemon.

    HouseEscrow    the house's books are open here
    RemoteEscrow   over HTTP, with tokens of our own key

Both fund a hire the same way: what the account there already holds (refunds, earnings) is used first; otherwise the price is paid into it
over x402 by the agent's own payer, under its policy, caps and approvals. What lies there is spent under the policy's switches and
ceilings, too: payments that are switched off are off there as well. The deposit's purchase id follows from the hire's, so a hire
that is taken up again after a crash goes on with the very same payment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from life.aios.errors import LifeError, NotFoundError, UnavailableError
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.anima.identity import agent_id_of_did
from life.haima.approval_desk import ApprovalDesk
from life.haima.errors import AlreadyPaidError, PolicyDeniedError
from life.haima.outcomes.answers import Subject
from life.haima.outcomes.hires import HireStanding, HireTerms
from life.haima.payer import Payer
from life.haima.x402.conversation import PurchaseRequest, Reply, Send
from life.host.audiences import audience_at
from life.host.hiring.house import HireHouse, deposit_url, drive, reply_of
from life.spaces.hiring.errors import HireRefusedError
from life.spaces.hiring.ports import Standing, Terms

HTTP_TIMEOUT_S: Final = 60.0
AUDIENCE: Final = "house"
"""What the audience of a house's tokens begins with; its address follows, so that no house can use them at another one."""
_ASKED_TWICE: Final = 3
_T = TypeVar("_T")


class HouseRefusedError(LifeError):
    """The house said no; the code and the words are its own."""

    code = "hiring.house_refused"
    status = 409


class Funds(NamedTuple):
    """Where the money for deposits comes from."""

    payer: Payer
    approvals: ApprovalDesk
    auto_limit: Callable[[], int]


Ask = Callable[[str, int, str | None], Awaitable[Reply]]
"""(deposit id, micro-credits, PAYMENT-SIGNATURE or None) → the house's answer."""


class Depositor:
    """Pays deposits into a house."""

    def __init__(self, funds: Funds, network: str, account: str, base_url: str, ask: Ask) -> None:
        self._funds = funds
        self._network = network
        self._account = account
        self._base_url = base_url
        self._ask = ask

    async def cover(self, terms: Terms, balance: Callable[[], Awaitable[int]], *, approved: bool) -> None:
        """See to it that the account holds the price. A payment that was begun for this hire is finished in any case."""
        price = terms.price_micro_credits
        purchase_id = derived_event_id("hire.deposit", self._account, terms.hire_id)
        earlier = await self._funds.payer.find(purchase_id)
        is_paid = earlier is not None and earlier.state == "settled"
        is_begun = earlier is not None and earlier.state not in ("released", "settled")
        wanted = PurchaseRequest(
            method="POST",
            url=deposit_url(self._base_url, self._account, terms.hire_id),
            body=str(price).encode(),
            purchase_id=purchase_id,
            session_id=terms.session_id,
            task_id=terms.hire_id,
            max_amount_micro=price,
        )
        if not is_begun and await balance() >= price:
            if not is_paid:
                await self._funds.payer.check_on_account(self._network, price, wanted)
            return

        async def send(step: Send) -> Reply:
            return await self._ask(terms.hire_id, price, None if step.header is None else step.header[1])

        try:
            await self._pay(wanted, send, terms, approved=approved)
        except AlreadyPaidError:
            return  # it was booked long ago; the account says whether it is still there

    async def _pay(
        self, wanted: PurchaseRequest, send: Callable[[Send], Awaitable[Reply]], terms: Terms, *, approved: bool
    ) -> None:
        for _ in range(_ASKED_TWICE):
            try:
                receipt = await drive(self._funds.payer, wanted, send)
            except PolicyDeniedError as denied:
                if denied.ticket_id is None or not self._is_granted(denied, terms, approved=approved):
                    raise
                await self._funds.approvals.decide(
                    denied.ticket_id,
                    approved=True,
                    by=f"session:{terms.session_id or ''}"[:64],
                    reason=f"The hire {terms.hire_id} was approved at this price."
                    if approved
                    else f"The price of the hire {terms.hire_id} is the customer's own.",
                )
                continue
            if receipt is None or receipt.state == "refused":
                reason = "" if receipt is None else receipt.reason
                raise HouseRefusedError(
                    f"The house did not take the deposit ({reason or 'no terms'}). No money was put aside.",
                    next_step="Look at the wallet's balance.",
                )
            self._funds.payer.note_delivered(receipt.payment)
            return
        raise UnavailableError("The payment policy asks about this deposit again and again.")

    def _is_granted(self, denied: PolicyDeniedError, terms: Terms, *, approved: bool) -> bool:
        """A person who agreed to the hire need not agree to its deposit; and that the house takes another amount than the last time is
        what the customer asked for, not the house."""
        if denied.verdict == "needs_approval":
            return approved
        within = terms.price_micro_credits <= self._funds.auto_limit()
        return denied.verdict == "price_jumped" and (approved or within)


class HouseEscrow:
    """The Escrow port over a house in this process, for one account."""

    def __init__(self, house: HireHouse, account: str, *, funds: Funds | None, base_url: str) -> None:
        """Without `funds` the account's own balance is all there is."""
        self._house = house
        self._account = account
        self._me = Subject(account)
        self._funding = asyncio.Lock()
        """One hire after the other: what is paid in for one must not be taken for the next."""
        self._depositor = None if funds is None else Depositor(funds, house.network, account, base_url, self._ask)

    @property
    def house(self) -> str:
        """See Escrow."""
        return self._house.name

    def account_of(self, did: str) -> str:
        """See Escrow."""
        return account_of(did)

    async def put_aside(self, terms: Terms, *, approved: bool) -> Standing:
        """See Escrow."""
        async with self._funding:
            if terms.price_micro_credits and self._depositor is not None and await self.look(terms.hire_id) is None:
                await self._depositor.cover(terms, self.balance, approved=approved)
            standing = await self._house.hires.put_aside(_as(terms, HireTerms), self._me)
        return _as(standing, Standing)

    async def look(self, hire_id: str) -> Standing | None:
        """See Escrow."""
        try:
            return _as(await self._house.hires.look(hire_id, self._me), Standing)
        except NotFoundError:
            return None

    async def deliver(self, hire_id: str, result: str) -> Standing:
        """See Escrow."""
        return _as(await self._house.hires.deliver(hire_id, self._me, result), Standing)

    async def judge(self, hire_id: str, *, passed: bool, reason: str) -> Standing:
        """See Escrow."""
        return _as(await self._house.hires.judge(hire_id, self._me, passed=passed, reason=reason), Standing)

    async def give_up(self, hire_id: str, reason: str) -> Standing:
        """See Escrow."""
        return _as(await self._house.hires.give_up(hire_id, self._me, reason), Standing)

    async def balance(self) -> int:
        """What our account there holds."""
        return await self._house.hires.balance(self._account)

    async def cash_out(self, payout_id: str, amount_micro: int, to: str) -> str:
        """Money out of the account, to an address; the transaction. The same id is the same payout."""
        return (await self._house.payouts.pay(self._account, payout_id, amount_micro, to)).transaction

    async def _ask(self, deposit_id: str, amount_micro: int, payment: str | None) -> Reply:
        return reply_of(await self._house.deposits.answer(self._account, deposit_id, amount_micro, payment))


class HouseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a house says of itself."""

    house: str
    network: str


class AccountInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's account."""

    account: str
    balance_micro: int


class _Paid(msgspec.Struct):
    transaction: str


class _Problem(msgspec.Struct):
    code: str = "hiring.house_refused"
    detail: str = "The house refused."


Token = Callable[[], Awaitable[str]]
"""A fresh agent token for the audience `house`."""


class RemoteEscrow:
    """The Escrow port over a house at another daemon. Made by `RemoteEscrow.open`."""

    def __init__(
        self, client: httpx2.AsyncClient, url: str, info: HouseInfo, account: str, token: Token, funds: Funds | None
    ) -> None:
        self._client = client
        self._url = url
        self._info = info
        self._account = account
        self._token = token
        self._funding = asyncio.Lock()
        """As in HouseEscrow."""
        self._depositor = None if funds is None else Depositor(funds, info.network, account, url, self._ask)

    @classmethod
    async def open(
        cls, client: httpx2.AsyncClient, url: str, *, account: str, token: Token, funds: Funds | None
    ) -> RemoteEscrow:
        """Ask the house who it is. UnavailableError while it does not answer."""
        url = url.rstrip("/")
        answer = await _sent(client, "GET", f"{url}/v1/house", {}, None)
        return cls(client, url, _read(answer, HouseInfo), account, token, funds)

    @property
    def house(self) -> str:
        """See Escrow."""
        return self._info.house

    def account_of(self, did: str) -> str:
        """See Escrow."""
        return account_of(did)

    async def put_aside(self, terms: Terms, *, approved: bool) -> Standing:
        """See Escrow."""
        async with self._funding:
            if terms.price_micro_credits and self._depositor is not None and await self.look(terms.hire_id) is None:
                await self._depositor.cover(terms, self.balance, approved=approved)
            return await self._call("PUT", _path(terms.hire_id), terms, Standing)

    async def look(self, hire_id: str) -> Standing | None:
        """See Escrow."""
        try:
            return await self._call("GET", _path(hire_id), None, Standing)
        except NotFoundError:
            return None

    async def deliver(self, hire_id: str, result: str) -> Standing:
        """See Escrow."""
        return await self._call("POST", _path(hire_id, "/deliver"), {"result": result}, Standing)

    async def judge(self, hire_id: str, *, passed: bool, reason: str) -> Standing:
        """See Escrow."""
        body: JsonObject = {"passed": passed, "reason": reason}
        return await self._call("POST", _path(hire_id, "/judge"), body, Standing)

    async def give_up(self, hire_id: str, reason: str) -> Standing:
        """See Escrow."""
        return await self._call("POST", _path(hire_id, "/give-up"), {"reason": reason}, Standing)

    async def balance(self) -> int:
        """What our account there holds."""
        return (await self._call("GET", "/v1/house/account", None, AccountInfo)).balance_micro

    async def cash_out(self, payout_id: str, amount_micro: int, to: str) -> str:
        """Money out of the account, to an address; the transaction. The same id is the same payout."""
        body: JsonObject = {"amount_micro": amount_micro, "to": to}
        return (await self._call("POST", f"/v1/house/payouts/{quote(payout_id, safe='')}", body, _Paid)).transaction

    async def _call(self, method: str, path: str, body: object, kind: type[_T]) -> _T:
        headers = {"authorization": f"Bearer {await self._token()}"}
        content = None if body is None else msgspec.json.encode(body)
        return _read(await _sent(self._client, method, self._url + path, headers, content), kind)

    async def _ask(self, deposit_id: str, amount_micro: int, payment: str | None) -> Reply:
        headers = {"authorization": f"Bearer {await self._token()}"}
        if payment is not None:
            headers["payment-signature"] = payment
        body = msgspec.json.encode({"amount_micro": amount_micro})
        answer = await _sent(self._client, "POST", deposit_url(self._url, self._account, deposit_id), headers, body)
        return Reply(answer.status_code, lambda name: answer.headers.get(name))


def audience_of(url: str) -> str:
    """The audience of tokens for the house at this address."""
    return audience_at(AUDIENCE, url)


def account_of(did: str) -> str:
    """The account of the agent that was born with this DID; it needs nobody's word."""
    account = agent_id_of_did(did)
    if account is None:
        raise HireRefusedError("Only agents with a P-256 identity have accounts at a house.")
    return account


def _path(hire_id: str, step: str = "") -> str:
    """Where a hire is. Its id may be somebody else's words: it stays one part of the path."""
    return f"/v1/house/hires/{quote(hire_id, safe='')}{step}"


async def _sent(
    client: httpx2.AsyncClient, method: str, url: str, headers: dict[str, str], content: bytes | None
) -> httpx2.Response:
    try:
        return await client.request(
            method, url, headers={"content-type": "application/json", **headers}, content=content
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UnavailableError(f"The house does not answer ({type(error).__name__}).") from None


def _read(answer: httpx2.Response, kind: type[_T]) -> _T:
    """The answer, or the house's refusal as an error: nothing is said here about what a failed request did."""
    try:
        if answer.status_code < 300:
            return msgspec.json.decode(answer.content, type=kind)
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeError):
        raise UnavailableError(f"The house answered {answer.status_code} with something unreadable.") from None
    words = problem.detail[:500]
    if answer.status_code == 404:
        raise NotFoundError(words)
    if answer.status_code >= 500 or answer.status_code == 429:
        raise UnavailableError(words)
    refusal = HouseRefusedError(words)
    refusal.code = problem.code[:64]  # type: ignore[misc]  # the stable code is the house's
    raise refusal


_S = HireTerms | HireStanding | Standing | Terms


def _as(value: _S, kind: type[_T]) -> _T:
    """The same fields, as the other side of the port knows them."""
    return msgspec.convert(msgspec.to_builtins(value), kind)
