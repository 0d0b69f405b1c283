"""What is wrong with a vault, with its numbers."""

from __future__ import annotations

from datetime import date

import pytest

from life.lago.knowledge import lint as lint_module
from life.lago.knowledge.catalogue import catalogue
from life.lago.knowledge.lint import BrokenLink, claim_words, confidence, health, lint
from tests.lago.knowledge.kit import index_of

TODAY = date(2026, 11, 20)


def claims(*texts: str) -> dict[str, str]:
    return {f"/{number}.md": f"---\ncore_claim: {text!r}\n---\n" for number, text in enumerate(texts)}


def test_orphans_broken_links_and_missing_pages() -> None:
    """A link to itself saves nobody from being an orphan; a missing page is named once; pictures and headings are no pages."""
    index = index_of(
        {
            "/a.md": "[[b]] [[gone]] [[Gone#x]] [[a]]",
            "/b.md": "[[other]] [[#here]] ![[x.png]] `[[code]]`",
            "/c.md": "[[C]]",
        }
    )
    report = lint(index, today=TODAY)
    assert report.orphans == ("/a.md", "/c.md")
    assert report.broken_links == (
        BrokenLink("/a.md", "gone"),
        BrokenLink("/a.md", "Gone#x"),
        BrokenLink("/b.md", "other"),
    )
    assert report.missing_pages == ("gone", "other")
    assert report.health == pytest.approx(1 - (2 + 3 + 0 + 0) / (4 * 3))


@pytest.mark.parametrize(
    ("valid_to", "is_stale"),
    [
        ("2026-11-19", True),
        ("2026-11-20", False),
        ("2026-11-21", False),
        ("2026-11-19T23:00:00Z", True),
        ("'0999-01-01'", True),
        ("10000-01-01", False),
        ("soon", False),
        ("2026-13-45", False),
        ("", False),
        ("[2020-01-01]", False),
        ("20200101", True),
    ],
)
def test_stale_is_a_day_before_today(valid_to: str, is_stale: bool) -> None:
    """Compared as days, not as text; what is no day is never over."""
    report = lint(index_of({"/a.md": f"---\nvalid_to: {valid_to}\n---\n"}), today=TODAY)
    assert report.stale == (("/a.md",) if is_stale else ())


def test_contradictions_are_alike_claims() -> None:
    """Jaccard 4/5 with one negation: 0.8; the same sign: a fifth of it; 0.3 is not above 0.3."""
    report = lint(index_of(claims("the lake is deep", "the lake is not deep", "birds sing")), today=TODAY)
    (pair,) = report.contradictions
    assert (pair.path, pair.other_path) == ("/0.md", "/1.md")
    assert pair.confidence == pytest.approx(4 / 5)
    assert report.health == pytest.approx(1 - (3 + 1) / 12)
    same = lint(index_of(claims("the lake is very deep", "the lake is quite deep")), today=TODAY)
    assert [found.confidence for found in same.contradictions] == pytest.approx([4 / 6 * 0.2])
    assert lint(index_of(claims("a b", "a c")), today=TODAY).contradictions == ()


def test_confidence() -> None:
    """The Jaccard rule: above 0.3 only; × 1.0 with exactly one negation, × 0.2 otherwise."""
    words = claim_words
    assert confidence(words("a b c"), words("a d e f g h i j k l")) == 0
    assert confidence(words("a b c d e f g h not"), words("a b c x")) == 0  # 3 of 10: not above 0.3
    assert confidence(words("a b c d e f g never"), words("a b c x")) == pytest.approx(3 / 9)
    assert confidence(words("never a b"), words("no a b")) == pytest.approx(2 / 4 * 0.2)
    for negation in ("not", "never", "no", "without", "instead", "rather"):
        assert confidence(words(f"Lake {negation} deep"), words("LAKE, deep!")) == pytest.approx(2 / 3)
    assert confidence(words(""), words("")) == 0


def test_every_pair_is_found_by_its_rarest_words() -> None:
    """The same pairs as comparing all with all."""
    texts = [
        " ".join(f"w{(number * step) % 17}" for step in range(1, 2 + number % 7)) + (" not" if number % 3 == 0 else "")
        for number in range(60)
    ]
    report = lint(index_of(claims(*texts)), today=TODAY)
    expected = {
        tuple(sorted((f"/{one}.md", f"/{other}.md")))
        for one in range(60)
        for other in range(one)
        if confidence(claim_words(texts[one]), claim_words(texts[other])) > 0.1
    }
    assert {(pair.path, pair.other_path) for pair in report.contradictions} == expected
    assert report.all_compared


def test_a_vault_of_copies_ends_early_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pairs than anybody reads are not all looked at."""
    monkeypatch.setattr(lint_module, "MAX_CONTRADICTIONS", 20)
    report = lint(index_of(claims(*["the same claim"] * 50)), today=TODAY)
    assert len(report.contradictions) == 20
    assert not report.all_compared


def test_health() -> None:
    """1 − findings/(4 · notes), from 0 to 1; an empty vault is healthy."""
    assert health(0, orphans=0, broken=0, contradictions=0, stale=0) == 1
    assert health(10, orphans=1, broken=2, contradictions=3, stale=4) == 0.75
    assert health(1, orphans=1, broken=9, contradictions=0, stale=0) == 0
    assert lint(index_of({}), today=TODAY).health == 1


def test_catalogue() -> None:
    """Folders, then name, title or claim or name, and tags."""
    index = index_of(
        {
            "/z.md": "",
            "/f/b.md": "---\ntitle: The B\ntags: [x, y]\n---\n",
            "/f/a.md": "---\ncore_claim: |\n  Two\n  lines\n---\n",
        }
    )
    assert catalogue(index) == "### /\n\n- z | z\n\n### f\n\n- a | Two lines\n- b | The B | tags: x, y"
    assert catalogue(index_of({})) == ""
