"""glob and grep: what they find, what they never see, and that ripgrep changes nothing but the time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis import file_walk, ripgrep
from life.praxis.errors import OutsideWorkspaceError, PolicyViolationError
from life.praxis.registry import ToolRegistry
from life.praxis.text_search import TextPattern
from life.praxis.tools import grep as grep_module
from life.praxis.tools.glob import Glob
from life.praxis.tools.grep import MAX_FILE_BYTES, Grep
from life.praxis.workspace import WorkspacePolicy


def open_registry(ripgrep_path: str | None = None) -> ToolRegistry:
    """Both tools."""
    registry = ToolRegistry()
    registry.register(Glob(WorkspacePolicy()))
    registry.register(Grep(WorkspacePolicy(), ripgrep_path=ripgrep_path))
    return registry


async def ask(
    context: ToolContext, name: str, ripgrep_path: str | None = None, **arguments: Json
) -> Mapping[str, Json]:
    """The output of a call, whatever its status."""
    outcome = await open_registry(ripgrep_path).execute(ToolCall("c", name, arguments), context)
    assert outcome.mutated_paths == ()
    assert isinstance(outcome.output, Mapping)
    return outcome.output


async def found(context: ToolContext, pattern: str, **arguments: Json) -> list[tuple[Json, Json, Json]]:
    """File, line and text of every match."""
    output = await ask(context, "grep", None, pattern=pattern, **arguments)
    matches = output["matches"]
    assert isinstance(matches, list)
    return [(match["file"], match["line"], match["text"]) for match in matches]


def make_tree(root: Path) -> None:
    """A little of everything."""
    (root / "src" / "deep").mkdir(parents=True)
    (root / "src" / "a.py").write_text("import os\n\ndef needle():\n    return 1\n")
    (root / "src" / "deep" / "b.py").write_bytes(b"first\r\nneedle two\r\nlast needle")
    (root / "src.txt").write_text("needle in src.txt\n")
    (root / ".github").mkdir()
    (root / ".github" / "ci.yml").write_text("run: needle\n")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("needle = git\n")
    (root / ".gitignore").write_text("*.log\nnode_modules/\n")
    (root / "x.log").write_text("needle log\n")
    (root / "node_modules" / "m").mkdir(parents=True)
    (root / "node_modules" / "m" / "i.js").write_text("needle js\n")
    (root / ".life").mkdir()
    (root / ".life" / "secret").write_text("needle secret\n")
    (root / "binary").write_bytes(b"needle\0\n")
    (root / "latin").write_bytes(b"good needle\nbad needle \xe9\n\xff\nlast needle\n")


async def test_grep_finds_lines_in_order(root: Path, context: ToolContext) -> None:
    """Files in the order of the directories, line numbers as read_file counts, text without terminators."""
    make_tree(root)
    assert await found(context, "needle") == [
        (".github/ci.yml", 1, "run: needle"),
        ("latin", 1, "good needle"),
        ("latin", 4, "last needle"),
        ("src/a.py", 3, "def needle():"),
        ("src/deep/b.py", 2, "needle two"),
        ("src/deep/b.py", 3, "last needle"),
        ("src.txt", 1, "needle in src.txt"),
    ]
    assert [file for file, _, _ in await found(context, "needle", include_ignored=True)] == [
        ".git/config",
        ".github/ci.yml",
        "latin",
        "latin",
        "node_modules/m/i.js",
        "src/a.py",
        "src/deep/b.py",
        "src/deep/b.py",
        "src.txt",
        "x.log",
    ]
    assert await found(context, "needle$", path="src") == [("src/deep/b.py", 3, "last needle")]
    assert await found(context, "two$", path="src/deep/b.py") == [("src/deep/b.py", 2, "needle two")]
    assert await found(context, "NEEDLE", glob="*.txt", ignore_case=True) == [("src.txt", 1, "needle in src.txt")]
    assert await found(context, "needle", glob="deep/*.py", path="src", max_matches=1) == [
        ("src/deep/b.py", 2, "needle two")
    ]
    assert await found(context, r"^\s*$", path="src/a.py") == [("src/a.py", 2, "")]
    assert await found(context, r"(?<=def )needle") == [("src/a.py", 3, "def needle():")]
    assert await found(context, r"os\n") == []


async def test_the_limit_says_that_there_is_more(root: Path, context: ToolContext) -> None:
    """Exactly as many as there are is not truncated."""
    (root / "f").write_text("x\n" * 5)
    for limit, truncated in ((4, True), (5, False), (6, False)):
        output = await ask(context, "grep", pattern="x", max_matches=limit)
        assert (output["count"], output["truncated"]) == (min(limit, 5), truncated)
        (root / "g").mkdir(exist_ok=True)
    for number in range(5):
        (root / "g" / str(number)).write_text("")
    for limit, truncated in ((4, True), (5, False)):
        output = await ask(context, "glob", pattern="g/*", limit=limit)
        assert (output["count"], output["truncated"]) == (limit, truncated)


async def test_glob(root: Path, context: ToolContext) -> None:
    """Files by pattern, below a path, directories with a final slash; ignored ones and .git on request only."""
    make_tree(root)
    assert (await ask(context, "glob", pattern="**/*.py"))["matches"] == ["src/a.py", "src/deep/b.py"]
    assert (await ask(context, "glob", pattern="*.py", path="src"))["matches"] == ["src/a.py"]
    assert (await ask(context, "glob", pattern="**/"))["matches"] == [".github", "src", "src/deep"]
    assert (await ask(context, "glob", pattern="**/*.{js,log}"))["matches"] == []
    ignored = await ask(context, "glob", pattern="**/*.{js,log}", include_ignored=True)
    assert ignored["matches"] == ["node_modules/m/i.js", "x.log"]
    everything = (await ask(context, "glob", pattern="**", include_ignored=True))["matches"]
    assert isinstance(everything, list)
    assert ".git/config" in everything
    assert not any(str(path).startswith(".life") for path in everything)


async def test_acceptance_3_places_that_are_closed(tmp_path: Path, root: Path, context: ToolContext) -> None:
    """Acceptance 3 (praxis.md §12): links, dangling links, loops, special files, `..`, absolute paths: nothing outside is
    read or named, and nothing blocks."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("needle\n")
    (root / "dir-link").symlink_to(outside)
    (root / "file-link").symlink_to(outside / "secret.txt")
    (root / "dangling").symlink_to(outside / "none")
    (root / "loop").symlink_to(root)
    (root / "real").mkdir()
    (root / "real" / "up").symlink_to("..")
    (root / "real" / "f").write_text("needle\n")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(root):
        listener.bind("socket")
    assert await found(context, "needle") == [("real/f", 1, "needle")]
    assert (await ask(context, "glob", pattern="**"))["matches"] == ["real/f"]
    assert (await ask(context, "glob", pattern="**/"))["matches"] == ["real"]
    for path, code in (
        ("dir-link", "praxis.outside_workspace"),
        ("file-link", "praxis.outside_workspace"),
        ("dir-link/secret.txt", "praxis.outside_workspace"),
        ("real/up", "praxis.outside_workspace"),
        ("../outside", "praxis.outside_workspace"),
        (str(outside), "praxis.outside_workspace"),
        ("fifo", "praxis.wrong_file_kind"),
        ("socket", "praxis.wrong_file_kind"),
        ("none", "praxis.path_not_found"),
        (".life", "praxis.policy_violation"),
        ("a\0b", "praxis.invalid_input"),
    ):
        for name in ("grep", "glob"):
            output = await ask(context, name, pattern="needle", path=path)
            assert output["code"] == code, (name, path, output)
            assert "secret" not in str(output).replace(path, "")
    for pattern in ("../*", "/etc/*", "{..,a}/*"):
        assert (await ask(context, "glob", pattern=pattern))["code"] == "praxis.outside_workspace"
        assert (await ask(context, "grep", pattern="x", glob=pattern))["code"] == "praxis.outside_workspace"


