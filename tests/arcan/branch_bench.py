"""What the tests of branches work with: tools that write in the directory they are given, and a runtime with working copies."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest
from life.aios.ports.snapshots import Snapshots
from life.aios.ports.tools import Probe, ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.ports.working_copies import SessionFiles
from life.aios.record import EventRecord
from life.arcan.providers.scripted import Script, ScriptedProvider
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.host.working_copies import BranchCopies
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.testing.clock import ManualClock, SeededEntropy

EVERYTHING = PolicySet(allow_capabilities=("*",), max_tool_runtime_secs=3600)
_OBJECT: dict[str, Json] = {"type": "object", "properties": {}}


class Desk:
    """Tools that work in the directory of their context: `write {path, content}`, `look {path}`, `sign {}` (asks a person)."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def definitions(self) -> Sequence[ToolDefinition]:
        return [
            ToolDefinition(name="write", description="Write a file.", input_schema=_OBJECT),
            ToolDefinition(
                name="look",
                description="Read a file.",
                input_schema=_OBJECT,
                annotations=ToolAnnotations(read_only=True),
            ),
            ToolDefinition(
                name="sign",
                description="Sign.",
                input_schema=_OBJECT,
                annotations=ToolAnnotations(requires_confirmation=True),
            ),
        ]

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        return ()

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        return None

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        self.runs.append(f"{context.branch_id}:{call.tool_name}")
        assert isinstance(call.arguments, Mapping)
        if call.tool_name == "sign":
            return ToolOutcome(status="ok", output="signed")
        path = call.arguments["path"]
        if not isinstance(path, str):
            raise ToolError("The path must be text.")
        file = Path(context.workspace) / path
        if call.tool_name == "look":
            return ToolOutcome(status="ok", output=file.read_text() if file.exists() else "nothing")
        content = str(call.arguments["content"]).encode()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return ToolOutcome(status="ok", output={"path": path}, mutated_paths=((path, digest),))

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        return Probe(answer="unknown", explanation="There is no way to tell.")


class Listening:
    """A provider that keeps what it was asked."""

    def __init__(self, inner: ModelProvider) -> None:
        self._inner = inner
        self.requests: list[ModelRequest] = []

    @property
    def name(self) -> str:
        return self._inner.name

    def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        self.requests.append(request)
        return self._inner.stream(request)


class Bench:
    """A project on disk, with a runtime over any journal."""

    def __init__(self, root: Path, journal: Journal, *, seed: str = "bench") -> None:
        self.root = root
        self.journal = journal
        self.clock = ManualClock()
        self.entropy = SeededEntropy(seed)
        self.desk = Desk()
        self.requests: list[ModelRequest] = []

    def workspace(self, session_id: str, branch: str = "main") -> Path:
        if branch == "main":
            path = self.root / "workspaces" / session_id
            path.mkdir(parents=True, exist_ok=True)
            return path
        return self.root / "branches" / session_id / branch

    def files(self) -> SessionFiles:
        blobs = BlobStore(DirectoryObjects(self.root / "blobs", self.entropy), self.entropy)
        copies = BranchCopies(
            self.journal,
            blobs,
            self.clock,
            self.entropy,
            agent_id="agent-1",
            workspace_of=self.workspace,
            branches=self.root / "branches",
        )
        return SessionFiles(copies, copies)

    @asynccontextmanager
    async def runtime(
        self, provider: Script | ModelProvider, *, with_files: bool = True, checkpoints: Snapshots | None = None
    ) -> AsyncIterator[Runtime]:
        inner = ScriptedProvider(provider, clock=self.clock) if isinstance(provider, Script) else provider
        listening = Listening(inner)
        self.requests = listening.requests
        async with Runtime(
            self.journal,
            self.desk,
            provider=listening,
            clock=self.clock,
            entropy=self.entropy,
            agent_id="agent-1",
            workspace_of=lambda session_id: str(self.workspace(session_id)),
            settings=RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0),
            files=self.files() if with_files else None,
            checkpoints=checkpoints,
        ) as runtime:
            yield runtime

    async def events(self, session_id: str, branch: str = "main") -> list[EventRecord]:
        return await self.journal.read(EventQuery(session_id, branch), limit=10_000)

    async def sequence_of(self, kind: str, *, nth: int = 1, branch: str = "main") -> int:
        """The sequence of the n-th event of a kind in session `s`."""
        found = [record.sequence for record in await self.events("s", branch) if record.kind_name == kind]
        return found[nth - 1]
