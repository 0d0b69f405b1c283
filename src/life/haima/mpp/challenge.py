"""What a server of the Machine Payments Protocol asks for: challenges of the HTTP authentication scheme `Payment`.

    WWW-Authenticate: Payment id="…", realm="…", method="evm", intent="charge", request="<base64url>", expires="…"

`request` is JSON in its canonical form (RFC 8785), base64url without padding; what it says depends on the method. The id is
an HMAC over everything else, so a server knows its own challenges without keeping them. Parsing follows RFC 9110, section
11: several challenges, also of other schemes, may share a field, and a field may be repeated. A challenge that can't be read
does not spoil the others.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from life.aios.json import JsonObject
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import InvalidEncodingError
from life.haima.errors import MalformedPaymentError

SCHEME: Final = "Payment"
WWW_AUTHENTICATE: Final = "WWW-Authenticate"
AUTHORIZATION: Final = "Authorization"
PAYMENT_AUTHORIZATION: Final = "Payment-Authorization"
"""Where credentials go when `Authorization` is the application's own; the challenge says so."""

MAX_FIELD_CHARS: Final = 64 * 1024
MAX_OBJECT_CHARS: Final = 16 * 1024
"""Longest encoded `request` or `opaque`: what the official packages read."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_METHOD: Final = re.compile(r"[a-z][a-z0-9:_-]*")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")
_object: Final = msgspec.json.Decoder(dict[str, object])
_encoder: Final = msgspec.json.Encoder(order="deterministic")


class Challenge(NamedTuple):
    """One challenge, with `request` and `opaque` as they stand on the wire."""

    id: str
    realm: str
    method: str
    intent: str
    request: str
    expires: str | None = None
    """RFC 3339."""
    digest: str | None = None
    """`sha-256=<base64>` of the request's body, when it is bound to one."""
    opaque: str | None = None
    """The server's own notes, to be echoed."""
    header: str | None = None
    """Where the credential goes, when that is not `Authorization`."""
    description: str | None = None

    @property
    def credential_header(self) -> str:
        """The header that carries the credential."""
        return self.header or AUTHORIZATION


def encode_object(content: JsonObject) -> str:
    """Canonical JSON (RFC 8785), base64url. Only text, whole numbers, booleans, lists and objects with ASCII keys."""
    return encode_base64url(_encoder.encode(content))


def decode_object(text: str, *, limit: int = MAX_OBJECT_CHARS) -> JsonObject:
    """A JSON object from base64url; MalformedPaymentError for anything else."""
    if len(text) > limit:
        raise MalformedPaymentError("A part of the payment challenge is too long.")
    try:
        content: JsonObject = _object.decode(decode_base64url(text.rstrip("=")))  # type: ignore[assignment]
    except (InvalidEncodingError, msgspec.DecodeError, RecursionError):
        raise MalformedPaymentError("A part of the payment challenge is no base64url of a JSON object.") from None
    return content


def challenge_id(secret: bytes, challenge: Challenge) -> str:
    """The id that the holder of `secret` gives this challenge: HMAC-SHA256 over its parts, joined by '|', base64url. A part
    that is absent is empty; the header is left out when it is the usual one."""
    parts = [
        challenge.realm,
        challenge.method,
        challenge.intent,
        challenge.request,
        challenge.expires or "",
        challenge.digest or "",
    ]
    if challenge.header is not None and challenge.header.lower() != AUTHORIZATION.lower():
        parts.append(challenge.header)
    parts.append(challenge.opaque or "")
    return encode_base64url(hmac.digest(secret, "|".join(parts).encode(), hashlib.sha256))


def is_ours(secret: bytes, challenge: Challenge) -> bool:
    """Whether the holder of `secret` made this challenge, every part of it."""
    return hmac.compare_digest(challenge_id(secret, challenge).encode(), challenge.id.encode())


def format_challenge(challenge: Challenge) -> str:
    """The field's value. MalformedPaymentError unless every part is printable ASCII."""
    named = (
        ("id", challenge.id),
        ("realm", challenge.realm),
        ("method", challenge.method),
        ("intent", challenge.intent),
        ("request", challenge.request),
        ("expires", challenge.expires),
        ("digest", challenge.digest),
        ("description", challenge.description),
        ("header", challenge.header),
        ("opaque", challenge.opaque),
    )
    return f"{SCHEME} " + ", ".join(f'{name}="{_quote(value)}"' for name, value in named if value is not None)


