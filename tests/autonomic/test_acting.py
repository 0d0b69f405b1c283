"""What the regulator says, as the runtime does it: withheld tools, a lifted gate, a run that stands still and wakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from life.aios import events
from life.aios.events import Kind
from life.aios.events.codec import custom
from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ModelRequest
from life.aios.ports.regulator import Advice, RunView
from life.aios.ports.tools import ToolContext, ToolDefinition
from life.aios.record import SYSTEM
from life.aios.state import GatingProfile, TokenUsage
from life.arcan.agents.budget import SPAWN_AGENT
from life.arcan.context.keeper import ContextParts
from life.arcan.control import Regulated
from life.arcan.errors import RunPausedError
from life.arcan.events import RunLimits
from life.arcan.gate import Ruling, rule_on
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.session_state import CallState, RunState
from life.arcan.settings import RuntimeSettings
from life.autonomic.events import WOKEN, Woken
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.workbench import EVERYTHING, Workbench

CONTEXT = ToolContext(session_id="s", branch_id="main", agent_id="a", run_id="r", workspace="/tmp", idempotency_key="k")
RUN = RunState(run_id="r", provider="p", limits=RunLimits(), started_us=0, active_since_us=0)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def ruling(bench: Workbench, name: str, regulation: Regulated, **changed: object) -> Ruling:
    """What the gate says to a call of this tool."""
    unknown = ToolDefinition(name=name, description="", input_schema={})
    found = next((one for one in bench.definitions() if one.name == name), unknown)
    found = msgspec.structs.replace(found, **changed)
    call = CallState(call_id="c", tool_name=name, arguments={"path": "x", "to": "y"})
    answer = rule_on(
        call,
        CONTEXT,
        toolbox=bench,
        definition=found,
        policy=EVERYTHING,
        gates=None,
        run=RUN,
        regulation=regulation,
    )
    assert isinstance(answer, Ruling)
    return answer


def test_expensive_tools_and_whatever_pays_are_withheld(bench: Workbench) -> None:
    """By the tool's own word, or because it needs to pay; others go on."""
    short = Regulated(allow_expensive_tools=False)
    assert ruling(bench, "look", Regulated(), cost_class="expensive").decision == "allow"
    assert ruling(bench, "look", short, cost_class="expensive").decision == "deny"
    assert ruling(bench, "transfer", short).decision == "deny"
    assert ruling(bench, "look", short).decision == "allow"


def test_further_agents_are_withheld(bench: Workbench) -> None:
    """`spawn_agent` alone."""
    alone = Regulated(allow_replication=False)
    assert ruling(bench, SPAWN_AGENT, Regulated()).decision == "allow"
    assert ruling(bench, SPAWN_AGENT, alone).decision == "deny"
    assert ruling(bench, "look", alone).decision == "allow"


class Saying:
    """A regulator that gives one advice after the other, the last for ever."""

    def __init__(self, *advice: Advice) -> None:
        self.advice = list(advice)
        self.views: list[RunView] = []

    async def consult(self, view: RunView) -> Advice:
        self.views.append(view)
        return self.advice.pop(0) if len(self.advice) > 1 else self.advice[0]


WHOLE = Advice(is_whole=True)


def two_steps(request: ModelRequest) -> ScriptedTurn:
    """A look, then the answer."""
    place = request.earlier_answers + sum(message.role == "assistant" for message in request.messages)
    usage = TokenUsage(prompt_tokens=100 * (place + 1), completion_tokens=5, total_tokens=105)
    if place % 2:
        return ScriptedTurn(text="done", usage=usage)
    return ScriptedTurn(text="x" * 4_000, calls=(ScriptedCall("look", {"path": "x"}),), usage=usage)


@asynccontextmanager
async def runtime(journal: MemoryJournal, bench: Workbench, regulator: Saying) -> AsyncIterator[Runtime]:
    clock = ManualClock()
    async with Runtime(
        journal,
        bench,
        provider=ScriptedProvider(two_steps, clock=clock),
        clock=clock,
        entropy=SeededEntropy(f"{id(regulator)}"),
        agent_id="agent",
        workspace_of=lambda _: str(bench.workspace),
        settings=RuntimeSettings(policy=EVERYTHING),
        context=ContextParts(),
        regulator=regulator,
    ) as runtime:
        await runtime.create_session("s")
        yield runtime


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    async with MemoryJournal() as journal:
        yield journal


