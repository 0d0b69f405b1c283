"""Signed offers and receipts: x402's extension `offer-receipt` (x402.md §5).

A seller signs what it asks for (in the 402) and that it was paid (in the settlement), so that a payer can prove either to a
third party. Two forms, as the extension has them:

    eip712   the wallet's signature over typed data; verified by recovering an address
    jws      a compact JWS by the identity's key; verified by the key that its `kid`, a did:key, names

    signer = Eip712Signer(custody)        # custody can sign sale documents (life.aios.ports.custody.SaleSigning)
    signer = JwsSigner(custody)           # custody can sign tokens
    X402Middleware(app, …, offer_receipt=OfferReceipts(signer, clock))

A receipt does not name the transaction unless it is told to: it would tie the payer's wallet to the resource for everybody
who sees it.
"""

from __future__ import annotations

import binascii
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody, SaleOffer, SaleReceipt, SaleSigning
from life.crypto import jws
from life.crypto.address import format_address
from life.crypto.did import Curve, resolve_kid
from life.crypto.errors import CryptoError
from life.crypto.sale_documents import VERSION, offer_digest, receipt_digest
from life.crypto.secp256k1 import recover_address
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402.price import Offer

OFFER_RECEIPT: Final = "offer-receipt"
"""Extension id."""
OFFER_TYPE: Final = "x402-offer"
RECEIPT_TYPE: Final = "x402-receipt"
"""The `typ` of our JWS forms: a receipt is no offer, and neither is any other token of the identity."""

INVALID_SIGNATURE: Final = "invalid_sale_document_signature"

_CURVES: Final = frozenset((Curve.P256, Curve.SECP256K1, Curve.ED25519))
_KEPT: Final = 1024

_OFFERS_SCHEMA: Final[JsonObject] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "offers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "format": {"type": "string"},
                    "acceptIndex": {"type": "integer"},
                    "payload": {"type": "object"},
                    "signature": {"type": "string"},
                },
                "required": ["format", "signature"],
            },
        }
    },
    "required": ["offers"],
}
_RECEIPT_SCHEMA: Final[JsonObject] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "receipt": {
            "type": "object",
            "properties": {
                "format": {"type": "string"},
                "payload": {"type": "object"},
                "signature": {"type": "string"},
            },
            "required": ["format", "signature"],
        }
    },
    "required": ["receipt"],
}


class OfferPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an offer says."""

    version: int
    resource_url: str
    scheme: str
    network: str
    asset: str
    pay_to: str
    amount: str
    valid_until: int


class ReceiptPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a receipt says."""

    version: int
    network: str
    resource_url: str
    payer: str
    issued_at: int
    transaction: str = ""


class SignedDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An offer or a receipt on the wire. In the `jws` form the payload stands in the signature."""

    format: Literal["eip712", "jws"]
    signature: str
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    accept_index: int | None = None


class Verified(NamedTuple):
    """Who signed: an EIP-55 address (`eip712`) or a did:key (`jws`). Whether that is the seller is the caller's to judge."""

    signer: str


class DocumentSigner(Protocol):
    """Signs a seller's documents."""

    async def sign_offer(self, offer: SaleOffer) -> SignedDocument:
        """The offer, signed."""
        ...

    async def sign_receipt(self, receipt: SaleReceipt) -> SignedDocument:
        """The receipt, signed."""
        ...


class Eip712Signer:
    """Signs with the wallet."""

    def __init__(self, custody: SaleSigning) -> None:
        """InvalidInputError when this custody does not sign sale documents."""
        if not isinstance(custody, SaleSigning):
            raise InvalidInputError(
                "This custody does not sign offers and receipts with its wallet.",
                next_step="Use the jws form, which needs the identity's key only.",
            )
        self._custody = custody

    async def sign_offer(self, offer: SaleOffer) -> SignedDocument:
        """See DocumentSigner."""
        signature = await self._custody.sign_sale_document(offer)
        return SignedDocument(format="eip712", signature="0x" + signature.hex(), payload=_raw(_offer_payload(offer)))

    async def sign_receipt(self, receipt: SaleReceipt) -> SignedDocument:
        """See DocumentSigner."""
        signature = await self._custody.sign_sale_document(receipt)
        # Typed data has every field, so `transaction` stands there even when it is empty.
        payload = {**msgspec.to_builtins(_receipt_payload(receipt)), "transaction": receipt.transaction}
        return SignedDocument(format="eip712", signature="0x" + signature.hex(), payload=_raw(payload))


