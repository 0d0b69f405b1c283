"""Frames between a journal and its writer process."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import (
    EventConflictError,
    JournalError,
    JournalFullError,
    JournalUnavailableError,
    LifeError,
    SequenceConflictError,
)
from life.lago.errors import JournalFileDamagedError, JournalFormatError
from life.lago.journal.frames import Answer, Frames, answers, frame, refuse, requests, restore


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 9))
def test_frames_survive_any_cut(bodies: list[bytes], step: int) -> None:
    """A stream of frames that arrives in pieces of any size gives the same bodies."""
    messages: list[Answer] = [(number, [(1, number, body, False)], None) for number, body in enumerate(bodies)]
    stream = b"".join(frame([message]) for message in messages)
    frames = Frames()
    received = [body for at in range(0, len(stream), step) for body in frames.feed(stream[at : at + step])]
    assert [answers(body) for body in received] == [[message] for message in messages]


def test_requests_keep_their_types() -> None:
    """Bytes stay bytes, text stays text, None stays None."""
    entry = (b"p", "text-id", "Kind", -5, b"o", b"\0" * 16, "c", None, b"s", b"d", b"{}")
    ((number, entries, expected),) = requests(frame([(7, [entry], [("s", "main", 2**40)])])[4:])
    assert (number, [tuple(one) for one in entries]) == (7, [entry])
    assert [tuple(one) for one in expected] == [("s", "main", 2**40)]


def test_errors_arrive_as_what_they_were() -> None:
    """Type, words, next step and details of every error that the store can give."""
    errors: list[LifeError] = [
        SequenceConflictError("s", "main", expected=3, actual=2**40),
        EventConflictError("event"),
        JournalFullError("full", next_step="make room"),
        JournalUnavailableError("locked"),
        JournalFormatError("newer", next_step="upgrade"),
        JournalFileDamagedError("/tmp/j.db", "malformed"),
        JournalError("other"),
    ]
    for error in errors:
        ((_, _, refusal),) = answers(frame([(1, None, refuse(error))])[4:])
        assert refusal is not None
        again = restore(refusal)
        assert type(again) is type(error)
        assert (again.message, again.next_step, again.details) == (error.message, error.next_step, error.details)
