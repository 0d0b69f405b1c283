"""The fold over keys: rotations, revocations, sessions, wallets, custody, parents, each with its proof (anima.md §15–17)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.record import format_timestamp
from life.anima.attestations import attest, delegate, read_attestation
from life.anima.chain import RotationLink, acceptance_claims, proof_claims, verify_chain
from life.anima.errors import StatementRefusedError
from life.anima.events import (
    AnimaEvent,
    CustodyMigrated,
    IdentityAttested,
    IdentityRevoked,
    IdentityRotated,
    IdentityVerified,
    PolicyViolationDetected,
    SessionsRevoked,
    TrustUpdated,
    WalletChanged,
    WalletUnfrozen,
)
from life.anima.genesis import genesis_events, identity_event
from life.anima.identity import WalletAddress, agent_id_of
from life.anima.identity_file import Identity
from life.anima.lineage import lineage_of_child
from life.anima.migration import propose_migration
from life.anima.policy import PolicyManifest
from life.anima.revocation import RevocationReason, revocation_claims, sessions_claims
from life.anima.revoking import revoke_capability, revoke_identity, revoke_sessions
from life.anima.soul import HumanCreator, Soul, build_soul
from life.anima.state import UNFREEZE_TYPE, AnimaState, replay
from life.anima.wallet_change import propose_wallet_change
from life.crypto.address import format_address
from life.testing.clock import START_US, ManualClock, SeededEntropy
from tests.anima.material import (
    DID_A,
    PUBLIC_KEY_A,
    PUBLIC_KEY_B,
    SEED_B,
    WALLET_A,
    AgentBench,
    agent_bench,
    did_of,
    handle,
    rotated,
    rotation_payload,
    seed_of,
    stored,
)
from tests.anima.test_state import ACTIVATED, CREATED, GENESIS, fold

NOW_S = START_US // 1_000_000
OPERATOR = handle(seed_of(900))


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """An agent whose host names an operator."""
    return await agent_bench(tmp_path / "identity", operators=(did_of(OPERATOR),))


async def revocation(
    did: str, by: bytes, *, reason: RevocationReason = "compromised", since: int | None = None
) -> IdentityRevoked:
    """A revocation signed by a seed's key."""
    authority = handle(by)
    claims = revocation_claims(
        did, authority=did_of(authority), reason=reason, now_s=NOW_S, compromised_since_seq=since
    )
    return IdentityRevoked(
        did=did,
        reason=reason,
        revoked_at=format_timestamp(START_US),
        revocation_jws=await authority.sign_token(claims),
    )


def keys(state: AnimaState) -> tuple[str, bool, int]:
    """Current DID, dead or not, violations."""
    assert state.keys is not None and state.identity is not None
    assert state.identity.did == state.keys.current_did
    assert (state.identity.lifecycle == "revoked") is state.keys.is_dead
    return state.keys.current_did, state.keys.is_dead, state.violations


async def test_a_rotation_moves_the_key(agent: AgentBench) -> None:
    """The identity has the new DID and key from the event on, and the sequence tells which key was valid where."""
    first, second = agent.did, (await agent.rotate()).link.new_did
    state = agent.registry.state(agent.agent_id)
    assert state is not None and state.keys is not None
    assert [state.keys.key_at(seq) for seq in (1, 3, 4, 5)] == [first, first, second, second]


async def test_rotations_need_their_proofs() -> None:
    """A rotation without proof, to somebody else's key, from another key, or back, counts as a violation."""
    link = await rotated(bytes([0x42]) * 32, SEED_B)
    good = rotation_payload(link)
    assert keys(fold(GENESIS, CREATED, ACTIVATED, good))[0] == link.new_did
    for wrong in (
        msgspec.structs.replace(good, new_key_proof=None),
        msgspec.structs.replace(good, rotation_proof_jws="x.y.z"),
        msgspec.structs.replace(good, old_did=link.new_did, new_did=link.old_did),
        msgspec.structs.replace(good, rotated_at=format_timestamp(START_US + 10**12)),
        rotation_payload(await rotated(SEED_B, seed_of(3))),
    ):
        assert keys(fold(GENESIS, CREATED, ACTIVATED, wrong)) == (DID_A, False, 1)
    back = rotation_payload(await rotated(SEED_B, bytes([0x42]) * 32))
    assert keys(fold(GENESIS, CREATED, ACTIVATED, good, back)) == (link.new_did, False, 1)
    assert keys(fold(GENESIS, CREATED, ACTIVATED, good, good)) == (link.new_did, False, 0)


