"""Branches: forking at any event, editing and running again, merging, going back; their files; crashes and races."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from life.aios import events
from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.provider import ChatMessage, ModelRequest, TextBlock, ToolResultBlock, ToolUseBlock
from life.aios.record import EventRecord, EventWriter, Stream
from life.arcan.branch_folds import NOT_RUN_HERE, STARTED_ELSEWHERE, brought_in, forked, restored
from life.arcan.branches import lineage, read_branches
from life.arcan.checkpoints import SessionHistory
from life.arcan.errors import (
    BranchExistsError,
    BranchFilesMissingError,
    BranchMergedError,
    BranchNotFoundError,
    BranchNotMergeableError,
    FileConflictsError,
    RunInProgressError,
    RunUnfinishedError,
    SessionClosedError,
    SessionNotFoundError,
)
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.any_events import histories
from tests.arcan.branch_bench import Bench
from tests.arcan.branch_crash import fork_and_merge
from tests.arcan.crashing import DyingJournal, Killed
from tests.arcan.workbench import calls, says, script

TWO_RUNS = script(
    calls(("write", {"path": "plan.md", "content": "one"})),
    says("Wrote one."),
    calls(("write", {"path": "plan.md", "content": "two"})),
    says("Wrote two."),
)


def spoken(request: ModelRequest) -> list[str]:
    """Every text and result of a request, in order."""
    found = []
    for message in request.messages:
        for block in message.content:
            if isinstance(block, TextBlock):
                found.append(block.text)
            elif isinstance(block, ToolResultBlock):
                found.append(f"= {block.content}")
    return found


async def two_runs(bench: Bench) -> None:
    """A session `s` with two runs: plan.md is `one` after the first and `two` after the second."""
    async with bench.runtime(TWO_RUNS) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.run("s", "Write one.")
        await runtime.run("s", "Write two.")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, MemoryJournal())


async def test_a_branch_begins_where_its_parent_was(bench: Bench) -> None:
    """Conversation, owner and files are those of the fork; the parent's later turns are not there, and main stays as it is."""
    await two_runs(bench)
    before = [record.event_id for record in await bench.events("s")]
    async with bench.runtime(script(says("-"), says("-"), says("On the branch."))) as runtime:
        point = await bench.sequence_of("RunFinished")
        branch = await runtime.branches.fork("s", "idea", at=point)
        assert (branch.parent_branch, branch.fork_sequence, branch.head_sequence) == ("main", point, 1)
        report = await runtime.run("s", "Another way?", branch="idea")
        assert report.final_answer == "On the branch."
        assert spoken(bench.requests[0]) == ["Write one.", '= {"path":"plan.md"}', "Wrote one.", "Another way?"]
        state = await runtime.state("s", branch="idea")
        assert (state.config.owner, state.branch_id) == ("ann", "idea")
        assert (bench.workspace("s", "idea") / "plan.md").read_text() == "one"
        assert (bench.workspace("s") / "plan.md").read_text() == "two"
    assert [record.event_id for record in await bench.events("s")][: len(before)] == before
    own = await bench.events("s", "idea")
    assert [record.sequence for record in own] == list(range(1, len(own) + 1))
    assert own[0].kind_name == "BranchCreated"


async def test_every_event_can_be_forked_at_and_the_parent_is_untouched(bench: Bench) -> None:
    """A fork at every sequence, also in the middle of a run, is at rest: no call is open, none runs again, and a new run goes."""
    await two_runs(bench)
    head = len(await bench.events("s"))
    runs_before = len(bench.desk.runs)
    async with bench.runtime(ScriptedProvider(lambda request: ScriptedTurn(text="ok"), clock=bench.clock)) as runtime:
        for point in range(head + 1):
            branch = await runtime.branches.fork("s", f"at-{point}", at=point)
            state = await runtime.state("s", branch=branch.branch_id)
            assert (state.run, state.calls, state.status) == (None, (), "idle")
            assert state.config.owner == "ann"
            report = await runtime.run("s", "Go on.", branch=branch.branch_id)
            assert (report.reason, report.final_answer) == ("completed", "ok")
            asked = bench.requests[-1]
            used = {block.call_id for m in asked.messages for block in m.content if isinstance(block, ToolUseBlock)}
            answered = {b.call_id for m in asked.messages for b in m.content if isinstance(b, ToolResultBlock)}
            assert used == answered
    assert len(bench.desk.runs) == runs_before


