"""Who may use a daemon.

One token per data directory, made at the first start (mode 0600 from its first byte). Programs send it as
`Authorization: Bearer …`. A person opens a one-time link; it is exchanged for a signed cookie that the page's forms then
carry. The cookie is an expiry and a nonce under HMAC-SHA-256 with a key derived from the token: deleting the token file
logs everybody out. Links live in memory, die when used or after ten minutes, and never survive a restart.

Source: ARCHITECTURE.md §2.11.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from pathlib import Path
from typing import Final

from life.aios.ports.clock import Clock, Entropy
from life.host.errors import DataDirectoryError

COOKIE_NAME: Final = "life_login"
COOKIE_LIFETIME_S: Final = 7 * 24 * 3600
LINK_LIFETIME_S: Final = 600
_MAX_OPEN_LINKS: Final = 16


def load_or_create_token(path: Path, entropy: Entropy) -> str:
    """The token in `path`, made when there is none. A file that others can read is refused."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return read_token(path)
    except OSError as error:
        raise DataDirectoryError(f"The access token {path} can't be written: {error.strerror}.") from None
    token = _urlsafe(entropy.token_bytes(32))
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def read_token(path: Path) -> str:
    """The token in `path`; DataDirectoryError when there is none, others can read it, or it is not usable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise DataDirectoryError(f"The access token {path} can't be read: {error.strerror}.") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise DataDirectoryError(f"The access token {path} is not a file.")
    with os.fdopen(descriptor, errors="replace") as file:
        if stat.S_IMODE(mode) & 0o077:
            raise DataDirectoryError(f"Others can read the access token {path}.", next_step=f"chmod 600 {path}")
        token = file.read(256).strip()
    if len(token) < 32:
        raise DataDirectoryError(
            f"The access token {path} is not usable.",
            next_step="Delete the file; a new token is made at the next start.",
        )
    return token


class Access:
    """Checks tokens and cookies, makes and redeems one-time links."""

    def __init__(self, token: str, clock: Clock, entropy: Entropy) -> None:
        self._token = token.encode()
        self._cookie_key = hmac.digest(self._token, b"life.cookie.1", "sha256")
        self._form_key = hmac.digest(self._token, b"life.form.1", "sha256")
        self._clock = clock
        self._entropy = entropy
        self._links: dict[bytes, int] = {}

    def token_is_valid(self, presented: str) -> bool:
        """Constant-time comparison."""
        return hmac.compare_digest(presented.encode(errors="replace"), self._token)

    def new_link_code(self) -> str:
        """A code for `/login?code=…`: single use, ten minutes."""
        now_us = self._clock.monotonic_us()
        self._links = {key: due for key, due in self._links.items() if due > now_us}
        while len(self._links) >= _MAX_OPEN_LINKS:
            del self._links[next(iter(self._links))]
        code = _urlsafe(self._entropy.token_bytes(24))
        self._links[_fingerprint(code)] = now_us + LINK_LIFETIME_S * 1_000_000
        return code

    def redeem_link(self, code: str) -> str | None:
        """A cookie value for a code that is open; None when it is not (used, expired, never made)."""
        due_us = self._links.pop(_fingerprint(code), None)
        if due_us is None or due_us <= self._clock.monotonic_us():
            return None
        expires_s = self._clock.now_us() // 1_000_000 + COOKIE_LIFETIME_S
        body = f"{expires_s}.{_urlsafe(self._entropy.token_bytes(12))}"
        return f"{body}.{self._seal(body)}"

    def cookie_is_valid(self, value: str) -> bool:
        """Whether this is a cookie of ours that has not expired."""
        body, _, seal = value.rpartition(".")
        if not hmac.compare_digest(self._seal(body).encode(), seal.encode(errors="replace")):
            return False
        return int(body.partition(".")[0]) > self._clock.now_us() // 1_000_000

    def form_token(self, cookie: str) -> str:
        """What the forms of this login carry. Who has it has seen a page of this login; it tells nothing about the cookie."""
        return _urlsafe(hmac.digest(self._form_key, cookie.encode(errors="replace"), "sha256"))

    def form_token_is_valid(self, cookie: str, presented: str) -> bool:
        """Whether a form is one of this login's."""
        return hmac.compare_digest(self.form_token(cookie).encode(), presented.encode(errors="replace"))

    def _seal(self, body: str) -> str:
        return _urlsafe(hmac.digest(self._cookie_key, body.encode(errors="replace"), "sha256"))


def _fingerprint(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="replace")).digest()


def _urlsafe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
