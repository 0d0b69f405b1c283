"""The identity document: what an agent publishes of itself, signed by its current key (anima.md §6, AN-KYA-1 to AN-KYA-4).

It is built from the journal and nothing else: the soul's hash, the whole rotation chain with its proofs, unexpired grants,
attestations and the wallet. `check_document` believes it only when the outer proof is by the DID that the document names, the
chain leads there from the DID the agent was born with, the agent id is the one of that DID, and every verification method is
what the DID and the wallet say. Trust scores are integers in millionths, and the publisher's own opinion (AN-KYA-4).
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.record import format_timestamp
from life.anima.attestations import Attestation, read_attestation
from life.anima.chain import RotationLink, verify_chain
from life.anima.errors import DocumentRefusedError, RotationRefusedError, StaleHandleError, StatementRefusedError
from life.anima.identity import WalletAddress, agent_id_of, check_chain
from life.anima.signed_answers import SignedAnswer, read_answer, sign_answer
from life.anima.state import AnimaState, require_sound
from life.crypto.address import format_address, parse_address
from life.crypto.did import Curve, resolve_did
from life.crypto.errors import CryptoError
from life.crypto.jwk import public_jwk

TYP: Final = "anima-id+jwt"
DOCUMENT_TYPE: Final = "anima.identity_document"

AgentType = Literal["autonomous", "delegated", "hosted"]
TrustTier = Literal["certified", "trusted", "provisional", "unverified"]
TIERS: Final[tuple[tuple[int, TrustTier], ...]] = (
    (900_000, "certified"),
    (700_000, "trusted"),
    (400_000, "provisional"),
)


class VerificationMethod(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key (type `Multikey`, with its JWK) or an account (`EcdsaSecp256k1RecoveryMethod2020`, by CAIP-10 id)."""

    id: str
    type: str
    controller: str
    publicKeyMultibase: str | None = None  # noqa: N815 (the DID specification's spelling)
    publicKeyJwk: dict[str, str] | None = None  # noqa: N815
    blockchainAccountId: str | None = None  # noqa: N815


class AgentIdentityDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's public identity. Times are RFC 3339; `trust_score_micro` is what the publisher itself believes."""

    did: str
    agent_id: str
    name: str
    mission: str
    soul_hash: str
    controller_did: str | None = None
    agent_type: AgentType = "hosted"
    lifecycle: str = "active"
    verification_methods: tuple[VerificationMethod, ...] = ()
    wallet: WalletAddress | None = None
    capabilities: tuple[str, ...] = ()
    trust_score_micro: int = 500_000
    trust_tier: TrustTier = "provisional"
    trust_source: Literal["publisher"] = "publisher"
    attestations: tuple[Attestation, ...] = ()
    rotation_chain: tuple[RotationLink, ...] = ()
    published_at_seq: int = 0
    created_at: str = ""
    updated_at: str = ""


class CheckedDocument(NamedTuple):
    """A document that its owner signed a short while ago, with its chain verified."""

    document: AgentIdentityDocument
    root_did: str
    signed_at_s: int
    digest: str
    """SHA-256 of what was read, in hex."""


def tier_of(score_micro: int) -> TrustTier:
    """The tier of a score in millionths."""
    return next((tier for least, tier in TIERS if score_micro >= least), "unverified")


def build_document(state: AnimaState, *, at_us: int, published_at_seq: int) -> AgentIdentityDocument:
    """The document of a folded identity. Errors of `require_sound`."""
    soul, identity = require_sound(state)
    assert state.keys is not None  # comes with the identity
    score = state.beliefs.reputation.overall_micro
    grants = {grant.capability: None for grant in state.active_grants(at_us)}
    return AgentIdentityDocument(
        did=identity.did,
        agent_id=identity.agent_id,
        name=soul.origin.name,
        mission=soul.origin.mission,
        soul_hash=soul.soul_hash,
        controller_did=state.keys.controller_did,
        agent_type="hosted" if state.delegation is None else "delegated",
        lifecycle=identity.lifecycle,
        verification_methods=methods_of(identity.did, identity.wallet_address),
        wallet=identity.wallet_address,
        capabilities=tuple(sorted(grants)),
        trust_score_micro=score,
        trust_tier=tier_of(score),
        attestations=state.attestations,
        rotation_chain=state.keys.links,
        published_at_seq=published_at_seq,
        created_at=identity.created_at,
        updated_at=format_timestamp(state.last_updated_us),
    )


