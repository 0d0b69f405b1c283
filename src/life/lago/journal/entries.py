"""Events on their way into the file.

An `Entry` is all that storing an event needs, with the part of the digest's bytes that does not depend on its place in
the stream already laid out. Entries are plain tuples of text, bytes and ints, so the same ones serve a store in this
process and one behind a socket. This module imports little, because a writer process starts with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from life.lago.journal.chain import Compact, pack

Entry: TypeAlias = tuple[
    bytes,  # place: session and branch (chain.place)
    Compact,  # event id
    str,  # name of the kind
    int,  # timestamp in microseconds
    bytes,  # origin: agent, actor and schema
    Compact | None,  # causation id
    Compact | None,  # correlation id
    Compact | None,  # trace id
    Compact | None,  # span id
    bytes,  # description (life.lago.journal.chain)
    bytes,  # payload
]

Expectation: TypeAlias = tuple[str, str, int]
"""Session, branch and the sequence at which the stream must end."""


Batch: TypeAlias = tuple[Sequence[Entry], Sequence[Expectation]]
"""One caller's events, stored together or not at all, and what it expects of the streams."""

Placed: TypeAlias = tuple[int, int, bytes, bool]
"""Where an event stands: sequence, position, digest, and whether it was stored before."""


def origin(agent_id: str, actor_type: str, component: str | None, schema_name: str, schema_version: str) -> bytes:
    """The bytes under which an origin is known."""
    return pack((agent_id, actor_type, component, schema_name, schema_version))


def origin_fields(origin_: bytes) -> tuple[str | None, ...]:
    """Agent, actor type, component, schema name and schema version that `origin` named."""
    return tuple(msgspec.msgpack.decode(origin_))
