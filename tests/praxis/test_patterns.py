"""Path patterns."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.errors import OutsideWorkspaceError, ToolInputError
from life.praxis.patterns import PathPattern, expand_braces


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.py", "a.py", True),
        ("*.py", "d/a.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "d/e/a.py", True),
        ("d/**", "d/e/f", True),
        ("d/**", "d", False),
        ("d/**/f", "d/f", True),
        ("d/**/f", "d/x/y/f", True),
        ("d/**/f", "d/x/y/g", False),
        ("**", "a/b", True),
        ("a/**/b/**/c", "a/x/b/y/b/z/c", True),
        ("?.[ch]", "x.c", True),
        ("?.[!ch]", "x.c", False),
        ("src/*.{ts,tsx}", "src/a.tsx", True),
        ("{a,b/{c,d}}/x", "b/d/x", True),
        ("{a}", "{a}", True),
        ("A", "a", False),
        (".*", ".env", True),
        ("*", ".env", True),
        ("./a", "a", True),
        ("[", "[", True),
    ],
)
def test_what_fits(pattern: str, path: str, expected: bool) -> None:
    """Stars stay within a component, double stars cross, case counts, a dot is nothing special."""
    assert PathPattern(pattern).matches(path) is expected


def test_what_is_no_pattern() -> None:
    """Absolute, upwards, empty, too long, too many alternatives."""
    for text in ("/etc/*", "../*", "a/../../b", "{a,/etc}/x", "{..,b}/x"):
        with pytest.raises(OutsideWorkspaceError):
            PathPattern(text)
    for text in ("", "x" * 1001, "a\0b", "{a,b}" * 7):
        with pytest.raises(ToolInputError):
            PathPattern(text)
    assert len(expand_braces("{a,b}" * 6)) == 64


def test_hostile_patterns_take_no_time() -> None:
    """Stars in one component or many components do not multiply."""
    began = time.process_time()
    assert not PathPattern("*a" * 400 + "b").matches("a" * 250)
    assert not PathPattern("/".join(["**", "a"] * 200)).matches("/".join(["a"] * 400 + ["b"]))
    assert time.process_time() - began < 5, "polynomial; exponential would never end"


@given(path=st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_path_fits_itself_and_everything(path: list[str]) -> None:
    """A path without special characters is its own pattern."""
    if any(part in (".", "..") for part in path):
        return
    text = "/".join(path)
    assert PathPattern(text).matches(text)
    assert PathPattern("**/*").matches(text)
    assert PathPattern("**").matches(text)
