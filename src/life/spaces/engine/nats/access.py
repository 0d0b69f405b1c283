"""Where the servers are, and as whom to ask them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class NatsAccess(NamedTuple):
    """Where the servers are and who asks. Passwords never show: print it as you like."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    system_user: str | None = None
    """A user of the system account: to learn whether the servers flush before they acknowledge, and to disconnect agents."""
    system_password: str | None = None
    ca_file: Path | None = None
    """Certificates that the servers' own are signed with; only for `tls://`."""

    def __repr__(self) -> str:
        return f"NatsAccess({', '.join(shown(server) for server in self.servers)}, user={self.user!r}, system_user={self.system_user!r})"

    @property
    def system(self) -> NatsAccess | None:
        """The same servers, asked as the system's user; None where there is none."""
        if self.system_user is None or self.system_password is None:
            return None
        return self._replace(user=self.system_user, password=self.system_password)


def shown(server: str) -> str:
    """An address without the password that somebody may have written into it."""
    scheme, separator, rest = server.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
