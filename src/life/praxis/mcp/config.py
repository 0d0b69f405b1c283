"""Which MCP servers there are: the common `mcpServers` file, read as other hosts' users wrote it.

    {"mcpServers": {"files": {"command": "npx", "args": ["-y", "…"], "env": {"ROOT": "${HOME}/docs"}},
                    "search": {"url": "https://…/mcp", "headers": {"Authorization": "Bearer ${SEARCH_TOKEN}"}}}}

Members that this host knows besides: `type` (`stdio`, `http`), `cwd`, `enabled` / `disabled`, `allowed_tools` (or `allowedTools`),
`denied_tools`, `timeout_s`, `start_timeout_s`, `oauth` (sign in over OAuth), `trust_annotations` (believe what the server says
about its tools). Members of other hosts are passed over. `${NAME}` and `${NAME:-default}` are replaced from the environment.

A bad entry is reported and left out; it does not take the others down. A file in a project comes from whoever wrote the
project: nothing in it is run or sent anywhere before a person has accepted that very entry (`life.praxis.mcp.trust`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from life.aios.json import JsonObject
from life.crypto.canonical import canonical_json
from life.crypto.errors import CryptoError
from life.praxis.errors import McpConfigError

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_SERVERS: Final = 64
DEFAULT_TIMEOUT_S: Final = 60
DEFAULT_START_TIMEOUT_S: Final = 30

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server, ready to be connected to. Exactly one of `command` and `url` is set."""

    name: str
    entry: bytes
    """The entry as it stands in the file, canonical JSON with its variables unreplaced: what a person accepts."""
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    enabled: bool = True
    allowed_tools: tuple[str, ...] | None = None
    denied_tools: tuple[str, ...] = ()
    timeout_s: int = DEFAULT_TIMEOUT_S
    start_timeout_s: int = DEFAULT_START_TIMEOUT_S
    oauth: bool = False
    trust_annotations: bool = False

    def __repr__(self) -> str:
        return f"ServerConfig(name={self.name!r})"  # env and headers hold secrets

    def permits(self, tool: str) -> bool:
        """Whether the person's lists let this tool in."""
        return tool not in self.denied_tools and (self.allowed_tools is None or tool in self.allowed_tools)


class ServerFile(NamedTuple):
    """The servers of a file, and what is wrong with the entries that are not among them."""

    servers: tuple[ServerConfig, ...]
    problems: tuple[str, ...]


class _Entry(msgspec.Struct, kw_only=True):
    """An entry as it is written; members that are not named here belong to other hosts."""

    type: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    enabled: bool = True
    disabled: bool = False
    allowed_tools: tuple[str, ...] | None = None
    allowedTools: tuple[str, ...] | None = None  # noqa: N815 (as other hosts write it)
    denied_tools: tuple[str, ...] = ()
    timeout_s: int = DEFAULT_TIMEOUT_S
    start_timeout_s: int = DEFAULT_START_TIMEOUT_S
    oauth: bool = False
    trust_annotations: bool = False


def load_servers(path: Path, environment: Mapping[str, str]) -> ServerFile:
    """The servers of a file. McpConfigError: it can't be read, or is not of the form at all."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise McpConfigError(f"{path} can't be read: {error.strerror}.") from None
    if len(content) > MAX_FILE_BYTES:
        raise McpConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes.")
    try:
        return parse_servers(content, environment)
    except McpConfigError as error:
        raise McpConfigError(f"{path}: {error.message}") from None


def parse_servers(content: bytes, environment: Mapping[str, str]) -> ServerFile:
    """The servers of a file's content, by name."""
    try:
        decoded = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        entries = msgspec.json.decode(decoded.get("mcpServers", b"{}"), type=dict[str, JsonObject])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise McpConfigError(f"This is not an mcpServers file: {error}.") from None
    if len(entries) > MAX_SERVERS:
        raise McpConfigError(f"There are more than {MAX_SERVERS} servers.")
    servers: list[ServerConfig] = []
    problems: list[str] = []
    for name, entry in sorted(entries.items()):
        try:
            servers.append(_server(name, entry, environment))
        except McpConfigError as error:
            problems.append(f"{name[:64]!r}: {error.message}")
    return ServerFile(tuple(servers), tuple(problems))


def _server(name: str, written: JsonObject, environment: Mapping[str, str]) -> ServerConfig:
    if _NAME.fullmatch(name) is None or "__" in name:
        raise McpConfigError("A server's name is 1 to 32 letters, digits, '_' or '-', without '__'.")
    try:
        entry = msgspec.convert(written, _Entry)
        accepted = canonical_json(written)
    except msgspec.ValidationError as error:
        raise McpConfigError(f"{error}.") from None
    except CryptoError as error:
        raise McpConfigError(f"The entry can't be compared: {error}.") from None
    if (entry.command is None) == (entry.url is None):
        raise McpConfigError("A server has either a command or a url.")
    if entry.type == "sse":
        raise McpConfigError("The transport 'sse' was replaced by 'http' in 2025; ask for the server's newer address.")
    if entry.type not in (None, "stdio", "http", "streamable-http", "streamableHttp"):
        raise McpConfigError(f"There is no transport {entry.type[:32]!r}.")
    if not (1 <= entry.timeout_s <= 3_600 and 1 <= entry.start_timeout_s <= 600):
        raise McpConfigError("timeout_s is 1 to 3600, start_timeout_s 1 to 600.")

    def replaced(text: str) -> str:
        return expand(text, environment)

    url = None if entry.url is None else _address(replaced(entry.url))
    headers = {key: replaced(value) for key, value in entry.headers.items()}
    for key, value in headers.items():
        if _HEADER.fullmatch(key) is None or any(character in value for character in "\r\n\0"):
            raise McpConfigError(f"The header {key[:32]!r} can't be sent.")
    allowed = entry.allowed_tools if entry.allowed_tools is not None else entry.allowedTools
    return ServerConfig(
        name=name,
        entry=accepted,
        command=None if entry.command is None else _argument(replaced(entry.command)),
        args=tuple(_argument(replaced(argument)) for argument in entry.args),
        env={key: _argument(replaced(value)) for key, value in entry.env.items()},
        cwd=None if entry.cwd is None else _argument(replaced(entry.cwd)),
        url=url,
        headers=headers,
        enabled=entry.enabled and not entry.disabled,
        allowed_tools=allowed,
        denied_tools=entry.denied_tools,
        timeout_s=entry.timeout_s,
        start_timeout_s=entry.start_timeout_s,
        oauth=entry.oauth,
        trust_annotations=entry.trust_annotations,
    )


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`${NAME}` and `${NAME:-default}` replaced. McpConfigError: a variable without default is not set."""

    def value(match: re.Match[str]) -> str:
        found = environment.get(match["name"])
        if found is None:
            found = match["default"]
        if found is None:
            raise McpConfigError(f"The variable {match['name']} is not set.")
        return found

    return _VARIABLE.sub(value, text)


def _argument(text: str) -> str:
    if not text.isprintable() and "\0" in text:
        raise McpConfigError("A command holds a NUL character.")
    return text


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError
        _ = parts.port
    except ValueError:
        raise McpConfigError("The url must be http or https, with a host and without user and password.") from None
    return url
