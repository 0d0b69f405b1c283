"""`haima pay`"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import click

from life.aios.errors import InvalidInputError, LifeError, UnavailableError
from life.aios.money import format_micro
from life.anima.custody.process_hardening import harden_process
from life.cli.haima_key import KeyCommand, key_option, take_key, take_solana_key
from life.cli.identity_opening import ask_passphrase
from life.cli.run import report
from life.haima.approvals import Ticket
from life.haima.errors import AlreadyPaidError, OutcomeUnknownError, PaymentRefusedError, PolicyDeniedError
from life.haima.events import PayeeAlarm
from life.haima.facilitator.port import encode_settlement
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DEFAULT_NAME
from life.host.facilitator_settings import is_solana_name
from life.host.haima_client import MAX_PAYMENT_ATOMIC, Outcome, Wanted, buy, open_payer
from life.host.haima_purchases import Purchases
from life.host.settings import load_settings

_INTERRUPTED: Final = 130


class PayCommand(KeyCommand):
    """`haima pay` says in JSON what went wrong even when it was called wrongly."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            click.echo(_json(None, None, ("life.invalid_input", error.format_message())))
            raise


@click.command(cls=PayCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.option("--network", help="Network to pay on: CAIP-2, like eip155:84532, or its alias.  [default: local]")
@click.option(
    "--state",
    "--data-dir",
    "state",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_NAME),
    envvar="LIFE_DATA_DIR",
    show_default=True,
    help="Directory of the journal. Commands with the same directory share their books and caps.",
)
@click.option(
    "--max",
    "max_atomic",
    type=click.IntRange(0),
    default=MAX_PAYMENT_ATOMIC,
    show_default=True,
    help="The most that may be paid, in atomic units (1000000 are 1 USDC). Above it the payment is declined.",
)
@click.option(
    "--total-cap",
    "total_cap_atomic",
    type=click.IntRange(0),
    help="The most that this wallet may ever pay from this directory, in atomic units. It is kept there and binds "
    "every later command, until another cap is given.",
)
@click.option("--rpc", "rpc_url", metavar="URL", help="Node of the network; payments in doubt are looked up there.")
@click.option("--method", help="HTTP method.  [default: GET, with --data POST]")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Request header; may be repeated.")
@click.option("--data", help="Request body; @FILE reads it from a file.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File for the answer's body, instead of stdout."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option(
    "--again", is_flag=True, help="Buy anew, even if an earlier command's purchase of the same thing is unclear."
)
@click.option(
    "--ask-above",
    "ask_above_atomic",
    type=click.IntRange(0),
    help="Above this amount, in atomic units, a person has to approve (haima approvals). Up to --max all the same.",
)
@click.option(
    "--ask-if-changed", is_flag=True, help="Let a person approve when a known seller changed its address or its price."
)
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(0, 86_400),
    default=0,
    show_default=True,
    help="Seconds to wait for a person's decision. The question stays in the queue after that.",
)
@click.option("--allow-plain-http", is_flag=True, help="Let payments travel over plain HTTP to other machines.")
def pay(
    url: str,
    network: str | None,
    state: Path,
    key: str | None,
    max_atomic: int,
    total_cap_atomic: int | None,
    rpc_url: str | None,
    method: str | None,
    headers: tuple[str, ...],
    data: str | None,
    output: Path | None,
    timeout_s: float,
    again: bool,
    ask_above_atomic: int | None,
    ask_if_changed: bool,
    wait_s: int,
    allow_plain_http: bool,
) -> None:
    """Fetch a URL and pay for it when it asks (HTTP 402).

    Running this is your approval: a price up to --max is paid, a higher one is declined. The wallet is the one of
    HAIMA_PRIVATE_KEY, or else of the project's own identity. On Solana (--network solana) it is that of HAIMA_SOLANA_KEY, and
    --rpc is needed.

    The answer's body comes first. The last line of stdout is JSON: {"status": 200, "settlement": {…}}, with null for a
    status that never came and for a settlement when nothing was paid; after a failure it also has "error". The exit code
    is 0 for a 2xx answer only.

    The same command, repeated after a crash or a lost answer, finishes the payment that was begun and does not pay twice.
    """
    told: list[Outcome] = []
    try:
        harden_process()
        named = network or load_settings(None, os.environ).payments.network
        wallet_key = _take_key(key, named)
        wanted = _wanted(url, method, headers, data)
        with ExitStack() as stack:
            body: _Body = _FileBody(output) if output is not None else _StdoutBody()
            stack.callback(body.close)

            async def paying() -> Outcome:
                async with open_payer(
                    state,
                    network=named,
                    key=wallet_key,
                    max_payment_atomic=max_atomic,
                    total_cap_atomic=total_cap_atomic,
                    rpc_url=rpc_url,
                    allow_insecure_http=allow_plain_http,
                    ask_above_atomic=ask_above_atomic,
                    on_payee_change="ask" if ask_if_changed else "alarm",
                    on_question=lambda ticket: _tell_question(ticket, state),
                    on_alarm=_tell_alarm,
                    prompt=ask_passphrase,
                ) as payer:
                    return await buy(
                        payer,
                        wanted,
                        purchases=Purchases(state / "purchases", SystemClock(), SystemEntropy()),
                        body=body.write,
                        tell=lambda outcome: told.append(_tell(outcome, body)),
                        anew=again,
                        timeout_s=timeout_s,
                        approval_wait_s=wait_s,
                    )

            outcome = asyncio.run(paying())
    except LifeError as error:
        if told:  # the answer is out; what failed is the last note of it, and a repetition would find that out
            click.echo("Warning: the answer came, but the books could not be closed.", err=True)
            report(error)
            sys.exit(0 if told[0].error is None else 1)
        _explain(error)
        click.echo(_json(None, None, (error.code, error.message)))
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nobody reads: say nothing more, also at the exit
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo(_json(None, None, ("interrupted", "The command was interrupted.")))
        sys.exit(_INTERRUPTED)
    sys.exit(0 if outcome.error is None else 1)


