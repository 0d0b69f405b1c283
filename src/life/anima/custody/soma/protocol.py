"""What is said on somad's socket: frames, requests, replies, errors (AN-SOMA-1, AN-SOMA-4).

A frame is a length of four bytes, big-endian, and that many bytes of JSON. A client may send many requests without waiting;
the replies come back with the requests' `id`, in order.

    {"op": "sign_authorization", "id": 7, "agent": "alice", "authorization": [...]}
    {"id": 7, "signature": "base64"}           or          {"id": 7, "error": {"code": "custody.policy_denied", ...}}

Typed requests travel as arrays in the order of the fields in `life.aios.ports.custody`; bytes are base64, amounts JSON
integers of any size. There is no operation that takes a digest: the oracle hashes what it was shown and judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeVar

import msgspec

from life.aios import errors as aios_errors
from life.aios.errors import LifeError
from life.aios.ports.custody import (
    EvmTransaction,
    PermitTransfer,
    SaleOffer,
    SaleReceipt,
    TokenPermit,
    TransferAuthorization,
)
from life.anima import errors as anima_errors
from life.anima.custody import errors as custody_errors
from life.anima.errors import CustodyProtocolError, UnsupportedOperationError

HEADER_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 128 * 1024
"""More than the largest message in base64 needs."""

OracleOperation = Literal[
    "sign_token",
    "sign_message",
    "sign_authorization",
    "sign_permit",
    "sign_transaction",
    "sign_sale_document",
    "sign_cancellation",
    "rotate",
]
"""What a rule of the policy may allow."""
AdminOperation = Literal["provision", "adopt", "disable", "enable", "list", "grant"]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    """What every request has: a number that its reply repeats, and the agent whose key it is about."""

    id: int = 0
    agent: str = ""


class Describe(Request, frozen=True, kw_only=True, tag="describe"):
    """What this caller may do with the agent's keys, and the public names."""


class SignToken(Request, frozen=True, kw_only=True, tag="sign_token"):
    """A token over `claims`."""

    claims: dict[str, object]
    typ: str = "JWT"


class SignMessage(Request, frozen=True, kw_only=True, tag="sign_message"):
    """A personal message."""

    message: bytes


class SignAuthorization(Request, frozen=True, kw_only=True, tag="sign_authorization"):
    """A payment by EIP-3009."""

    authorization: TransferAuthorization


class SignCancellation(Request, frozen=True, kw_only=True, tag="sign_cancellation"):
    """That an unused payment by EIP-3009 must not happen any more."""

    authorization: TransferAuthorization


class SignPermit(Request, frozen=True, kw_only=True, tag="sign_permit"):
    """A payment by Permit2."""

    permit: PermitTransfer


class SignTokenPermit(Request, frozen=True, kw_only=True, tag="sign_token_permit"):
    """The allowance that goes with a payment by Permit2; allowed to whoever may `sign_permit`."""

    permit: TokenPermit


class SignTransaction(Request, frozen=True, kw_only=True, tag="sign_transaction"):
    """An EIP-1559 transaction."""

    transaction: EvmTransaction


class SignSaleOffer(Request, frozen=True, kw_only=True, tag="sign_sale_offer"):
    """What a seller offers; allowed to whoever may `sign_sale_document`."""

    document: SaleOffer


class SignSaleReceipt(Request, frozen=True, kw_only=True, tag="sign_sale_receipt"):
    """That a seller was paid; allowed to whoever may `sign_sale_document`."""

    document: SaleReceipt


class RotationStep(Request, frozen=True, kw_only=True, tag="rotation"):
    """One step of replacing the identity key; `links` (JSON) are the whole chain with its proofs, for `commit`."""

    step: Literal["prepared", "prepare", "commit", "discard"]
    links: str = "[]"


class SignPrepared(Request, frozen=True, kw_only=True, tag="sign_prepared"):
    """A token by the prepared key: that it agrees to the rotation, or the seal of soul.json."""

    claims: dict[str, object]
    typ: str = "JWT"


class Provision(Request, frozen=True, kw_only=True, tag="provision"):
    """Make keys and soul for `agent`, or show those there are. Limits in micro-credits; None: the soul's defaults."""

    name: str | None = None
    mission: str | None = None
    chain: str | None = None
    max_per_tx_micro: int | None = None
    max_per_session_micro: int | None = None
    max_lifetime_micro: int | None = None


class Adopt(Request, frozen=True, kw_only=True, tag="adopt"):
    """Take over keys that were made elsewhere, with their soul (JSON) and the proofs of its rotations (JSON)."""

    soul: str
    chain: str
    auth_seed: bytes
    wallet_seed: bytes
    rotations: str = "[]"

    def __repr__(self) -> str:
        return f"<Adopt {self.agent}>"


class Disable(Request, frozen=True, kw_only=True, tag="disable"):
    """Sign nothing for `agent` any more, until `enable`."""


class Enable(Request, frozen=True, kw_only=True, tag="enable"):
    """Take a `disable` back."""


class Grant(Request, frozen=True, kw_only=True, tag="grant"):
    """A permit for a remote caller to use `agent` for `operations`; what the policy does not allow it, it still can't do."""

    did: str
    operations: tuple[OracleOperation, ...]
    lifetime_s: int


