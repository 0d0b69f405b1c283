"""Signed offers and receipts: what they say, who signed them, that they are verified by the official package and by us."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import CustodyError, InvalidInputError
from life.aios.ports.custody import SaleOffer, SaleReceipt
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRules
from life.crypto.sale_documents import offer_digest, receipt_digest
from life.crypto.secp256k1 import sign_recoverable
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import wire
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.offer_receipt import (
    DocumentSigner,
    Eip712Signer,
    JwsSigner,
    OfferReceipts,
    SignedDocument,
    signed_offers,
    signed_receipt,
    verify_offer,
    verify_receipt,
)
from life.testing.chain import PAYEE, PAYER
from life.testing.clock import ManualClock
from tests.haima.shop import PRICE_ATOMIC, Shop, settlement_of
from tests.harness.solidity import PEERS, ROOT

SEED = bytearray(range(32))
KEY = "0x" + "42" * 32

FORMATS: dict[str, Callable[[InProcessAnima], DocumentSigner]] = {"eip712": Eip712Signer, "jws": JwsSigner}


def custody(clock: ManualClock, rules: WalletRules | None = None) -> InProcessAnima:
    """A seller's keys."""
    return InProcessAnima.from_seed(bytearray(SEED), clock=clock, rules=rules or WalletRules())


def signer_name(keys: InProcessAnima, form: str) -> str:
    """Who signs: the wallet's address, or the DID."""
    named = keys.capabilities()
    name = named.wallet_address if form == "eip712" else named.did
    assert name is not None
    return name


@pytest.fixture(params=FORMATS)
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Shop, InProcessAnima, str]]:
    """A shop that signs, in either form."""
    clock = ManualClock()
    keys = custody(clock)
    receipts = OfferReceipts(FORMATS[request.param](keys), clock, include_transaction=True)
    made = Shop(clock=clock, offer_receipt=receipts, base_url="http://shop.test")
    await made.fund()
    yield made, keys, request.param
    await made.aclose()
    keys.close()


async def documents(shop: Shop) -> tuple[list[SignedDocument], SignedDocument]:
    """The offers of a 402 and the receipt of a sale."""
    asked = wire.decode_payment_required((await shop.get("/paid")).headers["payment-required"])
    settlement = settlement_of(await shop.get("/paid", shop.pay(1)))
    receipt = signed_receipt(settlement.extensions)
    assert receipt is not None
    return signed_offers(wire.read_extensions(asked.extensions)), receipt


async def test_offers_and_receipts_say_what_happened(shop: tuple[Shop, InProcessAnima, str]) -> None:
    """Every offer of the 402 is signed, holds as long as a payment has time, and the receipt names payer, resource and time."""
    seller, keys, form = shop
    (offer,), receipt = await documents(seller)
    now_s = seller.clock.now_us() // 1_000_000
    said, by = verify_offer(offer)
    assert by.signer == signer_name(keys, form)
    assert offer.accept_index == 0
    assert (said.resource_url, said.scheme, said.network) == ("http://shop.test/paid", "exact", LOCAL)
    assert (said.asset, said.pay_to, said.amount) == (PLAY_MONEY.address, PAYEE, str(PRICE_ATOMIC))
    assert said.valid_until == now_s + 300
    told, by = verify_receipt(receipt)
    assert by.signer == signer_name(keys, form)
    assert (told.network, told.resource_url, told.payer) == (LOCAL, "http://shop.test/paid", PAYER)
    assert told.issued_at == now_s
    assert told.transaction.startswith("local:")


async def test_repetition_gets_the_same_receipt(shop: tuple[Shop, InProcessAnima, str]) -> None:
    """The kept answer comes with a receipt of the same sale at the same time."""
    seller, _, form = shop
    first = settlement_of(await seller.get("/paid", seller.pay(1)))
    seller.clock.advance_us(90_000_000)
    again = settlement_of(await seller.get("/paid", seller.pay(1, valid_before_s=first_window(seller))))
    one, two = signed_receipt(first.extensions), signed_receipt(again.extensions)
    assert one is not None
    assert two is not None
    assert verify_receipt(one)[0] == verify_receipt(two)[0]
    if form == "eip712":
        assert one == two


def first_window(shop: Shop) -> int:
    """The end of the window of a payment that was made 90 seconds ago."""
    return shop.clock.now_us() // 1_000_000 - 90 + 300


