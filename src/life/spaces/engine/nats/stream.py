"""Making the JetStream stream of a log, and saying how durable it is.

The stream keeps everything in files, drops nothing and lets nobody delete. Its metadata carry the deployment's name, so that a
hub notices a stream that was made anew. Whether the servers flush before they acknowledge (`sync_interval: always`) is not in a
stream's settings; only a user of the system account may ask them (`$SYS.REQ.SERVER.PING.JSZ`). What can't be learned is not
believed.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.errors import StreamUnfitError
from life.spaces.engine.nats.link import NAME_IN_USE, STREAM_NOT_FOUND, Link, NatsError, RefusedError, connect
from life.spaces.engine.nats.names import Names
from life.spaces.errors import SpacesUnavailableError

DEPLOYMENT: Final = "life-deployment"
"""The stream's metadata entry with the deployment's name."""
HEARD_NS: Final = 3_000_000_000
"""A server that its leader has not heard of for so long does not count; they speak every second."""
_ANSWER_TIME_S: Final = 2.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
OLDEST_SERVER: Final = (2, 11)
"""The first version whose pages (batches of direct gets) are complete."""

Level = Literal["replicated", "single_copy", "unverified"]


class Durability(NamedTuple):
    """What an acknowledgement means here."""

    level: Level
    """`replicated`: on the disks of a majority of three or more servers. `single_copy`: on the disk of one server, and gone
    with it. `unverified`: see `doubts`."""
    replicas: int
    doubts: tuple[str, ...]
    """Why an acknowledged command could be lost in a power failure; empty unless the level is `unverified`."""


class _Republish(msgspec.Struct):
    src: str = ""
    dest: str = ""
    headers_only: bool = False


class StreamConfig(msgspec.Struct, kw_only=True):
    """A stream's settings, as far as a log cares."""

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
    allow_direct: bool = False
    allow_rollup_hdrs: bool = False
    allow_msg_ttl: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    sealed: bool = False
    persist_mode: str = ""
    republish: _Republish = msgspec.field(default_factory=_Republish)
    metadata: dict[str, str] = {}


class _Peer(msgspec.Struct):
    name: str = ""
    offline: bool = False
    active: int = 0
    """Nanoseconds since the leader heard of it."""


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
    ts: datetime | None = None
    """When the leader said so, by its clock."""

    @property
    def server_us(self) -> int | None:
        """The leader's time, in microseconds since the epoch."""
        return None if self.ts is None else (self.ts - _EPOCH) // _MICROSECOND

    @property
    def has_majority(self) -> bool:
        """Whether the leader that answered has lately heard of enough others to speak for a majority. One that was cut off goes on
        answering until it steps down."""
        if self.config.num_replicas == 1:
            return True
        others = [] if self.cluster is None else self.cluster.replicas or []
        heard = sum(not peer.offline and peer.active < HEARD_NS for peer in others)
        return 2 * (1 + heard) > self.config.num_replicas

    @property
    def deployment(self) -> str:
        """The name of the log in it."""
        return self.config.metadata.get(DEPLOYMENT, "")


class _FlushConfig(msgspec.Struct):
    sync_interval: int = 0
    sync_always: bool = False


class _ServerData(msgspec.Struct):
    disabled: bool = False
    """It keeps no streams: a leaf node, for example."""
    config: _FlushConfig = msgspec.field(default_factory=_FlushConfig)


class _ServerAnswer(msgspec.Struct):
    server: _Peer
    data: _ServerData


async def stream_info(link: Link, stream: str) -> StreamInfo:
    """The stream as its leader describes it now."""
    return await link.ask(f"{link.api}.STREAM.INFO.{stream}", {}, StreamInfo)


