"""What a person has accepted: servers as they stand in the file, and tools as they were described.

A server is known by the hash of its entry, a tool by the hash of its name, description, schema and hints. What is new or
has changed (a "rug pull": a tool that describes itself otherwise once it is trusted) is held back until a person accepts it.
The first list of an accepted server is taken as it is; from then on every difference waits.

The file keeps the accepted definitions too, so that tools are known while their server is down, and a person can be shown
what changed. Mode 0600; a damaged or foreign file is an error, never "nothing was accepted, ask again and overwrite".
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from life.aios.json import JsonObject
from life.crypto.canonical import canonical_json
from life.praxis.errors import McpTrustError

MAX_FILE_BYTES: Final = 32 * 1024 * 1024


class RemoteTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: JsonObject
    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 in hex of everything that a model or a person is told about it."""
        return hashlib.sha256(b"life.mcp.tool.1\x00" + canonical_json(msgspec.to_builtins(self))).hexdigest()


class AcceptedServer(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted server."""

    entry_sha256: str
    tools: dict[str, RemoteTool] | None = None
    """By their own names; None until its first list came."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    servers: dict[str, AcceptedServer]


class Differences(msgspec.Struct, frozen=True):
    """What a server's list has that was not accepted, and the other way round. Names, sorted."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed)


def entry_digest(entry: bytes) -> str:
    """SHA-256 in hex of a server's entry."""
    return hashlib.sha256(b"life.mcp.server.1\x00" + entry).hexdigest()


class TrustStore:
    """The accepted servers and tools of one person, in a file."""

    def __init__(self, path: Path) -> None:
        """McpTrustError: there is a file, and it can't be believed."""
        self._path = path
        self._servers = _read(path)

    def is_accepted(self, name: str, entry: bytes) -> bool:
        """Whether the person has accepted this very entry under this name."""
        known = self._servers.get(name)
        return known is not None and known.entry_sha256 == entry_digest(entry)

    def is_known(self, name: str) -> bool:
        """Whether some entry of this name was accepted."""
        return name in self._servers

    def accept(self, name: str, entry: bytes) -> None:
        """The person accepts this entry. Another entry than before starts with no accepted tools."""
        if not self.is_accepted(name, entry):
            self._put(name, AcceptedServer(entry_sha256=entry_digest(entry)))

    def forget(self, name: str) -> bool:
        """Take an acceptance back; whether there was one."""
        if self._servers.pop(name, None) is None:
            return False
        self._write()
        return True

    def tools(self, name: str) -> dict[str, RemoteTool]:
        """The accepted tools of a server."""
        known = self._servers.get(name)
        return {} if known is None or known.tools is None else dict(known.tools)

    def compare(self, name: str, listed: dict[str, RemoteTool]) -> Differences:
        """What differs from what was accepted. The first list of a server differs in nothing: it becomes what was accepted."""
        known = self._servers[name]
        if known.tools is None:
            self._put(name, msgspec.structs.replace(known, tools=dict(sorted(listed.items()))))
            return Differences()
        accepted = known.tools
        return Differences(
            new=tuple(sorted(listed.keys() - accepted.keys())),
            changed=tuple(
                sorted(tool for tool in listed.keys() & accepted.keys() if listed[tool].digest != accepted[tool].digest)
            ),
            gone=tuple(sorted(accepted.keys() - listed.keys())),
        )

    def accept_tools(self, name: str, listed: dict[str, RemoteTool]) -> None:
        """The person accepts the server's tools as they are listed now."""
        self._put(name, msgspec.structs.replace(self._servers[name], tools=dict(sorted(listed.items()))))

    def _put(self, name: str, accepted: AcceptedServer) -> None:
        self._servers[name] = accepted
        self._write()

    def _write(self) -> None:
        content = msgspec.json.format(msgspec.json.encode(_File(1, self._servers), order="deterministic"), indent=1)
        write_private(self._path, content)


def _read(path: Path) -> dict[str, AcceptedServer]:
    content = read_private(path, MAX_FILE_BYTES)
    if content is None:
        return {}
    try:
        return msgspec.json.decode(content, type=_File).servers
    except (msgspec.DecodeError, RecursionError):
        raise McpTrustError(
            f"{path} is damaged.", next_step="Look at it; without it every server has to be accepted again."
        ) from None


def read_private(path: Path, limit_bytes: int) -> bytes | None:
    """The content of a file of ours that others must not be able to read; None when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise McpTrustError(f"{path} can't be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise McpTrustError(f"Others can read {path}.", next_step=f"chmod 600 {path}")
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise McpTrustError(f"{path} is larger than {limit_bytes} bytes.")
    return content


def write_private(path: Path, content: bytes) -> None:
    """Replace a file whole, mode 0600 from its first byte."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        raise McpTrustError(f"{path} can't be written: {error.strerror}.") from None
