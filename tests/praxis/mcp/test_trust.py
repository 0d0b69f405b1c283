"""What was accepted: kept in a private file, compared by hash, never guessed at (praxis.md §8)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from life.praxis.errors import McpTrustError
from life.praxis.mcp.trust import RemoteTool, TrustStore

TOOL = RemoteTool(name="echo", description="Repeats.", input_schema={"type": "object"})


def test_an_acceptance_is_for_one_entry_and_survives(tmp_path: Path) -> None:
    """Another entry under the same name is not accepted; accepting it drops the tools of the old one."""
    store = TrustStore(tmp_path / "a" / "trust.json")
    store.accept("s", b"{1}")
    assert not store.compare("s", {"echo": TOOL})
    again = TrustStore(tmp_path / "a" / "trust.json")
    assert again.is_accepted("s", b"{1}")
    assert not again.is_accepted("s", b"{2}")
    assert again.tools("s") == {"echo": TOOL}
    again.accept("s", b"{2}")
    assert again.tools("s") == {}
    assert again.forget("s") and not again.forget("s")
    assert (tmp_path / "a" / "trust.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Repeats!"},
        {"input_schema": {"type": "object", "properties": {}}},
        {"read_only": True},
        {"destructive": False},
        {"idempotent": True},
        {"open_world": False},
    ],
)
def test_every_part_of_a_definition_counts(tmp_path: Path, change: dict[str, object]) -> None:
    """A change of description, schema or hint is a changed tool."""
    store = TrustStore(tmp_path / "trust.json")
    store.accept("s", b"{}")
    store.compare("s", {"echo": TOOL})
    changed = msgspec.structs.replace(TOOL, **change)
    differences = store.compare("s", {"echo": changed, "new": TOOL})
    assert (differences.changed, differences.new, differences.gone) == (("echo",), ("new",), ())
    assert store.compare("s", {}).gone == ("echo",)
    store.accept_tools("s", {"echo": changed})
    assert not store.compare("s", {"echo": changed})


def test_a_file_that_can_not_be_believed_is_an_error(tmp_path: Path) -> None:
    """Damaged, readable for others, a link: an error, and the file stays as it is."""
    file = tmp_path / "trust.json"
    for content in ("", "{", '{"version": 1}', '{"version": 1, "servers": {"a": {}}}', "[" * 50_000):
        file.write_text(content)
        file.chmod(0o600)
        with pytest.raises(McpTrustError):
            TrustStore(file)
        assert file.read_text() == content
    file.write_text('{"version": 1, "servers": {}}')
    file.chmod(0o644)
    with pytest.raises(McpTrustError, match="Others"):
        TrustStore(file)
    file.unlink()
    file.symlink_to("/dev/null")
    with pytest.raises(McpTrustError):
        TrustStore(file)
