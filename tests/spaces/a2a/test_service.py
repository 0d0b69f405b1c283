"""The operations: what a caller gets, may do, and is refused, over a real port with Arcan behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from life.lago.journal.memory import MemoryJournal
from life.spaces.a2a import room
from life.spaces.a2a.card import X402_EXTENSION
from life.spaces.a2a.wire import MAX_BODY_BYTES, MAX_PARTS
from tests.haima.shop import Shop, plain_app
from tests.spaces.a2a.kit import FREE, PAID, VERSION, House, house, rpc, said
from tests.spaces.a2a.test_payment import till_of


def state(answer: Any) -> str:
    """The state of the task in an answer, without its prefix."""
    result = answer["result"]
    found: str = result.get("task", result)["status"]["state"]
    return found.removeprefix("TASK_STATE_")


def code(answer: Any) -> int:
    """The error's code."""
    found: int = answer["error"]["code"]
    return found


async def test_a_message_sent_twice_is_one_task_and_one_run(tmp_path: Path) -> None:
    """Idempotent by messageId; the same id with other words is refused; another caller's id is another task."""
    async with house(tmp_path) as home:
        first, second = await asyncio.gather(*(rpc(home, "SendMessage", said("hi")) for _ in range(2)))
        assert first["result"]["task"]["id"] == second["result"]["task"]["id"]
        assert len(await home.runtime.sessions()) == 1
        assert code(await rpc(home, "SendMessage", said("other"))) == -32602
        other = await rpc(home, "SendMessage", said("hi"), x_owner="agent:bob")
        assert other["result"]["task"]["id"] != first["result"]["task"]["id"]


