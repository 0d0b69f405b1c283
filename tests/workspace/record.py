"""Make the golden recordings anew: `python -m tests.workspace.record`, or only some: `… knowledge every_kind`.

Real runs of the real runtime with the scripted model, read back from the journal: its clock, its ids, its order. `every_kind` holds one
event of every kind of the contract and of every dotted name that the runtime may write, written through the journal, so that none comes to
the page that no test has shown it. A new kind makes `test_recordings.py` fail until this is run.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from life.aios.events import KINDS, Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, EventWriter, Stream, encode_record
from life.arcan.runtime import Runtime
from life.haima.events import EVENTS as FINANCE_EVENTS
from life.host.clock import SystemClock
from life.host.first_payment import first_payment
from life.host.settings import ModelSettings, Settings
from life.host.system import System, open_system
from life.lago.journal.sqlite import SqliteJournal
from tests.workspace.neighbours import NEIGHBOURS
from tests.workspace.recorded import DIRECTORY
from tests.workspace.vocabulary import dotted_names, structs_by_name

LONG_MARKDOWN = (
    "## Findings\\n\\nThree orders look **weak**:\\n\\n1. `WO-112` was closed without a photo\\n2. `WO-118` twice\\n3. `WO-131` \\u2014 see "
    "[the note](https://example.org/note)\\n\\n```python\\nprint('<b>not markup</b>')\\n```\\n\\n<script>alert('no')</script>"
)

TOOLS = f"""
[[turns]]
deltas = ["I will look ", "around and ", "write the report."]
usage = {{ prompt_tokens = 812, completion_tokens = 64, total_tokens = 876, cost_micro = 2100 }}
[[turns.calls]]
tool = "write_file"
arguments = {{ path = "orders/WO-112.md", content = "# WO-112\\nclosed\\n" }}
[[turns.calls]]
tool = "list_dir"
arguments = {{ path = "." }}
[[turns.calls]]
tool = "read_file"
arguments = {{ path = "orders/WO-113.md" }}

[[turns]]
text = "The second order is missing; I go on with the first."
usage = {{ prompt_tokens = 1040, completion_tokens = 48, total_tokens = 1088, cost_micro = 2600 }}
[[turns.calls]]
tool = "write_file"
arguments = {{ path = "orders/WO-112.md", content = "# WO-112\\nclosed, no photo\\n\\nchecked twice\\n" }}
[[turns.calls]]
tool = "write_file"
arguments = {{ path = "report.md", content = "# Report\\n\\n- WO-112: no photo\\n" }}
[[turns.calls]]
tool = "bash"
arguments = {{ command = "wc -l report.md" }}

[[turns]]
text = "{LONG_MARKDOWN}"
usage = {{ prompt_tokens = 1300, completion_tokens = 140, total_tokens = 1440, cost_micro = 3300 }}
"""

SLOW = """
[[turns]]
deltas = ["One ", "two ", "three ", "four ", "five ", "six"]
delta_delay_ms = 120
[[turns.calls]]
tool = "write_file"
arguments = { path = "a.txt", content = "a" }

[[turns]]
deltas = ["Now ", "the ", "steered ", "way"]
delta_delay_ms = 60
[[turns]]
text = "Third."
[[turns]]
text = "Fourth."
[[turns]]
deltas = ["a ", "b ", "c ", "d ", "e ", "f ", "g"]
delta_delay_ms = 150
[[turns]]
text = "Sixth."
"""

BROKEN = """
[[turns]]
error = { kind = "unavailable", times = 1 }
text = "At the second attempt."
[[turns.calls]]
tool = "read_file"
arguments = { path = "none.txt" }
[[turns.calls]]
tool = "no_such_tool"
[[turns.calls]]
tool = "write_file"
arguments = "not json"
[[turns]]
error = { kind = "unauthorized" }
"""


NOTES = """
[[turns]]
text = "I put down what I know."
[[turns.calls]]
tool = "write_memory"
arguments = { key = "shortlist", content = "[[OpenHands]], [[goose]] and [[aider]]; see [[licences]]" }
[[turns.calls]]
tool = "write_memory"
arguments = { key = "licences", content = "[[OpenHands]] is MIT, [[aider]] is Apache" }
[[turns.calls]]
tool = "write_file"
arguments = { path = "notes/goose.md", content = "Runs local models. Back to [[shortlist]]." }
[[turns]]
[[turns.calls]]
tool = "memory_search"
arguments = { query = "MIT" }
[[turns.calls]]
tool = "memory_graph"
arguments = { start = "shortlist" }
[[turns.calls]]
tool = "knowledge_search"
arguments = { query = "agents" }
[[turns.calls]]
tool = "memory_forget"
arguments = { key = "licences", reason = "out of date" }
[[turns]]
text = "Done."
"""


async def main() -> None:
    """Record everything, or what is named."""
    DIRECTORY.mkdir(exist_ok=True)
    for record in (tools, approvals, knowledge, steering, failures, branches, payments, every_kind):
        if sys.argv[1:] and record.__name__ not in sys.argv[1:]:
            continue
        await record()
        sys.stdout.write(f"{record.__name__}\n")


@asynccontextmanager
async def opened(script: str) -> AsyncIterator[System]:
    """A system of its own that plays this script."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "script.toml").write_text(script)
        settings = Settings(model=ModelSettings(provider=f"scripted:{root / 'script.toml'}"))
        environment = {"LIFE_KEY_FILE": str(root / "key")}
        async with open_system(root / "life", settings=settings, environment=environment) as system:
            yield system


