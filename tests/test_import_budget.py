"""What importing costs, told by what is loaded: no timing, so it can't be flaky."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("asyncio", "msgspec", "httpx2", "starlette", "uvicorn", "cryptography", "apsw", "jinja2", "rich", "anthropic")


def modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    return {str(name) for name in json.loads(output.splitlines()[-1])}


def test_import_life_loads_nothing_of_life_but_itself() -> None:
    """`import life` opens nothing and pulls in no library."""
    loaded = modules_after("import life")
    assert {name for name in loaded if name.startswith("life")} == {"life"}
    assert not loaded & set(HEAVY)


def test_help_loads_click_and_the_table_of_commands_only() -> None:
    """`life --help` reaches neither subsystems nor vendors' libraries."""
    loaded = modules_after(
        "import sys; sys.argv = ['life', '--help']\nfrom life.cli.groups import life\n"
        "try: life()\nexcept SystemExit: pass"
    )
    assert {name for name in loaded if name.startswith("life.")} <= {"life.cli", "life.cli.groups", "life.cli.lazy"}
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("module", ["life.host.arcand", "life.host.agent"])
def test_model_vendors_are_imported_when_chosen(module: str) -> None:
    """A daemon with the scripted model never loads an SDK of a model vendor."""
    assert not modules_after(f"import {module}") & {"anthropic", "openai", "google", "keyring", "httpx"}


def test_names_of_the_front_door_exist() -> None:
    """Every name in `life.__all__` can be had, and an unknown one says so."""
    import life

    assert all(getattr(life, name) is not None for name in life.__all__)
    with pytest.raises(AttributeError):
        _ = life.nonsense
