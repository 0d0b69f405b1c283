"""Manifests: the fold of file events, paths that can't lead anywhere else, and canonical bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.events import FileDelete, FileRename, FileWrite, Kind
from life.lago.files.manifest import Manifest, check_path, entries_of, is_path


def write(path: str, content: str = "a") -> FileWrite:
    return FileWrite(path=path, blob_hash=content * 64, size_bytes=len(content))


def paths(*kinds: Kind) -> list[str]:
    return list(entries_of(kinds))


def test_files_come_change_and_go() -> None:
    """The last write counts; a deleted path is gone; deleting what is not there changes nothing."""
    manifest = entries_of([write("/a"), write("/a", "b"), write("/b"), FileDelete(path="/b"), FileDelete(path="/c")])
    assert list(manifest) == ["/a"]
    assert (manifest["/a"].blob_hash, manifest["/a"].sequence) == ("b" * 64, 2)


def test_folders_move_and_go_with_all_in_them() -> None:
    """A rename of a folder carries everything below it and replaces what stood there."""
    tree = [write("/a/x"), write("/a/deep/y"), write("/ab"), write("/b/z")]
    assert paths(*tree, FileRename(old_path="/a", new_path="/b")) == ["/ab", "/b/deep/y", "/b/x"]
    assert paths(*tree, FileDelete(path="/a")) == ["/ab", "/b/z"]
    assert paths(*tree, FileRename(old_path="/a", new_path="/a/deep")) == sorted(["/a/x", "/a/deep/y", "/ab", "/b/z"])
    assert paths(*tree, FileRename(old_path="/nothing", new_path="/b")) == sorted(["/a/x", "/a/deep/y", "/ab", "/b/z"])


def test_a_file_is_no_folder() -> None:
    """Writing below a file replaces the file; writing where a folder was replaces the folder."""
    assert paths(write("/a"), write("/a/b")) == ["/a/b"]
    assert paths(write("/a/b"), write("/a/c"), write("/a")) == ["/a"]


@pytest.mark.parametrize(
    "path", ["", "/", "a", "/a/", "//a", "/a//b", "/../a", "/a/..", "/./a", "/a\0b", "/" + "a" * 4096, "/\ud800"]
)
def test_paths_that_lead_elsewhere_change_nothing(path: str) -> None:
    """Neither as a target nor as a source, and a caller is told."""
    assert not is_path(path)
    assert paths(write(path), FileRename(old_path=path, new_path="/x")) == []
    assert paths(write("/y"), FileRename(old_path="/y", new_path=path), FileDelete(path=path)) == ["/y"]
    if path != "a":
        with pytest.raises(InvalidInputError):
            check_path(path)


def test_listing_shows_folders_that_have_something_in_them() -> None:
    """Names right below, folders with a slash; `below` gives all of it."""
    manifest = entries_of([write("/a/x"), write("/a/deep/y"), write("/b")])
    assert manifest.children("/") == ["a/", "b"]
    assert manifest.children("/a") == ["deep/", "x"]
    assert [entry.path for entry in manifest.below("/a")] == ["/a/deep/y", "/a/x"]
    assert manifest.children("/nothing") == []


def test_equal_contents_have_equal_digests() -> None:
    """In whatever order they were written; another content, name or type has another one."""
    one, other = (
        entries_of([write("/a"), write("/b", "b")]),
        entries_of([write("/b", "b"), write("/a", "c"), write("/a")]),
    )
    assert one.digest == other.digest
    assert one.digest != entries_of([write("/a"), write("/c", "b")]).digest
    assert Manifest().digest == Manifest({}).digest


_name = st.sampled_from(("/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/deep", "bad", "/../a"))
_kind = st.one_of(
    st.builds(write, _name, st.sampled_from("abc")),
    st.builds(lambda path: FileDelete(path=path), _name),
    st.builds(lambda old, new: FileRename(old_path=old, new_path=new), _name, _name),
)


@given(st.lists(_kind, max_size=30))
def test_a_manifest_is_always_a_tree(kinds: list[Kind]) -> None:
    """Whatever happens, no file is in a file, every path is one, and the entry knows its path."""
    manifest = entries_of(kinds)
    for path in manifest:
        assert is_path(path)
        assert manifest[path].path == path
        assert not manifest.below(path)
