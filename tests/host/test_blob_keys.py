"""Blobs sealed under the agent's own key: promises of host/blob_keys.py and host/lago_store.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.anima.errors import CustodyAuthFailedError, IdentityNotFoundError
from life.host.lago_store import OpenStore, open_store
from life.host.system import open_system

SECRET = b"what the agent wrote down for nobody else " * 4


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Path]:
    """A project with an identity."""
    async with open_system(tmp_path / "life", environment=environment(tmp_path)):
        pass
    yield tmp_path


def environment(project: Path, *, encrypt: bool = False) -> dict[str, str]:
    told = {"LIFE_PASSPHRASE": "correct horse battery staple"}
    return {**told, "LIFE_STORAGE_ENCRYPT_BLOBS": "true"} if encrypt else told


async def read(store: OpenStore) -> bytes:
    return await store.desk.read("notes", "/secret.txt")


async def test_a_sealed_blob_is_read_with_the_identity_and_by_nobody_else(project: Path) -> None:
    """Nothing of it stands on the disk; it is read again when encryption is off, with another passphrase it is not."""
    async with open_store(project / "life", environment=environment(project, encrypt=True)) as store:
        await store.desk.write("notes", "/secret.txt", SECRET)
        assert await read(store) == SECRET
    lying = [path for path in (project / "life" / "blobs").rglob("*") if path.is_file()]
    assert [path.suffix for path in lying] == [".sealed"]
    assert b"nobody else" not in lying[0].read_bytes()
    async with open_store(project / "life", environment=environment(project)) as store:
        assert await read(store) == SECRET
        await store.desk.write("notes", "/open.txt", b"for everybody")
    assert sum(path.suffix == ".raw" for path in (project / "life" / "blobs").rglob("*")) == 1
    async with open_store(project / "life", environment={"LIFE_PASSPHRASE": "wrong"}) as store:
        assert await store.desk.read("notes", "/open.txt") == b"for everybody"
        with pytest.raises(CustodyAuthFailedError):
            await read(store)


async def test_without_an_identity_nothing_is_written_unsealed(tmp_path: Path) -> None:
    """Encryption that was asked for and can't be had is an error before anything is stored."""
    with pytest.raises(IdentityNotFoundError):
        async with open_store(tmp_path / "new", create=True, environment=environment(tmp_path, encrypt=True)):
            pass
    assert not (tmp_path / "new" / "blobs").exists()
