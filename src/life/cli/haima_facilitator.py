"""`haima facilitator`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.cli.haima_key import KeyCommand, key_option, take_key, take_solana_key
from life.cli.run import command_errors
from life.host.data_directory import DEFAULT_NAME
from life.host.facilitator_settings import pair_networks, read_settings
from life.host.haima_directory import default_directory
from life.host.haima_facilitator import (
    DEVELOPMENT_ACCOUNTS,
    FacilitatorSettings,
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
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="NAME",
    help="Network to settle on, CAIP-2 or its short name; may be repeated, each with its --rpc.  [default: local]",
)
@click.option(
    "--rpc",
    "rpc_urls",
    multiple=True,
    metavar="URL",
    help="Node of the network before it. Without any, the local ledger and play money.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with networks and limits, instead of --network and --rpc (docs/facilitator.md).",
)
@click.option(
    "--fee-bps",
    type=click.IntRange(0, 1000),
    help="Fee in basis points that sellers owe by invoice; published, and recorded with each settlement.  [default: 0]",
)
@click.option(
    "--rate",
    "rate_per_minute",
    type=click.IntRange(0),
    help="Requests per minute and client on other machines; 0 is no limit, without a proxy only.  [default: 6000]",
)
@click.option(
    "--max-fee-gwei",
    type=click.IntRange(1),
    help="Nothing is sent while the chain asks for more gas fee.  [default: 200]",
)
@click.option(
    "--confirmations", type=click.IntRange(1), help="Blocks, its own included, until a settlement counts.  [default: 1]"
)
@click.option("--public-metrics", is_flag=True, help="Let other machines read /metrics.")
@click.option("--json", "as_json", is_flag=True, help="Say what is running as one line of JSON.")
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
    networks: tuple[str, ...],
    rpc_urls: tuple[str, ...],
    key: str | None,
    config: Path | None,
    fee_bps: int | None,
    rate_per_minute: int | None,
    max_fee_gwei: int | None,
    confirmations: int | None,
    public_metrics: bool,
    as_json: bool,
    asset: str | None,
    funds: tuple[str, ...],
    data_dir: Path | None,
    host: str,
    proxy_hosts: tuple[str, ...],
) -> None:
    """Verify and settle x402 payments for others.

    Serves POST /verify, POST /settle, GET /supported, GET /discovery/resources, GET /discovery/search, GET /health,
    GET /ready and GET /metrics, without a token and with a rate limit. With --rpc it settles on a chain and pays the gas from
    its own key (on Solana that of HAIMA_SOLANA_KEY); without, on a ledger in its own journal, with play money that means
    nothing anywhere else. Every settlement is on record before it is sent: asking again, also after a crash, gives the first
    result.
    """
    gas_key, solana_key = take_key(key), take_solana_key()
    if config is not None:
        if networks or rpc_urls or asset is not None or funds:
            raise InvalidInputError("With --config the networks stand in the file; leave the other options out.")
        settings = read_settings(config, key=gas_key, solana_key=solana_key)
    else:
        settings = FacilitatorSettings(pair_networks(networks, rpc_urls, key=gas_key, solana_key=solana_key))
        if asset is not None or funds:
            (where, *more) = settings.settlements
            if more:
                raise InvalidInputError("Play money is for the local ledger; name one network.")
            settings = settings._replace(settlements=(where._replace(asset=asset, funds=parse_funds(funds)),))
    if key is not None and all(where.rpc_url is None for where in settings.settlements):
        click.echo("Note: play money has no gas; the key is not used.", err=True)
    settings = _with_options(settings, fee_bps, rate_per_minute, max_fee_gwei, confirmations)
    settings = settings._replace(public_metrics=settings.public_metrics or public_metrics)
    run_async(
        lambda: run_facilitator(
            settings,
            directory=lambda bound: data_dir or default_directory(Path(DEFAULT_NAME), "facilitator", bound),
            host=host,
            port=port,
            proxy_hosts=proxy_hosts,
            on_ready=_tell_as_json if as_json else _tell,
        )
    )


facilitator.params.insert(3, key_option("Private key of the account that pays gas, 0x and 64 hex digits."))


def _with_options(
    settings: FacilitatorSettings,
    fee_bps: int | None,
    rate_per_minute: int | None,
    max_fee_gwei: int | None,
    confirmations: int | None,
) -> FacilitatorSettings:
    """Options that were given win over the file and the defaults."""
    places = settings.settlements
    if (max_fee_gwei, confirmations) != (None, None) and all(where.on_solana for where in places):
        raise InvalidInputError("--max-fee-gwei and --confirmations mean nothing on Solana; leave them out.")
    if max_fee_gwei is not None:
        places = tuple(w if w.on_solana else w._replace(max_fee_gwei=max_fee_gwei) for w in places)
    if confirmations is not None:
        places = tuple(w if w.on_solana else w._replace(confirmations=confirmations) for w in places)
    return settings._replace(
        settlements=places,
        fee_bps=settings.fee_bps if fee_bps is None else fee_bps,
        rate_per_minute=settings.rate_per_minute if rate_per_minute is None else rate_per_minute,
    )


def _tell(started: Started) -> None:
    click.echo(f"haima facilitator listens on {started.address}")
    tell_settler(started.settler)
    settings = started.settings
    click.echo(f"  fee        {_fee(settings.fee_bps)}")
    limit = (
        f"{settings.rate_per_minute} requests a minute for each client on another machine"
        if settings.rate_per_minute
        else "none"
    )
    click.echo(f"  limit      {limit}")
    click.echo(f"  metrics    {started.address}/metrics{' (public)' if settings.public_metrics else ''}")
    click.echo(f"  journal    {started.directory}")
    click.echo("Ctrl-C stops it.")


def _tell_as_json(started: Started) -> None:
    """One line: the address, every network, and what it costs."""
    settler, settings = started.settler, started.settings
    places = [
        {
            "network": place.network,
            "node": place.node,
            "gas_account": place.gas_address,
            "gas_wei": None if place.gas_wei is None else str(place.gas_wei),
            "fee_lamports": None if place.lamports is None else str(place.lamports),
            "play_money": place.asset,
        }
        for place in settler.places
    ]
    line = {
        "address": started.address,
        "directory": str(started.directory),
        "networks": places,
        "fee_bps": settings.fee_bps,
        "rate_per_minute": settings.rate_per_minute,
        "open_settlements": settler.left_open,
    }
    click.echo(json.dumps(line))


def tell_settler(settler: Settler) -> None:
    """Where it settles, for people."""
    for place in settler.places:
        if place.node is not None:
            click.echo(f"  network    {place.network} through {place.node}")
            if place.solana is not None:
                click.echo(f"  fee payer  {place.gas_address} ({_sol(place.lamports or 0)} SOL)")
                if not place.lamports:
                    click.echo(
                        f"Warning: the fee payer's account is empty; nothing can be settled on {place.network} until it is "
                        "filled.",
                        err=True,
                    )
                continue
            click.echo(f"  gas        {place.gas_address} ({_ether(place.gas_wei or 0)} of the network's coin)")
            if not place.gas_wei:
                click.echo(
                    f"Warning: the gas account is empty; nothing can be settled on {place.network} until it is filled.",
                    err=True,
                )
        else:
            click.echo(f"  network    {place.network} on the local ledger: PLAY MONEY, worth nothing anywhere else")
            click.echo(f"  asset      {place.asset}")
            click.echo(
                f"  funded     the {len(DEVELOPMENT_ACCOUNTS)} well-known development accounts of anvil and Hardhat"
            )
    if settler.left_open:
        click.echo(f"  open       {settler.left_open} settlement(s) of an earlier run are being watched")


def _fee(bps: int) -> str:
    if bps == 0:
        return "none"
    return f"{bps // 100}.{bps % 100:02d} % of each payment, owed by the seller, by invoice"


def _ether(wei: int) -> str:
    whole, fraction = divmod(wei, 10**18)
    return f"{whole}.{fraction:018d}"[: len(str(whole)) + 7]


def _sol(lamports: int) -> str:
    whole, fraction = divmod(lamports, 10**9)
    return f"{whole}.{fraction:09d}"[: len(str(whole)) + 7]
