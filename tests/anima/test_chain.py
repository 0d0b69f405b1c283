"""Rotation chains: what a link needs, and every way in which it must not be believed (AN-ROT-1 to AN-ROT-4)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from life.aios.record import format_timestamp, parse_timestamp
from life.anima.chain import (
    MAX_LINKS,
    PROOF_TYPE,
    RotationLink,
    acceptance_claims,
    dids_of,
    proof_claims,
    verify_chain,
    verify_link,
)
from life.anima.errors import RotationRefusedError
from life.crypto import jws
from life.crypto.did import Curve, encode_did, resolve_did
from life.testing.clock import START_US, ManualClock
from tests.anima.material import DID_A, DID_B, SEED_A, SEED_B, did_of, forged, handle, rotated, seed_of

NOW_S = START_US // 1_000_000

REFERENCE_PROOF = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImRpZDprZXk6ekRuYWVoMVh1enQyelhDWlVZRFU3Y2JUR3FuWFNEaVhiN29wNnJiZjEzenZhdWo2diJ9."
    "eyJpc3MiOiJkaWQ6a2V5OnpEbmFlaDFYdXp0MnpYQ1pVWURVN2NiVEdxblhTRGlYYjdvcDZyYmYxM3p2YXVqNnYiLCJzdWIiOiJkaWQ6a2V5OnpEbmFlWXB1MldpZ0I1V1NrZVpLTVI5Rml5ZTVrblFRQ2VlNDY3a1FoY2NicnVpdFciLCJ0eXBlIjoiYW5pbWEucm90YXRpb25fcHJvb2YiLCJpYXQiOjE3Nzc1OTM2MDB9."
    "NMTzou9tOORSORiKjnusg01ckc70Y3wKzUnOkI09d1FIswwg_x4X_N26Qnru9eVPjlzR9aIXZIydL2H5HZpBXw"
)
"""The rotation proof A → B of anima.md, appendix A."""


async def chain_of(length: int) -> list[RotationLink]:
    """A chain of `length` links."""
    links = []
    for number in range(length):
        link = await rotated(seed_of(number), seed_of(number + 1))
        links.append(msgspec.structs.replace(link, rotated_at_seq=4 + number))
    return links


async def test_the_proof_is_that_of_the_reference() -> None:
    """Our proof from A to B has the bytes of the reference vector, and verifies."""
    made = await handle(SEED_A).sign_token(proof_claims(DID_A, DID_B, now_s=1_777_593_600))
    assert made == REFERENCE_PROOF
    acceptance = await handle(SEED_B).sign_token(acceptance_claims(DID_A, DID_B, now_s=1_777_593_600))
    link = RotationLink(
        old_did=DID_A,
        new_did=DID_B,
        rotation_proof_jws=REFERENCE_PROOF,
        new_key_proof=acceptance,
        rotated_at=format_timestamp(1_777_593_600_000_000),
    )
    assert verify_link(link) == 1_777_593_600_000_000


async def test_a_chain_leads_to_its_end() -> None:
    """Every link's proofs are checked, and the last new DID is the current one."""
    links = await chain_of(5)
    assert verify_chain(links, start=links[0].old_did) == links[-1].new_did
    assert dids_of(links, start=links[0].old_did) == (links[0].old_did, *(link.new_did for link in links))
    assert verify_chain([], start=DID_A) == DID_A


async def test_both_spellings_of_a_proof_are_read() -> None:
    """A proof in another layout of the same JSON goes through the strict reader and is judged the same."""
    link = await rotated(SEED_A, SEED_B)
    claims = dict(reversed(list(proof_claims(DID_A, DID_B, now_s=NOW_S).items())))
    assert verify_link(msgspec.structs.replace(link, rotation_proof_jws=forged(claims))) == START_US
    wrong = claims | {"sub": DID_A}
    with pytest.raises(RotationRefusedError):
        verify_link(msgspec.structs.replace(link, rotation_proof_jws=forged(wrong)))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": DID_B},
        {"sub": DID_A},
        {"sub": "did:key:zDnx"},
        {"type": "anima.rotation_acceptance"},
        {"type": "anima.identity_seal"},
        {"iat": NOW_S - 901},
        {"iat": NOW_S + 61},
        {"iat": True},
        {"iat": str(NOW_S)},
        {"iat": float(NOW_S)},
        {"iat": -1},
        {"iat": 10**30},
        {"iat": None},
    ],
)
async def test_a_proof_says_exactly_this_rotation(claims: dict[str, Any]) -> None:
    """Another issuer, subject, type or time, however well signed, proves nothing (AN-ROT-1)."""
    link = await rotated(SEED_A, SEED_B)
    proof = forged({**proof_claims(DID_A, DID_B, now_s=NOW_S), **claims})
    with pytest.raises(RotationRefusedError):
        verify_link(msgspec.structs.replace(link, rotation_proof_jws=proof))


