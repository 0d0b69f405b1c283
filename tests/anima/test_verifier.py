"""The one verifier: what a token proves, and every way in which it must not (anima.md §18.2)."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.anima.errors import IdentitiesStaleError, TokenRefusedError
from life.anima.events import IdentityTransitioned
from life.anima.identity import agent_id_of
from life.anima.registry import IdentityRegistry
from life.anima.replay_store import MemoryReplayStore
from life.anima.revoking import revoke_identity, revoke_sessions
from life.anima.tokens import issue_agent_token
from life.anima.verifier import GRACE_S, TokenVerifier, verify_recorded
from life.crypto import agent_token, secp256k1
from life.crypto.derivation import derive_secp256k1_secret
from life.crypto.did import Curve, encode_did, resolve_did
from life.crypto.jwk import thumbprint
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import START_US, ManualClock, SeededEntropy
from tests.anima.material import (
    DID_A,
    DID_B,
    PUBLIC_KEY_A,
    SEED_A,
    SEED_B,
    AgentBench,
    agent_bench,
    forged,
    handle,
    refusal_of,
    segment,
)
from tests.anima.test_key_history import delegated

AGENT_A = agent_id_of(PUBLIC_KEY_A)
NOW_S = START_US // 1_000_000


async def issue(audience: str = "lago", **options: Any) -> str:
    """A token of seed A's agent."""
    clock = options.pop("clock", ManualClock())
    return await issue_agent_token(
        handle(), agent_id=AGENT_A, audience=audience, clock=clock, entropy=SeededEntropy(), **options
    )


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims of seed A's agent, changed."""
    good = {
        "iss": thumbprint(resolve_did(DID_A)),
        "sub": AGENT_A,
        "aud": "lago",
        "jti": "token-1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def signed(
    content: dict[str, Any], *, seed: bytes = SEED_A, typ: str = "agent+jwt", header: dict[str, Any] | None = None
) -> str:
    """A token signed by a seed's key with any header and claims, past every check of custody."""
    return forged(content, seed=seed, typ=typ, header=header)


class Fresh(IdentityRegistry):
    """A registry without identities that is always up to date."""

    def require_fresh(self) -> None:
        """Nothing could have been missed."""


def stranger_verifier(clock: ManualClock | None = None, **options: Any) -> TokenVerifier:
    """A verifier that nothing is known to, and that accepts such identities."""
    clock = clock or ManualClock()
    merged: dict[str, Any] = {"audience": "lago", "allow_unregistered": True} | options
    return TokenVerifier(
        identities=Fresh(MemoryJournal(), clock), replay=MemoryReplayStore(clock), clock=clock, **merged
    )


def refusal(token: str, *, clock: ManualClock | None = None, **options: Any) -> str:
    """Why a token is refused."""
    return refusal_of(stranger_verifier(clock, **options), token)


async def test_time() -> None:
    """Valid until the end plus the leeway, from the start minus the leeway, not a second beyond."""
    clock = ManualClock()
    token = await issue(clock=clock)
    for offset_s, reason in ((89, None), (90, "expired"), (-30, None), (-31, "invalid")):
        at = ManualClock(start_us=START_US + offset_s * 1_000_000)
        if reason is None:
            stranger_verifier(at).verify_agent_token(token)
        else:
            assert refusal(token, clock=at) == reason
    strict = ManualClock(start_us=START_US + 60 * 1_000_000)
    assert refusal(token, clock=strict, leeway_s=0) == "expired"


async def test_audience() -> None:
    """A token for somebody else is refused; audiences are compared as they are."""
    token = await issue()
    for audience in ("haima", "LAGO", "lago ", "", "l"):
        assert refusal(token, audience=audience) == "wrong_audience"


