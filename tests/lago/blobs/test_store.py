"""The blob store in a directory: open, compressed, sealed; attacked below the store."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.lago.blobs import coding
from life.lago.blobs.coding import CodingError
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.errors import BlobDamagedError, BlobKeyMissingError, BlobStoreFullError
from life.testing.blobs import CONTENTS, BlobBench, BlobSuite, incompressible, parts_of
from life.testing.clock import SeededEntropy


class Keys:
    """Keys in memory."""

    def __init__(self, **keys: bytes) -> None:
        self.keys = keys
        self.current = next(iter(keys))

    def key(self, key_id: str) -> bytes | None:
        """See BlobKeys."""
        return self.keys.get(key_id)


def store(root: Path, *, keys: Keys | None = None, max_blob_bytes: int = 2**30, seed: str = "blobs") -> BlobStore:
    entropy = SeededEntropy(seed)
    return BlobStore(DirectoryObjects(root, entropy), entropy, keys=keys, max_blob_bytes=max_blob_bytes)


def files(root: Path) -> list[Path]:
    return sorted(file for file in root.rglob("*") if file.is_file())


def bench_of(root: Path, blobs: BlobStore) -> BlobBench:
    async def damage(blob: str) -> None:
        (file,) = (root / blob[:2]).glob(f"{blob[2:]}.*")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

    return BlobBench(blobs, damage)


class TestOpen(BlobSuite):
    """Without keys."""

    @pytest.fixture
    async def bench(self, tmp_path: Path) -> BlobBench:
        """A fresh directory."""
        return bench_of(tmp_path / "blobs", store(tmp_path / "blobs"))


class TestSealed(BlobSuite):
    """With an owner's key."""

    @pytest.fixture
    async def bench(self, tmp_path: Path) -> BlobBench:
        """A fresh directory."""
        return bench_of(tmp_path / "blobs", store(tmp_path / "blobs", keys=Keys(k1=b"1" * 32)))


async def test_the_layout_is_that_of_the_original(tmp_path: Path) -> None:
    """`<root>/<2 hex>/<62 hex>.zst`, one zstd frame; what does not get smaller lies there as it is."""
    blobs = store(tmp_path)
    text, noise, short = [(await blobs.put(CONTENTS[name])).hash for name in ("text", "noise", "short")]
    stored = (tmp_path / text[:2] / f"{text[2:]}.zst").read_bytes()
    assert zstd.decompress(stored) == CONTENTS["text"]
    assert len(stored) < len(CONTENTS["text"]) / 100
    assert (tmp_path / noise[:2] / f"{noise[2:]}.raw").read_bytes() == CONTENTS["noise"]
    assert (tmp_path / short[:2] / f"{short[2:]}.raw").read_bytes() == CONTENTS["short"]


async def test_sealed_blobs_show_nothing_and_need_their_key(tmp_path: Path) -> None:
    """No plain text on the disk; another key or none can't read it; an old key stays good for old blobs."""
    sealed = store(tmp_path, keys=Keys(k1=b"1" * 32))
    blob = (await sealed.put(CONTENTS["text"])).hash
    assert all(b"the same line" not in file.read_bytes() for file in files(tmp_path))
    with pytest.raises(BlobKeyMissingError):
        await store(tmp_path).get(blob)
    with pytest.raises(BlobKeyMissingError):
        await store(tmp_path, keys=Keys(k2=b"2" * 32)).get(blob)
    with pytest.raises(BlobDamagedError):
        await store(tmp_path, keys=Keys(k1=b"2" * 32)).get(blob)
    rotated = store(tmp_path, keys=Keys(k2=b"2" * 32, k1=b"1" * 32))
    assert await rotated.get(blob) == CONTENTS["text"]
    other = (await rotated.put(CONTENTS["noise"])).hash
    with pytest.raises(BlobKeyMissingError):
        await sealed.get(other)