def parse_challenges(value: str) -> tuple[Challenge, ...]:
    """The payment challenges in a WWW-Authenticate field, or in several that were joined by commas."""
    if len(value) > MAX_FIELD_CHARS:
        return ()
    found = []
    for parameters in _payment_parameters(value):
        challenge = _challenge(parameters)
        if challenge is not None:
            found.append(challenge)
    return tuple(found)


def expiry_s(expires: str | None) -> int | None:
    """An RFC 3339 time with its offset as Unix seconds, rounded down; None when it is none."""
    if expires is None or len(expires) > 40:
        return None
    try:
        moment = datetime.fromisoformat(expires)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    try:
        return int(moment.timestamp() // 1)
    except (OverflowError, OSError):
        return None


def format_time(time_us: int) -> str:
    """RFC 3339 in UTC with milliseconds, as the official packages write it."""
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_us // 1000 % 1000:03d}Z"


def body_digest(body: bytes) -> str:
    """What `digest` says of a request's body."""
    return "sha-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


# --- the field's grammar ----------------------------------------------------------------------------------------------


def _payment_parameters(value: str) -> list[dict[str, str] | None]:
    """The parameters of every challenge of our scheme; None for one that breaks the grammar."""
    found: list[dict[str, str] | None] = []
    current: dict[str, str] | None = None
    """The parameters of the scheme that is being read; None before the first."""
    is_payment = False
    at = 0
    while True:
        while at < len(value) and value[at] in " \t,":
            at += 1
        token = _TOKEN.match(value, at)
        if token is None:
            if at < len(value):
                _spoil(found, is_payment)
            return found
        at = token.end()
        after = _skip_blanks(value, at)
        if current is not None and value[after : after + 1] == "=" and not _is_padding(value, after):
            text, at = _value(value, after + 1)
            if text is None:
                _spoil(found, is_payment)
                return found
            name = token[0].lower()
            if name in current:
                _spoil(found, is_payment)
            current[name] = text
            continue
        current = {}
        is_payment = token[0].lower() == SCHEME.lower()
        if is_payment:
            found.append(current)
            continue
        # Another scheme may carry one token68 instead of parameters.
        other = _TOKEN68.match(value, after)
        if other is not None and after > at and _ends(value, other.end()):
            at = other.end()


_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def _is_padding(value: str, at: int) -> bool:
    """Whether this '=' ends a token68 and gives no parameter its value."""
    end = at
    while end < len(value) and value[end] == "=":
        end += 1
    return _ends(value, end)


def _ends(value: str, at: int) -> bool:
    at = _skip_blanks(value, at)
    return at == len(value) or value[at] == ","


def _skip_blanks(value: str, at: int) -> int:
    while at < len(value) and value[at] in " \t":
        at += 1
    return at


def _value(value: str, at: int) -> tuple[str | None, int]:
    at = _skip_blanks(value, at)
    quoted = _QUOTED.match(value, at)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
    token = _TOKEN68.match(value, at) or _TOKEN.match(value, at)
    return (None, at) if token is None else (token[0], token.end())


def _spoil(found: list[dict[str, str] | None], is_payment: bool) -> None:
    if is_payment and found:
        found[-1] = None


def _challenge(parameters: dict[str, str] | None) -> Challenge | None:
    if parameters is None or any(_PRINTABLE.fullmatch(value) is None for value in parameters.values()):
        return None
    if not all(parameters.get(name) for name in ("id", "realm", "method", "intent", "request")):
        return None
    if _METHOD.fullmatch(parameters["method"]) is None:
        return None
    header = parameters.get("header")
    if header is not None and header.lower() == AUTHORIZATION.lower():
        header = None
    if header is not None and header.lower() != PAYMENT_AUTHORIZATION.lower():
        return None  # a credential in any other header may be logged or forwarded by what is in between
    return Challenge(
        id=parameters["id"],
        realm=parameters["realm"],
        method=parameters["method"],
        intent=parameters["intent"],
        request=parameters["request"],
        expires=parameters.get("expires"),
        digest=parameters.get("digest"),
        opaque=parameters.get("opaque"),
        header=header,
        description=parameters.get("description"),
    )


def _quote(value: str) -> str:
    if _PRINTABLE.fullmatch(value) is None:
        raise MalformedPaymentError("A payment challenge is made of printable ASCII.")
    return value.replace("\\", "\\\\").replace('"', '\\"')


__all__ = [
    "AUTHORIZATION",
    "PAYMENT_AUTHORIZATION",
    "WWW_AUTHENTICATE",
    "Challenge",
    "body_digest",
    "challenge_id",
    "decode_object",
    "encode_object",
    "expiry_s",
    "format_challenge",
    "format_time",
    "is_ours",
    "parse_challenges",
]
