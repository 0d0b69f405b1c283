"""The oracle itself: from a caller and a typed request to a signature or a refusal, and a record of either (AN-SOMA-3 to 6).

In this order: the policy must let this caller use this operation of this agent, the caller's rate must allow it, the agent
must exist and be enabled, a token must not claim what the policy keeps back, the soul's limits must allow the money; then the
wallet's own rules, and then the key. Whatever a wallet signed is in the audit on disk before it is handed out; when the disk
refuses, nothing is handed out.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from life.aios.errors import CustodyError, LifeError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import PermitTransfer, TokenPermit, TransferAuthorization
from life.anima.chain import ACCEPTANCE_TYPE, RotationLink
from life.anima.custody.errors import RateLimitedError
from life.anima.custody.remote_proofs import issue_permit
from life.anima.custody.soma.audit import AuditLog, RecordKind, Spent
from life.anima.custody.soma.key_store import OpenedKeys, SomaKeyStore
from life.anima.custody.soma.policy import AllowRule, PolicyFile, Principal, SomaPolicy, check_agent_name
from life.anima.custody.soma.protocol import (
    Adopt,
    AgentFacts,
    AnyRequest,
    Describe,
    Disable,
    Enable,
    Grant,
    ListAgents,
    Provision,
    Reply,
    RotationStep,
    SignAuthorization,
    SignCancellation,
    SigningRequest,
    SignMessage,
    SignPermit,
    SignPrepared,
    SignSaleOffer,
    SignSaleReceipt,
    SignToken,
    SignTokenPermit,
    SignTransaction,
    encode,
    error_reply,
    operation_of,
)
from life.anima.custody.soma.spending import UNCOUNTED, SpendJudge
from life.anima.custody.wallet_rules import PersonalMessage, WalletRequest
from life.anima.errors import (
    CustodyInputError,
    CustodyUnavailableError,
    IdentityNotFoundError,
    KeyNotFoundError,
    PolicyDeniedError,
)
from life.anima.identity_file import SEAL_TYPE, Identity
from life.anima.seed_rotation import SeedRotator
from life.crypto.transaction import decode_signed

_log: Final = logging.getLogger(__name__)

_MINUTE_US: Final = 60_000_000
_MAX_BUCKETS: Final = 4096
_REFUSALS: Final = -1
REFUSALS_PER_MINUTE: Final = 600
"""How many refusals of one caller are recorded in a minute."""


class SomaService:
    """Answers requests. Transports bring them, with a caller that they have made sure of."""

    def __init__(
        self, store: SomaKeyStore, policy: PolicyFile, audit: AuditLog, *, clock: Clock, entropy: Entropy
    ) -> None:
        self.store = store
        self._policy = policy
        self._audit = audit
        self._clock = clock
        self._entropy = entropy
        self._buckets: dict[tuple[object, int], tuple[float, int]] = {}
        for agent, spent in audit.spent.items():
            self._restore(agent, spent)

    @property
    def policy(self) -> SomaPolicy:
        """The policy in force; its errors mean that nothing is allowed."""
        return self._policy.current()

    async def answer(self, principal: Principal, requests: Sequence[AnyRequest]) -> list[Reply]:
        """The replies to `requests`, in order. Refusals are replies; nothing is raised."""
        replies, durable = [], False
        for request in requests:
            reply = await self._answer_one(principal, request)
            replies.append(reply)
            durable = durable or reply.signature is not None
        try:
            self._audit.write()
            if durable:
                await asyncio.to_thread(self._audit.sync)
        except CustodyUnavailableError as error:
            _log.error("nothing is signed: %s", error.message)
            return [error_reply(request.id, error) for request in requests]
        return replies

    def refuse_connection(self, principal: Principal, code: str) -> None:
        """Record that somebody was turned away at the door."""
        self._record_refusal("connection_refused", principal, agent="", op="", code=code)
        try:
            self._audit.write()
        except CustodyUnavailableError as error:
            _log.error("a refused connection is not recorded: %s", error.message)

    def _restore(self, agent: str, spent: Spent) -> None:
        """Let the agent's judge count what it spent before; an agent whose folder is gone spends nothing any more."""
        older_micro = spent.lifetime_micro - sum(amount for _, amount in spent.recent)
        try:
            self.store.restore(agent, lambda judge: _restore(judge, ((0, older_micro), *spent.recent)))
        except IdentityNotFoundError:
            _log.warning("the audit tells of the agent %s, which has no keys here any more", agent)

    async def _answer_one(self, principal: Principal, request: AnyRequest) -> Reply:
        try:
            match request:
                case Describe():
                    return await self._describe(principal, request)
                case RotationStep() | SignPrepared():
                    return await self._rotate(principal, request)
                case Provision() | Adopt() | Disable() | Enable() | ListAgents() | Grant():
                    return await self._administer(principal, request)
                case _:
                    return await self._sign(principal, request)
        except LifeError as error:
            self._record_refusal("denied", principal, agent=request.agent, op=_name(request), code=error.code)
            return error_reply(request.id, error)
        except Exception:
            _log.exception("a request failed inside the oracle")
            self._record_refusal(
                "denied", principal, agent=request.agent, op=_name(request), code="custody.unavailable"
            )
            return error_reply(request.id, CustodyUnavailableError("The oracle failed inside; nothing was signed."))

    async def _sign(self, principal: Principal, request: SigningRequest) -> Reply:
        policy = self.policy
        operation = operation_of(request)
        number, rule = policy.rule_for(principal, request.agent, operation)
        self._take(principal, number, rule)
        agent_rule = policy.agent(request.agent)
        keys = await self.store.keys(request.agent, agent_rule)
        if isinstance(request, SignToken):
            claims = cast("JsonObject", request.claims)  # it was decoded from JSON
            statement = statement_of(claims, request.typ)
            if not rule.allows_statement(statement):
                raise PolicyDeniedError(f"The oracle's policy does not let {principal} sign {statement}.")
            token = await keys.custody.sign_token(claims, typ=request.typ)
            payload_hash = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
            self._audit.append(
                "signed", principal, agent=request.agent, op=operation, rule=number, payload_hash=payload_hash
            )
            return Reply(id=request.id, token=token)
        wallet_request = _wallet_request(request)
        reservation = ""
        if isinstance(wallet_request, TransferAuthorization | PermitTransfer | TokenPermit):
            reservation = wallet_request.reservation_id
            if agent_rule.require_reservation and not reservation:
                raise PolicyDeniedError("This wallet signs no payment without a reservation.")
        now_us = self._clock.now_us()
        reserved = (
            UNCOUNTED if wallet_request is None else keys.judge.reserve(wallet_request, rule, agent_rule, now_us=now_us)
        )
        try:
            signature = await _signature(keys, request)
        except BaseException:
            keys.judge.release(reserved)
            raise
        self._audit.append(
            "signed",
            principal,
            agent=request.agent,
            op=operation,
            rule=number,
            payload_hash=hashlib.sha256(encode(msgspec.structs.replace(request, id=0))).hexdigest(),
            request_id=reservation[:128],
            spent_micro=reserved.amount_micro,
        )
        return Reply(id=request.id, signature=signature)

    async def _describe(self, principal: Principal, request: Describe) -> Reply:
        policy = self.policy
        operations = policy.operations_for(principal, request.agent)
        if not operations:
            raise PolicyDeniedError(
                f"The oracle's policy does not let {principal} use the agent {request.agent}.",
                next_step="Ask whoever administers somad for a rule [[allow]] in its policy file.",
            )
        keys = await self.store.keys(check_agent_name(request.agent), policy.agent(request.agent))
        facts = _facts(request.agent, keys.identity)
        facts = msgspec.structs.replace(
            facts,
            operations=tuple(sorted(operations)),
            soul=msgspec.json.encode(keys.identity.soul).decode(),
            rotations=msgspec.json.encode(keys.identity.rotations).decode(),
        )
        return Reply(id=request.id, agents=(facts,))

    async def _rotate(self, principal: Principal, request: RotationStep | SignPrepared) -> Reply:
        """One step of a rotation. The chain of proofs is verified before anything is switched; the journal is the agent's."""
        number, rule = self.policy.rule_for(principal, request.agent, "rotate")
        self._take(principal, number, rule)
        rotator = await self.store.rotator(check_agent_name(request.agent))
        try:
            reply = await _step(rotator, request)
        finally:
            await rotator.close()
        if isinstance(request, RotationStep) and request.step == "commit":
            self.store.forget(request.agent)
        op = "sign_prepared" if isinstance(request, SignPrepared) else f"rotation_{request.step}"
        self._audit.append("rotating", principal, agent=request.agent, op=op, rule=number)
        return reply

    async def _administer(
        self, principal: Principal, request: Provision | Adopt | Disable | Enable | ListAgents | Grant
    ) -> Reply:
        policy = self.policy
        if isinstance(request, ListAgents):
            policy.check_admin(principal, "list")
            found = await asyncio.to_thread(self.store.agents)
            facts = tuple(_facts(name, identity, disabled=disabled) for name, identity, disabled in found)
            return Reply(id=request.id, agents=facts)
        check_agent_name(request.agent)
        if isinstance(request, Grant):
            policy.check_admin(principal, "grant")
            return await self._grant(principal, request)
        if isinstance(request, Provision):
            policy.check_admin(principal, "provision")
            identity, created = await self.store.provision(request)
            self._audit.append("provisioned", principal, agent=request.agent, op="provision")
            return Reply(id=request.id, agents=(_facts(request.agent, identity, created=created),))
        if isinstance(request, Adopt):
            policy.check_admin(principal, "adopt")
            identity, created = await asyncio.to_thread(self.store.adopt, request)
            self._audit.append("adopted", principal, agent=request.agent, op="adopt")
            return Reply(id=request.id, agents=(_facts(request.agent, identity, created=created),))
        if isinstance(request, Disable):
            policy.check_admin(principal, "disable")
            self.store.disable(request.agent)
            self._audit.append("disabled", principal, agent=request.agent, op="disable")
        else:
            policy.check_admin(principal, "enable")
            self.store.enable(request.agent)
            self._audit.append("enabled", principal, agent=request.agent, op="enable")
        return Reply(id=request.id, agents=())

    async def _grant(self, principal: Principal, request: Grant) -> Reply:
        oracle = await self.store.oracle()
        permit = issue_permit(
            oracle,
            caller_did=request.did,
            agent=request.agent,
            operations=request.operations,
            lifetime_s=request.lifetime_s,
            clock=self._clock,
            entropy=self._entropy,
        )
        self._audit.append("granted", principal, agent=request.agent, op="grant", request_id=request.did)
        return Reply(id=request.id, token=permit, oracle=oracle.capabilities().did)

    def _take(self, principal: Principal, number: int, rule: AllowRule) -> None:
        """One call of this caller's rate; RateLimitedError when it is used up."""
        if not self._may_take(principal, number, rule.max_per_minute):
            raise RateLimitedError(f"{principal} may sign {rule.max_per_minute} times a minute; try again shortly.")

    def _may_take(self, principal: Principal, number: int, per_minute: int) -> bool:
        """Whether a bucket, which holds ten seconds of the rate, has one left for this caller; takes it."""
        now_us = self._clock.monotonic_us()
        key = (principal.uid if principal.did is None else principal.did, number)
        most = max(1.0, per_minute / 6)
        left, since_us = self._buckets.get(key, (most, now_us))
        left = min(most, left + (now_us - since_us) * per_minute / _MINUTE_US)
        if left < 1:
            return False
        if key not in self._buckets and len(self._buckets) >= _MAX_BUCKETS:
            self._buckets.clear()
        self._buckets[key] = (left - 1, now_us)
        return True

    def _record_refusal(self, kind: RecordKind, principal: Principal, *, agent: str, op: str, code: str) -> None:
        """Put a refusal into the audit; of a flood of them only as many as do not fill the disk."""
        if self._may_take(principal, _REFUSALS, REFUSALS_PER_MINUTE):
            self._audit.append(kind, principal, agent=agent[:64] or None, op=op or None, code=code)


