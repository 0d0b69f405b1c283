"""What travels as text through Spaces. Everything is checked before it is believed; whoever is in the middle may write anything.

    life-relay/1 open <jws>                      owner → node: who I am, a one-time key
    life-relay/1 accept <link> <jws>             node → owner: the same, over the opening
    life-relay/1 data <link> <number> <sealed>   both: numbered from 1, in order, sent again until acknowledged
    life-relay/1 control <link> <number> <sealed>  both: what was received; at least every ten seconds
    life-relay/1 gone <link>                     the link is not known here (any more); says nothing that needs proof

A command is a JWS of its own inside the sealed frames, so that it is the owner's statement whatever becomes of the link.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, NamedTuple, TypeVar

import msgspec

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.crypto import jws
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import CryptoError
from life.spaces.relay.errors import RelayExpiredError, RelayForgedError

MARK: Final = "life-relay/1"
OPEN_TYP: Final = "life-relay-open+jwt"
ACCEPT_TYP: Final = "life-relay-accept+jwt"
COMMAND_TYP: Final = "life-relay-command+jwt"
LIFETIME_S: Final = 60
"""How long an opening or a command is good."""
LEEWAY_S: Final = 30
"""What clocks may differ by."""
LINK_BYTES: Final = 16
MAX_TEXT: Final = 16 * 1024
_LINK: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,15}")

T = TypeVar("T", bound=msgspec.Struct)


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner signs to open a link."""

    link: str
    owner: str
    node: str
    key: str
    iat: int
    exp: int


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What a node signs in answer."""

    link: str
    owner: str
    node: str
    key: str
    opening_sha256: str
    iat: int


class CommandProof(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner signs for every command. `id` is the owner's, the same when it is sent again over another link."""

    id: str
    link: str
    owner: str
    node: str
    operation: str
    session: str
    arguments_sha256: str
    iat: int
    exp: int


class Text(NamedTuple):
    """An envelope, taken apart and not verified."""

    kind: str
    link: str = ""
    number: int = 0
    body: str = ""


def is_relay(text: str) -> bool:
    """Whether a message is Relay's at all."""
    return text.startswith(MARK + " ")


def parse(text: str) -> Text:
    """Take an envelope apart; RelayForgedError for anything else."""
    words = text.split(" ") if len(text) <= MAX_TEXT else []
    match words:
        case [mark, "open", token] if mark == MARK:
            return Text("open", body=token)
        case [mark, "accept", link, token] if mark == MARK and _LINK.fullmatch(link):
            return Text("accept", link, body=token)
        case [mark, ("data" | "control") as kind, link, number, body] if (
            mark == MARK and _LINK.fullmatch(link) and _NUMBER.fullmatch(number)
        ):
            return Text(kind, link, int(number), body)
        case [mark, "gone", link] if mark == MARK and _LINK.fullmatch(link):
            return Text("gone", link)
        case _:
            raise RelayForgedError("This is no envelope of Relay.")


def write(kind: str, *words: str) -> str:
    """The text of an envelope."""
    return " ".join((MARK, kind, *words))


def frame_text(kind: str, link: str, number: int, sealed: bytes) -> str:
    """The text of a sealed frame."""
    return write(kind, link, str(number), encode_base64url(sealed))


def frame_bytes(body: str) -> bytes:
    """The sealed bytes of a frame."""
    try:
        return decode_base64url(body)
    except CryptoError:
        raise RelayForgedError("A frame is no base64url.") from None


def digest(text: str | bytes) -> str:
    """SHA-256 in hex."""
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


async def sign(custody: Custody, claims: msgspec.Struct, *, typ: str) -> str:
    """The JWS of claims, by the identity's key."""
    members: JsonObject = msgspec.to_builtins(claims)
    return await custody.sign_token(members, typ=typ)


def verify(token: str, kind: type[T], *, typ: str, by: str) -> T:
    """The claims of a JWS that the key of the DID `by` signed. RelayForgedError otherwise."""
    claims, signer = verify_any(token, kind, typ=typ)
    if signer != by:
        raise RelayForgedError("The signature is somebody else's.")
    return claims


def verify_any(token: str, kind: type[T], *, typ: str) -> tuple[T, str]:
    """The claims of a JWS, and the DID whose key signed it."""
    try:
        verified = jws.verify(token, typ=typ)
        return msgspec.convert(verified.claims, kind), verified.signer.did
    except (CryptoError, msgspec.ValidationError):
        raise RelayForgedError("The signature does not hold.") from None


def check_time(issued_s: int, expires_s: int, clock: Clock) -> None:
    """RelayExpiredError when it is over, or begins in the future, or lasts for longer than anything of ours."""
    now_s = clock.now_us() // 1_000_000
    if not 0 < expires_s - issued_s <= LIFETIME_S:
        raise RelayExpiredError(f"A command is good for at most {LIFETIME_S} seconds.")
    if now_s > expires_s + LEEWAY_S:
        raise RelayExpiredError(
            "The command came too late.", next_step="Ask again; compare the clocks of both machines."
        )
    if issued_s > now_s + LEEWAY_S:
        raise RelayExpiredError("The command is from the future.", next_step="Compare the clocks of both machines.")


def read_key(text: str) -> bytes:
    """A one-time public key; RelayForgedError."""
    key = frame_bytes(text)
    if len(key) != 32:
        raise RelayForgedError("A one-time key has 32 bytes.")
    return key
