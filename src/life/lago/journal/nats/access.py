"""Where the servers are, and as whom to ask them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from life.aios.errors import InvalidInputError


class NatsAccess(NamedTuple):
    """Where the servers are and who asks. Passwords never show: print it as you like."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    system_user: str | None = None
    """A user of the system account, who may ask the servers whether they flush before they acknowledge."""
    system_password: str | None = None
    ca_file: Path | None = None
    """Certificates that the servers' own are signed with; only for `tls://`."""

    def __repr__(self) -> str:
        return f"NatsAccess({', '.join(self.servers)}, user={self.user!r}, system_user={self.system_user!r})"


class _Credentials(msgspec.Struct, forbid_unknown_fields=True):
    user: str
    password: str
    system_user: str | None = None
    system_password: str | None = None


def read_access(servers: tuple[str, ...], credentials: Path, *, ca_file: Path | None = None) -> NatsAccess:
    """Access with the users of a file: JSON with `user`, `password` and perhaps `system_user`, `system_password`.

    InvalidInputError when others than the owner may read the file, or when it holds something else.
    """
    try:
        if credentials.stat().st_mode & 0o077:
            raise InvalidInputError(
                f"The file {credentials} holds passwords and may be read by others.",
                next_step=f"chmod 600 {credentials}",
            )
        found = msgspec.json.decode(credentials.read_bytes(), type=_Credentials)
    except OSError as error:
        raise InvalidInputError(f"The file {credentials} can't be read: {error.strerror}.") from None
    except msgspec.DecodeError:  # its words could quote the file
        raise InvalidInputError(
            f"The file {credentials} must be JSON with `user` and `password`, and may have `system_user` and "
            "`system_password`."
        ) from None
    return NatsAccess(servers, found.user, found.password, found.system_user, found.system_password, ca_file)
