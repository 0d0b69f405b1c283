"""Challenges as offers of the payer, so that one policy, one reservation and one set of books stand behind both rails.

A challenge that can be taken becomes an offer of x402's scheme `exact` that carries its challenge (`mpp`): reserved, signed
and booked like any other. Three things differ:

    nonce      is the challenge's hash, not chance: the seller knows by it which challenge was paid
    header     the credential goes into `Authorization: Payment` (or where the challenge says)
    receipt    `Payment-Receipt` says that it was settled

A challenge names its realm, and the realm is signed. It must be the host that is asked (`example.org`, `example.org:8443` or
`https://example.org`), or one that the payer was told to trust for it: else a host could pass on somebody else's challenge
and spend what we pay there. A challenge that is bound to a request's body (`digest`) must be bound to ours.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw

from life.aios.ports.custody import TransferAuthorization
from life.haima.errors import MalformedPaymentError, NoAcceptableTermsError
from life.haima.mpp.challenge import Challenge, body_digest, expiry_s, parse_challenges
from life.haima.mpp.credential import Credential, Echo, decode_receipt, echo_of, encode_credential
from life.haima.mpp.evm import EXACT, INTENT, METHOD, challenge_nonce, payload_of, read_request, source_of
from life.haima.x402.networks import NetworkRegistry
from life.haima.x402.wire import PaymentRequirements, SettlementResponse, to_raw

RAIL: Final = "mpp"
"""`rail` of a reservation that pays a challenge."""

LEAST_TIME_S: Final = 10
"""A challenge that expires sooner is not worth signing for."""
DEFAULT_TIME_S: Final = 300
"""How long a payment is good for a challenge that does not say when it expires."""
MAX_TIME_S: Final = 24 * 3600

_FIELD: Final = b"WWW-Authenticate: "
_BOUND_TO_ROUTE: Final = b'"mppx"'


class _Offer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """An offer of x402 with its challenge beside it."""

    scheme: str
    network: str
    amount: str
    asset: str
    pay_to: str
    max_timeout_seconds: int
    extra: dict[str, object] | None
    mpp: Echo


class _Accepted(msgspec.Struct, frozen=True, gc=False):
    mpp: Echo


_accepted: Final = msgspec.json.Decoder(_Accepted)


def challenge_terms(value: str) -> bytes | None:
    """The terms of a 402 whose WWW-Authenticate field has payment challenges; None when it has none. `is_challenge_terms`
    knows them."""
    return _FIELD + value.encode("latin-1", "replace") if parse_challenges(value) else None


def is_challenge_terms(terms: str | bytes) -> bool:
    """Whether these terms are challenges (a JSON body never begins so)."""
    return isinstance(terms, bytes) and terms.startswith(_FIELD)


def wants_challenge(required: str) -> bool:
    """Whether a seller that asks on both rails takes plain x402 payments only from clients that sign its own route binding
    (extension `mppx`): then the challenge is what it settles."""
    try:
        return _BOUND_TO_ROUTE in binascii.a2b_base64(required)
    except ValueError:  # binascii.Error, and text that is not ASCII
        return False


def read_challenge_terms(
    terms: str | bytes,
    *,
    url: str,
    body: bytes,
    registry: NetworkRegistry,
    now_s: int,
    realms: Mapping[str, str] | None = None,
) -> tuple[tuple[Raw, PaymentRequirements], ...]:
    """The offers in these terms that a payer can take for this request, with what to echo. `realms`: origin
    (`https://host`) → a realm that is trusted there. NoAcceptableTermsError says why there is none."""
    offers: list[tuple[Raw, PaymentRequirements]] = []
    obstacles: list[str] = []
    field = terms.encode("latin-1", "replace") if isinstance(terms, str) else terms
    for challenge in parse_challenges(field.removeprefix(_FIELD).decode("latin-1")):
        try:
            _check(challenge, url=url, body=body, realms=realms or {})
            offers.append(_offer(challenge, registry, now_s))
        except MalformedPaymentError as obstacle:
            obstacles.append(obstacle.message)
    if not offers:
        why = "; ".join(dict.fromkeys(obstacles)) or "it makes no offer that can be read"
        raise NoAcceptableTermsError(f"The resource wants money, but no challenge can be taken: {why}.")
    return tuple(offers)


def nonce_of(accepted: Raw) -> str:
    """The nonce with which the accepted challenge is paid, `0x` and hex."""
    return "0x" + challenge_nonce(_echo(accepted).challenge()).hex()


def credential_name(accepted: Raw) -> str:
    """The header in which the accepted challenge wants its credential."""
    return _echo(accepted).challenge().credential_header


def credential_header(accepted: Raw, authorization: TransferAuthorization, signature: bytes) -> str:
    """Its value: the same payment always gives the same text."""
    return encode_credential(
        Credential(
            challenge=_echo(accepted),
            payload=payload_of(authorization, signature),
            source=source_of(authorization),
        )
    )


def receipt_settlement(value: str | None, network: str) -> SettlementResponse | None:
    """What a Payment-Receipt says, in x402's words; None when there is none that can be read."""
    if value is None:
        return None
    try:
        receipt = decode_receipt(value)
    except MalformedPaymentError:
        return None
    return SettlementResponse(success=True, transaction=receipt.reference, network=network)


