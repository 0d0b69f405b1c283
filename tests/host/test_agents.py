"""Agents of a project: folders, the tool in an open system, the command line, the routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette

import life
from life.arcan.agents.api import AgentApi
from life.arcan.agents.running import start_agent
from life.arcan.errors import AgentDefinitionError, AgentNotFoundError, SessionTakenError
from life.arcan.people_api import Callers
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedProvider, ScriptedTurn
from life.cli.agents import agents
from life.host.agents import agent_folders, new_agent, open_agents
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import routes

SCRIPT = Script(turns=(ScriptedTurn(calls=(ScriptedCall("record_answer", {"answer": {"answer": "42"}}),)),))


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file of the test's own, and no folder of the operator's."""
    monkeypatch.setenv("LIFE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("ARCAN_AGENTS_DIR", raising=False)


def test_folders_in_order(tmp_path: Path) -> None:
    """A chosen folder counts alone, then the variable's, then the project's and the data directory's."""
    data = DataDirectory(tmp_path / ".life")
    assert agent_folders(data, {}) == [tmp_path / "agents", tmp_path / ".life" / "agents"]
    assert agent_folders(data, {"ARCAN_AGENTS_DIR": "/a"}) == [Path("/a")]
    assert agent_folders(data, {"ARCAN_AGENTS_DIR": "/a"}, Path("/b")) == [Path("/b")]


def test_a_new_agents_file_is_right_and_nothing_is_overwritten(tmp_path: Path) -> None:
    """Whatever the description holds, the file can be read; a second time is refused, and a path is no name."""
    new_agent(tmp_path / "agents", "helper", "It's: a\n'helper' # of {all}")
    found = open_agents(DataDirectory(tmp_path / ".life"), {})
    assert [each.name for each in found.agents] == ["helper"] and not found.problems
    assert found.agents[0].description == "It's: a 'helper' # of {all}"
    for name in ("helper", "../x", "A"):
        with pytest.raises(AgentDefinitionError):
            new_agent(tmp_path / "agents", name, "x")


def test_the_command_line(tmp_path: Path) -> None:
    """list, show, new and check say what is there and what is wrong, with an exit code."""
    cli, data = CliRunner(), ["--data-dir", str(tmp_path / ".life")]
    assert "No agents are here" in cli.invoke(agents, ["list", *data]).output
    assert cli.invoke(agents, ["new", "helper", *data]).exit_code == 0
    assert "typed" in cli.invoke(agents, ["show", "helper", *data]).output
    assert cli.invoke(agents, ["check", *data]).exit_code == 0
    (tmp_path / "agents" / "bad.md").write_text("---\nname: worse\n---\nx")
    checked = cli.invoke(agents, ["check", *data])
    assert checked.exit_code == 1 and "helper: right" in checked.output and "bad.md" in checked.output
    listed = json.loads(cli.invoke(agents, ["list", "--json", *data]).output)
    assert [each["name"] for each in listed["agents"]] == ["helper"] and len(listed["problems"]) == 1
    missing = cli.invoke(agents, ["show", "nobody", *data])
    assert missing.exit_code == 1 and "arcan.agent_not_found" in missing.output


def test_an_agent_runs_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is printed; the tree of the session can be looked at afterwards; an input that does not fit is one sentence."""
    script = tmp_path / "script.json"
    script.write_text(
        json.dumps({"turns": [{"calls": [{"tool": "record_answer", "arguments": {"answer": {"answer": "42"}}}]}]})
    )
    monkeypatch.setenv("LIFE_MODEL_PROVIDER", f"scripted:{script}")
    cli, data = CliRunner(), ["--data-dir", str(tmp_path / ".life")]
    cli.invoke(agents, ["new", "helper", *data])
    ran = cli.invoke(agents, ["run", "helper", "What is it?", "--session", "one", *data])
    assert (ran.exit_code, ran.output.strip()) == (0, '{"answer":"42"}'), ran.output
    tree = json.loads(cli.invoke(agents, ["fleet", "one", "--json", *data]).output)
    assert (tree["agent"], tree["reason"], tree["steps"]) == ("helper", "completed", 1)
    assert "completed" in cli.invoke(agents, ["fleet", "one", *data]).output


async def test_an_open_system_has_the_tool_and_the_routes(tmp_path: Path) -> None:
    """`spawn_agent` is a tool of every session, within the default policy; the routes list, run and show the tree; other
    owners see nothing of it."""
    new_agent(tmp_path / "agents", "helper", "It helps.")
    model = ScriptedProvider(SCRIPT, clock=SystemClock())
    async with life.open(tmp_path / ".life", provider=model) as agent:
        runtime = agent.system.runtime
        assert "spawn_agent" in runtime.tool_names
        begun = await start_agent(runtime, "helper", "Go.", owner="ann")
        report = await runtime.wait(begun.session_id, begun.run_id)
        assert (report.reason, report.final_answer) == ("completed", '{"answer":"42"}')
        await runtime.create_session("chat", owner="ann")
        with pytest.raises(SessionTakenError):
            await start_agent(runtime, "helper", "Go.", owner="ann", session_id="chat")
        with pytest.raises(AgentNotFoundError):
            await start_agent(runtime, "nobody", "Go.")
        owner: list[str | None] = ["ann"]
        api = AgentApi(runtime, Callers(runtime, lambda _: owner[0], lambda _: "tester"))
        app = Starlette(routes=routes(api.operations()), exception_handlers=EXCEPTION_HANDLERS)
        import httpx2

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
            assert [each["name"] for each in (await client.get("/agents")).json()["agents"]] == ["helper"]
            assert (await client.get("/agents/nobody")).status_code == 404
            tree = (await client.get(f"/sessions/{begun.session_id}/fleet")).json()
            assert (tree["agent"], tree["reason"]) == ("helper", "completed")
            made = await client.post("/agents/helper/runs", json={"input": {"q": 1}})
            assert made.status_code == 202
            await runtime.wait(made.json()["session_id"], made.json()["run_id"])
            owner[0] = "bob"
            assert (await client.get(f"/sessions/{begun.session_id}/fleet")).status_code == 404
            taken = await client.post("/agents/helper/runs", json={"input": "x", "session_id": begun.session_id})
            assert taken.status_code == 409
