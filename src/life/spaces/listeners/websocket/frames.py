"""The frames of the protocol. Every frame is one JSON object with `op`, or an array of several; what answers a request carries its `id`.

Client to server: login, renew, call, query, subscribe, unsubscribe, presence, who, kick, ping.
Server to client: welcome, result, answer, rows, update, transient, who, kicked, error, ended, pong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.spaces.commands import COMMANDS, Command
from life.spaces.engine.port import Presence, Update
from life.spaces.errors import InvalidArgumentError, SpacesError
from life.spaces.events import RemovedRow
from life.spaces.model import AnyRow, PresenceState, Row
from life.spaces.queries import AnyQuery, TableQuery, UnreadCount

VERSION: Final = 1
MAX_FRAME_BYTES: Final = 512 * 1024
"""The longest frame that either side takes; a longer one ends the connection (1009)."""
ROWS_PER_FRAME: Final = 500
BATCH_CHARACTERS: Final = 64 * 1024
"""About how long an array of updates gets."""
MAX_TOPICS: Final = 50

_Id = int


class ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """What a client sends."""


class LoginFrame(ClientFrame, frozen=True, kw_only=True, tag="login"):
    """The first frame, unless the upgrade carried the token: who I am."""

    token: str


class RenewFrame(ClientFrame, frozen=True, kw_only=True, tag="renew"):
    """A fresh token of the same identity prolongs the lease."""

    id: _Id
    token: str


class CallFrame(ClientFrame, frozen=True, kw_only=True, tag="call"):
    """Carry out a command."""

    id: _Id
    command: msgspec.Raw
    key: str | None = None
    trace_id: str | None = None


class QueryFrame(ClientFrame, frozen=True, kw_only=True, tag="query"):
    """Answer a question."""

    id: _Id
    query: AnyQuery


class SubscribeFrame(ClientFrame, frozen=True, kw_only=True, tag="subscribe"):
    """Topics and table queries; `since` resumes without rows, `latest` bounds the messages per topic."""

    id: _Id
    topics: tuple[str, ...] = ()
    queries: tuple[TableQuery, ...] = ()
    since: int | None = None
    latest: int = 50


class UnsubscribeFrame(ClientFrame, frozen=True, kw_only=True, tag="unsubscribe"):
    """End the subscription that was opened under this id."""

    id: _Id


class PresenceFrame(ClientFrame, frozen=True, kw_only=True, tag="presence"):
    """A heartbeat, every ten seconds."""

    state: PresenceState = "online"
    status_text: str = ""


class WhoFrame(ClientFrame, frozen=True, kw_only=True, tag="who"):
    """The presence of at most 200 identities."""

    id: _Id
    identities: tuple[str, ...]


class KickFrame(ClientFrame, frozen=True, kw_only=True, tag="kick"):
    """End every session of an identity, on all nodes. For the operator."""

    id: _Id
    identity: str
    reason: str = "kicked"


class PingFrame(ClientFrame, frozen=True, kw_only=True, tag="ping"):
    """Are you there?"""


AnyClientFrame = (
    LoginFrame
    | RenewFrame
    | CallFrame
    | QueryFrame
    | SubscribeFrame
    | UnsubscribeFrame
    | PresenceFrame
    | WhoFrame
    | KickFrame
    | PingFrame
)


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", omit_defaults=True):
    """What the server sends."""


class WelcomeFrame(ServerFrame, frozen=True, kw_only=True, tag="welcome"):
    """Logged in. `lease_ms` is how long until the session must be renewed."""

    version: int
    identity: str
    username: str
    session: str
    position: int
    lease_ms: int


class ResultFrame(ServerFrame, frozen=True, kw_only=True, tag="result"):
    """What became of a call (or a renewal: position 0)."""

    id: _Id
    position: int
    space_seq: int = 0
    row: AnyRow | None = None
    duplicate: bool = False


class AnswerFrame(ServerFrame, frozen=True, kw_only=True, tag="answer"):
    """The rows of a query."""

    id: _Id
    position: int
    rows: tuple[AnyRow, ...] = ()
    more: bool = False
    counts: tuple[UnreadCount, ...] = ()


class RowsFrame(ServerFrame, frozen=True, kw_only=True, tag="rows"):
    """A part of the rows that a subscription begins with; `last` marks the final part. Updates follow."""

    id: _Id
    position: int
    rows: tuple[AnyRow, ...] = ()
    last: bool = True
    resumed: bool = False


class EventView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as a subscriber sees it."""

    kind: str
    space_id: int = 0
    space_seq: int = 0
    channel_id: int = 0
    conversation_id: int = 0


