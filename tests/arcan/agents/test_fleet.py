"""The tree of runs: whole, as it stands, and from the journal alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.arcan.agents.fleet import read_fleet
from life.arcan.errors import SessionNotFoundError
from life.arcan.providers.scripted import ScriptedCall
from life.lago.journal.memory import MemoryJournal
from tests.arcan.agents.fleet_kit import Cast, agent, fleet_on, spawn, turn
from tests.arcan.workbench import Workbench, script


async def test_the_tree_says_how_everything_stands_and_what_it_used(tmp_path: Path) -> None:
    """While a grandchild waits for a person, the tree names the call; at the end every node holds what it and those below it
    used, and a node's sum is its children's and its own."""
    bench, journal = Workbench(tmp_path), MemoryJournal()
    cast = Cast(
        {
            "root": script(turn(spawn("a"), spawn("b"), tokens=100), turn(text="Done.", tokens=100)),
            "a": script(turn(spawn("b"), tokens=30), turn(text="ok", tokens=30)),
            "b": script(turn(ScriptedCall("sign", {"text": "x"}), tokens=7), turn(text="ok", tokens=7)),
        },
        bench,
    )
    async with fleet_on(journal, bench, cast, agent("a"), agent("b")) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.start("s", "Go.")
        async with asyncio.timeout(10):
            while len(await runtime.pending_approvals("ann")) < 2:
                await asyncio.sleep(0)
        tree = await read_fleet(journal, "s", bench.clock.now_us())
        assert (tree.status, [child.agent for child in tree.children]) == ("running", ["a", "b"])
        grandchild = tree.children[0].children[0]
        assert (grandchild.status, grandchild.waiting_for, grandchild.owner) == ("waiting", "sign", "ann")
        for ticket in await runtime.pending_approvals("ann"):
            while runtime.is_driven(ticket.session_id):
                await asyncio.sleep(0)
            await runtime.resolve_approval(ticket.session_id, ticket.approval_id, approved=True, actor="ann")
        assert (await runtime.wait("s")).final_answer == "Done."
    tree = await read_fleet(journal, "s", bench.clock.now_us())
    first, second = tree.children
    assert (first.spent.tokens, second.spent.tokens, tree.spent.tokens) == (74, 14, 288)
    assert (tree.spent.subagents, first.spent.subagents, tree.spent.tool_calls) == (3, 1, 5)
    assert {node.reason for node in (tree, first, second)} == {"completed"}
    with pytest.raises(SessionNotFoundError):
        await read_fleet(journal, "nobody", 0)
