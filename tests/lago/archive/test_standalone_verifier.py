"""The verifier that goes with archives computes what the journal computes, for every record there can be."""

from __future__ import annotations

import ast
import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.journal import EventQuery
from life.aios.record import NewEvent, encode_record
from life.crypto import jws
from life.crypto.did import resolve_did
from life.lago import standalone_verifier
from life.lago.journal.chain import GENESIS, event_digest, pack
from life.lago.journal.memory import MemoryJournal
from life.lago.standalone_verifier import Refused, public_key, read_record, verify_token
from tests.anima.material import SEED_A, SEED_B, did_of, handle, seed_of
from tests.lago.test_export import some_event

packable = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=300) | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=15),
    max_leaves=20,
)


@given(packable)
def test_messagepack_in_its_shortest_form(value: object) -> None:
    """As the library writes it."""
    assert standalone_verifier.pack(value) == pack(value)


@pytest.mark.parametrize("length", [31, 32, 255, 256, 65_535, 65_536])
def test_messagepack_at_its_borders(length: int) -> None:
    """Where the next longer form begins."""
    for value in ("x" * length, b"x" * length):
        assert standalone_verifier.pack(value) == pack(value)


@given(st.lists(some_event, min_size=1, max_size=5, unique_by=lambda event: event.event_id))
def test_the_digest_of_any_record(events: list[NewEvent]) -> None:
    """From the exported line alone, the digest that the journal gave."""

    async def check() -> None:
        async with MemoryJournal() as journal:
            await journal.append(events)
            previous: dict[object, str] = {}
            for record in await journal.read(EventQuery(), limit=100):
                fields, payload = read_record(encode_record(record))
                before = previous.get(record.stream, GENESIS.hex())
                found = standalone_verifier.event_digest(before, fields, payload)
                assert found == event_digest(before, record) == record.digest
                previous[record.stream] = str(record.digest)

    asyncio.run(check())


@pytest.mark.parametrize("seed", [SEED_A, SEED_B, seed_of(1), seed_of(2), seed_of(3)])
async def test_signatures_and_keys(seed: bytes) -> None:
    """Both halves of the curve; a token of the agent's is accepted, and no other body, type or key."""
    custody = handle(seed)
    did = did_of(custody)
    point = public_key(did)
    assert point is not None
    raw = resolve_did(did).public_key
    assert (raw[0] & 1, int.from_bytes(raw[1:33], "big")) == (point[1] & 1, point[0])
    token = await custody.sign_token({"iss": did, "n": 1}, typ="x+jwt")
    assert verify_token(token, "x+jwt", "here") == (did, {"iss": did, "n": 1})
    head, body, tail = token.split(".")
    other = (await custody.sign_token({"iss": did, "n": 2}, typ="x+jwt")).split(".")
    for bent in (
        f"{head}.{other[1]}.{tail}",
        f"{head}.{body}.{other[2]}",
        f"{head}.{body}.{tail[:-4]}AAAA",
        f"{head}.{body}",
    ):
        with pytest.raises(Refused):
            verify_token(bent, "x+jwt", "here")
        assert bent.count(".") == 1 or jws.parse(bent)
    with pytest.raises(Refused):
        verify_token(token, "y+jwt", "here")


@pytest.mark.parametrize(
    "did", ["", "did:web:x", "did:key:z", "did:key:z0", "did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6w"]
)
def test_dids_that_are_none(did: str) -> None:
    """Refused, also a point that is not on the curve."""
    with pytest.raises(Refused):
        public_key(did)


def test_it_needs_nothing_but_python() -> None:
    """Only the standard library, and grammar of Python 3.9."""
    source = Path(standalone_verifier.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    names = {
        name.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