async def test_two_callers_never_see_each_others_tasks(tmp_path: Path) -> None:
    """Not by get, cancel, subscribe, follow-up, list or push configuration; and the same context name is another conversation."""
    async with house(tmp_path) as home:
        mine = (await rpc(home, "SendMessage", said("sign it", contextId="shared")))["result"]["task"]
        bob = {"x_owner": "agent:bob"}
        for method, params in (
            ("GetTask", {"id": mine["id"]}),
            ("CancelTask", {"id": mine["id"]}),
            ("SubscribeToTask", {"id": mine["id"]}),
            ("SendMessage", said("approve", "m-2", taskId=mine["id"])),
            ("CreateTaskPushNotificationConfig", {"taskId": mine["id"], "url": "http://127.0.0.1:1/"}),
            ("ListTaskPushNotificationConfigs", {"taskId": mine["id"]}),
        ):
            assert code(await rpc(home, method, params, **bob)) == -32001, method
        listed = (await rpc(home, "ListTasks", {"contextId": "shared"}, **bob))["result"]
        assert listed == {"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0}
        theirs = await rpc(home, "SendMessage", said("hello", contextId="shared"), **bob)
        assert theirs["result"]["task"]["artifacts"][0]["parts"][0]["text"] == "You said 'hello', question 1."
        assert len(await home.runtime.sessions()) == 2


async def test_tasks_of_one_context_share_a_conversation_and_take_turns(tmp_path: Path) -> None:
    """The second question knows of the first; two at once do not disturb each other."""
    async with house(tmp_path) as home:
        await rpc(home, "SendMessage", said("one", "m-1", contextId="c"))
        two, three = await asyncio.gather(
            *(rpc(home, "SendMessage", said(word, word, contextId="c")) for word in ("two", "three"))
        )
        texts = {answer["result"]["task"]["artifacts"][0]["parts"][0]["text"] for answer in (two, three)}
        assert texts == {"You said 'two', question 2.", "You said 'three', question 3."} or texts == {
            "You said 'three', question 2.",
            "You said 'two', question 3.",
        }


async def test_only_who_may_approve_releases_a_tool_call(tmp_path: Path) -> None:
    """Without the scope the answer is refused and the task goes on waiting; the operator's decision is told, too; a no reaches the
    model."""
    async with house(tmp_path) as home:
        asked = (await rpc(home, "SendMessage", said("sign it")))["result"]["task"]
        assert asked["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        question = asked["status"]["message"]["parts"][1]["data"]
        assert (question["toolName"], question["arguments"]) == ("sign", {"text": "it"})
        yes = said("approve", "m-2", taskId=asked["id"])
        assert code(await rpc(home, "SendMessage", yes)) == -32004
        assert not home.bench.effects()
        assert code(await rpc(home, "SendMessage", said("maybe", "m-3", taskId=asked["id"]), x_approve="1")) == -32602
        done = await rpc(home, "SendMessage", yes, x_approve="1")
        assert state(done) == "COMPLETED"
        assert len(home.bench.effects()) == 1
        again = await rpc(home, "SendMessage", yes, x_approve="1")
        assert state(again) == "COMPLETED"

        other = (await rpc(home, "SendMessage", said("sign that", "m-5")))["result"]["task"]
        no = await rpc(home, "SendMessage", said("No.", "m-6", taskId=other["id"]), x_approve="1")
        assert no["result"]["task"]["artifacts"][0]["parts"][0]["text"].endswith("It failed.")

        third = (await rpc(home, "SendMessage", said("sign more", "m-7")))["result"]["task"]
        (waiting,) = await home.runtime.pending_approvals()
        await home.runtime.resolve_approval(waiting.session_id, waiting.approval_id, approved=True, actor="operator")
        for _ in range(200):
            now = await rpc(home, "GetTask", {"id": third["id"]})
            if state(now) == "COMPLETED":
                break
            await asyncio.sleep(0.02)
        assert state(now) == "COMPLETED"


async def test_cancelling_stops_the_run_and_cannot_be_done_twice(tmp_path: Path) -> None:
    """A working task, one that waits its turn in the same context, and one that is over."""
    async with house(tmp_path) as home:
        begun = await rpc(home, "SendMessage", said("hang", contextId="c", configuration={"returnImmediately": True}))
        assert state(begun) in ("SUBMITTED", "WORKING")
        await asyncio.wait_for(home.bench.hanging.wait(), 10)
        queued = await rpc(
            home, "SendMessage", said("hello", "m-2", contextId="c", configuration={"returnImmediately": True})
        )
        assert state(queued) == "SUBMITTED"
        assert state(await rpc(home, "CancelTask", {"id": queued["result"]["task"]["id"]})) == "CANCELED"
        task_id = begun["result"]["task"]["id"]
        assert state(await rpc(home, "GetTask", {"id": task_id})) == "WORKING"
        assert state(await rpc(home, "CancelTask", {"id": task_id})) == "CANCELED"
        assert code(await rpc(home, "CancelTask", {"id": task_id})) == -32002
        assert state(await rpc(home, "SendMessage", said("hello", "m-3", contextId="c"))) == "COMPLETED"


async def test_a_failing_model_fails_the_task_with_a_word(tmp_path: Path) -> None:
    """FAILED, with a message and without a traceback."""
    async with house(tmp_path) as home:
        failed = await rpc(home, "SendMessage", said("break it"))
        assert state(failed) == "FAILED"
        words = failed["result"]["task"]["status"]["message"]["parts"][0]["text"]
        assert words
        assert "Traceback" not in words


async def test_lists_are_paged_filtered_and_complete(tmp_path: Path) -> None:
    """Every task once over all pages, the last changed first; filters by state and time; artifacts and history only as asked."""
    async with house(tmp_path) as home:
        ids = []
        for number in range(5):
            answer = await rpc(home, "SendMessage", said(f"q{number}", f"m-{number}"))
            ids.append(answer["result"]["task"]["id"])
        seen: list[str] = []
        token = ""
        while True:
            page = (await rpc(home, "ListTasks", {"pageSize": 2, "pageToken": token, "historyLength": 0}))["result"]
            assert page["totalSize"] == 5
            assert all("artifacts" not in task and "history" not in task for task in page["tasks"])
            seen += [task["id"] for task in page["tasks"]]
            token = page["nextPageToken"]
            if not token:
                break
        assert seen == list(reversed(ids))
        whole = (await rpc(home, "ListTasks", {"includeArtifacts": True, "status": "TASK_STATE_COMPLETED"}))["result"]
        assert all(task["artifacts"] for task in whole["tasks"])
        assert (await rpc(home, "ListTasks", {"status": "TASK_STATE_WORKING"}))["result"]["tasks"] == []
        later = {"statusTimestampAfter": "2100-01-01T00:00:00Z"}
        assert (await rpc(home, "ListTasks", later))["result"]["totalSize"] == 0
        for bad in (
            {"pageSize": 0},
            {"pageSize": 101},
            {"pageToken": "x"},
            {"statusTimestampAfter": "soon"},
            {"status": "?"},
        ):
            assert code(await rpc(home, "ListTasks", bad)) == -32602


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role": "ROLE_AGENT"}, -32602),
        ({"parts": []}, -32602),
        ({"parts": [{"text": "a"}] * (MAX_PARTS + 1)}, -32602),
        ({"parts": [{"text": "a", "data": 1}]}, -32602),
        ({"parts": [{}]}, -32602),
        ({"parts": [{"text": 7}]}, -32602),
        ({"parts": [{"text": "   "}]}, -32602),
        ({"messageId": ""}, -32602),
        ({"messageId": "a b"}, -32602),
        ({"metadata": {"skillId": "unknown"}}, -32602),
        ({"parts": [{"raw": "AAAA"}]}, -32005),
        ({"parts": [{"url": "https://files.example/a"}]}, -32005),
        ({"taskId": "nothing"}, -32001),
        ({"parts": [{"text": "x" * 200_001}]}, -32602),
    ],
)
async def test_messages_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], expected: int) -> None:
    """Each with the protocol's own code and details, and no task of it."""
    async with house(tmp_path) as home:
        answer = await rpc(home, "SendMessage", {"message": {**said("hi")["message"], **change}})
        assert code(answer) == expected
        (detail,) = answer["error"]["data"]
        assert detail["@type"].endswith("google.rpc.ErrorInfo")
        assert detail["domain"] == "a2a-protocol.org"
        assert (await rpc(home, "ListTasks"))["result"]["totalSize"] == 0


