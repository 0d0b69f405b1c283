"""The registry: every tool of a runtime behind one door, with the rules that are not left to each tool.

Arguments are validated against the schema before a tool sees them; the declared time limit holds; results have a size
limit, and what is longer is kept whole in the blob store where `read_result` reads it page by page; whatever a tool raises
becomes an outcome that a model can read. Cancellation is the caller's and passes through.
Implements the `Toolbox` port (praxis.md §1, "Build").
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, Protocol

import msgspec

from life.aios.errors import LifeError, ToolError
from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.errors import DuplicateToolError, FileAccessError, ToolNotFoundError, ToolTimeoutError
from life.praxis.failures import failure_output
from life.praxis.result_store import ResultBlobs, store_result
from life.praxis.tool import Arguments, Tool, parse_arguments

logger = logging.getLogger("life.praxis")

DEFAULT_MAX_RESULT_BYTES: Final = 256 * 1024
"""Of JSON, per outcome (praxis.md §10)."""

_MIN_RESULT_BYTES: Final = 1024
_ENVELOPE_BYTES: Final = 512
"""At most, around the beginning of a result that is too long."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every model provider takes as a tool's name."""

UNPREPARED: Final = "unprepared"
"""`{"unprepared": <code>}` is what `prepare` gives when the tool could not look at the world."""


class OpenCall(Protocol):
    """A call whose arguments have been checked: the tool's four questions without the argument."""

    def capabilities(self, context: ToolContext) -> tuple[str, ...]:
        """See `Tool.capabilities`."""
        ...

    async def prepare(self, context: ToolContext) -> Json:
        """See `Tool.prepare`."""
        ...

    async def run(self, context: ToolContext) -> ToolOutcome:
        """See `Tool.run`."""
        ...

    async def probe(self, context: ToolContext, prepared: Json) -> Probe:
        """See `Tool.probe`."""
        ...


class _BoundCall(Generic[Arguments]):
    """A tool together with the arguments of one call."""

    __slots__ = ("_arguments", "_tool")

    def __init__(self, tool: Tool[Arguments], arguments: Arguments) -> None:
        self._tool = tool
        self._arguments = arguments

    def capabilities(self, context: ToolContext) -> tuple[str, ...]:
        return self._tool.capabilities(self._arguments, context)

    async def prepare(self, context: ToolContext) -> Json:
        return await self._tool.prepare(self._arguments, context)

    async def run(self, context: ToolContext) -> ToolOutcome:
        return await self._tool.run(self._arguments, context)

    async def probe(self, context: ToolContext, prepared: Json) -> Probe:
        return await self._tool.probe(self._arguments, context, prepared)


class _Entry(NamedTuple):
    definition: ToolDefinition
    open: Callable[[Json], OpenCall]


