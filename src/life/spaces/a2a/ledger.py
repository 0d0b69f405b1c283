"""The tasks on disk and in memory: facts are written first, then believed, then told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventWriter
from life.spaces.a2a.events import TASKS, Fact, MessageAdded, StatusSet, TaskOpened, fact_event, read_fact
from life.spaces.a2a.feed import Feed
from life.spaces.a2a.state import TaskRecord, Tasks, may_move
from life.spaces.a2a.wire import (
    Artifact,
    Message,
    Metadata,
    Part,
    Role,
    StatusUpdate,
    StreamResponse,
    Task,
    TaskState,
    text_part,
)

_PAGE: Final = 500


class TaskLedger:
    """See the module. `changed` is called after every change that clients are told of."""

    def __init__(self, journal: Journal, *, clock: Clock, entropy: Entropy, agent_id: str) -> None:
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._writer = EventWriter(clock, entropy, agent_id=agent_id, stream=TASKS)
        self._lock = asyncio.Lock()
        self.tasks = Tasks()
        self.feed = Feed()
        self.live: dict[str, Callable[[], tuple[Artifact, ...]]] = {}
        """Artifacts that are being written."""
        self.changed: Callable[[TaskRecord], None] = lambda _task: None

    async def load(self) -> None:
        """Read every task."""
        after = 0
        while True:
            page = await self._journal.read(EventQuery(*TASKS, after_sequence=after), limit=_PAGE)
            for record in page:
                fact = read_fact(record.kind)
                if fact is not None:
                    self.tasks.apply(fact, record.timestamp_us)
            if len(page) < _PAGE:
                return
            after = page[-1].sequence

    async def write(self, fact: Fact, *, event_id: str | None = None) -> TaskRecord | None:
        """Write a fact; the task that it changed. A fact that is on disk already, and known, changes nothing.
        EventConflictError when another stands under this id."""
        async with self._lock:
            event = self._writer.event(fact_event(fact), event_id=event_id)
            await self._journal.append([event])
            changed = self.tasks.apply(fact, event.timestamp_us)
        if changed is None:
            return None
        if isinstance(fact, StatusSet):
            update = StatusUpdate(task_id=changed.task_id, context_id=changed.context_id, status=changed.status)
            self.feed.tell(changed.task_id, StreamResponse(status_update=update))
        if isinstance(fact, StatusSet | TaskOpened | MessageAdded):
            self.changed(changed)
        return changed

    async def move(
        self,
        task_id: str,
        state: TaskState,
        words: str = "",
        *,
        metadata: Metadata | None = None,
        data: Part | None = None,
        artifacts: tuple[Artifact, ...] = (),
        waits_for: str = "",
    ) -> TaskRecord | None:
        """Set a task's status; None when it may not move there (any more)."""
        task = self.tasks.get(task_id)
        if task is None or not may_move(task.state, state):
            return None
        message = self.say(task, words, metadata=metadata, data=data) if words else None
        return await self.write(
            StatusSet(task_id=task_id, state=state, message=message, artifacts=artifacts, waits_for=waits_for)
        )

    def say(
        self, task: TaskRecord, words: str, *, metadata: Metadata | None = None, data: Part | None = None
    ) -> Message:
        """A message of the agent about a task."""
        return Message(
            message_id=new_id(self._clock, self._entropy),
            context_id=task.context_id,
            task_id=task.task_id,
            role=Role.AGENT,
            parts=(text_part(words),) if data is None else (text_part(words), data),
            metadata=metadata,
        )

    def told(self, task: TaskRecord, *, history_length: int | None = None) -> Task:
        """A task as the protocol tells it, with what is being written."""
        live = self.live.get(task.task_id)
        artifacts = None if live is None or task.is_over else live()
        return task.task(artifacts=artifacts, history_length=history_length)

    def new_id(self) -> str:
        """For contexts and configurations."""
        return new_id(self._clock, self._entropy)
