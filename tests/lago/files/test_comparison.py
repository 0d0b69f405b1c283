"""Differences and three-way merges: what both sides did is there once, and nothing is lost without a word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from life.lago.files.comparison import MAX_TEXT_BYTES, compare, merge, text_difference
from life.lago.files.manifest import FileEntry, Manifest


def tree(**files: str) -> Manifest:
    """`a="1"`: the path /a with the content 1."""
    return Manifest({f"/{name}": entry(f"/{name}", content) for name, content in files.items()})


def entry(path: str, content: str) -> FileEntry:
    return FileEntry(path, content * 64, 1, None, 0, 0)


def contents(manifest: Manifest) -> dict[str, str]:
    return {path[1:]: manifest[path].blob_hash[0] for path in manifest}


def test_differences_by_path() -> None:
    """Added, removed, modified, and a content that only moved."""
    found = compare(tree(a="1", b="2", c="3", d="4"), tree(a="1", b="5", e="3", f="6"))
    assert [(difference.change, difference.path) for difference in found] == [
        ("modified", "/b"),
        ("removed", "/d"),
        ("renamed", "/e"),
        ("added", "/f"),
    ]
    plain = compare(tree(c="3"), tree(e="3"), renames=False)
    assert [(difference.change, difference.path) for difference in plain] == [("removed", "/c"), ("added", "/e")]
    assert compare(tree(a="1"), tree(a="1")) == []


def test_a_merge_takes_what_one_side_did() -> None:
    """Changes, additions and removals of either side; the same change of both is one."""
    base = tree(a="1", b="1", c="1", d="1")
    merged = merge(base, tree(a="2", b="1", d="3", e="5"), tree(a="1", b="4", c="1", d="3", f="6"))
    assert merged.conflicts == ()
    assert contents(merged.manifest) == {"a": "2", "b": "4", "d": "3", "e": "5", "f": "6"}


def test_what_both_changed_is_a_conflict_unless_a_strategy_decides() -> None:
    """Changed against changed, changed against removed, added twice."""
    base, ours, theirs = tree(a="1", b="1"), tree(a="2", c="3"), tree(a="3", b="2", c="4")
    merged = merge(base, ours, theirs)
    assert [conflict.path for conflict in merged.conflicts] == ["/a", "/b", "/c"]
    assert contents(merged.manifest) == contents(ours)
    assert merged.conflicts[1].ours is None
    assert contents(merge(base, ours, theirs, strategy="ours").manifest) == contents(ours)
    assert contents(merge(base, ours, theirs, strategy="theirs").manifest) == contents(theirs)


_tree = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4).map(lambda files: tree(**files))


@given(_tree, _tree, _tree)
def test_merging_is_fair_and_loses_nothing(base: Manifest, ours: Manifest, theirs: Manifest) -> None:
    """Both ways round the conflicts are the same; a side that changed nothing takes the other's; merging again adds nothing."""
    here, there = merge(base, ours, theirs), merge(base, theirs, ours)
    assert [conflict.path for conflict in here.conflicts] == [conflict.path for conflict in there.conflicts]
    assert contents(merge(base, base, theirs).manifest) == contents(theirs)
    assert contents(merge(base, ours, base).manifest) == contents(ours)
    again = merge(theirs, here.manifest, theirs)
    assert contents(again.manifest) == contents(here.manifest)
    assert again.conflicts == ()


def test_text_is_shown_line_by_line_and_the_rest_is_not() -> None:
    """A unified diff of text; other line ends are content; binaries and giants have none."""
    shown = text_difference(b"a\nb\nc\n", b"a\nB\nc\n", path="/x")
    assert shown == "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
    assert "\\ No newline at end of file" in (text_difference(b"a\n", b"a", path="/x") or "")
    ends = text_difference("a\u2028b\n".encode(), "a\u2028c\n".encode(), path="/x")
    assert ends is not None
    assert "+a\u2028c" in ends
    assert text_difference(b"a\r\n", b"a\n", path="/x") is not None
    assert text_difference(b"\0", b"a", path="/x") is None
    assert text_difference(b"\xff\xfe", b"a", path="/x") is None
    assert text_difference(b"a" * (MAX_TEXT_BYTES + 1), b"", path="/x") is None
    assert text_difference(b"same", b"same", path="/x") == ""
