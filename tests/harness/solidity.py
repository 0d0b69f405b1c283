"""Compiles the test contracts with the npm compiler, once per change of their source."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.harness.process import child_environment

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "tests" / "peers"
CONTRACTS = Path(__file__).resolve().parent / "contracts"
CACHE = ROOT / ".cache" / "contracts"


@dataclass(frozen=True)
class Contract:
    """Compiled code (``0x…``) and the four-byte selector (``0x…``) of each function signature."""

    creation: str
    runtime: str
    selectors: dict[str, str]

    def call_data(self, signature: str, *arguments: int | str | bytes) -> str:
        """Call data in hex for a function whose parameters are all static.

        An int becomes a word, a string is an address or other hex of at most 32 bytes and is padded on the left, bytes
        must be exactly one word.
        """
        return self.selectors[signature] + "".join(_word(argument) for argument in arguments)


def _word(argument: int | str | bytes) -> str:
    if isinstance(argument, int):
        return argument.to_bytes(32).hex()
    if isinstance(argument, str):
        return bytes.fromhex(argument.removeprefix("0x")).rjust(32, b"\0").hex()
    if len(argument) != 32:
        raise ValueError(f"a word has 32 bytes, not {len(argument)}")
    return argument.hex()


@cache
def compile_contracts() -> dict[str, Contract]:
    """Every contract of ``tests/harness/contracts`` by name.

    The result is kept for the process and below ``.cache/contracts`` under a hash of the sources, the compile script and the compiler's
    version. Raises CalledProcessError, with the compiler's words in `stderr`, when a source does not compile.
    """
    script = CONTRACTS / "compile.mjs"
    sources = sorted(CONTRACTS.glob("*.sol"))
    digest = hashlib.sha256()
    for file in [PEERS / "node_modules" / "solc" / "package.json", script, *sources]:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    cached = CACHE / f"{digest.hexdigest()}.json"
    if not cached.exists():
        _compile_into(cached, script, sources)
    return {name: Contract(**compiled) for name, compiled in json.loads(cached.read_text()).items()}


def _compile_into(cached: Path, script: Path, sources: list[Path]) -> None:
    compiled = subprocess.run(
        ["node", script, PEERS, *sources],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=child_environment(),
    )
    cached.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that two test workers that compile at once never read half a file.
    unfinished = cached.with_suffix(f".{os.getpid()}")
    unfinished.write_text(compiled.stdout)
    unfinished.replace(cached)
