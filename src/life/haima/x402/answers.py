"""What a paid route answers itself: asking for money, refusing, and saying that it does not know yet.

Bodies are problem details (RFC 9457); what programs need stands in the x402 headers. None of these answers may be stored by
a cache.

    400  the payment can't be read              nothing was charged
    402  no payment, or it was refused          nothing was charged; a new payment may be made
    409  an identifier of another payment, or an answer that is not kept (any longer) or is being streamed
    500  charged, and the handler did not answer (only with settle-first)
    503  the outcome is open, or the facilitator is down: repeat the same payment, never make a new one

Source: x402.md §2, §16.5, §16.12; HM-X402-3.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from life.aios.json import JsonObject
from life.haima.facilitator.port import settlement_header
from life.haima.x402 import codes
from life.haima.x402.price import Offer
from life.haima.x402.wire import PAYMENT_IDENTIFIER, X402_VERSION, ResourceInfo, SettlementResponse

Headers = list[tuple[bytes, bytes]]

PAYMENT_REQUIRED: Final = b"payment-required"
PAYMENT_RESPONSE: Final = b"payment-response"
SETTLEMENT_OVERRIDES: Final = b"settlement-overrides"
"""From a handler to its middleware: what it charges of a maximum. Never sent on."""
_NO_STORE: Final = (b"cache-control", b"no-store")
_PROBLEM: Final = (b"content-type", b"application/problem+json")
_RETRY_AFTER: Final = (b"retry-after", b"2")

_encode: Final = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An HTTP answer, whole."""

    status: int
    headers: Headers
    body: bytes


class _Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = False
    reason: str | None = None


class IdentifierTerms(NamedTuple):
    """Whether payers may or must send a payment identifier (x402.md §5)."""

    required: bool

    def declaration(self) -> bytes:
        """The extension as it stands in the terms: `info` and the JSON Schema of what a payer completes it to."""
        schema = {
            "type": "object",
            "properties": {
                "required": {"type": "boolean"},
                "id": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{16,128}$"},
            },
            "required": ["required"],
        }
        return b'"%b":' % PAYMENT_IDENTIFIER.encode() + _encode({"info": {"required": self.required}, "schema": schema})


class Declared(NamedTuple):
    """An extension that is the same in every 402 of a resource."""

    id: str
    content: JsonObject
    raw: bytes


Fresh = Sequence[tuple[str, bytes]]
"""Extensions that are made anew for one 402 (a challenge, signed offers): id and JSON."""


class Terms(NamedTuple):
    """Everything that stands in a 402's PAYMENT-REQUIRED header but the error."""

    offers: tuple[Offer, ...]
    resource: ResourceInfo
    identifier: IdentifierTerms | None
    declared: tuple[Declared, ...] = ()
    v1: bytes | None = None
    """What the body says to clients of x402 version 1, when they are served: `,"accepts":[…]`."""

    def document(self, error: str, fresh: Fresh = ()) -> bytes:
        """The PaymentRequired, as JSON."""
        parts = [
            b'{"x402Version":%d,"error":' % X402_VERSION,
            _encode(error),
            b',"resource":',
            _encode(self.resource),
            b',"accepts":[',
            b",".join(offer.raw for offer in self.offers),
            b"]",
        ]
        extensions = [] if self.identifier is None else [self.identifier.declaration()]
        extensions += [b'"%b":%b' % (each.id.encode(), each.raw) for each in self.declared]
        extensions += [b'"%b":%b' % (name.encode(), content) for name, content in fresh]
        if extensions:
            parts += (b',"extensions":{', b",".join(extensions), b"}")
        return b"".join((*parts, b"}"))

    def header(self, error: str, fresh: Fresh = ()) -> bytes:
        """The header's value."""
        return binascii.b2a_base64(self.document(error, fresh), newline=False)

    def body(self, problem: bytes, error: str) -> bytes:
        """The body of a 402: the problem, and beside it what version 1 reads there."""
        if self.v1 is None:
            return problem
        return problem[:-1] + b',"x402Version":1,"error":' + _encode(error) + self.v1 + b"}"


def payment_required(terms: Terms, fresh: Fresh = (), *, error: str = "Payment required") -> Answer:
    """402 to a request without payment. Made once per resource and sent to everybody, unless something in it is fresh."""
    problem = _problem(
        402, "haima.payment_required", "Payment Required", "This resource costs money; see PAYMENT-REQUIRED."
    )
    body = terms.body(problem, error)
    header = (PAYMENT_REQUIRED, terms.header(error, fresh))
    return Answer(402, [header, _NO_STORE, _PROBLEM, _length(body)], body)


def refused(terms: Terms, reason: str, detail: str, *, settlement: SettlementResponse | None = None) -> Answer:
    """402 to a payment that was not taken, with its reason and the terms for a new one."""
    body = terms.body(_problem(402, "haima.payment_refused", "Payment Refused", detail, reason=reason), reason)
    headers = [(PAYMENT_REQUIRED, terms.header(reason)), _NO_STORE, _PROBLEM, _length(body)]
    if settlement is not None:
        headers.append((PAYMENT_RESPONSE, settlement_header(settlement)))
    return Answer(402, headers, body)


def malformed(detail: str) -> Answer:
    """400 to a payment that can't be read."""
    body = _problem(400, "haima.malformed_payment", "Malformed Payment", detail)
    return Answer(400, [_NO_STORE, _PROBLEM, _length(body)], body)


def identifier_conflict() -> Answer:
    """409 to a second payment under the identifier of a first."""
    detail = "This payment identifier belongs to another payment of the same payer."
    body = _problem(409, "haima.identifier_conflict", "Identifier Conflict", detail)
    return Answer(409, [_NO_STORE, _PROBLEM, _length(body)], body)