async def test_open_calls_are_closed_on_the_branch(bench: Bench) -> None:
    """What was asked for is told as not run here, what was running as unknown; the run has ended as `forked`."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        asked = await runtime.branches.fork("s", "asked", at=await bench.sequence_of("ToolCallRequested"))
        running = await runtime.branches.fork("s", "running", at=await bench.sequence_of("ToolCallStarted"))
        for branch, words in ((asked, NOT_RUN_HERE), (running, STARTED_ELSEWHERE)):
            state = await runtime.state("s", branch=branch.branch_id)
            assert words in str(state.conversation.messages()[-1])
            assert state.last_run is not None
            assert state.last_run.reason == "forked"


async def test_a_pending_approval_stays_with_the_parent(bench: Bench) -> None:
    """The call waits on main only; approving it there runs it once, and the branch never does."""
    turns = script(calls(("sign", {})), says("Signed."))
    async with bench.runtime(turns) as runtime:
        await runtime.create_session("s")
        report = await runtime.run("s", "Sign it.")
        assert report.status == "waiting"
        await runtime.branches.fork("s", "idea")
        assert (await runtime.state("s", branch="idea")).status == "idle"
        assert report.pending is not None
        await runtime.resolve_approval("s", report.pending.approval_id or "", approved=True, actor="ann")
        assert (await runtime.wait("s")).reason == "completed"
    assert bench.desk.runs == ["main:sign"]


async def test_forks_of_forks(bench: Bench) -> None:
    """A fork of a fork of a fork has all its ancestors' turns up to each fork, and nothing else."""
    provider = ScriptedProvider(lambda request: ScriptedTurn(text=f"A{len(request.messages)}"), clock=bench.clock)
    async with bench.runtime(provider) as runtime:
        await runtime.create_session("s")
        parent = "main"
        for depth in range(4):
            await runtime.run("s", f"Q{depth}", branch=parent)
            point = len(await bench.events("s", parent))
            await runtime.run("s", f"only on {parent}", branch=parent)
            parent = (await runtime.branches.fork("s", f"d{depth}", parent=parent, at=point)).branch_id
        await runtime.run("s", "last", branch=parent)
        asked = [text for text in spoken(bench.requests[-1]) if not text.startswith("A")]
        assert asked == ["Q0", "Q1", "Q2", "Q3", "last"]
        branches = await read_branches(bench.journal, "s")
        assert [name for name, _ in lineage(branches, "d3", 1)] == ["d3", "d2", "d1", "d0", "main"]
        state = await SessionHistory(bench.journal).state(Stream("s", "d3"))
        assert encode_state(state) == encode_state(await runtime.state("s", branch="d3"))


