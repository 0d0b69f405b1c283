"""An Ollama server: is it there, and which models does it have? Answers come through its Chat Completions endpoint.

Source: Ollama, "API" (docs.ollama.com): `GET /api/version`, `GET /api/tags`; arcan.md §4.5. No server is started by us.
"""

from __future__ import annotations

from typing import Final

import httpx2
import msgspec

from life.arcan.errors import ProviderUnavailableError, ProviderUnreachableError

DEFAULT_ROOT: Final = "http://127.0.0.1:11434"
_TIMEOUT_S: Final = 5.0


class OllamaModel(msgspec.Struct, frozen=True):
    """A model that the server can run now."""

    name: str
    size: int = 0
    """Bytes on the server's disk."""


class _Tags(msgspec.Struct):
    models: list[OllamaModel]


class _Version(msgspec.Struct):
    version: str


class OllamaServer:
    """What can be asked of a server without a model."""

    def __init__(self, base_url: str = DEFAULT_ROOT) -> None:
        """`base_url` with or without the `/v1` of the compatible endpoint."""
        self._root = base_url.rstrip("/").removesuffix("/v1")

    async def version(self) -> str:
        """The server's version. ProviderUnreachableError when nobody answers."""
        return msgspec.json.decode(await self._get("/api/version"), type=_Version).version

    async def models(self) -> list[OllamaModel]:
        """The installed models, as the server lists them."""
        return msgspec.json.decode(await self._get("/api/tags"), type=_Tags).models

    async def _get(self, path: str) -> bytes:
        try:
            async with httpx2.AsyncClient(timeout=_TIMEOUT_S) as client:
                response = await client.get(self._root + path)
        except httpx2.HTTPError as error:
            raise ProviderUnreachableError(f"No answer from Ollama: {type(error).__name__}.") from None
        content = response.content
        if response.status_code != 200 or not content.lstrip().startswith(b"{"):
            raise ProviderUnavailableError(f"Ollama answers {response.status_code} to {path}.")
        return content
