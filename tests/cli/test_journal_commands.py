"""`lago journal …` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.cli.daemon import BIN, Arcand, damage, run_command
from tests.harness.process import ChildProcess

OLDER = (
    {
        "event_id": "e1", "session_id": "OLD", "branch_id": "main", "seq": 0, "timestamp": 1_700_000_000_000_000,
        "payload": {"type": "Message", "role": "user", "content": "hi"}, "metadata": {}, "schema_version": 1,
    },
    {
        "event_id": "e2", "session_id": "OLD", "agent_id": "a", "branch_id": "main", "seq": 2,
        "ts_ms": 1_700_000_001_000_000, "actor": {"type": "user"}, "parent_event_id": "e1",
        "kind": {"type": "VisionResult", "labels": ["cat"]}, "metadata": {}, "schema_version": 1,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `life` has two sessions, one of them with a run and unusual letters."""
    folder = tmp_path_factory.mktemp("journal")
    with Arcand(folder) as arcand:
        arcand.request("POST", "/sessions/one/runs", {"objective": "write a.txt: Grüße 🌍 \u2028 \x1b[31mred"})
        arcand.request("POST", "/sessions", {"session_id": "two"})
    return folder


def journal(folder: Path, *words: str | Path, data: str = "life") -> tuple[int, str, str]:
    code, out, err = run_command("lago", "journal", *words, "--data-dir", data, folder=folder)
    assert "Traceback" not in err
    return code, out, err


def records(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.split("\n") if line]


def test_tail_shows_the_newest(project: Path) -> None:
    """-n counts, --session narrows, --json gives the records; nothing is written to a terminal that could steer it."""
    everything = records(journal(project, "tail", "-n", "1000", "--json")[1])
    assert records(journal(project, "tail", "-n", "3", "--json")[1]) == everything[-3:]
    assert journal(project, "tail", "-n", "0") == (0, "", "")
    one = records(journal(project, "tail", "-n", "1000", "--json", "--session", "one")[1])
    assert [event["sequence"] for event in one] == list(range(1, len(one) + 1))
    plain = journal(project, "tail", "-n", "1000")[1]
    assert "ToolCallCompleted" in plain
    assert "\x1b" not in plain


def test_tail_of_an_unknown_session_is_said(project: Path) -> None:
    """Not an empty answer that looks like an empty session; exit 1."""
    code, out, err = journal(project, "tail", "--session", "nobody")
    assert (code, out) == (1, "")
    assert "nobody" in err


@pytest.mark.parametrize("command", ["tail", "verify", "export"])
def test_reading_makes_nothing(tmp_path: Path, command: str) -> None:
    """Without a journal: one sentence, exit 1, and no folder, file or empty database appears; an empty file stays empty."""
    code, out, err = journal(tmp_path, command)
    assert (code, out) == (1, "")
    assert "[life.not_found]" in err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "life").mkdir()
    (tmp_path / "life" / "journal.db").touch()
    assert journal(tmp_path, command)[0] == 1
    assert (tmp_path / "life" / "journal.db").stat().st_size == 0


def test_follow_goes_on_beside_the_daemon(tmp_path: Path) -> None:
    """-f shows a running daemon's events as they happen, in order and once; Ctrl-C ends it quietly."""
    with Arcand(tmp_path) as arcand:
        arcand.request("POST", "/sessions/s/runs", {"objective": "hello"})
        argv = [
            str(BIN / "lago"),
            "journal",
            "tail",
            "-f",
            "-n",
            "1000",
            "--json",
            "--session",
            "s",
            "--data-dir",
            "life",
        ]
        with ChildProcess.spawn(argv, cwd=tmp_path) as tail:
            tail.wait_for_line(r'.*"RunFinished".*')
            arcand.request("POST", "/sessions/s/runs", {"objective": "again"})
            head = arcand.get("/sessions/s")
            assert isinstance(head, dict)
            tail.wait_for_line(rf'.*"sequence":{head["version"]},.*')
            os.kill(tail.pid, signal.SIGINT)
            assert tail.wait(deadline_s=5) == 130
            assert tail.stderr() == ""
            assert records(tail.stdout()) == arcand.events("s")


def test_a_reader_that_hangs_up_ends_it_quietly(project: Path) -> None:
    """`tail | head -1` and `export | head -1`: no traceback about a broken pipe."""
    for words in ("tail -n 1000 --json", "export"):
        line = f"{BIN / 'lago'} journal {words} --data-dir life | head -c 10"
        with ChildProcess.spawn(["/bin/sh", "-c", line], cwd=project) as shell:
            assert shell.wait(deadline_s=15) == 0
            assert shell.stderr() == ""


def test_verify_says_how_much_holds(project: Path) -> None:
    """Events and streams are counted."""
    code, out, _ = journal(project, "verify")
    count = len(records(journal(project, "export")[1]))
    assert code == 0
    assert out.startswith(f"{count} events in ")


