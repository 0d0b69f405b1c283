"""The connection to the servers, and what they answer.

Everything that must be true now is asked of the stream's leader (`$JS.API.STREAM.MSG.GET`, `STREAM.INFO`), which answers
from what a majority has accepted. Pages of events come from any replica (`$JS.API.DIRECT.GET`), which may lag; the reader
knows from the leader how far a page must reach. Sources: the NATS ADR-8 and ADR-31 (message get), ADR-50 (batches).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from life.aios.errors import JournalUnavailableError, MissingExtraError
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.messages import Message

try:  # other modules take these names from here, where their absence is explained
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription
    from nats.errors import Error as NatsError
    from nats.errors import MaxPayloadError, NoRespondersError
except ImportError:
    raise MissingExtraError("The NATS journal", "nats") from None

T = TypeVar("T")

REQUEST_TIMEOUT_S: Final = 2.0
"""How long one request may take before it is asked again, perhaps of another server."""

PAGE_BYTES: Final = 4 * 2**20
"""How much a page holds, unless its first event alone is larger."""

_RETRY_S: Final = 0.05
_NO_MESSAGE: Final = 10037
_MAY_PASS: Final = frozenset({10005, 10008, 10009, 10118})
"""No suitable servers, JetStream temporarily unavailable, no leader, stream offline."""
_BATCH_ID: Final = "Nats-Batch-Id"


class UnreachableError(Exception):
    """No answer, or none that settles anything. What was asked may have happened."""


class RefusedError(Exception):
    """The server's answer is no, and nothing happened."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.may_pass = code in _MAY_PASS
        """Whether it is only that the servers have no leader yet, or not all of them are there."""


class _Stored(msgspec.Struct):
    subject: str
    seq: int
    hdrs: str = ""
    data: str = ""


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Got(msgspec.Struct):
    message: _Stored | None = None
    error: _ApiError | None = None


class _Refusal(msgspec.Struct):
    error: _ApiError | None = None


class BatchAck(msgspec.Struct):
    """The answer to the last message of a batch."""

    seq: int = 0
    batch: str = ""
    count: int = 0
    error: _ApiError | None = None


class Page(NamedTuple):
    """Stored messages in order, and whether the replica that answered has more of them."""

    messages: list[Message]
    more: bool


_decode_got: Final = msgspec.json.Decoder(_Got).decode
_decode_refusal: Final = msgspec.json.Decoder(_Refusal).decode
_decode_ack: Final = msgspec.json.Decoder(BatchAck).decode


