"""docs/custody: what is printed there is a policy, or settings, that the code takes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from life.anima.custody.soma.policy import AgentRule, PolicyDocument
from life.cli.somad import somad
from life.host.custody_parts import remote_settings, soma_agent, vault_settings
from life.host.settings import load_settings

DOCS = Path(__file__).parents[2] / "docs" / "custody"
PAGES = ("index.md", "soma.md", "remote.md")


def blocks(page: str, kind: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


def test_policies_can_be_meant() -> None:
    """Every policy in the pages has only members that there are."""
    policies = [text for page in PAGES for text in blocks(page, "toml") if "[custody" not in text]
    assert len(policies) == 3
    for text in policies:
        members = {"group": "life-runtime", "agents": {}, **tomllib.loads(text)}
        document = msgspec.convert(members, PolicyDocument)
        assert document.allow or document.agents
        assert all(isinstance(agent, AgentRule) for agent in document.agents.values())


def test_settings_can_be_used(tmp_path: Path) -> None:
    """Every [custody] block is a config.toml that loads, with nothing missing for its backend."""
    settings = [text for page in PAGES for text in blocks(page, "toml") if "[custody" in text]
    assert len(settings) == 3
    for text in settings:
        file = tmp_path / "config.toml"
        file.write_text(text)
        custody = load_settings(file, {}).custody
        match custody.backend:
            case "vault":
                assert vault_settings(custody.vault).key_name == "anima-alice-auth-v1"
            case "soma":
                assert soma_agent(custody.soma) == "alice"
            case "remote":
                assert remote_settings(custody.remote).url.startswith("https://")
            case other:
                raise AssertionError(other)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_somad_exist(page: str) -> None:
    """Every command and option of somad in the pages is one that it has."""
    options = {option for parameter in somad.params for option in parameter.opts}
    for line in re.findall(r"^(?:ExecStart=)?somad .*$", (DOCS / page).read_text(), flags=re.MULTILINE):
        words = line.removeprefix("ExecStart=").split(" > ")[0].split()[1:]
        known = set(options)
        for number, word in enumerate(words):
            command = somad.commands.get(word)
            if command is not None and (number == 0 or not words[number - 1].startswith("--")):
                known = {option for parameter in command.params for option in parameter.opts}
            elif word.startswith("--"):
                assert word in known, f"{page}: {line}"
    assert CliRunner().invoke(somad, ["--help"]).exit_code == 0


def test_pages_lead_to_pages() -> None:
    """Every link between the pages has its page."""
    for page in PAGES:
        for target in re.findall(r"\]\(([a-z-]+\.md)\)", (DOCS / page).read_text()):
            assert (DOCS / target).is_file(), f"{page}: {target}"
