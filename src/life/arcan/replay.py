"""A recorded session as a test: the loop runs again, the model and the tools answer from the recording.

The recorded events are cut into stretches that nobody outside the loop took part in: between what a person, a clock or another
subsystem said. For each stretch the events before it go into a fresh journal as they are, and the runtime takes the session up
there, as after a crash. Every request that it then makes is compared with the recorded one: the messages with those that the
recorded events fold to, and, where the recording has digests, all of it byte for byte. So a change of the fold, the loop, the
gate or the context shows at the first request that it changes. No provider is called; nothing depends on time or chance.

With a real toolbox the tools run for real, in the directory that is given, and what they answer differently shows too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from life.aios import events
from life.aios.envelope import decode_record
from life.aios.errors import MalformedEventError, ToolError
from life.aios.events.codec import read_custom
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.provider import (
    ChatMessage,
    Chunk,
    ModelRequest,
    ReasoningChunk,
    StopChunk,
    StopReason,
    TextChunk,
    ToolCallChunk,
)
from life.aios.ports.tools import Probe, Toolbox, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.ports.working_copies import FileDifference, FilePlan, Position, Prefer, Recorded, SessionFiles
from life.aios.record import EventRecord, NewEvent, Stream, encode_record
from life.arcan import events as arcan
from life.arcan.branches import records_of
from life.arcan.checkpoints import SessionHistory
from life.arcan.conversation import encode_request
from life.arcan.errors import RecordingError
from life.arcan.runtime import Runtime
from life.arcan.settings import DEFAULT_SYSTEM_PROMPT, RuntimeSettings
from life.arcan.state import advance

FORMAT: Final = 1

_INSIDE: Final = frozenset(
    kind.__name__
    for kind in (
        events.PhaseEntered,
        events.StepStarted,
        events.StepFinished,
        events.StateEstimated,
        events.ModeChanged,
        events.Message,
        events.AssistantMessageCommitted,
        events.ToolCallRequested,
        events.PolicyEvaluated,
        events.ToolCallStarted,
        events.ToolCallCompleted,
        events.ToolCallFailed,
        events.FileMutated,
        events.FileWrite,
        events.FileDelete,
        events.FileRename,
        events.ErrorRaised,
        events.RunFinished,
    )
)
"""Kinds that follow from the model's answers and the tools' results; everything else came from outside, or decided anew."""

_INSIDE_CUSTOM: Final = frozenset((arcan.REASONING, arcan.MODEL_NOTICE, arcan.LIMIT_REACHED))

_ENDINGS: Final[Mapping[str, StopReason]] = {
    "completed": "completed",
    "max_tokens": "max_tokens",
    "refused": "refused",
    "max_iterations": "completed",
}
"""Ends of runs that a replay has to reach, and how the last answer stopped."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a recording: what requests were made of besides events, and their digests."""

    life_recording: int
    session_id: str
    branch_id: str = MAIN_BRANCH
    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    max_output_tokens: int = 4096
    tools: tuple[ToolDefinition, ...] = ()
    requests: dict[str, str] = {}
    """SHA-256 (hex) of each request's canonical bytes, by the event id of the message that answered it."""


class Recording(NamedTuple):
    """A session's events, and what a replay needs to know besides."""

    header: Header
    records: tuple[EventRecord, ...]

    @property
    def stream(self) -> Stream:
        """The branch that is replayed."""
        return Stream(self.header.session_id, self.header.branch_id)

    def lines(self) -> list[bytes]:
        """The recording as lines of JSON, header first."""
        return [msgspec.json.encode(self.header), *(encode_record(record) for record in self.records)]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replay first leaves the recording."""

    model_call: int
    """The how-manieth model call of the recording, from 1."""
    words: str


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did."""

    model_calls: int
    """Model calls that were compared."""
    stretches: int
    requests: dict[str, str]
    """Digests of the requests that were made, as in the header."""
    difference: Difference | None = None


