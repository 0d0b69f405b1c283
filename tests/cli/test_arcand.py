"""`arcand` and `life up` as real processes: starting, refusing, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import httpx2
import pytest

import life
from life.host.errors import DataDirectoryLockedError
from tests.cli.daemon import BIN, Arcand, free_port, kind, run_command, write_script
from tests.harness.process import ChildProcess


def test_the_ready_line_comes_when_requests_are_answered(tmp_path: Path) -> None:
    """The moment the line can be read, /health answers; token and journal are private files."""
    with Arcand(tmp_path) as arcand:
        assert httpx2.get(f"{arcand.url}/health", trust_env=False).json()["status"] == "ok"
        for name in ("token", "journal.db", "identity/seed.enc"):
            assert stat.S_IMODE((arcand.data / name).stat().st_mode) == 0o600
        assert stat.S_IMODE(arcand.data.stat().st_mode) == 0o700
        assert arcand.token not in arcand.output()


def test_life_up_greets_people(tmp_path: Path) -> None:
    """It prints who the agent is and a link that logs in once."""
    argv = [str(BIN / "life"), "up", "--port", "0", "--data-dir", "life"]
    with ChildProcess.spawn(argv, env={"LIFE_KEY_FILE": str(tmp_path / "key")}, cwd=tmp_path) as process:
        link = process.wait_for_line(r" +(http://127\.0\.0\.1:\d+/login\?code=\S+)")[1]
        assert "did:key:" in process.stdout()
        assert httpx2.get(link, trust_env=False).status_code == 303
        assert httpx2.get(link, trust_env=False).status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_three_seconds(tmp_path: Path, number: int) -> None:
    """With an open event stream, a caller who waits for a slow run, and the run itself: exit code 0, nothing on stderr,
    the stream ends, the caller is told, and the run goes on at the next start."""
    turns = [{"text": "slow", "delay_ms": 9_000}]
    arcand = Arcand(tmp_path, "--provider", write_script(tmp_path / "slow.json", turns))
    with arcand:
        run_id = arcand.start_run("s")
        answers: list[str] = []

        def wait_for_another() -> None:
            answers.append(arcand.request("POST", "/sessions/t/runs", {"objective": "x"}).json()["status"])

        caller = threading.Thread(target=wait_for_another)
        caller.start()
        with arcand.client as client, client.stream("GET", "/sessions/s/events/stream") as stream:
            lines = stream.iter_lines()
            next(lines)
            while len(arcand.get("/sessions")) < 2:  # type: ignore[arg-type]
                time.sleep(0.01)
            begun = time.monotonic()
            os.kill(arcand.process.pid, number)
            assert arcand.process.wait(deadline_s=10) == 0
            assert time.monotonic() - begun < 8  # the run, had it been waited for, takes nine
            assert any(line.startswith("data:") for line in lines), "the stream came to its end, it did not break"
        caller.join()
        assert answers == ["running"]
        assert arcand.process.stderr() == ""
        arcand.start()
        assert "Took up 2 interrupted run(s)" in arcand.process.stdout()
        report = arcand.get(f"/sessions/s/runs/{run_id}")
        assert isinstance(report, dict)
        assert report["status"] == "running"


def test_one_daemon_per_data_directory(tmp_path: Path) -> None:
    """The second one is refused with a code and the first one's process id; killed -9, the first leaves no lock."""
    with Arcand(tmp_path) as first:
        with Arcand(tmp_path).spawn() as second:
            assert second.wait(deadline_s=15) == 1
            assert "[host.data_directory_locked]" in second.stderr()
            assert str(first.process.pid) in second.stderr()
        assert first.request("GET", "/sessions").status_code == 200
        first.process.kill()
        first.start()


@pytest.mark.slow
async def test_a_program_and_a_daemon_take_turns(tmp_path: Path) -> None:
    """`life.open` beside a running daemon is refused, because it would take up the daemon's runs and do their effects
    twice; a daemon beside an open agent is refused too. One after the other they share everything."""
    turns: list[dict[str, object]] = [
        {"delay_ms": 1_500, "calls": [{"tool": "write_file", "arguments": {"path": "a.txt", "content": "x"}}]},
        {"text": "done"},
    ]
    arcand = Arcand(tmp_path, "--provider", write_script(tmp_path / "slow.json", turns))
    with arcand:
        run_id = arcand.start_run("s")
        with pytest.raises(DataDirectoryLockedError, match=str(arcand.process.pid)):
            async with life.open(arcand.data, environment=arcand.env):
                pass
        while arcand.get(f"/sessions/s/runs/{run_id}")["status"] == "running":  # type: ignore[index]
            await asyncio.sleep(0.05)
        assert "SessionResumed" not in [kind(event) for event in arcand.events("s")]
    async with life.open(arcand.data, environment=arcand.env) as agent:
        assert (await agent.ask("hello", session_id="s")).reason == "completed"
        with arcand.spawn() as refused:
            assert await asyncio.to_thread(refused.wait, deadline_s=15) == 1
            assert "[host.data_directory_locked]" in refused.stderr()
    with arcand:
        assert len(arcand.events("s")) > 10


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    """One sentence with the address and the next step."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Arcand(tmp_path, port=taken.getsockname()[1]).spawn() as process:
            assert process.wait(deadline_s=15) == 1
            assert "Address already in use" in process.stderr()
            assert "--port" in process.stderr()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", ""])
def test_only_loopback_is_listened_on(tmp_path: Path, host: str) -> None:
    """Anything else needs a proxy with TLS; nothing is made on disk."""
    code, out, err = run_command("arcand", "--port", "0", "--host", host, "--data-dir", "life", folder=tmp_path)
    assert (code, out) == (1, "")
    assert "[host.bind_refused]" in err
    assert not (tmp_path / "life").exists()


def test_a_proxy_is_named(tmp_path: Path) -> None:
    """With --proxy-host it answers under each proxy's name and under loopback, and under no other name."""
    options = ("--host", "0.0.0.0", "--proxy-host", "life.example.org", "--proxy-host", "other.example.org")
    arcand = Arcand(tmp_path, *options)
    with arcand.spawn() as process:
        process.wait_for_line(r"arcand listens on http://0\.0\.0\.0:\d+")
        link = process.wait_for_line(r"  log in +https://life\.example\.org(/login\?code=\S+) .*")[1]
        answer = arcand.request("GET", link, headers={"host": "life.example.org"})
        assert "secure" in answer.headers["set-cookie"].lower()
        for name in ("life.example.org", "other.example.org", f"127.0.0.1:{arcand.port}"):
            assert arcand.request("GET", "/sessions", headers={"host": name}).status_code == 200
        assert arcand.request("GET", "/sessions", headers={"host": "evil.example"}).status_code == 403


REFUSALS = {
    "unknown variable": ({"LIFE_NONSENSE": "1"}, (), "[host.invalid_setting]"),
    "bad value": ({"LIFE_MODEL_MAX_STEPS": "many"}, (), "[host.invalid_setting]"),
    "bad pattern": ({"LIFE_TOOLS_ALLOW_PRIVATE_HOSTS": "http://["}, (), "[host.invalid_setting]"),
    "negative cap": ({"LIFE_PAYMENTS_AUTO_APPROVE_CAP_MICRO": "-1"}, (), "[life.invalid_input]"),
    "unknown network": ({"LIFE_PAYMENTS_NETWORK": "nonsense"}, (), "[haima.wallet_mismatch]"),
    "unknown provider": ({}, ("--provider", "nonsense"), "[arcan.unknown_provider]"),
    "no key": ({}, ("--provider", "anthropic"), "[arcan.provider_key_missing]"),
    "no script": ({}, ("--provider", "scripted:/nowhere"), "[arcan.bad_script]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSALS)
def test_bad_settings_are_refused_at_the_start(tmp_path: Path, name: str) -> None:
    """One sentence with a code, never a traceback."""
    env, options, code = REFUSALS[name]
    with Arcand(tmp_path, *options, env=env).spawn() as process:
        assert process.wait(deadline_s=15) == 1
        assert code in process.stderr()
        assert "Traceback" not in process.stderr()


def test_every_documented_variable_is_known(tmp_path: Path) -> None:
    """LIFE_PROVIDER_API_KEY is read by the providers, so it is no unknown setting; its value is nowhere."""
    with Arcand(tmp_path, env={"LIFE_PROVIDER_API_KEY": "sk-secret-123"}) as arcand:
        arcand.request("POST", "/sessions/s/runs", {"objective": "hello"})
        assert "sk-secret-123" not in arcand.output()
        for path in arcand.data.rglob("*"):
            assert not path.is_file() or b"sk-secret-123" not in path.read_bytes()


@pytest.mark.slow
def test_an_unusable_data_directory_is_said(tmp_path: Path) -> None:
    """A file in its place, a file above it, a lock or journal that is a folder: one sentence each."""
    (tmp_path / "file").write_text("")
    (tmp_path / "odd" / "arcand.lock").mkdir(parents=True)
    (tmp_path / "odder" / "journal.db").mkdir(parents=True)
    (tmp_path / "oddest" / "token").mkdir(parents=True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.toml").write_text("[daemon\n")
    for name in ("file", "file/below", "odd", "odder", "oddest", "broken"):
        code, out, err = run_command("arcand", "--port", "0", "--data-dir", name, folder=tmp_path)
        assert code in (1, 2), name
        assert out == "", name
        assert "Error:" in err, name
        assert "Traceback" not in err, name
    assert (tmp_path / "file").read_text() == ""


def test_a_missing_parent_is_made(tmp_path: Path) -> None:
    """`--data-dir a/b/c` works in an empty folder; every folder that was made for it is private where it matters."""
    arcand = Arcand(tmp_path)
    arcand.data = tmp_path / "a" / "b" / "c"
    with arcand:
        assert stat.S_IMODE(arcand.data.stat().st_mode) == 0o700


@pytest.mark.parametrize(("name", "words"), [("token", "chmod 600"), ("identity/seed.enc", "seed")])
def test_secrets_that_others_can_read_are_refused(tmp_path: Path, name: str, words: str) -> None:
    """A token or a sealed seed with mode 0644 stops the start, and the sentence names the file."""
    arcand = Arcand(tmp_path)
    with arcand:
        pass
    (arcand.data / name).chmod(0o644)
    with arcand.spawn() as process:
        assert process.wait(deadline_s=15) == 1
        assert words in process.stderr()
        assert (arcand.data / name).name in process.stderr()


def test_a_token_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's file behind the token's name is neither used nor overwritten."""
    (tmp_path / "life").mkdir()
    (tmp_path / "theirs").write_text("x" * 43)
    (tmp_path / "life" / "token").symlink_to(tmp_path / "theirs")
    with Arcand(tmp_path).spawn() as process:
        assert process.wait(deadline_s=15) == 1
        assert "[host.data_directory]" in process.stderr()
    assert (tmp_path / "theirs").read_text() == "x" * 43


def test_a_place_where_nothing_can_be_made_is_said(tmp_path: Path) -> None:
    """The kernel's own file system takes no folder from anybody, root included: one sentence, the next step."""
    code, out, err = run_command("arcand", "--port", "0", "--data-dir", "/sys/kernel/life", folder=tmp_path)
    assert (code, out) == (1, "")
    assert "[host.data_directory]" in err
    assert "--data-dir" in err
    assert "Traceback" not in err


def test_ports_are_independent_of_each_other(tmp_path: Path) -> None:
    """Two projects side by side: two daemons, two tokens, and neither takes the other's."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Arcand(tmp_path / "a", port=free_port()) as one, Arcand(tmp_path / "b") as two:
        assert one.token != two.token
        answer = httpx2.get(f"{one.url}/sessions", headers=two.bearer, trust_env=False)
        assert answer.status_code == 401
        assert two.token not in answer.text


def test_a_reader_that_hangs_up_does_not_end_it(tmp_path: Path) -> None:
    """A supervisor that reads the first line and closes the pipe: the daemon goes on."""
    arcand = Arcand(tmp_path)
    line = f"{BIN / 'arcand'} --port {arcand.port} --data-dir life & echo $! > pid; wait"
    with ChildProcess.spawn(["/bin/sh", "-c", f"({line}) | head -n 1"], env=arcand.env, cwd=tmp_path) as shell:
        shell.wait_for_line("(Made|Agent) .*")
        pid = int((tmp_path / "pid").read_text())
        try:
            for _ in range(2):
                assert arcand.request("POST", "/sessions/s/runs", {"objective": "hello"}).status_code == 200
        finally:
            os.kill(pid, signal.SIGTERM)
