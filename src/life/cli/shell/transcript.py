"""What a person is shown of a session: its events, one after the other, as things to show. No terminal in it, and no clock.

`Transcript.take(record)` gives what is new. Text that is being written comes in pieces, and the message that follows gives only what
the pieces did not; so a reader who comes late, or misses pieces, still reads every word once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from life.aios import events
from life.aios.events import Kind
from life.aios.json import Json
from life.aios.ports.provider import ModelNotice
from life.aios.record import EventRecord
from life.arcan import control
from life.arcan import events as arcan
from life.cli.shell.items import (
    Asked,
    CallBegun,
    CallDone,
    Decided,
    DoubtOver,
    InDoubt,
    Item,
    MessageEnd,
    Note,
    Piece,
    RunBegun,
    RunEnded,
    Said,
    Thought,
    Usage,
)
from life.cli.shell.known_files import KnownFiles
from life.cli.shell.words import as_json, plural, seconds, tokens

_ATTACHMENT: Final = re.compile(
    r'<attachment id="(?P<id>[0-9a-f]{8})" path="(?P<path>[^"]*)"[^>]*>\n.*?\n</attachment id="(?P=id)">', re.DOTALL
)


class _Call(msgspec.Struct):
    tool_name: str
    arguments: Json


class Transcript:
    """One branch of one session, from its events in order."""

    def __init__(self) -> None:
        self.head = 0
        """The last stored event that was taken."""
        self.usage = Usage()
        """Of the whole session, as far as it was taken."""
        self.files = KnownFiles()
        self.model = ""
        """Of the last run."""
        self.last_message_sequence = 0
        """Of the user's last message."""
        self.queued: dict[str, str] = {}
        """Messages that wait, by their ids."""
        self.run_id: str | None = None
        self._run_usage = Usage()
        self._run_started_us = 0
        self._run_error = ""
        self._calls: dict[str, _Call] = {}
        self._tickets: dict[str, str] = {}
        self._message_id = ""
        self._written = 0
        self._last_tool = ""

    @property
    def has_open_calls(self) -> bool:
        """Whether calls were asked for that have no result yet."""
        return bool(self._calls)

    def take(self, record: EventRecord) -> list[Item]:
        """What this event adds. One that was taken already adds nothing."""
        if record.sequence:
            if record.sequence <= self.head:
                return []
            self.head = record.sequence
        try:
            kind = record.kind
        except (msgspec.DecodeError, RecursionError):
            return []
        handler = _HANDLERS.get(type(kind))
        return [] if handler is None else handler(self, kind, record)

    # Text

    def _delta(self, kind: events.AssistantTextDelta | events.TextDelta, record: EventRecord) -> list[Item]:
        message_id = record.causation_id or ""
        broken: list[Item] = []
        if message_id != self._message_id:
            broken = [MessageEnd("")] if self._written else []
            self._message_id, self._written = message_id, 0
        start = self._written if kind.index is None else kind.index
        fresh = kind.delta[max(0, self._written - start) :]
        if start > self._written or not fresh:
            return broken  # a piece is missing; the whole message tells the rest
        self._written += len(fresh)
        return [*broken, Piece(fresh)]

    def _message(self, kind: events.Message | events.AssistantMessageCommitted, record: EventRecord) -> list[Item]:
        if kind.role != "assistant":
            return []
        self._count(kind)
        written = self._written if record.event_id == self._message_id else 0
        self._message_id, self._written = "", 0
        if not kind.content:
            return []
        rest = kind.content[written:]
        return [*([Piece(rest)] if rest else []), MessageEnd(kind.content)]

    def _count(self, kind: events.Message | events.AssistantMessageCommitted) -> None:
        used = kind.token_usage
        for usage in (self.usage, self._run_usage):
            usage.answers += 1
            if used is None:
                usage.uncosted += 1
                continue
            usage.prompt_tokens += used.prompt_tokens
            usage.completion_tokens += used.completion_tokens
            if isinstance(used.cached_prompt_tokens, int):
                usage.cached_tokens += used.cached_prompt_tokens
            if isinstance(used.cost_micro, int):
                usage.cost_micro += used.cost_micro
            else:
                usage.uncosted += 1

    def _said(self, kind: events.UserMessage, record: EventRecord) -> list[Item]:
        self.last_message_sequence = record.sequence
        said = without_attachments(kind.content)
        for queue_id, message in list(self.queued.items()):
            if message in kind.content:
                del self.queued[queue_id]
        return [said._replace(sequence=record.sequence)]

    def _queued(self, kind: events.Queued, _record: EventRecord) -> list[Item]:
        self.queued[kind.queue_id] = kind.message
        return []

    # Runs

    def _run_started(self, kind: events.RunStarted, record: EventRecord) -> list[Item]:
        self.model, self.run_id = kind.provider, record.event_id
        self._run_usage, self._run_started_us, self._run_error = Usage(), record.timestamp_us, ""
        self._calls.clear()
        return [RunBegun(record.event_id, kind.provider)]

    def _run_errored(self, kind: events.RunErrored, _record: EventRecord) -> list[Item]:
        self._run_error = kind.error
        return []

    def _run_finished(self, kind: events.RunFinished, record: EventRecord) -> list[Item]:
        run_id = record.correlation_id or self.run_id or ""
        self.run_id = None
        self._tickets.clear()
        dropped: tuple[str, ...] = ()
        if kind.reason == "cancelled":
            dropped = tuple(without_attachments(message).text for message in self.queued.values())
            self.queued.clear()
        used = self._run_usage
        parts = [plural(kind.total_iterations, "step")]
        if used.tool_calls:
            parts.append(plural(used.tool_calls, "tool call"))
        if used.prompt_tokens or used.completion_tokens:
            parts.append(f"{tokens(used.prompt_tokens + used.completion_tokens)} tokens")
        if used.cost and used.cost_micro:
            parts.append(used.cost)
        if self._run_started_us:
            parts.append(seconds(max(0, record.timestamp_us - self._run_started_us) // 1000))
        unsaid: list[Item] = []
        if self._written:  # an answer that broke off
            self._message_id, self._written = "", 0
            unsaid = [MessageEnd("")]
        ended = RunEnded(run_id, kind.reason, "  ".join(parts), self._run_error, kind.final_answer or "", dropped)
        return [*unsaid, ended]

    def _step_finished(self, _kind: events.StepFinished, _record: EventRecord) -> list[Item]:
        self.usage.steps += 1
        return []

    # Tools

    def _requested(self, kind: events.ToolCallRequested, _record: EventRecord) -> list[Item]:
        self._calls[kind.call_id] = _Call(kind.tool_name, kind.arguments)
        return []

    def _started(self, kind: events.ToolCallStarted, _record: EventRecord) -> list[Item]:
        call = self._calls.get(kind.call_id or "")
        if call is None or kind.call_id is None:
            return []
        for usage in (self.usage, self._run_usage):
            usage.tool_calls += 1
        return [CallBegun(kind.call_id, kind.tool_name, call.arguments)]

    def _completed(self, kind: events.ToolCallCompleted, _record: EventRecord) -> list[Item]:
        call_id = kind.call_id or kind.tool_run_id
        call = self._calls.pop(call_id, None) or _Call(kind.tool_name, None)
        difference = None
        self._last_tool = kind.tool_name
        if kind.status == "ok":
            difference = self.files.learn(kind.tool_name, call.arguments, kind.result)
        else:
            self._failed_once()
        return [
            CallDone(call_id, kind.tool_name, call.arguments, kind.status, kind.result, kind.duration_ms, difference)
        ]

    def _failed(self, kind: events.ToolCallFailed, _record: EventRecord) -> list[Item]:
        call = self._calls.pop(kind.call_id, None) or _Call(kind.tool_name, None)
        self._failed_once()
        return [CallDone(kind.call_id, kind.tool_name, call.arguments, "refused", kind.error, 0, None)]

    def _failed_once(self) -> None:
        for usage in (self.usage, self._run_usage):
            usage.tool_errors += 1

    def _mutated(self, kind: events.FileMutated, _record: EventRecord) -> list[Item]:
        if self._last_tool not in ("write_file", "edit_file"):
            self.files.forget(kind.path)
        return []

    # People

    def _asked(self, kind: events.ApprovalRequested, record: EventRecord) -> list[Item]:
        self._tickets[kind.approval_id] = kind.tool_name
        return [
            Asked(
                kind.approval_id,
                kind.call_id,
                kind.tool_name,
                kind.arguments,
                kind.risk,
                kind.capabilities,
                record.timestamp_us,
            )
        ]

    def _decided(self, kind: events.ApprovalResolved, _record: EventRecord) -> list[Item]:
        tool_name = self._tickets.pop(kind.approval_id, "the call")
        return [Decided(kind.approval_id, tool_name, kind.decision, kind.reason or "")]

    # Everything else

    def _compacted(self, kind: events.ContextCompacted, _record: EventRecord) -> list[Item]:
        saved = f"{tokens(kind.tokens_before)} → {tokens(kind.tokens_after)} tokens"
        return [Note(f"The conversation was shortened ({saved}).")]

    def _closed(self, kind: events.SessionClosed, _record: EventRecord) -> list[Item]:
        return [Note(f"The session is closed ({kind.reason}).", "warning")]

    def _restored(self, kind: events.CheckpointRestored, _record: EventRecord) -> list[Item]:
        return [Note(f"Went back to event {kind.restored_to_seq}.")]

    def _merged(self, kind: events.BranchMerged, _record: EventRecord) -> list[Item]:
        return [Note(f"The branch {kind.source_branch_id} was merged into this one.")]

    def _custom(self, kind: events.Custom, record: EventRecord) -> list[Item]:
        known = _CUSTOM.get(kind.event_type)
        if known is None:
            return []
        payload_type, tell = known
        try:
            return tell(self, msgspec.convert(kind.data, payload_type))
        except msgspec.ValidationError:
            return []

    def _thought(self, payload: arcan.Reasoning) -> list[Item]:
        text = "\n\n".join(placed.block.text for placed in payload.blocks if placed.block.text.strip())
        return [Thought(text)] if text else []

    def _noticed(self, payload: ModelNotice) -> list[Item]:
        notice = payload
        match notice.what:
            case "retried":
                words = f"{notice.provider} failed ({notice.error}); asking again in {seconds(notice.wait_ms)}."
            case "fell_back":
                words = f"{notice.provider} can't answer ({notice.error}); asking {notice.next_provider}."
            case "waited":
                words = f"Waited {seconds(notice.wait_ms)} for {notice.provider}'s rate limit."
            case _:
                words = f"{notice.provider} is left alone for a while ({notice.error})."
        return [Note(words, "warning")]

    def _doubted(self, payload: arcan.RunInDoubt) -> list[Item]:
        return [InDoubt(payload.call_id, payload.tool_name, payload.explanation)]

    def _doubt_over(self, payload: arcan.DoubtResolved) -> list[Item]:
        return [DoubtOver(payload.call_id), Note(f"Decided about the call in doubt: {payload.decision}.")]

    def _limited(self, payload: arcan.LimitReached) -> list[Item]:
        return [Note(f"Limit reached: {payload.limit} ({payload.used} of {payload.allowed}).", "warning")]

    def _paused(self, payload: control.RunPaused) -> list[Item]:
        return [Note("Paused. /continue goes on.", "warning")]

    def _went_on(self, payload: control.RunContinued) -> list[Item]:
        return [Note("Goes on.")]

    def _edited(self, payload: control.CallEdited) -> list[Item]:
        for call_id, call in self._calls.items():
            if call_id == payload.call_id:
                call.arguments = payload.arguments
        return [Note(f"The arguments were changed by {payload.by}: {as_json(payload.arguments)}")]

    def _ruled(self, payload: control.RuleAdded) -> list[Item]:
        patterns = ", ".join(payload.patterns) or "everything it needs"
        return [Note(f"Allowed for this session: {payload.tool_name} ({patterns}). /rules shows and takes back.")]

    def _provider_set(self, payload: control.ProviderSet) -> list[Item]:
        return [Note(f"The model is now {payload.provider or 'the default one'}.")]

    def _intervened(self, payload: control.Intervened) -> list[Item]:
        return [Note(f"{payload.by}: {payload.action} {payload.subject} {payload.explanation}".rstrip(), "warning")]

    def _looped(self, payload: control.LoopFound) -> list[Item]:
        return [Note(f"{payload.tool_name} was asked for {payload.repetitions} times in a row.", "warning")]


def without_attachments(text: str) -> Said:
    """A message as its writer typed it."""
    names = tuple(match["path"] for match in _ATTACHMENT.finditer(text))
    return Said(_ATTACHMENT.sub("", text).strip() if names else text, names)


_HANDLERS: Final[dict[type[Kind], Callable[..., list[Item]]]] = {
    events.UserMessage: Transcript._said,
    events.Queued: Transcript._queued,
    events.AssistantTextDelta: Transcript._delta,
    events.TextDelta: Transcript._delta,
    events.Message: Transcript._message,
    events.AssistantMessageCommitted: Transcript._message,
    events.RunStarted: Transcript._run_started,
    events.RunErrored: Transcript._run_errored,
    events.RunFinished: Transcript._run_finished,
    events.StepFinished: Transcript._step_finished,
    events.ToolCallRequested: Transcript._requested,
    events.ToolCallStarted: Transcript._started,
    events.ToolCallCompleted: Transcript._completed,
    events.ToolCallFailed: Transcript._failed,
    events.FileMutated: Transcript._mutated,
    events.ApprovalRequested: Transcript._asked,
    events.ApprovalResolved: Transcript._decided,
    events.ContextCompacted: Transcript._compacted,
    events.SessionClosed: Transcript._closed,
    events.CheckpointRestored: Transcript._restored,
    events.BranchMerged: Transcript._merged,
    events.Custom: Transcript._custom,
}

_CUSTOM: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., list[Item]]]]] = {
    arcan.REASONING: (arcan.Reasoning, Transcript._thought),
    arcan.MODEL_NOTICE: (ModelNotice, Transcript._noticed),
    arcan.RUN_IN_DOUBT: (arcan.RunInDoubt, Transcript._doubted),
    arcan.DOUBT_RESOLVED: (arcan.DoubtResolved, Transcript._doubt_over),
    arcan.LIMIT_REACHED: (arcan.LimitReached, Transcript._limited),
    control.RUN_PAUSED: (control.RunPaused, Transcript._paused),
    control.RUN_CONTINUED: (control.RunContinued, Transcript._went_on),
    control.CALL_EDITED: (control.CallEdited, Transcript._edited),
    control.RULE_ADDED: (control.RuleAdded, Transcript._ruled),
    control.PROVIDER_SET: (control.ProviderSet, Transcript._provider_set),
    control.INTERVENED: (control.Intervened, Transcript._intervened),
    control.LOOP_WARNING: (control.LoopFound, Transcript._looped),
}
