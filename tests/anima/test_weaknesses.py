"""The weaknesses that the reference found in the original (anima.md §25), one test each: every attack must fail here.

Those of the custody backends, the gateway and the oracle (2, 3, 7, 8, 14, 22, 27, 29, 30, 31) are tested beside those parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.record import format_timestamp
from life.anima.agent_self import AgentSelf
from life.anima.attestations import read_attestation
from life.anima.belief_fold import restored, snapshot_of
from life.anima.beliefs import AgentBelief, GrantConstraint
from life.anima.document import build_document
from life.anima.errors import (
    BeliefRefusedError,
    ScopeInsufficientError,
    StaleHandleError,
    StatementRefusedError,
    TokenRefusedError,
    UserTokenSettingsError,
)
from life.anima.events import (
    AnimaEvent,
    CapabilityGranted,
    IdentityAttested,
    IdentityRevoked,
    IdentityRotated,
)
from life.anima.guarded_custody import GuardedCustody
from life.anima.home import open_identity
from life.anima.identity import check_agent_id
from life.anima.policy import PolicyManifest
from life.anima.report import report_of
from life.anima.revoking import revoke_identity
from life.anima.rotation import settle_rotation
from life.anima.seed_rotation import SeedRotator
from life.anima.soul import Origin, SystemCreator, compute_soul_hash
from life.anima.state import replay
from life.anima.user_tokens import UserTokenVerifier
from life.crypto import jws, p256
from life.crypto.base58 import decode_base58
from life.crypto.derivation import derive_p256_secret
from life.crypto.did import Curve, encode_did, resolve_did
from life.crypto.errors import CryptoError
from life.crypto.jwk import thumbprint
from life.host.errors import UnauthorizedError
from life.host.http.authentication import AUTH_KEY, AuthContext, require_session
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import (
    DID_A,
    PUBLIC_KEY_A,
    SEED_A,
    SEED_B,
    AgentBench,
    agent_bench,
    did_of,
    forged,
    handle,
    raw_key,
    refusal_of,
    rotated,
    rotation_payload,
    seed_of,
    segment,
    stored,
)
from tests.anima.test_state import ACTIVATED, CREATED, GENESIS, fold


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """A registered agent."""
    return await agent_bench(tmp_path / "identity")


async def test_01_a_journal_writer_takes_over_no_did(agent: AgentBench) -> None:
    """An appended rotation without the old key's signature moves nothing; the thief's tokens stay refused."""
    thief = handle(seed_of(1), clock=agent.clock)
    proof = await thief.sign_token({"type": "anima.rotation_proof", "sub": did_of(thief), "iat": agent.now_s})
    for attempt in ("x.y.z", proof, forged({"iss": agent.did, "sub": did_of(thief)}, seed=seed_of(1))):
        state = await agent.write(
            IdentityRotated(
                old_did=agent.did,
                new_did=did_of(thief),
                rotation_proof_jws=attempt,
                new_key_proof=attempt,
                rotated_at=format_timestamp(agent.clock.now_us()),
            )
        )
        assert state.identity is not None and state.identity.did == agent.did
    assert refusal_of(agent.verifier(), await agent.token(custody=thief)) == "unknown_identity"


async def test_04_expiry_audience_start_and_single_use_are_checked(agent: AgentBench) -> None:
    """exp, aud, nbf and jti each close the door."""
    token = await agent.token()
    assert refusal_of(agent.verifier(audience="elsewhere"), token) == "wrong_audience"
    verifier = agent.verifier()
    verifier.verify_agent_token(token)
    assert refusal_of(verifier, token) == "replayed"
    agent.clock.advance_us(90 * 1_000_000)
    await agent.registry.load()
    assert refusal_of(agent.verifier(), token) == "expired"
    early: dict[str, Any] = dict(jws.verify(await agent.token(), typ="agent+jwt").claims)
    early["nbf"] = agent.now_s + 31
    assert refusal_of(agent.verifier(), await agent.custody.sign_token(early, typ="agent+jwt")) == "invalid"


def test_05_no_handle_signs_a_digest() -> None:
    """Nothing in a handle takes a digest: whoever may sign something else can't have a token signed by hashing it."""
    offered = {name for name in dir(handle()) if not name.startswith("_")}
    assert not {name for name in offered if "digest" in name or "raw" in name}
    assert jws.verify(handle().sign_claims({}), typ="JWT").signer.did == DID_A


async def test_06_the_key_of_kid_counts(agent: AgentBench) -> None:
    """A token under the old name by the new key is a bad signature, and one of the old key by itself is judged by time."""
    old_did, before = agent.did, await agent.token()
    agent.clock.advance_us(1_000_000)
    await agent.rotate()
    auth = agent.custody._auth
    assert auth is not None
    body = {
        "iss": old_did,
        "sub": agent.agent_id,
        "aud": "svc",
        "jti": "1",
        "iat": agent.now_s,
        "exp": agent.now_s + 60,
    }
    message = f"{segment({'alg': 'ES256', 'typ': 'agent+jwt', 'kid': old_did})}.{segment(body)}"
    assert refusal_of(agent.verifier(), f"{message}.{segment(auth.sign(message.encode()))}") == "signature"
    assert agent.verifier().verify_agent_token(before).kid_did == old_did


