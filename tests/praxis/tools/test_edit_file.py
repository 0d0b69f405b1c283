"""edit_file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.praxis.hashline import line_tag, split_lines
from life.praxis.registry import ToolRegistry
from life.praxis.tools.edit_file import EditFile
from life.praxis.tools.read_file import ReadFile
from life.praxis.workspace import Workspace, WorkspacePolicy


def open_registry(policy: WorkspacePolicy | None = None) -> ToolRegistry:
    """Reading and editing."""
    registry = ToolRegistry()
    registry.register(EditFile(policy or WorkspacePolicy()))
    registry.register(ReadFile(policy or WorkspacePolicy()))
    return registry


@pytest.fixture
def registry() -> ToolRegistry:
    """A registry with these tools."""
    return open_registry()


def call(*ops: Json, path: str = "f") -> ToolCall:
    """A call of the tool."""
    return ToolCall(call_id="call-1", tool_name="edit_file", arguments={"path": path, "ops": list(ops)})


def output_of(outcome: ToolOutcome) -> Mapping[str, Json]:
    """The output as an object."""
    assert isinstance(outcome.output, Mapping)
    return outcome.output


def replace(number: int, old: str, new: str) -> Json:
    """An operation by line number and text."""
    return {"op": "replace_line", "tag": line_tag(number, old), "new_text": new}


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


async def test_read_edit_and_go_on(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """The tags that read_file shows are those that edit_file takes, and its answer has the next ones."""
    (root / "f").write_bytes(b"alpha\r\nbeta\r\ngamma")
    read = await registry.execute(ToolCall("c", "read_file", {"path": "f"}), context)
    shown = output_of(read)
    assert shown["content"] == "   1 6e15142c | alpha\n   2 0e52a3d2 | beta\n   3 3b388435 | gamma"
    assert shown["line_ends"] == "crlf"
    first = await registry.execute(
        call(
            {"op": "insert_before_tag", "tag": "6e15142c", "new_text": "zero"},
            {"op": "replace_line", "tag": "3b388435", "new_text": "delta"},
        ),
        context,
    )
    assert first.status == "ok", first.output
    after = b"zero\r\nalpha\r\nbeta\r\ndelta"
    assert (root / "f").read_bytes() == after
    assert first.mutated_paths == (("f", sha256(after)),)
    output = output_of(first)
    rows = str(output["content"]).split("\n")
    assert output["success"] is True
    assert (output["lines"], output["total_lines"], output["truncated"]) == (4, 4, False)
    assert rows[1] == f"   2 {line_tag(2, 'alpha')} | alpha"
    tag = rows[3].split()[1]
    second = await registry.execute(call({"op": "delete_line", "tag": tag}), context)
    assert second.status == "ok"
    assert (root / "f").read_bytes() == b"zero\r\nalpha\r\nbeta\r\n"


async def test_acceptance_1_every_error_leaves_the_file_alone(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Acceptance 1 and praxis.md §3.4: nothing is written on any error, also when earlier operations were right."""
    (root / "f").write_text("a\nb\n")
    (root / "empty").write_text("")
    (root / "latin").write_bytes(b"a\n\xe9\n")
    (root / "dir").mkdir()
    (root / "link").symlink_to("f")
    os.mkfifo(root / "fifo")
    good = replace(1, "a", "A")
    before = os.stat(root / "f")
    for attempt, code in (
        (call(good, replace(2, "wrong", "x")), "praxis.stale_tag"),
        (call(good, {"op": "delete_line", "tag": line_tag(2, "b").upper() + "X"}), "praxis.stale_tag"),
        (call({"op": "delete_line", "tag": line_tag(2, "b")}, replace(2, "b", "x")), "praxis.stale_tag"),
        (call(good, {"op": "no_such_op"}), "praxis.invalid_input"),
        (call(good, {"op": "delete_line"}), "praxis.invalid_input"),
        (call(good, {"op": "delete_line", "tag": 1}), "praxis.invalid_input"),
        (call(good, "text"), "praxis.invalid_input"),
        (call(*[good] * 501), "praxis.invalid_input"),
        (call(good, replace(2, "b", "\ud800")), "praxis.invalid_input"),
        (ToolCall("c", "edit_file", {"path": "f"}), "praxis.invalid_input"),
        (ToolCall("c", "edit_file", {"ops": []}), "praxis.invalid_input"),
        (call(good, path="none"), "praxis.path_not_found"),
        (call({"op": "append", "new_text": "x"}, path="none"), "praxis.path_not_found"),
        (call(good, path="no/parent"), "praxis.path_not_found"),
        (call(good, path="empty"), "praxis.empty_content"),
        (call(good, path="latin"), "praxis.not_text"),
        (call(good, path="dir"), "praxis.wrong_file_kind"),
        (call(good, path="fifo"), "praxis.wrong_file_kind"),
        (call(good, path="link"), "praxis.outside_workspace"),
        (call(good, path="../f"), "praxis.outside_workspace"),
        (call(good, path="/etc/passwd"), "praxis.outside_workspace"),
        (call(good, path=".git/config"), "praxis.policy_violation"),
        (call(good, path=".life/journal.db"), "praxis.policy_violation"),
    ):
        outcome = await registry.execute(attempt, context)
        assert (outcome.status, output_of(outcome)["code"]) == ("error", code), attempt
        assert outcome.mutated_paths == ()
        after = os.stat(root / "f")
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), attempt
    assert (root / "f").read_text() == "a\nb\n"
    assert (root / "empty").read_text() == ""
    assert sorted(os.listdir(root)) == ["dir", "empty", "f", "fifo", "latin", "link"]