async def test_edit_and_run_again(bench: Bench) -> None:
    """Other words take the place of a message, files are as before it; doing it again gives the same branch and the same run."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"), says("-"), says("Wrote three instead."))) as runtime:
        message = await bench.sequence_of("UserMessage", nth=2)
        branch, run_id = await runtime.branches.rerun("s", message, "Write three.", name="edited")
        assert (await runtime.wait("s", run_id, branch=branch.branch_id)).final_answer == "Wrote three instead."
        assert "Write two." not in spoken(bench.requests[0])
        assert await runtime.branches.rerun("s", message, "Write three.", name="edited") == (
            await runtime.branches.find("s", "edited"),
            run_id,
        )
        assert len(bench.requests) == 1
        assert (bench.workspace("s", "edited") / "plan.md").read_text() == "one"
        with pytest.raises(InvalidInputError):
            await runtime.branches.rerun("s", message + 1, "No message there.")
        unnamed = [(await runtime.branches.fork_before("s", message)).name for _ in range(2)]
        assert unnamed == [f"main-before-{message}", f"main-before-{message}-2"]


async def test_two_branches_run_at_once(bench: Bench) -> None:
    """Runs on two branches of one session go on side by side, each in its own directory and its own stream."""

    def answer(request: ModelRequest) -> ScriptedTurn:
        last = request.messages[-1].content[-1]
        if isinstance(last, TextBlock):
            return calls(("write", {"path": "who.txt", "content": last.text}))
        return ScriptedTurn(text="done", delay_ms=10)

    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        await runtime.create_session("s")
        await runtime.branches.fork("s", "left")
        await runtime.branches.fork("s", "right")
        runs = [
            asyncio.create_task(runtime.run("s", name, branch=name if name != "main" else "main"))
            for name in ("main", "left", "right")
        ]
        while not all(run.done() for run in runs):
            await asyncio.sleep(0.001)
            bench.clock.advance_us(10_000)
        assert [report.reason for report in await asyncio.gather(*runs)] == ["completed"] * 3
        for name in ("main", "left", "right"):
            assert (bench.workspace("s", name) / "who.txt").read_text() == name


async def test_positions_and_names_that_are_refused(bench: Bench) -> None:
    """Beyond the head, before the beginning, an unknown parent, names that are none."""
    await two_runs(bench)
    head = len(await bench.events("s"))
    async with bench.runtime(script(says("-"))) as runtime:
        for point in (-1, head + 1):
            with pytest.raises(InvalidInputError):
                await runtime.branches.fork("s", "x", at=point)
        for name in ("", " ", " x", "a\nb", "a\x00b", "x" * 201, "\ud800"):
            with pytest.raises(InvalidInputError):
                await runtime.branches.fork("s", name, at=3)
        with pytest.raises(BranchNotFoundError):
            await runtime.branches.fork("s", "x", parent="nowhere")
        with pytest.raises(BranchNotFoundError):
            await runtime.start("s", "Hello", branch="nowhere")
        with pytest.raises(SessionNotFoundError):
            await runtime.branches.fork("unknown", "x")
        with pytest.raises(BranchExistsError):
            await runtime.branches.fork("s", "main", at=3)
        assert [branch.branch_id for branch in await runtime.branches.all("s")] == ["main"]


async def test_names_in_any_script(bench: Bench) -> None:
    """A name is kept as it is, in one composed form; its id can be a part of a path, and both find the branch."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        made = await runtime.branches.fork("s", "idée für später 计划 ../x", at=5)
        assert made.branch_id.isascii() and "/" not in made.branch_id
        assert await runtime.branches.find("s", "ide\u0301e für später 计划 ../x") == made
        assert await runtime.branches.find("s", made.branch_id) == made
        assert (await runtime.state("s", branch=made.branch_id)).branch_id == made.branch_id
        with pytest.raises(BranchNotFoundError):  # a name is no id
            await SessionHistory(bench.journal).state(Stream("s", made.name))
        assert await runtime.branches.fork("s", "ide\u0301e für später 计划 ../x", at=5) == made
        with pytest.raises(BranchExistsError):
            await runtime.branches.fork("s", "idée für später 计划 ../x", at=6)


async def test_of_two_forks_that_race_one_is_stored(bench: Bench) -> None:
    """The same fork by two runtimes is one branch; another fork of the same name is refused."""
    await two_runs(bench)
    other = Bench(bench.root, bench.journal, seed="other")
    async with bench.runtime(script(says("-"))) as one, other.runtime(script(says("-"))) as two:
        made = await asyncio.gather(one.branches.fork("s", "same", at=4), two.branches.fork("s", "same", at=4))
        assert made[0] == made[1]
        raced = await asyncio.gather(
            one.branches.fork("s", "raced", at=4), two.branches.fork("s", "raced", at=5), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in raced) == ["BranchExistsError", "BranchInfo"]
    assert len(await bench.events("s", "raced")) == 1


