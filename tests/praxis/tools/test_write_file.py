"""write_file: the effect, and the truth about it after a kill."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.errors import OutsideWorkspaceError, PolicyViolationError
from life.praxis.registry import ToolRegistry
from life.praxis.tools.write_file import WriteFile
from life.praxis.workspace import WorkspacePolicy


def open_registry() -> ToolRegistry:
    """A registry with this tool."""
    made = ToolRegistry()
    made.register(WriteFile(WorkspacePolicy()))
    return made


@pytest.fixture
def registry() -> ToolRegistry:
    """A registry with this tool."""
    return open_registry()


def call(path: str, content: Json = "new") -> ToolCall:
    """A call of the tool."""
    return ToolCall(call_id="call-1", tool_name="write_file", arguments={"path": path, "content": content})


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


async def test_create_and_replace(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """What the model is told and what the journal is told both match the file."""
    made = await registry.execute(call("a/b.txt", "größer\r\n"), context)
    assert made.output == {"path": "a/b.txt", "bytes": 10, "created": True}
    assert made.mutated_paths == (("a/b.txt", sha256("größer\r\n".encode())),)
    assert (root / "a/b.txt").read_bytes() == "größer\r\n".encode()
    again = await registry.execute(call("./a//b.txt", ""), context)
    assert again.output == {"path": "a/b.txt", "bytes": 0, "created": False}
    assert (root / "a/b.txt").read_bytes() == b""


async def test_the_intent_holds_both_digests(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """`absent` or the content now, and the content to come."""
    assert await registry.prepare(call("f"), context) == {"path": "f", "before": "absent", "after": sha256(b"new")}
    (root / "f").write_bytes(b"old")
    assert await registry.prepare(call("f"), context) == {
        "path": "f",
        "before": sha256(b"old"),
        "after": sha256(b"new"),
    }


async def test_large_contents_are_digested_the_same(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Above the size where work moves to a thread, intent, effect and probe agree as below it."""
    old, new = "o" * 100_000, "n" * 300_000
    (root / "f").write_text(old)
    prepared = await registry.prepare(call("f", new), context)
    assert prepared == {"path": "f", "before": sha256(old.encode()), "after": sha256(new.encode())}
    assert (await registry.probe(call("f", new), context, prepared)).answer == "not_done"
    assert (await registry.execute(call("f", new), context)).mutated_paths == (("f", sha256(new.encode())),)
    assert (await registry.probe(call("f", new), context, prepared)).answer == "done"


