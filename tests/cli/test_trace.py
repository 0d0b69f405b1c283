"""`life trace SESSION`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.cli.trace import trace
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from tests.arcan.workbench import EVERYTHING, Workbench, calls, says, script
from tests.vigil.receivers import grpc_receiver, http_receiver


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A data directory with a session of two runs, made with telemetry off."""

    async def make() -> None:
        from life.arcan.providers.scripted import ScriptedProvider

        root = tmp_path / "life"
        root.mkdir()
        clock = SystemClock()
        turns = script(calls(("write", {"path": "a", "content": "words"})), says("Done."), says("Again."))
        async with SqliteJournal.open(root / "journal.db", clock=clock) as journal:
            runtime = Runtime(
                journal,
                Workbench(tmp_path / "bench-root"),
                provider=ScriptedProvider(turns, clock=clock),
                clock=clock,
                entropy=SystemEntropy(),
                agent_id="agent-1",
                workspace_of=lambda _: str(tmp_path),
                settings=RuntimeSettings(policy=EVERYTHING),
            )
            async with runtime:
                await runtime.create_session("notes")
                await runtime.run("notes", "Write it.", idempotency_key="one")
                await runtime.run("notes", "And again.")

    (tmp_path / "bench-root").mkdir()
    asyncio.run(make())
    return tmp_path / "life"


def run(project: Path, *arguments: str) -> tuple[int, str]:
    """The command's exit code and what it said."""
    result = CliRunner().invoke(trace, [*arguments, "--data-dir", str(project)])
    return result.exit_code, result.output


def test_it_draws(project: Path) -> None:
    """Both runs as trees, without a word of their content."""
    code, said = run(project, "notes")
    assert code == 0
    assert said.count("invoke_agent life") == 2 and "execute_tool write" in said and "█" in said
    assert "words" not in said


def test_one_run_as_json(project: Path) -> None:
    """`--run` shows that run alone; `--json` is OTLP JSON, with content only when it is asked for."""
    run_ids = set()
    for line in run(project, "notes", "--json")[1].splitlines():
        spans = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        for span in spans:
            run_ids |= {a["value"]["stringValue"] for a in span["attributes"] if a["key"] == "life.run_id"}
    assert len(run_ids) == 2
    code, said = run(project, "notes", "--run", sorted(run_ids)[0], "--json", "--content")
    assert code == 0 and said.count("invoke_agent life") == 1
    assert "gen_ai.output.messages" in said
    assert "gen_ai.output.messages" not in run(project, "notes", "--json")[1]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_sends(project: Path, protocol: str) -> None:
    """`--to` sends the same spans, whichever way and however often."""
    with http_receiver() if protocol == "http" else grpc_receiver() as received:
        for _ in range(2):
            code, said = run(project, "notes", "--to", received.address, "--protocol", protocol)
            assert code == 0 and "in 2 traces sent to" in said, said
        first, second = received.spans[: len(received.spans) // 2], received.spans[len(received.spans) // 2 :]
        assert [span.span_id for span in first] == [span.span_id for span in second]


def test_what_goes_wrong(project: Path) -> None:
    """Unknown sessions and runs, receivers that refuse, addresses that are none: one sentence with a code."""
    assert "[life.not_found]" in run(project, "other")[1]
    assert "[life.not_found]" in run(project, "notes", "--run", "other")[1]
    assert "[vigil.setting]" in run(project, "notes", "--to", "ftp://x")[1]
    with http_receiver() as received:
        received.answers = [401] * 5
        code, said = run(project, "notes", "--to", received.address)
    assert code == 1 and "[vigil.export]" in said
    assert "[life.not_found]" in run(project.parent / "nowhere", "notes")[1]