async def test_a_stale_tag_comes_with_what_stands_there(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """The answer shows the lines as they are, finds a line that only moved, and so repairs without reading again."""
    lines = [f"line {number}" for number in range(1, 200)]
    (root / "f").write_text("\n".join(["new at the top", *lines]) + "\n")
    outcome = await registry.execute(call(replace(150, "line 150", "x")), context)
    output = output_of(outcome)
    assert output["code"] == "praxis.stale_tag"
    assert line_tag(150, "line 150") in str(output["error"])
    tag = line_tag(151, "line 150")
    assert output["moved"] == {"line": 151, "tag": tag}
    current = msgspec.convert(output["current"], dict[str, Json])
    assert f" 151 {tag} | line 150" in str(current["content"])
    assert (await registry.execute(call({"op": "delete_line", "tag": tag}), context)).status == "ok"
    other = replace(120, "line 119", "y")
    outcome = await registry.execute(call(other, {"op": "delete_line", "tag": "00000000"}), context)
    current = msgspec.convert(output_of(outcome)["current"], dict[str, Json])
    assert "moved" not in output_of(outcome)
    assert " 120 " in str(current["content"]), "around the lines that were named truly"


async def test_a_long_file_is_shown_around_the_change(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """The answer stays short however long the file is."""
    lines = [f"line {number}" for number in range(1, 5001)]
    (root / "f").write_text("\n".join(lines))
    outcome = await registry.execute(call(replace(4000, "line 4000", "changed")), context)
    output = output_of(outcome)
    assert output["first_line"] == 3997
    assert "4000" in str(output["content"])
    assert output["truncated"] is True
    assert len(str(output["content"])) < 40_000


async def test_an_edit_of_nothing_writes_nothing(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """No operations, or none that changes a byte: the file is not touched and not reported as changed."""
    (root / "f").write_bytes(b"a\r\nb")
    before = os.stat(root / "f").st_ino
    for attempt in (call(), call(replace(1, "a", "a"))):
        outcome = await registry.execute(attempt, context)
        assert (outcome.status, outcome.mutated_paths) == ("ok", ())
    assert os.stat(root / "f").st_ino == before


async def test_modes_are_kept_and_the_empty_file_can_grow(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Permission bits stay; `append` is the way into an empty file."""
    (root / "f").write_bytes(b"")
    os.chmod(root / "f", 0o750)
    assert (await registry.execute(call({"op": "append", "new_text": "a\nb"}), context)).status == "ok"
    assert (root / "f").read_bytes() == b"a\nb\n"
    assert stat.S_IMODE(os.stat(root / "f").st_mode) == 0o750


async def test_acceptance_2_two_edits_at_once_exactly_one_wins(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Acceptance 2 (praxis.md §12): of concurrent edits of one line one wins, the others report a stale tag."""
    for round_number in range(5):
        (root / "f").write_text("start\nother\n")
        outcomes = await asyncio.gather(
            *(
                open_registry().execute(
                    call(replace(1, "start", f"writer {number}")),
                    msgspec.structs.replace(context, idempotency_key=f"{round_number}-{number}"),
                )
                for number in range(6)
            )
        )
        assert sorted(outcome.status for outcome in outcomes) == ["error"] * 5 + ["ok"]
        lost = [output_of(outcome)["code"] for outcome in outcomes if outcome.status == "error"]
        assert set(lost) == {"praxis.stale_tag"}
        winner = next(number for number, outcome in enumerate(outcomes) if outcome.status == "ok")
        assert (root / "f").read_text() == f"writer {winner}\nother\n"


async def test_a_foreign_change_during_the_edit_wins(
    root: Path, registry: ToolRegistry, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who takes no lock writes after we have read: the edit does not undo it."""
    (root / "f").write_text("a\n")
    replace_file = Workspace.replace_file

    def late(self: Workspace, path: str, content: bytes, **options: str) -> object:
        (root / "f").write_text("a\nforeign\n")
        return replace_file(self, path, content, **options)

    monkeypatch.setattr(Workspace, "replace_file", late)
    outcome = await registry.execute(call(replace(1, "a", "b")), context)
    assert output_of(outcome)["code"] == "praxis.file_changed"
    assert (root / "f").read_text() == "a\nforeign\n"
    assert os.listdir(root) == ["f"]


Texts = st.text(st.characters(codec="utf-8"), max_size=40)


@given(text=Texts, pick=st.integers(0, 9), new_text=st.text(st.characters(codec="utf-8"), max_size=9))
def test_files_of_any_text(text: str, pick: int, new_text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through the file system, too, an edit changes the named line's bytes and no others."""
    root = tmp_path_factory.mktemp("space")
    (root / "f").write_bytes(text.encode())
    context = ToolContext(
        session_id="s", branch_id="main", agent_id="a", run_id="r", workspace=str(root), idempotency_key="k"
    )
    lines = split_lines(text)
    if not lines:
        return
    index = pick % len(lines)
    attempt = call({"op": "insert_after_tag", "tag": line_tag(index + 1, lines[index].text), "new_text": new_text})
    outcome = asyncio.run(open_registry().execute(attempt, context))
    after = (root / "f").read_bytes()
    if outcome.status == "ok":
        head = "".join(line.text + line.end for line in lines[: index + 1]).encode()
        tail = "".join(line.text + line.end for line in lines[index + 1 :]).encode()
        assert after.startswith(head)
        assert after.endswith(tail)
    else:  # only two lines with one tag can be refused here, and that needs a collision
        assert after == text.encode()


async def test_the_intent_holds_both_digests(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """`prepare` computes what the edit would leave, and changes nothing; a doomed edit can't be prepared."""
    (root / "f").write_text("a\n")
    prepared = await registry.prepare(call(replace(1, "a", "b")), context)
    assert prepared == {"path": "f", "before": sha256(b"a\n"), "after": sha256(b"b\n")}
    assert (root / "f").read_text() == "a\n"
    assert await registry.prepare(call(replace(1, "x", "b")), context) == {"unprepared": "praxis.stale_tag"}


CHILD = """
import asyncio, os, signal, sys
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.hashline import line_tag
from life.praxis.registry import ToolRegistry
from life.praxis.tools.edit_file import EditFile
from life.praxis.workspace import WorkspacePolicy
moment, root = sys.argv[1:]
real = os.rename
def rename(*names, **handles):
    if moment == "after":
        real(*names, **handles)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename
registry = ToolRegistry()
registry.register(EditFile(WorkspacePolicy()))
context = ToolContext(session_id="sess-1", branch_id="main", agent_id="agent-1", run_id="run-1", workspace=root,
                      idempotency_key="sess-1/main/call-1")
ops = [{"op": "replace_line", "tag": line_tag(1, "old"), "new_text": "new"}]
call = ToolCall(call_id="call-1", tool_name="edit_file", arguments={"path": "f", "ops": ops})
asyncio.run(registry.execute(call, context))
"""


@pytest.mark.parametrize(("moment", "answer"), [("before", "not_done"), ("after", "done")])
async def test_after_a_kill_the_probe_tells_the_truth(
    moment: str, answer: str, root: Path, context: ToolContext
) -> None:
    """A process that is really killed just before or just after the new content takes its place."""
    (root / "f").write_text("old\n")
    attempt = call(replace(1, "old", "new"))
    prepared = await open_registry().prepare(attempt, context)
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, moment, str(root)], capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    probe = await open_registry().probe(attempt, context, prepared)
    assert probe.answer == answer
    if answer == "done":
        assert probe.outcome is not None
        assert probe.outcome.mutated_paths == (("f", sha256(b"new\n")),)
    else:
        assert (root / "f").read_text() == "old\n"
        assert (await open_registry().execute(attempt, context)).status == "ok"
    assert os.listdir(root) == ["f"]
    assert (root / "f").read_text() == "new\n"


def test_capabilities(registry: ToolRegistry, context: ToolContext) -> None:
    """To read and to write that file."""
    assert registry.capabilities(call(path="./a//b"), context) == ("fs:read:a/b", "fs:write:a/b")
