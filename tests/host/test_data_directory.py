"""A session may work in a directory of the operator's, and nowhere that shows what the data directory holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.host.data_directory import DataDirectory
from life.host.errors import DataDirectoryError


def test_a_session_works_where_it_is_told(tmp_path: Path) -> None:
    """The workspace is the directory itself; saying it again changes nothing."""
    project = tmp_path / "project"
    project.mkdir()
    data = DataDirectory.create(project / ".life")
    data.adopt_workspace("s", project)
    data.adopt_workspace("s", project)
    assert data.workspace("s").resolve() == project
    assert data.workspace("other").resolve() != project


def test_a_session_that_has_a_place_keeps_it(tmp_path: Path) -> None:
    """Files that a session wrote are not lost sight of."""
    project = tmp_path / "project"
    project.mkdir()
    data = DataDirectory.create(tmp_path / ".life")
    data.workspace("s")
    with pytest.raises(DataDirectoryError, match="works in"):
        data.adopt_workspace("s", project)


@pytest.mark.parametrize("place", ["data", "data/workspaces", "", "missing", "file"])
def test_what_would_show_the_data_directory_is_refused(tmp_path: Path, place: str) -> None:
    """The data directory, a part of it, what holds it under an open name, and what is no directory."""
    data = DataDirectory.create(tmp_path / "data")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataDirectoryError):
        data.adopt_workspace("s", tmp_path / place)
    assert not (tmp_path / "data" / "workspaces" / "s").exists()
