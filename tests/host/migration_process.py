"""A migration that kills itself after one of its steps: `python -m tests.host.migration_process ROOT SETTINGS TARGET STEP`.

TARGET is a backend, or `rotate` for a rotation where the identity is. STEP is `module:attribute`; the process ends by SIGKILL as soon as that returned.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from life.host.custody_migration import keeps_keys, migrate_keys
from life.host.rotation_into import rotate_into
from tests.host.custody_kit import Project


def deadly(original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, and then the end."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if inspect.iscoroutinefunction(original):

        async def waits(*arguments: Any, **members: Any) -> None:
            await original(*arguments, **members)
            die()

        return waits

    def calls(*arguments: Any, **members: Any) -> None:
        original(*arguments, **members)
        die()

    return calls


def patch(step: str) -> None:
    """Make a step the last one."""
    module_name, _, path = step.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, deadly(getattr(owner, name)))


async def main(root: str, settings: str, target: str, step: str) -> None:
    """Migrate, and die on the way."""
    project = Project(Path(root), **json.loads(settings))
    source = project.identity.custody
    patch(step)
    if target == "rotate":
        await project.rotated()
        return
    async with project.journal() as journal:
        if keeps_keys(source, target):
            await migrate_keys(journal, project.context, target)  # type: ignore[arg-type]
        else:
            await rotate_into(journal, project.context, target, cool_down_s=0)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
