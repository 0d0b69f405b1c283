"""Relay's events in the journal: what several processes (the node, a command line) agree on.

log = RelayLog(journal, clock, entropy, agent_id=…)
await log.allow(did, session="*", rights=("own",), by=OPERATOR)
known = await log.take(command)      # None: it is ours to carry out, now
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from life.aios.errors import EventConflictError, InvalidInputError, NotFoundError
from life.aios.ids import check_path_id, derived_event_id, new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import NewEvent
from life.crypto.did import Curve, resolve_did
from life.crypto.errors import CryptoError
from life.spaces.relay.errors import RelayForbiddenError
from life.spaces.relay.events import (
    EVERY_SESSION,
    RIGHTS,
    CommandDone,
    CommandTaken,
    Granted,
    NodeForgotten,
    NodeKnown,
    RelayEvent,
    Revoked,
    Right,
    new_event,
    read_event,
    relay_stream,
)
from life.spaces.relay.state import Command, RelayState
from life.spaces.validation import check_name

_PAGE: Final = 1000
MAX_GRANTS: Final = 1000
MAX_STORED_RESULT: Final = 4096


class RelayLog:
    """One agent's relay events. Belongs to one event loop; other processes may write the same stream."""

    def __init__(self, journal: Journal, clock: Clock, entropy: Entropy, *, agent_id: str) -> None:
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = relay_stream(agent_id)
        self._read = 0
        self.state = RelayState()

    async def sync(self) -> RelayState:
        """Read what is new, whoever wrote it, and give the state."""
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=self._read)
            records = await self._journal.read(query, limit=_PAGE)
            for record in records:
                if record.sequence > self._read:  # two tasks may read the same page
                    self.state.apply(read_event(record), record.timestamp_us)
                    self._read = record.sequence
            if len(records) < _PAGE:
                return self.state

    async def allow(self, did: str, *, session: str, rights: Sequence[Right], by: str, name: str = "") -> Granted:
        """Let a did:key do something with a session, or with `*` all. InvalidInputError for what can't be."""
        check_did(did)
        if session != EVERY_SESSION:
            check_path_id(session)
        chosen = tuple(right for right in RIGHTS if right in rights)
        if not chosen or len(chosen) != len(set(rights)):
            raise InvalidInputError(f"Rights are some of {', '.join(RIGHTS)}.")
        if "own" in chosen and session != EVERY_SESSION:
            raise InvalidInputError("Who owns a node owns all its sessions; leave the session out.")
        state = await self.sync()
        if not state.may_grant(by, did, session):
            raise RelayForbiddenError("This grant is not yours to give or to change.")
        if len(state.grants()) >= MAX_GRANTS:
            raise InvalidInputError(f"At most {MAX_GRANTS} grants at once; revoke some.")
        label = check_name(name, what="name") if name else ""
        granted = Granted(did=did, session=session, rights=chosen, by=by, name=label)
        await self._append(granted)
        return granted

    async def revoke(self, did: str, *, session: str = "", by: str) -> None:
        """Take a grant back; without a session all of somebody's. NotFoundError when there is none."""
        check_did(did)
        if not (await self.sync()).may_revoke(by, did, session):
            raise NotFoundError("They are not allowed anything there that you could take back.")
        await self._append(Revoked(did=did, session=session, by=by))

    async def take(self, command: CommandTaken) -> Command | None:
        """Claim a command. None: it is this caller's to carry out, and that is on disk. Otherwise what is known of it: it was taken
        before. The claim is the event's id, so of several processes one wins. RelayForbiddenError for an id of long ago."""
        known = (await self.sync()).command(command.command_id)
        if known is not None:
            return known
        event_id = derived_event_id("relay.command", self._agent_id, command.command_id)
        try:
            (appended,) = await self._journal.append([self._event(command, event_id)])
        except EventConflictError:
            return self._taken_before(await self.sync(), command.command_id)
        await self.sync()
        return self._taken_before(self.state, command.command_id) if appended.duplicate else None

    @staticmethod
    def _taken_before(state: RelayState, command_id: str) -> Command:
        """What is known of a command that stands in the journal. RelayForbiddenError for one so old that it was forgotten: under its id
        another one would be carried out without a record of its own."""
        known = state.command(command_id)
        if known is None:
            raise RelayForbiddenError("Another command was sent under this id.")
        return known

    async def finish(self, done: CommandDone) -> None:
        """Write down what became of a command."""
        event_id = derived_event_id("relay.command_done", self._agent_id, done.command_id)
        await self._journal.append([self._event(done, event_id)])
        await self.sync()

    async def know(self, did: str, *, name: str, address: str) -> None:
        """Remember a node under a name."""
        check_did(did)
        await self._append(NodeKnown(did=did, name=check_name(name, what="name"), address=address))

    async def forget(self, name: str) -> None:
        """No longer; NotFoundError."""
        node = (await self.sync()).node(name)
        if node is None:
            raise NotFoundError(f"No node is known as {name}.")
        await self._append(NodeForgotten(did=node.did))

    async def _append(self, event: RelayEvent) -> None:
        await self._journal.append([self._event(event, new_id(self._clock, self._entropy))])
        await self.sync()

    def _event(self, event: RelayEvent, event_id: str) -> NewEvent:
        return new_event(event, event_id=event_id, agent_id=self._agent_id, now_us=self._clock.now_us())


def check_did(did: str) -> str:
    """`did`, when it is the did:key of a P-256 key, which is what agents sign with; InvalidInputError otherwise."""
    try:
        key = resolve_did(did)
    except CryptoError as error:
        raise InvalidInputError(f"{did[:80]!r} is no did:key: {error}.") from None
    if key.curve is not Curve.P256:
        raise InvalidInputError("Agents sign with P-256 keys; this DID is of another curve.")
    return did
