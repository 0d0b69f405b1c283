"""From an invitation to a record: both keys prove themselves, or nothing is left."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from life.aios.errors import ConflictError
from life.anima.custody.errors import CeremonyRefusedError
from life.anima.custody.web_crypto.anima import WebCryptoAnima
from life.anima.custody.web_crypto.enrolment import EnrolmentFile
from life.anima.errors import (
    BadSignatureError,
    CustodyAuthFailedError,
    CustodyProtocolError,
    InsecureFileError,
    KeyNotFoundError,
)
from life.crypto import jws
from life.testing.clock import ManualClock
from tests.anima.custody.web_crypto.desks import Office, enrolled
from tests.harness.soft_browser import SoftBrowser, unb64


def test_both_keys_prove_themselves() -> None:
    """The record names the device key's DID and the passkey; the device key signed a JWS that our verifier takes."""
    office = Office()
    code = office.enrolling.invite()
    asked = office.enrolling.begin(code, office.browser.device_key)
    signature = office.browser.sign(asked.signing_input)
    enrolment = office.enrolling.finish(code, office.browser.create(unb64(asked.challenge)), signature)
    assert jws.verify(f"{asked.signing_input}.{signature}", typ="anima-device+jwt").signer.did == enrolment.did
    assert office.store.load() == enrolment
    with pytest.raises(CustodyAuthFailedError):
        office.enrolling.begin(code, office.browser.device_key)
    assert WebCryptoAnima.open(office.desk, did=enrolment.did).capabilities().did == enrolment.did
    with pytest.raises(KeyNotFoundError):
        WebCryptoAnima.open(office.desk, did="did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6v")


def test_nobody_enrols_without_invitation() -> None:
    """No code, a wrong one, one that was replaced, one that is too old, one that was guessed at: refused, and the right one
    works once."""
    clock = ManualClock()
    office = Office(clock=clock)
    with pytest.raises(CustodyAuthFailedError):
        office.enrolling.begin("", office.browser.device_key)
    first = office.enrolling.invite()
    second = office.enrolling.invite()
    for code in ("", first, second + "A", "\ud800"):
        with pytest.raises(CustodyAuthFailedError):
            office.enrolling.begin(code, office.browser.device_key)
    clock.advance_us(900_000_000)
    with pytest.raises(CustodyAuthFailedError):
        office.enrolling.begin(second, office.browser.device_key)
    third = office.enrolling.invite()
    for _ in range(10):
        with pytest.raises(CustodyAuthFailedError):
            office.enrolling.begin("guess", office.browser.device_key)
    with pytest.raises(CustodyAuthFailedError):
        office.enrolling.begin(third, office.browser.device_key)
    assert office.enrol()
    with pytest.raises(CustodyAuthFailedError):
        office.enrolling.begin(third, office.browser.device_key)
    with pytest.raises(ConflictError):
        office.enrolling.invite()


def test_a_challenge_works_once_and_not_for_long() -> None:
    """Answered twice, too late, or for another device key: refused, and nothing is stored."""
    clock = ManualClock()
    office = Office(clock=clock)
    code = office.enrolling.invite()
    with pytest.raises(CeremonyRefusedError):
        office.enrolling.finish(code, office.browser.create(bytes(32)), office.browser.sign(""))
    asked = office.enrolling.begin(code, office.browser.device_key)
    credential, signature = office.browser.create(unb64(asked.challenge)), office.browser.sign(asked.signing_input)
    with pytest.raises(BadSignatureError):
        office.enrolling.finish(code, credential, SoftBrowser().sign(asked.signing_input))
    with pytest.raises(CeremonyRefusedError):
        office.enrolling.finish(code, credential, signature)
    asked = office.enrolling.begin(code, office.browser.device_key)
    clock.advance_us(120_000_000)
    credential, signature = office.browser.create(unb64(asked.challenge)), office.browser.sign(asked.signing_input)
    with pytest.raises(CeremonyRefusedError):
        office.enrolling.finish(code, credential, signature)
    old = office.enrolling.begin(code, SoftBrowser().device_key)
    asked = office.enrolling.begin(code, office.browser.device_key)
    with pytest.raises(CeremonyRefusedError):
        office.enrolling.finish(code, office.browser.create(unb64(old.challenge)), signature)
    assert office.store.load() is None
    assert office.enrol()


@pytest.mark.parametrize("device_key", ["", "AAAA", "BA" + "A" * 85, "!"])
def test_device_keys_that_are_none(device_key: str) -> None:
    """Another length, a point off the curve, no base64url."""
    office = Office()
    with pytest.raises(CeremonyRefusedError):
        office.enrolling.begin(office.enrolling.invite(), device_key)


def test_one_key_for_both_is_refused() -> None:
    """A passkey that is the device key would make two proofs of one."""
    browser = SoftBrowser()
    browser.passkey = browser.device
    office = Office(browser=browser)
    with pytest.raises(CeremonyRefusedError):
        office.enrol()
    assert office.store.load() is None


def test_the_record_lies_in_a_private_file(tmp_path: Path) -> None:
    """Saved, read back, never replaced by another browser's; damaged or open to others it is refused."""
    path = tmp_path / "custody" / "browser.json"
    file = EnrolmentFile(path)
    assert file.load() is None
    enrolment = enrolled().store.load()
    assert enrolment is not None
    file.save(enrolment)
    assert EnrolmentFile(path).load() == enrolment
    assert path.stat().st_mode & 0o777 == 0o600
    file.save(msgspec.structs.replace(enrolment, sign_count=7))
    again = file.load()
    assert again is not None and again.sign_count == 7
    other = enrolled().store.load()
    assert other is not None
    with pytest.raises(ConflictError):
        file.save(other)
    path.write_bytes(path.read_bytes().replace(enrolment.did.encode(), other.did.encode()))
    with pytest.raises(CustodyProtocolError):
        file.load()
    path.write_text("{}")
    with pytest.raises(CustodyProtocolError):
        file.load()
    path.chmod(0o644)
    with pytest.raises(InsecureFileError):
        file.load()
