"""`haima pay` against `haima serve` and `haima facilitator` on the local ledger, all as real processes."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from life.aios.events import Custom
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventWriter, Stream
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from tests.cli.haima_commands import (
    BIN,
    NETWORK,
    PRICE,
    SELLER,
    Daemon,
    Line,
    Paid,
    finance_events,
    finance_events_of,
    finished,
    hits,
    in_parallel,
    ledger_balance,
    local_facilitator,
    pay,
    run,
    shop,
    start_pay,
)
from tests.harness.anvil import ACCOUNTS, DevAccount
from tests.harness.process import child_environment
from tests.peers.processes import free_port

PENNILESS = DevAccount("0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1", "0x" + "01" * 32)
FUNDED = 10_000_000_000
NO_ROOM_BYTES = 40 * 1024
"""Room for the shared-memory file of SQLite and a short log, and not for more."""


class Market(NamedTuple):
    """A facilitator with play money and a shop before it."""

    facilitator: Daemon
    shop: Daemon
    ledger: Path
    """The facilitator's directory."""

    def balance(self, account: DevAccount) -> int:
        """Play money of an account."""
        return ledger_balance(self.ledger, account.address)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One market for the module; every test pays from an account of its own."""
    folder = tmp_path_factory.mktemp("market")
    with local_facilitator(folder / "ledger") as facilitator:
        with shop(folder / "shop", facilitator.url) as selling:
            yield Market(facilitator, selling, folder / "ledger")


def test_a_paid_route_is_paid_once_and_its_answer_printed(market: Market, tmp_path: Path) -> None:
    """Body first, then one line of JSON with exactly status and settlement; exit code 0; the price moved, once."""
    payer, before = ACCOUNTS[3], hits(market.shop)["paid"]
    assert isinstance(before, int)
    paid = pay(market.shop.url + "/paid", payer, tmp_path / "w")
    assert paid.code == 0, paid
    assert paid.stdout.splitlines()[0] == f'{{"route":"paid","method":"GET","runs":{before + 1}}}'
    assert len(paid.stdout.splitlines()) == 2
    assert paid.line == {
        "status": 200,
        "settlement": {
            "success": True,
            "transaction": paid.transaction,
            "network": NETWORK,
            "payer": payer.address,
        },
    }
    assert paid.transaction.startswith("local:")
    assert hits(market.shop)["paid"] == before + 1
    assert market.balance(payer) == FUNDED - PRICE
    assert "Paid 0.01 USDC" in paid.stderr
    assert not list((tmp_path / "w" / "purchases").iterdir())


def test_the_next_command_is_a_new_purchase(market: Market, tmp_path: Path) -> None:
    """What was delivered is over: the same command buys again."""
    payer = ACCOUNTS[4]
    first, second = (pay(market.shop.url + "/paid", payer, tmp_path / "w") for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert first.transaction != second.transaction
    assert market.balance(payer) == FUNDED - 2 * PRICE


def test_a_free_route_costs_nothing(market: Market, tmp_path: Path) -> None:
    """Status 200, no settlement, no event of a payment."""
    free = pay(market.shop.url + "/free", ACCOUNTS[5], tmp_path / "w")
    assert (free.code, free.line) == (0, {"status": 200, "settlement": None})
    assert finance_events(tmp_path / "w") == []


def test_method_header_and_body_reach_the_shop(market: Market, tmp_path: Path) -> None:
    """--data posts, also a paid request; --output takes the body, and stdout has the JSON only."""
    (tmp_path / "body").write_bytes(b'{"a": 1}')
    paid = pay(
        market.shop.url + "/paid",
        ACCOUNTS[5],
        tmp_path / "w",
        *("--data", f"@{tmp_path / 'body'}", "--header", "Content-Type: application/json"),
        *("--output", str(tmp_path / "answer")),
    )
    assert paid.code == 0, paid
    assert len(paid.stdout.splitlines()) == 1
    assert '"method":"POST"' in (tmp_path / "answer").read_text()


def test_a_missing_page_is_a_failure(market: Market, tmp_path: Path) -> None:
    """404: exit code 1, the status, and a code that a script can read."""
    missing = pay(market.shop.url + "/nope", ACCOUNTS[5], tmp_path / "w")
    assert missing.code == 1
    assert missing.line["status"] == 404
    assert missing.line["settlement"] is None
    assert missing.error_code == "http.404"
    assert "[http.404]" in missing.stderr


def test_a_handler_that_fails_is_never_charged(market: Market, tmp_path: Path) -> None:
    """/fail answers 500: exit code 1, nothing moves, however often it is tried."""
    payer, before = ACCOUNTS[6], market.balance(ACCOUNTS[6])
    for _ in range(2):
        failed = pay(market.shop.url + "/fail", payer, tmp_path / "w")
        assert failed.code == 1
        assert failed.line["status"] == 500
        assert failed.error_code is not None
    assert market.balance(payer) == before


def test_a_payer_without_money_is_refused(market: Market, tmp_path: Path) -> None:
    """402 again: exit code 1, haima.payment_refused with the seller's reason."""
    refused = pay(market.shop.url + "/paid", PENNILESS, tmp_path / "w")
    assert refused.code == 1
    assert refused.line["status"] == 402
    assert refused.error_code == "haima.payment_refused"
    assert "invalid_exact_evm_insufficient_balance" in refused.stderr


