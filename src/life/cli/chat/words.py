"""The words of the chat, English and Spanish, and the signs, with and without Unicode.

The names and the wording are the page's (`ui/src/i18n`), where both say the same thing. A name in braces is filled in.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from importlib import resources
from typing import Final, Literal, NamedTuple, TextIO

import msgspec

from life.cli.chat.untrusted import clean

Language = Literal["en", "es"]


class Words:
    """One language; what it lacks is English."""

    def __init__(self, language: Language, entries: Mapping[str, str]) -> None:
        self.language = language
        self._entries = entries

    def __call__(self, name: str, /, **given: object) -> str:
        """The words under a name, filled in. KeyError for a name that is not in the catalogue: a mistake of ours, found by tests."""
        words = self._entries[name]
        return words.format_map(given) if given else words

    def term(self, prefix: str, value: str, /, **given: object) -> str:
        """Words for a value that may be one nobody has words for; then the value itself, made fit for a terminal."""
        name = prefix + value
        return self(name, **given) if name in self._entries else clean(value).replace("\n", " ")

    def whole(self, number: int) -> str:
        """A number with its thousands apart."""
        separated = f"{number:,}"
        return separated if self.language == "en" else separated.replace(",", "\u202f" if abs(number) >= 10_000 else "")


def catalogue(language: Language) -> dict[str, str]:
    """The entries of a language."""
    source = resources.files("life.cli.chat").joinpath("catalogue", f"{language}.json")
    return msgspec.json.decode(source.read_bytes(), type=dict[str, str])


def words_of(language: Language) -> Words:
    """A language, over English."""
    english = catalogue("en")
    return Words(language, english if language == "en" else english | catalogue(language))


def language_of(environment: Mapping[str, str]) -> Language:
    """What the environment asks for: LC_ALL, LC_MESSAGES, LANG, in this order (POSIX 8.2)."""
    wanted = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "es" if wanted.lower().startswith("es") else "en"


class Signs(NamedTuple):
    """The few signs that are used."""

    you: str = "❯"
    agent: str = "●"
    gutter: str = "│"
    thought: str = "∴"
    dot: str = "·"
    more: str = "…"
    wait: str = "◌"
    good: str = "✓"
    bad: str = "✗"
    busy: str = "◐"
    ask: str = "?"
    open: str = "▾"
    shut: str = "▸"
    note: str = "─"
    rule: str = "─"
    track: str = "─"
    knob: str = "●"
    play: str = "▶"
    pause: str = "❚❚"
    live: str = "●"
    full: str = "█"
    half: str = "▌"
    empty: str = "░"
    money: str = "¤"
    bullet: str = "•"
    arrow: str = "→"
    turn: str = "↳"
    split: str = "│"
    thumb: str = "▐"
    pin: str = "▼"
    heading: str = "▌"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    sparks: str = "▁▂▃▄▅▆▇█"


PLAIN: Final = Signs(
    you=">",
    agent="*",
    gutter="|",
    thought="~",
    dot="-",
    more="...",
    wait="o",
    good="+",
    bad="x",
    busy="*",
    ask="?",
    open="v",
    shut=">",
    note="-",
    rule="-",
    track="-",
    knob="O",
    play=">",
    pause="||",
    live="*",
    full="#",
    half="=",
    empty=".",
    money="$",
    bullet="-",
    arrow="->",
    turn="\\",
    split="|",
    thumb=":",
    pin="v",
    heading="#",
    spinner="|/-\\",
    sparks="_.-=+*%#",
)


def signs_for(stream: TextIO, *, ascii_only: bool) -> Signs:
    """Those that the stream's encoding can hold."""
    encoding = (getattr(stream, "encoding", None) or locale.getpreferredencoding(do_setlocale=False)).lower()
    return PLAIN if ascii_only or encoding.replace("-", "") != "utf8" else Signs()


def chosen_language(wanted: str | None) -> Language:
    """The language of an option, or of the environment."""
    return "es" if wanted == "es" else "en" if wanted == "en" else language_of(os.environ)
