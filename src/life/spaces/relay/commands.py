"""A command at the node: is it the owner's, in time, allowed; was it carried out before; do it; say what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import LifeError
from life.aios.ids import check_id
from life.aios.ports.clock import Clock
from life.crypto import jws
from life.crypto.errors import CryptoError
from life.spaces.relay.envelopes import COMMAND_TYP, LEEWAY_S, CommandProof, check_time, digest, verify
from life.spaces.relay.errors import (
    RelayForbiddenError,
    RelayForgedError,
    RelayOutcomeUnknownError,
    RelayTooLongError,
)
from life.spaces.relay.events import EVERY_SESSION, CommandDone, CommandTaken
from life.spaces.relay.log import MAX_STORED_RESULT, RelayLog
from life.spaces.relay.operations import OPERATIONS, Allow, Arguments, Operation, Revoke, Start, read_arguments
from life.spaces.relay.ports import Sessions
from life.spaces.relay.state import RelayState
from life.spaces.relay.stream import MAX_MESSAGE_BYTES

NO_SESSION: Final = "There is no such session here, or you may not do this with it."


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner sends: the signed proof, and the arguments whose digest is in it."""

    type: Literal["command"]
    proof: str
    arguments: msgspec.Raw


class Checked(NamedTuple):
    """A command that is the owner's, in time and allowed."""

    proof: CommandProof
    operation: Operation
    arguments: Arguments
    token: str
    """The proof as it was signed."""


class CommandRunner:
    """Carries out the commands of all links of a node."""

    def __init__(
        self,
        sessions: Sessions,
        log: RelayLog,
        *,
        did: str,
        clock: Clock,
        is_trusted: Callable[[str], bool],
        keys_of: Callable[[str], Sequence[str]],
    ) -> None:
        self._sessions = sessions
        self._log = log
        self._did = did
        self._clock = clock
        self._is_trusted = is_trusted
        self._keys_of = keys_of
        self._running: dict[str, asyncio.Future[bytes]] = {}

    async def reconcile(self) -> int:
        """Close what an earlier process left open and nobody can send again: nobody knows whether it happened. How many there were."""
        before_s = self._clock.now_us() // 1_000_000 - LEEWAY_S
        open_ones = [one for one in (await self._log.sync()).open_commands() if one.expires_s < before_s]
        for taken in open_ones:
            await self._log.finish(_refused(taken.command_id, _unknown()))
        return len(open_ones)

    def holder(self, state: RelayState, owner: str) -> str:
        """The DID under which the grants of whoever signs as `owner` stand."""
        return state.holder(self._keys_of(owner))

    def id_of(self, message: Message) -> str:
        """The id that a refusal answers to, whether or not the proof holds."""
        try:
            claims = msgspec.json.decode(jws.parse(message.proof).payload, type=_Named)
        except (CryptoError, msgspec.MsgspecError):
            return ""
        return claims.id

    def done(self, command_id: str) -> bytes:
        """The answer to what has no result."""
        return _reply(command_id, b"null")

    async def check(self, message: Message, *, link: str, owner: str) -> Checked:
        """The command. RelayForgedError, RelayExpiredError, RelayForbiddenError, InvalidInputError."""
        proof = verify(message.proof, CommandProof, typ=COMMAND_TYP, by=owner)
        if (proof.link, proof.owner, proof.node) != (link, owner, self._did):
            raise RelayForgedError("The command was made for another link.")
        raw = bytes(message.arguments)
        if proof.arguments_sha256 != digest(raw):
            raise RelayForgedError("The arguments are not those that were signed.")
        check_time(proof.iat, proof.exp, self._clock)
        check_id(proof.id)
        arguments = read_arguments(proof.operation, proof.session, raw)
        operation = OPERATIONS[proof.operation]
        state = await self._log.sync()
        holder = self.holder(state, owner)
        require(state, holder, operation, proof.session)
        if (
            isinstance(arguments, Start)
            and arguments.limits is not None
            and not state.may(holder, EVERY_SESSION, "own")
        ):
            raise RelayForbiddenError("Only an owner of the node sets a run's limits.")
        if not self._is_trusted(owner):
            raise RelayForbiddenError("The key was revoked.")
        return Checked(proof, operation, arguments, message.proof)

    async def carry_out(self, command: Checked) -> bytes:
        """The answer. What changes something is done once per id, however often and over however many links it comes."""
        command_id = command.proof.id
        if not command.operation.changes:
            try:
                return _reply(command_id, _short_enough(await self._do(command)))
            except LifeError as error:
                return error_reply(command_id, error)
        running = self._running.get(command_id)
        if running is None:
            running = asyncio.ensure_future(self._once(command))
            self._running[command_id] = running
            running.add_done_callback(lambda _: self._running.pop(command_id, None))
            return await asyncio.shield(running)
        await asyncio.wait([running])
        return await self._once(command)  # finds what was written down

    async def _once(self, command: Checked) -> bytes:
        proof = command.proof
        taken = CommandTaken(
            command_id=proof.id,
            owner=proof.owner,
            operation=proof.operation,
            session=proof.session,
            arguments_sha256=proof.arguments_sha256,
            expires_s=proof.exp,
            proof=command.token,
        )
        try:
            known = await self._log.take(taken)
            if known is not None:
                if _same(known.taken) != _same(taken):
                    raise RelayForbiddenError("Another command was sent under this id.")
                if known.done is not None:
                    return _stored(known.done)
                if not command.operation.repeats:
                    return await self._finish(_refused(proof.id, _unknown()))
            return await self._finish(await self._outcome(command, again=known is not None))
        except LifeError as error:
            return error_reply(proof.id, error)

    async def _outcome(self, command: Checked, *, again: bool) -> CommandDone:
        command_id = command.proof.id
        try:
            result = await self._do(command)
        except LifeError as error:
            late = again and error.status == 409  # perhaps because of what was done before the interruption
            return _refused(command_id, _unknown() if late else error)
        return CommandDone(command_id=command_id, result=result.decode())

    async def _finish(self, done: CommandDone) -> bytes:
        """Written down before it is told; a result that is too long is told once, and remembered as having been one."""
        short = done if len(done.result) <= MAX_STORED_RESULT else msgspec.structs.replace(done, result="null")
        await self._log.finish(short)
        return _stored(done)

    async def _do(self, command: Checked) -> bytes:
        proof, arguments = command.proof, command.arguments
        state = self._log.state
        holder = self.holder(state, proof.owner)
        match proof.operation:
            case "hello":
                return msgspec.json.encode({"node": self._did, "rights": _rights_of(state, holder)})
            case "grants":
                return msgspec.json.encode(state.grants())
            case "sessions":
                raw = await self._sessions.carry_out("sessions", "", arguments, command_id=proof.id, owner=proof.owner)
                return _visible(raw, state, holder)
        if isinstance(arguments, Allow):
            granted = await self._log.allow(
                arguments.did, session=arguments.session, rights=arguments.rights, by=holder, name=arguments.name
            )
            return msgspec.json.encode(granted)
        if isinstance(arguments, Revoke):
            await self._log.revoke(arguments.did, session=arguments.session, by=holder)
            return b"null"
        return await self._sessions.carry_out(
            proof.operation, proof.session, arguments, command_id=proof.id, owner=proof.owner
        )