async def test_the_first_successor_is_the_only_one() -> None:
    """A second valid proof for another successor changes nothing and is remembered as a sign of theft (AN-ROT-3)."""
    first = rotation_payload(await rotated(bytes([0x42]) * 32, SEED_B))
    rival = rotation_payload(await rotated(bytes([0x42]) * 32, seed_of(5)))
    state = fold(GENESIS, CREATED, ACTIVATED, first, rival)
    assert keys(state) == (first.new_did, False, 1)
    assert state.keys is not None and state.keys.conflicting_rotation
    unproven = msgspec.structs.replace(rival, new_key_proof="x")
    calm = fold(GENESIS, CREATED, ACTIVATED, first, unproven)
    assert calm.keys is not None and not calm.keys.conflicting_rotation


async def test_who_may_revoke() -> None:
    """The key itself, its successors and operators; not a stranger, and not an old key a younger one (AN-REV-1)."""
    a, b = bytes([0x42]) * 32, SEED_B
    link = rotation_payload(await rotated(a, b))
    start = (GENESIS, CREATED, ACTIVATED, link)
    assert keys(fold(*start, await revocation(link.new_did, b))) == (link.new_did, True, 0)
    assert keys(fold(*start, await revocation(DID_A, b))) == (link.new_did, False, 0)
    assert keys(fold(*start, await revocation(DID_A, a))) == (link.new_did, False, 0)
    for wrong in (
        await revocation(link.new_did, a),
        await revocation(link.new_did, seed_of(7)),
        await revocation(DID_A, seed_of(7)),
        await revocation(did_of(handle(seed_of(7))), seed_of(7)),
        msgspec.structs.replace(await revocation(link.new_did, b), did=DID_A),
        msgspec.structs.replace(await revocation(DID_A, b), did=link.new_did),
        IdentityRevoked(did=link.new_did, reason="x", revoked_at="now"),
    ):
        assert keys(fold(*start, wrong)) == (link.new_did, False, 1)
    operator = fold_with((did_of(OPERATOR),), *start, await revocation(link.new_did, seed_of(900), reason="operator"))
    assert keys(operator) == (link.new_did, True, 0)


async def test_an_ancestor_that_was_compromised_before_takes_the_chain_with_it() -> None:
    """Unless only the old key itself says so: or its thief could end an identity that had escaped him (AN-REV-2)."""
    a, b = bytes([0x42]) * 32, SEED_B
    link = rotation_payload(await rotated(a, b))
    start = (GENESIS, CREATED, ACTIVATED, link)
    assert keys(fold(*start, await revocation(DID_A, b, since=2)))[1] is True
    assert keys(fold(*start, await revocation(DID_A, b, since=4)))[1] is True
    assert keys(fold(*start, await revocation(DID_A, b, since=5)))[1] is False
    assert keys(fold(*start, await revocation(DID_A, a, since=2)))[1] is False
    zero = await revocation(DID_A, b, since=0)
    assert keys(fold(*start, zero)) == (link.new_did, False, 1)


async def test_a_dead_identity_does_nothing_more() -> None:
    """No rotation, no wallet, no migration after a revocation."""
    a, b = bytes([0x42]) * 32, SEED_B
    link = rotation_payload(await rotated(a, b))
    state = fold(GENESIS, CREATED, ACTIVATED, await revocation(DID_A, a), link, await wallet_change())
    assert keys(state) == (DID_A, True, 2)


