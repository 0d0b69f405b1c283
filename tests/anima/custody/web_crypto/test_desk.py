"""Requests that wait for a person: each ends in exactly one way, and nothing is half-made."""

from __future__ import annotations

import asyncio

import pytest

from life.aios.errors import LifeError, NotFoundError
from life.anima.custody.errors import CeremonyRefusedError, PageClosedError
from life.anima.custody.web_crypto.anima import WebCryptoAnima
from life.anima.custody.web_crypto.desk import MAX_PENDING
from life.anima.custody.web_crypto.enrolment import Enrolment
from life.anima.errors import (
    BadSignatureError,
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
    UserRejectedError,
)
from life.anima.events import CustodyDenied, CustodySigned
from life.crypto import jws
from life.testing.clock import ManualClock
from tests.anima.custody.web_crypto.desks import MemoryStore, Office, enrolled
from tests.harness.soft_browser import SoftBrowser, b64


async def asking(office: Office, **claims: object) -> tuple[asyncio.Task[str], str, str]:
    """A token that waits: its task, its id, its signing input."""
    handle = WebCryptoAnima.open(office.desk)
    before = len(office.desk.pending())
    task = asyncio.create_task(handle.sign_token({"aud": "x", **claims}))  # type: ignore[dict-item]
    await office.waiting(before + 1)
    request = office.desk.pending()[-1]
    return task, request.id, request.signing_input


async def settle() -> None:
    """Let everybody who can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_token_is_signed_by_the_device_key() -> None:
    """What comes back is a JWS that our verifier takes; the counter is stored; the observer is told."""
    office = enrolled()
    seen: list[CustodySigned | CustodyDenied] = []
    handle = WebCryptoAnima.open(office.desk, observer=seen.append)
    async with office.person():
        token = await handle.sign_token({"aud": "lago"}, typ="agent+jwt")
    assert jws.verify(token, typ="agent+jwt").signer.did == handle.capabilities().did
    enrolment = office.store.load()
    assert enrolment is not None and enrolment.sign_count == 1
    assert isinstance(seen[0], CustodySigned) and seen[0].backend == "web_crypto"
    assert office.desk.pending() == []


async def test_an_assertion_is_no_token() -> None:
    """The passkey's signature in the place of the device key's is refused (AN-WEB-3, weakness 7)."""
    office = enrolled()
    task, request_id, signing_input = await asking(office)
    asked = office.desk.begin(request_id)
    credential, _ = office.browser.answer(asked.nonce, signing_input)
    passkey = SoftBrowser(device=office.browser.passkey)
    for forged in (passkey.sign(signing_input), credential["response"]["signature"], "", b64(bytes(64)), "!"):
        asked = office.desk.begin(request_id)
        credential, _ = office.browser.answer(asked.nonce, signing_input)
        if office.desk.pending():
            with pytest.raises(BadSignatureError):
                office.desk.answer(request_id, credential, forged)
    with pytest.raises(CustodyAuthFailedError):
        await task


async def test_a_challenge_is_answered_once() -> None:
    """The same answer again, an answer to an older challenge, none at all, one that is too old: refused."""
    clock = ManualClock()
    office = enrolled(clock=clock)
    task, request_id, signing_input = await asking(office)
    with pytest.raises(CeremonyRefusedError):
        office.desk.answer(request_id, *office.browser.answer(b64(bytes(32)), signing_input))
    old = office.desk.begin(request_id)
    office.desk.begin(request_id)
    with pytest.raises(CeremonyRefusedError):
        office.desk.answer(request_id, *office.browser.answer(old.nonce, signing_input))
    late = office.desk.begin(request_id)
    clock.advance_us(119_000_000)
    await settle()
    answer = office.browser.answer(late.nonce, signing_input)
    office.desk.answer(request_id, *answer)
    assert await task
    with pytest.raises(NotFoundError):
        office.desk.answer(request_id, *answer)


async def test_an_answer_belongs_to_its_request() -> None:
    """Of two requests, neither can be answered with the other's assertion or signature: what was seen is what is signed."""
    office = enrolled()
    first, first_id, first_input = await asking(office, n=1)
    second, second_id, second_input = await asking(office, n=2)
    assert first_id != second_id
    one, two = office.desk.begin(first_id), office.desk.begin(second_id)
    for_one = office.browser.answer(one.nonce, first_input)
    with pytest.raises(CeremonyRefusedError):
        office.desk.answer(second_id, *for_one)
    two = office.desk.begin(second_id)
    crossed = office.browser.answer(two.nonce, first_input)
    with pytest.raises(CeremonyRefusedError):
        office.desk.answer(second_id, *crossed)
    two = office.desk.begin(second_id)
    assertion, _ = office.browser.answer(two.nonce, second_input)
    with pytest.raises(BadSignatureError):
        office.desk.answer(second_id, assertion, office.browser.sign(first_input))
    for request_id, signing_input, task in ((first_id, first_input, first), (second_id, second_input, second)):
        office.approve(request_id, signing_input)
        assert (await task).startswith(signing_input)


