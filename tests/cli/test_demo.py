"""`life demo first-payment` as a stranger runs it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.haima_commands import run

PROOFS = (
    "chain of digests",
    "session state",
    "wallet and caps",
    "financial state",
    "ledger balances",
    "model calls",
    "the price was paid",
    "the same payment again",
)
STEPS = (
    "identity",
    "money",
    "shop",
    "task",
    "tool call",
    "402",
    "decision",
    "signature",
    "settlement",
    "answer",
    "journal",
)


def test_every_proof_holds_and_the_home_folder_stays_as_it_was(tmp_path: Path) -> None:
    """All steps and proofs are printed, without colour where nobody looks; exit code 0; nothing is left behind."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    shown = run("life", "demo", "first-payment", env={"HOME": str(home), "TMPDIR": str(temporary)}, cwd=home)
    assert shown.code == 0, shown
    lines = shown.stdout.splitlines()
    for step in STEPS:
        assert any(line.startswith(f"  {step} ") for line in lines), step
    proofs = [line for line in lines if line.startswith("  holds  ")]
    assert len(proofs) == len(PROOFS)
    assert all(any(name in line for line in proofs) for name in PROOFS)
    assert "FAILS" not in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "PLAY MONEY" in shown.stdout
    assert not list(home.iterdir())
    assert not list(temporary.iterdir())


def test_it_can_be_played_again_in_a_directory_that_is_kept(tmp_path: Path) -> None:
    """The second time finds identity, money and journal of the first, and everything holds again."""
    env = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    for round_ in ("made just now", "this project's own"):
        shown = run("life", "demo", "first-payment", "--data-dir", tmp_path / "life", env=env)
        assert shown.code == 0, shown
        assert round_ in shown.stdout
    verified = run("lago", "journal", "verify", "--data-dir", tmp_path / "life")
    assert verified.code == 0, verified
