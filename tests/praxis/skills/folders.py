"""Skill folders for the tests."""

from __future__ import annotations

from pathlib import Path


def skill(root: Path, name: str, *, body: str = "Do it well.", folder: str = "", **front: str) -> Path:
    """Write a skill; `front` are further lines of its frontmatter, `_` standing for `-`. Its folder."""
    place = root / (folder or name)
    place.mkdir(parents=True, exist_ok=True)
    fields = {
        "name": name,
        "description": f"How to {name}.",
        **{key.replace("_", "-"): text for key, text in front.items()},
    }
    lines = "\n".join(f"{key}: {text}" for key, text in fields.items())
    (place / "SKILL.md").write_text(f"---\n{lines}\n---\n{body}\n")
    return place