async def test_writing_revocations(agent: AgentBench) -> None:
    """Each kind is judged before it is written; a stranger's is not written at all."""
    stranger = handle(seed_of(8))
    of: dict[str, Any] = {"agent_id": agent.agent_id, "clock": agent.clock}
    with pytest.raises(StatementRefusedError):
        await revoke_identity(agent.journal, stranger, reason="compromised", **of)
    with pytest.raises(StatementRefusedError):
        await revoke_sessions(agent.journal, stranger, **of)
    with pytest.raises(StatementRefusedError):
        await revoke_capability(agent.journal, stranger, jti="t", **of)
    state = await agent.registry.catch_up(agent.agent_id)
    assert (state.violations, agent.registry.sequence_of(agent.agent_id)) == (0, 3)
    await revoke_capability(agent.journal, agent.custody, agent_id=agent.agent_id, jti="t", clock=agent.clock)
    for _ in range(2):
        await revoke_identity(
            agent.journal,
            OPERATOR,
            agent_id=agent.agent_id,
            reason="operator",
            clock=agent.clock,
            operators=(did_of(OPERATOR),),
            registry=agent.registry,
        )
    state = await agent.registry.catch_up(agent.agent_id)
    assert keys(state) == (agent.did, True, 0)
    assert state.keys is not None
    assert (len(state.keys.revocations), [item.jti for item in state.keys.revoked_capabilities]) == (1, ["t"])


async def test_sessions_of_the_future_are_not_ended(agent: AgentBench) -> None:
    """Or one signature would end an identity's tokens for ever."""
    later = agent.now_s + 10
    claims = sessions_claims(agent.did, authority=agent.did, not_before_s=later, now_s=agent.now_s)
    event = SessionsRevoked(
        did=agent.did,
        not_before=format_timestamp(later * 1_000_000),
        revocation_jws=await agent.custody.sign_token(claims),
    )
    state = await agent.write(event)
    assert state.violations == 1
    assert state.keys is not None and state.keys.sessions_not_before_s == 0


async def wallet_change(seed: bytes = bytes([0x42]) * 32) -> WalletChanged:
    """Seed A's identity moves to seed B's wallet."""
    new = WalletAddress(address=handle(SEED_B).capabilities().wallet_address or "")
    return await propose_wallet_change(handle(seed), old=CREATED.wallet_address, new=new, clock=ManualClock())


async def test_a_wallet_change_needs_both_keys() -> None:
    """The old wallet and the auth key sign; neither alone is enough (AN-ROT-6)."""
    good = await wallet_change()
    state = fold(GENESIS, CREATED, ACTIVATED, good)
    assert state.identity is not None
    assert state.identity.wallet_address.address == handle(SEED_B).capabilities().wallet_address
    assert state.former_wallets == (CREATED.wallet_address,)
    other = WalletAddress(address=format_address(bytes(20)))
    foreign = await handle(SEED_B).sign_message(b"x")
    for change in (
        {"proof_eip191": foreign.hex()},
        {"proof_eip191": ""},
        {"auth_jws": "x"},
        {"new_address": other.address},
        {"old_address": other.address},
        {"chain": "eip155:1"},
    ):
        wrong = msgspec.structs.replace(good, **change)
        assert fold(GENESIS, CREATED, ACTIVATED, wrong).violations == 1
    with pytest.raises(StatementRefusedError):
        await wallet_change(SEED_B)


async def test_a_migration_says_that_the_keys_are_the_same() -> None:
    """The attestation covers both backends and the keys before and after; others are not migrated (AN-MIG-1)."""
    clock = ManualClock()
    first, second = handle(), handle()
    event = await propose_migration(first, second, clock=clock)
    assert fold(GENESIS, CREATED, ACTIVATED, event).custody_backend == "in_process"
    moved = msgspec.structs.replace(event, to_backend="tpm")
    assert fold(GENESIS, CREATED, ACTIVATED, moved).violations == 1
    assert fold(GENESIS, CREATED, ACTIVATED, msgspec.structs.replace(event, attestation=None)).violations == 1
    with pytest.raises(InvalidInputError):
        await propose_migration(first, handle(SEED_B), clock=clock)
    claims: dict[str, Any] = {
        "iss": DID_A,
        "sub": DID_A,
        "type": "anima.custody_migration",
        "from_backend": "in_process",
        "to_backend": "tpm",
        "did_before": DID_A,
        "did_after": DID_A,
        "wallet_before": WALLET_A,
        "wallet_after": WALLET_A,
        "iat": NOW_S,
    }
    proven = CustodyMigrated(
        from_backend="in_process", to_backend="tpm", migrated_at="t", attestation=await first.sign_token(claims)
    )
    assert fold(GENESIS, CREATED, ACTIVATED, proven).custody_backend == "tpm"


