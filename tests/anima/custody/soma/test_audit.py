"""The oracle's audit: every decision, chained, on disk before a wallet's signature leaves; and what damage is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.anima.custody.soma.audit import AuditLog, Spent, verify_audit
from life.anima.custody.soma.client import SomaCustody
from life.anima.custody.soma.policy import Principal
from life.anima.errors import CustodyProtocolError, CustodyUnavailableError, PolicyDeniedError
from life.testing.clock import ManualClock
from tests.anima.custody.requests import payment
from tests.anima.custody.soma.oracle import running_oracle


def records(folder: Path) -> list[dict[str, object]]:
    """Every record of every file."""
    return [
        json.loads(line)["record"]
        for path in sorted(folder.glob("audit-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


async def test_every_decision_is_recorded(tmp_path: Path) -> None:
    """Who, what, by which rule, for how much; and the file verifies."""
    async with running_oracle(tmp_path / "soma") as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())
        await handle.sign_token({})
        await handle.sign_authorization(payment(handle, reservation_id="res-1"))
        with pytest.raises(PolicyDeniedError):
            await handle.sign_authorization(payment(handle, value_atomic=10**9, nonce=bytes([1]) * 32))
        await handle.close()
    found = records(tmp_path / "soma" / "store")
    assert [record["kind"] for record in found] == ["opened", "signed", "signed", "denied"]
    paid, denied = found[2], found[3]
    assert paid["uid"] == os.getuid()
    assert paid["pid"] == os.getpid()
    assert (paid["op"], paid["rule"], paid["spent_micro"]) == ("sign_authorization", 0, 10_000)
    assert paid["request_id"] == "res-1"
    assert (denied["code"], "spent_micro" in denied) == ("custody.policy_denied", False)
    assert verify_audit(tmp_path / "soma" / "store").records == 4


async def test_nothing_leaves_when_the_audit_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk means no signature, and a clear error; when there is room again, everything is recorded."""
    async with running_oracle(tmp_path / "soma") as oracle:
        handle = await SomaCustody.open(oracle.socket, "alice", clock=ManualClock())

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("life.anima.custody.soma.audit.os.write", full)
            with pytest.raises(CustodyUnavailableError, match="No space"):
                await handle.sign_message(b"x")
        with monkeypatch.context() as patch:
            patch.setattr("life.anima.custody.soma.audit.os.fsync", full)
            with pytest.raises(CustodyUnavailableError, match="No space"):
                await handle.sign_message(b"y")
        assert await handle.sign_message(b"z")
        await handle.close()
    assert [record["kind"] for record in records(tmp_path / "soma" / "store")] == ["opened", *["signed"] * 3]
    verify_audit(tmp_path / "soma" / "store")


def log_with(folder: Path, count: int, *, segment_bytes: int = 1 << 20) -> AuditLog:
    """A log in which alice paid `count` times one micro-credit."""
    folder.mkdir(exist_ok=True)
    log = AuditLog(folder, ManualClock(), segment_bytes=segment_bytes)
    for _ in range(count):
        log.append("signed", Principal(uid=1), agent="alice", op="sign_authorization", spent_micro=1)
        log.write()
    return log


def test_sums_pass_from_file_to_file(tmp_path: Path) -> None:
    """A new file begins with what was spent, so the newest one is enough to start; all of them verify as one chain."""
    log_with(tmp_path / "audit", 50, segment_bytes=2_000).close()
    files = sorted((tmp_path / "audit").glob("audit-*.jsonl"))
    assert len(files) > 3
    again = AuditLog(tmp_path / "audit", ManualClock())
    assert again.spent["alice"].lifetime_micro == 50
    assert sum(amount for _, amount in again.spent["alice"].recent) == 50
    again.close()
    assert verify_audit(tmp_path / "audit").records == 50 + len(files)
    files[1].unlink()
    with pytest.raises(CustodyProtocolError, match="missing"):
        verify_audit(tmp_path / "audit")


@given(st.data())
def test_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A bit that is flipped anywhere, a line that is left out or doubled: the chain does not hold."""
    folder = tmp_path_factory.mktemp("audit")
    log_with(folder, 5).close()
    path = folder / "audit-000001.jsonl"
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 2))
    content[position] ^= 1 << data.draw(st.integers(0, 6))
    path.write_bytes(content)
    with pytest.raises(CustodyProtocolError):
        verify_audit(folder)


def test_lines_that_are_left_out_or_doubled_are_found(tmp_path: Path) -> None:
    """Records can't be dropped from the middle, repeated or exchanged."""
    log_with(tmp_path / "audit", 5).close()
    path = tmp_path / "audit" / "audit-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (
        lines[:2] + lines[3:],
        [*lines[:2], lines[1], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        lines[1:],
    ):
        path.write_bytes(b"".join(changed))
        with pytest.raises(CustodyProtocolError):
            verify_audit(tmp_path / "audit")
        with pytest.raises(CustodyProtocolError):
            AuditLog(tmp_path / "audit", ManualClock())


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_half_a_line_at_the_end_is_what_a_crash_leaves(tmp_path: Path, cut: int) -> None:
    """It is cut off, and the chain goes on; also when the file has nothing else yet."""
    log_with(tmp_path / "audit", 3).close()
    path = tmp_path / "audit" / "audit-000001.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = AuditLog(tmp_path / "audit", ManualClock())
    assert again.spent["alice"].lifetime_micro == 2
    again.append("denied", Principal(uid=1))
    again.close()
    assert verify_audit(tmp_path / "audit").records == 4
    path.write_bytes(path.read_bytes()[:10])
    AuditLog(tmp_path / "audit", ManualClock()).close()
    assert verify_audit(tmp_path / "audit").records == 1


def test_a_new_file_without_its_first_record_is_begun_again(tmp_path: Path) -> None:
    """Killed between making a file and writing to it, nothing is forgotten."""
    log_with(tmp_path / "audit", 3).close()
    (tmp_path / "audit" / "audit-000002.jsonl").touch(mode=0o600)
    again = AuditLog(tmp_path / "audit", ManualClock())
    assert again.spent["alice"].lifetime_micro == 3
    again.close()
    assert verify_audit(tmp_path / "audit").files == 1


def test_too_many_payments_are_added_up_and_never_forgotten() -> None:
    """The window's sum is at least what it should be, whatever is added up."""
    spent = Spent()
    for number in range(2_500):
        spent = spent.plus(number, 1)
    assert len(spent.recent) == 1_000
    assert spent.lifetime_micro == sum(amount for _, amount in spent.recent) == 2_500
    assert sum(amount for at_us, amount in spent.recent if at_us > 2_000) == 499
