"""`life doctor`: each finding comes from trying, and what is broken is found."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from life.host.doctor import Checks, Finding, diagnose
from life.host.project import make_project
from tests.cli.daemon import Arcand, damage, free_port
from tests.cli.shell_kit import environment, run, script


def surroundings(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    return {"HOME": str(folder), "LIFE_DAEMON_PORT": str(free_port()), **environment(folder), **variables}


def init(folder: Path) -> None:
    asyncio.run(make_project(folder / "life", surroundings(folder, {})))


def findings(folder: Path, *options: str, **variables: str) -> tuple[int, dict[str, Finding]]:
    """The exit status that the command would have, and what was found."""
    checks = Checks(network="--network" in options, sandbox="--quick" not in options)

    async def collect() -> dict[str, Finding]:
        found = diagnose(folder / "life", surroundings(folder, variables), checks)
        return {each.check: each async for each in found}

    found = asyncio.run(collect())
    return int(any(each.result == "failed" for each in found.values())), found


def test_a_sound_project(tmp_path: Path) -> None:
    """Everything is ok, and the status is 0."""
    init(tmp_path)
    run("run", tmp_path, "hi", "--model", script(tmp_path, [{"text": "Hi."}]))
    status, found = findings(tmp_path, "--quick")
    assert status == 0, found
    assert found["identity token"].says == "It signed a token, which verifies."
    assert "agree with their digests" in found["journal"].says or "cleanly" in found["journal"].says
    assert found["model"].result == "ok"
    assert found["sandbox"].result == "skipped"


def test_for_people(tmp_path: Path) -> None:
    """Lines with a word, what was tried and what was found; then a sum."""
    init(tmp_path)
    ran = run("doctor", tmp_path, "--quick", env={"LIFE_DAEMON_PORT": str(free_port())})
    assert ran.returncode == 0, ran.stdout
    as_json = run(
        "doctor", tmp_path, "--quick", "--json", env={"LIFE_DAEMON_PORT": "1", "LIFE_MODEL_PROVIDER": "nonsense"}
    )
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["ok"] is False
    assert "ok    settings" in ran.stdout
    assert " checks: 0 failed, " in ran.stdout.splitlines()[-1]


def test_no_project(tmp_path: Path) -> None:
    """The data directory is missed, what depends on it is not tried, nothing is made."""
    status, found = findings(tmp_path, "--quick")
    assert status == 1
    assert found["data directory"].next_step == "life init makes it."
    assert found["identity"].result == "skipped"
    assert not (tmp_path / "life").exists()


def test_a_damaged_journal(tmp_path: Path) -> None:
    """An event that was changed behind the journal's back is named."""
    run("run", tmp_path, "hi", "-s", "s", "--model", script(tmp_path, [{"text": "Hi."}]))
    damage(
        tmp_path / "life" / "journal.db", "UPDATE event SET ts_us = ts_us + 1 WHERE pos = (SELECT max(pos) FROM event)"
    )
    status, found = findings(tmp_path, "--quick")
    assert status == 1
    assert found["journal"].result == "failed"
    assert "journal.damaged" in found["journal"].says


def test_a_lost_seed(tmp_path: Path) -> None:
    """The identity is opened, not looked at."""
    init(tmp_path)
    (tmp_path / "life" / "identity" / "seed.enc").unlink()
    status, found = findings(tmp_path, "--quick")
    assert status == 1
    assert any(check.startswith("identity") and each.result == "failed" for check, each in found.items())


@pytest.mark.slow
def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """By another program: a note. By the daemon of this directory: it is asked how it is."""
    init(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _, found = findings(tmp_path, "--quick", LIFE_DAEMON_PORT=str(taken.getsockname()[1]))
    assert found["port"].result == "warning"
    with Arcand(tmp_path, env=environment(tmp_path)) as arcand:
        _, found = findings(tmp_path, "--quick")
        assert found["daemon"].says == f"It answers at {arcand.url}."
        arcand.process.suspend()
        status, found = findings(tmp_path, "--quick")
        assert (status, found["daemon"].result) == (1, "failed"), "a daemon that hangs is no daemon that answers"
        arcand.process.resume()


@pytest.mark.parametrize(
    ("variables", "check", "result"),
    [
        ({"LIFE_MODEL_PROVIDER": "anthropic"}, "model", "failed"),
        ({"LIFE_MODEL_PROVIDER": "nonsense"}, "model", "failed"),
        ({"LIFE_MODEL_PROVIDER": "m@http://127.0.0.1:9"}, "model", "skipped"),
        ({"LIFE_NONSENSE": "1"}, "settings", "failed"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}, "telemetry", "failed"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "telemetry otlp", "skipped"),
        ({"PATH": "/nonexistent"}, "ripgrep", "warning"),
    ],
)
def test_settings_that_can_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], check: str, result: str
) -> None:
    """A missing key, an unknown model, an unknown setting, a bad address, a missing program: found."""
    if "PATH" in variables:
        monkeypatch.setenv("PATH", variables["PATH"])
    _, found = findings(tmp_path, "--quick", **variables)
    assert found[check].result == result, found[check]


def test_the_network_is_tried_only_when_told(tmp_path: Path) -> None:
    """--network asks the model for one word and reaches for the endpoint; a model that does not answer is a failure."""
    init(tmp_path)
    nowhere = f"http://127.0.0.1:{free_port()}"
    variables = {
        "LIFE_MODEL_PROVIDER": f"m@{nowhere}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere,
        "LIFE_MODEL_RETRIES": "0",
    }
    status, found = findings(tmp_path, "--quick", "--network", **variables)
    assert (status, found["model"].result, found["telemetry otlp"].result) == (1, "failed", "warning")


def test_a_directory_that_can_not_be_written(tmp_path: Path) -> None:
    """It is written to, not asked for its mode."""
    init(tmp_path)
    if os.geteuid() == 0:
        (tmp_path / "life").chmod(0o755)
        _, found = findings(tmp_path, "--quick")
        assert found["data directory"].result == "warning", "others may look into it"
    else:
        (tmp_path / "life").chmod(0o500)
        status, found = findings(tmp_path, "--quick")
        assert (status, found["data directory"].result) == (1, "failed")


@pytest.mark.slow
def test_the_sandboxes_are_tried(tmp_path: Path) -> None:
    """The chosen one is judged, the others are told of: plain processes hold little, and it is said what they don't."""
    init(tmp_path)
    _, found = findings(tmp_path)
    chosen = found["sandbox process"]
    assert chosen.result == "warning"
    assert "no_network" in chosen.says
    assert found["sandbox bubblewrap"].says.startswith("Not chosen. ")
