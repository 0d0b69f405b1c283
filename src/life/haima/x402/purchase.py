"""One purchase, as a conversation without I/O (HM-X402-2, x402.md §2, §16.5, §16.8).

`purchase` is a generator. It yields `Send` (an HTTP request goes out: the caller's own, plain or with a payment header)
and `Wait` (something of the payer's has to happen: a reservation on disk, a signature); a driver does it, puts the
result on the step and goes on. It returns the receipt, or None when nothing had to be paid; the driver then hands out the
last response. So the order of things, which decides about money, is written once, for sync and async, for every client.

    try unpaid ── not 402 ────────────────────────────────────── nothing to pay
        │ 402
    choose terms ─ reserve (on disk) ─ sign ─ send paid, once
        ├─ settlement says success ───────────────────────────── settled
        ├─ settlement says failure, 402, other 4xx ───────────── refused: reserved until it can't land any more
        ├─ 2xx without settlement ────────────────────────────── unconfirmed: the answer is handed out, the money watched
        └─ 202, 5xx, lost connection, settlement_pending ─────── OutcomeUnknownError

A purchase that is repeated does not start over: as long as its outcome is unknown or its answer was lost, the identical
signed payment is sent again, which can't be charged twice. A signature goes to the URL it was made for and nowhere else;
redirects are the client's business and start without it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from life.aios.ports.chain import AuthorizationState
from life.haima.errors import (
    AlreadyPaidError,
    InsecurePaymentError,
    MalformedPaymentError,
    OutcomeUnknownError,
    PurchaseConflictError,
    UnrepeatableRequestError,
)
from life.haima.reservations import Payment
from life.haima.x402 import codes
from life.haima.x402.wire import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    SettlementResponse,
    decode_payment_required,
    decode_payment_response,
)

T = TypeVar("T")

RepeatRule = Literal["usual", "never"]
"""What an earlier purchase of the same request means when no purchase id is given.

`usual`: one whose outcome is unknown, or whose answer broke off, is finished first, as long as its payment can be sent.
`never`: every call is a new purchase.
"""

NO_SETTLEMENT_HEADER: Final = "no_settlement_header"
"""Why a payment is watched whose answer came without a settlement."""

INTERRUPTED_AFTER_S: Final = 120
"""An open payment of this age that is not under way in this process is taken for one that a crash interrupted."""


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
    """Send the request; `header` is the PAYMENT-SIGNATURE, or None. The driver sets `reply`, or throws what happened,
    with `sent` False when not one byte of the request can have left."""

    __slots__ = ("header", "reply", "sent")

    def __init__(self, header: str | None) -> None:
        self.header = header
        self.reply: Reply | None = None
        self.sent = True


class Wait(Generic[T]):
    """Await `work` and set `result`, or throw what it raised."""

    __slots__ = ("result", "work")

    def __init__(self, work: Awaitable[T]) -> None:
        self.work = work
        self.result: T

    async def perform(self) -> None:
        """Do it."""
        self.result = await self.work


Step = Send | Wait[object]
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

    async def reserve_and_sign(self, call: Call, terms: str, attempt: int) -> Signed:
        """Choose among the terms (a PAYMENT-REQUIRED header), reserve, sign. `attempt`: see Order."""
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
        """The payee says (or, without a settlement, the chain shows) that the money moved."""
        ...

    def release(self, payment: Payment, reason: str) -> None:
        """It never left this process, or can no longer land."""
        ...


def purchase(desk: Desk, request: PurchaseRequest) -> Conversation[Receipt | None]:
    """The conversation of one call. PaymentErrors as described above; what the driver throws comes out again unless a
    payment was under way, then it becomes an OutcomeUnknownError with the original as its cause."""
    call = desk.begin(request)
    try:
        earlier, attempt = call.earlier, 1
        if request.purchase_id is not None:
            earlier = yield from _wait(desk.find(request.purchase_id))
        if earlier is not None:
            if earlier.reserved.request_key != call.key:
                raise PurchaseConflictError(
                    "This purchase id was used for another request.", details={"purchase_id": call.purchase_id}
                )
            if earlier.state != "released":
                receipt = yield from _repeat(desk, request, earlier)
                if receipt is not None:
                    return receipt
            attempt = earlier.reserved.attempt + 1
        reply = yield from _send(Send(None))
        terms = reply.header(PAYMENT_REQUIRED) if reply.status == 402 else None
        if terms is None:
            return None
        check_protected(request.url, allow_insecure_http=desk.allow_insecure_http)
        if not request.replayable:
            raise UnrepeatableRequestError(
                "The resource wants money, and the request's body can't be sent a second time. Nothing was paid.",
                next_step="Send the body as bytes, or raise the limit up to which bodies are kept.",
            )
        signed = yield from _wait(desk.reserve_and_sign(call, terms, attempt))
        if signed.created:
            return (yield from _pay(desk, signed))
        return (yield from _repeat(desk, request, signed.payment))
    finally:
        desk.end(call)


def check_protected(url: str, *, allow_insecure_http: bool = False) -> None:
    """InsecurePaymentError unless the URL is https, or http on this machine (or allowed)."""
    if not allow_insecure_http and not _is_protected(url):
        raise InsecurePaymentError(
            "A payment over plain HTTP can be read and taken by others on the way.",
            next_step="Use https, or allow plain HTTP for this payer.",
        )


@lru_cache(maxsize=512)
def public_url(url: str) -> str:
    """Scheme, host and path: what may stand in a journal. User info, query and fragment may carry secrets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