def methods_of(did: str, wallet: WalletAddress | None) -> tuple[VerificationMethod, ...]:
    """The auth key, with its multicodec prefix and as a JWK, and the wallet as a CAIP-10 account (AN-KYA-1, AN-KYA-2)."""
    key = resolve_did(did)
    auth = VerificationMethod(
        id=f"{did}#key-1",
        type="Multikey",
        controller=did,
        publicKeyMultibase=did.removeprefix("did:key:"),
        publicKeyJwk=public_jwk(key),
    )
    if wallet is None:
        return (auth,)
    account = VerificationMethod(
        id=f"{did}#wallet-1",
        type="EcdsaSecp256k1RecoveryMethod2020",
        controller=did,
        blockchainAccountId=f"{wallet.chain}:{wallet.address}",
    )
    return (auth, account)


async def sign_document(custody: Custody, document: AgentIdentityDocument, *, clock: Clock) -> SignedAnswer:
    """The document with a proof of the current key. StaleHandleError when `custody` holds another one."""
    if custody.capabilities().did != document.did:
        raise StaleHandleError("This handle's key is not the identity's current one.", next_step="Open it again.")
    body: JsonObject = msgspec.to_builtins(document)
    return await sign_answer(custody, body, kind=DOCUMENT_TYPE, clock=clock, typ=TYP)


def check_document(content: bytes, *, now_s: int) -> CheckedDocument:
    """The document in `content`, checked as far as it speaks for itself; DocumentRefusedError otherwise.

    Whether its key was revoked since is not in it: ask where revocations are published (`life.anima.kya`).
    """
    answer = read_answer(content, kind=DOCUMENT_TYPE, now_s=now_s, typ=TYP)
    try:
        document = msgspec.convert(answer.body, AgentIdentityDocument)
        root = document.rotation_chain[0].old_did if document.rotation_chain else document.did
        if answer.signer != document.did or verify_chain(document.rotation_chain, start=root) != document.did:
            raise DocumentRefusedError("The document is not by the current key of its identity.")
        key = resolve_did(root)
        _check_wallet(document.wallet)
    except (msgspec.ValidationError, InvalidInputError) as error:
        raise DocumentRefusedError(f"The identity document is malformed: {error}.") from None
    except (RotationRefusedError, CryptoError) as error:
        raise DocumentRefusedError(f"The document's rotations do not hold: {error}") from None
    if key.curve is not Curve.P256 or agent_id_of(key.public_key) != document.agent_id:
        raise DocumentRefusedError("The document's agent id does not belong to the key the agent was born with.")
    if document.verification_methods != methods_of(document.did, document.wallet):
        raise DocumentRefusedError("A verification method is not that of the document's DID or wallet.")
    if document.trust_tier != tier_of(document.trust_score_micro):
        raise DocumentRefusedError("The document's trust tier does not follow from its score.")
    document = msgspec.structs.replace(document, attestations=_rechecked(document))
    return CheckedDocument(document, root, answer.issued_at_s, hashlib.sha256(content).hexdigest())


def _rechecked(document: AgentIdentityDocument) -> tuple[Attestation, ...]:
    """The attestations, each verified again: `verified` of a stranger's document is only a word (AN-KYA-3)."""
    dids = {document.did, *(link.old_did for link in document.rotation_chain)}
    checked = []
    for attestation in document.attestations:
        try:
            proven = read_attestation(attestation.attestation_jws or "", issuer=attestation.issuer)
            holds = proven.subject in dids and proven.claim == attestation.claim
        except StatementRefusedError:
            holds = False
        checked.append(proven if holds else msgspec.structs.replace(attestation, verified=False))
    return tuple(checked)


def _check_wallet(wallet: WalletAddress | None) -> None:
    if wallet is None:
        return
    check_chain(wallet.chain)
    if format_address(parse_address(wallet.address)) != wallet.address:
        raise InvalidInputError("the wallet's address is not in its checksummed form")
