"""Money as rows: a payment with what its events told of it, and the policy's ruler with the amount on it. Dollars, and the exact micro-units beside.

Source: WS-APP-6, WS-APP-7.
"""

from __future__ import annotations

import math
from typing import Final

from rich.text import Text

from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, WAIT, beside, wrap
from life.cli.chat.reader import Limits
from life.cli.chat.sight import Sight
from life.cli.chat.untrusted import middle, one_line
from life.cli.shell.words import dollars
from life.workspace.state import Payment

PLAY_MONEY: Final = "eip155:4020402"
"""The local ledger's network: nothing on it is worth anything."""

_GOOD: Final = ("settled", "earned")
_BAD: Final = ("failed", "declined")


def amount(sight: Sight, micro: int) -> str:
    """Dollars, and the exact units: `$0.50 (500,000 µ)`."""
    return f"{dollars(micro)} ({sight.words('amountExact', n=sight.words.whole(micro))})"


def payment_rows(sight: Sight, payment: Payment, width: int, *, whole: bool) -> list[Text]:
    """One payment as its events told it."""
    signs, words = sight.signs, sight.words
    style = GOOD if payment.state in _GOOD else BAD if payment.state in _BAD else WAIT
    head = Text.assemble((f"{signs.money} ", style), (words("payment"), "bold"), "  ")
    head.append(amount(sight, payment.amount_micro) if payment.amount_micro else words("notReported"))
    target = payment.resource or payment.payee
    if target:
        head.append(f"  {one_line(target, 200)}", SOFT)
    simulated = f" {signs.dot} {words('simulated')}" if payment.network == PLAY_MONEY else ""
    rows = [beside(head, Text(words.term("pay_", payment.state), style), width, more=signs.more)]
    if payment.reason:
        rows += wrap(Text(one_line(payment.reason, 300), SOFT), width, indent=Text("  "))
    if simulated and not whole:
        rows.append(Text(f"  {words('simulated')}", SOFT))
    if not whole:
        return rows
    facts = (
        (words("payeeOf"), payment.payee),
        (words("resource"), payment.resource),
        (words("network"), f"{payment.network}{simulated}"),
        (words("transaction"), payment.tx or words("notSettled")),
    )
    for name, value in facts:
        told = middle(value, max(8, width - 18), more=signs.more) if value else words("notReported")
        rows.append(Text.assemble((f"  {name:<14} ", SOFT), told))
    limits = None if sight.about is None else sight.about.payments
    if limits is not None and limits.enabled:
        rows += ruler_rows(sight, limits, payment.amount_micro, width)
    return rows


def ruler_rows(sight: Sight, limits: Limits, micro: int, width: int) -> list[Text]:
    """What is paid by itself, what asks, what is refused, on a logarithmic scale; with an amount on it."""
    signs, words = sight.signs, sight.words
    room = max(12, min(60, width - 4))
    auto = _place(limits.auto_approve_micro, limits, room)
    most = max(auto + 1, _place(limits.most_per_payment_micro, limits, room))
    bar = Text.assemble(
        "  ",
        (signs.full * auto, GOOD),
        (signs.half * (most - auto), WAIT),
        (signs.empty * max(0, room - most), BAD),
    )
    rows: list[Text] = []
    if micro:
        pin = min(room - 1, max(0, _place(micro, limits, room) - 1))
        label = words("rulerPin", amount=dollars(micro))
        flag = f"{signs.pin} {label}" if pin + len(label) + 2 <= room else f"{label} {signs.pin}"
        lead = pin if flag.startswith(signs.pin) else max(0, pin - len(label) - 1)
        rows.append(Text.assemble("  ", " " * lead, (flag, f"bold {ACCENT}")))
    rows.append(bar)
    told = words(
        "ruler",
        auto=dollars(limits.auto_approve_micro),
        most=dollars(limits.most_per_payment_micro),
        session=dollars(limits.most_per_session_micro),
    )
    rows += wrap(Text(told, SOFT), width, indent=Text("  "))
    if limits.network == PLAY_MONEY:
        rows.append(Text(f"  {words('simulated')}", SOFT))
    return rows


def _place(micro: int, limits: Limits, room: int) -> int:
    """How many cells of the ruler an amount takes."""
    end = math.log10(max(10, limits.most_per_payment_micro * 10))
    return max(0, min(room, round(math.log10(max(1, micro)) / end * room)))
