"""Who may do what, which commands were carried out, which nodes are known: a pure fold over Relay's events.

A grant names a did:key, a session (or `*`) and rights: `watch` sees the session, `steer` speaks to it and stops it, `approve` decides about
calls that wait, `own` is all of this for every session, and may allow others (a second device of the same person). Steering and approving
include watching. What somebody allowed falls with them: revoking an owner revokes, for good, what they gave. Nobody changes a grant that is not
their own gift or of those below them, so a second device can't lock out the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from life.spaces.relay.events import (
    EVERY_SESSION,
    OPERATOR,
    CommandDone,
    CommandTaken,
    Granted,
    NodeForgotten,
    NodeKnown,
    RelayEvent,
    Revoked,
    Right,
)

KEEP_COMMANDS_S: Final = 600
"""How long after its expiry a command's id is remembered; one that is older is refused for its age."""


class Node(NamedTuple):
    """A node that the owner knows."""

    did: str
    name: str
    address: str


class Command(NamedTuple):
    """A command that was taken up; `done` None: cut off before anybody could say what became of it."""

    taken: CommandTaken
    done: CommandDone | None


class RelayState:
    """The fold. `apply` changes it; everything else reads."""

    def __init__(self) -> None:
        self._grants: dict[tuple[str, str], Granted] = {}
        self._inherits_nothing: set[str] = set()
        """Keys from which something was taken back, and to which nothing was given since."""
        self._commands: dict[str, Command] = {}
        self._nodes: dict[str, Node] = {}
        self._forget_s = 0

    def apply(self, event: RelayEvent | None, at_us: int) -> None:
        """Take one event in. One that is unknown changes nothing."""
        match event:
            case Granted():
                if self.may_grant(event.by, event.did, event.session):
                    self._grants[event.did, event.session] = event
                    self._inherits_nothing.discard(event.did)
                    self._prune()
            case Revoked():
                self._inherits_nothing.add(event.did)
                self._grants = {
                    key: one
                    for key, one in self._grants.items()
                    if key[0] != event.did or event.session not in ("", key[1]) or not self._is_below(one, event.by)
                }
                self._prune()
            case CommandTaken():
                self._commands.setdefault(event.command_id, Command(event, None))
            case CommandDone():
                known = self._commands.get(event.command_id)
                if known is not None and known.done is None:
                    self._commands[event.command_id] = Command(known.taken, event)
            case NodeKnown():
                self._nodes = {did: one for did, one in self._nodes.items() if one.name != event.name}
                self._nodes[event.did] = Node(event.did, event.name, event.address)
            case NodeForgotten():
                self._nodes.pop(event.did, None)
            case _:
                return
        self._forget(at_us // 1_000_000)

    def _forget(self, now_s: int) -> None:
        if now_s < self._forget_s:
            return
        self._forget_s = now_s + 60
        self._commands = {
            key: one for key, one in self._commands.items() if one.taken.expires_s + KEEP_COMMANDS_S > now_s
        }

    def grants(self) -> list[Granted]:
        """The grants that hold, by DID and session."""
        return [one for _, one in sorted(self._grants.items())]

    def may(self, did: str, session: str, right: Right) -> bool:
        """Whether this key may do this with this session."""
        found = (self._grants.get((did, place)) for place in (session, EVERY_SESSION))
        return any(one is not None and right in _with_implied(one.rights) for one in found)

    def holder(self, keys: Sequence[str]) -> str:
        """Of the keys that somebody had one after the other, newest first: the one whose grants are theirs. A key that was allowed
        something itself has that and no more; one that was rotated in has what the one before it had, unless something was taken back
        from it."""
        for did in keys:
            if self.may_something(did):
                return did
            if did in self._inherits_nothing:
                break
        return keys[0]

    def may_something(self, did: str) -> bool:
        """Whether this key may do anything here."""
        return any(key[0] == did for key in self._grants)

    def may_grant(self, by: str, did: str, session: str) -> bool:
        """Whether `by` may allow somebody something there: the operator always; an owner what is not others' gift."""
        if by == OPERATOR:
            return True
        known = self._grants.get((did, session))
        return by != did and self.may(by, EVERY_SESSION, "own") and (known is None or self._is_below(known, by))

    def may_revoke(self, by: str, did: str, session: str = "") -> bool:
        """Whether there is a grant there that `by` may take back."""
        mine = by == OPERATOR or self.may(by, EVERY_SESSION, "own")
        return mine and any(
            one.did == did and session in ("", one.session) and self._is_below(one, by) for one in self._grants.values()
        )

    def _is_below(self, grant: Granted, by: str) -> bool:
        """Whether a grant was given by `by`, or by somebody whom they made an owner, and so on."""
        giver, seen = grant.by, {grant.did}
        while by not in (OPERATOR, giver):
            above = self._grants.get((giver, EVERY_SESSION))
            if above is None or giver in seen:
                return False
            seen.add(giver)
            giver = above.by
        return True

    def _prune(self) -> None:
        """Drop what was given by those who may no longer give, until nothing changes."""
        while True:
            kept = {
                key: one
                for key, one in self._grants.items()
                if one.by == OPERATOR or self.may(one.by, EVERY_SESSION, "own")
            }
            if len(kept) == len(self._grants):
                return
            self._grants = kept

    def command(self, command_id: str) -> Command | None:
        """A command that was taken up, as long as it is remembered."""
        return self._commands.get(command_id)

    def open_commands(self) -> list[CommandTaken]:
        """Those of which nothing is said yet."""
        return [one.taken for one in self._commands.values() if one.done is None]

    def nodes(self) -> list[Node]:
        """The known nodes, by name."""
        return sorted(self._nodes.values(), key=lambda node: node.name)

    def node(self, name: str) -> Node | None:
        """A node by its name or DID."""
        return next((one for one in self._nodes.values() if name in (one.name, one.did)), None)


def _with_implied(rights: Iterable[Right]) -> frozenset[Right]:
    found = frozenset(rights)
    if "own" in found:
        return frozenset({"watch", "steer", "approve", "own"})
    return found | {"watch"} if found else found
