"""Messages that come while a run is going on: collect, steer, followup, interrupt (arcan.md §2.9, aios.md §15).

    interrupt   the model's stream is cut, a running tool is let finish; the run ends as `interrupted` and the message
                begins the next one
    steer       after the running tool (or the model's answer) the rest of the step's calls are dropped, and the same run
                goes on with the message as its newest turn
    followup    a run of its own after the open one, one message each
    collect     after the follow-ups: all collected messages together begin one run; those that came within two seconds of
                each other are one turn

Interrupts come before steering messages, those before follow-ups, those before collected ones; within a mode the older message
comes first. A tool that keeps a steering message or an interrupt waiting longer than 30 s is stopped. A message of any mode that finds
no open run begins one. Queued messages are events, so they survive a restart, and every run keeps the session's
system prompt.

The turn that takes a group of queued messages has the event id `turn_id(group)`: that is how the fold knows that they have
left the queue, and why no message is heard twice.
"""

from __future__ import annotations

from typing import Final

from life.aios.ids import derived_event_id
from life.aios.state import SteeringMode
from life.arcan.session_state import QueuedMessage

MAX_DEPTH: Final = 10
"""Messages that may wait at once."""

COALESCING_US: Final = 2_000_000
STEER_TIMEOUT_US: Final = 30_000_000

Group = tuple[QueuedMessage, ...]

_ORDER: Final[tuple[SteeringMode, ...]] = ("interrupt", "steer", "followup", "collect")


def most_urgent(queue: tuple[QueuedMessage, ...]) -> QueuedMessage | None:
    """The message that the open run has to heed at its next safe point: an interrupt before a steering one; or None."""
    found = _first_by_order(queue)
    return found if found is not None and found.mode in ("interrupt", "steer") else None


def next_groups(queue: tuple[QueuedMessage, ...]) -> tuple[Group, ...]:
    """The turns that begin the next run: one group, or all groups of collected messages; () for an empty queue."""
    first = _first_by_order(queue)
    if first is None:
        return ()
    if first.mode != "collect":
        return ((first,),)
    groups: list[Group] = []
    for message in queue:  # only collected ones are left
        if groups and message.queued_us - groups[-1][-1].queued_us <= COALESCING_US:
            groups[-1] = (*groups[-1], message)
        else:
            groups.append((message,))
    return tuple(groups)


def turn_id(group: Group) -> str:
    """The event id of the turn that says these messages."""
    return derived_event_id("arcan.queued", *(message.queue_id for message in group))


def words(group: Group) -> str:
    """What the turn says."""
    return "\n\n".join(message.message for message in group)


def without_turn(queue: tuple[QueuedMessage, ...], event_id: str) -> tuple[QueuedMessage, ...]:
    """The queue after the turn with this id; unchanged when the turn is not of the queue."""
    groups = next_groups(queue)
    if not groups or turn_id(groups[0]) != event_id:
        return queue
    return tuple(message for message in queue if message not in groups[0])


def _first_by_order(queue: tuple[QueuedMessage, ...]) -> QueuedMessage | None:
    for mode in _ORDER:
        for message in queue:
            if message.mode == mode:
                return message
    return None
