"""Making the JetStream stream of a journal, and saying how durable one is.

A stream that holds a journal keeps everything in files, drops nothing, lets nobody delete, and takes atomic batches.
Whether the servers flush before they acknowledge (`sync_interval: always`) is not in a stream's settings; only a user of
the system account may ask them (`$SYS.REQ.SERVER.PING.JSZ`). What can't be learned is not believed.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import JournalUnavailableError
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.connection import Connection, RefusedError, UnreachableError, connect
from life.lago.journal.nats.errors import JournalNotDurableError, StreamUnfitError
from life.lago.journal.nats.subjects import Subjects

OLDEST_SERVER: Final = (2, 12)
"""The first version with atomic batches."""

_STREAM_NOT_FOUND: Final = 10059
_NAME_IN_USE: Final = 10058
_ANSWER_TIME_S: Final = 2.0

Level = Literal["replicated", "single_copy", "unverified"]


class Durability(NamedTuple):
    """What an acknowledgement means here."""

    level: Level
    """`replicated`: on the disks of a majority of three or more servers. `single_copy`: on the disk of one server, and gone
    with it. `unverified`: see `doubts`."""
    replicas: int
    doubts: tuple[str, ...]
    """Why an acknowledged event could be lost in a power failure; empty unless the level is `unverified`."""


class _Republish(msgspec.Struct):
    src: str = ""
    dest: str = ""
    headers_only: bool = False


class StreamConfig(msgspec.Struct, kw_only=True):
    """A stream's settings, as far as a journal cares."""

    name: str
    subjects: list[str] = []
    retention: str = "limits"
    storage: str = "file"
    discard: str = "new"
    max_age: int = 0
    max_bytes: int = -1
    max_msgs: int = -1
    max_msgs_per_subject: int = -1
    num_replicas: int = 1
    allow_atomic: bool = False
    allow_direct: bool = False
    allow_rollup_hdrs: bool = False
    allow_msg_ttl: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    sealed: bool = False
    persist_mode: str = ""
    republish: _Republish = msgspec.field(default_factory=_Republish)


class _Peer(msgspec.Struct):
    name: str = ""


class _Cluster(msgspec.Struct):
    leader: str = ""
    replicas: list[_Peer] | None = None


class _State(msgspec.Struct):
    last_seq: int = 0


class StreamInfo(msgspec.Struct):
    """A stream as its leader describes it."""

    config: StreamConfig
    state: _State = msgspec.field(default_factory=_State)
    cluster: _Cluster | None = None


class _FlushConfig(msgspec.Struct):
    sync_interval: int = 0
    sync_always: bool = False


class _ServerData(msgspec.Struct):
    config: _FlushConfig = msgspec.field(default_factory=_FlushConfig)


class _ServerAnswer(msgspec.Struct):
    server: _Peer
    data: _ServerData


async def last_position(connection: Connection, name: str) -> int:
    """The position of the newest stored message, which is an event whenever there is one."""
    return (await connection.ask(f"$JS.API.STREAM.INFO.{name}", {}, StreamInfo)).state.last_seq


async def ensure_stream(connection: Connection, subjects: Subjects, *, replicas: int) -> StreamInfo:
    """The journal's stream, made if there is none. StreamUnfitError for one that is something else."""
    _check_version(connection)
    name = subjects.name
    try:
        info = await connection.ask(f"$JS.API.STREAM.INFO.{name}", {}, StreamInfo)
    except RefusedError as error:
        if error.code != _STREAM_NOT_FOUND:
            raise
        info = await _create(connection, subjects, replicas)
    differences = _differences(info.config, _wanted(subjects, replicas))
    if differences:
        raise StreamUnfitError(name, differences)
    return info


async def judge(info: StreamInfo, access: NatsAccess, *, replicas: int, patience_s: float) -> Durability:
    """How durable a stream is, as far as its servers tell."""
    doubts: list[str] = []
    if info.config.num_replicas < replicas:
        doubts.append(f"it keeps {info.config.num_replicas} copies and {replicas} are asked for")
    if info.config.persist_mode not in ("", "default"):
        doubts.append(f"its persist mode is '{info.config.persist_mode}'")
    doubts += await _flush_doubts(info, access, patience_s)
    level: Level = "unverified" if doubts else "replicated" if info.config.num_replicas >= 3 else "single_copy"
    return Durability(level, info.config.num_replicas, tuple(doubts))


def require(durability: Durability) -> None:
    """JournalNotDurableError when there are doubts."""
    if durability.doubts:
        raise JournalNotDurableError(durability.doubts)


