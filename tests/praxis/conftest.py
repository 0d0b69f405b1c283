"""A workspace, a context, and both ways of opening files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from life.aios.ports.blobs import Blobs
from life.aios.ports.tools import ToolContext
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.praxis import beneath
from life.testing.clock import SeededEntropy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace directory; its parent is outside."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return workspace


@pytest.fixture
def context(root: Path) -> ToolContext:
    """The context of one call in that workspace."""
    return ToolContext(
        session_id="sess-1",
        branch_id="main",
        agent_id="agent-1",
        run_id="run-1",
        workspace=str(root),
        idempotency_key="sess-1/main/call-1",
    )


@pytest.fixture(params=["openat2", "walk"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the test with the kernel's call and with the walk by hand."""
    name: str = request.param
    if name == "walk":
        monkeypatch.setattr(beneath, "kernel_has_openat2", lambda: False)
    yield name


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """The real blob store, in a directory beside the workspace."""
    return BlobStore(DirectoryObjects(tmp_path / "blobs", SeededEntropy()), SeededEntropy())
