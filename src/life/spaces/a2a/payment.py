"""The x402 extension of A2A, version 0.2, standalone flow: what stands in the metadata of messages.

    agent   INPUT_REQUIRED   x402.payment.status payment-required, x402.payment.required {PaymentRequired}
    client  message          x402.payment.status payment-submitted, x402.payment.payload {PaymentPayload}
    agent   WORKING          x402.payment.status payment-completed, x402.payment.receipts [...]
    agent   INPUT_REQUIRED   x402.payment.status payment-failed, x402.payment.error, and the terms again
    client  message          x402.payment.status payment-rejected: the task is over

Source: google-agentic-commerce/a2a-x402, spec v0.2; x402.md §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from life.aios.json import Json, JsonObject
from life.spaces.a2a.errors import InvalidParamsError
from life.spaces.a2a.wire import Message, Metadata, Task

STATUS: Final = "x402.payment.status"
REQUIRED: Final = "x402.payment.required"
PAYLOAD: Final = "x402.payment.payload"
RECEIPTS: Final = "x402.payment.receipts"
ERROR: Final = "x402.payment.error"

PAYMENT_REQUIRED: Final = "payment-required"
PAYMENT_REJECTED: Final = "payment-rejected"
PAYMENT_SUBMITTED: Final = "payment-submitted"
PAYMENT_COMPLETED: Final = "payment-completed"
PAYMENT_FAILED: Final = "payment-failed"


class PaymentWord(NamedTuple):
    """What a client's message says about paying: a payload, or that it won't."""

    payload: JsonObject | None


def payment_word(message: Message) -> PaymentWord | None:
    """Read a client's message; None when it says nothing about paying. InvalidParamsError."""
    metadata = message.metadata or {}
    status = metadata.get(STATUS)
    if status is None:
        return None
    if status == PAYMENT_REJECTED:
        return PaymentWord(None)
    payload = metadata.get(PAYLOAD)
    if status != PAYMENT_SUBMITTED or not isinstance(payload, Mapping):
        raise InvalidParamsError(f"With {STATUS} '{PAYMENT_SUBMITTED}' the message brings {PAYLOAD}.")
    return PaymentWord(payload)


def asking(terms: JsonObject) -> Metadata:
    """Asks for money."""
    return {STATUS: PAYMENT_REQUIRED, REQUIRED: terms}


def failed(terms: JsonObject, error: str, receipt: Json) -> Metadata:
    """Says that a payment was refused, and asks again."""
    receipts: list[Json] = [] if receipt is None else [receipt]
    return {STATUS: PAYMENT_FAILED, ERROR: error, RECEIPTS: receipts, REQUIRED: terms}


def completed(receipt: Json) -> Metadata:
    """Gives the receipt."""
    return {STATUS: PAYMENT_COMPLETED, RECEIPTS: [receipt]}


def terms_of(task: Task) -> JsonObject | None:
    """What another agent's task asks to be paid; None when it asks for nothing."""
    message = task.status.message
    metadata = {} if message is None else message.metadata or {}
    terms = metadata.get(REQUIRED)
    return terms if isinstance(terms, Mapping) else None


def receipts_of(task: Task) -> list[Json]:
    """Receipts in the status, or in the last words, of another agent's task."""
    for message in (task.status.message, *reversed(task.history)):
        found = ((message.metadata or {}) if message is not None else {}).get(RECEIPTS)
        if isinstance(found, list) and found:
            return found
    return []
