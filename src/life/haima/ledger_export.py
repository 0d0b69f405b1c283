"""The books for other programs: CSV, and the plain-text journals of hledger (also ledger-cli) and beancount.

A line of output follows from one posting, amounts are exact decimals with six digits, dates are UTC. Each transaction
carries the id of its event, so that every figure in somebody else's accounts leads back to the journal. Text from outside
(URLs, memos) is flattened: it can't begin a new line, a comment or a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from life.aios.record import format_timestamp
from life.haima.ledger import Posting

Format = Literal["csv", "hledger", "beancount"]

CURRENCY: Final = "USDC"
COLUMNS: Final = (
    "event_id",
    "position",
    "timestamp",
    "account",
    "amount",
    "currency",
    "what",
    "payment_id",
    "session_id",
    "task_id",
    "counterparty",
    "transaction",
)

_HLEDGER_HEADER: Final = f"; books of an agent, from its journal\ncommodity {CURRENCY} 1000.000000\n\n"
_BEANCOUNT_HEADER: Final = f'option "title" "Books of an agent"\noption "operating_currency" "{CURRENCY}"\n\n'
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Exporter:
    """Writes one format, posting by posting, so that books of any length need no memory."""

    def __init__(self, format: Format) -> None:
        self._write = {"csv": _csv, "hledger": self._hledger, "beancount": self._beancount}[format]
        self.header = {"csv": _row(COLUMNS), "hledger": _HLEDGER_HEADER, "beancount": _BEANCOUNT_HEADER}[format]
        """What stands before the first posting."""
        self._declared: set[str] = set()

    def text(self, posting: Posting) -> str:
        """One posting."""
        return self._write(posting)

    def _beancount(self, posting: Posting) -> str:
        # Dates of events may run backwards when a clock was set; accounts are open from the beginning.
        lines = [f"1970-01-01 open {account} {CURRENCY}" for account in self._new_accounts(posting)]
        lines.append(f'{format_timestamp(posting.at_us)[:10]} * "{_quoted(posting.what)}"')
        lines += [f'  {name}: "{_quoted(value)}"' for name, value in _metadata(posting)]
        lines += [f"  {account}  {decimal(amount)} {CURRENCY}" for account, amount in posting.entries]
        return "\n".join(lines) + "\n\n"

    def _hledger(self, posting: Posting) -> str:
        what = _flat(posting.what).replace(";", ",").replace("|", "/")
        lines = [f"account {account}" for account in self._new_accounts(posting)]
        lines.append(f"{format_timestamp(posting.at_us)[:10]} * ({posting.event_id}) {what}")
        lines += [f"    ; {name}: {value}" for name, value in _metadata(posting, comma=True)]
        lines += [f"    {account}  {CURRENCY} {decimal(amount)}" for account, amount in posting.entries]
        return "\n".join(lines) + "\n\n"

    def _new_accounts(self, posting: Posting) -> list[str]:
        new = list(dict.fromkeys(account for account, _ in posting.entries if account not in self._declared))
        self._declared.update(new)
        return new


def decimal(amount_micro: int) -> str:
    """Micro-credits as a decimal: `-10000` → `-0.010000`."""
    whole, fraction = divmod(abs(amount_micro), 1_000_000)
    return f"{'-' if amount_micro < 0 else ''}{whole}.{fraction:06d}"


def _csv(posting: Posting) -> str:
    return "".join(
        _row(
            (
                posting.event_id,
                str(posting.position),
                format_timestamp(posting.at_us),
                account,
                decimal(amount),
                CURRENCY,
                _cell(posting.what),
                _cell(posting.payment_id),
                _cell(posting.session_id),
                _cell(posting.task_id),
                _cell(posting.counterparty),
                _cell(posting.transaction),
            )
        )
        for account, amount in posting.entries
    )


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _cell(text: str | None) -> str:
    """Spreadsheets run what begins like a formula; a quote before it makes it text (OWASP, CSV injection)."""
    flat = _flat(text or "")
    return f"'{flat}" if flat.startswith(_FORMULA) else flat


def _metadata(posting: Posting, *, comma: bool = False) -> Iterator[tuple[str, str]]:
    named = (
        ("event", posting.event_id),
        ("position", str(posting.position)),
        ("time", format_timestamp(posting.at_us)),
        ("payment", posting.payment_id),
        ("session", posting.session_id),
        ("task", posting.task_id),
        ("counterparty", posting.counterparty),
        ("transaction", posting.transaction),
    )
    for name, value in named:
        if value:
            flat = _flat(value)
            yield name, flat.replace(",", " ") if comma else flat  # a comma ends a tag's value in hledger


def _quoted(text: str) -> str:
    return _flat(text).replace("\\", "\\\\").replace('"', '\\"')


def _flat(text: str) -> str:
    """One line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()
