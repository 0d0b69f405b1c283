"""`haimad`"""

from __future__ import annotations

from pathlib import Path

import click

from life.cli.haima_facilitator import tell_settler
from life.cli.haima_key import KeyCommand, key_option, take_key, take_solana_key
from life.cli.run import command_errors
from life.host.facilitator_settings import is_solana_name
from life.host.haima_config import load_config
from life.host.haima_facilitator import Settlement, parse_funds
from life.host.haima_house import SLA_CHECK_S
from life.host.haimad import HaimadSettings, HaimadStarted, parse_bind, run_haimad
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
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file: verifiers of outcomes, insurance, addresses for deposits (docs/finance-daemon.md).",
)
@click.option(
    "--no-sla-monitor", is_flag=True, help="Do not end late tasks by itself; POST /v1/outcomes/check-sla does."
)
@click.option(
    "--sla-check-interval-secs",
    "sla_check_s",
    type=click.IntRange(1, 86_400),
    default=SLA_CHECK_S,
    show_default=True,
    help="How often late tasks are looked for.",
)
@click.option(
    "--legacy-status",
    is_flag=True,
    help="Answer refusals of the credit routes with HTTP 200, as clients of the Rust original expect.",
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
    config_file: Path | None,
    no_sla_monitor: bool,
    sla_check_s: int,
    legacy_status: bool,
    network: str,
    rpc_url: str | None,
    key: str | None,
    asset: str | None,
    funds: tuple[str, ...],
    proxy_hosts: tuple[str, ...],
) -> None:
    """Serve the finance API: settlement, accounts, credit, outcomes, insurance, books.

    GET /health, GET /ready, POST /verify, POST /settle and GET /supported are open. Everything else wants the token
    (Authorization: Bearer …) from the file that is named at the start, or an agent's token with the route's scope; users' tokens
    are accepted when HAIMA_JWT_SECRET or AUTH_SECRET is set.
    """
    host, port = parse_bind(address)
    gas_key, solana_key = take_key(key), take_solana_key()
    if rpc_url is None and key is not None:
        click.echo("Note: play money has no gas; the key is not used.", err=True)
    fee_key = solana_key if is_solana_name(network) else gas_key
    where = Settlement(network, rpc_url, fee_key if rpc_url is not None else None, asset, parse_funds(funds))
    settings = HaimadSettings(load_config(config_file), None if no_sla_monitor else sla_check_s, legacy_status)
    run_async(
        lambda: run_haimad(
            directory, where, host=host, port=port, proxy_hosts=proxy_hosts, on_ready=_tell, settings=settings
        )
    )


haimad.params.insert(8, key_option("Private key of the account that pays gas, 0x and 64 hex digits."))


def _tell(started: HaimadStarted) -> None:
    click.echo(f"haimad listens on {started.address}")
    if started.directory is None:
        click.echo("  journal    IN MEMORY: everything is gone when this stops (--lago-data-dir DIR keeps it)")
    else:
        click.echo(f"  journal    {started.directory}")
    click.echo(f"  token      {started.token_file}   (Authorization: Bearer …)")
    tell_settler(started.settler)
    click.echo("Ctrl-C stops it.")