def _check(challenge: Challenge, *, url: str, body: bytes, realms: Mapping[str, str]) -> None:
    """MalformedPaymentError when the challenge is not for us, this host and this request."""
    if (challenge.method, challenge.intent) != (METHOD, INTENT):
        raise MalformedPaymentError(
            f"the method {challenge.method[:32]!r} ({challenge.intent[:32]!r}) is not one of this payer's"
        )
    origin, names = _names(url)
    if challenge.realm.lower() not in names and realms.get(origin) != challenge.realm:
        raise MalformedPaymentError(f"the challenge is of the realm {challenge.realm[:64]!r}, and {origin} was asked")
    if challenge.digest is not None and not hmac.compare_digest(challenge.digest.encode(), body_digest(body).encode()):
        raise MalformedPaymentError("the challenge is bound to another body than this request's")


def _offer(challenge: Challenge, registry: NetworkRegistry, now_s: int) -> tuple[Raw, PaymentRequirements]:
    request = read_request(challenge)
    time_s = DEFAULT_TIME_S
    if challenge.expires is not None:
        expires_s = expiry_s(challenge.expires)
        if expires_s is None:
            raise MalformedPaymentError("nobody can say when the challenge expires")
        time_s = min(expires_s - now_s, MAX_TIME_S)
    if time_s < LEAST_TIME_S:
        raise MalformedPaymentError("the challenge has expired")
    token = registry.token(request.network, request.currency)
    if token is not None and token.decimals != request.method_details.decimals:
        raise MalformedPaymentError("the challenge has the token's decimals wrong")
    extra: dict[str, object] | None = None if token is None else {"name": token.name, "version": token.version}
    offer = _Offer(
        scheme=EXACT,
        network=request.network,
        amount=request.amount,
        asset=request.currency,
        pay_to=request.recipient,
        max_timeout_seconds=time_s,
        extra=extra,
        mpp=echo_of(challenge),
    )
    requirements = PaymentRequirements(
        scheme=EXACT,
        network=request.network,
        amount=request.amount,
        asset=request.currency,
        pay_to=request.recipient,
        max_timeout_seconds=time_s,
        extra=extra,  # type: ignore[arg-type]
    )
    return to_raw(offer), requirements


def _names(url: str) -> tuple[str, frozenset[str]]:
    """The origin of a URL, and what its realm may be called, in lower case."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = parts.port or usual
    origin = f"{parts.scheme}://{host}" if port == usual else f"{parts.scheme}://{host}:{port}"
    return origin, frozenset((host, f"{host}:{port}", origin))


def _echo(accepted: Raw) -> Echo:
    return _accepted.decode(accepted).mpp


__all__ = [
    "RAIL",
    "challenge_terms",
    "credential_header",
    "credential_name",
    "is_challenge_terms",
    "nonce_of",
    "read_challenge_terms",
    "receipt_settlement",
    "wants_challenge",
]
