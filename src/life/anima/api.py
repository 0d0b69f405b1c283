"""Anima's HTTP routes, as tables that the host composes into its daemons (anima.md §15.4, AN-ROT-8, AN-GW-1).

    GET  /.well-known/anima/identity?did=      public: the identity document, signed by the identity
    GET  /.well-known/anima/rotations?did=     public: the chain with its proofs, signed by the host's identity
    GET  /.well-known/anima/revocations?did=   public: what was revoked, signed by the host's identity
    POST /.well-known/anima/challenge          public: proof that the identity's key is here now (AN-KYA-5)
    GET  /anima/identities                     with a token: who lives here
    GET  /anima/identities/{agent_id}          with a token: the inspector
    POST /anima/revocations                    with a token: a revocation that its authority signed

Without `did` the public answers are about the host's own identity. Answers are made at most once a second per DID, so asking often
does not make a key sign often; documents of other agents than the host's own are made where their custody is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import Journal
from life.aios.record import format_timestamp
from life.anima.document import AgentIdentityDocument, build_document, sign_document
from life.anima.errors import IdentityRevokedError, TooManyChallengesError, UnknownIdentityError
from life.anima.events import IdentityRevoked
from life.anima.genesis import identity_event
from life.anima.kya import Challenge, answer_challenge
from life.anima.registry import IdentityRegistry, Standing
from life.anima.report import IdentityReport, report_of
from life.anima.signed_answers import SignedAnswer, sign_answer
from life.anima.well_known import (
    REVOCATIONS_TYPE,
    ROTATIONS_TYPE,
    RevocationsAnswer,
    RotationsAnswer,
    revocations_of,
    rotations_of,
)
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError

HttpOperation: TypeAlias = "Operation[Request, Response]"

PUBLIC_PATHS: Final = (
    "/.well-known/anima/identity",
    "/.well-known/anima/rotations",
    "/.well-known/anima/revocations",
    "/.well-known/anima/challenge",
)
"""For the daemon's guard: what anybody may ask."""

MAX_BODY_BYTES: Final = 64 * 1024
ANSWER_FOR_US: Final = 1_000_000
MAX_CHALLENGES_PER_S: Final = 20
_MAX_KEPT: Final = 256
_HEADERS: Final = {"cache-control": "no-store"}

_encode: Final = msgspec.json.Encoder().encode
_Body = TypeVar("_Body", bound=msgspec.Struct)
_DID: Final = (Parameter("did", "The DID asked about; the host's own identity unless told otherwise."),)


class ChallengeResponse(msgspec.Struct, frozen=True):
    """The answer to a challenge: a JWS of typ `anima-kya+jwt`."""

    response: str


class IdentityName(msgspec.Struct, frozen=True, kw_only=True):
    """One identity of the journal."""

    agent_id: str
    did: str
    name: str
    lifecycle: str
    revoked: bool


class RevocationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A revocation that an authority signed (`life.anima.revocation`)."""

    agent_id: str
    did: str
    revocation_jws: str


class RevocationAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The revocation is stored, and counts."""

    did: str
    reason: str
    revoked: bool


