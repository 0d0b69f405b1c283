"""The demos that are shipped: reading and checking their files, their seeds, their recordings."""

from __future__ import annotations

import functools
import hashlib
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from life.workspace.demos.demo import Demo
from life.workspace.demos.errors import DemoDataError, DemoNotFoundError, DemoRecordingMissingError
from life.workspace.demos.script import named_calls, quoted_names

SLUGS: Final = ("sentinel", "materiales", "sentinel-pro", "refactor", "ingest", "research")
"""In the order in which they are shown."""

FOLDER: Final = Path(__file__).parent
SCHEMA: Final = FOLDER / "demo.schema.json"
DATA: Final = FOLDER / "data"
FILES: Final = FOLDER / "files"
RECORDINGS: Final = FOLDER / "recordings"


def demos() -> tuple[Demo, ...]:
    """All demos, in order."""
    return tuple(demo(slug) for slug in SLUGS)


@functools.cache
def demo(slug: str) -> Demo:
    """One demo. DemoNotFoundError; DemoDataError when its file does not fit."""
    if slug not in SLUGS:
        raise DemoNotFoundError(
            f"There is no demo '{slug[:40]}'.", next_step=f"There are: {', '.join(SLUGS)}. `life demo list` shows them."
        )
    return parse_demo((DATA / f"{slug}.toml").read_text(encoding="utf-8"), slug)


def parse_demo(content: str, slug: str) -> Demo:
    """A demo from the text of its file, checked. DemoDataError says what does not fit."""
    try:
        found = msgspec.convert(tomllib.loads(content), Demo)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DemoDataError(f"The demo {slug} does not fit: {error}.") from None
    problem = _problem(found, slug)
    if problem:
        raise DemoDataError(f"The demo {slug} does not fit: {problem}.")
    return found


def _problem(demo: Demo, slug: str) -> str:
    """What the struct alone can't say; empty when everything holds together."""
    if demo.slug != slug:
        return f"its file is {slug}.toml, but it calls itself {demo.slug}"
    prompts = [each.prompt.strip() for each in (*demo.ui.suggestions, *demo.branches)]
    if len(set(prompts)) < len(prompts):
        return "two suggestions have the same words"
    for each in (*demo.ui.suggestions, *demo.branches):
        if each.script not in demo.script:
            return f"there is no script '{each.script}'"
    for name, script in demo.script.items():
        unknown = quoted_names(script) - named_calls(script)
        if unknown:
            return f"the script '{name}' quotes calls that it does not name: {', '.join(sorted(unknown))}"
        for number, turn in enumerate(script.turns, start=1):
            if not turn.text and not turn.calls:
                return f"turn {number} of the script '{name}' neither says nor does anything"
            if turn.instead is not None and turn.instead.call not in named_calls(script):
                return f"turn {number} of the script '{name}' waits for a call that no turn names"
            if turn.calls and number == len(script.turns):
                return f"the script '{name}' ends with a call"
            outside = [call.tool for call in turn.calls if call.tool not in demo.tools]
            if outside:
                return f"the script '{name}' calls tools that the demo does not have: {', '.join(outside)}"
    return ""


def seed_files(demo: Demo) -> dict[str, bytes]:
    """The contents of a demo's seed files by path. DemoDataError when one is missing."""
    folder = FILES / (demo.seeds_of or demo.slug)
    try:
        return {path: (folder / _stored(path)).read_bytes() for path in demo.seed_files}
    except OSError as error:
        raise DemoDataError(f"A seed file of the demo {demo.slug} can't be read: {error}.") from None


def _stored(path: str) -> str:
    """A seed's name here: a Python file is none of this package's modules."""
    return f"{path}.seed" if path.endswith(".py") else path


@functools.cache
def digest(slug: str) -> str:
    """SHA-256 over a demo's file and seeds: a recording names the one that it was made of."""
    found = demo(slug)
    hasher = hashlib.sha256((DATA / f"{slug}.toml").read_bytes())
    for path, content in sorted(seed_files(found).items()):
        hasher.update(b"\0%b\0%d\0" % (path.encode(), len(content)) + content)
    return hasher.hexdigest()


def recording_id(slug: str) -> str:
    """The session in a demo's recording."""
    return f"recording-{slug}-{digest(slug)[:12]}"


def recording(slug: str) -> Path:
    """The file of a demo's recording. DemoNotFoundError; DemoRecordingMissingError."""
    demo(slug)
    path = RECORDINGS / f"{slug}.jsonl"
    if not path.is_file():
        raise DemoRecordingMissingError(f"The demo {slug} has no recording.")
    return path