async def _step(rotator: SeedRotator, request: RotationStep | SignPrepared) -> Reply:
    if isinstance(request, RotationStep) and request.step in ("commit", "discard"):
        if request.step == "discard":
            await rotator.discard()
        else:
            try:
                links = msgspec.json.decode(request.links, type=tuple[RotationLink, ...])
            except msgspec.DecodeError:
                raise CustodyInputError("The rotations to commit are malformed.") from None
            if not links:
                raise CustodyInputError("There is no rotation to commit.")
            await rotator.commit(links)
        return Reply(id=request.id, agents=())
    prepares = isinstance(request, RotationStep) and request.step == "prepare"
    handle = await rotator.prepare() if prepares else await rotator.prepared()
    if isinstance(request, SignPrepared):
        if handle is None:
            raise KeyNotFoundError("No key is prepared for this agent.")
        claims = cast("JsonObject", request.claims)
        if statement_of(claims, request.typ) not in (ACCEPTANCE_TYPE, SEAL_TYPE):
            raise PolicyDeniedError("A prepared key agrees to its rotation, and nothing else.")
        return Reply(id=request.id, token=await handle.sign_token(claims, typ=request.typ))
    if handle is None:
        return Reply(id=request.id, agents=())
    names = handle.capabilities()
    facts = AgentFacts(agent=request.agent, did=names.did or "", wallet_address=names.wallet_address or "", chain="")
    return Reply(id=request.id, agents=(facts,))


