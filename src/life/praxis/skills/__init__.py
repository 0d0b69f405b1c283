"""Skills: folders with instructions for special tasks, by the Agent Skills convention (SKILL.md)."""
