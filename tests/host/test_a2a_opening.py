"""A2A from the settings: what stands on the card, what can't be meant, and what a daemon does without."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from life.host.a2a_opening import DEFAULT_SKILL, open_daemon_a2a, profile_of
from life.host.access import Access
from life.host.arcand import open_application
from life.host.errors import SettingsError
from life.host.settings import A2aSettings, A2aSkillSettings, PaymentSettings, Settings, SpacesSettings, load_settings
from life.host.system import System, open_system
from life.spaces.a2a.card import verify_card
from life.testing.clock import SeededEntropy

HOST = "127.0.0.1:3000"
CARD = "/.well-known/agent-card.json"
SKILL = A2aSkillSettings(id="s", name="S", description="Does.")


def system_with(root: Path, a2a: A2aSettings, *, network: str | None = None) -> object:
    """A system with these settings."""
    payments = PaymentSettings() if network is None else PaymentSettings(network=network)
    settings = Settings(a2a=a2a, payments=payments, spaces=SpacesSettings(place="off"))
    return open_system(root / "life", settings=settings, environment={"LIFE_KEY_FILE": str(root / "key")})


async def card_of(system: System, address: str = "") -> httpx2.Response:
    """What the daemon serves as the card."""
    access = Access("t" * 43, system.clock, SeededEntropy())
    async with (
        open_application(system, access, "t" * 43, hosts=[HOST], environment={}, address=address) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        return await client.get(CARD)


async def test_without_settings_the_card_is_the_agents(tmp_path: Path) -> None:
    """Its name, one skill, where it is reached, signed by its DID; and a2a.key is a private file."""
    async with system_with(tmp_path, A2aSettings()) as system:  # type: ignore[attr-defined]
        answer = await card_of(system, "https://agents.example")
        verified = verify_card(answer.content, trusted=system.identity.did.__eq__)
        assert verified.signer == system.identity.did
        assert verified.card.name == system.identity.name
        assert [skill.id for skill in verified.card.skills] == [DEFAULT_SKILL.id]
        assert [one.url for one in verified.card.supported_interfaces] == [
            "https://agents.example/a2a",
            "https://agents.example/a2a/v1",
        ]
        assert verified.card.capabilities.push_notifications
        assert (system.data.root / "a2a.key").stat().st_mode & 0o777 == 0o600


async def test_off_is_off(tmp_path: Path) -> None:
    """No card, no routes, no key."""
    async with system_with(tmp_path, A2aSettings(enabled=False)) as system:  # type: ignore[attr-defined]
        assert (await card_of(system)).status_code == 404
        assert not (system.data.root / "a2a.key").exists()


async def test_the_file_says_what_is_offered(tmp_path: Path) -> None:
    """Tables of config.toml become skills with their prices; the environment has the plain settings, and no variable for tables."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[a2a]\nname = "Claire"\n[[a2a.skills]]\nid = "r"\nname = "R"\ndescription = "d"\nprice = "$0.01"\n'
    )
    settings = load_settings(file, {"LIFE_A2A_PUSH": "false", "LIFE_A2A_URL": "https://a.example/"})
    assert (settings.a2a.name, settings.a2a.push, settings.a2a.skills[0].price) == ("Claire", False, "$0.01")
    with pytest.raises(SettingsError):
        load_settings(file, {"LIFE_A2A_SKILLS": "x"})
    async with system_with(tmp_path, settings.a2a) as system:  # type: ignore[attr-defined]
        profile = profile_of(system, address="http://ignored")
        assert (profile.base_url, profile.skills[0].price) == ("https://a.example/a2a", "$0.01")
        async with open_daemon_a2a(system, address="") as a2a:
            assert a2a is not None and a2a.service.push is None


@pytest.mark.parametrize(
    ("a2a", "network", "words"),
    [
        (A2aSettings(skills=(SKILL, SKILL)), None, "same id"),
        (A2aSettings(url="agents.example"), None, "http"),
        (A2aSettings(skills=(A2aSkillSettings(id="s", name="S", description="d", price="free"),)), None, "a2a.skills"),
        (A2aSettings(skills=(A2aSkillSettings(id="s", name="S", description="d", price="$1"),)), "eip155:8453", "settles"),
        (A2aSettings(pay_to="me", skills=(A2aSkillSettings(id="s", name="S", description="d", price="$1"),)), None, "pay_to"),
        (A2aSettings(network="nowhere", skills=(A2aSkillSettings(id="s", name="S", description="d", price="$1"),)), None, "a2a"),
    ],
)  # fmt: skip
async def test_what_cant_be_meant_is_said(tmp_path: Path, a2a: A2aSettings, network: str | None, words: str) -> None:
    """One sentence that names the setting, and the daemon does not start."""
    async with system_with(tmp_path, a2a, network=network) as system:  # type: ignore[attr-defined]
        with pytest.raises(SettingsError, match=words):
            async with open_daemon_a2a(system, address=f"http://{HOST}"):
                pass
