"""A2A on a daemon: the agent's card, its tasks on Arcan's sessions, its prices at Haima's till, and the way out.

    async with open_a2a(parts, profile) as a2a:
        operations = [*others, *a2a.public_operations, *a2a.operations]

A task's context is a session `a2a-…` of its owner; a task is a run in it, begun under the task's id. A tool call that waits for approval
is the task's INPUT_REQUIRED; whoever may call with the scope `a2a:approve` may answer it, everybody else waits for the operator.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from hashlib import sha256
from typing import Final, NamedTuple

import httpx2
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, LifeError, UnavailableError
from life.aios.events import AssistantTextDelta, Message
from life.aios.ids import new_id
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.http import Operation
from life.aios.ports.journal import Journal
from life.aios.record import Actor, EventRecord
from life.aios.streams.runs import (
    ApprovalAnswered,
    ApprovalAsked,
    Part,
    RunBroke,
    RunEnded,
    RunReader,
    TextPiece,
    ToolCalled,
    plain,
)
from life.arcan.doors.following import follow_run
from life.arcan.errors import NothingToDecideError, RuntimeClosedError
from life.arcan.runtime import Runtime
from life.crypto import agent_token, seal
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError
from life.haima.facilitator.port import encode_settlement
from life.haima.x402 import answers
from life.haima.x402.paid_routes import Route
from life.haima.x402.sale import Payment, Sale
from life.haima.x402.till import Till
from life.haima.x402.wire import ResourceInfo, SettlementResponse, decode_payment_required, decode_payment_response
from life.host.access import load_or_create_token
from life.host.http.authentication import auth_of
from life.host.system import System
from life.host.webhook_client import CheckedWebhookClient
from life.praxis.egress import EgressClient
from life.praxis.errors import AddressRefusedError
from life.spaces.a2a.binding import CardSource, Parts
from life.spaces.a2a.card import Profile, Skill, build_card, sign_card
from life.spaces.a2a.client import Reply, Streaming, Token
from life.spaces.a2a.errors import PeerUnavailableError, UnsupportedOperationError, WorkPausedError
from life.spaces.a2a.jsonrpc import JsonRpcBinding
from life.spaces.a2a.ports import Asks, Caller, Charged, Decided, Finished, Posted, Progress, TaskChannel, Wrote
from life.spaces.a2a.rest import RestBinding
from life.spaces.a2a.room import MAX_AT_ONCE
from life.spaces.a2a.service import A2aService
from life.spaces.a2a.wire import CARD_PATH

ApiOperation = Operation[Request, Response]
PATH: Final = "/a2a"
"""The JSON-RPC binding; HTTP+JSON stands under `/a2a/v1`."""
PUBLIC_PATHS: Final = (CARD_PATH,)
APPROVE_SCOPE: Final = "a2a:approve"
A2A_KEY: Final = "a2a.key"
"""In the data directory, 0600: what clients' push tokens are sealed under."""
_SALE_DONE: Final = (b"content-type", b"application/vnd.life.a2a-sale+json")
_ENDS: Final = {"completed": "completed", "cancelled": "canceled", "refused": "rejected"}
_log: Final = logging.getLogger("life.host.a2a")


class A2aParts(NamedTuple):
    """What A2A is made of on this daemon. Without a `vault_key` and a `webhooks` client there are no push notifications;
    without a `till` no skill has a price."""

    runtime: Runtime
    journal: Journal
    custody: Custody
    clock: Clock
    entropy: Entropy
    agent_id: str
    till: Till | None = None
    webhooks: CheckedWebhookClient | None = None
    vault_key: bytes | None = None
    channel: TaskChannel | None = None
    max_open: int = MAX_AT_ONCE


class A2a(NamedTuple):
    """The routes. `public_operations` need no token (their paths: PUBLIC_PATHS)."""

    public_operations: tuple[ApiOperation, ...]
    operations: tuple[ApiOperation, ...]
    service: A2aService