def _same(taken: CommandTaken) -> tuple[str, ...]:
    """What may not differ between two that have the same id; the link and the time may."""
    return (taken.command_id, taken.owner, taken.operation, taken.session, taken.arguments_sha256)


def _short_enough(result: bytes) -> bytes:
    if len(result) > MAX_MESSAGE_BYTES - 1024:
        raise RelayTooLongError("The answer is too long to be carried.", details={"bytes": len(result)})
    return result


class _Named(msgspec.Struct):
    id: str


class _SessionNamed(msgspec.Struct):
    session_id: str


def require(state: RelayState, owner: str, operation: Operation, session: str) -> None:
    """RelayForbiddenError unless the owner may do this there; the same words whether or not the session exists (R1, R2)."""
    if operation.any_session:
        allowed = state.may(owner, EVERY_SESSION, "own") if operation.right == "own" else state.may_something(owner)
        if not allowed:
            raise RelayForbiddenError("Only an owner of the node may do this.")
    elif not state.may(owner, session, operation.right):
        raise RelayForbiddenError(NO_SESSION, details={"right": operation.right})


def _rights_of(state: RelayState, owner: str) -> dict[str, tuple[str, ...]]:
    return {one.session: one.rights for one in state.grants() if one.did == owner}


def _visible(raw: bytes, state: RelayState, owner: str) -> bytes:
    """The sessions that an owner may watch."""
    parts = msgspec.json.decode(raw, type=list[msgspec.Raw])
    seen = [
        bytes(part)
        for part in parts
        if state.may(owner, msgspec.json.decode(part, type=_SessionNamed).session_id, "watch")
    ]
    return b"[" + b",".join(seen) + b"]"


def _unknown() -> LifeError:
    return RelayOutcomeUnknownError(
        "The node was interrupted while it carried this out; nobody can say whether it happened.",
        next_step="Look at the session, and say it again if it did not.",
    )


def _refused(command_id: str, error: LifeError) -> CommandDone:
    return CommandDone(command_id=command_id, code=error.code, message=error.message, status=error.status)


def _stored(done: CommandDone) -> bytes:
    if not done.code:
        return _reply(done.command_id, done.result.encode())
    return _error(done.command_id, done.code, done.message, done.status, None)


def _reply(command_id: str, result: bytes) -> bytes:
    return b'{"type":"reply","id":%s,"result":%s}' % (msgspec.json.encode(command_id), result)


def error_reply(command_id: str, error: LifeError) -> bytes:
    """A refusal as an answer."""
    return _error(command_id, error.code, error.message, error.status, error.next_step)


def _error(command_id: str, code: str, message: str, status: int, next_step: str | None) -> bytes:
    fields = {"code": code, "message": message, "status": status, "next_step": next_step}
    return b'{"type":"reply","id":%s,"error":%s}' % (msgspec.json.encode(command_id), msgspec.json.encode(fields))
