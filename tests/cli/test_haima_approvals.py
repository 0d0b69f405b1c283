"""`haima approvals` and `haima wallet` over a directory that a payer used."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import httpx2
import pytest
import uvicorn
from click.testing import CliRunner, Result

from life.cli import haima_approvals, haima_wallet
from life.cli.haima_pay import pay
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError
from life.haima.x402.transport import AsyncPayingTransport
from life.host.haima_approvals import open_desk
from life.host.haima_client import open_payer
from tests.haima.payee import Payee

KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
URL = "http://localhost/paid"


def invoke(command: object, *arguments: str | Path) -> Result:
    """One command."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def ask(root: Path, payee: Payee, path: str = "/paid") -> str:
    """A payment that waits; its ticket."""

    async def asking() -> str:
        async with open_payer(root, key=KEY, network="local", ask_above_atomic=10) as payer:
            transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                with pytest.raises(PolicyDeniedError) as denied:
                    await client.get(path)
        assert denied.value.ticket_id is not None
        return denied.value.ticket_id

    return asyncio.run(asking())


def test_list_show_approve_deny(tmp_path: Path) -> None:
    """A table for people, one JSON object a line for programs; a decision is told and kept; a second thought is an error."""
    payee = Payee()
    first, second = ask(tmp_path, payee), ask(tmp_path, payee, "/paid?2")
    table = invoke(haima_approvals.list_, "--state", tmp_path).output
    assert first in table and second in table and "0.00005 USDC" in table and URL in table
    lines = invoke(haima_approvals.list_, "--state", tmp_path, "--json").output.splitlines()
    assert [json.loads(line)["ticket_id"] for line in lines] == [first, second]
    page = invoke(haima_approvals.list_, "--state", tmp_path, "--json", "--limit", "1")
    assert f"--after {first}" in page.stderr
    rest = invoke(haima_approvals.list_, "--state", tmp_path, "--json", "--after", first).output
    assert json.loads(rest)["ticket_id"] == second
    shown = invoke(haima_approvals.show, first, "--state", tmp_path).output
    assert ADDRESS in shown and "pending" in shown
    approved = invoke(haima_approvals.approve, first, "--state", tmp_path, "--by", "ada", "--reason", "fine")
    assert approved.exit_code == 0 and approved.output.startswith("Approved: 0.00005 USDC")
    denied = invoke(haima_approvals.deny, second, "--state", tmp_path, "--json")
    assert json.loads(denied.output)["state"] == "refused"
    twice = invoke(haima_approvals.deny, first, "--state", tmp_path)
    assert twice.exit_code == 1 and "haima.approval_decided" in twice.stderr
    decided = json.loads(invoke(haima_approvals.show, first, "--state", tmp_path, "--json").output)
    assert (decided["decided_by"], decided["decision_reason"]) == ("ada", "fine")
    assert invoke(haima_approvals.list_, "--state", tmp_path).output == "Nothing waits.\n"


def test_nothing_there(tmp_path: Path) -> None:
    """A directory without a journal, and a ticket that is none: one sentence and a code, no traceback."""
    for command, *arguments in (
        (haima_approvals.list_,),
        (haima_approvals.show, "x"),
        (haima_wallet.books,),
        (haima_wallet.cap, "$1"),
    ):
        got = invoke(command, *arguments, "--state", tmp_path)
        assert got.exit_code == 1 and "[life.not_found]" in got.stderr, got.output
    ask(tmp_path, Payee())
    assert "[life.not_found]" in invoke(haima_approvals.approve, "x", "--state", tmp_path).stderr


def test_a_command_waits_for_its_approval(tmp_path: Path) -> None:
    """`haima pay --ask-above --wait` says what to type, waits, and pays when somebody typed it."""
    payee = Payee(now_s=None)
    server = uvicorn.Server(uvicorn.Config(payee, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.005)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/paid"
    got: list[Result] = []

    def buy() -> None:
        arguments = ["--network", "local", "--ask-above", "10", "--wait", "20", "--key", KEY]
        got.append(invoke(pay, url, "--state", tmp_path, *arguments))

    try:
        buyer = threading.Thread(target=buy)
        buyer.start()
        ticket = asyncio.run(_approve_what_waits(tmp_path))
        buyer.join(20)
    finally:
        server.should_exit = True
        thread.join()
    assert got[0].exit_code == 0, got[0].output
    assert f"haima approvals approve {ticket}" in got[0].stderr
    assert json.loads(got[0].stdout.splitlines()[-1])["settlement"]["success"] is True
    assert payee.charged == 50


async def _approve_what_waits(root: Path) -> str:
    """In another process this would be `haima approvals approve`; click's runner can't run two commands at once."""
    while not (root / "journal.db").exists():
        await asyncio.sleep(0.01)
    async with open_desk(root) as desk:
        while not (found := (await desk.page()).tickets):
            await asyncio.sleep(0.01)
        await desk.decide(found[0].ticket_id, approved=True, by="ada")
        return found[0].ticket_id


def test_a_wallets_cap_and_a_payment_in_doubt(tmp_path: Path) -> None:
    """The cap binds at once and can be lifted; a payment in doubt is shown and resolved; what can still be settled is not
    given back."""
    payee = Payee(now_s=None)

    async def buy(fault: str | None) -> str:
        async with open_payer(tmp_path, key=KEY, network="local") as payer:
            transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
            async with httpx2.AsyncClient(transport=transport) as client:
                payee.faults = [fault] if fault is not None else []  # type: ignore[list-item]
                try:
                    return str((await client.get(URL)).status_code)
                except OutcomeUnknownError as error:
                    return str(error.details["payment_id"])
                except PolicyDeniedError as error:
                    return error.verdict

    assert asyncio.run(buy(None)) == "200"
    assert invoke(haima_wallet.cap, "$0.0001", "--state", tmp_path).exit_code == 0
    doubtful = asyncio.run(buy("http_500"))
    books = invoke(haima_wallet.books, "--state", tmp_path).output
    assert doubtful in books and "ambiguous" in books and "0.0001 USDC" in books
    wallet = json.loads(invoke(haima_wallet.books, "--state", tmp_path, "--json").output)
    assert (wallet["settled_micro"], wallet["outstanding_micro"], wallet["total_cap_micro"]) == (50, 50, 100)
    early = invoke(haima_wallet.resolve, doubtful, "--not-charged", "--state", tmp_path)
    assert early.exit_code == 1 and "[life.conflict]" in early.stderr
    assert "life.invalid_input" in invoke(haima_wallet.resolve, doubtful, "--state", tmp_path).stderr
    done = invoke(haima_wallet.resolve, doubtful, "--charged", "--state", tmp_path, "--json")
    assert json.loads(done.output) == {"payment_id": doubtful, "state": "settled"}
    assert asyncio.run(buy(None)) == "total_cap"
    lifted = invoke(haima_wallet.cap, "none", "--state", tmp_path, "--json").output
    assert json.loads(lifted)["total_cap_micro"] is None
    assert asyncio.run(buy(None)) == "200"
    assert "[life.invalid_input]" in invoke(haima_wallet.cap, "lots", "--state", tmp_path).stderr
    nowhere = invoke(haima_wallet.cap, "1", "--network", "base", "--state", tmp_path)
    assert "[life.not_found]" in nowhere.stderr
