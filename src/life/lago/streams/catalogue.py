"""The formats by their names."""

from __future__ import annotations

from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.streams.anthropic import ANTHROPIC
from life.aios.streams.format import StreamFormat
from life.aios.streams.openai import OPENAI, OPENAI_WITH_USAGE
from life.aios.streams.vercel import VERCEL
from life.lago.streams.lago import LAGO

FORMATS: Final = {each.name: each for each in (LAGO, OPENAI, ANTHROPIC, VERCEL)}


def find_format(name: str, *, with_usage: bool = False) -> StreamFormat:
    """The format of this name; InvalidInputError. `with_usage` is OpenAI's `include_usage` and no other format's."""
    found = FORMATS.get(name)
    if found is None:
        raise InvalidInputError(
            "There is no such stream format.",
            next_step=f"Use one of {', '.join(FORMATS)}.",
            details={"format": name[:64]},
        )
    if with_usage:
        if found is not OPENAI:
            raise InvalidInputError("Only the format openai has a usage chunk to include.")
        return OPENAI_WITH_USAGE
    return found
