"""The mcpServers file: other hosts' files load, variables are replaced, bad entries are reported (praxis.md §8)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.errors import McpConfigError
from life.praxis.mcp.config import MAX_FILE_BYTES, ServerConfig, load_servers, parse_servers


def parse(entries: object, **environment: str) -> tuple[dict[str, ServerConfig], tuple[str, ...]]:
    """Servers by name, and problems."""
    file = parse_servers(json.dumps({"mcpServers": entries}).encode(), environment)
    return {server.name: server for server in file.servers}, file.problems


def test_files_written_for_other_hosts_load() -> None:
    """Members that this host does not know are passed over; those that it knows count."""
    servers, problems = parse(
        {
            "files": {
                "type": "stdio",
                "command": "npx",
                "args": ["-y", "x", "${ROOT}"],
                "env": {"A": "${B:-c}"},
                "autoApprove": ["x"],
                "disabled": True,
            },
            "web": {
                "type": "http",
                "url": "https://h/mcp?k=${KEY}",
                "headers": {"Authorization": "Bearer ${KEY}"},
                "allowedTools": ["a"],
                "denied_tools": ["b"],
            },
        },
        ROOT="/docs",
        KEY="k1",
    )
    assert not problems
    files, web = servers["files"], servers["web"]
    assert (files.command, files.args, files.env, files.enabled) == ("npx", ("-y", "x", "/docs"), {"A": "c"}, False)
    assert (web.url, web.headers) == ("https://h/mcp?k=k1", {"Authorization": "Bearer k1"})
    assert web.permits("a") and not web.permits("b") and not web.permits("c")


def test_what_a_person_accepts_holds_no_secret_and_changes_with_the_entry() -> None:
    """The accepted text is the entry as it is written, in one order, with its variables unreplaced; repr tells only the name."""
    one, _ = parse({"s": {"url": "https://h/", "headers": {"K": "${KEY}"}}}, KEY="secret-1")
    same, _ = parse({"s": {"headers": {"K": "${KEY}"}, "url": "https://h/"}}, KEY="secret-2")
    other, _ = parse({"s": {"url": "https://i/", "headers": {"K": "${KEY}"}}}, KEY="secret-1")
    assert one["s"].entry == same["s"].entry != other["s"].entry
    assert b"secret" not in one["s"].entry
    assert "secret" not in repr(one["s"])


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "either a command or a url"),
        ({"command": "a", "url": "http://b"}, "either"),
        ({"command": 1}, "str"),
        ({"command": "${MISSING}"}, "MISSING is not set"),
        ({"type": "sse", "url": "http://b"}, "sse"),
        ({"type": "carrier-pigeon", "url": "http://b"}, "transport"),
        ({"url": "file:///etc/passwd"}, "http or https"),
        ({"url": "http://user:pass@host/"}, "without user"),
        ({"url": "http://[::1"}, "http or https"),
        ({"url": "http://h", "headers": {"A\r\nB": "x"}}, "can't be sent"),
        ({"url": "http://h", "headers": {"A": "x\r\nB: y"}}, "can't be sent"),
        ({"command": "a", "timeout_s": 0}, "timeout_s"),
        ({"command": "a\0b"}, "NUL"),
        ({"command": "a", "args": ["b\0"]}, "NUL"),
    ],
)
def test_a_bad_entry_is_reported_and_the_others_load(entry: object, words: str) -> None:
    """One problem each, with the reason."""
    servers, problems = parse({"bad": entry, "good": {"command": "x"}})
    assert list(servers) == ["good"]
    assert len(problems) == 1 and words in problems[0]


@pytest.mark.parametrize("name", ["", "a b", "../x", "a__b", "x" * 33, "é"])
def test_names_that_could_not_be_part_of_a_tools_name_are_refused(name: str) -> None:
    """A server's name stands in `mcp__<server>__<tool>`."""
    assert parse({name: {"command": "x"}})[1]


def test_files_that_are_no_files_of_servers(tmp_path: Path) -> None:
    """Missing, too large, no JSON, another form: an error with the path; no mcpServers: none."""
    file = tmp_path / ".mcp.json"
    with pytest.raises(McpConfigError, match="can't be read"):
        load_servers(file, {})
    for content in (b"{", b"[]", b'{"mcpServers": []}', b'{"mcpServers": {"a": 1}}', b"\xff", b"[" * 100_000):
        file.write_bytes(content)
        with pytest.raises(McpConfigError):
            load_servers(file, {})
    file.write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(McpConfigError, match="larger"):
        load_servers(file, {})
    file.write_bytes(b"{}")
    assert load_servers(file, {}).servers == ()


@given(st.binary(max_size=300))
def test_any_bytes_are_servers_or_an_error(content: bytes) -> None:
    """Nothing else comes out."""
    try:
        parse_servers(content, {})
    except McpConfigError:
        pass
