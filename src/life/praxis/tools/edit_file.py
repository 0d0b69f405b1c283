"""`edit_file`: change lines of a text file by their tags (praxis.md §3; the rules are `life.praxis.hashline`).

Nothing is written when any operation can't be carried out. Reading, changing and replacing are one step among our tools
(a lock per file), and right before the new content takes its place the old one is compared once more, so of two edits
at once one wins and the other reports what became of its tags. A probe knows from SHA-256 what happened, as for
`write_file`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import INLINE_BYTES, on_thread
from life.praxis.errors import NotTextError, StaleTagError, TooLargeError, ToolInputError
from life.praxis.failures import failure_output
from life.praxis.hashline import Edited, Operation, apply, find_moved, line_tag, render, split_lines, tags_of
from life.praxis.paths import canonical_path
from life.praxis.tool import input_schema
from life.praxis.tools.write_file import Prepared, temporary_tag
from life.praxis.workspace import Workspace, WorkspacePolicy

MAX_OPERATIONS: Final = 500

_SHOWN_LINES: Final = 400
"""Of the changed file, in the answer; a longer file is shown around the first change."""

_SHOWN_CHARACTERS: Final = 32_000
_CONTEXT_LINES: Final = 3
_REPAIR_LINES: Final = 40

_Result = TypeVar("_Result")


class EditFileArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `edit_file`."""

    path: Annotated[str, msgspec.Meta(description="File, relative to the workspace. It must exist.")]
    ops: Annotated[
        list[Operation],
        msgspec.Meta(
            description="Operations in order. All tags refer to the file as it is before the first of them.",
            max_length=MAX_OPERATIONS,
        ),
    ]


class _Change(NamedTuple):
    """What an edit would make of the file."""

    before_sha256: str
    content: bytes
    edited: Edited
    changed: bool


class EditFile:
    """Changes lines of one file, all operations or none."""

    arguments = EditFileArguments

    def __init__(self, policy: WorkspacePolicy) -> None:
        self._policy = policy
        self.definition = ToolDefinition(
            name="edit_file",
            description=(
                "Change lines of a UTF-8 text file by their tags, as read_file shows them "
                "('<number> <tag> | <text>'). Operations: replace_line, insert_after_tag, insert_before_tag, "
                "delete_line, replace_range, append. All tags refer to the file before the call; new lines have no tag "
                "in it. If one operation fails, nothing is written. Line endings are kept. Returns the changed lines "
                "with their new tags: line numbers, and with them all tags below an insertion, are different afterwards."
            ),
            input_schema=input_schema(EditFileArguments),
            annotations=ToolAnnotations(destructive=True),
            category="filesystem",
        )

    def capabilities(self, arguments: EditFileArguments, context: ToolContext) -> tuple[str, ...]:
        """`fs:read:<path>` (the answer shows the file) and `fs:write:<path>`."""
        path = canonical_path(arguments.path)
        self._policy.check_write(path)
        return (f"fs:read:{path}", f"fs:write:{path}")

    async def prepare(self, arguments: EditFileArguments, context: ToolContext) -> Json:
        """`{path, before, after}`: digests of the content now and of the content the edit would leave."""
        path = canonical_path(arguments.path)
        change = await self._in_workspace(context, path, lambda space: _change(space, path, arguments.ops))
        return {"path": path, "before": change.before_sha256, "after": _sha256(change.content)}

    async def run(self, arguments: EditFileArguments, context: ToolContext) -> ToolOutcome:
        """`{success, path, content, first_line, lines, total_lines, truncated}`; `content` has the new tags."""
        path = canonical_path(arguments.path)
        self._policy.check_write(path)
        tag = temporary_tag(context, path)

        def work(space: Workspace) -> ToolOutcome:
            with space.locked(path):
                try:
                    change = _change(space, path, arguments.ops)
                except StaleTagError as stale:
                    return _stale(stale, path, _read_text(space, path)[1], arguments.ops)
                if change.changed:
                    space.replace_file(path, change.content, tag=tag, expected=change.before_sha256)
            return _outcome(path, change.edited, _sha256(change.content) if change.changed else None)

        with Workspace(context.workspace, self._policy) as space:
            return await on_thread(functools.partial(work, space))

    async def probe(self, arguments: EditFileArguments, context: ToolContext, prepared: Json) -> Probe:
        """`done` when the edited content stands there, `not_done` when the old one does, otherwise `unknown`."""
        path = canonical_path(arguments.path)
        try:
            recorded = msgspec.convert(prepared, Prepared)
        except msgspec.ValidationError:
            recorded = None
        if recorded is None or recorded.path != path:
            return Probe(answer="unknown", explanation=f"The content of '{path}' before the call was not recorded.")
        now = await self._in_workspace(context, path, lambda space: space.content_sha256(path))
        if now == recorded.after:
            text = await self._in_workspace(context, path, lambda space: _read_text(space, path)[1])
            changed = recorded.before != recorded.after
            return Probe(
                answer="done",
                explanation=f"'{path}' has the content that the edit was to leave.",
                outcome=_outcome(path, Edited(text, None), now if changed else None),
            )
        if now == recorded.before:
            return Probe(answer="not_done", explanation=f"'{path}' is as it was before the call.")
        return Probe(
            answer="unknown",
            explanation=f"'{path}' is neither as it was before the call nor as the call would have left it.",
        )

    async def _in_workspace(self, context: ToolContext, path: str, work: Callable[[Workspace], _Result]) -> _Result:
        """Small files on the event loop, others on a thread."""
        with Workspace(context.workspace, self._policy) as space:
            if (space.size_bytes(path) or 0) <= INLINE_BYTES:
                return work(space)
            return await on_thread(functools.partial(work, space))


