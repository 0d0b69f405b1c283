"""Signed messages: a compact JWS by the sender's key over the canonical message (spaces.md §13).

Header `{"alg": "ES256", "typ": "spaces-message+jwt", "kid": <did:key>}`; claims `sender`, `place` (`channel:12`, `thread:7` or
`conversation:3`), `client_id`, `content_sha256` and `iat`. Required in agent logs, optional elsewhere; verified when the message is written
and again when it is read. The key must be one that the sender has logged in with.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from life.crypto import jws
from life.crypto.did import DidKey
from life.crypto.errors import CryptoError
from life.spaces.errors import InvalidArgumentError
from life.spaces.model import DirectMessage, Message, UserKey
from life.spaces.state import State

TYP: Final = "spaces-message+jwt"
MAX_SIGNATURE: Final = 2048
CLOCK_TOLERANCE_S: Final = 600
"""How far a signature's time may be from the server's when the message is written."""


class MessageClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender signs."""

    sender: str
    place: str
    client_id: str
    content_sha256: str
    iat: int


def place_of(*, channel_id: int = 0, thread_id: int = 0, conversation_id: int = 0) -> str:
    """Where a message stands, as it is signed."""
    if conversation_id:
        return f"conversation:{conversation_id}"
    return f"thread:{thread_id}" if thread_id else f"channel:{channel_id}"


def claims_for(*, sender: str, place: str, client_id: str, content: str, now_s: int) -> MessageClaims:
    """The claims of a message."""
    return MessageClaims(
        sender=sender,
        place=place,
        client_id=client_id,
        content_sha256=sha256(content.encode()).hexdigest(),
        iat=now_s,
    )


def sign_message(claims: MessageClaims, *, key: DidKey, signer: jws.Signer) -> str:
    """The JWS of a message, by the private half of `key`."""
    return jws.sign(claims, key=key, typ=TYP, signer=signer)


def check_signature(
    state: State, signature: str, *, sender: str, place: str, client_id: str | None, content: str, now_us: int | None
) -> None:
    """InvalidArgumentError unless `signature` is the sender's over exactly this. `now_us` None does not look at the time."""
    if len(signature) > MAX_SIGNATURE or client_id is None:
        raise InvalidArgumentError("A signed message has a client_id, and a signature of at most 2048 characters.")
    try:
        verified = jws.verify(signature, typ=TYP)
        claims = msgspec.convert(verified.claims, MessageClaims)
    except (CryptoError, msgspec.ValidationError):
        raise InvalidArgumentError("The message's signature does not hold.") from None
    expected = claims_for(sender=sender, place=place, client_id=client_id, content=content, now_s=claims.iat)
    if claims != expected:
        raise InvalidArgumentError("The signature is over another message.")
    if state.get(UserKey, (sender, verified.signer.did)) is None:
        raise InvalidArgumentError("The signature was made by a key that is not known as the sender's.")
    if now_us is not None and abs(now_us // 1_000_000 - claims.iat) > CLOCK_TOLERANCE_S:
        raise InvalidArgumentError("The signature's time is too far from now.")


def is_genuine(state: State, message: Message | DirectMessage) -> bool:
    """Whether a stored message's signature holds; False for one without."""
    if message.signature is None:
        return False
    if isinstance(message, Message):
        place = place_of(channel_id=message.channel_id, thread_id=message.thread_id)
    else:
        place = place_of(conversation_id=message.conversation_id)
    try:
        check_signature(
            state,
            message.signature,
            sender=message.sender,
            place=place,
            client_id=message.client_id,
            content=message.content,
            now_us=None,
        )
    except InvalidArgumentError:
        return False
    return True
