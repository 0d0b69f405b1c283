"""Recorded sessions run again: the same for ever, and the first difference in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from life.aios.ports.provider import ModelRequest, TextBlock
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.aios.record import encode_record
from life.arcan import conversation as conversations
from life.arcan.errors import RecordingError
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.replay import first_difference, parse_recording, read_recording
from life.lago.export import export_records
from life.lago.journal.memory import MemoryJournal
from life.testing.replay import ReplayDifferenceError, assert_replays, record_session, replay_recording, replays
from tests.arcan.branch_bench import Bench, Desk
from tests.arcan.workbench import calls, says, script

TURNS = script(
    calls(("write", {"path": "a.txt", "content": "alpha"}), ("look", {"path": "a.txt"}), text="Writing."),
    calls(("nobody_knows", {})),
    says("Done with a."),
    calls(("sign", {"text": "a"})),
    says("Signed."),
    says("Third."),
)


async def recorded(tmp_path: Path) -> tuple[Bench, Path]:
    """A session with tools, an unknown tool, an approval and three runs, as a recording with digests."""
    bench = Bench(tmp_path / "original", MemoryJournal())
    async with bench.runtime(TURNS) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.run("s", "Write a.")
        report = await runtime.run("s", "Sign it.")
        assert report.pending is not None
        await runtime.resolve_approval("s", report.pending.approval_id or "", approved=True, actor="ann")
        await runtime.wait("s")
        await runtime.run("s", "And?")
        file = tmp_path / "s.jsonl"
        await record_session(runtime, "s", file)
    return bench, file


async def test_a_recording_replays_without_any_provider_or_tool(tmp_path: Path) -> None:
    """Every request is made again, byte for byte; the original's tools are not touched."""
    bench, file = await recorded(tmp_path)
    runs = len(bench.desk.runs)
    one, other = await replays(file), await replays(file)
    assert one == other
    assert one.model_calls == len(TURNS.turns)
    assert one.requests == parse_recording(file.read_bytes().splitlines()).header.requests
    assert len(bench.desk.runs) == runs


def test_the_helper_works_in_plain_tests(tmp_path: Path) -> None:
    """`assert_replays` needs no event loop of the caller's."""
    import asyncio

    _, file = asyncio.run(recorded(tmp_path))
    assert assert_replays(file).difference is None


async def test_an_export_of_the_journal_is_a_recording(tmp_path: Path) -> None:
    """Lines as `lago journal export` writes them replay as they are: messages are compared with what the events fold to."""
    bench, _ = await recorded(tmp_path)
    lines = [line async for line in export_records(bench.journal)]
    report = await replay_recording(parse_recording(lines))
    assert (report.difference, report.model_calls) == (None, len(TURNS.turns))


async def test_a_changed_fold_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another telling of the same events is no replay: the digest of the first request that it changes does not fit."""
    _, file = await recorded(tmp_path)
    monkeypatch.setattr(conversations, "result_text", lambda result: "something else")
    monkeypatch.setattr("life.arcan.call_folds.result_text", lambda result: "something else")
    with pytest.raises(ReplayDifferenceError, match="At model call 2, the request's bytes"):
        await replays(file)


async def test_a_changed_loop_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that handles a call otherwise makes another request, and the words say which part of it."""
    _, file = await recorded(tmp_path)

    async def forgetful(self: object, call: ToolCall, context: ToolContext) -> ToolOutcome:
        return ToolOutcome(status="ok", output="forgotten")

    monkeypatch.setattr("life.arcan.replay.RecordedToolbox.execute", forgetful)
    with pytest.raises(ReplayDifferenceError) as told:
        await replays(file)
    assert "At model call 2" in str(told.value)
    assert "forgotten" in str(told.value)
    assert '\\"path\\":\\"a.txt\\"' in str(told.value)


