"""Keys that blobs are sealed under, from the agent's own custody: one per owner (lago.md §4).

A key follows from the agent's seed and the owner's id, so nothing has to be kept, a rotation of the identity changes nothing,
and whoever has the seed (a restored backup, say) can read the blobs again. Losing the seed loses them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import IdentityNotFoundError
from life.anima.home import open_identity, read_identity
from life.host.data_directory import DataDirectory
from life.host.keys import Prompt, choose_key_source, nobody
from life.host.settings import load_settings
from life.lago.blobs.objects import Objects
from life.lago.blobs.store import BlobStore

_PREFIX: Final = "life:1:"


class CustodyBlobKeys:
    """The BlobKeys port over a custody handle. The handle is opened when the first key is needed: a store that holds
    nothing sealed never asks for a passphrase."""

    def __init__(self, open_custody: Callable[[], InProcessAnima], owner: str) -> None:
        self._open = open_custody
        self._owner = owner
        self._keys: dict[str, bytes] = {}

    @property
    def current(self) -> str:
        """See BlobKeys."""
        return _PREFIX + self._owner

    def key(self, key_id: str) -> bytes | None:
        """See BlobKeys."""
        if not key_id.startswith(_PREFIX):
            return None
        if key_id not in self._keys:
            custody = self._open()
            try:
                self._keys[key_id] = custody.storage_key("blobs/" + key_id)
            finally:
                custody.close()
        return self._keys[key_id]


def project_blob_keys(
    data: DataDirectory, clock: Clock, *, environment: Mapping[str, str] = os.environ, prompt: Prompt = nobody
) -> CustodyBlobKeys | None:
    """The keys of a project's own agent; None for a directory without an identity."""
    if not (data.identity / "soul.json").exists():
        return None

    def open_custody() -> InProcessAnima:
        source = choose_key_source(data.identity, environment, prompt)
        return open_identity(data.identity, source, clock=clock).custody

    return CustodyBlobKeys(open_custody, read_identity(data.identity).agent_id)


def open_blobs(
    data: DataDirectory,
    objects: Objects,
    clock: Clock,
    entropy: Entropy,
    *,
    environment: Mapping[str, str],
    prompt: Prompt = nobody,
) -> BlobStore:
    """The project's blobs. New ones are sealed where `storage.encrypt_blobs` says so; IdentityNotFoundError without an
    identity whose seed their key follows from."""
    settings = load_settings(data.config, environment)
    keys = project_blob_keys(data, clock, environment=environment, prompt=prompt)
    if settings.storage.encrypt_blobs and keys is None:
        raise IdentityNotFoundError(
            "Blobs are to be encrypted, but there is no identity whose seed their key follows from.",
            next_step="Run `arcan identity new`, or set storage.encrypt_blobs to false.",
        )
    return BlobStore(objects, entropy, keys=keys, seal_new=settings.storage.encrypt_blobs)