async def approve(runtime: Runtime, **answer: Any) -> None:
    """Answer the call that waits."""
    async with asyncio.timeout(20):
        while not (waiting := [call for call in (await runtime.state("s")).calls if call.phase == "awaiting_approval"]):
            await asyncio.sleep(0.01)
    given: dict[str, Any] = {"approved": True, "actor": "page", **answer}
    await runtime.resolve_approval("s", waiting[0].approval_id or "", **given)


async def read(
    system: System, session: str = "s", branch: str = MAIN_BRANCH, through: int | None = None
) -> list[EventRecord]:
    """The events of a stream."""
    before = None if through is None else through + 1
    return await system.journal.read(EventQuery(session, branch, before_sequence=before), limit=10_000)


def save(name: str, records: list[EventRecord]) -> None:
    """Keep a recording."""
    (DIRECTORY / f"{name}.jsonl").write_bytes(b"".join(encode_record(record) + b"\n" for record in records))


async def tools() -> None:
    """Reads, writes, an edit, a failing read, a command that a person approves, costs, and Markdown with markup in it."""
    async with opened(TOOLS) as system:
        runtime = system.runtime
        await runtime.create_session("s", name="Audit of work orders")
        run = await runtime.start("s", "Audit the work orders and write report.md")
        await approve(runtime)
        await runtime.wait("s", run)
        save("tools", await read(system))


async def approvals() -> None:
    """Refused with a reason, approved with other arguments, allowed for the session, and taken back."""
    script = "\n".join(
        f'[[turns]]\ntext = "Step {number}."\n[[turns.calls]]\ntool = "bash"\narguments = {{ command = "echo {number}" }}'
        for number in range(1, 5)
    )
    async with opened(script + '\n[[turns]]\ntext = "Done."') as system:
        runtime = system.runtime
        await runtime.create_session("s", name="Four commands")
        run = await runtime.start("s", "Run four commands")
        await approve(runtime, approved=False, reason="Not this one.")
        await asyncio.sleep(0.1)
        await approve(runtime, edited=edited({"command": "echo edited"}))
        await asyncio.sleep(0.2)
        await approve(runtime, scope="session", patterns=("exec:cmd:*",))
        await runtime.wait("s", run)
        for rule in (await runtime.state("s")).rules:
            await runtime.revoke_rule("s", rule.rule_id, actor="page")
        save("approvals", await read(system))


def edited(arguments: dict[str, str]) -> object:
    """Arguments as the desk takes them."""
    from life.arcan.approvals import Edited

    return Edited(dict(arguments))


async def knowledge() -> None:
    """Notes with links, what searches lead to, and a memory that is forgotten."""
    async with opened(NOTES) as system:
        await system.runtime.create_session("s", name="What is known")
        await system.runtime.run("s", "Make notes")
        save("knowledge", await read(system))


async def steering() -> None:
    """Messages while a run goes on: steer, follow up, collect, interrupt; pause and continue; cancel."""
    async with opened(SLOW) as system:
        runtime = system.runtime
        await runtime.create_session("s", name="Steered")
        await runtime.start("s", "Count")
        await asyncio.sleep(0.15)
        await runtime.send("s", "Later, please.", steering="followup")
        await runtime.send("s", "Collected.", steering="collect")
        await runtime.send("s", "Do it differently.", steering="steer")
        await runtime.pause("s", actor="page")
        await asyncio.sleep(0.1)
        await runtime.go_on("s", actor="page")
        await idle(runtime)
        await runtime.start("s", "Again")
        await asyncio.sleep(0.2)
        await runtime.send("s", "Stop that.", steering="interrupt")
        await idle(runtime)
        await runtime.close_session("s")
        save("steering", await read(system))