async def fork_and_run(bench: Bench, *, on_branch: dict[str, str], on_main: dict[str, str]) -> None:
    """Session `s` with base.md; then a branch `idea` and main each write their files."""
    plays = {
        "base": {"base.md": "base\n"},
        "branch": on_branch,
        "main": on_main,
    }

    def answer(request: ModelRequest) -> ScriptedTurn:
        last = request.messages[-1].content[-1]
        if isinstance(last, TextBlock):
            writes: list[tuple[str, dict[str, Json]]] = [
                ("write", {"path": path, "content": text}) for path, text in plays[last.text].items()
            ]
            return calls(*writes)
        return ScriptedTurn(text="done")

    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "base")
        await runtime.branches.fork("s", "idea")
        await runtime.run("s", "branch", branch="idea")
        await runtime.run("s", "main")


async def test_merge_brings_conversation_and_files(bench: Bench) -> None:
    """The target goes on with both sides' turns and files, in its own directory; call ids stay distinct; the source is read-only
    and merges once."""
    await fork_and_run(bench, on_branch={"idea.md": "idea"}, on_main={"main.md": "main"})
    async with bench.runtime(ScriptedProvider(lambda _: ScriptedTurn(text="ok"), clock=bench.clock)) as runtime:
        merged = await runtime.branches.merge("s", "idea")
        assert (merged.target_branch, merged.files_changed, merged.repeated) == ("main", 1, False)
        assert (bench.workspace("s") / "idea.md").read_text() == "idea"
        assert (bench.workspace("s") / "main.md").read_text() == "main"
        await runtime.run("s", "And now?")
        texts = spoken(bench.requests[0])
        assert texts.index("main") < texts.index("branch") < texts.index("And now?")
        assert texts.count("base") == 1
        ids = [b.call_id for m in bench.requests[0].messages for b in m.content if isinstance(b, ToolUseBlock)]
        assert len(ids) == len(set(ids)) == 3
        head = len(await bench.events("s"))
        again = await runtime.branches.merge("s", "idea")
        assert (again.repeated, again.source_head_sequence) == (True, merged.source_head_sequence)
        assert len(await bench.events("s")) == head
        with pytest.raises(BranchMergedError):
            await runtime.start("s", "More", branch="idea")
        with pytest.raises(BranchMergedError):
            await runtime.branches.restore("s", 1, branch="idea")
        await runtime.branches.fork("s", "later", parent="idea")
        with pytest.raises(BranchMergedError):
            await runtime.branches.merge("s", "idea", into="later")
        with pytest.raises(BranchMergedError):
            await runtime.branches.merge("s", "later", into="idea")
    state = await SessionHistory(bench.journal).state(Stream("s"))
    assert state.merges[0].source == "idea"
    assert state.unplaced is None


async def test_file_conflicts_are_told_and_nothing_is_stored(bench: Bench) -> None:
    """Every path that both sides changed is named with its three versions; then somebody says whose side wins."""
    await fork_and_run(
        bench, on_branch={"base.md": "theirs", "new.md": "n"}, on_main={"base.md": "ours", "main.md": "m"}
    )
    async with bench.runtime(script(says("-"))) as runtime:
        with pytest.raises(FileConflictsError) as refused:
            await runtime.branches.merge("s", "idea")
        head = len(await bench.events("s"))
        assert [conflict.path for conflict in refused.value.conflicts] == ["/base.md"]
        assert (await runtime.branches.find("s", "idea")).merged_into is None
        merged = await runtime.branches.merge("s", "idea", prefer="theirs")
        assert merged.files_changed == 2
        assert len(await bench.events("s")) > head
        assert (bench.workspace("s") / "base.md").read_text() == "theirs"
        assert (bench.workspace("s") / "new.md").read_text() == "n"
        assert (bench.workspace("s") / "main.md").read_text() == "m"


