"""A wallet elsewhere that signs only what the person in the browser agreed to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.custody import PermitTransfer, TokenPermit
from life.anima.custody.external_keys import ExternalKeysAnima
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRequest, WalletRules
from life.anima.custody.web_crypto.confirmed_wallet import ConfirmedWallet, KnownToken, written_amount
from life.anima.errors import (
    CustodyInputError,
    PolicyDeniedError,
    StaleHandleError,
    UnsupportedOperationError,
    UserRejectedError,
)
from life.crypto.permit2 import EXACT_PROXY, PERMIT2
from life.testing.clock import ManualClock
from tests.anima.custody.requests import NOW_S, PAYEE, USDC, payment, transaction
from tests.anima.custody.test_external_keys import AuthDevice, Device
from tests.anima.custody.web_crypto.desks import Office, enrolled
from tests.harness.soft_browser import unb64

KNOWN = {("eip155:84532", USDC): KnownToken("USDC", 6)}


def confirmed(office: Office, device: Device, **rules: object) -> ConfirmedWallet:
    """A wallet in a device, behind the browser."""
    chosen = WalletRules(**rules)  # type: ignore[arg-type]
    wallet = ExternalKeysAnima(None, device, backend="tpm", clock=office.clock, rules=chosen)
    return ConfirmedWallet(wallet, office.desk, clock=office.clock, rules=chosen, tokens=KNOWN)


def shown(office: Office) -> dict[str, object]:
    """The claims that the page shows of the newest request."""
    claims: dict[str, object] = json.loads(unb64(office.desk.pending()[-1].signing_input.split(".")[1]))
    return claims


async def test_the_person_sees_the_terms_first() -> None:
    """Amount, recipient, token and digest are in what the browser signs; the wallet is asked only afterwards."""
    office, device = enrolled(), Device()
    handle = confirmed(office, device)
    asked = payment(handle)
    task = asyncio.create_task(handle.sign_authorization(asked))
    (request_id,) = await office.waiting()
    claims = shown(office)
    assert claims["purpose"] == "Pay"
    assert claims["terms"] == {
        "amount": "0.01 USDC",
        "to": PAYEE,
        "value_atomic": "10000",
        "asset": USDC,
        "network": "eip155:84532",
        "from": handle.capabilities().wallet_address,
        "valid_until_s": asked.valid_before_s - 1,
    }
    assert device.asked == 0
    office.approve(request_id, office.desk.pending()[0].signing_input)
    assert len(await task) == 65
    assert device.asked == 1


async def test_every_kind_of_request_is_shown() -> None:
    """Messages, permits, allowances and transactions each have their own words."""
    office, device = enrolled(), Device()
    handle = confirmed(office, device)
    own = handle.capabilities().wallet_address or ""
    permit = PermitTransfer("eip155:84532", USDC, own, PAYEE, 7, EXACT_PROXY, 3, NOW_S + 60)
    allowance = TokenPermit("eip155:84532", USDC, "USDC", "2", own, PERMIT2, 7, 0, NOW_S + 60)
    requests: tuple[tuple[Callable[[], Coroutine[None, None, bytes]], str, tuple[str, str]], ...] = (
        (lambda: handle.sign_message(b"hel\xfflo"), "Sign a message", ("message", "hel\\xfflo")),
        (lambda: handle.sign_permit(permit), "Pay", ("to", PAYEE)),
        (lambda: handle.sign_permit(allowance), "Give an allowance", ("to", PERMIT2)),
        (lambda: handle.sign_transaction(transaction()), "Send a transaction", ("value_wei", str(10**15))),
    )
    for call, purpose, term in requests:
        task = asyncio.create_task(call())
        (request_id,) = await office.waiting()
        claims = shown(office)
        assert claims["purpose"] == purpose
        terms = claims["terms"]
        assert isinstance(terms, dict) and terms[term[0]] == term[1]
        office.approve(request_id, office.desk.pending()[0].signing_input)
        assert await task


async def test_a_refusal_reaches_no_wallet() -> None:
    """No is UserRejectedError, the wallet is not asked, and asking again shows it again."""
    office, device = enrolled(), Device()
    handle = confirmed(office, device)
    for _ in range(2):
        task = asyncio.create_task(handle.sign_authorization(payment(handle)))
        (request_id,) = await office.waiting()
        office.desk.refuse(request_id)
        with pytest.raises(UserRejectedError):
            await task
    assert device.asked == 0


async def test_the_same_payment_is_shown_once() -> None:
    """Twice at once and once again later: one request, one approval, the same bytes (AN-CUS-5)."""
    office, device = enrolled(), Device()
    handle = confirmed(office, device)
    tasks = [asyncio.create_task(handle.sign_authorization(payment(handle))) for _ in range(2)]
    (request_id,) = await office.waiting()
    office.approve(request_id, office.desk.pending()[0].signing_input)
    first, second = await asyncio.gather(*tasks)
    assert first == second == await handle.sign_authorization(payment(handle))
    assert device.asked == 1


async def test_what_the_rules_forbid_is_shown_to_nobody() -> None:
    """Bad input, another wallet and missing reservations end before the page; the guard judges once, when the wallet signs."""
    office, device = enrolled(), Device()
    judged: list[WalletRequest] = []

    def guard(request: WalletRequest) -> str | None:
        judged.append(request)
        return "Over the limit."

    handle = confirmed(office, device, guard=guard)
    for wrong in (payment(handle, value_atomic=0, reservation_id="r"), payment(handle, from_address=PAYEE)):
        with pytest.raises(CustodyInputError):
            await handle.sign_authorization(wrong)
    with pytest.raises(PolicyDeniedError):
        await handle.sign_authorization(payment(handle))
    assert office.desk.pending() == [] and judged == []
    async with office.person():
        with pytest.raises(PolicyDeniedError, match="Over the limit"):
            await handle.sign_authorization(payment(handle, reservation_id="r"))
    assert len(judged) == 1 and device.asked == 0


async def test_a_payment_that_expired_while_it_was_looked_at() -> None:
    """The wallet's own rules are asked again after the person: too late is not signed."""
    clock = ManualClock()
    office, device = enrolled(clock=clock), Device()
    handle = confirmed(office, device)
    task = asyncio.create_task(handle.sign_authorization(payment(handle, valid_before_s=NOW_S + 30)))
    (request_id,) = await office.waiting()
    clock.advance_us(31_000_000)
    office.approve(request_id, office.desk.pending()[0].signing_input)
    with pytest.raises(CustodyInputError, match="expired"):
        await task
    assert device.asked == 0