async def test_output_modes_versions_and_envelopes(tmp_path: Path) -> None:
    """A client that can't read text is told before anything happens; a missing version is 0.3; broken envelopes have the codes of
    JSON-RPC; the original's method names do not exist."""
    async with house(tmp_path, push=False) as home:
        deaf = said("hi", configuration={"acceptedOutputModes": ["image/png"]})
        assert code(await rpc(home, "SendMessage", deaf)) == -32005
        assert code(await rpc(home, "message/send", said("hi"))) == -32601
        assert code(await rpc(home, "GetExtendedAgentCard")) == -32007
        pushed = said("hi", configuration={"taskPushNotificationConfig": {"url": "http://127.0.0.1:1/"}})
        assert code(await rpc(home, "SendMessage", pushed)) == -32003
        async with httpx2.AsyncClient() as http:

            async def raw(content: bytes, headers: dict[str, str]) -> Any:
                return (await http.post(home.rpc, content=content, headers=headers)).json()

            call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ListTasks"}).encode()
            assert code(await raw(call, {})) == -32009
            assert code(await raw(call, {"a2a-version": "0.3"})) == -32009
            assert code(await raw(call, {"a2a-version": "2.0"})) == -32009
            assert "result" in await raw(call, {"a2a-version": "1.0.3"})
            assert code(await raw(b"{", VERSION)) == -32700
            assert code(await raw(call.replace(b"ListTasks", b"\xed\xa0\x80"), VERSION)) == -32700
            lone = call.replace(b'"ListTasks"', b'"SendMessage", "params": {"message": {"text": "\\ud800"}}')
            assert code(await raw(lone, VERSION)) == -32700
            assert code(await raw(b"[" * 100_000, VERSION)) == -32700
            assert code(await raw(b"[]", VERSION)) == -32600
            assert code(await raw(b'{"id": 1}', VERSION)) == -32600
            assert code(await raw(b'{"jsonrpc": "2.0", "id": true, "method": "x"}', VERSION)) == -32600
            assert code(await raw(b" " * (MAX_BODY_BYTES + 1), VERSION)) == -32600
            refused = await http.get(f"{home.address}/a2a/v1/tasks/nothing", headers=VERSION)
            assert refused.status_code == 404
            assert refused.json()["error"]["status"] == "NOT_FOUND"
            assert refused.json()["error"]["details"][0]["reason"] == "TASK_NOT_FOUND"
            old = await http.get(f"{home.address}/a2a/v1/tasks")
            assert (old.status_code, old.json()["error"]["details"][0]["reason"]) == (400, "VERSION_NOT_SUPPORTED")


