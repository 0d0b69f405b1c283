"""`life mcp`: this project as an MCP server, and the MCP servers that its agents may use."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from life.aios.errors import InvalidInputError, LifeError
from life.aios.json import Json, JsonObject
from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.host.http.server import run_async
from life.host.mcp_clients import KnownServers, known_servers, mcp_toolbox, token_folder, trust_store
from life.host.settings import Settings, load_settings

if TYPE_CHECKING:
    from life.praxis.mcp.config import ServerConfig
    from life.praxis.mcp.toolbox import McpToolbox, ServerReport
    from life.praxis.mcp.trust import RemoteTool

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def mcp() -> None:
    """Serve MCP, and use MCP servers."""


@mcp.command()
@data_dir_option
@click.option("--stdio", "transport", flag_value="stdio", default=True, help="Serve whoever starts this (the default).")
@click.option("--http", "transport", flag_value="http", help="Serve streamable HTTP with a bearer token.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks one.  [default: 3100]")
@click.option("--proxy-host", "proxy_hosts", multiple=True, help="Name under which a proxy with TLS forwards here.")
@click.option(
    "--tools", multiple=True, help="Offer this tool too; '*' offers all.  [default: those that change nothing]"
)
@command_errors
def serve(
    data_dir: Path,
    transport: str,
    host: str | None,
    port: int | None,
    proxy_hosts: tuple[str, ...],
    tools: tuple[str, ...],
) -> None:
    """Serve this project's tools, files and skills over MCP."""
    from life.host.mcp_server import serve_mcp_http, serve_mcp_stdio

    flags = {"mcp.host": host, "mcp.port": port, "mcp.proxy_hosts": list(proxy_hosts) or None}
    settings = load_settings(DataDirectory(data_dir).config, os.environ, flags)
    offered = list(tools) or None
    if transport == "stdio":
        run_async(lambda: serve_mcp_stdio(data_dir, settings, tools=offered))
        return

    def tell(address: str, token: Path) -> None:
        click.echo(f"The MCP server listens on {address}\n  token      {token}   (Authorization: Bearer …)")

    run_async(lambda: serve_mcp_http(data_dir, settings, prompt=ask_passphrase, tools=offered, on_ready=tell))


@mcp.command("list")
@data_dir_option
@click.option("--connect", is_flag=True, help="Start accepted servers and compare their tools.")
@JSON
@command_errors
def list_(data_dir: Path, connect: bool, as_json: bool) -> None:
    """List the MCP servers: which are accepted, and what waits."""
    known, reports = run(_reports(data_dir, connect=connect))
    if as_json:
        click.echo(msgspec.json.encode(reports).decode())
        return
    for problem in known.problems:
        click.echo(f"Left out: {problem}", err=True)
    if not reports:
        click.echo("No MCP server is configured. Name some in .mcp.json, beside the data directory.")
        return
    rows = [(each.name, each.status, str(len(each.tools)), _waiting(each)) for each in reports]
    print_table(("server", "status", "tools", ""), rows, right=(2,))


@mcp.command()
@data_dir_option
@click.argument("server")
@JSON
@command_errors
def tools(data_dir: Path, server: str, as_json: bool) -> None:
    """Show a server's tools as they are now, and how they differ from what was accepted."""
    listed, one = run(_listed(data_dir, server))
    if as_json:
        click.echo(msgspec.json.encode({"tools": list(listed.values()), "report": one}).decode())
        return
    for name, tool in sorted(listed.items()):
        mark = "new" if name in one.differences.new else "CHANGED" if name in one.differences.changed else ""
        words = " ".join(tool.description.split())[:160]
        click.echo(f"{name}  {mark}\n    {_printable(words)}")
    for name in one.differences.gone:
        click.echo(f"{name}  gone")


@mcp.command()
@data_dir_option
@click.argument("server")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_errors
def accept(data_dir: Path, server: str, yes: bool) -> None:
    """Accept a server as it is configured, and its tools as they are now."""
    data, settings = _project(data_dir)
    config = _server(known_servers(data, settings.mcp, os.environ), server)
    trust = trust_store(data)
    if not trust.is_accepted(config.name, config.entry):
        click.echo(f"{'Changed' if trust.is_known(server) else 'New'}: {_printable(config.entry.decode())}")
        what = "This program will be started with your rights." if config.command else "Calls will be sent there."
        if not yes and not click.confirm(f"{what} Accept it?"):
            raise click.Abort
        trust.accept(config.name, config.entry)
    listed, one = run(_listed(data_dir, server))
    for name in (*one.differences.new, *one.differences.changed):
        click.echo(f"{name}: {_printable(' '.join(listed[name].description.split())[:400])}")
    if one.differences and not yes and not click.confirm("Accept these tools as they are now?"):
        raise click.Abort
    trust_store(data).accept_tools(server, listed)
    click.echo(
        f"{server} is accepted, with {len(listed)} tools. Calls need approval unless the setting mcp.allow names them."
    )


@mcp.command()
@data_dir_option
@click.argument("server")
@command_errors
def forget(data_dir: Path, server: str) -> None:
    """Take an acceptance back."""
    data, _ = _project(data_dir)
    click.echo(
        f"{server} is not accepted any more." if trust_store(data).forget(server) else f"{server} was not accepted."
    )