@asynccontextmanager
async def open_a2a(
    parts: A2aParts, profile: Profile, *, callers: Callable[[Request], Caller] | None = None
) -> AsyncIterator[A2a]:
    """A2A of one open system. Tasks that an earlier run left open go on; recover the runtime's sessions before. `callers` says who
    asks; by default the daemon's authentication."""
    has_push = parts.webhooks is not None and parts.vault_key is not None
    profile = profile._replace(push=has_push, extended=any(skill.is_private for skill in profile.skills))
    service = A2aService(
        parts.journal,
        ArcanWorker(parts.runtime, parts.journal),
        clock=parts.clock,
        entropy=parts.entropy,
        agent_id=parts.agent_id,
        skills=profile.skills,
        till=None if parts.till is None else SkillTill(parts.till, profile),
        channel=parts.channel,
        poster=None if parts.webhooks is None else WebhookPoster(parts.webhooks),
        signer=parts.custody if has_push else None,
        vault=None if parts.vault_key is None else SealedVault(parts.vault_key, parts.entropy),
        max_open=parts.max_open,
    )
    public = msgspec.json.encode(await sign_card(build_card(profile), parts.custody))
    extended: bytes | None = None
    if profile.extended:
        extended = msgspec.json.encode(await sign_card(build_card(profile, extended=True), parts.custody))
    bound = Parts(service, CardSource(public, extended), callers or caller_of)
    rest = RestBinding(bound)
    await service.start()
    try:
        yield A2a(
            tuple(rest.public_operations()),
            (*JsonRpcBinding(bound).operations(PATH), *rest.operations(f"{PATH}/v1")),
            service,
        )
    finally:
        await service.aclose()


def a2a_parts(
    system: System,
    *,
    webhooks: CheckedWebhookClient | None = None,
    till: Till | None = None,
    channel: TaskChannel | None = None,
) -> A2aParts:
    """The parts of one open system. With `webhooks` there are notifications; their secrets are sealed under `a2a.key` in the data
    directory, which is made when it is missing."""
    key = None if webhooks is None else load_or_create_token(system.data.root / A2A_KEY, system.entropy).encode()
    return A2aParts(
        runtime=system.runtime,
        journal=system.journal,
        custody=system.custody,
        clock=system.clock,
        entropy=system.entropy,
        agent_id=system.identity.agent_id,
        till=till,
        webhooks=webhooks,
        vault_key=key,
        channel=channel,
    )


def caller_of(request: Request) -> Caller:
    """Whose tasks the caller sees. The operator and people at the page share theirs, and may approve."""
    auth = auth_of(request.scope)
    if auth.kind in ("operator", "person"):
        return Caller("operator", may_approve=True)
    return Caller(f"{auth.kind}:{auth.subject}", may_approve=auth.may(APPROVE_SCOPE))


# ---- the work


class ArcanWorker:
    """Tasks as runs of Arcan (life.spaces.a2a.ports.Worker)."""

    def __init__(self, runtime: Runtime, journal: Journal) -> None:
        self._runtime = runtime
        self._journal = journal

    async def start(self, conversation: str, owner: str, task_id: str, objective: str) -> str:
        """See Worker."""
        try:
            session_owner = "" if owner == "operator" else owner
            await self._runtime.create_session(conversation, name="A2A", owner=session_owner)
            return await self._runtime.start(
                conversation, objective, idempotency_key=task_id, actor=Actor("user", owner)
            )
        except RuntimeClosedError as error:
            raise WorkPausedError(error.message) from None

    async def follow(self, conversation: str, run_id: str) -> AsyncGenerator[Progress, None]:
        """See Worker."""
        begun = await self._journal.get(run_id)
        if begun is None:
            raise UnsupportedOperationError("The run of this task is gone.")
        telling = _Telling()
        try:
            batches = follow_run(self._runtime, conversation, run_id, begun.sequence - 1, rests=())
            async with aclosing(batches):
                async for batch in batches:
                    for record in batch:
                        for step in telling.read(record):
                            yield step
                            if isinstance(step, Finished):
                                return
        except RuntimeClosedError as error:
            raise WorkPausedError(error.message) from None
        raise WorkPausedError("Nothing drives the run any more.")

    async def decide(self, conversation: str, approval_id: str, *, approved: bool, by: str, reason: str) -> None:
        """See Worker."""
        with suppress(NothingToDecideError):  # somebody else was quicker; the task goes on either way
            await self._runtime.resolve_approval(
                conversation, approval_id, approved=approved, actor=by, reason=reason or None
            )

    async def add(self, conversation: str, text: str, *, by: str) -> None:
        """See Worker. UnsupportedOperationError when the run has just ended: a message must not begin one that no task stands for."""
        state = await self._runtime.state(conversation)
        if state.run is None:
            raise UnsupportedOperationError("The work has just ended.", next_step="Begin another task.")
        await self._runtime.send(conversation, text, steering="steer", actor=Actor("user", by))

    async def cancel(self, conversation: str) -> None:
        """See Worker."""
        await self._runtime.cancel(conversation)


