"""Skills of a project: where they are, whose they are, and a person's activation in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from life.aios import events
from life.aios.errors import EventConflictError, SequenceConflictError
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.record import SYSTEM, EventWriter, Stream
from life.anima.errors import IdentityNotFoundError
from life.anima.home import read_identity
from life.host.data_directory import DataDirectory
from life.host.settings import SkillSettings
from life.praxis.blocking import on_thread
from life.praxis.mcp.doors import Caller, Prompt, PromptArgument
from life.praxis.registry import ToolRegistry
from life.praxis.skills.catalogue import Catalogue, discover, discovered_payload, hash_files, prompt_section
from life.praxis.skills.manifest import FILE_NAME, parse_manifest
from life.praxis.skills.signature import SIGNATURE_NAME, sign_files
from life.praxis.skills.slash import activate_by_slash
from life.praxis.skills.tool import SkillTool, activation_note

STREAM: Final = Stream("skills")
"""Where discoveries are noted; no session."""


class Skills:
    """The skills of an open system."""

    def __init__(self, roots: list[Path], settings: SkillSettings, own_did: str | None) -> None:
        self._roots = roots
        self._trusted = {*settings.trusted_signers, *([own_did] if own_did else [])}
        self._require_trusted = settings.require_trusted
        self.catalogue = Catalogue()

    async def reload(self) -> Catalogue:
        """Look again. Sessions that were created before keep the list that their instructions began with."""
        self.catalogue = await on_thread(
            lambda: discover(self._roots, trusted_signers=self._trusted, require_trusted=self._require_trusted)
        )
        return self.catalogue

    def register(self, tools: ToolRegistry) -> None:
        """Add the tool `skill` when there is a skill for it."""
        if self.catalogue.for_model():
            tools.register(SkillTool(lambda: self.catalogue))

    def instructions(self, system_prompt: str) -> str:
        """A session's instructions, with the list of skills."""
        section = prompt_section(self.catalogue)
        return f"{system_prompt}\n\n{section}" if section else system_prompt

    async def note_discovery(self, journal: Journal, clock: Clock, entropy: Entropy, agent_id: str) -> None:
        """`skill.discovered`, once for the same skills."""
        if not self.catalogue.skills:
            return
        writer = EventWriter(clock, entropy, agent_id=agent_id, stream=STREAM, actor=SYSTEM)
        noted = writer.event(
            events.Custom(event_type="skill.discovered", data=discovered_payload(self.catalogue)),
            event_id=derived_event_id("skill.discovered", agent_id, self.catalogue.digest, *self.catalogue.roots),
        )
        try:
            await journal.append([noted])
        except (EventConflictError, SequenceConflictError):
            pass  # it stands there, with another time

    async def begin_with(
        self, text: str, session_id: str, *, journal: Journal, clock: Clock, entropy: Entropy, agent_id: str
    ) -> str:
        """The objective that a person's `/name …` means, and the activation in the session; other text as it is.
        SkillNotFoundError. The activation holds for the session's next run."""
        activation = activate_by_slash(text, self.catalogue)
        if activation is None:
            return text
        note = activation_note(activation.skill, by="user")
        writer = EventWriter(clock, entropy, agent_id=agent_id, stream=Stream(session_id), actor=SYSTEM)
        await journal.append([writer.event(events.Custom(event_type=note.event_type, data=note.data))])
        return activation.message


class SkillPrompts:
    """Skills as MCP prompts: those that people may invoke (life.praxis.mcp.doors.PromptSource)."""

    def __init__(self, skills: Skills) -> None:
        self._skills = skills

    async def list(self, caller: Caller) -> Sequence[Prompt]:
        """By name."""
        objective = PromptArgument("objective", "What to do with it.")
        return [
            Prompt(skill.name, f"{skill.manifest.description} ({skill.mark})", (objective,))
            for skill in self._skills.catalogue.skills
            if skill.manifest.user_invocable
        ]

    async def get(self, caller: Caller, name: str, arguments: Mapping[str, str]) -> Sequence[JsonObject] | None:
        """The instructions and the objective, as a slash would give them."""
        if all(prompt.name != name for prompt in await self.list(caller)):
            return None
        activation = activate_by_slash(f"/{name} {arguments.get('objective', '')}", self._skills.catalogue)
        return None if activation is None else [{"type": "text", "text": activation.message}]


def trusted_signers(data: DataDirectory, settings: SkillSettings) -> tuple[str, ...]:
    """Whose signatures count: the DIDs of the settings, and the project's own where it has an identity."""
    try:
        return (*settings.trusted_signers, read_identity(data.identity).did)
    except IdentityNotFoundError:
        return settings.trusted_signers


def skill_roots(data: DataDirectory, settings: SkillSettings, environment: Mapping[str, str]) -> list[Path]:
    """The folders to look through, in order."""
    home = environment.get("HOME")
    project = data.root.resolve().parent
    if settings.dirs:
        return [
            project / Path(each.replace("~", home or "~", 1) if each.startswith("~") else each)
            for each in settings.dirs
        ]
    roots = [data.root / "skills", project / ".life" / "skills", project / ".agents" / "skills"]
    return [*roots, Path(home) / ".agents" / "skills"] if home else roots


async def open_skills(
    data: DataDirectory, settings: SkillSettings, environment: Mapping[str, str], *, own_did: str | None
) -> Skills:
    """The skills of a project, found now."""
    skills = Skills(skill_roots(data, settings, environment), settings, own_did)
    await skills.reload()
    return skills


async def sign_skill(folder: Path, custody: Custody) -> str:
    """Sign a skill's folder with the agent's key, and leave the signature in it; the skill's name. ToolErrors."""

    async def token(claims: JsonObject, typ: str) -> str:
        return await custody.sign_token(claims, typ=typ)

    files = await on_thread(lambda: hash_files(str(folder.resolve())))
    manifest = parse_manifest((folder / FILE_NAME).read_bytes() if FILE_NAME in files else b"")
    signature = await sign_files(manifest.name, files, token)
    (folder / SIGNATURE_NAME).write_text(signature)
    return manifest.name