class _Answer(NamedTuple):
    """A recorded model call."""

    number: int
    place: int
    """Of its Message among the records of the stream."""
    event_id: str
    chunks: tuple[Chunk, ...]


class _Stretch(NamedTuple):
    """Model calls that follow from each other."""

    begin: int
    """How many records of the stream come before."""
    answers: tuple[_Answer, ...]
    ending: events.RunFinished | None


def parse_recording(lines: Iterable[bytes | str], *, session_id: str | None = None) -> Recording:
    """A recording from its lines, or from those of a journal's export; then `session_id` says which session, if there are several.
    RecordingError."""
    header: Header | None = None
    records: list[EventRecord] = []
    for number, line in enumerate(lines, start=1):
        data = line.encode() if isinstance(line, str) else bytes(line)
        if not data.strip():
            continue
        try:
            if header is None and not records and data.lstrip().startswith(b'{"life_recording"'):
                header = msgspec.json.decode(data, type=Header)
            else:
                records.append(decode_record(data))
        except (MalformedEventError, msgspec.DecodeError) as error:
            raise RecordingError(f"Line {number} of the recording can't be read: {error}") from None
    if header is not None and header.life_recording != FORMAT:
        raise RecordingError(f"This recording has the format {header.life_recording}, which is not known here.")
    sessions = sorted({record.session_id for record in records if record.kind_name == "SessionCreated"})
    wanted = header.session_id if header is not None else session_id
    if wanted is None:
        if len(sessions) != 1:
            raise RecordingError(f"The recording holds {len(sessions)} sessions; say which one is meant.")
        wanted = sessions[0]
    if wanted not in sessions:
        raise RecordingError(f"The recording does not hold the session {wanted}.")
    kept = tuple(record for record in records if record.session_id == wanted)
    return Recording(header or Header(life_recording=FORMAT, session_id=wanted), kept)


async def read_recording(journal: Journal, session_id: str, *, branch: str = MAIN_BRANCH) -> Recording:
    """A live session as a recording, every branch of it included."""
    records: list[EventRecord] = []
    for stream in await journal.streams(session_id):
        records += [record async for record in records_of(journal, stream)]
    if not records:
        raise RecordingError(f"There is no session {session_id}.")
    return Recording(Header(life_recording=FORMAT, session_id=session_id, branch_id=branch), tuple(records))


async def replay(
    recording: Recording,
    *,
    open_journal: Callable[[], Journal],
    clock_at: Callable[[int], Clock],
    entropy: Entropy,
    toolbox: Toolbox | None = None,
    workspace: str = "/nowhere",
) -> ReplayReport:
    """Run the recorded session again, up to the first difference. `open_journal` gives an empty journal, `clock_at` a clock that
    stands at that time. With a `toolbox` its tools run for real in `workspace`; without, they answer from the recording."""
    own = [record for record in recording.records if record.stream == recording.stream]
    requests: dict[str, str] = {}
    stretches = _stretches(own)
    if not stretches:
        raise RecordingError("The recording holds no answer of a model, so there is nothing to replay.")
    difference = None
    for stretch in stretches:
        player = _Player(recording, own, stretch, toolbox, requests)
        difference = await player.play(open_journal(), clock_at, entropy, workspace)
        if difference is not None:
            break
    return ReplayReport(model_calls=len(requests), stretches=len(stretches), requests=requests, difference=difference)


