"""The identity document: built from the journal, signed by the key, believed only as far as it proves itself (AN-KYA)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.anima.attestations import attest
from life.anima.document import DOCUMENT_TYPE, TYP, build_document, check_document, sign_document, tier_of
from life.anima.errors import DocumentRefusedError, StaleHandleError
from life.anima.events import CapabilityGranted, IdentityAttested
from life.anima.signed_answers import sign_answer
from life.crypto.base58 import decode_base58
from life.crypto.did import resolve_did
from tests.anima.material import SEED_B, AgentBench, agent_bench, did_of, handle


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """An agent with a grant, an attestation and a rotation."""
    bench = await agent_bench(tmp_path / "identity")
    await bench.write(CapabilityGranted(capability="chat:send", granted_by="operator"))
    issuer = handle(SEED_B, clock=bench.clock)
    token = await attest(
        issuer, subject=bench.did, claim="kyc", clock=bench.clock, entropy=bench.entropy, lifetime_s=3600
    )
    await bench.write(IdentityAttested(issuer_did=did_of(issuer), claim="kyc", attestation_jws=token))
    await bench.rotate()
    return bench


async def published(agent: AgentBench, **changes: Any) -> bytes:
    """The agent's document as it is served, with changed members signed as well."""
    state = agent.registry.state(agent.agent_id)
    assert state is not None
    document = build_document(state, at_us=agent.clock.now_us(), published_at_seq=6)
    if not changes:
        return msgspec.json.encode(await sign_document(agent.custody, document, clock=agent.clock))
    body = msgspec.to_builtins(document) | changes
    return msgspec.json.encode(await sign_answer(agent.custody, body, kind=DOCUMENT_TYPE, clock=agent.clock, typ=TYP))


async def test_what_it_says(agent: AgentBench) -> None:
    """Soul hash, chain, wallet, grants, attestations and position are those of the journal (AN-KYA-2)."""
    checked = check_document(await published(agent), now_s=agent.now_s)
    document, identity = checked.document, agent.opened.identity
    assert (document.did, document.agent_id, document.soul_hash) == (agent.did, agent.agent_id, identity.soul_hash)
    assert (document.wallet, document.capabilities) == (identity.wallet, ("chat:send",))
    assert [(link.old_did, link.new_did) for link in document.rotation_chain] == [(identity.root_did, agent.did)]
    assert [(item.claim, item.verified) for item in document.attestations] == [("kyc", True)]
    assert (document.published_at_seq, checked.root_did, document.agent_type) == (6, identity.root_did, "hosted")


async def test_keys_have_their_multicodec(agent: AgentBench) -> None:
    """The key is a Multikey with its prefix, and a JWK; the wallet is a CAIP-10 account (AN-KYA-1)."""
    document = check_document(await published(agent), now_s=agent.now_s).document
    auth, wallet = document.verification_methods
    assert auth.publicKeyMultibase is not None
    raw = decode_base58(auth.publicKeyMultibase.removeprefix("z"))
    assert raw[:2] == b"\x80\x24"
    assert raw[2:] == resolve_did(agent.did).public_key
    assert (auth.type, auth.publicKeyJwk or {}) == ("Multikey", {**(auth.publicKeyJwk or {}), "crv": "P-256"})
    assert wallet.blockchainAccountId == f"eip155:8453:{agent.opened.identity.wallet.address}"


@pytest.mark.parametrize(
    "change",
    [
        {"did": "x"},
        {"agent_id": "agent-0000000000000000"},
        {"rotation_chain": []},
        {"verification_methods": []},
        {"trust_tier": "certified"},
        {"trust_score_micro": "high"},
        {"wallet": {"address": "0x12", "chain": "eip155:1"}},
        {"wallet": {"address": "0x" + "a" * 40, "chain": "eip155:1"}},
        {"name": None},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_does_not_fit_is_refused(agent: AgentBench, change: dict[str, Any]) -> None:
    """Even signed by the very key: id, chain, methods and tier must follow from what is proven."""
    with pytest.raises(DocumentRefusedError):
        check_document(await published(agent, **change), now_s=agent.now_s)


async def test_attestations_are_checked_again(agent: AgentBench) -> None:
    """That a document calls an attestation verified proves nothing (AN-KYA-3)."""
    fake = {"issuer": "did:key:zDnx", "subject": agent.did, "claim": "saint", "verified": True}
    document = check_document(await published(agent, attestations=[fake]), now_s=agent.now_s).document
    assert [item.verified for item in document.attestations] == [False]


async def test_only_the_current_key_signs(agent: AgentBench) -> None:
    """The replaced key can't publish, nor can somebody else."""
    state = agent.registry.state(agent.agent_id)
    assert state is not None
    document = build_document(state, at_us=agent.clock.now_us(), published_at_seq=6)
    with pytest.raises(StaleHandleError):
        await sign_document(handle(SEED_B, clock=agent.clock), document, clock=agent.clock)
    body = msgspec.to_builtins(document)
    stolen = await sign_answer(handle(SEED_B, clock=agent.clock), body, kind=DOCUMENT_TYPE, clock=agent.clock, typ=TYP)
    with pytest.raises(DocumentRefusedError):
        check_document(msgspec.json.encode(stolen), now_s=agent.now_s)


async def test_age(agent: AgentBench) -> None:
    """A document is good for five minutes, and not before it was signed."""
    content = await published(agent)
    for offset_s, good in ((0, True), (-30, True), (-31, False), (329, True), (330, False)):
        if good:
            check_document(content, now_s=agent.now_s + offset_s)
        else:
            with pytest.raises(DocumentRefusedError):
                check_document(content, now_s=agent.now_s + offset_s)


async def test_any_changed_byte_is_noticed(agent: AgentBench) -> None:
    """Every byte of the answer counts, apart from the layout of its JSON."""
    content = await published(agent)
    step = max(1, len(content) // 300)
    for position in range(0, len(content), step):
        for value in (content[position] ^ 1, ord("}"), ord("0")):
            changed = content[:position] + bytes([value]) + content[position + 1 :]
            if changed != content:
                with pytest.raises(DocumentRefusedError):
                    check_document(changed, now_s=agent.now_s)
    check_document(json.dumps(json.loads(content), indent=2).encode(), now_s=agent.now_s)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_junk(content: bytes) -> None:
    """Any bytes are refused, with one error."""
    with pytest.raises(DocumentRefusedError):
        check_document(content, now_s=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(body=JSON, proof=JSON)
def test_shaped_junk(body: Any, proof: Any) -> None:
    """So is any JSON of about the right shape."""
    with pytest.raises(DocumentRefusedError):
        check_document(json.dumps({"body": body, "proof": proof}).encode(), now_s=0)


def test_tiers() -> None:
    """From nine tenths certified, from seven trusted, from four provisional."""
    scores = (0, 399_999, 400_000, 699_999, 700_000, 899_999, 900_000, 1_000_000)
    tiers = ["unverified"] * 2 + ["provisional"] * 2 + ["trusted"] * 2 + ["certified"] * 2
    assert [tier_of(score) for score in scores] == tiers