async def test_a_critical_violation_freezes_the_wallet(agent: AgentBench) -> None:
    """Until an operator who looked at exactly these violations clears it (AN-POL-3)."""
    blocked = PolicyViolationDetected(capability="x", reason="r", blocked=True, severity="critical")
    assert (await agent.write(msgspec.structs.replace(blocked, severity="high"))).wallet_frozen is False
    assert (await agent.write(blocked)).wallet_frozen is True

    async def clearance(by: object, violations: int) -> AnimaState:
        signer = OPERATOR if by == "operator" else agent.custody
        claims: dict[str, Any] = {
            "iss": did_of(signer),
            "sub": agent.agent_id,
            "type": UNFREEZE_TYPE,
            "violations": violations,
            "iat": agent.now_s,
        }
        return await agent.write(WalletUnfrozen(clearance_jws=await signer.sign_token(claims)))

    assert (await clearance("agent", 2)).wallet_frozen is True
    assert (await clearance("operator", 1)).wallet_frozen is True
    assert (await clearance("operator", 2)).wallet_frozen is False
    assert (await agent.write(blocked)).wallet_frozen is True
    assert (await clearance("operator", 2)).wallet_frozen is True


async def test_trust_in_the_journal(agent: AgentBench) -> None:
    """A peer has to be verified first; then its trust moves, and stops when a check fails (AN-BEL-3)."""
    peer = did_of(handle(SEED_B))
    moved = TrustUpdated(peer_id=peer, new_score=550_000, interaction_success=True)
    assert (await agent.write(moved)).violations == 1
    seen = IdentityVerified(verifier_did=agent.did, method="kya.challenge", verified=True, subject_did=peer)
    await agent.write(seen)
    state = await agent.write(moved)
    assert (state.violations, state.beliefs.trust_scores[peer].score_micro) == (1, 550_000)
    await agent.write(msgspec.structs.replace(seen, verified=False))
    assert (await agent.write(moved)).violations == 2


async def test_attestations_are_proven_or_only_claimed(agent: AgentBench) -> None:
    """An issuer's signature makes one verified; without it, it is shown and counts for nothing (AN-KYA-3)."""
    issuer = handle(SEED_B)
    token = await attest(
        issuer, subject=agent.did, claim="kyc", clock=agent.clock, entropy=agent.entropy, lifetime_s=60, evidence=b"x"
    )
    proven = IdentityAttested(issuer_did=did_of(issuer), claim="kyc", attestation_jws=token)
    state = await agent.write(proven)
    assert [(item.claim, item.verified) for item in state.attestations] == [("kyc", True)]
    assert state.attestations[0].evidence_hash is not None
    state = await agent.write(IdentityAttested(issuer_did=did_of(issuer), claim="saint"))
    assert [(item.claim, item.verified) for item in state.attestations] == [("kyc", True), ("saint", False)]
    other = await attest(
        issuer, subject=did_of(OPERATOR), claim="kyc", clock=agent.clock, entropy=agent.entropy, lifetime_s=60
    )
    for wrong in (
        msgspec.structs.replace(proven, claim="saint"),
        msgspec.structs.replace(proven, issuer_did=agent.did),
        msgspec.structs.replace(proven, attestation_jws=other),
        msgspec.structs.replace(proven, attestation_jws=token[:-4] + "AAAA"),
    ):
        before = state.violations
        state = await agent.write(wrong)
        assert (len(state.attestations), state.violations) == (2, before + 1)
    with pytest.raises(StatementRefusedError):
        read_attestation(token, subject=did_of(OPERATOR))