async def test_acceptance_3_a_directory_that_is_swapped_for_a_link_leads_nowhere(
    tmp_path: Path, root: Path, context: ToolContext
) -> None:
    """Acceptance 3: a thread exchanges a directory for a link to the outside all the time; no search ever gets through,
    with ripgrep or without."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("secret outside\n")
    (root / "door").mkdir()
    (root / "door" / "f").write_text("inside\n")
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            os.rename(root / "door", root / "kept")
            os.symlink(outside, root / "door")
            os.unlink(root / "door")
            os.rename(root / "kept", root / "door")
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[str] = set()
    try:
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            for arguments in ({"pattern": "secret|inside"}, {"pattern": "secret|inside", "path": "door"}):
                output = await ask(context, "grep", shutil.which("rg"), **arguments)
                seen.add(str(output.get("matches", output.get("code"))))
    finally:
        stop.set()
        thread.join()
    assert swaps > 10
    assert any("inside" in one for one in seen)
    assert not any("secret outside" in one for one in seen)


async def test_a_catastrophic_pattern_can_not_hang(root: Path, context: ToolContext) -> None:
    """It costs its half second of work, the event loop runs on meanwhile, and the model is told."""
    (root / "f").write_text(("a" * 60 + "b\n") * 3)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    for pattern in ("^(?:a|a|aa)+$", "^(?:a|a|aa)+(?<=a)$"):
        ticks = 0
        ticking = asyncio.create_task(tick())
        output = await ask(context, "grep", pattern=pattern)
        ticking.cancel()
        assert output["code"] == "praxis.timeout"
        assert "backtracks" in str(output["error"])
        assert ticks > 5, "the loop stood still"


async def test_acceptance_7_cancelling_a_search_ends_it(root: Path, context: ToolContext) -> None:
    """Acceptance 7: a cancelled search is over (in two seconds on an idle machine), thread and all."""
    for number in range(300):
        (root / f"f{number}").write_text("a" * 50 + "b\n")
    task = asyncio.create_task(ask(context, "grep", pattern="^(?:a|a|aa)+(?<=a)$"))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 20  # what does not end takes minutes


async def test_a_pattern_across_lines_is_still_found_per_line(root: Path, context: ToolContext) -> None:
    """A set that also matches line ends makes no match of two lines and hides none."""
    (root / "f").write_text('foo\nx bar\nfoo "x bar\nfoo y bar\n')
    assert await found(context, 'foo[^"]*bar') == [("f", 4, "foo y bar")]
    assert await found(context, r"foo\s+x") == []
    (root / "f").write_text("b\n" * 3 + "a" + "\n" * 3 + "a\n")
    assert await found(context, r"a\s*$") == [("f", 4, "a"), ("f", 7, "a")]


async def test_sizes(root: Path, context: ToolContext) -> None:
    """Large files are left out, long lines are shown in part."""
    (root / "large").write_bytes(b"needle\n" + b"x" * MAX_FILE_BYTES)
    (root / "long").write_text("needle" + "x" * 10_000)
    [(file, line, text)] = await found(context, "needle")
    assert (file, line) == ("long", 1)
    assert len(str(text)) == 500


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "[a",
        "*",
        "a{2,1}",
        "\\",
        "",
        "x" * 1001,
        "(?P<a>x)(?P<a",
        "(?R)",
        r"\p{L}",
        "(" * 500 + ")" * 500,
    ],
)
async def test_what_is_no_expression(pattern: str, root: Path, context: ToolContext) -> None:
    """An error that says so, never a defect."""
    (root / "f").write_text("x")
    assert (await ask(context, "grep", pattern=pattern))["code"] == "praxis.invalid_input"


async def test_braces_are_what_they_are_in_python(root: Path, context: ToolContext) -> None:
    """A brace that is no repetition is a brace, never approximate matching."""
    (root / "f").write_text("x{e}\nxx\nf{i<=3}\n{}\na{,}\n")
    assert await found(context, "x{e}") == [("f", 1, "x{e}")]
    assert await found(context, "f{i<=3}") == [("f", 3, "f{i<=3}")]
    assert await found(context, "x{2}") == [("f", 2, "xx")]
    assert await found(context, "{}") == [("f", 4, "{}")]
    assert await found(context, r"[{]e\{?") == [("f", 1, "x{e}")]


def test_capabilities(context: ToolContext) -> None:
    """Everything below the path: a permission for one level does not cover it."""
    registry = open_registry()
    assert registry.capabilities(ToolCall("c", "glob", {"pattern": "*"}), context) == ("fs:read:**/*",)
    assert registry.capabilities(ToolCall("c", "grep", {"pattern": "x", "path": "d"}), context) == (
        "fs:read:d",
        "fs:read:d/**/*",
    )
    with pytest.raises(OutsideWorkspaceError):
        registry.capabilities(ToolCall("c", "glob", {"pattern": "../*"}), context)
    with pytest.raises(PolicyViolationError):
        registry.capabilities(ToolCall("c", "grep", {"pattern": "x", "path": ".ssh"}), context)


# With ripgrep.

PATTERNS = [
    "needle",
    "needle$",
    "^needle",
    "ne{2}dle",
    "(?:nee|bar)dle two",
    r"\bneedle\b",
    r"\w+\s\w+",
    r"[a-z]+\.",
    r"[\w.-]+ needle",
    r"^\s*$",
    r"d\W",
    "é",
    "[^a-z]$",
    "N.EDLE",
    r"(?<=two)",
    "(?i)NEEDLE",
    r"\Aneedle",
    "x*",
    r"\.|:",
    r"\Bee",
]


@pytest.mark.part("ripgrep")
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "options", [{}, {"include_ignored": True}, {"ignore_case": True}, {"path": "src"}, {"glob": "*.py"}]
)
async def test_ripgrep_changes_nothing(
    pattern: str, options: dict[str, Json], root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer with it and without it, for every kind of expression, file and option."""
    make_tree(root)
    (root / "src" / ".gitignore").write_text("gen\n!a.py\n")
    (root / "src" / "gen").write_text("needle\n")
    (root / ".ignore").write_text("src\n")
    (root / ".rgignore").write_text("src\n")
    os.mkfifo(root / "fifo")
    (root / "outward").symlink_to("/etc")
    (root / "utf16").write_bytes("needle\n".encode("utf-16"))
    (root / "bom").write_bytes("\ufeffneedle é É\n".encode())
    (root / "cr").write_bytes(b"needle\rx\r\nneedle\r")
    monkeypatch.setattr(grep_module, "_WORTH_RIPGREP", 1)
    plain = await ask(context, "grep", None, pattern=pattern, **options)
    guided = await ask(context, "grep", shutil.which("rg"), pattern=pattern, **options)
    assert guided == plain
    assert "code" not in plain


