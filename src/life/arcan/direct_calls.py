"""Tool calls that come from outside a model: one proposed call, through the same gate, approvals and journal.

    calls = DirectCalls(runtime, journal)
    outcome = await calls.call("mcp-local", "read_file", {"path": "notes.txt"})

A direct call is a run of a session whose "model" is `DirectCallProvider`: it asks for exactly the call that the objective
spells, and ends. So the loop, the policy, approvals, the in-doubt rule, cancelling and recovery after a crash are those of
every other call, and the journal tells them in the same events; a run that a crash cut off is taken up by `recover_all`.

One session runs one call at a time. A caller's calls are therefore spread over lanes, `<home>-1`, `<home>-2`, …: a call takes the
first lane that is free, so calls run side by side and one that waits for a person holds up nobody. `home_of` gives the
home of a lane, for whoever decides which workspace it gets.

Whoever calls again while the same call (same tool, same arguments) waits for a person is attached to that very call instead
of making a second one, and gets its result once when it is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios import events
from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH, check_path_id
from life.aios.json import Json, JsonObject
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import Chunk, ModelRequest, StopChunk, TextBlock, TextChunk, ToolCallChunk
from life.aios.record import USER, Actor, EventRecord
from life.aios.state import RiskLevel
from life.arcan.errors import NothingToDecideError, ProviderRejectedError, RunInProgressError
from life.arcan.events import RunLimits
from life.arcan.reports import RunReport
from life.arcan.runtime import MAX_OBJECTIVE_CHARACTERS, Runtime

DIRECT: Final = "direct"
"""The provider specification of sessions that only carry direct calls."""

DEFAULT_MAX_LANES: Final = 16
MAX_REMEMBERED: Final = 512
CALLS_PER_LANE: Final = 400
"""After so many calls a lane is left alone, because its conversation is kept in memory."""

_LANE: Final = re.compile(r"(?P<home>[A-Za-z0-9][A-Za-z0-9_-]*)-(?P<number>[1-9][0-9]{0,5})")
_PAGE: Final = 200

CallStatus = Literal["ok", "error", "waiting", "in_doubt"]


class DirectCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the objective of a direct run spells, as JSON."""

    direct_call: str
    """The tool's name."""
    arguments: Json = None


class DirectOutcome(NamedTuple):
    """How a direct call stands."""

    status: CallStatus
    output: Json
    """The tool's output; `{"error": …}` when there is none."""
    session_id: str
    run_id: str
    approval_id: str | None = None
    """With `waiting`: what a person has to decide."""
    call_id: str | None = None
    risk: RiskLevel = "low"


class DirectCallProvider:
    """The "model" of direct runs: a pure function of the request, so a run goes on after a crash where it was."""

    @property
    def name(self) -> str:
        """`direct`."""
        return DIRECT

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The call that the last message spells; after its result, the end. ProviderRejectedError: nothing is spelled."""
        said = [block.text for block in request.messages[-1].content if isinstance(block, TextBlock)]
        if not said:
            yield TextChunk("The call has ended.")
            yield StopChunk("completed", None, DIRECT)
            return
        try:
            wanted = msgspec.json.decode(said[-1], type=DirectCall)
        except msgspec.DecodeError:
            raise ProviderRejectedError("This session takes direct calls only, not objectives.") from None
        place = request.earlier_answers + sum(message.role == "assistant" for message in request.messages)
        yield ToolCallChunk(f"direct-{place}", wanted.direct_call, wanted.arguments)
        yield StopChunk("tool_call", None, DIRECT)


class _Heard:
    """How far somebody has heard what happens in a run."""

    def __init__(self, observe: Callable[[EventRecord], None] | None, run_id: str, sequence: int) -> None:
        self._observe = observe
        self._run_id = run_id
        self.sequence = sequence

    def hear(self, record: EventRecord) -> None:
        """Pass on one durable event of the run, once."""
        if record.sequence <= self.sequence:
            return
        self.sequence = record.sequence
        if self._observe is not None and record.correlation_id == self._run_id:
            self._observe(record)


def home_of(session_id: str) -> str | None:
    """The home of a lane's session id; None when it has not the form of one."""
    lane = _LANE.fullmatch(session_id)
    return None if lane is None else lane["home"]