async def ensure_stream(link: Link, names: Names, *, replicas: int, deployment: str) -> StreamInfo:
    """The log's stream, made under this deployment's name if there is none. StreamUnfitError for one that is something else."""
    version = link.client.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        raise SpacesUnavailableError(
            f"The NATS server is version {version.major}.{version.minor}; Spaces needs 2.11 or newer."
        )
    try:
        info = await stream_info(link, names.stream)
    except RefusedError as error:
        if error.code != STREAM_NOT_FOUND:
            raise
        info = await _create(link, names, replicas, deployment)
    differences = _differences(info.config, _wanted(names, replicas, deployment))
    if differences:
        raise StreamUnfitError(names.stream, differences)
    return info


async def judge(info: StreamInfo, access: NatsAccess, *, replicas: int, patience_s: float) -> Durability:
    """How durable a stream is, as far as its servers tell."""
    doubts: list[str] = []
    if info.config.num_replicas < replicas:
        doubts.append(f"the log has {info.config.num_replicas} copies and {replicas} are asked for")
    if info.config.persist_mode not in ("", "default"):
        doubts.append(f"its persist mode is '{info.config.persist_mode}'")
    doubts += await _flush_doubts(info, access, patience_s)
    level: Level = "unverified" if doubts else "replicated" if info.config.num_replicas >= 3 else "single_copy"
    return Durability(level, info.config.num_replicas, tuple(doubts))


def _wanted(names: Names, replicas: int, deployment: str) -> StreamConfig:
    return StreamConfig(
        name=names.stream,
        subjects=[names.log],
        num_replicas=replicas,
        allow_direct=True,
        deny_delete=True,
        deny_purge=True,
        republish=_Republish(names.log, names.live),
        metadata={DEPLOYMENT: deployment},
    )


async def _create(link: Link, names: Names, replicas: int, deployment: str) -> StreamInfo:
    settings = msgspec.to_builtins(_wanted(names, replicas, deployment))
    wanted = {field: value for field, value in settings.items() if value != ""}
    try:
        return await link.ask(f"{link.api}.STREAM.CREATE.{names.stream}", wanted, StreamInfo)
    except RefusedError as error:
        if error.code == NAME_IN_USE:  # another hub made it in this moment
            return await stream_info(link, names.stream)
        if error.may_pass:
            raise
        raise SpacesUnavailableError(
            f"JetStream refused to make the log {names.stream} with {replicas} copies: {error.description}.",
            next_step="A log with three copies needs a cluster of at least three servers with JetStream.",
        ) from None


def _differences(found: StreamConfig, wanted: StreamConfig) -> list[str]:
    """In which ways a stream is not a log's. Copies are judged elsewhere."""
    fields = [
        "retention",
        "storage",
        "discard",
        "max_age",
        "max_msgs",
        "max_msgs_per_subject",
        "max_bytes",
        "allow_direct",
    ]
    fields += ["allow_rollup_hdrs", "allow_msg_ttl", "deny_delete", "deny_purge", "sealed", "republish", "subjects"]
    differences = [
        f"{field} is {_shown(getattr(found, field))}, not {_shown(getattr(wanted, field))}"
        for field in fields
        if getattr(found, field) != getattr(wanted, field)
    ]
    if not found.metadata.get(DEPLOYMENT):
        differences.append("its metadata name no deployment")
    return differences


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def _flush_doubts(info: StreamInfo, access: NatsAccess, patience_s: float) -> list[str]:
    """Which of the stream's servers do not flush before they acknowledge, or do not say."""
    system = access.system
    if system is None:
        return ["whether its servers flush before they acknowledge is unknown (no system user was given to ask them)"]
    wanted = _servers_of(info)
    try:
        async with connect(system, name="life spaces durability", patience_s=patience_s) as client:
            answers = await _ask_all(Link(client), wanted)
    except (SpacesUnavailableError, NatsError, OSError) as error:
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


async def _ask_all(link: Link, wanted: set[str]) -> dict[str, _FlushConfig]:
    """The flush settings of every server that answers in time; done early when all that matter have."""
    answers: dict[str, _FlushConfig] = {}
    client = link.client
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
        if not answer.data.disabled:
            answers[answer.server.name] = answer.data.config
    return answers