async def test_each_proof_is_signed_by_its_own_key() -> None:
    """Not by the other one, by a third, or by nobody (AN-ROT-1, AN-ROT-2)."""
    link = await rotated(SEED_A, SEED_B)
    proof, acceptance = proof_claims(DID_A, DID_B, now_s=NOW_S), acceptance_claims(DID_A, DID_B, now_s=NOW_S)
    wrong: tuple[dict[str, str], ...] = (
        {"rotation_proof_jws": forged(proof, seed=SEED_B)},
        {"rotation_proof_jws": forged(proof, seed=SEED_B, header={"kid": DID_A})},
        {"new_key_proof": forged(acceptance, seed=SEED_A)},
        {"new_key_proof": forged(acceptance, seed=SEED_A, header={"kid": DID_B})},
        {"new_key_proof": link.rotation_proof_jws},
        {"rotation_proof_jws": link.new_key_proof},
        {"new_key_proof": ""},
        {"rotation_proof_jws": forged(proof, typ="anima-id+jwt")},
        {"rotation_proof_jws": forged(proof, header={"alg": "none"})},
        {"rotation_proof_jws": link.rotation_proof_jws + "."},
        {"rotation_proof_jws": link.rotation_proof_jws[:-2]},
    )
    for change in wrong:
        with pytest.raises(RotationRefusedError):
            verify_link(msgspec.structs.replace(link, **change))


async def test_nobody_is_made_a_successor_against_their_will() -> None:
    """Naming somebody else's DID needs that key's agreement to this very predecessor (AN-ROT-2)."""
    theirs = await rotated(seed_of(1), SEED_B)
    mine = await rotated(SEED_A, SEED_B)
    with pytest.raises(RotationRefusedError):
        verify_link(msgspec.structs.replace(mine, new_key_proof=theirs.new_key_proof))


async def test_dids_are_usable_and_differ() -> None:
    """A key is not rotated to itself, to no key, or to another curve."""
    link = await rotated(SEED_A, SEED_B)
    wallet_did = encode_did(
        Curve.SECP256K1, bytes([2]) + bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    )
    for change in (
        {"new_did": DID_A},
        {"new_did": "x"},
        {"old_did": ""},
        {"new_did": wallet_did},
        {"old_did": wallet_did},
        {"rotated_at": "now"},
    ):
        with pytest.raises(RotationRefusedError):
            verify_link(msgspec.structs.replace(link, **change))


async def test_an_ed25519_identity_comes_over_once() -> None:
    """A legacy DID may be the first of a chain, with a proof in EdDSA; never a later one (AN-ROT-4)."""
    secret = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = resolve_did(encode_did(Curve.ED25519, secret.public_key().public_bytes_raw()))
    proof = jws.sign(proof_claims(key.did, DID_A, now_s=NOW_S), key=key, typ="JWT", signer=secret.sign)
    link = RotationLink(
        old_did=key.did,
        new_did=DID_A,
        rotation_proof_jws=proof,
        new_key_proof=await handle(SEED_A).sign_token(acceptance_claims(key.did, DID_A, now_s=NOW_S)),
        rotated_at=format_timestamp(START_US),
    )
    second = await rotated(SEED_A, SEED_B)
    assert verify_chain([link, second], start=key.did) == DID_B
    back = RotationLink(
        old_did=DID_A,
        new_did=key.did,
        rotation_proof_jws=await handle(SEED_A).sign_token(proof_claims(DID_A, key.did, now_s=NOW_S)),
        new_key_proof=jws.sign(acceptance_claims(DID_A, key.did, now_s=NOW_S), key=key, typ="JWT", signer=secret.sign),
        rotated_at=format_timestamp(START_US),
    )
    with pytest.raises(RotationRefusedError):
        verify_link(back)


async def test_chains_have_order_and_no_way_back() -> None:
    """Gaps, forks, circles, wrong order and sequences that do not rise are refused (AN-ROT-1, AN-ROT-3)."""
    links = await chain_of(3)
    start = links[0].old_did
    circle = await rotated(seed_of(3), seed_of(0))
    wrong: tuple[list[RotationLink], ...] = (
        links[1:],
        [links[0], links[2]],
        [links[1], links[0], links[2]],
        [links[0], links[0]],
        [*links, circle],
        [links[0], msgspec.structs.replace(links[1], rotated_at_seq=4)],
        [links[0], msgspec.structs.replace(links[1], rotated_at_seq=3)],
    )
    for chain in wrong:
        with pytest.raises(RotationRefusedError):
            verify_chain(chain, start=start)
    with pytest.raises(RotationRefusedError):
        verify_chain([links[0]] * (MAX_LINKS + 1), start=start)


async def test_the_time_of_a_rotation_is_that_of_its_proofs() -> None:
    """A rotation can't be dated far from what both keys signed: it decides how long old tokens live."""
    clock = ManualClock()
    link = await rotated(SEED_A, SEED_B, clock=clock)
    for shift_s, good in ((-60, True), (-61, False), (900, True), (901, False)):
        moved = msgspec.structs.replace(link, rotated_at=format_timestamp(START_US + shift_s * 1_000_000))
        if good:
            assert verify_link(moved) == parse_timestamp(moved.rotated_at)
        else:
            with pytest.raises(RotationRefusedError):
                verify_link(moved)


