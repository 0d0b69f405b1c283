"""The objects of x402 version 2 and the three headers that carry them (x402.md §1, §2).

Headers are standard base64 with padding around one JSON object with camelCase keys. Unknown keys are tolerated; absent
optionals are left out, and `null` is read as absent. Amounts, times and nonces that may exceed 2^53 travel as strings.

Parts that must be echoed verbatim (`accepted`, `resource`, `extensions`: servers compare them, x402.md §1) stay the raw
bytes that arrived. `PaymentRequirements` and `ResourceInfo` are their typed readings.

    PAYMENT-REQUIRED    402 answer     PaymentRequired
    PAYMENT-SIGNATURE   paid request   PaymentPayload
    PAYMENT-RESPONSE    paid answer    SettlementResponse
"""

from __future__ import annotations

import binascii
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from life.aios.json import JsonObject
from life.haima.errors import MalformedPaymentError

X402_VERSION: Final = 2

PAYMENT_REQUIRED: Final = "PAYMENT-REQUIRED"
PAYMENT_SIGNATURE: Final = "PAYMENT-SIGNATURE"
PAYMENT_RESPONSE: Final = "PAYMENT-RESPONSE"
EXTENSION_RESPONSES: Final = "EXTENSION-RESPONSES"

PAYMENT_IDENTIFIER: Final = "payment-identifier"
"""Extension id: idempotency (x402.md §5)."""
EIP2612_GAS_SPONSORING: Final = "eip2612GasSponsoring"
"""Extension id: the payer signs an EIP-2612 permit for Permit2, and the facilitator sends it along (x402.md §5)."""

MAX_HEADER_CHARS: Final = 128 * 1024
"""Longest header value that is decoded. Servers and proxies allow far less; discovery metadata can be some KB."""

_T = TypeVar("_T", bound=msgspec.Struct)


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """camelCase keys, absent optionals left out."""


class ResourceInfo(_Wire, frozen=True, kw_only=True):
    """What is being sold. Everything but `url` is decoration."""

    url: str
    description: str | None = None
    mime_type: str | None = None
    service_name: str | None = None
    tags: tuple[str, ...] | None = None
    icon_url: str | None = None


class PaymentRequirements(_Wire, frozen=True, kw_only=True):
    """One offer. `amount` is a decimal string of atomic units; `extra` carries the token's EIP-712 name and version."""

    scheme: str
    network: str
    amount: str
    asset: str
    pay_to: str
    max_timeout_seconds: int
    extra: JsonObject | None = None

    def extra_text(self, key: str) -> str | None:
        """`extra[key]` when it is text."""
        value = self.extra.get(key) if self.extra else None
        return value if isinstance(value, str) else None


class PaymentRequired(_Wire, frozen=True, kw_only=True):
    """The terms of a 402. `accepts` keeps each offer as it came, for the echo; the order is the payee's preference."""

    x402_version: int
    accepts: tuple[Raw, ...]
    error: str | None = None
    resource: Raw | UnsetType = UNSET
    extensions: Raw | UnsetType = UNSET

    def requirements(self) -> list[tuple[Raw, PaymentRequirements]]:
        """Every offer that can be read, with its raw form. One unreadable offer does not spoil the others."""
        read = []
        for raw in self.accepts:
            try:
                read.append((raw, _requirements.decode(raw)))
            except msgspec.ValidationError:
                continue
        return read


class PaymentPayload(_Wire, frozen=True, kw_only=True):
    """A payment: the chosen offer verbatim, and what the scheme needs."""

    x402_version: int
    accepted: Raw
    payload: Raw
    resource: Raw | UnsetType = UNSET
    extensions: Raw | UnsetType = UNSET

    def requirements(self) -> PaymentRequirements:
        """The offer that the payer accepted; MalformedPaymentError when it can't be read."""
        return _read(_requirements, self.accepted, "The accepted terms")


class ExactEvmAuthorization(_Wire, frozen=True, kw_only=True):
    """EIP-3009 TransferWithAuthorization as text: integers decimal, nonce `0x` and 64 hex digits."""

    from_: str = msgspec.field(name="from")
    to: str
    value: str
    valid_after: str
    valid_before: str
    nonce: str


class ExactEvmPayload(_Wire, frozen=True, kw_only=True):
    """The `payload` of scheme `exact` on EVM with EIP-3009. `signature` is `0x` and hex."""

    signature: str
    authorization: ExactEvmAuthorization


