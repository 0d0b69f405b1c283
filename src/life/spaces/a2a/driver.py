"""One task from its submission to its end.

    SUBMITTED ── free ──────────────────────────────▶ WORKING ─▶ COMPLETED | FAILED | REJECTED | CANCELED
        └─ paid ─▶ INPUT_REQUIRED ─ payment settled ─▶ WORKING ◀─▶ INPUT_REQUIRED (a tool call waits for a decision)

Everything that matters is on disk before the next thing happens, and starting is idempotent by the task's id, so a driver that is
started again after a crash finds the same run and tells the rest of it. Tasks of one context take turns, as they share a
conversation. A payment is settled before the work begins; one whose outcome is unknown is asked for again with the same payload, for
ever, and never replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from life.aios.errors import LifeError
from life.aios.ids import derived_event_id
from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.spaces.a2a import payment
from life.spaces.a2a.errors import TaskNotCancelableError, WorkPausedError
from life.spaces.a2a.events import PaymentEnded
from life.spaces.a2a.ledger import TaskLedger
from life.spaces.a2a.ports import Asks, Decided, Finished, Till, Worker, Wrote
from life.spaces.a2a.state import TaskRecord
from life.spaces.a2a.wire import (
    MAX_PART_CHARACTERS,
    Artifact,
    ArtifactUpdate,
    Message,
    Part,
    StreamResponse,
    TaskState,
    text_part,
)

ANSWER: Final = "answer"
"""The id of the artifact that a task's text stands in."""
_CHARGE_AGAIN_S: Final = (1, 2, 5, 15, 60)
_ENDS: Final = {
    "completed": TaskState.COMPLETED,
    "canceled": TaskState.CANCELED,
    "rejected": TaskState.REJECTED,
    "failed": TaskState.FAILED,
}
_log: Final = logging.getLogger("life.spaces.a2a")