async def test_merges_that_can_not_be(bench: Bench) -> None:
    """Main as source, a branch into itself, an open run."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        await runtime.branches.fork("s", "idea", at=5)
        for source, target in (("main", "idea"), ("idea", "idea")):
            with pytest.raises(BranchNotMergeableError):
                await runtime.branches.merge("s", source, into=target)
    writer = EventWriter(bench.clock, SeededEntropy("x"), agent_id="agent-1", stream=Stream("s", "idea"))
    await bench.journal.append([writer.event(events.RunStarted(provider="p", max_iterations=1))])
    async with bench.runtime(script(says("-"))) as runtime:
        with pytest.raises(RunUnfinishedError):
            await runtime.branches.merge("s", "idea")


async def test_a_branch_of_a_branch_merges_into_its_parent(bench: Bench) -> None:
    """Merging goes between any two branches, and what a branch brought with it comes along."""
    provider = ScriptedProvider(lambda request: ScriptedTurn(text=f"A{len(request.messages)}"), clock=bench.clock)
    async with bench.runtime(provider) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "root")
        await runtime.branches.fork("s", "a")
        await runtime.run("s", "on a", branch="a")
        await runtime.branches.fork("s", "b", parent="a")
        await runtime.run("s", "on b", branch="b")
        await runtime.branches.merge("s", "b", into="a")
        await runtime.branches.merge("s", "a")
        await runtime.run("s", "end")
        asked = [text for text in spoken(bench.requests[-1]) if not text.startswith(("A", "["))]
        assert asked == ["root", "on a", "on b", "end"]


async def test_going_back_is_a_new_event(bench: Bench) -> None:
    """The branch goes on from the earlier point with its conversation and files; what came between stays and can be gone back to."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"), says("-"), says("Third."), says("Fourth."))) as runtime:
        point = await bench.sequence_of("RunFinished")
        late = len(await bench.events("s"))
        totals = (await runtime.state("s")).totals
        done = await runtime.branches.restore("s", point)
        assert (done.restored_to_sequence, done.files_changed) == (point, 1)
        assert (bench.workspace("s") / "plan.md").read_text() == "one"
        state = await runtime.state("s")
        assert state.totals == totals
        assert "Write two." not in str(state.conversation.messages())
        await runtime.run("s", "Third?")
        assert spoken(bench.requests[0])[-2:] == ["Wrote one.", "Third?"]
        await runtime.branches.restore("s", late)
        assert (bench.workspace("s") / "plan.md").read_text() == "two"
        assert "Third?" not in str((await runtime.state("s")).conversation.messages())
        for wrong in (0, 10_000):
            with pytest.raises(InvalidInputError):
                await runtime.branches.restore("s", wrong)
    folded = await SessionHistory(bench.journal).state(Stream("s"))
    assert "Write two." in str(folded.conversation.messages())


async def test_what_a_person_changed_meanwhile_is_not_overwritten(bench: Bench) -> None:
    """A crash between merge and working copy: the next start brings the copy up to date, and leaves what somebody changed."""
    await fork_and_run(bench, on_branch={"base.md": "theirs", "idea.md": "idea"}, on_main={"main.md": "m"})
    dying = DyingJournal(bench.journal, at=1, moment="after")
    crashed = Bench(bench.root, dying, seed="crashed")
    async with crashed.runtime(script(says("-"))) as runtime:
        with pytest.raises(Killed):
            await runtime.branches.merge("s", "idea")
        dying.dead = False
    (bench.workspace("s") / "base.md").write_text("a person's")
    async with Bench(bench.root, bench.journal, seed="after").runtime(script(says("-"))) as runtime:
        again = await runtime.branches.merge("s", "idea")
        assert again.repeated
        assert (bench.workspace("s") / "idea.md").read_text() == "idea"
        assert (bench.workspace("s") / "base.md").read_text() == "a person's"
        placed = (await bench.events("s"))[-1].kind
        assert isinstance(placed, events.Custom)
        assert placed.data == {"left": ["/base.md"]}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 6))
