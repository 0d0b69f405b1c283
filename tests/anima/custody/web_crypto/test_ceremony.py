"""What a passkey proves, and everything that proves nothing (weaknesses 2 and 7 of anima.md §25)."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import MissingExtraError
from life.anima.custody.errors import CeremonyRefusedError
from life.anima.custody.web_crypto.ceremony import (
    Passkey,
    RelyingParty,
    assertion_challenge,
    registration_challenge,
    verify_assertion,
    verify_registration,
)
from life.anima.errors import CustodyInputError
from tests.anima.custody.web_crypto.desks import PARTY
from tests.harness.soft_browser import AAGUID, UP, UV, Maker, SoftBrowser, b64, unb64

CHALLENGE = registration_challenge(bytes(32), b"\x04" * 65)
MESSAGE = b"header.claims"
ASSERTION = assertion_challenge(bytes(32), MESSAGE)


def registered(browser: SoftBrowser, party: RelyingParty = PARTY) -> Passkey:
    """A registration of this browser."""
    return verify_registration(browser.create(CHALLENGE), party=party, challenge=CHALLENGE)


def asserted(browser: SoftBrowser, passkey: Passkey, credential: dict[str, Any] | None = None) -> int:
    """An assertion of this browser."""
    return verify_assertion(
        credential or browser.get(ASSERTION),
        party=PARTY,
        challenge=ASSERTION,
        credential_id=passkey.credential_id,
        public_key=passkey.public_key,
        sign_count=passkey.sign_count,
    )


def test_a_good_pair() -> None:
    """Registered once, asserted with a growing counter, and with a passkey that has none."""
    browser = SoftBrowser()
    passkey = registered(browser)
    assert (passkey.attestation_format, passkey.credential_id) == ("none", browser.credential_id)
    assert asserted(browser, passkey) == 1
    assert asserted(browser, passkey._replace(sign_count=1)) == 2
    uncounted = SoftBrowser(counts=False)
    passkey = registered(uncounted)
    assert [asserted(uncounted, passkey) for _ in range(2)] == [0, 0]


LIES: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "http://localhost.evil.test"},
    "a lookalike port": {"origin": "http://localhost:9999"},
    "another rp id": {"rp_id": "evil.test"},
    "nobody verified": {"flags": UP},
    "nobody present": {"flags": UV},
    "inside another page": {"cross_origin": True},
    "framed, spelled otherwise": {"cross_origin": "true"},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_what_a_browser_may_not_say(lie: dict[str, Any]) -> None:
    """Each lie is refused at registration and at assertion, with a signature that is otherwise right."""
    honest = SoftBrowser()
    passkey = registered(honest)
    liar = replace(honest, **lie)
    with pytest.raises(CeremonyRefusedError):
        registered(liar)
    with pytest.raises(CeremonyRefusedError):
        asserted(liar, passkey)


def test_ceremonies_are_not_exchanged() -> None:
    """A registration is no assertion and an assertion no registration, even over the same challenge."""
    browser = SoftBrowser()
    passkey = registered(browser)
    for type_ in ("webauthn.create", "payment.get", ""):
        with pytest.raises(CeremonyRefusedError):
            asserted(replace(browser, type_=type_), passkey)
    with pytest.raises(CeremonyRefusedError):
        registered(replace(browser, type_="webauthn.get"))
    with pytest.raises(CeremonyRefusedError):
        asserted(browser, passkey, browser.create(ASSERTION))
    with pytest.raises(CeremonyRefusedError):
        verify_registration(browser.get(CHALLENGE), party=PARTY, challenge=CHALLENGE)


def test_challenges_name_their_purpose_and_their_subject() -> None:
    """Another nonce, another message, another purpose: another challenge, and the assertion is refused."""
    browser = SoftBrowser()
    passkey = registered(browser)
    others = {
        assertion_challenge(b"\x01" * 32, MESSAGE),
        assertion_challenge(bytes(32), b"header.other"),
        registration_challenge(bytes(32), MESSAGE),
        CHALLENGE,
    }
    assert ASSERTION not in others and len(others) == 4
    for challenge in others:
        with pytest.raises(CeremonyRefusedError):
            asserted(browser, passkey, browser.get(challenge))


def test_counters_only_grow() -> None:
    """A counter that stands still or goes back is the sign of a copied passkey."""
    browser = SoftBrowser(counter=5)
    passkey = registered(browser)
    assert passkey.sign_count == 5
    for counter in (0, 3, 4):  # what it says is one more
        with pytest.raises(CeremonyRefusedError):
            asserted(replace(browser, counter=counter), passkey)
    assert asserted(replace(browser, counter=5), passkey) == 6


def test_other_passkeys_and_keys() -> None:
    """Another credential, another key under the same name, a key of another algorithm: refused."""
    browser = SoftBrowser()
    passkey = registered(browser)
    with pytest.raises(CeremonyRefusedError):
        asserted(replace(browser, credential_id=b"another"), passkey)
    with pytest.raises(CeremonyRefusedError):
        asserted(replace(browser, passkey=ec.generate_private_key(ec.SECP256R1())), passkey)
    with pytest.raises(CeremonyRefusedError):
        registered(replace(browser, alg=-257))
    renamed = browser.create(CHALLENGE) | {"id": b64(b"another"), "rawId": b64(b"another")}
    with pytest.raises(CeremonyRefusedError):
        verify_registration(renamed, party=PARTY, challenge=CHALLENGE)


def test_attestation_where_it_is_demanded() -> None:
    """With roots, only an authenticator of their makers passes: none, self-made and foreign attestations, and a
    certificate of another model, do not. Without roots nobody is asked."""
    maker = Maker()
    strict = replace(PARTY, attestation_roots={"packed": (maker.root(),)})
    assert registered(SoftBrowser(maker=maker), strict).attestation_format == "packed"
    assert registered(SoftBrowser(maker=Maker(aaguid_in_certificate=None)), PARTY).attestation_format == "packed"
    unnamed = Maker(aaguid_in_certificate=None, root_key=maker.root_key)
    assert registered(SoftBrowser(maker=unnamed), strict)
    for browser in (
        SoftBrowser(),
        SoftBrowser(self_attested=True),
        SoftBrowser(maker=Maker()),
        SoftBrowser(maker=maker, aaguid=AAGUID[::-1]),
    ):
        with pytest.raises(CeremonyRefusedError):
            registered(browser, strict)
    assert registered(SoftBrowser(self_attested=True)).attestation_format == "packed"
    other_format = replace(PARTY, attestation_roots={"tpm": (maker.root(),)})
    with pytest.raises(CeremonyRefusedError):
        registered(SoftBrowser(maker=maker), other_format)


def test_a_forged_attestation() -> None:
    """A statement whose signature covers something else is refused, with and without roots."""
    maker = Maker()
    credential = SoftBrowser(maker=maker).create(CHALLENGE)
    other = SoftBrowser(maker=maker).create(CHALLENGE)
    credential["response"]["attestationObject"] = other["response"]["attestationObject"]
    credential["response"]["clientDataJSON"] = SoftBrowser(cross_origin=False).create(CHALLENGE)["response"][
        "clientDataJSON"
    ]
    credential["response"]["attestationObject"] = b64(
        unb64(other["response"]["attestationObject"]).replace(b"localhost", b"localhosu")[:-1] + b"\x00"
    )
    with pytest.raises(CeremonyRefusedError):
        verify_registration(credential, party=PARTY, challenge=CHALLENGE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["id", "rawId", "type", "response"]), JSON)
@settings(max_examples=80)
def test_malformed_credentials(member: str, value: Any) -> None:
    """Whatever stands where a member should be: refused, with the error of this module and no other."""
    browser = SoftBrowser()
    passkey = registered(browser)
    for credential in (browser.get(ASSERTION), browser.create(CHALLENGE)):
        broken = {**credential, member: value}
        if broken == credential or (member == "rawId" and value == credential["id"]):
            continue
        with pytest.raises(CeremonyRefusedError):
            asserted(browser, passkey, broken)
        with pytest.raises(CeremonyRefusedError):
            verify_registration(broken, party=PARTY, challenge=CHALLENGE)


@given(
    st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "attestationObject"]),
    st.integers(0, 400),
    st.integers(1, 255),
)
@settings(max_examples=120)
def test_every_flipped_byte(member: str, at: int, change: int) -> None:
    """One changed byte anywhere in what is signed, or in the signature, is refused. An attestation of format `none` covers
    the registration with nothing but its challenge, so there only what is looked at counts."""
    browser = SoftBrowser(self_attested=True)
    passkey = registered(browser)
    credential = browser.create(CHALLENGE) if member == "attestationObject" else browser.get(ASSERTION)
    raw = bytearray(unb64(credential["response"][member]))
    raw[at % len(raw)] ^= change
    credential["response"][member] = b64(bytes(raw))
    with pytest.raises(CeremonyRefusedError):
        if member == "attestationObject":
            verify_registration(credential, party=PARTY, challenge=CHALLENGE)
        else:
            asserted(browser, passkey, credential)


@pytest.mark.parametrize(
    "options",
    [
        {"rp_id": "127.0.0.1", "origins": ("http://127.0.0.1:1",)},
        {"rp_id": "", "origins": ("https://a.test",)},
        {"rp_id": "A.test", "origins": ("https://A.test",)},
        {"rp_id": "a.test", "origins": ()},
        {"rp_id": "a.test", "origins": ("http://a.test",)},
        {"rp_id": "a.test", "origins": ("https://b.test",)},
        {"rp_id": "a.test", "origins": ("https://nota.test",)},
        {"rp_id": "a.test", "origins": ("https://a.test/",)},
        {"rp_id": "a.test", "origins": ("https://user@a.test",)},
        {"rp_id": "localhost", "origins": ("http://127.0.0.1:8765",)},
    ],
)
def test_relying_parties_that_cannot_be_right(options: dict[str, Any]) -> None:
    """Addresses, insecure and foreign origins are refused when they are configured (AN-WEB-6)."""
    with pytest.raises(CustodyInputError):
        RelyingParty(**options)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence names the extra `webauthn`."""
    monkeypatch.setitem(sys.modules, "webauthn", None)
    with pytest.raises(MissingExtraError, match="webauthn"):
        verify_registration({}, party=PARTY, challenge=CHALLENGE)
