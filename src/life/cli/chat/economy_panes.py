"""Inspectors of the economy and of identity: how the agent is, what homeostasis rules, money, and who it is."""

from __future__ import annotations

from rich.text import Text

from life.cli.chat.facts import blank, fact, heading, meter, sparkline
from life.cli.chat.money import amount, payment_rows, ruler_rows
from life.cli.chat.prose import BAD, SOFT, WAIT, beside, wrap
from life.cli.chat.sight import Rows, Sight, clock_time
from life.cli.chat.untrusted import clean, one_line
from life.cli.shell.words import dollars, seconds
from life.workspace.state import Payment, Vector


def autonomic_pane(sight: Sight, width: int) -> list[Rows]:
    """The state vector, what is left, gates and rulings."""
    state, words = sight.state, sight.words
    rows: list[Rows] = []
    if state.breaker:
        rows.append(Rows("", wrap(Text(words("breakerOpen"), f"bold {BAD}"), width)))
    if state.suspended:
        rows.append(Rows("", wrap(Text(clean(state.suspended), f"bold {WAIT}"), width)))
    vector = state.vector
    rows += blank(sight, words("noVector"), width) if vector is None else _vector(sight, vector, width)
    rows.append(heading(words("gates"), "" if state.gates is None else f"#{state.gates.seq}"))
    gates = state.gates
    if gates is None:
        rows.append(Rows("", (Text(words("gatesNone"), SOFT),)))
    else:
        rows += [
            fact(words("gateSideEffects"), words("yes" if gates.side_effects else "no"), width),
            fact(words("gateNetwork"), words("yes" if gates.network else "no"), width),
            fact(words("gateShell"), words("yes" if gates.shell else "no"), width),
            fact(words("gateApproval"), words.term("risk_", gates.approval_for_risk), width),
            fact(words("gateCalls"), words.whole(gates.tool_calls), width),
            fact(words("gateMutations"), words.whole(gates.mutations), width),
        ]
        if gates.reason:
            rows.append(Rows("", wrap(Text(clean(gates.reason), SOFT), width)))
    if state.rulings:
        rows.append(heading(words("rulings")))
    for ruling in reversed(state.rulings[-12:]):
        rows.append(_noted(sight, ruling.seq, ruling.type, ruling.detail, width))
    if state.modes:
        rows.append(heading(words("modesHistory")))
    for mode in reversed(state.modes[-12:]):
        rows.append(_noted(sight, mode.seq, f"{mode.was} {sight.signs.arrow} {mode.now}", mode.reason, width))
    return rows


def _vector(sight: Sight, vector: Vector, width: int) -> list[Rows]:
    state, words = sight.state, sight.words
    rows = [
        fact(words("mode"), one_line(state.mode, 40) or words("notReported"), width, style="bold"),
        fact(words("risk"), words.term("risk_", vector.risk) or words("notReported"), width),
        fact(words("errorStreak"), words.whole(vector.error_streak), width, style=BAD if vector.error_streak else ""),
        Rows("", (Text(),)),
        meter(sight, words("progress"), vector.progress, width),
        meter(sight, words("uncertainty"), vector.uncertainty, width, bad_over=0.85),
        meter(sight, words("context"), vector.context_pressure, width, bad_over=0.8),
        meter(sight, words("sideEffects"), vector.side_effect_pressure, width, bad_over=0.8),
        meter(sight, words("humanDependency"), vector.human_dependency, width),
    ]
    samples = state.samples
    if len(samples) > 1:
        rows += [
            heading(words("overTime"), f"#{samples[0].seq} - #{samples[-1].seq}"),
            sparkline(sight, words("progress"), [one.progress for one in samples], width),
            sparkline(sight, words("uncertainty"), [one.uncertainty for one in samples], width),
            sparkline(sight, words("context"), [one.context_pressure for one in samples], width),
            sparkline(sight, words("sideEffects"), [one.side_effect_pressure for one in samples], width),
        ]
    return [
        *rows,
        heading(words("budget")),
        fact(words("budgetTokens"), words.whole(vector.tokens_remaining), width),
        fact(words("budgetTime"), seconds(vector.time_remaining_ms), width),
        fact(words("budgetCalls"), words.whole(vector.tool_calls_remaining), width),
        fact(words("budgetErrors"), words.whole(vector.error_budget_remaining), width),
    ]


def _noted(sight: Sight, sequence: int, name: str, detail: str, width: int) -> Rows:
    line = Text.assemble((f"#{sequence} ".rjust(7), SOFT), one_line(name, 60), (f"  {one_line(detail, 200)}", SOFT))
    return Rows(f"#{sequence}", wrap(line, width, hang=Text(" " * 7)))


def payments_of(sight: Sight) -> list[Payment]:
    """The session's payments and those that wallets wrote about it, each once."""
    found = {payment.id: payment for payment in sight.state.payments}
    for payment in sight.wallets.payments:
        found.setdefault(payment.id, payment)
    return list(found.values())


