"""Session archives: the same bytes for the same session, and no byte that can be changed unseen."""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.record import Stream
from life.lago import standalone_verifier
from life.lago.archive.container import write_container
from life.lago.archive.verifying import VerifiedArchive, verify_archive
from life.lago.archive.writing import write_archive
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.errors import ArchiveDamagedError, ArchiveError
from life.lago.proof.redaction import redact
from life.testing.clock import START_US
from tests.anima.material import SEED_B, did_of, handle
from tests.lago.proof.bench import HOUR_US, ProofBench, proof_bench, rotated_keys, said


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ProofBench]:
    """Two branches of a session under checkpoints, a redacted event, unusual letters, and an event that mentions a blob."""
    async with proof_bench(tmp_path / "journal.db", events=8) as made:
        blob = (await store(made).put(b"what the file held")).hash
        await made.journal.append(
            [said("file", text=f"wrote {blob}"), said("letters", text='Grüße \u2028 🌍 ,"kind":{')]
        )
        await made.checkpointer().take(when_due=False)
        await redact(
            made.journal,
            ["s/main-3"],
            reason="asked for",
            custody=made.custody,
            keys=made.keys,
            agent_id="agent",
            clock=made.clock,
            entropy=made.entropy,
        )
        yield made


def store(bench: ProofBench) -> BlobStore:
    """Where the blobs are."""
    return BlobStore(DirectoryObjects(bench.path.parent / "blobs", bench.entropy), bench.entropy)


async def archived(bench: ProofBench, name: str = "archive.zip", *, signed: bool = True) -> Path:
    """An archive of the session."""
    path = bench.path.parent / name
    custody, clock = (bench.custody, bench.clock) if signed else (None, None)
    await write_archive(path, bench.journal, "s", blobs=store(bench), keys=bench.keys, custody=custody, clock=clock)
    return path


def alone(path: Path, *words: str) -> tuple[int, str]:
    """What the verifier inside of an archive says, run by itself: isolated, without this package."""
    with zipfile.ZipFile(path) as archive:
        program = archive.read("verify.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(path), *words], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


async def test_both_verifiers_accept_it(bench: ProofBench) -> None:
    """The package's, and the one in the archive that has nothing but Python; they count the same."""
    path = await archived(bench)
    did = did_of(bench.custody)
    assert verify_archive(path, did=did) == VerifiedArchive("s", "agent", 19, 2, 1, 1, 2, did, (did,))
    code, said_ = alone(path, "--did", did)
    assert code == 0
    assert "19 events in 2 branches, 1 blobs, 1 redacted, 2 checkpoints" in said_
    assert f"Signed by {did}" in said_


async def test_the_same_session_gives_the_same_bytes(bench: ProofBench) -> None:
    """Without a signature, whatever the clock says; and any zip program reads it."""
    one = await archived(bench, "one.zip", signed=False)
    bench.clock.advance_us(HOUR_US)
    two = await archived(bench, "two.zip", signed=False)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == archive.namelist()
        first = gzip.decompress(archive.read("events/0001.jsonl.gz")).splitlines()
        assert json.loads(first[0])["event_id"] == "s/main-0"
    assert verify_archive(one).signer is None
    assert "Not signed" in alone(one)[1]


async def test_a_known_key_must_have_signed(bench: ProofBench) -> None:
    """An archive without a signature, or by another agent, is refused to whoever says whom they expect."""
    did, stranger = did_of(bench.custody), did_of(handle(SEED_B))
    unsigned = await archived(bench, "unsigned.zip", signed=False)
    with pytest.raises(ArchiveDamagedError, match="not signed"):
        verify_archive(unsigned, did=did)
    assert alone(unsigned, "--did", did)[0] == 1
    signed = await archived(bench)
    with pytest.raises(ArchiveDamagedError, match="no key of this agent"):
        verify_archive(signed, did=stranger)
    assert alone(signed, "--did", stranger)[0] == 1


async def test_every_flipped_bit_is_found(bench: ProofBench) -> None:
    """Any byte of the file, in either verifier; the package's names a member that is there, or the file itself."""
    path = await archived(bench)
    content = path.read_bytes()
    bent = path.with_name("bent.zip")
    chance = random.Random(5)
    places = sorted({0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(300))})
    names = [*zipfile.ZipFile(path).namelist(), "(the file)"]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        bent.write_bytes(changed)
        with pytest.raises(ArchiveDamagedError) as caught:
            verify_archive(bent)
        assert any(caught.value.member.startswith(name) for name in names), (place, caught.value)
        if place % 10 == 0:
            with pytest.raises((standalone_verifier.Refused, ValueError, KeyError, TypeError, AttributeError)):
                standalone_verifier.check_archive(bytes(changed), None)
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        bent.write_bytes(content[:cut])
        with pytest.raises(ArchiveDamagedError):
            verify_archive(bent)
    bent.write_bytes(content + b"\0")
    with pytest.raises(ArchiveDamagedError):
        verify_archive(bent)


