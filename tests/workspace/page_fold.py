"""The page's fold in Node, as it was built and committed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from life.aios.record import EventRecord, encode_record
from life.workspace import assets

DRIVER = Path(__file__).with_name("fold_digests.mjs")


def page_digests(recordings: Sequence[Sequence[EventRecord]]) -> list[list[str]]:
    """For each recording the digests of the page's state after every event."""
    node = shutil.which("node")
    assert node is not None
    lines = b"\n".join(
        msgspec.json.encode([msgspec.Raw(encode_record(record)) for record in records]) for records in recordings
    )
    fold = (assets.DIRECTORY / "headless.js").as_uri()
    done = subprocess.run([node, str(DRIVER), fold], input=lines + b"\n", capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]