def test_a_price_above_max_is_declined_before_anything_is_signed(market: Market, tmp_path: Path) -> None:
    """One unit above --max is declined, exactly --max is paid."""
    payer, before = ACCOUNTS[7], market.balance(ACCOUNTS[7])
    declined = pay(market.shop.url + "/paid", payer, tmp_path / "w", "--max", str(PRICE - 1))
    assert declined.code == 1
    assert declined.line["status"] == 402
    assert declined.error_code == "haima.hard_cap"
    assert finance_events(tmp_path / "w") == ["payment_declined"]
    assert market.balance(payer) == before
    assert pay(market.shop.url + "/paid", payer, tmp_path / "w", "--max", str(PRICE)).code == 0


@pytest.mark.slow
def test_a_total_cap_holds_over_parallel_processes_and_later_ones(market: Market, tmp_path: Path) -> None:
    """Six at once, a cap for three: three are paid, three declined; the cap also binds a later command without it."""
    payer, before = ACCOUNTS[8], market.balance(ACCOUNTS[8])
    url, cap = market.shop.url + "/paid", ("--total-cap", str(3 * PRICE))

    def start() -> object:
        return start_pay(url, payer, tmp_path / "w", *cap)

    ended = in_parallel([start] * 6)  # type: ignore[list-item]
    assert sorted(paid.code for paid in ended) == [0, 0, 0, 1, 1, 1], ended
    assert {paid.error_code for paid in ended if paid.code} == {"haima.total_cap"}
    assert len({paid.transaction for paid in ended if not paid.code}) == 3
    assert market.balance(payer) == before - 3 * PRICE
    assert pay(url, payer, tmp_path / "w").error_code == "haima.total_cap"
    assert pay(url, payer, tmp_path / "w", "--total-cap", str(4 * PRICE)).code == 0


def test_a_lost_answer_is_paid_once(market: Market, tmp_path: Path) -> None:
    """The line is cut after the shop was paid: the command fails, repeated it gets the very answer, paid once."""
    payer, before = ACCOUNTS[9], market.balance(ACCOUNTS[9])
    runs = hits(market.shop)["paid"]
    assert isinstance(runs, int)
    with Line(market.shop.url) as line:
        line.lose_answer()
        lost = pay(line.url + "/paid", payer, tmp_path / "w")
        assert lost.code == 1
        assert lost.line["status"] is None
        assert lost.error_code == "haima.outcome_unknown"
        again = pay(line.url + "/paid", payer, tmp_path / "w")
        assert again.code == 0, again
        assert "Took up the purchase of an earlier command." in again.stderr
        assert market.balance(payer) == before - PRICE
        assert hits(market.shop)["paid"] == runs + 1
        assert pay(line.url + "/paid", payer, tmp_path / "w").transaction != again.transaction


def test_again_buys_anew(market: Market, tmp_path: Path) -> None:
    """--again leaves the unclear purchase alone and makes a new one."""
    payer, before = ACCOUNTS[2], market.balance(ACCOUNTS[2])
    with Line(market.shop.url) as line:
        line.lose_answer()
        assert pay(line.url + "/paid", payer, tmp_path / "w").code == 1
        assert pay(line.url + "/paid", payer, tmp_path / "w", "--again").code == 0
    assert market.balance(payer) == before - 2 * PRICE


