"""The gate: what is journaled, approvals, hooks (lago.md §10)."""

from __future__ import annotations

import asyncio
import logging

import pytest

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ports.journal import EventQuery
from life.lago.access_rules.conditions import Request
from life.lago.access_rules.gate import PolicyGate
from life.lago.access_rules.rules import parse_rules
from life.lago.access_rules.tickets import POLICY_STREAM
from life.lago.errors import ApprovalRequiredError, PolicyDeniedError
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

POLICY = b"""
[[rules]]
id = "ask"
condition = { type = "ToolName", value = "pay" }
decision = "require_approval"

[[rules]]
id = "read"
condition = { type = "ToolPattern", value = "read*" }
decision = "allow"

[[hooks]]
name = "before"
phase = "pre"
condition = { type = "Always" }
action = { type = "Log", message = "somebody asks" }

[[hooks]]
name = "after"
phase = "post"
condition = { type = "ToolName", value = "drop" }
action = { type = "Notify", channel = "ops" }
"""


def a_gate(journal: MemoryJournal, *, seed: str = "gate", policy: bytes = POLICY) -> PolicyGate:
    """A gate over a journal."""
    return PolicyGate(parse_rules(policy), journal, ManualClock(), SeededEntropy(seed))


async def kinds(journal: MemoryJournal, session: str = POLICY_STREAM.session_id) -> list[str]:
    """What stands in a stream."""
    return [record.kind_name for record in await journal.read(EventQuery(session, "main"))]


async def test_decisions_are_journaled_and_reads_only_when_asked_for() -> None:
    """Every decision but an allowed read; with `journal_reads` that, too. The operator is not judged."""
    async with MemoryJournal() as journal:
        gate = a_gate(journal)
        await gate.check(Request(tool_name="read_file", subject="a"), reads_only=True)
        await gate.check(Request(tool_name="drop", subject="operator"))
        assert await kinds(journal) == []
        await gate.check(Request(tool_name="read_file", subject="a"))
        with pytest.raises(PolicyDeniedError):
            await gate.check(Request(tool_name="drop", subject="a"), reads_only=True)
        assert await kinds(journal) == ["PolicyEvaluated", "PolicyEvaluated"]
        assert await kinds(journal, "lago:notify:ops") == ["Custom"]
        thorough = a_gate(journal, seed="2", policy=b"journal_reads = true\n" + POLICY)
        await thorough.check(Request(tool_name="read_file", subject="a"), reads_only=True)
        assert len(await kinds(journal)) == 3


async def test_an_approval_is_used_once_whoever_asks_at_once() -> None:
    """Two gates over one journal: the same approval lets one request through; it belongs to its request alone."""
    async with MemoryJournal() as journal:
        one, other = a_gate(journal, seed="1"), a_gate(journal, seed="2")
        wanted = Request(tool_name="pay", subject="a", arguments={"to": "b"})
        with pytest.raises(ApprovalRequiredError) as asked:
            await one.check(wanted)
        ticket = asked.value.approval_id
        with pytest.raises(ConflictError):
            await other.check(wanted, approval_id=ticket)
        await other.resolve(ticket, approved=True, reason="fine", by="operator")
        with pytest.raises(InvalidInputError):
            await one.check(Request(tool_name="pay", subject="a", arguments={"to": "c"}), approval_id=ticket)
        answers = await asyncio.gather(
            one.check(wanted, approval_id=ticket), other.check(wanted, approval_id=ticket), return_exceptions=True
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "Verdict"]
        assert [each.state for each in await one.tickets()] == ["used"]


async def test_a_refusal_stays_one() -> None:
    """A ticket is decided once, by somebody; an unknown one is none."""
    async with MemoryJournal() as journal:
        gate = a_gate(journal)
        wanted = Request(tool_name="pay", subject="a")
        with pytest.raises(ApprovalRequiredError) as asked:
            await gate.check(wanted)
        ticket = asked.value.approval_id
        await gate.resolve(ticket, approved=False, reason=None, by="operator")
        with pytest.raises(ConflictError):
            await gate.resolve(ticket, approved=True, reason=None, by="operator")
        with pytest.raises(ConflictError):
            await gate.check(wanted, approval_id=ticket)
        with pytest.raises(NotFoundError):
            await gate.resolve("none", approved=True, reason=None, by="operator")


async def test_hooks_log(caplog: pytest.LogCaptureFixture) -> None:
    """A Log hook writes its line, with what was asked in quotes, so that nobody forges one."""
    async with MemoryJournal() as journal:
        with caplog.at_level(logging.INFO):
            await a_gate(journal).check(Request(tool_name="read\nforged line", subject="a"))
    assert "somebody asks" in caplog.text
    assert "\nforged line" not in caplog.text


def test_explaining_leaves_no_trace() -> None:
    """`explain` needs no journal at all."""
    verdict = a_gate(MemoryJournal()).explain(Request(tool_name="pay", subject="a"))
    assert (verdict.decision, verdict.rule_id) == ("require_approval", "ask")
