"""Tasks that one identity asks another to do (A2A): a row with a state machine; only the two of them see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, structs

from life.spaces.commands import CreateTask, UpdateTask
from life.spaces.errors import (
    ForbiddenError,
    InvalidArgumentError,
    SpacesConflictError,
    SpacesNotFoundError,
    TooLongError,
)
from life.spaces.identity import check_identity
from life.spaces.model import Block, Task, TaskState
from life.spaces.reducers.access import channel_of, name_of, notify, profile_of
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import check_client_id

MAX_BODY_BYTES: Final = 256 * 1024
MAX_OPEN: Final = 1000
"""Tasks that are not over, per owner and agent."""

TERMINAL: Final[frozenset[TaskState]] = frozenset({"completed", "failed", "canceled", "rejected"})
MOVES: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    "submitted": frozenset({"working", "rejected", "canceled", "failed", "auth_required", "input_required"}),
    "working": frozenset({"working", "input_required", "auth_required", "completed", "failed", "canceled", "rejected"}),
    "input_required": frozenset({"working", "completed", "failed", "canceled", "rejected"}),
    "auth_required": frozenset({"working", "completed", "failed", "canceled", "rejected"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
    "rejected": frozenset(),
}
"""From where to where a task may go (spaces.md §10.3). The body of an open task may change without a move."""
_OWNER_MOVES: Final[frozenset[tuple[TaskState, TaskState]]] = frozenset(
    {
        ("submitted", "canceled"),
        ("working", "canceled"),
        ("input_required", "canceled"),
        ("auth_required", "canceled"),
        ("input_required", "working"),
        ("auth_required", "working"),
    }
)
"""What the owner may do: cancel, and answer what was asked."""


def create_task(command: CreateTask, tx: Transaction) -> Task:
    """A submitted task. The same owner's `message_id` in the same context again is the same task."""
    owner = tx.caller.identity
    profile_of(tx, owner)
    agent = check_identity(command.agent)
    profile_of(tx, agent)
    for what in (command.task_id, command.context_id, command.message_id):
        if check_client_id(what) is None:
            raise InvalidArgumentError("A task has ids.")
    if tx.get(Block, (agent, owner)) is not None:
        raise ForbiddenError("They take no tasks from you.")
    for earlier in tx.find(Task, ("owner", "context_id"), (owner, command.context_id)):
        if earlier.message_id == command.message_id:
            return earlier
    if tx.get(Task, command.task_id) is not None:
        raise SpacesConflictError("The task id is taken.")
    _check_body(command.body)
    if command.channel_id:
        channel_of(tx, command.channel_id)
    for fields, value in ((("owner",), owner), (("agent",), agent)):
        if sum(task.state not in TERMINAL for task in tx.find(Task, fields, value)) >= MAX_OPEN:
            raise SpacesConflictError("Too many tasks are open.")
    task = tx.put(
        Task(
            task_id=command.task_id,
            context_id=command.context_id,
            owner=owner,
            agent=agent,
            channel_id=command.channel_id,
            thread_id=command.thread_id,
            message_id=command.message_id,
            body=command.body,
            created_us=tx.now_us,
            updated_us=tx.now_us,
        )
    )
    tx.emit("a2a.task_created")
    notify(tx, agent, "task", f"{name_of(tx, owner)} asks you for work", ref=f"task:{task.task_id}")
    return task


def update_task(command: UpdateTask, tx: Transaction) -> Task:
    """Another state or body; illegal moves are refused."""
    task = tx.get(Task, command.task_id)
    mine = tx.caller.identity
    if task is None or mine not in (task.owner, task.agent):
        raise SpacesNotFoundError("There is no such task.")
    if command.expected_version and command.expected_version != task.version:
        raise SpacesConflictError("The task was changed meanwhile.", details={"version": task.version})
    body = task.body if command.body is UNSET else _check_body(command.body)
    if command.state == task.state and body == task.body:
        return task
    if task.state in TERMINAL or (command.state != task.state and command.state not in MOVES[task.state]):
        raise SpacesConflictError(
            f"A task that is {task.state} can't become {command.state}.", details={"state": task.state}
        )
    if mine != task.agent and (task.state, command.state) not in _OWNER_MOVES:
        raise ForbiddenError("Only the agent that works on it makes this move.")
    changed = tx.put(
        structs.replace(task, state=command.state, body=body, version=task.version + 1, updated_us=tx.now_us)
    )
    tx.emit("a2a.task_updated")
    if changed.state != task.state:
        other = task.owner if mine == task.agent else task.agent
        notify(tx, other, "task", f"A task is {changed.state} now", ref=f"task:{task.task_id}")
    return changed


def _check_body(body: str) -> str:
    if len(body) > MAX_BODY_BYTES or len(body.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES:
        raise TooLongError(
            f"A task's body has at most {MAX_BODY_BYTES} bytes.", details={"limit_bytes": MAX_BODY_BYTES}
        )
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise InvalidArgumentError("A task's body is JSON.") from None
    return body


REDUCERS: Final = {CreateTask: create_task, UpdateTask: update_task}
