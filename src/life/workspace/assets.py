"""The built page: its files, and whether they are what its sources give.

The output is committed, unminified and with fixed names, so users need no Node and two changes merge. `sources.txt`, which the build
writes, names every source with its SHA-256, one to a line with an empty line between (neighbouring changes merge); where the sources
are at hand, `stale_sources` compares them. The page is compressed once and kept.

    workspace.js, workspace.css   a session's page
    home.js, panes.js, en_more.js what is fetched when it is first asked for
    es.json                       the words of another language
    viewer.js                     all of it in one script, for files that open from disk; never served

Source: ui-anchors.md §4.3, §5 (committed output).
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import sys
from pathlib import Path
from typing import Final, NamedTuple

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DIRECTORY: Final = Path(__file__).parent / "static"
DIGESTS: Final = "sources.txt"
_TYPES: Final = {
    "workspace.js": "text/javascript; charset=utf-8",
    "workspace.css": "text/css; charset=utf-8",
    "home.js": "text/javascript; charset=utf-8",
    "en_more.js": "text/javascript; charset=utf-8",
    "panes.js": "text/javascript; charset=utf-8",
    "es.json": "application/json",
}


class Asset(NamedTuple):
    """A file of the page."""

    content: bytes
    gzip: bytes
    zstd: bytes
    media_type: str


@functools.cache
def asset(name: str) -> Asset | None:
    """A file that browsers are sent; None for other names, or when the page was not built."""
    media_type = _TYPES.get(name)
    path = DIRECTORY / name
    if media_type is None or not path.is_file():
        return None
    content = path.read_bytes()
    return Asset(content, gzip.compress(content, 9, mtime=0), zstd.compress(content, 19), media_type)


@functools.cache
def page_digest() -> str:
    """16 hex digits that change when any file of the page does: its files stand under it, so that parts of two pages never meet."""
    hashed = hashlib.sha256()
    for name in sorted(_TYPES):
        found = asset(name)
        hashed.update(b"" if found is None else hashlib.sha256(found.content).digest())
    return hashed.hexdigest()[:16]


def viewer() -> bytes | None:
    """The script of files that open from disk; None when the page was not built."""
    path = DIRECTORY / "viewer.js"
    return path.read_bytes() if path.is_file() else None


def is_built() -> bool:
    """Whether every file of the page is there."""
    return all(asset(name) is not None for name in _TYPES)


def recorded_sources() -> dict[str, str]:
    """The sources that the page was built from: path below `ui/`, SHA-256."""
    recorded = {}
    listed = DIRECTORY / DIGESTS
    for line in listed.read_text().splitlines() if listed.is_file() else ():
        if line:
            digest, _, path = line.partition("  ")
            recorded[path] = digest
    return recorded


def stale_sources(ui: Path) -> list[str]:
    """Sources that changed, came or went since the page was built."""
    recorded = recorded_sources()
    found = {
        path.relative_to(ui).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*sorted((ui / "src").rglob("*")), *sorted(ui.glob("*"))]
        if path.is_file() and (path.parent != ui or path.name in _BUILD_FILES)
    }
    return sorted(path for path in found.keys() | recorded.keys() if found.get(path) != recorded.get(path))


_BUILD_FILES: Final = frozenset(
    {
        "package.json",
        "package-lock.json",
        "svelte.config.js",
        "tsconfig.json",
        "vite.config.ts",
        "vite.headless.config.ts",
    }
)
