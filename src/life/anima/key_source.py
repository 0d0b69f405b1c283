"""What opens the encrypted seed: a passphrase, or a random 32-byte key kept somewhere else.

A key source is a choice of the person who runs the agent, made on the command line, in the environment or by a prompt,
and handed in by the host:

* `Passphrase`: text that a person remembers, stretched with Argon2id. The strongest choice for a laptop: the folder and
  the whole disk may be copied without the wallet being lost.
* `RawKey`: 32 bytes that the caller already has, usually from a file descriptor (systemd credential, secret manager):
  `RawKey.from_descriptor`.
* `KeyFile`: 32 bytes in a file of mode 0600 outside of the project. This is what a first start without a terminal uses
  (default place: `default_key_file()`, or $LIFE_KEY_FILE through the host). It keeps the seed out of backups, images and
  repositories of the project; it does not protect against somebody who can read this user's files, and the command line
  says so.
* `KeyringKey`: the same 32 bytes in the keyring of the desktop session (extra `keyring`). The keyring hands them over as
  text, which Python cannot wipe.

Nothing here opens the seed; `seed_file` does. `unlock` gives the secret, `provision` makes one first where the source can.
Losing the secret means losing the keys: there is no second way in.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, NoReturn, Protocol

from life.aios.errors import MissingExtraError
from life.aios.ports.clock import Entropy
from life.anima.custody.locked_memory import LockedSecret
from life.anima.errors import CustodyAuthFailedError, CustodyInputError, CustodyUnavailableError, KeyNotFoundError
from life.anima.private_files import FolderLock, make_private_folder, read_private, write_private
from life.crypto.wiping import wipe

if TYPE_CHECKING:
    from types import ModuleType

KEY_BYTES: Final = 32
MIN_PASSPHRASE_CHARACTERS: Final = 8
MAX_PASSPHRASE_CHARACTERS: Final = 1024
KEYRING_SERVICE: Final = "lifeos"

SecretKind = Literal["passphrase", "raw_key"]


class Secret(NamedTuple):
    """What the seed's key is made from. `buffer` is the receiver's to wipe."""

    kind: SecretKind
    buffer: bytearray

    def __repr__(self) -> str:
        return f"<secret {self.kind}>"


class KeySource(Protocol):
    """Where the secret of a seed file comes from."""

    @property
    def description(self) -> str:
        """What it is and where it lies, for people; never the secret."""
        ...

    def unlock(self) -> Secret:
        """The secret that exists. KeyNotFoundError when there is none."""
        ...

    def provision(self, entropy: Entropy) -> Secret:
        """The secret for a new seed: the one that exists, or a new one where this source can make it."""
        ...


class _Redacted:
    """No repr, pickle or copy of a secret's holder."""

    description: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.description}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key source is not pickled or copied")


class Passphrase(_Redacted):
    """Text that a person remembers. Unicode is normalised to NFC, as RFC 8265 §4.2 does for passwords."""

    description = "a passphrase"

    def __init__(self, passphrase: str) -> None:
        """CustodyInputError when it is empty or absurdly long."""
        if not 1 <= len(passphrase) <= MAX_PASSPHRASE_CHARACTERS:
            raise CustodyInputError(f"A passphrase has 1 to {MAX_PASSPHRASE_CHARACTERS} characters.")
        try:
            encoded = bytearray(unicodedata.normalize("NFC", passphrase), "utf-8")
        except UnicodeEncodeError:
            raise CustodyInputError("The passphrase is not valid text.") from None
        self._long_enough = len(passphrase) >= MIN_PASSPHRASE_CHARACTERS
        self._secret = LockedSecret(encoded)
        wipe(encoded)

    def unlock(self) -> Secret:
        """The passphrase in UTF-8."""
        return Secret("passphrase", bytearray(self._secret.view))

    def provision(self, entropy: Entropy) -> Secret:
        """The passphrase, when it is long enough to protect a new seed; otherwise a CustodyInputError."""
        if not self._long_enough:
            raise CustodyInputError(
                f"A passphrase for a new identity needs at least {MIN_PASSPHRASE_CHARACTERS} characters.",
                next_step="Choose a longer one; several words are best.",
            )
        return self.unlock()