@mcp.command("call")
@data_dir_option
@click.argument("server")
@click.argument("tool")
@click.argument("arguments", default="{}")
@command_errors
def call_(data_dir: Path, server: str, tool: str, arguments: str) -> None:
    """Call a tool of a server with ARGUMENTS (a JSON object), through gate and journal."""
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Json])
    except msgspec.DecodeError:
        raise InvalidInputError("ARGUMENTS must be a JSON object.") from None
    status, output = run(_call(data_dir, server, tool, given))
    click.echo(msgspec.json.format(msgspec.json.encode(output), indent=2).decode())
    if status != "ok":
        sys.exit(1)


@mcp.command()
@data_dir_option
@click.argument("server")
@command_errors
def login(data_dir: Path, server: str) -> None:
    """Sign in at a server that wants OAuth."""
    from life.host.mcp_sign_in import sign_in

    data, settings = _project(data_dir)
    config = _server(known_servers(data, settings.mcp, os.environ), server)
    if not trust_store(data).is_accepted(config.name, config.entry):
        raise InvalidInputError(f"{server} is not accepted.", next_step=f"life mcp accept {server}")
    run(sign_in(config, token_folder(data), show=lambda url: click.echo(f"Open this in a browser:\n\n    {url}\n")))
    click.echo(f"Signed in at {server}.")


@mcp.command()
@data_dir_option
@click.argument("server")
@command_errors
def logout(data_dir: Path, server: str) -> None:
    """Throw a server's tokens away."""
    data, settings = _project(data_dir)
    config = _server(known_servers(data, settings.mcp, os.environ), server)
    file = token_folder(data) / f"{config.name}.json"
    file.unlink(missing_ok=True)
    click.echo(f"No tokens of {server} are kept.")


def _project(data_dir: Path) -> tuple[DataDirectory, Settings]:
    data = DataDirectory.create(data_dir)
    return data, load_settings(data.config, os.environ)


def _server(known: KnownServers, name: str) -> ServerConfig:
    found = known.get(name)
    if found is None:
        named = ", ".join(server.name for server in known.servers) or "none"
        raise InvalidInputError(f"There is no MCP server {name!r}. Servers: {named}.")
    return found


async def _reports(data_dir: Path, *, connect: bool) -> tuple[KnownServers, list[ServerReport]]:
    data, settings = _project(data_dir)
    known = known_servers(data, settings.mcp, os.environ)
    async with AsyncExitStack() as stack:
        bridge = _bridge(data, known, stack)
        return known, await bridge.refresh() if connect else bridge.reports()


async def _listed(data_dir: Path, name: str) -> tuple[dict[str, RemoteTool], ServerReport]:
    data, settings = _project(data_dir)
    known = known_servers(data, settings.mcp, os.environ)
    config = _server(known, name)
    if not trust_store(data).is_accepted(config.name, config.entry):
        raise InvalidInputError(f"{name} is not accepted, so it is not started.", next_step=f"life mcp accept {name}")
    async with AsyncExitStack() as stack:
        bridge = _bridge(data, KnownServers((config,), ()), stack)
        (one,) = await bridge.refresh()
        if one.status != "up":
            raise LifeError(f"{name} can't be reached: {one.last_failure or 'it does not answer'}.")
        return bridge.listed(name), one


def _bridge(data: DataDirectory, known: KnownServers, stack: AsyncExitStack) -> McpToolbox:
    from life.praxis.registry import ToolRegistry

    bridge = mcp_toolbox(ToolRegistry(), data, known, trust_store(data), environment=os.environ, clock=SystemClock())
    stack.push_async_callback(bridge.aclose)
    return bridge


async def _call(data_dir: Path, server: str, tool: str, arguments: JsonObject) -> tuple[str, Json]:
    from life.arcan.direct_calls import DirectCalls
    from life.host.system import open_system
    from life.praxis.mcp.definitions import local_names

    async with open_system(data_dir, prompt=ask_passphrase) as system:
        accepted = trust_store(system.data).tools(server)
        if tool not in accepted:
            named = ", ".join(sorted(accepted)) or "none"
            raise InvalidInputError(f"{server} has no accepted tool {tool!r}. Tools: {named}.")
        calls = DirectCalls(system.runtime, system.journal)
        outcome = await calls.call("mcp-cli", local_names(server, accepted)[tool], arguments)
        if outcome.status == "waiting":
            approved = await asyncio.to_thread(click.confirm, f"The policy asks: may {server} run {tool}?")
            outcome = await calls.decide(outcome, approved=approved, actor="cli")
        return outcome.status, outcome.output


def _waiting(one: ServerReport) -> str:
    match one.status:
        case "not_accepted":
            return f"accept it: life mcp accept {one.name}"
        case "down":
            return one.last_failure
    waiting = len(one.differences.new) + len(one.differences.changed)
    return f"{waiting} tools wait to be accepted" if waiting else ""


def _printable(text: str) -> str:
    """A stranger's words, without what could steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
