"""An agent turn with one tool call against the frameworks of the field, each over the most durable store it has (A1, A2, A3).

    life            intent and result of every call durable, policy, budgets, folds: everything that the runtime does
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
OURS = ("life", "floor")


def figures(name: str, turns: int, conversations: int) -> dict[str, float]:
    """One process that runs this loop; what it measured."""
    program = [sys.executable, __file__] if name in OURS else [str(PEERS), str(HERE / "agent_peer_loops.py")]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        done = subprocess.run(
            [*program, name, folder, str(turns), str(conversations)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


async def life(folder: Path, turns: int, conversations: int) -> dict[str, float]:
    """Our own loop: one runtime over one journal on disk, a session per conversation."""
    began = time.perf_counter()
    from agent_peer_loops import measure, memory_kib
    from agent_turn import Bench, SystemClock

    from life.lago.journal.sqlite import SqliteJournal

    bench = Bench(folder)
    beginning = {"import_ms": (time.perf_counter() - began) * 1000, "imported_kib": memory_kib("VmRSS")}
    async with SqliteJournal.open(folder / "life.db", clock=SystemClock(), writer="in_loop", warm_log=True) as journal:
        async with bench.runtime(journal, turns) as runtime:

            async def conversation(_turns: int) -> str:
                session = await runtime.create_session()
                report_ = await runtime.run(session.session_id, "Fetch the rows.")
                return report_.final_answer or ""

            return {**beginning, **await measure(conversation, turns, conversations, lambda: len(bench.tool.ran_at))}


async def floor(folder: Path, turns: int, conversations: int) -> dict[str, float]:
    """The floor, measured the same way."""
    from agent_turn import Floor

    return {"ms_per_turn": await Floor(folder).conversations(conversations, turns)}


def main() -> int:
    """Be one of our loops, or run them all and print the claims."""
    if sys.argv[1:2] and sys.argv[1] in OURS:
        loop = life if sys.argv[1] == "life" else floor
        print(json.dumps(asyncio.run(loop(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))))
        return 0
    options = arguments(__doc__ or "")
    if not PEERS.exists():
        sys.exit(f"The frameworks are not installed. {(__doc__ or '').rpartition('their own:')[2].strip()}")
    status = 0
    for turns, conversations in ((20, 5 if options.quick else 20), (300, 1 if options.quick else 2)):

        def case(name: str, turns: int = turns, conversations: int = conversations) -> Callable[[], float]:
            return lambda: figures(name, turns, conversations)["ms_per_turn"]

        names = (*OURS, *DURABLE, *PLAIN) if turns == 20 else (*OURS, *DURABLE)
        print(f"a turn with one tool call in conversations of {turns}, scripted model")
        claims = [Claim("A1", "life", "floor", at_most=2.0)]
        claims += [Claim("A2", "life", name, at_most=_GOALS.get(name, 1.0)) for name in DURABLE]
        claims += [Claim("A3", "life", name, at_most=0.95) for name in PLAIN if name in names]
        status |= report(interleaved({name: case(name) for name in names}, rounds=options.rounds), "ms/turn", claims)
    return status


_GOALS = {"langgraph": 0.45, "pydantic_ai": 0.20}

if __name__ == "__main__":
    sys.exit(main())