async def test_offers_are_signed_anew_before_they_end(shop: tuple[Shop, InProcessAnima, str]) -> None:
    """An offer that goes out has at least three quarters of its time left; until then it is not signed again."""
    seller, _, _ = shop

    async def offer() -> SignedDocument:
        asked = wire.decode_payment_required((await seller.get("/paid")).headers["payment-required"])
        return signed_offers(wire.read_extensions(asked.extensions))[0]

    first = await offer()
    seller.clock.advance_us(74_000_000)
    assert await offer() == first
    seller.clock.advance_us(1_000_000)
    fresh = await offer()
    assert verify_offer(fresh)[0].valid_until == verify_offer(first)[0].valid_until + 75


async def test_transaction_is_private_unless_told() -> None:
    """By default a receipt does not tie the wallet to the transaction."""
    clock = ManualClock()
    keys = custody(clock)
    shop = Shop(clock=clock, offer_receipt=OfferReceipts(Eip712Signer(keys), clock))
    await shop.fund()
    receipt = signed_receipt(settlement_of(await shop.get("/paid", shop.pay(1))).extensions)
    assert receipt is not None
    assert verify_receipt(receipt)[0].transaction == ""
    await shop.aclose()
    keys.close()


async def test_locked_keys_cost_the_receipt_not_the_sale() -> None:
    """When custody can't sign, the paid answer goes out without a receipt."""
    clock = ManualClock()
    keys = custody(clock)
    shop = Shop(clock=clock, offer_receipt=OfferReceipts(Eip712Signer(keys), clock))
    await shop.fund()
    keys.close()
    answer = await shop.get("/paid", shop.pay(1))
    assert answer.status_code == 200
    assert settlement_of(answer).extensions is None
    await shop.aclose()


@pytest.mark.parametrize("form", FORMATS)
async def test_changed_documents_do_not_verify(form: str) -> None:
    """A changed word changes the signer (eip712) or breaks the signature (jws); an offer is no receipt."""
    clock = ManualClock()
    keys = custody(clock)
    signer = FORMATS[form](keys)
    offer = await signer.sign_offer(SaleOffer("https://a.test/x", "exact", LOCAL, "0xa", "0xb", "1", 1_700_000_000))
    receipt = await signer.sign_receipt(SaleReceipt(LOCAL, "https://a.test/x", PAYER, 1_700_000_000, ""))
    if form == "eip712":
        assert isinstance(offer.payload, msgspec.Raw)
        cheaper = msgspec.structs.replace(offer, payload=msgspec.Raw(bytes(offer.payload).replace(b'"1"', b'"0"')))
        assert verify_offer(cheaper)[1].signer != signer_name(keys, form)
        with pytest.raises(MalformedPaymentError):
            verify_offer(msgspec.structs.replace(offer, payload=msgspec.UNSET))
        with pytest.raises(PaymentRefusedError):
            verify_offer(msgspec.structs.replace(offer, signature="0x12"))
    else:
        head, body, signature = offer.signature.split(".")
        forged = ("A" if signature[0] != "A" else "B") + signature[1:]
        with pytest.raises(PaymentRefusedError):
            verify_offer(msgspec.structs.replace(offer, signature=f"{head}.{body}.{forged}"))
        with pytest.raises(MalformedPaymentError):
            verify_offer(receipt)
    with pytest.raises(MalformedPaymentError):
        verify_receipt(offer)
    keys.close()


def test_wallet_form_needs_a_wallet() -> None:
    """Each form says what it lacks."""

    class WithoutWallet:
        def capabilities(self) -> Any:
            return type("Capabilities", (), {"operations": frozenset()})()

    with pytest.raises(InvalidInputError, match="with its wallet"):
        Eip712Signer(WithoutWallet())  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="identity key"):
        JwsSigner(WithoutWallet())  # type: ignore[arg-type]


async def test_guard_has_the_last_word() -> None:
    """A wallet's guard sees sale documents, too, and may refuse them."""
    seen: list[object] = []

    def guard(request: object) -> str | None:
        seen.append(request)
        return "no" if isinstance(request, SaleReceipt) else None

    keys = custody(ManualClock(), WalletRules(guard=guard))
    offer = SaleOffer("https://a.test/x", "exact", LOCAL, "0xa", "0xb", "1", 5)
    assert len(await keys.sign_sale_document(offer)) == 65
    with pytest.raises(CustodyError):
        await keys.sign_sale_document(SaleReceipt(LOCAL, "u", PAYER, 1, ""))
    assert seen[0] == offer
    keys.close()


