"""The blob store in a bucket: moto's server speaks S3 on loopback, and boto-free requests of ours talk to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from life.aios.errors import InvalidInputError
from life.host.clock import SystemClock
from life.lago.blobs.aws_signature import AwsCredentials
from life.lago.blobs.s3 import Bucket, S3Objects
from life.lago.blobs.store import BlobStore
from life.lago.errors import BlobStoreUnavailableError
from life.testing.blobs import CONTENTS, BlobBench, BlobSuite
from life.testing.clock import SeededEntropy
from tests.peers.processes import free_port

CREDENTIALS = AwsCredentials("key", "secret")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server for the module; each test has a bucket of its own."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def objects(endpoint: str, tmp_path: Path) -> AsyncIterator[S3Objects]:
    """An empty bucket."""
    bucket = Bucket(endpoint, tmp_path.name.replace("_", "-")[-60:].strip("-"), region="us-east-1")
    made = S3Objects(bucket, CREDENTIALS, SystemClock(), scratch=tmp_path / "scratch")
    response = await made._call("PUT", "")
    assert response.status_code == 200, response.text
    yield made
    await made.aclose()


class TestBucket(BlobSuite):
    """The promises of the port."""

    @pytest.fixture
    async def bench(self, objects: S3Objects) -> BlobBench:
        """A store over the bucket."""

        async def damage(blob: str) -> None:
            for suffix in (".zst", ".raw"):
                name = f"{blob[:2]}/{blob[2:]}{suffix}"
                content = await objects.get(name)
                if content is not None:
                    await objects.put(name, content[:-1] + bytes([content[-1] ^ 1]))

        return BlobBench(BlobStore(objects, SeededEntropy("s3")), damage)


async def test_listings_come_page_by_page_and_prefixes_keep_stores_apart(endpoint: str, objects: S3Objects) -> None:
    """More objects than a page has, and another store in the same bucket."""
    other = S3Objects(objects._bucket._replace(prefix="other/"), CREDENTIALS, SystemClock())
    try:
        await other.put("aa/mine", b"x")
        await asyncio.gather(*(objects.put(f"{number:04x}", b"x") for number in range(1_050)))
        assert len([found async for found in objects.listing()]) == 1_050
        assert [found.name async for found in other.listing()] == ["aa/mine"]
        assert await objects.get("aa/mine") is None
        assert not await objects.refresh("aa/mine")
    finally:
        await other.aclose()


async def test_a_bucket_that_is_not_there_is_unavailable_and_says_no_secret(endpoint: str, tmp_path: Path) -> None:
    """Writing fails with a clear error; the secret stands in none."""
    for at in (endpoint, f"http://127.0.0.1:{free_port()}"):
        missing = S3Objects(Bucket(at, "missing"), CREDENTIALS, _Hasty(), scratch=tmp_path)
        try:
            with pytest.raises(BlobStoreUnavailableError) as refused:
                await BlobStore(missing, SeededEntropy("s3")).put(CONTENTS["text"])
            assert "secret" not in str(refused.value)
        finally:
            await missing.aclose()


@pytest.mark.parametrize(
    "address", ["http://s3.example.org", "ftp://x", "s3.example.org", "https://u:p@s3.example.org"]
)
def test_addresses_that_would_show_the_content_are_refused(address: str) -> None:
    """Plain HTTP beyond this machine, other protocols, users in the address."""
    with pytest.raises(InvalidInputError):
        S3Objects(Bucket(address, "b"), CREDENTIALS, SystemClock())


class _Hasty(SystemClock):
    """Does not wait between attempts."""

    async def sleep_us(self, duration_us: int) -> None:
        """At once."""
