"""Canonical paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.errors import OutsideWorkspaceError, ToolInputError
from life.praxis.paths import MAX_PATH_BYTES, canonical_path, display_name, split_last


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".", "."),
        ("./", "."),
        ("a", "a"),
        ("a/", "a"),
        ("./a//b/./c", "a/b/c"),
        ("...", "..."),
        ("a/..b", "a/..b"),
        ("ü/日本", "ü/日本"),
        ("a b", "a b"),
        ("*", "*"),
    ],
)
def test_paths_have_one_form(text: str, expected: str) -> None:
    """Dots and doubled or final slashes vanish; everything else stays as it is."""
    assert canonical_path(text) == expected


@pytest.mark.parametrize("text", ["/", "/etc/passwd", "//a", "..", "../a", "a/..", "a/../b", "a/../../b", "./../a"])
def test_paths_that_leave_are_refused(text: str) -> None:
    """Absolute paths and every `..` are refused, also where the sum stays inside."""
    with pytest.raises(OutsideWorkspaceError) as refused:
        canonical_path(text)
    assert refused.value.code == "praxis.outside_workspace"


@pytest.mark.parametrize(
    "text",
    ["", "a\0b", "a\nb", "a\x7f", "\ud800", "x" * 256, "ü" * 128, "a/" * (MAX_PATH_BYTES // 2) + "b"],
)
def test_what_can_be_no_path_is_refused(text: str) -> None:
    """Empty, NUL, control characters, lone surrogates, names over 255 bytes, paths over 4096 bytes."""
    with pytest.raises(ToolInputError) as refused:
        canonical_path(text)
    assert refused.value.code == "praxis.invalid_input"


def test_the_longest_path_is_accepted() -> None:
    """4096 bytes and 255-byte names are the kernel's limits and ours."""
    assert canonical_path("x" * 255) == "x" * 255
    assert len(canonical_path("a/" * 2047 + "bc")) == MAX_PATH_BYTES


@given(st.text(max_size=40) | st.from_regex(r"[a./]{0,30}", fullmatch=True))
def test_canonical_paths_are_fixed_points_without_ways_up(text: str) -> None:
    """Whatever is accepted is canonical already when asked again, and has no part that could go up."""
    try:
        path = canonical_path(text)
    except (ToolInputError, OutsideWorkspaceError):
        return
    assert canonical_path(path) == path
    assert not path.startswith("/")
    assert path == "." or not {"", ".", ".."} & set(path.split("/"))


def test_split_last_and_display_name() -> None:
    """The parent of a single name is the workspace; undecodable bytes are shown, not lost."""
    assert split_last("a") == (".", "a")
    assert split_last("a/b/c") == ("a/b", "c")
    assert display_name(b"a\xff".decode(errors="surrogateescape")) == "a\\xff"
