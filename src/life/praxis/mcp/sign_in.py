"""OAuth for servers that want it: the SDK's flow (RFC 9728, 8414, 7591, PKCE, resource indicators), our storage.

A person signs in once with `life mcp login NAME`; from then on tokens are refreshed as needed. Tokens and the client's
registration lie in one file per server, mode 0600, bound to the server's address: another address under the same name starts
with nothing. Without a person at hand the flow stops where it would need one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import httpx2
import msgspec
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.oauth2 import OAuthContext
from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl, BaseModel, ValidationError

from life.aios.ports.clock import Clock
from life.praxis.errors import McpSignInError, McpTrustError
from life.praxis.mcp.config import ServerConfig
from life.praxis.mcp.trust import read_private, write_private

MAX_FILE_BYTES: Final = 256 * 1024
REDIRECT_PATH: Final = "/callback"

_Model = TypeVar("_Model", bound=BaseModel)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    tokens: msgspec.Raw = msgspec.Raw(b"null")
    client: msgspec.Raw = msgspec.Raw(b"null")
    expires_at_s: int | None = None
    """When the access token ends, Unix seconds; None: its server did not say."""
    authorization_server: msgspec.Raw = msgspec.Raw(b"null")
    protected_resource: msgspec.Raw = msgspec.Raw(b"null")
    """Their metadata as it was when the tokens were issued: where to refresh them, and for what."""

    def __repr__(self) -> str:
        return f"_File(url={self.url!r})"


class TokenFile:
    """The SDK's TokenStorage over a file of one server."""

    def __init__(self, path: Path, url: str, clock: Clock) -> None:
        self._path = path
        self._url = url
        self._clock = clock
        self.context: OAuthContext | None = None
        """The flow that uses this file; what it has learned of its servers is kept with new tokens."""

    def __repr__(self) -> str:
        return f"TokenFile({self._path.name!r})"

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens; None without any for this address."""
        raw = bytes(self._read().tokens)
        return None if raw == b"null" else self._parsed(OAuthToken, raw)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep new tokens."""
        held = self._read()
        held.tokens = msgspec.Raw(tokens.model_dump_json(exclude_none=True).encode())
        held.expires_at_s = None
        if tokens.expires_in is not None:
            held.expires_at_s = self._clock.now_us() // 1_000_000 + int(tokens.expires_in)
        if self.context is not None:
            held.authorization_server = _raw(self.context.oauth_metadata)
            held.protected_resource = _raw(self.context.protected_resource_metadata)
        self._write(held)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Our registration at the authorization server."""
        raw = bytes(self._read().client)
        return None if raw == b"null" else self._parsed(OAuthClientInformationFull, raw)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep a new registration."""
        held = self._read()
        held.client = msgspec.Raw(client_info.model_dump_json(exclude_none=True).encode())
        self._write(held)

    def restore(self, context: OAuthContext) -> None:
        """Tell a flow what is known beside the tokens themselves, so that it can refresh them without a person."""
        held = self._read()
        context.token_expiry_time = held.expires_at_s
        if bytes(held.authorization_server) != b"null":
            context.oauth_metadata = self._parsed(OAuthMetadata, bytes(held.authorization_server))
        if bytes(held.protected_resource) != b"null":
            context.protected_resource_metadata = self._parsed(
                ProtectedResourceMetadata, bytes(held.protected_resource)
            )

    def _parsed(self, model: type[_Model], raw: bytes) -> _Model:
        try:
            return model.model_validate_json(raw)
        except ValidationError:
            raise McpTrustError(
                f"{self._path} is damaged.", next_step="Sign in again after `life mcp logout`."
            ) from None

    def _read(self) -> _File:
        content = read_private(self._path, MAX_FILE_BYTES)
        if content is None:
            return _File(self._url)
        try:
            held = msgspec.json.decode(content, type=_File)
        except (msgspec.DecodeError, RecursionError):
            raise McpTrustError(
                f"{self._path} is damaged.", next_step="Sign in again after `life mcp logout`."
            ) from None
        return held if held.url == self._url else _File(self._url)

    def _write(self, held: _File) -> None:
        write_private(self._path, msgspec.json.encode(held))


class _StoredOAuth(OAuthClientProvider):
    """The SDK's flow, which after a start of ours knows when its tokens end and where to refresh them."""

    def __init__(self, storage: TokenFile, **members: Any) -> None:
        super().__init__(storage=storage, **members)
        self._storage = storage
        storage.context = self.context

    async def _initialize(self) -> None:
        await super()._initialize()
        self._storage.restore(self.context)


def token_file(folder: Path, server: ServerConfig, clock: Clock) -> TokenFile:
    """Where a server's tokens are."""
    assert server.url is not None
    return TokenFile(folder / f"{server.name}.json", server.url, clock)


def _raw(metadata: BaseModel | None) -> msgspec.Raw:
    return msgspec.Raw(b"null" if metadata is None else metadata.model_dump_json(exclude_none=True).encode())


def oauth(
    server: ServerConfig,
    storage: TokenFile,
    *,
    redirect_uri: str,
    open_browser: Callable[[str], Awaitable[None]] | None = None,
    wait_for_code: Callable[[], Awaitable[AuthorizationCodeResult]] | None = None,
) -> httpx2.Auth:
    """The flow for one server. Without `open_browser` and `wait_for_code` it refreshes, and otherwise says that a person has
    to sign in (McpSignInError)."""
    assert server.url is not None

    async def nobody(_: str = "") -> NoReturn:
        raise McpSignInError(
            f"The MCP server {server.name} wants somebody to sign in.", next_step=f"life mcp login {server.name}"
        )

    return _StoredOAuth(
        storage,
        server_url=server.url,
        client_metadata=OAuthClientMetadata(
            client_name="Life",
            redirect_uris=[AnyUrl(redirect_uri)],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",  # noqa: S106 - a public client: PKCE, no secret
        ),
        redirect_handler=open_browser or nobody,
        callback_handler=wait_for_code or nobody,
    )
