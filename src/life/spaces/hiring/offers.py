"""The words of a hire: what stands in the body of its task, who signed it, and the digest that the house keeps.

The customer signs the offer, the worker what it takes on and what it delivers; a signature is a message's (life.spaces.signatures) at the
place `hire:<id>`. An offer holds no time, so that making it again after a crash gives the same bytes. Whatever a body says is checked
against the house before it counts.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import msgspec

from life.aios.errors import LifeError
from life.crypto import jws
from life.crypto.errors import CryptoError
from life.spaces.errors import TooLongError
from life.spaces.hiring.errors import HireRefusedError, OfferForgedError
from life.spaces.identity import identity_of
from life.spaces.signatures import TYP, MessageClaims, claims_for

CONTEXT: Final = "hire"
"""`context_id` of hires and questions."""
MAX_TITLE: Final = 120
MAX_TASK: Final = 16_000
MAX_RESULT: Final = 40_000
MAX_REASON: Final = 1_000
MAX_BODY_BYTES: Final = 250_000
MAX_DEADLINE_S: Final = 30 * 86_400
MAX_REVIEW_S: Final = 30 * 86_400

Kind = Literal["hire", "question"]
T = TypeVar("T", bound=msgspec.Struct)
Micro = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=30 * 86_400)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
Signature = Annotated[str, msgspec.Meta(max_length=8_192)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and what it is worth. Identities are 64 hex digits. Whoever wrote it, nothing in it is longer or larger than this."""

    hire_id: Name
    kind: Kind
    customer: Name
    worker: Name
    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE)]
    task: Annotated[str, msgspec.Meta(max_length=MAX_TASK)]
    price_micro: Micro = 0
    currency: Literal["USDC"] = "USDC"
    deadline_s: Seconds = 0
    review_s: Seconds = 0
    house: Name = ""

    def text(self) -> str:
        """Its one form: what is signed, and hashed."""
        return msgspec.json.encode(self, order="deterministic").decode()

    def digest(self) -> str:
        """SHA-256, in hex."""
        return sha256(self.text().encode()).hexdigest()


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The worker took it on."""

    signature: Signature


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker made."""

    result: Annotated[str, msgspec.Meta(max_length=MAX_RESULT)]
    signature: Signature


class TaskBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of the task's row."""

    offer: Offer
    signature: Signature
    """The customer's, over the offer."""
    taken: Taken | None = None
    delivered: Delivery | None = None
    reason: Reason = ""
    """Why the worker declined."""


class Proven(NamedTuple):
    """A signature that holds."""

    key_did: str
    is_root: bool
    """The key is the one that the identity itself follows from; otherwise it is one that the engine saw it log in with."""


def place_of_hire(hire_id: str) -> str:
    """Where the words of a hire are signed."""
    return f"hire:{hire_id}"


def taken_text(offer: Offer) -> str:
    """What a worker signs when it takes a hire on."""
    return f"taken {offer.digest()}"


def delivered_text(offer: Offer, result: str) -> str:
    """What a worker signs when it delivers."""
    return f"delivered {offer.digest()} {sha256(result.encode(errors='replace')).hexdigest()}"


def encode_body(body: TaskBody) -> str:
    """The JSON; TooLongError when a row could not hold it."""
    encoded = msgspec.json.encode(body)
    if len(encoded) > MAX_BODY_BYTES:
        raise TooLongError(f"What a task says has at most {MAX_BODY_BYTES} bytes.")
    return encoded.decode()


def read_body(text: str) -> TaskBody | None:
    """The body of a hire or question; None for a task of another kind, and for one that no hire may be."""
    try:
        return msgspec.json.decode(text, type=TaskBody)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def check_words(text: str, limit: int, *, what: str) -> str:
    """`text`, when it has 1 to `limit` characters and no lone surrogates; HireRefusedError."""
    if not text.strip() or len(text) > limit:
        raise HireRefusedError(f"The {what} has 1 to {limit} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise HireRefusedError(f"The {what} is not text that can be written.") from None
    return text


def check_signed(
    signature: str, content: str, *, hire_id: str, sender: str, root_did: str, keys: frozenset[str]
) -> Proven:
    """Who signed `content` for this hire. OfferForgedError unless it was `sender`: by the key that its identity follows from, or by one of
    `keys`, which the engine saw it log in with."""
    try:
        verified = jws.verify(signature, typ=TYP)
        claims = msgspec.convert(verified.claims, MessageClaims)
    except (CryptoError, LifeError, msgspec.ValidationError):
        raise OfferForgedError("A signature on this hire does not hold.") from None
    expected = claims_for(
        sender=sender, place=place_of_hire(hire_id), client_id=hire_id, content=content, now_s=claims.iat
    )
    key = verified.signer.did
    is_root = key == root_did and identity_of(root_did) == sender
    if claims != expected or not (is_root or key in keys):
        raise OfferForgedError("A signature on this hire is over something else, or by somebody else.")
    return Proven(key, is_root)