async def test_too_many_wrong_answers() -> None:
    """After five wrong answers the request ends with CustodyAuthFailedError."""
    office = enrolled()
    stranger = SoftBrowser()
    task, request_id, signing_input = await asking(office)
    for _ in range(5):
        asked = office.desk.begin(request_id)
        with pytest.raises(CeremonyRefusedError):
            office.desk.answer(request_id, *stranger.answer(asked.nonce, signing_input))
    with pytest.raises(CustodyAuthFailedError):
        await task
    with pytest.raises(NotFoundError):
        office.desk.begin(request_id)


async def test_the_person_says_no() -> None:
    """UserRejectedError for who asked, and a late yes finds nothing."""
    office = enrolled()
    task, request_id, signing_input = await asking(office)
    asked = office.desk.begin(request_id)
    office.desk.refuse(request_id)
    with pytest.raises(UserRejectedError):
        await task
    for late in (
        lambda: office.desk.answer(request_id, *office.browser.answer(asked.nonce, signing_input)),
        lambda: office.desk.refuse(request_id),
        lambda: office.desk.begin(request_id),
    ):
        with pytest.raises(NotFoundError):
            late()


async def test_nobody_answers() -> None:
    """Out of time: CustodyTimeoutError when a page had shown it, CustodyUnavailableError when none was open."""
    clock = ManualClock()
    office = enrolled(clock=clock)
    shown, _, _ = await asking(office)
    unseen = asyncio.create_task(WebCryptoAnima.open(office.desk).sign_token({}))
    await settle()
    clock.advance_us(120_000_000)
    with pytest.raises(CustodyTimeoutError):
        await shown
    with pytest.raises(CustodyUnavailableError, match="No page"):
        await unseen
    assert office.desk.pending() == []


async def test_the_tab_is_closed() -> None:
    """The last page goes: after five seconds its requests end with PageClosedError; one that was loaded anew, or that is
    not the last, ends nothing; what nobody had seen waits on."""
    clock = ManualClock()
    office = enrolled(clock=clock)
    async with office.desk.page(), office.desk.page():
        task, _, _ = await asking(office)
    async with office.desk.page():
        clock.advance_us(60_000_000)
        await settle()
        assert not task.done()
    await settle()
    clock.advance_us(4_000_000)
    await settle()
    assert not task.done()
    unseen = asyncio.create_task(WebCryptoAnima.open(office.desk).sign_token({}))
    await settle()
    clock.advance_us(1_000_000)
    with pytest.raises(PageClosedError):
        await task
    assert not unseen.done()
    async with office.person():
        assert await unseen


async def test_who_asked_gives_up() -> None:
    """A cancelled call takes its request off the page; an answer to it finds nothing."""
    office = enrolled()
    task, request_id, _ = await asking(office)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert office.desk.pending() == []
    with pytest.raises(NotFoundError):
        office.desk.begin(request_id)


async def test_a_handle_that_is_closed() -> None:
    """Closing ends what waits with StaleHandleError, of this handle only."""
    office = enrolled()
    one, other = WebCryptoAnima.open(office.desk), WebCryptoAnima.open(office.desk)
    first, second = (asyncio.create_task(handle.sign_token({})) for handle in (one, other))
    await office.waiting(2)
    await one.close()
    with pytest.raises(StaleHandleError):
        await first
    with pytest.raises(StaleHandleError):
        await one.sign_token({})
    async with office.person():
        assert await second


