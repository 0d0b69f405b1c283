"""The pages' words: English in the sources, Spanish in `words/es.json`, keyed by the English.

    say = Words("es")
    say("Sessions")                      "Sesiones"
    say("{count} wait", count=3)         with what belongs in its place
    say.known("running")                 a state's name, where the catalogue has it; any other text as it is

`words/en.json` has names of states that are no English words yet. Data is never translated. Which language: the person's choice, else the first of Accept-Language that there is, else English (RFC 9110 §12.5.4).

Source: workspace-ui.md WS-I18N-1.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Final

LANGUAGES: Final[dict[str, str]] = {"en": "English", "es": "Español"}
_MOST_CHARACTERS: Final = 512


class Words:
    """One language."""

    def __init__(self, language: str = "en") -> None:
        self.language = language if language in LANGUAGES else "en"
        self._table = catalogue(self.language)

    def __call__(self, english: str, /, **values: object) -> str:
        """The sentence in this language, with the values in their places."""
        text = self._table.get(english, english)
        return text.format(**values) if values else text

    def known(self, name: str) -> str:
        """A word that is data and a word, such as a state."""
        return self._table.get(name, name)


@cache
def catalogue(language: str) -> dict[str, str]:
    """English → this language. That of English has only the names that are no words, such as `in_doubt`."""
    text = files("life.host.pages").joinpath(f"words/{language}.json").read_text(encoding="utf-8")
    table: dict[str, str] = json.loads(text)
    return table


def negotiate(accepted: str) -> str:
    """The language for an Accept-Language header: the highest weight wins, at equal weight the first."""
    best, weight = "en", 0.0
    for part in accepted[:_MOST_CHARACTERS].split(","):
        name, _, parameters = part.partition(";")
        language = name.strip().lower().partition("-")[0]
        quality = _quality(parameters)
        if language in LANGUAGES and quality > weight:
            best, weight = language, quality
    return best


def _quality(parameters: str) -> float:
    name, equals, value = parameters.strip().partition("=")
    if not equals:
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
