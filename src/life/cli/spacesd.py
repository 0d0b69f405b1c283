"""`spacesd` and `life spaces up`"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from life.cli.run import command_errors, data_dir_option
from life.host.haimad import parse_bind
from life.host.http.server import run_async
from life.host.spaces_nats import SpacesNatsSettings
from life.host.spaces_routes import SOCKET_PATH
from life.host.spacesd import SpacesdSettings, SpacesdStarted, run_spacesd


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "--bind", "address", default="127.0.0.1:3004", show_default=True, help="Address and port; port 0 picks one."
)
@click.option("--memory", is_flag=True, help="Keep everything in memory; gone at the end.")
@click.option(
    "--admit-strangers",
    is_flag=True,
    help="Also let in agents whom the journal knows nothing of. Their revocations are not known here.",
)
@click.option(
    "--nats", is_flag=True, help="Keep the log on NATS JetStream (docs/spaces-nats.md). Starts a server here."
)
@click.option(
    "--nats-url", "nats_urls", multiple=True, metavar="URL", help="A NATS server to join instead; may be repeated."
)
@click.option(
    "--nats-credentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON with the hub's users at those servers; mode 0600.",
)
@click.option("--nats-ca", type=click.Path(path_type=Path, dir_okay=False), help="Certificates for tls:// servers.")
@click.option("--nats-name", default="spaces", show_default=True, help="The deployment's name on the servers.")
@click.option("--nats-replicas", type=click.Choice(["1", "3", "5"]), default="3", show_default=True, help="Copies.")
@click.option("--nats-port", default=0, metavar="PORT", help="Where a server started here listens; 0 picks one.")
@click.option("--nats-accept-unverified", is_flag=True, help="Open a log even if it could lose what it acknowledged.")
@click.option(
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one JSON object.")
@command_errors
def spacesd(
    data_dir: Path,
    address: str,
    memory: bool,
    admit_strangers: bool,
    nats: bool,
    nats_urls: tuple[str, ...],
    nats_credentials: Path | None,
    nats_ca: Path | None,
    nats_name: str,
    nats_replicas: str,
    nats_port: int,
    nats_accept_unverified: bool,
    proxy_hosts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run Spaces: channels, direct messages and the directory of agents, over one WebSocket.

    Example: life spaces up --bind 127.0.0.1:3004. People use it through `life spaces …`; agents log in with a token for the audience `spacesd` (docs/spaces.md).
    """
    host, port = parse_bind(address)
    on_nats = None
    if nats_credentials is not None and not nats_urls:
        raise click.UsageError("--nats-credentials are for servers named with --nats-url.")
    if nats or nats_urls:
        if nats_urls:
            click.echo(f"Connecting to {', '.join(nats_urls)} …", err=True)
        on_nats = SpacesNatsSettings(
            nats_urls, nats_credentials, nats_ca, nats_name, int(nats_replicas), nats_accept_unverified, nats_port
        )
    settings = SpacesdSettings(None if memory else data_dir, admit_strangers, on_nats)
    tell = _tell_programs if as_json else _tell
    run_async(lambda: run_spacesd(settings, host=host, port=port, proxy_hosts=proxy_hosts, on_ready=tell))


def _tell_programs(started: SpacesdStarted) -> None:
    told = {
        "address": started.address,
        "websocket": started.address.replace("http", "ws", 1) + SOCKET_PATH,
        "data_dir": None if started.root is None else str(started.root),
        "token_file": str(started.token_file),
        "deployment": started.deployment,
    }
    click.echo(json.dumps(told))
    sys.stdout.flush()


def _tell(started: SpacesdStarted) -> None:
    where = "IN MEMORY: everything is gone when this stops" if started.root is None else f"{started.root}/spaces"
    place = started.nats
    if place is not None:
        where = f"NATS {', '.join(place.servers)} ({place.level.replace('_', ' ')})"
        where += "".join(f"\n               MAY LOSE COMMANDS: {doubt}" for doubt in place.doubts)
        where += "\n               agents may connect there with their token" if place.agents else ""
    click.echo(
        f"spacesd listens on {started.address}\n"
        f"  log          {where}\n"
        f"  WebSocket    {started.address.replace('http', 'ws', 1)}{SOCKET_PATH}\n"
        f"  SpacetimeDB  {started.address}, database `spaces`, for its clients\n"
        f"  token        {started.token_file}   (the operator's)\n"
        "Ctrl-C stops it."
    )