def test_out_and_in_again(project: Path, tmp_path: Path) -> None:
    """Exported and imported elsewhere: the same lines byte for byte, digests among them; importing twice stores nothing."""
    file = tmp_path / "journal.jsonl"
    assert journal(project, "export", "-o", file) == (0, "", "")
    count = len(records(file.read_text()))
    assert journal(tmp_path, "import", file) == (0, f"{count} events stored, 0 were there already.\n", "")
    assert journal(tmp_path, "import", file)[1] == f"0 events stored, {count} were there already.\n"
    assert journal(tmp_path, "export")[1] == file.read_text()
    assert journal(tmp_path, "verify")[0] == 0
    assert stat.S_IMODE((tmp_path / "life" / "journal.db").stat().st_mode) == 0o600


def test_a_session_alone(project: Path, tmp_path: Path) -> None:
    """`--session` exports one stream; it stands on its own elsewhere."""
    file = tmp_path / "one.jsonl"
    journal(project, "export", "--session", "one", "-o", file)
    assert {event["session_id"] for event in records(file.read_text())} == {"one"}
    assert journal(tmp_path, "import", file)[0] == 0
    assert journal(tmp_path, "export", "--session", "nobody")[0] == 1


def test_older_spellings_come_in(tmp_path: Path) -> None:
    """Both envelopes of the original, also with blank lines and Windows line ends; unknown kinds stay as they were."""
    file = tmp_path / "old.jsonl"
    file.write_bytes(b"\r\n\n".join(json.dumps(event).encode() for event in OLDER))
    assert journal(tmp_path, "import", file)[1] == "2 events stored, 0 were there already.\n"
    first, second = records(journal(tmp_path, "export")[1])
    assert first["kind"] == OLDER[0]["payload"]
    assert second["kind"] == OLDER[1]["kind"]
    assert second["causation_id"] == "e1"
    assert journal(tmp_path, "verify")[0] == 0


BAD = {
    "no JSON": b"{",
    "no record": b"[]",
    "no text": b"\xff\xfe",
    "a number": b"17",
    "deep": b'{"kind":' * 50_000,
    "deep list": b"[" * 200_000,
    "no kind": b'{"event_id":"x","session_id":"s"}',
    "wrong type": b'{"event_id":5}',
    "half a character": json.dumps({**OLDER[0], "event_id": "z", "session_id": "\ud800"}).encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named(tmp_path: Path, name: str) -> None:
    """The sentence gives the line's number; what stood before it in the same transaction is not half stored."""
    file = tmp_path / "bad.jsonl"
    file.write_bytes(json.dumps(OLDER[0]).encode() + b"\n\n" + BAD[name] + b"\n")
    code, out, err = journal(tmp_path, "import", file)
    assert (code, out) == (1, "")
    assert "ine 3" in err
    file.write_bytes(json.dumps(OLDER[0]).encode())
    assert journal(tmp_path, "import", file)[1] == "1 events stored, 0 were there already.\n"


def test_a_forged_line_is_refused(project: Path, tmp_path: Path) -> None:
    """Changed content under the old digest, and a line left out: refused with the place; the rest can't be smuggled in."""
    lines = journal(project, "export", "--session", "one")[1].split("\n")[:-1]
    for forged in ([*lines[:1], lines[1].replace("write a.txt", "write b.txt"), *lines[2:]], [lines[0], *lines[2:]]):
        file = tmp_path / "forged.jsonl"
        file.write_text("\n".join(forged))
        code, _, err = journal(tmp_path, "import", file)
        assert code == 1
        assert "[journal.damaged]" in err or "[life.conflict]" in err


def test_damage_is_named_by_every_command(project: Path, tmp_path: Path) -> None:
    """verify and import refuse a damaged journal, with the place; nothing is repaired."""
    file = tmp_path / "journal.jsonl"
    journal(project, "export", "-o", file)
    journal(tmp_path, "import", file)
    damage(tmp_path / "life" / "journal.db", "UPDATE event SET ts_us = ts_us + 1 WHERE pos = 3")
    code, out, err = journal(tmp_path, "verify")
    assert (code, out) == (1, "")
    assert "[journal.damaged]" in err
    assert "sequence" in err


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    """A text file, another program's database, a folder in its place: one sentence each."""
    (tmp_path / "life").mkdir()
    place = tmp_path / "life" / "journal.db"
    place.write_text("hello" * 1_000)
    assert "[lago.journal_format]" in journal(tmp_path, "verify")[2]
    place.unlink()
    place.mkdir()
    assert journal(tmp_path, "verify")[0] == 1
    assert "Error" in journal(tmp_path, "export", "-o", tmp_path / "nowhere" / "file")[2]