async def test_pages_are_told() -> None:
    """A page looks when it opens, when something comes and when it goes."""
    office = enrolled()
    async with office.desk.page() as changed:
        assert changed.is_set()
        changed.clear()
        task, request_id, _ = await asking(office)
        assert changed.is_set()
        changed.clear()
        office.desk.refuse(request_id)
        with pytest.raises(UserRejectedError):
            await task
        assert changed.is_set()


async def test_bounds() -> None:
    """Before enrolment there is nobody to ask; and no more than a page can show may wait."""
    with pytest.raises(KeyNotFoundError):
        WebCryptoAnima.open(Office().desk)
    office = enrolled()
    handle = WebCryptoAnima.open(office.desk)
    tasks = [asyncio.create_task(handle.sign_token({"n": number})) for number in range(MAX_PENDING)]
    await office.waiting(MAX_PENDING)
    with pytest.raises(CustodyUnavailableError):
        await handle.sign_token({})
    async with office.person():
        assert len({await task for task in tasks}) == MAX_PENDING


async def test_a_counter_that_cannot_be_stored() -> None:
    """When the disk refuses the new counter, nothing is released."""
    office = enrolled()
    task, request_id, signing_input = await asking(office)

    class Full(MemoryStore):
        def save(self, enrolment: Enrolment) -> None:
            raise OSError("no space left")

    full = Full()
    full.enrolment = office.store.enrolment
    office.desk._store = full
    with pytest.raises(OSError):
        office.approve(request_id, signing_input)
    await settle()
    assert not task.done()
    office.desk._store = office.store
    office.approve(request_id, signing_input)
    assert await task


@pytest.mark.parametrize("operation", ["sign_message", "sign_authorization", "sign_permit", "sign_transaction"])
async def test_there_is_no_wallet(operation: str) -> None:
    """A wallet operation is refused and reported; nothing appears on the page (AN-WEB-4)."""
    office = enrolled()
    seen: list[CustodySigned | CustodyDenied] = []
    handle = WebCryptoAnima.open(office.desk, observer=seen.append)
    with pytest.raises(LifeError, match="no wallet"):
        await getattr(handle, operation)(None)
    assert [event.op for event in seen] == [operation]
    assert office.desk.pending() == []


@pytest.mark.parametrize("typ", ["anima-approval+jwt", "anima-device+jwt", "Anima-Approval+JWT"])
async def test_the_pages_own_types_are_not_tokens(typ: str) -> None:
    """An agent can't make up what the page shows as a payment or an enrolment."""
    office = enrolled()
    with pytest.raises(CustodyInputError):
        await WebCryptoAnima.open(office.desk).sign_token({"purpose": "Pay", "terms": {"amount": "0 USDC"}}, typ=typ)
    assert office.desk.pending() == []


async def test_a_used_assertion_is_used_up() -> None:
    """An assertion that came with a wrong signature can't be sent again with a right one, also when the passkey has no
    counter that would tell."""
    office = enrolled(browser=SoftBrowser(counts=False))
    task, request_id, signing_input = await asking(office)
    asked = office.desk.begin(request_id)
    credential, signature = office.browser.answer(asked.nonce, signing_input)
    with pytest.raises(BadSignatureError):
        office.desk.answer(request_id, credential, SoftBrowser().sign(signing_input))
    with pytest.raises(CeremonyRefusedError, match="no open challenge"):
        office.desk.answer(request_id, credential, signature)
    office.approve(request_id, signing_input)
    assert await task


async def test_the_counter_is_remembered() -> None:
    """A copy of the passkey that is behind the original is refused at the next request."""
    office = enrolled()
    async with office.person():
        await WebCryptoAnima.open(office.desk).sign_token({})
    office.browser.counter = 0
    task, request_id, signing_input = await asking(office)
    with pytest.raises(CeremonyRefusedError):
        office.approve(request_id, signing_input)
    office.approve(request_id, signing_input)
    assert await task
