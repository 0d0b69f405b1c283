"""Middleware and hooks: what they may do, that the journal alone repeats it, and that their failures stay theirs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.provider import ModelRequest
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.arcan.conversation import build_request, encode_request
from life.arcan.errors import PromptRefusedError
from life.arcan.hooks import Hook, Hooks, parse_hooks
from life.arcan.middleware import Answer, AnswerEdit, ArgumentsEdit, Middleware, RequestEdit, Veto
from life.arcan.runtime import Runtime
from life.arcan.session_state import SessionState
from life.arcan.settings import RuntimeSettings
from life.arcan.state import fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.arcan.test_acceptance import Listening, user_texts
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, kinds, says, script

WRITE = script(calls(("write", {"path": "a", "content": "1"}), text="I'll write."), says("Done."))


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def runtime(
    journal: MemoryJournal,
    bench: Workbench,
    model: Listening,
    *items: Middleware,
    hooks: Hooks | None = None,
    policy: PolicySet = EVERYTHING,
) -> Runtime:
    return Runtime(
        journal,
        bench,
        provider=model,
        clock=bench.clock,
        entropy=SeededEntropy("m"),
        agent_id="agent-1",
        workspace_of=lambda _: str(bench.workspace),
        settings=RuntimeSettings(policy=policy, shutdown_grace_ms=0),
        middleware=items,
        hooks=hooks,
    )


class Everything(Middleware):
    """Changes whatever can be changed."""

    name = "everything"

    async def before_model(self, request: ModelRequest, state: SessionState) -> RequestEdit | Veto | None:
        note = "Mind the gap." if len(request.messages) == 1 else ""
        return RequestEdit(system="Be brief.", withheld_tools=("secret",), max_output_tokens=99, note=note)

    async def after_model(self, answer: Answer, state: SessionState) -> AnswerEdit | Veto | None:
        return AnswerEdit(text=answer.text.upper())

    async def before_tool(self, call: ToolCall, context: ToolContext) -> ArgumentsEdit | Veto | ToolOutcome | None:
        return ArgumentsEdit({"path": "b", "content": "2"})

    async def after_tool(self, call: ToolCall, context: ToolContext, outcome: ToolOutcome) -> ToolOutcome | None:
        return ToolOutcome(status="ok", output="changed result", mutated_paths=outcome.mutated_paths)


async def test_every_change_is_in_the_journal(journal: MemoryJournal, bench: Workbench) -> None:
    """The requests that the model got are what the journal gives without the middleware, byte for byte."""
    model = Listening(WRITE, bench)
    async with runtime(journal, bench, model, Everything()) as house:
        await house.create_session("s")
        assert (await house.run("s", "Write.")).final_answer == "DONE."
    assert bench.effects() == ["write:b=2"]
    first, second = model.heard
    assert (first.system, first.max_output_tokens) == ("Be brief.", 99)
    assert "secret" not in [tool.name for tool in first.tools] and user_texts(first)[-1] == "Mind the gap."
    assert "I'LL WRITE." in str(second.messages) and "changed result" in str(second.messages[-1])
    records = await history(journal, "s")
    asked = [index for index, record in enumerate(records) if b"arcan.request_edited" in record.payload]
    for index, heard in zip(asked, model.heard, strict=True):
        state = fold("s", records[: index + 1])
        assert state.run is not None and state.run.edit is not None
        again = build_request(
            state.conversation,
            system=state.run.edit.system or "",
            tools=heard.tools,
            max_output_tokens=state.run.edit.max_output_tokens or 0,
        )
        again = msgspec.structs.replace(again, cache_key=heard.cache_key)
        assert encode_request(again) == encode_request(heard)
    edit = next(r.kind.data for r in records if b"arcan.call_edited" in r.payload)  # type: ignore[attr-defined]
    assert edit["before"] == {"path": "a", "content": "1"}


class Says(Middleware):
    """Gives one answer at one point."""

    def __init__(self, point: str, answer: object, *, required: bool = False) -> None:
        self.name, self.required = f"says-{point}", required
        if isinstance(answer, Exception):

            async def raises(*_: object) -> None:
                raise answer

            setattr(self, point, raises)
        else:

            async def gives(*_: object) -> object:
                return answer

            setattr(self, point, gives)


@pytest.mark.parametrize(
    ("item", "reason", "effects"),
    [
        (Says("before_model", Veto("Not today.")), "vetoed", []),
        (Says("after_model", Veto("Not today.")), "vetoed", []),
        (Says("before_tool", Veto("Not today.")), "completed", []),
        (Says("before_tool", ToolOutcome(status="ok", output="stands for it")), "completed", []),
        (Says("before_tool", RuntimeError("my key is hunter2")), "completed", ["write:a=1"]),
        (Says("before_tool", RuntimeError("my key is hunter2"), required=True), "completed", []),
        (Says("after_tool", RuntimeError("my key is hunter2"), required=True), "completed", ["write:a=1"]),
    ],
)
async def test_vetoes_replacements_and_failures(
    journal: MemoryJournal, bench: Workbench, item: Middleware, reason: str, effects: list[str]
) -> None:
    """Each ends as promised, is named in the journal, and tells nobody what it may not."""
    async with runtime(journal, bench, Listening(WRITE, bench), item) as house:
        await house.create_session("s")
        report = await house.run("s", "Write.")
        assert report.reason == reason
    assert bench.effects() == effects
    assert "arcan.intervened" in await kinds(journal, "s")
    assert b"hunter2" not in b"".join(record.payload for record in await history(journal, "s"))


async def test_edited_arguments_pass_the_gate(journal: MemoryJournal, bench: Workbench) -> None:
    """Middleware can't get a call past the policy."""
    policy = PolicySet(allow_capabilities=("fs:write:a",))
    async with runtime(journal, bench, Listening(WRITE, bench), Everything(), policy=policy) as house:
        await house.create_session("s")
        await house.run("s", "Write.")
    assert bench.effects() == []