def _read_text(space: Workspace, path: str) -> tuple[bytes, str]:
    """The whole file, as bytes and as text."""
    limit = space.policy.max_write_bytes
    with space.open_file(path) as opened:
        content = opened.read_up_to(limit + 1)
    if len(content) > limit:
        raise TooLargeError(f"'{path}' is larger than {limit} bytes, the most that edit_file takes.")
    try:
        return content, content.decode()
    except UnicodeDecodeError as bad:
        raise NotTextError(
            f"'{path}' is not UTF-8 text: byte 0x{content[bad.start]:02x} at offset {bad.start} ({bad.reason})."
        ) from None


def _change(space: Workspace, path: str, operations: list[Operation]) -> _Change:
    """What the operations make of the file as it is. Writes nothing."""
    before, text = _read_text(space, path)
    edited = apply(text, operations)
    try:
        content = edited.text.encode()
    except UnicodeEncodeError:
        raise ToolInputError("The new text is not valid Unicode text (a lone surrogate).") from None
    return _Change(_sha256(before), content, edited, changed=content != before)


def _outcome(path: str, edited: Edited, sha256: str | None) -> ToolOutcome:
    """The answer; with `sha256`, the digest of a new content, the path is reported as changed."""
    texts = [line.text for line in split_lines(edited.text)]
    first = 1 if len(texts) <= _SHOWN_LINES else max(1, (edited.first_changed or 1) - _CONTEXT_LINES)
    return ToolOutcome(
        status="ok",
        output={"success": True, "path": path, **_view(texts, first, _SHOWN_LINES)},
        mutated_paths=() if sha256 is None else ((path, sha256),),
    )


def _view(texts: list[str], first: int, at_most: int) -> dict[str, Json]:
    """Lines from number `first` on, with their tags, as many as fit."""
    shown: list[str] = []
    budget = _SHOWN_CHARACTERS
    for text in texts[first - 1 : first - 1 + at_most]:
        budget -= len(text)
        if budget < 0:
            break
        shown.append(text)
    return {
        "content": render(shown, first=first),
        "first_line": first,
        "lines": len(shown),
        "total_lines": len(texts),
        "truncated": len(shown) < len(texts),
    }


def _stale(stale: StaleTagError, path: str, text: str, operations: list[Operation]) -> ToolOutcome:
    """The error with the lines as they are now, around where the missing one seems to be, or else around the first line
    that the operations name truly: the model can repair its edit without reading the file again."""
    texts = [line.text for line in split_lines(text)]
    output: dict[str, Json] = {**failure_output(stale), "path": path}
    moved = find_moved(stale.tag, texts)
    if moved is not None:
        output["moved"] = {"line": moved.number, "tag": moved.tag}
        around = moved.number
    else:
        named = {tag for operation in operations for tag in tags_of(operation)}
        around = next((n for n, text in enumerate(texts, start=1) if line_tag(n, text) in named), 1)
    output["current"] = _view(texts, max(1, around - _REPAIR_LINES // 2), _REPAIR_LINES)
    return ToolOutcome(status="error", output=output)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
