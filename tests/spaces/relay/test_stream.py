"""Messages in order over something that loses, repeats and reorders; and sealed frames."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.spaces.relay.errors import RelayForgedError
from life.spaces.relay.sealing import OneTimeKey
from life.spaces.relay.stream import MAX_WAITING_BYTES, WINDOW, Inbox, Outbox
from life.testing.clock import SeededEntropy

LINK = "A" * 22


def unsealed(_number: int, plain: bytes) -> bytes:
    return plain


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.integers(0, 3_000), max_size=40),
    fates=st.lists(st.sampled_from(["arrives", "lost", "twice", "late"]), min_size=1, max_size=60),
    chunk_bytes=st.integers(20, 900),
)
def test_every_message_arrives_once_in_order(sizes: list[int], fates: list[str], chunk_bytes: int) -> None:
    """Whatever is lost, repeated and late: after enough rounds each message is there, once, in order, and nothing waits any more."""
    outbox, inbox = Outbox(unsealed, chunk_bytes=chunk_bytes), Inbox()
    messages = [msgspec.json.encode({"n": n, "text": "é" * size}) for n, size in enumerate(sizes)]
    got: list[bytes] = []
    late: list[tuple[int, bytes]] = []
    turn = 0
    for message in messages:
        outbox.put(message)
    for round_ in range(1000):
        batch = []
        while outbox.can_send:
            chunk = outbox.next()
            batch.append((chunk.number, chunk.sealed))
        batch += outbox.unacknowledged(8)
        for number, sealed in [*late, *batch]:
            fate = fates[turn % len(fates)] if round_ < 20 else "arrives"
            turn += 1
            if fate == "late":
                late.append((number, sealed))
                continue
            for _ in range({"arrives": 1, "twice": 2}.get(fate, 0)):
                got += inbox.take(number, sealed)
        late = late[-30:] if round_ < 20 else []
        outbox.acknowledge(inbox.received)
        if outbox.is_idle:
            break
    assert got == messages
    assert outbox.is_idle


def test_a_sender_is_full_before_it_eats_the_memory() -> None:
    """At most `WINDOW` chunks are under way, and whoever makes messages is told to wait."""
    outbox = Outbox(unsealed, chunk_bytes=100)
    for _ in range(5):
        outbox.put(b'"' + b"x" * MAX_WAITING_BYTES + b'"')
    assert outbox.is_full
    sent = 0
    while outbox.can_send:
        outbox.next()
        sent += 1
    assert sent == WINDOW
    assert not outbox.acknowledge(10**6), "what was never sent can't be acknowledged"
    assert outbox.acknowledge(1)


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"\x01not json",
        b"\x01{}",
        b"\x03" + b"not packed",
        b"\x03" + zlib.compress(b"[1,2"),
        b"\x03" + zlib.compress(b"[]") + b"more",
        b"\x03" + zlib.compress(b"[" + b" " * (70 * 1024 * 1024) + b"]", 1),
        b"\x01" + b"[" * 10_000,
    ],
)
def test_what_is_not_in_the_form_is_refused(chunk: bytes) -> None:
    """Bad JSON, bad compression, a small text that unpacks to more than 64 MiB, nesting: one clear error."""
    with pytest.raises(RelayForgedError):
        Inbox().take(1, chunk)


def test_chunks_that_are_far_ahead_or_known_are_not_wanted() -> None:
    """Only what comes next, within the window, once."""
    inbox = Inbox()
    assert not inbox.wants(0)
    assert inbox.wants(1)
    assert inbox.take(2, b"\x01[2]") == []
    assert not inbox.wants(2)
    assert not inbox.wants(WINDOW + 1)
    assert inbox.take(1, b"\x01[1]") == [b"1", b"2"]
    assert not inbox.wants(1)
    for number in (0, 1, 2, WINDOW + 3, 10**9):
        assert inbox.take(number, b"\x01[9]") == []
    assert inbox._early == {}, "what is not wanted is not kept"


def test_only_the_other_side_of_the_same_link_opens_a_frame() -> None:
    """Another number, channel, link, direction, transcript or byte: it does not open; what both sides sealed, does. Keys are not shown."""
    entropy = SeededEntropy()
    owner, node = OneTimeKey(entropy), OneTimeKey(entropy)
    public = owner.public, node.public
    texts = {"opening": "o", "acceptance": "a"}
    here = owner.agree(public[1], side="owner", **texts)
    there = node.agree(public[0], side="node", **texts)
    frame = here.seal("data", 5, b"hello", link=LINK)
    assert there.open("data", 5, frame, link=LINK) == b"hello"
    assert here.open("control", 1, there.seal("control", 1, b"x", link=LINK), link=LINK) == b"x"
    for channel, number, sealed, link in (
        ("data", 6, frame, LINK),
        ("control", 5, frame, LINK),
        ("data", 5, frame, "B" * 22),
        ("data", 5, frame[:-1] + bytes((frame[-1] ^ 1,)), LINK),
        ("data", 5, b"", LINK),
    ):
        with pytest.raises(RelayForgedError):
            there.open(channel, number, sealed, link=link)  # type: ignore[arg-type]
    with pytest.raises(RelayForgedError):
        here.open("data", 5, frame, link=LINK)  # sent back to its sender
    with pytest.raises(RelayForgedError):
        owner.agree(public[1], side="owner", **texts)  # a one-time key agrees once
    other = OneTimeKey(entropy)
    stranger = other.agree(public[0], side="node", opening="o", acceptance="b")
    with pytest.raises(RelayForgedError):
        stranger.open("data", 5, frame, link=LINK)
    for shown in (repr(here), repr(owner)):
        assert "bytes" not in shown
        assert len(shown) < 100


def test_another_transcript_gives_other_keys() -> None:
    """Both sides have to have seen the same opening and the same answer."""
    entropy = SeededEntropy()
    owner, node = OneTimeKey(entropy), OneTimeKey(entropy)
    here = owner.agree(node.public, side="owner", opening="o", acceptance="a")
    there = node.agree(owner.public, side="node", opening="o!", acceptance="a")
    with pytest.raises(RelayForgedError):
        there.open("data", 1, here.seal("data", 1, b"x", link=LINK), link=LINK)