Atoms = st.sampled_from(
    [
        "a",
        "b",
        "é",
        ".",
        r"\d",
        r"\w",
        r"\s",
        r"\S",
        r"\W",
        r"\.",
        "[ab]",
        "[^a]",
        "[a-c1]",
        r"[\w.]",
        r"[^\s]",
        "^",
        "$",
        r"\b",
        " ",
    ]
)
Expressions = st.recursive(
    Atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        inner.map(lambda one: f"(?:{one})*"),
        inner.map(lambda one: f"({one})?"),
        inner.map(lambda one: f"(?:{one}){{1,2}}"),
    ),
    max_leaves=6,
)


@pytest.mark.part("ripgrep")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    pattern=Expressions,
    lines=st.lists(st.text("ab1é .\r\u2028", max_size=6), max_size=5),
    end=st.sampled_from(["", "\n", "\r\n"]),
)
def test_ripgrep_misses_no_file(pattern: str, lines: list[str], end: str, root: Path) -> None:
    """Whatever our engine finds in a file, ripgrep with the translated expression names the file."""
    translated = ripgrep.translate(pattern)
    assert translated is not None
    (root / "f").write_bytes(("\n".join(lines) + end).encode())
    hits = list(
        TextPattern(pattern, ignore_case=False, per_line=False).search((root / "f").read_bytes(), proceed=lambda: True)
    )
    slow = list(
        TextPattern(pattern, ignore_case=False, per_line=True).search((root / "f").read_bytes(), proceed=lambda: True)
    )
    assert hits == slow, "the quick way and the careful way agree"
    named = asyncio.run(
        ripgrep.candidates(
            str(shutil.which("rg")),
            translated,
            workspace=str(root),
            base=".",
            ignore_case=False,
            left_out=[],
            max_bytes=10_000,
        )
    )
    if hits and named is not None:
        assert named == ["f"]


