"""`haima facilitator`"""

from __future__ import annotations

from pathlib import Path

import click

from life.cli.haima_key import KeyCommand, key_option, take_key
from life.cli.run import command_errors
from life.host.data_directory import DEFAULT_NAME
from life.host.haima_directory import default_directory
from life.host.haima_facilitator import (
    DEVELOPMENT_ACCOUNTS,
    Settlement,
    Settler,
    Started,
    parse_funds,
    run_facilitator,
)
from life.host.http.server import run_async


@click.command(cls=KeyCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4022,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
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
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Where the journal is kept.  [default: {DEFAULT_NAME}/facilitator-PORT]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@command_errors
def facilitator(
    port: int,
    network: str,
    rpc_url: str | None,
    key: str | None,
    asset: str | None,
    funds: tuple[str, ...],
    data_dir: Path | None,
    host: str,
    proxy_hosts: tuple[str, ...],
) -> None:
    """Verify and settle x402 payments for others.

    Serves POST /verify, POST /settle, GET /supported and GET /health, without a token. With --rpc it settles on a chain and
    pays the gas from its own key; without, on a ledger in its own journal, with play money that means nothing anywhere else.
    Every settlement is on record before it is sent: asking again, also after a crash, gives the first result.
    """
    gas_key = take_key(key)
    if rpc_url is None and key is not None:
        click.echo("Note: play money has no gas; the key is not used.", err=True)
    where = Settlement(network, rpc_url, gas_key if rpc_url is not None else None, asset, parse_funds(funds))
    run_async(
        lambda: run_facilitator(
            where,
            directory=lambda bound: data_dir or default_directory(Path(DEFAULT_NAME), "facilitator", bound),
            host=host,
            port=port,
            proxy_hosts=proxy_hosts,
            on_ready=_tell,
        )
    )


facilitator.params.insert(3, key_option("Private key of the account that pays gas, 0x and 64 hex digits."))


def _tell(started: Started) -> None:
    click.echo(f"haima facilitator listens on {started.address}")
    tell_settler(started.settler)
    click.echo(f"  journal    {started.directory}")
    click.echo("Ctrl-C stops it.")


def tell_settler(settler: Settler) -> None:
    """Where it settles, for people."""
    if settler.node is not None:
        click.echo(f"  network    {settler.network} through {settler.node}")
        click.echo(f"  gas        {settler.gas_address} ({_ether(settler.gas_wei or 0)} of the network's coin)")
        if not settler.gas_wei:
            click.echo("Warning: the gas account is empty; nothing can be settled until it is filled.", err=True)
    else:
        click.echo(f"  network    {settler.network} on the local ledger: PLAY MONEY, worth nothing anywhere else")
        click.echo(f"  asset      {settler.asset}")
        click.echo(f"  funded     the {len(DEVELOPMENT_ACCOUNTS)} well-known development accounts of anvil and Hardhat")
    if settler.left_open:
        click.echo(f"  open       {settler.left_open} settlement(s) of an earlier run are being watched")


def _ether(wei: int) -> str:
    whole, fraction = divmod(wei, 10**18)
    return f"{whole}.{fraction:018d}"[: len(str(whole)) + 7]
