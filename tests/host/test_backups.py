"""A project's backup has what it can't make anew: after a restore tasks keep their secrets, webhooks their signatures, vendors'
keys their seal, Spaces its rooms."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from life.host.a2a import A2A_KEY, SealedVault, a2a_parts
from life.host.access import read_token
from life.host.backups import KEYS, MODEL_KEYS, SPACES_LOG, open_repository, side_files
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.doors import WEBHOOK_KEY, open_doors
from life.host.system import open_system
from life.host.webhook_client import CheckedWebhookClient
from life.lago.backup.making import create_backup
from life.lago.backup.restoring import restore_backup, verify_backup
from life.lago.blobs.directory import DirectoryObjects
from life.lago.errors import BackupDamagedError
from life.praxis.egress import EgressPolicy
from life.spaces.commands import CreateServer, SendMessage
from life.spaces.engine.embedded import EmbeddedEngine
from life.spaces.model import Message, Space
from life.spaces.queries import Rows, TableQuery

CLOCK, ENTROPY = SystemClock(), SystemEntropy()


async def back_up(data: DataDirectory, place: Path) -> str:
    """A backup as the command makes it."""
    async with open_repository(str(place), clock=CLOCK, entropy=ENTROPY, environment={}) as repository:
        made = await create_backup(
            repository,
            data.journal,
            DirectoryObjects(data.blobs, ENTROPY),
            clock=CLOCK,
            entropy=ENTROPY,
            files=side_files(data),
        )
        checked = await verify_backup(repository, made.backup, entropy=ENTROPY)
        assert checked.events == made.events
        assert set(made.files) == {A2A_KEY, WEBHOOK_KEY, MODEL_KEYS, SPACES_LOG}
        return made.backup


async def test_a_restored_project_has_its_keys_and_its_rooms(tmp_path: Path) -> None:
    """Made while Spaces is written; restored elsewhere: what was sealed opens, the log is whole, has every message that was acknowledged before
    the backup, and agrees with the journal; the identity and the access token are not in it."""
    environment = {"LIFE_KEY_FILE": str(tmp_path / "keys" / "identity.key"), "LIFE_SPACES_PLACE": "embedded"}
    root, place, again = tmp_path / "life", tmp_path / "backups", tmp_path / "again"
    async with open_system(root, environment=environment) as system, open_doors(system):
        webhooks = CheckedWebhookClient(EgressPolicy())
        key = a2a_parts(system, webhooks=webhooks).vault_key
        await webhooks.aclose()
        assert key is not None
        sealed = SealedVault(key, ENTROPY).seal(b"a client's token")
        system.model_keys.store("anthropic", "sk-a-vendors-key")
        seat = await system.spaces.seat()
        space = (await seat.submit(CreateServer(name="Lab"))).row
        assert isinstance(space, Space)
        texts = [f"m{number}" for number in range(20)]
        for text in texts:
            await seat.submit(SendMessage(channel_id=1, content=text))

        async def chatter() -> None:
            while True:
                await seat.submit(SendMessage(channel_id=1, content="meanwhile"))

        writing = asyncio.create_task(chatter())
        backup = await back_up(system.data, place)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        secret = read_token(system.data.root / WEBHOOK_KEY)
    await back_up(DataDirectory(root), place)  # also while nothing runs
    async with open_repository(str(place), clock=CLOCK, entropy=ENTROPY, environment={}) as repository:
        await restore_backup(repository, backup, again, entropy=ENTROPY)
    for name in (*KEYS, MODEL_KEYS, SPACES_LOG):
        assert stat.S_IMODE((again / name).stat().st_mode) == 0o600
    assert not (again / "token").exists() and not (again / "identity").exists()
    assert read_token(again / WEBHOOK_KEY) == secret
    assert SealedVault(read_token(again / A2A_KEY).encode(), ENTROPY).open(sealed) == b"a client's token"
    (root / "identity").rename(again / "identity")
    async with open_system(again, environment=environment) as system:
        assert system.model_keys.key("anthropic") == "sk-a-vendors-key"
        seat = await system.spaces.seat()
        spaces = system.spaces.spaces
        assert spaces is not None
        rows = (await seat.query(Rows(tables=(TableQuery(table="message", where={"channel_id": 1}),)))).rows
        contents = [row.content for row in rows if isinstance(row, Message)]
        assert [text for text in contents if text in texts] == texts
        assert spaces.engine.state.get(Space, space.id) == space
        assert isinstance(spaces.engine, EmbeddedEngine)
        assert spaces.engine.verify() == spaces.engine.state.position
        await seat.submit(SendMessage(channel_id=1, content="back again"))


async def test_a_changed_file_of_a_backup_is_named(tmp_path: Path) -> None:
    """One byte of a kept key, and verifying and restoring say which file it is."""
    environment = {"LIFE_KEY_FILE": str(tmp_path / "keys" / "identity.key"), "LIFE_SPACES_PLACE": "off"}
    root, place = tmp_path / "life", tmp_path / "backups"
    async with open_system(root, environment=environment) as system:
        (system.data.root / A2A_KEY).write_text("k" * 43)
        async with open_repository(str(place), clock=CLOCK, entropy=ENTROPY, environment={}) as repository:
            made = await create_backup(
                repository, system.data.journal, None, clock=CLOCK, entropy=ENTROPY, files=side_files(system.data)
            )
            manifest = await repository.read(made.backup)
            (entry,) = manifest.files
            piece = entry.pieces[0]
            for file in (place / "pieces").rglob("*"):
                if file.is_file() and file.parent.name + file.name.partition(".")[0] == piece:
                    content = bytearray(file.read_bytes())
                    content[-1] ^= 1
                    file.chmod(0o600)
                    file.write_bytes(content)
            with pytest.raises(BackupDamagedError, match=r"a2a\.key"):
                await verify_backup(repository, made.backup, entropy=ENTROPY)
            with pytest.raises(BackupDamagedError, match=r"a2a\.key"):
                await restore_backup(repository, made.backup, tmp_path / "again", entropy=ENTROPY)
            assert not (tmp_path / "again").exists()
