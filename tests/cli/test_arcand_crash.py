"""arcand killed, damaged and starved of disk, as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.cli.daemon import Arcand, Event, children, damage, kind, run_command, write_script

FILES = 15


def fifteen_files(folder: Path, *, delay_ms: int = 30) -> str:
    """A script: fifteen files, one a step, then an answer that is written in pieces."""
    turns: list[dict[str, object]] = [
        {
            "text": f"Writing number {number}.",
            "delay_ms": delay_ms,
            "calls": [{"tool": "write_file", "arguments": {"path": f"f{number}.txt", "content": f"content {number}"}}],
        }
        for number in range(FILES)
    ]
    turns.append({"deltas": ["All ", "fifteen ", "are ", "there."], "delta_delay_ms": 250})  # time to be killed in
    return write_script(folder / "script.json", turns)


def wait_until(condition: Callable[[], bool], *, deadline_s: float = 30.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def is_finished(arcand: Arcand, session_id: str) -> bool:
    state = arcand.get(f"/sessions/{session_id}")
    assert isinstance(state, dict)
    return bool(state["status"] == "idle")


def check_fifteen(arcand: Arcand, session_id: str, run_id: str) -> list[Event]:
    """The run ended well, every file is there, every call has one intent and one outcome, and no number is missing."""
    report = arcand.get(f"/sessions/{session_id}/runs/{run_id}")
    assert isinstance(report, dict)
    assert (report["status"], report["reason"]) == ("finished", "completed")
    assert report["final_answer"] == "All fifteen are there."
    events = arcand.events(session_id)
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    for name in ("ToolCallRequested", "ToolCallCompleted"):
        calls = [event["kind"]["call_id"] for event in events if kind(event) == name]  # type: ignore[index]
        assert sorted(calls) == sorted(f"call-{number}" for number in range(1, FILES + 1))
    workspace = arcand.data / "workspaces" / session_id
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {
        f"f{number}.txt": f"content {number}" for number in range(FILES)
    }
    return events


@pytest.mark.slow
@pytest.mark.parametrize("calls_done", [0, 1, 7, 14, 15])
def test_a_killed_daemon_takes_its_run_up_again(tmp_path: Path, calls_done: int) -> None:
    """kill -9 after some of fifteen tool calls, restart: the run ends the same and every file is written once."""
    arcand = Arcand(tmp_path, "--provider", fifteen_files(tmp_path))
    with arcand:
        run_id = arcand.start_run("s")

        def is_there() -> bool:
            done = sum(kind(event) == "ToolCallCompleted" for event in arcand.events("s"))
            return done >= calls_done

        wait_until(is_there)
        arcand.process.kill()
        arcand.start()
        assert "Took up 1 interrupted run(s): s" in arcand.process.stdout()
        wait_until(lambda: is_finished(arcand, "s"))
        check_fifteen(arcand, "s", run_id)
        code, out, err = run_command("lago", "journal", "verify", "--data-dir", arcand.data, folder=tmp_path)
        assert (code, err) == (0, ""), out


@pytest.mark.slow
def test_a_run_survives_kill_after_kill(tmp_path: Path) -> None:
    """Eight kills at ever other moments of one run: it still ends once, with every file written once."""
    arcand = Arcand(tmp_path, "--provider", fifteen_files(tmp_path, delay_ms=60))
    with arcand:
        run_id = arcand.start_run("s")
        for number in range(8):
            time.sleep(0.037 * number)
            arcand.process.kill()
            arcand.start()
        wait_until(lambda: is_finished(arcand, "s"))
        events = check_fifteen(arcand, "s", run_id)
        assert sum(kind(event) == "RunFinished" for event in events) == 1


@pytest.mark.slow
def test_many_runs_at_once_survive(tmp_path: Path) -> None:
    """Twelve sessions in the middle of their runs, two kills: each ends as if nothing had been."""
    arcand = Arcand(tmp_path, "--provider", fifteen_files(tmp_path, delay_ms=40))
    sessions = [f"s{number}" for number in range(12)]
    with arcand:
        runs = {session_id: arcand.start_run(session_id) for session_id in sessions}
        for pause_s in (0.25, 0.4):
            time.sleep(pause_s)
            arcand.process.kill()
            arcand.start()
        for session_id, run_id in runs.items():
            wait_until(lambda session_id=session_id: is_finished(arcand, session_id))  # type: ignore[misc]
            check_fifteen(arcand, session_id, run_id)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("delay_ms", [50, 250, 320, 400])
def test_a_first_start_that_is_cut_off_leaves_a_usable_folder(tmp_path: Path, number: int, delay_ms: int) -> None:
    """Ended while identity, token and journal are being made: the next start works, whatever there was already."""
    arcand = Arcand(tmp_path)
    process = arcand.spawn()
    time.sleep(delay_ms / 1000)
    os.kill(process.pid, number)
    process.wait(deadline_s=10)
    with arcand:
        assert arcand.request("POST", "/sessions/s/runs", {"objective": "hello"}).status_code == 200


@pytest.mark.slow
def test_runs_go_on_when_the_journal_writer_is_killed(tmp_path: Path) -> None:
    """kill -9 of the writer process alone, three times during a run: another one takes over, nothing is lost or doubled."""
    arcand = Arcand(tmp_path, "--provider", fifteen_files(tmp_path))
    with arcand:
        run_id = arcand.start_run("s")
        for _ in range(3):
            time.sleep(0.15)
            writers = children(arcand.process.pid)
            assert len(writers) == 1
            os.kill(writers[0], signal.SIGKILL)
        wait_until(lambda: is_finished(arcand, "s"))
        check_fifteen(arcand, "s", run_id)
        assert "Traceback" not in arcand.output()


async def follow(url: str, headers: dict[str, str], seen: list[Event], *, until: Callable[[], bool]) -> None:
    """A browser's EventSource: reads, and after every break connects again with Last-Event-ID."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        while not until():
            last = {"last-event-id": str(seen[-1]["sequence"])} if seen else {}
            try:
                async with client.stream("GET", url, headers=headers | last) as response:
                    event_id: int | None = None
                    async for line in response.aiter_lines():
                        if line.startswith("id: "):
                            event_id = int(line[4:])
                        elif line.startswith("data: "):
                            event = json.loads(line[6:])
                            assert event_id == (event["sequence"] or None), "an ephemeral event carries no id"
                            if event_id is not None:
                                seen.append(event)
                            event_id = None
                        if until():
                            return
            except httpx2.TransportError:
                await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_event_streams_lose_and_repeat_nothing_over_a_crash(tmp_path: Path) -> None:
    """Five followers that reconnect with Last-Event-ID over two crashes hold exactly the journal, in order."""
    arcand = Arcand(tmp_path, "--provider", fifteen_files(tmp_path))
    with arcand:
        arcand.request("POST", "/sessions", {"session_id": "s"})
        followers: list[list[Event]] = [[] for _ in range(5)]

        def at_end(seen: list[Event]) -> bool:
            return bool(seen) and kind(seen[-1]) == "RunFinished"

        url, headers = f"{arcand.url}/sessions/s/events/stream", arcand.bearer
        tasks = [
            asyncio.create_task(follow(url, headers, seen, until=lambda seen=seen: at_end(seen)))  # type: ignore[misc]
            for seen in followers
        ]
        run_id = arcand.start_run("s")
        for _ in range(2):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(arcand.process.kill)
            await asyncio.to_thread(arcand.start)
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)
        events = check_fifteen(arcand, "s", run_id)
        for seen in followers:
            assert seen == events


