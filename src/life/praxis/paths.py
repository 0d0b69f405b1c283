"""Paths as models write them, made canonical before anything is opened.

A canonical path is relative to the workspace, has no `.`, no `..`, no empty component, and is `.` for the workspace
itself. The capability that the gate judges (`fs:read:<path>`) and the file that is opened are this same text; links are
never followed (see `life.praxis.beneath`), so nothing can come between the judgement and the act.
"""

from __future__ import annotations

from typing import Final

from life.praxis.errors import OutsideWorkspaceError, ToolInputError

MAX_PATH_BYTES: Final = 4096
"""PATH_MAX of Linux (limits.h)."""

MAX_NAME_BYTES: Final = 255
"""NAME_MAX of Linux (limits.h)."""


def canonical_path(text: str) -> str:
    """The canonical form of `text`. ToolInputError: can't be a path; OutsideWorkspaceError: absolute, or with `..`."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise ToolInputError("The path is not valid Unicode text.") from None
    if not encoded:
        raise ToolInputError("The path is empty; use '.' for the workspace itself.")
    if len(encoded) > MAX_PATH_BYTES:
        raise ToolInputError(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    if any(byte < 0x20 or byte == 0x7F for byte in encoded):
        raise ToolInputError("The path contains a control character.")
    if encoded.startswith(b"/"):
        raise OutsideWorkspaceError("The path is absolute; paths are relative to the workspace.")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise OutsideWorkspaceError("The path contains '..'; paths are relative to the workspace and never go up.")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise ToolInputError(f"A name in the path is longer than {MAX_NAME_BYTES} bytes.")
    return "/".join(parts) or "."


def split_last(path: str) -> tuple[str, str]:
    """Parent and last name of a canonical path; the parent of a single name is `.`."""
    parent, _, name = path.rpartition("/")
    return parent or ".", name


def display_name(name: str) -> str:
    """A directory entry's name as text that fits JSON; bytes that are not UTF-8 are shown as `\\xNN`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
