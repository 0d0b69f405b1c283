"""The catalogue: both languages whole, and nothing asked for that is not in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import life.cli.chat
from life.cli.chat.choosing import KEYS
from life.cli.chat.commands import CHAT_COMMANDS, PANES
from life.cli.chat.words import PLAIN, Signs, Words, catalogue, language_of, words_of
from life.cli.shell.slash import COMMANDS

SOURCES = sorted(Path(life.cli.chat.__file__).parent.glob("*.py"))


def test_spanish_says_everything_with_the_same_blanks() -> None:
    """Every English entry has its Spanish one, with the same names to fill in; beside them only what commands say."""
    english, spanish = catalogue("en"), catalogue("es")
    assert {name for name in spanish if not name.startswith("cmd_")} == english.keys()
    for name, words in english.items():
        assert set(re.findall(r"{(\w+)}", words)) == set(re.findall(r"{(\w+)}", spanish[name])), name
    said = {f"cmd_{command.name}" for command in (*COMMANDS, *CHAT_COMMANDS)}
    assert {name for name in spanish if name.startswith("cmd_")} == said, "every command is told in Spanish, too"


def asked_for() -> set[str]:
    """Every name that the sources ask the catalogue for."""
    found: set[str] = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                found.add(node.value)
    return found


def test_nothing_is_asked_for_that_is_not_there() -> None:
    """Calls of the words with a name as it stands name an entry."""
    english = catalogue("en")
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and (getattr(node.func, "id", "") == "words" or getattr(node.func, "attr", "") in ("words", "_words"))
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                assert node.args[0].value in english, (path.name, node.lineno)
    for name in (*(name for _, name in KEYS), *PANES):
        assert name in english


def test_nothing_stands_there_that_nobody_asks_for() -> None:
    """An entry is named somewhere, or belongs to a family that is named by what events carry."""
    families = ("state_", "status_", "risk_", "op_", "fam_", "pay_", "notice_", "part_", "mem_", "cmd_")
    unused = {name for name in catalogue("en") if not name.startswith(families)} - asked_for()
    assert sorted(unused) == []


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "es_CO.UTF-8"}, "es"),
        ({"LANG": "es_CO.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LC_MESSAGES": "es", "LANG": "de_DE"}, "es"),
        ({"LC_ALL": "", "LANG": "es"}, "es"),
    ],
)
def test_the_environment_chooses(environment: dict[str, str], language: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG; an empty one does not count (POSIX 8.2)."""
    assert language_of(environment) == language


def test_words_are_filled_in() -> None:
    """Braces take what is given, and what is given is never read as a pattern itself."""
    words = Words("en", {"a": "one {n}", "state_x": "yes"})
    assert words("a", n="{n} {0}") == "one {n} {0}"
    assert words.term("state_", "x") == "yes" and words.term("state_", "un\x1b[31mknown") == "unknown"
    assert words_of("es").whole(1234567) == "1\u202f234\u202f567" and words_of("en").whole(1234567) == "1,234,567"


def test_plain_signs_are_ascii() -> None:
    """Each sign has one that any terminal can show, as wide on a line."""
    assert all(sign.isascii() for sign in PLAIN)
    assert len(PLAIN) == len(Signs())