def damaged(tmp_path: Path) -> Arcand:
    """A daemon that has run once and was stopped."""
    arcand = Arcand(tmp_path)
    with arcand:
        assert arcand.request("POST", "/sessions/s/runs", {"objective": "write a.txt: x"}).status_code == 200
    return arcand


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize("part", ["body", "digest", "ts_us"])
def test_a_changed_event_is_found_and_named(tmp_path: Path, part: str) -> None:
    """One flipped bit of event 5: arcand refuses to start, `journal verify` says the same, and nothing is changed."""
    arcand = damaged(tmp_path)
    expression = {
        "body": "CAST(replace(CAST(body AS TEXT), 'type', 'typf') AS BLOB)",
        "digest": "CAST(zeroblob(32) AS BLOB)",
        "ts_us": "ts_us + 1",
    }[part]
    damage(
        arcand.data / "journal.db",
        f"UPDATE event SET {part} = {expression} WHERE seq = 5 AND stream ="
        " (SELECT no FROM stream WHERE session = 's')",
    )
    before = snapshot(arcand.data)
    process = arcand.spawn()
    with process:
        assert process.wait(deadline_s=20) == 1
    verify = run_command("lago", "journal", "verify", "--data-dir", arcand.data, folder=tmp_path)
    assert verify[0] == 1
    for words in (process.stderr(), verify[2]):
        assert "[journal.damaged]" in words
        assert "s/main" in words
        assert "sequence 5" in words
        assert "xpected" in words
        assert "found" in words
        assert "Traceback" not in words
    after = snapshot(arcand.data)
    for name in ("journal.db", "token", "identity/seed.enc"):
        assert after[str(arcand.data / name)] == before[str(arcand.data / name)]


