"""`GET /sessions/{session_id}/workspace/verify`: the page's "verify now". Everything is computed when it is asked for; nothing is remembered.

key          the custody answers a fresh challenge with the key of the identity's DID (AN-KYA-5)
standing     the journal has the identity as active: not revoked, not expired, its key the current one
soul         the soul's hash, computed again from the genesis event
chain        every event of the session's branch has the digest that follows from the one before it
checkpoints  every signed checkpoint in the journal holds against the keys of its time, and against the events
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import LifeError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.anima.kya import answer_challenge, check_response, new_challenge
from life.anima.state import require_sound
from life.arcan.people_api import SCOPE, Callers
from life.host.journal_proof import signing_keys
from life.host.system import System
from life.lago.journal.chain import GENESIS, event_digest
from life.lago.journal.redacted import Claimed, is_covered, read_redaction, read_stub
from life.lago.proof.checkpoints import read_checkpoints, verify_checkpoints

_PAGE: Final = 1000

Name = Literal["key", "standing", "soul", "chain", "checkpoints"]
Outcome = Literal["holds", "fails", "nothing"]
"""`nothing`: there was nothing to check (no checkpoint was taken yet)."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked. `count`: over how many events or checkpoints."""

    name: Name
    outcome: Outcome
    told: str
    """What was found: a digest, a DID, or why it does not hold."""
    count: int = 0


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was checked, at one moment."""

    session_id: str
    branch: str
    checked_us: int
    holds: bool
    checks: tuple[Check, ...]


class Verification:
    """The checks over one open system."""

    def __init__(self, system: System, callers: Callers) -> None:
        self._system = system
        self._callers = callers
        self._one = asyncio.Lock()

    def operation(self) -> Operation[Request, Response]:
        """The route."""
        return Operation(
            "GET",
            "/sessions/{session_id}/workspace/verify",
            "Check the identity's key and standing, the session's chain of digests, and the signed checkpoints, now",
            self.verify,
            None,
            Verified,
            (Parameter("branch", "Which branch; `main` unless told otherwise."),),
            errors=(404,),
            scope=SCOPE,
        )

    async def verify(self, request: Request) -> Response:
        """GET …/workspace/verify"""
        session_id = await self._callers.session(request)
        stream = Stream(session_id, request.query_params.get("branch", MAIN_BRANCH))
        async with self._one:  # it reads whole branches: one at a time
            checks = (
                await self._told("key", self._key),
                await self._told("standing", self._standing),
                await self._told("soul", self._soul),
                await self._told("chain", lambda: self._chain(stream)),
                await self._told("checkpoints", self._checkpoints),
            )
        verified = Verified(
            session_id=stream.session_id,
            branch=stream.branch_id,
            checked_us=self._system.clock.now_us(),
            holds=all(check.outcome != "fails" for check in checks),
            checks=checks,
        )
        return Response(msgspec.json.encode(verified), 200, {"cache-control": "no-store"}, "application/json")

    async def _told(self, name: Name, check: Callable[[], Awaitable[Check]]) -> Check:
        try:
            return await check()
        except LifeError as error:
            return Check(name=name, outcome="fails", told=error.message)

    async def _key(self) -> Check:
        system = self._system
        did = system.identity.did
        challenge = new_challenge(did, clock=system.clock, entropy=system.entropy)
        answer = await answer_challenge(system.custody, challenge, clock=system.clock)
        check_response(answer, challenge, did=did, now_s=system.clock.now_us() // 1_000_000)
        return Check(name="key", outcome="holds", told=did)

    async def _standing(self) -> Check:
        system = self._system
        self._system.registry.require_fresh()
        standing = system.registry.standing(system.identity.did)
        if standing is None:
            return Check(name="standing", outcome="fails", told="The journal knows no identity with this DID.")
        if standing.key_state != "current" or not standing.is_active(system.clock.now_us()):
            return Check(name="standing", outcome="fails", told=f"{standing.lifecycle}, key {standing.key_state}")
        return Check(name="standing", outcome="holds", told=standing.lifecycle, count=standing.as_of_seq)

    async def _soul(self) -> Check:
        state = self._system.registry.state(self._system.identity.agent_id)
        if state is None:
            return Check(name="soul", outcome="fails", told="The journal has no soul of this agent.")
        soul, identity = require_sound(state)
        if identity.did != self._system.identity.did:
            return Check(name="soul", outcome="fails", told="The journal has another DID for this agent.")
        return Check(name="soul", outcome="holds", told=soul.soul_hash)

    async def _chain(self, stream: Stream) -> Check:
        previous, count = GENESIS.hex(), 0
        while page := await self._system.journal.read(EventQuery(*stream, after_sequence=count), limit=_PAGE):
            for record in page:
                count += 1
                found, stored = event_digest(previous, record), str(record.digest)
                if record.sequence != count or (stored != found and not await self._redacted(record, found)):
                    told = f"Event {count} does not follow from the one before it."
                    return Check(name="chain", outcome="fails", told=told, count=count)
                previous = stored
            await asyncio.sleep(0)
        return Check(name="chain", outcome="holds" if count else "nothing", told=previous, count=count)

    async def _redacted(self, record: EventRecord, found: str) -> bool:
        """Whether a signed redaction behind it in its stream took the event's content, and says both digests."""
        stub = read_stub(record.payload)
        redaction = None if stub is None else await self._system.journal.get(stub.redaction)
        if stub is None or redaction is None or redaction.stream != record.stream:
            return False
        claim = Claimed(*record.stream, record.sequence, stub.redaction, str(record.digest), found)
        return redaction.sequence > record.sequence and is_covered(claim, read_redaction(redaction.payload))

    async def _checkpoints(self) -> Check:
        journal = self._system.journal
        if not await read_checkpoints(journal):
            return Check(name="checkpoints", outcome="nothing", told="No checkpoint has been signed yet.")
        keys = await signing_keys(journal, self._system.identity.agent_id)
        checked = await verify_checkpoints(journal, keys)
        return Check(
            name="checkpoints", outcome="holds", told=f"{checked.events_covered} events", count=checked.checkpoints
        )