class Connection:
    """One connection to whichever server answers; it moves on to another when that one stays silent."""

    def __init__(self, client: Client, stream: str, patience_s: float) -> None:
        self.client = client
        self._stream = stream
        self._patience_s = patience_s
        self._silent = 0
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._answers: dict[str, asyncio.Future[Msg]] = {}
        self._pages: set[asyncio.Future[Mapping[str, str]]] = set()

    async def listen(self) -> None:
        """Be ready for answers. To be awaited once, before anything is asked."""

        async def take(message: Msg) -> None:
            answer = self._answers.get(message.subject)
            if answer is not None and not answer.done():
                answer.set_result(message)

        try:
            await self.client.subscribe(f"{self._inbox}.*", cb=take)
        except NatsError as error:
            raise JournalUnavailableError(f"The connection to the NATS servers broke: {_reason(error)}.") from None

    def broken(self) -> None:
        """The connection is gone: what was asked over it gets no answer any more, so nobody need wait for one."""
        waiting: list[asyncio.Future[Msg] | asyncio.Future[Mapping[str, str]]] = [*self._answers.values(), *self._pages]
        for each in waiting:
            if not each.done():
                each.set_exception(ConnectionResetError("the connection broke"))

    @property
    def max_message_bytes(self) -> int:
        """The largest message the server takes."""
        size: int = self.client.max_payload
        return size

    @property
    def reconnects(self) -> int:
        """How often the connection was made anew."""
        count: int = self.client.stats["reconnects"]
        return count

    async def last(self, subject: str) -> Message | None:
        """The newest message on a subject (or filter), from the leader."""
        return await self._get({"last_by_subj": subject})

    async def at(self, position: int) -> Message | None:
        """The message at a position, from the leader."""
        return await self._get({"seq": position})

    async def ask(self, subject: str, question: object, answer: type[T]) -> T:
        """An API request; RefusedError for an error in the answer, UnreachableError for none."""
        data = await self._request(subject, msgspec.json.encode(question))
        error = _decode_refusal(data).error
        if error is not None:
            raise RefusedError(error.err_code, error.description)
        return msgspec.json.decode(data, type=answer)

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` gives, asked again while servers are silent; JournalUnavailableError when they stay so."""
        deadline = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                return await call()
            except (UnreachableError, RefusedError) as error:
                if self.client.is_closed:
                    raise JournalUnavailableError("The connection to the NATS servers is closed.") from None
                if isinstance(error, RefusedError) and not error.may_pass:
                    raise JournalUnavailableError(
                        f"The NATS servers refuse the journal {self._stream}: {error}."
                    ) from None
                if asyncio.get_running_loop().time() >= deadline:
                    raise JournalUnavailableError(
                        f"The NATS journal {self._stream} can't be reached: {error}.",
                        next_step="See that a majority of the NATS servers runs and can reach each other.",
                    ) from None
            await asyncio.sleep(_RETRY_S)

    async def page(self, subject: str, start: int, limit: int) -> Page:
        """At most `limit` messages that match a filter, from position `start`, from any replica."""
        arrived: list[Msg] = []
        end: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

        async def take(message: Msg) -> None:
            headers = message.headers or {}
            if "Status" not in headers:
                arrived.append(message)
            elif not end.done():
                end.set_result(headers)

        self._pages.add(end)
        question = {"seq": start, "next_by_subj": subject, "batch": limit, "max_bytes": PAGE_BYTES}
        try:
            inbox = self.client.new_inbox()
            listening = await self.client.subscribe(inbox, cb=take)
            try:
                await self.client.publish(
                    f"$JS.API.DIRECT.GET.{self._stream}", msgspec.json.encode(question), reply=inbox
                )
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    ended = await end
            finally:
                await _unsubscribe(listening)
        except (TimeoutError, NatsError, OSError) as error:
            await self._silence()
            raise UnreachableError(_reason(error)) from None
        finally:
            self._pages.discard(end)
        self._silent = 0
        return _page_of(arrived, ended)

    async def publish_batch(self, messages: list[tuple[str, bytes, dict[str, str]]], batch_id: str) -> BatchAck:
        """Publish messages as one atomic batch.

        RefusedError when the server says that nothing is stored; UnreachableError when it says nothing or something else.
        """
        last = len(messages)
        try:
            for number, (subject, body, headers) in enumerate(messages, 1):
                headers[_BATCH_ID] = batch_id
                headers["Nats-Batch-Sequence"] = str(number)
                if number < last:
                    await self.client.publish(subject, body, headers=headers)
            subject, body, headers = messages[-1]
            headers["Nats-Batch-Commit"] = "1"
            # The messages are flushed to disk before the answer comes: large batches take longer.
            timeout_s = REQUEST_TIMEOUT_S + last / 1000
            ack = _decode_ack(await self._call(subject, body, timeout_s, headers))
        except MaxPayloadError:
            raise RefusedError(0, "a message is larger than the server takes") from None
        except (TimeoutError, NatsError, OSError, msgspec.DecodeError) as error:
            await self._silence()
            raise UnreachableError(_reason(error)) from None
        self._silent = 0
        if ack.error is not None:
            raise RefusedError(ack.error.err_code, ack.error.description)
        if ack.batch != batch_id or ack.count != last:
            raise UnreachableError("the acknowledgement is for something else")
        return ack

    async def _get(self, question: dict[str, str | int]) -> Message | None:
        got = _decode_got(await self._request(f"$JS.API.STREAM.MSG.GET.{self._stream}", msgspec.json.encode(question)))
        if got.error is not None:
            if got.error.err_code == _NO_MESSAGE:
                return None
            raise RefusedError(got.error.err_code, got.error.description)
        stored = got.message
        if stored is None:
            raise UnreachableError("the answer holds no message")
        return Message(stored.seq, stored.subject, base64.b64decode(stored.data), _batch_id(stored.hdrs))

    async def _request(self, subject: str, body: bytes) -> bytes:
        try:
            answer = await self._call(subject, body, REQUEST_TIMEOUT_S)
        except (TimeoutError, NatsError, OSError) as error:
            await self._silence()
            raise UnreachableError(_reason(error)) from None
        self._silent = 0
        return answer

    async def _call(self, subject: str, body: bytes, timeout_s: float, headers: dict[str, str] | None = None) -> bytes:
        """The client library's own requests wait for their timeout when the connection breaks; these do not."""
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._answers[reply] = answer
        try:
            await self.client.publish(subject, body, reply=reply, headers=headers)
            async with asyncio.timeout(timeout_s):
                message = await answer
        finally:
            del self._answers[reply]
        if message.headers is not None and message.headers.get("Status") == "503":
            raise NoRespondersError
        return message.data

    async def _silence(self) -> None:
        """This server may be cut off from the others while it still talks to us: after a second silence try another."""
        self._silent += 1
        if self._silent >= 2 and len(self.client.servers) + len(self.client.discovered_servers) > 1:
            self._silent = 0
            self.broken()
            await self.client.force_reconnect()


@asynccontextmanager
async def connect(
    access: NatsAccess,
    *,
    name: str,
    patience_s: float,
    on_break: Callable[[], None] | None = None,
    on_reconnect: Callable[[], None] | None = None,
    on_close: Callable[[], None] | None = None,
) -> AsyncIterator[Client]:
    """A connection, closed at the end. JournalUnavailableError when no server lets us in within `patience_s` seconds."""
    trouble: list[str] = []

    async def note(error: Exception) -> None:
        trouble[:] = [_reason(error)]

    async def disconnected() -> None:
        if on_break is not None:
            on_break()

    async def reconnected() -> None:
        if on_reconnect is not None:
            on_reconnect()

    async def closed() -> None:
        if on_close is not None:
            on_close()

    client = Client()
    try:
        async with asyncio.timeout(patience_s):
            await client.connect(
                servers=list(access.servers),
                name=name,
                user=access.user,
                password=access.password,
                tls=None if access.ca_file is None else ssl.create_default_context(cafile=str(access.ca_file)),
                error_cb=note,
                disconnected_cb=disconnected,
                reconnected_cb=reconnected,
                closed_cb=closed,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # declared as int, used as seconds
                connect_timeout=2,
                ping_interval=2,
                max_outstanding_pings=2,
                pending_size=0,  # nothing waits in a buffer for a connection: what can't be sent now fails now
            )
    except (TimeoutError, NatsError, OSError) as error:
        await _close(client)
        reason = trouble[0] if trouble else _reason(error)
        raise JournalUnavailableError(
            f"No NATS server could be reached at {', '.join(_shown(server) for server in access.servers)}: {reason}.",
            next_step="See that the servers run and that the credentials are theirs.",
        ) from None
    except BaseException:
        await _close(client)
        raise
    try:
        yield client
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (TimeoutError, NatsError, OSError):
        return


async def _unsubscribe(listening: NatsSubscription) -> None:
    try:
        await listening.unsubscribe()
    except NatsError:  # the connection is closed, and the subscription with it
        return


def _page_of(arrived: list[Msg], ended: Mapping[str, str]) -> Page:
    status = ended["Status"]
    if status == "404":
        return Page([], more=False)
    if status != "204":
        raise UnreachableError(f"status {status}")
    messages: list[Message] = []
    before = 0
    for message in arrived:
        headers: Mapping[str, Any] = message.headers or {}
        position = int(headers["Nats-Sequence"])
        if messages and int(headers["Nats-Last-Sequence"]) != before:
            raise UnreachableError("part of a page was lost on the way")
        messages.append(Message(position, headers["Nats-Subject"], message.data, headers.get(_BATCH_ID, "")))
        before = position
    if int(ended["Nats-Last-Sequence"]) != before:
        raise UnreachableError("the end of a page was lost on the way")
    return Page(messages, more=int(ended["Nats-Num-Pending"]) > 0)


def _batch_id(headers: str) -> str:
    """The batch id among a stored message's headers (base64 of the wire format)."""
    for line in base64.b64decode(headers).split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == _BATCH_ID.encode():
            return value.strip().decode()
    return ""


def _reason(error: BaseException) -> str:
    if isinstance(error, NoRespondersError):
        return "no server leads the stream"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(error).removeprefix("nats: ")
    return text or type(error).__name__


def _shown(server: str) -> str:
    """An address without the password that somebody may have written into it."""
    scheme, separator, rest = server.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


__all__ = [
    "BatchAck",
    "Client",
    "Connection",
    "Msg",
    "NatsError",
    "NatsSubscription",
    "Page",
    "RefusedError",
    "UnreachableError",
    "connect",
]
