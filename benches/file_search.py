"""Searching a repository-sized workspace (praxis.md §2.1): `grep` and `glob` as an agent calls them, beside ripgrep itself.

Eight thousand source-like files. The peer is ripgrep started as its own process on the same tree, with the same rules about
what is left out; it prints every match, while an agent gets the first hundred. Without ripgrep on the path only our own engine is measured, beside a bare walk that reads every file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import Claim, arguments, interleaved, report, runner

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.registry import ToolRegistry
from life.praxis.ripgrep import find_ripgrep
from life.praxis.tools.glob import Glob
from life.praxis.tools.grep import Grep
from life.praxis.workspace import WorkspacePolicy

LINES = 120


def main() -> int:
    """Run it."""
    options = arguments(__doc__ or "")
    count = 2_000 if options.quick else 8_000
    ripgrep = find_ripgrep()
    with tempfile.TemporaryDirectory() as folder, runner() as loop:
        root = Path(folder)
        make_tree(root, count)
        context = ToolContext(
            session_id="bench",
            branch_id="main",
            agent_id="bench",
            run_id="run",
            workspace=folder,
            idempotency_key="key",
        )

        def tool(name: str, arguments: Json, *, with_ripgrep: bool) -> Callable[[], float]:
            registry = ToolRegistry()
            registry.register(Grep(WorkspacePolicy(), ripgrep_path=ripgrep if with_ripgrep else None))
            registry.register(Glob(WorkspacePolicy()))

            def run() -> float:
                begun = time.perf_counter()
                outcome = loop.run(registry.execute(ToolCall("c", name, arguments), context))
                assert outcome.status == "ok", outcome.output
                return (time.perf_counter() - begun) * 1_000

            return run

        def process(*command: str) -> Callable[[], float]:
            def run() -> float:
                begun = time.perf_counter()
                subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
                return (time.perf_counter() - begun) * 1_000

            return run

        def walk() -> float:
            begun = time.perf_counter()
            for where, _, names in os.walk(folder):
                for name in names:
                    with open(os.path.join(where, name), "rb") as opened:
                        opened.read()
            return (time.perf_counter() - begun) * 1_000

        rare, expression, files = {"pattern": "needle_"}, {"pattern": r"needle_\d+\s*="}, {"pattern": "**/*.py"}
        cases = {
            "grep, a rare word, own engine": tool("grep", rare, with_ripgrep=False),
            "every file read": walk,
            "glob, the first 1000": tool("glob", files, with_ripgrep=False),
        }
        claims = [Claim("our own engine", "grep, a rare word, own engine", "every file read", at_most=4.0)]
        if ripgrep is not None:
            cases |= {
                "grep, a rare word": tool("grep", rare, with_ripgrep=True),
                "rg, a rare word": process(ripgrep, "--hidden", "-n", "needle_", "."),
                "grep, an expression": tool("grep", expression, with_ripgrep=True),
                "rg, an expression": process(ripgrep, "--hidden", "-n", r"needle_\d+\s*=", "."),
                "grep, an everyday word, the first 100": tool("grep", {"pattern": "value"}, with_ripgrep=True),
                "rg, an everyday word, all": process(ripgrep, "--hidden", "-n", "value", "."),
                "rg --files": process(ripgrep, "--hidden", "--files", "-g", "*.py", "."),
            }
            claims += [
                Claim("a rare word", "grep, a rare word", "rg, a rare word", at_most=3.0),
                Claim("an expression", "grep, an expression", "rg, an expression", at_most=3.0),
                Claim(
                    "an everyday word",
                    "grep, an everyday word, the first 100",
                    "rg, an everyday word, all",
                    at_most=3.0,
                ),
            ]
        else:
            print("  ripgrep is not installed (apt install ripgrep): no peer in this run")
        return report(interleaved(cases, rounds=options.rounds), "ms", claims)


def make_tree(root: Path, count: int) -> None:
    """Files of about 4 KiB in 80 directories; one in 500 holds the rare word."""
    for number in range(count):
        path = root / f"package{number % 8}" / f"part{number % 80}" / f"module{number}.{'py' if number % 3 else 'md'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"    value_{row} = compute(item={row * number % 977})  # ordinary" for row in range(LINES)]
        if number % 500 == 499:
            rows[LINES // 2] = f"needle_{number} = True"
        path.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