def test_agent_ids_cant_be_borrowed() -> None:
    """A key that claims another agent's id is refused."""
    stolen = signed(claims(iss=DID_B), seed=SEED_B)
    assert refusal(stolen) == "wrong_agent"
    assert refusal(signed(claims(sub="billing"))) == "wrong_agent"
    assert refusal(signed(claims()), allow_unregistered=False) == "unknown_identity"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": DID_B},
        {"iss": "x"},
        {"iss": ...},
        {"sub": ...},
        {"sub": ""},
        {"aud": ...},
        {"aud": ["lago"]},
        {"aud": None},
        {"jti": ...},
        {"jti": ""},
        {"iat": ...},
        {"iat": str(NOW_S)},
        {"exp": ...},
        {"exp": NOW_S + 61},
        {"exp": NOW_S},
        {"exp": 10**30},
        {"iat": NOW_S - 10**6},
        {"iat": True},
        {"exp": float(NOW_S + 60) + 0.5},
    ],
    ids=lambda change: "-".join(f"{key}={value}"[:30] for key, value in change.items()),
)
def test_claims_out_of_bounds(change: dict[str, Any]) -> None:
    """Every missing, mistyped or overlong claim is refused although the signature is good."""
    assert refusal(signed(claims(**change))) in ("invalid", "expired")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "ES256K"},
        {"alg": "EdDSA"},
        {"alg": "es256"},
        {"kid": DID_B},
        {"kid": "key-1"},
        {"kid": None},
        {"kid": DID_A + "#other"},
        {"typ": "JWT"},
        {"typ": None},
        {"crit": ["exp"]},
        {"jwk": {"kty": "EC"}},
        {"jku": "https://example.org"},
        {"b64": False},
    ],
    ids=lambda header: "-".join(f"{key}={value}"[:30] for key, value in header.items()),
)
def test_headers_that_are_refused(header: dict[str, Any]) -> None:
    """No other algorithm, key, type or extension is accepted, whatever the signature."""
    assert refusal(signed(claims(), header=header)) in ("invalid", "algorithm", "signature")


def test_kid_may_name_the_key_of_the_did() -> None:
    """Both fragment styles are read (AN-DID-2)."""
    for fragment in ("#key-1", f"#{DID_A.removeprefix('did:key:')}"):
        token = signed(claims(), header={"kid": DID_A + fragment})
        assert stranger_verifier().verify_agent_token(token).kid_did == DID_A


def test_the_public_key_is_no_hmac_secret() -> None:
    """The classic confusion: HS256 keyed with public material verifies nowhere."""
    message = f"{segment({'alg': 'HS256', 'typ': 'agent+jwt', 'kid': DID_A})}.{segment(claims())}"
    for secret in (PUBLIC_KEY_A, DID_A.encode(), b""):
        mac = hmac.new(secret, message.encode(), hashlib.sha256).digest()
        assert refusal(f"{message}.{segment(mac)}") == "algorithm"
    assert refusal(f"{segment({'alg': 'none', 'typ': 'agent+jwt', 'kid': DID_A})}.{segment(claims())}.") == "algorithm"


def test_form() -> None:
    """Anything but three parts of strict base64url over unambiguous JSON is refused."""
    good = signed(claims())
    head, body, signature = good.split(".")
    twice = segment(b'{"alg":"ES256","alg":"none","typ":"agent+jwt","kid":"' + DID_A.encode() + b'"}')
    for token in (
        "",
        ".",
        "..",
        head,
        f"{head}.{body}",
        f"{good}.{signature}",
        f"{head}=.{body}.{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature[:-2]}",
        f" {good}",
        f"{good}\n",
        f"{twice}.{body}.{signature}",
        f"{head}.{segment(b'[]')}.{signature}",
        "x" * 9000,
        "ä.ö.ü",
    ):
        assert refusal(token) in ("invalid", "signature")


@given(position=st.integers(min_value=0), flip=st.integers(1, 127))
def test_any_changed_character_is_refused(position: int, flip: int) -> None:
    """One changed character anywhere makes the token worthless."""
    good = signed(claims())
    index = position % len(good)
    other = chr(ord(good[index]) ^ flip)
    reason = refusal(f"{good[:index]}{other}{good[index + 1 :]}")
    assert reason in ("invalid", "algorithm", "signature")


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """A registered agent."""
    return await agent_bench(tmp_path / "identity")


async def test_what_a_token_proves(agent: AgentBench) -> None:
    """DID, agent, audience, times, and how much of the journal was known."""
    verifier = agent.verifier()
    proven = verifier.verify_agent_token(await agent.token())
    assert (proven.kid_did, proven.current_did, proven.agent_id) == (agent.did, agent.did, agent.agent_id)
    assert (proven.audience, proven.algorithm, proven.key_state) == ("svc", "ES256", "current")
    assert (proven.issued_at_s, proven.expires_at_s, proven.as_of_seq) == (agent.now_s, agent.now_s + 60, 3)
    assert (verifier.accepted, verifier.refused.total()) == (1, 0)


