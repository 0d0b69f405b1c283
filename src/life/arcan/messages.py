"""Talking to a session while it works: queued messages, pausing, continuing (arcan.md §2.9)."""

from __future__ import annotations

import asyncio

import msgspec

from life.aios import events
from life.aios.errors import InvalidInputError
from life.aios.record import USER, Actor, Stream
from life.aios.state import SteeringMode
from life.arcan.approvals import stop_expiry
from life.arcan.control import Resumed, RunContinued, RunPaused, control
from life.arcan.desk import Desk, check_text
from life.arcan.errors import (
    NoOpenRunError,
    NothingToDecideError,
    PromptRefusedError,
    QueueFullError,
    SessionClosedError,
)
from life.arcan.live import LiveSession
from life.arcan.plan import moves_alone
from life.arcan.queue import MAX_DEPTH

MAX_MESSAGE_CHARACTERS = 200_000
"""Longest message that is accepted."""


class QueuedReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a message: it began a run, or it waits at a place of the queue (1 is next of its mode)."""

    session_id: str
    queued: bool
    run_id: str | None = None
    queue_id: str | None = None
    queue_position: int = 0


class Messages:
    """The queue of every session, and the pause button."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def enqueue(
        self, stream: Stream, message: str, mode: SteeringMode, *, actor: Actor = USER
    ) -> QueuedReceipt | None:
        """Queue a message behind the open run; None when no run is open, and the caller should begin one.

        QueueFullError when ten wait already; the message is durable when this returns.
        """
        check_message(message)
        async with self._desk.deciding(*stream) as live:
            state = live.log.state
            if state.closed:
                raise SessionClosedError(stream.session_id)
            if state.run is None:
                return None
            if len(state.queue) >= MAX_DEPTH:
                raise QueueFullError(stream.session_id, MAX_DEPTH)
            await prompt_allowed(self._desk, stream, message)
            queue_id = self._desk.new_id()
            live.log.add(events.Queued(queue_id=queue_id, mode=mode, message=message), actor=actor)
            await self._durable(live)
            live.heed(mode)
            if not live.is_driven and moves_alone(live.log.state, self._desk.parts.clock.now_us()):
                # It waited for a person, or its run ended just now.
                stop_expiry(live)
                self._desk.drive(live)
            position = sum(1 for other in state.queue if other.mode == mode) + 1
            return QueuedReceipt(session_id=stream.session_id, queued=True, queue_id=queue_id, queue_position=position)

    async def withdraw(self, stream: Stream, queue_id: str, *, actor: str) -> None:
        """Take a message back that waits; durable on return. NothingToDecideError when it does not wait (any more), and for an interrupt:
        the model's answer was cut for it already."""
        check_text(actor)
        async with self._desk.deciding(*stream) as live:
            waiting = [message for message in live.log.state.queue if message.queue_id == queue_id]
            if not waiting or waiting[0].mode == "interrupt":
                raise NothingToDecideError(stream.session_id, f"the message {queue_id}")
            live.log.add(events.QueueDrained(queue_id=queue_id, processed=0), actor=Actor("user", actor))
            await self._durable(live)

    async def pause(self, stream: Stream, *, actor: str) -> str:
        """Begin nothing new in the open run, until `go_on`; the run's id. What is being done now is let finish. Durable, and pausing twice
        is fine. NoOpenRunError without a run."""
        check_text(actor)
        async with self._desk.deciding(*stream) as live:
            run = live.log.state.run
            if run is None:
                raise NoOpenRunError(stream.session_id)
            if not live.log.state.held:
                live.log.add(control(RunPaused(actor=actor)), actor=Actor("user", actor))
                await self._durable(live)
            return run.run_id

    async def go_on(self, stream: Stream, *, actor: str) -> str:
        """Let a paused run go on; its id. NoOpenRunError without a run; continuing one that is not paused is fine."""
        check_text(actor)
        async with self._desk.deciding(*stream) as live:
            run = live.log.state.run
            if run is None:
                raise NoOpenRunError(stream.session_id)
            if live.log.state.held:
                live.log.add(control(RunContinued(actor=actor)), actor=Actor("user", actor))
                await self._durable(live)
            return self._desk.drive_on(live)

    async def wake(self, stream: Stream, *, actor: Actor, reason: str) -> bool:
        """Let a run that the regulator suspended go on; False when there is none. It is asked again before the next step."""
        check_text(reason)
        async with self._desk.deciding(*stream) as live:
            if live.log.state.run is None or not live.log.state.suspended:
                return False
            name = actor.component or actor.type
            live.log.add(control(Resumed(actor=name, reason=reason)), actor=actor)
            await self._durable(live)
            self._desk.drive_on(live)
            return True

    async def _durable(self, live: LiveSession) -> None:
        """Commit beside the driver. A caller who leaves must not cut a commit off that the run shares."""
        await asyncio.shield(asyncio.get_running_loop().create_task(live.log.commit()))


def check_message(message: str) -> None:
    """InvalidInputError for nothing, too much, or half characters."""
    if not message.strip() or len(message) > MAX_MESSAGE_CHARACTERS:
        raise InvalidInputError(f"The message must have 1 to {MAX_MESSAGE_CHARACTERS} characters.")
    check_text(message)


async def prompt_allowed(desk: Desk, stream: Stream, message: str) -> None:
    """Ask the hooks of `user_prompt_submit`; PromptRefusedError with their reason."""
    hooks = desk.parts.hooks
    if hooks.listens("user_prompt_submit"):
        veto = await hooks.fire("user_prompt_submit", {"message": message}, session_id=stream.session_id)
        if veto is not None:
            raise PromptRefusedError(veto.reason)