class Permit2Permitted(_Wire, frozen=True, kw_only=True):
    """Token contract and amount in atomic units, as text."""

    token: str
    amount: str


class Permit2Witness(_Wire, frozen=True, kw_only=True):
    """Who gets the money, and from when. Scheme `upto` also names the only account that may carry it out."""

    to: str
    valid_after: str
    facilitator: str | None = None


class Permit2Authorization(_Wire, frozen=True, kw_only=True):
    """Permit2's PermitWitnessTransferFrom as text: integers are decimal."""

    permitted: Permit2Permitted
    from_: str = msgspec.field(name="from")
    spender: str
    nonce: str
    deadline: str
    witness: Permit2Witness


class Permit2EvmPayload(_Wire, frozen=True, kw_only=True):
    """The `payload` of schemes `exact` and `upto` on EVM with Permit2. `signature` is `0x` and hex."""

    signature: str
    permit2_authorization: Permit2Authorization


class EvmPayload(_Wire, frozen=True, kw_only=True):
    """The `payload` of any EVM scheme, as it is read: exactly one of the two authorizations is there."""

    signature: str
    authorization: ExactEvmAuthorization | None = None
    permit2_authorization: Permit2Authorization | None = None


class GasSponsoringInfo(_Wire, frozen=True, kw_only=True):
    """`info` of the extension `eip2612GasSponsoring` as a payer fills it in: an EIP-2612 permit for Permit2."""

    from_: str = msgspec.field(name="from")
    asset: str
    spender: str
    amount: str
    nonce: str
    deadline: str
    signature: str
    version: str = "1"


class SettlementResponse(_Wire, frozen=True, kw_only=True):
    """What became of a payment. `transaction` is the hash, or empty when there is none."""

    success: bool
    transaction: str = msgspec.field(default_factory=str)
    network: str = msgspec.field(default_factory=str)
    payer: str | None = None
    amount: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    extensions: JsonObject | None = None
    extra: JsonObject | None = None


class VerifyResponse(_Wire, frozen=True, kw_only=True):
    """A facilitator's answer to /verify."""

    is_valid: bool
    payer: str | None = None
    invalid_reason: str | None = None
    invalid_message: str | None = None
    extensions: JsonObject | None = None
    extra: JsonObject | None = None


class SupportedKind(_Wire, frozen=True, kw_only=True):
    """A (version, scheme, network) that a facilitator settles."""

    x402_version: int
    scheme: str
    network: str
    extra: JsonObject | None = None


