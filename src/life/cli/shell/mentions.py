"""`@file`: files whose contents go along with a message, marked as what they are.

    look at @src/app.py and @"notes of today.md"

What stands in them is data: each is set between marks that carry a part of its hash, so its own text can't end it. Text only; a file
that is too large, not text or not there is refused before anything is sent.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError
from life.cli.shell.words import size

MOST_BYTES: Final = 64 * 1024
"""Of one file."""

MOST_BYTES_TOGETHER: Final = 128 * 1024
MOST_FILES: Final = 20
_MOST_COMPLETIONS: Final = 200
_MOST_LOOKED_AT: Final = 20_000
_LEFT_OUT: Final = frozenset({".git", ".life", "node_modules", "__pycache__", ".venv", "venv", "dist", "build"})

_MENTION: Final = re.compile(r'(?<![\w@.])@(?:"(?P<quoted>[^"\n]+)"|(?P<plain>[^\s"@,;:!?()\[\]{}<>]+))')


class Attachment(NamedTuple):
    """A file, read."""

    path: str
    content: str
    size_bytes: int


def mentioned(text: str) -> list[str]:
    """The paths that a message mentions, in their order, each once. Only names of files that are there count, unless they are quoted: people write
    `@alice`, too."""
    found: list[str] = []
    for match in _MENTION.finditer(text):
        quoted = match["quoted"]
        path = quoted or match["plain"].rstrip(".")
        if path not in found and (quoted or Path(path).expanduser().exists()):
            found.append(path)
    return found


def with_mentions(text: str) -> str:
    """The message with the files that it mentions behind it."""
    paths = mentioned(text)
    return with_attachments(text, [attach(Path(path)) for path in paths]) if paths else text


def attach(path: Path) -> Attachment:
    """A file to send along; InvalidInputError says why it can't be."""
    path = path.expanduser()
    try:
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder; mention files in it.")
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a file.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} can't be read: {error.strerror}.") from None
    return attachment(str(path), content)


def attachment(name: str, content: bytes) -> Attachment:
    """Content under a name; InvalidInputError when it is too large or no text."""
    if len(content) > MOST_BYTES:
        raise InvalidInputError(f"{name} is larger than {size(MOST_BYTES)}, the most that can be attached.")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{name} is not text (UTF-8); only text can be attached.") from None
    if "\0" in text:
        raise InvalidInputError(f"{name} is not text; only text can be attached.")
    return Attachment(name, text, len(content))


def with_attachments(text: str, attachments: list[Attachment]) -> str:
    """The message with attachments behind it."""
    if len(attachments) > MOST_FILES:
        raise InvalidInputError(f"At most {MOST_FILES} files can be attached to a message.")
    if sum(each.size_bytes for each in attachments) > MOST_BYTES_TOGETHER:
        raise InvalidInputError(f"Attachments are larger than {size(MOST_BYTES_TOGETHER)} together.")
    return "\n\n".join([text, *map(_marked, attachments)])


def matching_files(prefix: str, root: Path) -> list[str]:
    """Files and folders that go on from what was typed, folders with a slash; a name anywhere below `root` matches, too."""
    folder, _, start = prefix.rpartition("/")
    base = (root / folder).expanduser() if folder else root if not prefix.startswith("/") else Path("/")
    found = [f"{folder}/{name}" if folder or prefix.startswith("/") else name for name in _listed(base, start)]
    if not folder and len(start) >= 2:
        found += [path for path in _below(root, start) if path not in found]
    return found[:_MOST_COMPLETIONS]


def _marked(each: Attachment) -> str:
    mark = hashlib.sha256(each.content.encode()).hexdigest()[:8]
    path = each.path.replace('"', "'").replace("\n", " ")
    head = f'<attachment id="{mark}" path="{path}" bytes="{each.size_bytes}">'
    return f'{head}\n{each.content}\n</attachment id="{mark}">'


def _listed(folder: Path, start: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [
                f"{entry.name}/" if entry.is_dir() else entry.name
                for entry in entries
                if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith("."))
            ]
    except OSError:
        return []
    return sorted(names)


def _below(root: Path, start: str) -> Iterator[str]:
    """Paths below `root` whose last part begins so."""
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith("."))
        for name in sorted(files):
            seen += 1
            if name.lower().startswith(start.lower()):
                yield str(Path(folder, name).relative_to(root))
        if seen > _MOST_LOOKED_AT:
            return