async def test_a_token_is_used_once(agent: AgentBench) -> None:
    """The same token again is a replay; looking at it is not using it (AN-VER-6)."""
    verifier = agent.verifier()
    token = await agent.token()
    assert verifier.inspect_agent_token(token) == verifier.inspect_agent_token(token)
    verifier.verify_agent_token(token)
    for _ in range(2):
        assert refusal_of(verifier, token) == "replayed"
    assert verifier.refused["replayed"] == 2
    assert agent.verifier(audience="other").audience == "other"


async def test_a_refused_token_is_not_used_up(agent: AgentBench) -> None:
    """Only a token that holds takes room in the store: junk can't fill it."""
    store = MemoryReplayStore(agent.clock)
    verifier = agent.verifier(replay=store)
    for junk in ("x", signed(claims()), await agent.token(audience="elsewhere")):
        with pytest.raises(TokenRefusedError):
            verifier.verify_agent_token(junk)
    assert len(store) == 0


async def test_a_full_store_refuses(agent: AgentBench) -> None:
    """When uses can't be remembered, tokens are refused, and again accepted when old ones have expired (AN-VER-6)."""
    verifier = agent.verifier(replay=MemoryReplayStore(agent.clock, max_entries=2))
    for _ in range(2):
        verifier.verify_agent_token(await agent.token())
    assert refusal_of(verifier, await agent.token()) == "replay_store_full"
    agent.clock.advance_us(92 * 1_000_000)
    await agent.registry.load()
    verifier.verify_agent_token(await agent.token())


async def test_the_rotation_story(agent: AgentBench) -> None:
    """Acceptance row E: after a rotation the new key's token is accepted; the old key's only if it was issued before, and only
    for a minute and a half, whatever it claims (AN-ROT-5)."""
    verifier = agent.verifier()
    old = agent.custody
    old_did = agent.did
    before = await agent.token()
    agent.clock.advance_us(1_000_000)
    rotation = await agent.rotate()
    assert agent.did == rotation.link.new_did != old_did
    new = verifier.verify_agent_token(await agent.token())
    assert (new.key_state, new.chain_length, new.kid_did) == ("current", 1, agent.did)
    proven = verifier.verify_agent_token(before)
    assert (proven.key_state, proven.kid_did, proven.current_did) == ("superseded_grace", old_did, agent.did)
    assert refusal_of(verifier, await agent.token(custody=old)) == "superseded"

    agent.clock.advance_us(GRACE_S * 1_000_000 + 1)
    late = agent_token.agent_claims(
        resolve_did(old_did), agent.agent_id, audience="svc", jti="late", now_s=agent.now_s - 91, lifetime_s=60
    )
    await agent.registry.load()
    in_time = agent.verifier(leeway_s=10_000)
    assert refusal_of(in_time, await old.sign_token(_members(late), typ="agent+jwt")) == "superseded"


async def test_a_backdated_token_of_a_stolen_key_dies_with_the_grace(agent: AgentBench) -> None:
    """A thief of the old key can write any time into a token; it does not help him for longer than the grace."""
    old, old_did = agent.custody, agent.did
    agent.clock.advance_us(5_000_000)
    await agent.rotate()
    for wait_s, reason in ((0, None), (31, None), (GRACE_S - 31, None), (1, "superseded")):
        agent.clock.advance_us(wait_s * 1_000_000)
        await agent.registry.load()
        backdated = agent_token.agent_claims(
            resolve_did(old_did), agent.agent_id, audience="svc", jti=f"t{wait_s}", now_s=NOW_S + 4, lifetime_s=60
        )
        token = await old.sign_token(_members(backdated), typ="agent+jwt")
        verifier = agent.verifier(leeway_s=10_000)
        if reason is None:
            assert verifier.verify_agent_token(token).key_state == "superseded_grace"
        else:
            assert refusal_of(verifier, token) == reason


async def test_a_new_key_signs_only_under_its_own_name(agent: AgentBench) -> None:
    """A token with the old DID in `kid`, signed by the new key, is a bad signature: the key of `kid` itself counts."""
    old_did = agent.did
    await agent.rotate()
    auth = agent.custody._auth
    assert auth is not None
    body = claims(iss=old_did, sub=agent.agent_id, aud="svc", iat=agent.now_s, exp=agent.now_s + 60)
    message = f"{segment({'alg': 'ES256', 'typ': 'agent+jwt', 'kid': old_did})}.{segment(body)}"
    assert refusal_of(agent.verifier(), f"{message}.{segment(auth.sign(message.encode()))}") == "signature"