class _Telling:
    """What the records of a run mean to whoever waits for a task.

    Text is counted by message here, not by the reader: pieces of a message come as they are written, and may overtake stored events that
    wait for the next barrier, or arrive after the message itself when one joins in the middle.
    """

    def __init__(self) -> None:
        self._reader = RunReader()
        self._calls: dict[str, ToolCalled] = {}
        self._told: dict[str, int] = {}
        """Characters that were told of each message."""
        self._last = ""

    def read(self, record: EventRecord) -> list[Progress]:
        """The steps in the next record."""
        parts = self._reader.read(record)
        kind = record.kind
        if isinstance(kind, AssistantTextDelta) and record.sequence == 0:
            return self._text(record.causation_id or "", kind.delta, kind.index or 0)
        if isinstance(kind, Message):
            if kind.role.lower() != "assistant":
                return []
            return self._text(record.event_id, kind.content, 0)
        steps = [self._step(part) for part in parts if not isinstance(part, TextPiece) or not self._told]
        return [step for step in steps if step is not None]

    def _text(self, message_id: str, text: str, index: int) -> list[Progress]:
        told = self._told.get(message_id, 0)
        if index > told or index + len(text) <= told:
            return []
        apart = "\n\n" if self._told and message_id != self._last else ""
        self._told[message_id], self._last = index + len(text), message_id
        return [Wrote(apart + text[told - index :])]

    def _step(self, part: Part) -> Progress | None:
        """The next step, if this part is one."""
        match part:
            case TextPiece():
                return Wrote(part.text)
            case ToolCalled():
                self._calls[part.call_id] = part
            case ApprovalAsked():
                call = self._calls.get(part.call_id)
                return Asks(
                    part.approval_id, "" if call is None else call.tool_name, None if call is None else call.arguments
                )
            case ApprovalAnswered():
                return Decided(part.approval_id)
            case RunEnded():
                outcome = _ENDS.get(plain(part.reason), "failed")
                return Finished(outcome, "" if outcome == "completed" else f"The run ended: {part.reason}.")
            case RunBroke():
                return Finished("failed", part.error)
            case _:
                pass
        return None


# ---- money


class SkillTill:
    """Prices of skills at Haima's till (life.spaces.a2a.ports.Till). The sale is the permission to work: it is settled before the task
    begins and its handler does nothing, so it may run twice."""

    def __init__(self, till: Till, profile: Profile) -> None:
        self._till = till
        self._base_url = profile.base_url
        self._skills = {skill.id: skill for skill in profile.skills}
        self._terms: dict[str, answers.Terms] = {}

    async def terms(self, skill_id: str) -> JsonObject:
        """See Till. UnavailableError while the facilitator does not say what it settles."""
        document = (await self._terms_of(skill_id)).document("Payment required to begin this task")
        content: JsonObject = msgspec.json.decode(document)
        return content

    async def charge(self, skill_id: str, task_id: str, payload: JsonObject) -> Charged:
        """See Till."""
        try:
            terms = await self._terms_of(skill_id)
        except UnavailableError as error:
            return Charged(False, error=error.message, is_open=True)
        sale = Sale(msgspec.json.encode(payload), "json", terms, f"a2a {task_id}", True, True, _permitted)
        try:
            answer = await self._till.sell_tool(sale)
        except LifeError as error:
            return Charged(False, error=error.message, is_open=True)
        return _charged(answer)

    async def _terms_of(self, skill_id: str) -> answers.Terms:
        known = self._terms.get(skill_id)
        if known is not None:
            return known
        try:
            made = self._make(self._skills[skill_id])
        except UnavailableError:
            if not await self._till.ask_again():
                raise
            made = self._make(self._skills[skill_id])
        self._terms[skill_id] = made
        return made

    def _make(self, skill: Skill) -> answers.Terms:
        route = Route(skill.price, settle_first=True, rerun_interrupted=True, description=skill.description)
        resource = ResourceInfo(
            url=f"{self._base_url}#{skill.id}", description=skill.description, mime_type="application/a2a+json"
        )
        return answers.Terms(self._till.offers(skill.price, route), resource, self._till.identifier)


