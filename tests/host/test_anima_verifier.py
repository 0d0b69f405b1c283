"""Opening identities and verifiers as daemons do."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import ConflictError
from life.anima.errors import TokenRefusedError, UserTokenSettingsError
from life.anima.rotation import rotate_identity
from life.anima.seed_rotation import SeedRotator, rotation_is_pending
from life.anima.tokens import issue_agent_token
from life.host.anima_identity import open_agent_identity
from life.host.anima_verifier import open_identity_services
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import raw_key


async def test_a_token_stays_used_across_a_restart(tmp_path: Path) -> None:
    """The services of a daemon remember in its directory, on its journal, what was used (AN-VER-6)."""
    clock, entropy = ManualClock(), SeededEntropy()
    token = ""
    for run in range(2):
        async with SqliteJournal.open(tmp_path / "journal.db", clock=clock, writer="in_loop") as journal:
            agent = await open_agent_identity(journal, tmp_path / "identity", raw_key(), clock=clock, entropy=entropy)
            assert (agent.is_new, agent.settled) == (run == 0, "nothing")
            async with open_identity_services(
                journal, clock=clock, directory=tmp_path, daemon="haimad", environment={}
            ) as services:
                assert services.user_tokens is None
                if run == 0:
                    token = await issue_agent_token(
                        agent.custody,
                        agent_id=agent.identity.agent_id,
                        audience="haimad",
                        clock=clock,
                        entropy=entropy,
                    )
                    services.verifier.verify_agent_token(token)
                with pytest.raises(TokenRefusedError, match="used before"):
                    services.verifier.verify_agent_token(token)
                with pytest.raises(ConflictError):
                    async with open_identity_services(
                        journal, clock=clock, directory=tmp_path, daemon="haimad", environment={}
                    ):
                        pass
            agent.custody.close()


async def test_an_interrupted_rotation_is_settled_when_opening(tmp_path: Path) -> None:
    """A prepared key that the journal does not know is thrown away; one that it knows becomes the key."""
    clock, entropy = ManualClock(), SeededEntropy()
    journal, folder = MemoryJournal(), tmp_path / "identity"
    first = await open_agent_identity(journal, folder, raw_key(), clock=clock, entropy=entropy)
    rotator = SeedRotator.open(folder, raw_key(), clock=clock, entropy=entropy)
    await rotator.prepare()
    await rotator.close()
    again = await open_agent_identity(journal, folder, raw_key(), clock=clock, entropy=entropy)
    assert (again.settled, again.identity.did) == ("discarded", first.identity.did)
    rotator = SeedRotator.open(folder, raw_key(), clock=clock, entropy=entropy)

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    rotator.commit = killed  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt):
        await rotate_identity(journal, rotator, again.custody, agent_id=again.identity.agent_id, clock=clock)
    await rotator.close()
    assert rotation_is_pending(folder)
    last = await open_agent_identity(journal, folder, raw_key(), clock=clock, entropy=entropy)
    assert last.settled == "completed"
    assert last.identity.did != first.identity.did
    assert last.state.identity is not None and last.state.identity.did == last.identity.did


async def test_an_empty_secret_keeps_a_daemon_from_starting(tmp_path: Path) -> None:
    """Also when a second variable is set (weakness W49 of the original's finance daemon)."""
    for environment in ({"HAIMA_JWT_SECRET": "", "AUTH_SECRET": "x" * 40}, {"AUTH_SECRET": "short"}):
        with pytest.raises(UserTokenSettingsError):
            async with open_identity_services(
                MemoryJournal(),
                clock=ManualClock(),
                directory=None,
                daemon="haimad",
                environment=environment,
                secret_variables=("HAIMA_JWT_SECRET", "AUTH_SECRET"),
            ):
                pass
    async with open_identity_services(
        MemoryJournal(),
        clock=ManualClock(),
        directory=None,
        daemon="haimad",
        environment={"AUTH_SECRET": "x" * 40},
        secret_variables=("HAIMA_JWT_SECRET", "AUTH_SECRET"),
    ) as services:
        assert services.user_tokens is not None