async def confirmed_chain(length: int) -> list[RotationLink]:
    """A chain whose proofs name the DID before, as rotations make them."""
    links = await chain_of(length)
    for number in range(1, length):
        old, new = handle(seed_of(number)), links[number].new_did
        previous = links[number - 1].old_did
        proof = await old.sign_token(proof_claims(did_of(old), new, now_s=NOW_S, previous_did=previous))
        links[number] = msgspec.structs.replace(links[number], rotation_proof_jws=proof)
    return links


async def test_a_later_proof_confirms_the_predecessor() -> None:
    """A chain that is read whole needs the last acceptance; an earlier one only where no later proof names the predecessor."""
    links = await confirmed_chain(4)
    start = links[0].old_did
    assert verify_chain(links, start=start) == links[-1].new_did
    for number in range(3):
        without = [*links]
        without[number] = msgspec.structs.replace(links[number], new_key_proof="x")
        assert verify_chain(without, start=start) == links[-1].new_did
        with pytest.raises(RotationRefusedError):
            verify_link(without[number])
        with pytest.raises(RotationRefusedError):
            verify_chain(without[: number + 1], start=start)
    plain = await chain_of(3)
    for number in range(3):
        without = [*plain]
        without[number] = msgspec.structs.replace(plain[number], new_key_proof="x")
        with pytest.raises(RotationRefusedError):
            verify_chain(without, start=plain[0].old_did)


async def test_a_strangers_chain_is_not_grafted() -> None:
    """Somebody who names another identity's key as successor can't use that key's own later rotation as its agreement."""
    victim = await confirmed_chain(3)
    thief = handle(seed_of(50))
    for at in (1, 2):
        target = victim[at].old_did
        graft = RotationLink(
            old_did=did_of(thief),
            new_did=target,
            rotation_proof_jws=await thief.sign_token(proof_claims(did_of(thief), target, now_s=NOW_S)),
            new_key_proof=victim[at - 1].new_key_proof,
            rotated_at=victim[0].rotated_at,
        )
        with pytest.raises(RotationRefusedError):
            verify_chain([graft, *victim[at:]], start=did_of(thief))


async def test_both_spellings_of_the_predecessor_are_read() -> None:
    """The strict reader finds `prev` as well; a wrong one confirms nothing."""
    links = await confirmed_chain(2)
    first = msgspec.structs.replace(links[0], new_key_proof="x")
    claims = proof_claims(links[1].old_did, links[1].new_did, now_s=NOW_S, previous_did=links[0].old_did)
    other = forged(dict(reversed(list(claims.items()))), seed=seed_of(1))
    end = verify_chain([first, msgspec.structs.replace(links[1], rotation_proof_jws=other)], start=first.old_did)
    assert end == links[1].new_did
    for wrong in ({"prev": links[1].old_did}, {"prev": None}, {"prev": [links[0].old_did]}):
        proof = forged({**claims, **wrong}, seed=seed_of(1))
        with pytest.raises(RotationRefusedError):
            verify_chain([first, msgspec.structs.replace(links[1], rotation_proof_jws=proof)], start=first.old_did)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


@given(position=st.integers(0, 2000), letter=st.sampled_from(ALPHABET), which=st.booleans())
def test_any_changed_character_is_refused(position: int, letter: str, which: bool) -> None:
    """One changed character anywhere in either proof ends the link."""
    link = LINK
    name = "rotation_proof_jws" if which else "new_key_proof"
    token = getattr(link, name)
    position %= len(token)
    if token[position] == letter:
        return
    changed = token[:position] + letter + token[position + 1 :]
    with pytest.raises(RotationRefusedError):
        verify_link(msgspec.structs.replace(link, **{name: changed}))


@given(
    proof=st.text(max_size=300),
    acceptance=st.text(max_size=300),
    old=st.sampled_from([DID_A, DID_B]) | st.text(max_size=80),
    new=st.sampled_from([DID_A, DID_B]) | st.text(max_size=80),
    at=st.text(max_size=40),
)
def test_junk_is_refused(proof: str, acceptance: str, old: str, new: str, at: str) -> None:
    """Whatever stands in a link that nobody signed, it is refused, and nothing else is raised."""
    link = RotationLink(old_did=old, new_did=new, rotation_proof_jws=proof, new_key_proof=acceptance, rotated_at=at)
    with pytest.raises(RotationRefusedError):
        verify_link(link)


def _link() -> RotationLink:
    first, second = handle(SEED_A), handle(SEED_B)
    return RotationLink(
        old_did=did_of(first),
        new_did=did_of(second),
        rotation_proof_jws=first.sign_claims(proof_claims(DID_A, DID_B, now_s=NOW_S)),
        new_key_proof=second.sign_claims(acceptance_claims(DID_A, DID_B, now_s=NOW_S)),
        rotated_at=format_timestamp(START_US),
    )


LINK = _link()
assert PROOF_TYPE == "anima.rotation_proof"
