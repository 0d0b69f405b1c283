"""Memory and first runs of an agent's process (K4, M1, M2, M4).

    M2  memory of a process that has imported the runtime and opened a journal      against LangGraph, openai-agents
    M4  what 32 conversations of 11 turns add to it                                 against LangGraph with its memory saver
    K4  the first conversation of a process against the later ones                  itself
    M1  memory of an idle `arcand`                                                  against a bare server with its libraries

Every figure is of a process of its own. The frameworks need the environment of agent_peers.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent_peers import PEERS, figures
from measure import Claim, arguments, interleaved, report

TURNS = 10
"""Turns with a tool; the eleventh is the answer."""
FLOOR = """
import asyncio, time
import apsw, coincurve, msgspec, starlette.applications, uvicorn, uvloop

async def app(scope, receive, send):
    pass

server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))

async def main():
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("listens", flush=True)
    await serving

uvloop.run(main())
"""
"""What a daemon can't do without: the server, the loop, the database, the codec, the curve."""


def once(name: str, field: str, conversations: int) -> Callable[[], float]:
    """One figure of a process that runs so many conversations."""
    return lambda: figures(name, TURNS, conversations)[field]


def growth(name: str, conversations: int) -> Callable[[], float]:
    """MB between the import and the highest point."""

    def run() -> float:
        measured = figures(name, TURNS, conversations)
        return (measured["peak_kib"] - measured["imported_kib"]) / 1024

    return run


def idle_daemon(*command: str) -> Callable[[], float]:
    """MB of a daemon, half a second after it listens; its journal's writer process counts."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "LIFE_KEY_FILE": f"{folder}/key/identity.key"}
            words = [word.replace("FOLDER", folder) for word in command]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as daemon:
                try:
                    assert daemon.stdout is not None
                    assert any("listens" in line for line in daemon.stdout)
                    time.sleep(0.5)
                    return resident_mb(daemon.pid)
                finally:
                    daemon.terminate()

    return run


def resident_mb(process_id: int) -> float:
    """Memory of a process and its children. Pages that they share count once: the proportional share of each."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    own = int(next(line for line in rollup if line.startswith("Pss:")).split()[1]) / 1024
    return own + sum(resident_mb(int(child)) for child in children)


def main() -> int:
    """Measure, and print the claims."""
    options = arguments(__doc__ or "")
    if not PEERS.exists():
        sys.exit("The frameworks are not installed; benches/agent_peers.py says how.")
    status = report(
        interleaved(
            {
                "life": lambda: once("life", "imported_kib", 1)() / 1024,
                "langgraph": lambda: once("langgraph", "imported_kib", 1)() / 1024,
                "openai_agents": lambda: once("openai_agents", "imported_kib", 1)() / 1024,
            },
            rounds=options.rounds,
        ),
        "MB after import",
        [Claim("M2", "life", "langgraph", at_most=0.8), Claim("M2", "life", "openai_agents", at_most=0.6)],
    )
    status |= report(
        interleaved(
            {"life": growth("life", 31), "langgraph_memory": growth("langgraph_memory", 31)}, rounds=options.rounds
        ),
        "MB for 32 conversations",
        [Claim("M4", "life", "langgraph_memory", at_most=0.7)],
    )
    first: dict[str, list[float]] = {"first run": [], "steady run": []}
    for _ in range(options.rounds):
        measured = figures("library", TURNS, 20)
        first["first run"].append(measured["first_ms"])
        first["steady run"].append(measured["steady_ms"])
    status |= report(first, "ms", [Claim("K4", "first run", "steady run", at_most=1.5)])
    arcand = str(Path(sys.executable).parent / "arcand")
    status |= report(
        interleaved(
            {
                "idle arcand": idle_daemon(arcand, "--port", "0", "--data-dir", "FOLDER/life"),
                "bare server": idle_daemon(sys.executable, "-c", FLOOR),
            },
            rounds=options.rounds,
        ),
        "MB",
        [Claim("M1", "idle arcand", "bare server", at_most=1.6)],
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
