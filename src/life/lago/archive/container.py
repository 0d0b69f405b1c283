"""The file of an archive: a zip in which no byte is free (PKWARE APPNOTE 6.3, method "stored").

Members stand one behind the other in the order of their names, uncompressed, dated 1980-01-01, without extra fields or comments, so
the same members give the same file, and every byte is either a member's content or follows from its name, length and CRC-32. Any
program opens it. A file of 4 GiB or more is refused: it would need the format's extension.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from life.lago.errors import ArchiveDamagedError, ArchiveError

MAX_BYTES: Final = 2**32 - 1
MAX_MEMBERS: Final = 65_534

_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_VERSION, _UTF8, _STORED, _TIME, _DATE = 20, 0x0800, 0, 0, 0x21
_MADE_BY: Final = 3 << 8 | _VERSION
_MODE: Final = 0o100644 << 16
_PIECE: Final = 1 << 20


class Member(NamedTuple):
    """One member, and where its content stands in the file."""

    name: str
    offset: int
    size: int
    crc: int


def write_container(path: Path, members: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write the file anew. ArchiveError when it would get too large; OSErrors as they come."""
    done: list[Member] = []
    with path.open("wb") as file:
        for name, content in sorted(members, key=lambda one: one[0].encode()):
            done.append(_write_member(file, name, content))
            if file.tell() > MAX_BYTES or len(done) > MAX_MEMBERS:
                raise ArchiveError("The session does not fit into one archive of 4 GiB.")
        directory = _directory(done, file.tell())
        if file.tell() + len(directory) > MAX_BYTES:
            raise ArchiveError("The session does not fit into one archive of 4 GiB.")
        file.write(directory)


def read_container(file: BinaryIO) -> list[Member]:
    """The members, when every byte outside of them is what it must be; ArchiveDamagedError otherwise.

    Contents are not looked at: their CRC-32 is the caller's to compare, after reading them.
    """
    size = file.seek(0, 2)
    members = _read_directory(file, size)
    offset = 0
    for member in members:
        header = _local_header(member)
        file.seek(offset)
        if file.read(len(header)) != header or member.offset != offset + len(header):
            raise ArchiveDamagedError("(the file)", f"the header of {member.name} is not what the directory says")
        offset = member.offset + member.size
    directory = _directory(members, offset)
    file.seek(offset)
    if offset + len(directory) != size or file.read() != directory:
        raise ArchiveDamagedError("(the file)", "its directory was changed")
    return members


def content_of(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """A member in pieces; ArchiveDamagedError at the end when its CRC-32 is another one."""
    file.seek(member.offset)
    left, crc = member.size, 0
    while left:
        piece = file.read(min(left, _PIECE))
        if not piece:
            raise ArchiveDamagedError(member.name, "the file ends in it")
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
        yield piece
    if crc != member.crc:
        raise ArchiveDamagedError(member.name, "its content was changed")


def _write_member(file: BinaryIO, name: str, content: Path | bytes) -> Member:
    start = file.tell()
    member = Member(name, start + _LOCAL.size + len(name.encode()), 0, 0)
    file.write(_local_header(member))
    size = crc = 0
    for piece in _pieces(content):
        file.write(piece)
        size, crc = size + len(piece), zlib.crc32(piece, crc)
        if file.tell() > MAX_BYTES:
            raise ArchiveError("The session does not fit into one archive of 4 GiB.")
    member = member._replace(size=size, crc=crc)
    end = file.tell()
    file.seek(start)
    file.write(_local_header(member))
    file.seek(end)
    return member


def _pieces(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _local_header(member: Member) -> bytes:
    name = member.name.encode()
    fields = (_VERSION, _UTF8, _STORED, _TIME, _DATE, member.crc, member.size, member.size, len(name), 0)
    return _LOCAL.pack(b"PK\x03\x04", *fields) + name


def _directory(members: Iterable[Member], start: int) -> bytes:
    entries = []
    for member in members:
        name = member.name.encode()
        header_at = member.offset - _LOCAL.size - len(name)
        fields = (_VERSION, _UTF8, _STORED, _TIME, _DATE, member.crc, member.size, member.size, len(name), 0, 0, 0, 0)
        entries.append(_CENTRAL.pack(b"PK\x01\x02", _MADE_BY, *fields, _MODE, header_at) + name)
    directory = b"".join(entries)
    return directory + _END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), start, 0)


def _read_directory(file: BinaryIO, size: int) -> list[Member]:
    """What the directory says; whether it says it to the byte is compared afterwards."""
    if size < _END.size:
        raise ArchiveDamagedError("(the file)", "it is no archive")
    file.seek(size - _END.size)
    magic, _, _, count, _, length, start, _ = _END.unpack(file.read(_END.size))
    if magic != b"PK\x05\x06" or start + length + _END.size != size:
        raise ArchiveDamagedError("(the file)", "it is no archive, or was cut off")
    file.seek(start)
    directory, at, members = file.read(length), 0, []
    for _ in range(count):
        if len(directory) - at < _CENTRAL.size:
            raise ArchiveDamagedError("(the file)", "its directory was changed")
        fields = _CENTRAL.unpack_from(directory, at)
        crc, member_size, name_length, header_at = fields[7], fields[9], fields[10], fields[16]
        raw = directory[at + _CENTRAL.size : at + _CENTRAL.size + name_length]
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise ArchiveDamagedError("(the file)", "its directory was changed") from None
        members.append(Member(name, header_at + _LOCAL.size + len(raw), member_size, crc))
        at += _CENTRAL.size + len(raw)
    return members
