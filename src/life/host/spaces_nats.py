"""Spaces on NATS composed: servers that are named, or one that is started here, a hub upon them, and agents let in by the servers themselves.

    async with open_spaces_on_nats(parts, settings, clock=clock, entropy=entropy) as (spaces, place): …

Without servers one is started on `<data directory>/spaces/nats`, bound to loopback, flushing before it acknowledges, with an auth callout
that this hub answers. With servers, agents connect directly where the credentials name the callout's user and key. The hub's
projection is `<data directory>/spaces/hub-<name>.db`; it can be thrown away.

The callout's account key vouches for logins at our own servers and for nothing else; like the servers' passwords it is made here, once, and kept in a file
of mode 0600.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from starlette.types import Scope

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.host.spaces import FOLDER, OPERATOR, AnimaTokens, OpenSpaces, SpacesParts, around
from life.lago.nats_server_files import Addition, write_private
from life.spaces.engine.embedded import Owner
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.names import DEFAULT_NAME, Names
from life.spaces.engine.nats.server_settings import (
    HUB_ACCOUNT,
    Users,
    callout_account,
    callout_settings,
    leaf_config,
    leaf_listener,
)

if TYPE_CHECKING:
    from life.spaces.engine.nats.direct import DirectAccess
    from life.spaces.engine.nats.engine import NatsEngine

SERVER_FOLDER: Final = "nats"
CREDENTIALS: Final = "spaces-credentials.json"
CALLOUT_USER: Final = "life-callout"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:]{2,39}")
_SECRET_BYTES: Final = 24
_SEED_BYTES: Final = 32


class SpacesNatsSettings(NamedTuple):
    """How Spaces is kept on NATS. Without servers, one is started."""

    servers: tuple[str, ...] = ()
    credentials: Path | None = None
    ca_file: Path | None = None
    name: str = DEFAULT_NAME
    replicas: int = 3
    accept_unverified: bool = False
    """Open a log that may lose what it acknowledged."""
    port: int = 0
    """Where a server that we start listens; 0 takes a free one."""


class NatsPlace(NamedTuple):
    """Where the log is."""

    servers: tuple[str, ...]
    level: str
    """What an acknowledgement means (life.spaces.engine.nats.stream.Durability)."""
    doubts: tuple[str, ...]
    agents: bool
    """Whether agents can connect to the servers themselves."""


class HubCredentials(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The file of a hub's users. Never printed."""

    user: str
    password: str
    system_user: str | None = None
    system_password: str | None = None
    callout_user: str | None = None
    callout_password: str | None = None
    callout_seed: str | None = None
    account: str = HUB_ACCOUNT

    def __repr__(self) -> str:
        return "HubCredentials(…)"


@asynccontextmanager
async def open_spaces_on_nats(
    parts: SpacesParts,
    settings: SpacesNatsSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    admits: Callable[[Scope], bool] = lambda _: True,
) -> AsyncIterator[tuple[OpenSpaces, NatsPlace]]:
    """Open the hub and everything around it. MissingExtraError without the extra `nats`; SpacesErrors of `open_hub`."""
    from life.spaces.engine.nats.opening import open_hub  # the extra `nats`
    from life.spaces.engine.nats.settings import NatsSettings

    Names(settings.name)  # says what is wrong with a name before anything is started
    async with AsyncExitStack() as stack:
        access, direct, replicas = await _servers(parts.root, settings, entropy, stack)
        path = None
        if parts.root is not None:
            folder = parts.root / FOLDER
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"hub-{settings.name}.db"
        engine = await stack.enter_async_context(
            open_hub(
                access,
                path,
                clock=clock,
                entropy=entropy,
                tokens=AnimaTokens(parts.services, clock, parts.hosts),
                owner=Owner(OPERATOR),
                settings=NatsSettings(settings.name, replicas, settings.accept_unverified),
                limits=parts.limits,
            )
        )
        if direct is not None and access.system is not None:
            await _let_agents_in(engine, direct, access.system, parts, clock, replicas, stack)
        spaces = await stack.enter_async_context(around(engine, parts, clock=clock, entropy=entropy, admits=admits))
        durability = engine.durability
        yield spaces, NatsPlace(access.servers, durability.level, durability.doubts, direct is not None)


async def _servers(
    root: Path | None, settings: SpacesNatsSettings, entropy: Entropy, stack: AsyncExitStack
) -> tuple[NatsAccess, DirectAccess | None, int]:
    if settings.servers:
        if settings.credentials is None:
            return NatsAccess(settings.servers, ca_file=settings.ca_file), None, settings.replicas
        known = read_credentials(settings.credentials)
        return *_accesses(known, settings.servers, settings.ca_file), settings.replicas
    if root is None:
        raise InvalidInputError(
            "A NATS server needs a data directory.", next_step="Leave --memory out, or name servers with --nats-url."
        )
    from life.lago.nats_server import NatsServer

    folder = root / FOLDER / SERVER_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    seed, password = ensure_callout(folder, entropy)
    server = await stack.enter_async_context(
        NatsServer.run(folder, entropy=entropy, port=settings.port, addition=_addition(seed, password))
    )
    made = server.access
    known = HubCredentials(
        made.user or "", made.password or "", made.system_user, made.system_password, CALLOUT_USER, password, seed
    )
    write_private(folder / CREDENTIALS, msgspec.json.format(msgspec.json.encode(known)) + b"\n")
    return *_accesses(known, made.servers, None), 1


