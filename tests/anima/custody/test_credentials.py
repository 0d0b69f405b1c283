"""PINs and tokens: where they come from, and where they don't show."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from life.anima.custody.credentials import MAX_CREDENTIAL_BYTES, Credential, CredentialFile
from life.anima.errors import CustodyInputError, InsecureFileError, KeyNotFoundError


def private(path: Path, content: bytes) -> CredentialFile:
    """A credential in a private file."""
    path.write_bytes(content)
    path.chmod(0o600)
    return CredentialFile(path)


def descriptor(content: bytes) -> int:
    """An open descriptor that gives these bytes."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_line_end_is_not_part_of_it(tmp_path: Path, end: bytes) -> None:
    """Editors and shells end a line; the text is what stands before."""
    assert private(tmp_path / "a", b"s.token" + end).reveal() == "s.token"
    assert Credential.from_descriptor(descriptor(b"s.token" + end)).reveal() == "s.token"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b" padded", b"\xff\xfe", b"a\x00b", b"x" * 5000])
def test_what_is_no_credential(tmp_path: Path, content: bytes) -> None:
    """Nothing, several lines, blanks around it, no text: refused without showing what it was."""
    attempts: tuple[Callable[[], str], ...] = (
        lambda: private(tmp_path / "a", content).reveal(),
        lambda: Credential.from_descriptor(descriptor(content)).reveal(),
    )
    for attempt in attempts:
        with pytest.raises(CustodyInputError) as refusal:
            attempt()
        assert "lines" not in str(refusal.value)


def test_files_must_be_private(tmp_path: Path) -> None:
    """A file that others may read is refused, a missing one is said so."""
    source = private(tmp_path / "a", b"1234")
    source.path.chmod(0o644)
    with pytest.raises(InsecureFileError):
        source.reveal()
    with pytest.raises(KeyNotFoundError):
        CredentialFile(tmp_path / "none").reveal()


def test_a_file_is_read_every_time(tmp_path: Path) -> None:
    """Who renews a token writes it into the file."""
    source = private(tmp_path / "a", b"first")
    assert source.reveal() == "first"
    private(tmp_path / "a", b"second")
    assert source.reveal() == "second"


def test_it_hides_itself(tmp_path: Path) -> None:
    """No repr, copy or pickle carries it; wiped, it is gone; the caller's buffer stays the caller's."""
    buffer = bytearray(b"567812")
    credential = Credential(buffer)
    assert "567812" not in repr(credential) + repr(private(tmp_path / "a", b"567812"))
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            duplicate(credential)
    assert buffer == b"567812"
    credential.wipe()
    with pytest.raises(ValueError, match="wiped"):
        credential.reveal()
    for size in (0, MAX_CREDENTIAL_BYTES + 1):
        with pytest.raises(CustodyInputError):
            Credential(bytearray(size))


def test_a_descriptor_is_closed() -> None:
    """It is read once, and can't be read again."""
    reading = descriptor(b"567812")
    Credential.from_descriptor(reading)
    with pytest.raises(CustodyInputError):
        Credential.from_descriptor(reading)