pay.params.insert(2, key_option("Private key of the wallet that pays, 0x and 64 hex digits."))


def _take_key(given: str | None, network: str) -> str | None:
    """The key for this network. Both variables leave the environment, whichever is used."""
    solana_key = take_solana_key()
    if not is_solana_name(network):
        return take_key(given)
    take_key(None)
    if given is not None:
        raise InvalidInputError(
            "A key for Solana is not taken from the command line.", next_step="Export HAIMA_SOLANA_KEY instead."
        )
    return solana_key


def _tell(outcome: Outcome, body: _Body) -> Outcome:
    """The words for people on stderr, then the line for programs on stdout."""
    body.finish(is_complete=outcome.is_complete)
    error = outcome.error
    receipt = outcome.receipt
    if outcome.is_repeated:
        click.echo("Took up the purchase of an earlier command.", err=True)
    if receipt is not None and receipt.state == "settled":
        reserved = receipt.payment.reserved
        price = format_micro(reserved.amount_micro)
        click.echo(f"Paid {price} on {reserved.network} to {reserved.payee}: {receipt.transaction}", err=True)
    elif receipt is not None and receipt.state == "unconfirmed":
        click.echo(
            "Warning: the seller answered without saying whether the payment was settled. It counts as spent.", err=True
        )
    if error is not None:
        _explain(error)
    settlement = None if outcome.settlement is None else json.loads(encode_settlement(outcome.settlement))
    line = _json(outcome.status, settlement, None if error is None else (error.code, error.message))
    click.echo(line)
    sys.stdout.flush()
    return outcome


def _tell_question(ticket: Ticket, state: Path) -> None:
    """A person has to decide: say how, before the waiting begins."""
    click.echo(f"Waits for approval: {ticket.request.reason}", err=True)
    click.echo(f"  → haima approvals approve {ticket.ticket_id} --state {state}", err=True)


def _tell_alarm(alarm: PayeeAlarm) -> None:
    """A known seller changed."""
    click.echo(f"Warning: {alarm.reason} Before: {alarm.expected}.", err=True)


def _explain(error: LifeError) -> None:
    """The error, with the next step that fits this command."""
    if isinstance(error, PolicyDeniedError) and error.verdict in ("hard_cap", "total_cap"):
        option = "--max" if error.verdict == "hard_cap" else "--total-cap"
        error.next_step = f"Allow more with {option}, if the price is right."
    elif isinstance(error, AlreadyPaidError):
        error.next_step = "Ask the seller, who was paid; --again pays another time for a new answer."
    elif isinstance(error, OutcomeUnknownError):
        error.next_step = (
            "Repeat the same command: it sends the identical payment, which can't be charged twice. "
            "With --rpc the chain is asked, too; --again pays another time."
        )
    elif isinstance(error, PaymentRefusedError):
        error.next_step = (
            "Repeat the command when the reason is gone: the same payment is sent. --again makes a new one."
        )
    report(error)


def _json(status: int | None, settlement: object, error: tuple[str, str] | None) -> str:
    line: dict[str, object] = {"status": status, "settlement": settlement}
    if error is not None:
        line["error"] = {"code": error[0], "message": error[1]}
    return json.dumps(line, ensure_ascii=False)


def _wanted(url: str, method: str | None, headers: tuple[str, ...], data: str | None) -> Wanted:
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise InvalidInputError("A header must look like 'Accept: application/json'.")
        pairs.append((name.strip(), value.strip()))
    body = b"" if data is None else _read_data(data)
    verb = (method or ("GET" if data is None else "POST")).upper()
    if not verb.isascii() or not verb.isalpha():
        raise InvalidInputError("The method must be a word like GET or POST.")
    return Wanted(verb, url, tuple(pairs), body)


def _read_data(data: str) -> bytes:
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"The file {data[1:]} can't be read: {error.strerror}.") from None


class _Body(ABC):
    """Where the answer's body goes."""

    @abstractmethod
    def write(self, part: bytes) -> None:
        """The next piece."""
        ...

    @abstractmethod
    def finish(self, *, is_complete: bool) -> None:
        """No more comes."""
        ...

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Whatever happened, it is over."""


class _StdoutBody(_Body):
    """Standard output; the line of JSON gets a line of its own."""

    def __init__(self) -> None:
        self._last = b"\n"

    def write(self, part: bytes) -> None:
        if part:
            sys.stdout.buffer.write(part)
            self._last = part[-1:]

    def finish(self, *, is_complete: bool) -> None:
        if self._last != b"\n":
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()


class _FileBody(_Body):
    """A file, replaced when the answer has come to its end. It is opened before anything is paid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._file = self._part.open("xb")
        except OSError as error:
            raise InvalidInputError(f"{path} can't be written: {error.strerror}.") from None

    def write(self, part: bytes) -> None:
        try:
            self._file.write(part)
        except OSError as error:
            raise self._unwritable(error) from None

    def finish(self, *, is_complete: bool) -> None:
        if not is_complete:
            return
        try:
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UnavailableError:
        return UnavailableError(
            f"The answer can't be written to {self._path}: {error.strerror}.",
            next_step="Repeat the command when there is room: what was paid is not paid again.",
        )