def _accesses(
    known: HubCredentials, servers: tuple[str, ...], ca_file: Path | None
) -> tuple[NatsAccess, DirectAccess | None]:
    from life.spaces.engine.nats.direct import DirectAccess
    from life.spaces.engine.nats.nkeys import AccountKey

    access = NatsAccess(servers, known.user, known.password, known.system_user, known.system_password, ca_file)
    if known.callout_user is None or known.callout_seed is None or access.system is None:
        return access, None
    callout = NatsAccess(servers, known.callout_user, known.callout_password, ca_file=ca_file)
    return access, DirectAccess(callout, AccountKey(known.callout_seed), known.account)


async def _let_agents_in(
    engine: NatsEngine,
    direct: DirectAccess,
    system: NatsAccess,
    parts: SpacesParts,
    clock: Clock,
    replicas: int,
    stack: AsyncExitStack,
) -> None:
    from life.spaces.engine.nats.direct import DirectAgents

    agents = await stack.enter_async_context(DirectAgents.open(engine, direct, system, clock=clock, replicas=replicas))
    looking: set[asyncio.Task[None]] = set()

    def identity_changed(_agent_id: str) -> None:
        """A revocation closes connections at once."""
        task = asyncio.get_running_loop().create_task(agents.look())
        looking.add(task)
        task.add_done_callback(looking.discard)

    parts.services.registry.on_change(identity_changed)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_credentials(path: Path) -> HubCredentials:
    """A hub's users. InvalidInputError when others than the owner may read the file, or when it holds something else."""
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidInputError(
                f"The file {path} holds passwords and may be read by others.", next_step=f"chmod 600 {path}"
            )
        return msgspec.json.decode(path.read_bytes(), type=HubCredentials)
    except OSError as error:
        raise InvalidInputError(f"The file {path} can't be read: {error.strerror}.") from None
    except msgspec.MsgspecError:  # its words could quote the file
        raise InvalidInputError(
            f"The file {path} must be JSON with `user` and `password`, and may have those of `system_` and `callout_`, "
            "`callout_seed` and `account` (docs/spaces-nats.md)."
        ) from None


def ensure_callout(folder: Path, entropy: Entropy) -> tuple[str, str]:
    """The callout's account seed and its user's password, made once."""
    from life.spaces.engine.nats.nkeys import new_seed

    seed, password = folder / "callout-seed", folder / "callout-password"
    if not seed.exists():
        write_private(seed, new_seed(entropy.token_bytes(_SEED_BYTES)).encode())
    if not password.exists():
        write_private(password, entropy.token_bytes(_SECRET_BYTES).hex().encode())
    return seed.read_text().strip(), password.read_text().strip()


def _addition(seed: str, password: str, *more: str) -> Addition:
    from life.spaces.engine.nats.nkeys import AccountKey

    ours = ("life", "life-system", CALLOUT_USER)
    return Addition(
        accounts=(callout_account(CALLOUT_USER, password),),
        settings=(callout_settings(AccountKey(seed).public, ours), *more),
    )


class ClusterPorts(NamedTuple):
    """The ports of every server of a cluster."""

    clients: int = 4222
    servers: int = 6222
    leaves: int = 7422


def write_cluster(
    folder: Path,
    hosts: tuple[str, ...],
    entropy: Entropy,
    *,
    data: Path,
    ports: ClusterPorts = ClusterPorts(),  # noqa: B008
) -> list[Path]:
    """Settings for one server per host (three or five of them), and the hubs' credentials: what to copy to which machine.

    `<folder>/<n>/server.conf` is for the n-th host, whose server will keep its data in `data`; `<folder>/spaces-credentials.json` is for every
    hub. Everything that is secret is made once; writing again gives the same.
    """
    from life.lago.nats_server_files import Member, ensure_credentials, server_config
    from life.spaces.engine.nats.link import DOMAIN

    if len(hosts) not in (3, 5) or len(set(hosts)) != len(hosts):
        raise InvalidInputError("A cluster has three or five different hosts.")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise InvalidInputError(f"{host!r} is no host name or address.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials = ensure_credentials(folder, entropy)
    seed, password = ensure_callout(folder, entropy)
    users = Users(credentials.user, credentials.password, credentials.system_user, credentials.system_password)
    peers = tuple((host, ports.servers) for host in hosts)
    written = []
    for number, host in enumerate(hosts, 1):
        listener = leaf_listener(users, host=host, port=ports.leaves)
        settings = server_config(
            data,
            credentials,
            name=f"n{number}",
            host=host,
            port=ports.clients,
            member=Member(ports.servers, peers),
            addition=_addition(seed, password, listener)._replace(jetstream=(f"  domain: {DOMAIN}",)),
        )
        own = folder / str(number)
        own.mkdir(mode=0o700, exist_ok=True)
        write_private(own / "server.conf", settings.encode())
        written.append(own / "server.conf")
    known = HubCredentials(*users, CALLOUT_USER, password, seed)
    write_private(folder / CREDENTIALS, msgspec.json.format(msgspec.json.encode(known)) + b"\n")
    return [*written, folder / CREDENTIALS]


def write_leaf(
    path: Path, credentials: Path, remotes: tuple[tuple[str, int], ...], *, data: Path, port: int = 4222
) -> Path:
    """Settings for a leaf node on this machine, which joins the servers at these addresses (their port for leaves)."""
    known = read_credentials(credentials)
    if known.system_user is None or known.system_password is None:
        raise InvalidInputError(f"The file {credentials} has no system user; a leaf node needs it.")
    users = Users(known.user, known.password, known.system_user, known.system_password)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / "ports").mkdir(mode=0o700, exist_ok=True)
    settings = leaf_config(data, users, remotes, name="leaf", host="127.0.0.1", port=port)
    write_private(path, settings.encode())
    return path