class Drivers:
    """The drivers of all tasks. Close them with `aclose`; what was not finished goes on after the next start."""

    def __init__(self, ledger: TaskLedger, worker: Worker, clock: Clock, *, till: Till | None) -> None:
        self._ledger = ledger
        self._worker = worker
        self._clock = clock
        self._till = till
        self.runs: dict[str, str] = {}
        """The runs of tasks that were begun here."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._at_work: set[str] = set()

    def drive(self, task_id: str) -> None:
        """Take a task on, unless it is driven already, is over, or waits for money."""
        task = self._ledger.tasks.get(task_id)
        if task is None or task.is_over or task.needs_payment or task_id in self._running:
            return
        driving = asyncio.create_task(self._drive(task))
        self._running[task_id] = driving
        driving.add_done_callback(lambda _done: self._ended(task_id))

    async def aclose(self) -> None:
        """Stop."""
        running = list(self._running.values())
        for driving in running:
            driving.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def cancel(self, task: TaskRecord) -> None:
        """Stop a task's work; its status follows from how the run ends. A task that waits for its turn is over at once.
        TaskNotCancelableError while its payment is being settled."""
        if task.payload is not None and not task.has_paid:
            raise TaskNotCancelableError("The task's payment is being settled.", next_step="Try again in a moment.")
        if task.task_id in self._at_work:
            await self._worker.cancel(conversation_of(task))
            return
        driving = self._running.pop(task.task_id, None)
        if driving is not None:
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
        await self._ledger.move(task.task_id, TaskState.CANCELED, "The client cancelled the task.")

    def _ended(self, task_id: str) -> None:
        self._running.pop(task_id, None)
        self._at_work.discard(task_id)
        self.runs.pop(task_id, None)
        self._ledger.live.pop(task_id, None)

    async def _drive(self, task: TaskRecord) -> None:
        try:
            if task.is_paid and not task.has_paid and not await self._charge(task):
                return
            conversation = conversation_of(task)
            turn = self._turns.setdefault(conversation, asyncio.Lock())
            try:
                async with turn:
                    await self._work(task.task_id, conversation)
            finally:
                if not turn.locked():
                    self._turns.pop(conversation, None)
        except WorkPausedError:
            pass  # the next start takes it up
        except LifeError as error:
            _log.warning("Task %s failed: %s", task.task_id, error.message)
            await self._end(task, Finished("failed", error.message), ())
        except Exception:
            _log.exception("Task %s failed", task.task_id)
            await self._end(task, Finished("failed", "A part of this agent failed; its log has the details."), ())

    # ---- money

    async def _charge(self, task: TaskRecord) -> bool:
        """Settle the payment that was brought; whether the work may begin."""
        payload = task.payload
        if self._till is None or not isinstance(payload, Mapping):
            await self._end(task, Finished("failed", "This agent takes no payments any more."), ())
            return False
        tries = 0
        while True:
            charged = await self._till.charge(task.skill_id, task.task_id, payload)
            if not charged.is_open:
                break
            await self._clock.sleep_us(_CHARGE_AGAIN_S[min(tries, len(_CHARGE_AGAIN_S) - 1)] * 1_000_000)
            tries += 1
        await self._ledger.write(
            PaymentEnded(
                task_id=task.task_id, is_paid=charged.is_paid, receipt=charged.receipt, error=charged.error[:500]
            )
        )
        if charged.is_paid:
            paid = payment.completed(charged.receipt)
            await self._ledger.move(task.task_id, TaskState.WORKING, "The payment is settled.", metadata=paid)
            return True
        terms = await self._till.terms(task.skill_id)
        words = f"The payment was refused: {charged.error}"
        refused = payment.failed(terms, charged.error, charged.receipt)
        await self._ledger.move(task.task_id, TaskState.INPUT_REQUIRED, words, metadata=refused)
        return False

    # ---- work

    async def _work(self, task_id: str, conversation: str) -> None:
        task = self._ledger.tasks.get(task_id)
        if task is None or task.is_over:
            return
        self._at_work.add(task_id)
        run_id = self.runs[task_id] = await self._worker.start(
            conversation, task.owner, task_id, words_of(task.history[0])
        )
        if task.state is TaskState.SUBMITTED:
            await self._ledger.move(task_id, TaskState.WORKING)
        written = _Answer(self._ledger, task)
        self._ledger.live[task_id] = written.artifacts
        async with aclosing(self._worker.follow(conversation, run_id)) as progress:
            async for step in progress:
                match step:
                    case Wrote():
                        written.add(step.text)
                    case Asks():
                        await self._ask(task_id, step)
                    case Decided():
                        now = self._ledger.tasks.get(task_id)
                        if now is not None and now.waits_for == step.approval_id:
                            await self._ledger.move(task_id, TaskState.WORKING)
                    case Finished():
                        written.close()
                        await self._end(task, step, written.artifacts())
                        return

    async def _ask(self, task_id: str, call: Asks) -> None:
        now = self._ledger.tasks.get(task_id)
        if now is None or now.waits_for == call.approval_id:
            return  # told before a restart
        question: Json = {
            "approvalId": call.approval_id,
            "toolName": call.tool_name,
            "arguments": call.arguments,
            "answer": {"approved": True},
        }
        words = f"May I use the tool {call.tool_name}? Answer with the data {{'approved': true}} or false."
        await self._ledger.move(
            task_id,
            TaskState.INPUT_REQUIRED,
            words,
            data=Part(data=question, media_type="application/json"),
            waits_for=call.approval_id,
        )

    async def _end(self, task: TaskRecord, end: Finished, artifacts: tuple[Artifact, ...]) -> None:
        state = _ENDS.get(end.outcome, TaskState.FAILED)
        now = self._ledger.tasks.get(task.task_id) or task
        paid = payment.completed(now.receipt) if now.has_paid else None
        words = end.note or ("It is done." if paid else "")
        await self._ledger.move(task.task_id, state, words, metadata=paid, artifacts=artifacts)


class _Answer:
    """The text of a task as it grows."""

    def __init__(self, ledger: TaskLedger, task: TaskRecord) -> None:
        self._ledger = ledger
        self._task = task
        self._parts: list[str] = []

    def artifacts(self) -> tuple[Artifact, ...]:
        """What stands by now."""
        return (_artifact("".join(self._parts)),) if self._parts else ()

    def add(self, text: str) -> None:
        """More."""
        if not text:
            return
        is_more = bool(self._parts)
        self._parts.append(text)
        self._tell(text, append=is_more, last=False)

    def close(self) -> None:
        """That was all."""
        if self._parts:
            self._tell("", append=True, last=True)

    def _tell(self, text: str, *, append: bool, last: bool) -> None:
        artifact = Artifact(artifact_id=ANSWER, name=ANSWER, parts=(text_part(text),))
        update = ArtifactUpdate(
            task_id=self._task.task_id,
            context_id=self._task.context_id,
            artifact=artifact,
            append=append,
            last_chunk=last,
        )
        self._ledger.feed.tell(self._task.task_id, StreamResponse(artifact_update=update))


def _artifact(text: str) -> Artifact:
    """The text in parts that every reader takes."""
    pieces = [text[at : at + MAX_PART_CHARACTERS] for at in range(0, len(text), MAX_PART_CHARACTERS)]
    return Artifact(artifact_id=ANSWER, name=ANSWER, parts=tuple(text_part(piece) for piece in pieces))


def conversation_of(task: TaskRecord) -> str:
    """The session of a task's context. Two owners never meet in one, whatever they call their contexts."""
    return f"a2a-{derived_event_id('spaces.a2a_context', task.owner, task.context_id)}"


def words_of(message: Message) -> str:
    """A message as text; data as JSON."""
    words: list[str] = []
    for part in message.parts:
        if isinstance(part.text, str):
            words.append(part.text)
        elif part.data is not msgspec.UNSET:
            words.append(f"```json\n{msgspec.json.encode(part.data).decode()}\n```")
    return "\n\n".join(words)
