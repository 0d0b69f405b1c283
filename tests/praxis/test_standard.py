"""The standard registry under the port's conformance suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from life.aios.json import JsonObject
from life.aios.ports.tools import Toolbox, ToolCall, ToolContext
from life.praxis.egress import EgressClient, EgressPolicy
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.standard import standard_tools
from life.praxis.workspace import WorkspacePolicy
from life.testing.toolbox import EffectCase, ToolboxSuite


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


class TestStandardTools(ToolboxSuite):
    """list_dir, read_file, write_file and http_fetch keep the port's promises."""

    def open_toolbox(self) -> Toolbox:
        """A fresh registry; its client opens nothing unless a request is made."""
        return standard_tools(EgressClient(EgressPolicy()))

    def effect_cases(self) -> Sequence[EffectCase]:
        """Creating and replacing, with every kind of foreign change."""
        arguments: JsonObject = {"path": "notes/f.txt", "content": "new\n"}
        return [
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
        return [("list_dir", {}), ("list_dir", {"path": "none"}), ("read_file", {"path": "none"})]


def test_the_first_four_tools() -> None:
    """Names, categories and hints as documented."""
    tools = {tool.name: tool for tool in standard_tools(EgressClient(EgressPolicy())).definitions()}
    assert list(tools) == ["http_fetch", "list_dir", "read_file", "write_file"]
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