class _Player:
    """Plays one stretch: it is the provider, and it compares what it is asked."""

    def __init__(
        self,
        recording: Recording,
        own: Sequence[EventRecord],
        stretch: _Stretch,
        toolbox: Toolbox | None,
        requests: dict[str, str],
    ) -> None:
        self._recording = recording
        self._own = own
        self._stretch = stretch
        self._toolbox = toolbox or RecordedToolbox(recording.header.tools, own)
        self._requests = requests
        self._expected: list[tuple[ChatMessage, ...]] = []
        self._place = 0
        self._over = asyncio.Event()
        self._difference: Difference | None = None

    @property
    def name(self) -> str:
        """See ModelProvider."""
        return "replay"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """Compare, and answer as recorded. Beyond the stretch nobody answers: somebody outside came in there."""
        if self._place < len(self._stretch.answers):
            answer = self._stretch.answers[self._place]
            self._difference = self._compare(request, answer)
            self._place += 1
            if self._difference is None:
                for chunk in answer.chunks:
                    yield chunk
                return
        self._over.set()
        await asyncio.Event().wait()

    async def play(
        self, journal: Journal, clock_at: Callable[[int], Clock], entropy: Entropy, workspace: str
    ) -> Difference | None:
        """Take the session up where the stretch begins, and run it to the stretch's end."""
        stream = self._recording.stream
        begin = self._stretch.begin
        last_us = self._own[begin - 1].timestamp_us
        others = [record for record in self._recording.records if record.stream != stream]
        await _copy(journal, [*others, *self._own[:begin]])
        await self._expect(journal)
        header = self._recording.header
        runtime = Runtime(
            journal,
            self._toolbox,
            provider=self,
            open_provider=lambda specification: self,
            clock=clock_at(last_us),
            entropy=entropy,
            agent_id=self._own[0].agent_id,
            workspace_of=lambda session_id: workspace,
            settings=RuntimeSettings(
                system_prompt=header.system_prompt, max_output_tokens=header.max_output_tokens, shutdown_grace_ms=0
            ),
            files=SessionFiles(_OneDirectory(workspace), _OneDirectory(workspace)),
        )
        async with runtime:
            run_id = await runtime.recover(stream.session_id, branch=stream.branch_id)
            if run_id is None:
                return self._differs("no run is open where the recording goes on.")
            waiting = asyncio.ensure_future(runtime.wait(stream.session_id, run_id, branch=stream.branch_id))
            over = asyncio.ensure_future(self._over.wait())
            await asyncio.wait({waiting, over}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                return self._difference or self._missing("The model was asked once more than recorded.")
            report = waiting.result()
        if self._difference is not None:
            return self._difference
        if self._place < len(self._stretch.answers):
            how = report.reason or report.status
            return self._differs(f"the model was not asked any more; the run ended as '{how}'. {report.error or ''}")
        return self._compare_ending(report.reason, report.final_answer)

    async def _expect(self, journal: Journal) -> None:
        """The messages of each request, folded from the recorded events alone."""
        state = await SessionHistory(journal).state(self._recording.stream)
        done = self._stretch.begin
        for answer in self._stretch.answers:
            # No event of a stretch reaches to other branches, so the plain fold is the whole fold here.
            for record in self._own[done : answer.place]:
                state = advance(state, record)
            done = answer.place
            self._expected.append(state.conversation.messages())

    def _compare(self, request: ModelRequest, answer: _Answer) -> Difference | None:
        expected = self._expected[self._place]
        if request.messages != expected:
            return self._differs(f"the request differs: {first_difference(expected, request.messages)}")
        digest = hashlib.sha256(encode_request(request)).hexdigest()
        self._requests[answer.event_id] = digest
        recorded = self._recording.header.requests.get(answer.event_id)
        if recorded is not None and recorded != digest:
            return self._differs(
                "the request's bytes are not those that were recorded: its messages fold as before, so the fold itself, the"
                " system text, the tools or their schemas have changed since."
            )
        return None

    def _compare_ending(self, reason: str | None, final_answer: str | None) -> Difference | None:
        ending = self._stretch.ending
        if ending is None or ending.reason not in _ENDINGS:
            return None
        if (reason, final_answer) != (ending.reason, ending.final_answer):
            return self._differs(
                f"the run ended as '{reason}' with {_short(final_answer)}; recorded: '{ending.reason}' with"
                f" {_short(ending.final_answer)}."
            )
        return None

    def _missing(self, words: str) -> Difference | None:
        """Being asked beyond the stretch is right where it was cut off, and wrong where the run had ended."""
        ending = self._stretch.ending
        return self._differs(words) if ending is not None and ending.reason in _ENDINGS else None

    def _differs(self, words: str) -> Difference:
        place = min(self._place, len(self._stretch.answers) - 1)
        number = self._stretch.answers[place].number
        return Difference(model_call=number, words=f"At model call {number}, {words[0].lower()}{words[1:]}".strip())


class _OneDirectory:
    """The files of a replay (life.aios.ports.working_copies): one directory, whatever the branch; no versions are kept."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace

    def directory(self, stream: Stream) -> str:
        """Where everything works."""
        return self._workspace

    async def lay_out(self, stream: Stream) -> None:
        """It is there."""

    async def keep(self, stream: Stream) -> None:
        """The recording has its own versions."""

    async def written(self, stream: Stream, paths: Sequence[str]) -> Recorded:
        """None are kept."""
        return Recorded((), None)

    async def place(self, stream: Stream, since: int) -> tuple[str, ...]:
        """Nothing is behind."""
        return ()

    async def merge_plan(self, source: Position, target: Position, *, prefer: Prefer | None = None) -> FilePlan:
        """A replay merges nothing."""
        return FilePlan(())

    async def restore_plan(self, now: Position, then: Position) -> FilePlan:
        """Nor does it go back."""
        return FilePlan(())

    async def differences(self, one: Position, other: Position) -> tuple[FileDifference, ...]:
        """No versions, no differences."""
        return ()


class RecordedToolbox:
    """Tools that answer from recorded events (life.aios.ports.tools.Toolbox). Nothing is touched."""

    def __init__(self, definitions: Sequence[ToolDefinition], records: Sequence[EventRecord]) -> None:
        self._outcomes: dict[str, ToolOutcome] = {}
        self._failures: dict[str, str] = {}
        named = {definition.name: definition for definition in definitions}
        for record in records:
            kind = record.kind
            if isinstance(kind, events.ToolCallRequested):
                # Recordings without definitions: the tools are known by their calls.
                named.setdefault(
                    kind.tool_name, ToolDefinition(name=kind.tool_name, description="", input_schema={"type": "object"})
                )
            elif isinstance(kind, events.ToolCallCompleted) and kind.call_id is not None:
                self._outcomes.setdefault(kind.call_id, ToolOutcome(status=kind.status, output=kind.result))
            elif isinstance(kind, events.ToolCallFailed):
                self._failures.setdefault(kind.call_id, kind.error)
        self._definitions = definitions or tuple(named.values())

    def definitions(self) -> Sequence[ToolDefinition]:
        """See Toolbox."""
        return self._definitions

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """Nothing is needed to read from a recording; a call that was refused or unfit is so again, in the same words."""
        error = self._failures.get(call.call_id)
        if error is not None and call.call_id not in self._outcomes:
            raise ToolError(error)
        return ()

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """See Toolbox."""
        return None

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """The recorded outcome."""
        outcome = self._outcomes.get(call.call_id)
        if outcome is None:
            raise ToolError(f"The recording holds no result of {call.call_id} ({call.tool_name}).")
        return outcome

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """What a call that was running did is in the recording."""
        outcome = self._outcomes.get(call.call_id)
        if outcome is None:
            return Probe(answer="unknown", explanation="The recording holds no result of this call.")
        return Probe(answer="done", explanation="It is recorded.", outcome=outcome)


def first_difference(expected: Sequence[ChatMessage], found: Sequence[ChatMessage]) -> str:
    """Where two conversations part, in words."""
    for number, (one, other) in enumerate(zip(expected, found, strict=False), start=1):
        if one == other:
            continue
        if one.role != other.role:
            return f"message {number} is of the {other.role}, recorded: of the {one.role}."
        for left, right in zip(one.content, other.content, strict=False):
            if left != right:
                return f"message {number} ({one.role}) has {_short(right)}, recorded: {_short(left)}."
        return f"message {number} ({one.role}) has {len(other.content)} parts, recorded: {len(one.content)}."
    return f"it has {len(found)} messages, recorded: {len(expected)}."


async def _copy(journal: Journal, records: Sequence[EventRecord]) -> None:
    fields = NewEvent.__struct_fields__
    batch = [NewEvent(**{name: getattr(record, name) for name in fields}) for record in records]
    for start in range(0, len(batch), 500):
        await journal.append(batch[start : start + 500])


def _stretches(own: Sequence[EventRecord]) -> list[_Stretch]:
    """The stream cut where something came from outside."""
    found: list[_Stretch] = []
    answers: list[_Answer] = []
    begin = number = 0
    for index, record in enumerate(own):
        if _is_outside(record):
            if answers:
                found.append(_Stretch(begin, tuple(answers), None))
                answers = []
            begin = index + 1
            continue
        kind = record.kind
        if isinstance(kind, events.Message) and kind.role == "assistant":
            number += 1
            answers.append(_Answer(number, index, record.event_id, _chunks(own, index)))
        elif isinstance(kind, events.RunFinished):
            if answers:
                found.append(_Stretch(begin, tuple(answers), kind))
                answers = []
            begin = index + 1
    if answers:
        found.append(_Stretch(begin, tuple(answers), None))
    return found


def _is_outside(record: EventRecord) -> bool:
    kind = record.kind
    if isinstance(kind, events.Custom):
        return kind.event_type not in _INSIDE_CUSTOM
    if isinstance(kind, events.Message) and kind.role != "assistant":
        return True
    return record.kind_name not in _INSIDE


def _chunks(own: Sequence[EventRecord], index: int) -> tuple[Chunk, ...]:
    """The answer whose Message stands at `index`, as a provider gives it: thoughts in their places, text, calls."""
    message = own[index].kind
    assert isinstance(message, events.Message)
    calls: list[events.ToolCallRequested] = []
    reasoning: arcan.Reasoning | None = None
    stop: StopReason = "completed"
    for record in own[index + 1 :]:
        kind = record.kind
        if isinstance(kind, events.ToolCallRequested):
            calls.append(kind)
        elif isinstance(kind, events.Custom) and kind.event_type == arcan.REASONING:
            reasoning = read_custom(kind, arcan.REASONING, arcan.Reasoning)
        elif isinstance(kind, events.RunFinished) and kind.reason in _ENDINGS:
            stop = _ENDINGS[kind.reason]
            break
        elif isinstance(kind, events.Message | events.ToolCallStarted | events.PolicyEvaluated | events.UserMessage):
            break
    vendor_ids = reasoning.vendor_calls if reasoning is not None else ()
    thoughts = list(reasoning.blocks) if reasoning is not None else []
    chunks: list[Chunk] = []
    written = 0
    while thoughts and thoughts[0].after_calls == 0:
        thought = thoughts.pop(0)
        if thought.after_characters > written:
            chunks.append(TextChunk(message.content[written : thought.after_characters]))
            written = thought.after_characters
        chunks.append(ReasoningChunk(thought.block))
    if message.content[written:]:
        chunks.append(TextChunk(message.content[written:]))
    for place, call in enumerate(calls):
        while thoughts and thoughts[0].after_calls <= place:
            chunks.append(ReasoningChunk(thoughts.pop(0).block))
        call_id = vendor_ids[place] if place < len(vendor_ids) else call.call_id
        chunks.append(ToolCallChunk(call_id, call.tool_name, call.arguments))
    chunks += (ReasoningChunk(thought.block) for thought in thoughts)
    chunks.append(StopChunk("tool_call" if calls else stop, message.token_usage, message.model))
    return tuple(chunks)


def _short(value: object) -> str:
    words = msgspec.json.encode(value).decode() if isinstance(value, msgspec.Struct) else repr(value)
    return words if len(words) <= 300 else f"{words[:200]} … {words[-80:]}"
