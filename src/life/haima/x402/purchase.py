"""One purchase, as a conversation without I/O (HM-X402-2, x402.md §2, §16.5, §16.8).

`purchase` is a generator. It yields `Send` (an HTTP request goes out: the caller's own, plain or with one more header),
`ReadBody` (what a 402 without a header says), `Pause` (time has to pass) and `Wait` (something of the payer's has to happen: a
reservation on disk, a signature); a driver does it, puts the result on the step and goes on. It returns the receipt, or None when nothing had to be paid; the driver then hands out the
last response. So the order of things, which decides about money, is written once, for sync and async, for every client.

    try unpaid ── not 402 ────────────────────────────────────── nothing to pay
        │ 402
    already paid for, and the seller lets wallets sign in ─────── signed in: nothing to pay
        │ no
    choose terms ─ reserve (on disk) ─ sign ─ send paid, once
        ├─ a person has to decide ─ wait for it, or raise ──────── PolicyDeniedError; granted: ask for the terms again
        ├─ settlement says success ───────────────────────────── settled
        ├─ settlement says failure, 402, other 4xx ───────────── refused: reserved until it can't land any more
        ├─ 2xx without settlement ────────────────────────────── unconfirmed: the answer is handed out, the money watched
        └─ 202, 5xx, lost connection, settlement_pending ─────── OutcomeUnknownError

With `ahead` the unpaid try is left out where the terms of this very URL are known: one round trip instead of two. A seller that
changed its terms refuses such a payment, and until it can't land any more the purchase can't be made at the new ones: pay once
comes before pay quickly.

A purchase that is repeated does not start over: as long as its outcome is unknown or its answer was lost, the identical
signed payment is sent again, which can't be charged twice. A signature goes to the URL it was made for and nowhere else;
redirects are the client's business and start without it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable
from functools import lru_cache
from typing import Final, TypeVar
from urllib.parse import urlsplit

from life.haima.errors import (
    AlreadyPaidError,
    InsecurePaymentError,
    MalformedPaymentError,
    OutcomeUnknownError,
    PolicyDeniedError,
    PurchaseConflictError,
    UnrepeatableRequestError,
)
from life.haima.mpp.challenge import WWW_AUTHENTICATE
from life.haima.mpp.client import RAIL, challenge_terms, receipt_settlement
from life.haima.mpp.credential import PAYMENT_RECEIPT
from life.haima.reservations import Payment
from life.haima.x402 import codes
from life.haima.x402.conversation import (
    Call,
    Conversation,
    Desk,
    Pause,
    PurchaseRequest,
    ReadBody,
    Receipt,
    RepeatRule,
    Reply,
    Send,
    Signed,
    Step,
    Wait,
)
from life.haima.x402.payment_header import SETTLEMENT_HEADERS, header_name
from life.haima.x402.sign_in import SIGN_IN_HEADER
from life.haima.x402.wire import (
    PAYMENT_REQUIRED,
    SettlementResponse,
    decode_payment_required,
    decode_payment_response,
)

T = TypeVar("T")

NO_SETTLEMENT_HEADER: Final = "no_settlement_header"
"""Why a payment is watched whose answer came without a settlement."""

MAX_TERMS_BYTES: Final = 256 * 1024
"""How much of a 402's body is read for terms of version 1."""

FIRST_PAUSE_US: Final = 100_000
LONGEST_PAUSE_US: Final = 2_000_000
"""How often a waiting purchase looks for a person's decision: soon at first, then ever more rarely."""

INTERRUPTED_AFTER_S: Final = 120
"""An open payment of this age that is not under way in this process is taken for one that a crash interrupted."""


__all__ = [
    "INTERRUPTED_AFTER_S",
    "NO_SETTLEMENT_HEADER",
    "Call",
    "Conversation",
    "Desk",
    "Pause",
    "PurchaseRequest",
    "ReadBody",
    "Receipt",
    "RepeatRule",
    "Reply",
    "Send",
    "Signed",
    "Step",
    "Wait",
    "check_protected",
    "public_url",
    "purchase",
]


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
        receipt = yield from _buy(desk, call, attempt)
        return receipt
    finally:
        desk.end(call)


