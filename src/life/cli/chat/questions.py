"""What waits for a person at the head: calls, calls in doubt, payments. Rows with everything there is to decide by, and no answer chosen beforehand.

Source: WS-APP-1 to WS-APP-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.text import Text

from life.aios.json import Json
from life.cli.chat.money import PLAY_MONEY, amount, ruler_rows
from life.cli.chat.prose import ACCENT, BAD, SOFT, WAIT, beside, cropped, wrap
from life.cli.chat.reader import PaymentQuestion
from life.cli.chat.sight import Sight
from life.cli.chat.untrusted import clean, middle, one_line
from life.cli.shell.known_files import Difference
from life.cli.shell.words import dollars, pretty_json, seconds
from life.workspace.state import Approval
from life.workspace.values import fields, fields_of, text

_MOST_LINES: Final = 12
_SIGNS: Final = {"+": "green", "-": "red", " ": "dim", "@": "cyan"}


class ApprovalAsked(NamedTuple):
    """A call that waits for approval."""

    approval: Approval
    arguments: Json
    why: str

    @property
    def key(self) -> str:
        """What names the question."""
        return self.approval.id


class DoubtAsked(NamedTuple):
    """A call of which nobody knows whether it happened."""

    call: str
    tool: str

    @property
    def key(self) -> str:
        """What names the question."""
        return f"doubt/{self.call}"


class PaymentAsked(NamedTuple):
    """A payment that waits."""

    payment: PaymentQuestion

    @property
    def key(self) -> str:
        """What names the question."""
        return self.payment.ticket_id


Question = ApprovalAsked | DoubtAsked | PaymentAsked


def waiting(sight: Sight, payments: Sequence[PaymentQuestion]) -> list[Question]:
    """Everything that waits at the head, oldest first. At a past position nothing is asked."""
    if not sight.is_live:
        return []
    state = sight.state
    found: list[Question] = []
    for approval in state.approvals:
        record = sight.record(approval.seq)
        arguments = None if record is None else fields_of(record.payload).get("arguments")
        entry = next((one for one in reversed(state.entries) if one.kind == "tool" and one.ref == approval.call), None)
        found.append(ApprovalAsked(approval, arguments, "" if entry is None else entry.why or entry.rule))
    found += [DoubtAsked(call.id, call.tool) for call in state.calls if call.state == "in_doubt"]
    return [*found, *(PaymentAsked(payment) for payment in payments)]


def question_rows(sight: Sight, question: Question, width: int, change: Difference | None) -> list[Text]:
    """The question, whole as far as it fits."""
    match question:
        case ApprovalAsked():
            return _approval(sight, question, width, change)
        case DoubtAsked():
            words = sight.words
            head = Text.assemble((f"{sight.signs.ask} ", f"bold {WAIT}"), (one_line(question.tool, 60), "bold"))
            return [head, *wrap(Text(words("doubtAsk")), width, indent=Text("  "))]
        case PaymentAsked():
            return _payment(sight, question.payment, width)


def _approval(sight: Sight, question: ApprovalAsked, width: int, change: Difference | None) -> list[Text]:
    words, signs, approval = sight.words, sight.signs, question.approval
    risk = words("riskIs", risk=words.term("risk_", approval.risk))
    style = f"bold {BAD}" if approval.risk in ("high", "critical") else f"bold {WAIT}"
    ask = words("approvalAsk", tool=one_line(approval.tool, 60))
    head = Text.assemble((f"{signs.ask} ", f"bold {WAIT}"), (ask, "bold"), "  ", (risk, style))
    rows = [beside(head, Text(_time_left(sight, approval), SOFT), width, more=signs.more)]
    gutter = Text(f"  {signs.gutter} ", SOFT)
    given = fields(question.arguments)
    command = text(given.get("command"))
    body: list[Text] = []
    if change is not None and change.lines:
        body.append(Text(f"{one_line(change.path, 200)}  +{change.added} -{change.removed}", "bold"))
        body += [Text(f"{line.sign} {clean(line.text)}", _SIGNS[line.sign]) for line in change.lines]
    elif command:
        body += [
            Text(f"{'$' if not number else ' '} {row}", "bold") for number, row in enumerate(clean(command).split("\n"))
        ]
    elif question.arguments not in (None, {}):
        body += [Text(row) for row in clean(pretty_json(question.arguments)).split("\n")]
    drawn = [row for line in body[: _MOST_LINES + 1] for row in wrap(line, width, indent=gutter)]
    if len(drawn) > _MOST_LINES or len(body) > _MOST_LINES + 1:
        left_out = len(body) - _MOST_LINES + 1
        drawn = drawn[: _MOST_LINES - 1]
        drawn.append(Text.assemble(gutter, (f"{signs.more} {words('moreLines', n=max(1, left_out))}", SOFT)))
    rows += drawn
    if question.why:
        rows += wrap(Text(clean(words("whyAsked", rule=question.why)), SOFT), width, indent=Text("  "))
    if approval.capabilities:
        needs = f"{words('needs')} {', '.join(approval.capabilities)}"
        rows += [Text.assemble("  ", cropped(Text(clean(needs).replace("\n", " "), SOFT), width - 2, more=signs.more))]
    return rows


def _time_left(sight: Sight, approval: Approval) -> str:
    due_us = sight.deadlines.get(approval.id)
    if due_us is None:
        return ""
    left_ms = (due_us - sight.now_us) // 1000
    if left_ms <= 0:
        return sight.words("expired")
    return sight.words("expiresIn", time=seconds(left_ms // 1000 * 1000))


def _payment(sight: Sight, asked: PaymentQuestion, width: int) -> list[Text]:
    words, signs = sight.words, sight.signs
    ask = words("paymentAsk", amount=amount(sight, asked.amount_micro), payee=middle(asked.payee, 20, more=signs.more))
    rows = wrap(Text(ask, "bold"), width, indent=Text(f"{signs.money} ", f"bold {ACCENT}"), hang=Text("  "))
    simulated = f" {signs.dot} {words('simulated')}" if asked.network == PLAY_MONEY else ""
    for name, value in (
        (words("resource"), asked.resource_url),
        (words("payeeOf"), asked.payee),
        (words("network"), f"{asked.network}{simulated}"),
        (words("reasonOf"), " ".join(part for part in (asked.reason or asked.code, asked.expected or "") if part)),
    ):
        rows += wrap(Text(clean(value)), width, indent=Text(f"  {name:<13} ", SOFT), hang=Text(" " * 16))
    limits = None if sight.about is None else sight.about.payments
    if limits is not None and limits.enabled:
        rows += ruler_rows(sight, limits, asked.amount_micro, width)
        after = limits.most_per_session_micro - sight.state.totals.spent_micro - sight.wallets.totals.spent_micro
        rows.append(Text(f"  {words('leftAfter', amount=dollars(max(0, after - asked.amount_micro)))}", SOFT))
    return rows
