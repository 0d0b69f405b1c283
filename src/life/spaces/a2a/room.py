"""How many tasks of all owners together: names cost nothing, so a bound for each of them is none."""

from __future__ import annotations

from typing import Final

from life.spaces.a2a.errors import UnsupportedOperationError
from life.spaces.a2a.ledger import TaskLedger
from life.spaces.a2a.wire import TaskState

MAX_AT_ONCE: Final = 64
"""Tasks that may be open, those apart that wait for money."""
MAX_UNPAID: Final = 200
"""Tasks that may wait for money; beyond, the oldest is canceled."""


async def make_room(ledger: TaskLedger, max_open: int, *, is_paid: bool) -> None:
    """Before a task is opened: UnsupportedOperationError when there is no room for free work. One that will be paid for always finds a place,
    at the cost of the oldest that nobody paid for."""
    still_open = [task for task in ledger.tasks.all.values() if not task.is_over]
    if not is_paid:
        if sum(not task.needs_payment for task in still_open) >= max_open:
            raise UnsupportedOperationError(
                "This agent has no room for another task now.", next_step="Try again later, or hire it for money."
            )
        return
    unpaid = [task for task in still_open if task.needs_payment]
    for task in unpaid[: max(0, len(unpaid) - MAX_UNPAID + 1)]:
        await ledger.move(task.task_id, TaskState.CANCELED, "No payment came, and others wait.")