def test_a_command_killed_while_it_waits_is_finished_by_the_next(market: Market, tmp_path: Path) -> None:
    """kill -9 after the shop was paid, before its answer came: the repeated command pays nothing more."""
    payer, before = ACCOUNTS[1], market.balance(ACCOUNTS[1])
    with Line(market.shop.url) as line:
        line.hold_answer()
        first = start_pay(line.url + "/paid", payer, tmp_path / "w")
        assert line.held.wait(30)
        first.kill()
        line.release()
        assert pay(line.url + "/paid", payer, tmp_path / "w").code == 0
    assert market.balance(payer) == before - PRICE


def test_a_command_beside_a_living_one_makes_its_own_purchase(market: Market, tmp_path: Path) -> None:
    """What another process is still working at is not taken from it: two commands, two payments, two answers."""
    payer, before = ACCOUNTS[1], market.balance(ACCOUNTS[1])
    with Line(market.shop.url) as line:
        line.hold_answer()
        first = start_pay(line.url + "/paid", payer, tmp_path / "w")
        assert line.held.wait(30)
        second = pay(line.url + "/paid", payer, tmp_path / "w")
        line.release()
        ended = finished(first)
    assert (ended.code, second.code) == (0, 0)
    assert ended.transaction != second.transaction
    assert market.balance(payer) == before - 2 * PRICE


def test_an_answer_that_breaks_off_is_had_by_repeating(market: Market, tmp_path: Path) -> None:
    """The paid answer stops in the middle: exit code 1 with its status and settlement; repeated, it comes whole, paid once.
    A file of --output appears only with the whole answer."""
    payer, before = ACCOUNTS[0], market.balance(ACCOUNTS[0])
    options = ("--output", str(tmp_path / "answer"))
    with Line(market.shop.url) as line:
        line.break_answer()
        broken = pay(line.url + "/paid", payer, tmp_path / "w", *options)
        assert (broken.code, broken.line["status"], broken.error_code) == (1, 200, "haima.outcome_unknown")
        assert not (tmp_path / "answer").exists()
        again = pay(line.url + "/paid", payer, tmp_path / "w", *options)
        assert again.code == 0
        assert again.transaction == broken.transaction
    assert (tmp_path / "answer").read_text().startswith('{"route":"paid"')
    assert market.balance(payer) == before - PRICE
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["answer"]


@pytest.mark.parametrize("how", ["interrupt", "timeout"])
def test_a_command_that_gives_up_can_be_repeated(market: Market, tmp_path: Path, how: str) -> None:
    """Ctrl-C (exit code 130) or --timeout while the paid answer is awaited: the JSON says so, and nothing is paid twice."""
    payer, before = ACCOUNTS[0], market.balance(ACCOUNTS[0])
    with Line(market.shop.url) as line:
        line.hold_answer()
        more = ("--timeout", "3") if how == "timeout" else ()
        waiting = start_pay(line.url + "/paid", payer, tmp_path / "w", *more)
        assert line.held.wait(30)
        if how == "interrupt":
            os.kill(waiting.pid, signal.SIGINT)
        gave_up = finished(waiting)
        line.drop()
        expected = (130, "interrupted") if how == "interrupt" else (1, "haima.outcome_unknown")
        assert (gave_up.code, gave_up.error_code) == expected, gave_up
        assert gave_up.line["status"] is None
        assert pay(line.url + "/paid", payer, tmp_path / "w").code == 0
    assert market.balance(payer) == before - PRICE


def test_a_reader_that_goes_away_is_no_traceback(market: Market, tmp_path: Path) -> None:
    """A closed pipe ends the command quietly with exit code 1; the purchase stays to be finished."""
    payer = ACCOUNTS[0]
    before = market.balance(payer)
    argv = f"{BIN}/haima pay {market.shop.url}/paid --network {NETWORK} --state {tmp_path}/w"
    script = f"{argv} | true; exit ${{PIPESTATUS[0]}}"
    environment = child_environment({"HAIMA_PRIVATE_KEY": payer.key})
    ended = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert pay(market.shop.url + "/paid", payer, tmp_path / "w").code == 0
    assert market.balance(payer) == before - PRICE


