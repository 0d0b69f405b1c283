"""`haima serve`"""

from __future__ import annotations

from pathlib import Path

import click

from life.aios.money import format_micro
from life.cli.run import command_errors
from life.host.data_directory import DEFAULT_NAME
from life.host.haima_directory import default_directory
from life.host.haima_seller import ShopStarted, ShopTerms, run_shop
from life.host.http.server import run_async


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4021,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--facilitator",
    required=True,
    metavar="URL|NAME",
    help="Who verifies and settles: an address, coinbase-cdp, or stripe. Their keys come from the environment.",
)
@click.option("--pay-to", metavar="ADDRESS", help="Who gets the money; not with stripe, which names an address itself.")
@click.option(
    "--settle-with",
    metavar="URL|NAME",
    help="Who moves the money to Stripe's addresses.  [default: coinbase-cdp]",
)
@click.option("--simulate-deposits", is_flag=True, help="Tell Stripe's sandbox of each payment; it watches no chain.")
@click.option(
    "--realm",
    metavar="HOST",
    help="Also ask over the Machine Payments Protocol, under this host name.",
)
@click.option("--network", default="local", show_default=True, help="Network to be paid on: CAIP-2 or its alias.")
@click.option("--asset", metavar="ADDRESS", help="Token to be paid in.  [default: the network's known token]")
@click.option(
    "--price",
    "price_atomic",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Price of /paid and /fail, in atomic units (1000000 are 1 USDC).",
)
@click.option("--token-name", help="Name in the EIP-712 domain of a token that is not known here.")
@click.option("--token-version", help="Its version.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Where the journal is kept.  [default: {DEFAULT_NAME}/shop-PORT]",
)
@click.option("--base-url", metavar="URL", help="Public address that offers name.  [default: what the request says]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@click.option("--allow-plain-http", is_flag=True, help="Speak plain HTTP with a facilitator on another machine.")
@click.option("--accept-v1", is_flag=True, help="Also serve clients of x402 version 1.")
@command_errors
def serve(
    port: int,
    facilitator: str,
    pay_to: str | None,
    settle_with: str | None,
    simulate_deposits: bool,
    realm: str | None,
    network: str,
    asset: str | None,
    price_atomic: int,
    token_name: str | None,
    token_version: str | None,
    data_dir: Path | None,
    base_url: str | None,
    host: str,
    proxy_hosts: tuple[str, ...],
    allow_plain_http: bool,
    accept_v1: bool,
) -> None:
    """Serve a small shop that charges over x402.

    /paid costs the price, /free costs nothing, /fail costs the price and always fails (so it is never charged), and /hits
    tells how often each of them has run. The shop is public: it asks for no token, only for money. Sales are kept in a
    journal, so a payment that comes again gets its first answer, also after a crash.
    """
    terms = ShopTerms(
        facilitator,
        pay_to,
        network,
        asset,
        price_atomic,
        token_name,
        token_version,
        base_url,
        allow_plain_http,
        accept_v1,
        realm,
        settle_with,
        simulate_deposits,
    )
    run_async(
        lambda: run_shop(
            terms,
            directory=lambda bound: data_dir or default_directory(Path(DEFAULT_NAME), "shop", bound),
            host=host,
            port=port,
            proxy_hosts=proxy_hosts,
            on_ready=lambda started: _tell(started, terms),
        )
    )


def _tell(started: ShopStarted, terms: ShopTerms) -> None:
    price = started.price
    dollars = "" if price.amount_micro is None else f" ({format_micro(price.amount_micro)})"
    click.echo(f"haima serve listens on {started.address}")
    click.echo(f"  /paid      {price.amount_atomic} atomic units{dollars}    /fail the same; /free and /hits nothing")
    click.echo(f"  paid to    {started.pay_to or 'deposit addresses'} on {price.network}, token {price.asset}")
    click.echo(f"  settled by {terms.facilitator}{'' if started.facilitator_answers else '  (does not answer yet)'}")
    click.echo(f"  journal    {started.directory}")
    if started.left_open:
        click.echo(f"  open       {started.left_open} sale(s) of an earlier run wait for the facilitator")
    click.echo("Ctrl-C stops it.")
    if not started.facilitator_answers:
        click.echo(
            f"Warning: the facilitator {terms.facilitator} does not answer; paid requests get 503 until it does.",
            err=True,
        )
