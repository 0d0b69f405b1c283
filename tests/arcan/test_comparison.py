"""Comparing branches and positions, from the library and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.requests import Request

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ports.provider import ModelRequest, TextBlock
from life.aios.state import TokenUsage
from life.arcan.branch_api import BranchApi
from life.arcan.people_api import Callers
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.lago.journal.memory import MemoryJournal
from tests.arcan.branch_bench import Bench
from tests.arcan.workbench import calls

USAGE = TokenUsage(100, 10, 110)


def answer(request: ModelRequest) -> ScriptedTurn:
    """Writes what it is told, `path=content`, and says so."""
    last = request.messages[-1].content[-1]
    if isinstance(last, TextBlock) and "=" in last.text:
        path, content = last.text.split("=")
        turn = calls(("write", {"path": path, "content": content}))
        return ScriptedTurn(calls=turn.calls, usage=USAGE)
    return ScriptedTurn(text="Done.", usage=USAGE)


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    """Session `s`: a common run, then one on main and two on `idea`."""
    bench = Bench(tmp_path, MemoryJournal())
    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.run("s", "a.txt=one\n")
        await runtime.branches.fork("s", "idea")
        await runtime.run("s", "a.txt=main\n")
        await runtime.run("s", "a.txt=idea\n", branch="idea")
        await runtime.run("s", "b.txt=new\n", branch="idea")
    return bench


async def test_two_branches_side_by_side(bench: Bench) -> None:
    """Common point and turns, each side's own turns, events, cost and state, and the files as a diff."""
    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        found = await runtime.branches.compare("s", "main", "idea")
        branch = await runtime.branches.find("s", "idea")
        assert (found.common_branch, found.common_sequence) == ("main", branch.fork_sequence)
        assert found.common_messages == 4
        assert [message.role for message in found.one.messages] == ["user", "assistant", "user", "assistant"]
        assert len(found.other.messages) == 8
        assert (found.one.spent.model_calls, found.other.spent.model_calls) == (2, 4)
        assert (found.one.spent.prompt_tokens, found.other.spent.prompt_tokens) == (200, 400)
        assert (found.one.spent.tool_runs, found.other.spent.tool_runs) == (1, 2)
        assert found.other.own_events == branch.head_sequence == sum(found.other.kinds.values())
        assert found.files is not None
        told = {difference.path: difference for difference in found.files}
        assert {path: difference.change for path, difference in told.items()} == {
            "/a.txt": "modified",
            "/b.txt": "added",
        }
        assert "-main\n+idea\n" in (told["/a.txt"].text or "")


async def test_a_branch_with_itself_and_with_earlier_positions(bench: Bench) -> None:
    """Nothing differs from itself; an earlier position is the common point of the two."""
    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        same = await runtime.branches.compare("s", "idea", "idea")
        assert (same.one.messages, same.files, same.state_changes, same.one.own_events) == ((), (), {}, 0)
        back = await runtime.branches.compare("s", "idea", "idea", one_at=1)
        assert (back.common_branch, back.common_sequence, back.one.own_events) == ("idea", 1, 0)
        assert len(back.other.messages) == 8
        with pytest.raises(InvalidInputError):
            await runtime.branches.compare("s", "idea", "main", one_at=10_000)


async def test_the_routes(bench: Bench) -> None:
    """List, fork, compare, merge with its conflict, go back; each answers in JSON with a stable code where it refuses."""
    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        api = BranchApi(runtime, Callers(runtime, lambda request: "ann", lambda request: "ann"))
        endpoints = {(str(each.method), each.path): each.endpoint for each in api.operations()}

        async def call(
            method: str, path: str, body: object = None, query: str = "", **params: str
        ) -> tuple[int, dict[str, object]]:
            async def receive() -> dict[str, object]:
                return {"type": "http.request", "body": json.dumps(body or {}).encode(), "more_body": False}

            scope = {
                "type": "http",
                "method": method,
                "path": path,
                "query_string": query.encode(),
                "headers": [],
                "path_params": {"session_id": "s", **params},
            }
            try:
                response = await endpoints[(method, path)](Request(scope, receive))
            except LifeError as error:
                return error.status, {"code": error.code}
            answered = json.loads(bytes(response.body))
            assert isinstance(answered, dict)
            return response.status_code, answered

        base = "/sessions/{session_id}"
        status, listed = await call("GET", f"{base}/branches")
        assert (status, [each["branch_id"] for each in listed["branches"]]) == (200, ["main", "idea"])  # type: ignore[attr-defined]
        status, made = await call("POST", f"{base}/branches", {"branch": "später", "fork_sequence": 4})
        assert (status, made["name"], made["fork_sequence"]) == (201, "später", 4)
        message = await bench.sequence_of("UserMessage", nth=2)
        status, edited = await call("POST", f"{base}/branches", {"before_message": message})
        assert (status, edited["fork_sequence"]) == (201, message - 1)
        assert (await call("POST", f"{base}/branches", {"before_message": 1, "fork_sequence": 1}))[0] == 400
        assert (await call("GET", f"{base}/compare"))[0] == 400
        status, compared = await call("GET", f"{base}/compare", query="other=idea")
        assert (status, compared["common_messages"]) == (200, 4)
        merge = f"{base}/branches/{{branch}}/merge"
        assert await call("POST", merge, branch="idea") == (409, {"code": "arcan.file_conflicts"})
        status, merged = await call("POST", merge, {"prefer": "theirs"}, branch="idea")
        assert status == 200
        result = merged["result"]
        assert isinstance(result, dict)
        assert (result["source_branch"], result["target_branch"]) == ("idea", "main")
        assert await call("POST", merge, branch="nowhere") == (404, {"code": "arcan.branch_not_found"})
        status, restored = await call("POST", f"{base}/restore", {"to_sequence": message - 1})
        assert (status, restored["restored_to_sequence"]) == (200, message - 1)
        assert (bench.workspace("s") / "a.txt").read_text() == "one\n"

        stranger = BranchApi(runtime, Callers(runtime, lambda request: "eve", lambda request: "eve"))
        endpoints = {(str(each.method), each.path): each.endpoint for each in stranger.operations()}
        for method, path in endpoints:
            assert await call(method, path, {"to_sequence": 1}, branch="idea") == (
                404,
                {"code": "arcan.session_not_found"},
            )
