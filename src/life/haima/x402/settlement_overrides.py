"""What a handler charges of a signed maximum (scheme `upto`): the header `Settlement-Overrides` of its answer.

    Settlement-Overrides: {"amount": "1234"}      atomic units
    Settlement-Overrides: {"amount": "25%"}       of the maximum, with at most two digits after the point, rounded down
    Settlement-Overrides: {"amount": "$0.05"}     dollars, for a token whose value is known

Without the header the whole maximum is charged. `0` is allowed: nothing moves, and the payment is used up all the same. More
than the maximum is the handler's mistake, and so is a header that can't be read: nothing is charged then. Source: x402.md §2.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.money import parse_price_atomic
from life.haima.x402.answers import SETTLEMENT_OVERRIDES, Answer, header_of
from life.haima.x402.claims import Charge

_ATOMIC: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%")


class _Overrides(msgspec.Struct):
    amount: str


def charge_of(answer: Answer, *, amount_atomic: int, amount_micro: int | None) -> Charge:
    """What an answer charges of a maximum; InvalidInputError when it says something that can't be."""
    header = header_of(answer, SETTLEMENT_OVERRIDES)
    if header is None:
        return Charge(amount_atomic, amount_micro)
    try:
        text = msgspec.json.decode(header, type=_Overrides).amount
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInputError('Settlement-Overrides must look like {"amount": "1234"}.') from None
    charged = read_charge(text, amount_atomic=amount_atomic, amount_micro=amount_micro)
    if charged > amount_atomic:
        raise InvalidInputError("Settlement-Overrides charges more than was signed.")
    return charge(charged, amount_atomic=amount_atomic, amount_micro=amount_micro)


def charge(charged_atomic: int, *, amount_atomic: int, amount_micro: int | None) -> Charge:
    """A part of a maximum, in atomic units and in micro-dollars (rounded down)."""
    if amount_micro is None:
        return Charge(charged_atomic, None)
    return Charge(charged_atomic, charged_atomic * amount_micro // amount_atomic)


def read_charge(text: str, *, amount_atomic: int, amount_micro: int | None) -> int:
    """Atomic units of an amount as a handler writes it; InvalidInputError when it is none."""
    if _ATOMIC.fullmatch(text):
        return int(text)
    percent = _PERCENT.fullmatch(text)
    if percent is not None:
        hundredths = int(percent[1]) * 100 + int((percent[2] or "").ljust(2, "0"))
        return amount_atomic * hundredths // 10_000
    if not text.startswith("$"):
        raise InvalidInputError("An amount to charge looks like '1234', '25%' or '$0.05'.")
    if not amount_micro:
        raise InvalidInputError("The value of this token is not known, so an amount in dollars means nothing.")
    if not text.strip("$0."):
        return 0
    exact, rest = divmod(parse_price_atomic(text, 6) * amount_atomic, amount_micro)
    if rest:
        raise InvalidInputError("The amount to charge is finer than the token's unit.")
    return exact


__all__ = ["charge", "charge_of", "read_charge"]
