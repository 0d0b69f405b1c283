"""Used tokens are remembered, across a kill, within bounds (AN-VER-6)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import ConflictError
from life.anima.errors import InsecureFileError, ReplayStoreFullError
from life.anima.replay_store import FileReplayStore, MemoryReplayStore, replay_key
from life.testing.clock import START_US, ManualClock

NOW_S = START_US // 1_000_000
KEY = replay_key("did", "svc", "1")


def claim(store: MemoryReplayStore, key: bytes = KEY, *, issued: int = NOW_S, due: int = NOW_S + 91) -> bool:
    """A claim of a token issued now."""
    return store.claim(key, issued_at_s=issued, forget_at_s=due)


def opened(path: Path, **options: Any) -> FileReplayStore:
    """A store in a file, within one boot."""
    merged: dict[str, Any] = {"clock": ManualClock(), "boot_id": "boot-1"} | options
    return FileReplayStore.open(path, **merged)


@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6)), max_size=8))
def test_keys_differ_with_any_part(parts: list[tuple[str, str, str]]) -> None:
    """Different issuer, audience or id: different key; the parts can't be shifted into each other."""
    assert len({replay_key(*part) for part in parts}) == len(set(parts))
    assert all(len(replay_key(*part)) == 24 for part in parts)


def test_once(tmp_path: Path) -> None:
    """The first claim is granted, no later one; another key is another token."""
    for store in (MemoryReplayStore(ManualClock()), opened(tmp_path / "used")):
        assert claim(store)
        assert not claim(store)
        assert claim(store, replay_key("did", "svc", "2"))


def test_it_survives_its_process(tmp_path: Path) -> None:
    """What was claimed stays claimed in the next process; the file is private."""
    path = tmp_path / "replay" / "used"
    store = opened(path)
    assert claim(store)
    store.close()
    store.close()
    again = opened(path)
    assert not claim(again)
    assert path.stat().st_mode & 0o777 == 0o600


KILLED = """
import os, sys
from pathlib import Path
from life.anima.replay_store import FileReplayStore, replay_key
from life.testing.clock import START_US, ManualClock
now = START_US // 1_000_000
store = FileReplayStore.open(Path(sys.argv[1]), clock=ManualClock(), boot_id="boot-1")
for number in range(50):
    assert store.claim(replay_key("did", "svc", str(number)), issued_at_s=now, forget_at_s=now + 91)
os.kill(os.getpid(), 9)
"""


def test_it_survives_a_kill(tmp_path: Path) -> None:
    """Killed −9 right after a claim was granted, no claim is forgotten."""
    path = tmp_path / "used"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr
    store = opened(path)
    assert [claim(store, replay_key("did", "svc", str(number))) for number in range(51)] == [False] * 50 + [True]


def test_a_torn_record_is_passed_over(tmp_path: Path) -> None:
    """A file cut anywhere opens; everything that is whole counts."""
    path = tmp_path / "used"
    store = opened(path)
    for number in range(3):
        claim(store, replay_key("did", "svc", str(number)))
    store.close()
    whole = path.read_bytes()
    for length in range(64, len(whole) + 1):
        path.write_bytes(whole[:length])
        store = opened(path)
        kept = (length - 64) // 32
        granted = [claim(store, replay_key("did", "svc", str(number))) for number in range(3)]
        assert granted == [False] * kept + [True] * (3 - kept)
        store.close()


@pytest.mark.parametrize("content", [b"junk", b"ANIMARPL1", bytes(200)])
def test_an_unreadable_file_refuses_what_was_issued_before(tmp_path: Path, content: bytes) -> None:
    """When it is unknown what was used, tokens from before are refused: they live for a minute at most."""
    path = tmp_path / "used"
    path.write_bytes(content)
    path.chmod(0o600)
    store = opened(path)
    assert not claim(store, issued=NOW_S - 1)
    assert claim(store)


def test_another_boot_refuses_what_was_issued_before(tmp_path: Path) -> None:
    """A power failure can have lost the last claims."""
    path = tmp_path / "used"
    store = opened(path)
    claim(store)
    store.close()
    rebooted = opened(path, boot_id="boot-2")
    assert not claim(rebooted)
    assert not claim(rebooted, replay_key("did", "svc", "2"), issued=NOW_S - 1)
    assert claim(rebooted, replay_key("did", "svc", "2"))
    rebooted.close()
    assert claim(opened(path, boot_id="boot-2"), replay_key("did", "svc", "3"), issued=NOW_S - 1)


def test_one_process_holds_the_file(tmp_path: Path) -> None:
    """Two stores on one file would each grant the same token."""
    store = opened(tmp_path / "used")
    with pytest.raises(ConflictError):
        opened(tmp_path / "used")
    store.close()
    opened(tmp_path / "used").close()


def test_a_link_is_refused(tmp_path: Path) -> None:
    """The file is not reached through a link."""
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "used").symlink_to(tmp_path / "target")
    with pytest.raises(InsecureFileError):
        opened(tmp_path / "used")


def test_it_is_bounded(tmp_path: Path) -> None:
    """Full means refused, not forgotten; what has expired makes room."""
    clock = ManualClock()
    for store in (MemoryReplayStore(clock, max_entries=2), opened(tmp_path / "used", clock=clock, max_entries=2)):
        start_s = clock.now_us() // 1_000_000
        for number in range(2):
            assert claim(store, replay_key("d", "s", str(number)), due=start_s + 91, issued=start_s)
        with pytest.raises(ReplayStoreFullError):
            claim(store, due=start_s + 91, issued=start_s)
        assert not claim(store, replay_key("d", "s", "0"), issued=start_s)
        clock.advance_us(91 * 1_000_000)
        assert claim(store, due=start_s + 200, issued=start_s + 91)


def test_the_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written anew without what has expired; nothing that counts is lost by it."""
    monkeypatch.setattr("life.anima.replay_store._REWRITE_BYTES", 1024)
    clock, path = ManualClock(), tmp_path / "used"
    store = opened(path, clock=clock)
    for number in range(300):
        clock.advance_us(1_000_000)
        now_s = clock.now_us() // 1_000_000
        assert claim(store, replay_key("d", "s", str(number)), issued=now_s, due=now_s + 10)
        assert path.stat().st_size <= 1024 + 32
    last_s = clock.now_us() // 1_000_000
    store.close()
    again = opened(path, clock=clock)
    assert not claim(again, replay_key("d", "s", "299"), issued=last_s)


def test_a_full_disk_grants_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be written down is not granted, and a record that was half written is taken back."""
    path = tmp_path / "used"
    store = opened(path)
    claim(store, replay_key("d", "s", "0"))
    size, real = path.stat().st_size, os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:10]))
    with pytest.raises(ReplayStoreFullError):
        claim(store)
    assert path.stat().st_size == size
    monkeypatch.setattr(os, "write", real)
    assert claim(store)
    store.close()
    again = opened(path)
    assert not claim(again) and not claim(again, replay_key("d", "s", "0"))