async def test_killed_at_every_append_of_fork_and_merge(tmp_path: Path, at: int, moment: str) -> None:
    """Killed before or after any append, then done again: the same branches, conversation and files as without the crash."""

    async def work(bench: Bench) -> None:
        async with bench.runtime(ScriptedProvider(lambda _: ScriptedTurn(text="ok"), clock=bench.clock)) as runtime:
            await runtime.branches.fork("s", "second", parent="idea", at=1)
            await runtime.branches.merge("s", "idea")

    outcomes = []
    for name in ("clean", "crashed"):
        bench = Bench(tmp_path / name, MemoryJournal())
        await fork_and_run(bench, on_branch={"idea.md": "idea"}, on_main={"main.md": "m"})
        if name == "crashed":
            dying = DyingJournal(bench.journal, at=at, moment="after" if moment == "after" else "before")
            try:
                await work(Bench(bench.root, dying, seed="dying"))
            except BaseException as error:
                if not isinstance(error, Killed):
                    raise
        await work(Bench(bench.root, bench.journal, seed="again"))
        state = await SessionHistory(bench.journal).state(Stream("s"))
        branches = {
            branch_id: (branch.parent_branch, branch.fork_sequence, branch.merged_into)
            for branch_id, branch in (await read_branches(bench.journal, "s")).items()
        }
        files = {path.name: path.read_text() for path in bench.workspace("s").iterdir()}
        outcomes.append((state.conversation.messages(), branches, files, state.unplaced))
    assert outcomes[0] == outcomes[1]


async def test_a_run_on_a_branch_is_recovered(bench: Bench) -> None:
    """A run that a crash cut off on a branch is found and ended there, like one on main."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        await runtime.branches.fork("s", "idea", at=5)
    dying = DyingJournal(bench.journal, at=2, moment="before")
    crashed = Bench(bench.root, dying, seed="crashed")
    turns = ScriptedProvider(lambda _: ScriptedTurn(text="Recovered."), clock=bench.clock)
    with pytest.raises(Killed):
        async with crashed.runtime(turns) as runtime:
            run = asyncio.create_task(runtime.run("s", "Go.", branch="idea"))
            await run
    after = Bench(bench.root, bench.journal, seed="after")
    async with after.runtime(turns) as runtime:
        assert await runtime.recover_all() == ["s"]
        assert (await runtime.wait("s", branch="idea")).final_answer == "Recovered."
        assert (await runtime.state("s")).status == "idle"


async def test_a_closed_session_has_no_new_branches(bench: Bench) -> None:
    """Closing main closes the session: its branches can be read, and neither forked, run nor merged."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        await runtime.branches.fork("s", "idea", at=5)
        await runtime.close_session("s")
        with pytest.raises(SessionClosedError):
            await runtime.branches.fork("s", "late", at=5)
        with pytest.raises(SessionClosedError):
            await runtime.start("s", "More", branch="idea")
        with pytest.raises(SessionClosedError):
            await runtime.branches.merge("s", "idea")
        assert (await runtime.state("s", branch="idea")).status == "idle"


