"""The check of a counterparty, step by step (AN-KYA-5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.anima.attestations import attest
from life.anima.document import build_document, sign_document
from life.anima.errors import DocumentRefusedError, StatementRefusedError
from life.anima.events import CapabilityGranted, IdentityAttested, IdentityTransitioned
from life.anima.kya import KyaReport, answer_challenge, check_counterparty, check_response, new_challenge
from life.anima.revoking import revoke_identity
from life.anima.signed_answers import sign_answer
from life.anima.well_known import (
    REVOCATIONS_TYPE,
    ROTATIONS_TYPE,
    read_revocations,
    read_rotations,
    revocations_of,
    rotations_of,
)
from tests.anima.material import SEED_B, AgentBench, agent_bench, did_of, handle, seed_of

PUBLISHER = seed_of(700)
ISSUER = seed_of(701)


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """The counterparty."""
    bench = await agent_bench(tmp_path / "identity")
    await bench.write(CapabilityGranted(capability="chat:*", granted_by="operator"))
    token = await attest(
        handle(ISSUER, clock=bench.clock),
        subject=bench.did,
        claim="kyc",
        clock=bench.clock,
        entropy=bench.entropy,
        lifetime_s=200,
    )
    await bench.write(IdentityAttested(issuer_did=did_of(handle(ISSUER)), claim="kyc", attestation_jws=token))
    return bench


async def document_of(agent: AgentBench) -> bytes:
    """What it publishes of itself."""
    state = agent.registry.state(agent.agent_id)
    assert state is not None
    seq = agent.registry.sequence_of(agent.agent_id)
    document = build_document(state, at_us=agent.clock.now_us(), published_at_seq=seq)
    return msgspec.json.encode(await sign_document(agent.custody, document, clock=agent.clock))


async def revocations_about(agent: AgentBench, *, did: str | None = None, by: bytes = PUBLISHER) -> bytes:
    """What a publisher says of its revocations."""
    standing = agent.registry.standing(did or agent.did)
    assert standing is not None
    signer = handle(by, clock=agent.clock)
    body = msgspec.to_builtins(revocations_of(standing))
    return msgspec.json.encode(await sign_answer(signer, body, kind=REVOCATIONS_TYPE, clock=agent.clock))


async def check(agent: AgentBench, **changes: Any) -> KyaReport:
    """The whole check, with a challenge."""
    challenge = new_challenge(did_of(handle(SEED_B)), clock=agent.clock, entropy=agent.entropy)
    options: dict[str, Any] = {
        "document": await document_of(agent),
        "revocations": await revocations_about(agent),
        "publishers": {did_of(handle(PUBLISHER))},
        "clock": agent.clock,
        "trusted_issuers": {did_of(handle(ISSUER))},
        "required_claims": {"kyc"},
        "capability": "chat:send",
        "challenge": challenge,
        "response": await answer_challenge(agent.custody, challenge, clock=agent.clock),
    } | changes
    return check_counterparty(options.pop("document"), **options)


async def test_a_counterparty_that_holds(agent: AgentBench) -> None:
    """Every step holds, before and after a rotation; the event lets trust begin."""
    report = await check(agent)
    assert (report.verdict, report.did, report.key_proven) == ("verified", agent.did, True)
    assert [item.claim for item in report.trusted_attestations] == ["kyc"]
    event = report.event("did:key:me")
    assert (event.subject_did, event.verified, event.method) == (agent.did, True, "kya.challenge")
    await agent.rotate()
    assert (await check(agent)).is_verified


async def test_each_step_can_fail(agent: AgentBench) -> None:
    """And the report names the first that did."""
    other = new_challenge(did_of(handle(SEED_B)), clock=agent.clock, entropy=agent.entropy)
    failures: dict[str, dict[str, Any]] = {
        "document": {"document": b"{}"},
        "publisher": {"revocations": None},
        "attestations": {"required_claims": {"kyc", "saint"}},
        "capability": {"capability": "wallet:write"},
        "challenge": {"response": "x"},
    }
    for verdict, change in failures.items():
        report = await check(agent, **change)
        assert (report.verdict, report.is_verified) == (verdict, False)
        assert not report.event("did:key:me").verified
    assert (await check(agent, publishers=set())).verdict == "publisher"
    assert (await check(agent, trusted_issuers=set())).verdict == "attestations"
    assert (await check(agent, challenge=other)).verdict == "challenge"
    assert (await check(agent, revocations=await document_of(agent))).verdict == "publisher"
    agent.clock.advance_us(200 * 1_000_000)
    assert (await check(agent)).verdict == "attestations"


async def test_without_a_challenge_trust_does_not_begin(agent: AgentBench) -> None:
    """Anybody can show a document; only the key's holder can answer."""
    report = await check(agent, challenge=None, response=None)
    assert (report.verdict, report.key_proven) == ("verified", False)
    assert not report.event("did:key:me").verified