async def test_closing() -> None:
    """What waits ends, the wallet is closed, whether its closing is a coroutine or not, and nothing is signed afterwards."""
    office = enrolled()
    in_process = InProcessAnima.from_wallet_key(bytearray(b"\x01" * 32), clock=office.clock)
    for handle in (confirmed(office, Device()), ConfirmedWallet(in_process, office.desk, clock=office.clock)):
        task = asyncio.create_task(handle.sign_authorization(payment(handle)))
        await office.waiting()
        await handle.close()
        with pytest.raises(StaleHandleError):
            await task
        await handle.close()
        for call in (handle.sign_message(b"x"), handle.sign_transaction(transaction())):
            with pytest.raises(StaleHandleError):
                await call
    with pytest.raises(StaleHandleError):
        await in_process.sign_message(b"x")


async def test_it_is_a_wallet_only() -> None:
    """No tokens, and nothing that has no wallet can be confirmed."""
    office = enrolled()
    handle = confirmed(office, Device())
    with pytest.raises(UnsupportedOperationError):
        await handle.sign_token({})
    identity = ExternalKeysAnima(AuthDevice(), None, backend="tpm", clock=office.clock, rules=WalletRules())
    with pytest.raises(CustodyInputError):
        ConfirmedWallet(identity, office.desk, clock=office.clock)


@given(st.integers(0, 2**256 - 1), st.integers(0, 24))
def test_amounts_keep_every_digit(value: int, decimals: int) -> None:
    """What is written for people is exactly the amount."""
    text = written_amount(value, KnownToken("T", decimals))
    whole, _, part = text.removesuffix(" T").partition(".")
    assert int(whole) * 10**decimals + int(part.ljust(decimals, "0") or "0") == value
    assert not part.endswith("0") and len(part) <= decimals