@pytest.mark.parametrize(
    ("status", "headers", "code", "words"),
    [
        (302, {"Location": "https://example.org/elsewhere"}, "http.302", "https://example.org/elsewhere"),
        (402, {}, "http.402", "without terms"),
        (402, {"PAYMENT-REQUIRED": "%%%"}, "haima.malformed_payment", "base64"),
        (503, {}, "http.503", "Nothing was paid"),
    ],
)
def test_answers_that_are_none_have_codes(
    tmp_path: Path, status: int, headers: dict[str, str], code: str, words: str
) -> None:
    """Redirects are not followed with a wallet in hand; a 402 without readable terms is not paid; the status is passed on."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        ended = pay(f"http://127.0.0.1:{server.server_port}/", ACCOUNTS[0], tmp_path / "w")
        server.shutdown()
    assert (ended.code, ended.line["status"], ended.error_code) == (1, status, code)
    assert words in ended.stderr


def test_the_key_stays_out_of_everything(market: Market, tmp_path: Path) -> None:
    """A key on the command line is warned of; it is in no output and in no file. From the environment there is no warning."""
    payer = ACCOUNTS[0]
    told = pay(market.shop.url + "/paid", payer, tmp_path / "w", on_command_line=True)
    assert told.code == 0
    assert "/proc/<pid>/cmdline" in told.stderr
    quiet = pay(market.shop.url + "/paid", payer, tmp_path / "w")
    assert "Warning" not in quiet.stderr
    slipped = run("haima", "pay", market.shop.url, payer.key, "--state", tmp_path / "w")
    assert slipped.code == 2
    assert slipped.error_code == "life.invalid_input"
    secret = bytes.fromhex(payer.key[2:])
    for output in (told, quiet, slipped):
        assert payer.key[2:] not in output.stdout + output.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert secret not in content
        assert payer.key[2:].encode() not in content.lower()


@pytest.mark.slow
def test_the_projects_identity_pays_without_a_key(tmp_path: Path) -> None:
    """Without a key the wallet is the project's own; its soul's limits bind wider options."""
    env = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    state = tmp_path / "life"
    made = run("arcan", "identity", "new", "--data-dir", state, "--json", env=env)
    wallet = str(made.line["wallet"])
    with local_facilitator(tmp_path / "ledger", "--fund", f"{wallet}=5000000") as facilitator:
        with shop(tmp_path / "shop", facilitator.url, "--price", "1000000") as selling:
            assert pay(selling.url + "/paid", None, state, env=env).code == 0
            assert ledger_balance(tmp_path / "ledger", wallet) == 4_000_000
        with shop(tmp_path / "shop2", facilitator.url, "--price", "1000001") as selling:
            declined = pay(selling.url + "/paid", None, state, "--max", "2000000", env=env)
            assert declined.error_code == "haima.soul_limit"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--network", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), "life.invalid_input"),
        (("--network", "eip155:31337"), "life.invalid_input"),
        (("--rpc", "ftp://nowhere"), "life.invalid_input"),
        (("--rpc", f"http://127.0.0.1:{free_port()}"), "haima.chain_unavailable"),
        (("--header", "no colon"), "life.invalid_input"),
        (("--data", "@/nowhere/at/all"), "life.invalid_input"),
        (("--output", "/nowhere/at/all"), "life.invalid_input"),
        (("--state", "/dev/null/w"), "host.data_directory"),
        (("--state", "/proc/w"), "host.data_directory"),
    ],
)
def test_bad_options_have_codes(tmp_path: Path, options: tuple[str, ...], code: str) -> None:
    """Whatever can't be right ends with one sentence, a code and the JSON line; nothing is asked of anybody."""
    ended = pay(f"http://127.0.0.1:{free_port()}/", ACCOUNTS[0], tmp_path / "w", *options)
    assert (ended.code, ended.error_code) == (1, code), ended
    assert "Traceback" not in ended.stderr
    assert ended.line["status"] is None


@pytest.mark.slow
@pytest.mark.parametrize("key", ["0x12", "0x" + "zz" * 32, "0x" + "00" * 32, "0x" + "ff" * 32])
def test_a_bad_key_is_refused_without_repeating_it(tmp_path: Path, key: str) -> None:
    """Too short, no hex, zero, beyond the group's order."""
    ended = pay(f"http://127.0.0.1:{free_port()}/", DevAccount("", key), tmp_path / "w")
    assert (ended.code, ended.error_code) == (1, "life.invalid_input")
    assert key[2:] not in ended.stdout + ended.stderr


