"""`haima credit`: a life of a credit line at the terminal, on a directory's journal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.cli.haima_credit import credit
from life.host.clock import SystemClock
from life.host.haima_directory import JOURNAL_FILE, open_directory
from life.lago.journal.sqlite import SqliteJournal
from tests.haima.credit_kit import DAY_US, address, mode, paid, trust

A = "agent-a"


def run(directory: Path, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(credit, [*words, "--data-dir", str(directory)])


def ok(directory: Path, *words: str) -> str:
    """One command that must succeed; what it printed."""
    result = run(directory, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A journal in which agent-a has a good history."""
    root = open_directory(tmp_path / "life")

    async def write() -> None:
        clock = SystemClock()
        now = clock.now_us()
        start = now - 100 * DAY_US
        async with SqliteJournal.open(root / JOURNAL_FILE, clock=clock) as journal:
            await journal.append(
                [
                    *(paid(A, address(f"shop-{number}"), 3_000_000, start + number * DAY_US) for number in range(4)),
                    mode(A, "sovereign", start),
                    trust(A, 0.9, now),
                ]
            )

    asyncio.run(write())
    return root


def test_the_life_of_a_line(directory: Path) -> None:
    """Show, open, fund, draw, statement, repay, freeze, unfreeze, close: tables for people."""
    assert "tier premium, confidence 100%" in ok(directory, "show", A)
    assert "No credit line." in ok(directory, "show", A)
    assert "Opened." in ok(directory, "open", A, "--limit", "0.5")
    assert "0.50 USDC" in ok(directory, "show", A)
    ok(directory, "fund", "2")
    assert "Drew 0.25 USDC." in ok(directory, "draw", A, "0.25")
    assert "No statement is open." in ok(directory, "statement", A)
    repaid = ok(directory, "repay", A, "0.25")
    assert "Repaid 0.25 USDC." in repaid
    assert "Frozen." in ok(directory, "freeze", A)
    assert "frozen (operator)" in ok(directory, "show", A)
    assert "Unfrozen." in ok(directory, "unfreeze", A)
    assert "Closed." in ok(directory, "close", A)


def test_programs_get_json(directory: Path) -> None:
    """One document a command, with the API's own shapes."""
    score = json.loads(ok(directory, "show", A, "--json"))
    assert (score["score"]["tier"], score["credit_line"]) == ("premium", None)
    opened = json.loads(ok(directory, "open", A, "--json"))
    assert (opened["status"], opened["credit_line"]["limit_micro_usd"]) == ("opened", 10_000_000)
    json.loads(ok(directory, "fund", "1", "--json"))
    assert json.loads(ok(directory, "draw", A, "0.1", "--json"))["new_balance"] == 100_000
    assert json.loads(ok(directory, "repay", A, "0.1", "--json"))["principal_portion"] == 100_000
    assert json.loads(ok(directory, "statement", A, "--json"))["status"] == "active"
    report = json.loads(ok(directory, "report", A, "--json"))
    assert (report["risk_rating"], report["credit_tier"]) == ("low", "premium")
    redacted = json.loads(ok(directory, "report", A, "--redacted", "--json"))
    assert "payment_summary" not in redacted


def test_a_command_with_a_key_is_carried_out_once(directory: Path) -> None:
    """Repeated after a lost answer, it draws nothing more; another request under the key is refused."""
    ok(directory, "open", A)
    ok(directory, "fund", "1")
    ok(directory, "draw", A, "0.1", "--key", "k")
    assert "by an earlier command" in ok(directory, "draw", A, "0.1", "--key", "k")
    assert json.loads(ok(directory, "show", A, "--json"))["credit_line"]["drawn_micro_usd"] == 100_000
    refused = run(directory, "draw", A, "0.2", "--key", "k")
    assert (refused.exit_code, "haima.idempotency_conflict" in refused.stderr) == (1, True)


def test_refusals_are_a_sentence_and_a_code(directory: Path) -> None:
    """No traceback, exit code 1; wrong words are 2."""
    for words, code in [
        (("draw", A, "0.1"), "haima.no_credit_line"),
        (("open", "nobody"), "haima.insufficient_credit_score"),
        (("statement", A), "haima.no_credit_line"),
        (("repay", A, "1"), "haima.no_credit_line"),
        (("show", "not an id"), "life.invalid_input"),
    ]:
        result = run(directory, *words)
        assert (result.exit_code, code in result.stderr) == (1, True), result.output
        assert "Traceback" not in result.output
    ok(directory, "open", A)
    assert "haima.lender_out_of_funds" in run(directory, "draw", A, "0.1").stderr
    for words in (("repay", A), ("draw", A, "0.0000001"), ("draw", A, "-1"), ("draw", A, "1e3"), ("fund", "0")):
        result = run(directory, *words)
        assert (result.exit_code, "Traceback" in result.output) == (2, False), words


def test_a_folder_without_a_journal(tmp_path: Path) -> None:
    """It is said, and nothing is made."""
    result = run(tmp_path / "nowhere", "show", A)
    assert (result.exit_code, "life.not_found" in result.stderr) == (1, True)
    assert not (tmp_path / "nowhere").exists()


def test_a_report_for_people(directory: Path) -> None:
    """Risk, tiers, score, what is missing, flags."""
    shown = ok(directory, "report", "nobody")
    for word in ("critical", "unverified", "trust_score", "info: new_agent"):
        assert word in shown
