"""The scripted provider: scripts, files, places in a conversation, failures, and the demo assistant."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from life.aios.errors import ProviderError
from life.aios.ports.provider import ChatMessage, ModelRequest, TextBlock, ToolResultBlock, ToolSpec, ToolUseBlock
from life.aios.state import TokenUsage
from life.arcan.errors import ScriptError
from life.arcan.providers.demo import demo_assistant
from life.arcan.providers.scripted import (
    Script,
    ScriptedFailure,
    ScriptedProvider,
    ScriptedTurn,
    load_script,
    parse_script,
)
from life.testing.clock import ManualClock
from life.testing.provider import ASKED, answer, calls_of, failure, stop_of, text_of

TOML = """
name = "greeter"

[[turns]]
text = "I'll write it down."
usage = { prompt_tokens = 40, completion_tokens = 12 }

[[turns.calls]]
tool = "write_file"
arguments = { path = "hello.txt", content = "Hello!" }

[[turns]]
deltas = ["Done: ", "hello.txt."]
delta_delay_ms = 30
"""


def after(answers: int) -> ModelRequest:
    """A request whose conversation holds so many assistant turns."""
    turns = [ChatMessage("user", (TextBlock("Hi."),))]
    for number in range(answers):
        turns += [ChatMessage("assistant", (TextBlock(f"{number}"),)), ChatMessage("user", (TextBlock("More."),))]
    return ModelRequest(messages=tuple(turns))


async def test_the_turn_follows_from_the_conversation() -> None:
    """The same request gives the same turn, in any order and from any instance: that is what resuming relies on."""
    script = Script(turns=tuple(ScriptedTurn(text=f"turn {number}") for number in range(3)))
    provider = ScriptedProvider(script, clock=ManualClock())
    for place in (2, 0, 1, 1):
        assert text_of(await answer(provider, after(place))) == f"turn {place}"
    other = ScriptedProvider(script, clock=ManualClock())
    assert text_of(await answer(other, after(2))) == "turn 2"


async def test_after_the_last_turn_it_says_so() -> None:
    """A script that is over does not start again or pretend."""
    provider = ScriptedProvider(Script(turns=(ScriptedTurn(text="only"),)), clock=ManualClock())
    assert "all of them were played" in text_of(await answer(provider, after(1)))


async def test_a_script_from_a_file(tmp_path: Path) -> None:
    """TOML and JSON say the same; a file without a name gives it its own."""
    (tmp_path / "greeter.toml").write_text(TOML)
    script = load_script(tmp_path / "greeter.toml")
    provider = ScriptedProvider(script, clock=ManualClock())
    assert provider.name == "scripted:greeter"
    chunks = await answer(provider, after(0))
    assert calls_of(chunks) == [("write_file", {"path": "hello.txt", "content": "Hello!"})]
    assert stop_of(chunks).usage == TokenUsage(40, 12)
    (tmp_path / "plain.json").write_text(json.dumps({"turns": [{"text": "Hi."}]}))
    assert load_script(tmp_path / "plain.json").name == "plain"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "turns"),
        ({"turns": []}, "no turns"),
        ({"turns": [{}]}, "neither says nor does"),
        ({"turns": [{"text": "a", "deltas": ["b"]}]}, "both"),
        ({"turns": [{"text": "a", "delay_ms": -1}]}, "negative"),
        ({"turns": [{"text": "a", "colour": "red"}]}, "colour"),
        ({"turns": [{"text": "a", "error": {"kind": "tired"}}]}, "tired"),
        (
            {
                "turns": [
                    {"text": "a", "error": {"kind": "rejected", "times": 1}},
                    {"error": {"kind": "rejected", "times": 1}},
                ]
            },
            "Turn 2",
        ),
    ],
)
def test_bad_scripts_are_refused_with_the_place(data: dict[str, object], words: str) -> None:
    """A script that can't be played is refused when it is read, not when it is its turn."""
    with pytest.raises(ScriptError) as caught:
        parse_script(data)  # type: ignore[arg-type]
    assert words in caught.value.message
    assert caught.value.code == "arcan.bad_script"


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    """No file, no TOML, no JSON: one sentence each."""
    (tmp_path / "broken.toml").write_text("turns = [")
    (tmp_path / "broken.json").write_text("{")
    for name in ("none.toml", "broken.toml", "broken.json"):
        with pytest.raises(ScriptError):
            load_script(tmp_path / name)


async def test_delays_pass_on_the_clock() -> None:
    """Delays are the passed-in clock's: nothing is waited for in real time."""
    clock = ManualClock()
    turn = ScriptedTurn(deltas=("a", "b"), delay_ms=200, delta_delay_ms=30)
    task = asyncio.create_task(answer(ScriptedProvider(Script(turns=(turn,)), clock=clock), after(0)))
    for due_ms in (200, 30):
        while not clock.sleepers:
            await asyncio.sleep(0)
        clock.advance_us(due_ms * 1000 - 1)
        await asyncio.sleep(0)
        assert clock.sleepers == 1
        clock.advance_us(1)
    assert text_of(await task) == "ab"


async def test_a_failure_that_passes() -> None:
    """`times` failures, then the turn; without `times` it fails for ever."""
    turn = ScriptedTurn(text="There.", error=ScriptedFailure(kind="unavailable", times=2))
    provider = ScriptedProvider(Script(turns=(turn,)), clock=ManualClock())
    for _ in range(2):
        error, _text = await failure(provider)
        assert error.code == "arcan.provider_unavailable"
    assert text_of(await answer(provider)) == "There."
    always = ScriptedProvider(
        Script(turns=(ScriptedTurn(error=ScriptedFailure(kind="rejected")),)), clock=ManualClock()
    )
    for _ in range(3):
        with pytest.raises(ProviderError):
            await answer(always)


def demo_request(text: str, *later: ChatMessage) -> ModelRequest:
    """The demo assistant's view of a conversation."""
    tools = tuple(ToolSpec(name, "", {}) for name in ("list_dir", "read_file", "write_file", "http_fetch"))
    return ModelRequest(messages=(ChatMessage("user", (TextBlock(text),)), *later), tools=tools)


@pytest.mark.parametrize(
    ("said", "tool", "arguments"),
    [
        ("write notes.txt: buy milk", "write_file", {"path": "notes.txt", "content": "buy milk"}),
        ("Create a file a/b.md with two\nlines", "write_file", {"path": "a/b.md", "content": "two\nlines"}),
        ("read notes.txt", "read_file", {"path": "notes.txt"}),
        ("Show the file notes.txt.", "read_file", {"path": "notes.txt"}),
        ("list", "list_dir", {"path": "."}),
        ("List the files in docs", "list_dir", {"path": "docs"}),
        ("fetch http://127.0.0.1:8000/data", "http_fetch", {"url": "http://127.0.0.1:8000/data"}),
    ],
)
async def test_the_demo_follows_its_rules(said: str, tool: str, arguments: dict[str, str]) -> None:
    """The four things that it understands become tool calls."""
    provider = ScriptedProvider(demo_assistant(), clock=ManualClock())
    assert calls_of(await answer(provider, demo_request(said))) == [(tool, arguments)]


async def test_the_demo_says_what_it_is() -> None:
    """Anything else is answered by what it is and what it can do; it never offers a tool it was not given."""
    provider = ScriptedProvider(demo_assistant(), clock=ManualClock())
    text = text_of(await answer(provider, demo_request("What is the meaning of life?")))
    assert "no language model" in text and "`list`" in text and "--provider anthropic" in text
    bare = ModelRequest(messages=(ChatMessage("user", (TextBlock("list"),)),))
    chunks = await answer(provider, bare)
    assert calls_of(chunks) == [] and "`list`" not in text_of(chunks)


async def test_the_demo_reports_results() -> None:
    """After a tool's result it tells it and stops."""
    provider = ScriptedProvider(demo_assistant(), clock=ManualClock())
    request = demo_request(
        "list",
        ChatMessage("assistant", (ToolUseBlock("call-1", "list_dir", {"path": "."}),)),
        ChatMessage("user", (ToolResultBlock("call-1", '{"entries":[]}'),)),
    )
    chunks = await answer(provider, request)
    assert text_of(chunks) == 'list_dir answered: {"entries":[]}'
    assert stop_of(chunks).reason == "completed"
    assert await answer(provider, request) == chunks
    assert ASKED.max_output_tokens == 64
