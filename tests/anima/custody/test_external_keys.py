"""What a device can do wrong, by a device that is told to: nothing unverified gets out, and nothing is signed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.anima.custody.external_keys import REMEMBERED_SIGNATURES, ExternalKeysAnima
from life.anima.custody.typed_requests import finish_wallet_signature, probe_digest
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import BadSignatureError, CustodyUnavailableError, StaleHandleError, UnsupportedOperationError
from life.anima.events import CustodyDenied, CustodySigned
from life.crypto import p256, secp256k1
from life.testing.clock import ManualClock
from tests.anima.custody.requests import payment, transaction

AUTH = p256.load_private_key(bytearray(b"\1" * 32))
WALLET = bytearray(b"\2" * 32)
POINT = secp256k1.public_key(WALLET)
ADDRESS = secp256k1.address_of(POINT)


def high(signature: bytes) -> bytes:
    """The other s."""
    return signature[:32] + (secp256k1.ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")


class Device:
    """A wallet key whose signatures pass through `twist`; `gate` holds them back."""

    def __init__(self, twist: Callable[[bytes], bytes] = lambda signature: signature) -> None:
        self.public_key = POINT
        self.twist = twist
        self.asked = 0
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def sign_digest(self, digest: bytes) -> bytes:
        """r‖s."""
        self.asked += 1
        await self.gate.wait()
        if self.fails:
            raise CustodyUnavailableError("The device is away.")
        return self.twist(secp256k1.sign_recoverable(digest, WALLET)[:64])


class AuthDevice:
    """An identity key that signs with `key`, whatever its public half says."""

    def __init__(self, key: p256.P256PrivateKey = AUTH) -> None:
        self.public_key = AUTH.public_key
        self.key = key

    async def sign_digest(self, digest: bytes) -> bytes:
        """r‖s."""
        return self.key.sign_digest(digest)


def handle(device: Device | None = None, **changes: object) -> ExternalKeysAnima:
    """A handle over both devices."""
    given_rules = {"auth": AuthDevice(), "wallet": device or Device(), "rules": WalletRules(), **changes}
    return ExternalKeysAnima(backend="tpm", clock=ManualClock(), **given_rules)  # type: ignore[arg-type]


@given(st.binary(min_size=32, max_size=32), st.booleans())
def test_either_s_becomes_the_low_one(digest: bytes, flip: bool) -> None:
    """Whatever s the device made, out comes the one signature that the curve's own library makes."""
    expected = secp256k1.sign_recoverable(digest, WALLET)
    raw = high(expected) if flip else expected[:64]
    assert finish_wallet_signature(digest, raw, address=ADDRESS) == expected


@pytest.mark.parametrize(
    "twist",
    [
        lambda signature: b"",
        lambda signature: signature[:63],
        lambda signature: signature + b"\0",
        lambda signature: bytes(64),
        lambda signature: signature[:32] + bytes(32),
        lambda signature: bytes(32) + signature[32:],
        lambda signature: signature[:32] + secp256k1.ORDER.to_bytes(32, "big"),
        lambda signature: signature[:32] + b"\xff" * 32,
        lambda signature: b"\xff" * 64,
        lambda signature: signature[32:] + signature[:32],
        lambda signature: secp256k1.sign_recoverable(b"\7" * 32, WALLET)[:64],
        lambda signature: secp256k1.sign_recoverable(b"\7" * 32, bytearray(b"\3" * 32))[:64],
    ],
)
async def test_a_wallet_signature_that_does_not_recover_stays_inside(twist: Callable[[bytes], bytes]) -> None:
    """Short, empty, out of range, over something else, by another key: BadSignatureError for every kind of request."""
    made = handle(Device(twist))
    for call in (
        made.sign_message(b"hello"),
        made.sign_authorization(payment(made)),
        made.sign_transaction(transaction()),
    ):
        with pytest.raises(BadSignatureError):
            await call


