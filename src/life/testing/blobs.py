"""What every blob store promises (life.aios.ports.blobs). A backend's tests subclass `BlobSuite` and give a fixture `bench`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import NamedTuple

import pytest

from life.aios.errors import InvalidInputError, LifeError, NotFoundError
from life.aios.ports.blobs import Blobs

EMPTY = sha256(b"").hexdigest()


class BlobBench(NamedTuple):
    """A store under test."""

    blobs: Blobs
    damage: Callable[[str], Awaitable[None]]
    """Change the stored bytes of a blob behind the store's back."""


async def parts_of(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    """The content in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def incompressible(length: int) -> bytes:
    """Bytes that no compressor makes smaller, the same in every run."""
    out = bytearray()
    state = b"seed"
    while len(out) < length:
        state = sha256(state).digest()
        out += state
    return bytes(out[:length])


CONTENTS = {
    "empty": b"",
    "short": b"hello",
    "text": b"the same line again and again\n" * 5_000,
    "noise": incompressible(300_000),
    "piece": incompressible(64 * 1024),
    "two pieces": incompressible(128 * 1024 + 1),
    "long": incompressible(1_000) * 6_000,
}


class BlobSuite:
    """The promises of the port."""

    @pytest.fixture
    async def bench(self) -> BlobBench:
        """The store under test; a backend's own subclass says which."""
        raise pytest.UsageError("a subclass of BlobSuite needs a fixture `bench`")

    @pytest.mark.parametrize("name", CONTENTS)
    async def test_what_was_put_is_read(self, bench: BlobBench, name: str) -> None:
        """Whole and as a stream, under its SHA-256."""
        content = CONTENTS[name]
        info = await bench.blobs.put(content)
        assert info == (sha256(content).hexdigest(), len(content))
        assert await bench.blobs.exists(info.hash)
        assert await bench.blobs.get(info.hash) == content
        assert b"".join([part async for part in bench.blobs.stream(info.hash)]) == content

    @pytest.mark.parametrize("name", CONTENTS)
    async def test_a_stream_is_put_like_a_whole(self, bench: BlobBench, name: str) -> None:
        """The same hash, the same content, and the expected hash is checked before anything is kept."""
        content = CONTENTS[name]
        blob = sha256(content).hexdigest()
        with pytest.raises(InvalidInputError):
            await bench.blobs.put_stream(parts_of(content), expected="0" * 64)
        assert not await bench.blobs.exists(blob)
        assert await bench.blobs.put_stream(parts_of(content), expected=blob) == (blob, len(content))
        assert await bench.blobs.get(blob) == content

    async def test_equal_content_is_kept_once(self, bench: BlobBench) -> None:
        """Again, as a stream, and from many tasks at once."""
        content = CONTENTS["text"]
        await asyncio.gather(*(bench.blobs.put(content) for _ in range(6)))
        await bench.blobs.put_stream(parts_of(content))
        assert [blob.hash async for blob in bench.blobs.stored()] == [sha256(content).hexdigest()]

    async def test_what_is_not_there_is_not_found(self, bench: BlobBench) -> None:
        """A clear error, by every way of asking."""
        with pytest.raises(NotFoundError):
            await bench.blobs.get(EMPTY)
        with pytest.raises(NotFoundError):
            async for _ in bench.blobs.stream(EMPTY):
                pass
        assert not await bench.blobs.exists(EMPTY)
        assert not await bench.blobs.delete(EMPTY)

    @pytest.mark.parametrize(
        "name", ["", "..", "../" * 20 + "etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "/", "é" * 64]
    )
    async def test_a_hash_that_is_none_reaches_no_path(self, bench: BlobBench, name: str) -> None:
        """Refused by every method."""
        for work in (bench.blobs.get(name), bench.blobs.exists(name), bench.blobs.delete(name)):
            with pytest.raises(InvalidInputError):
                await work
        with pytest.raises(InvalidInputError):
            await bench.blobs.put_stream(parts_of(b"x"), expected=name)

    @pytest.mark.parametrize("name", ["short", "text", "noise", "two pieces"])
    async def test_changed_bytes_are_found_and_repaired_by_writing_again(self, bench: BlobBench, name: str) -> None:
        """Nothing wrong is given out to its end, and the same content put again makes it good."""
        content = CONTENTS[name]
        blob = (await bench.blobs.put(content)).hash
        await bench.damage(blob)
        given = bytearray()
        with pytest.raises(LifeError) as found:
            async for part in bench.blobs.stream(blob):
                given += part
        assert found.value.code == "lago.blob_damaged"
        assert len(given) < len(content)
        await bench.blobs.put(content)
        assert await bench.blobs.get(blob) == content

    async def test_a_limit_holds(self, bench: BlobBench) -> None:
        """Who asks for at most so much gets no more."""
        blob = (await bench.blobs.put(b"0123456789" * 100)).hash
        assert len(await bench.blobs.get(blob, max_bytes=1_000)) == 1_000
        with pytest.raises(InvalidInputError):
            await bench.blobs.get(blob, max_bytes=999)

    async def test_a_source_that_fails_leaves_nothing(self, bench: BlobBench) -> None:
        """Neither a blob nor a part of one."""

        async def failing() -> AsyncIterator[bytes]:
            yield b"some"
            raise RuntimeError("the source broke")

        with pytest.raises(RuntimeError):
            await bench.blobs.put_stream(failing())
        assert [blob async for blob in bench.blobs.stored()] == []

    async def test_deleting_spares_what_is_younger(self, bench: BlobBench) -> None:
        """A blob that was written again after the given time stays."""
        blob = (await bench.blobs.put(CONTENTS["text"])).hash
        (stored,) = [found async for found in bench.blobs.stored()]
        assert not await bench.blobs.delete(blob, written_before_us=stored.written_at_us - 5_000_000)
        assert await bench.blobs.exists(blob)
        assert await bench.blobs.delete(blob, written_before_us=stored.written_at_us + 5_000_000)
        assert not await bench.blobs.exists(blob)