async def test_the_card_is_kept_by_its_readers(tmp_path: Path) -> None:
    """ETag and Cache-Control; the same card again is 304."""
    async with house(tmp_path) as home, httpx2.AsyncClient() as http:
        url = f"{home.address}/.well-known/agent-card.json"
        first = await http.get(url)
        assert "max-age" in first.headers["cache-control"]
        assert (await http.get(url, headers={"if-none-match": first.headers["etag"]})).status_code == 304


async def test_a_message_joins_the_work_that_goes_on(tmp_path: Path) -> None:
    """Said to a working task it waits in the very session of the run, and stands in the task's history; the same message again is one.
    Said to a task that is over, or under another context, it is refused."""
    async with house(tmp_path) as home:
        task = await _begun(home, "m-1")
        more = said("and mind the gap", "m-2", taskId=task["id"], configuration={"returnImmediately": True})
        for _ in range(2):
            told = (await rpc(home, "SendMessage", more))["result"]["task"]
            assert told["status"]["state"] == "TASK_STATE_WORKING"
            assert [message["messageId"] for message in told["history"]] == ["m-1", "m-2"]
        (session,) = await home.runtime.sessions()
        waiting = (await home.runtime.state(session.session_id)).queue
        assert [queued.message for queued in waiting] == ["and mind the gap"]
        wrong = said("more", "m-4", taskId=task["id"], contextId="other")
        assert code(await rpc(home, "SendMessage", wrong)) == -32602
        assert state(await rpc(home, "CancelTask", {"id": task["id"]})) == "CANCELED"
        assert code(await rpc(home, "SendMessage", said("more", "m-3", taskId=task["id"]))) == -32004
        after = await rpc(home, "SendMessage", said("next", "m-5", contextId=task["contextId"]))
        assert state(after) == "COMPLETED"


async def test_an_owner_has_a_bounded_number_of_open_tasks(tmp_path: Path) -> None:
    """The thirty-third is refused; others are not concerned."""
    async with house(tmp_path) as home:
        for number in range(32):
            asked = await rpc(home, "SendMessage", said("sign it", f"m-{number}"))
            assert state(asked) == "INPUT_REQUIRED"
        assert code(await rpc(home, "SendMessage", said("hi", "m-x"))) == -32004
        assert state(await rpc(home, "SendMessage", said("hi", "m-x"), x_owner="agent:bob")) == "COMPLETED"