def _wanted(subjects: Subjects, replicas: int) -> StreamConfig:
    source, destination = subjects.republish
    return StreamConfig(
        name=subjects.name,
        subjects=subjects.stored,
        num_replicas=replicas,
        allow_atomic=True,
        allow_direct=True,
        deny_delete=True,
        deny_purge=True,
        republish=_Republish(source, destination, headers_only=True),
    )


async def _create(connection: Connection, subjects: Subjects, replicas: int) -> StreamInfo:
    wanted = {field: value for field, value in msgspec.to_builtins(_wanted(subjects, replicas)).items() if value != ""}
    name = subjects.name
    try:
        return await connection.ask(f"$JS.API.STREAM.CREATE.{name}", wanted, StreamInfo)
    except RefusedError as error:
        if error.code == _NAME_IN_USE:  # another process made it in this moment
            return await connection.ask(f"$JS.API.STREAM.INFO.{name}", {}, StreamInfo)
        if error.may_pass:
            raise
        raise JournalUnavailableError(
            f"JetStream refused to make the journal {name} with {replicas} copies: {error.description}.",
            next_step="A stream with three copies needs a cluster of at least three servers with JetStream.",
        ) from None


def _differences(found: StreamConfig, wanted: StreamConfig) -> list[str]:
    """In which ways a stream is not a journal's. Copies are judged elsewhere."""
    fields = ["retention", "storage", "discard", "max_age", "max_msgs", "max_msgs_per_subject", "allow_atomic"]
    fields += ["allow_direct", "allow_rollup_hdrs", "allow_msg_ttl", "deny_delete", "deny_purge", "sealed", "republish"]
    differences = [
        f"{field} is {_shown(getattr(found, field))}, not {_shown(getattr(wanted, field))}"
        for field in fields
        if getattr(found, field) != getattr(wanted, field)
    ]
    if sorted(found.subjects) != sorted(wanted.subjects):
        differences.append(f"subjects are {', '.join(found.subjects)}, not {', '.join(wanted.subjects)}")
    return differences


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _check_version(connection: Connection) -> None:
    version = connection.client.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        raise JournalUnavailableError(
            f"The NATS server is version {version.major}.{version.minor}; the journal needs 2.12 or newer (atomic batches)."
        )


async def _flush_doubts(info: StreamInfo, access: NatsAccess, patience_s: float) -> list[str]:
    """Which of the stream's servers do not flush before they acknowledge, or do not say."""
    if access.system_user is None or access.system_password is None:
        return ["whether its servers flush before they acknowledge is unknown (no system user was given to ask them)"]
    asking = access._replace(user=access.system_user, password=access.system_password)
    wanted = _servers_of(info)
    try:
        async with connect(asking, name="life journal durability", patience_s=patience_s) as client:
            answers = await _ask_all(Connection(client, info.config.name, patience_s), wanted)
    except (JournalUnavailableError, UnreachableError) as error:
        return [f"its servers could not be asked whether they flush before they acknowledge ({error})"]
    doubts = [
        f"server {name} acknowledges up to {flush.sync_interval / 1e9:g} seconds before it flushes"
        for name, flush in sorted(answers.items())
        if not flush.sync_always and (not wanted or name in wanted)
    ]
    doubts += [f"server {name} did not say whether it flushes" for name in sorted(wanted - answers.keys())]
    if not answers:
        doubts.append("no server said whether it flushes before it acknowledges")
    return doubts


def _servers_of(info: StreamInfo) -> set[str]:
    """The names of the servers that keep the stream; empty when a single server does not name itself."""
    if info.cluster is None:
        return set()
    return {name for name in (info.cluster.leader, *(peer.name for peer in info.cluster.replicas or ())) if name}


async def _ask_all(connection: Connection, wanted: set[str]) -> dict[str, _FlushConfig]:
    """The flush settings of every server that answers in time; done early when all that matter have."""
    answers: dict[str, _FlushConfig] = {}
    client = connection.client
    inbox = client.new_inbox()
    listening = await client.subscribe(inbox)
    await client.publish("$SYS.REQ.SERVER.PING.JSZ", b'{"config":true}', reply=inbox)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _ANSWER_TIME_S
    while (left := deadline - loop.time()) > 0 and (not answers or wanted - answers.keys()):
        try:
            message = await listening.next_msg(timeout=left)
            answer = msgspec.json.decode(message.data, type=_ServerAnswer)
        except (TimeoutError, msgspec.DecodeError):
            continue
        answers[answer.server.name] = answer.data.config
    return answers