async def _permitted(_: Payment) -> answers.Answer:
    return answers.Answer(200, [_SALE_DONE], b"{}")


def _charged(answer: answers.Answer) -> Charged:
    settlement = _settlement(answer)
    receipt: Json = None if settlement is None else msgspec.json.decode(encode_settlement(settlement))
    if settlement is not None and settlement.success:
        return Charged(True, receipt)
    if answer.status == 503:
        return Charged(False, receipt, "The outcome of the payment is not known yet.", is_open=True)
    required = answers.header_of(answer, answers.PAYMENT_REQUIRED)
    if required is not None:
        return Charged(False, receipt, decode_payment_required(required.decode("ascii")).error or "refused")
    problem = msgspec.json.decode(answer.body, type=_Problem)
    return Charged(False, receipt, problem.detail)


class _Problem(msgspec.Struct):
    detail: str = "The payment was refused."


def _settlement(answer: answers.Answer) -> SettlementResponse | None:
    header = answers.header_of(answer, answers.PAYMENT_RESPONSE)
    return None if header is None else decode_payment_response(header.decode("ascii"))


# ---- the way out


class WebhookPoster:
    """Notifications through the checked webhook client (life.spaces.a2a.ports.Poster)."""

    def __init__(self, client: CheckedWebhookClient) -> None:
        self._client = client

    async def check(self, url: str) -> None:
        """See Poster."""
        await self._client.check(url)

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Posted:
        """See Poster."""
        answer = await self._client.post(url, headers, body)
        return Posted(answer.status, answer.error)


class SealedVault:
    """Secrets under a key of this data directory (life.spaces.a2a.ports.Vault)."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._key = sha256(b"life.a2a.vault.1" + key).digest()
        self._entropy = entropy

    def seal(self, secret: bytes) -> str:
        """See Vault."""
        nonce = self._entropy.token_bytes(seal.NONCE_BYTES)
        return encode_base64url(nonce + seal.seal(secret, key=self._key, nonce=nonce, associated_data=b"a2a-push"))

    def open(self, sealed: str) -> bytes:
        """See Vault. InvalidInputError when the key is another."""
        try:
            raw = decode_base64url(sealed)
            nonce, content = raw[: seal.NONCE_BYTES], raw[seal.NONCE_BYTES :]
            return bytes(seal.open_sealed(content, key=self._key, nonce=nonce, associated_data=b"a2a-push"))
        except CryptoError:
            raise InvalidInputError(f"A push configuration was sealed under another {A2A_KEY}.") from None

    def __repr__(self) -> str:
        return "SealedVault(…)"


class EgressHttp:
    """HTTP for calling other agents, through checked egress (life.spaces.a2a.client.Http)."""

    def __init__(self, client: EgressClient | httpx2.AsyncClient) -> None:
        self._client = client

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """See Http."""
        async with self.stream(method, url, headers, body) as answer:
            content = bytearray()
            async for chunk in answer.chunks:
                content += chunk
                if len(content) > max_bytes:
                    raise PeerUnavailableError("The other agent's answer is too large.")
            return Reply(answer.status, answer.media_type, bytes(content))

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[Streaming]:
        """See Http."""
        try:
            async with self._client.stream(method, url, headers=dict(headers), content=body) as answer:
                media_type = answer.headers.get("content-type", "").split(";")[0].strip().lower()
                yield Streaming(answer.status_code, media_type, answer.aiter_bytes())
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            cause = error.__cause__
            words = cause.message if isinstance(cause, AddressRefusedError) else type(error).__name__
            raise PeerUnavailableError(f"The other agent does not answer: {words}.") from None


def agent_tokens(custody: Custody, clock: Clock, entropy: Entropy, *, agent_id: str, audience: str) -> Token:
    """Tokens of this agent for another agent's service: one per request, a minute long. `audience` is what its card's security scheme
    names (`arcand`, of a daemon of ours)."""
    did = custody.capabilities().did
    if did is None:
        raise InvalidInputError("This custody handle has no key that signs tokens.")
    key = resolve_did(did)

    async def token(_url: str) -> str:
        claims = agent_token.agent_claims(
            key, agent_id, audience=audience, jti=new_id(clock, entropy), now_s=clock.now_us() // 1_000_000
        )
        members: JsonObject = msgspec.to_builtins(claims)
        return await custody.sign_token(members, typ=agent_token.TYP)

    return token
