"""The writer process: `python -m life.lago.journal.writer_process <socket fd> <journal> <warm|cold>`.

It owns the writing connection. It takes every request that has arrived, commits all of them in one transaction, and
answers in one frame; what arrives meanwhile is the next group. When the other end closes, because the journal was closed
or its process died, it finishes the group it has and exits. Signals that a terminal or a service manager sends to the
whole group (INT, TERM, HUP) are ignored: the journal's own process decides when writing ends.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

from life.aios.errors import JournalError, JournalUnavailableError
from life.lago.journal.entries import Batch
from life.lago.journal.frames import READY, Answer, Frames, Request, frame, refuse, requests
from life.lago.journal.store import Outcome, Store, WriteLockBusyError

RECEIVE_BYTES: Final = 2**20
LOCK_PATIENCE_S: Final = 10.0
"""How long another process may hold the write lock before the waiting batches fail."""

_RETRY_S: Final = 0.0005
_PARENT_CHECK: Final = struct.pack("@ll", 5, 0)
"""How often to see whether the journal's process is there (a `struct timeval`, five seconds)."""


def main(arguments: list[str]) -> int:
    """Serve one journal until its process goes away. 0 when all went well, 1 when the file could not be opened."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=int(arguments[0]))
    try:
        store = Store(Path(arguments[1]))
    except JournalError as error:
        connection.sendall(frame([(READY, None, refuse(error))]))
        return 1
    try:
        connection.sendall(frame([(READY, [], None)]))
        if arguments[2] == "warm":
            store.warm()
        serve(connection, store, path=arguments[1])
    except (BrokenPipeError, ConnectionResetError):
        return 0  # nobody is left to hear the answer; what was committed stays
    finally:
        store.close()
    return 0


def serve(connection: socket.socket, store: Store, *, path: str) -> None:
    """Commit groups until the other end closes."""
    frames = Frames()
    parent = os.getppid()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PARENT_CHECK)
    while True:
        waiting, closed = _receive(connection, frames, parent)
        if waiting:
            outcomes = _commit(store, [(entries, expected) for _, entries, expected in waiting], path)
            connection.sendall(
                frame([_answer(request[0], outcome) for request, outcome in zip(waiting, outcomes, strict=True)])
            )
        if closed:
            return


def _receive(connection: socket.socket, frames: Frames, parent: int) -> tuple[list[Request], bool]:
    """Everything that has arrived, at least one request, and whether the other end is closed."""
    waiting: list[Request] = []
    while True:
        try:
            # Once there is something, take only what is there already.
            data = connection.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT if waiting else 0)
        except BlockingIOError:
            if waiting:
                return waiting, False
            if os.getppid() != parent:  # a copy of the socket in a forked process can outlive the journal's process
                return waiting, True
            continue
        if not data:
            return waiting, True
        for body in frames.feed(data):
            waiting += requests(body)


def _commit(store: Store, batches: list[Batch], path: str) -> list[Outcome]:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return store.commit(batches)
        except WriteLockBusyError:
            if time.monotonic() > deadline:
                locked = JournalUnavailableError(f"The journal {path} is locked by another process.")
                return [locked] * len(batches)
            time.sleep(_RETRY_S)


def _answer(number: int, outcome: Outcome) -> Answer:
    if isinstance(outcome, list):
        return (number, outcome, None)
    return (number, None, refuse(outcome))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
