"""What the scripted provider does without a script: a small assistant that follows fixed rules, and says so.

    write <path>: <content>     write_file
    read <path>                 read_file
    list [<path>]               list_dir
    fetch <url>                 http_fetch

Anything else gets an explanation of what it is and how to use a real model. It only offers tools that it was given, and
after a tool's result it reports the result. A pure function of the request, so it goes on after a crash where it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from life.aios.json import JsonObject
from life.aios.ports.provider import ModelRequest, TextBlock, ToolResultBlock, ToolUseBlock
from life.arcan.providers.scripted import ScriptedCall, ScriptedTurn

_SHOWN_CHARACTERS: Final = 600


class _Rule(NamedTuple):
    """Words that call a tool, and the sentence that tells people about it."""

    tool: str
    pattern: re.Pattern[str]
    arguments: Callable[[re.Match[str]], JsonObject]
    usage: str


_RULES: Final = (
    _Rule(
        "write_file",
        re.compile(
            r"\s*(?:write|create)\s+(?:a file\s+)?(?P<path>[\w./-]+)\s*(?::|with)\s*(?P<content>.+)", re.I | re.S
        ),
        lambda match: {"path": match["path"], "content": match["content"].strip()},
        "`write notes.txt: some text` writes a file",
    ),
    _Rule(
        "read_file",
        re.compile(r"\s*(?:read|show|open)\s+(?:the file\s+)?(?P<path>[\w./-]+)\s*[.?]?\s*", re.I),
        lambda match: {"path": match["path"].rstrip(".")},
        "`read notes.txt` reads one",
    ),
    _Rule(
        "http_fetch",
        re.compile(r"\s*(?:fetch|get)\s+(?P<url>https?://\S+)\s*", re.I),
        lambda match: {"url": match["url"]},
        "`fetch http://…` asks a web address",
    ),
    _Rule(
        "list_dir",
        re.compile(
            r"\s*(?:list|ls)(?:\s+(?:the\s+)?(?:files|directory|workspace))?(?:\s+(?:in\s+)?(?P<path>[\w./-]+))?\W*",
            re.I,
        ),
        lambda match: {"path": match["path"] or "."},
        "`list` shows the workspace",
    ),
)


def demo_assistant(*, delta_delay_ms: int = 0) -> Callable[[ModelRequest], ScriptedTurn]:
    """The assistant, as a function for ScriptedProvider; `delta_delay_ms` lets people watch it write."""

    def answer(request: ModelRequest) -> ScriptedTurn:
        results, calls = _since_objective(request)
        if results:
            return _spoken(_told(results, calls), delta_delay_ms)
        objective = _objective(request)
        offered = {tool.name for tool in request.tools}
        for rule in _RULES:
            match = rule.pattern.fullmatch(objective)
            if match is not None and rule.tool in offered:
                return ScriptedTurn(
                    text=f"I'll use {rule.tool} for that.", calls=(ScriptedCall(rule.tool, rule.arguments(match)),)
                )
        return _spoken(_introduction(offered), delta_delay_ms)

    return answer


def _objective(request: ModelRequest) -> str:
    """What the user said last; what the runtime had to add stands before it in the same turn."""
    for message in reversed(request.messages):
        if message.role == "user":
            for block in reversed(message.content):
                if isinstance(block, TextBlock):
                    return block.text
    return ""


def _since_objective(request: ModelRequest) -> tuple[list[ToolResultBlock], dict[str, str]]:
    """The results since the user last spoke, and the names of the tools by call id."""
    results: list[ToolResultBlock] = []
    names: dict[str, str] = {}
    for message in reversed(request.messages):
        for block in message.content:
            if isinstance(block, TextBlock) and message.role == "user":
                return results, names
            if isinstance(block, ToolResultBlock):
                results.append(block)
            elif isinstance(block, ToolUseBlock):
                names[block.call_id] = block.tool_name
    return results, names


def _told(results: list[ToolResultBlock], names: dict[str, str]) -> str:
    parts = []
    for result in results:
        shown = result.content[:_SHOWN_CHARACTERS] + ("…" if len(result.content) > _SHOWN_CHARACTERS else "")
        verb = "failed" if result.is_error else "answered"
        parts.append(f"{names.get(result.call_id, 'The tool')} {verb}: {shown}")
    return "\n".join(parts)


def _introduction(offered: set[str]) -> str:
    usable = [rule.usage for rule in _RULES if rule.tool in offered]
    can = f" I can do this much: {'; '.join(usable)}." if usable else ""
    return (
        "I am the scripted provider: fixed rules, no language model."
        f"{can} Everything I do goes through the real runtime, its policy and its journal."
        " To think with a real model, start with --provider anthropic, openai or ollama."
    )


def _spoken(text: str, delta_delay_ms: int) -> ScriptedTurn:
    pieces = tuple(re.findall(r"\S+\s*", text))
    return ScriptedTurn(deltas=pieces or (text,), delta_delay_ms=delta_delay_ms)