class JwsSigner:
    """Signs with the identity's key; `kid` is its DID."""

    def __init__(self, custody: Custody) -> None:
        """InvalidInputError when this custody has no identity key."""
        if "sign_token" not in custody.capabilities().operations:
            raise InvalidInputError("This custody has no identity key, so it can't sign tokens.")
        self._custody = custody

    async def sign_offer(self, offer: SaleOffer) -> SignedDocument:
        """See DocumentSigner."""
        return SignedDocument(format="jws", signature=await self._sign(_offer_payload(offer), OFFER_TYPE))

    async def sign_receipt(self, receipt: SaleReceipt) -> SignedDocument:
        """See DocumentSigner."""
        return SignedDocument(format="jws", signature=await self._sign(_receipt_payload(receipt), RECEIPT_TYPE))

    async def _sign(self, payload: msgspec.Struct, typ: str) -> str:
        claims: JsonObject = msgspec.to_builtins(payload)
        return await self._custody.sign_token(dict(sorted(claims.items())), typ=typ)


class OfferReceipts:
    """Makes the extension's two declarations. One instance per seller; offers are signed once and kept while they hold."""

    def __init__(
        self,
        signer: DocumentSigner,
        clock: Clock,
        *,
        include_transaction: bool = False,
        validity_s: int | None = None,
    ) -> None:
        """`validity_s`: how long an offer holds; by default as long as a payment for it has time."""
        self._signer = signer
        self._clock = clock
        self._include_transaction = include_transaction
        self._validity_s = validity_s
        self._kept: OrderedDict[tuple[str, tuple[bytes, ...]], tuple[int, bytes]] = OrderedDict()

    async def offers(self, resource_url: str, offers: Sequence[Offer]) -> bytes:
        """The declaration in a 402, as JSON: every offer of it, signed."""
        now_s = self._clock.now_us() // 1_000_000
        key = (resource_url, tuple(offer.raw for offer in offers))
        kept = self._kept.get(key)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        shortest_s = min(self._validity_s or offer.requirements.max_timeout_seconds for offer in offers)
        signed = [await self._sign(resource_url, offer, index, now_s) for index, offer in enumerate(offers)]
        declared = _encode({"info": {"offers": signed}, "schema": _OFFERS_SCHEMA})
        self._kept[key] = (now_s + shortest_s // 4, declared)  # at least three quarters of their time are left
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return declared

    async def receipt(
        self, *, resource_url: str, payer: str, network: str, transaction: str, issued_at_s: int
    ) -> JsonObject:
        """The declaration in a settlement."""
        told = transaction if self._include_transaction else ""
        signed = await self._signer.sign_receipt(SaleReceipt(network, resource_url, payer, issued_at_s, told))
        return {"info": {"receipt": msgspec.json.decode(_encode(signed))}, "schema": dict(_RECEIPT_SCHEMA)}

    async def _sign(self, resource_url: str, offer: Offer, index: int, now_s: int) -> SignedDocument:
        asked = offer.requirements
        valid_until_s = now_s + (self._validity_s or asked.max_timeout_seconds)
        document = SaleOffer(
            resource_url, asked.scheme, asked.network, asked.asset, asked.pay_to, asked.amount, valid_until_s
        )
        signed = await self._signer.sign_offer(document)
        return msgspec.structs.replace(signed, accept_index=index)


# ---- what a payer does with them


def signed_offers(extensions: Mapping[str, object]) -> list[SignedDocument]:
    """The offers in the extensions of a 402; none when there are none that can be read."""
    return _documents(extensions, "offers")


def signed_receipt(extensions: Mapping[str, object] | None) -> SignedDocument | None:
    """The receipt in the extensions of a settlement."""
    found = _documents(extensions or {}, "receipt")
    return found[0] if found else None


def verify_offer(document: SignedDocument) -> tuple[OfferPayload, Verified]:
    """What an offer says and who signed it. MalformedPaymentError for what is none; PaymentRefusedError for a signature
    that does not hold. The times are not judged."""
    if document.format == "jws":
        return _verify_jws(document.signature, OfferPayload, OFFER_TYPE)
    payload = _payload(document, OfferPayload)
    _check_version(payload.version)
    signer = _recover(
        lambda: offer_digest(
            resource_url=payload.resource_url,
            scheme=payload.scheme,
            network=payload.network,
            asset=payload.asset,
            pay_to=payload.pay_to,
            amount=payload.amount,
            valid_until_s=payload.valid_until,
        ),
        document.signature,
    )
    return payload, Verified(signer)


def verify_receipt(document: SignedDocument) -> tuple[ReceiptPayload, Verified]:
    """What a receipt says and who signed it; errors as `verify_offer`."""
    if document.format == "jws":
        return _verify_jws(document.signature, ReceiptPayload, RECEIPT_TYPE)
    payload = _payload(document, ReceiptPayload)
    _check_version(payload.version)
    signer = _recover(
        lambda: receipt_digest(
            network=payload.network,
            resource_url=payload.resource_url,
            payer=payload.payer,
            issued_at_s=payload.issued_at,
            transaction=payload.transaction,
        ),
        document.signature,
    )
    return payload, Verified(signer)


# ---- inside

_encode: Final = msgspec.json.Encoder().encode
_T = TypeVar("_T", OfferPayload, ReceiptPayload)


def _offer_payload(offer: SaleOffer) -> OfferPayload:
    return OfferPayload(
        version=VERSION,
        resource_url=offer.resource_url,
        scheme=offer.scheme,
        network=offer.network,
        asset=offer.asset,
        pay_to=offer.pay_to,
        amount=offer.amount,
        valid_until=offer.valid_until_s,
    )


def _receipt_payload(receipt: SaleReceipt) -> ReceiptPayload:
    return ReceiptPayload(
        version=VERSION,
        network=receipt.network,
        resource_url=receipt.resource_url,
        payer=receipt.payer,
        issued_at=receipt.issued_at_s,
        transaction=receipt.transaction,
    )


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


def _documents(extensions: Mapping[str, object], name: str) -> list[SignedDocument]:
    declared = extensions.get(OFFER_RECEIPT)
    info = declared.get("info") if isinstance(declared, Mapping) else None
    found = info.get(name) if isinstance(info, Mapping) else None
    entries = found if isinstance(found, list) else [found]
    documents = []
    for entry in entries:
        try:
            documents.append(msgspec.json.decode(_encode(entry), type=SignedDocument))
        except (msgspec.MsgspecError, TypeError, RecursionError):
            continue
    return documents


def _payload(document: SignedDocument, kind: type[_T]) -> _T:
    if isinstance(document.payload, msgspec.UnsetType):
        raise MalformedPaymentError("The signed document has no payload.")
    try:
        return msgspec.json.decode(document.payload, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedPaymentError(f"The signed document can't be read: {error}.") from None


def _check_version(version: int) -> None:
    if version != VERSION:
        raise MalformedPaymentError(f"Version {version} of signed documents is not known here.")


def _recover(make_digest: Callable[[], bytes], text: str) -> str:
    try:
        signature = bytes.fromhex(text.removeprefix("0x"))
        return format_address(recover_address(make_digest(), signature))
    except (CryptoError, ValueError, binascii.Error):
        raise PaymentRefusedError(INVALID_SIGNATURE, "The document's signature is none.") from None


def _verify_jws(token: str, kind: type[_T], typ: str) -> tuple[_T, Verified]:
    """Peers set no `typ`; one that is there must be ours for this kind of document."""
    try:
        parsed = jws.parse(token)
        if parsed.typ is not None and parsed.typ != typ:
            raise MalformedPaymentError("The token is another kind of document.")
        key = resolve_kid(parsed.kid)
        if key.curve not in _CURVES or jws.algorithm_of(key.curve) != parsed.algorithm:
            raise PaymentRefusedError(INVALID_SIGNATURE, "The document's algorithm is not that of its key.")
        jws.verify_signature(key, parsed.signing_input, parsed.signature)
    except CryptoError as error:
        raise PaymentRefusedError(INVALID_SIGNATURE, f"The document's signature does not hold: {error}.") from None
    try:
        payload = msgspec.json.decode(parsed.payload, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedPaymentError(f"The signed document can't be read: {error}.") from None
    _check_version(payload.version)
    return payload, Verified(key.did)
