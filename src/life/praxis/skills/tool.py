"""The tool `skill`: loads a skill's instructions, or one of its files. It changes nothing outside the conversation.

Loading the instructions activates the skill for the rest of the run: the outcome carries a `skill.activated` note, which the
runtime writes with it, and the gate then narrows the tools (`life.arcan.skill_scope`). What the model was given stands in the
journal as the call's result, so a replay never reads the folder again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import OutcomeNote, Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.blocking import on_thread
from life.praxis.errors import NotTextError, SkillNotFoundError
from life.praxis.paths import canonical_path
from life.praxis.skills.catalogue import Catalogue, Skill, read_bundled
from life.praxis.tool import input_schema, read_only_probe

NAME: Final = "skill"
MAX_FILE_BYTES: Final = 128 * 1024
LISTED_FILES: Final = 100


class SkillArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which skill, and which of its files."""

    name: Annotated[str, msgspec.Meta(description="Name of the skill, as it is listed.", min_length=1, max_length=64)]
    file: Annotated[
        Annotated[str, msgspec.Meta(max_length=1024)] | None,
        msgspec.Meta(description="One of the skill's own files, by its path; left out: the instructions."),
    ] = None


class SkillTool:
    """The tool over a catalogue, which may be another one at every call."""

    arguments = SkillArguments

    def __init__(self, catalogue: Callable[[], Catalogue]) -> None:
        self._catalogue = catalogue
        self.definition = ToolDefinition(
            name=NAME,
            description=(
                "Load a skill: instructions for a special task. Returns its instructions and the list of its files; "
                "with `file`, one of those files. While a skill that names tools is active, only those may be called."
            ),
            input_schema=input_schema(SkillArguments),
            annotations=ToolAnnotations(read_only=True, idempotent=True),
            category="skills",
        )

    def capabilities(self, arguments: SkillArguments, context: ToolContext) -> tuple[str, ...]:
        """None: which skills there are is the operator's choice. SkillNotFoundError: not one of them."""
        self._skill(arguments)
        return ()

    async def prepare(self, arguments: SkillArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: SkillArguments, context: ToolContext) -> ToolOutcome:
        """`{skill, origin, instructions, files}`, or `{skill, file, content}`."""
        skill = self._skill(arguments)
        if arguments.file is not None:
            path = canonical_path(arguments.file)
            content = await on_thread(lambda: read_bundled(skill, path, MAX_FILE_BYTES))
            try:
                text = content.decode()
            except UnicodeDecodeError:
                raise NotTextError(f"'{path}' of the skill {skill.name} is not UTF-8 text.") from None
            return ToolOutcome(status="ok", output={"skill": skill.name, "file": path, "content": text})
        output: dict[str, Json] = {
            "skill": skill.name,
            "origin": skill.mark,
            "instructions": skill.manifest.body,
            "files": list(skill.bundled[:LISTED_FILES]),
        }
        if skill.manifest.allowed_tools is not None:
            output["permitted_tools"] = list(skill.manifest.allowed_tools)
        return ToolOutcome(status="ok", output=output, notes=(activation_note(skill, by="model"),))

    async def probe(self, arguments: SkillArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("Loading a skill changes nothing outside the conversation.")

    def _skill(self, arguments: SkillArguments) -> Skill:
        catalogue = self._catalogue()
        skill = next((skill for skill in catalogue.for_model() if skill.name == arguments.name), None)
        if skill is None:
            known = ", ".join(each.name for each in catalogue.for_model()) or "none"
            raise SkillNotFoundError(f"There is no skill named {arguments.name[:64]!r} here. Skills: {known}.")
        return skill


def activation_note(skill: Skill, *, by: str) -> OutcomeNote:
    """`skill.activated`: which skill, in which state, and what it permits. Its instructions stand in the result or message."""
    allowed = skill.manifest.allowed_tools
    data: dict[str, Json] = {
        "name": skill.name,
        "tags": list(skill.manifest.tags),
        "sha256": skill.files["SKILL.md"],
        "signature": skill.signature,
        "signer": skill.signer,
        "by": by,
    }
    if allowed is not None:
        data["allowed_tools"] = list(allowed)
    return OutcomeNote("skill.activated", data)
