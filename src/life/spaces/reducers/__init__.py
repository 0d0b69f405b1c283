"""The reducers: one function per command, engine-independent and deterministic (spaces.md §15).

    decide(state, command, caller, context) -> Outcome     raises a SpacesError, then nothing happened
    entry_of(state, command, caller, context, outcome, …)  the log entry for it; State.apply folds it in

An engine that replicates commands calls both on every node and gets the same entries; one that replicates entries calls them on one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from life.spaces.commands import Command
from life.spaces.errors import ForbiddenError
from life.spaces.events import Entry
from life.spaces.identity import Caller
from life.spaces.model import Row
from life.spaces.reducers import (
    channels,
    conversations,
    directory,
    lifecycle,
    membership,
    messages,
    moderation,
    reactions,
    reading,
    spaces,
    tasks,
    threads,
    transients,
    users,
    voice,
)
from life.spaces.reducers.repeats import client_key, remember
from life.spaces.reducers.transaction import Context, Outcome, Transaction
from life.spaces.state import State

Reducer = Callable[[Any, Transaction], Row | None]

_MODULES: Final = (
    channels,
    conversations,
    directory,
    lifecycle,
    membership,
    messages,
    moderation,
    reactions,
    reading,
    spaces,
    tasks,
    threads,
    transients,
    users,
    voice,
)

REDUCERS: Final[dict[type[Command], Reducer]] = {
    command: reducer for module in _MODULES for command, reducer in module.REDUCERS.items()
}
"""The function of each command."""


def decide(state: State, command: Command, caller: Caller, context: Context, *, key: str | None = None) -> Outcome:
    """Run the reducer of a command against the state. Raises the SpacesError of a refusal; the state is not touched.

    With a key (or a command's own client id) the outcome also holds the row by which a repeat is recognized; whether this is one
    must have been asked before (life.spaces.reducers.repeats.repeated).
    """
    if command.SYSTEM and caller.kind != "system":
        raise ForbiddenError(f"The command {command.reducer} is the server's own.")
    transaction = Transaction(state, caller, context)
    result = REDUCERS[type(command)](command, transaction)
    full_key = client_key(command, key)
    if full_key is not None and not command.TRANSIENT:
        remember(transaction, command, full_key, result)
    return transaction.outcome(result)


def entry_of(
    state: State,
    command: Command,
    caller: Caller,
    context: Context,
    outcome: Outcome,
    *,
    key: str | None = None,
    trace_id: str | None = None,
) -> Entry:
    """The entry that follows the state's last one."""
    return Entry(
        position=state.position + 1,
        at_us=context.now_us,
        actor=caller.identity,
        command=command.reducer,
        key=client_key(command, key),
        trace_id=trace_id,
        events=outcome.events,
    )
