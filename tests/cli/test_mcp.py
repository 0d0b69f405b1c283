"""`life mcp`: serving over stdio as other hosts start it, and accepting, listing and calling servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mcp import Client, StdioServerParameters

from life.cli.mcp import mcp
from tests.praxis.mcp.bridge import ROOT, hostile

KEY = "test-passphrase-for-mcp"


def life(*arguments: str, data: Path, given: str = "") -> Result:
    """Run `life mcp …`."""
    environment = {"LIFE_PASSPHRASE": KEY, "LIFE_DATA_DIR": str(data), "XDG_CONFIG_HOME": str(data.parent / "config")}
    return CliRunner().invoke(mcp, list(arguments), input=given, env=environment)


@pytest.mark.slow
async def test_another_host_starts_us_over_stdio(tmp_path: Path) -> None:
    """An official client starts `life mcp serve`, lists, calls and reads; nothing but the protocol is on the output."""
    environment = {"LIFE_PASSPHRASE": KEY, "PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = StdioServerParameters(
        command=sys.executable,
        args=[
            "-c",
            "from life.cli.mcp import mcp; mcp()",
            "serve",
            "--data-dir",
            str(tmp_path / ".life"),
            "--tools",
            "*",
        ],
        env=environment,
        cwd=str(ROOT),
    )
    async with Client(command) as client:
        assert "read_file" in {tool.name for tool in (await client.list_tools()).tools}
        written = await client.call_tool("write_file", {"path": "a.txt", "content": "hello"})
        assert not written.is_error, written
        resources = (await client.list_resources()).resources
        assert "life://workspace/a.txt" in {str(resource.uri) for resource in resources}
    assert (tmp_path / ".life" / "workspaces" / "mcp-local" / "a.txt").read_text() == "hello"


@pytest.mark.slow
def test_http_prints_its_address_and_wants_a_token(tmp_path: Path) -> None:
    """`--http` serves on loopback with the token of the data directory, and stops on a signal with exit code 0."""
    environment = {**os.environ, "LIFE_PASSPHRASE": KEY, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    argv = [
        sys.executable,
        "-c",
        "from life.cli.mcp import mcp; mcp()",
        "serve",
        "--http",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path / ".life"),
    ]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = line.split()[-1]
            import httpx2

            token = (tmp_path / ".life" / "token").read_text().strip()
            assert httpx2.post(address, json={}).status_code == 401
            assert httpx2.post(address, json={}, headers={"Authorization": f"Bearer {token}"}).status_code != 401
        finally:
            process.terminate()
            process.wait(timeout=15)
        assert process.returncode == 0


def test_a_server_is_accepted_once_then_listed_and_called(tmp_path: Path) -> None:
    """Nothing is started before `accept`; then its tools are known, a call asks the person, and the journal has it."""
    data = tmp_path / ".life"
    (tmp_path / ".mcp.json").write_text(
        json.dumps({"mcpServers": {"h": hostile("plain"), "b": {"command": "x", "url": "y"}}})
    )
    listed = life("list", data=data)
    assert "not_accepted" in listed.output
    assert "Left out" in listed.output
    assert life("tools", "h", data=data).exit_code == 1
    assert life("accept", "h", data=data, given="n\n").exit_code == 1
    accepted = life("accept", "h", data=data, given="y\n")
    assert accepted.exit_code == 0, accepted.output
    assert "with 1 tools" in accepted.output
    assert oct((data / "mcp-accepted.json").stat().st_mode & 0o777) == "0o600"
    shown = json.loads(life("list", "--connect", "--json", data=data).output)
    assert [(one["name"], one["status"], one["tools"]) for one in shown] == [("h", "up", ["mcp__h__echo"])]
    called = life("call", "h", "echo", '{"text": "hi"}', data=data, given="y\n")
    assert '"text": "hi"' in called.output, called.output
    refused = life("call", "h", "echo", '{"text": "hi"}', data=data, given="n\n")
    assert refused.exit_code == 1
    assert life("call", "h", "echo", "[]", data=data).exit_code == 1
    assert life("call", "h", "other", data=data).exit_code == 1
    assert "not accepted any more" in life("forget", "h", data=data).output
    assert life("tools", "none", data=data).exit_code == 1


def test_a_changed_command_has_to_be_accepted_again(tmp_path: Path) -> None:
    """Another argument in the file is another server: it says so, and does not run."""
    data = tmp_path / ".life"
    file = tmp_path / ".mcp.json"
    file.write_text(json.dumps({"mcpServers": {"h": hostile("plain")}}))
    assert life("accept", "h", "--yes", data=data).exit_code == 0
    started = time.monotonic()
    file.write_text(json.dumps({"mcpServers": {"h": hostile("plain", str(tmp_path / "started"))}}))
    assert "not_accepted" in life("list", "--connect", data=data).output
    assert not (tmp_path / "started").exists()
    assert life("accept", "h", data=data, given="n\n").output.startswith("Changed:")
    assert time.monotonic() - started < 30