def child_of(parent: Soul, parent_id: str, key: bytes, values: PolicyManifest | None = None) -> Soul:
    """A soul that names its parent."""
    return build_soul(
        name="Child",
        mission="Help.",
        root_public_key=key,
        created_at_us=START_US,
        lineage=lineage_of_child(parent, parent_agent_id=parent_id),
        values=values,
    )


async def delegated(
    agent: AgentBench, *, capabilities: tuple[str, ...] = ("chat:*",), depth: int = 0, key: bytes = PUBLIC_KEY_B
) -> str:
    """A child of the agent with a delegation in the shared journal; its id."""
    seed = SEED_B if key == PUBLIC_KEY_B else bytes([0x42]) * 32
    custody = handle(seed)
    soul = child_of(agent.opened.identity.soul, agent.agent_id, key, PolicyManifest(capability_ceiling=("*",)))
    wallet = WalletAddress(address=custody.capabilities().wallet_address or "")
    child = Identity(
        folder=agent.folder,
        did=did_of(custody),
        agent_id=agent_id_of(key),
        wallet=wallet,
        soul=soul,
        custody="in_process",
        seed_path=agent.folder / "seed.enc",
    )
    await agent.journal.append(genesis_events(child))
    token = await delegate(
        agent.custody,
        parent_agent_id=agent.agent_id,
        child_did=child.did,
        capabilities=capabilities,
        depth=depth,
        clock=agent.clock,
        entropy=agent.entropy,
        lifetime_s=1000,
    )
    event = IdentityAttested(
        issuer_did=agent.did,
        claim="anima.delegation",
        attestation_jws=token,
        issuer_chain=tuple(_chain(agent)),
    )
    await agent.journal.append(
        [identity_event(event, event_id="delegation", agent_id=child.agent_id, timestamp_us=START_US)]
    )
    await agent.registry.load()
    return child.agent_id


def _chain(agent: AgentBench) -> list[RotationLink]:
    return list(agent.opened.identity.rotations)


async def test_a_parent_delegates_and_revokes(agent: AgentBench) -> None:
    """Revoking the parent suspends the child; the parent may revoke the child (AN-DEL-1, AN-REV-1)."""
    child_id = await delegated(agent)
    state = agent.registry.state(child_id)
    assert state is not None and state.keys is not None and state.identity is not None
    assert (state.keys.controller_did, state.violations) == (agent.did, 0)
    standing = agent.registry.standing(state.identity.did)
    assert standing is not None
    now = agent.clock.now_us()
    assert standing.is_active(now) and not agent.registry.is_suspended(standing, now)
    assert not standing.is_active(now + 2_000 * 1_000_000)
    await revoke_identity(
        agent.journal, agent.custody, agent_id=agent.agent_id, reason="compromised", clock=agent.clock
    )
    await agent.registry.load()
    assert agent.registry.is_suspended(standing, now)


async def test_a_parent_that_rotated_delegates_and_revokes(agent: AgentBench) -> None:
    """Its chain comes with the delegation, and with the revocation of the child when it rotated again since."""
    await agent.rotate()
    child_id = await delegated(agent)
    state = agent.registry.state(child_id)
    assert state is not None and state.keys is not None and state.keys.controller_did == agent.did
    rotation = await agent.rotate()
    with pytest.raises(StatementRefusedError):
        await revoke_identity(agent.journal, agent.custody, agent_id=child_id, reason="operator", clock=agent.clock)
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=child_id,
        reason="operator",
        clock=agent.clock,
        authority_chain=(rotation.link,),
        registry=agent.registry,
    )
    state = agent.registry.state(child_id)
    assert state is not None and state.keys is not None and state.keys.is_dead


