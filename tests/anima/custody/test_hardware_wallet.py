"""HardwareWalletAnima over the APDU protocol of Ledger's Ethereum app.

`LIFE_LEDGER_TCP=host:port` points the conformance suite and the recorded vectors at any device emulator or proxy that has
the development mnemonic "test test … junk", blind signing on, and somebody or something that confirms; otherwise they run
on `tests.harness.ledger_emulator`. The faults always need the latter.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from life.aios.errors import CustodyError
from life.aios.ports.clock import Clock
from life.aios.ports.custody import PermitTransfer, SaleOffer, SaleReceipt, TransferAuthorization
from life.anima.custody.errors import BlindSigningOffError, TokenRemovedError, WrongAppError, WrongDeviceError
from life.anima.custody.external_keys import ExternalKeysAnima
from life.anima.custody.hardware_wallet import HardwareWalletAnima, LedgerSettings, TypedDataForm
from life.anima.custody.ledger_apdu import hashed_typed_data_command
from life.anima.custody.ledger_transport import HidTransport, TcpTransport
from life.anima.custody.payment_typed_data import typed_data_of
from life.anima.custody.split import SplitAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    BadSignatureError,
    CustodyInputError,
    CustodyLockedError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    PolicyDeniedError,
    StaleHandleError,
    UserRejectedError,
)
from life.anima.events import CustodyDenied, CustodySigned
from life.crypto import jws
from life.crypto.address import format_address
from life.crypto.permit2 import EXACT_PROXY
from life.crypto.sale_documents import offer_digest, receipt_digest
from life.crypto.secp256k1 import recover_address
from life.testing.clock import ManualClock
from life.testing.custody import CustodyBench, CustodySuite
from tests.anima.custody.requests import NOW_S, PAYEE, USDC, payment, transaction
from tests.anima.custody.test_external_keys import AuthDevice
from tests.harness.ledger_emulator import OTHER_MNEMONIC, HidEmulator, LedgerEmulator

CLOCK: Clock = ManualClock()
Call = Callable[[], Awaitable[object]]
WALLET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.fixture
def ledger() -> Iterator[LedgerEmulator]:
    """A device with the development mnemonic, on TCP."""
    with LedgerEmulator() as device:
        yield device


@pytest.fixture
def address(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Where the device under test listens."""
    given = os.environ.get("LIFE_LEDGER_TCP")
    if given:
        host, _, port = given.rpartition(":")
        return host, int(port)
    emulator: LedgerEmulator = request.getfixturevalue("ledger")
    return emulator.host, emulator.port


async def opened(
    device: LedgerEmulator, *, form: TypedDataForm = "full", confirm_s: float = 5.0, **options: Any
) -> HardwareWalletAnima:
    """A handle over the emulator."""
    settings = LedgerSettings(typed_data=form, confirm_s=confirm_s, address=options.pop("address", None))
    return await HardwareWalletAnima.open(TcpTransport(device.host, device.port), settings, clock=CLOCK, **options)


@pytest.fixture
async def handle(ledger: LedgerEmulator) -> AsyncIterator[HardwareWalletAnima]:
    """A handle over the emulator, in full form."""
    made = await opened(ledger)
    yield made
    await made.close()


class LedgerSuite(CustodySuite):
    """The conformance suite over a Ledger: a wallet, confirmed by a person, and no tokens."""

    form: TypedDataForm = "full"

    @pytest.fixture
    async def bench(self, address: tuple[str, int], request: pytest.FixtureRequest) -> AsyncIterator[CustodyBench]:
        """Handles over TCP."""
        handles: list[HardwareWalletAnima] = []

        async def make(rules: WalletRules) -> HardwareWalletAnima:
            settings = LedgerSettings(typed_data=self.form)
            made = await HardwareWalletAnima.open(TcpTransport(*address), settings, clock=CLOCK, rules=rules)
            handles.append(made)
            return made

        counted: LedgerEmulator | None = None if "LIFE_LEDGER_TCP" in os.environ else request.getfixturevalue("ledger")
        yield CustodyBench(
            open=make,
            close=lambda handle: handle.close(),  # type: ignore[attr-defined]
            now_s=lambda: NOW_S,
            backend="hardware_wallet",
            operations=frozenset({"sign_message", "sign_authorization", "sign_permit", "sign_transaction"}),
            user_confirmation=True,
            wallet_signatures=None if counted is None else lambda: counted.signatures,
        )
        for made in handles:
            await made.close()