class UpdateFrame(ServerFrame, frozen=True, kw_only=True, tag="update"):
    """An entry of the log, as far as the subscriber sees it."""

    id: _Id
    position: int
    at_us: int
    actor: str
    command: str = ""
    trace_id: str | None = None
    events: tuple[EventView, ...] = ()
    inserts: tuple[AnyRow, ...] = ()
    removed: tuple[RemovedRow, ...] = ()


class TransientFrame(ServerFrame, frozen=True, kw_only=True, tag="transient"):
    """Typing, presence, a voice signal."""

    id: _Id
    kind: str
    actor: str
    at_us: int
    space_id: int = 0
    channel_id: int = 0
    expires_us: int = 0
    data: dict[str, str | int | bool] = {}


class WhoAnswerFrame(ServerFrame, frozen=True, kw_only=True, tag="who"):
    """Presences."""

    id: _Id
    presences: tuple[Presence, ...]


class KickedFrame(ServerFrame, frozen=True, kw_only=True, tag="kicked"):
    """So many sessions were ended on this node."""

    id: _Id
    sessions: int


class ErrorFrame(ServerFrame, frozen=True, kw_only=True, tag="error"):
    """A refusal. Without `id` it is about the connection, which ends."""

    id: _Id | None = None
    code: str
    message: str
    retryable: bool = False
    details: dict[str, str | int | bool] = {}


class EndedFrame(ServerFrame, frozen=True, kw_only=True, tag="ended"):
    """A subscription ended; `position` is where it can be resumed from (0: subscribe anew)."""

    id: _Id
    code: str
    message: str
    position: int = 0


class PongFrame(ServerFrame, frozen=True, kw_only=True, tag="pong"):
    """Yes."""


AnyServerFrame = (
    WelcomeFrame
    | ResultFrame
    | AnswerFrame
    | RowsFrame
    | UpdateFrame
    | TransientFrame
    | WhoAnswerFrame
    | KickedFrame
    | ErrorFrame
    | EndedFrame
    | PongFrame
)

_encoder: Final = msgspec.json.Encoder()
_client_frames: Final[msgspec.json.Decoder[AnyClientFrame]] = msgspec.json.Decoder(AnyClientFrame)
_server_frames: Final[msgspec.json.Decoder[AnyServerFrame]] = msgspec.json.Decoder(AnyServerFrame)
_many_server_frames: Final[msgspec.json.Decoder[list[AnyServerFrame]]] = msgspec.json.Decoder(list[AnyServerFrame])
_commands: Final = {str(command.__struct_config__.tag): msgspec.json.Decoder(command) for command in COMMANDS}
_named: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(frame: ClientFrame | ServerFrame) -> str:
    """The text of a frame."""
    return _encoder.encode(frame).decode()


def decode_client_frame(data: str | bytes) -> AnyClientFrame:
    """A client's frame; InvalidArgumentError when it is none."""
    try:
        return _client_frames.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidArgumentError(f"The frame does not fit: {error}.") from None


def decode_command(data: bytes | msgspec.Raw) -> Command:
    """A command by its name; InvalidArgumentError when it is none."""
    try:
        name = msgspec.json.decode(_named.decode(data).get("command", msgspec.Raw(b'""')), type=str)
        decoder = _commands.get(name)
        if decoder is None:
            raise InvalidArgumentError("There is no command of this name.")
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidArgumentError(f"The command does not fit: {error}.") from None


def decode_server_frames(data: str | bytes) -> list[AnyServerFrame]:
    """A server's frame, or the several of an array."""
    if data[:1] in ("[", b"["):
        return _many_server_frames.decode(data)
    return [_server_frames.decode(data)]


