"""Skills in an open system: the list in a session's instructions, the tool, the slash, and what the journal notes."""

from __future__ import annotations

from pathlib import Path

from life.aios.ports.journal import EventQuery
from life.aios.ports.tools import ToolCall, ToolContext
from life.host.settings import Settings, SkillSettings
from life.host.skills import SkillPrompts, sign_skill
from life.host.system import open_system
from life.praxis.mcp.doors import LOCAL_CALLER
from tests.praxis.skills.folders import skill


async def test_skills_are_listed_loaded_and_noted(tmp_path: Path) -> None:
    """A new session's instructions name them; the tool loads one; the discovery is noted once; the own signature is trusted."""
    environment = {"LIFE_PASSPHRASE": "a passphrase for the test", "HOME": str(tmp_path / "home")}
    folder = skill(tmp_path / ".agents" / "skills", "review", body="Look twice.", allowed_tools="read_file")
    context = ToolContext(
        session_id="s", branch_id="main", agent_id="a", run_id="r", workspace=str(tmp_path), idempotency_key="k"
    )
    for number in range(2):
        async with open_system(tmp_path / ".life", environment=environment) as system:
            mark = "trusted" if number else "unsigned"
            state = await system.runtime.create_session(f"s{number}")
            assert f"- review ({mark}): How to review." in state.config.system_prompt
            loaded = await system.equipment.toolbox.execute(ToolCall("c", "skill", {"name": "review"}), context)
            assert "Look twice." in str(loaded.output)
            (prompt,) = await SkillPrompts(system.equipment.skills).list(LOCAL_CALLER)
            assert prompt.name == "review"
            blocks = await SkillPrompts(system.equipment.skills).get(LOCAL_CALLER, "review", {"objective": "the diff"})
            assert blocks is not None and "the diff" in str(blocks[0]["text"])
            await sign_skill(folder, system.custody)
    async with open_system(tmp_path / ".life", environment=environment) as system:
        noted = await system.journal.read(EventQuery("skills", "main"), limit=10)
        assert len(noted) == 2  # unsigned, then signed; not again for the same
        parts = {"journal": system.journal, "clock": system.clock, "entropy": system.entropy}
        await system.runtime.create_session("slash")
        text = await system.equipment.skills.begin_with(
            "/review the diff",
            "slash",
            agent_id=system.identity.agent_id,
            **parts,  # type: ignore[arg-type]
        )
        assert text.endswith("the diff")
        (active,) = (await system.runtime.state("slash")).skills
        assert (active.name, active.allowed_tools, active.run_number) == ("review", ("read_file",), 1)
        report = await system.runtime.run("slash", "write a.txt: x")  # the scripted demo model calls write_file
        assert "skill review is active" in (report.final_answer or "")


async def test_only_trusted_skills_when_the_operator_wants_that(tmp_path: Path) -> None:
    """`skills.require_trusted` leaves the others out, and then there is no tool."""
    skill(tmp_path / "mine", "review")
    settings = Settings(skills=SkillSettings(dirs=("mine",), require_trusted=True))
    environment = {"LIFE_PASSPHRASE": "a passphrase for the test"}
    async with open_system(tmp_path / ".life", settings=settings, environment=environment) as system:
        assert system.equipment.skills.catalogue.skills == ()
        assert "skill" not in {tool.name for tool in system.equipment.toolbox.definitions()}