# Hooks

RECORD = """
import json, os, sys
told = json.load(sys.stdin)
with open(sys.argv[1], "a") as out:
    out.write(json.dumps({"argv": sys.argv[2:], "env": dict(os.environ), **told}) + "\\n")
if told.get("tool_name") in sys.argv[2:] or told.get("message") in sys.argv[2:]:
    print("the hook says no")
    sys.exit(1)
"""


def hook(event: str, out: Path, *refused: str, blocking: bool = True, matcher: str = "*") -> Hook:
    return Hook(
        event=event,  # type: ignore[arg-type]
        command=(sys.executable, "-c", RECORD, str(out), *refused),
        blocking=blocking,
        matcher=matcher,
    )


def told_in(out: Path) -> list[dict[str, Json]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


async def test_hooks_hear_of_everything_once(journal: MemoryJournal, bench: Workbench, tmp_path: Path) -> None:
    """Each event once, in order, with its data on standard input; nothing of the model's in the command line."""
    out = tmp_path / "told"
    events = (
        "session_start",
        "user_prompt_submit",
        "run_start",
        "pre_tool_use",
        "post_tool_use",
        "run_end",
        "session_end",
    )
    hooks = Hooks([hook(event, out) for event in events], environment={"PATH": "/usr/bin", "SECRET": "x"})
    nasty = script(calls(("write", {"path": "a", "content": "$(touch /tmp/owned); `id`"})), says("Done."))
    async with runtime(journal, bench, Listening(nasty, bench), hooks=hooks) as house:
        await house.create_session("s")
        await house.run("s", "Write.")
        await house.close_session("s")
    told = told_in(out)
    assert [each["event"] for each in told] == list(events)
    assert all(each["argv"] == [] and "SECRET" not in each["env"] for each in told)  # type: ignore[operator]
    assert told[3]["tool_input"]["content"] == "$(touch /tmp/owned); `id`"  # type: ignore[index,call-overload]


async def test_a_blocking_hook_vetoes_once(journal: MemoryJournal, bench: Workbench, tmp_path: Path) -> None:
    """The tool does not run, the model reads the hook's words, and the hook ran once."""
    out = tmp_path / "told"
    model = Listening(WRITE, bench)
    async with runtime(
        journal, bench, model, hooks=Hooks([hook("pre_tool_use", out, "write", matcher="wri*|bash")])
    ) as house:
        await house.create_session("s")
        await house.run("s", "Write.")
    assert bench.effects() == [] and len(told_in(out)) == 1
    assert "the hook says no" in str(model.heard[1].messages[-1])


async def test_a_refused_prompt_leaves_nothing(journal: MemoryJournal, bench: Workbench, tmp_path: Path) -> None:
    """`user_prompt_submit` can refuse a message before it is stored."""
    hooks = Hooks([hook("user_prompt_submit", tmp_path / "told", "Bad words.")])
    async with runtime(journal, bench, Listening(WRITE, bench), hooks=hooks) as house:
        await house.create_session("s")
        with pytest.raises(PromptRefusedError, match="the hook says no"):
            await house.run("s", "Bad words.")
        assert (await kinds(journal, "s")) == ["SessionCreated"]


@pytest.mark.parametrize("command", [("/nowhere/at-all",), (sys.executable, "-c", "import time; time.sleep(60)")])
async def test_a_check_that_did_not_happen_was_not_passed(
    journal: MemoryJournal, bench: Workbench, command: tuple[str, ...]
) -> None:
    """A blocking hook that can't start, or does not end in time, is a veto."""
    hooks = Hooks([Hook(event="pre_tool_use", command=command, blocking=True, timeout_s=1)])
    async with runtime(journal, bench, Listening(WRITE, bench), hooks=hooks) as house:
        await house.create_session("s")
        assert (await house.run("s", "Write.")).reason == "completed"
    assert bench.effects() == []


FILE = b"""
[[hooks]]
event = "pre_tool_use"
command = ["check", "--strict"]
matcher = "bash"
blocking = true
"""


def test_a_projects_hooks_need_trust() -> None:
    """Exactly the bytes that were accepted are run; a file without hooks needs nobody."""
    parsed = parse_hooks(FILE)
    assert parsed.hooks == (Hook(event="pre_tool_use", command=("check", "--strict"), matcher="bash", blocking=True),)
    assert not parsed.trusted([]) and parsed.trusted([parsed.digest])
    assert not parse_hooks(FILE + b"\n").trusted([parsed.digest])
    assert parse_hooks(b"").trusted([])


@pytest.mark.parametrize(
    "raw",
    [
        b"[[hooks]]\nevent = 'lunch'\ncommand = ['x']",
        b"[[hooks]]\nevent = 'run_start'\ncommand = 'rm -rf /'",
        b"[[hooks]]\nevent = 'run_start'\ncommand = []",
        b"[[hooks]]\nevent = 'run_start'\ncommand = ['x']\nmatcher = 'bash'",
        b"[[hooks]]\nevent = 'run_start'\ncommand = ['x']\ntimeout_s = 0",
        b"[[hooks]]\nevent = 'run_start'\ncommand = ['x']\nshell = true",
        b"\xff",
        b"= 1",
    ],
)
def test_hooks_that_can_not_be_meant(raw: bytes) -> None:
    """Named, not guessed at."""
    with pytest.raises(InvalidInputError):
        parse_hooks(raw)
