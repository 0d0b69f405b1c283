"""The client bridge against servers that crash, hang, flood, rename and lie (praxis.md §8, §12.10)."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from life.aios.errors import ToolError
from life.aios.ports.tools import ToolCall
from tests.peers.processes import Peer, python
from tests.praxis.mcp.bridge import CONTEXT, bridge, call, hostile

ECHO = "mcp__h__echo"


async def test_a_servers_tools_stand_among_ours_behind_a_capability(tmp_path: Path) -> None:
    """An accepted server's tool is listed, named and gated as `mcp:<server>:<tool>`, and its result is an outcome."""
    async with bridge(tmp_path, {"h": hostile("plain")}) as toolbox:
        (report,) = await toolbox.refresh()
        assert (report.status, report.tools, bool(report.differences)) == ("up", (ECHO,), False)
        (definition,) = toolbox.definitions()
        assert definition.name == ECHO
        assert "not verified" in definition.description
        assert toolbox.capabilities(ToolCall("c", ECHO, {"text": "x"}), CONTEXT) == ("mcp:h:echo",)
        outcome = await call(toolbox, ECHO, text="hello")
        assert (outcome.status, outcome.output) == ("ok", {"text": "hello"})


async def test_hints_of_strangers_count_only_when_a_person_says_so(tmp_path: Path) -> None:
    """A tool that calls itself read-only is destructive and open-world to us, unless `trust_annotations` is set."""
    async with bridge(tmp_path, {"h": hostile("plain"), "t": hostile("plain", trust_annotations=True)}) as toolbox:
        await toolbox.refresh()
        distrusted, trusted = toolbox.definitions()
        assert (distrusted.annotations.read_only, distrusted.annotations.destructive) == (False, True)
        assert trusted.annotations.read_only
        assert (await toolbox.probe(ToolCall("c", ECHO, {"text": ""}), CONTEXT, None)).answer == "unknown"
        assert (await toolbox.probe(ToolCall("c", "mcp__t__echo", {"text": ""}), CONTEXT, None)).answer == "repeatable"


async def test_nothing_is_run_before_a_person_accepts_it(tmp_path: Path) -> None:
    """A command that nobody accepted is not started, and one that changed has to be accepted again."""
    state = tmp_path / "starts"
    async with bridge(tmp_path, {"h": hostile("plain", str(state))}, accept=False) as toolbox:
        (report,) = await toolbox.refresh()
        assert (report.status, report.tools) == ("not_accepted", ())
        assert (await call(toolbox, ECHO, text="x")).status == "error"
    assert not state.exists()
    async with bridge(tmp_path, {"h": hostile("plain", str(state))}) as toolbox:
        await toolbox.refresh()
    assert state.exists()
    async with bridge(tmp_path, {"h": hostile("plain", str(state), "--more")}, accept=False) as toolbox:
        assert (await toolbox.refresh())[0].status == "not_accepted"
        assert toolbox.definitions() == []


async def test_a_server_that_crashes_in_a_call_leaves_it_in_doubt_and_comes_back(tmp_path: Path) -> None:
    """The call is in doubt, not failed; the next ones get an error with a pause, then a new process."""
    async with bridge(tmp_path, {"h": hostile("crash", str(tmp_path / "starts"))}) as toolbox:
        await toolbox.refresh()
        outcome = await call(toolbox, ECHO, text="x")
        assert outcome.in_doubt is not None
        assert "not known" in outcome.in_doubt
        paused = await call(toolbox, ECHO, text="x")
        assert isinstance(paused.output, dict)
        assert (paused.output["code"], paused.in_doubt) == ("praxis.mcp_unavailable", None)
        await asyncio.sleep(1.1)  # the pause after a first failure is one second
        assert (await call(toolbox, ECHO, text="again")).output == {"text": "again"}


