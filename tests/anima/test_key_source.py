"""Key sources: what opens the seed, and that none of them gives itself away."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from life.aios.errors import MissingExtraError
from life.anima.errors import (
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyUnavailableError,
    InsecureFileError,
    KeyNotFoundError,
)
from life.anima.key_source import KeyFile, KeyringKey, Passphrase, RawKey, default_key_file
from life.testing.clock import SeededEntropy


class SessionKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory behind keyring's own backend interface: what a desktop's keyring does, without a desktop."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        """What is stored, unless the keyring is locked."""
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store, unless the keyring is locked."""
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        self.entries[service, username] = password


@pytest.fixture
def session_keyring() -> Iterator[SessionKeyring]:
    """The keyring of this test's session."""
    before = keyring.get_keyring()
    backend = SessionKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


def test_passphrase() -> None:
    """A passphrase is UTF-8, unlocks as often as needed, and must be long enough for a new seed."""
    source = Passphrase("pässword")
    assert source.unlock() == source.provision(SeededEntropy()) == ("passphrase", bytearray("pässword", "utf-8"))
    assert source.unlock().buffer is not source.unlock().buffer
    short = Passphrase("short")
    assert short.unlock().buffer == b"short"
    with pytest.raises(CustodyInputError):
        short.provision(SeededEntropy())


@pytest.mark.parametrize("text", ["", "x" * 1025, "\ud800aaaaaaa"])
def test_passphrases_out_of_bounds(text: str) -> None:
    """Empty, absurdly long and broken texts are refused."""
    with pytest.raises(CustodyInputError):
        Passphrase(text)


def test_raw_key_from_a_descriptor() -> None:
    """Exactly 32 bytes are read and the descriptor is closed."""
    reader, writer = os.pipe()
    os.write(writer, bytes(range(32)))
    os.close(writer)
    source = RawKey.from_descriptor(reader)
    assert source.unlock() == ("raw_key", bytearray(range(32)))
    assert source.provision(SeededEntropy()) == source.unlock()
    with pytest.raises(OSError):
        os.fstat(reader)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_raw_keys_have_32_bytes(length: int) -> None:
    """Another length is refused, from a buffer and from a descriptor."""
    with pytest.raises(CustodyInputError):
        RawKey(bytearray(length))
    reader, writer = os.pipe()
    os.write(writer, bytes(length))
    os.close(writer)
    with pytest.raises(CustodyInputError):
        RawKey.from_descriptor(reader)


def test_a_descriptor_that_is_none() -> None:
    """A closed or absurd descriptor is an error with a code."""
    with pytest.raises(CustodyInputError):
        RawKey.from_descriptor(987)


def test_key_file_is_made_once(tmp_path: Path) -> None:
    """The first use makes a private file with 32 random bytes; every later one reads the same key."""
    path = tmp_path / "keys" / "identity.key"
    source = KeyFile(path)
    with pytest.raises(KeyNotFoundError):
        source.unlock()
    assert not path.parent.exists()
    made = source.provision(SeededEntropy("one"))
    assert made.kind == "raw_key"
    assert len(made.buffer) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert source.unlock() == source.provision(SeededEntropy("two")) == made
    assert str(path) in source.description
    assert "whoever can read it" in source.description


def test_key_files_others_may_read_are_refused(tmp_path: Path) -> None:
    """Loose permissions, links and wrong contents are refused, also when a new identity would use them."""
    path = tmp_path / "identity.key"
    KeyFile(path).provision(SeededEntropy())
    path.chmod(0o644)
    for use in (KeyFile(path).unlock, lambda: KeyFile(path).provision(SeededEntropy())):
        with pytest.raises(InsecureFileError):
            use()
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(CustodyAuthFailedError):
        KeyFile(path).unlock()
    link = tmp_path / "link.key"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InsecureFileError):
        KeyFile(link).provision(SeededEntropy())


def test_key_file_made_by_many_at_once(tmp_path: Path) -> None:
    """Several creators end up with one key."""
    keys: list[bytes] = []

    def make(number: int) -> None:
        keys.append(bytes(KeyFile(tmp_path / "identity.key").provision(SeededEntropy(str(number))).buffer))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_default_key_file_is_outside_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default place is the user's data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_key_file().name == "identity.key"
    assert default_key_file().is_relative_to(tmp_path)


def test_keyring(session_keyring: SessionKeyring) -> None:
    """The key is made once and read back; another name has another key."""
    source = KeyringKey("/home/ada/project/.life/identity")
    with pytest.raises(KeyNotFoundError):
        source.unlock()
    made = source.provision(SeededEntropy("one"))
    assert (made.kind, len(made.buffer)) == ("raw_key", 32)
    assert source.provision(SeededEntropy("two")) == source.unlock() == made
    with pytest.raises(KeyNotFoundError):
        KeyringKey("other").unlock()
    assert list(session_keyring.entries) == [("lifeos", "/home/ada/project/.life/identity")]


def test_keyring_trouble(session_keyring: SessionKeyring) -> None:
    """A locked keyring is unavailable for now; foreign contents don't open anything."""
    source = KeyringKey("x")
    for content in ("not hex", "00", ""):
        session_keyring.entries["lifeos", "x"] = content
        with pytest.raises(CustodyAuthFailedError):
            source.unlock()
    session_keyring.locked = True
    for use in (source.unlock, lambda: source.provision(SeededEntropy())):
        with pytest.raises(CustodyUnavailableError) as refusal:
            use()
        assert refusal.value.retryable


def test_keyring_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra one sentence says what to install."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingExtraError) as refusal:
        KeyringKey("x")
    assert refusal.value.next_step == "pip install 'lifeos[keyring]'"


def test_sources_hide_their_secret() -> None:
    """No repr, pickle or copy of a source carries its secret."""
    for source in (Passphrase("swordfish-swordfish"), RawKey(bytearray(b"K" * 32))):
        assert "swordfish" not in repr(source)
        assert "KKK" not in repr(source)
        assert "swordfish" not in repr(source.unlock())
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                duplicate(source)
