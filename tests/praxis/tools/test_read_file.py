"""read_file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.hashline import line_tag
from life.praxis.registry import ToolRegistry
from life.praxis.tools import read_file
from life.praxis.tools.read_file import MAX_CONTENT_BYTES, MAX_LINES, ReadFile
from life.praxis.workspace import OpenFile, WorkspacePolicy


class Read(msgspec.Struct, kw_only=True):
    """The output of a read."""

    path: str
    content: str
    first_line: int
    lines: int
    size_bytes: int
    truncated: bool
    next_line: int | None = None
    line_ends: str | None = None
    note: str | None = None


@pytest.fixture
def registry() -> ToolRegistry:
    """A registry with this tool."""
    made = ToolRegistry()
    made.register(ReadFile(WorkspacePolicy()))
    return made


def call(arguments: Json) -> ToolCall:
    """A call of the tool."""
    return ToolCall(call_id="call-1", tool_name="read_file", arguments=arguments)


async def read(registry: ToolRegistry, context: ToolContext, **arguments: Json) -> Read:
    """The output of a call that must succeed."""
    outcome = await registry.execute(call({"path": "f", "tags": False, **arguments}), context)
    assert outcome.status == "ok", outcome.output
    assert outcome.mutated_paths == ()
    return msgspec.convert(outcome.output, Read)


async def failed(registry: ToolRegistry, context: ToolContext, **arguments: Json) -> tuple[str, str]:
    """Code and words of a call that must fail."""
    outcome = await registry.execute(call({"path": "f", "tags": False, **arguments}), context)
    assert outcome.status == "error"
    output = msgspec.convert(outcome.output, dict[str, object])
    return str(output["code"]), str(output["error"])


async def test_a_whole_file(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Content as it is, with its terminators, its byte order mark and its missing final newline."""
    text = "\ufeffeins\r\nzwei\u2028\x0b\x85still two\n\nlast"
    (root / "f").write_bytes(text.encode())
    got = await read(registry, context)
    assert got.content == text
    assert (got.first_line, got.lines, got.size_bytes, got.truncated) == (1, 4, len(text.encode()), False)


@pytest.mark.parametrize(
    ("content", "offset", "limit", "expected", "lines", "next_line"),
    [
        ("", 1, 5, "", 0, None),
        ("\n", 1, 5, "\n", 1, None),
        ("a\nb\nc\n", 2, 1, "b\n", 1, 3),
        ("a\nb\nc\n", 2, 2, "b\nc\n", 2, None),
        ("a\nb\nc", 3, 9, "c", 1, None),
        ("a\nb\nc", 1, 2, "a\nb\n", 2, 3),
    ],
)
async def test_windows(
    content: str,
    offset: int,
    limit: int,
    expected: str,
    lines: int,
    next_line: int | None,
    root: Path,
    registry: ToolRegistry,
    context: ToolContext,
) -> None:
    """Offset and limit count lines; `next_line` is there exactly when something follows."""
    (root / "f").write_text(content)
    got = await read(registry, context, offset=offset, limit=limit)
    assert (got.content, got.lines, got.next_line, got.truncated) == (expected, lines, next_line, next_line is not None)