class SupportedResponse(_Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A facilitator's answer to /supported. `signers` maps a CAIP-2 pattern to addresses."""

    kinds: tuple[SupportedKind, ...]
    extensions: tuple[str, ...] = ()
    signers: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class FacilitatorRequest(_Wire, frozen=True, kw_only=True):
    """The body of /verify and /settle. Both parts stay raw, so a payment is forwarded byte for byte."""

    x402_version: int
    payment_payload: Raw
    payment_requirements: Raw


_encoder: Final = msgspec.json.Encoder()
_requirements: Final = msgspec.json.Decoder(PaymentRequirements)
_payment_required: Final = msgspec.json.Decoder(PaymentRequired)
_payment_payload: Final = msgspec.json.Decoder(PaymentPayload)
_exact_payload: Final = msgspec.json.Decoder(ExactEvmPayload)
_evm_payload: Final = msgspec.json.Decoder(EvmPayload)
_settlement: Final = msgspec.json.Decoder(SettlementResponse)
_resource: Final = msgspec.json.Decoder(ResourceInfo)


def to_raw(value: msgspec.Struct | JsonObject) -> Raw:
    """`value` as raw JSON, to be put into a wire object."""
    return Raw(_encoder.encode(value))


def present(raw: Raw | UnsetType) -> bytes | None:
    """The bytes of an optional part; None when it is absent or null."""
    if raw is UNSET:
        return None
    content = bytes(raw)
    return None if content == b"null" else content


def offer(
    requirements: tuple[PaymentRequirements, ...],
    *,
    resource: ResourceInfo | None = None,
    error: str | None = None,
    extensions: JsonObject | None = None,
) -> PaymentRequired:
    """The terms of a 402 answer, from typed parts."""
    return PaymentRequired(
        x402_version=X402_VERSION,
        accepts=tuple(to_raw(entry) for entry in requirements),
        error=error,
        resource=UNSET if resource is None else to_raw(resource),
        extensions=UNSET if extensions is None else to_raw(extensions),
    )


def encode_header(value: msgspec.Struct) -> str:
    """A header value: base64 (standard alphabet, padded) of the JSON of `value`."""
    return binascii.b2a_base64(_encoder.encode(value), newline=False).decode("ascii")


def decode_payment_required(header: str) -> PaymentRequired:
    """The terms in a PAYMENT-REQUIRED header; MalformedPaymentError when it can't be read or is not version 2."""
    return _versioned(_read(_payment_required, _unwrap(header, PAYMENT_REQUIRED), "The PAYMENT-REQUIRED header"))


def decode_payment_signature(header: str) -> PaymentPayload:
    """The payment in a PAYMENT-SIGNATURE header; MalformedPaymentError when it can't be read or is not version 2."""
    return _versioned(_read(_payment_payload, _unwrap(header, PAYMENT_SIGNATURE), "The PAYMENT-SIGNATURE header"))


def decode_payment_response(header: str) -> SettlementResponse:
    """The settlement in a PAYMENT-RESPONSE header; MalformedPaymentError when it can't be read."""
    return _read(_settlement, _unwrap(header, PAYMENT_RESPONSE), "The PAYMENT-RESPONSE header")


def decode_exact_payload(raw: Raw | bytes) -> ExactEvmPayload:
    """The scheme part of an `exact` EIP-3009 payment; MalformedPaymentError when it is something else."""
    return _read(_exact_payload, raw, "The payload")


def decode_evm_payload(raw: Raw | bytes) -> EvmPayload:
    """The scheme part of any EVM payment; MalformedPaymentError when it is none, or when it could be read as two: a second
    authorization beside the signed one has fooled verifiers before (x402.md §16.4)."""
    payload = _read(_evm_payload, raw, "The payload")
    if (payload.authorization is None) == (payload.permit2_authorization is None):
        raise MalformedPaymentError("The payload must have either an authorization or a permit2Authorization.")
    return payload


def decode_requirements(raw: Raw | bytes) -> PaymentRequirements:
    """One offer from its JSON; MalformedPaymentError when it can't be read."""
    return _read(_requirements, raw, "The payment requirements")


def decode_payment(body: bytes) -> PaymentPayload:
    """A payment from plain JSON (facilitator calls, MCP); MalformedPaymentError when it can't be read."""
    return _versioned(_read(_payment_payload, _checked_text(body, "The payment"), "The payment"))


def read_resource(raw: Raw | UnsetType) -> ResourceInfo | None:
    """The resource that is being sold, or None when it is absent or unreadable (bad metadata is never fatal)."""
    content = present(raw)
    if content is None:
        return None
    try:
        return _resource.decode(content)
    except msgspec.DecodeError:
        return None


def read_extensions(raw: Raw | UnsetType) -> dict[str, JsonObject]:
    """The extensions by id; those that are no objects are left out."""
    content = present(raw)
    if content is None:
        return {}
    try:
        everything = msgspec.json.decode(content, type=dict[str, object])
    except msgspec.DecodeError:
        return {}
    return {name: value for name, value in everything.items() if isinstance(value, dict)}


def _unwrap(header: str, name: str) -> bytes:
    if len(header) > MAX_HEADER_CHARS:
        raise MalformedPaymentError(f"The {name} header is longer than {MAX_HEADER_CHARS} characters.")
    try:
        content = binascii.a2b_base64(header.strip(), strict_mode=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        raise MalformedPaymentError(f"The {name} header is not base64.") from None
    return _checked_text(content, f"The {name} header")


def _checked_text(content: bytes, what: str) -> bytes:
    """Raw parts are passed on unread, so that nothing but UTF-8 may get in (the decoder skips over them unchecked)."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedPaymentError(f"{what} is not UTF-8.") from None
    return content


def _read(decoder: msgspec.json.Decoder[_T], content: Raw | bytes, what: str) -> _T:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedPaymentError(f"{what} can't be read: {error}.") from None


_Versioned = TypeVar("_Versioned", PaymentRequired, PaymentPayload)


def _versioned(value: _Versioned) -> _Versioned:
    if value.x402_version != X402_VERSION:
        raise MalformedPaymentError(
            f"x402 version {value.x402_version} is not spoken here, only version {X402_VERSION}.",
            details={"x402_version": value.x402_version},
        )
    return value
