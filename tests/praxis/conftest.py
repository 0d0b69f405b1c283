"""A workspace, a context, and both ways of opening files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from life.aios.ports.tools import ToolContext
from life.praxis import beneath


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
