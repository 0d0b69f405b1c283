"""`life spaces peers`: the directory, a peer, and hires, against a running common of two households."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.aios.ids import new_id
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.cli import groups
from life.host.clock import SystemClock
from life.host.hiring.commons import open_commons
from life.host.system import open_system
from life.spaces.commands import SetProfile, SkillSpec

PRICE = 250_000


def life(*words: str) -> Result:
    """`life spaces peers …`"""
    return CliRunner().invoke(groups.life, ["spaces", "peers", *words])


@pytest.mark.slow
async def test_a_hire_from_its_customers_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """list, show and hire-state, for people and programs, before and after the work is delivered and accepted; the state is the house's."""
    monkeypatch.setenv("LIFE_KEY_FILE", str(tmp_path / "key"))
    async with open_commons(tmp_path / "common") as common:
        settings = common.settings(auto_approve_micro=PRICE)
        model = ScriptedProvider(lambda _: ScriptedTurn(text="good day"), clock=SystemClock())
        async with (
            open_system(tmp_path / "ada", settings=settings, provider=model) as ada,
            open_system(tmp_path / "ben", settings=settings, provider=model) as ben,
        ):
            (tmp_path / "ada" / "config.toml").write_text(
                f'[spaces]\nplace = "{common.address}"\nhouse = "{common.address}"\n'
            )
            where = ["--data-dir", str(tmp_path / "ada")]
            await common.money.fund(ada.identity.wallet.address, 1_000_000)
            assert ada.hiring is not None and ben.hiring is not None
            seat = await ben.spaces.seat()
            await seat.submit(SetProfile(username="ben"))
            await ben.hiring.publish(
                "Ben", "Translates.", price_micro=PRICE, skills=[SkillSpec(skill_id="french", name="French")]
            )
            hire = await ada.hiring.desk.hire(
                new_id(ada.clock, ada.entropy), seat.identity, title="A greeting", task="bonjour", price_micro=PRICE,
                deadline_s=600, review_s=600,
            )  # fmt: skip

            async def told(*words: str) -> str:
                result = await asyncio.to_thread(life, *words)
                assert result.exit_code == 0, result.output
                return result.output

            # The list works as the operator by default, who has no token here.
            assert "Ben" in await told("list", "french", "--as-agent", "--address", common.address, *where)
            shown = await told("show", "@ben", *where)
            assert "french: French" in shown and "0.25" in shown and hire.hire_id in shown
            (line,) = [line for line in (await told("hire-state", *where)).splitlines() if hire.hire_id in line]
            assert "offered" in line and "ben" in line
            assert "escrow held" in await told("hire-state", hire.hire_id, *where)
            await ben.hiring.desk.deliver(hire.hire_id, "good day")
            await ada.hiring.desk.accept(hire.hire_id)
            found = json.loads(await told("hire-state", hire.hire_id, "--json", *where))
            assert (found["state"], found["paid_micro"], found["result"]) == ("paid", PRICE, "good day")
            assert json.loads(await told("hire-state", "--open", "--json", *where)) == []
            peer = json.loads(await told("show", "ben", "--json", *where))
            assert (peer["trust_micro"], peer["interactions"], len(peer["hires"])) == (550_000, 1, 1)
            missing = await asyncio.to_thread(life, "hire-state", "nothing", *where)
            assert missing.exit_code != 0 and "no such hire" in missing.output.lower()
            nobody = await asyncio.to_thread(life, "show", "@nobody", *where)
            assert nobody.exit_code != 0 and "Traceback" not in nobody.output


@pytest.mark.parametrize("words", [("list",), ("show", "x"), ("hire-state",)])
def test_without_a_project_the_next_step_is_named(words: tuple[str, ...], tmp_path: Path) -> None:
    """One sentence, no traceback."""
    result = life(*words, "--data-dir", str(tmp_path / "none"))
    assert result.exit_code != 0
    assert "Traceback" not in result.output and result.output.strip()


def test_help_names_the_commands() -> None:
    """As the group's table says."""
    shown = life("--help").output
    assert all(name in shown for name in ("list", "show", "hire-state"))
