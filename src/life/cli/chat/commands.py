"""Commands that only a screen with panes has, in the shell's registry (`life.cli.shell.slash`): the same record, found and listed by the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from life.aios.errors import InvalidInputError
from life.cli.shell.slash import Command

if TYPE_CHECKING:
    from life.cli.shell.conversation import Conversation

PANES: Final = ("files", "journal", "preview", "trace", "judge", "context", "autonomic", "ledger", "identity")
"""Every pane, in the order of its number."""

MIDDLE: Final = PANES[:2]
INSPECTORS: Final = PANES[2:]


async def _unshown(_conversation: Conversation, _rest: str) -> None:
    """The screen takes these itself; what comes here had words that it did not understand."""
    raise InvalidInputError("These words are not understood.", next_step="/help lists the commands.")


CHAT_COMMANDS: Final = (
    Command("journal", ("events",), "[WORDS]", "every event; with words those that contain them", _unshown),
    Command("preview", ("open",), "FILE", "a file at this moment: content, difference, history", _unshown),
    Command("trace", (), "", "where the time of the last run went", _unshown),
    Command("judge", (), "", "what evaluators gave, and why", _unshown),
    Command("autonomic", ("state",), "", "pressures, budgets, gates and rulings", _unshown),
    Command("ledger", ("money",), "", "cost, payments, and the policy's ruler", _unshown),
    Command("identity", (), "", "who the agent is, and what is allowed here", _unshown),
    Command("at", ("goto",), "N", "look at the moment after event N; nothing runs", _unshown),
    Command("play", (), "", "play from here, or stop", _unshown),
    Command("live", (), "", "follow the head again", _unshown),
    Command("fork", (), "[N]", "a branch from here, or from event N", _unshown),
    Command("keys", (), "", "what the keys do", _unshown),
)
