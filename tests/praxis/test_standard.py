"""The standard registry under the port's conformance suite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from life.aios.json import JsonObject
from life.aios.ports.blobs import Blobs
from life.aios.ports.tools import Toolbox, ToolCall, ToolContext
from life.praxis.egress import EgressClient, EgressPolicy
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.hashline import line_tag
from life.praxis.standard import standard_tools
from life.praxis.workspace import WorkspacePolicy
from life.testing.toolbox import EffectCase, ToolboxSuite

TAG = line_tag(1, "old")


def disturb_file(workspace: Path) -> None:
    """Somebody else writes the file."""
    (workspace / "notes").mkdir(exist_ok=True)
    (workspace / "notes" / "f.txt").write_text("foreign")


def old_file(workspace: Path) -> None:
    """The file exists before the call."""
    (workspace / "notes").mkdir()
    (workspace / "notes" / "f.txt").write_text("old")
    (workspace / "other.txt").write_text("other")


def delete_file(workspace: Path) -> None:
    """Somebody else deletes the file."""
    (workspace / "notes" / "f.txt").unlink()


def link_instead(workspace: Path) -> None:
    """Somebody puts a link in the file's place."""
    (workspace / "notes" / "f.txt").unlink()
    (workspace / "notes" / "f.txt").symlink_to(workspace / "other.txt")


async def no_vault(context: ToolContext) -> None:
    """Nobody has notes here."""


