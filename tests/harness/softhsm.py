"""A SoftHSM token of a test's own (part `softhsm`): a PKCS#11 token in a folder, with both curves.

The module reads its configuration from the environment when it is initialised, so one process has one SoftHSM folder at a
time; handles of an earlier one must be closed first, which finalises the module.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from life.testing.parts import find_softhsm
from tests.harness.process import child_environment

PIN: Final = "567812"
SO_PIN: Final = "87654321"
LABEL: Final = "anima"


@dataclass(frozen=True)
class SoftHsm:
    """An initialised token: its module, its folder, its label, its PIN."""

    module: Path
    tokens: Path
    label: str = LABEL
    pin: str = PIN

    def remove(self) -> None:
        """Pull the token out: its folder moves away; `put_back` undoes it."""
        self.tokens.rename(self.tokens.with_suffix(".removed"))
        self.tokens.mkdir()

    def put_back(self) -> None:
        """Plug the token in again."""
        self.tokens.rmdir()
        self.tokens.with_suffix(".removed").rename(self.tokens)


@contextmanager
def softhsm_token(folder: Path, *, label: str = LABEL) -> Iterator[SoftHsm]:
    """A fresh token below `folder`; this process's environment points to it meanwhile."""
    module, tool = find_softhsm(), shutil.which("softhsm2-util")
    if module is None or tool is None:
        raise FileNotFoundError("SoftHSM is not installed")
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    initialise = [tool, "--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN]
    subprocess.run(initialise, env=child_environment(environment), check=True, capture_output=True, timeout=30)
    with environment_set(environment):
        yield SoftHsm(module=module, tokens=tokens, label=label)


@contextmanager
def environment_set(values: dict[str, str]) -> Iterator[None]:
    """Set variables for this process, which C libraries see too, and put the old ones back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
