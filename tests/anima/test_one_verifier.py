"""Tokens are verified in one place (AN-VER-10)."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import life

ROOT = Path(life.__file__).parent
JOSE_LIBRARIES = {"jwt", "jose", "joserfc", "authlib", "jwcrypto", "python_jose"}


@cache
def imports_of(path: Path) -> set[str]:
    """The dotted names that a module imports, with the names taken from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_module_decodes_tokens_with_a_library() -> None:
    """No JOSE library is imported anywhere: what one accepts by default is what attackers try first."""
    users = {path: imports_of(path) & JOSE_LIBRARIES for path in ROOT.rglob("*.py")}
    assert {path: names for path, names in users.items() if names} == {}


def test_agent_tokens_are_verified_by_the_verifier_alone() -> None:
    """The primitive that checks an agent token has one user, and the command line only looks at its type."""
    users = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if "agent_token.verify_agent_token(" in path.read_text()
        or "life.crypto.agent_token.verify_agent_token" in imports_of(path)
    }
    assert users == {"anima/verifier.py"}


def test_nobody_else_knows_the_tokens_type() -> None:
    """Other modules verify signed documents of their own types; an agent token's type is named here only to choose the entry."""
    users = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if '"agent+jwt"' in path.read_text()}
    assert users <= {"crypto/agent_token.py", "anima/tokens.py", "host/http/authentication.py"}
