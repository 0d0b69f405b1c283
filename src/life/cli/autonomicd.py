"""`autonomicd`"""

from __future__ import annotations

from pathlib import Path

import click

from life.cli.run import command_errors
from life.host.autonomicd import AutonomicdStarted, run_autonomicd
from life.host.data_directory import DEFAULT_NAME
from life.host.haimad import parse_bind
from life.host.http.server import run_async


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--bind", "address", default="127.0.0.1:3002", show_default=True, help="Address and port; port 0 picks one."
)
@click.option(
    "--data-dir",
    "--lago-data-dir",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(DEFAULT_NAME),
    envvar="LIFE_DATA_DIR",
    show_default=True,
    help="The project whose journal is followed.",
)
@click.option(
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@command_errors
def autonomicd(address: str, data_dir: Path, proxy_hosts: tuple[str, ...]) -> None:
    """Serve homeostasis: what is permitted now and why, the state behind it, trust scores, metrics.

    GET /health and GET /trust-score/AGENT are open. Everything else wants the project's token (Authorization: Bearer …); users'
    tokens are accepted when AUTONOMIC_JWT_SECRET or AUTH_SECRET is set.
    """
    host, port = parse_bind(address)
    run_async(lambda: run_autonomicd(data_dir, host=host, port=port, proxy_hosts=proxy_hosts, on_ready=_tell))


def _tell(started: AutonomicdStarted) -> None:
    click.echo(f"autonomicd listens on {started.address}")
    click.echo(f"  journal    {started.root}")
    click.echo(f"  token      {started.token_file}   (Authorization: Bearer …)")
    click.echo("Ctrl-C stops it.")