async def test_changed_tools_are_found(tmp_path: Path) -> None:
    """A tool's description is a part of the request: with another one, the bytes differ."""
    _, file = await recorded(tmp_path)
    recording = parse_recording(file.read_bytes().splitlines())
    tools = (msgspec.structs.replace(recording.header.tools[0], description="New words."), *recording.header.tools[1:])
    changed = recording._replace(header=msgspec.structs.replace(recording.header, tools=tools))
    report = await replay_recording(changed)
    assert report.difference is not None
    assert "schemas have changed" in report.difference.words


async def test_with_real_tools(tmp_path: Path) -> None:
    """The tools run in a copy of the workspace: what they answer otherwise is told, and the original stays as it is."""
    _, file = await recorded(tmp_path)
    start = tmp_path / "start"
    start.mkdir()
    report = await replays(file, toolbox=Desk(), workspace=start)
    assert report.model_calls == len(TURNS.turns)
    assert list(start.iterdir()) == []

    class Shouting(Desk):
        async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
            outcome = await super().execute(call, context)
            return msgspec.structs.replace(outcome, output="LOUD") if call.tool_name == "look" else outcome

    with pytest.raises(ReplayDifferenceError, match=r"LOUD.*alpha"):
        await replays(file, toolbox=Shouting(), workspace=start)


async def test_a_branch_replays(tmp_path: Path) -> None:
    """Recording and replay take a branch with what it inherited."""
    bench = Bench(tmp_path, MemoryJournal())

    def answer(request: ModelRequest) -> ScriptedTurn:
        last = request.messages[-1].content[-1]
        return ScriptedTurn(text=f"You said {last.text}." if isinstance(last, TextBlock) else "?")

    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "one")
        await runtime.branches.fork("s", "idea")
        await runtime.run("s", "two")
        await runtime.run("s", "other", branch="idea")
    recording = await read_recording(bench.journal, "s", branch="idea")
    report = await replay_recording(recording)
    assert (report.difference, report.model_calls) == (None, 1)


async def test_a_crashed_and_cancelled_session_replays(tmp_path: Path) -> None:
    """A run that a person cancelled is compared up to there."""
    bench = Bench(tmp_path, MemoryJournal())
    async with bench.runtime(script(calls(("sign", {})), says("never"))) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Sign.")
        await runtime.cancel("s")
    report = await replay_recording(await read_recording(bench.journal, "s"))
    assert (report.difference, report.model_calls) == (None, 1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "holds 0 sessions"),
        ([b"nonsense"], "Line 1"),
        ([b'{"life_recording":9,"session_id":"s"}'], "format 9"),
        ([b'{"life_recording":1,"session_id":"s"}'], "does not hold the session s"),
    ],
)
def test_what_is_no_recording(lines: Sequence[bytes], words: str) -> None:
    """One sentence says what is wrong."""
    with pytest.raises(RecordingError, match=words):
        parse_recording(lines)


async def test_a_session_without_answers_is_nothing_to_replay(tmp_path: Path) -> None:
    """A test that compares nothing would always pass, so it is refused."""
    bench = Bench(tmp_path, MemoryJournal())
    async with bench.runtime(script(says("-"))) as runtime:
        await runtime.create_session("s")
    lines = [encode_record(record) for record in await bench.events("s")]
    with pytest.raises(RecordingError, match="nothing to replay"):
        await replay_recording(parse_recording(lines))


def test_first_differences_in_words() -> None:
    """Roles, contents, parts and lengths."""
    from life.aios.ports.provider import ChatMessage

    def said(role: str, *texts: str) -> ChatMessage:
        return ChatMessage("user" if role == "user" else "assistant", tuple(TextBlock(text) for text in texts))

    assert "has 2 messages, recorded: 1" in first_difference(
        [said("user", "a")], [said("user", "a"), said("user", "b")]
    )
    assert "of the assistant" in first_difference([said("user", "a")], [said("assistant", "a")])
    assert "has 2 parts, recorded: 1" in first_difference([said("user", "a")], [said("user", "a", "b")])
    assert '"b"' in first_difference([said("user", "a")], [said("user", "b")])
