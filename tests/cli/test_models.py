"""`life models` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.daemon import BIN

KEY = "sk-test-0123456789-abcdefghijklmnop"
Life = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """`life …` in a folder of its own, without keys in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environment = {
        **kept,
        "LIFE_KEY_FILE": str(tmp_path / "keys" / "identity.key"),
        "OLLAMA_BASE_URL": "http://127.0.0.1:9",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    }

    def run(*words: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "life", *words],
            cwd=tmp_path,
            env={**environment, **more},
            input=typed,
            capture_output=True,
            text=True,
        )

    return run


def test_a_key_from_standard_input_is_sealed_listed_and_forgotten(life: Life, tmp_path: Path) -> None:
    """No output holds the key; a second process sees that it is there; the environment goes before it."""
    early = life("models", "key", "set", "openai", "--no-test", typed=KEY)
    assert early.returncode == 1
    assert "life init" in early.stderr
    assert life("init").returncode == 0
    stored = life("models", "key", "set", "openai", "--no-test", typed=KEY + "\n")
    assert stored.returncode == 0, stored.stderr
    listed = json.loads(life("models", "key", "list", "--json").stdout)["keys"]
    assert [(each["provider"], each["source"]) for each in listed][:2] == [("anthropic", "none"), ("openai", "stored")]
    shadowed = life("models", "key", "list", OPENAI_API_KEY="other").stdout
    assert "OPENAI_API_KEY goes before it" in shadowed
    models = json.loads(life("models", "list", "--json", "--ready").stdout)["models"]
    assert {each["provider"] for each in models} == {"scripted", "openai"}
    gone = life("models", "key", "forget", "openai")
    assert "is gone" in gone.stdout
    assert "no stored key" in life("models", "key", "forget", "openai").stdout
    for answer in (stored, gone):
        assert KEY not in answer.stdout + answer.stderr
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_key_that_can_not_be_tried_is_not_stored(life: Life, tmp_path: Path) -> None:
    """Nobody answers: exit code 1, one sentence and what to do, and no file."""
    assert life("init").returncode == 0
    failed = life("models", "key", "set", "anthropic", typed=KEY)
    assert failed.returncode == 1
    assert "host.model_vendor_unreachable" in failed.stderr
    assert KEY not in failed.stderr
    assert not (tmp_path / ".life" / "model-keys.json").exists()
    for typed in ("", "a b"):
        assert life("models", "key", "set", "anthropic", typed=typed).returncode == 1
    assert life("models", "key", "set", "nobody", typed=KEY).returncode == 1


def test_the_list_says_what_is_missing(life: Life) -> None:
    """Prices in USD per million tokens, as the table has them; what can't be asked says why."""
    shown = life("models", "list").stdout.splitlines()
    sonnet = next(line for line in shown if line.startswith("anthropic:claude-sonnet-5-5"))
    assert sonnet.split()[1:4] == ["2.00", "10.00", "2026-10-24"]
    assert "No API key for anthropic." in sonnet
    assert shown[1].split()[:2] == ["scripted", "*"]
    assert "model.provider" in shown[-1]
