"""The whole system with its journal on NATS JetStream."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.host.errors import SettingsError
from life.host.system import open_system

pytest.importorskip("nats")


def environment(root: Path, engine: str = "nats") -> dict[str, str]:
    return {"LIFE_KEY_FILE": str(root / "identity.key"), "LIFE_JOURNAL_ENGINE": engine}


async def test_a_run_is_there_again_after_a_restart(tmp_path: Path) -> None:
    """A server is started in the data directory; identity, run and state come back from it, and no file journal is made."""
    async with open_system(tmp_path / "life", environment=environment(tmp_path)) as system:
        did = system.identity.did
        await system.runtime.create_session("notes")
        report = await system.runtime.run("notes", "write a.txt: hello")
        assert report.reason == "completed"
        seen = (await system.runtime.state("notes")).head
    async with open_system(tmp_path / "life", environment=environment(tmp_path)) as system:
        assert system.identity.did == did
        assert not system.identity_is_new
        assert (await system.runtime.state("notes")).head == seen > 5
    assert not (tmp_path / "life" / "journal.db").exists()


async def test_a_journal_is_not_begun_anew_beside_the_one_there_is(tmp_path: Path) -> None:
    """The other engine is refused in both directions, with what to do."""
    async with open_system(tmp_path / "file", environment=environment(tmp_path, "sqlite")):
        pass
    with pytest.raises(SettingsError, match=r"journal\.db"):
        async with open_system(tmp_path / "file", environment=environment(tmp_path)):
            pass
    (tmp_path / "server" / "nats").mkdir(parents=True)
    with pytest.raises(SettingsError, match="NATS"):
        async with open_system(tmp_path / "server", environment=environment(tmp_path, "sqlite")):
            pass