@pytest.mark.part("ripgrep")
async def test_a_ripgrep_that_fails_has_no_say(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, failing or talking nonsense: every file is searched, and what it names outside is not opened."""
    make_tree(root)
    monkeypatch.setattr(grep_module, "_WORTH_RIPGREP", 1)
    plain = await ask(context, "grep", None, pattern="needle")
    for script in ("exit 2", "printf 'x'; exit 3", "kill -9 $$"):
        fake = root.parent / "rg"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        assert await ask(context, "grep", str(fake), pattern="needle") == plain
    assert await ask(context, "grep", str(root / "none"), pattern="needle") == plain
    (root.parent / "secret").write_text("needle")
    fake.write_text(r"#!/bin/sh" + "\n" + r"printf '../secret\000/etc/passwd\000src.txt\000.life/secret\000'")
    output = await ask(context, "grep", str(fake), pattern="needle|root")
    matches = msgspec.convert(output["matches"], list[dict[str, Json]])
    assert [match["file"] for match in matches] == [".github/ci.yml", "src.txt"], (
        "the first file is searched without it"
    )


def test_translation() -> None:
    """Only common ground is translated; everything else is left to our engine alone."""
    for pattern in (
        "(?i)a",
        "(?=a)",
        "(?P<n>a)",
        r"\1",
        "a++",
        "a*+",
        r"\A",
        "[[:alpha:]]",
        "{",
        "a{,3}",
        "(*FAIL)",
        r"\p{L}",
        "[!-~]",
        "\n",
    ):
        assert ripgrep.translate(pattern) is None, pattern
    assert ripgrep.translate("a$") == "a(?:\\r?$)"
    assert ripgrep.translate(r"\d+") == "[0-9]+"
    assert ripgrep.translate(r"[^\w.]") == r"[^A-Za-z0-9_\x2e]"


@pytest.mark.part("git", "ripgrep")
async def test_this_repository_is_searched_the_same(context: ToolContext) -> None:
    """A real tree with real ignore files: ripgrep and our own engine give one answer."""
    here = Path(__file__).parents[3]
    top = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=here, capture_output=True, check=False)
    if top.returncode:
        here = here / "src"
    context = msgspec.structs.replace(context, workspace=str(here))
    for pattern in ("def test_translation", "ToolError", r"\bjournal\b.*head"):
        plain = await ask(context, "grep", None, pattern=pattern, max_matches=2000)
        assert await ask(context, "grep", shutil.which("rg"), pattern=pattern, max_matches=2000) == plain
        assert plain["count"]


async def test_a_walk_that_ends_early_says_so(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More entries than one walk looks at: truncated, with a way on; never a complete-looking answer."""
    for number in range(5):
        (root / f"d{number}").mkdir()
        (root / f"d{number}" / "f").write_text("needle\n")
    monkeypatch.setattr(file_walk, "MAX_SCANNED", 6)
    for name, pattern in (("grep", "needle"), ("glob", "**")):
        output = await ask(context, name, pattern=pattern)
        assert output["truncated"] is True
        assert output["count"] == 1
        assert "further down" in str(output["note"])
