"""The process that `test_kill_run.py` kills: a run of fifteen tools and more, in one real process after another.

    python -m tests.arcan.kill_program ROOT FIRST STEP

For every event number FIRST, FIRST + STEP, …: a process runs the whole thing and sends itself SIGKILL when it has staged that many events; a
second one takes it up and dies the same way some events later; a third one brings it to its end. One line of JSON for each number says
what the end was; the last number is the first that the run does not reach.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from life.aios import events
from life.aios.json import Json
from life.aios.ports.provider import Chunk, ModelRequest, ReasoningBlock, ReasoningChunk
from life.aios.record import EventRecord
from life.arcan.agents.catalogue import AgentCatalogue
from life.arcan.approvals import Edited, Scope
from life.arcan.context.compaction import ContextSettings
from life.arcan.context.keeper import ContextParts
from life.arcan.providers.scripted import ScriptedCall
from life.arcan.runtime import Runtime
from life.arcan.session_log import SessionLog
from life.arcan.session_state import CallState
from life.arcan.settings import RuntimeSettings
from life.arcan.state import encode_state, fold
from life.lago.journal.sqlite import SqliteJournal
from tests.arcan.agents.fleet_kit import VERDICT, Cast, agent, record, spawn, turn
from tests.arcan.realtime import SystemClock, SystemEntropy
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, kinds, says, script

NEVER = 10**9
LONG = "The same line of a long file.\n" * 150


class Thinking:
    """The cast, with a thought before every answer of the root: it has to come back as it was, whoever died in between."""

    def __init__(self, bench: Workbench) -> None:
        scribe = script(
            turn(ScriptedCall("write", {"path": "d.txt", "content": "dee"})),
            turn(ScriptedCall("transfer", {"to": "dora"}), ScriptedCall("look", {"path": "d.txt"})),
            record({"verdict": "good"}),
        )
        root = script(
            calls(("write", {"path": "a.txt", "content": "one"}), ("sign", {"text": "first"})),
            calls(("append", {"path": "log.txt", "line": "l1"}), ("transfer", {"to": "bob"})),
            calls(
                ("sign", {"text": "second"}), ("write", {"path": "a.txt", "content": "two"}), ("look", {"path": "long"})
            ),
            turn(spawn("scribe")),
            calls(("fail", {}), ("append", {"path": "log.txt", "line": "l2"}), ("look", {"path": "long"})),
            calls(("write", {"path": "b.txt", "content": "bee"}), ("transfer", {"to": "carol"})),
            calls(("sign", {"text": "third"}), ("append", {"path": "log.txt", "line": "l3"})),
            calls(("look", {"path": "long"}), ("write", {"path": "c.txt", "content": "sea"})),
            says("All is done."),
            says("The message, too."),
        )
        self._cast = Cast({"root": root, "scribe": scribe}, bench)

    @property
    def name(self) -> str:
        return self._cast.name

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        place = request.earlier_answers + sum(message.role == "assistant" for message in request.messages)
        yield ReasoningChunk(ReasoningBlock("cast", f"thought {place}", {"seal": place}))
        async for chunk in self._cast.stream(request):
            yield chunk


def runtime(journal: SqliteJournal, bench: Workbench) -> Runtime:
    """Everything on: approvals, a queue, a small window, a subagent."""
    return Runtime(
        journal,
        bench,
        provider=Thinking(bench),
        clock=bench.clock,
        entropy=SystemEntropy(),
        agent_id="agent-1",
        workspace_of=lambda _: str(bench.workspace),
        settings=RuntimeSettings(
            policy=EVERYTHING, shutdown_grace_ms=0, system_prompt="You are root.", max_output_tokens=500
        ),
        context=ContextParts(settings=ContextSettings(window_tokens=4_000)),
        agents=AgentCatalogue([agent("scribe", VERDICT)]),
    )


async def live(root: Path) -> str | None:
    """One life of a process beside which a person decides; the last answer."""
    bench = Workbench(root, clock=SystemClock())
    (bench.workspace / "long").write_text(LONG)
    async with SqliteJournal.open(root / "journal.db", clock=bench.clock) as journal, runtime(journal, bench) as agents:
        await agents.create_session("s")
        await agents.recover_all()
        await agents.start("s", "Do the fifteen things.", idempotency_key="the-run")
        for _ in range(100):
            report = await agents.wait("s")
            if report.pending is None:
                return report.final_answer
            await decide(agents, bench, report.pending)
    raise AssertionError("it never ends")


async def decide(agents: Runtime, bench: Workbench, call: CallState) -> None:
    """What the person says: the first signature is edited, the second allowed for the session; doubts by what happened."""
    assert isinstance(call.arguments, dict)
    if call.phase == "awaiting_approval":
        state = await agents.state("s")
        if not state.queue and state.totals.runs == 1:
            await agents.send("s", "And a message.", steering="followup")
        edited = Edited({"text": "better"}) if call.arguments["text"] == "first" else None
        scope: Scope = "session" if call.arguments["text"] == "second" else "once"
        await agents.resolve_approval(
            "s", call.approval_id or "", approved=True, actor="ann", edited=edited, scope=scope
        )
        return
    done = (
        f"append:{call.arguments['line']}" in bench.effects()
        if call.tool_name == "append"
        else f"sign:{call.arguments['text']}" in bench.effects()
    )
    await agents.resolve_doubt("s", call.call_id, "done" if done else "retry", actor="tester")


async def what_is_there(root: Path) -> dict[str, Json]:
    """What the journal and the disk say afterwards."""
    bench = Workbench(root, clock=SystemClock())
    found: dict[str, Json] = {
        "files": {file.name: file.read_text() for file in sorted(bench.workspace.iterdir()) if file.name != "long"},
        "effects": sorted(line.partition(":")[0] if line[0] == "t" else line for line in bench.effects()),
        "repeated": [line for line, times in Counter(bench.effects()).items() if times > 1],
    }
    async with SqliteJournal.open(root / "journal.db", clock=bench.clock) as journal:
        await journal.verify()
        records = await history(journal, "s")
        state = fold("s", records)
        names = Counter(await kinds(journal, "s"))
        sessions = {stream.session_id for stream in await journal.streams()}
        async with runtime(journal, bench) as agents:
            assert encode_state(await agents.state("s")) == encode_state(state), "the live state is not the fold"
        found |= {
            "runs": names["RunStarted"],
            "children": names["arcan.subagent_started"],
            "sessions": len(sessions),
            "compactions": min(1, names["ContextCompacted"]),
            "approvals": names["ApprovalRequested"],
            "open": [] if state.run is None else [state.run.run_id],
            "queue": len(state.queue),
            "rules": len(state.rules),
            "thoughts": thoughts(records),
            "recovered": names["SessionResumed"] > 0,
            "events": len(records),
        }
    return found


def thoughts(records: list[EventRecord]) -> list[Json]:
    """The thoughts of the answers that were kept, in order."""
    found: list[Json] = []
    for each in records:
        if isinstance(each.kind, events.Custom) and each.kind.event_type == "arcan.reasoning":
            assert isinstance(each.kind.data, dict)
            blocks = each.kind.data["blocks"]
            assert isinstance(blocks, list)
            found += [block["block"]["text"] for block in blocks if isinstance(block, dict)]
    return found


def in_process(root: Path, dies_at: int) -> int:
    """Run one life in a process of its own, which kills itself after so many events; how it ended: 0, or minus the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        staged = 0
        add = SessionLog.add

        def counting(log: SessionLog, kind: events.Kind, **options: object) -> EventRecord:
            nonlocal staged
            added = add(log, kind, **options)  # type: ignore[arg-type]
            staged += 1
            if staged >= dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return added

        SessionLog.add = counting  # type: ignore[method-assign,assignment]
        answer = asyncio.run(live(root))
        (root / "answer").write_text(answer or "")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(3)


def main(root: Path, first: int, step: int) -> None:
    """Kill at every number, and tell."""
    number = first
    while True:
        place = root / str(number)
        place.mkdir(parents=True)
        died = in_process(place, number)
        again = in_process(place, 2 + number % 5) if died else 0
        if died and again:
            assert in_process(place, NEVER) == 0
        told = {"at": number, "died": died, "again": again, "answer": (place / "answer").read_text()}
        print(json.dumps({**told, **asyncio.run(what_is_there(place))}), flush=True)
        if not died:
            return
        number += step


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