class RawKey(_Redacted):
    """A 32-byte key that the caller has."""

    def __init__(self, key: bytearray | memoryview, *, description: str = "a key given by the caller") -> None:
        """Copies `key`, which stays the caller's to wipe. CustodyInputError when it doesn't have 32 bytes."""
        if memoryview(key).nbytes != KEY_BYTES:
            raise CustodyInputError(f"The key of a seed file has exactly {KEY_BYTES} bytes.")
        self.description = description
        self._secret = LockedSecret(key)

    @classmethod
    def from_descriptor(cls, descriptor: int) -> RawKey:
        """The 32 bytes that can be read from an open file descriptor, which is closed."""
        buffer = bytearray(KEY_BYTES + 1)
        filled = 0
        try:
            while filled < len(buffer) and (count := os.readv(descriptor, [memoryview(buffer)[filled:]])):
                filled += count
            if filled != KEY_BYTES:
                raise CustodyInputError(f"File descriptor {descriptor} must give exactly {KEY_BYTES} bytes.")
            return cls(memoryview(buffer)[:KEY_BYTES], description=f"a key from file descriptor {descriptor}")
        except OSError as error:
            raise CustodyInputError(f"File descriptor {descriptor} can't be read: {error.strerror}.") from None
        finally:
            wipe(buffer)
            _close_quietly(descriptor)

    def unlock(self) -> Secret:
        """The key."""
        return Secret("raw_key", bytearray(self._secret.view))

    def provision(self, entropy: Entropy) -> Secret:
        """The key."""
        return self.unlock()


class KeyFile(_Redacted):
    """A random 32-byte key in a file of mode 0600, made when a new identity needs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description = f"a random key in the file {path} (whoever can read it can use the wallet)"

    def unlock(self) -> Secret:
        """The key in the file. KeyNotFoundError without file, InsecureFileError when others may read it."""
        key = read_private(self.path)
        if key is None:
            raise KeyNotFoundError(
                f"The key file {self.path} is missing; without it the seed can't be opened.",
                next_step="Restore the key file, or name its new place with LIFE_KEY_FILE.",
                details={"path": str(self.path)},
            )
        if len(key) != KEY_BYTES:
            wipe(key)
            raise CustodyAuthFailedError(f"The key file {self.path} does not hold a key of {KEY_BYTES} bytes.")
        return Secret("raw_key", key)

    def provision(self, entropy: Entropy) -> Secret:
        """The key in the file; a missing file is made first. Safe against other processes doing the same."""
        make_private_folder(self.path.parent)
        with FolderLock(self.path.parent):
            if not os.path.lexists(self.path):
                key = bytearray(entropy.token_bytes(KEY_BYTES))
                try:
                    write_private(self.path, key)
                finally:
                    wipe(key)
            return self.unlock()


class KeyringKey(_Redacted):
    """A random 32-byte key in the keyring of the desktop session, under the service `lifeos`."""

    def __init__(self, name: str) -> None:
        """`name` tells identities apart, for example the identity's folder. MissingExtraError without the extra."""
        self._name = name
        self._keyring = _load_keyring()
        self.description = f"a random key in the system keyring (service {KEYRING_SERVICE}, name {name})"

    def unlock(self) -> Secret:
        """The key in the keyring. KeyNotFoundError when it holds none under this name."""
        key = self._read()
        if key is None:
            raise KeyNotFoundError(
                f"The system keyring holds no key for {self._name}.",
                next_step="Run this in the session of the user who made the identity.",
            )
        return Secret("raw_key", key)

    def provision(self, entropy: Entropy) -> Secret:
        """The key in the keyring; a missing one is made first."""
        if self._read() is None:
            try:
                self._keyring.set_password(KEYRING_SERVICE, self._name, entropy.token_bytes(KEY_BYTES).hex())
            except self._keyring.errors.KeyringError as error:
                raise _keyring_unavailable(error) from None
        return self.unlock()

    def _read(self) -> bytearray | None:
        try:
            text: str | None = self._keyring.get_password(KEYRING_SERVICE, self._name)
        except self._keyring.errors.KeyringError as error:
            raise _keyring_unavailable(error) from None
        if text is None:
            return None
        try:
            key = bytearray.fromhex(text)
        except ValueError:
            key = bytearray()
        if len(key) != KEY_BYTES:
            raise CustodyAuthFailedError(f"What the system keyring holds for {self._name} is not a key of Life.")
        return key


def default_key_file() -> Path:
    """Where the key of a first start without passphrase goes: `identity.key` in the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("life")) / "identity.key"


def _load_keyring() -> ModuleType:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise MissingExtraError("The system keyring", "keyring") from None
    module: ModuleType = keyring
    return module


def _keyring_unavailable(error: Exception) -> CustodyUnavailableError:
    return CustodyUnavailableError(
        f"The system keyring does not answer ({type(error).__name__}).",
        next_step="Use a passphrase (LIFE_PASSPHRASE) or a key file (LIFE_KEY_FILE) on machines without a desktop session.",
    )


def _close_quietly(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass
