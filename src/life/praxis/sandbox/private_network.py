"""The one way out of a network of its own: a listening socket that was made inside it and is served from outside.

A socket belongs for ever to the network namespace it was made in. `enter_network.py` makes the namespace, listens on its loopback
address, sends the listening socket to us and becomes bubblewrap. So nothing of ours runs inside the sandbox, no socket file has to be
bound into it, and the proxy that answers there connects from here.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Final, Self

from life.praxis.sandbox.status_pipe import readable
from life.praxis.sandbox.surroundings import PROXY_PORT

_LAUNCHER: Final = Path(__file__).with_name("enter_network.py")
_LIMIT_S: Final = 10.0


class NetworkDoor:
    """A socket pair, over which the listening socket comes."""

    def __init__(self) -> None:
        self._outer, self._inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._outer.close()
        self._inner.close()

    @property
    def inner_fd(self) -> int:
        """The launcher's end."""
        return self._inner.fileno()

    async def receive(self) -> socket.socket:
        """The listening socket. OSError when the launcher could not make it."""
        self._inner.close()  # so that the launcher's end is the only one, and its death is seen
        self._outer.setblocking(False)
        async with asyncio.timeout(_LIMIT_S):
            await readable(self._outer.fileno())
        _, descriptors, _, _ = socket.recv_fds(self._outer, 16, 1)
        if len(descriptors) != 1:
            raise OSError("the launcher made no network")
        listener = socket.socket(fileno=descriptors[0])
        listener.setblocking(False)
        return listener


def network_launcher(inner_fd: int, argv: list[str]) -> list[str]:
    """The command that makes the network and then becomes `argv`."""
    return [sys.executable, "-I", "-S", "-B", str(_LAUNCHER), str(inner_fd), str(PROXY_PORT), *argv]
