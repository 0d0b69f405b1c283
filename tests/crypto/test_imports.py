"""What importing the primitives loads."""

import subprocess
import sys
from pathlib import Path

import pytest

import life.crypto

MODULES = sorted(path.stem for path in Path(life.crypto.__file__).parent.glob("*.py") if path.stem != "__init__")


def _loaded_by(statement: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_payment_path_is_light() -> None:
    """Signing payments loads neither the cryptography package nor pycryptodome, and nothing of life but crypto."""
    loaded = _loaded_by("import life.crypto.eip3009, life.crypto.secp256k1")
    assert not {"cryptography", "Crypto", "pycparser", "msgspec", "btclib_libsecp256k1"} & loaded
    assert {name for name in loaded if name.startswith("life.")} == {
        "life.crypto",
        "life.crypto.eip3009",
        "life.crypto.errors",
        "life.crypto.keccak",
        "life.crypto.secp256k1",
    }


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_alone(module: str) -> None:
    """Every module can be the first one imported, and pulls in nothing of life outside crypto, no sockets, no loop."""
    loaded = _loaded_by(f"import life.crypto.{module}")
    assert {name for name in loaded if name.startswith("life.")} <= {
        "life.crypto",
        *(f"life.crypto.{m}" for m in MODULES),
    }
    assert "asyncio" not in loaded