def _buy(desk: Desk, call: Call, attempt: int) -> Conversation[Receipt | None]:
    """Ask for the terms and pay them; again from the start when a person took the time to grant them."""
    request = call.request
    waits_until_us = desk.now_us + request.approval_wait_s * 1_000_000
    ahead = desk.known_terms(request.url) if request.ahead and request.replayable else None
    while True:
        terms = ahead
        if terms is None:
            reply = yield from _send(Send(None))
            terms = yield from _terms(desk, reply)
            if terms is None:
                return None
            proof = desk.sign_in_challenge(call, terms)
            if proof is not None:
                signed_proof = yield from _wait(desk.sign_in(proof))
                reply = yield from _send(Send((SIGN_IN_HEADER, signed_proof)))
                terms = yield from _terms(desk, reply)
                if terms is None:
                    return None
        check_protected(request.url, allow_insecure_http=desk.allow_insecure_http)
        if not request.replayable:
            raise UnrepeatableRequestError(
                "The resource wants money, and the request's body can't be sent a second time. Nothing was paid.",
                next_step="Send the body as bytes, or raise the limit up to which bodies are kept.",
            )
        try:
            signed = yield from _wait(desk.reserve_and_sign(call, terms, attempt))
        except PolicyDeniedError as denied:
            if denied.ticket_id is None or desk.now_us >= waits_until_us:
                raise
            yield from _await_decision(desk, denied, waits_until_us)
            ahead = None
            continue
        if not signed.created:
            return (yield from _repeat(desk, request, signed.payment))
        receipt = yield from _pay(desk, signed)
        if ahead is not None and receipt.state == "refused":
            desk.forget_terms(request.url)
        return receipt


def _terms(desk: Desk, reply: Reply) -> Conversation[str | bytes | None]:
    """The terms of a 402: its header, or its payment challenges (life.haima.mpp), or else its body (x402.md §9). None for any
    other answer."""
    if reply.status != 402:
        return None
    header = reply.header(PAYMENT_REQUIRED)
    asked = reply.header(WWW_AUTHENTICATE)
    if asked is not None and (header is None or desk.prefers_challenge(header)):
        challenges = challenge_terms(asked)
        if challenges is not None:
            return challenges
    if header is not None:
        return header
    kind = reply.header("Content-Type") or ""
    if "json" not in kind.lower():
        return None
    step = ReadBody(MAX_TERMS_BYTES)
    yield step
    return step.body if step.body is not None and desk.is_terms(step.body) else None


def _await_decision(desk: Desk, denied: PolicyDeniedError, until_us: int) -> Conversation[None]:
    """Return when a person granted what was denied; PolicyDeniedError when nobody did in time, or somebody refused.

    The question is in the journal. A process that dies here loses nothing: the purchase, repeated by its id, finds the same
    ticket, whatever became of it meanwhile.
    """
    assert denied.ticket_id is not None
    pause_us = FIRST_PAUSE_US
    while True:
        ticket = yield from _wait(desk.look_at_ticket(denied.ticket_id))
        state = "expired" if ticket is None else ticket.at(desk.now_us)
        if ticket is not None and state == "refused":
            words = f": {ticket.reason}" if ticket.reason else "."
            raise PolicyDeniedError(
                "approval_denied", f"{ticket.by or 'Somebody'} refused this payment{words}", ticket_id=ticket.ticket_id
            )
        if state == "expired":
            raise PolicyDeniedError(
                "approval_expired", "Nobody decided on this payment in time.", ticket_id=denied.ticket_id
            )
        if state != "pending":
            return
        left_us = until_us - desk.now_us
        if left_us <= 0:
            raise denied
        yield Pause(min(pause_us, left_us), desk.sleep_us)
        pause_us = min(2 * pause_us, LONGEST_PAUSE_US)


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
    if payment.state == "claimed" and not payment.sendable(desk.now_us):
        raise _already_paid(payment)
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
    is_refused = payment.state == "refused" and payment.dies_by_clock and payment.expired(desk.now_us)
    if payment.is_dead(state, desk.now_us) or is_refused:
        desk.release(payment, "expired_unused" if state == "unused" else "refused_and_expired")
        return
    raise _unknown(payment, "its time is over, and nobody could tell yet whether it was charged")


def _pay(desk: Desk, signed: Signed) -> Conversation[Receipt]:
    payment = signed.payment
    if not signed.created:
        # On disk first: a refusal of the past says nothing about this time, should its answer never arrive.
        yield from _wait(desk.record_resend(payment, payment.resends + 1))
    step = Send((header_name(payment.reserved), signed.header))
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
    settlement = _settlement(reply, payment)
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
        if payment.state not in ("settled", "claimed"):
            desk.note_ambiguous(payment, NO_SETTLEMENT_HEADER)
        return Receipt("unconfirmed", desk.payment(payment), None, NO_SETTLEMENT_HEADER)
    else:
        reason = _refusal(reply)
    if payment.state in ("settled", "claimed"):
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


def _settlement(reply: Reply, payment: Payment) -> SettlementResponse | None:
    header = reply.header(SETTLEMENT_HEADERS[0]) or reply.header(SETTLEMENT_HEADERS[1])
    if header is None:
        if payment.reserved.rail != RAIL:
            return None
        return receipt_settlement(reply.header(PAYMENT_RECEIPT), payment.reserved.network)
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