class TestLedgerFull(LedgerSuite):
    """Typed data member by member."""


class TestLedgerHashed(LedgerSuite):
    """Typed data by its two hashes."""

    form: TypedDataForm = "hashed"


async def test_the_recorded_exchanges(address: tuple[str, int]) -> None:
    """Wallet, message, transaction and payment of custody-testbeds.md §6.4, recorded from the app 1.22: the same bytes."""
    for form in ("full", "hashed"):
        handle = await HardwareWalletAnima.open(
            TcpTransport(*address),
            LedgerSettings(address=WALLET, typed_data=form),
            clock=CLOCK,
            rules=WalletRules(max_validity_s=10**9),
        )
        assert handle.capabilities().wallet_address == WALLET
        assert (await handle.sign_message(b"hello")).hex() == (
            "f16ea9a3478698f695fd1401bfe27e9e4a7e8e3da94aa72b021125e31fa899cc"
            "573c48ea3fe1d4ab61a9db10c19032026e3ed2dbccba5a178235ac27f94504311c"
        )
        raw = (await handle.sign_transaction(transaction())).hex()
        assert raw.endswith(
            "80a05a504f518bb33639872bb0b1f545eeda3791519c43b1e5f87f6b857a283dc1afa02fc715242b0af32196e53194f2052a51222abbdbcb951224c00cb239d6157bdb"
        )
        authorization = payment(handle, valid_after_s=0, valid_before_s=1_893_456_000, nonce=b"\x42" * 32)
        assert (await handle.sign_authorization(authorization)).hex() == (
            "cb1621d58dab5a3f55baaef5609ef6b9b2a2e024526c48f1e64553e83aef0aa4"
            "3108e4922c902c4c679f3ec43e74d997e2c630fbb38b394b91d34e0204aa433c1b"
        )
        await handle.close()


