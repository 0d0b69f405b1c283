"""Meaning beside words, with a stand-in for a model.

`Synonyms` is a test double: it knows three themes by a few words and nothing else. It keeps the port's promises (one vector a text, all of
one length, UnavailableError when it does not answer); real models are behind the same port and not part of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from life.aios.errors import UnavailableError
from life.lago.knowledge.directory import DirectoryNotes
from life.lago.knowledge.semantic import unit
from life.lago.knowledge.vault import Vault
from life.testing.clock import ManualClock

THEMES = (("lake", "water", "river"), ("stone", "rock"), ("fire", "heat"))


class Synonyms:
    """The double."""

    def __init__(self, name: str = "synonyms-1") -> None:
        self.name = name
        self.asked: list[str] = []
        self.is_there = True

    def model(self) -> str:
        return self.name

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if not self.is_there:
            raise UnavailableError("The model does not answer.")
        self.asked += texts
        return [[float(sum(text.count(word) for word in theme)) for theme in THEMES] for text in texts]


def vault_of(root: Path, model: Synonyms | None, notes: dict[str, str] | None = None) -> Vault:
    (root / "vault").mkdir(exist_ok=True)
    for name, text in (notes or {}).items():
        (root / "vault" / name).write_text(text)
    return Vault(
        DirectoryNotes(root / "vault", ManualClock()), ManualClock(), index_file=root / "i.db", embeddings=model
    )


async def test_what_means_the_same_comes_first(tmp_path: Path) -> None:
    """Two notes with the same words of the query: the one about its theme leads, by 0.30 times the cosine."""
    notes = {"a.md": "deep stone", "b.md": "deep river", "c.md": "the fire"}
    async with vault_of(tmp_path, None, notes) as plain:
        by_words = {hit.path: hit.score for hit in await plain.search("deep water")}
        assert list(by_words) == ["/a.md", "/b.md"]
    async with vault_of(tmp_path, Synonyms()) as vault:
        by_meaning = {hit.path: hit.score for hit in await vault.search("deep water")}
        assert list(by_meaning) == ["/b.md", "/a.md"]
        assert by_meaning["/b.md"] == pytest.approx(by_words["/b.md"] + 0.30)
        assert by_meaning["/a.md"] == pytest.approx(by_words["/a.md"])
        assert (await vault.assemble("deep water", budget_tokens=500)).excerpts[0].path == "/b.md"
        scored = await vault.search("deep water", mode="scored")
        assert [hit.path for hit in scored] == ["/a.md", "/b.md"]


async def test_only_what_is_new_is_embedded(tmp_path: Path) -> None:
    """By content and model; vectors outlive the process."""
    model = Synonyms()
    async with vault_of(tmp_path, model, {"a.md": "lake", "b.md": "stone"}) as vault:
        assert (await vault.sync()).unembedded == 0
        assert sorted(model.asked) == ["a lake", "b stone"]
    again = Synonyms()
    async with vault_of(tmp_path, again, {"b.md": "fire"}) as vault:
        await vault.sync()
        assert again.asked == ["b fire"]
    other = Synonyms("synonyms-2")
    async with vault_of(tmp_path, other) as vault:
        await vault.sync()
        assert sorted(other.asked) == ["a lake", "b fire"]


async def test_a_model_that_is_away_changes_only_the_order(tmp_path: Path) -> None:
    """Search answers by words; the report says how many notes wait; they are embedded when it is back."""
    model = Synonyms()
    model.is_there = False
    async with vault_of(tmp_path, model, {"a.md": "deep stone", "b.md": "deep river"}) as vault:
        assert (await vault.sync()).unembedded == 2
        assert [hit.path for hit in await vault.search("deep water")] == ["/a.md", "/b.md"]
        model.is_there = True
        assert [hit.path for hit in await vault.search("deep water")] == ["/b.md", "/a.md"]


def test_vectors_without_direction_are_like_nothing() -> None:
    """Zeros, infinities, no numbers."""
    for vector in ([0.0, 0.0], [float("inf"), 1.0], [float("nan")], []):
        assert unit(vector) is None
    assert list(unit([3.0, 4.0]) or ()) == pytest.approx([0.6, 0.8])
