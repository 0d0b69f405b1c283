"""What the settings of our servers need beyond the journal's, and the settings of a leaf node (NATS configuration language).

callout_settings   the account AUTH with its one user, and the auth callout for everybody who is not one of ours
leaf_listener      a port where leaf nodes of our own join, with the hubs' user and the system's
leaf_config        a leaf node: a small server on a laptop that hubs and tools there connect to; it keeps nothing
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

AUTH_ACCOUNT: Final = "AUTH"
HUB_ACCOUNT: Final = "LIFE"
SYSTEM_ACCOUNT: Final = "SYS"
AUTH_TIMEOUT_S: Final = 5
"""The hubs have so long to answer a login."""


class Users(NamedTuple):
    """The users that are ours. Never printed."""

    user: str
    password: str
    system_user: str
    system_password: str

    def __repr__(self) -> str:
        return "Users(…)"


def callout_account(user: str, password: str) -> str:
    """The account in which the servers ask the hubs."""
    return f"  {AUTH_ACCOUNT} {{ users: [ {_user(user, password)} ] }}"


def callout_settings(issuer: str, ours: Sequence[str]) -> str:
    """The callout: everybody but `ours` is asked about. `issuer` is the account key whose answers count."""
    users = ", ".join(_quote(user) for user in ours)
    return "\n".join(
        [
            "authorization {",
            f"  timeout: {AUTH_TIMEOUT_S}",
            f"  auth_callout {{ issuer: {_quote(issuer)}, auth_users: [ {users} ], account: {AUTH_ACCOUNT} }}",
            "}",
        ]
    )


def leaf_listener(users: Users, *, host: str, port: int) -> str:
    """Where leaf nodes join."""
    return "\n".join(
        [
            "leafnodes {",
            f"  listen: {_quote(f'{host}:{port}')}",
            "  authorization { users: [",
            f"    {_user(users.user, users.password, account=HUB_ACCOUNT)}",
            f"    {_user(users.system_user, users.system_password, account=SYSTEM_ACCOUNT)}",
            "  ] }",
            "}",
        ]
    )


def leaf_config(
    folder: Path, users: Users, remotes: Sequence[tuple[str, int]], *, name: str, host: str, port: int
) -> str:
    """The settings file of a leaf node that joins servers at these addresses. Hubs on it use the same users as on the servers."""
    lines = [
        f"server_name: {_quote(name)}",
        f"listen: {_quote(f'{host}:{port}')}",
        f"pid_file: {_quote(str(folder / 'server.pid'))}",
        f"ports_file_dir: {_quote(str(folder / 'ports'))}",
        f"log_file: {_quote(str(folder / 'server.log'))}",
        f"max_payload: {17 * 2**20}",
        "accounts {",
        f"  {HUB_ACCOUNT} {{ users: [ {_user(users.user, users.password)} ] }}",
        f"  {SYSTEM_ACCOUNT} {{ users: [ {_user(users.system_user, users.system_password)} ] }}",
        "}",
        f"system_account: {SYSTEM_ACCOUNT}",
        "leafnodes {",
        '  reconnect: "1s"',
        "  remotes: [",
        f"    {{ urls: [ {_urls(users.user, users.password, remotes)} ], account: {HUB_ACCOUNT} }}",
        f"    {{ urls: [ {_urls(users.system_user, users.system_password, remotes)} ], account: {SYSTEM_ACCOUNT} }}",
        "  ]",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _urls(user: str, password: str, remotes: Sequence[tuple[str, int]]) -> str:
    return ", ".join(_quote(f"nats-leaf://{user}:{password}@{host}:{port}") for host, port in remotes)


def _user(name: str, password: str, *, account: str = "") -> str:
    where = f", account: {account}" if account else ""
    return f"{{ user: {_quote(name)}, password: {_quote(password)}{where} }}"


def _quote(text: str) -> str:
    """A text in the server's settings language, whose strings are those of JSON but for escapes of other characters."""
    return json.dumps(text, ensure_ascii=False)
