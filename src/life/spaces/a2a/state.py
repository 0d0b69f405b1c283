"""Every task as it stands: the fold over `spaces.a2a_…`.

A move that the protocol does not know changes nothing, so a journal with a doubled or late event folds to the same tasks. Of tasks
that are over the newest KEPT stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from life.aios.json import Json
from life.spaces.a2a.events import (
    Fact,
    MessageAdded,
    PaymentEnded,
    PaymentSubmitted,
    PushDeleted,
    Pushed,
    PushSet,
    StatusSet,
    TaskOpened,
)
from life.spaces.a2a.wire import TERMINAL, Artifact, Message, Task, TaskState, TaskStatus, timestamp

KEPT: Final = 10_000
"""How many tasks that are over are remembered."""

_GOING: Final = frozenset(
    (TaskState.WORKING, TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED, *TERMINAL),
)


class PushState(msgspec.Struct, frozen=True, kw_only=True):
    """One push configuration. `revision`: the last update that was posted or given up."""

    config_id: str
    url: str
    secrets: str
    revision: int = 0


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One task."""

    task_id: str
    context_id: str
    owner: str
    skill_id: str = ""
    is_paid: bool = False
    state: TaskState = TaskState.SUBMITTED
    status_message: Message | None = None
    waits_for: str = ""
    history: tuple[Message, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    payload: Json = None
    """The payment that was brought."""
    receipt: Json = None
    has_paid: bool = False
    created_us: int = 0
    updated_us: int = 0
    revision: int = 1
    """Counts the changes that clients are told of."""
    pushes: tuple[PushState, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it can't change any more."""
        return self.state in TERMINAL

    @property
    def needs_payment(self) -> bool:
        """Whether it waits for a payment."""
        return self.is_paid and not self.has_paid and self.payload is None

    def task(self, *, artifacts: tuple[Artifact, ...] | None = None, history_length: int | None = None) -> Task:
        """As the protocol tells it; `artifacts` are those that are being written."""
        history = self.history
        if history_length is not None:
            history = history[-history_length:] if history_length > 0 else ()
        return Task(
            id=self.task_id,
            context_id=self.context_id,
            status=self.status,
            artifacts=self.artifacts if artifacts is None else artifacts,
            history=history,
        )

    @property
    def status(self) -> TaskStatus:
        """Its status."""
        return TaskStatus(state=self.state, message=self.status_message, timestamp=timestamp(self.updated_us))


class Tasks:
    """The fold's value. `apply` it to each fact in order; read it as a mapping."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskRecord] = {}
        self._over: dict[str, None] = {}

    @property
    def all(self) -> Mapping[str, TaskRecord]:
        """By id, oldest first."""
        return self._tasks

    def get(self, task_id: str) -> TaskRecord | None:
        """One of them."""
        return self._tasks.get(task_id)

    def apply(self, fact: Fact, at_us: int) -> TaskRecord | None:
        """Take in the next fact; the task that it changed, if it changed one."""
        known = self._tasks.get(fact.task_id)
        if known is None:
            return self._opened(fact, at_us) if isinstance(fact, TaskOpened) else None
        changed = _changed(known, fact, at_us)
        if changed is None:
            return None
        self._tasks[fact.task_id] = changed
        if changed.is_over and not known.is_over:
            self._over[fact.task_id] = None
            while len(self._over) > KEPT:
                oldest = next(iter(self._over))
                del self._over[oldest], self._tasks[oldest]
        return changed

    def _opened(self, fact: TaskOpened, at_us: int) -> TaskRecord:
        made = TaskRecord(
            task_id=fact.task_id,
            context_id=fact.context_id,
            owner=fact.owner,
            skill_id=fact.skill_id,
            is_paid=fact.is_paid,
            history=(fact.message,),
            created_us=at_us,
            updated_us=at_us,
        )
        self._tasks[fact.task_id] = made
        return made


def may_move(before: TaskState, after: TaskState) -> bool:
    """Whether a task may go from one state to another: nothing leaves an end, nothing goes back to SUBMITTED."""
    return before not in TERMINAL and after in _GOING


def _changed(task: TaskRecord, fact: Fact, at_us: int) -> TaskRecord | None:
    match fact:
        case StatusSet():
            return _moved(task, fact, at_us)
        case MessageAdded():
            if task.is_over or any(fact.message.message_id == said.message_id for said in task.history):
                return None
            return replace(task, history=(*task.history, fact.message))
        case PaymentSubmitted():
            if task.is_over or not task.is_paid or task.has_paid or task.payload is not None:
                return None
            return replace(task, payload=fact.payload)
        case PaymentEnded():
            if task.payload is None or task.has_paid:
                return None
            if fact.is_paid:
                return replace(task, has_paid=True, receipt=fact.receipt)
            return replace(task, payload=None, receipt=fact.receipt)
        case PushSet():
            others = tuple(push for push in task.pushes if push.config_id != fact.config_id)
            made = PushState(config_id=fact.config_id, url=fact.url, secrets=fact.secrets, revision=fact.revision)
            return replace(task, pushes=(*others, made))
        case PushDeleted():
            return replace(task, pushes=tuple(push for push in task.pushes if push.config_id != fact.config_id))
        case Pushed():
            pushes = tuple(
                replace(push, revision=max(push.revision, fact.revision)) if push.config_id == fact.config_id else push
                for push in task.pushes
            )
            return replace(task, pushes=pushes)
    return None


def _moved(task: TaskRecord, fact: StatusSet, at_us: int) -> TaskRecord | None:
    if not may_move(task.state, fact.state):
        return None
    history = task.history
    if task.status_message is not None:
        history = (*history, task.status_message)
    return replace(
        task,
        state=fact.state,
        status_message=fact.message,
        waits_for=fact.waits_for,
        artifacts=fact.artifacts or task.artifacts,
        history=history,
        updated_us=max(at_us, task.updated_us),
        revision=task.revision + 1,
    )