class IdentityApi:
    """The routes over one registry, with the host's own agent as the publisher."""

    def __init__(
        self, *, journal: Journal, registry: IdentityRegistry, custody: Custody, agent_id: str, clock: Clock
    ) -> None:
        """`custody` signs the answers: it is the handle of the agent `agent_id`, unguarded, so that a dead identity can still
        say that it is dead."""
        self._journal = journal
        self._registry = registry
        self._custody = custody
        self._agent_id = agent_id
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._second = 0
        self._challenges = 0
        registry.on_change(lambda _agent_id: self._kept.clear())

    def public_operations(self) -> list[HttpOperation]:
        """What anybody may ask; `PUBLIC_PATHS` names them for the guard."""
        get: list[tuple[str, str, Callable[[Request], Awaitable[Response]], type]] = [
            ("identity", "The identity document, signed by the identity", self._identity, SignedAnswer),
            ("rotations", "The rotation chain with its proofs, signed", self._rotations, SignedAnswer),
            ("revocations", "What was revoked, signed", self._revocations, SignedAnswer),
        ]
        return [
            *(
                Operation(
                    "GET", f"/.well-known/anima/{name}", text, endpoint, None, result, query=_DID, errors=(400, 404)
                )
                for name, text, endpoint, result in get
            ),
            Operation(
                "POST",
                "/.well-known/anima/challenge",
                "Proof that the identity's key is here now",
                self._challenge,
                Challenge,
                ChallengeResponse,
                errors=(400, 429),
            ),
        ]

    def operations(self) -> list[HttpOperation]:
        """What needs the daemon's token, or `identity:read` and `identity:write`."""
        return [
            Operation(
                "GET",
                "/anima/identities",
                "Who lives here",
                self._list,
                None,
                list[IdentityName],
                scope="identity:read",
            ),
            Operation(
                "GET",
                "/anima/identities/{agent_id}",
                "Everything about one identity",
                self._inspect,
                None,
                IdentityReport,
                errors=(404,),
                scope="identity:read",
            ),
            Operation(
                "POST",
                "/anima/revocations",
                "Store a revocation that its authority signed",
                self._revoke,
                RevocationRequest,
                RevocationAccepted,
                errors=(400, 404),
                scope="identity:write",
            ),
        ]

    async def _identity(self, request: Request) -> Response:
        standing = self._standing(request)
        if standing.agent_id != self._agent_id:
            raise UnknownIdentityError("This host publishes the document of its own identity only.")

        async def make() -> SignedAnswer:
            state = self._registry.state(self._agent_id)
            assert state is not None  # it has a standing
            document: AgentIdentityDocument = build_document(
                state, at_us=self._clock.now_us(), published_at_seq=standing.as_of_seq
            )
            return await sign_document(self._custody, document, clock=self._clock)

        return await self._answer("identity", standing.current_did, make)

    async def _rotations(self, request: Request) -> Response:
        standing = self._standing(request)
        return await self._publish("rotations", ROTATIONS_TYPE, standing, rotations_of(standing))

    async def _revocations(self, request: Request) -> Response:
        self._registry.require_fresh()
        standing = self._standing(request)
        return await self._publish("revocations", REVOCATIONS_TYPE, standing, revocations_of(standing))

    async def _challenge(self, request: Request) -> Response:
        challenge = _decode(await _body(request), Challenge)
        standing = self._registry.standing(self._custody.capabilities().did or "")
        if standing is not None and (standing.dead or standing.key_state != "current"):
            raise IdentityRevokedError("The key of this identity is not in use any more.")
        second = self._clock.monotonic_us() // 1_000_000
        if second != self._second:
            self._second, self._challenges = second, 0
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES_PER_S:
            raise TooManyChallengesError("Too many challenges at once; try again in a second.")
        response = await answer_challenge(self._custody, challenge, clock=self._clock)
        return _json(ChallengeResponse(response))

    async def _list(self, _: Request) -> Response:
        names = []
        for agent_id in self._registry.agents():
            state = self._registry.state(agent_id)
            if state is None or state.soul is None or state.identity is None or state.keys is None:
                continue
            names.append(
                IdentityName(
                    agent_id=agent_id,
                    did=state.identity.did,
                    name=state.soul.origin.name,
                    lifecycle=state.identity.lifecycle,
                    revoked=state.keys.is_dead,
                )
            )
        return _json(names)

    async def _inspect(self, request: Request) -> Response:
        agent_id = request.path_params["agent_id"]
        state = self._registry.state(agent_id)
        if state is None or state.identity is None:
            raise UnknownIdentityError("No identity here has this agent id.")
        capabilities = self._custody.capabilities() if agent_id == self._agent_id else None
        report = report_of(
            state,
            at_us=self._clock.now_us(),
            as_of_seq=self._registry.sequence_of(agent_id),
            capabilities=capabilities,
        )
        return _json(report)

    async def _revoke(self, request: Request) -> Response:
        asked = _decode(await _body(request), RevocationRequest)
        state = self._registry.state(asked.agent_id)
        if state is None or state.keys is None:
            raise UnknownIdentityError("No identity here has this agent id.")
        now_us = self._clock.now_us()
        event = IdentityRevoked(
            did=asked.did, reason="", revoked_at=format_timestamp(now_us), revocation_jws=asked.revocation_jws
        )
        judged = state.keys.with_revocation(event, seq=self._registry.sequence_of(asked.agent_id) + 1)
        revocation = next(known for known in judged.revocations if known.revocation_jws == asked.revocation_jws)
        stated_at = format_timestamp(revocation.revoked_at_s * 1_000_000)  # so that sending it again is the same event
        event = msgspec.structs.replace(event, reason=revocation.reason, revoked_at=stated_at)
        event_id = derived_event_id("anima.identity_revoked", asked.agent_id, asked.revocation_jws)
        new = identity_event(event, event_id=event_id, agent_id=asked.agent_id, timestamp_us=now_us)
        await self._journal.append([new])
        after = await self._registry.catch_up(asked.agent_id)
        dead = after.keys is not None and after.keys.is_dead
        return _json(RevocationAccepted(did=asked.did, reason=revocation.reason, revoked=dead), 201)

    async def _publish(
        self, name: str, kind: str, standing: Standing, answer: RotationsAnswer | RevocationsAnswer
    ) -> Response:
        body: JsonObject = msgspec.to_builtins(answer)

        async def make() -> SignedAnswer:
            return await sign_answer(self._custody, body, kind=kind, clock=self._clock)

        return await self._answer(name, standing.did, make)

    async def _answer(self, name: str, did: str, make: Callable[[], Awaitable[SignedAnswer]]) -> Response:
        now_us = self._clock.monotonic_us()
        kept = self._kept.get((name, did))
        if kept is None or now_us - kept[0] > ANSWER_FOR_US:
            content = _encode(await make())
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            kept = self._kept[name, did] = (now_us, content)
        return Response(kept[1], 200, _HEADERS, "application/json")

    def _standing(self, request: Request) -> Standing:
        did = request.query_params.get("did")
        if did is None:
            state = self._registry.state(self._agent_id)
            did = "" if state is None or state.identity is None else state.identity.did
        else:
            try:
                resolve_did(did)
            except CryptoError:
                raise InvalidInputError("The DID is not a did:key that this version reads.") from None
        standing = self._registry.standing(did)
        if standing is None or did not in standing.keys.dids:
            raise UnknownIdentityError("No journal here tells of this DID.")
        return standing


async def _body(request: Request) -> bytes:
    """The body, when it is not too long."""
    chunks, size_bytes = [], 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > MAX_BODY_BYTES:
            raise InvalidInputError("The body is too long.")
        chunks.append(chunk)
    return b"".join(chunks)


def _decode(content: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"The body can't be read: {error}.") from None


def _json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status, _HEADERS, "application/json")
