"""The demos' tools over files, blobs and figures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Final

import msgspec

from life.aios.errors import NotFoundError, ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.tools import ToolContext, ToolOutcome
from life.host.demos.embeddings import embed, likeness, tokens_of
from life.host.demos.tool_parts import MOST_FILE_BYTES, DemoParts
from life.praxis.paths import canonical_path
from life.praxis.workspace import Workspace

_CHUNK_CHARACTERS: Final = 700
_EDGES: Final = 3


class _Span(msgspec.Struct, frozen=True):
    name: str = ""
    duration_ms: float = 0.0
    allocations: int = 0


class Quote(msgspec.Struct, frozen=True):
    """What a seller asks."""

    supplier: str
    price: float


class Concept(msgspec.Struct, frozen=True):
    """A notion that a paper may be about."""

    name: str
    says: str


class FileTools:
    """See `life.host.demos.tools`."""

    def __init__(self, parts: DemoParts) -> None:
        self._parts = parts

    async def query_spans(
        self,
        path: Annotated[str, "A JSON Lines file of spans: name, duration_ms, allocations."],
        name: Annotated[str, "The span's name."],
        context: ToolContext,
    ) -> JsonObject:
        """Count the measured spans of a name, with the median and the 95th percentile of their durations."""
        durations: list[float] = []
        allocations: list[int] = []
        for number, line in enumerate(self._read(path, context).splitlines(), start=1):
            try:
                span = msgspec.json.decode(line, type=_Span) if line.strip() else _Span()
            except msgspec.DecodeError:
                raise ToolError(f"Line {number} of '{path}' is no span.") from None
            if span.name == name:
                durations.append(span.duration_ms)
                allocations.append(span.allocations)
        if not durations:
            raise ToolError(f"No span in '{path}' is named '{name}'.")
        durations.sort()
        return {
            "name": name,
            "spans": len(durations),
            "p50_ms": _percentile(durations, 50),
            "p95_ms": _percentile(durations, 95),
            "slowest_ms": durations[-1],
            "allocations": round(median(allocations)),
        }

    async def score_quotes(
        self, quotes: Annotated[list[Quote], "What each supplier asks, all in the same unit."], context: ToolContext
    ) -> JsonObject:
        """Say how far prices agree: median, spread in percent, and an agreement from 0 to 1."""
        if len(quotes) < 2:
            raise ToolError("It takes two prices to compare.")
        prices = sorted(quote.price for quote in quotes)
        if prices[0] <= 0:
            raise ToolError("A price is more than nothing.")
        middle = median(prices)
        spread = (prices[-1] - prices[0]) / middle
        return {
            "median": _whole(middle),
            "lowest": min(quotes, key=lambda quote: quote.price).supplier,
            "spread_percent": round(100 * spread, 1),
            "agreement": round(max(0.0, 1 - 2 * spread), 2),
        }

    async def store_blob(self, path: Annotated[str, "File in the workspace."], context: ToolContext) -> JsonObject:
        """Keep a file of the workspace as a blob: by its hash, for ever the same."""
        content = self._bytes(path, context)
        info = await self._parts.blobs.put(content)
        pages = content.count(b"\f") + 1
        return {"blob": info.hash, "bytes": len(content), "pages": pages}

    async def extract_text(self, blob: Annotated[str, "The paper's blob."], context: ToolContext) -> JsonObject:
        """Cut a stored paper into chunks at its paragraphs; they are stored as a blob of JSON lines."""
        try:
            text = (await self._parts.blobs.get(blob, max_bytes=MOST_FILE_BYTES)).decode()
        except UnicodeDecodeError:
            raise ToolError("Only text can be cut into chunks.") from None
        except NotFoundError:
            raise ToolError("There is no such blob.") from None
        chunks = _chunks(text)
        lines = "\n".join(json.dumps({"n": number, "text": chunk}) for number, chunk in enumerate(chunks, start=1))
        info = await self._parts.blobs.put(lines.encode())
        return {
            "chunks_blob": info.hash,
            "chunks": len(chunks),
            "tokens": tokens_of(len(text.encode())),
            "first": chunks[0][:160],
        }

    async def write_graph(
        self,
        title: Annotated[str, "The paper's title."],
        vectors_blob: Annotated[str, "The blob of embed_chunks."],
        concepts: Annotated[list[Concept], "What the paper may be about, in a sentence each."],
        context: ToolContext,
    ) -> ToolOutcome:
        """Write the paper as a node below graph/nodes, and edges to the three nearest concepts below graph/edges."""
        if len(concepts) < _EDGES:
            raise ToolError(f"Name at least {_EDGES} concepts.")
        try:
            vectors = json.loads(await self._parts.blobs.get(vectors_blob, max_bytes=MOST_FILE_BYTES))
        except (ValueError, NotFoundError):
            raise ToolError("There is no such blob of vectors.") from None
        weights = {concept.name: max(likeness(embed(concept.says), each) for each in vectors) for concept in concepts}
        nearest = sorted(concepts, key=lambda concept: (-weights[concept.name], concept.name))[:_EDGES]
        node = f"graph/nodes/{_slug(title)}.md"
        links = "\n".join(f"- [[{concept.name}]]" for concept in nearest)
        written = {node: f"# {title}\n\nkind: paper\nchunks: {len(vectors)}\n\n{links}\n"}
        for concept in nearest:
            weight = round(weights[concept.name], 3)
            edge = {"from": node, "to": concept.name, "weight": weight, "because": concept.says}
            path = f"graph/edges/{_slug(title)}--{_slug(concept.name)}.json"
            written[path] = json.dumps(edge, ensure_ascii=False, indent=2) + "\n"
        changed = tuple(self._write(path, content, context) for path, content in written.items())
        edges: Json = [{"to": concept.name, "weight": round(weights[concept.name], 3)} for concept in nearest]
        output: Json = {"node": node, "edges": edges, "considered": len(concepts)}
        return ToolOutcome(status="ok", output=output, mutated_paths=changed)

    def _read(self, path: str, context: ToolContext) -> str:
        try:
            return self._bytes(path, context).decode()
        except UnicodeDecodeError:
            raise ToolError(f"'{path}' is not text.") from None

    def _bytes(self, path: str, context: ToolContext) -> bytes:
        policy = self._parts.workspace
        name = canonical_path(path)
        policy.check_read(name)
        with Workspace(context.workspace, policy) as workspace, workspace.open_file(name) as file:
            return file.read_up_to(MOST_FILE_BYTES)

    def _write(self, path: str, content: str, context: ToolContext) -> tuple[str, str]:
        policy = self._parts.workspace
        policy.check_write(path)
        tag = hashlib.sha256(f"{context.idempotency_key}\n{path}".encode()).hexdigest()[:24]
        with Workspace(context.workspace, policy) as workspace, workspace.locked(path):
            return path, workspace.replace_file(path, content.encode(), tag=tag).sha256


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "untitled"


def _chunks(text: str) -> list[str]:
    """Paragraphs, joined up to about `_CHUNK_CHARACTERS`; an empty paper is one chunk."""
    chunks: list[str] = []
    for paragraph in (" ".join(part.split()) for part in re.split(r"\n\s*\n|\f", text)):
        if not paragraph:
            continue
        if chunks and len(chunks[-1]) + len(paragraph) < _CHUNK_CHARACTERS:
            chunks[-1] += f" {paragraph}"
        else:
            chunks.append(paragraph)
    return chunks or [""]