class TestStandardTools(ToolboxSuite):
    """The standard tools keep the port's promises."""

    @pytest.fixture(autouse=True)
    def _store(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def open_toolbox(self) -> Toolbox:
        """A fresh registry; its client opens nothing unless a request is made."""
        return standard_tools(EgressClient(EgressPolicy()), blobs=self._blobs, knowledge=no_vault)

    def effect_cases(self) -> Sequence[EffectCase]:
        """Creating and replacing, with every kind of foreign change."""
        arguments: JsonObject = {"path": "notes/f.txt", "content": "new\n"}
        edit: JsonObject = {"path": "notes/f.txt", "ops": [{"op": "replace_line", "tag": TAG, "new_text": "new"}]}
        added: JsonObject = {"path": "notes/f.txt", "ops": [{"op": "append", "new_text": "more"}]}
        return [
            EffectCase(name="edit", tool_name="edit_file", arguments=edit, arrange=old_file, disturb=disturb_file),
            EffectCase(name="append", tool_name="edit_file", arguments=added, arrange=old_file, disturb=delete_file),
            EffectCase(
                name="edit linked", tool_name="edit_file", arguments=edit, arrange=old_file, disturb=link_instead
            ),
            EffectCase(name="create", tool_name="write_file", arguments=arguments, disturb=disturb_file),
            EffectCase(
                name="replace", tool_name="write_file", arguments=arguments, arrange=old_file, disturb=disturb_file
            ),
            EffectCase(
                name="deleted", tool_name="write_file", arguments=arguments, arrange=old_file, disturb=delete_file
            ),
            EffectCase(
                name="linked", tool_name="write_file", arguments=arguments, arrange=old_file, disturb=link_instead
            ),
        ]

    def read_only_calls(self) -> Sequence[tuple[str, JsonObject]]:
        """Looking around."""
        return [
            ("list_dir", {}),
            ("list_dir", {"path": "none"}),
            ("read_file", {"path": "none"}),
            ("glob", {"pattern": "**/*"}),
            ("glob", {"pattern": "*", "path": "none"}),
            ("grep", {"pattern": "x"}),
            ("grep", {"pattern": "x", "path": "none"}),
            ("todo", {"items": [{"text": "look", "status": "in_progress"}]}),
            ("read_result", {"result": "0" * 64}),
            ("knowledge_search", {"query": "x"}),
        ]

    def free_tools(self) -> frozenset[str]:
        """A plan and the session's own results."""
        return frozenset({"todo", "read_result"})


def test_the_tools_and_their_hints() -> None:
    """Names and hints as documented; what needs a part that is not given is not offered."""
    tools = {tool.name: tool for tool in standard_tools(EgressClient(EgressPolicy())).definitions()}
    assert list(tools) == [
        "edit_file",
        "glob",
        "grep",
        "http_fetch",
        "list_dir",
        "read_file",
        "todo",
        "write_file",
    ]
    assert tools["edit_file"].annotations.destructive
    for name in ("glob", "grep", "todo"):
        assert tools[name].annotations.read_only
    assert tools["read_file"].annotations.read_only
    assert tools["list_dir"].annotations.read_only
    assert tools["write_file"].annotations.destructive
    assert tools["http_fetch"].annotations.open_world
    assert not tools["http_fetch"].annotations.read_only


async def test_policies_reach_the_tools(root: Path, context: ToolContext) -> None:
    """Limits given to the registry are the limits that hold."""
    (root / "f").write_text("x" * 3000)
    registry = standard_tools(
        EgressClient(EgressPolicy()),
        http=HttpFetchPolicy(timeout_s=7),
        workspace=WorkspacePolicy(hidden_names=("closed",), max_write_bytes=3),
        max_result_bytes=1024,
        max_timeout_s=5,
    )
    assert {tool.name: tool.timeout_s for tool in registry.definitions()}["http_fetch"] == 7

    async def run(name: str, **arguments: object) -> object:
        call = ToolCall(call_id="c", tool_name=name, arguments=arguments)  # type: ignore[arg-type]
        return (await registry.execute(call, context)).output

    assert "praxis.policy_violation" in str(await run("read_file", path="closed/x"))
    assert "praxis.too_large" in str(await run("write_file", path="g", content="1234"))
    assert "json_beginning" in str(await run("read_file", path="f"))


def test_unusable_policies_are_refused_at_start() -> None:
    """A pattern that is none, a header that may never be set, a limit of nothing."""
    with pytest.raises(ValueError, match="host pattern"):
        EgressClient(EgressPolicy(allow_private_hosts=("http://localhost",)))
    for policy in (
        HttpFetchPolicy(redirect_hosts=("a b",)),
        HttpFetchPolicy(idempotent_hosts=("[::1",)),
        HttpFetchPolicy(request_headers=("host",)),
        HttpFetchPolicy(request_headers=("Payment-Signature",)),
        HttpFetchPolicy(request_headers=("payment-signature",)),
        HttpFetchPolicy(timeout_s=0),
        HttpFetchPolicy(max_redirects=-1),
    ):
        with pytest.raises(ValueError):
            standard_tools(EgressClient(EgressPolicy()), http=policy)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list_dir", {}),
        ("read_file", {"path": "big"}),
        ("write_file", {"path": "new", "content": "x" * 1_000_000}),
        ("edit_file", {"path": "big", "ops": [{"op": "append", "new_text": "x"}]}),
        ("glob", {"pattern": "**"}),
        ("grep", {"pattern": "^(?:a|a|aa)+(?<=a)$"}),
        ("todo", {"items": []}),
        ("read_result", {"result": "0" * 64}),
        ("knowledge_search", {"query": "x"}),
        ("http_fetch", {"url": "http://192.0.2.1/"}),
    ],
)
async def test_acceptance_7_cancel_works_in_every_tool(
    name: str, arguments: JsonObject, root: Path, context: ToolContext, blobs: Blobs
) -> None:
    """Acceptance 7 (praxis.md §12): a cancelled call is over (in two seconds on an idle machine); a write has happened whole or not at all."""
    (root / "big").write_text(("a" * 60 + "b\n") * 30_000)
    before = (root / "big").read_bytes()
    async with EgressClient(EgressPolicy()) as client:
        registry = standard_tools(client, blobs=blobs, knowledge=no_vault)
        task = asyncio.create_task(registry.execute(ToolCall("c", name, arguments), context))
        await asyncio.sleep(0.005)
        began = time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert time.monotonic() - began < 20  # what does not end takes minutes
    assert (root / "big").read_bytes() in (before, before + b"x\n")
    assert not (root / "new").exists() or (root / "new").stat().st_size == 1_000_000
    assert sorted(path.name for path in root.iterdir()) in (["big"], ["big", "new"])
