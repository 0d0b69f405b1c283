"""Memory as tools: gated by scope, owned by the session, exact about interrupted calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from life.aios.errors import ToolError
from life.aios.json import Json, JsonObject
from life.aios.policy import WORKSPACE_POLICY, evaluate
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.arcan.memory.scopes import Place
from tests.arcan.memory.desk import ADA, BOB, Desk, desk


def context(place: Place, key: str = "key-1") -> ToolContext:
    return ToolContext(
        session_id=place.session_id,
        branch_id="main",
        agent_id=place.agent_id,
        run_id="run-1",
        workspace="/nowhere",
        idempotency_key=key,
    )


async def use(memory: Desk, place: Place, name: str, arguments: JsonObject, key: str = "key-1") -> ToolOutcome:
    return await memory.tools.execute(ToolCall("call-1", name, arguments), context(place, key))


def output(outcome: ToolOutcome) -> dict[str, Json]:
    assert outcome.status == "ok", outcome.output
    assert isinstance(outcome.output, dict)
    return outcome.output


async def test_proposed_taken_over_found_and_forgotten(tmp_path: Path) -> None:
    """The whole way through the tools, and another owner's session sees none of it."""
    async with desk(tmp_path) as memory:
        await memory.session(ADA)
        await memory.session(BOB)
        proposed = output(
            await use(memory, ADA, "memory_propose", {"scope": "user", "entries": [{"content": "Drinks grünen Tee."}]})
        )
        assert proposed["entry_count"] == 1
        empty = output(await use(memory, ADA, "memory_query", {"scope": "user"}))
        assert empty["memories"] == []
        done = output(
            await use(memory, ADA, "memory_commit", {"proposal_id": proposed["proposal_id"], "scope": "user"}, "key-2")
        )
        assert output(await use(memory, ADA, "memory_search", {"query": "grünen Tee"}))["total"] == 1
        assert output(await use(memory, BOB, "memory_search", {"query": "grünen Tee"}))["total"] == 0
        assert output(await use(memory, BOB, "memory_recent", {}))["memories"] == []
        read = output(await use(memory, ADA, "read_memory", {"key": done["memory_id"]}))
        assert read["content"] == "Drinks grünen Tee."
        refused = await use(memory, BOB, "read_memory", {"key": done["memory_id"]})
        assert refused.status == "error"
        wrong = await use(memory, ADA, "memory_forget", {"key": done["memory_id"], "scope": "session"}, "key-3")
        assert wrong.status == "error", "what the gate was told is where it is looked for"
        gone = output(await use(memory, ADA, "memory_forget", {"key": done["memory_id"], "scope": "user"}, "key-3"))
        assert gone["forgotten"] == [done["memory_id"]]
        assert output(await use(memory, ADA, "memory_recent", {}))["memories"] == []


async def test_write_and_read_by_key(tmp_path: Path) -> None:
    """Also with links, which the graph follows."""
    async with desk(tmp_path) as memory:
        await memory.session(ADA)
        output(await use(memory, ADA, "write_memory", {"key": "plan", "content": "First [[tests]]."}, "k1"))
        output(await use(memory, ADA, "write_memory", {"key": "tests", "content": "Write them."}, "k2"))
        assert output(await use(memory, ADA, "read_memory", {"key": "plan"}))["content"] == "First [[tests]]."
        graph = output(await use(memory, ADA, "memory_graph", {"start": "plan"}))
        assert [note["name"] for note in graph["notes"]] == ["plan", "tests"]  # type: ignore[union-attr, index, call-overload]


