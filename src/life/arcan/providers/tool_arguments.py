"""Tool arguments as vendors stream them: JSON text that is a whole object only at the end, if then."""

from __future__ import annotations

import msgspec

from life.aios.json import Json
from life.arcan.unicode import whole_characters

_decoder = msgspec.json.Decoder(dict[str, object])


def parse_arguments(text: str) -> Json:
    """The object in `text`; no text at all means no arguments; anything that is not a JSON object stays text."""
    text = whole_characters(text)
    if not text.strip():
        return {}
    try:
        arguments: Json = _decoder.decode(text)  # type: ignore[assignment]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    return arguments
