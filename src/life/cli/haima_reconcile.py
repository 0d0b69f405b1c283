"""`haima reconcile`"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.aios.money import format_micro
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.haima.chain.json_rpc import JsonRpc
from life.haima.x402.networks import LOCAL
from life.host.haima_reconciliation import Reconciled, network_of, reconcile


@click.command("reconcile", context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "--rpc",
    "rpc_urls",
    metavar="URL",
    multiple=True,
    help="Node of a network that the wallets use; may be repeated. The local network needs none.",
)
@click.option("--no-adjust", is_flag=True, help="Report differences, and leave the books as they are.")
@click.option(
    "--watch", "every_s", type=click.IntRange(1), metavar="SECONDS", help="Look again and again, until interrupted."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a look, for programs.")
@command_errors
def reconcile_(data_dir: Path, rpc_urls: tuple[str, ...], no_adjust: bool, every_s: int | None, as_json: bool) -> None:
    """Compare the books with the chain, and settle what was in doubt.

    Open payments are looked up: a used authorization is settled, by the transaction that the logs name; an unused one whose
    time is over is given back. Wallets are compared with the books; when nothing of a wallet is under way, the books take
    the difference over. The exit code is 0 when everything agrees, 3 when something is open or could not be asked.
    """
    agrees = run(_run(data_dir, rpc_urls, adjust=not no_adjust, every_s=every_s, as_json=as_json))
    sys.exit(0 if agrees else 3)


async def _run(data_dir: Path, rpc_urls: tuple[str, ...], *, adjust: bool, every_s: int | None, as_json: bool) -> bool:
    async with AsyncExitStack() as stack:
        nodes: dict[str, JsonRpc] = {}
        for url in rpc_urls:
            rpc = JsonRpc(url)
            stack.push_async_callback(rpc.aclose)
            network = await network_of(rpc)
            if network in nodes:
                raise InvalidInputError(f"Two nodes serve {network}; name one.")
            nodes[network] = rpc
        while True:
            done = await reconcile(data_dir, nodes, adjust=adjust)
            click.echo(json.dumps(_document(done))) if as_json else _tell(done)
            if every_s is None:
                return done.agrees
            sys.stdout.flush()
            await asyncio.sleep(every_s)


def _document(done: Reconciled) -> dict[str, object]:
    return {
        "agrees": done.agrees,
        "payments": [payment._asdict() for payment in done.payments],
        "wallets": [{**wallet._asdict(), "drift_micro": wallet.drift_micro} for wallet in done.wallets],
    }


def _tell(done: Reconciled) -> None:
    if done.payments:
        print_table(
            ("Payment", "To", "Amount", "Now", "Transaction"),
            [
                (
                    payment.payment_id,
                    payment.payee,
                    format_micro(payment.amount_micro),
                    payment.state,
                    payment.transaction or "-",
                )
                for payment in done.payments
            ],
            right=(2,),
        )
        click.echo()
    if not done.wallets:
        click.echo("No wallet is in the books: nothing was paid or earned here.")
        return
    rows = []
    for wallet in done.wallets:
        on_chain = "not asked" if wallet.on_chain_micro is None else format_micro(wallet.on_chain_micro)
        rows.append(
            (
                wallet.address,
                "local" if wallet.network == LOCAL else wallet.network,
                on_chain,
                format_micro(wallet.internal_micro),
                "-" if wallet.drift_micro is None else format_micro(wallet.drift_micro),
                "taken over" if wallet.adjusted else _word(wallet.drift_micro, wallet.reserved_micro),
            )
        )
    print_table(("Wallet", "Network", "On chain", "In the books", "Difference", ""), rows, right=(2, 3, 4))
    silent = {wallet.network for wallet in done.wallets if wallet.on_chain_micro is None}
    if silent - {LOCAL}:
        click.echo("\nName a node of the networks that could not be asked with --rpc.")
    if LOCAL in silent:
        click.echo("\nThis play money is kept in another journal, its facilitator's; only that one knows.")


def _word(drift_micro: int | None, reserved_micro: int) -> str:
    if drift_micro is None:
        return "unknown"
    if drift_micro == 0:
        return "agrees"
    return "payments are under way" if reserved_micro else "differs"
