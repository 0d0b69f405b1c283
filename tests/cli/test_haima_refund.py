"""`haima refund`: gives back once, never too much, says what is wrong; the key is never shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.cli.haima_refund import refund
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.x402.networks import LOCAL
from life.host.clock import SystemClock
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import PRICE_ATOMIC, Shop
from tests.haima.test_refunds import PAYEE_KEY, payment_id_of

KEY = "0x" + PAYEE_KEY.hex()


@pytest.fixture(autouse=True)
def not_hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardening can't be undone for the life of a process, and this one is the tests'."""
    monkeypatch.setattr("life.cli.haima_refund.harden_process", lambda: None)


@pytest.fixture
def sold(tmp_path: Path) -> str:
    """The payment id of a sale whose journal is in tmp_path."""

    async def sell() -> str:
        clock = ManualClock(SystemClock().now_us())
        async with SqliteJournal.open(tmp_path / "journal.db", clock=clock) as journal:
            shop = Shop(journal=journal, clock=clock)
            await shop.fund()
            assert (await shop.get("/paid", shop.pay(1))).status_code == 200
            payment_id = await payment_id_of(shop)
            await shop.aclose()
            return payment_id

    return asyncio.run(sell())


@pytest.fixture
def facilitator() -> Iterator[ScriptedFacilitator]:
    """One that remembers."""
    with ScriptedFacilitator(LOCAL, extensions=(REPEATABLE_SETTLEMENT,)) as made:
        yield made


def call(shop: Path, facilitator: ScriptedFacilitator | str, *arguments: str, key: str | None = KEY) -> Result:
    """The command."""
    url = facilitator if isinstance(facilitator, str) else facilitator.url
    environment = {"HAIMA_PRIVATE_KEY": key} if key is not None else {"HAIMA_PRIVATE_KEY": ""}
    done = CliRunner().invoke(refund, [*arguments, "--shop", str(shop), "--facilitator", url], env=environment)
    assert PAYEE_KEY.hex() not in done.output + done.stderr
    return done


def test_money_goes_back_once(tmp_path: Path, sold: str, facilitator: ScriptedFacilitator) -> None:
    """Settled, with its transaction; repeated, it is the same refund."""
    first = call(tmp_path, facilitator, sold, "--json")
    assert first.exit_code == 0, first.stderr
    document = json.loads(first.stdout)
    assert (document["state"], document["amount_atomic"]) == ("settled", str(PRICE_ATOMIC))
    again = call(tmp_path, facilitator, sold)
    assert again.exit_code == 0
    assert document["transaction"] in again.stdout
    assert sum(facilitator.moved.values()) == 1


def test_never_too_much(tmp_path: Path, sold: str, facilitator: ScriptedFacilitator) -> None:
    """Parts up to the charge; more than what is left is refused with its code."""
    assert call(tmp_path, facilitator, sold, "--amount", "6000", "--id", "a").exit_code == 0
    over = call(tmp_path, facilitator, sold, "--amount", "4001", "--id", "b")
    assert over.exit_code == 1
    assert "haima.refund_refused" in over.stderr
    assert call(tmp_path, facilitator, sold, "--id", "c").exit_code == 0
    assert len(facilitator.moved) == 2


def test_unknown_outcome_has_its_own_exit_code(tmp_path: Path, sold: str, facilitator: ScriptedFacilitator) -> None:
    """75 says: repeat. The repetition finishes the very same transfer."""
    facilitator.script("settle", "moves and hangs up")
    doubt = call(tmp_path, facilitator, sold)
    assert doubt.exit_code == 75
    assert "pending" in doubt.stdout
    assert call(tmp_path, facilitator, sold).exit_code == 0
    assert sum(facilitator.moved.values()) == 1


def test_refused_refund_fails(tmp_path: Path, sold: str, facilitator: ScriptedFacilitator) -> None:
    """A facilitator that refuses: exit code 1 and its reason."""
    facilitator.script("settle", "refuse insufficient_funds")
    failed = call(tmp_path, facilitator, sold)
    assert failed.exit_code == 1
    assert "insufficient_funds" in failed.stdout


@pytest.mark.parametrize(
    ("arguments", "key", "word"),
    [
        (["01JD0000000000000000000000"], KEY, "no charge"),
        (["01JD0000000000000000000000"], None, "HAIMA_PRIVATE_KEY"),
        (["01JD0000000000000000000000"], "0x12", "64 hex digits"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, sold: str, facilitator: ScriptedFacilitator, arguments: list[str], key: str | None, word: str
) -> None:
    """No charge, no key, no journal: what is wrong, and never a traceback."""
    wrong = call(tmp_path, facilitator, *arguments, key=key)
    assert wrong.exit_code == 1
    assert word in wrong.stderr
    assert "Traceback" not in wrong.output


def test_a_directory_without_a_shop(tmp_path: Path, facilitator: ScriptedFacilitator) -> None:
    """Nothing is made where nothing was."""
    empty = tmp_path / "nothing"
    wrong = call(empty, facilitator, "01JD0000000000000000000000")
    assert wrong.exit_code == 1
    assert "no shop's journal" in wrong.stderr
    assert not empty.exists()
