"""`life memory`: propose, take over, find, forget, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.arcan.memory.notes import MemoryEntry
from life.arcan.memory.scopes import Place
from life.cli.memory import memory
from life.host.lago_store import open_store
from life.host.memory import open_project_memory


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    """A project with a journal."""
    async with open_store(tmp_path, create=True):
        pass
    return tmp_path


def use(data_dir: Path, *arguments: str, code: int = 0) -> Result:
    """Run a command and check how it ends."""
    command, *rest = arguments
    result = CliRunner().invoke(memory, [command, "--data-dir", str(data_dir), *rest])
    assert result.exit_code == code, result.output
    return result


def test_from_proposal_to_tombstone(data_dir: Path) -> None:
    """What is proposed waits; what is taken over shows, is found and exported; what is forgotten is gone."""
    proposal = use(data_dir, "propose", "Prefers grünen Tee over coffee.", "--tag", "tea").output.strip()
    assert "Nothing is remembered" in use(data_dir, "list").output
    assert proposal in use(data_dir, "list", "--proposals").output
    memory_id = use(data_dir, "commit", proposal).output.strip()
    assert "grünen Tee" in use(data_dir, "list").output
    assert memory_id in use(data_dir, "search", "grünen", "tee").output
    assert "Prefers grünen Tee over coffee." in use(data_dir, "show", memory_id).output
    exported = json.loads(use(data_dir, "export").output)
    assert (exported["memory_id"], exported["proposal_id"]) == (memory_id, proposal)
    shown = json.loads(use(data_dir, "list", "--json").output)
    assert [each["content"] for each in shown] == ["Prefers grünen Tee over coffee."]
    assert memory_id in use(data_dir, "forget", memory_id).output
    assert "No memory matches." in use(data_dir, "search", "tee").output
    assert "0 expired, 0 merged" in use(data_dir, "consolidate").output


def test_each_owner_has_their_own(data_dir: Path) -> None:
    """`--owner` names one; others don't see it; the agent's memory is everybody's."""
    use(data_dir, "propose", "Ada lives in Bern.", "--owner", "user:ada", "--commit", "--key", "home")
    use(data_dir, "propose", "Deploys happen on Fridays.", "--scope", "agent", "--commit")
    assert "Bern" in use(data_dir, "show", "home", "--owner", "user:ada").output
    assert "arcan.memory_not_found" in use(data_dir, "show", "home", "--owner", "user:bob", code=1).output
    assert "No memory matches." in use(data_dir, "search", "Bern").output
    assert "Fridays" in use(data_dir, "search", "deploys", "--owner", "user:bob").output


def test_what_cannot_be_meant(data_dir: Path, tmp_path: Path) -> None:
    """One sentence with a code."""
    assert "arcan.memory_refused" in use(data_dir, "propose", "sk-abcdefghijklmnop1234", code=1).output
    assert "arcan.memory_not_found" in use(data_dir, "commit", "nothing", code=1).output
    assert "session" in use(data_dir, "list", "--scope", "session", code=1).output
    assert "no journal" in use(tmp_path / "elsewhere", "list", code=1).output


async def test_what_an_agent_proposed_is_taken_over_by_a_person(data_dir: Path) -> None:
    """The same memory from the program's side."""
    async with open_project_memory(data_dir) as project:
        place = Place("s1", project.agent_id, "user:ada")
        service = project.memory.service
        proposal = await service.propose(place, "user", [MemoryEntry(content="Speaks Finnish.")])
        await service.commit(place, proposal.proposal_id)
        assert [each.content for each in await service.query(place, "user")] == ["Speaks Finnish."]