async def test_revocation_counts_at_once(agent: AgentBench) -> None:
    """A token that was good is refused from the moment the revocation call returns."""
    verifier = agent.verifier()
    verifier.verify_agent_token(await agent.token())
    waiting = await agent.token()
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        reason="compromised",
        clock=agent.clock,
        registry=agent.registry,
    )
    assert refusal_of(verifier, waiting) == "revoked"


async def test_revoking_a_replaced_key_ends_its_grace(agent: AgentBench) -> None:
    """The old key, once revoked, is refused even within the grace; its successor goes on."""
    before, old_did = await agent.token(), agent.did
    agent.clock.advance_us(1_000_000)
    await agent.rotate()
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        did=old_did,
        reason="compromised",
        clock=agent.clock,
        registry=agent.registry,
    )
    verifier = agent.verifier()
    assert refusal_of(verifier, before) == "revoked"
    assert verifier.verify_agent_token(await agent.token()).key_state == "current"


async def test_ended_sessions_do_not_end_the_identity(agent: AgentBench) -> None:
    """Tokens issued before the stamp are refused, later ones are not (AN-REV-5)."""
    before = await agent.token()
    agent.clock.advance_us(1_000_000)
    await revoke_sessions(
        agent.journal, agent.custody, agent_id=agent.agent_id, clock=agent.clock, registry=agent.registry
    )
    assert refusal_of(agent.verifier(), before) == "sessions_revoked"
    agent.verifier().verify_agent_token(await agent.token())


async def test_an_expired_identity_has_no_tokens(agent: AgentBench) -> None:
    """The lifecycle counts, not only the key."""
    await agent.write(IdentityTransitioned(agent_id=agent.agent_id, from_="active", to="expired", reason="r"))
    assert refusal_of(agent.verifier(), await agent.token()) == "inactive"


async def test_unknown_identities_are_refused_unless_wanted(agent: AgentBench) -> None:
    """Nothing is known of a stranger's revocations, so it is refused unless the service says otherwise."""
    stranger = signed(claims(aud="svc"))
    assert refusal_of(agent.verifier(), stranger) == "unknown_identity"
    proven = agent.verifier(allow_unregistered=True).verify_agent_token(stranger)
    assert (proven.key_state, proven.as_of_seq) == ("unregistered", 0)


async def test_a_silent_journal_means_no(agent: AgentBench) -> None:
    """When the journal has not answered for a minute, nothing is accepted (AN-REV-4)."""
    verifier = agent.verifier()
    agent.clock.advance_us(60 * 1_000_000)
    verifier.verify_agent_token(await agent.token())
    agent.clock.advance_us(1)
    token = await agent.token()
    with pytest.raises(IdentitiesStaleError):
        verifier.verify_agent_token(token)
    await agent.registry.load()
    verifier.verify_agent_token(token)


async def test_es256k_is_opt_in(agent: AgentBench) -> None:
    """A wallet signs tokens only where the service asks for it, and only for the agent whose wallet it is (AN-VER-2)."""
    wallet = agent.custody._wallet
    assert wallet is not None
    key = resolve_did(encode_did(Curve.SECP256K1, secp256k1.compress(secp256k1.public_key(wallet.view))))

    def sign(message: bytes) -> bytes:
        return secp256k1.sign_recoverable(hashlib.sha256(message).digest(), wallet.view)[:64]

    def token(jti: str) -> str:
        made = agent_token.agent_claims(key, agent.agent_id, audience="svc", jti=jti, now_s=agent.now_s)
        return agent_token.sign_agent_token(made, key=key, signer=sign)

    assert refusal_of(agent.verifier(), token("1")) == "algorithm"
    opted = agent.verifier(curves={Curve.P256, Curve.SECP256K1})
    proven = opted.verify_agent_token(token("2"))
    assert (proven.algorithm, proven.agent_id, proven.kid_did) == ("ES256K", agent.agent_id, key.did)
    other = derive_secp256k1_secret(bytearray(SEED_B))
    foreign = resolve_did(encode_did(Curve.SECP256K1, secp256k1.compress(secp256k1.public_key(other))))
    made = agent_token.agent_claims(foreign, agent.agent_id, audience="svc", jti="3", now_s=agent.now_s)
    stolen = agent_token.sign_agent_token(
        made,
        key=foreign,
        signer=lambda message: secp256k1.sign_recoverable(hashlib.sha256(message).digest(), other)[:64],
    )
    assert refusal_of(opted, stolen) == "unknown_identity"


