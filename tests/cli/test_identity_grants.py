"""`life identity grant` and `ungrant`: within the soul's ceiling, in the journal, told back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.cli.identity import new
from life.cli.identity_grants import grant, ungrant
from life.host.system import open_system


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an identity."""

    async def make() -> None:
        async with open_system(tmp_path / "life", environment={"LIFE_PASSPHRASE": "correct horse"}):
            pass

    asyncio.run(make())
    return tmp_path / "life"


def granted(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(grant, ["--data-dir", str(project), *arguments])


def taken(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(ungrant, ["--data-dir", str(project), *arguments])


def test_a_grant_is_told_and_can_be_taken_back(project: Path) -> None:
    """For hours or for ever; taking back what was not granted is an error."""
    told = granted(project, "knowledge:read", "chat:room-1", "--hours", "2")
    assert told.exit_code == 0, told.output
    assert told.output.count(" until 20") == 2
    left = taken(project, "knowledge:read")
    assert (left.exit_code, "chat:room-1" in left.output, "knowledge:read" in left.output) == (0, True, False)
    again = taken(project, "knowledge:read")
    assert (again.exit_code, "[life.not_found]" in again.output) == (1, True)
    assert "has no grants" in taken(project, "chat:room-1").output


def test_the_souls_ceiling_holds(project: Path) -> None:
    """What it does not cover is refused, with nothing stored; so is what is no capability."""
    for capability, code in (("root:everything", "anima.capability_ceiling"), ("two words", "life.invalid_input")):
        refused = granted(project, "knowledge:read", capability)
        assert (refused.exit_code, f"[{code}]" in refused.output) == (1, True), refused.output
    assert taken(project, "knowledge:read").exit_code == 1
    unknown = granted(project, "knowledge:read", "--agent", "nobody")
    assert (unknown.exit_code, "no such agent" in unknown.output) == (1, True)
    assert granted(project / "nowhere", "knowledge:read").exit_code == 1


def test_a_wider_ceiling_is_chosen_when_the_identity_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`identity new --ceiling` is what grants have to stay below, for the agent's life; a ceiling that is none is refused."""
    monkeypatch.setenv("LIFE_PASSPHRASE", "correct horse")
    root = tmp_path / "life"
    assert CliRunner().invoke(new, ["--data-dir", str(root), "--ceiling", "two words"]).exit_code == 1
    made = CliRunner().invoke(new, ["--data-dir", str(root), "--ceiling", "wallet:*", "--ceiling", "bills:read"])
    assert made.exit_code == 0, made.output

    async def start() -> None:
        async with open_system(root, environment={"LIFE_PASSPHRASE": "correct horse"}):
            pass

    asyncio.run(start())
    assert granted(root, "wallet:read", "bills:read").exit_code == 0
    assert granted(root, "knowledge:read").exit_code == 1