async def test_09_a_rotated_identity_outlives_its_process(agent: AgentBench) -> None:
    """The new key is in the folder, encrypted, with the wallet unchanged."""
    wallet = agent.custody.capabilities().wallet_address
    await agent.rotate()
    again = open_identity(agent.folder, raw_key(), clock=agent.clock)
    assert (again.identity.did, again.custody.capabilities().wallet_address) == (agent.did, wallet)


async def test_10_no_seed_lies_in_clear(agent: AgentBench) -> None:
    """No file of the folder holds a scalar or can be read by others, before and after a rotation."""
    await agent.rotate()
    for path in agent.folder.iterdir():
        assert path.name == "soul.json" or path.stat().st_mode & 0o077 == 0, path
    content = b"".join(path.read_bytes() for path in agent.folder.iterdir())
    assert b"ANIMASEED1" in content
    for source in ("life", str(agent.folder)):  # the entropy that made both seeds is known here, and seeds come first
        assert SeededEntropy(source).token_bytes(32) not in content


async def test_11_an_old_handle_does_not_sign(agent: AgentBench) -> None:
    """After a rotation the replaced handle is stale."""
    guarded = GuardedCustody(agent.custody, agent.registry)
    await guarded.sign_token({})
    await agent.rotate()
    with pytest.raises(StaleHandleError):
        await guarded.sign_token({})


async def test_12_the_self_survives_a_rotation(agent: AgentBench) -> None:
    """The soul keeps its root key, and the self is built by the chain."""
    await agent.rotate()
    state = await agent.registry.catch_up(agent.agent_id)
    me = AgentSelf(state, agent.custody, clock=agent.clock)
    assert encode_did(Curve.P256, bytes.fromhex(me.soul.root_public_key)) != me.did


async def test_13_the_last_duplicate_does_not_win() -> None:
    """The first valid successor stays; the second is remembered as a sign of theft."""
    first = rotation_payload(await rotated(SEED_A, SEED_B))
    second = rotation_payload(await rotated(SEED_A, seed_of(2)))
    state = fold(GENESIS, CREATED, ACTIVATED, first, second)
    assert state.keys is not None
    assert (state.keys.current_did, state.keys.conflicting_rotation) == (first.new_did, True)


async def test_15_revocations_are_signed_and_the_whole_chain_is_asked(agent: AgentBench) -> None:
    """An unsigned one ends nothing; a revoked ancestor's tokens are refused although the tip lives."""
    state = await agent.write(IdentityRevoked(did=agent.did, reason="compromised", revoked_at="t"))
    assert state.identity is not None and state.identity.lifecycle == "active"
    before, first = await agent.token(), agent.did
    agent.clock.advance_us(1_000_000)
    await agent.rotate()
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        did=first,
        reason="lost_device",
        clock=agent.clock,
        registry=agent.registry,
    )
    assert refusal_of(agent.verifier(), before) == "revoked"
    agent.verifier().verify_agent_token(await agent.token())


def test_16_thumbprints_are_sha256() -> None:
    """RFC 7638, for Ed25519 as well: the vector of RFC 8037, appendix A.3."""
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = resolve_did(encode_did(Curve.ED25519, public))
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


async def test_17_multibase_has_its_multicodec(agent: AgentBench) -> None:
    """The published key begins with 80 24, so a reader knows its curve."""
    state = await agent.registry.catch_up(agent.agent_id)
    method = build_document(state, at_us=0, published_at_seq=3).verification_methods[0]
    assert method.publicKeyMultibase is not None
    assert decode_base58(method.publicKeyMultibase[1:])[:2] == b"\x80\x24"


def test_18_the_souls_hash_does_not_depend_on_a_serialiser() -> None:
    """The order of members does not change it, and no two arrangements of segments collide."""
    origin = Origin(created_at=format_timestamp(0), creator=SystemCreator(), name="A", mission="B")
    one = compute_soul_hash(origin, (), PolicyManifest(), root_public_key=PUBLIC_KEY_A.hex())
    members = dict(reversed(list(msgspec.to_builtins(origin).items())))
    again = msgspec.convert(members, Origin)
    assert compute_soul_hash(again, (), PolicyManifest(), root_public_key=PUBLIC_KEY_A.hex()) == one
    other = msgspec.structs.replace(origin, name="AB", mission="")
    assert compute_soul_hash(other, (), PolicyManifest(), root_public_key=PUBLIC_KEY_A.hex()) != one


async def test_19_attestations_are_signed(agent: AgentBench) -> None:
    """An unsigned one is shown as claimed; nobody attests in another's name."""
    state = await agent.write(IdentityAttested(issuer_did=DID_A, claim="certified"))
    report = report_of(state, at_us=agent.clock.now_us(), as_of_seq=4)
    assert [item.verified for item in report.attestations] == [False]
    fake = forged(
        {"iss": DID_A, "sub": agent.did, "type": "anima.attestation", "claim": "x", "iat": 1, "exp": 2, "jti": "1"},
        seed=SEED_B,
    )
    with pytest.raises(StatementRefusedError):
        read_attestation(fake)


