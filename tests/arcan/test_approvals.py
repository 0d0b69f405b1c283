"""Approving with other arguments, for the session, and who sees what."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError
from life.aios.policy import PolicySet
from life.arcan.approvals import Edited
from life.arcan.errors import EditRefusedError, NothingToDecideError
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from tests.arcan.crashing import DyingJournal, Killed
from tests.arcan.test_acceptance import Listening
from tests.arcan.workbench import Workbench, calls, history, kinds, runtime_on, says, script

GATED = RuntimeSettings(
    policy=PolicySet(allow_capabilities=("fs:read:**", "payments:*"), gate_capabilities=("fs:write:**",)),
    shutdown_grace_ms=0,
)
WRITE = script(calls(("write", {"path": "a.txt", "content": "one"})), says("Written."))


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


async def ask(runtime: Runtime, objective: str = "Write.") -> str:
    """Run until somebody is asked; the ticket."""
    report = await runtime.run("s", objective)
    assert report.pending is not None and report.pending.approval_id is not None, report
    return report.pending.approval_id


async def test_approved_with_other_arguments(journal: MemoryJournal, bench: Workbench) -> None:
    """The call runs with the person's arguments; both versions are in the journal, and the model is told."""
    model = Listening(WRITE, bench)
    async with runtime_on(journal, bench, model, settings=GATED) as runtime:
        await runtime.create_session("s")
        ticket = await ask(runtime)
        better = Edited({"path": "b.txt", "content": "two"})
        await runtime.resolve_approval("s", ticket, approved=True, actor="ann", edited=better)
        assert (await runtime.wait("s")).final_answer == "Written."
    assert bench.effects() == ["write:b.txt=two"]
    told = str(model.heard[1].messages[-1])
    assert "arguments of this call were changed" in told and "b.txt" in told
    edit = next(r.kind.data for r in await history(journal, "s") if b"arcan.call_edited" in r.payload)  # type: ignore[attr-defined]
    assert (edit["before"]["path"], edit["arguments"]["path"], edit["by"]) == ("a.txt", "b.txt", "ann")


async def test_edited_arguments_are_checked_again(journal: MemoryJournal, bench: Workbench) -> None:
    """Arguments that don't fit, and ones that the policy denies, are refused; the ticket goes on waiting."""
    policy = PolicySet(gate_capabilities=("fs:write:safe/*",))
    settings = RuntimeSettings(policy=policy)
    plan = script(calls(("write", {"path": "safe/a", "content": "one"})), says("ok"))
    async with runtime_on(journal, bench, plan, settings=settings) as runtime:
        await runtime.create_session("s")
        ticket = await ask(runtime)
        with pytest.raises(InvalidInputError):
            await runtime.resolve_approval("s", ticket, approved=True, actor="ann", edited=Edited({"path": 7}))
        with pytest.raises(EditRefusedError):
            evil = Edited({"path": "/etc/passwd", "content": "x"})
            await runtime.resolve_approval("s", ticket, approved=True, actor="ann", edited=evil)
        with pytest.raises(InvalidInputError):
            await runtime.resolve_approval("s", ticket, approved=False, actor="ann", scope="session")
        assert [each.approval_id for each in await runtime.pending_approvals()] == [ticket]
        assert (await kinds(journal, "s"))[-1] == "ApprovalRequested"


async def test_an_edit_survives_the_crash_after_it(journal: MemoryJournal, bench: Workbench) -> None:
    """Edit and approval are one batch: killed right after it, the recovered run uses the person's arguments."""
    async with runtime_on(journal, bench, WRITE, settings=GATED) as runtime:
        await runtime.create_session("s")
        ticket = await ask(runtime)
    dying = DyingJournal(journal, at=1, moment="after")
    with pytest.raises(Killed):
        async with runtime_on(dying, bench, WRITE, seed="second", settings=GATED) as runtime:
            better = Edited({"path": "b.txt", "content": "two"})
            await runtime.resolve_approval("s", ticket, approved=True, actor="ann", edited=better)
    async with runtime_on(journal, bench, WRITE, seed="third", settings=GATED) as runtime:
        report = await runtime.resume("s")
        assert report is not None and report.final_answer == "Written."
    assert bench.effects() == ["write:b.txt=two"]


async def test_allowed_for_the_session(journal: MemoryJournal, bench: Workbench) -> None:
    """Calls that the rule covers are not asked about again, others are, also after a restart; taken back, all are."""
    plan = script(
        calls(("write", {"path": "a.txt", "content": "1"})),
        calls(("write", {"path": "a.txt", "content": "2"})),
        calls(("append", {"path": "a.txt", "line": "3"})),
        says("Done."),
        calls(("write", {"path": "a.txt", "content": "4"})),
        says("Again."),
    )
    async with runtime_on(journal, bench, plan, settings=GATED) as runtime:
        await runtime.create_session("s")
        ticket = await ask(runtime)
        await runtime.resolve_approval("s", ticket, approved=True, actor="ann", scope="session")
        report = await runtime.wait("s")
        assert report.pending is not None and report.pending.tool_name == "append", "another tool is asked about"
        assert bench.effects() == ["write:a.txt=1", "write:a.txt=2"]
        await runtime.resolve_approval("s", report.pending.approval_id or "", approved=False, actor="ann")
        assert (await runtime.wait("s")).final_answer == "Done."
    async with runtime_on(journal, bench, plan, settings=GATED, seed="second") as runtime:
        (rule,) = (await runtime.state("s")).rules
        assert (rule.tool_name, rule.patterns, rule.by) == ("write", ("fs:write:a.txt",), "ann")
        await runtime.revoke_rule("s", rule.rule_id, actor="ann")
        with pytest.raises(NothingToDecideError):
            await runtime.revoke_rule("s", rule.rule_id, actor="ann")
        await ask(runtime, "Once more.")
    decisions = [r.kind.rule_id for r in await history(journal, "s") if r.kind_name == "PolicyEvaluated"]  # type: ignore[attr-defined]
    assert any(decision.startswith("session_rule:") for decision in decisions)


async def test_a_rule_never_lifts_a_denial(journal: MemoryJournal, bench: Workbench) -> None:
    """Even a rule for everything allows nothing that the policy denies."""
    policy = PolicySet(gate_capabilities=("fs:write:safe/**",))
    plan = script(
        calls(("write", {"path": "safe/a", "content": "1"})),
        calls(("write", {"path": "other", "content": "2"})),
        says("Done."),
    )
    bench.workspace.joinpath("safe").mkdir()
    async with runtime_on(journal, bench, plan, settings=RuntimeSettings(policy=policy)) as runtime:
        await runtime.create_session("s")
        ticket = await ask(runtime)
        await runtime.resolve_approval("s", ticket, approved=True, actor="ann", scope="session", patterns=("*",))
        assert (await runtime.wait("s")).final_answer == "Done."
    assert bench.effects() == ["write:safe/a=1"]


async def test_a_ticket_lists_everything_the_call_needs(journal: MemoryJournal, bench: Workbench) -> None:
    """One ticket per call, with its capabilities, owner, and when it ends."""
    async with runtime_on(journal, bench, WRITE, settings=GATED) as runtime:
        await runtime.create_session("s", owner="user:ann")
        await ask(runtime)
        (ticket,) = await runtime.pending_approvals("user:ann")
        assert await runtime.pending_approvals("user:bob") == []
    assert ticket.capabilities == ("fs:write:a.txt",)
    assert ticket.expires_us == ticket.asked_us + 300_000_000
