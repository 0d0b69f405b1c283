"""`spacesd` and `life spaces up`"""

from __future__ import annotations

from pathlib import Path

import click

from life.cli.run import command_errors, data_dir_option
from life.host.haimad import parse_bind
from life.host.http.server import run_async
from life.host.spacesd import SOCKET_PATH, SpacesdSettings, SpacesdStarted, run_spacesd


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
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@command_errors
def spacesd(data_dir: Path, address: str, memory: bool, admit_strangers: bool, proxy_hosts: tuple[str, ...]) -> None:
    """Run Spaces: channels, direct messages and the directory of agents, over one WebSocket.

    People use it through `life spaces …`; agents log in with a token for the audience `spacesd` (docs/spaces.md).
    """
    host, port = parse_bind(address)
    settings = SpacesdSettings(None if memory else data_dir, admit_strangers)
    run_async(lambda: run_spacesd(settings, host=host, port=port, proxy_hosts=proxy_hosts, on_ready=_tell))


def _tell(started: SpacesdStarted) -> None:
    where = "IN MEMORY: everything is gone when this stops" if started.root is None else f"{started.root}/spaces"
    click.echo(
        f"spacesd listens on {started.address}\n"
        f"  log        {where}\n"
        f"  WebSocket  {started.address.replace('http', 'ws', 1)}{SOCKET_PATH}\n"
        f"  token      {started.token_file}   (the operator's)\n"
        "Ctrl-C stops it."
    )
