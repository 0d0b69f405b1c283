"""An agent turn with one tool call against the frameworks of the field, each over the most durable store it has (A1, A2, A3).

    life            intent and result of every call durable, policy, budgets, folds: everything that the runtime does
    system          the same in a whole system, everything on but the sandbox (agent_system.py)
    floor           the same events by hand with two durable commits (agent_turn.py)
    langgraph       SqliteSaver, durability="sync"          pydantic_ai     on DBOS over SQLite, model and tool steps
    agno            SqliteDb, checkpoint="tool-batch"       openai_agents   SQLiteSession
    adk             SqliteSessionService                    …_plain         the same without any persistence

Same script, same tool, one process per case and round, and the first conversation of each does not count. The frameworks live in an
environment of their own:

    python3 -m venv .cache/agent-peers
    .cache/agent-peers/bin/python -m pip install --require-hashes -r requirements/agent-peers.lock
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import Claim, arguments, interleaved, report

HERE = Path(__file__).parent
PEERS = HERE.parent / ".cache" / "agent-peers" / "bin" / "python"
DURABLE = ("langgraph", "pydantic_ai", "agno", "openai_agents", "adk")
PLAIN = ("langgraph_plain", "pydantic_ai_plain", "openai_agents_plain")
OURS = ("life", "library", "system", "floor")


def figures(name: str, turns: int, conversations: int) -> dict[str, float]:
    """One process that runs this loop; what it measured."""
    program = [sys.executable, __file__] if name in OURS else [str(PEERS), str(HERE / "agent_peer_loops.py")]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        done = subprocess.run(
            [*program, name, folder, str(turns), str(conversations)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


async def life(folder: Path, turns: int, conversations: int, *, warm_log: bool) -> dict[str, float]:
    """Our own loop: one runtime over one journal on disk, a session per conversation. `warm_log`: with a log that has grown already, as
    the daemon and the floor have it; a program that has just opened a new journal has none."""
    began = time.perf_counter()
    from agent_peer_loops import measure, memory_kib
    from agent_turn import Bench, SystemClock

    from life.lago.journal.sqlite import SqliteJournal

    bench = Bench(folder)
    beginning = {"import_ms": (time.perf_counter() - began) * 1000, "imported_kib": memory_kib("VmRSS")}
    async with SqliteJournal.open(
        folder / "life.db", clock=SystemClock(), writer="in_loop", warm_log=warm_log
    ) as journal:
        wanted = turns
        async with bench.runtime(journal, lambda: wanted) as runtime:

            async def conversation(turns: int) -> str:
                nonlocal wanted
                wanted = turns
                session = await runtime.create_session()
                report_ = await runtime.run(session.session_id, "Fetch the rows.")
                return report_.final_answer or ""

            return {**beginning, **await measure(conversation, turns, conversations, lambda: len(bench.tool.ran_at))}


async def system(folder: Path, turns: int, conversations: int) -> dict[str, float]:
    """A whole system, everything on but the sandbox (agent_system.py); conversations of 20 turns, whatever is asked for."""
    import agent_system
    from agent_peer_loops import measure

    from life.arcan.providers.scripted import ScriptedProvider

    assert turns == agent_system.TURNS
    provider, ran = ScriptedProvider(agent_system.model, clock=agent_system.SystemClock()), 0
    async with agent_system.a_system(folder, provider) as opened:

        async def conversation(turns: int) -> str:
            nonlocal ran
            session = await opened.runtime.create_session()
            done = await opened.runtime.run(session.session_id, "Do it: todo", limits=agent_system.LIMITS)
            ran += (await opened.runtime.state(session.session_id)).totals.calls_succeeded
            return done.final_answer or ""

        return await measure(conversation, turns, conversations, lambda: ran)


async def floor(folder: Path, turns: int, conversations: int) -> dict[str, float]:
    """The floor, measured the same way."""
    from agent_turn import Floor

    return {"ms_per_turn": await Floor(folder).conversations(conversations, turns)}


def main() -> int:
    """Be one of our loops, or run them all and print the claims."""
    if sys.argv[1:2] and sys.argv[1] in OURS:
        name, folder, turns, conversations = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        if name in ("floor", "system"):
            loop = floor if name == "floor" else system
            print(json.dumps(asyncio.run(loop(folder, turns, conversations))))
        else:
            print(json.dumps(asyncio.run(life(folder, turns, conversations, warm_log=name == "life"))))
        return 0
    options = arguments(__doc__ or "")
    if not PEERS.exists():
        sys.exit(f"The frameworks are not installed. {(__doc__ or '').rpartition('their own:')[2].strip()}")
    status = 0
    for turns, conversations in ((20, 5 if options.quick else 20), (300, 1 if options.quick else 2)):

        def case(name: str, turns: int = turns, conversations: int = conversations) -> Callable[[], float]:
            return lambda: figures(name, turns, conversations)["ms_per_turn"]

        names = ("life", "floor", *DURABLE, *(("system", *PLAIN) if turns == 20 else ()))
        print(f"a turn with one tool call in conversations of {turns}, scripted model")
        claims = [Claim("A1", "life", "floor", at_most=2.0)]
        claims += [Claim("A2", "life", name, at_most=_GOALS.get(name, 1.0)) for name in DURABLE]
        claims += [Claim("A2, everything on", "system", name, at_most=1.0) for name in DURABLE if "system" in names]
        claims += [Claim("A3", "life", name, at_most=0.95) for name in PLAIN if name in names]
        status |= report(interleaved({name: case(name) for name in names}, rounds=options.rounds), "ms/turn", claims)
    return status


_GOALS = {"langgraph": 0.45, "pydantic_ai": 0.20}

if __name__ == "__main__":
    sys.exit(main())