@pytest.mark.parametrize(
    ("content", "offset"), [("", 2), ("a", 2), ("a\n", 2), ("a\nb", 3), ("a\n" * 100_000, 100_001)]
)
async def test_an_offset_past_the_end_is_told(
    content: str, offset: int, root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Not an empty answer that looks like an empty file."""
    (root / "f").write_text(content)
    code, words = await failed(registry, context, offset=offset)
    assert code == "praxis.invalid_input"
    assert f"fewer than {offset} lines" in words


async def test_paging_gives_every_line_once(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """A file larger than one answer comes back whole, page by page, through both limits."""
    text = "".join(f"{number} {'é' * (number % 90)}\n" for number in range(9000)) + "no newline"
    (root / "f").write_text(text)
    pages: list[Read] = [await read(registry, context)]
    while pages[-1].next_line is not None:
        pages.append(await read(registry, context, offset=pages[-1].next_line))
    assert "".join(page.content for page in pages) == text
    assert sum(page.lines for page in pages) == 9001
    assert all(len(page.content.encode()) <= MAX_CONTENT_BYTES and page.lines <= MAX_LINES for page in pages)
    assert all(page.truncated for page in pages[:-1])


@given(
    rows=st.lists(st.sampled_from([b"", b"a", b"bc", "é".encode(), b"\r", b"x" * 9]), max_size=12),
    final=st.booleans(),
    first=st.integers(1, 14),
    limit=st.integers(1, 14),
    window=st.integers(1, 12),
    block=st.integers(1, 9),
)
def test_lines_agree_with_splitting_the_whole(
    rows: list[bytes],
    final: bool,
    first: int,
    limit: int,
    window: int,
    block: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """For any file, window and block size: whole lines, in order, as many as fit, or the beginning of one too long."""
    data = b"\n".join(rows) + (b"\n" if final and rows else b"")
    lines = _split(data)
    path = tmp_path_factory.mktemp("lines") / "f"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    patched = pytest.MonkeyPatch()
    patched.setattr(read_file, "MAX_CONTENT_BYTES", window)
    patched.setattr(read_file, "_BLOCK_BYTES", block)
    try:
        got = read_file._read_lines(OpenFile(fd, len(data)), first, limit, 10**6)
    finally:
        patched.undo()
        os.close(fd)
    if first > max(len(lines), 1):
        assert got is None
        return
    assert got is not None
    wanted = lines[first - 1 :]
    assert got.start_bytes == sum(map(len, lines[: first - 1]))
    if got.cut_inside_line:
        assert got.content == wanted[0][:window]
        assert len(wanted[0]) > window
        return
    assert got.content == b"".join(wanted[: got.number])
    assert len(got.content) <= window
    assert got.reached_end == (got.number == len(wanted))
    fits = 0
    while fits < min(limit, len(wanted)) and len(b"".join(wanted[: fits + 1])) <= window:
        fits += 1
    assert got.number == fits


def _split(data: bytes) -> list[bytes]:
    """Lines that end at newlines only."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


async def test_a_line_longer_than_the_limit_is_cut_at_a_character(
    root: Path, registry: ToolRegistry, context: ToolContext
) -> None:
    """Its beginning is given, no half character, and the next line can be asked for."""
    (root / "f").write_text("x" + "é" * MAX_CONTENT_BYTES + "\nnext\n")
    got = await read(registry, context)
    assert got.truncated
    assert got.content == "x" + "é" * ((MAX_CONTENT_BYTES - 1) // 2)
    assert got.note is not None
    assert got.next_line == 2
    assert (await read(registry, context, offset=2)).content == "next\n"


async def test_bytes_that_are_not_utf8_are_named(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Which byte, and where in the file, also behind an offset; lines before it can still be read."""
    (root / "f").write_bytes(b"fine\nb\xe9d\n")
    code, words = await failed(registry, context)
    assert code == "praxis.not_text"
    assert "byte 0xe9 at offset 6" in words
    assert "byte 0xe9 at offset 6" in (await failed(registry, context, offset=2))[1]
    assert (await read(registry, context, limit=1)).content == "fine\n"
    (root / "f").write_bytes(b"ok \xe2\x82")
    assert (await failed(registry, context))[0] == "praxis.not_text"


async def test_limits_of_size(root: Path, context: ToolContext) -> None:
    """A file over the limit is refused, without reading it."""
    registry = ToolRegistry()
    registry.register(ReadFile(WorkspacePolicy(max_file_bytes=1000)))
    with (root / "f").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert (await failed(registry, context))[0] == "praxis.too_large"


@pytest.mark.usefixtures("opener")
async def test_places_that_are_closed(tmp_path: Path, root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Links, `..`, absolute paths, NUL, long names, FIFOs, directories, /proc, the data directory: no byte is read."""
    (tmp_path / "secret").write_text("SECRET")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "proc").symlink_to("/proc")
    (root / "dir").mkdir()
    (root / ".life").mkdir()
    (root / ".life" / "key").write_text("SECRET")
    os.mkfifo(root / "fifo")
    for path, code in (
        ("link", "praxis.outside_workspace"),
        ("../secret", "praxis.outside_workspace"),
        ("dir/../../secret", "praxis.outside_workspace"),
        (str(tmp_path / "secret"), "praxis.outside_workspace"),
        ("proc/self/environ", "praxis.outside_workspace"),
        ("proc/self/root/etc/hostname", "praxis.outside_workspace"),
        ("fifo", "praxis.wrong_file_kind"),
        ("dir", "praxis.wrong_file_kind"),
        (".", "praxis.wrong_file_kind"),
        (".life/key", "praxis.policy_violation"),
        ("none", "praxis.path_not_found"),
        ("a\0b", "praxis.invalid_input"),
        ("n" * 4097, "praxis.invalid_input"),
        ("n" * 256, "praxis.invalid_input"),
        ("", "praxis.invalid_input"),
    ):
        outcome = await registry.execute(call({"path": path}), context)
        encoded = msgspec.json.encode(outcome.output).decode()
        assert (outcome.status, code in encoded) == ("error", True), (path, encoded)
        assert "SECRET" not in encoded
        if not path.startswith("/"):
            assert str(tmp_path) not in encoded


def test_capabilities(registry: ToolRegistry, context: ToolContext) -> None:
    """Read access to the canonical path."""
    assert registry.capabilities(call({"path": "./a//b"}), context) == ("fs:read:a/b",)


async def test_lines_come_with_their_tags(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """Unless asked otherwise: number, tag and text as praxis.md §3.2 renders them, wherever the window begins."""
    (root / "f").write_bytes(b"alpha\r\nbeta\ngamma\r")
    got = await read(registry, context, tags=True)
    assert (
        got.content == f"   1 6e15142c | alpha\n   2 0e52a3d2 | beta\n   3 {line_tag(3, 'gamma' + chr(13))} | gamma\r"
    )
    assert got.line_ends == "mixed"
    second = await read(registry, context, tags=True, offset=2, limit=1)
    assert second.content == "   2 0e52a3d2 | beta"
    (root / "f").write_bytes(b"")
    assert (await read(registry, context, tags=True)).content == ""


async def test_a_line_that_is_cut_has_no_tag(root: Path, registry: ToolRegistry, context: ToolContext) -> None:
    """A tag stands for a whole line, and what is shown is not one."""
    (root / "f").write_text("x" * (MAX_CONTENT_BYTES + 10))
    got = await read(registry, context, tags=True)
    assert got.content.startswith(f"   1 {read_file.NO_TAG} | xxx")
    assert got.truncated
