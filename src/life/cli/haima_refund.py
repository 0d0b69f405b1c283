"""`haima refund`"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.anima.custody.process_hardening import harden_process
from life.cli.haima_key import VARIABLE, KeyCommand, key_option, take_key
from life.cli.run import command_errors, run
from life.haima.x402.refunds import Refund
from life.host.haima_refunds import open_refunds


@click.command(cls=KeyCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("payment_id")
@click.option("--facilitator", required=True, metavar="URL", help="Facilitator that settles the refund.")
@click.option(
    "--shop",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The shop's directory, with its journal. The shop may be running.",
)
@click.option(
    "--amount",
    "amount_atomic",
    type=click.IntRange(1),
    help="How much, in atomic units.  [default: everything that is left of the charge]",
)
@click.option("--id", "refund_key", default="refund", show_default=True, help="Names this refund of the charge.")
@click.option("--reason", default="", help="Why, for the books.")
@click.option("--allow-plain-http", is_flag=True, help="Speak plain HTTP with a facilitator on another machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@command_errors
def refund(
    payment_id: str,
    facilitator: str,
    directory: Path,
    amount_atomic: int | None,
    refund_key: str,
    reason: str,
    allow_plain_http: bool,
    as_json: bool,
    key: str | None,
) -> None:
    """Give the money of a settled charge back to its payer, whole or in part.

    All refunds of a charge together never exceed what came in. The same charge and --id are the same refund, for ever:
    repeating the command goes on from where it stands and never pays twice. Exit code 75 when the outcome is not known yet:
    repeat it.
    """
    harden_process()
    taken = take_key(key)
    if taken is None:
        raise InvalidInputError(
            "A refund needs the key of the wallet that pays it.", next_step=f"Export {VARIABLE} (0x and 64 hex digits)."
        )
    done = run(
        _refund(
            payment_id,
            facilitator,
            directory,
            taken,
            amount_atomic,
            refund_key,
            reason,
            allow_plain_http=allow_plain_http,
        )
    )
    if as_json:
        click.echo(json.dumps(_document(done), indent=2))
    else:
        told = f" ({done.reason})" if done.reason else ""
        click.echo(f"{done.state}{told}: {done.amount_atomic} atomic units to {done.intent.payer_address}")
        if done.transaction:
            click.echo(f"transaction {done.transaction}")
    if done.state != "settled":
        sys.exit(75 if done.is_open else 1)


refund.params.insert(1, key_option("Private key of the seller's wallet, 0x and 64 hex digits."))


async def _refund(
    payment_id: str,
    facilitator: str,
    directory: Path,
    key: str,
    amount_atomic: int | None,
    refund_key: str,
    reason: str,
    *,
    allow_plain_http: bool,
) -> Refund:
    async with open_refunds(directory, key=key, facilitator=facilitator, allow_plain_http=allow_plain_http) as refunds:
        return await refunds.refund(payment_id, key=refund_key, amount_atomic=amount_atomic, reason=reason)


def _document(done: Refund) -> dict[str, object]:
    return {
        "refund_id": done.refund_id,
        "payment_id": done.intent.payment_id,
        "state": done.state,
        "reason": done.reason,
        "amount_atomic": done.intent.amount_atomic,
        "payer": done.intent.payer_address,
        "network": done.intent.network,
        "asset": done.intent.asset,
        "transaction": done.transaction,
    }
