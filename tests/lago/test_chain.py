"""The bytes of the chain of digests, written out by hand, and the compact forms of ids."""

from __future__ import annotations

import hashlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ids import encode_ulid
from life.aios.record import Actor, EventRecord, Schema
from life.lago.journal import chain

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ULID_BYTES = bytes.fromhex("01563e3ab5d3d6764c61efb99302bd5b")

RECORD = EventRecord(
    event_id=ULID,
    session_id="s",
    branch_id="main",
    agent_id="agent",
    sequence=300,
    timestamp_us=1_700_000_000_000_000,
    actor=Actor("system", "life"),
    schema=Schema("aios-protocol", "0.1.0"),
    kind_name="UserMessage",
    payload=b'{"type":"UserMessage","content":"hi"}',
    causation_id="not-a-ulid",
    trace_id="0af7651916cd43dd8448eb211c80319c",
)


def test_the_layout_byte_by_byte() -> None:
    """An auditor who follows the description, with MessagePack written by hand, gets the same digest."""
    previous = bytes(range(32))
    place = b"\x93" + b"\xa1s" + b"\xa4main" + b"\xcd\x01\x2c"
    description = (
        b"\x9c"
        + b"\xcf\x00\x06\x0a\x24\x18\x1e\x40\x00"  # 1,700,000,000,000,000
        + b"\xc4\x10"
        + ULID_BYTES
        + b"\xa5agent"
        + b"\xa6system"
        + b"\xa4life"
        + b"\xadaios-protocol"
        + b"\xa50.1.0"
        + b"\xaanot-a-ulid"
        + b"\xc0"  # no correlation id
        + b"\xc4\x10"
        + bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
        + b"\xc0"  # no span id
        + b"\xabUserMessage"
    )
    expected = hashlib.sha256(previous + place + description + RECORD.payload).hexdigest()
    assert chain.event_digest(previous.hex(), RECORD) == expected


def test_every_field_counts() -> None:
    """Another value in any field gives another digest, and so does the same text in another field."""
    changes: list[dict[str, object]] = [
        {"event_id": "x"},
        {"event_id": ULID.lower()},
        {"session_id": "s2"},
        {"branch_id": "side"},
        {"session_id": "smain", "branch_id": ""},
        {"agent_id": "agent2"},
        {"sequence": 301},
        {"timestamp_us": 0},
        {"timestamp_us": -1},
        {"actor": Actor("agent", "life")},
        {"actor": Actor("system")},
        {"schema": Schema("aios-protocol", "0.2.0")},
        {"kind_name": "Message"},
        {"payload": RECORD.payload + b" "},
        {"causation_id": None},
        {"causation_id": None, "correlation_id": "not-a-ulid"},
        {"trace_id": "0AF7651916CD43DD8448EB211C80319C"},
        {"span_id": "00"},
    ]
    digests = {chain.event_digest("00" * 32, msgspec.structs.replace(RECORD, **change)) for change in changes}
    digests |= {chain.event_digest("00" * 32, RECORD), chain.event_digest("11" * 32, RECORD)}
    assert len(digests) == len(changes) + 2


@given(st.one_of(st.text(max_size=40), st.binary(min_size=16, max_size=16).map(encode_ulid)))
def test_ids_keep_their_text(value: str) -> None:
    """Whatever becomes of an id inside, the same text comes out."""
    assert chain.expand_id(chain.compact_id(value)) == value


@given(st.one_of(st.text(max_size=40), st.binary(max_size=20).map(bytes.hex), st.text("0123456789abcdefABCDEF ")))
def test_hexadecimal_keeps_its_text(value: str) -> None:
    """Upper case, blanks and odd lengths are no compact form and stay as they are."""
    assert chain.expand_hex(chain.compact_hex(value)) == value


@given(st.text(), st.text())
def test_places_are_told_apart(session_id: str, branch_id: str) -> None:
    """The bytes of a place give back its session and branch."""
    assert chain.place_fields(chain.place(session_id, branch_id)) == (session_id, branch_id)
