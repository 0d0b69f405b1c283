"""`haimad`"""

from __future__ import annotations

from pathlib import Path

import click

from life.cli.haima_facilitator import tell_settler
from life.cli.haima_key import KeyCommand, key_option, take_key
from life.cli.run import command_errors
from life.host.haima_facilitator import Settlement, parse_funds
from life.host.haimad import HaimadStarted, parse_bind, run_haimad
from life.host.http.server import run_async


@click.command(cls=KeyCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--bind", "address", default="127.0.0.1:3003", show_default=True, help="Address and port; port 0 picks one."
)
@click.option(
    "--lago-data-dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the journal and the token. Without it everything is in memory and gone at the end.",
)
@click.option("--network", default="local", show_default=True, help="Network to settle on: CAIP-2 or its alias.")
@click.option(
    "--rpc", "rpc_url", metavar="URL", help="Node of the network. Without it, the local ledger and play money."
)
@click.option("--asset", metavar="ADDRESS", help="Play money: the token's contract.  [default: the known token]")
@click.option(
    "--fund",
    "funds",
    multiple=True,
    metavar="ADDRESS=ATOMIC",
    help="Play money: top this account up to so many atomic units at the start; may be repeated.",
)
@click.option(
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@command_errors
def haimad(
    address: str,
    directory: Path | None,
    network: str,
    rpc_url: str | None,
    key: str | None,
    asset: str | None,
    funds: tuple[str, ...],
    proxy_hosts: tuple[str, ...],
) -> None:
    """Serve the finance API: state, facilitation and settlement.

    GET /health, POST /verify, POST /settle and GET /supported are open; GET /state and POST /v1/facilitate want the token
    (Authorization: Bearer …) from the file that is named at the start.
    """
    host, port = parse_bind(address)
    gas_key = take_key(key)
    if rpc_url is None and key is not None:
        click.echo("Note: play money has no gas; the key is not used.", err=True)
    where = Settlement(network, rpc_url, gas_key if rpc_url is not None else None, asset, parse_funds(funds))
    run_async(lambda: run_haimad(directory, where, host=host, port=port, proxy_hosts=proxy_hosts, on_ready=_tell))


haimad.params.insert(4, key_option("Private key of the account that pays gas, 0x and 64 hex digits."))


def _tell(started: HaimadStarted) -> None:
    click.echo(f"haimad listens on {started.address}")
    if started.directory is None:
        click.echo("  journal    IN MEMORY: everything is gone when this stops (--lago-data-dir DIR keeps it)")
    else:
        click.echo(f"  journal    {started.directory}")
    click.echo(f"  token      {started.token_file}   (Authorization: Bearer …)")
    tell_settler(started.settler)
    click.echo("Ctrl-C stops it.")
