"""On whose behalf a request is made: what a caller may say beside the request itself.

    purchase_id        one id, one payment, for ever
    session_id         whose cap it counts against
    task_id            what it is for
    max_amount_micro   the most this call may cost
    repeat             `usual` or `never` (life.haima.x402.purchase)
    approval_wait_s    how long to wait for a person, when one has to decide
    ahead              pay with the known terms of this URL, without asking for them again

Clients of the httpx family take it as `extensions={"life": {…}}`. Every client takes it from

    with paying_for(purchase_id="order-1"):
        session.get("https://example.org/report")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, get_args

from life.aios.errors import InvalidInputError
from life.haima.x402.purchase import PurchaseRequest, RepeatRule

CONTEXT: Final = "life"
RECEIPT: Final = "life.settlement"

MAX_WAIT_S: Final = 30 * 86_400

_KEYS: Final = frozenset(
    ("purchase_id", "session_id", "task_id", "max_amount_micro", "repeat", "approval_wait_s", "ahead")
)
_RULES: Final = frozenset(get_args(RepeatRule))
_ambient: ContextVar[Mapping[str, object] | None] = ContextVar("life.paying_for", default=None)


@contextmanager
def paying_for(
    *,
    purchase_id: str | None = None,
    session_id: str | None = None,
    task_id: str | None = None,
    max_amount_micro: int | None = None,
    repeat: RepeatRule = "usual",
    approval_wait_s: int = 0,
    ahead: bool = False,
) -> Iterator[None]:
    """The context of every request that this task (or thread) makes inside. It replaces an outer one."""
    token = _ambient.set(
        {
            "purchase_id": purchase_id,
            "session_id": session_id,
            "task_id": task_id,
            "max_amount_micro": max_amount_micro,
            "repeat": repeat,
            "approval_wait_s": approval_wait_s,
            "ahead": ahead,
        }
    )
    try:
        yield
    finally:
        _ambient.reset(token)


def purchase_of(method: str, url: str, body: bytes | None, context: object = None) -> PurchaseRequest:
    """The purchase that a request may become. `body` None: it can't be sent twice. Without a `context` of its own the
    ambient one counts. InvalidInputError for a context that can't be right; a wrong key in it is an error, because a
    misspelt ceiling is no ceiling."""
    if context is None:
        context = _ambient.get()
    if context is None:
        return PurchaseRequest(method, url, body or b"", replayable=body is not None)
    if not isinstance(context, Mapping) or not _KEYS.issuperset(context):
        raise InvalidInputError(f"The request extension {CONTEXT!r} is a mapping with the keys {sorted(_KEYS)}.")
    repeat = context.get("repeat", "usual")
    if repeat not in _RULES:
        raise InvalidInputError(f"repeat is one of {sorted(_RULES)}.")
    ahead = context.get("ahead", False)
    if not isinstance(ahead, bool):
        raise InvalidInputError("ahead is true or false.")
    wait_s = _number(context, "approval_wait_s") or 0
    if wait_s > MAX_WAIT_S:
        raise InvalidInputError(f"approval_wait_s is at most {MAX_WAIT_S} seconds.")
    return PurchaseRequest(
        method=method,
        url=url,
        body=body or b"",
        purchase_id=_text(context, "purchase_id"),
        session_id=_text(context, "session_id"),
        task_id=_text(context, "task_id"),
        max_amount_micro=_number(context, "max_amount_micro"),
        repeat=repeat,
        replayable=body is not None,
        approval_wait_s=wait_s,
        ahead=ahead,
    )


def _number(context: Mapping[str, object], key: str) -> int | None:
    value = context.get(key)
    if value is not None and (type(value) is not int or value < 0):
        raise InvalidInputError(f"{key} is a number (int), not below zero.")
    return value


def _text(context: Mapping[str, object], key: str) -> str | None:
    value = context.get(key)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 255):
        raise InvalidInputError(f"{key} is text of 1 to 255 characters.")
    return value