@lru_cache(maxsize=512)
def _is_protected(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _repeat(desk: Desk, request: PurchaseRequest, payment: Payment) -> Conversation[Receipt | None]:
    """Finish an earlier payment. None when it is over without a charge, so that a new one may be made."""
    check_protected(request.url, allow_insecure_http=desk.allow_insecure_http)
    if payment.open and not payment.sendable(desk.now_us):
        yield from _clear_up(desk, payment)
        return None
    if payment.state == "settled" and payment.signature is None and not payment.sendable(desk.now_us):
        raise _already_paid(payment)
    if payment.state in ("held", "signed", "submitted"):
        # It may have left before a crash, and its note may be lost: from here on a refusal proves nothing.
        desk.note_ambiguous(payment, "interrupted")
    header = yield from _wait(desk.sign_again(payment))
    return (yield from _pay(desk, Signed(desk.payment(payment), header, created=False)))


def _clear_up(desk: Desk, payment: Payment) -> Conversation[None]:
    """An open payment whose time is over: returns when it is certain that it was not charged."""
    state = yield from _wait(desk.look_at_chain(payment))
    if state == "used":
        desk.note_settled(payment, None)
        raise _already_paid(desk.payment(payment))
    if payment.expired(desk.now_us) and (state == "unused" or payment.state == "refused"):
        desk.release(payment, "expired_unused" if state == "unused" else "refused_and_expired")
        return
    raise _unknown(payment, "its time is over, and nobody could tell yet whether it was charged")


def _pay(desk: Desk, signed: Signed) -> Conversation[Receipt]:
    payment = signed.payment
    if not signed.created:
        # On disk first: a refusal of the past says nothing about this time, should its answer never arrive.
        yield from _wait(desk.record_resend(payment, payment.resends + 1))
    step = Send(signed.header)
    try:
        reply = yield from _send(step)
    except BaseException as error:
        if not step.sent:
            if signed.created:
                desk.release(payment, "never_sent")
            raise
        desk.note_ambiguous(payment, f"lost: {type(error).__name__}")
        if isinstance(error, Exception):
            raise _unknown(payment, "the answer to the payment was lost") from error
        raise
    return (yield from _judge(desk, signed, reply))


def _judge(desk: Desk, signed: Signed, reply: Reply) -> Conversation[Receipt]:
    """What the answer to a paid request means."""
    payment = signed.payment
    settlement = _settlement(reply)
    status = reply.status
    if settlement is not None and settlement.success:
        desk.note_settled(payment, settlement)
        return Receipt("settled", desk.payment(payment), settlement)
    if settlement is not None and settlement.error_reason != codes.SETTLEMENT_PENDING:
        reason = settlement.error_reason or "refused"
    elif settlement is not None or status == 202 or not 200 <= status < 500:
        reason = codes.SETTLEMENT_PENDING if settlement is not None else f"http_{status}"
        desk.note_ambiguous(payment, reason)
        raise _unknown(payment, f"the payee answered {status} ({reason})", reply)
    elif status < 400:
        if payment.state != "settled":
            desk.note_ambiguous(payment, NO_SETTLEMENT_HEADER)
        return Receipt("unconfirmed", desk.payment(payment), None, NO_SETTLEMENT_HEADER)
    else:
        reason = _refusal(reply)
    if payment.state == "settled":
        raise _already_paid(payment)
    if payment.state == "ambiguous":
        # Refusing a second time is also what a payee does that has charged the first.
        state = yield from _wait(desk.look_at_chain(payment))
        if state == "used":
            desk.note_settled(payment, None)
            raise _already_paid(desk.payment(payment))
        if state == "unknown":
            raise _unknown(payment, f"the payee refuses it now ({reason}), which says nothing about before", reply)
    desk.note_refused(payment, reason)
    return Receipt("refused", desk.payment(payment), settlement, reason)


def _settlement(reply: Reply) -> SettlementResponse | None:
    header = reply.header(PAYMENT_RESPONSE)
    if header is None:
        return None
    try:
        return decode_payment_response(header)
    except MalformedPaymentError:
        return None


def _refusal(reply: Reply) -> str:
    """The code or words with which a payee refuses, for the journal; it is never branched on."""
    header = reply.header(PAYMENT_REQUIRED) if reply.status == 402 else None
    if header is not None:
        try:
            error = decode_payment_required(header).error
        except MalformedPaymentError:
            error = None
        if error:
            return error[:200]
    return f"http_{reply.status}"


def _unknown(payment: Payment, why: str, reply: Reply | None = None) -> OutcomeUnknownError:
    details: dict[str, str | int | bool] = {
        "payment_id": payment.payment_id,
        "purchase_id": payment.reserved.purchase_id,
        "valid_before_s": payment.reserved.valid_before_s,
    }
    retry_after = reply.header("Retry-After") if reply is not None else None
    if retry_after is not None and retry_after.isdigit() and len(retry_after) < 7:
        details["retry_after_s"] = int(retry_after)
    return OutcomeUnknownError(
        f"It is not known whether the payment was charged: {why}.",
        next_step="Repeat the same purchase: the identical payment is sent again and can't be charged twice.",
        details=details,
    )


def _already_paid(payment: Payment) -> AlreadyPaidError:
    return AlreadyPaidError(
        "This purchase was paid, and the payee does not hand out its answer again.",
        next_step="Ask the payee with the transaction, or make a new purchase to pay again.",
        details={
            "payment_id": payment.payment_id,
            "purchase_id": payment.reserved.purchase_id,
            "transaction": payment.transaction,
        },
    )


def _send(step: Send) -> Conversation[Reply]:
    yield step
    assert step.reply is not None  # the driver's part
    return step.reply


def _wait(work: Awaitable[T]) -> Conversation[T]:
    step = Wait(work)
    yield step  # type: ignore[misc]
    return step.result
