"""`haima serve`, `haima facilitator` and `haimad` as real processes: how they start, stop, and what they refuse."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.haima_commands import (
    ASSET,
    NETWORK,
    PRICE,
    SELLER,
    Daemon,
    Line,
    finance_events,
    finished,
    get_json,
    hits,
    ledger_balance,
    local_facilitator,
    pay,
    run,
    shop,
    start_pay,
)
from tests.harness.anvil import ACCOUNTS
from tests.peers.processes import free_port

FUNDED = 10_000_000_000


def status(
    url: str, *, token: str | None = None, body: dict[str, object] | None = None
) -> tuple[int, dict[str, object]]:
    """Status and JSON of a GET, or of a POST when there is a body."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_the_facilitator_says_where_it_listens_and_stops_cleanly(tmp_path: Path) -> None:
    """Port 0 picks one; play money is called that; /health and /supported answer; SIGTERM is exit code 0."""
    with local_facilitator(tmp_path / "f", "--fund", f"{SELLER}=777") as facilitator:
        assert "PLAY MONEY" in facilitator.process.stdout()
        assert get_json(facilitator.url + "/health")["status"] == "ok"
        supported = get_json(facilitator.url + "/supported")
        kinds = supported["kinds"]
        assert isinstance(kinds, list)
        assert kinds[0] == {"x402Version": 2, "scheme": "exact", "network": NETWORK}
        assert facilitator.stop() == 0
    assert ledger_balance(tmp_path / "f", SELLER) == 777
    assert ledger_balance(tmp_path / "f", ACCOUNTS[0].address) == FUNDED


def test_play_money_is_topped_up_and_not_multiplied(tmp_path: Path) -> None:
    """A second start with the same --fund and the same accounts adds nothing."""
    for _ in range(2):
        with local_facilitator(tmp_path / "f", "--fund", f"{SELLER}=777") as facilitator:
            assert facilitator.stop() == 0
    assert ledger_balance(tmp_path / "f", SELLER) == 777
    assert ledger_balance(tmp_path / "f", ACCOUNTS[0].address) == FUNDED


def test_directories_by_default_and_ctrl_c(tmp_path: Path) -> None:
    """Without --data-dir each daemon keeps to `.life/<name>-<port>` of the current folder and says so; SIGINT is exit code
    0, too."""
    with Daemon.start("haima", "facilitator", "--port", "0", cwd=tmp_path) as facilitator:
        options = ("--port", "0", "--facilitator", facilitator.url, "--pay-to", SELLER)
        with Daemon.start("haima", "serve", *options, cwd=tmp_path) as selling:
            names = {f"facilitator-{facilitator.port}", f"shop-{selling.port}"}
            assert {path.name for path in (tmp_path / ".life").iterdir()} == names
            assert f".life/shop-{selling.port}" in selling.process.stdout()
            assert selling.stop(signal.SIGINT) == 0
        assert facilitator.stop(signal.SIGINT) == 0