async def kinds(journal: MemoryJournal) -> list[str]:
    """Every event of the session by name."""
    found: list[str] = []
    for record in await journal.read(EventQuery("s", "main"), limit=1_000):
        kind: Kind = record.kind
        found.append(kind.event_type if isinstance(kind, events.Custom) else record.kind_name)
    return found


async def test_whole_advice_lifts_what_it_does_not_name(journal: MemoryJournal, bench: Workbench) -> None:
    """Gates, tier, length and what was withheld; and says nothing when nothing changes."""
    strict = Advice(
        is_whole=True,
        gates=GatingProfile(allow_side_effects=False),
        model_tier="economy",
        max_output_tokens=100,
        allow_expensive_tools=False,
        allow_replication=False,
        reason="short",
    )
    async with runtime(journal, bench, Saying(strict, WHOLE)) as run:
        await run.run("s", "go")
        state = await run.state("s")
        assert (state.gates, state.regulation) == (None, Regulated())
        await run.run("s", "again")
    names = await kinds(journal)
    assert (names.count("GatesUpdated"), names.count("arcan.regulated")) == (1, 2)


async def test_its_events_ride_with_the_step(journal: MemoryJournal, bench: Workbench) -> None:
    """Before the step that they are about, in the same batch as it; the regulator sees the loop's own tail."""
    noted = custom(WOKEN, Woken(session_id="s", by="x", until_ms=1))
    regulator = Saying(Advice(is_whole=True, events=(noted,)), WHOLE)
    async with runtime(journal, bench, regulator) as run:
        await run.run("s", "go")
    names = await kinds(journal)
    assert names.index("autonomic.Woken") == names.index("StepStarted") - 1
    assert [record.kind_name for record in regulator.views[1].recent][-1] in ("StepFinished", "StateEstimated")


async def test_a_suspended_run_stands_still_and_wakes(journal: MemoryJournal, bench: Workbench) -> None:
    """No model is asked, also not by another process that takes it up; a person's pause is another thing; it goes on where it was."""
    held = Advice(is_whole=True, suspend="no means")
    async with runtime(journal, bench, Saying(WHOLE, held)) as run:
        run_id = await run.start("s", "go")
        await run.wait("s", run_id)
        state = await run.state("s")
        assert (state.status, state.suspended, state.totals.steps) == ("paused", "no means", 1)
        assert state.run is not None and state.run.active_since_us is None, "its clock stands, too"
        with pytest.raises(RunPausedError):
            await run.start("s", "another")
    async with runtime(journal, bench, Saying(WHOLE)) as run:
        await run.recover_all()
        assert (await run.state("s")).totals.steps == 1
        await run.pause("s", actor="ada")
        assert await run.wake("s", actor=SYSTEM, reason="means are back")
        assert (await run.state("s")).status == "paused", "a person paused it; only a person lets it go on"
        await run.go_on("s", actor="ada")
        report = await run.wait("s", run_id)
        assert report.reason == "completed"
        assert not await run.wake("s", actor=SYSTEM, reason="again")
    names = await kinds(journal)
    assert (names.count("arcan.suspended"), names.count("arcan.resumed")) == (1, 1)


async def test_a_suspended_run_can_be_cancelled(journal: MemoryJournal, bench: Workbench) -> None:
    """Standing still is no prison."""
    async with runtime(journal, bench, Saying(Advice(is_whole=True, suspend="no means"))) as run:
        run_id = await run.start("s", "go")
        await run.wait("s", run_id)
        report = await run.cancel("s")
        assert report is not None and report.reason == "cancelled"
        state = await run.state("s")
        assert (state.status, state.suspended, state.totals.steps) == ("idle", "", 0)


async def test_the_context_is_shortened_when_the_ruling_says_so(journal: MemoryJournal, bench: Workbench) -> None:
    """To about the target, although the window is far from full; and once."""
    async with runtime(journal, bench, Saying(WHOLE)) as run:
        for _ in range(6):
            await run.run("s", "look again, please")
        before = (await run.state("s")).conversation.size_bytes
    shorten = Advice(is_whole=True, context_target_tokens=2_000)
    async with runtime(journal, bench, Saying(shorten, WHOLE)) as run:
        assert (await run.run("s", "and now")).reason == "completed"
        assert (await run.state("s")).conversation.size_bytes < before // 2
    assert (await kinds(journal)).count("ContextCompacted") == 1
