"""The parts plugin: a missing part is said aloud, and a skip cannot pass where none is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from life.testing import parts

pytest_plugins = ["pytester"]

NEEDS_ANVIL = """
import pytest

@pytest.mark.part("anvil")
def test_chain():
    pass

def test_plain():
    pass
"""

PLUGIN = ("-p", "life.testing.parts", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:hypothesispytest")


@pytest.fixture(autouse=True)
def _empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No node and no anvil on the path, so that only what a test lays out is found."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def install_executable(file: Path, content: bytes) -> Path:
    """Write an executable file and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o755)
    return file


def install_packages(root: Path, *, pinned: dict[str, str], installed: dict[str, str]) -> None:
    """Lay out tests/peers with a manifest that pins packages and a node_modules that holds some."""
    peers = root / parts.PEERS_FOLDER
    peers.mkdir(parents=True)
    (peers / "package.json").write_text(json.dumps({"dependencies": pinned}))
    for name, version in installed.items():
        folder = peers / "node_modules" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"name": name, "version": version}))


def test_missing_part_skips_with_a_sentence(pytester: pytest.Pytester) -> None:
    """A missing part skips the test and says what to install; other tests run."""
    pytester.makepyfile(NEEDS_ANVIL)
    outcome = pytester.runpytest(*PLUGIN, "-rs")
    outcome.assert_outcomes(passed=1, skipped=1)
    outcome.stdout.fnmatch_lines(["*Part 'anvil' is missing. Run `make peers`*"])
    assert outcome.ret == pytest.ExitCode.OK


def test_missing_part_fails_when_all_are_required(pytester: pytest.Pytester) -> None:
    """With --require-all-parts a missing part is no skip but a failure."""
    pytester.makepyfile(NEEDS_ANVIL)
    outcome = pytester.runpytest(*PLUGIN, parts.OPTION)
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*Part 'anvil' is missing. Run `make peers`*"])
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("xdist", [[], ["-n", "1"]])
def test_a_part_can_be_left_out_by_name_and_the_summary_says_so(pytester: pytest.Pytester, xdist: list[str]) -> None:
    """Its tests don't run, also where all parts are required; nobody can overlook it, and a misspelt name is an error."""
    pytester.makepyfile(NEEDS_ANVIL)
    outcome = pytester.runpytest(*PLUGIN, *xdist, parts.OPTION, parts.WITHOUT, "anvil")
    outcome.assert_outcomes(passed=1, deselected=0 if xdist else 1)
    outcome.stdout.fnmatch_lines(["*left out with --without-part: every test of anvil*"])
    assert outcome.ret == pytest.ExitCode.OK
    assert pytester.runpytest(*PLUGIN, parts.WITHOUT, "anvill").ret == pytest.ExitCode.USAGE_ERROR


def test_present_part_runs(pytester: pytest.Pytester) -> None:
    """A part that is there lets the test run, in both modes."""
    pytester.makepyfile(NEEDS_ANVIL)
    binary = pytester.path / parts.PEERS_FOLDER / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    install_executable(binary, b"\x7fELF")
    for mode in ([], [parts.OPTION]):
        outcome = pytester.runpytest(*PLUGIN, *mode)
        outcome.assert_outcomes(passed=2)
        assert outcome.ret == pytest.ExitCode.OK


def test_every_missing_part_is_named(pytester: pytest.Pytester) -> None:
    """One mark may name several parts, and marks of class and test add up; each missing one gets its sentence."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.part("node")
        class TestChain:
            @pytest.mark.part("anvil", "solc")
            def test_chain(self):
                pass
        """
    )
    outcome = pytester.runpytest(*PLUGIN, "-rs")
    outcome.assert_outcomes(skipped=1)
    for name in ("anvil", "solc", "node"):
        outcome.stdout.fnmatch_lines([f"*Part '{name}' is missing.*"])


@pytest.mark.parametrize("mark", ['part("anvill")', "part()", "part(3)", 'part(name="anvil")'])
def test_wrong_mark_is_an_error(pytester: pytest.Pytester, mark: str) -> None:
    """A misspelt or empty mark stops the run instead of skipping a test for ever."""
    pytester.makepyfile(f"import pytest\n@pytest.mark.{mark}\ndef test_chain():\n    pass\n")
    outcome = pytester.runpytest(*PLUGIN)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["*test_chain: *part*"])


