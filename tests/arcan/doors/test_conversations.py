"""Which session a request continues, also across a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import Journal
from life.aios.streams.openai import OPENAI, OpenAiMachine
from life.arcan.doors.answers import read_answer
from life.arcan.doors.conversations import Asked, Conversations, Turn, chain, joined
from life.arcan.doors.errors import RequestKeyConflictError, RunNeedsPersonError
from life.arcan.doors.following import follow_run
from life.arcan.doors.requests import DoorModel, Parts
from life.arcan.doors.telling import tell
from life.arcan.providers.scripted import ScriptedProvider
from life.arcan.runtime import Runtime
from life.host.http.events import WritesResponse
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.arcan.doors.kit import assistant, house
from tests.arcan.workbench import Workbench, runtime_on

TURNS = st.lists(
    st.builds(Turn, st.sampled_from(("user", "assistant")), st.text(st.characters(codec="utf-8"), max_size=8)),
    max_size=5,
)


@given(TURNS, TURNS)
def test_different_conversations_have_different_keys(one: list[Turn], other: list[Turn]) -> None:
    """Equal but for blanks around texts: equal keys. Anything else, owner and model among it: others."""
    plain = [[(turn.role, turn.text.strip()) for turn in turns] for turns in (one, other)]
    keys = [chain("ann", "life", "", turns) for turns in (one, other)]
    assert (keys[0] == keys[1]) == (plain[0] == plain[1])
    assert keys[0] not in (
        chain("bob", "life", "", one),
        chain("ann", "other", "", one),
        chain("ann", "life", "x", one),
    )
    assert chain(None, "life", "", one) != chain("", "life", "", one)


def test_turns_are_joined_and_checked() -> None:
    """Neighbours of one role become one; empty ones go; the user must have the last word."""
    turns = (Turn("user", "a"), Turn("user", "b"), Turn("assistant", " "), Turn("user", "c"))
    assert joined(turns) == (Turn("user", "a\n\nb\n\nc"),)
    for wrong in ((), (Turn("user", " "),), (Turn("user", "a"), Turn("assistant", "b"))):
        with pytest.raises(InvalidInputError):
            joined(wrong)


@asynccontextmanager
async def conversations_on(
    journal: Journal, bench: Workbench, seed: str
) -> AsyncIterator[tuple[Conversations, Runtime]]:
    async with runtime_on(journal, bench, ScriptedProvider(assistant, clock=bench.clock), seed=seed) as runtime:
        parts = Parts(
            runtime=runtime,
            journal=journal,
            clock=bench.clock,
            entropy=SeededEntropy(seed),
            agent_id="agent-1",
            stream=WritesResponse,
            owner_of=lambda _: None,
            models={"life": DoorModel()},
            default_prompt="",
        )
        conversations = Conversations(parts)
        yield conversations, runtime
        await conversations.aclose()


async def test_a_key_outlives_the_process(tmp_path: Path) -> None:
    """The run was under way when the process ended: the next one's same request is that run, and it has its effect once."""
    bench = Workbench(tmp_path)
    asked = Asked(owner=None, model="life", system="", turns=(Turn("user", "transfer bob"),), key="k")
    async with MemoryJournal() as journal:
        async with conversations_on(journal, bench, "one") as (conversations, runtime):
            first = await conversations.open_run(asked)
        async with conversations_on(journal, bench, "two") as (conversations, runtime):
            await runtime.recover_all()
            again = await conversations.open_run(asked)
            assert again == first
            assert (await runtime.wait(again.session_id, again.run_id)).reason == "completed"
            await conversations.noted(again.run_id)
            assert len(bench.effects()) == 1
            with pytest.raises(RequestKeyConflictError):
                await conversations.open_run(asked._replace(turns=(Turn("user", "transfer eve"),)))
            said = "I send it.\n\nIt is done."
            turns = (*asked.turns, Turn("assistant", said), Turn("user", "thanks"))
            going_on = await conversations.open_run(asked._replace(turns=turns, key=None))
            assert going_on.session_id == first.session_id
            await runtime.wait(going_on.session_id)


async def test_an_answer_waits_for_the_approval(tmp_path: Path) -> None:
    """The chat protocols know no approvals: the answer comes when a person has decided."""
    body = {"model": "life", "messages": [{"role": "user", "content": "sign this"}]}
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        for stream in (False, True):
            asking = asyncio.create_task(http.post("/v1/chat/completions", json={**body, "stream": stream}))
            async with asyncio.timeout(10):
                while True:
                    await asyncio.sleep(0.01)
                    waiting = [
                        (session.session_id, call.approval_id)
                        for session in await home.runtime.sessions()
                        for call in (await home.runtime.state(session.session_id)).calls
                        if call.phase == "awaiting_approval"
                    ]
                    if waiting:
                        break
            assert not asking.done()
            session_id, approval_id = waiting[0]
            await home.runtime.resolve_approval(session_id, approval_id or "", approved=True, actor="me")
            assert "It is done." in (await asking).text
        assert home.bench.effects() == ["sign:this", "sign:this"]


async def test_a_run_in_doubt_ends_the_answer_with_an_error(tmp_path: Path) -> None:
    """Nobody knows whether the call took effect: the answer says so, streamed or not, instead of waiting for ever or pretending an end."""
    bench = Workbench(tmp_path)
    asked = Asked(owner=None, model="life", system="", turns=(Turn("user", "hang"),), key="k")
    async with MemoryJournal() as journal:
        async with conversations_on(journal, bench, "one") as (conversations, _):
            await conversations.open_run(asked)
            await bench.hanging.wait()
        async with conversations_on(journal, bench, "two") as (conversations, runtime):
            await runtime.recover_all()
            opened = await conversations.open_run(asked)
            for _ in range(2):
                batches = follow_run(runtime, opened.session_id, opened.run_id, opened.after_sequence)
                with pytest.raises(RunNeedsPersonError):
                    await read_answer(batches, opened.session_id)
                batches = follow_run(runtime, opened.session_id, opened.run_id, opened.after_sequence)
                machine = OpenAiMachine(with_tools=False)
                doubt = RunNeedsPersonError(opened.session_id)
                with pytest.raises(RunNeedsPersonError):
                    async for _chunk in tell(
                        batches, machine, OPENAI.heartbeat, at_rest=machine.calls_out, unfinished=doubt
                    ):
                        pass
