"""Tokens and key servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.openbao import OpenBao, openbao_server
from tests.harness.softhsm import SoftHsm, softhsm_token
from tests.harness.swtpm import SwTpm, swtpm_token
from tests.harness.vault_standin import VaultStandin


@pytest.fixture
def softhsm(tmp_path: Path) -> Iterator[SoftHsm]:
    """A SoftHSM token without keys."""
    with softhsm_token(tmp_path) as token:
        yield token


@pytest.fixture(scope="module")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwTpm]:
    """A software TPM with a resource manager and a token; tests tell their keys apart by label."""
    with swtpm_token(tmp_path_factory.mktemp("swtpm")) as token:
        yield token


@pytest.fixture(scope="module")
def shared_softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """A SoftHSM token for tests that neither remove it nor mind each other's keys."""
    with softhsm_token(tmp_path_factory.mktemp("softhsm")) as token:
        yield token


@pytest.fixture
def vault() -> Iterator[VaultStandin]:
    """A stand-in for Vault without keys."""
    with VaultStandin() as server:
        yield server


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A real OpenBao server; tests tell their keys apart by name."""
    with openbao_server(tmp_path_factory.mktemp("openbao")) as server:
        yield server
