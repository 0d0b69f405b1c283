"""`write_file`: the whole content of one file of the workspace, put in place at once.

A crash leaves the old content or the new (`Workspace.replace_file`). Which of the two is told by SHA-256: the intent
holds the digest before and the digest to come, and a probe compares what it finds.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated, Final

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import INLINE_BYTES, on_thread
from life.praxis.errors import ToolInputError
from life.praxis.paths import canonical_path
from life.praxis.tool import input_schema
from life.praxis.workspace import Replaced, Workspace, WorkspacePolicy

ABSENT: Final = "absent"
"""Stands for the digest of a file that does not exist."""


class WriteFileArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `write_file`."""

    path: Annotated[str, msgspec.Meta(description="File, relative to the workspace. Missing directories are created.")]
    content: Annotated[str, msgspec.Meta(description="The whole new content of the file, as text.")]


class Prepared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the intent remembers: SHA-256 in hex, `absent` for no file."""

    path: str
    before: str
    after: str


class WriteFile:
    """Replaces or creates one file. Probing knows what happened from the content's digest."""

    arguments = WriteFileArguments

    def __init__(self, policy: WorkspacePolicy) -> None:
        self._policy = policy
        self.definition = ToolDefinition(
            name="write_file",
            description=(
                "Create a text file in the workspace, or replace the whole content of one. Missing directories are "
                "created. The change is atomic: no reader sees a part of it. Returns path, bytes and created."
            ),
            input_schema=input_schema(WriteFileArguments),
            annotations=ToolAnnotations(destructive=True, idempotent=True),
            category="filesystem",
        )

    def capabilities(self, arguments: WriteFileArguments, context: ToolContext) -> tuple[str, ...]:
        """`fs:write:<path>`."""
        path = canonical_path(arguments.path)
        self._policy.check_write(path)
        return (f"fs:write:{path}",)

    async def prepare(self, arguments: WriteFileArguments, context: ToolContext) -> Json:
        """`{path, before, after}`, digests of the content now and of the content to come."""
        path = canonical_path(arguments.path)
        after = await _digest(_encode(arguments.content))
        before = await self._digest_now(path, context)
        return {"path": path, "before": before, "after": after}

    async def run(self, arguments: WriteFileArguments, context: ToolContext) -> ToolOutcome:
        """`{path, bytes, created}`, with the new digest in `mutated_paths`."""
        path = canonical_path(arguments.path)
        content = _encode(arguments.content)
        tag = temporary_tag(context, path)

        def work(workspace: Workspace) -> Replaced:
            with workspace.locked(path):
                return workspace.replace_file(path, content, tag=tag)

        with Workspace(context.workspace, self._policy) as workspace:
            # On a thread whatever the size: two fsyncs take 0.4 ms on an idle disk and have no upper bound on a busy one.
            replaced = await on_thread(functools.partial(work, workspace))
        return _written(path, len(content), replaced.sha256, created=replaced.created)

    async def probe(self, arguments: WriteFileArguments, context: ToolContext, prepared: Json) -> Probe:
        """`done` when the new content stands there, `not_done` when the old one does, otherwise `unknown`."""
        path = canonical_path(arguments.path)
        content = _encode(arguments.content)
        after = await _digest(content)
        now = await self._digest_now(path, context)
        try:
            before = msgspec.convert(prepared, Prepared)
        except msgspec.ValidationError:
            before = None
        if now == after:
            created = before is not None and before.before == ABSENT
            return Probe(
                answer="done",
                explanation=f"'{path}' has the content that was to be written.",
                outcome=_written(path, len(content), after, created=created),
            )
        if before is None or before.path != path or before.after != after:
            return Probe(answer="unknown", explanation=f"The content of '{path}' before the call was not recorded.")
        if now == before.before:
            return Probe(answer="not_done", explanation=f"'{path}' is as it was before the call.")
        return Probe(
            answer="unknown",
            explanation=f"'{path}' is neither as it was before the call nor as the call would have left it.",
        )

    async def _digest_now(self, path: str, context: ToolContext) -> str:
        with Workspace(context.workspace, self._policy) as workspace:
            if (workspace.size_bytes(path) or 0) <= INLINE_BYTES:
                return workspace.content_sha256(path) or ABSENT
            return await on_thread(functools.partial(workspace.content_sha256, path)) or ABSENT


def temporary_tag(context: ToolContext, path: str) -> str:
    """Names a call's temporary file: the same call finds and removes what a killed run of it left; no two calls share one."""
    return hashlib.sha256(f"{context.idempotency_key}\n{path}".encode()).hexdigest()[:24]


async def _digest(content: bytes) -> str:
    """SHA-256 in hex."""
    if len(content) <= INLINE_BYTES:
        return hashlib.sha256(content).hexdigest()
    return await on_thread(lambda: hashlib.sha256(content).hexdigest())


def _encode(content: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise ToolInputError("The content is not valid Unicode text (a lone surrogate).") from None


def _written(path: str, size_bytes: int, sha256: str, *, created: bool) -> ToolOutcome:
    return ToolOutcome(
        status="ok",
        output={"path": path, "bytes": size_bytes, "created": created},
        mutated_paths=((path, sha256),),
    )