def test_a_missing_tail_is_found_and_named(tmp_path: Path) -> None:
    """The last event cut off: refused, with the stream and the sequence that should be there."""
    arcand = damaged(tmp_path)
    damage(
        arcand.data / "journal.db",
        "DELETE FROM event WHERE pos = (SELECT max(pos) FROM event WHERE stream ="
        " (SELECT no FROM stream WHERE session = 's'))",
    )
    with arcand.spawn() as process:
        assert process.wait(deadline_s=20) == 1
        assert "[journal.damaged]" in process.stderr()
        assert "s/main" in process.stderr()


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 100, 4096, 20_000])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    """A journal file cut short is never taken for an empty or a shorter journal; the file stays as it is."""
    arcand = damaged(tmp_path)
    journal = arcand.data / "journal.db"
    damage(journal, "UPDATE stream SET seq = seq WHERE session = 's'")
    for name in ("journal.db-wal", "journal.db-shm"):
        (arcand.data / name).unlink(missing_ok=True)
    os.truncate(journal, keep)
    before = journal.read_bytes()
    with arcand.spawn() as process:
        assert process.wait(deadline_s=20) == 1
        assert "[journal." in process.stderr()
        assert "Traceback" not in process.stderr()
    assert journal.read_bytes() == before


def limit_files(arcand: Arcand, largest_bytes: int) -> None:
    """Let no file of the daemon and its writer grow beyond this: to them the disk is full there."""
    for pid in (arcand.process.pid, *children(arcand.process.pid)):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest_bytes, hard))


@pytest.mark.slow
def test_a_full_disk_stops_runs_and_nothing_else(tmp_path: Path) -> None:
    """Without room for the journal: a run's start is refused with a code, a run that goes on stops where it is and says
    why, pages and health answer; with room again both work, and no event is lost or doubled. Never a traceback."""
    arcand = Arcand(tmp_path, "--provider", fifteen_files(tmp_path, delay_ms=50))
    with arcand:
        run_id = arcand.start_run("s")
        time.sleep(0.2)
        limit_files(arcand, 4_096)
        refused = arcand.request("POST", "/sessions", {"session_id": "t"})
        assert refused.status_code in (503, 507), refused.text
        assert refused.json()["code"] in ("journal.disk_full", "journal.unavailable")
        assert refused.json()["retryable"] is True
        wait_until(lambda: "The run of session s stopped" in arcand.process.stderr())
        assert arcand.request("GET", "/health").status_code == 200
        head = arcand.get("/sessions/s")
        assert isinstance(head, dict)
        assert head["status"] == "running"
        assert arcand.request("POST", "/sessions/s/resume").status_code in (503, 507)
        limit_files(arcand, resource.RLIM_INFINITY)
        assert arcand.request("POST", "/sessions", {"session_id": "t"}).status_code == 201
        resumed = arcand.request("POST", "/sessions/s/resume")
        assert (resumed.status_code, resumed.json()["run_id"]) == (200, run_id)
        wait_until(lambda: is_finished(arcand, "s"))
        check_fifteen(arcand, "s", run_id)
        assert "Traceback" not in arcand.output()
    assert run_command("lago", "journal", "verify", "--data-dir", arcand.data, folder=tmp_path)[0] == 0
