"""Signing in with a wallet that has paid: x402's extension `sign-in-with-x` (x402.md §5; CAIP-122, EIP-4361).

A 402 carries a challenge (`domain`, `uri`, `nonce`, `issuedAt`); the client signs its EIP-4361 text and sends the proof in
SIGN-IN-WITH-X. A wallet whose payment for the resource stands is let in without another one.

    Route("$0.10", sign_in=SignIn(access_s=24 * 3600))

What is checked: the domain and the origin of the URI are ours (`base_url` must be set: the Host header is the client's word);
`issuedAt` is at most five minutes old and not in the future, `expirationTime` and `notBefore` hold; the chain is one that the
resource can be paid on; the signature is that of the address; the nonce was never used before. Access belongs to method and
path of a route with a fixed price, so that a cheap request can't open a dear one.

Both what was paid for and which nonces are used stand in the journal, under ids derived from them: they survive a restart and
are shared by all processes over it.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from life.aios.errors import EventConflictError, InvalidInputError
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import NewEvent, Stream, format_timestamp
from life.crypto.address import format_address, parse_address
from life.crypto.eip191 import personal_message_digest
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import is_low_s, recover_address
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.events import finance_event, read_finance
from life.haima.events.charges import AccessGranted, SignedIn
from life.haima.facilitator.attempts import last_attempt
from life.haima.x402.networks import chain_id_of
from life.haima.x402.wire import MAX_HEADER_CHARS

SIGN_IN_WITH_X: Final = "sign-in-with-x"
"""Extension id."""
SIGN_IN_HEADER: Final = "SIGN-IN-WITH-X"

MAX_AGE_S: Final = 300
DEFAULT_ACCESS_S: Final = 24 * 3600
MAX_GRANTS: Final = 1 << 20
_NONCE_BYTES: Final = 16

# The codes that the official SDKs use.
DOMAIN_MISMATCH: Final = "invalid_siwx_domain_mismatch"
URI_MISMATCH: Final = "invalid_siwx_uri_mismatch"
ISSUED_AT: Final = "invalid_siwx_issued_at"
TOO_OLD: Final = "invalid_siwx_issued_at_too_old"
IN_FUTURE: Final = "invalid_siwx_issued_at_in_future"
EXPIRATION_TIME: Final = "invalid_siwx_expiration_time"
EXPIRED: Final = "invalid_siwx_expired"
NOT_BEFORE: Final = "invalid_siwx_not_before"
NOT_YET_VALID: Final = "invalid_siwx_not_yet_valid"
NONCE: Final = "invalid_siwx_nonce"
SIGNATURE: Final = "invalid_siwx_signature"
CHAIN_ID: Final = "invalid_siwx_chain_id"
UNSUPPORTED_CHAIN: Final = "invalid_siwx_unsupported_chain"
NOT_PAID: Final = "siwx_not_paid"
"""Ours: the proof is good, and this wallet has not paid for this resource, or its access is over."""

_NONCE: Final = re.compile(r"[A-Za-z0-9]{8,128}")
_LINE: Final = re.compile(r"[\x20-\x7e]{0,2048}")
_MAX_RESOURCES: Final = 32


class SignIn(msgspec.Struct, frozen=True):
    """How a route lets in who has paid. `access_s` counts from the payment. `statement` is what the wallet shows."""

    access_s: int = DEFAULT_ACCESS_S
    statement: str | None = None


class Visitor(msgspec.Struct, frozen=True, gc=False):
    """Who was let in without paying again; a handler finds it in `scope["x402"]` instead of a Payment."""

    address: str
    """EIP-55."""
    resource: str
    paid_until_s: int


class Proof(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What stands in SIGN-IN-WITH-X: the challenge as it was signed, and the signature."""

    domain: str
    address: str
    uri: str
    version: str
    chain_id: str
    type: str
    nonce: str
    issued_at: str
    signature: str
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None

    def message(self) -> str:
        """The EIP-4361 text that was signed. MalformedPaymentError for a field that would change its lines."""
        resources = self.resources or ()
        if len(resources) > _MAX_RESOURCES:
            raise MalformedPaymentError("The proof names too many resources.")
        optional = (self.statement, self.expiration_time, self.not_before, self.request_id)
        fields = (self.domain, self.address, self.uri, self.version, self.nonce, self.issued_at, *resources)
        for text in (*fields, *(part for part in optional if part is not None)):
            if _LINE.fullmatch(text) is None:
                raise MalformedPaymentError("A field of the proof is too long, or is not one line of plain text.")
        chain_id = chain_id_of(self.chain_id)
        if chain_id is None:
            raise PaymentRefusedError(CHAIN_ID, "The proof's chain is not an EVM chain.")
        lines = [f"{self.domain} wants you to sign in with your Ethereum account:", self.address, ""]
        lines += [""] if self.statement is None else [self.statement, ""]
        lines += [f"URI: {self.uri}", f"Version: {self.version}", f"Chain ID: {chain_id}"]
        lines += [f"Nonce: {self.nonce}", f"Issued At: {self.issued_at}"]
        if self.expiration_time is not None:
            lines.append(f"Expiration Time: {self.expiration_time}")
        if self.not_before is not None:
            lines.append(f"Not Before: {self.not_before}")
        if self.request_id is not None:
            lines.append(f"Request ID: {self.request_id}")
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in resources)]
        return "\n".join(lines)