@pytest.mark.parametrize(
    "skip",
    [
        "import pytest\ndef test_it():\n    pytest.skip('no reason')",
        "import pytest\n@pytest.mark.skip(reason='no reason')\ndef test_it():\n    pass",
        "import pytest\npytest.skip('no reason', allow_module_level=True)",
    ],
    ids=["in the test", "by a mark", "whole module"],
)
@pytest.mark.parametrize("xdist", [[], ["-n1"]], ids=["one process", "workers"])
def test_any_skip_fails_the_session(pytester: pytest.Pytester, skip: str, xdist: list[str]) -> None:
    """With --require-all-parts every skip fails the session and is printed; without it, none does."""
    pytester.makepyfile(test_skipping=skip, test_other="def test_other():\n    pass")
    relaxed = pytester.runpytest(*PLUGIN, *xdist)
    assert relaxed.ret == pytest.ExitCode.OK
    strict = pytester.runpytest(*PLUGIN, *xdist, parts.OPTION)
    assert strict.ret == pytest.ExitCode.TESTS_FAILED
    strict.stdout.fnmatch_lines(["*skipped tests are failures*", "test_skipping.py*no reason"])


def test_expected_failure_is_no_skip(pytester: pytest.Pytester) -> None:
    """An xfail is counted by pytest as skipped, but it ran; it stays allowed."""
    pytester.makepyfile("import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n")
    outcome = pytester.runpytest(*PLUGIN, parts.OPTION)
    outcome.assert_outcomes(xfailed=1)
    assert outcome.ret == pytest.ExitCode.OK


def test_marker_is_registered(pytester: pytest.Pytester) -> None:
    """`pytest --markers` explains the mark, and --strict-markers accepts it."""
    pytester.makepyfile(NEEDS_ANVIL)
    pytester.runpytest(*PLUGIN, "--markers").stdout.fnmatch_lines(["@pytest.mark.part(name, ...): *"])
    assert pytester.runpytest(*PLUGIN, "--strict-markers").ret == pytest.ExitCode.OK


def test_anvil_is_the_executable_not_its_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script called anvil is never taken: killing it would leave the chain running."""
    launcher = install_executable(tmp_path / "bin" / "anvil", b"#!/usr/bin/env node\n")
    monkeypatch.setenv("PATH", str(launcher.parent))
    assert parts.find_anvil(tmp_path) is None
    launcher.write_bytes(b"\x7fELF on the path")
    assert parts.find_anvil(tmp_path) == launcher
    packaged = tmp_path / parts.PEERS_FOLDER / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    install_executable(packaged, b"\x7fELF packaged")
    assert parts.find_anvil(tmp_path) == packaged


@pytest.mark.parametrize(
    ("installed", "present"),
    [
        ({"a": "1.0.0", "@s/b": "2.0.0"}, True),
        ({"a": "1.0.0"}, False),
        ({"a": "1.0.1", "@s/b": "2.0.0"}, False),
        ({}, False),
    ],
)
def test_npm_peers_are_the_pinned_versions(tmp_path: Path, installed: dict[str, str], present: bool) -> None:
    """A missing or stale package counts as missing; an alias is pinned with the name behind it."""
    install_packages(tmp_path, pinned={"a": "npm:other@1.0.0", "@s/b": "2.0.0"}, installed=installed)
    assert parts.has_npm_peers(tmp_path) is present


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"dependencies": {}}', "not json"])
def test_unreadable_manifest_is_missing_peers(tmp_path: Path, manifest: str | None) -> None:
    """Without a usable manifest nothing is installed, and nothing raises."""
    folder = tmp_path / parts.PEERS_FOLDER
    folder.mkdir(parents=True)
    if manifest is not None:
        (folder / "package.json").write_text(manifest)
    assert not parts.has_npm_peers(tmp_path)


@pytest.mark.parametrize(
    ("version", "present"), [("v18.0.0", True), ("v22.4.1", True), ("v16.20.2", False), ("surprise", False)]
)
def test_node_must_be_recent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, present: bool) -> None:
    """Node counts from version 18 on; an answer that is no version counts as missing."""
    node = install_executable(tmp_path / "bin" / "node", f"#!/bin/sh\necho {version}\n".encode())
    monkeypatch.setenv("PATH", str(node.parent))
    assert parts.has_node(tmp_path) is present


def test_solc_needs_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler is JavaScript: installed without node it is missing."""
    install_packages(tmp_path, pinned={"solc": "0.8.37"}, installed={"solc": "0.8.37"})
    assert not parts.has_solc(tmp_path)
    node = install_executable(tmp_path / "bin" / "node", b"#!/bin/sh\necho v20.0.0\n")
    monkeypatch.setenv("PATH", str(node.parent))
    assert parts.has_solc(tmp_path)


def test_every_part_can_be_asked_anywhere(tmp_path: Path) -> None:
    """Each part answers yes or no in an empty folder and comes with a sentence."""
    for part in parts.PARTS.values():
        assert part.is_present(tmp_path) in (True, False)
        assert part.install.endswith(".")
