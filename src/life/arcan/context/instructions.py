"""Sources of context that need no other part: the project's instruction files, its git branch, the environment, and fixed words.

Files are read only inside the workspace: every part of a path is opened from its folder without following symbolic links, only regular files
are read, and only so much of them. What is read is marked as the project's, not as the operator's (arcan.md §5.1, §5.3 "Build").
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Mapping, Sequence
from typing import Final

from life.aios.record import format_timestamp
from life.arcan.context.blocks import BlockRequest, ContextBlock

INSTRUCTION_FILES: Final = ("AGENTS.md", "CLAUDE.md", ".claude/CLAUDE.md")
RULES_FOLDER: Final = ".claude/rules"
MAX_FILE_BYTES: Final = 32 * 1024
MAX_RULES: Final = 32
_REFERENCE: Final = re.compile(r"ref: refs/heads/([\x21-\x7e]{1,200})")
_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}")
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class FixedBlocks:
    """Words that are known before: the persona, the catalogue of skills."""

    def __init__(self, name: str, blocks: Sequence[ContextBlock]) -> None:
        self._name = name
        self._blocks = tuple(blocks)

    @property
    def name(self) -> str:
        """See BlockSource."""
        return self._name

    @property
    def stable(self) -> bool:
        """See BlockSource."""
        return True

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """See BlockSource."""
        return self._blocks


class Environment:
    """Where the agent runs: the day its session began, its model, and what the host knows (`os`, `shell`)."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self._facts = dict(facts)

    @property
    def name(self) -> str:
        """See BlockSource."""
        return "environment"

    @property
    def stable(self) -> bool:
        """See BlockSource."""
        return True

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """See BlockSource."""
        facts = {
            "date": f"{format_timestamp(request.now_us)[:10]} (when this session began, UTC)",
            "model": request.provider,
            **self._facts,
        }
        lines = [f"- {name}: {' '.join(value.split())[:200]}" for name, value in facts.items() if value]
        content = "\n".join(["Environment:", *lines])
        return [ContextBlock(kind="persona", source=self.name, content=content, priority=160, trust="ours")]


class ProjectInstructions:
    """`AGENTS.md`, `CLAUDE.md` and `.claude/rules/*.md` of the workspace."""

    @property
    def name(self) -> str:
        """See BlockSource."""
        return "project instructions"

    @property
    def stable(self) -> bool:
        """See BlockSource."""
        return True

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """See BlockSource. The same text in two files is given once."""
        found = await asyncio.to_thread(_instructions, request.workspace)
        blocks: list[ContextBlock] = []
        seen: set[str] = set()
        for path, text in found:
            if text.strip() and text not in seen:
                seen.add(text)
                blocks.append(
                    ContextBlock(kind="rules", source=path, content=text, priority=180 - len(blocks), trust="project")
                )
        return blocks


class GitBranch:
    """The branch and commit that the workspace is at. Git itself is not run: a repository's configuration could run programs."""

    @property
    def name(self) -> str:
        """See BlockSource."""
        return "git"

    @property
    def stable(self) -> bool:
        """See BlockSource."""
        return False

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """See BlockSource."""
        words = await asyncio.to_thread(_git, request.workspace)
        return [ContextBlock(kind="workspace", source=self.name, content=words, priority=120)] if words else []


def read_inside(root: str, path: str, *, limit: int = MAX_FILE_BYTES) -> str | None:
    """The beginning of a text file below `root`, no link followed; None when there is no such regular file."""
    *folders, last = path.split("/")
    descriptor = -1
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for folder in folders:
            inner = os.open(folder, _FLAGS | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        file = os.open(last, _FLAGS, dir_fd=descriptor)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return None
            return os.read(file, limit).decode("utf-8", "ignore")
        finally:
            os.close(file)
    except OSError:
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _instructions(root: str) -> list[tuple[str, str]]:
    paths = [*INSTRUCTION_FILES, *(f"{RULES_FOLDER}/{name}" for name in _rules(root))]
    return [(path, text) for path in paths if (text := read_inside(root, path)) is not None]


def _rules(root: str) -> list[str]:
    """Names of rule files, in order. The folder is opened without following links, like everything."""
    descriptor = -1
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for folder in RULES_FOLDER.split("/"):
            inner = os.open(folder, _FLAGS | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        with os.scandir(descriptor) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".md"))[:MAX_RULES]
    except OSError:
        return []
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _git(root: str) -> str:
    head = (read_inside(root, ".git/HEAD", limit=512) or "").strip()
    named = _REFERENCE.fullmatch(head)
    if named is None:
        return f"Git: at commit {head}, on no branch." if _COMMIT.fullmatch(head) else ""
    branch = named.group(1)
    if any(part in ("", ".", "..") for part in branch.split("/")):
        return ""
    commit = (read_inside(root, f".git/refs/heads/{branch}", limit=128) or "").strip()
    at = f" at commit {commit}" if _COMMIT.fullmatch(commit) else ""
    return f"Git: on branch {branch}{at}."
