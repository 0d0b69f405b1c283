"""Finding skills: precedence, shadows, links, problems, and what is kept (praxis.md §6.2, §12.8)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life.aios.errors import ToolError
from life.praxis.errors import SkillNotFoundError, SkillSignatureError
from life.praxis.skills.catalogue import discover, discovered_payload, prompt_section, read_bundled
from tests.praxis.skills.folders import skill


def test_the_first_skill_of_a_name_counts_and_the_others_are_listed(tmp_path: Path) -> None:
    """A blessed skill can't be replaced from a later folder; the shadow is visible."""
    blessed = skill(tmp_path / "blessed", "review", body="The good one.")
    personal = skill(tmp_path / "personal", "review", body="The other one.")
    skill(tmp_path / "personal", "deploy")
    found = discover([tmp_path / "blessed", tmp_path / "missing", tmp_path / "personal"])
    assert [one.name for one in found.skills] == ["deploy", "review"]
    assert found.get("review").manifest.body == "The good one."
    assert found.shadowed == ((str(personal), str(blessed)),)


def test_bad_skills_are_reported_and_take_nothing_down(tmp_path: Path) -> None:
    """Malformed, unreadable and special-file skills are problems with a reason; the good ones are there."""
    skill(tmp_path, "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "SKILL.md").write_text("nothing")
    os.mkfifo(skill(tmp_path, "pipe") / "pipe")
    (skill(tmp_path, "link") / "secrets").symlink_to("/etc/passwd")
    (tmp_path / "fifo").mkdir()
    os.mkfifo(tmp_path / "fifo" / "SKILL.md")
    found = discover([tmp_path])
    assert [one.name for one in found.skills] == ["good"]
    assert {Path(problem.folder).name for problem in found.problems} == {"bad", "pipe", "link", "fifo"}


def test_links_are_followed_inside_the_roots_only(tmp_path: Path) -> None:
    """What `sync` linked is found; a link to somewhere else is a problem, and a circle ends."""
    original = skill(tmp_path / "shared", "review")
    outside = skill(tmp_path / "elsewhere", "evil")
    roots = [tmp_path / "project", tmp_path / "shared"]
    roots[0].mkdir()
    (roots[0] / "review").symlink_to(original)
    (roots[0] / "evil").symlink_to(outside)
    (roots[0] / "circle").symlink_to(roots[0])
    found = discover(roots)
    assert [one.name for one in found.skills] == ["review"]
    assert any("leads out" in problem.reason for problem in found.problems)


def test_bundled_files_stay_in_the_folder_and_as_they_were(tmp_path: Path) -> None:
    """Only files found at discovery are read, by their exact path, and a change since then is refused."""
    folder = skill(tmp_path, "review")
    (folder / "references").mkdir()
    (folder / "references" / "rules.md").write_text("Rule one.")
    one = discover([tmp_path]).get("review")
    assert one.bundled == ("references/rules.md",)
    assert read_bundled(one, "references/rules.md", 1000) == b"Rule one."
    for path in ("../secret", "/etc/passwd", "references/../SKILL.md", "other.md"):
        with pytest.raises(SkillNotFoundError):
            read_bundled(one, path, 1000)
    with pytest.raises(ToolError):
        read_bundled(one, "references/rules.md", 3)
    (folder / "references" / "rules.md").write_text("Rule two.")
    with pytest.raises(SkillSignatureError):
        read_bundled(one, "references/rules.md", 1000)
    (folder / "references" / "rules.md").unlink()
    (folder / "references" / "rules.md").symlink_to("/etc/passwd")
    with pytest.raises(ToolError):
        read_bundled(one, "references/rules.md", 100_000)


def test_the_prompt_names_what_the_model_may_use_and_marks_unsigned_ones(tmp_path: Path) -> None:
    """One line each, with the mark; a skill that only people may invoke is not told to the model."""
    skill(tmp_path, "review")
    skill(tmp_path, "deploy", disable_model_invocation="true")
    section = prompt_section(discover([tmp_path]))
    assert "- review (unsigned): How to review." in section
    assert "deploy" not in section
    assert prompt_section(discover([tmp_path / "none"])) == ""


def test_the_same_folders_give_the_same_digest(tmp_path: Path) -> None:
    """The digest follows from the contents, so the event of a discovery is written once."""
    folder = skill(tmp_path, "review")
    first = discover([tmp_path])
    assert discover([tmp_path]).digest == first.digest
    (folder / "new.txt").write_text("x")
    assert discover([tmp_path]).digest != first.digest
    payload = discovered_payload(first)
    assert isinstance(payload, dict)
    assert payload["count"] == 1