async def test_of_a_deleted_session_nothing_is_told(bench: Bench) -> None:
    """Neither its branches nor their states, turns or differences; nor can it be forked, merged or taken back."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        await runtime.branches.fork("s", "idea", at=5)
        await runtime.delete_session("s", actor="ann")
        branches = runtime.branches
        for attempt in (
            branches.all("s"),
            branches.find("s", "idea"),
            branches.state("s", branch="idea"),
            branches.compare("s", "main", "idea"),
            branches.fork("s", "late", at=5),
            branches.merge("s", "idea"),
            branches.restore("s", 3),
            runtime.state("s", branch="idea"),
            runtime.start("s", "More", branch="idea"),
        ):
            with pytest.raises((SessionNotFoundError, SessionClosedError)):
                await attempt


async def test_without_versions_of_files_branches_are_read_but_not_run(bench: Bench) -> None:
    """A runtime that keeps no versions never lets two branches share one directory."""
    async with bench.runtime(script(says("One."), says("Two.")), with_files=False) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Hello")
        branch = await runtime.branches.fork("s", "idea")
        with pytest.raises(BranchFilesMissingError):
            await runtime.start("s", "Go", branch=branch.branch_id)
        assert (await runtime.branches.compare("s", "main", "idea")).files is None


async def test_a_foreign_creation_on_a_branch_changes_no_owner(bench: Bench) -> None:
    """Nothing that is appended to a branch gives it another owner or another policy."""
    await two_runs(bench)
    async with bench.runtime(script(says("-"))) as runtime:
        await runtime.branches.fork("s", "idea", at=0)
    writer = EventWriter(bench.clock, SeededEntropy("x"), agent_id="agent-2", stream=Stream("s", "idea"))
    await bench.journal.append([writer.event(events.SessionCreated(name="mine", config={"owner": "eve"}))])
    state = await SessionHistory(bench.journal).state(Stream("s", "idea"))
    assert (state.config.owner, state.name, state.agent_id) == ("ann", "s", "agent-1")


async def test_branches_that_stand_on_their_parent_are_read() -> None:
    """Lago writes BranchCreated on the parent; circles and parents that are not there end a lineage instead of hanging."""
    journal = MemoryJournal()
    clock, entropy = ManualClock(), SeededEntropy("lago")
    on_main = EventWriter(clock, entropy, agent_id="a", stream=Stream("s"))
    created = events.SessionCreated(name="S", config={"owner": "ann"})
    forked = events.BranchCreated(new_branch_id="B", fork_point_seq=0, name="old")
    said = events.UserMessage(content="Hello")
    await journal.append([on_main.event(kind) for kind in (created, said, forked)])
    for branch, parent in (("x", "y"), ("y", "x"), ("lost", "nowhere")):
        writer = EventWriter(clock, entropy, agent_id="a", stream=Stream("s", branch))
        kind = events.BranchCreated(new_branch_id=branch, fork_point_seq=3, name=branch, parent_branch_id=parent)
        await journal.append([writer.event(kind)])
    history = SessionHistory(journal)
    state = await history.state(Stream("s", "B"))
    assert (state.config.owner, state.head, state.conversation.messages()) == ("ann", 0, ())
    for branch in ("x", "y", "lost"):
        assert (await history.state(Stream("s", branch))).head == 1


async def test_a_merge_that_goes_in_circles_ends() -> None:
    """Two branches that claim to have merged each other are folded, to an end."""
    journal = MemoryJournal()
    clock, entropy = ManualClock(), SeededEntropy("circle")
    on_main = EventWriter(clock, entropy, agent_id="a", stream=Stream("s"))
    await journal.append([on_main.event(events.SessionCreated(name="S"))])
    for branch, other in (("x", "y"), ("y", "x")):
        writer = EventWriter(clock, entropy, agent_id="a", stream=Stream("s", branch))
        made = events.BranchCreated(new_branch_id=branch, fork_point_seq=1, name=branch)
        merged = events.BranchMerged(source_branch_id=other, merge_seq=2)
        await journal.append([writer.event(made), writer.event(merged)])
    assert (await SessionHistory(journal).state(Stream("s", "x"))).head == 2


@given(histories(), histories())
@settings(max_examples=40)
def test_what_a_branch_begins_with_is_at_rest(records: list[EventRecord], later: list[EventRecord]) -> None:
    """Whatever the parent went through: no run, no calls, every tool call with its result; and so after a way back, which keeps
    rules, gates and counters as they are."""
    parent = fold("s", records)
    begun = forked(parent, "b")
    assert (begun.run, begun.calls, begun.head, begun.branch_id) == (None, (), 0, "b")
    assert (begun.config, begun.created_us, begun.rules, begun.gates) == (
        parent.config,
        parent.created_us,
        parent.rules,
        parent.gates,
    )
    assert forked(begun, "b") == begun
    now = forked(fold("s", [*records, *later]), "main")
    back = restored(now, parent)
    assert (back.totals, back.rules, back.gates, back.config) == (now.totals, now.rules, now.gates, now.config)
    joined = brought_in(now, parent.conversation.messages(), source="b", name="b")
    for state in (begun, back, joined):
        encode_state(state)
        conversation = state.conversation
        assert len(conversation.ends) == len(conversation.sealed)
        for message, after in itertools.pairwise((*conversation.messages(), ChatMessage("user", ()))):
            asked = [block.call_id for block in message.content if isinstance(block, ToolUseBlock)]
            answered = [block.call_id for block in after.content if isinstance(block, ToolResultBlock)]
            if message.role == "assistant":
                assert asked == answered


async def test_a_parent_that_is_being_driven_can_be_forked(bench: Bench) -> None:
    """A fork in the middle of a run that goes on: the run ends on main as if nothing had been, merging and going back wait for it."""
    turns = script(calls(("write", {"path": "a", "content": "1"})), ScriptedTurn(text="Slow.", delay_ms=50))
    async with bench.runtime(turns) as runtime:
        await runtime.create_session("s")
        await runtime.branches.fork("s", "early")
        run_id = await runtime.start("s", "Go.")
        while len(bench.requests) < 2:
            await asyncio.sleep(0.001)
        branch = await runtime.branches.fork("s", "idea")
        assert (await runtime.state("s", branch="idea")).status == "idle"
        with pytest.raises(RunInProgressError):
            await runtime.branches.merge("s", "early")
        with pytest.raises(RunInProgressError):
            await runtime.branches.restore("s", 1)
        waiting = asyncio.create_task(runtime.wait("s", run_id))
        while not waiting.done():
            await asyncio.sleep(0.001)
            bench.clock.advance_us(20_000)
        assert (await waiting).final_answer == "Slow."
        assert branch.fork_sequence <= len(await bench.events("s"))
        assert (await runtime.wait("s", run_id, branch="idea")).reason == "forked"


@pytest.mark.slow
async def test_a_process_that_is_really_killed(tmp_path: Path) -> None:
    """kill -9 around every append of fork and merge, journal and files on a disk: done again, it ends the same."""
    outcomes = []
    for at, moment in [(99, "after"), (1, "after"), (2, "before"), (2, "after"), (3, "before"), (3, "after")]:
        root = tmp_path / f"{at}-{moment}"
        root.mkdir()
        async with SqliteJournal.open(root / "journal.db", clock=ManualClock()) as journal:
            await fork_and_run(
                Bench(root, journal), on_branch={"idea.md": "idea", "base.md": "new"}, on_main={"main.md": "m"}
            )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.arcan.branch_crash", str(root), str(at), moment, cwd=Path(__file__).parents[2]
        )
        assert await process.wait() == (0 if at == 99 else -signal.SIGKILL)
        async with SqliteJournal.open(root / "journal.db", clock=ManualClock()) as journal:
            bench = Bench(root, journal, seed="again")
            await fork_and_merge(bench)
            state = await SessionHistory(journal).state(Stream("s"))
            files = {path.name: path.read_text() for path in bench.workspace("s").iterdir()}
            merged = {name: branch.merged_into for name, branch in (await read_branches(journal, "s")).items()}
        outcomes.append((state.conversation.messages(), state.unplaced, files, merged))
    assert outcomes[0][2] == {"base.md": "new", "idea.md": "idea", "main.md": "m"}
    assert all(outcome == outcomes[0] for outcome in outcomes)