class Origin(NamedTuple):
    """Where a seller is reached: `https://shop.example`."""

    scheme: str
    host: str
    """With the port, if it is not the scheme's own."""

    @property
    def text(self) -> str:
        """As a URL."""
        return f"{self.scheme}://{self.host}"


def origin_of(base_url: str) -> Origin:
    """The origin of a public address; InvalidInputError when it has none."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.username is not None:
        raise InvalidInputError("The base URL must look like https://shop.example.")
    return Origin(parts.scheme, parts.netloc.lower())


def decode_proof(header: str) -> Proof:
    """The proof in a SIGN-IN-WITH-X header; MalformedPaymentError when it can't be read."""
    if len(header) > MAX_HEADER_CHARS:
        raise MalformedPaymentError(f"The {SIGN_IN_HEADER} header is too long.")
    try:
        return _proof.decode(binascii.a2b_base64(header.strip(), strict_mode=True))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise MalformedPaymentError(f"The {SIGN_IN_HEADER} header is no proof in base64.") from None


def check_proof(proof: Proof, *, origin: Origin, networks: frozenset[str], now_us: int) -> str:
    """The EIP-55 address that signed a proof that is right in every respect but the nonce's first use.

    MalformedPaymentError or PaymentRefusedError with the code of the official SDKs.
    """
    if proof.domain.lower() != origin.host:
        raise PaymentRefusedError(DOMAIN_MISMATCH, "The proof was made for another domain.")
    try:
        uri = urlsplit(proof.uri)
    except ValueError:
        raise PaymentRefusedError(URI_MISMATCH, "The proof's URI is none.") from None
    if (uri.scheme, uri.netloc.lower()) != (origin.scheme, origin.host):
        raise PaymentRefusedError(URI_MISMATCH, "The proof was made for another origin.")
    _check_times(proof, now_us)
    if _NONCE.fullmatch(proof.nonce) is None:
        raise PaymentRefusedError(NONCE, "A nonce has 8 to 128 letters and digits.")
    if proof.version != "1" or proof.type != "eip191" or proof.chain_id not in networks:
        raise PaymentRefusedError(UNSUPPORTED_CHAIN, "The proof is of another version, kind or chain than was offered.")
    try:
        address = parse_address(proof.address)
        signature = bytes.fromhex(proof.signature.removeprefix("0x"))
        if not is_low_s(signature):
            raise PaymentRefusedError(SIGNATURE, "The signature has a high s.")
        signer = recover_address(personal_message_digest(proof.message().encode()), signature)
    except (CryptoError, ValueError):
        raise PaymentRefusedError(SIGNATURE, "The proof's signature is none.") from None
    if signer != address:
        raise PaymentRefusedError(SIGNATURE, "Somebody else signed the proof.")
    return format_address(address)


def _check_times(proof: Proof, now_us: int) -> None:
    issued_us = _time_us(proof.issued_at)
    if issued_us is None:
        raise PaymentRefusedError(ISSUED_AT, "issuedAt is not a time.")
    if now_us - issued_us > MAX_AGE_S * 1_000_000:
        raise PaymentRefusedError(TOO_OLD, f"The proof is older than {MAX_AGE_S} seconds.")
    if issued_us > now_us:
        raise PaymentRefusedError(IN_FUTURE, "The proof is of the future.")
    if proof.expiration_time is not None:
        expires_us = _time_us(proof.expiration_time)
        if expires_us is None:
            raise PaymentRefusedError(EXPIRATION_TIME, "expirationTime is not a time.")
        if expires_us < now_us:
            raise PaymentRefusedError(EXPIRED, "The proof has expired.")
    if proof.not_before is not None:
        begins_us = _time_us(proof.not_before)
        if begins_us is None:
            raise PaymentRefusedError(NOT_BEFORE, "notBefore is not a time.")
        if now_us < begins_us:
            raise PaymentRefusedError(NOT_YET_VALID, "The proof is not valid yet.")


