"""The oracle over HTTP: an ASGI application for remote callers (anima.md §13.7).

    POST /v1/custody            a request of `soma.protocol`; its reply
    POST /v1/custody/renewals   a fresh permit for a caller whose own has not run out

    Authorization: Anima-Permit <permit>        X-Anima-Proof: <request proof>        answers: X-Anima-Proof: <answer proof>

The caller is the key in the permit, and what it may do is what both the permit and the policy file allow; the policy decides
anew at every request, so taking a rule out, or naming a permit under `revoked_permits`, counts at once. Whoever serves this
beyond the machine puts TLS around it: the proofs keep requests and answers whole, but not secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.remote_proofs import (
    PERMIT_SCHEME,
    PROOF_HEADER,
    RENEWAL_PATH,
    SIGN_PATH,
    PermitClaims,
    RequestJudge,
    check_time,
    issue_permit,
    read_permit,
    sign_answer,
)
from life.anima.custody.soma.policy import Principal
from life.anima.custody.soma.protocol import (
    MAX_FRAME_BYTES,
    Adopt,
    Disable,
    Enable,
    Grant,
    ListAgents,
    Provision,
    Reply,
    decode_request,
    encode,
    error_reply,
    status_of,
)
from life.anima.custody.soma.service import SomaService
from life.anima.errors import CustodyAuthFailedError, CustodyInputError, CustodyTimeoutError, PolicyDeniedError

BODY_TIMEOUT_S: Final = 10.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class RemoteCustodyApp:
    """The ASGI application. `oracle` is the handle of the oracle's own identity."""

    def __init__(self, service: SomaService, oracle: InProcessAnima, *, clock: Clock, entropy: Entropy) -> None:
        self._service = service
        self._oracle = oracle
        self._did = oracle.capabilities().did or ""
        self._clock = clock
        self._entropy = entropy
        self._judge = RequestJudge(clock)
        self._permit = lru_cache(maxsize=1024)(self._read_permit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope["headers"]}
        proof = headers.get(PROOF_HEADER.encode(), "")
        path = str(scope["path"])
        status, reply = 404, Reply(id=0)
        try:
            if path not in (SIGN_PATH, RENEWAL_PATH) or scope["method"] != "POST":
                raise CustodyInputError("There is nothing here.")
            body = await _body(receive)
            status, reply = await self._answer(headers, proof, path, body)
        except LifeError as error:
            status, reply = error.status, error_reply(0, error)
        content = encode(reply)
        answer_proof = sign_answer(self._oracle, request_proof=proof, body=content, status=status)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"cache-control", b"no-store"),
                    (b"content-length", str(len(content)).encode()),
                    (PROOF_HEADER.encode(), answer_proof.encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, headers: dict[bytes, str], proof: str, path: str, body: bytes) -> tuple[int, Reply]:
        scheme, _, permit = headers.get(b"authorization", "").partition(" ")
        if scheme != PERMIT_SCHEME:
            raise CustodyAuthFailedError("The request carries no permit.")
        claims = self._permit(permit)
        self._judge.check(proof, caller_did=claims.sub, permit=permit, body=body, path=path)
        check_time(claims, self._clock.now_us() // 1_000_000)
        if claims.jti in self._service.policy.revoked_permits:
            raise CustodyAuthFailedError("The permit was taken back.")
        principal = Principal(did=claims.sub, operations=frozenset(claims.operations))
        if path == RENEWAL_PATH:
            return 200, self._renewed(principal, claims)
        request = decode_request(body)
        if isinstance(request, Provision | Adopt | Disable | Enable | ListAgents | Grant):
            raise PolicyDeniedError("Nobody administers an oracle from afar.")
        if request.agent != claims.agent:
            raise PolicyDeniedError("The permit is for another agent.")
        reply = (await self._service.answer(principal, [request]))[0]
        return status_of(reply), reply

    def _renewed(self, principal: Principal, claims: PermitClaims) -> Reply:
        if not self._service.policy.operations_for(principal, claims.agent):
            raise PolicyDeniedError("The oracle's policy no longer knows this caller.")
        permit = issue_permit(
            self._oracle,
            caller_did=claims.sub,
            agent=claims.agent,
            operations=claims.operations,
            lifetime_s=claims.exp - claims.iat,
            clock=self._clock,
            entropy=self._entropy,
        )
        return Reply(id=0, token=permit)

    def _read_permit(self, permit: str) -> PermitClaims:
        return read_permit(permit, oracle_did=self._did)


async def _body(receive: Receive) -> bytes:
    """The whole body, in time and of bounded length."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise CustodyInputError("The caller went away.")
                body += message.get("body", b"")
                if len(body) > MAX_FRAME_BYTES:
                    raise CustodyInputError("The request is too large for the oracle.")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise CustodyTimeoutError("The rest of the request did not come in time.") from None
