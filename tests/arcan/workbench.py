"""What the runtime's tests work with: real tools on a real directory, scripts, and a runtime over any journal.

The tools keep a tally beside the workspace (`effects.log`, one line per effect, appended and flushed), so that a test can
count effects across processes that were killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import ModelProvider
from life.aios.ports.tools import Probe, ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.record import EventRecord
from life.arcan.context.keeper import ContextParts
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.testing.clock import ManualClock, SeededEntropy

EVERYTHING = PolicySet(allow_capabilities=("*",), max_tool_runtime_secs=3600)

_OBJECT: dict[str, Json] = {"type": "object", "properties": {}}


def _tool(name: str, *, read_only: bool = False, confirm: bool = False, category: str = "general") -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=f"The tool {name}.",
        input_schema=_OBJECT,
        annotations=ToolAnnotations(read_only=read_only, requires_confirmation=confirm),
        category=category,
    )


class Workbench:
    """A toolbox on a directory.

    write    {path, content}: replaces a file; a probe compares hashes
    append   {path, line}: not repeatable; a probe knows nothing
    transfer {to}: at most once per idempotency key, as a bank would; a probe says "repeatable"
    look     {path}: reads; changes nothing
    fail     {}: always fails; harmless
    hang     {}: runs until it is stopped
    stubborn {}: runs on although it is told to stop
    sign     {text}: asks for confirmation
    secret   {}: needs a capability that nobody grants
    """

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self.root = root
        self.workspace = root / "workspace"
        self.workspace.mkdir(exist_ok=True, parents=True)
        self.tally = root / "effects.log"
        self.clock = clock or ManualClock()
        self.before_effect: Callable[[ToolCall], None] = lambda call: None
        self.after_effect: Callable[[ToolCall], None] = lambda call: None
        self.hanging = asyncio.Event()
        self.probes: list[str] = []
        self.contexts: list[ToolContext] = []

    def effects(self) -> list[str]:
        """Every effect so far, as `tool:key`."""
        return self.tally.read_text().splitlines() if self.tally.exists() else []

    def definitions(self) -> Sequence[ToolDefinition]:
        return [
            _tool("write", category="filesystem"),
            _tool("append", category="filesystem"),
            _tool("transfer"),
            _tool("look", read_only=True),
            _tool("fail"),
            _tool("hang"),
            _tool("stubborn"),
            _tool("sign", confirm=True),
            _tool("secret"),
        ]

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        arguments = _arguments(call)
        if call.tool_name in ("write", "append"):
            return (f"fs:write:{_text(arguments, 'path')}",)
        if call.tool_name == "look":
            return (f"fs:read:{_text(arguments, 'path')}",)
        if call.tool_name == "transfer":
            return ("payments:initiate",)
        if call.tool_name == "secret":
            return ("secrets:read:vault",)
        return ()

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        if call.tool_name != "write":
            return None
        arguments = _arguments(call)
        return {
            "before": self._digest(_text(arguments, "path")),
            "after": hashlib.sha256(_text(arguments, "content").encode()).hexdigest(),
        }

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        self.contexts.append(context)
        self.before_effect(call)
        arguments = _arguments(call)
        outcome = await getattr(self, f"_{call.tool_name}")(arguments, context)
        assert isinstance(outcome, ToolOutcome)
        self.after_effect(call)
        return outcome

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        self.probes.append(call.tool_name)
        if call.tool_name == "write" and isinstance(prepared, Mapping):
            arguments = _arguments(call)
            now = self._digest(_text(arguments, "path"))
            if now == prepared["after"]:
                outcome = self._written(_text(arguments, "path"))
                return Probe(answer="done", explanation="The file has the new content.", outcome=outcome)
            if now == prepared["before"]:
                return Probe(answer="not_done", explanation="The file is as it was.")
            return Probe(answer="unknown", explanation="The file has some other content.")
        if call.tool_name in ("transfer", "look", "fail"):
            return Probe(answer="repeatable", explanation="Repeating has one effect.")
        return Probe(answer="unknown", explanation="There is no way to tell.")

    def _digest(self, path: str) -> str:
        file = self.workspace / path
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "absent"

    def _effect(self, line: str) -> None:
        with self.tally.open("a") as tally:
            tally.write(line + "\n")
            tally.flush()
            os.fsync(tally.fileno())

    def _written(self, path: str) -> ToolOutcome:
        return ToolOutcome(status="ok", output={"path": path}, mutated_paths=((path, self._digest(path)),))

    async def _write(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        path = _text(arguments, "path")
        # Whole or not at all, as the real tool writes: a kill must not leave half a file behind.
        half_made = self.root / "half-made"
        half_made.write_text(_text(arguments, "content"))
        half_made.replace(self.workspace / path)
        self._effect(f"write:{path}={_text(arguments, 'content')}")
        return self._written(path)

    async def _append(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        path = _text(arguments, "path")
        with (self.workspace / path).open("a") as file:
            file.write(_text(arguments, "line") + "\n")
        self._effect(f"append:{_text(arguments, 'line')}")
        return ToolOutcome(status="ok", output={"path": path}, mutated_paths=((path, self._digest(path)),))

    async def _transfer(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        line = f"transfer:{context.idempotency_key}"
        if line not in self.effects():
            self._effect(line)
        return ToolOutcome(status="ok", output={"to": _text(arguments, "to")})

    async def _look(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        file = self.workspace / _text(arguments, "path")
        if not file.exists():
            return ToolOutcome(status="error", output={"error": "There is no such file."})
        return ToolOutcome(status="ok", output=file.read_text())

    async def _fail(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        return ToolOutcome(status="error", output={"error": "It always fails."})

    async def _hang(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        self.hanging.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def _stubborn(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        self.hanging.set()
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        raise asyncio.CancelledError

    async def _sign(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        self._effect(f"sign:{_text(arguments, 'text')}")
        return ToolOutcome(status="ok", output={"signed": _text(arguments, "text")})

    async def _secret(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolOutcome:
        self._effect("secret")
        return ToolOutcome(status="ok", output="hidden")


def _arguments(call: ToolCall) -> Mapping[str, Json]:
    if not isinstance(call.arguments, Mapping):
        raise ToolError("The arguments are not an object.")
    return call.arguments


def _text(arguments: Mapping[str, Json], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise ToolError(f"The argument '{name}' must be text.")
    return value


def says(text: str) -> ScriptedTurn:
    """A turn of text."""
    return ScriptedTurn(text=text)


def calls(*wanted: tuple[str, dict[str, Json]], text: str = "") -> ScriptedTurn:
    """A turn that calls tools."""
    return ScriptedTurn(text=text, calls=tuple(ScriptedCall(tool, arguments) for tool, arguments in wanted))


def script(*turns: ScriptedTurn) -> Script:
    """A script of these turns."""
    return Script(turns=turns)


@asynccontextmanager
async def runtime_on(
    journal: Journal,
    bench: Workbench,
    provider: ModelProvider | Script,
    *,
    clock: Clock | None = None,
    seed: str = "test",
    settings: RuntimeSettings | None = None,
    open_provider: Callable[[str], ModelProvider] | None = None,
    context: ContextParts | None = None,
) -> AsyncIterator[Runtime]:
    """A runtime over this journal and these tools, closed at the end."""
    the_clock = clock or bench.clock
    if isinstance(provider, Script):
        provider = ScriptedProvider(provider, clock=the_clock)
    runtime = Runtime(
        journal,
        bench,
        provider=provider,
        clock=the_clock,
        entropy=SeededEntropy(seed),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(bench.workspace),
        settings=settings or RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0),
        open_provider=open_provider,
        context=context,
    )
    try:
        yield runtime
    finally:
        await runtime.aclose()


async def history(journal: Journal, session_id: str) -> list[EventRecord]:
    """All events of a session."""
    return await journal.read(EventQuery(session_id, "main"), limit=10_000)


async def kinds(journal: Journal, session_id: str) -> list[str]:
    """The names of all events of a session; Custom events by their dotted name."""
    names = []
    for record in await history(journal, session_id):
        name = record.kind_name
        names.append(json.loads(record.payload)["event_type"] if name == "Custom" else name)
    return names