async def test_a_token_by_another_key_stays_inside() -> None:
    """A device that signs with another identity key is found by the first token, and by `check`."""
    made = handle(auth=AuthDevice(p256.load_private_key(bytearray(b"\5" * 32))))
    with pytest.raises(BadSignatureError):
        await made.sign_token({})
    with pytest.raises(BadSignatureError):
        await made.check()
    await handle().check()


async def test_the_same_payment_is_asked_for_once() -> None:
    """Repeated one after the other and at the same time, the device signs one time (AN-CUS-5)."""
    device = Device()
    made = handle(device)
    device.gate.clear()
    calls = [asyncio.ensure_future(made.sign_authorization(payment(made))) for _ in range(5)]
    await asyncio.sleep(0)
    device.gate.set()
    assert len({await call for call in calls} | {await made.sign_authorization(payment(made))}) == 1
    assert device.asked == 1


async def test_a_caller_that_gives_up_takes_nothing_away() -> None:
    """One of two callers is cancelled; the other gets the signature."""
    device = Device()
    made = handle(device)
    device.gate.clear()
    first, second = (asyncio.ensure_future(made.sign_authorization(payment(made))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    device.gate.set()
    assert len(await second) == 65
    assert device.asked == 1


async def test_a_failure_is_not_remembered() -> None:
    """A device that was away and came back signs the same request."""
    device = Device()
    made = handle(device)
    device.fails = True
    for _ in range(2):
        with pytest.raises(CustodyUnavailableError):
            await made.sign_authorization(payment(made))
    device.fails = False
    assert len(await made.sign_authorization(payment(made))) == 65
    assert device.asked == 3


async def test_only_so_many_are_remembered() -> None:
    """Memory does not grow with the payments."""
    made = handle()
    for number in range(REMEMBERED_SIGNATURES + 50):
        await made.sign_message(b"%d" % number)
    assert len(made._signatures) == REMEMBERED_SIGNATURES


async def test_closed_while_the_device_signs() -> None:
    """A signature that arrives after the handle was closed does not leave it."""
    device = Device()
    made = handle(device)
    device.gate.clear()
    call = asyncio.ensure_future(made.sign_message(b"hello"))
    await asyncio.sleep(0)
    await made.close()
    device.gate.set()
    with pytest.raises(StaleHandleError):
        await call


async def test_refused_requests_do_not_reach_the_device() -> None:
    """The guard says no: the device is not asked (AN-POL-2)."""
    device = Device()
    made = handle(device, rules=WalletRules(guard=lambda request: "no"))
    for call in (
        made.sign_message(b"hello"),
        made.sign_authorization(payment(made, reservation_id="r")),
        made.sign_transaction(transaction()),
    ):
        with pytest.raises(Exception, match="no"):
            await call
    assert device.asked == 0


async def test_signatures_and_refusals_are_observed() -> None:
    """The observer is told what was signed by its hash and backend, and every refusal by its code (AN-EV-2)."""
    seen: list[CustodySigned | CustodyDenied] = []
    made = handle(observer=seen.append)
    await made.sign_authorization(payment(made, reservation_id="r-1"))
    await made.sign_token({})
    with pytest.raises(Exception, match="not from this wallet"):
        await made.sign_authorization(payment(made, from_address="0x" + "11" * 20))
    first, second, third = seen
    assert isinstance(first, CustodySigned)
    assert (first.backend, first.purpose, first.request_id) == ("tpm", "eip3009", "r-1")
    assert isinstance(second, CustodySigned)
    assert second.op == "sign_token"
    assert third == CustodyDenied(did=made.capabilities().did, op="sign_authorization", reason="custody.bad_input")


async def test_a_wallet_without_identity_has_nothing_to_check() -> None:
    """`check` asks the identity key only."""
    with pytest.raises(UnsupportedOperationError):
        await handle(auth=None).check()


def test_probes_are_no_requests() -> None:
    """A probe's digest depends on its label, and is nobody's token or payment (AN-KEY-4)."""
    assert len({probe_digest(label) for label in ("open", "check", "")}) == 3
