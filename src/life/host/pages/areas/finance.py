"""Finance: totals and wallet, money events, accounts, the policy that decides about payments, credit, bills."""

from __future__ import annotations

from typing import Final

import msgspec

from life.haima.credit_api import read_report
from life.haima.x402.networks import LOCAL
from life.host.pages.areas.room import Place, Room
from life.host.pages.ledger_view import MoneyBooks
from life.host.pages.listing import listed
from life.host.pages.parts import Block, Choice, Code, Column, Fact, Facts, Note, Row, Tab, Tone, View
from life.host.pages.transcript import as_text
from life.host.pages.visit import Visit
from life.host.pages.words import Words

_EVENTS: Final = ("reserved", "paid", "refused", "declined", "outcome unknown", "given back", "earned")
_TONES: Final[dict[str, Tone]] = {
    "paid": "good",
    "earned": "good",
    "refused": "bad",
    "declined": "bad",
    "outcome unknown": "wait",
    "reserved": "wait",
}


class FinancePages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._books = MoneyBooks(room.system.journal)

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/finance", self.overview),
            Place("/finance/ledger", self.ledger),
            Place("/finance/accounts", self.accounts),
            Place("/finance/policy", self.policy),
            Place("/finance/credit", self.credit),
            Place("/finance/bills", self.bills),
        ]

    async def overview(self, visit: Visit) -> View:
        """What was earned and spent, and whose wallet it is."""
        say, system = visit.say, self._room.system
        await self._books.catch_up()
        totals, payments = self._books.totals, system.settings.payments
        figures = [
            Fact(say("Spent"), totals.total_expenses, "money", "/finance/ledger?what=paid"),
            Fact(say("Earned"), totals.total_revenue, "money", "/finance/ledger?what=earned"),
            Fact(say("Net"), totals.net_balance, "money"),
            Fact(say("Payments"), totals.payment_count, "number"),
            Fact(say("Failed"), totals.failed_count, "number", "/finance/ledger?what=refused"),
            Fact(say("Open bills"), len(totals.pending_bills), "number", "/finance/bills"),
        ]
        wallet = system.identity.wallet
        facts = [
            Fact(say("Address"), wallet.address, "code"),
            Fact(say("Chain"), wallet.chain, "code"),
            Fact(say("Payments"), payments.enabled, "yes", "/finance/policy"),
            Fact(say("Pays on"), payments.network, "code"),
            Fact(say("Mode of means"), system.autonomic.mode(), "tag", "/autonomic"),
            Fact(say("On chain, as last seen"), totals.on_chain_balance, "money"),
        ]
        play = payments.network == LOCAL
        note = Note(say("Play money on the embedded ledger: nothing here costs anything.")) if play else None
        blocks: list[Block] = [Facts(figures, figures=True), Facts(facts, say("Wallet")), *([note] if note else [])]
        return View(say("Finance"), blocks, "haima cost", tabs=_tabs(say))

    async def ledger(self, visit: Visit) -> View:
        """The money events, newest first."""
        say = visit.say
        await self._books.catch_up()
        rows: list[Row] = [
            {
                "time": each.at_us,
                "what": each.what,
                "amount": each.amount_micro,
                "purpose": each.purpose,
                "counterparty": each.counterparty,
                "remark": each.remark,
                "transaction": each.transaction,
                "session": each.session_id,
                "event_id": each.event_id,
            }
            for each in reversed(self._books.rows)
        ]
        columns = [
            Column("time", say("Time (UTC)"), "time"),
            Column("what", say("Event"), "tag", tone=lambda row: _TONES.get(str(row["what"]), "")),
            Column("amount", say("Amount"), "money"),
            Column("purpose", say("For")),
            Column("counterparty", say("Counterparty"), "code"),
            Column("remark", say("Remark")),
            Column("transaction", say("Transaction"), "code"),
            Column("session", say("Session"), "code", shown=False),
            Column("event_id", say("Event"), "code", shown=False),
        ]
        choice = Choice("what", say("Event"), [(name, say.known(name)) for name in _EVENTS])
        table = listed(visit.query, columns, rows, empty=say("No money has moved."), choices=[choice])
        return View(say("Ledger"), [table], "haima ledger", tabs=_tabs(say))

    async def accounts(self, visit: Visit) -> View:
        """Every account of the books and its balance; together they are nothing."""
        say = visit.say
        await self._books.catch_up()
        balances = self._books.books.balances
        rows: list[Row] = [{"account": name, "balance": balances[name]} for name in sorted(balances)]
        columns = [Column("account", say("Account"), "code"), Column("balance", say("Balance"), "money")]
        table = listed(visit.query, columns, rows, empty=say("No money has moved."))
        return View(say("Accounts"), [table], "haima ledger", tabs=_tabs(say))

    async def policy(self, visit: Visit) -> View:
        """What the agent may pay, and who may be paid. Changed in the settings alone."""
        say, payments = visit.say, self._room.system.settings.payments
        limits = self._room.system.identity.soul.values.economic_limits
        none = say("no limit")

        def cap(label: str, micro: int | None) -> Fact:
            return Fact(label, none) if micro is None else Fact(label, micro, "money")

        facts = [
            Fact(say("Payments"), payments.enabled, "yes"),
            Fact(say("Network"), payments.network, "code"),
            cap(say("Paid without asking up to"), payments.auto_approve_cap_micro),
            cap(say("Most per payment"), payments.hard_cap_per_tx_micro),
            cap(say("Most per session"), payments.session_spend_cap_micro),
            cap(say("Most per task"), payments.task_cap_micro),
            cap(say("Most per payee"), payments.payee_cap_micro),
            cap(say("Most per host"), payments.host_cap_micro),
            cap(say("Most per day (UTC)"), payments.day_cap_micro),
            cap(say("Most in any day's length"), payments.rolling_day_cap_micro),
            cap(say("Most ever"), payments.total_spend_cap_micro),
            Fact(say("Most payments a minute"), payments.max_tx_per_minute, "number"),
            Fact(say("Hosts that may be paid"), payments.allow_hosts or say("all"), "code"),
            Fact(say("Hosts that may not"), payments.deny_hosts, "code"),
            Fact(say("Payees that may be paid"), payments.allow_payees or say("all"), "code"),
            Fact(say("Payees that may not"), payments.deny_payees, "code"),
            Fact(say("When a known payee changes"), payments.on_payee_change, "tag"),
            Fact(say("A question waits for (seconds)"), payments.approval_lifetime_s, "number"),
        ]
        soul = [
            cap(say("Most per payment"), limits.max_spend_per_tx_micro_credits),
            cap(say("Most per session"), limits.max_spend_per_session_micro_credits),
            cap(say("Most ever"), limits.max_lifetime_spend_micro_credits),
        ]
        return View(
            say("Payment policy"),
            [
                Facts(facts),
                Facts(soul, say("Limits of the soul, which no setting raises")),
                Note(say("Change these in config.toml; they hold from the next start on.")),
            ],
            "life settings",
            tabs=_tabs(say),
        )

    async def credit(self, visit: Visit) -> View:
        """What this journal says of the agent's credit."""
        from life.host.haima_credit import credit_over  # with lending, which few look at

        say, system = visit.say, self._room.system
        async with credit_over(system.journal, None, system.clock, system.entropy) as opened:
            report = await read_report(opened.desk, system.identity.agent_id)
        return View(
            say("Credit"),
            [Code(as_text_of(report), say("Credit report"))],
            f"haima credit report {system.identity.agent_id}",
            tabs=_tabs(say),
            lead=say("Computed from this journal. Nobody's money is lent by looking at it."),
        )

    async def bills(self, visit: Visit) -> View:
        """Bills for finished tasks, newest first."""
        say, now_us = visit.say, self._room.system.clock.now_us()
        await self._books.catch_up()
        rows: list[Row] = [
            {
                "bill_id": bill.bill_id,
                "status": bill.status,
                "description": bill.description,
                "payer": bill.payer,
                "payee": bill.payee,
                "amount": bill.amount_micro_credits,
                "open": bill.open_micro_credits,
                "overdue": bool(
                    bill.open_micro_credits and 0 < bill.due_at_us < now_us and not (task and task.escrowed)
                ),
                "task": None if task is None else task.status,
                "billed": bill.billed_at_us,
                "due": bill.due_at_us,
                "task_id": bill.task_id,
            }
            for bill, task in self._books.bills()
        ]
        columns = [
            Column("billed", say("Billed (UTC)"), "time"),
            Column("status", say("State"), "tag"),
            Column("description", say("For")),
            Column("payer", say("Payer"), "code"),
            Column("payee", say("Payee"), "code"),
            Column("amount", say("Amount"), "money"),
            Column("open", say("Still owed"), "money"),
            Column("overdue", say("Overdue"), "yes"),
            Column("task", say("Task"), "tag"),
            Column("due", say("Due (UTC)"), "time"),
            Column("bill_id", say("Id"), "code", shown=False),
            Column("task_id", say("Task id"), "code", shown=False),
        ]
        states = sorted({str(row["status"]) for row in rows})
        choice = Choice("status", say("State"), [(name, say.known(name)) for name in states])
        table = listed(visit.query, columns, rows, empty=say("There are no bills."), choices=[choice])
        return View(say("Bills"), [table], "haima bills", tabs=_tabs(say))


def as_text_of(report: object) -> str:
    """A struct as indented JSON."""
    return as_text(msgspec.to_builtins(report))


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Totals"), "/finance"),
        Tab(say("Ledger"), "/finance/ledger"),
        Tab(say("Accounts"), "/finance/accounts"),
        Tab(say("Policy"), "/finance/policy"),
        Tab(say("Credit"), "/finance/credit"),
        Tab(say("Bills"), "/finance/bills"),
        Tab(say("Questions"), "/inbox/payments"),
    )