async def test_a_place_that_can_not_be_prepared_is_probed_as_unknown(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """A directory in the way: the intent says so, the run fails the same way, and the probe does not guess."""
    (root / "d").mkdir()
    prepared = await registry.prepare(call("d"), context)
    assert prepared == {"unprepared": "praxis.wrong_file_kind"}
    assert (await registry.execute(call("d"), context)).status == "error"
    assert (await registry.probe(call("d"), context, prepared)).answer == "unknown"


async def test_a_prepared_record_of_another_call_decides_nothing(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Same digests for another path or another content: unknown, not `not_done`."""
    (root / "f").write_bytes(b"old")
    for foreign in (
        {"path": "g", "before": sha256(b"old"), "after": sha256(b"new")},
        {"path": "f", "before": sha256(b"old"), "after": sha256(b"other")},
    ):
        assert (await registry.probe(call("f"), context, foreign)).answer == "unknown"


async def test_content_that_stood_there_already_is_done(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Writing what is there has its effect whether it ran or not."""
    (root / "f").write_bytes(b"new")
    prepared = await registry.prepare(call("f"), context)
    assert (await registry.probe(call("f"), context, prepared)).answer == "done"


CHILD = """
import asyncio, os, signal, sys
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.registry import ToolRegistry
from life.praxis.tools.write_file import WriteFile
from life.praxis.workspace import WorkspacePolicy

moment, root = sys.argv[1:]
real = os.rename
def rename(*args, **kwargs):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename
registry = ToolRegistry()
registry.register(WriteFile(WorkspacePolicy()))
context = ToolContext(session_id="sess-1", branch_id="main", agent_id="agent-1", run_id="run-1", workspace=root,
                      idempotency_key="sess-1/main/call-1")
call = ToolCall(call_id="call-1", tool_name="write_file", arguments={"path": "sub/f", "content": "new"})
asyncio.run(registry.execute(call, context))
"""


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize(("moment", "answer"), [("before", "not_done"), ("after", "done")])
async def test_after_a_kill_the_probe_tells_the_truth(
    moment: str, answer: str, old: bytes | None, root: Path, context: ToolContext
) -> None:
    """A process that is really killed just before or just after the file takes its name; a new one asks and goes on."""
    (root / "sub").mkdir()
    if old is not None:
        (root / "sub" / "f").write_bytes(old)
    prepared = await open_registry().prepare(call("sub/f"), context)
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, moment, str(root)], capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    probe = await open_registry().probe(call("sub/f"), context, prepared)
    assert probe.answer == answer
    if answer == "done":
        assert probe.outcome is not None
        assert probe.outcome.mutated_paths == (("sub/f", sha256(b"new")),)
        assert (root / "sub" / "f").read_bytes() == b"new"
    else:
        assert len(os.listdir(root / "sub")) == (1 if old is None else 2), "the killed write left its temporary file"
        assert (await open_registry().execute(call("sub/f"), context)).status == "ok"
    assert os.listdir(root / "sub") == ["f"]


async def test_concurrent_calls_each_win_or_lose_whole(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Ten calls on one file at once: all succeed, one content stands, nothing is left over."""
    outcomes = await asyncio.gather(
        *(
            registry.execute(
                call("deep/er/f", str(number) * 10_000),
                msgspec.structs.replace(context, idempotency_key=f"key-{number}"),
            )
            for number in range(10)
        )
    )
    assert [outcome.status for outcome in outcomes] == ["ok"] * 10
    assert (root / "deep/er/f").read_text() in {str(number) * 10_000 for number in range(10)}
    assert os.listdir(root / "deep/er") == ["f"]


@pytest.mark.usefixtures("opener")
async def test_places_that_are_closed(tmp_path: Path, root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """No write outside, through links, over special files or into closed names; and no directory made on the way."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("kept")
    (root / "file-link").symlink_to(outside / "victim")
    (root / "dir-link").symlink_to(outside)
    (root / "dangling").symlink_to(outside / "new")
    (root / "loop").symlink_to("loop")
    (root / "file").write_text("kept")
    os.mkfifo(root / "fifo")
    before = sorted(os.listdir(root))
    for path, code in (
        ("file-link", "praxis.outside_workspace"),
        ("dir-link/new", "praxis.outside_workspace"),
        ("dir-link/sub/new", "praxis.outside_workspace"),
        ("dangling", "praxis.outside_workspace"),
        ("dangling/sub", "praxis.outside_workspace"),
        ("loop", "praxis.outside_workspace"),
        ("../outside/new", "praxis.outside_workspace"),
        ("new/../../outside/new", "praxis.outside_workspace"),
        (str(outside / "new"), "praxis.outside_workspace"),
        ("fifo", "praxis.wrong_file_kind"),
        ("file/below", "praxis.wrong_file_kind"),
        (".", "praxis.wrong_file_kind"),
        (".life/identity/key", "praxis.policy_violation"),
        ("sub/.git/hooks/post-checkout", "praxis.policy_violation"),
        ("new\0", "praxis.invalid_input"),
        ("n" * 256, "praxis.invalid_input"),
        ("d/" * 3000, "praxis.invalid_input"),
    ):
        outcome = await registry.execute(call(path), context)
        encoded = msgspec.json.encode(outcome.output).decode()
        assert (outcome.status, code in encoded) == ("error", True), (path, encoded)
        assert outcome.mutated_paths == ()
        assert sorted(os.listdir(root)) == before, path
    assert (outside / "victim").read_text() == "kept"
    assert os.listdir(outside) == ["victim"]


async def test_contents_that_can_not_be_written(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Not text, a lone surrogate, or more than one write takes."""
    for content in (1, None, ["x"], "\ud800", "x" * (8 * 1024 * 1024 + 1)):
        outcome = await registry.execute(call("f", content), context)
        assert outcome.status == "error"
    assert os.listdir(root) == []


def test_capabilities(registry: ToolRegistry, context: ToolContext) -> None:
    """Write access to the canonical path; closed places raise before the gate is asked."""
    assert registry.capabilities(call("./a//b"), context) == ("fs:write:a/b",)
    with pytest.raises(OutsideWorkspaceError):
        registry.capabilities(call("../b"), context)
    with pytest.raises(PolicyViolationError):
        registry.capabilities(call(".git/config"), context)
