"""Leases in a key-value bucket: small facts that end by themselves, known to every hub.

A bucket is a JetStream stream with one message per key (subject `<name>.lease.<bucket>.<key>`) and a time to live, kept in memory: leases
need not survive the servers. It is NATS' key-value store but for the subjects: those of the original (`$KV.`) do not pass leaf nodes. A put is a
publish, so every hub hears it at once by a plain subscription, before it is stored; what a hub missed while it was away it reads from the bucket.
Nothing that must be true is built on a lease.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from life.spaces.engine.nats.link import NAME_IN_USE, STREAM_NOT_FOUND, Link, Msg, RefusedError, UnreachableError
from life.spaces.errors import SpacesUnavailableError

_log: Final = logging.getLogger(__name__)

_OPERATION: Final = "KV-Operation"
_DELETED: Final = frozenset({"DEL", "PURGE"})
_PAGE: Final = 256


class _Config(msgspec.Struct):
    name: str = ""


class _Info(msgspec.Struct):
    config: _Config


class Bucket:
    """One bucket. `on_put(key, value)` and `on_delete(key)` hear of changes by anybody, this hub included."""

    def __init__(
        self,
        link: Link,
        name: str,
        prefix: str,
        *,
        ttl_us: int,
        replicas: int,
        on_put: Callable[[str, bytes], None],
        on_delete: Callable[[str], None],
    ) -> None:
        self._link = link
        self._stream = name
        self._prefix = f"{prefix}."
        self._ttl_us = ttl_us
        self._replicas = replicas
        self._on_put = on_put
        self._on_delete = on_delete

    async def open(self, *, listen: bool = True) -> None:
        """Make the bucket if there is none, and hear what is put."""
        config = {
            "name": self._stream,
            "subjects": [f"{self._prefix}>"],
            "storage": "memory",
            "num_replicas": self._replicas,
            "max_msgs_per_subject": 1,
            "max_age": self._ttl_us * 1000,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "deny_delete": True,
        }
        try:
            await self._link.ask(f"{self._link.api}.STREAM.INFO.{self._stream}", {}, _Info)
        except RefusedError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            try:
                await self._link.ask(f"{self._link.api}.STREAM.CREATE.{self._stream}", config, _Info)
            except RefusedError as refusal:
                if refusal.code != NAME_IN_USE:  # another hub made it in this moment
                    if refusal.may_pass:
                        raise
                    raise SpacesUnavailableError(
                        f"JetStream refused to make the bucket {self._stream}: {refusal.description}."
                    ) from None
        if listen:
            await self._link.subscribe(f"{self._prefix}>", self._hear)

    async def put(self, key: str, value: bytes) -> bool:
        """Begin or renew a lease; False when it could not be sent. Whether it was stored is not waited for."""
        return await self._link.tell(self._prefix + key, value)

    async def claim(self, key: str) -> bool:
        """Put a key that nobody has; False when somebody does. UnreachableError when that is not known, RefusedError."""
        try:
            await self._link.put_first(self._stream, self._prefix + key)
        except RefusedError as error:
            if error.is_stale:
                return False
            raise
        return True

    async def delete(self, key: str) -> bool:
        """End a lease."""
        return await self._link.tell(self._prefix + key, b"", headers={_OPERATION: "DEL"})

    async def read(self) -> bool:
        """Hear of everything that is in the bucket now; False when it can't be read."""
        try:
            async for subject, body, operation in self._all():
                self._told(subject, body, operation)
        except (UnreachableError, RefusedError) as error:
            _log.debug("the bucket %s can't be read: %s", self._stream, error)
            return False
        return True

    async def _all(self) -> AsyncIterator[tuple[str, bytes, str]]:
        start = 1
        while True:
            page = await self._link.sparse_page(self._stream, start, _PAGE)
            for message in page:
                subject = message.headers.get("Nats-Subject", "")
                yield subject, message.body, message.headers.get(_OPERATION, "")
                start = message.sequence + 1
            if not page:
                return

    async def _hear(self, message: Msg) -> None:
        self._told(message.subject, message.data, (message.headers or {}).get(_OPERATION, ""))

    def _told(self, subject: str, body: bytes, operation: str) -> None:
        key = subject.removeprefix(self._prefix)
        if operation in _DELETED:
            self._on_delete(key)
        else:
            self._on_put(key, body)