async def idle(runtime: Runtime) -> None:
    """Until nothing runs and nothing waits."""
    async with asyncio.timeout(30):
        while (state := await runtime.state("s")).run is not None or state.queue:
            await asyncio.sleep(0.02)


async def failures() -> None:
    """A model that fails once and then for good, an unknown tool, arguments that are no JSON."""
    async with opened(BROKEN) as system:
        runtime = system.runtime
        await runtime.create_session("s", name="Trouble")
        await runtime.run("s", "Try")
        save("failures", await read(system))


async def branches() -> None:
    """A fork with other words, its merge into main, and going back. The branch's recording begins with what it inherits."""
    async with opened(
        TOOLS.replace('"bash"', '"list_dir"').replace("command = ", "path = ").replace("wc -l report.md", ".")
    ) as system:
        runtime = system.runtime
        await runtime.create_session("s", name="Two ways")
        await runtime.run("s", "Audit the work orders")
        said = next(record.sequence for record in await read(system) if record.kind_name == "UserMessage")
        branch, run = await runtime.branches.rerun("s", said, "Audit them strictly", name="strict")
        await runtime.wait("s", run, branch=branch.branch_id)
        await runtime.branches.merge("s", branch.branch_id, prefer="theirs")
        await runtime.branches.restore("s", said)
        save("branch_main", await read(system))
        inherited = await read(system, through=branch.fork_sequence)
        save("branch_strict", [*inherited, *await read(system, branch=branch.branch_id)])


async def payments() -> None:
    """The agent meets a price and pays: its session, and its wallet's own stream."""
    folder = Path(tempfile.mkdtemp())
    try:
        await first_payment(folder / "life", lambda line: None)
        async with SqliteJournal.open(folder / "life" / "journal.db", clock=SystemClock()) as journal:
            for session, branch in await journal.streams():
                records = await journal.read(EventQuery(session, branch), limit=10_000)
                if session.startswith("wallet:"):
                    save("payment_wallet", records)
                elif any(record.kind_name == "RunStarted" for record in records):
                    save("payment_session", records)
    finally:
        shutil.rmtree(folder)


async def every_kind() -> None:
    """One event of everything that may be written."""
    structs = structs_by_name()
    async with opened('[[turns]]\ntext = "unused"') as system:
        write = EventWriter(
            system.clock, system.entropy, agent_id=system.identity.agent_id, stream=Stream("every-kind")
        )
        kinds = [example(kind) for name, kind in sorted(KINDS.items()) if name != "Custom"]
        kinds += [Custom(event_type=name, data=msgspec.to_builtins(example(structs[name]))) for name in sorted(structs)]
        others = sorted(dotted_names() - structs.keys() - NEIGHBOURS.keys())
        kinds += [Custom(event_type=name, data={"reason": "an example"}) for name in others]
        kinds += [Custom(event_type=name, data=data) for name, data in NEIGHBOURS.items()]
        kinds += [Custom(event_type=name, data={"note": "an example"}) for name in sorted(FINANCE_EVENTS)]
        await system.journal.append([write.event(kind) for kind in kinds])
        save("every_kind", await read(system, "every-kind"))


def example(struct: type[Any]) -> Any:
    """A value of a struct, made from its types."""
    hints = get_type_hints(struct)
    return struct(**{field.name: value_of(hints[field.name], field.name) for field in msgspec.structs.fields(struct)})


def value_of(annotation: Any, name: str) -> Any:
    """A plausible value of a type."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return value_of(get_args(annotation)[0], name)
    if origin is Literal:
        return get_args(annotation)[0]
    if origin is tuple:
        return (value_of(get_args(annotation)[0], name),)
    if origin is list:
        return [value_of(get_args(annotation)[0], name)]
    if origin is dict:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return example(annotation)
    plain: dict[Any, Any] = {str: name, int: 1, float: 0.5, bool: True, bytes: b"", type(None): None}
    return plain.get(annotation, {"example": name})


Recorder = Callable[[], Awaitable[None]]

if __name__ == "__main__":
    asyncio.run(main())
