"""A person's activation: a message that begins with `/name`.

The rest of the message is the objective. The model is given the skill's instructions inside one element, before it; a body can't
close that element or open another one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from life.praxis.errors import SkillNotFoundError
from life.praxis.skills.catalogue import Catalogue, Skill

_SLASH: Final = re.compile(r"/(?P<name>[a-z0-9][a-z0-9-]{0,63})(?:\s+(?P<rest>.*))?", re.DOTALL)
_ELEMENT: Final = re.compile(r"<(?=\s*/?\s*active-skill)", re.IGNORECASE)


class SlashActivation(NamedTuple):
    """The skill, and the message with its instructions."""

    skill: Skill
    message: str


def activate_by_slash(text: str, catalogue: Catalogue) -> SlashActivation | None:
    """None: the text begins with no slash and name. SkillNotFoundError: no skill of that name that people may invoke."""
    match = _SLASH.fullmatch(text.strip())
    if match is None:
        return None
    skill = catalogue.get(match["name"])
    if not skill.manifest.user_invocable:
        raise SkillNotFoundError(f"The skill {skill.name} is not for people to invoke.")
    body = _ELEMENT.sub("&lt;", skill.manifest.body)
    objective = (match["rest"] or "").strip() or "Follow this skill."
    message = f'<active-skill name="{skill.name}" origin="{skill.mark}">\n{body}\n</active-skill>\n\n{objective}'
    return SlashActivation(skill, message)
