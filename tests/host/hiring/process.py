"""One side of a hire as a process of its own: `python -m tests.host.hiring.process ROLE FOLDER COMMON N`.

Ada runs an errand that hires Ben, waits, accepts and rates; Ben takes hires on. The common (Spaces and house) is at the address COMMON. The process
kills itself with SIGKILL when its journal is given its N-th batch (0: never; a minus: after it was stored instead of before).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from life.aios.ports.journal import Appended
from life.aios.ports.provider import ModelRequest, ToolResultBlock
from life.aios.record import NewEvent, Stream
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.clock import SystemClock
from life.host.settings import A2aSettings, PaymentSettings, Settings, SpacesSettings
from life.host.system import open_system
from life.lago.journal.sqlite import SqliteJournal
from life.spaces.commands import SetProfile

PRICE = 250_000
SESSION = "errand"


def results(request: ModelRequest) -> list[dict[str, Any]]:
    """What the tools answered so far."""
    blocks = [block for message in request.messages for block in message.content]
    return [json.loads(block.content) for block in blocks if isinstance(block, ToolResultBlock)]


def ada(request: ModelRequest) -> ScriptedTurn:
    """Hire, wait, accept, rate."""
    seen = results(request)
    match len(seen):
        case 0:
            given: dict[str, Any] = {"peer": "@ben", "title": "Work", "task": "Do it.", "price_micro": PRICE}
            return ScriptedTurn(calls=(ScriptedCall("spaces_hire", given),))
        case 1:
            given = {"for": "hire", "hire_id": seen[0]["hire_id"], "timeout_s": 60}
            return ScriptedTurn(calls=(ScriptedCall("spaces_wait_for", given),))
        case 2:
            return ScriptedTurn(calls=(ScriptedCall("spaces_accept", {"hire_id": seen[0]["hire_id"]}),))
        case 3:
            given = {"hire_id": seen[0]["hire_id"], "stars": 5}
            return ScriptedTurn(calls=(ScriptedCall("spaces_rate", given),))
        case _:
            return ScriptedTurn(text=json.dumps([each.get("state", each.get("stars")) for each in seen]))


def settings(common: str) -> Settings:
    """Of either."""
    return Settings(
        spaces=SpacesSettings(place=common, tools="on", house=common),
        payments=PaymentSettings(auto_approve_cap_micro=PRICE),
        a2a=A2aSettings(enabled=False),
    )


def deadly(at: int) -> None:
    """Die at the journal's n-th batch from now on."""
    append, count = SqliteJournal.append, 0

    async def dying(
        self: SqliteJournal, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        stored = await append(self, events, expected=expected)
        if count == -at:
            os.kill(os.getpid(), signal.SIGKILL)
        return stored

    SqliteJournal.append = dying  # type: ignore[method-assign]


async def main(role: str, folder: Path, common: str, at: int) -> None:
    """Ada's errand to its end, or Ben at work until somebody ends him."""
    model = ScriptedProvider(ada if role == "ada" else lambda _: ScriptedTurn(text="done"), clock=SystemClock())
    async with open_system(folder, settings=settings(common), provider=model) as system:
        seat = await system.spaces.seat()
        if role == "wallet":
            print(system.identity.wallet.address, flush=True)
            return
        deadly(at)
        await system.runtime.recover_all()
        if role == "ada":
            await system.runtime.create_session(SESSION)
            report = await system.runtime.run(SESSION, "Get it done.", idempotency_key="errand")
            print(report.final_answer, flush=True)
            return
        assert system.hiring is not None
        await seat.submit(SetProfile(username="ben"))
        async with system.hiring.at_work():
            print("at work", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