def update_text(update: Update, subscription_id: int) -> str:
    """An update as a frame. What is the same for all subscribers is encoded once."""
    body = update.cache.get("json")
    if body is None:
        body = update.cache["json"] = _encoder.encode(_update_frame(update))[1:]  # without the opening brace
    return f'{{"id":{subscription_id},{body.decode()}'


def update_texts(updates: Sequence[Update], subscription_id: int) -> list[str]:
    """Updates as frames. Several that wait go together, as an array, in parts of bounded size: one frame costs about as much as ten."""
    if len(updates) == 1:
        return [update_text(updates[0], subscription_id)]
    texts: list[str] = []
    part: list[str] = []
    size = 0
    for update in updates:
        text = update_text(update, subscription_id)
        if part and size + len(text) > BATCH_CHARACTERS:
            texts.append(f"[{','.join(part)}]")
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        texts.append(f"[{','.join(part)}]")
    return texts


class _UpdateBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    op: str
    position: int
    at_us: int
    actor: str
    command: str = ""
    trace_id: str | None = None
    events: tuple[EventView, ...] = ()
    inserts: tuple[Row, ...] = ()
    removed: tuple[RemovedRow, ...] = ()


class _TransientBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    op: str
    kind: str
    actor: str
    at_us: int
    space_id: int = 0
    channel_id: int = 0
    expires_us: int = 0
    data: dict[str, str | int | bool] = {}


def _update_frame(update: Update) -> msgspec.Struct:
    transient = update.transient
    if transient is not None:
        return _TransientBody(
            op="transient",
            kind=transient.kind,
            actor=transient.actor,
            at_us=transient.at_us,
            space_id=transient.space_id,
            channel_id=transient.channel_id,
            expires_us=transient.expires_us,
            data=transient.data,
        )
    return _UpdateBody(
        op="update",
        position=update.position,
        at_us=update.at_us,
        actor=update.actor,
        command=update.command,
        trace_id=update.trace_id,
        events=_views(update),
        inserts=update.inserts,
        removed=tuple(RemovedRow(one.table, one.key) for one in update.removed),
    )


def _views(update: Update) -> tuple[EventView, ...]:
    return tuple(
        EventView(
            kind=event.kind,
            space_id=event.space_id,
            space_seq=event.space_seq,
            channel_id=event.channel_id,
            conversation_id=event.conversation_id,
        )
        for event in update.events
    )


def news_of(update: Update) -> UpdateFrame | TransientFrame:
    """An update as a client of the protocol sees it, for those in this process (`id` 0)."""
    told = update.transient
    if told is not None:
        return TransientFrame(
            id=0,
            kind=told.kind,
            actor=told.actor,
            at_us=told.at_us,
            space_id=told.space_id,
            channel_id=told.channel_id,
            expires_us=told.expires_us,
            data=dict(told.data),
        )
    return UpdateFrame(
        id=0,
        position=update.position,
        at_us=update.at_us,
        actor=update.actor,
        command=update.command,
        trace_id=update.trace_id,
        events=_views(update),
        inserts=update.inserts,  # type: ignore[arg-type]  # every Row class is in the union
        removed=tuple(RemovedRow(one.table, one.key) for one in update.removed),
    )


def error_frame(error: SpacesError, request_id: int | None) -> ErrorFrame:
    """A refusal as a frame."""
    return ErrorFrame(
        id=request_id,
        code=error.word,
        message=error.message,
        retryable=error.retryable,
        details=dict(error.details),
    )


def row_frames(request_id: int, position: int, rows: Sequence[Row], *, resumed: bool) -> list[RowsFrame]:
    """Rows in frames of bounded size."""
    parts = [rows[start : start + ROWS_PER_FRAME] for start in range(0, len(rows), ROWS_PER_FRAME)] or [()]
    return [
        RowsFrame(
            id=request_id,
            position=position,
            rows=tuple(part),  # type: ignore[arg-type]  # every Row class is in the union
            last=number == len(parts) - 1,
            resumed=resumed,
        )
        for number, part in enumerate(parts)
    ]