async def test_a_server_that_hangs_costs_its_time_limit_and_no_more(tmp_path: Path) -> None:
    """A call without answer is in doubt after the entry's time limit; a server without any answer is given up at its start."""
    entries = {
        "h": hostile("hang", timeout_s=1),
        "s": hostile("silent", start_timeout_s=1),
        "d": hostile("dead"),
    }
    async with bridge(tmp_path, entries) as toolbox:
        reports = {report.name: report for report in await toolbox.refresh()}
        assert (reports["s"].status, reports["d"].status) == ("down", "down")
        outcome = await call(toolbox, ECHO, text="x")
        assert outcome.in_doubt is not None


@pytest.mark.parametrize("mode", ["long-line", "notify"])
async def test_a_server_that_floods_is_cut_off(tmp_path: Path, mode: str) -> None:
    """A line of 10 MB and a million notifications end the connection, not the runtime; the call is in doubt."""
    async with bridge(tmp_path, {"h": hostile(mode, timeout_s=20)}) as toolbox:
        await toolbox.refresh()
        outcome = await call(toolbox, ECHO, text="x")
        assert outcome.in_doubt is not None
        assert "sent" in outcome.in_doubt


async def test_ten_thousand_tools_and_giant_schemas_are_not_taken(tmp_path: Path) -> None:
    """Of too many tools the first are taken; a schema that is giant, deep, remote or no object leaves its tool out."""
    async with bridge(tmp_path, {"m": hostile("many"), "g": hostile("giant")}) as toolbox:
        await toolbox.refresh()
        names = [tool.name for tool in toolbox.definitions()]
        assert len([name for name in names if name.startswith("mcp__m__")]) == 256
        assert [name for name in names if name.startswith("mcp__g__")] == ["mcp__g__echo"]


async def test_a_rug_pull_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    """A tool that describes itself otherwise is held back until it is accepted again; a new one is not offered."""
    entry = hostile("rug-pull", str(tmp_path / "starts"))
    async with bridge(tmp_path, {"h": entry}) as toolbox:
        await toolbox.refresh()
        assert (await call(toolbox, ECHO, text="1")).status == "ok"
    async with bridge(tmp_path, {"h": entry}) as toolbox:
        assert [tool.name for tool in toolbox.definitions()] == [ECHO]  # known from last time
        outcome = await call(toolbox, ECHO, text="2")
        assert isinstance(outcome.output, dict)
        assert outcome.output["code"] == "praxis.mcp_not_accepted"
        (report,) = toolbox.reports()
        assert (report.differences.changed, report.differences.new) == (("echo",), ("extra",))
        assert toolbox.definitions() == []
        toolbox._trust.accept_tools("h", toolbox.listed("h"))
        (report,) = await toolbox.refresh()
        assert report.tools == (ECHO, "mcp__h__extra")


async def test_an_announced_change_makes_the_next_call_look_again(tmp_path: Path) -> None:
    """After `list_changed` the list is compared before the next call goes out."""
    async with bridge(tmp_path, {"h": hostile("plain")}) as toolbox:
        await toolbox.refresh()
        assert (await call(toolbox, ECHO, text="change")).status == "ok"
        compared = dict(toolbox._compared_us)
        for _ in range(100):
            if "h" in toolbox._stale or toolbox._compared_us != compared:
                break
            await asyncio.sleep(0.01)
        assert (await call(toolbox, ECHO, text="next")).status == "ok"
        assert toolbox._compared_us["h"] > compared["h"]


async def test_names_that_clash_or_do_not_fit_stay_apart(tmp_path: Path) -> None:
    """Every tool has a name of its own that models take, and none shadows a tool of ours."""
    async with bridge(tmp_path, {"h": hostile("collide")}) as toolbox:
        await toolbox.refresh()
        names = [tool.name for tool in toolbox.definitions()]
        assert len(set(names)) == len(names) == 6
        assert all(len(name) <= 64 and name.startswith("mcp__h__") for name in names)