def test_one_daemon_per_directory(tmp_path: Path) -> None:
    """A second one is refused with the first one's process id."""
    with local_facilitator(tmp_path / "f") as first:
        second = run("haima", "facilitator", "--port", "0", "--network", NETWORK, "--data-dir", tmp_path / "f")
        assert second.code == 1
        assert "host.data_directory_locked" in second.stderr
        assert str(first.process.pid) in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--network", "bitcoin"), "life.invalid_input"),
        (("--network", "eip155:8453"), "real money"),
        (("--network", NETWORK, "--asset", ASSET[:-1] + "f"), "checksum"),
        (("--network", NETWORK, "--fund", "0x12=3"), "life.invalid_input"),
        (("--network", NETWORK, "--fund", f"{SELLER}=-3"), "life.invalid_input"),
        (("--network", NETWORK, "--rpc", "http://127.0.0.1:{port}"), "HAIMA_PRIVATE_KEY"),
        (
            ("--network", NETWORK, "--rpc", "http://127.0.0.1:{port}", "--key", ACCOUNTS[0].key),
            "haima.chain_unavailable",
        ),
        (("--network", NETWORK, "--rpc", "nonsense", "--key", ACCOUNTS[0].key), "life.invalid_input"),
        (("--network", NETWORK, "--rpc", "http://127.0.0.1:{port}", "--key", "0x12"), "life.invalid_input"),
        (("--network", NETWORK, "--host", "0.0.0.0"), "host.bind_refused"),
        (("--network", NETWORK, "--data-dir", "/dev/null/f"), "host.data_directory"),
    ],
)
def test_a_facilitator_that_can_not_work_does_not_start(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    """Every wrong option ends with one sentence and a code, and shows no key."""
    options = [part.format(port=free_port()) for part in argv]
    where = [] if "--data-dir" in options else ["--data-dir", str(tmp_path / "f")]
    ended = run("haima", "facilitator", "--port", "0", *options, *where)
    assert ended.code == 1, ended
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ACCOUNTS[0].key[2:] not in ended.stdout + ended.stderr


def test_the_shop_starts_before_its_facilitator(tmp_path: Path) -> None:
    """It says that nobody answers, asks for money all the same, and gives 503 to payments until somebody does."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with shop(tmp_path / "s", nowhere) as selling:
        assert "does not answer" in selling.process.stdout() + selling.process.stderr()
        assert status(selling.url + "/paid")[0] == 402
        refused = pay(selling.url + "/paid", ACCOUNTS[1], tmp_path / "w")
        assert (refused.code, refused.line["status"]) == (1, 503)
        assert hits(selling) == {"paid": 0, "free": 0, "fail": 0}
        assert selling.stop() == 0


def test_the_shop_refuses_a_facilitator_of_another_network(tmp_path: Path) -> None:
    """One that answers and does not settle there is a mistake, and told at the start."""
    options = ("--port", "0", "--pay-to", SELLER, "--network", "local", "--data-dir", tmp_path / "s")
    with local_facilitator(tmp_path / "f") as facilitator:
        ended = run("haima", "serve", *options, "--facilitator", facilitator.url)
    assert ended.code == 1
    assert "does not settle" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--pay-to", SELLER[:-1] + "d"), "checksum"),
        (("--pay-to", "bob"), "life.invalid_input"),
        (("--pay-to", SELLER, "--asset", "0x12"), "life.invalid_input"),
        (("--pay-to", SELLER, "--asset", SELLER), "--token-name"),
        (("--pay-to", SELLER, "--network", "bitcoin"), "life.invalid_input"),
        (("--pay-to", SELLER, "--facilitator", "nonsense"), "life.invalid_input"),
        (("--pay-to", SELLER, "--facilitator", "http://example.org"), "plain HTTP"),
        (("--pay-to", SELLER, "--data-dir", "/dev/null/s"), "host.data_directory"),
    ],
)
def test_a_shop_that_can_not_work_does_not_start(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    """Every wrong option ends with one sentence and a code."""
    options = {"--network": NETWORK, "--facilitator": "http://127.0.0.1:1", "--data-dir": str(tmp_path / "s")}
    options.update(zip(argv[::2], argv[1::2], strict=True))
    ended = run("haima", "serve", "--port", "0", *[part for option in options.items() for part in option])
    assert ended.code == 1, ended
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_shop_killed_while_it_settles_answers_after_its_restart(tmp_path: Path) -> None:
    """kill -9 with the settlement under way: the repeated command gets the answer that was kept, paid and run once."""
    with (
        local_facilitator(tmp_path / "f") as facilitator,
        Line(facilitator.url, marker=b"post /settle") as line,
        shop(tmp_path / "s", line.url) as selling,
    ):
        line.hold_answer()
        waiting = start_pay(selling.url + "/paid", ACCOUNTS[1], tmp_path / "w")
        assert line.held.wait(30)
        selling.kill()
        lost = finished(waiting)
        assert (lost.code, lost.error_code) == (1, "haima.outcome_unknown")
        line.release()
        selling.restart()
        again = pay(selling.url + "/paid", ACCOUNTS[1], tmp_path / "w")
        assert again.code == 0, again
        assert again.stdout.splitlines()[0] == '{"route":"paid","method":"GET","runs":1}'
        assert hits(selling)["paid"] == 0  # this process has not run it
        assert ledger_balance(tmp_path / "f", SELLER) == PRICE
    assert finance_events(tmp_path / "s").count("revenue_received") == 1


@pytest.mark.slow
def test_a_facilitator_killed_while_it_settles_goes_on_after_its_restart(tmp_path: Path) -> None:
    """kill -9 before its answer left: the shop says 503 and nothing is charged twice once it is back."""
    with (
        local_facilitator(tmp_path / "f") as facilitator,
        Line(facilitator.url, marker=b"post /settle") as line,
        shop(tmp_path / "s", line.url) as selling,
    ):
        line.hold_answer()
        waiting = start_pay(selling.url + "/paid", ACCOUNTS[1], tmp_path / "w")
        assert line.held.wait(30)
        facilitator.kill()
        line.drop()
        unknown = finished(waiting)
        assert (unknown.code, unknown.line["status"]) == (1, 503), unknown
        assert unknown.error_code == "haima.outcome_unknown"
        facilitator.restart()
        again = pay(selling.url + "/paid", ACCOUNTS[1], tmp_path / "w")
        assert again.code == 0, again
        assert hits(selling)["paid"] == 1
        assert ledger_balance(tmp_path / "f", SELLER) == PRICE
    assert finance_events(tmp_path / "s").count("revenue_received") == 1


def test_haimad_on_the_journal(tmp_path: Path) -> None:
    """/health is open; /state and /v1/facilitate want the token in DIR/token (0600); x402's routes are open; the journal
    outlives the process."""
    with Daemon.start("haimad", "--bind", "127.0.0.1:0", "--lago-data-dir", tmp_path / "h") as daemon:
        token = (tmp_path / "h" / "token").read_text().strip()
        assert (tmp_path / "h" / "token").stat().st_mode & 0o777 == 0o600
        assert status(daemon.url + "/health")[1]["service"] == "haimad"
        assert status(daemon.url + "/state")[0] == 401
        assert status(daemon.url + "/state", token="x" * 43)[0] == 401
        code, state = status(daemon.url + "/state", token=token)
        assert code == 200
        assert {"total_expenses", "net_balance", "session_spend", "pending_bills", "as_of_seq"} <= set(state)
        assert state["total_revenue"] == 0
        asked: dict[str, object] = {"payment_header": "nonsense", "resource_url": "http://x/", "amount_micro_usd": 1}
        assert status(daemon.url + "/v1/facilitate", body=asked)[0] == 401
        rejected = status(daemon.url + "/v1/facilitate", token=token, body=asked)
        assert rejected[0] == 402
        assert rejected[1]["status"] == "rejected"
        assert rejected[1]["reason"] == "invalid_header"
        assert status(daemon.url + "/supported")[1]["kinds"]
        assert token not in daemon.process.stdout() + daemon.process.stderr()
        assert daemon.stop() == 0


def test_haimad_settles_for_a_shop_and_its_state_counts_what_the_journal_says(tmp_path: Path) -> None:
    """A shop that uses haimad as its facilitator, on the same directory: /state shows the revenue, folded to as_of_seq."""
    directory = tmp_path / "h"
    options = ("--bind", "127.0.0.1:0", "--lago-data-dir", directory, "--network", NETWORK)
    with Daemon.start("haimad", *options) as daemon:
        token = (directory / "token").read_text().strip()
        before = status(daemon.url + "/state", token=token)[1]
        with shop(directory, daemon.url) as selling:
            assert pay(selling.url + "/paid", ACCOUNTS[1], tmp_path / "w").code == 0
        after = status(daemon.url + "/state", token=token)[1]
    assert (after["total_revenue"], after["net_balance"], after["revenue_count"]) == (PRICE, PRICE, 1)
    assert isinstance(before["as_of_seq"], int)
    assert isinstance(after["as_of_seq"], int)
    assert after["as_of_seq"] > before["as_of_seq"]


def test_haimad_in_memory_says_so(tmp_path: Path) -> None:
    """Without a directory there is a banner, a token in a private file that goes away, and no file in the current folder."""
    here = tmp_path / "here"
    here.mkdir()
    with Daemon.start("haimad", "--bind", "127.0.0.1:0", cwd=here) as daemon:
        said = daemon.process.stdout()
        assert "IN MEMORY" in said
        token_file = Path(next(line for line in said.splitlines() if " token " in line and "/" in line).split()[1])
        assert token_file.stat().st_mode & 0o777 == 0o600
        assert status(daemon.url + "/state", token=token_file.read_text().strip())[0] == 200
        assert daemon.stop() == 0
    assert not token_file.exists()
    assert not list(here.iterdir())


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", ":3003", "127.0.0.1:70000", "0.0.0.0:0"])
def test_haimad_refuses_addresses_it_may_not_listen_on(address: str) -> None:
    """Not an address, or one beyond this machine without TLS."""
    ended = run("haimad", "--bind", address)
    assert ended.code == 1
    assert "life.invalid_input" in ended.stderr or "host.bind_refused" in ended.stderr
