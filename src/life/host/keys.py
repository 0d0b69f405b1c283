"""Which secret opens this project's seed.

In this order: the passphrase in `LIFE_PASSPHRASE`; the key file named by `LIFE_KEY_FILE`; a prompt, when the seed was
sealed under a passphrase and somebody sits at a terminal; otherwise the random key in the user's own data folder, which is
made at the first start so that trying Life needs no questions (the command line says where it lies and what that means).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from life.anima.errors import CustodyAuthFailedError
from life.anima.home import read_identity, seed_secret_kind
from life.anima.identity_file import SOUL_FILE
from life.anima.key_source import KeyFile, KeySource, Passphrase, default_key_file

Prompt = Callable[[], str | None]
"""Asks a person for the passphrase; None when nobody can be asked."""


def nobody() -> str | None:
    """For processes without a terminal."""
    return None


def choose_key_source(identity_folder: Path, environment: Mapping[str, str], prompt: Prompt = nobody) -> KeySource:
    """The key source for the identity in this folder, or for one that is going to be made there."""
    if passphrase := environment.get("LIFE_PASSPHRASE"):
        return Passphrase(passphrase)
    if path := environment.get("LIFE_KEY_FILE"):
        return KeyFile(Path(path))
    if (identity_folder / SOUL_FILE).exists() and seed_secret_kind(read_identity(identity_folder)) == "passphrase":
        typed = prompt()
        if typed is None:
            raise CustodyAuthFailedError(
                "This identity's seed is sealed under a passphrase.", next_step="Set LIFE_PASSPHRASE and try again."
            )
        return Passphrase(typed)
    return KeyFile(default_key_file())
