"""list_dir."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.errors import OutsideWorkspaceError, PolicyViolationError
from life.praxis.registry import ToolRegistry
from life.praxis.tools.list_dir import ListDir
from life.praxis.workspace import TEMPORARY_PREFIX, WorkspacePolicy


class Listed(msgspec.Struct):
    """The output of a listing."""

    path: str
    entries: list[dict[str, object]]
    total: int
    truncated: bool


@pytest.fixture
def registry() -> ToolRegistry:
    """A registry with this tool."""
    made = ToolRegistry()
    made.register(ListDir(WorkspacePolicy()))
    return made


def call(arguments: Json) -> ToolCall:
    """A call of the tool."""
    return ToolCall(call_id="call-1", tool_name="list_dir", arguments=arguments)


async def listed(registry: ToolRegistry, context: ToolContext, arguments: Json) -> Listed:
    """The output of a call that must succeed."""
    outcome = await registry.execute(call(arguments), context)
    assert outcome.status == "ok", outcome.output
    return msgspec.convert(outcome.output, Listed)


async def failed(registry: ToolRegistry, context: ToolContext, arguments: Json) -> str:
    """The code of a call that must fail."""
    outcome = await registry.execute(call(arguments), context)
    assert outcome.status == "error"
    return str(msgspec.convert(outcome.output, dict[str, object])["code"])


async def test_kinds_sizes_and_order(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Sorted by name; files with sizes; links named as links, wherever they lead; FIFOs as other."""
    (root / "b.txt").write_bytes(b"12345")
    (root / "a").mkdir()
    (root / "c").symlink_to("/etc")
    (root / "d").symlink_to("nothing")
    os.mkfifo(root / "e")
    found = await listed(registry, context, {})
    assert found.path == "."
    assert found.entries == [
        {"name": "a", "kind": "dir"},
        {"name": "b.txt", "kind": "file", "size_bytes": 5},
        {"name": "c", "kind": "link"},
        {"name": "d", "kind": "link"},
        {"name": "e", "kind": "other"},
    ]
    assert (found.total, found.truncated) == (5, False)


async def test_hidden_names_and_writes_in_progress_are_left_out(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """The data directory and temporary files of writes are not listed nor counted."""
    (root / ".life").mkdir()
    (root / f"{TEMPORARY_PREFIX}0123").write_bytes(b"")
    (root / ".env").write_bytes(b"")
    found = await listed(registry, context, {"path": "."})
    assert [entry["name"] for entry in found.entries] == [".env"]
    assert found.total == 1


@pytest.mark.parametrize("count", [255, 256, 257, 1200])
async def test_large_directories(count: int, root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Sorted and complete on both sides of the step to a thread; the limit marks what was left out."""
    for number in range(count):
        (root / f"f{number:05}").touch()
    found = await listed(registry, context, {"limit": 2000})
    assert [entry["name"] for entry in found.entries] == [f"f{number:05}" for number in range(count)]
    assert not found.truncated
    cut = await listed(registry, context, {"limit": 3})
    assert [entry["name"] for entry in cut.entries] == ["f00000", "f00001", "f00002"]
    assert (cut.total, cut.truncated) == (count, True)


async def test_names_that_are_not_utf8_are_shown(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """A name of arbitrary bytes does not break the listing."""
    os.close(os.open(os.fsencode(root) + b"/bad\xffname", os.O_CREAT | os.O_WRONLY))
    found = await listed(registry, context, {})
    assert [entry["name"] for entry in found.entries] == ["bad\\xffname"]


@pytest.mark.usefixtures("opener")
async def test_places_that_are_closed(tmp_path: Path, root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Outside, links, files, nothing, and the data directory: an error each, nothing listed."""
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "file").write_bytes(b"")
    (root / "proc").symlink_to("/proc/self/cwd")
    assert await failed(registry, context, {"path": "link"}) == "praxis.outside_workspace"
    assert await failed(registry, context, {"path": "proc/."}) == "praxis.outside_workspace"
    assert await failed(registry, context, {"path": ".."}) == "praxis.outside_workspace"
    assert await failed(registry, context, {"path": "/"}) == "praxis.outside_workspace"
    assert await failed(registry, context, {"path": "file"}) == "praxis.wrong_file_kind"
    assert await failed(registry, context, {"path": "none"}) == "praxis.path_not_found"
    assert await failed(registry, context, {"path": ".life"}) == "praxis.policy_violation"
    assert await failed(registry, context, {"limit": 0}) == "praxis.invalid_input"


def test_capabilities(registry: ToolRegistry, context: ToolContext) -> None:
    """Read access to the canonical path; a closed place has none."""
    assert registry.capabilities(call({}), context) == ("fs:read:.",)
    assert registry.capabilities(call({"path": "./a//b/"}), context) == ("fs:read:a/b",)
    with pytest.raises(OutsideWorkspaceError):
        registry.capabilities(call({"path": "a/.."}), context)
    with pytest.raises(PolicyViolationError):
        registry.capabilities(call({"path": ".life/identity"}), context)
