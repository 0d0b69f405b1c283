"""Overwriting buffers that held secrets.

Python cannot promise that no copy of a secret remains: interpreters copy, libraries copy, pages are swapped. What can
be done is done here and in the modules that take keys: secrets travel in mutable buffers owned by the caller, are
handed to C without conversion to ``bytes`` or ``int``, and are overwritten when their owner is finished.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from life.crypto.errors import InvalidKeyError


def wipe(buffer: bytearray | memoryview) -> None:
    """Overwrite ``buffer`` with zeros in place. Its length stays the same; a read-only view raises ``TypeError``."""
    with memoryview(buffer) as view, view.cast("B") as octets:
        octets[:] = bytes(octets.nbytes)


def secret_view(secret: bytearray | memoryview, *, length_bytes: int) -> memoryview:
    """Return the bytes of a caller's secret without copying them.

    Raises :class:`InvalidKeyError` unless ``secret`` is contiguous writable memory of ``length_bytes``: a secret that
    cannot be wiped is not accepted.
    """
    if not isinstance(secret, bytearray | memoryview):
        raise InvalidKeyError("a secret is passed in a writable buffer (bytearray or memoryview)")
    view = memoryview(secret)
    if view.readonly or not view.c_contiguous:
        raise InvalidKeyError("a secret is passed in contiguous writable memory")
    if view.nbytes != length_bytes:
        raise InvalidKeyError(f"this secret has {length_bytes} bytes")
    return view.cast("B")


@contextmanager
def wiped(buffer: bytearray) -> Iterator[bytearray]:
    """Lend ``buffer`` to a ``with`` block and overwrite it when the block ends, however it ends."""
    try:
        yield buffer
    finally:
        wipe(buffer)