async def test_only_the_parent_of_the_soul_delegates() -> None:
    """A stranger that signs a delegation does not become the controller."""
    stranger = handle(seed_of(5))
    parent = build_soul(name="P", mission="", root_public_key=PUBLIC_KEY_B, created_at_us=START_US)
    soul = child_of(parent, agent_id_of(PUBLIC_KEY_B), PUBLIC_KEY_A)
    genesis = msgspec.structs.replace(GENESIS, soul=soul, soul_hash=soul.soul_hash)
    for named in (agent_id_of(PUBLIC_KEY_B), agent_id_of(PUBLIC_KEY_A), "agent-x"):
        token = await delegate(
            stranger,
            parent_agent_id=named,
            child_did=DID_A,
            capabilities=("*",),
            depth=0,
            clock=ManualClock(),
            entropy=SeededEntropy(),
            lifetime_s=60,
        )
        event = IdentityAttested(issuer_did=did_of(stranger), claim="anima.delegation", attestation_jws=token)
        state = fold(genesis, CREATED, event)
        assert (state.violations, state.delegation) == (1, None)
        assert state.keys is not None and state.keys.controller_did is None


async def test_a_person_named_in_the_soul_is_an_operator() -> None:
    """A human creator with a DID may revoke what it made (AN-REV-1)."""
    soul = build_soul(
        name="Ada",
        mission="Count.",
        root_public_key=PUBLIC_KEY_A,
        created_at_us=START_US,
        creator=HumanCreator(identity=did_of(OPERATOR)),
    )
    genesis = msgspec.structs.replace(GENESIS, soul=soul, soul_hash=soul.soul_hash)
    assert keys(fold(genesis, CREATED, ACTIVATED, await revocation(DID_A, seed_of(900))))[1] is True


def fold_with(operators: tuple[str, ...], *events: object) -> AnimaState:
    """The state after events, with operators of the host."""
    return replay(
        (stored(sequence, event) for sequence, event in enumerate(events, start=1)),  # type: ignore[arg-type]
        AnimaState(operators=operators),
    )


KEYS = [bytes([0x42]) * 32, *(seed_of(number) for number in range(4))]
"""The seeds of the property test; the identity is born with the first."""


def _signed_rotation(old: bytes, new: bytes) -> IdentityRotated:
    first, second = handle(old), handle(new)
    old_did, new_did = did_of(first), did_of(second)
    return IdentityRotated(
        old_did=old_did,
        new_did=new_did,
        rotation_proof_jws=first.sign_claims(proof_claims(old_did, new_did, now_s=NOW_S)),
        new_key_proof=second.sign_claims(acceptance_claims(old_did, new_did, now_s=NOW_S)),
        rotated_at=format_timestamp(START_US),
    )


def _signed_revocation(did: str, by: bytes) -> IdentityRevoked:
    authority = handle(by)
    claims = revocation_claims(did, authority=did_of(authority), reason="compromised", now_s=NOW_S)
    return IdentityRevoked(
        did=did,
        reason="compromised",
        revoked_at=format_timestamp(START_US),
        revocation_jws=authority.sign_claims(claims),
    )


DIDS = [did_of(handle(seed)) for seed in KEYS]
ROTATIONS = {(old, new): _signed_rotation(KEYS[old], KEYS[new]) for old in range(5) for new in range(5) if old != new}
REVOCATIONS = {(did, by): _signed_revocation(DIDS[did], KEYS[by]) for did in range(5) for by in range(5)}
pairs = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(st.lists(st.tuples(st.booleans(), pairs), max_size=14))
def test_forks_circles_and_revocations(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    """Any order of rotations and revocations, all of them well signed by somebody: the fold agrees with a model in six
    lines, and the chain it ends with is verified from its root."""
    events: list[AnimaEvent] = [GENESIS, CREATED, ACTIVATED]
    chain, dead = [0], False
    for rotates, (one, other) in steps:
        if rotates and one != other:
            events.append(ROTATIONS[one, other])
            if not dead and one == chain[-1] and other not in chain:
                chain.append(other)
        elif not rotates:
            events.append(REVOCATIONS[one, other])
            if one in chain and other in chain and chain.index(other) >= chain.index(one):
                dead = dead or one == chain[-1]
    state = fold(*events)
    assert state.keys is not None and state.identity is not None
    assert [DIDS[number] for number in chain] == list(state.keys.dids)
    assert (state.keys.is_dead, state.identity.lifecycle == "revoked") == (dead, dead)
    assert verify_chain(state.keys.links, start=state.keys.root_did) == state.identity.did
