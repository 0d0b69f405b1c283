"""A session as one HTML file: the page itself, its style, and the recording inside. It opens from disk and asks nobody for anything.

The recording is JSON in a script element that no browser runs, with every `<` escaped; the content policy in the file's head allows the two
inlined texts by their hashes and nothing else, so nothing that an agent wrote can become script, style or a request.

Source: workspace-ui.md WS-EXP-1; ui-anchors.md §5.8.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import NotFoundError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream, encode_record
from life.workspace.assets import asset, viewer
from life.workspace.positions import Positions
from life.workspace.state import State

MOST_EXPORTED: Final = 50_000
"""Events in a file; of a longer branch the newest, with the state before them."""

_PAGE: Final = 1000


class Exported(NamedTuple):
    """What goes into the file: a state, and the events that follow it."""

    stream: Stream
    state: State
    records: Sequence[EventRecord]
    version: str
    """Of the program that made it."""


async def recorded(stream: Stream, journal: Journal, positions: Positions, version: str) -> Exported:
    """What the file of a branch holds; NotFoundError when there is no such branch."""
    head = (await journal.head(stream)).sequence
    if head == 0:
        raise NotFoundError("There is no such branch.")
    base = max(0, head - MOST_EXPORTED)
    state = await positions.at(stream, base)
    records: list[EventRecord] = []
    while page := await journal.read(EventQuery(*stream, after_sequence=base + len(records)), limit=_PAGE):
        records += page
    return Exported(stream, state, records, version)


class _Recording(msgspec.Struct, kw_only=True):
    session_id: str
    branch: str
    head: int
    base: int
    version: str
    state: State
    events: list[msgspec.Raw]


def export_html(exported: Exported) -> bytes:
    """The file. NotFoundError when this installation has no page."""
    script, style, words = viewer(), asset("workspace.css"), asset("es.json")
    if script is None or style is None or words is None:
        raise NotFoundError("The workspace page is not part of this installation.", next_step="Run: make ui")
    recording = _Recording(
        session_id=exported.stream.session_id,
        branch=exported.stream.branch_id,
        head=exported.records[-1].sequence if exported.records else exported.state.seq,
        base=exported.state.seq,
        version=exported.version,
        state=exported.state,
        events=[msgspec.Raw(encode_record(record)) for record in exported.records],
    )
    data = msgspec.json.encode(recording).replace(b"<", b"\\u003c")
    # No text in the two files may end the element that it stands in.
    code = script.replace(b"</script", b"<\\/script").replace(b"<!--", b"<\\!--")
    looks = style.content.replace(b"</style", b"<\\/style")
    policy = (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(looks)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = html.escape(exported.state.session.name or exported.stream.session_id)
    return b"".join(
        (
            b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'.encode(),
            b'<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{title} - Life</title>\n".encode(),
            b"<style>" + looks + b"</style>\n</head>\n<body>\n",
            b'<div id="life"></div>\n',
            b'<script type="application/json" id="recording">' + data + b"</script>\n",
            b'<script type="application/json" id="words-es">'
            + words.content.replace(b"<", b"\\u003c")
            + b"</script>\n",
            b'<script type="module">' + code + b"</script>\n</body>\n</html>\n",
        )
    )


def _hash(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
