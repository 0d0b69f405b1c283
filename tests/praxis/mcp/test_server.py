"""Our MCP server with the official client: both eras, gate and journal, approvals, resources (praxis.md §7, §12.9)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from life.aios.events import PolicyEvaluated
from life.lago.journal.memory import MemoryJournal
from tests.arcan.workbench import history, kinds
from tests.praxis.mcp.served import bearer, over_http, served

Era = Literal["legacy", "auto"]
ERAS: list[Era] = ["legacy", "auto"]


def text_of(result: types.CallToolResult) -> str:
    """The first block's text."""
    block = result.content[0]
    assert isinstance(block, types.TextContent)
    return block.text


@pytest.mark.parametrize("era", ERAS)
async def test_only_tools_that_change_nothing_are_offered_unless_named(tmp_path: Path, era: Era) -> None:
    """The default is safe; a tool that is not offered can't be called by name either."""
    async with served(tmp_path) as parts, Client(parts.server.protocol, mode=era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert "read_file" in names
        assert "write_file" not in names
        with pytest.raises(MCPError):
            await client.call_tool("write_file", {"path": "a", "content": "x"})
        assert await parts.runtime.sessions() == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_goes_through_the_gate_and_stands_in_the_journal(tmp_path: Path, era: Era) -> None:
    """The events are those of a model's call: asked for, judged, started, completed; a denied one is not run."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "a.txt").write_text("hello")
    async with served(tmp_path, offered=("*",)) as parts, Client(parts.server.protocol, mode=era) as client:
        result = await client.call_tool("read_file", {"path": "a.txt"})
        assert not result.is_error
        assert "hello" in text_of(result)
        names = await kinds(parts.journal, "mcp-local-1")
        for name in ("ToolCallRequested", "PolicyEvaluated", "ToolCallStarted", "ToolCallCompleted", "RunFinished"):
            assert name in names
        denied = await client.call_tool("http_fetch", {"url": "http://example.org/"})
        assert denied.is_error
        assert "Not permitted" in text_of(denied)
        decisions = [
            record.kind.decision
            for record in await history(parts.journal, "mcp-local-1")
            if isinstance(record.kind, PolicyEvaluated)
        ]
        assert decisions == ["allow", "deny"]
        unfit = await client.call_tool("read_file", {"path": "../../etc/passwd"})
        assert unfit.is_error


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("action", ["accept", "decline", "cancel", "lie"])
async def test_an_approval_is_put_to_the_person_at_the_client(tmp_path: Path, era: Era, action: str) -> None:
    """A yes runs that very call, once; a no refuses it; closing the question leaves it waiting; a form without the yes is a no."""
    asked: list[str] = []

    async def person(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params.message)
        if action == "lie":
            return types.ElicitResult(action="accept", content={"other": True})
        return types.ElicitResult(action=action, content={"approve": True} if action == "accept" else None)  # type: ignore[arg-type]

    async with (
        served(tmp_path, offered=("*",)) as parts,
        over_http(parts.server) as address,
        bearer() as http,
        Client(
            streamable_http_client(f"{address}/mcp", http_client=http), mode=era, elicitation_callback=person
        ) as client,
    ):
        result = await client.call_tool("write_file", {"path": "a.txt", "content": "x"})
        assert "write_file" in asked[0] and "a.txt" in asked[0]
        written = (parts.workspace / "a.txt").exists()
        assert written == (action == "accept")
        assert result.is_error == (action != "accept")
        if action == "cancel":
            assert "waits" in text_of(result)
        assert (await kinds(parts.journal, "mcp-local-1")).count("ToolCallStarted") == int(written)


async def test_a_call_that_waits_is_joined_and_never_made_twice(tmp_path: Path) -> None:
    """Without elicitation the answer says that it waits; the same call again joins it, others go on, and a person's yes runs it once."""
    async with served(tmp_path, offered=("*",), ask_client=False) as parts, Client(parts.server.protocol) as client:
        arguments = {"path": "a.txt", "content": "x"}
        first = await client.call_tool("write_file", arguments)
        assert "waits" in text_of(first)
        assert "waits" in text_of(await client.call_tool("write_file", arguments))
        assert not (await client.call_tool("list_dir", {"path": "."})).is_error  # in another lane
        (approval,) = [call.approval_id for call in (await parts.runtime.state("mcp-local-1")).calls]
        assert approval is not None
        await parts.runtime.resolve_approval("mcp-local-1", approval, approved=True, actor="ann")
        done = await client.call_tool("write_file", arguments)
        assert not done.is_error
        assert (await kinds(parts.journal, "mcp-local-1")).count("ToolCallStarted") == 1


async def test_a_forged_request_state_is_refused(tmp_path: Path) -> None:
    """In 2026-07-28 a yes counts only with the state of the very call that waits."""
    async with served(tmp_path, offered=("*",)) as parts:

        async def person(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
            raise AssertionError("the client answers by hand here")

        async with Client(parts.server.protocol, elicitation_callback=person) as client:
            arguments = {"path": "a.txt", "content": "x"}
            asked = await client.session.call_tool("write_file", arguments, allow_input_required=True)
            assert isinstance(asked, types.InputRequiredResult)
            yes: types.InputResponses = {"approve": types.ElicitResult(action="accept", content={"approve": True})}
            with pytest.raises(MCPError):
                await client.session.call_tool(
                    "write_file", arguments, input_responses=yes, request_state="forged", allow_input_required=True
                )
            again = await client.session.call_tool(
                "write_file", arguments, input_responses=yes, allow_input_required=True
            )
            assert isinstance(again, types.InputRequiredResult)
            assert not (parts.workspace / "a.txt").exists()


async def test_progress_tells_what_happens_and_calls_run_side_by_side(tmp_path: Path) -> None:
    """Whoever asks for progress hears the events of the call; ten calls at once all answer."""
    async with served(tmp_path) as parts, Client(parts.server.protocol) as client:
        heard: list[str | None] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(message)

        await client.call_tool("list_dir", {"path": "."}, progress_callback=hear)
        assert heard[0] == "asked for" and heard[-1] == "ended: ok"
        results = await asyncio.gather(*(client.call_tool("list_dir", {"path": "."}) for _ in range(10)))
        assert not any(result.is_error for result in results)


async def test_files_and_sessions_are_resources_of_their_owner(tmp_path: Path) -> None:
    """Workspace files, the list of sessions and their journals can be read; hidden files, links and nonsense can't."""
    workspace = tmp_path / "workspace"
    (workspace / "docs").mkdir(parents=True)
    (workspace / "docs" / "a.md").write_text("# A")
    (workspace / ".ssh").mkdir()
    (workspace / ".ssh" / "key").write_text("secret")
    (workspace / "link").symlink_to("/etc/passwd")
    (workspace / "image.bin").write_bytes(b"\xff\x00")
    async with served(tmp_path) as parts, Client(parts.server.protocol) as client:
        await client.call_tool("list_dir", {"path": "."})
        uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
        assert "life://workspace/docs/a.md" in uris
        assert not any("ssh" in uri or "link" in uri for uri in uris)
        (content,) = (await client.read_resource("life://workspace/docs/a.md")).contents
        assert isinstance(content, types.TextResourceContents) and content.text == "# A"
        (blob,) = (await client.read_resource("life://workspace/image.bin")).contents
        assert isinstance(blob, types.BlobResourceContents)
        (tail,) = (await client.read_resource("life://journal/mcp-local-1")).contents
        assert isinstance(tail, types.TextResourceContents)
        assert any(json.loads(line)["kind"]["type"] == "ToolCallCompleted" for line in tail.text.splitlines())
        for uri in (
            "life://workspace/.ssh/key",
            "life://workspace/link",
            "life://workspace/../x",
            "life://workspace//etc/passwd",
            "life://journal/nobody",
            "file:///etc/passwd",
        ):
            with pytest.raises(MCPError):
                await client.read_resource(uri)


async def test_a_call_that_a_crash_cut_off_is_taken_up_from_the_journal(tmp_path: Path) -> None:
    """A waiting call outlives the server; approved in the next one, it runs there, once."""
    journal = MemoryJournal()
    async with (
        served(tmp_path, offered=("*",), ask_client=False, journal=journal) as parts,
        Client(parts.server.protocol) as client,
    ):
        await client.call_tool("write_file", {"path": "a.txt", "content": "x"})
    async with served(tmp_path, offered=("*",), ask_client=False, journal=journal) as parts:
        assert await parts.runtime.recover_all() == ["mcp-local-1"]
        (call,) = (await parts.runtime.state("mcp-local-1")).calls
        await parts.runtime.resolve_approval("mcp-local-1", call.approval_id or "", approved=True, actor="ann")
        assert (await parts.runtime.wait("mcp-local-1")).reason == "completed"
        assert (parts.workspace / "a.txt").read_text() == "x"


async def test_closing_the_connection_cancels_its_call(tmp_path: Path) -> None:
    """A client that leaves does not leave a run behind that waits for it; what it was put on hold for stays on record."""
    async with served(tmp_path, offered=("*",)) as parts:
        started = asyncio.Event()

        async def person(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async with Client(parts.server.protocol, mode="legacy", elicitation_callback=person) as client:
            calling = asyncio.create_task(client.call_tool("write_file", {"path": "a", "content": "x"}))
            await started.wait()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
        assert not (parts.workspace / "a").exists()