def answer_not_kept(settlement: SettlementResponse) -> Answer:
    """409 to a repetition whose answer was too large or too old to be kept: paid, and delivered once."""
    detail = "This payment was settled and its answer was given; it is not kept any longer."
    body = _problem(409, "haima.already_paid", "Already Paid", detail)
    headers = [(PAYMENT_RESPONSE, settlement_header(settlement)), _NO_STORE, _PROBLEM, _length(body)]
    return Answer(409, headers, body)


def being_streamed(settlement: SettlementResponse) -> Answer:
    """409 to a repetition while the answer is on its way to the first arrival: a stream leaves once."""
    detail = "This payment was settled, and its answer is being streamed to another request."
    body = _problem(409, "haima.stream_in_progress", "Stream In Progress", detail)
    headers = [(PAYMENT_RESPONSE, settlement_header(settlement)), _NO_STORE, _PROBLEM, _length(body)]
    return Answer(409, headers, body)


def interrupted_after_charge(settlement: SettlementResponse) -> Answer:
    """500 where the money was taken first and the handler then gave no answer: the payer is owed a refund."""
    detail = "The payment was settled, and the handler did not finish. A refund is due; do not pay again for this call."
    body = _problem(500, "haima.delivery_failed", "Delivery Failed", detail)
    headers = [(PAYMENT_RESPONSE, settlement_header(settlement)), _NO_STORE, _PROBLEM, _length(body)]
    return Answer(500, headers, body)


def handler_failed() -> Answer:
    """500 to those who waited for an arrival whose handler raised. Nothing was charged."""
    body = _problem(500, "haima.handler_failed", "Handler Failed", "The handler failed; the payment was not charged.")
    return Answer(500, [_NO_STORE, _PROBLEM, _length(body)], body)


def facilitator_unavailable(detail: str) -> Answer:
    """503: the payment could not be checked. Nothing was charged."""
    body = _problem(503, "haima.facilitator_unavailable", "Facilitator Unavailable", detail, retryable=True)
    return Answer(503, [_RETRY_AFTER, _NO_STORE, _PROBLEM, _length(body)], body)


def outcome_unknown(detail: str, settlement: SettlementResponse | None = None) -> Answer:
    """503: money may have moved. The same payment again will tell, and is never charged twice."""
    body = _problem(503, "haima.outcome_unknown", "Outcome Unknown", detail, retryable=True)
    headers = [_RETRY_AFTER, _NO_STORE, _PROBLEM, _length(body)]
    if settlement is not None:
        headers.append((PAYMENT_RESPONSE, settlement_header(settlement)))
    return Answer(503, headers, body)


def paid(answer: Answer, settlement: SettlementResponse) -> Answer:
    """The handler's answer with its settlement."""
    return Answer(answer.status, paid_headers(answer.headers, settlement), answer.body)


def paid_headers(sent: Headers, settlement: SettlementResponse) -> Headers:
    """The headers of a paid answer: with its settlement, and marked as one person's own (`Cache-Control: private`)."""
    headers = private_headers(sent)
    headers.append((PAYMENT_RESPONSE, settlement_header(settlement)))
    return headers


def private_headers(sent: Headers) -> Headers:
    """The headers of an answer that no shared cache may give to somebody else, without those that are ours to set."""
    headers: Headers = []
    cache = b"private"
    for header in sent:
        name = header[0].lower()
        if name == b"cache-control":
            cache = _with_private(header[1])
        elif name not in (PAYMENT_RESPONSE, SETTLEMENT_OVERRIDES):
            headers.append(header)
    headers.append((b"cache-control", cache))
    return headers


def header_of(answer: Answer, name: bytes) -> bytes | None:
    """A header of an answer; `name` in lower case."""
    for each, value in answer.headers:
        if each.lower() == name:
            return value
    return None


def with_header(answer: Answer, name: bytes, value: bytes) -> Answer:
    """The answer with one more header."""
    return Answer(answer.status, [*answer.headers, (name, value)], answer.body)


def without_header(answer: Answer, name: bytes) -> Answer:
    """The answer without the headers of this name (lower case)."""
    return Answer(answer.status, [header for header in answer.headers if header[0].lower() != name], answer.body)


def uncharged(answer: Answer, network: str) -> Answer:
    """What a handler answered that failed: it goes out as it is, and says that the payment was not settled, so that a
    payer does not have to count it as perhaps spent."""
    settlement = SettlementResponse(success=False, transaction="", network=network, error_reason=codes.HANDLER_FAILED)
    dropped = (PAYMENT_RESPONSE, SETTLEMENT_OVERRIDES)
    headers = [header for header in answer.headers if header[0].lower() not in dropped]
    return Answer(answer.status, [*headers, (PAYMENT_RESPONSE, settlement_header(settlement))], answer.body)


@lru_cache(maxsize=64)
def _with_private(directives: bytes) -> bytes:
    named = {part.strip().lower() for part in directives.split(b",")}
    return directives if named & {b"private", b"no-store"} else directives + b", private"


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _problem(
    status: int, code: str, title: str, detail: str, *, reason: str | None = None, retryable: bool = False
) -> bytes:
    return _encode(_Problem(f"urn:life:error:{code}", title, status, detail, code, retryable, reason))


__all__: Sequence[str] = [
    "Answer",
    "Declared",
    "Fresh",
    "Headers",
    "IdentifierTerms",
    "Terms",
    "answer_not_kept",
    "being_streamed",
    "facilitator_unavailable",
    "header_of",
    "identifier_conflict",
    "interrupted_after_charge",
    "malformed",
    "outcome_unknown",
    "paid",
    "paid_headers",
    "payment_required",
    "private_headers",
    "refused",
    "with_header",
    "without_header",
]
