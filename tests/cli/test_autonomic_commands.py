"""`life status` and `life autonomic …`, on a project that a real agent made."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result

from life.aios import events
from life.aios.json import Json
from life.aios.record import USER, Stream
from life.cli.autonomic import autonomic
from life.cli.autonomicd import autonomicd
from life.cli.status import status
from life.host.agent import open_agent
from life.host.settings import AutonomicSettings, Settings
from tests.cli.daemon import free_port
from tests.harness.process import ChildProcess

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose agent has run once and then ran out of means."""
    root = tmp_path_factory.mktemp("project")

    async def make() -> None:
        settings = Settings(autonomic=AutonomicSettings(credit_micro=2_000_000))
        environment = {"LIFE_KEY_FILE": str(root / "key")}
        async with open_agent(root / ".life", settings=settings, environment=environment) as agent:
            await agent.system.runtime.create_session("notes")
            await agent.system.runtime.run("notes", "write a.txt: hello")
            charge: Json = {"amount_micro_credits": 3_000_000, "reason": "a bill"}
            event = events.Custom(event_type="autonomic.CostCharged", data=charge)
            await agent.system.autonomic.publish(Stream("autonomic:agent"), (event,))
            await agent.system.runtime.create_session("sleeper")
            run_id = await agent.system.runtime.start("sleeper", "write b.txt: hello", actor=USER)
            await agent.system.runtime.wait("sleeper", run_id)

    asyncio.run(make())
    return root / ".life"


@pytest.fixture
def runner() -> Iterator[CliRunner]:
    yield CliRunner()


def said(result: Result) -> str:
    """What a command said, when it went well."""
    assert result.exit_code == 0, result.output
    return result.output


def test_status_in_plain_words(runner: CliRunner, project: Path) -> None:
    """Sessions, means, trust, what waits, daemons; the session that stands still says why."""
    text = said(runner.invoke(status, ["--data-dir", str(project)]))
    assert "Hibernate: there are no means" in text
    assert "-1.00 USD left" in text and "unverified" in text
    assert "sleeper  hibernating" in text and "notes    idle" in text
    assert "Nothing waits for you." in text and "none runs here" in text


def test_status_for_programs(runner: CliRunner, project: Path) -> None:
    """One document with trust, stability and every session."""
    found = json.loads(said(runner.invoke(status, ["--data-dir", str(project), "--json"])))
    assert (found["economic_mode"], found["payment_mode"], found["sessions"]) == ("hibernate", "hibernate", 2)
    assert found["trust"]["tier"] == "unverified" and found["stable"] is True
    assert {line["session_id"]: line["standing"] for line in found["shown"]} == {
        "notes": "idle",
        "sleeper": "hibernating",
    }
    assert found["daemons"] == dict.fromkeys(("arcand", "autonomicd", "spacesd", "lagod", "mcpd"))


def test_status_names_the_daemon_that_runs(runner: CliRunner, project: Path) -> None:
    """autonomicd leaves its address beside its lock, and status tells it while the process lives."""
    serve = [sys.executable, "-c", "from life.cli.autonomicd import autonomicd; autonomicd()"]
    daemon = ChildProcess.spawn([*serve, "--data-dir", str(project), "--bind", "127.0.0.1:0"], name="autonomicd")
    try:
        address = daemon.wait_for_line(r"autonomicd listens on (\S+)").group(1)
        assert f"Daemons: autonomicd at {address}" in said(runner.invoke(status, ["--data-dir", str(project)]))
    finally:
        daemon.stop()
    assert "none runs here" in said(runner.invoke(status, ["--data-dir", str(project)]))


def test_explain_names_rules_fields_and_what_helps(runner: CliRunner, project: Path) -> None:
    """Which rule set which field and why; the newest session unless one is named; as of an event when asked."""
    text = said(runner.invoke(autonomic, ["explain", "--data-dir", str(project)]))
    assert text.startswith("Session sleeper")
    for words in (
        "tool calls per step",
        "at most 0",
        "(rule survival)",
        "survival (means): Hibernate",
        "life autonomic deposit",
    ):
        assert words in text
    before = said(runner.invoke(autonomic, ["explain", "notes", "--at", "5", "--data-dir", str(project)]))
    assert "as of event 5" in before and "Nothing is held back" in before and "2.00 USD left" in before
    found = json.loads(said(runner.invoke(autonomic, ["explain", "sleeper", "--json", "--data-dir", str(project)])))
    assert found["rules_fired"][0] == "survival"
    assert found["profile"]["economic"]["economic_mode"] == "hibernate"


