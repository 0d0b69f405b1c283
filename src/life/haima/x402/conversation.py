"""The words in which a purchase and its driver talk: what has to be done next, and what came of it.

`life.haima.x402.purchase` says them, `life.haima.x402.driving` does them, and `Desk` is what both need of the payer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Generator
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from life.aios.ports.chain import AuthorizationState
from life.haima.approvals import Ticket
from life.haima.reservations import Payment
from life.haima.x402.sign_in import Proof
from life.haima.x402.wire import SettlementResponse

T = TypeVar("T")

RepeatRule = Literal["usual", "never"]
"""What an earlier purchase of the same request means when no purchase id is given.

`usual`: one whose outcome is unknown, or whose answer broke off, is finished first, as long as its payment can be sent.
`never`: every call is a new purchase.
"""


class PurchaseRequest(NamedTuple):
    """The HTTP request that may cost something, and on whose behalf it is made."""

    method: str
    url: str
    body: bytes = b""
    purchase_id: str | None = None
    """One id, one payment, for ever. None: see `repeat`."""
    session_id: str | None = None
    task_id: str | None = None
    max_amount_micro: int | None = None
    repeat: RepeatRule = "usual"
    replayable: bool = True
    """Whether the body can be sent a second time. If not, nothing is paid for."""
    approval_wait_s: int = 0
    """How long to wait for a person, when one has to decide; 0: raise at once. The ticket's own time ends it sooner."""
    ahead: bool = False
    """Pay with the known terms of this URL, if there are any, without asking for them again."""

    def key(self) -> str:
        """SHA-256 (hex) of method, URL and body: which request this is."""
        digest = hashlib.sha256(f"{self.method} {self.url}\n".encode())
        digest.update(self.body)
        return digest.hexdigest()


class Reply(NamedTuple):
    """What came back: the status, and a header by its name."""

    status: int
    header: Callable[[str], str | None]


class Receipt(NamedTuple):
    """What became of a payment."""

    state: Literal["settled", "unconfirmed", "refused"]
    payment: Payment
    settlement: SettlementResponse | None
    reason: str = ""

    @property
    def amount_micro(self) -> int:
        """The price, in micro-credits."""
        return self.payment.reserved.amount_micro

    @property
    def transaction(self) -> str:
        """The hash the payee named, or an empty string."""
        return self.settlement.transaction if self.settlement is not None else self.payment.transaction


class Send:
    """Send the request, with one more header (name and value) or as it is. The driver sets `reply`, or throws what
    happened, with `sent` False when not one byte of the request can have left."""

    __slots__ = ("header", "reply", "sent")

    def __init__(self, header: tuple[str, str] | None) -> None:
        self.header = header
        self.reply: Reply | None = None
        self.sent = True


class ReadBody:
    """Read the body of the last reply, up to a limit, and keep it so that the caller can still have it. The driver sets
    `body`; None when it is longer or can't be read."""

    __slots__ = ("body", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.body: bytes | None = None


class Pause:
    """Let time pass; the last reply is not wanted any more. Synchronous drivers sleep in the caller's thread."""

    __slots__ = ("duration_us", "sleep")

    def __init__(self, duration_us: int, sleep: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.duration_us = duration_us
        self.sleep = sleep

    async def perform(self) -> None:
        """Sleep on the payer's clock, or else on the loop's."""
        if self.sleep is None:
            await asyncio.sleep(self.duration_us / 1_000_000)
        else:
            await self.sleep(self.duration_us)


class Wait(Generic[T]):
    """Await `work` and set `result`, or throw what it raised."""

    __slots__ = ("result", "work")

    def __init__(self, work: Awaitable[T]) -> None:
        self.work = work
        self.result: T

    async def perform(self) -> None:
        """Do it."""
        self.result = await self.work


Step = Send | ReadBody | Pause | Wait[object]
Conversation = Generator[Step, None, T]


class Call(NamedTuple):
    """One call under way."""

    request: PurchaseRequest
    key: str
    """`request.key()`."""
    purchase_id: str
    earlier: Payment | None
    """A payment for the same request that has to be finished before a new one is made."""


class Signed(NamedTuple):
    """A reserved payment. `created` is False when it stood already; then `header` is empty."""

    payment: Payment
    header: str
    created: bool


class Desk(Protocol):
    """What a purchase needs of the payer."""

    @property
    def now_us(self) -> int:
        """The wall clock."""
        ...

    @property
    def allow_insecure_http(self) -> bool:
        """Whether payments may travel over plain HTTP to other machines."""
        ...

    def begin(self, request: PurchaseRequest) -> Call:
        """Open the call. PurchaseInProgressError when that purchase is under way in this process."""
        ...

    def end(self, call: Call) -> None:
        """The call is over, whatever its outcome."""
        ...

    async def find(self, purchase_id: str) -> Payment | None:
        """The newest payment of a purchase."""
        ...

    def is_terms(self, body: bytes) -> bool:
        """Whether the body of a 402 holds terms of x402."""
        ...

    def prefers_challenge(self, header: str) -> bool:
        """Whether to pay a seller's challenge (MPP) rather than these terms beside it."""
        ...

    def known_terms(self, url: str) -> str | bytes | None:
        """The terms that this URL asked for last."""
        ...

    def forget_terms(self, url: str) -> None:
        """They did not hold."""
        ...

    def sign_in_challenge(self, call: Call, terms: str | bytes) -> Proof | None:
        """What to sign, when the terms offer to let wallets in that have paid, and ours has."""
        ...

    async def sign_in(self, proof: Proof) -> str:
        """The SIGN-IN-WITH-X header."""
        ...

    async def reserve_and_sign(self, call: Call, terms: str | bytes, attempt: int) -> Signed:
        """Choose among the terms (a PAYMENT-REQUIRED header, or a body that `is_terms`), reserve, sign. `attempt`: see
        Order."""
        ...

    async def look_at_ticket(self, ticket_id: str) -> Ticket | None:
        """A question to a person as it stands now."""
        ...

    async def sleep_us(self, duration_us: int) -> None:
        """Let time pass on the payer's clock."""
        ...

    async def sign_again(self, payment: Payment) -> str:
        """The header of a payment that was reserved before, bit by bit the same."""
        ...

    async def look_at_chain(self, payment: Payment) -> AuthorizationState:
        """What the chain says of its nonce; `unknown` when there is no chain to ask."""
        ...

    def payment(self, payment: Payment) -> Payment:
        """The payment as it stands now."""
        ...

    async def record_resend(self, payment: Payment, resend: int) -> None:
        """It is about to leave again; durable on return."""
        ...

    def note_ambiguous(self, payment: Payment, reason: str) -> None:
        """Nobody knows what became of it."""
        ...

    def note_refused(self, payment: Payment, reason: str) -> None:
        """The payee said no."""
        ...

    def note_settled(self, payment: Payment, settlement: SettlementResponse | None) -> None:
        """The payee says (or, without a settlement, the chain shows) that the money moved. Of an `upto` payment it may say
        that it took less."""
        ...

    def release(self, payment: Payment, reason: str) -> None:
        """It never left this process, or can no longer land."""
        ...
