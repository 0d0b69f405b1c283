"""What a run's events tell about it: the inputs of heuristics and judges. A fold over one stream, total and without a clock.

What the events do not tell stays None. Texts are kept to a bound, newest last; they leave this process for a judge only.
Source: nous.md §1 (EvalContext).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from life.aios import events
from life.aios.json import Json, JsonObject
from life.aios.record import EventRecord

MOST_CALLS: Final = 200
MOST_TEXT: Final = 20_000


class CallFacts(msgspec.Struct, kw_only=True):
    """One tool call."""

    tool_name: str
    arguments: Json
    errored: bool | None = None
    """None while it has no result, and for one that was refused."""


class RunFacts(msgspec.Struct, kw_only=True):
    """One run. Tokens are those of its model calls, one entry each."""

    run_id: str = ""
    objective: str = ""
    final_answer: str = ""
    reason: str = ""
    iterations: int | None = None
    max_iterations: int | None = None
    max_tokens: int | None = None
    prompts: list[int] = []
    completions: list[int] = []
    calls: dict[str, CallFacts] = {}
    said: list[str] = []
    knowledge_health: float | None = None
    knowledge_notes: int | None = None
    knowledge_missing: int | None = None
    knowledge_at_ms: int | None = None
    finished_ms: int = 0
    knowledge_used: list[str] = []
    """What its notes were searched for, and how many were found."""

    @property
    def tokens(self) -> int:
        """Tokens of all its model calls."""
        return sum(self.prompts) + sum(self.completions)

    def apply(self, record: EventRecord) -> None:
        """Take in the next event of the stream."""
        kind = record.kind
        match kind:
            case events.UserMessage():
                self.objective = kind.content[:MOST_TEXT]
            case events.RunStarted():
                self._begin(record.event_id, kind.max_iterations)
            case events.Message(role="assistant"):
                self._answered(kind)
            case events.ToolCallRequested() if len(self.calls) < MOST_CALLS:
                self.calls[kind.call_id] = CallFacts(tool_name=kind.tool_name, arguments=kind.arguments)
            case events.ToolCallCompleted():
                call = self.calls.get(kind.call_id or "")
                if call is not None and kind.status != "cancelled":
                    call.errored = kind.status != "ok"
            case events.KnowledgeSearched() if kind.result_count > 0 and len(self.knowledge_used) < MOST_CALLS:
                self.knowledge_used.append(f"{kind.query[:200]}: {kind.result_count} notes")
            case events.KnowledgeEvaluated():
                self.knowledge_health = min(1.0, max(0.0, kind.health_score))
                self.knowledge_notes, self.knowledge_missing = max(0, kind.note_count), max(0, kind.missing_pages)
                self.knowledge_at_ms = record.timestamp_us // 1000
            case events.RunFinished():
                self.reason, self.iterations = kind.reason, max(0, kind.total_iterations)
                self.final_answer = (kind.final_answer or "")[:MOST_TEXT]
                self.finished_ms = record.timestamp_us // 1000
            case events.Custom(event_type="arcan.run_limits") if isinstance(kind.data, Mapping):
                limit = kind.data.get("max_tokens")
                self.max_tokens = limit if isinstance(limit, int) and limit > 0 else None
            case _:
                return

    def _begin(self, run_id: str, max_iterations: int) -> None:
        self.run_id, self.max_iterations = run_id, max_iterations if max_iterations > 0 else None
        self.iterations = self.max_tokens = None
        self.prompts, self.completions, self.calls, self.said = [], [], {}, []
        self.final_answer = self.reason = ""
        self.knowledge_used = []

    def _answered(self, kind: events.Message) -> None:
        usage = kind.token_usage
        if usage is not None and len(self.prompts) < MOST_CALLS:
            self.prompts.append(max(0, usage.prompt_tokens))
            self.completions.append(max(0, usage.completion_tokens))
        if kind.content and sum(map(len, self.said)) < MOST_TEXT:
            self.said.append(kind.content[:MOST_TEXT])


Schemas = Mapping[str, JsonObject]
"""The input schemas of tools, by name."""