async def test_the_default_policy_asks_about_what_lasts(tmp_path: Path) -> None:
    """Reading and proposing pass, the session's own memory too; writing the user's, the agent's or the organisation's is asked about."""
    async with desk(tmp_path) as memory:

        def decision(name: str, arguments: JsonObject) -> str:
            needed = memory.tools.capabilities(ToolCall("c", name, arguments), context(ADA))
            return evaluate(WORKSPACE_POLICY, needed).decision

        assert decision("memory_search", {"query": "x"}) == "allow"
        assert decision("memory_query", {"scope": "org"}) == "allow"
        assert decision("memory_propose", {"scope": "agent", "entries": [{"content": "x"}]}) == "allow"
        assert decision("write_memory", {"key": "k", "content": "x"}) == "allow"
        for scope in ("user", "agent", "org"):
            assert decision("write_memory", {"key": "k", "content": "x", "scope": scope}) == "require_approval"
            assert decision("memory_commit", {"proposal_id": "p", "scope": scope}) == "require_approval"
            assert decision("memory_forget", {"key": "k", "scope": scope}) == "require_approval"


async def test_a_commit_is_only_where_the_gate_was_told(tmp_path: Path) -> None:
    """A proposal to the user's memory can't be taken over as one of the session's."""
    async with desk(tmp_path) as memory:
        await memory.session(ADA)
        proposed = output(await use(memory, ADA, "memory_propose", {"entries": [{"content": "For the user."}]}))
        sneaked = await use(
            memory, ADA, "memory_commit", {"proposal_id": proposed["proposal_id"], "scope": "session"}, "k2"
        )
        assert sneaked.status == "error"
        assert await memory.service.query(ADA, "user") == []


CHANGES: list[tuple[str, JsonObject]] = [
    ("memory_propose", {"scope": "user", "entries": [{"content": "Probe me."}]}),
    ("write_memory", {"key": "probed", "content": "Probe me."}),
]


@pytest.mark.parametrize(("name", "arguments"), CHANGES)
async def test_an_interrupted_call_is_told_exactly(tmp_path: Path, name: str, arguments: JsonObject) -> None:
    """Not run: not done. Run: done, with its result. Running it again under its key changes nothing."""
    async with desk(tmp_path) as memory:
        await memory.session(ADA)
        call = ToolCall("call-1", name, arguments)
        assert (await memory.tools.probe(call, context(ADA), None)).answer == "not_done"
        first = await memory.tools.execute(call, context(ADA))
        probed = await memory.tools.probe(call, context(ADA), None)
        assert probed.answer == "done" and probed.outcome is not None
        assert output(probed.outcome).items() <= output(first).items() or name == "memory_propose"
        assert output(await memory.tools.execute(call, context(ADA))) == output(first)
        assert (await memory.tools.probe(call, context(ADA, "another"), None)).answer == "not_done"


async def test_unfit_calls_are_told_so(tmp_path: Path) -> None:
    """Unknown tools and arguments, a session that is none, secrets."""
    async with desk(tmp_path) as memory:
        for name, arguments in (
            ("nothing", {}),
            ("memory_query", {"scope": "everybody"}),
            ("memory_query", {"extra": 1}),
            ("write_memory", {"key": "../x", "content": "x"}),
            ("memory_search", {"query": ""}),
        ):
            with pytest.raises(ToolError):
                memory.tools.capabilities(ToolCall("c", name, arguments), context(ADA))
            assert (await use(memory, ADA, name, arguments)).status == "error"
        assert (await use(memory, ADA, "memory_query", {})).status == "error", "the session does not exist"
        await memory.session(ADA)
        secret = {"key": "k", "content": "token ghp_0123456789abcdefghijABCDEFGHIJ"}
        assert (await use(memory, ADA, "write_memory", secret)).status == "error"


async def test_schemas_are_schemas(tmp_path: Path) -> None:
    """Every definition is a valid JSON Schema of an object, and described."""
    async with desk(tmp_path) as memory:
        definitions = memory.tools.definitions()
        assert [definition.name for definition in definitions] == sorted(
            [
                "memory_query",
                "memory_search",
                "memory_recent",
                "memory_graph",
                "read_memory",
                "memory_propose",
                "memory_commit",
                "write_memory",
                "memory_forget",
            ]
        )
        for definition in definitions:
            Draft202012Validator.check_schema(dict(definition.input_schema))
            assert definition.input_schema["type"] == "object" and definition.description