def test_20_constraints_count_and_an_empty_ceiling_is_nothing() -> None:
    """A grant's conditions are evaluated at use; without a ceiling nothing can be granted."""
    granted = CapabilityGranted(
        capability="chat:send",
        granted_by="o",
        constraints=(GrantConstraint(field="words", constraint="maximum", value=10),),
    )
    state = fold(GENESIS, CREATED, granted)
    assert state.beliefs.grant_for("chat:send", {"words": 10}, at_us=0) is not None
    assert state.beliefs.grant_for("chat:send", {"words": 11}, at_us=0) is None
    assert not PolicyManifest(capability_ceiling=()).allows_capability("chat:send")


def test_21_ids_have_one_alphabet() -> None:
    """Letters, digits, dash and underscore, at most 64, everywhere."""
    assert check_agent_id("Agent_1-x" + "y" * 55)
    for wrong in ("", "a" * 65, "a.b", "a/b", "a b", "ä", "a\n"):
        with pytest.raises(InvalidInputError):
            check_agent_id(wrong)


def test_23_replays_are_exact_and_snapshots_are_checked() -> None:
    """The same events give the same bytes; a snapshot with another hash is passed over."""
    events: tuple[AnimaEvent, ...] = (GENESIS, CREATED, ACTIVATED)
    records = [stored(sequence, event) for sequence, event in enumerate(events, start=1)]
    assert msgspec.json.encode(replay(records)) == msgspec.json.encode(replay(records))
    snapshot = msgspec.structs.replace(snapshot_of(AgentBelief()), snapshot_hash="0" * 64)
    with pytest.raises(BeliefRefusedError):
        restored(snapshot, values=PolicyManifest())
    state = fold(GENESIS, CREATED, CapabilityGranted(capability="chat:send", granted_by="o"), snapshot)
    assert (len(state.grants), state.violations) == (1, 1)


def test_24_user_tokens_are_for_somebody_and_by_somebody() -> None:
    """Audience and issuer are compared, and a short secret is refused at start."""
    with pytest.raises(UserTokenSettingsError):
        UserTokenVerifier(b"secret", clock=ManualClock())
    clock = ManualClock()
    now = clock.now_us() // 1_000_000
    secret = b"s" * 32
    checked = UserTokenVerifier(secret, clock=clock, audience="a", issuer="i")
    good = {"sub": "u", "aud": "a", "iss": "i", "iat": now, "exp": now + 60}
    checked.verify_user_token(jwt.encode(good, secret, algorithm="HS256"))
    for change in ({"aud": "b"}, {"iss": "j"}):
        with pytest.raises(TokenRefusedError):
            checked.verify_user_token(jwt.encode({**good, **change}, secret, algorithm="HS256"))


def test_25_sessions_have_owners() -> None:
    """Another user's vault and another agent's session stay closed, and nobody at all opens nothing."""
    user = {AUTH_KEY: AuthContext(kind="user", subject="u1", scopes=("*",))}
    agent = {AUTH_KEY: AuthContext(kind="agent", subject="agent-1", scopes=("*",))}
    require_session(user, "vault:u1", owner="")
    require_session(agent, "s", owner="agent-1")
    for scope, session_id, owner in ((user, "vault:u2", "u1"), (user, "s", "u1"), (agent, "s", "agent-2")):
        with pytest.raises(ScopeInsufficientError):
            require_session(scope, session_id, owner=owner)
    with pytest.raises(UnauthorizedError):
        require_session({}, "s", owner="")


async def test_26_a_rotation_has_two_phases(agent: AgentBench) -> None:
    """A process that dies between them loses no key: `test_rotation.test_killed_at_every_step` walks every point."""
    rotator = SeedRotator.open(agent.folder, raw_key(), clock=agent.clock, entropy=agent.entropy)
    await rotator.prepare()
    assert open_identity(agent.folder, raw_key(), clock=agent.clock).identity.did == agent.did
    assert await settle_rotation(agent.journal, rotator, agent_id=agent.agent_id) == "discarded"
    await rotator.close()


@pytest.mark.parametrize(
    "did",
    [
        "did:key:zDnaeQRy3dcKsKa1zmKtVKsTy3m2HYoQnFnfKuxD6HfSTQgbc",
        "did:key:zDnaeztbndBq4ufVXuVTKnDpZSCdL3nhRkCoWt47k1WHzSatP",
    ],
)
def test_28_points_off_the_curve_are_nobodys(did: str) -> None:
    """Vectors 3 and 4 of the original encode, and do not resolve (anima.md, appendix A)."""
    with pytest.raises(CryptoError):
        resolve_did(did)


def test_32_derived_keys_are_pinned() -> None:
    """Seed A gives the scalar's public key and DID of the appendix, not merely the same as last time."""
    key = p256.load_private_key(derive_p256_secret(bytearray(SEED_A)))
    assert key.public_key.hex() == "02f654526a0943609a1faadeaae5fc0d7cea206ac78b0d6611382e93adf849f7cf"
    assert encode_did(Curve.P256, key.public_key) == DID_A