Members = dict[str, bytes]


def rebuilt(path: Path, change: Callable[[Members], None], *, listed: bool = True) -> Path:
    """A skilled forger: change members, then make every hash in the manifest, and the zip, right again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if listed:
        manifest = json.loads(members["manifest.json"])
        inside = sorted(name for name in members if not name.startswith("manifest."))
        manifest["members"] = [
            {"name": name, "sha256": sha256(members[name]).hexdigest(), "size": len(members[name])} for name in inside
        ]
        members["manifest.json"] = json.dumps(
            manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    made = path.with_name("forged.zip")
    write_container(made, members.items())
    return made


def events_of(members: Members, name: str = "events/0001.jsonl.gz") -> list[bytes]:
    return gzip.decompress(members[name]).splitlines()


def put(members: Members, lines: list[bytes], name: str = "events/0001.jsonl.gz") -> None:
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as file:
        file.write(b"".join(line + b"\n" for line in lines))
    members[name] = packed.getvalue()


def altered(members: Members) -> None:
    lines = events_of(members)
    lines[4] = lines[4].replace(b"s/main-4", b"s/main-9")
    put(members, lines)


def swapped(members: Members) -> None:
    lines = events_of(members)
    lines[4], lines[5] = lines[5], lines[4]
    put(members, lines)


def dropped(members: Members) -> None:
    put(members, events_of(members)[:4] + events_of(members)[5:])


def doubled(members: Members) -> None:
    put(members, [*events_of(members)[:5], *events_of(members)[4:]])


def cut(members: Members) -> None:
    put(members, events_of(members)[:-2])


def stubbed(members: Members) -> None:
    lines = events_of(members)
    stub = lines[3][lines[3].index(b',"kind":') :]
    lines[5] = lines[5][: lines[5].index(b',"kind":')] + stub
    put(members, lines)


def unexplained(members: Members) -> None:
    lines = events_of(members)
    lines[-1] = lines[-1].replace(b"lago.redaction", b"lago.redactioN")
    put(members, lines)


def other_blob(members: Members) -> None:
    (name,) = (name for name in members if name.startswith("blobs/"))
    members[name] = b"something else"


def no_key(members: Members) -> None:
    del members["keys.json"]


def strange_key(members: Members) -> None:
    keys = json.loads(members["keys.json"])
    keys["keys"][0]["did"] = did_of(handle(SEED_B))
    members["keys.json"] = json.dumps(keys, sort_keys=True, separators=(",", ":")).encode()


def later_key(members: Members) -> None:
    keys = json.loads(members["keys.json"])
    keys["keys"][0]["from_us"] += 10 * HOUR_US
    members["keys.json"] = json.dumps(keys, sort_keys=True, separators=(",", ":")).encode()


def other_checkpoint(members: Members) -> None:
    lines = members["checkpoints.jsonl"].splitlines()
    members["checkpoints.jsonl"] = lines[0].replace(b'"sequence":10,"digest":"', b'"sequence":9,"digest":"') + b"\n"


@pytest.mark.parametrize(
    ("change", "member"),
    [
        (altered, "events/0001.jsonl.gz line 5"),
        (swapped, "events/0001.jsonl.gz line 5"),
        (dropped, "events/0001.jsonl.gz line 5"),
        (doubled, "events/0001.jsonl.gz line 6"),
        (cut, "events/0001.jsonl.gz"),
        (stubbed, "events/0001.jsonl.gz line 6"),
        (unexplained, "events/0001.jsonl.gz line 11"),
        (other_blob, "blobs/"),
        (no_key, "keys.json"),
        (strange_key, "checkpoints.jsonl line 1"),
        (later_key, "checkpoints.jsonl line 1"),
        (other_checkpoint, "checkpoints.jsonl"),
    ],
)
async def test_forgeries_with_every_hash_made_right(
    bench: ProofBench, change: Callable[[Members], None], member: str
) -> None:
    """The chain, the checkpoints and the signature know; the event or member is named, by both verifiers."""
    forged = rebuilt(await archived(bench), change)
    with pytest.raises(ArchiveDamagedError) as caught:
        verify_archive(forged)
    assert caught.value.member.startswith(member), caught.value
    code, said_ = alone(forged)
    assert code == 1
    assert member.split()[0] in said_ or "manifest.json: it is not the one that was signed" in said_


async def test_a_manifest_that_was_made_right_is_not_the_signed_one(bench: ProofBench) -> None:
    """A change that everything else allows (another README) shows in the signature; without one it can't be seen."""

    def other_readme(members: Members) -> None:
        members["README.txt"] = b"trust me"

    forged = rebuilt(await archived(bench), other_readme)
    with pytest.raises(ArchiveDamagedError, match="not the one that was signed"):
        verify_archive(forged)
    assert alone(forged)[0] == 1


