"""Following a demo to its end: every question is put to somebody, and afterwards what it promised is checked.

outcome = await play(demos, started, answer=as_written(demo("sentinel")))
outcome.unmet        # nothing, when everything was there
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Final, Literal, NamedTuple

from life.aios.errors import LifeError
from life.aios.events import ApprovalRequested, RunErrored, RunFinished
from life.aios.money import format_micro
from life.aios.ports.clock import Clock
from life.aios.record import EventRecord
from life.haima.approval_desk import ApprovalDesk
from life.haima.approvals import Ticket
from life.host.demos.demos import Demos, Started
from life.host.system import System
from life.workspace.demos.demo import Decision, Demo
from life.workspace.demos.expects import unmet

ACTOR: Final = "demo"
_ARGUMENTS_CHARACTERS: Final = 200
_AT_ONCE_US: Final = 600_000


class Question(NamedTuple):
    """Something that a person has to decide."""

    about: Literal["tool", "payment"]
    tool: str
    """The tool's name; of a payment empty."""
    words: str
    """What is asked, in one line."""


Answerer = Callable[[Question], Awaitable[Decision | None]]
"""A person's word; None leaves the question to somebody else."""

Listener = Callable[[EventRecord], None]


class Outcome(NamedTuple):
    """How a demo went."""

    reason: str
    answer: str
    records: list[EventRecord]
    money: list[EventRecord]
    unmet: list[str]


class UnexpectedQuestionError(LifeError):
    """The demo asked something that its file has no answer to."""

    code = "demo.unexpected_question"


def as_written(played: Demo) -> Answerer:
    """Answers as the demo's file says, each once, in their order."""
    waiting = list(played.decisions)

    async def answer(question: Question) -> Decision:
        for decision in waiting:
            if decision.about == question.about and decision.tool in ("", question.tool):
                waiting.remove(decision)
                return decision
        raise UnexpectedQuestionError(f"The demo {played.slug} does not say what to answer to: {question.words}")

    return answer


async def play(
    system: System, demos: Demos, played: Demo, started: Started, *, answer: Answerer, hear: Listener = lambda _: None
) -> Outcome:
    """Follow a run to its end; what the demo promises of its first suggestion is checked. `hear` is told of every event as it is
    written. What `answer` raises, and what ends the run's stream, is raised."""
    desk = ApprovalDesk(system.journal, system.clock, system.entropy, agent_id=system.identity.agent_id)
    deciding = asyncio.create_task(_payments(desk, started, answer, system.clock))
    try:
        end = await _with(deciding, _follow(system, started, answer, hear))
    finally:
        deciding.cancel()
        await asyncio.gather(deciding, return_exceptions=True)
        await desk.aclose()
    await system.payer.flush()
    await system.demo_judges.settled(end.position)
    records = await demos.records_of(started.session_id)
    for record in records:
        if record.sequence > end.sequence:
            hear(record)
    money = await demos.money_of(started.session_id)
    kind = end.kind
    return Outcome(
        reason=kind.reason if isinstance(kind, RunFinished) else "error",
        answer=(kind.final_answer or "") if isinstance(kind, RunFinished) else "",
        records=records,
        money=money,
        unmet=unmet(played.expects, played.panels, records, money),
    )


async def _with(beside: asyncio.Task[None], work: Coroutine[object, object, EventRecord]) -> EventRecord:
    """The work's result; what goes wrong beside it ends it."""
    main = asyncio.ensure_future(work)
    await asyncio.wait({main, beside}, return_when=asyncio.FIRST_COMPLETED)
    if not main.done():
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)
        beside.result()
    return main.result()


async def _follow(system: System, started: Started, answer: Answerer, hear: Listener) -> EventRecord:
    async with aclosing(system.runtime.subscribe(started.session_id)) as records:
        async for record in records:
            hear(record)
            kind = record.kind
            if isinstance(kind, ApprovalRequested):
                await _decide_call(system, started, kind, answer)
            elif isinstance(kind, RunFinished | RunErrored) and record.correlation_id == started.run_id:
                return record
    raise LifeError("The demo's session ended before its run did.")


async def _decide_call(system: System, started: Started, asked: ApprovalRequested, answer: Answerer) -> None:
    arguments = json.dumps(asked.arguments, ensure_ascii=False)[:_ARGUMENTS_CHARACTERS]
    decision = await answer(Question("tool", asked.tool_name, f"{asked.tool_name} {arguments}"))
    if decision is not None:
        await system.runtime.resolve_approval(
            started.session_id,
            asked.approval_id,
            approved=decision.approve,
            actor=ACTOR,
            reason=decision.reason or None,
            scope=decision.scope if decision.approve else "once",
        )


async def _stays(desk: ApprovalDesk, ticket_id: str, clock: Clock) -> bool:
    """Whether a question waits for a person: a hire that a person agreed to has its deposit's question answered at once."""
    await clock.sleep_us(_AT_ONCE_US)
    return (await desk.get(ticket_id)).state == "pending"


async def _payments(desk: ApprovalDesk, started: Started, answer: Answerer, clock: Clock) -> None:
    seen: set[str] = set()
    async with aclosing(desk.watch()) as tickets:  # type: ignore[type-var]
        async for ticket in tickets:
            if ticket.state != "pending" or ticket.ticket_id in seen or not _is_of(ticket, started):
                continue
            seen.add(ticket.ticket_id)
            if not await _stays(desk, ticket.ticket_id, clock):
                continue
            asked = ticket.request
            words = f"pay {format_micro(asked.amount_micro)} to {asked.payee} for {asked.resource_url}"
            decision = await answer(Question("payment", "", words))
            if decision is not None:
                await desk.decide(ticket.ticket_id, approved=decision.approve, by=ACTOR, reason=decision.reason or None)


def _is_of(ticket: Ticket, started: Started) -> bool:
    return getattr(ticket.request, "session_id", None) in (None, started.session_id)