async def test_the_screen_shows_every_member(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """In full form a payment's recipient, amount, token and times reach the device, for all three kinds."""
    await handle.sign_authorization(payment(handle))
    document = ledger.shown[-1][1]
    assert document["primaryType"] == "TransferWithAuthorization"
    assert document["domain"]["verifyingContract"] == USDC
    assert document["message"]["to"] == PAYEE
    assert document["message"]["value"] == 10_000
    permit = PermitTransfer("eip155:84532", USDC, WALLET, PAYEE, 7, EXACT_PROXY, 3, NOW_S + 60)
    await handle.sign_permit(permit)
    document = ledger.shown[-1][1]
    assert document["domain"]["name"] == "Permit2"
    assert "version" not in document["domain"]
    assert document["message"]["witness"] == {"to": PAYEE, "validAfter": 0}
    assert document["message"]["permitted"] == {"token": USDC, "amount": 7}


async def test_the_screen_shows_hashes_only_where_that_is_chosen(ledger: LedgerEmulator) -> None:
    """`full` never falls back; `full_or_hashed` does when the app is too old; `hashed` always shows two hashes."""
    ledger.knows_full_typed_data = False
    full, either, hashed = [await opened(ledger, form=form) for form in ("full", "full_or_hashed", "hashed")]
    with pytest.raises(WrongAppError) as refusal:
        await full.sign_authorization(payment(full))
    assert "Update the Ethereum app" in (refusal.value.next_step or "")
    assert ledger.shown == []
    signature = await either.sign_authorization(payment(either))
    assert ledger.shown[-1][0] == "hashes"
    ledger.knows_full_typed_data = True
    assert await full.sign_authorization(payment(full)) == signature
    assert ledger.shown[-1][0] == "typed"
    assert await hashed.sign_authorization(payment(hashed)) == signature
    assert ledger.shown[-1][0] == "hashes"
    for made in (full, either, hashed):
        await made.close()


async def test_sale_documents_are_signed_too(handle: HardwareWalletAnima) -> None:
    """Offers and receipts have the digests of `life.crypto.sale_documents`, whose domain has no contract."""
    offer = SaleOffer("https://x.test/a", "exact", "eip155:84532", USDC, PAYEE, "10000", NOW_S + 60)
    receipt = SaleReceipt("eip155:84532", "https://x.test/ä", PAYEE, NOW_S, "")
    for document, digest in ((offer, offer_digest(**offer._asdict())), (receipt, receipt_digest(**receipt._asdict()))):
        signature = await handle.sign_sale_document(document)
        assert format_address(recover_address(digest, signature)) == WALLET


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0x6985, UserRejectedError),
        (0x5501, UserRejectedError),
        (0x5515, CustodyLockedError),
        (0x6B0C, CustodyLockedError),
        (0x6982, CustodyLockedError),
        (0x6E00, WrongAppError),
        (0x6511, WrongAppError),
        (0x6D00, WrongAppError),
        (0x6D02, WrongAppError),
        (0x6804, CustodyLockedError),
        (0x6B00, CustodyProtocolError),
        (0x6F01, CustodyProtocolError),
        (0x6A84, CustodyProtocolError),
    ],
)
async def test_status_words(
    ledger: LedgerEmulator, handle: HardwareWalletAnima, status: int, error: type[CustodyError]
) -> None:
    """Every status word is an error of its own kind that says the word; nothing is signed, and the handle goes on."""
    ledger.forged_status = status
    calls: tuple[Call, ...] = (
        lambda: handle.sign_message(b"hello"),
        lambda: handle.sign_authorization(payment(handle)),
        lambda: handle.sign_transaction(transaction()),
    )
    for call in calls:
        with pytest.raises(error) as refusal:
            await call()
        assert refusal.value.details["status_word"] == f"{status:04x}"
    assert ledger.signatures == 0
    ledger.forged_status = None
    for call in calls:
        await call()


async def test_the_person_says_no(ledger: LedgerEmulator) -> None:
    """A refusal at the device is UserRejectedError, is told to the observer, and can be asked again."""
    seen: list[CustodySigned | CustodyDenied] = []
    handle = await opened(ledger, observer=seen.append)
    ledger.decision = "reject"
    calls: tuple[Call, ...] = (
        lambda: handle.sign_message(b"hello"),
        lambda: handle.sign_authorization(payment(handle)),
        lambda: handle.sign_transaction(transaction()),
    )
    for call in calls:
        with pytest.raises(UserRejectedError):
            await call()
    assert [type(event) for event in seen] == [CustodyDenied] * 3
    assert ledger.signatures == 0
    ledger.decision = "approve"
    assert await handle.sign_authorization(payment(handle))
    await handle.close()