def _time_us(text: str) -> int | None:
    """Microseconds since 1970 of an RFC 3339 time with its offset; None for any other text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    since = moment.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class SignIns:
    """Challenges, nonces and grants, on one journal."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str,
        stream: Stream,
        origin: Origin,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = stream
        self._origin = origin

    def challenge(self, terms: SignIn, *, path: str, networks: frozenset[str]) -> JsonObject:
        """The declaration in a 402, fresh for each: `info`, `supportedChains`, `schema`."""
        now_us = self._clock.now_us()
        uri = self._origin.text + path
        info: JsonObject = {
            "domain": self._origin.host,
            "uri": uri,
            "version": "1",
            "nonce": self._entropy.token_bytes(_NONCE_BYTES).hex(),
            "issuedAt": format_timestamp(now_us),
            "expirationTime": format_timestamp(now_us + MAX_AGE_S * 1_000_000),
            "resources": [uri],
        }
        if terms.statement is not None:
            info = {**info, "statement": terms.statement}
        chains = [{"chainId": network, "type": "eip191"} for network in sorted(networks)]
        return {"info": info, "supportedChains": chains, "schema": _SCHEMA}

    async def admit(self, header: str, *, resource: str, networks: frozenset[str]) -> Visitor:
        """Let in whoever proves that he paid for this resource; uses up the nonce.

        MalformedPaymentError or PaymentRefusedError, after which the nonce is as good as before.
        """
        proof = decode_proof(header)
        now_us = self._clock.now_us()
        address = check_proof(proof, origin=self._origin, networks=networks, now_us=now_us)
        granted = await self._grant(resource, address)
        if granted is None or granted.until_s * 1_000_000 <= now_us:
            raise PaymentRefusedError(NOT_PAID, "This wallet has not paid for this resource.")
        used = SignedIn(address=address, resource=resource, domain=proof.domain, nonce=proof.nonce)
        nonce_id = derived_event_id("sign_in.nonce", self._origin.host, proof.nonce)
        try:
            appended = await self._journal.append([self._event(used, nonce_id)])
        except EventConflictError:
            raise PaymentRefusedError(NONCE, "This proof was used before.") from None
        if appended[0].duplicate:
            raise PaymentRefusedError(NONCE, "This proof was used before.")
        return Visitor(address, resource, granted.until_s)

    async def grant(self, resource: str, address: str, *, payment_id: str, until_s: int) -> None:
        """Note that a payment opens a resource. Noting the same payment again changes nothing."""
        event = AccessGranted(resource=resource, address=address, payment_id=payment_id, until_s=until_s)
        number = 0
        newest = await last_attempt(self._journal, lambda attempt: _grant_id(resource, address, attempt))
        if newest is not None:
            found = read_finance(newest[1])
            if isinstance(found, AccessGranted) and (found.payment_id == payment_id or found.until_s >= until_s):
                return
            number = newest[0] + 1
        while number < MAX_GRANTS:
            try:
                await self._journal.append([self._event(event, _grant_id(resource, address, number))])
                return
            except EventConflictError:  # another payment of the same wallet was quicker
                number += 1

    async def _grant(self, resource: str, address: str) -> AccessGranted | None:
        newest = await last_attempt(self._journal, lambda attempt: _grant_id(resource, address, attempt))
        found = None if newest is None else read_finance(newest[1])
        return found if isinstance(found, AccessGranted) else None

    def _event(self, event: AccessGranted | SignedIn, event_id: str) -> NewEvent:
        return finance_event(
            event, self._clock, self._entropy, stream=self._stream, agent_id=self._agent_id, event_id=event_id
        )


def _grant_id(resource: str, address: str, number: int) -> str:
    return derived_event_id("sign_in.grant", resource, address.lower(), str(number))


_proof: Final = msgspec.json.Decoder(Proof)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA: Final[JsonObject] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "domain": {"type": "string"},
        "address": {"type": "string"},
        "statement": {"type": "string"},
        "uri": {"type": "string", "format": "uri"},
        "version": {"type": "string"},
        "chainId": {"type": "string"},
        "type": {"type": "string"},
        "nonce": {"type": "string"},
        "issuedAt": {"type": "string", "format": "date-time"},
        "expirationTime": {"type": "string", "format": "date-time"},
        "notBefore": {"type": "string", "format": "date-time"},
        "requestId": {"type": "string"},
        "resources": {"type": "array", "items": {"type": "string", "format": "uri"}},
        "signature": {"type": "string"},
    },
    "required": ["domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt", "signature"],
}