_text = st.text(max_size=60)


@settings(max_examples=60, deadline=None)
@given(_text, _text, _text, st.integers(0, 2**40))
def test_digests_are_eip_712(first: str, second: str, third: str, number: int) -> None:
    """Our digests are those of eth_account's typed-data encoder, for both documents."""
    offer = {
        "version": 1,
        "resourceUrl": first,
        "scheme": second,
        "network": third,
        "asset": first,
        "payTo": second,
        "amount": third,
        "validUntil": number,
    }
    ours = offer_digest(
        resource_url=first, scheme=second, network=third, asset=first, pay_to=second, amount=third, valid_until_s=number
    )
    assert recovered("x402 offer", OFFER_TYPES, offer, ours) == Account.from_key(KEY).address
    receipt = {
        "version": 1,
        "network": third,
        "resourceUrl": first,
        "payer": second,
        "issuedAt": number,
        "transaction": third,
    }
    ours = receipt_digest(network=third, resource_url=first, payer=second, issued_at_s=number, transaction=third)
    assert recovered("x402 receipt", RECEIPT_TYPES, receipt, ours) == Account.from_key(KEY).address


OFFER_TYPES = {
    "Offer": [
        {"name": name, "type": "uint256" if name in ("version", "validUntil") else "string"}
        for name in ("version", "resourceUrl", "scheme", "network", "asset", "payTo", "amount", "validUntil")
    ]
}
RECEIPT_TYPES = {
    "Receipt": [
        {"name": name, "type": "uint256" if name in ("version", "issuedAt") else "string"}
        for name in ("version", "network", "resourceUrl", "payer", "issuedAt", "transaction")
    ]
}


def recovered(domain: str, types: dict[str, Any], message: dict[str, object], digest: bytes) -> str:
    """Who, in eth_account's eyes, made our signature over our digest of this message."""
    signable = encode_typed_data({"name": domain, "version": "1", "chainId": 1}, types, message)
    signature = sign_recoverable(digest, bytearray.fromhex(KEY[2:]))
    address: str = Account.recover_message(signable, signature=signature)
    return address


def official(asked: dict[str, Any]) -> dict[str, Any]:
    """What npm @x402/extensions makes of it."""
    done = subprocess.run(
        ["node", str(PEERS / "documents.mjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.part("npm-peers", "node")
async def test_official_package_verifies_ours(shop: tuple[Shop, InProcessAnima, str]) -> None:
    """npm @x402/extensions recovers our signer from both documents, in both forms."""
    seller, keys, form = shop
    offers, receipt = await documents(seller)
    judged = official({"offers": [_plain(each) for each in offers], "receipt": _plain(receipt)})
    assert "error" not in judged
    assert judged["offers"][0]["signer"] == signer_name(keys, form)
    assert judged["offers"][0]["payload"]["amount"] == str(PRICE_ATOMIC)
    assert judged["receipt"]["signer"] == signer_name(keys, form)
    assert judged["receipt"]["payload"]["payer"] == PAYER


@pytest.mark.part("npm-peers", "node")
def test_we_verify_official_ones() -> None:
    """Documents signed by npm @x402/extensions with a viem account verify here, and name that account."""
    terms = {
        "acceptIndex": 0,
        "scheme": "exact",
        "network": "eip155:8453",
        "asset": PLAY_MONEY.address,
        "payTo": PAYEE,
        "amount": "10000",
    }
    receipt = {"resourceUrl": "https://a.test/x", "payer": PAYER, "network": "eip155:8453", "transaction": "0xab"}
    made = official({"sign": {"key": KEY, "resourceUrl": "https://a.test/x", "offer": terms, "receipt": receipt}})
    offer = _document(made["offer"])
    said, by = verify_offer(offer)
    assert (by.signer, said.amount, said.resource_url) == (made["address"], "10000", "https://a.test/x")
    told, by = verify_receipt(_document(made["receipt"]))
    assert (by.signer, told.transaction) == (made["address"], "0xab")


def _plain(document: SignedDocument) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _document(given: dict[str, Any]) -> SignedDocument:
    return msgspec.json.decode(json.dumps(given), type=SignedDocument)
