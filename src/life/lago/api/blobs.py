"""Blobs by their hash. A hash is no key: who did not put a blob does not get it here (files have their own routes)."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.ports.blobs import BlobInfo, Blobs
from life.aios.ports.http import Operation, Parameter
from life.lago.api.bodies import answer, parts
from life.lago.api.callers import CallerReader
from life.lago.api.content import Content, content_response
from life.lago.blobs.objects import check_hash
from life.lago.errors import BlobNotFoundError
from life.lago.owners.registry import Owners

MAX_BLOB_BYTES: Final = 512 * 1024 * 1024
_CACHE: Final = "private, max-age=31536000, immutable"


class BlobView(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that is stored."""

    hash: str
    size_bytes: int


class BlobApi:
    """The routes."""

    def __init__(self, blobs: Blobs, owners: Owners, caller: CallerReader) -> None:
        self._blobs = blobs
        self._owners = owners
        self._caller = caller
        self.stored = 0
        """Blobs that were put through these routes."""

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        blob = "/v1/blobs/{hash}"
        return [
            Operation(
                "GET",
                blob,
                "A blob's content (Range, If-None-Match)",
                self.read,
                None,
                None,
                (Parameter("ct", "Serve it as this type, if it is one of those that a browser can't run."),),
                media_type="application/octet-stream",
                errors=(400, 404, 416, 429),
                scope="blobs:read",
            ),
            Operation(
                "PUT",
                blob,
                "Store a content whose SHA-256 is this",
                self.write,
                None,
                BlobView,
                status=201,
                errors=(400, 413, 429),
                scope="blobs:write",
            ),
            Operation(
                "POST",
                "/v1/blobs",
                "Store a content; the answer has its hash",
                self.write_any,
                None,
                BlobView,
                status=201,
                errors=(400, 413, 429),
                scope="blobs:write",
            ),
        ]

    async def read(self, request: Request) -> Response:
        """GET /v1/blobs/{hash}"""
        blob = check_hash(str(request.path_params["hash"]))
        owner = self._caller(request).owner
        if not await self._owners.may_read_blob(owner, blob) or not await self._blobs.exists(blob):
            raise BlobNotFoundError(blob)
        content = Content(blob, None, request.query_params.get("ct"), blob, _CACHE)
        return await content_response(request, self._blobs, content)

    async def write(self, request: Request) -> Response:
        """PUT /v1/blobs/{hash}"""
        return await self._store(request, check_hash(str(request.path_params["hash"])))

    async def write_any(self, request: Request) -> Response:
        """POST /v1/blobs"""
        return await self._store(request, None)

    async def _store(self, request: Request, expected: str | None) -> Response:
        owner = self._caller(request).owner
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 16 else 0
        async with self._owners.within(owner, size_bytes=size):
            pass  # refused before the body is read, where it says its length
        info: BlobInfo = await self._blobs.put_stream(parts(request, limit_bytes=MAX_BLOB_BYTES), expected=expected)
        async with self._owners.within(owner, size_bytes=info.size_bytes):
            await self._owners.put_blob(owner, info)
        self.stored += 1
        return answer(BlobView(hash=info.hash, size_bytes=info.size_bytes), 201)