async def test_noise_on_the_output_is_passed_over_and_descriptions_are_cleaned(tmp_path: Path) -> None:
    """Lines that are no messages do no harm; control and invisible characters of descriptions do not reach a model."""
    async with bridge(tmp_path, {"h": hostile("noise"), "p": hostile("poison")}) as toolbox:
        await toolbox.refresh()
        assert (await call(toolbox, ECHO, text="x")).status == "ok"
        poisoned = next(tool for tool in toolbox.definitions() if tool.name == "mcp__p__echo")
        assert len(poisoned.description) < 2_200
        assert not {"\u202e", "\x1b", "\u200b"} & set(poisoned.description)


async def test_a_server_sees_no_secret_of_ours(tmp_path: Path) -> None:
    """Its environment has PATH and the like and what its entry names; API keys are not in it."""
    environment = {**os.environ, "OPENAI_API_KEY": "sk-secret", "WANTED": "yes"}
    entry = hostile("environment", env={"GIVEN": "${WANTED}"})
    async with bridge(tmp_path, {"h": entry}, environment=environment) as toolbox:
        await toolbox.refresh()
        outcome = await call(toolbox, ECHO, text="x")
        assert isinstance(outcome.output, dict)
        seen = json.loads(str(outcome.output["text"]))
        assert seen["GIVEN"] == "yes"
        assert "OPENAI_API_KEY" not in seen
        assert set(seen) <= {
            "HOME",
            "LANG",
            "LC_ALL",
            "LC_CTYPE",
            "LOGNAME",
            "PATH",
            "SHELL",
            "TMPDIR",
            "TZ",
            "USER",
            "GIVEN",
        }


async def test_no_process_survives_the_bridge(tmp_path: Path) -> None:
    """A child that the server left behind ends with it."""
    state = tmp_path / "pid"
    async with bridge(tmp_path, {"h": hostile("orphan", str(state))}) as toolbox:
        await toolbox.refresh()
        pid = int(state.read_text())
        os.kill(pid, 0)
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        await asyncio.sleep(0.01)
    pytest.fail("the child is still there")


async def test_arguments_are_checked_before_a_person_is_asked(tmp_path: Path) -> None:
    """What is missing, unknown in type or no object is refused without the server."""
    async with bridge(tmp_path, {"h": hostile("plain")}) as toolbox:
        await toolbox.refresh()
        for arguments in ({}, {"text": 1}, ["text"], "text"):
            with pytest.raises(ToolError):
                toolbox.capabilities(ToolCall("c", ECHO, arguments), CONTEXT)
        with pytest.raises(ToolError):
            toolbox.capabilities(ToolCall("c", "mcp__h__nothing", {}), CONTEXT)


async def test_cancelling_a_call_returns_at_once(tmp_path: Path) -> None:
    """A person's word does not wait for the server."""
    async with bridge(tmp_path, {"h": hostile("hang")}) as toolbox:
        await toolbox.refresh()
        calling = asyncio.create_task(call(toolbox, ECHO, text="x"))
        await asyncio.sleep(0.2)
        calling.cancel()
        async with asyncio.timeout(2):
            await asyncio.gather(calling, return_exceptions=True)
        assert calling.cancelled()


async def test_over_http_a_death_a_flood_and_a_hang_are_in_doubt_and_nothing_else(tmp_path: Path) -> None:
    """The server that dies, answers 20 MB, or never answers costs one call each; the bridge goes on."""
    with Peer.start(python("mcp_http_server")) as peer:
        async with bridge(tmp_path, {"f": {"url": f"{peer.url}/mcp", "timeout_s": 2}}) as toolbox:
            (report,) = await toolbox.refresh()
            assert report.status == "up", report.last_failure
            for tool in ("big", "sleep", "die"):
                async with asyncio.timeout(10):
                    outcome = await call(toolbox, f"mcp__f__{tool}")
                assert outcome.status == "error"
                assert outcome.in_doubt is not None, (tool, outcome.output)
                await asyncio.sleep(
                    1.1 if tool != "die" else 0
                )  # the pause after a first failure; a good call resets it
            gone = await call(toolbox, "mcp__f__big")
            assert isinstance(gone.output, dict)
            assert gone.in_doubt is None
            assert gone.output["code"] == "praxis.mcp_unavailable"
