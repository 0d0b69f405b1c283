"""The files of a NATS server of our own: its passwords, made once, and its settings, written at each start.

Both are readable by their owner only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Entropy
from life.lago.journal.admission import MAX_PAYLOAD_BYTES
from life.lago.journal.nats.access import NatsAccess, read_access
from life.lago.journal.nats.errors import NatsServerError

MAX_BATCH_MESSAGES: Final = 20_000
"""What our servers take in one atomic batch: about 9,900 events."""

_MESSAGE_BYTES: Final = MAX_PAYLOAD_BYTES + 64 * 2**10


class Credentials(NamedTuple):
    """The users of a server. Never printed."""

    user: str
    password: str
    system_user: str
    system_password: str
    cluster_password: str

    def __repr__(self) -> str:
        return "Credentials(…)"


class Member(NamedTuple):
    """A server's place in a cluster: its own address for the others, and everybody's."""

    port: int
    peers: tuple[tuple[str, int], ...]


class Addition(NamedTuple):
    """What somebody else needs in the settings: lines in the blocks of JetStream and of the accounts, and lines at the end."""

    jetstream: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Addition(…)"


def server_config(
    folder: Path,
    credentials: Credentials,
    *,
    name: str,
    host: str,
    port: int,
    member: Member | None = None,
    addition: Addition = Addition(),  # noqa: B008  # an immutable value
) -> str:
    """The server's settings file. Port -1 lets the server choose one."""
    quote = _quote
    lines = [
        f"server_name: {quote(name)}",
        f"listen: {quote(f'{host}:{port}')}",
        f"pid_file: {quote(str(folder / 'server.pid'))}",
        f"ports_file_dir: {quote(str(folder / 'ports'))}",
        f"log_file: {quote(str(folder / 'server.log'))}",
        f"logfile_size_limit: {8 * 2**20}",
        "logfile_max_num: 3",
        f"max_payload: {_MESSAGE_BYTES}",
        "jetstream {",
        f"  store_dir: {quote(str(folder / 'data'))}",
        "  sync_interval: always",
        f"  limits {{ batch {{ max_msgs: {MAX_BATCH_MESSAGES} }} }}",
        *addition.jetstream,
        "}",
        "accounts {",
        f"  LIFE {{ jetstream: enabled, users: [ {_user(credentials.user, credentials.password)} ] }}",
        f"  SYS {{ users: [ {_user(credentials.system_user, credentials.system_password)} ] }}",
        *addition.accounts,
        "}",
        "system_account: SYS",
        *addition.settings,
    ]
    if member is not None:
        routes = ", ".join(
            quote(f"nats-route://life:{credentials.cluster_password}@{peer}:{at}") for peer, at in member.peers
        )
        lines += [
            "cluster {",
            "  name: life",
            f"  listen: {quote(f'{host}:{member.port}')}",
            f"  authorization {{ user: life, password: {quote(credentials.cluster_password)} }}",
            f"  routes: [ {routes} ]",
            "}",
        ]
    return "\n".join(lines) + "\n"


def ensure_credentials(folder: Path, entropy: Entropy) -> Credentials:
    """The passwords of the servers in this folder, made once. NatsServerError when the file holds something else."""
    users, cluster = folder / "credentials.json", folder / "cluster-password"
    if not users.exists():
        made = {"user": "life", "password": entropy.token_bytes(24).hex()}
        made |= {"system_user": "life-system", "system_password": entropy.token_bytes(24).hex()}
        write_private(users, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    if not cluster.exists():
        write_private(cluster, entropy.token_bytes(24).hex().encode())
    try:
        access = read_access(("nats://127.0.0.1",), users)
        if access.user is None or access.password is None:
            raise InvalidInputError("no user")
        if access.system_user is None or access.system_password is None:
            raise InvalidInputError("no system user")
        return Credentials(
            access.user, access.password, access.system_user, access.system_password, cluster.read_text().strip()
        )
    except InvalidInputError as error:
        raise NatsServerError(f"The credentials in {folder} can't be used: {error}") from None


def access_to(servers: tuple[str, ...], credentials: Credentials) -> NatsAccess:
    """How to connect to servers with these passwords."""
    return NatsAccess(
        servers,
        credentials.user,
        credentials.password,
        credentials.system_user,
        credentials.system_password,
    )


def _user(name: str, password: str) -> str:
    return f"{{ user: {_quote(name)}, password: {_quote(password)} }}"


def _quote(text: str) -> str:
    """A text in the server's settings language, whose strings are those of JSON but for escapes of other characters."""
    return json.dumps(text, ensure_ascii=False)


def write_private(path: Path, content: bytes) -> None:
    """A file that only its owner may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