@pytest.mark.parametrize("extra", [True, False])
async def test_members_that_were_added_or_left_out(bench: ProofBench, extra: bool) -> None:
    """The manifest knows each."""

    def change(members: Members) -> None:
        if extra:
            members["blobs/extra"] = b"!"
        else:
            del members["README.txt"]

    forged = rebuilt(await archived(bench), change, listed=False)
    with pytest.raises(ArchiveDamagedError, match=r"blobs/extra|README"):
        verify_archive(forged)
    assert alone(forged)[0] == 1


async def test_after_a_rotation(bench: ProofBench) -> None:
    """The history leads from the old key to the new one, each proven; the auditor may know either. An unproven link is refused."""
    bench.clock.advance_us(2 * HOUR_US)
    keys = await rotated_keys(at_us=START_US + HOUR_US)
    new = handle(SEED_B, clock=bench.clock)
    await bench.journal.append([said("by-the-new-key")])
    await bench.checkpointer(new).take(when_due=False)
    path = bench.path.parent / "rotated.zip"
    await write_archive(path, bench.journal, "s", keys=keys, custody=new, clock=bench.clock)
    for did in (did_of(bench.custody), did_of(new)):
        assert verify_archive(path, did=did).signer == did_of(new)
        assert alone(path, "--did", did)[0] == 0

    def unproven(members: Members) -> None:
        said_ = json.loads(members["keys.json"])
        link = said_["rotations"][0]
        link["rotation_proof_jws"], link["new_key_proof"] = link["new_key_proof"], link["rotation_proof_jws"]
        members["keys.json"] = json.dumps(said_, sort_keys=True, separators=(",", ":")).encode()

    forged = rebuilt(path, unproven)
    with pytest.raises(ArchiveDamagedError, match="not proven"):
        verify_archive(forged)
    assert alone(forged)[0] == 1

    late = bench.path.parent / "late.zip"
    await write_archive(late, bench.journal, "s", keys=keys, custody=bench.custody, clock=bench.clock)
    with pytest.raises(ArchiveDamagedError, match="had been replaced"):
        verify_archive(late)
    assert alone(late)[0] == 1


async def test_what_can_not_be_archived(bench: ProofBench, tmp_path: Path) -> None:
    """No such session, a name that is taken, a folder that is not there; nothing half-made stays."""
    with pytest.raises(NotFoundError):
        await write_archive(tmp_path / "a.zip", bench.journal, "nobody")
    taken = tmp_path / "taken.zip"
    taken.write_bytes(b"mine")
    with pytest.raises(InvalidInputError):
        await write_archive(taken, bench.journal, "s")
    assert taken.read_bytes() == b"mine"
    with pytest.raises(ArchiveError):
        await write_archive(tmp_path / "missing" / "a.zip", bench.journal, "s")
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".zip") and file != taken]
    for content in (b"", b"PK", b"x" * 100):
        taken.write_bytes(content)
        with pytest.raises(ArchiveDamagedError):
            verify_archive(taken)
    with pytest.raises(ArchiveError):
        verify_archive(tmp_path / "nothing.zip")


async def test_deeply_nested_events(bench: ProofBench) -> None:
    """As deep as the journal takes them; both verifiers read them."""
    depth = 800
    payload = b'{"type":"Custom","event_type":"x.deep","data":' + b"[" * depth + b"]" * depth + b"}"
    await bench.journal.append([msgspec.structs.replace(said("deep"), payload=payload, kind_name="Custom")])
    path = await archived(bench)
    assert verify_archive(path).events == 20
    assert alone(path)[0] == 0


async def test_unusual_names_of_branches(bench: ProofBench) -> None:
    """Ids are data, not file names."""
    await bench.journal.append([said("odd", Stream("s", "../../etc/passwd")), said("odd-2", Stream("s", "a%00/b"))])
    path = await archived(bench)
    assert verify_archive(path).branches == 4
    assert all(".." not in name for name in zipfile.ZipFile(path).namelist())
    assert msgspec.json.decode(zipfile.ZipFile(path).read("manifest.json"))["version"] == 1