async def test_locked_and_unlocked(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """A locked device is CustodyLockedError, when it is opened and later; unlocked, the same handle goes on."""
    ledger.locked = True
    with pytest.raises(CustodyLockedError):
        await handle.sign_message(b"hello")
    with pytest.raises(CustodyLockedError):
        await opened(ledger)
    with pytest.raises(CustodyLockedError):
        await handle.check()
    ledger.locked = False
    await handle.check()
    assert await handle.sign_message(b"hello")


async def test_another_app(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """With another app open, or none, the error says to open Ethereum's."""
    ledger.app = "Bitcoin"
    calls: tuple[Call, ...] = (lambda: handle.sign_message(b"hello"), lambda: opened(ledger), handle.check)
    for call in calls:
        with pytest.raises(WrongAppError) as refusal:
            await call()
        assert "open the Ethereum app" in (refusal.value.next_step or "")


async def test_blind_signing(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """6A80 means two things: with blind signing off the error names the setting, otherwise the request is malformed
    (custody-testbeds.md §10.11). A plain transfer needs no blind signing."""
    ledger.blind_signing = False
    with_data = transaction()._replace(data=b"\x01")
    calls: tuple[Call, ...] = (
        lambda: handle.sign_authorization(payment(handle)),
        lambda: handle.sign_transaction(with_data),
    )
    for call in calls:
        with pytest.raises(BlindSigningOffError):
            await call()
    assert await handle.sign_transaction(transaction())
    ledger.blind_signing, ledger.forged_status = True, 0x6A80
    with pytest.raises(CustodyProtocolError):  # the same word for the question about the setting
        await handle.sign_authorization(payment(handle))


async def test_pulled_out_in_the_middle(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """The cable goes while the person looks: TokenRemovedError, nothing released; plugged in again, the handle goes on,
    and the payment has the one signature it would have had."""
    ledger.decision = "disconnect"
    with pytest.raises(TokenRemovedError):
        await handle.sign_authorization(payment(handle))
    assert ledger.signatures == 0
    ledger.decision = "approve"
    first = await handle.sign_authorization(payment(handle))
    again = await opened(ledger)
    assert await again.sign_authorization(payment(again)) == first
    await again.close()


async def test_another_device_after_it_was_pulled_out(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """Another seed in the meantime is noticed before anything is shown to anybody (AN-HW-2)."""
    ledger.decision = "disconnect"
    with pytest.raises(TokenRemovedError):
        await handle.sign_message(b"hello")
    ledger.decision, ledger.mnemonic = "approve", OTHER_MNEMONIC
    shown = len(ledger.shown)
    with pytest.raises(WrongDeviceError):
        await handle.sign_message(b"hello")
    with pytest.raises(WrongDeviceError):
        await opened(ledger, address=WALLET)
    assert len(ledger.shown) == shown
    ledger.mnemonic = LedgerEmulator.mnemonic
    assert await handle.sign_message(b"hello")


async def test_another_seed_on_the_same_connection(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """A device that changes its mind about its seed signs for somebody else: nothing is released."""
    ledger.mnemonic = OTHER_MNEMONIC
    calls: tuple[Call, ...] = (
        lambda: handle.sign_message(b"hello"),
        lambda: handle.sign_authorization(payment(handle)),
    )
    for call in calls:
        with pytest.raises(BadSignatureError):
            await call()


@pytest.mark.parametrize("answer", [b"", b"\x1b" * 64, b"\x1b" * 66])
async def test_answers_of_another_shape(ledger: LedgerEmulator, handle: HardwareWalletAnima, answer: bytes) -> None:
    """An answer that is no signature is a protocol error."""
    ledger.forged_answer = answer
    with pytest.raises(CustodyProtocolError):
        await handle.sign_message(b"hello")


async def test_signatures_of_nobody(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """65 bytes that do not recover to the wallet are not released, whatever v they carry."""
    for forged in (bytes(65), b"\x1b" + b"\xff" * 64, b"\x1b" + b"\x11" * 64):
        ledger.forged_answer = forged
        with pytest.raises(BadSignatureError):
            await handle.sign_message(b"hello")


async def test_nobody_confirms(ledger: LedgerEmulator) -> None:
    """Without confirmation the call ends after its deadline with CustodyTimeoutError; the next one works."""
    handle = await opened(ledger, confirm_s=0.2)
    ledger.decision = "ignore"
    with pytest.raises(CustodyTimeoutError):
        await handle.sign_authorization(payment(handle))
    ledger.decision = "approve"
    ledger.released.set()
    assert await handle.sign_authorization(payment(handle))
    await handle.close()


async def test_a_caller_that_gives_up(ledger: LedgerEmulator, handle: HardwareWalletAnima) -> None:
    """A cancelled call leaves the device clean: its answer is awaited before the next request, and serves who asks again."""
    ledger.delay_s = 5.0
    given_up = asyncio.create_task(handle.sign_authorization(payment(handle)))
    await asyncio.to_thread(ledger.asked.wait, 5)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    ledger.released.set()
    assert await handle.sign_message(b"hello")
    assert await handle.sign_authorization(payment(handle))
    assert ledger.signatures == 2


async def test_nobody_there() -> None:
    """No device is CustodyUnavailableError that says what to do, and nothing signs instead (AN-HW-3)."""
    with pytest.raises(CustodyUnavailableError) as refusal:
        await HardwareWalletAnima.open(TcpTransport("127.0.0.1", 1), LedgerSettings(), clock=CLOCK)
    assert refusal.value.next_step


async def test_rules_come_before_the_device(ledger: LedgerEmulator) -> None:
    """What the rules or the guard forbid never reaches the device."""
    handle = await opened(ledger, rules=WalletRules(guard=lambda _request: "Over the limit."))
    sent = len(ledger.commands)
    with pytest.raises(PolicyDeniedError):
        await handle.sign_authorization(payment(handle, reservation_id="res-1"))
    with pytest.raises(CustodyInputError):
        await handle.sign_authorization(payment(handle, reservation_id="res-1", value_atomic=0))
    assert len(ledger.commands) == sent
    await handle.close()


async def test_over_usb(ledger: LedgerEmulator) -> None:
    """The same wallet through HID reports; unplugged, every call says so."""
    usb = HidEmulator(ledger)
    handle = await HardwareWalletAnima.open(HidTransport(lambda: usb), LedgerSettings(), clock=CLOCK)
    tcp = await opened(ledger)
    big = transaction()._replace(data=bytes(2000))
    assert await handle.sign_transaction(big) == await tcp.sign_transaction(big)
    usb.unplugged = True
    with pytest.raises(TokenRemovedError):
        await handle.sign_message(b"hello")
    assert usb.closed
    usb.unplugged = False
    assert await handle.sign_message(b"hello") == await tcp.sign_message(b"hello")
    await handle.close()
    await tcp.close()


async def test_beside_an_identity(ledger: LedgerEmulator) -> None:
    """Split custody: tokens by another backend, payments confirmed on the device; `halves` says so (AN-CUS-7)."""
    auth = ExternalKeysAnima(AuthDevice(), None, backend="tpm", clock=CLOCK, rules=WalletRules())
    handle = SplitAnima(auth, await opened(ledger))
    assert handle.halves.wallet == "hardware_wallet"
    assert handle.capabilities().user_confirmation
    assert handle.capabilities().wallet_address == WALLET
    assert jws.verify(await handle.sign_token({}), typ="JWT").signer.did == auth.capabilities().did
    assert await handle.sign_authorization(payment(handle))
    await handle.close()
    with pytest.raises(StaleHandleError):
        await handle.sign_authorization(payment(handle))


@pytest.mark.parametrize(
    "options",
    [
        {"path": "44'/60'"},
        {"path": "m"},
        {"path": "m/2147483648"},
        {"path": "m/" + "/".join("0" * 11)},
        {"address": "0x12"},
        {"typed_data": "maybe"},
        {"confirm_s": 0},
        {"confirm_s": 10_000},
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, Any]) -> None:
    """Paths, addresses, forms and times are judged before a device is looked for."""
    with pytest.raises(CustodyInputError):
        LedgerSettings(**options)


async def test_another_path_is_another_wallet(ledger: LedgerEmulator) -> None:
    """The derivation path reaches the device: the second account of the mnemonic has its known address."""
    transport = TcpTransport(ledger.host, ledger.port)
    handle = await HardwareWalletAnima.open(transport, LedgerSettings(path="m/44'/60'/0'/0/1"), clock=CLOCK)
    assert handle.capabilities().wallet_address == PAYEE
    await handle.close()


def test_the_hashed_command_is_the_recorded_one() -> None:
    """The bytes of the recorded EIP-712 exchange (custody-testbeds.md §6.4)."""
    asked = TransferAuthorization(
        "eip155:84532", USDC, "USDC", "2", WALLET, PAYEE, 10_000, 0, 1_893_456_000, b"\x42" * 32
    )
    path = bytes.fromhex("058000002c8000003c800000000000000000000000")
    assert hashed_typed_data_command(path, typed_data_of(asked)).encode().hex() == (
        "e00c000055058000002c8000003c800000000000000000000000"
        "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"
        "1273348cdf7641e28af50d91a44e10fe9c7bce25d249d4bbd5697b48431f7e7d"
    )
