"""`haima wallet`: what a payer's books say, its lifetime cap, and an operator's word on payments in doubt."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.aios.money import format_micro, parse_price_atomic
from life.anima.custody.process_hardening import harden_process
from life.cli.haima_approvals import json_option, state_option
from life.cli.haima_key import KeyCommand, key_option, take_key
from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, run
from life.cli.tables import print_table
from life.haima.purse import Purse
from life.haima.reservations import Payment
from life.haima.x402.networks import BUILT_IN
from life.host.clock import SystemClock
from life.host.haima_approvals import WalletView, choose_purse, open_purses, resolve_payment, view
from life.host.haima_client import open_payer
from life.host.settings import load_settings

_HELP = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=_HELP)
@state_option
@json_option
@command_errors
def books(directory: Path, as_json: bool) -> None:
    """Show what every wallet of a directory has paid and promised, and what is in doubt."""

    async def read() -> list[WalletView]:
        async with open_purses(directory) as purses:
            return [view(purse) for purse in purses]

    wallets = run(read())
    if as_json:
        for wallet in wallets:
            click.echo(json.dumps(_wallet(wallet)))
        return
    if not wallets:
        click.echo("No wallet has paid anything here.")
        return
    print_table(
        ("WALLET", "NETWORK", "PAID", "PROMISED", "CAP"),
        [
            (
                wallet.address,
                wallet.network,
                format_micro(wallet.settled_micro),
                format_micro(wallet.outstanding_micro),
                "-" if wallet.total_cap_micro is None else format_micro(wallet.total_cap_micro),
            )
            for wallet in wallets
        ],
        right=(2, 3, 4),
    )
    doubtful = [payment for wallet in wallets for payment in wallet.open_payments]
    if doubtful:
        click.echo()
        print_table(
            ("PAYMENT", "STATE", "AMOUNT", "SELLER", "CAN BE SETTLED"),
            [_doubt(payment) for payment in doubtful],
            right=(2,),
        )


@click.command(context_settings=_HELP)
@click.argument("amount", metavar="AMOUNT|none")
@click.option("--network", help="Network of the wallet: CAIP-2 or alias, where the directory has several.")
@click.option("--wallet", "address", help="Address of the wallet, where the directory has several.")
@state_option
@json_option
@command_errors
def cap(amount: str, network: str | None, address: str | None, directory: Path, as_json: bool) -> None:
    """Set the most that a wallet may ever pay, like $5 or 0.25; `none` lifts the cap.

    The cap is kept with the wallet: it binds every process that uses this directory, at once and for ever.
    """
    cap_micro = None if amount.lower() == "none" else _read_amount(amount)
    known = BUILT_IN.network(network) if network is not None else None

    async def write() -> WalletView:
        async with open_purses(directory) as purses:
            purse: Purse = choose_purse(purses, network=known.caip2 if known is not None else network, address=address)
            await purse.set_total_cap(cap_micro)
            return view(purse)

    wallet = run(write())
    if as_json:
        click.echo(json.dumps(_wallet(wallet)))
    elif cap_micro is None:
        click.echo(f"{wallet.address} on {wallet.network} has no lifetime cap any more.")
    else:
        counted = format_micro(wallet.settled_micro + wallet.outstanding_micro)
        click.echo(
            f"{wallet.address} on {wallet.network} may pay {format_micro(cap_micro)} in all; {counted} of it are gone."
        )


@click.command(context_settings=_HELP)
@click.argument("payment_id", metavar="PAYMENT")
@click.option(
    "--charged/--not-charged", "charged", default=None, help="What became of it, as the seller or the chain says."
)
@state_option
@json_option
@command_errors
def resolve(payment_id: str, charged: bool | None, directory: Path, as_json: bool) -> None:
    """Say what became of a payment whose outcome nobody could tell.

    One that was not charged is given back only when its time is over: until then its seller can still settle it.
    """
    if charged is None:
        raise InvalidInputError("Say what became of it: --charged or --not-charged.")

    async def write() -> Payment:
        async with open_purses(directory) as purses:
            return await resolve_payment(purses, payment_id, charged=charged)

    payment = run(write())
    if as_json:
        click.echo(json.dumps({"payment_id": payment.payment_id, "state": payment.state}))
    else:
        click.echo(f"Payment {payment.payment_id} of {format_micro(payment.reserved.amount_micro)} is {payment.state}.")


@click.command(cls=KeyCommand, context_settings=_HELP)
@click.argument("payment_id", metavar="PAYMENT")
@click.option("--rpc", "rpc_url", metavar="URL", required=True, help="Node of the network.")
@click.option("--network", help="Network of the wallet: CAIP-2 or alias.  [default: local]")
@state_option
@json_option
@command_errors
def cancel(payment_id: str, rpc_url: str, network: str | None, key: str | None, directory: Path, as_json: bool) -> None:
    """Burn a signed payment on the chain before its seller uses it.

    The wallet is that of HAIMA_PRIVATE_KEY, or else the project's identity; HAIMA_GAS_KEY names the account that pays the gas
    (by default the wallet itself, when its key is given). When the seller was quicker, the payment is booked instead.
    """
    harden_process()
    wallet_key = take_key(key)
    gas_key = os.environ.pop("HAIMA_GAS_KEY", None) or wallet_key
    if not gas_key:
        raise InvalidInputError("Somebody has to pay the gas.", next_step="Name an account in HAIMA_GAS_KEY.")

    async def burn() -> Payment:
        async with open_payer(
            directory,
            network=network or load_settings(None, os.environ).payments.network,
            key=wallet_key,
            rpc_url=rpc_url,
            gas_key=gas_key,
            prompt=ask_passphrase,
        ) as payer:
            return await payer.cancel(payment_id)

    payment = run(burn())
    if as_json:
        click.echo(json.dumps({"payment_id": payment.payment_id, "state": payment.state}))
    elif payment.state == "released":
        click.echo(f"Cancelled: {format_micro(payment.reserved.amount_micro)} can't be taken any more.")
    else:
        click.echo(f"The seller was quicker: {format_micro(payment.reserved.amount_micro)} are {payment.state}.")


cancel.params.insert(1, key_option("Private key of the wallet, 0x and 64 hex digits."))


def _read_amount(text: str) -> int:
    return 0 if text.strip().lstrip("$") == "0" else parse_price_atomic(text, 6, what="cap")


def _wallet(wallet: WalletView) -> dict[str, object]:
    return {
        "address": wallet.address,
        "network": wallet.network,
        "settled_micro": wallet.settled_micro,
        "outstanding_micro": wallet.outstanding_micro,
        "total_cap_micro": wallet.total_cap_micro,
        "open_payments": [
            {
                "payment_id": payment.payment_id,
                "state": payment.state,
                "amount_micro": payment.reserved.amount_micro,
                "resource_url": payment.reserved.resource_url,
                "payee": payment.reserved.payee,
                "valid_before_s": payment.reserved.valid_before_s,
            }
            for payment in wallet.open_payments
        ],
    }


def _doubt(payment: Payment) -> tuple[str, ...]:
    is_over = payment.expired(SystemClock().now_us())
    reserved = payment.reserved
    return (
        payment.payment_id,
        payment.state,
        format_micro(reserved.amount_micro),
        reserved.resource_url,
        "no more" if is_over else "yes",
    )