async def test_revocation_ends_the_check(agent: AgentBench) -> None:
    """A revoked current key, or one that was in wrong hands before its rotation, is refused; an old key's end is not."""
    first = agent.did
    await agent.rotate()
    options: dict[str, Any] = {
        "agent_id": agent.agent_id,
        "reason": "compromised",
        "clock": agent.clock,
        "registry": agent.registry,
    }
    await revoke_identity(agent.journal, agent.custody, did=first, **options)
    assert (await check(agent)).is_verified
    stale = await revocations_about(agent)
    await revoke_identity(agent.journal, agent.custody, **options)
    assert (await check(agent)).verdict == "revoked"
    assert (await check(agent, revocations=stale)).verdict == "publisher", "older than the document"


async def test_an_inactive_identity_is_refused(agent: AgentBench) -> None:
    """The lifecycle is part of the check."""
    await agent.write(IdentityTransitioned(agent_id=agent.agent_id, from_="active", to="expired", reason="r"))
    assert (await check(agent)).verdict == "inactive"


async def test_challenges_are_for_one_verifier_one_time_and_two_minutes(agent: AgentBench) -> None:
    """Another verifier's, another nonce's, another key's and a late answer are refused."""
    me = did_of(handle(SEED_B))
    challenge = new_challenge(me, clock=agent.clock, entropy=agent.entropy)
    response = await answer_challenge(agent.custody, challenge, clock=agent.clock)
    check_response(response, challenge, did=agent.did, now_s=agent.now_s)
    for change in ({"verifier_did": agent.did}, {"nonce": "x" * 43}, {"issued_at_s": agent.now_s - 1}):
        with pytest.raises(StatementRefusedError):
            check_response(response, msgspec.structs.replace(challenge, **change), did=agent.did, now_s=agent.now_s)
    with pytest.raises(StatementRefusedError):
        check_response(response, challenge, did=me, now_s=agent.now_s)
    with pytest.raises(StatementRefusedError):
        check_response(response, challenge, did=agent.did, now_s=agent.now_s + 121)
    with pytest.raises(StatementRefusedError):
        check_response(await agent.token(), challenge, did=agent.did, now_s=agent.now_s)
    for wrong in (
        msgspec.structs.replace(challenge, nonce="AAAA"),
        msgspec.structs.replace(challenge, nonce="!"),
        msgspec.structs.replace(challenge, verifier_did="Bob"),
        msgspec.structs.replace(challenge, issued_at_s=agent.now_s - 121),
        msgspec.structs.replace(challenge, issued_at_s=agent.now_s + 31),
    ):
        with pytest.raises(InvalidInputError):
            await answer_challenge(agent.custody, wrong, clock=agent.clock)
    with pytest.raises(InvalidInputError):
        new_challenge("Bob", clock=agent.clock, entropy=agent.entropy)


async def test_well_known_answers_are_read_strictly(agent: AgentBench) -> None:
    """A rotations answer is verified link by link, a revocations answer keeps what it was told."""
    first = agent.did
    await agent.rotate()
    standing = agent.registry.standing(first)
    assert standing is not None
    signer = handle(PUBLISHER, clock=agent.clock)
    body = msgspec.to_builtins(rotations_of(standing))

    async def signed(content: dict[str, Any]) -> bytes:
        return msgspec.json.encode(await sign_answer(signer, content, kind=ROTATIONS_TYPE, clock=agent.clock))

    assert len(read_rotations(await signed(body), did=first, now_s=agent.now_s).events) == 1
    link = body["events"][0]
    wrong_bodies: tuple[dict[str, Any], ...] = (
        body | {"did": agent.did},
        body | {"events": [link, link]},
        body | {"events": [link | {"new_key_proof": link["rotation_proof_jws"]}]},
        body | {"events": "x"},
        {},
    )
    for wrong in wrong_bodies:
        with pytest.raises(DocumentRefusedError):
            read_rotations(await signed(wrong), did=first, now_s=agent.now_s)
    told = read_revocations(await revocations_about(agent), did=agent.did, authorities=(), now_s=agent.now_s)
    assert (told.publisher, told.answer.seq) == (did_of(signer), None)
    with pytest.raises(DocumentRefusedError):
        read_revocations(await revocations_about(agent), did=first, authorities=(), now_s=agent.now_s)