def _name(request: AnyRequest) -> str:
    return str(type(request).__struct_config__.tag)


def statement_of(claims: JsonObject, typ: str) -> str | None:
    """What a token means beyond its claims: its type among the statements of an identity, None for an ordinary one."""
    kind = claims.get("type")
    if isinstance(kind, str) and kind.startswith("anima."):
        return kind
    return typ if typ.lower().startswith("anima") else None


async def _signature(keys: OpenedKeys, request: SigningRequest) -> bytes:
    custody = keys.custody
    match request:
        case SignMessage():
            return await custody.sign_message(request.message)
        case SignAuthorization():
            return await custody.sign_authorization(request.authorization)
        case SignCancellation():
            return await custody.sign_cancellation(request.authorization)
        case SignPermit() | SignTokenPermit():
            return await custody.sign_permit(request.permit)
        case SignTransaction():
            return decode_signed(await custody.sign_transaction(request.transaction)).signature
        case SignSaleOffer() | SignSaleReceipt():
            return await custody.sign_sale_document(request.document)
    raise CustodyError("This is no request of a wallet.")


def _wallet_request(request: SigningRequest) -> WalletRequest | None:
    """What the judge looks at; None for a cancellation, which only keeps money where it is."""
    match request:
        case SignCancellation():
            return None
        case SignMessage():
            return PersonalMessage(request.message)
        case SignAuthorization():
            return request.authorization
        case SignPermit() | SignTokenPermit():
            return request.permit
        case SignTransaction():
            return request.transaction
        case SignSaleOffer() | SignSaleReceipt():
            return request.document
    raise CustodyError("This is no request of a wallet.")


def _facts(name: str, identity: Identity, *, created: bool = False, disabled: bool = False) -> AgentFacts:
    return AgentFacts(
        agent=name,
        did=identity.did,
        wallet_address=identity.wallet.address,
        chain=identity.wallet.chain,
        created=created,
        disabled=disabled,
    )


def _restore(judge: SpendJudge, moments: Sequence[tuple[int, int]]) -> None:
    for at_us, amount_micro in moments:
        if amount_micro:
            judge.restore(amount_micro, at_us)