async def test_sealed_pieces_cannot_be_exchanged_moved_or_left_out(tmp_path: Path) -> None:
    """Every attack on the order of pieces is a broken seal, never another content."""
    keys = Keys(k1=b"1" * 32)
    blobs = store(tmp_path, keys=keys)
    first = (await blobs.put(incompressible(200_000))).hash
    second = (await blobs.put(incompressible(199_999))).hash
    (file,) = (tmp_path / first[:2]).glob("*.sealed")
    (other,) = (tmp_path / second[:2]).glob("*.sealed")
    whole, header = file.read_bytes(), 5 + 2 + 7
    size = coding.PIECE_BYTES + 16
    pieces = [whole[header + start : header + start + size] for start in range(0, len(whole) - header, size)]
    for attack in (
        whole[:header] + pieces[1] + pieces[0] + b"".join(pieces[2:]),
        whole[: header + size],
        whole[:-1],
        whole + b"\0",
        whole[:header] + b"".join(pieces[1:]),
        other.read_bytes(),
        b"",
        whole[:7],
        b"XX" + whole[2:],
    ):
        file.write_bytes(attack)
        with pytest.raises(BlobDamagedError):
            await blobs.get(first)


async def test_a_frame_that_grows_beyond_the_limit_is_stopped(tmp_path: Path) -> None:
    """A few kilobytes that would become gigabytes are given up at the limit."""
    blobs = store(tmp_path, max_blob_bytes=1_000_000)
    bomb = zstd.compress(bytes(200_000_000), 3)
    name = "ab" + "0" * 62
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / f"{name[2:]}.zst").write_bytes(bomb)
    with pytest.raises(BlobDamagedError, match="longer"):
        await blobs.get(name)


async def test_too_long_is_refused_while_it_comes_in(tmp_path: Path) -> None:
    """Nothing is left of it."""
    blobs = store(tmp_path, max_blob_bytes=100_000)
    with pytest.raises(InvalidInputError):
        await blobs.put_stream(parts_of(incompressible(100_001)))
    assert files(tmp_path) == []


async def test_a_full_disk_keeps_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short and long contents; afterwards the same content goes through."""
    blobs = store(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for content in (CONTENTS["text"], CONTENTS["long"]):
            with pytest.raises(BlobStoreFullError):
                await blobs.put(content)
    assert [blob async for blob in blobs.stored()] == []
    assert not any(file.parent.name == "incoming" for file in files(tmp_path))
    assert await blobs.get((await blobs.put(CONTENTS["long"])).hash) == CONTENTS["long"]


async def test_writers_of_the_same_blob_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Eight stores on one directory, long and short content, at once."""
    stores = [store(tmp_path, seed=str(number)) for number in range(8)]
    for content in (CONTENTS["text"], CONTENTS["long"]):
        infos = await asyncio.gather(*(blobs.put(content) for blobs in stores))
        assert len(set(infos)) == 1
        assert await stores[0].get(infos[0].hash) == content
    assert not list((tmp_path / "incoming").iterdir())


async def test_what_is_no_blob_is_passed_over(tmp_path: Path) -> None:
    """Other files in the folder are neither listed nor touched."""
    blobs = store(tmp_path)
    blob = (await blobs.put(b"content")).hash
    (tmp_path / blob[:2] / "notes.txt").write_text("mine")
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "x.zst").write_text("mine")
    assert [found.hash async for found in blobs.stored()] == [blob]


@given(st.binary(max_size=3_000), st.lists(st.integers(1, 700), max_size=6), st.booleans())
def test_coders_give_back_what_they_took_in_any_pieces(content: bytes, cuts: list[int], sealed: bool) -> None:
    """However the bytes are cut on their way in and out."""
    keys, blob = Keys(k1=b"1" * 32), "ab" * 32
    inner: coding.Coder = coding.Compress()
    encoder: coding.Coder = inner
    if sealed:
        sealing = coding.Seal(inner, inner_form=coding.INNER_ZSTD, keys=keys, entropy=SeededEntropy("c"))
        sealing.bind(blob)
        encoder = sealing
    decoder: coding.Coder = coding.Unseal(blob, keys=keys, limit_bytes=10_000) if sealed else coding.Decompress(10_000)
    assert _through(decoder, _through(encoder, content, cuts), cuts[::-1]) == content


@given(st.binary(max_size=2_000))
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    """No other exception from a decoder, whatever lies on the disk."""
    for decoder in (coding.Decompress(10_000), coding.Unseal("ab" * 32, keys=Keys(k1=b"1" * 32), limit_bytes=10_000)):
        try:
            decoder.feed(content)
            decoder.finish()
        except (CodingError, coding.KeyNotHereError):
            pass


def _through(coder: coding.Coder, content: bytes, cuts: list[int]) -> bytes:
    out, place = b"", 0
    for cut in cuts:
        out += coder.feed(content[place : place + cut])
        place += cut
    return out + coder.feed(content[place:]) + coder.finish()