async def test_open_tasks_go_on_after_a_restart(tmp_path: Path) -> None:
    """The agent is stopped while a task works and another waits for a decision: both are told as they stood, and end as they should. A
    finished one keeps its artifacts."""
    async with MemoryJournal() as journal:
        async with house(tmp_path, journal=journal) as home:
            over = (await rpc(home, "SendMessage", said("hello")))["result"]["task"]
            asked = (await rpc(home, "SendMessage", said("sign it", "m-2")))["result"]["task"]
            hanging = await _begun(home, "m-3")
        async with house(tmp_path, journal=journal) as home:
            kept = (await rpc(home, "GetTask", {"id": over["id"]}))["result"]
            assert kept == over
            assert state(await rpc(home, "GetTask", {"id": asked["id"]})) == "INPUT_REQUIRED"
            done = await rpc(home, "SendMessage", said("yes", "m-4", taskId=asked["id"]), x_approve="1")
            assert state(done) == "COMPLETED"
            assert done["result"]["task"]["artifacts"][0]["parts"][0]["text"] == "I ask first.\n\nIt is done."
            assert len(home.bench.effects()) == 1
            # Nobody knows what became of the tool that ran when the agent stopped: an operator says it, and the task goes on.
            assert state(await rpc(home, "GetTask", {"id": hanging["id"]})) == "WORKING"
            states = [await home.runtime.state(one.session_id) for one in await home.runtime.sessions()]
            (doubtful,) = [one for one in states if one.status in ("in_doubt", "running") and one.calls]
            (call,) = doubtful.calls
            for _ in range(100):
                if (await home.runtime.state(doubtful.session_id)).status == "in_doubt":
                    break
                await asyncio.sleep(0.02)
            await home.runtime.resolve_doubt(doubtful.session_id, call.call_id, "not_done", actor="operator")
            for _ in range(100):
                now = await rpc(home, "GetTask", {"id": hanging["id"]})
                if state(now) == "COMPLETED":
                    break
                await asyncio.sleep(0.02)
            assert state(now) == "COMPLETED"
            assert now["result"]["artifacts"][0]["parts"][0]["text"] == "It failed."
            again = await rpc(home, "SendMessage", said("hello"))
            assert again["result"]["task"]["id"] == over["id"]


async def _begun(home: House, message_id: str) -> Any:
    begun = await rpc(home, "SendMessage", said("hang", message_id, configuration={"returnImmediately": True}))
    await asyncio.wait_for(home.bench.hanging.wait(), 10)
    return begun["result"]["task"]


async def test_a_reader_that_leaves_or_stops_reading_holds_nothing_up(tmp_path: Path) -> None:
    """Dropped streams end their listeners; the task runs to its end; too many listeners of one task are refused."""
    async with house(tmp_path) as home:
        task = await _begun(home, "m-1")
        async with httpx2.AsyncClient() as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task["id"]}}
            async with http.stream("POST", home.rpc, json=body, headers=VERSION) as answer:
                assert (await anext(answer.aiter_lines())).startswith("data: ")
        feed = home.agent.service._ledger.feed
        for _ in range(200):
            if not feed._listeners:
                break
            await asyncio.sleep(0.02)
        assert not feed._listeners
        listeners = [feed.listen(task["id"]) for _ in range(64)]
        assert all(listeners)
        assert code(await rpc(home, "SubscribeToTask", {"id": task["id"]})) == -32004
        for listener in listeners:
            assert listener is not None
            feed.leave(task["id"], listener)
        assert state(await rpc(home, "CancelTask", {"id": task["id"]})) == "CANCELED"
    assert FREE.price == ""


async def test_all_owners_together_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name costs nothing, so many names get no more than a few places for free work; whoever pays gets one all the same, and of tasks that
    nobody pays for the oldest go."""
    monkeypatch.setattr(room, "MAX_UNPAID", 3)
    shop = Shop(app=plain_app, routes={"/unused": "$0.01"})
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home:
        home.agent.service._max_open = 2
        for number in range(2):
            assert state(await rpc(home, "SendMessage", said("sign it"), x_owner=f"agent:{number}")) == "INPUT_REQUIRED"
        assert code(await rpc(home, "SendMessage", said("hi"), x_owner="agent:late")) == -32004
        offered = []
        for number in range(5):
            asked = await rpc(
                home,
                "SendMessage",
                said("write", metadata={"skillId": "report"}),
                x_owner=f"agent:paying{number}",
                a2a_extensions=X402_EXTENSION,
            )
            offered.append(asked["result"]["task"]["id"])
        states = []
        for number, task_id in enumerate(offered):
            states.append(state(await rpc(home, "GetTask", {"id": task_id}, x_owner=f"agent:paying{number}")))
        assert states == ["CANCELED", "CANCELED", "INPUT_REQUIRED", "INPUT_REQUIRED", "INPUT_REQUIRED"]
    await shop.aclose()
