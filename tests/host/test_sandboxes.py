"""Choosing the sandbox: what is named is opened, and nothing weaker."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.host import sandboxes
from life.host.clock import SystemClock, SystemEntropy
from life.host.errors import SettingsError
from life.host.sandboxes import open_bash, open_sandbox, sandbox_banner, sandbox_findings, sandbox_limits
from life.host.settings import SandboxSettings, load_settings
from life.praxis.errors import SandboxUnavailableError


async def test_a_missing_backend_is_a_start_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named is not replaced by anything; the sentence says what to do."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailableError) as refused:
        await open_sandbox(SandboxSettings(backend="bubblewrap"), clock=SystemClock(), data_root=tmp_path)
    assert refused.value.next_step


@pytest.mark.part("landlock")
async def test_landlock_where_bubblewrap_can_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless told otherwise; a person is told, and a list of hosts is not given up for it."""
    monkeypatch.setenv("PATH", "/nonexistent")
    sandbox = await open_sandbox(SandboxSettings(), clock=SystemClock(), data_root=tmp_path)
    assert sandbox is not None
    assert sandbox.description.name == "landlock"
    assert "Landlock" in (sandbox_banner(SandboxSettings(), "landlock") or "")
    with pytest.raises(SandboxUnavailableError):
        await open_sandbox(SandboxSettings(allow_hosts=("example.com",)), clock=SystemClock(), data_root=tmp_path)


async def test_without_either_there_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never comes down to plain processes; the next step names how to go without commands."""

    async def refuses(**_: object) -> None:
        raise SandboxUnavailableError("Not here.", next_step="Get it.")

    monkeypatch.setattr(sandboxes, "open_bubblewrap", refuses)
    monkeypatch.setattr(sandboxes, "open_landlock", refuses)
    with pytest.raises(SandboxUnavailableError) as refused:
        await open_sandbox(SandboxSettings(), clock=SystemClock(), data_root=tmp_path)
    assert "LIFE_SANDBOX_BACKEND=off" in (refused.value.next_step or "")


async def test_off_takes_the_tool_away(tmp_path: Path) -> None:
    """Explicitly, and only then."""
    bash = await open_bash(
        SandboxSettings(backend="off"),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        data_root=tmp_path,
        environment={},
    )
    assert bash is None


async def test_plain_processes_only_by_name_and_with_a_banner(tmp_path: Path) -> None:
    """The words are there to be shown; the others have none."""
    settings = load_settings(None, {"LIFE_SANDBOX_BACKEND": "process"}).sandbox
    sandbox = await open_sandbox(settings, clock=SystemClock(), data_root=tmp_path)
    assert sandbox is not None
    assert sandbox.description.tier == "basic"
    assert (sandbox_banner(settings, "process") or "").startswith("NO SANDBOX")
    assert sandbox_banner(SandboxSettings(), "bubblewrap") is None


@pytest.mark.parametrize("backend", ["landlock", "process"])
async def test_a_list_of_hosts_that_can_not_be_enforced_is_refused(backend: str, tmp_path: Path) -> None:
    """Better no start than a list that nobody keeps."""
    settings = load_settings(None, {"LIFE_SANDBOX_BACKEND": backend, "LIFE_SANDBOX_ALLOW_HOSTS": "example.com"}).sandbox
    with pytest.raises(SandboxUnavailableError, match="allow_hosts"):
        await open_sandbox(settings, clock=SystemClock(), data_root=tmp_path)


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/root", "relative", "/nonexistent", "{data}", "{data}/below", "{above}", "{link}"]
)
async def test_paths_that_show_more_than_programs_are_refused(path: str, tmp_path: Path) -> None:
    """Not the data directory, nothing above or below it, no link, nothing that holds secrets by nature."""
    data = tmp_path / "data"
    (data / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("/usr")
    text = path.format(data=data, above=tmp_path, link=tmp_path / "link")
    with pytest.raises(SettingsError, match="system_paths"):
        await open_sandbox(SandboxSettings(system_paths=(text,)), clock=SystemClock(), data_root=data)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GITHUB_TOKEN", "LIFE_PASSPHRASE", "PGPASSWORD", "a-b", ""])
async def test_secrets_are_not_passed_on_even_when_named(name: str, tmp_path: Path) -> None:
    """A name that looks like a secret, or is no name."""
    with pytest.raises(SettingsError, match="pass_environment"):
        await open_bash(
            SandboxSettings(backend="process", pass_environment=(name,)),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            data_root=tmp_path,
            environment={name: "x"},
        )


async def test_a_host_pattern_that_is_none(tmp_path: Path) -> None:
    """Told at the start."""
    with pytest.raises(SettingsError, match="allow_hosts"):
        await open_sandbox(
            SandboxSettings(allow_hosts=("https://example.com",)), clock=SystemClock(), data_root=tmp_path
        )


def test_limits_are_those_of_the_settings() -> None:
    """In the units of the port."""
    limits = sandbox_limits(SandboxSettings(max_time_s=5, memory_mib=100, file_mib=7, processes=20, tmp_mib=3))
    assert (limits.wall_time_ms, limits.memory_bytes, limits.file_bytes) == (5000, 100 * 1024**2, 7 * 1024**2)
    assert (limits.processes, limits.tmp_bytes) == (20, 3 * 1024**2)


@pytest.mark.slow
@pytest.mark.part("bubblewrap")
@pytest.mark.part("landlock")
async def test_the_findings_tell_what_was_tried_on_this_machine() -> None:
    """Every backend, the chosen one first, nothing broken; what plain processes do not give is said."""
    findings = await sandbox_findings(SandboxSettings(), clock=SystemClock())
    assert [one.backend for one in findings[:1]] == ["bubblewrap"]
    assert findings[0].chosen
    assert {one.backend for one in findings} == set(sandboxes.BACKENDS)
    assert [one for one in findings if one.result in ("broken", "unavailable")] == []
    enforced = {one.guarantee for one in findings if one.backend == "bubblewrap" and one.result == "enforced"}
    assert {"no_network", "outside_unreadable", "clean_environment", "time_limit", "no_survivors"} <= enforced
    not_enforced = {one.guarantee for one in findings if one.backend == "process" and one.result == "not_enforced"}
    assert {"no_network", "outside_unreadable"} <= not_enforced


@pytest.mark.slow
async def test_a_backend_that_does_not_work_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its reason and the next step; the others are tried all the same."""
    monkeypatch.setenv("PATH", "/nonexistent")
    findings = await sandbox_findings(SandboxSettings(), clock=SystemClock())
    first = findings[0]
    assert (first.backend, first.area, first.result) == ("bubblewrap", "start", "unavailable")
    assert "apt install" in (first.next_step or "")
    assert any(one.backend == "process" and one.result == "enforced" for one in findings)