class DirectCalls:
    """Runs direct calls. The runtime's `open_provider` must know `DIRECT`."""

    def __init__(
        self,
        runtime: Runtime,
        journal: Journal,
        *,
        limits: RunLimits | None = None,
        max_lanes: int = DEFAULT_MAX_LANES,
    ) -> None:
        self._runtime = runtime
        self._journal = journal
        self._limits = limits or RunLimits(max_steps=3, max_tool_calls=3, max_time_ms=3_600_000)
        self._max_lanes = max_lanes
        self._busy: set[str] = set()
        self._used: dict[str, int] = {}
        self._waiting: dict[str, tuple[str, str]] = {}
        """What waits for a person: key of the call → session and run."""

    async def call(
        self,
        home: str,
        tool: str,
        arguments: JsonObject,
        *,
        actor: Actor = USER,
        owner: str = "",
        observe: Callable[[EventRecord], None] | None = None,
    ) -> DirectOutcome:
        """Run one call to its end, or until a person has to decide. Cancelling this cancels the run: what a stopped tool
        did is probed. `observe` hears the run's durable events. InvalidInputError: the arguments are too long."""
        objective = msgspec.json.encode(DirectCall(tool, arguments), order="deterministic").decode()
        if len(objective) > MAX_OBJECTIVE_CHARACTERS:
            raise InvalidInputError(f"The arguments of a call have at most {MAX_OBJECTIVE_CHARACTERS} characters.")
        key = hashlib.sha256(f"{home}\x00{owner}\x00{objective}".encode()).hexdigest()
        known = self._waiting.get(key)
        if known is not None:
            return await self._settle(key, *known, observe=observe)
        lane = await self._take_lane(home, owner)
        try:
            head = (await self._runtime.state(lane)).head
            run_id = await self._runtime.start(lane, objective, limits=self._limits, actor=actor)
            return await self._settle(key, lane, run_id, observe=observe, after=head)
        finally:
            self._busy.discard(lane)

    async def decide(
        self, outcome: DirectOutcome, *, approved: bool, actor: str, reason: str | None = None
    ) -> DirectOutcome:
        """Decide about a call that waits, and give what became of it. A decision that came too late changes nothing."""
        key = next((key for key, place in self._waiting.items() if place == (outcome.session_id, outcome.run_id)), "")
        if outcome.approval_id is not None:
            try:
                await self._runtime.resolve_approval(
                    outcome.session_id, outcome.approval_id, approved=approved, actor=actor, reason=reason
                )
            except NothingToDecideError:
                pass  # somebody else decided, or its time ran out
        return await self._settle(key, outcome.session_id, outcome.run_id, observe=None)

    async def _settle(
        self,
        key: str,
        session_id: str,
        run_id: str,
        *,
        observe: Callable[[EventRecord], None] | None,
        after: int | None = None,
    ) -> DirectOutcome:
        """Wait for the run's end or for the moment at which it needs a person."""
        heard = _Heard(observe, run_id, after or 0)
        listening: asyncio.Task[None] | None = None
        if observe is not None and after is not None:
            listening = asyncio.get_running_loop().create_task(self._listen(session_id, heard))
        try:
            report = await self._runtime.wait(session_id, run_id)
        except asyncio.CancelledError:
            await asyncio.shield(self._cancel(session_id, run_id))
            self._waiting.pop(key, None)
            raise
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        if listening is not None:
            await self._tell_rest(session_id, heard)
        if report.status in ("waiting", "in_doubt") and report.pending is not None:
            if key:
                self._waiting[key] = (session_id, run_id)
                while len(self._waiting) > MAX_REMEMBERED:  # of those that were decided and never asked for again
                    self._waiting.pop(next(iter(self._waiting)))
            pending = report.pending
            words = pending.explanation or "A person has to decide about this call."
            return DirectOutcome(
                "waiting" if report.status == "waiting" else "in_doubt",
                {"error": words},
                session_id,
                run_id,
                pending.approval_id,
                pending.call_id,
                pending.risk,
            )
        self._waiting.pop(key, None)
        return await self._result(report)

    async def _cancel(self, session_id: str, run_id: str) -> None:
        """Stop the run if it is this one that is open."""
        run = (await self._runtime.state(session_id)).run
        if run is not None and run.run_id == run_id:
            await self._runtime.cancel(session_id)

    async def _listen(self, session_id: str, heard: _Heard) -> None:
        async with aclosing(self._runtime.subscribe(session_id, heard.sequence)) as records:
            async for record in records:
                heard.hear(record)

    async def _tell_rest(self, session_id: str, heard: _Heard) -> None:
        """What happened after the last event that the listener came to."""
        while True:
            query = EventQuery(session_id, MAIN_BRANCH, after_sequence=heard.sequence)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                heard.hear(record)
            if len(page) < _PAGE:
                return

    async def _result(self, report: RunReport) -> DirectOutcome:
        """The outcome of the finished run's call, as the journal has it."""
        session_id, run_id = report.session_id, report.run_id
        started = await self._journal.get(run_id)
        after = 0 if started is None else started.sequence
        status: CallStatus = "error"
        output: Json = {"error": report.error or f"The call ended without a result ({report.reason})."}
        call_id: str | None = None
        while True:
            query = EventQuery(
                session_id, MAIN_BRANCH, after_sequence=after, kinds=("ToolCallCompleted", "ToolCallFailed")
            )
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                after = record.sequence
                if record.correlation_id != run_id:
                    continue
                kind = record.kind
                if isinstance(kind, events.ToolCallCompleted):
                    status, output, call_id = "ok" if kind.status == "ok" else "error", kind.result, kind.call_id
                elif isinstance(kind, events.ToolCallFailed):
                    status, output, call_id = "error", {"error": kind.error}, kind.call_id
            if len(page) < _PAGE:
                return DirectOutcome(status, output, session_id, run_id, call_id=call_id)

    async def _take_lane(self, home: str, owner: str) -> str:
        """A session of this home in which no run is open, marked as taken. RunInProgressError: all lanes are in use."""
        check_path_id(home)
        number = 0
        tried = 0
        while tried < self._max_lanes:
            number += 1
            lane = f"{home}-{number}"
            if self._used.get(lane, 0) >= CALLS_PER_LANE:
                continue
            tried += 1
            if lane in self._busy:
                continue
            self._busy.add(lane)
            if await self._is_free(lane, owner):
                self._used[lane] = self._used.get(lane, 0) + 1
                return lane
            self._busy.discard(lane)
        raise RunInProgressError(f"{home}-{number}", "of other calls")

    async def _is_free(self, lane: str, owner: str) -> bool:
        """Whether the lane is ours and has no open run. Sessions that somebody else made under its name are passed by."""
        try:
            state = await self._runtime.create_session(
                lane, name="Direct calls", owner=owner, provider=DIRECT, system_prompt=""
            )
        except BaseException:
            self._busy.discard(lane)
            raise
        if state.config.provider != DIRECT or state.config.owner != owner or state.closed or state.run is not None:
            return False
        self._used.setdefault(lane, state.totals.runs)
        return self._used[lane] < CALLS_PER_LANE