class ListAgents(Request, frozen=True, kw_only=True, tag="list"):
    """Every agent with its public names."""


SigningRequest = (
    SignToken
    | SignMessage
    | SignAuthorization
    | SignCancellation
    | SignPermit
    | SignTokenPermit
    | SignTransaction
    | SignSaleOffer
    | SignSaleReceipt
)
AnyRequest = (
    Describe | SigningRequest | RotationStep | SignPrepared | Provision | Adopt | Disable | Enable | ListAgents | Grant
)


class AgentFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public half of an agent's identity, as its oracle holds it."""

    agent: str
    did: str
    wallet_address: str
    chain: str
    operations: tuple[OracleOperation, ...] = ()
    """What the caller may have signed."""
    soul: str = ""
    """The soul's JSON, for `describe`."""
    rotations: str = "[]"
    """The rotations that lead from the soul's root key to `did`, as JSON, for `describe`."""
    created: bool = False
    disabled: bool = False


class ReplyError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why nothing was signed."""

    code: str
    message: str
    next_step: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the request with the same `id`."""

    id: int
    token: str | None = None
    signature: bytes | None = None
    agents: tuple[AgentFacts, ...] | None = None
    oracle: str | None = None
    """The oracle's DID, beside a permit in `token`."""
    error: ReplyError | None = None


R = TypeVar("R", bound=msgspec.Struct)

_REQUESTS: Final[msgspec.json.Decoder[AnyRequest]] = msgspec.json.Decoder(AnyRequest)
_REPLIES: Final = msgspec.json.Decoder(Reply)
_ENCODER: Final = msgspec.json.Encoder()


def encode(message: AnyRequest | Reply) -> bytes:
    """The JSON of a request or a reply."""
    return _ENCODER.encode(message)


def frame(content: bytes) -> bytes:
    """`content` with its length before it."""
    return len(content).to_bytes(HEADER_BYTES, "big") + content


def decode_request(content: bytes | bytearray | memoryview) -> AnyRequest:
    """A request; CustodyProtocolError when it is none."""
    try:
        return _REQUESTS.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CustodyProtocolError(f"This is no request: {error}.") from None


def decode_reply(content: bytes | bytearray | memoryview) -> Reply:
    """A reply; CustodyProtocolError when it is none."""
    try:
        return _REPLIES.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise CustodyProtocolError("The oracle's answer is not in its format.") from None


def take_frames(buffer: bytearray, *, limit: int | None = None) -> Iterator[bytes]:
    """The whole frames at the start of `buffer`, which are taken out of it, at most `limit`.

    CustodyProtocolError for a frame that is empty or longer than `MAX_FRAME_BYTES`, as soon as its length is known.
    """
    start, taken = 0, 0
    try:
        while len(buffer) - start >= HEADER_BYTES and (limit is None or taken < limit):
            length = int.from_bytes(buffer[start : start + HEADER_BYTES], "big")
            if not 0 < length <= MAX_FRAME_BYTES:
                raise CustodyProtocolError(f"A frame has 1 to {MAX_FRAME_BYTES} bytes.")
            end = start + HEADER_BYTES + length
            if end > len(buffer):
                return
            content = bytes(buffer[start + HEADER_BYTES : end])
            start, taken = end, taken + 1
            yield content
    finally:
        del buffer[:start]


def _codes(*modules: object) -> dict[str, type[LifeError]]:
    """Every error of these modules by its code, as far as a message is all it needs."""
    return {
        kind.code: kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, LifeError) and kind.__init__ is LifeError.__init__
    }


_ERRORS: Final = _codes(aios_errors, anima_errors, custody_errors)


def error_reply(request_id: int, error: LifeError) -> Reply:
    """The reply that tells of `error`."""
    said = ReplyError(code=error.code, message=error.message, next_step=error.next_step)
    return Reply(id=request_id, error=said)


def status_of(reply: Reply) -> int:
    """The HTTP status of a reply: 200, or that of its error."""
    if reply.error is None:
        return 200
    kind = _ERRORS.get(reply.error.code)
    return 400 if kind is None else kind.status


def raise_refusal(reply: Reply) -> None:
    """Raise what the oracle refused with, as the same kind of error; nothing when it did not refuse."""
    refusal = reply.error
    if refusal is None:
        return
    kind = _ERRORS.get(refusal.code)
    if kind is None:
        raise CustodyProtocolError(f"The oracle refuses with an unknown error, {refusal.code}: {refusal.message}")
    raise kind(refusal.message, next_step=refusal.next_step)


def operation_of(request: SigningRequest) -> OracleOperation:
    """Which operation of the policy a signing request is."""
    match request:
        case SignToken():
            return "sign_token"
        case SignMessage():
            return "sign_message"
        case SignAuthorization():
            return "sign_authorization"
        case SignCancellation():
            return "sign_cancellation"
        case SignPermit() | SignTokenPermit():
            return "sign_permit"
        case SignTransaction():
            return "sign_transaction"
        case SignSaleOffer() | SignSaleReceipt():
            return "sign_sale_document"
    raise UnsupportedOperationError("The oracle does not know this operation.")
