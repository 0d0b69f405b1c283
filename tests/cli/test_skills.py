"""`life skills`: what is found, whose it is, and signing with the project's identity."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from life.cli.skills import skills
from tests.praxis.skills.folders import skill


def life(*arguments: str, data: Path) -> Result:
    """Run `life skills …`."""
    environment = {
        "LIFE_PASSPHRASE": "test-passphrase-for-skills",
        "LIFE_DATA_DIR": str(data),
        "HOME": str(data.parent / "home"),
        "XDG_CONFIG_HOME": str(data.parent / "config"),
    }
    return CliRunner().invoke(skills, list(arguments), env=environment)


def test_found_shown_signed_and_verified(tmp_path: Path) -> None:
    """The order of folders, the marks, and a signature by the project's own DID, which is trusted; a change is noticed."""
    data = tmp_path / ".life"
    folder = skill(data / "skills", "review", body="Look twice.", allowed_tools="read_file Odd(x)")
    skill(tmp_path / ".agents" / "skills", "review")
    skill(tmp_path / "home" / ".agents" / "skills", "deploy")
    (tmp_path / ".agents" / "skills" / "bad").mkdir()
    (tmp_path / ".agents" / "skills" / "bad" / "SKILL.md").write_text("nothing")
    listed = life("list", data=data)
    assert listed.exit_code == 0, listed.output
    assert "review  unsigned" in listed.output
    assert "Shadowed" in listed.output
    assert "Not used" in listed.output
    shown = life("show", "review", data=data)
    assert "Look twice." in shown.output
    assert "Odd(x)" in shown.output
    assert life("verify", "review", data=data).exit_code == 1
    signed = life("sign", str(folder), data=data)
    assert signed.exit_code == 0, signed.output
    did = signed.output.split()[-1].rstrip(".")
    (tmp_path / ".life" / "config.toml").write_text("[skills]\nrequire_trusted = true\n")
    assert f"signed by trusted {did}" in life("verify", "review", data=data).output
    found = json.loads(life("list", "--json", data=data).output)
    assert [one["manifest"]["name"] for one in found["skills"]] == ["review"]
    (folder / "SKILL.md").write_text((folder / "SKILL.md").read_text() + "More.")
    changed = life("list", data=data)
    assert "signature does not fit" in changed.output
    assert life("show", "nothing", data=data).exit_code == 1