def ledger_pane(sight: Sight, width: int) -> list[Rows]:
    """What models cost, what was paid and earned, the policy's ruler, payments, runs."""
    state, words = sight.state, sight.words
    totals, payments = state.totals, payments_of(sight)
    known = totals.steps > totals.uncosted
    spent = totals.spent_micro + sight.wallets.totals.spent_micro
    earned = totals.earned_micro + sight.wallets.totals.earned_micro
    rows = [
        fact(
            words("modelCost"), amount(sight, totals.cost_micro) if known else words("notReported"), width, style="bold"
        ),
        fact(words("paid"), amount(sight, spent) if payments else "-", width),
        fact(words("tokens"), words.whole(totals.prompt + totals.completion) if totals.steps else "-", width),
    ]
    if earned:
        rows.append(fact(words("earned"), amount(sight, earned), width))
    if totals.uncosted and known:
        rows.append(Rows("", wrap(Text(f"* {words('unpriced', n=totals.uncosted)}", SOFT), width)))
    limits = None if sight.about is None else sight.about.payments
    if limits is not None:
        rows.append(heading(words("policy")))
        if limits.enabled:
            last = payments[-1].amount_micro if payments else 0
            rows.append(Rows("", ruler_rows(sight, limits, last, width)))
        else:
            rows.append(Rows("", (Text(words("paymentsOff"), SOFT),)))
    rows.append(heading(words("payments")))
    if not payments:
        rows.append(Rows("", (Text(words("noPayments"), SOFT),)))
    for payment in reversed(payments):
        key = f"pay/{payment.id}"
        rows.append(Rows(key, payment_rows(sight, payment, width, whole=sight.is_open(key))))
    if state.runs:
        rows.append(heading(words("byRun")))
    for run in reversed(state.runs[-20:]):
        cost = dollars(run.cost_micro) if run.steps > run.uncosted else "-"
        left = Text.assemble((f"{clock_time(run.started)}  ", SOFT), one_line(run.reason, 30) or words("open"))
        right = Text(f"{words.whole(run.prompt + run.completion)} {words('tokens')}  {cost:>9}")
        rows.append(Rows(f"#{run.seq}", (beside(left, right, width, more=sight.signs.more),)))
    return rows


def identity_pane(sight: Sight, width: int) -> list[Rows]:
    """Who the agent is, whose session it is, what is allowed here, who works for it."""
    state, words, about = sight.state, sight.words, sight.about
    session, missing = state.session, words("notReported")
    rows: list[Rows] = []
    if about is not None:
        rows += [
            fact(words("agent"), one_line(about.agent, 60), width, style="bold"),
            fact(words("did"), clean(about.did), width),
            fact(words("agentId"), clean(about.agent_id), width),
            fact(words("wallet"), clean(about.wallet), width),
            fact(words("custody"), one_line(about.custody, 60), width),
            Rows("", (Text(),)),
        ]
    provider = session.provider or (state.runs[-1].provider if state.runs else "")
    rows += [
        fact(words("sessionId"), clean(session.id), width, style="bold"),
        fact(words("name"), one_line(session.name, 200) or missing, width),
        fact(words("agentId"), clean(session.agent), width),
        fact(words("owner"), clean(session.owner) or words("nobody"), width),
        fact(words("provider"), clean(provider) or missing, width),
        fact(words("created"), session.created[:19].replace("T", " ") or missing, width),
    ]
    if session.parent:
        forked = words("forkedAt", parent=one_line(session.parent, 60), n=session.fork)
        rows.append(fact(words("branch"), forked, width))
    if session.merged_into:
        rows.append(fact(words("branch"), words("merged", into=one_line(session.merged_into, 60)), width, style=WAIT))
    if state.rules:
        rows.append(heading(words("rules")))
    for rule in state.rules:
        line = Text.assemble(
            (one_line(rule.tool, 60), "bold"),
            f"  {one_line(', '.join(rule.patterns), 200)}",
            (f"  {one_line(rule.by, 40)} #{rule.seq}", SOFT),
        )
        rows.append(Rows(f"rule/{rule.id}", wrap(line, width, hang=Text("  "))))
    if state.peers:
        rows.append(heading(words("peers")))
    for peer in state.peers:
        line = Text.assemble(
            (one_line(peer.agent, 40), "bold"),
            f"  {one_line(peer.state, 40)}",
            (f"  {one_line(peer.detail, 200)}", SOFT),
        )
        rows.append(Rows(f"peer/{peer.session}", wrap(line, width, hang=Text("  "))))
    if state.identity:
        rows.append(heading(words("identityEvents")))
    for noted in reversed(state.identity):
        rows.append(_noted(sight, noted.seq, noted.type, noted.detail, width))
    if about is not None and about.tools:
        rows += [heading(words("tools")), Rows("", wrap(Text(one_line(", ".join(about.tools), 4000)), width))]
    return rows
