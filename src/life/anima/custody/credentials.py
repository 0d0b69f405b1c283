"""What opens a key store that is not this process: a PIN, or a Vault token (AN-TPM-3, AN-VLT-6).

It comes from an open file descriptor (systemd credential, secret manager), from a private file, or from the caller's own
buffer; never from an argument vector or the environment. The text lies in a locked page until it is needed. The libraries
that receive it take immutable strings, which Python frees without wiping, so a copy may stay in this process's memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NoReturn, Protocol

from life.anima.custody.locked_memory import LockedSecret
from life.anima.errors import CustodyInputError, KeyNotFoundError
from life.anima.private_files import read_private
from life.crypto.wiping import wipe

MAX_CREDENTIAL_BYTES: Final = 4096


class CredentialSource(Protocol):
    """Where a PIN or token comes from."""

    @property
    def description(self) -> str:
        """What it is and where it lies, for people; never the secret."""
        ...

    def reveal(self) -> str:
        """The text, read anew where the source can change. KeyNotFoundError when there is none, CustodyInputError when
        it is no text of one line."""
        ...


class Credential:
    """A PIN or token that the caller has."""

    __slots__ = ("_secret", "description")

    def __init__(
        self, secret: bytearray | memoryview, *, description: str = "a credential given by the caller"
    ) -> None:
        """Copies `secret`, which stays the caller's to wipe. CustodyInputError when it is empty or too long."""
        if not 0 < memoryview(secret).nbytes <= MAX_CREDENTIAL_BYTES:
            raise CustodyInputError(f"A PIN or token has 1 to {MAX_CREDENTIAL_BYTES} bytes.")
        self.description = description
        self._secret = LockedSecret(secret)

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Credential:
        """What can be read from an open file descriptor, without a line end; the descriptor is closed."""
        buffer = bytearray(MAX_CREDENTIAL_BYTES + 2)
        filled = 0
        try:
            while filled < len(buffer) and (count := os.readv(descriptor, [memoryview(buffer)[filled:]])):
                filled += count
            view = memoryview(buffer)[: _without_line_end(buffer, filled)]
            return cls(view, description=f"a credential from file descriptor {descriptor}")
        except OSError as error:
            raise CustodyInputError(f"File descriptor {descriptor} can't be read: {error.strerror}.") from None
        finally:
            wipe(buffer)
            _close_quietly(descriptor)

    def reveal(self) -> str:
        """The text."""
        return _text(self._secret.view)

    def wipe(self) -> None:
        """Overwrite it; `reveal` is a ValueError afterwards."""
        self._secret.wipe()

    def __repr__(self) -> str:
        return f"<Credential: {self.description}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled or copied")


class CredentialFile:
    """A PIN or token in a private file (mode 0600), read anew every time, so that an agent beside us may renew it."""

    __slots__ = ("description", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description = f"the file {path}"

    def reveal(self) -> str:
        """The file's text without a line end. KeyNotFoundError without file, InsecureFileError when others may read it."""
        content = read_private(self.path)
        if content is None:
            raise KeyNotFoundError(
                f"The credential file {self.path} is missing.",
                next_step=f"Write the PIN or token into {self.path}, with mode 0600.",
                details={"path": str(self.path)},
            )
        try:
            length = _without_line_end(content, len(content))
            if not 0 < length <= MAX_CREDENTIAL_BYTES:
                raise CustodyInputError(f"The credential file {self.path} holds no PIN or token.")
            with memoryview(content) as view, view[:length] as secret:
                return _text(secret)
        finally:
            wipe(content)

    def __repr__(self) -> str:
        return f"<CredentialFile: {self.path}>"


def _text(secret: memoryview) -> str:
    try:
        text = str(secret, "utf-8")
    except UnicodeDecodeError:
        raise CustodyInputError("A PIN or token is UTF-8 text.") from None
    if not text.isprintable() or text != text.strip():
        raise CustodyInputError("A PIN or token is one line of printable text without blanks around it.")
    return text


def _without_line_end(buffer: bytearray, length: int) -> int:
    while length and buffer[length - 1] in b"\r\n":
        length -= 1
    return length


def _close_quietly(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass
