"""Killed at any point, a run ends as if nothing had happened, or stops and asks (ARCHITECTURE.md §2.4; arcan.md §17.4)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from life.aios.errors import LifeError
from life.aios.ports.journal import Journal
from life.aios.ports.tools import ToolCall
from life.aios.record import NewEvent
from life.arcan.approvals import Edited, Scope
from life.arcan.conversation import build_request, encode_request
from life.arcan.providers.scripted import Script, ScriptedProvider
from life.arcan.reports import RunReport
from life.arcan.runtime import Runtime
from life.arcan.session_state import CallState
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.arcan.crashing import DyingJournal, Killed, Moment
from tests.arcan.workbench import Workbench, calls, history, kinds, runtime_on, says, script


def fifteen_tools() -> Script:
    """Fifteen calls in ten answers: single and several at once, repeatable and not, failing and reading (two of them side by side)."""
    return script(
        calls(("write", {"path": "a.txt", "content": "one"}), text="First a file."),
        calls(("append", {"path": "log.txt", "line": "l1"})),
        calls(("write", {"path": "a.txt", "content": "two"}), ("transfer", {"to": "bob"})),
        calls(("look", {"path": "a.txt"})),
        calls(("fail", {})),
        calls(("append", {"path": "log.txt", "line": "l2"}), ("append", {"path": "log.txt", "line": "l3"})),
        calls(("write", {"path": "b.txt", "content": "bee"})),
        calls(
            ("transfer", {"to": "carol"}),
            ("look", {"path": "b.txt"}),
            ("look", {"path": "log.txt"}),
            ("write", {"path": "c.txt", "content": "sea"}),
        ),
        calls(("append", {"path": "log.txt", "line": "l4"})),
        calls(("write", {"path": "d.txt", "content": "dee"})),
        says("All fifteen are done."),
    )


def _files(bench: Workbench) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(bench.workspace.iterdir())}


def _effects(bench: Workbench) -> list[str]:
    """Effects by what they did; the keys of transfers differ from run to run."""
    return sorted(line.partition(":")[0] if line.startswith("transfer") else line for line in bench.effects())


def _in_the_log(bench: Workbench, line: object) -> bool:
    """What a person would look at before saying whether an append happened."""
    log = bench.workspace / "log.txt"
    return log.exists() and str(line) in log.read_text().splitlines()


async def _undisturbed(root: Path) -> tuple[Workbench, int]:
    """The run as it is without a crash, and how many appends it makes."""
    bench = Workbench(root)
    journal = MemoryJournal()
    counting = DyingJournal(journal, at=0, moment="before")
    async with runtime_on(counting, bench, fifteen_tools()) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Do the fifteen things.")
    assert report.reason == "completed"
    assert len(bench.effects()) == 11
    return bench, -counting._left


async def _until_death(journal: DyingJournal, bench: Workbench, seed: str) -> None:
    """Run until the process dies (or the run ends)."""
    try:
        async with runtime_on(journal, bench, fifteen_tools(), seed=seed) as runtime:
            await runtime.create_session("s")
            await runtime.run("s", "Do the fifteen things.")
    except (Killed, LifeError):
        assert journal.dead


async def _finish(journal: MemoryJournal, bench: Workbench, seed: str) -> tuple[RunReport | None, int]:
    """Recover as a new process would, deciding doubts by what really happened; the report and the doubts."""
    doubts = 0
    provider = ScriptedProvider(fifteen_tools(), clock=bench.clock)
    async with runtime_on(journal, bench, provider, seed=seed) as runtime:
        try:
            state = await runtime.state("s")
        except LifeError:
            await runtime.create_session("s")
            return await runtime.run("s", "Do the fifteen things."), 0
        assert provider.requests == 0, "reconstruction asked the model"
        assert encode_state(state) == encode_state(fold("s", await history(journal, "s")))
        report = await runtime.resume("s")
        if report is None and state.last_run is None:
            return await runtime.run("s", "Do the fifteen things."), 0
        while report is not None and report.status == "in_doubt":
            doubts += 1
            assert report.pending is not None and report.pending.tool_name == "append"
            happened = _in_the_log(bench, report.pending.arguments["line"])  # type: ignore[index,call-overload]
            await runtime.resolve_doubt("s", report.pending.call_id, "done" if happened else "retry", actor="tester")
            report = await runtime.wait("s")
        if report is None:
            report = await runtime.wait("s")
        return report, doubts


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_at_every_append_the_run_ends_the_same(tmp_path: Path, moment: Moment) -> None:
    """Whichever append the process dies at, before or after its bytes are durable: same answer, same files, every effect
    exactly once, and no doubt but about calls that nobody can probe."""
    whole, appends = await _undisturbed(tmp_path / "whole")
    assert appends >= 15
    doubts = 0
    for at in range(1, appends + 1):
        bench = Workbench(tmp_path / f"at-{at}")
        journal = MemoryJournal()
        await _until_death(DyingJournal(journal, at=at, moment=moment), bench, f"first-{at}")
        report, doubted = await _finish(journal, bench, f"second-{at}")
        doubts += doubted
        assert report is not None and report.status == "finished", at
        assert (report.reason, report.final_answer) == ("completed", "All fifteen are done."), at
        assert _files(bench) == _files(whole), at
        assert _effects(bench) == _effects(whole), at
    assert doubts >= 4, "each of the four calls that can't be probed was cut off at least once"


@pytest.mark.parametrize("when", ["before_effect", "after_effect"])
async def test_killed_inside_a_tool_its_effect_is_never_silently_repeated(tmp_path: Path, when: str) -> None:
    """Dying within the n-th tool, just before or just after its effect: the effect is there exactly once in the end."""
    whole, _ = await _undisturbed(tmp_path / "whole")
    for number in range(1, 16):
        bench = Workbench(tmp_path / f"{when}-{number}")
        journal = MemoryJournal()
        dying = DyingJournal(journal, at=0, moment="before")
        _die_at_call(bench, when, number, dying)
        await _until_death(dying, bench, f"first-{number}")
        bench.before_effect = bench.after_effect = lambda call: None
        report, _ = await _finish(journal, bench, f"second-{number}")
        assert report is not None and report.final_answer == "All fifteen are done.", number
        assert _files(bench) == _files(whole), number
        assert _effects(bench) == _effects(whole), number


def _die_at_call(bench: Workbench, when: str, number: int, dying: DyingJournal) -> None:
    seen = 0

    def hook(call: ToolCall) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            dying.die()

    setattr(bench, when, hook)


async def test_killed_again_and_again(tmp_path: Path) -> None:
    """A process that never manages more than four appends still gets the run done, one piece at a time."""
    whole, _ = await _undisturbed(tmp_path / "whole")
    bench = Workbench(tmp_path / "again")
    journal = MemoryJournal()
    for life in range(120):
        dying = DyingJournal(journal, at=4, moment="after")
        try:
            async with runtime_on(dying, bench, fifteen_tools(), seed=f"life-{life}") as runtime:
                await runtime.create_session("s")
                await _one_life(runtime, bench)
                break
        except (Killed, LifeError):
            assert dying.dead
    assert _files(bench) == _files(whole)
    assert _effects(bench) == _effects(whole)
    state = fold("s", await history(journal, "s"))
    assert state.last_run is not None and state.last_run.final_answer == "All fifteen are done."


async def _one_life(runtime: Runtime, bench: Workbench) -> None:
    state = await runtime.state("s")
    report = await runtime.resume("s") if state.run else await runtime.run("s", "Do it.", idempotency_key="the-run")
    while report is not None and report.status == "in_doubt":
        assert report.pending is not None
        happened = _in_the_log(bench, report.pending.arguments["line"])  # type: ignore[index,call-overload]
        await runtime.resolve_doubt("s", report.pending.call_id, "done" if happened else "retry", actor="tester")
        report = await runtime.wait("s")


async def test_every_prefix_folds_alike_and_can_be_resumed(tmp_path: Path) -> None:
    """Cut off after any event, even inside a batch, the journal folds to the state that lived then, the next request is
    the same byte for byte, and resuming comes to rest."""
    journal = MemoryJournal()
    async with runtime_on(journal, Workbench(tmp_path / "whole"), fifteen_tools()) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Do the fifteen things.")
    records = await history(journal, "s")
    for length in range(1, len(records) + 1):
        prefix = MemoryJournal()
        await prefix.append([_again(record) for record in records[:length]])
        state, again = fold("s", records[:length]), fold("s", await history(prefix, "s"))
        assert encode_state(state) == encode_state(again)
        first = build_request(state.conversation, system="", tools=(), max_output_tokens=1)
        second = build_request(again.conversation, system="", tools=(), max_output_tokens=1)
        assert encode_request(first) == encode_request(second)
        bench = Workbench(tmp_path / f"prefix-{length}")
        async with runtime_on(prefix, bench, fifteen_tools(), seed=f"prefix-{length}") as runtime:
            report = await runtime.resume("s")
            assert report is None or report.status in ("finished", "in_doubt"), length
        assert len(bench.effects()) == len(set(bench.effects()))


def _again(record: object) -> NewEvent:
    """A stored event as it was before it was stored."""
    names = [
        "event_id",
        "session_id",
        "branch_id",
        "agent_id",
        "timestamp_us",
        "payload",
        "kind_name",
        "actor",
        "schema",
        "causation_id",
        "correlation_id",
    ]
    return NewEvent(**{name: getattr(record, name) for name in names})


async def test_the_live_state_is_the_folded_state_after_every_event(tmp_path: Path) -> None:
    """What the loop keeps in memory is, byte for byte, what a reader of the journal gets, at every commit."""
    journal = MemoryJournal()
    bench = Workbench(tmp_path)
    async with runtime_on(journal, bench, fifteen_tools()) as runtime:
        await runtime.create_session("s")
        compared = 0

        async def compare() -> None:
            nonlocal compared
            live = encode_state(await runtime.state("s"))
            assert live == encode_state(fold("s", (await history(journal, "s"))[: fold_head(live)]))
            compared += 1

        run_id = await runtime.start("s", "Do the fifteen things.")
        async for record in runtime.subscribe("s"):
            await compare()
            if record.kind_name == "RunFinished":
                break
        assert (await runtime.wait("s", run_id)).reason == "completed"
        await compare()
    assert compared > 50


def fold_head(encoded: bytes) -> int:
    """The head that an encoded state stands at."""
    import json

    head: int = json.loads(encoded).get("head", 0)
    return head


async def test_a_model_call_that_the_crash_cut_is_simply_asked_again(tmp_path: Path) -> None:
    """Nothing of an answer is executed before it is journaled, so repeating the call is safe; the run goes on."""
    journal = MemoryJournal()
    bench = Workbench(tmp_path)
    broken = script(calls(("write", {"path": "a.txt", "content": "x"})), says("Done."))

    def dies(turns: int) -> Callable[[object], object]:
        provider = ScriptedProvider(broken, clock=bench.clock)

        def turn(request: object) -> object:
            if provider.requests == turns:
                raise Killed
            provider.requests += 1
            return broken.turns[provider.requests - 1]

        return turn

    with pytest.raises(Killed):
        async with runtime_on(journal, bench, ScriptedProvider(dies(1), clock=bench.clock)) as runtime:  # type: ignore[arg-type]
            await runtime.create_session("s")
            await runtime.run("s", "Write.")
    async with runtime_on(journal, bench, broken, seed="second") as runtime:
        report = await runtime.resume("s")
    assert report is not None and report.final_answer == "Done."
    assert bench.effects() == ["write:a.txt=x"]
    assert "SessionResumed" in await kinds(journal, "s")


@pytest.mark.slow
def test_a_real_process_killed_again_and_again(tmp_path: Path) -> None:
    """A real process, a real journal file, a real SIGKILL at a random-looking moment, until the run is done: every effect
    exactly once, the answer the same."""
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from life.lago.journal.sqlite import SqliteJournal
        from tests.arcan.realtime import SystemClock
        from tests.arcan.test_crash import fifteen_tools, _one_life
        from tests.arcan.workbench import Workbench, runtime_on

        async def main(root):
            bench = Workbench(root, clock=SystemClock())
            async with SqliteJournal.open(root / "journal.db", clock=bench.clock) as journal:
                async with runtime_on(journal, bench, fifteen_tools(), seed=sys.argv[2]) as runtime:
                    await runtime.create_session("s")
                    print("up", flush=True)
                    await _one_life(runtime, bench)
            print("finished", flush=True)

        asyncio.run(main(Path(sys.argv[1])))
        """
    )
    finished = False
    lives = kills = 0
    while not finished and lives < 60:
        lives += 1
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), f"life-{lives}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == b"up\n", child.stderr.read().decode()
        try:
            # Longer lives as time goes on, so that a slow machine gets there, too.
            out, err = child.communicate(timeout=0.002 + (lives % 5) * 0.002 * lives)
            assert child.returncode == 0, err.decode()
            finished = b"finished" in out
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
            kills += 1
    assert finished
    assert kills >= 2
    bench = Workbench(tmp_path, clock=ManualClock())
    # The tally is written after the effect, so a kill between the two leaves it one line short; the files tell all.
    assert len(bench.effects()) == len(set(bench.effects()))
    # A transfer's line is its effect, so of those there are exactly as many as there should be.
    assert sum(line.startswith("transfer") for line in bench.effects()) == 2
    assert _files(bench) == {
        "a.txt": "two",
        "b.txt": "bee",
        "c.txt": "sea",
        "d.txt": "dee",
        "log.txt": "l1\nl2\nl3\nl4\n",
    }


# The same with everything that people do meanwhile


def with_people() -> Script:
    """Fifteen calls, three of which a person is asked about; a message that waits gets an answer of its own."""
    return script(
        calls(("write", {"path": "a.txt", "content": "one"}), ("sign", {"text": "first"})),
        calls(("append", {"path": "log.txt", "line": "l1"}), ("transfer", {"to": "bob"})),
        calls(
            ("sign", {"text": "second"}), ("write", {"path": "a.txt", "content": "two"}), ("look", {"path": "a.txt"})
        ),
        calls(("fail", {}), ("append", {"path": "log.txt", "line": "l2"})),
        calls(
            ("write", {"path": "b.txt", "content": "bee"}), ("transfer", {"to": "carol"}), ("look", {"path": "b.txt"})
        ),
        calls(("sign", {"text": "third"}), ("append", {"path": "log.txt", "line": "l3"})),
        calls(("write", {"path": "c.txt", "content": "sea"})),
        says("All fifteen are done."),
        says("The message, too."),
    )


async def _with_people_until_death(journal: Journal, bench: Workbench, seed: str) -> str | None:
    """One life of a process beside which a person decides: the first signature is edited, the second allowed for the session
    (and with it the third), doubts are decided by what happened. The last answer, or None when it died."""
    try:
        async with runtime_on(journal, bench, with_people(), seed=seed) as runtime:
            await runtime.create_session("s")
            state = await runtime.state("s")
            if state.totals.runs == 0:
                await runtime.start("s", "Do the fifteen things.", idempotency_key="the-run")
            else:
                await runtime.recover_all()
            for _ in range(100):
                report = await runtime.wait("s")
                call = report.pending
                if call is None:
                    return report.final_answer
                await _decide(runtime, bench, call)
            raise AssertionError("it never ends")
    except (Killed, LifeError):
        assert isinstance(journal, DyingJournal) and journal.dead
        return None


async def _decide(runtime: Runtime, bench: Workbench, call: CallState) -> None:
    assert isinstance(call.arguments, dict)
    state = await runtime.state("s")
    if call.phase == "awaiting_approval":
        if not state.queue and state.totals.runs == 1:
            await runtime.send("s", "And a message.", steering="followup")
        edited = Edited({"text": "better"}) if call.arguments["text"] == "first" else None
        scope: Scope = "session" if call.arguments["text"] == "second" else "once"
        await runtime.resolve_approval(
            "s", call.approval_id or "", approved=True, actor="ann", edited=edited, scope=scope
        )
        return
    if call.tool_name == "append":
        happened = _in_the_log(bench, call.arguments["line"])
    else:
        happened = f"sign:{call.arguments['text']}" in bench.effects()
    await runtime.resolve_doubt("s", call.call_id, "done" if happened else "retry", actor="tester")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_4_killed_at_every_append_with_people_and_a_queue(tmp_path: Path, moment: Moment) -> None:
    """Acceptance 4: fifteen tools, three approvals (one edited, one for the session), a queued message: whichever append the
    process dies at, the end is the same, and no effect is repeated."""
    counting = DyingJournal(MemoryJournal(), at=0, moment="before")
    whole = Workbench(tmp_path / "whole")
    assert await _with_people_until_death(counting, whole, "whole") == "The message, too."
    appends = -counting._left
    assert appends >= 20
    assert [line for line in whole.effects() if line.startswith("sign")] == ["sign:better", "sign:second", "sign:third"]
    for at in range(1, appends + 1):
        bench, journal = Workbench(tmp_path / f"{moment}-{at}"), MemoryJournal()
        died = await _with_people_until_death(DyingJournal(journal, at=at, moment=moment), bench, f"first-{at}")
        assert died is None or at == appends, at
        assert await _with_people_until_death(journal, bench, f"second-{at}") == "The message, too.", at
        assert _files(bench) == _files(whole), at
        assert _effects(bench) == _effects(whole), at
        state = fold("s", await history(journal, "s"))
        assert (state.queue, state.run, len(state.rules), state.totals.runs) == ((), None, 1, 2), at


async def test_4_every_prefix_with_people_comes_to_rest(tmp_path: Path) -> None:
    """Acceptance 4: cut off after any event, even inside a batch, the same history, vector, mode, approvals, policy, queue and
    rules are folded, without a model, and resuming comes to rest."""
    journal = MemoryJournal()
    await _with_people_until_death(journal, Workbench(tmp_path / "whole"), "whole")
    records = await history(journal, "s")
    for length in range(1, len(records) + 1):
        prefix = MemoryJournal()
        await prefix.append([_again(record) for record in records[:length]])
        assert encode_state(fold("s", records[:length])) == encode_state(fold("s", await history(prefix, "s")))
        bench = Workbench(tmp_path / f"prefix-{length}")
        async with runtime_on(prefix, bench, with_people(), seed=f"prefix-{length}") as runtime:
            await runtime.recover("s")
            state = await runtime.state("s")
            if state.run is not None or state.last_run is not None:
                report = await runtime.wait("s")
                assert report.status in ("finished", "waiting", "in_doubt"), length
        assert len(bench.effects()) == len(set(bench.effects())), length