def test_an_unwritable_directory_is_told_before_anything_is_asked(market: Market, tmp_path: Path) -> None:
    """The shop sees no request."""
    before = hits(market.shop)
    ended = pay(market.shop.url + "/free", ACCOUNTS[0], Path("/dev/null/w"))
    assert (ended.code, ended.error_code) == (1, "host.data_directory")
    assert hits(market.shop) == before


def test_bad_urls_and_silent_servers_have_codes(tmp_path: Path) -> None:
    """No scheme, another scheme, nobody there."""
    for url in ("example.org/paid", "ftp://example.org/", "http://"):
        assert pay(url, ACCOUNTS[0], tmp_path / "w").error_code == "life.invalid_input"
    silent = pay(f"http://127.0.0.1:{free_port()}/paid", ACCOUNTS[0], tmp_path / "w")
    assert (silent.code, silent.line["status"], silent.error_code) == (1, None, "life.unavailable")


async def test_a_full_disk_stops_before_any_signature(market: Market, tmp_path: Path) -> None:
    """When the reservation can't be stored, nothing is signed and nothing is paid; with room again it works."""
    payer, state = ACCOUNTS[5], tmp_path / "w"
    before = await asyncio.to_thread(market.balance, payer)
    state.mkdir()
    async with SqliteJournal.open(state / "journal.db", clock=SystemClock()) as journal:
        await _fill(journal, state / "journal.db-wal", NO_ROOM_BYTES)
        full = await asyncio.to_thread(_pay_without_room, market.shop.url + "/paid", payer, state)
        assert full.code == 1, full
        assert full.error_code == "journal.disk_full"
        assert "Traceback" not in full.stderr
        assert await asyncio.to_thread(market.balance, payer) == before
        assert finance_events_of(await journal.read(EventQuery(), limit=1000)) == []
    assert (await asyncio.to_thread(pay, market.shop.url + "/paid", payer, state)).code == 0


async def _fill(journal: Journal, log: Path, size_bytes: int) -> None:
    """Let the journal's log grow beyond a size, so that the next append needs a larger file."""
    writer = EventWriter(SystemClock(), SystemEntropy(), agent_id="filler", stream=Stream("filler"))
    while log.stat().st_size < size_bytes:
        await journal.append([writer.event(Custom(event_type="test.filler", data="x" * 2000))])


def _pay_without_room(url: str, payer: DevAccount, state: Path) -> Paid:
    """`haima pay` in a process whose files can't grow beyond `NO_ROOM_BYTES`."""
    argv = [str(BIN / "haima"), "pay", url, "--network", NETWORK, "--state", str(state)]
    ended = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (NO_ROOM_BYTES, NO_ROOM_BYTES)),
        env=child_environment({"HAIMA_PRIVATE_KEY": payer.key}),
    )
    return Paid(ended.returncode, ended.stdout, ended.stderr)


async def test_books_that_fail_after_the_answer_are_a_warning(market: Market, tmp_path: Path) -> None:
    """The answer came and was paid for, and only then the disk was full: exit code 0, the JSON says what happened, and the
    same command later sends the same payment again instead of paying twice."""
    payer, state = ACCOUNTS[5], tmp_path / "w"
    before = await asyncio.to_thread(market.balance, payer)
    assert (await asyncio.to_thread(pay, market.shop.url + "/free", payer, state)).code == 0
    late = await asyncio.to_thread(_pay_without_room, market.shop.url + "/paid", payer, state)
    assert late.code == 0, late
    assert late.line["status"] == 200
    assert "journal.disk_full" in late.stderr
    again = await asyncio.to_thread(pay, market.shop.url + "/paid", payer, state)
    assert again.transaction == late.transaction
    assert await asyncio.to_thread(market.balance, payer) == before - PRICE


def test_the_seller_got_everything_that_payers_lost(market: Market) -> None:
    """The ledger balances: what left the payers' accounts is what the seller has."""
    lost = sum(FUNDED - market.balance(account) for account in ACCOUNTS)
    assert ledger_balance(market.ledger, SELLER) == lost