class ToolRegistry:
    """Tools by name. Registration is part of start-up; calls may run concurrently."""

    def __init__(
        self,
        *,
        max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES,
        max_timeout_s: int | None = None,
        blobs: ResultBlobs | None = None,
    ) -> None:
        """`max_timeout_s` lowers the time limit of tools that declare more. `blobs` keeps results that are too long; without
        it their end is lost, and the model is told so."""
        if max_result_bytes < _MIN_RESULT_BYTES:
            raise ValueError(f"max_result_bytes must be at least {_MIN_RESULT_BYTES}")
        self._max_result_bytes = max_result_bytes
        self._max_timeout_s = max_timeout_s
        self._blobs = blobs
        self._entries: dict[str, _Entry] = {}
        self._definitions: tuple[ToolDefinition, ...] = ()

    def register(self, tool: Tool[Arguments], *, replace: bool = False) -> None:
        """Add a tool. DuplicateToolError when its name is taken and `replace` is false; ValueError: unusable definition."""
        definition = tool.definition
        name = definition.name
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"A tool's name is 1 to 64 letters, digits, '_' or '-', not {name!r}.")
        if definition.input_schema.get("type") != "object":
            raise ValueError(f"The input schema of {name} must describe an object.")
        if definition.timeout_s < 1:
            raise ValueError(f"The time limit of {name} must be at least one second.")
        if name in self._entries and not replace:
            raise DuplicateToolError(f"A tool named {name} is registered already.", details={"tool": name})

        def open_call(given: Json) -> OpenCall:
            return _BoundCall(tool, parse_arguments(name, tool.arguments, given))

        self._entries[name] = _Entry(definition, open_call)
        self._definitions = tuple(entry.definition for _, entry in sorted(self._entries.items()))

    def definitions(self) -> Sequence[ToolDefinition]:
        """All tools, by name."""
        return self._definitions

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """What this very call needs. ToolError: unknown tool, unfit arguments, or a place that is closed anyway."""
        return self._entry(call.tool_name).open(call.arguments).capabilities(context)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """What a later probe needs. ToolError: unknown tool or unfit arguments.

        When the tool can't look (a missing directory, a file too large, no time), the answer is `{"unprepared": code}`;
        `execute` will then meet the same obstacle and report it.
        """
        entry = self._entry(call.tool_name)
        opened = entry.open(call.arguments)
        try:
            async with asyncio.timeout(self._timeout_s(entry)):
                return await opened.prepare(context)
        except ToolError as refusal:
            return {UNPREPARED: refusal.code}
        except TimeoutError:
            return {UNPREPARED: ToolTimeoutError.code}
        except OSError:
            return {UNPREPARED: FileAccessError.code}

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Run the call once. Every failure is an outcome; only cancellation is raised."""
        name = call.tool_name
        try:
            entry = self._entry(name)
            opened = entry.open(call.arguments)
        except ToolError as refusal:
            return _failure(refusal)
        timer = asyncio.timeout(self._timeout_s(entry))
        try:
            async with timer:
                outcome = await opened.run(context)
            return await self._within_limit(outcome, context)
        except LifeError as refusal:
            return _failure(refusal)
        except TimeoutError:
            if timer.expired():
                return _timed_out(entry.definition, self._timeout_s(entry))
            return _failure(ToolTimeoutError(f"{name} waited too long for something."))
        except OSError as failure:  # text of the errno only: the exception's own names host paths
            reason = os.strerror(failure.errno) if failure.errno else type(failure).__name__
            return _failure(FileAccessError(f"{name}: {reason}."))
        except Exception as defect:
            logger.exception("the tool %s failed in a way it should not", name)
            return _failure(ToolError(f"{name} failed because of a defect ({type(defect).__name__})."))

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """What became of an interrupted call. Never raises for what it finds: what can't be told is `unknown`."""
        try:
            entry = self._entry(call.tool_name)
            opened = entry.open(call.arguments)
            async with asyncio.timeout(self._timeout_s(entry)):
                return await opened.probe(context, prepared)
        except LifeError as refusal:
            return Probe(answer="unknown", explanation=f"The call can't be examined: {refusal.message}")
        except TimeoutError:
            return Probe(answer="unknown", explanation="Examining the call took too long.")
        except Exception as defect:
            logger.exception("the tool %s could not be probed", call.tool_name)
            return Probe(answer="unknown", explanation=f"Examining the call failed ({type(defect).__name__}).")

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            known = ", ".join(definition.name for definition in self._definitions) or "none"
            raise ToolNotFoundError(f"There is no tool named {name[:64]!r}. Tools: {known}.")
        return entry

    def _timeout_s(self, entry: _Entry) -> int:
        declared = entry.definition.timeout_s
        return declared if self._max_timeout_s is None else min(declared, self._max_timeout_s)

    async def _within_limit(self, outcome: ToolOutcome, context: ToolContext) -> ToolOutcome:
        """The outcome, or, when its JSON is too long, the beginning of that JSON as text, and where the whole is kept."""
        encoded = msgspec.json.encode(outcome.output)
        if len(encoded) <= self._max_result_bytes:
            return outcome
        # Inside a string, JSON text grows by its quotes and backslashes only: at most to twice its length.
        shown = encoded[: (self._max_result_bytes - _ENVELOPE_BYTES) // 2].decode(errors="ignore")
        cut: dict[str, Json] = {
            "truncated": True,
            "total_bytes": len(encoded),
            "shown_bytes": len(shown.encode()),
            "json_beginning": shown,
            "note": "The rest of the result was not kept.",
        }
        if self._blobs is not None:
            kept = await store_result(self._blobs, context.session_id, encoded)
            if kept is not None:
                cut["result"] = kept
                cut["note"] = f"read_result with this result and offset {len(shown.encode())} gives what follows."
        return msgspec.structs.replace(outcome, output=cut)


def _failure(refusal: LifeError) -> ToolOutcome:
    """A refusal as the model reads it."""
    return ToolOutcome(status="error", output=failure_output(refusal))


def _timed_out(definition: ToolDefinition, limit_s: int) -> ToolOutcome:
    """A time-out says whether the effect is in doubt."""
    doubt = (
        "It changes nothing, so it may be tried again with less to do."
        if definition.annotations.read_only
        else "It may or may not have taken effect: find out before you repeat it."
    )
    return ToolOutcome(
        status="timeout",
        output={"error": f"{definition.name} did not end within {limit_s} s. {doubt}", "code": ToolTimeoutError.code},
    )