def test_history_of_a_session_and_of_the_agent(runner: CliRunner, project: Path) -> None:
    """Decisions here, deposits and charges there."""
    text = said(runner.invoke(autonomic, ["history", "sleeper", "--data-dir", str(project)]))
    assert "EconomicModeChanged  sovereign → hibernate" in text and "GatingDecision  Hibernate" in text
    text = said(runner.invoke(autonomic, ["history", "--data-dir", str(project)]))
    assert "CreditDeposited  2.00 USD  settings" in text and "CostCharged  3.00 USD  a bill" in text
    found = json.loads(said(runner.invoke(autonomic, ["history", "--json", "-n", "1", "--data-dir", str(project)])))
    assert len(found) == 1 and found[0]["event"]["event_type"] == "autonomic.CostCharged"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["explain", "nobody"], "life.not_found"),
        (["explain", "notes", "--at", "9999"], "life.not_found"),
        (["wake", "nobody"], "life.not_found"),
        (["deposit", "-5"], ""),
        (["deposit", "much"], "life.invalid_input"),
        (["deposit", "0"], "life.invalid_input"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(runner: CliRunner, project: Path, words: list[str], code: str) -> None:
    """With its code, and never a traceback."""
    result = runner.invoke(autonomic, [*words, "--data-dir", str(project)])
    assert result.exit_code != 0 and code in result.output
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)


def test_without_a_journal_it_says_so(runner: CliRunner, tmp_path: Path) -> None:
    """And makes nothing."""
    for command, words in ((status, []), (autonomic, ["explain"]), (autonomicd, [])):
        result = runner.invoke(command, [*words, "--data-dir", str(tmp_path / "nothing")])
        assert result.exit_code == 1 and not (tmp_path / "nothing").exists()


def test_simulate_draws_and_writes_a_picture(runner: CliRunner, tmp_path: Path) -> None:
    """A chart for the terminal, an SVG, or one document; a bad scenario is a sentence."""
    picture = tmp_path / "shock.svg"
    scenario = str(EXAMPLES / "price_shock.toml")
    text = said(runner.invoke(autonomic, ["simulate", scenario, "--svg", str(picture), "--width", "40"]))
    assert "mode" in text and "hustle → hibernate" in text and "Nothing is held back from 2:30:00 on." in text
    assert picture.read_text().startswith("<svg")
    found = json.loads(said(runner.invoke(autonomic, ["simulate", scenario, "--json"])))
    assert found["samples"][-1]["mode"] == "sovereign"
    bad = tmp_path / "bad.toml"
    bad.write_text("duration_s = 0")
    result = runner.invoke(autonomic, ["simulate", str(bad)])
    assert result.exit_code == 1 and "autonomic.bad_scenario" in result.output


def test_the_daemon_as_a_process_and_a_deposit_beside_it(runner: CliRunner, project: Path) -> None:
    """It follows what other processes write; SIGTERM ends it cleanly; a second one is refused."""
    import sys

    port = free_port()
    program = "from life.cli.autonomicd import autonomicd; autonomicd()"
    command = [sys.executable, "-c", program, "--bind", f"127.0.0.1:{port}", "--data-dir", str(project)]
    with ChildProcess.spawn(command, name="autonomicd", env={}, cwd=project.parent) as daemon:
        daemon.wait_for_line(r"autonomicd listens on http://127\.0\.0\.1:\d+")
        token = (project / "token").read_text().strip()
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            gating = client.get("/gating/sleeper").json()
            assert gating["profile"]["economic"]["economic_mode"] == "hibernate"
            second = runner.invoke(autonomicd, ["--bind", "127.0.0.1:0", "--data-dir", str(project)])
            assert second.exit_code == 1 and "already works" in second.output
            text = said(runner.invoke(autonomic, ["deposit", "$500", "--data-dir", str(project)]))
            assert "Deposited 500.00 USD" in text
            for _ in range(100):
                balance = client.get("/projection/sleeper").json()["state"]["economic"]["balance_micro_credits"]
                if balance == 499_000_000:
                    break
            assert balance == 499_000_000
        daemon.stop()