def test_not_before_is_honoured() -> None:
    """An optional nbf in the future keeps a token from being used."""
    assert refusal(signed(claims(nbf=NOW_S + 31))) == "invalid"
    assert refusal(signed(claims(nbf="soon"))) == "invalid"
    stranger_verifier().verify_agent_token(signed(claims(nbf=NOW_S + 30)))


async def test_history_is_judged_by_its_place(agent: AgentBench) -> None:
    """A statement of the old key is good where the old key was valid, flagged when it was revoked later, and not since its
    key is in doubt (AN-ROT-5, AN-REV-3)."""
    old, old_did = agent.custody, agent.did
    statement = await old.sign_token({"iss": old_did, "type": "test", "iat": agent.now_s})
    rotation = await agent.rotate()
    seq = rotation.link.rotated_at_seq
    standing = agent.registry.standing(old_did)
    assert standing is not None
    assert verify_recorded(statement, standing, kind="test", seq=seq - 1) == (old_did, False)
    with pytest.raises(TokenRefusedError):
        verify_recorded(statement, standing, kind="test", seq=seq)
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        did=old_did,
        reason="compromised",
        clock=agent.clock,
        compromised_since_seq=3,
        registry=agent.registry,
    )
    standing = agent.registry.standing(old_did)
    assert standing is not None
    assert verify_recorded(statement, standing, kind="test", seq=2) == (old_did, True)
    with pytest.raises(TokenRefusedError):
        verify_recorded(statement, standing, kind="test", seq=3)


@given(token=st.text(max_size=400) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_junk_is_refused_and_nothing_else(token: str) -> None:
    """Any text is refused with a reason; no other exception leaves the verifier."""
    assert refusal(token) in ("invalid", "algorithm", "signature")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(changes=st.dictionaries(st.sampled_from(["iss", "sub", "aud", "jti", "iat", "exp", "nbf", "x"]), JSON_VALUES))
def test_signed_junk_is_judged_too(changes: dict[str, Any]) -> None:
    """Well-signed tokens with any claims: accepted only with exactly the claims that count, never an unforeseen error."""
    token = signed(claims(**changes))
    verifier = stranger_verifier()
    try:
        proven = verifier.verify_agent_token(token)
    except TokenRefusedError:
        return
    assert (proven.agent_id, proven.audience, proven.kid_did) == (AGENT_A, "lago", DID_A)


@given(header=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "x", "b64", "zip"]), JSON_VALUES))
def test_signed_headers_of_any_kind(header: dict[str, Any]) -> None:
    """Any header over a good signature: accepted only when it says what it must."""
    token = signed(claims(), header=header)
    verifier = stranger_verifier()
    try:
        verifier.verify_agent_token(token)
    except TokenRefusedError:
        return
    assert not header.keys() & {"crit", "jwk", "b64", "zip"}


def _members(made: agent_token.AgentClaims) -> dict[str, Any]:
    return {"iss": made.iss, "sub": made.sub, "aud": made.aud, "jti": made.jti, "iat": made.iat, "exp": made.exp}


async def test_children_fall_with_their_parent(agent: AgentBench) -> None:
    """A child's tokens are refused as soon as its parent is revoked, and when the delegation ends (AN-DEL-1)."""
    child_id = await delegated(agent)
    child = handle(SEED_B, clock=agent.clock)

    async def token() -> str:
        return await issue_agent_token(
            child, agent_id=child_id, audience="svc", clock=agent.clock, entropy=agent.entropy
        )

    verifier = agent.verifier()
    assert verifier.verify_agent_token(await token()).agent_id == child_id
    await revoke_identity(
        agent.journal,
        agent.custody,
        agent_id=agent.agent_id,
        reason="compromised",
        clock=agent.clock,
        registry=agent.registry,
    )
    assert refusal_of(verifier, await token()) == "suspended"
    agent.clock.advance_us(1_000 * 1_000_000)
    await agent.registry.load()
    assert refusal_of(verifier, await token()) == "inactive"
