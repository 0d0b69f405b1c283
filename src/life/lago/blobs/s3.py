"""Objects in an S3-compatible bucket (AWS S3, Cloudflare R2, MinIO, …), path-style addresses, plain HTTP requests.

A put is one request with the content's SHA-256 signed along, so the server keeps the whole object or none of it. What fails for
a reason that may pass (5xx, 429, no answer) is tried again a bounded number of times: every request here may be repeated.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import xml.etree.ElementTree as ElementTree  # answers of the configured store; see `_parse`
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx2

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.lago.blobs.aws_signature import EMPTY_SHA256, AwsCredentials, encode_path, encode_query, signed_headers
from life.lago.blobs.objects import StoredObject, explain
from life.lago.errors import BlobStoreUnavailableError

ATTEMPTS: Final = 4
PAUSE_US: Final = 200_000
TIMEOUT_S: Final = 60.0
MAX_LISTING_BYTES: Final = 4 * 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Bucket(NamedTuple):
    """Where the objects are. `prefix` stands before every name; it lets several stores share a bucket."""

    endpoint: str
    name: str
    region: str = "auto"
    prefix: str = "blobs/"


class S3Objects:
    """The Objects port over a bucket. Close it with `aclose`."""

    def __init__(
        self, bucket: Bucket, credentials: AwsCredentials, clock: Clock, *, scratch: Path | None = None
    ) -> None:
        """InvalidInputError for an endpoint that is neither HTTPS nor on this machine."""
        split = urlsplit(bucket.endpoint)
        if split.scheme not in ("http", "https") or not split.hostname or split.query or split.username:
            raise InvalidInputError("The bucket's endpoint is no http or https address.")
        if split.scheme == "http" and split.hostname not in _LOOPBACK:
            raise InvalidInputError("The bucket's endpoint is plain HTTP.", next_step="Use https.")
        self._bucket = bucket
        self._credentials = credentials
        self._clock = clock
        self._host = split.netloc
        self._base = f"{split.scheme}://{split.netloc}"
        self._root = f"{split.path.rstrip('/')}/{bucket.name}"
        self._scratch = scratch or Path(tempfile.gettempdir()) / f"lago-{os.getuid()}"
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    @property
    def scratch(self) -> Path:
        """See Objects."""
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._scratch

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def put(self, name: str, content: bytes) -> None:
        """See Objects."""
        await self._must("PUT", name, content=content, digest=sha256(content).hexdigest())

    async def put_file(self, name: str, file: Path) -> None:
        """See Objects. The file is read twice: for its hash, and to be sent."""
        try:
            digest = await asyncio.to_thread(_hash_file, file)
            await self._must("PUT", name, file=file, digest=digest)
            await asyncio.to_thread(file.unlink)
        except OSError as error:
            raise explain(error) from None

    async def get(self, name: str) -> bytes | None:
        """See Objects."""
        parts = [part async for part in self.stream(name)]
        return b"".join(parts) if parts else (b"" if await self.stat(name) is not None else None)

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """See Objects. An answer that breaks off is an error, not an end."""
        request = self._request("GET", self._key(name), {}, b"", EMPTY_SHA256)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.HTTPError, ssl.SSLError) as error:
            raise self._unavailable(type(error).__name__) from None
        try:
            if response.status_code == 404:
                return
            if response.status_code != 200:
                raise self._unavailable(f"HTTP {response.status_code}")
            try:
                async for piece in response.aiter_raw(_PIECE_BYTES):
                    yield piece
            except (httpx2.HTTPError, ssl.SSLError) as error:
                raise self._unavailable(type(error).__name__) from None
        finally:
            await response.aclose()

    async def stat(self, name: str) -> StoredObject | None:
        """See Objects. Ages are whole seconds here."""
        response = await self._call("HEAD", self._key(name))
        if response.status_code == 404:
            return None
        self._check(response)
        written = parsedate_to_datetime(response.headers.get("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"))
        size = int(response.headers.get("content-length", "0"))
        return StoredObject(name, size, int(written.timestamp() * 1_000_000))

    async def first_of(self, names: Sequence[str]) -> str | None:
        """See Objects."""
        for name in names:
            if await self.stat(name) is not None:
                return name
        return None

    async def refresh(self, name: str) -> bool:
        """See Objects. A copy onto itself, made by the store."""
        copied = {
            "x-amz-copy-source": encode_path(f"/{self._bucket.name}{self._key(name)}"),
            "x-amz-metadata-directive": "REPLACE",
        }
        response = await self._call("PUT", self._key(name), amz=copied)
        if response.status_code == 404:
            return False
        self._check(response)
        return True

    async def delete(self, name: str) -> bool:
        """See Objects. S3 does not say whether there was one, so it is asked before."""
        if await self.stat(name) is None:
            return False
        await self._must("DELETE", name)
        return True

    async def listing(self) -> AsyncIterator[StoredObject]:
        """See Objects. Page by page."""
        query = {"list-type": "2", "prefix": self._bucket.prefix}
        while True:
            response = await self._call("GET", "", query=query)
            self._check(response)
            objects, following = self._parse(response.content)
            for found in objects:
                yield found
            if following is None:
                return
            query = {**query, "continuation-token": following}

    # ---- requests

    def _key(self, name: str) -> str:
        return f"/{self._bucket.prefix}{name}"

    async def _must(
        self, method: str, name: str, *, content: bytes = b"", file: Path | None = None, digest: str = EMPTY_SHA256
    ) -> None:
        self._check(await self._call(method, self._key(name), content=content, file=file, digest=digest))

    async def _call(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes = b"",
        file: Path | None = None,
        digest: str = EMPTY_SHA256,
        amz: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        trouble = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep_us(PAUSE_US << attempt)
            body: bytes | AsyncIterator[bytes] = content if file is None else _read_file(file)
            request = self._request(method, key, query or {}, body, digest, amz)
            if file is not None:
                request.headers["content-length"] = str((await asyncio.to_thread(file.stat)).st_size)
                request.headers.pop("transfer-encoding", None)
            try:
                response = await self._client.send(request)
            except (httpx2.HTTPError, ssl.SSLError) as error:
                trouble = type(error).__name__
                continue
            if response.status_code < 500 and response.status_code != 429:
                return response
            trouble = f"HTTP {response.status_code}"
        raise self._unavailable(trouble)

    def _request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        content: bytes | AsyncIterator[bytes],
        digest: str,
        amz: Mapping[str, str] | None = None,
    ) -> httpx2.Request:
        path = f"{self._root}{key}"
        headers = signed_headers(
            self._credentials,
            method=method,
            host=self._host,
            path=path,
            query=query,
            region=self._bucket.region,
            payload_sha256=digest,
            amz=amz,
            now_s=self._clock.now_us() // 1_000_000,
        )
        address = f"{self._base}{encode_path(path)}" + (f"?{encode_query(query)}" if query else "")
        return self._client.build_request(method, address, headers=headers, content=content or None)

    def _check(self, response: httpx2.Response) -> None:
        if not 200 <= response.status_code < 300:
            raise self._unavailable(f"HTTP {response.status_code}")

    def _parse(self, content: bytes) -> tuple[list[StoredObject], str | None]:
        """One page of a listing. Entities are refused before the parser sees them (billion laughs)."""
        if len(content) > MAX_LISTING_BYTES or b"<!" in content[:1024]:
            raise self._unavailable("a listing that can't be right")
        try:
            tree = ElementTree.fromstring(content)  # noqa: S314 (no document type declaration gets here)
        except ElementTree.ParseError:
            raise self._unavailable("a listing that can't be read") from None
        space = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
        found = []
        for entry in tree.iter(f"{space}Contents"):
            key = entry.findtext(f"{space}Key") or ""
            written = datetime.fromisoformat(entry.findtext(f"{space}LastModified") or "1970-01-01T00:00:00+00:00")
            size = int(entry.findtext(f"{space}Size") or "0")
            name = key.removeprefix(self._bucket.prefix)
            found.append(StoredObject(name, size, int(written.timestamp() * 1_000_000)))
        following = tree.findtext(f"{space}NextContinuationToken")
        return found, following if tree.findtext(f"{space}IsTruncated") == "true" else None

    def _unavailable(self, why: str) -> BlobStoreUnavailableError:
        return BlobStoreUnavailableError(f"The bucket {self._bucket.name} at {self._host} can't be used ({why}).")


def _hash_file(file: Path) -> str:
    hashed = sha256()
    with file.open("rb") as reading:
        while piece := reading.read(_PIECE_BYTES):
            hashed.update(piece)
    return hashed.hexdigest()


async def _read_file(file: Path) -> AsyncIterator[bytes]:
    reading = await asyncio.to_thread(file.open, "rb")
    try:
        while piece := await asyncio.to_thread(reading.read, _PIECE_BYTES):
            yield piece
    finally:
        reading.close()
