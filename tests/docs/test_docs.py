"""Documents that can't drift from the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from life.cli import groups
from life.cli.lazy import LazyGroup, load
from tests.docs.generate import PAGES, REFERENCE, error_classes

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_pages_equal_the_code(name: str) -> None:
    """`python -m tests.docs.generate` would change nothing."""
    assert (REFERENCE / name).read_text() == PAGES[name]()


def test_an_error_code_means_one_thing() -> None:
    """Codes are dotted, and classes share one only with the class they refine."""
    by_code: dict[str, list[type]] = {}
    for kind in error_classes():
        by_code.setdefault(kind.code, []).append(kind)
    assert all(re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)+", code) for code in by_code)
    for code, kinds in by_code.items():
        root = min(kinds, key=lambda kind: len(kind.__mro__))
        assert all(issubclass(kind, root) for kind in kinds), code


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link in the documents names a file of the repository."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in tracked("*.md")
        for target in _LINK.findall(page.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not broken


@pytest.mark.parametrize(
    "group",
    [group for group in vars(groups).values() if isinstance(group, LazyGroup)],
    ids=lambda group: group.name,
)
def test_the_short_help_is_the_commands_own_first_sentence(group: LazyGroup) -> None:
    """The quick listing says what the command itself says."""
    for name, lazy in group.lazy.items():
        command = load(lazy)
        first = (command.help or "").strip().split("\n\n")[0].replace("\n", " ")
        assert " ".join(first.split()) == lazy.short_help, name
        assert isinstance(command, click.Command)
