"""Tools at work: what only reads runs side by side, and the journal, the model and a crash can't tell the difference."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.provider import ToolResultBlock
from life.aios.ports.tools import Probe, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.arcan.events import RunLimits
from life.arcan.hooks import Hooks
from life.arcan.middleware import Middleware
from life.arcan.providers.scripted import ScriptedProvider
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.arcan.vector import BREAKER_STREAK
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.arcan.test_people import approval_of, until
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, kinds, runtime_on, says, script

SETTINGS = RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0)


class Library(Workbench):
    """The workbench, with readers that wait for each other.

    read {path}: begins, and ends when `allow` says so; reads only
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.most = 0
        self.allow: dict[str, asyncio.Event] = {}

    def gate(self, path: str) -> asyncio.Event:
        """Set it, and the reader of this path ends."""
        return self.allow.setdefault(path, asyncio.Event())

    async def all_begun(self, *paths: str) -> None:
        """Until all these readers run."""
        async with asyncio.timeout(20):
            while not set(paths) <= set(self.begun):
                await asyncio.sleep(0)

    def definitions(self) -> Sequence[ToolDefinition]:
        look = next(one for one in super().definitions() if one.name == "look")
        return [*super().definitions(), replace(look, name="read")]

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        if call.tool_name == "read":
            assert isinstance(call.arguments, Mapping)
            return (f"fs:read:{call.arguments['path']}",)
        return super().capabilities(call, context)

    async def _read(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        path = str(arguments["path"])
        self.begun.append(path)
        self.running.add(path)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(0)
            await self.gate(path).wait()
        finally:
            self.running.discard(path)
        return ToolOutcome(status="ok", output=f"of {path}")

    async def _write(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        assert not self.running, "nothing may be read while something is written"
        return await super()._write(arguments, context)


class Repeating(Library):
    """A library whose probe says that reading may be repeated."""

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        return await super().probe(ToolCall(call.call_id, "look", call.arguments), context, prepared)


@pytest.fixture
def journal() -> MemoryJournal:
    """An empty journal."""
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Library:
    """Tools on a directory."""
    return Library(tmp_path)


def reads(*paths: str) -> list[tuple[str, dict[str, Json]]]:
    """Calls that only read."""
    return [("read", {"path": path}) for path in paths]


async def results(runtime: Runtime, session_id: str) -> list[str]:
    """What the model was told, result by result."""
    told = []
    for message in (await runtime.state(session_id)).conversation.messages():
        told += [block.content for block in message.content if isinstance(block, ToolResultBlock)]
    return told


async def test_reads_run_side_by_side_and_answer_in_their_order(journal: MemoryJournal, bench: Library) -> None:
    """All begin before any ends; they end backwards; intents stand together, and outcomes in the order of the calls."""
    async with runtime_on(journal, bench, script(calls(*reads("a", "b", "c")), says("Done."))) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Read.")
        await bench.all_begun("a", "b", "c")
        for path in ("c", "b", "a"):
            bench.gate(path).set()
            await asyncio.sleep(0)
        assert (await runtime.wait("s", run_id)).reason == "completed"
    told = [name for name in await kinds(journal, "s") if name.startswith("ToolCall")]
    assert told == ["ToolCallRequested"] * 3 + ["ToolCallStarted"] * 3 + ["ToolCallCompleted"] * 3
    done = [record.kind for record in await history(journal, "s") if record.kind_name == "ToolCallCompleted"]
    assert [getattr(kind, "result", "") for kind in done] == ["of a", "of b", "of c"]


async def test_the_first_outcome_is_told_while_others_run(journal: MemoryJournal, bench: Library) -> None:
    """Who watches does not wait for the slowest."""
    async with runtime_on(journal, bench, script(calls(*reads("a", "b")), says("Done."))) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Read.")
        await bench.all_begun("a", "b")
        bench.gate("a").set()
        async with asyncio.timeout(20):
            while "ToolCallCompleted" not in await kinds(journal, "s"):
                await asyncio.sleep(0)
        assert bench.running == {"b"}
        bench.gate("b").set()
        await runtime.wait("s", run_id)


async def test_what_writes_runs_alone_and_in_its_place(journal: MemoryJournal, bench: Library) -> None:
    """Two reads, a write, two reads: the write comes when the first are over, the last when the write is."""
    write: tuple[str, dict[str, Json]] = ("write", {"path": "f", "content": "x"})
    wanted = [*reads("a", "b"), write, *reads("c", "d")]
    async with runtime_on(journal, bench, script(calls(*wanted), says("Done."))) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Go.")
        await bench.all_begun("a", "b")
        assert bench.begun == ["a", "b"] and bench.effects() == []
        bench.gate("a").set()
        bench.gate("b").set()
        await bench.all_begun("c", "d")
        assert bench.effects() == ["write:f=x"]
        bench.gate("c").set()
        bench.gate("d").set()
        assert (await runtime.wait("s", run_id)).reason == "completed"
        assert bench.most == 2


@pytest.mark.parametrize("most", [1, 2])
async def test_no_more_than_the_settings_say(journal: MemoryJournal, bench: Library, most: int) -> None:
    """`reads_at_once` bounds how many run; 1 is one after the other."""
    settings = replace(SETTINGS, reads_at_once=most)
    for path in "abcde":
        bench.gate(path).set()
    async with runtime_on(journal, bench, script(calls(*reads(*"abcde")), says("Done.")), settings=settings) as runtime:
        await runtime.create_session("s")
        assert (await runtime.run("s", "Read.")).reason == "completed"
        assert await results(runtime, "s") == [f"of {path}" for path in "abcde"]
    assert bench.begun == list("abcde") and bench.most == most


async def test_a_question_is_asked_when_nothing_runs(journal: MemoryJournal, bench: Library) -> None:
    """A read that needs a person, between others: those before it end first, those behind it wait for the answer."""
    policy = PolicySet(allow_capabilities=("*",), gate_capabilities=("fs:read:secret",), max_tool_runtime_secs=3600)
    settings = replace(SETTINGS, policy=policy)
    turns = script(calls(*reads("a", "b", "secret", "c")), says("Done."))
    async with runtime_on(journal, bench, turns, settings=settings) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Read.")
        await bench.all_begun("a", "b")
        assert "ApprovalRequested" not in await kinds(journal, "s")
        for path in ("a", "b", "secret", "c"):
            bench.gate(path).set()
        report = await runtime.wait("s", run_id)
        assert bench.begun == ["a", "b"]
        await runtime.resolve_approval("s", approval_of(report), approved=False, actor="ann")
        report = await runtime.wait("s", run_id)
        assert report.reason == "completed" and bench.begun == ["a", "b", "c"]


async def test_cancelling_stops_all_that_run(journal: MemoryJournal, bench: Library) -> None:
    """One had ended, two are stopped; every call has its outcome, and the next run reads them."""
    turns = script(calls(*reads("a", "b", "c")), says("I see."))
    async with runtime_on(journal, bench, turns) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Read.")
        await bench.all_begun("a", "b", "c")
        bench.gate("b").set()
        await asyncio.sleep(0)
        await runtime.cancel("s")
        assert (await runtime.wait("s", run_id)).reason == "cancelled"
        assert bench.running == set()
        outcomes = [record.kind for record in await history(journal, "s") if record.kind_name == "ToolCallCompleted"]
        assert [getattr(kind, "status", "") for kind in outcomes] == ["cancelled", "ok", "cancelled"]
        assert (await runtime.run("s", "Well?")).reason == "completed"


async def test_time_stops_who_is_late_and_nobody_else(journal: MemoryJournal, bench: Library) -> None:
    """The time of a tool is the same for all of them: what had ended keeps its outcome, and the run goes on."""
    settings = replace(SETTINGS, policy=replace(EVERYTHING, max_tool_runtime_secs=5))
    turns = script(calls(*reads("a", "b", "c")), calls(*reads("d")), says("Done."))
    async with runtime_on(journal, bench, turns, settings=settings) as runtime:
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Read.")
        await bench.all_begun("a", "b", "c")
        bench.gate("a").set()
        bench.gate("c").set()
        bench.gate("d").set()
        waiting: asyncio.Task[object] = asyncio.create_task(runtime.wait("s", run_id))
        await until(bench.clock, waiting, limit=60)
        assert (await runtime.wait("s", run_id)).reason == "completed"
        outcomes = [record.kind for record in await history(journal, "s") if record.kind_name == "ToolCallCompleted"]
        assert [getattr(kind, "status", "") for kind in outcomes] == ["ok", "timeout", "ok", "ok"]


async def recovered(journal: MemoryJournal, root: Path) -> Repeating:
    """The tools of a second process that took the run up and ended it, the model told of three reads in their order."""
    after = Repeating(root)
    for path in "abc":
        after.gate(path).set()
    async with runtime_on(journal, after, script(says("Done.")), seed="second") as runtime:
        await runtime.recover_all()
        async with asyncio.timeout(20):
            while (await runtime.state("s")).run is not None:
                await asyncio.sleep(0.01)
        assert await results(runtime, "s") == ["of a", "of b", "of c"]
    return after


async def test_after_a_crash_each_is_asked_about(tmp_path: Path, journal: MemoryJournal) -> None:
    """Three intents and no outcome: the probe says that reading may be repeated, and the model gets three results in order."""
    bench = Library(tmp_path)
    turns = (calls(*reads("a", "b", "c")), says("Done."))
    async with runtime_on(journal, bench, script(*turns)) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Read.")
        await bench.all_begun("a", "b", "c")
    assert (await kinds(journal, "s")).count("ToolCallStarted") == 3
    assert "ToolCallCompleted" not in await kinds(journal, "s")

    after = await recovered(journal, tmp_path)
    assert after.probes == ["look"] * 3


async def test_after_a_crash_the_order_stays(tmp_path: Path, journal: MemoryJournal) -> None:
    """Two of three had begun: the third does not overtake the second, which has to be asked about first."""
    bench = Library(tmp_path)
    turns = (calls(*reads("a", "b", "c")), says("Done."))
    async with runtime_on(journal, bench, script(*turns), settings=replace(SETTINGS, reads_at_once=2)) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "Read.")
        await bench.all_begun("a", "b")
    after = await recovered(journal, tmp_path)
    assert after.begun == ["a", "b", "c"]


async def test_limits_count_every_one(journal: MemoryJournal, bench: Library) -> None:
    """Two tool runs are allowed: the third of three reads is not begun."""
    limits = RunLimits(max_tool_calls=2)
    for path in "abc":
        bench.gate(path).set()
    async with runtime_on(journal, bench, script(calls(*reads(*"abc")), says("Done."))) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Read.", limits=limits)
        assert report.reason == "budget_exceeded"
    assert bench.begun == ["a", "b"]


async def test_where_middleware_looks_on_calls_take_turns(journal: MemoryJournal, bench: Library) -> None:
    """It sees each call before the next one is thought of, as ever."""

    class Watching(Middleware):
        name = "watching"

        async def before_tool(self, call: ToolCall, context: ToolContext) -> None:
            assert not bench.running

    for path in "abc":
        bench.gate(path).set()
    runtime = Runtime(
        journal,
        bench,
        provider=ScriptedProvider(script(calls(*reads(*"abc")), says("Done.")), clock=bench.clock),
        clock=bench.clock,
        entropy=SeededEntropy("test"),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(bench.workspace),
        settings=SETTINGS,
        middleware=[Watching()],
        hooks=Hooks(),
    )
    await runtime.create_session("s")
    assert (await runtime.run("s", "Read.")).reason == "completed"
    await runtime.aclose()
    assert bench.most == 1


FINE = ("look a", "write")
MIXED = st.lists(st.sampled_from((*FINE, "look b", "look none", "fail", "secret", "nothing")), max_size=9)


@given(MIXED.filter(lambda wanted: sum(name not in FINE for name in wanted) < BREAKER_STREAK))
def test_the_model_is_told_the_same_as_if_they_took_turns(wanted: list[str]) -> None:
    """Any mix of calls: the same results in the same order, and the same files, as with one at a time. (Only the breaker, which looks
    when all of them are over, sees a difference.)"""

    async def told(most: int) -> tuple[list[str], list[str], str]:
        with tempfile.TemporaryDirectory() as folder:
            bench, journal = Workbench(Path(folder)), MemoryJournal()
            (bench.workspace / "a").write_text("first")
            asked: list[tuple[str, dict[str, Json]]] = []
            for number, name in enumerate(wanted):
                tool, _, path = name.partition(" ")
                asked.append((tool, {"path": path or "b", "content": str(number)}))
            settings = RuntimeSettings(
                policy=PolicySet(allow_capabilities=("fs:**",), max_tool_runtime_secs=3600), reads_at_once=most
            )
            turns = script(calls(*asked) if asked else says("x"), says("Done."), says("Done."))
            async with runtime_on(journal, bench, turns, settings=settings) as runtime:
                await runtime.create_session("s")
                report = await runtime.run("s", "Go.")
                return await results(runtime, "s"), bench.effects(), str(report.reason)

    assert asyncio.run(told(8)) == asyncio.run(told(1))
