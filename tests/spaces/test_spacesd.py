"""The daemon as people run it, and what ties it to Anima and Lago."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import websockets
from click.testing import CliRunner

from life.aios.events import Custom
from life.aios.events.codec import decode_kind
from life.aios.ports.journal import EventQuery
from life.anima.revoking import revoke_identity
from life.anima.tokens import issue_agent_token
from life.cli import spaces as commands
from life.host.access import Access, load_or_create_token
from life.host.anima_identity import open_agent_identity
from life.host.anima_verifier import open_identity_services
from life.host.spaces import AUDIENCE, SpacesParts, open_spaces
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.spaces.commands import SendDirectMessage, SendMessage
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.errors import LogDamagedError, RevokedError, TokenReplayedError, UnauthenticatedError
from life.spaces.export import JournalExport
from life.spaces.identity import identity_of
from life.spaces.model import Member, Role
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import GENERAL, OPERATOR, ScriptedTokens, enter
from tests.anima.material import raw_key
from tests.harness.process import ChildProcess

SERVE = "from life.cli.spacesd import spacesd; spacesd()"


async def test_an_agent_logs_in_with_its_token_and_is_its_root_did(tmp_path: Path) -> None:
    """ES256 token, audience spacesd: a member of the Hub with the role Agent; used twice, for another audience (also: for a spacesd of another
    name) or revoked it is refused, and a
    revocation ends the open session at once."""
    clock, entropy = ManualClock(), SeededEntropy()
    journal = MemoryJournal()
    agent = await open_agent_identity(journal, tmp_path / "identity", raw_key(), clock=clock, entropy=entropy)
    access = Access(load_or_create_token(tmp_path / "token", entropy), clock, entropy)

    async def token(audience: str = AUDIENCE) -> str:
        return await issue_agent_token(
            agent.custody, agent_id=agent.identity.agent_id, audience=audience, clock=clock, entropy=entropy
        )

    async with open_identity_services(
        journal, clock=clock, directory=None, daemon=AUDIENCE, environment={}
    ) as services:
        parts = SpacesParts(None, journal, access, services, hosts=("hub.example", "127.0.0.1:3004"))
        async with open_spaces(parts, clock=clock, entropy=entropy) as spaces:
            for bound in ("spacesd:hub.example", "spacesd:127.0.0.1:3004"):
                assert (await spaces.engine.login(await token(bound))).is_open
            for foreign in ("spacesd:other.example", "spacesd:", "haimad:hub.example"):
                with pytest.raises(UnauthenticatedError):
                    await spaces.engine.login(await token(foreign))
            shown = await token()
            session = await spaces.engine.login(shown)
            assert session.caller.identity == identity_of(agent.identity.did)
            assert session.caller.ceiling is None and session.caller.is_agent
            assert spaces.engine.state.table(Member)[1, session.caller.identity].role is Role.AGENT
            with pytest.raises(TokenReplayedError):
                await spaces.engine.login(shown)
            with pytest.raises(UnauthenticatedError):
                await spaces.engine.login(await token("haimad"))
            await revoke_identity(
                journal,
                agent.custody,
                agent_id=agent.identity.agent_id,
                reason="compromised",
                clock=clock,
                registry=services.registry,
            )
            assert await asyncio.wait_for(session.closed(), 2) == "revoked"  # no time passes on this clock
            with pytest.raises(RevokedError):
                await spaces.engine.login(await token())
    agent.custody.close()


async def test_every_event_reaches_the_journal_exactly_once(tmp_path: Path) -> None:
    """W22: whatever was exported before, exporting again adds nothing; a fresh export of the same log changes nothing; order is kept."""
    clock = ManualClock()
    async with SqliteJournal.open(tmp_path / "journal.db", clock=clock) as journal:
        for round_ in range(3):
            async with EmbeddedEngine.open(
                tmp_path / "spaces.db",
                clock=clock,
                entropy=SeededEntropy(),
                tokens=ScriptedTokens(),
                owner=Owner(OPERATOR),
                limits=None,
            ) as engine:
                ann = await enter(engine, ScriptedTokens(), "ann")
                bob = await enter(engine, ScriptedTokens(), "bob")
                export = JournalExport(engine, journal, clock, deployment=engine.deployment)
                await engine.submit(SendMessage(channel_id=GENERAL, content=f"m{round_}", client_id=f"c{round_}"), ann)
                await export.catch_up()
                await engine.submit(SendDirectMessage(recipient=bob.identity, content=f"d{round_}"), ann)
                again = JournalExport(engine, journal, clock, deployment=engine.deployment)
                assert await again.catch_up() >= 1
                assert await again.catch_up() == 0
                events = [event for entry in await engine.entries(0, limit=10_000) for event in entry.events]
                records = await journal.read(
                    EventQuery(export.stream.session_id, export.stream.branch_id), limit=10_000
                )
                kinds = [decode_kind(record.payload) for record in records]
                assert [kind.event_type for kind in kinds if isinstance(kind, Custom)] == [
                    f"spaces.{event.kind}" for event in events
                ]
                await export.require_behind(engine.state.position)
                with pytest.raises(LogDamagedError):
                    await export.require_behind(engine.state.position - 1)
                assert b"idempotency" not in b"".join(record.payload for record in records)


@pytest.mark.slow
def test_the_daemon_and_its_commands(tmp_path: Path) -> None:
    """Start it, list, write, read, invite, hand out roles; stop it and start it again: everything is there."""
    data = str(tmp_path / "life")
    runner = CliRunner()

    def run(command: object, *arguments: str, code: int = 0) -> str:
        result = runner.invoke(command, [*arguments, "--data-dir", data])  # type: ignore[arg-type]
        assert result.exit_code == code, result.output
        return result.output

    assert "Neither spacesd nor arcand works" in run(commands.channels, code=1)
    for round_ in range(2):
        with ChildProcess.spawn(
            [sys.executable, "-c", SERVE, "--data-dir", data, "--bind", "127.0.0.1:0"], name="spacesd"
        ) as daemon:
            daemon.wait_for_line(r"Ctrl-C stops it\.")
            if round_ == 0:
                assert "#general" in run(commands.channels)
                run(commands.create, "Lab")
                run(commands.create, "plans", "--in", "Lab", "--type", "Announcement")
                run(commands.send, "plans", "we begin", "--space", "Lab")
                assert len(run(commands.invite, "Lab").strip()) == 20
                assert "more than one" in run(commands.send, "general", "x", code=1)
                assert "spaces.not_found" in run(commands.call, "archive_thread", "thread_id=7", code=1)
            assert "we begin" in run(commands.history, "plans", "--space", "Lab")
            assert "Owner" in run(commands.members, "Lab")
            assert "Lab" in run(commands.list_)
            assert "Nobody is in the directory" in run(commands.peers)
            daemon.stop()


@pytest.mark.slow
def test_strangers_at_the_daemons_door(tmp_path: Path) -> None:
    """A foreign Host, a page of another origin and another path are not let in; HTTP wants the token."""
    data = str(tmp_path / "life")
    with ChildProcess.spawn(
        [sys.executable, "-c", SERVE, "--data-dir", data, "--bind", "127.0.0.1:0"], name="spacesd"
    ) as daemon:
        address = daemon.wait_for_line(r"spacesd listens on http://(\S+)").group(1)
        daemon.wait_for_line(r"Ctrl-C stops it\.")

        async def knock(path: str = "/v1/spaces/ws", **headers: str) -> None:
            async with websockets.connect(f"ws://{address}{path}", additional_headers=headers, proxy=None):
                pass

        for path, headers in (
            ("/v1/spaces/ws", {"Origin": "https://evil.example"}),
            ("/other", {}),
        ):
            with pytest.raises(websockets.InvalidStatus):
                asyncio.run(knock(path, **headers))
        asyncio.run(knock(Origin=f"http://{address}"))
        import httpx2

        assert httpx2.get(f"http://{address}/health").status_code == 200
        assert httpx2.get(f"http://{address}/v1/spaces/status").status_code == 401
        assert httpx2.get(f"http://{address}/health", headers={"host": "evil.example"}).status_code == 403
        token = (tmp_path / "life" / "token").read_text().strip()
        status = httpx2.get(f"http://{address}/v1/spaces/status", headers={"authorization": f"Bearer {token}"}).json()
        assert status["ready"] and status["exported"] == status["position"] >= 1
        daemon.stop()
