"""lagod over real HTTP: the API, its owners, and everything that must not pass."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from life.lago.access_rules.rules import parse_rules
from tests.host.lagod_bench import TOKEN, Lagod, running_lagod


@pytest.fixture
async def lagod(tmp_path: Path) -> AsyncIterator[Lagod]:
    """A daemon with a session `s` of the operator."""
    async with running_lagod(tmp_path) as daemon:
        made = await daemon.call("POST", "/v1/sessions", json={"name": "first", "session_id": "s"})
        assert made.status_code == 201
        yield daemon


async def append(
    lagod: Lagod, session: str, *ids: str, token: str = TOKEN, kind: str = "UserMessage"
) -> httpx2.Response:
    """Append one message for each id."""
    events = [lagod.event(each, {"type": kind, "content": f"word {each}"}) for each in ids]
    return await lagod.call("POST", f"/v1/sessions/{session}/events", json={"events": events}, token=token)


# ---- doors


async def test_only_health_is_open(lagod: Lagod) -> None:
    """Health answers everybody and tells nothing; every other route wants a token, of whatever kind of request."""
    async with httpx2.AsyncClient(base_url=lagod.address) as nobody:
        assert (await nobody.get("/health")).json()["status"] == "ok"
        assert (await nobody.get("/health/ready")).json() == {
            "ready": True,
            "checks": {"journal": "ok", "blob_store": "ok"},
        }
        document = (await lagod.call("GET", "/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method in methods:
                if not path.startswith("/health"):
                    answer = await nobody.request(method.upper(), path.replace("{", "").replace("}", ""))
                    assert answer.status_code == 401, (method, path)
        assert (await nobody.get("/openapi.json")).status_code == 401
        assert (await nobody.get("/health", headers={"host": "evil.example"})).status_code == 403
        assert (await nobody.get("/health", headers={"origin": "http://evil.example"})).status_code == 403


async def test_a_scope_lets_in_and_no_more(lagod: Lagod) -> None:
    """A user's token opens the routes of its scopes; others are 403."""
    reader = lagod.user("ada", "sessions:read")
    assert (await lagod.call("GET", "/v1/sessions", token=reader)).json() == []
    refused = await lagod.call("POST", "/v1/sessions", json={"name": "x"}, token=reader)
    assert refused.status_code == 403
    assert (await lagod.call("GET", "/metrics", token=reader)).status_code == 403
    assert (await lagod.call("GET", "/openapi.json", token=reader)).status_code == 403


async def test_what_is_anothers_does_not_exist(lagod: Lagod) -> None:
    """No route tells one owner anything of another's session, not even that it is there."""
    ada, bob = lagod.user("ada"), lagod.user("bob")
    made = await lagod.call("POST", "/v1/sessions", json={"name": "diary"}, token=ada)
    session = made.json()["session_id"]
    assert made.json()["owner"] == "user:ada"
    await append(lagod, session, "a1", token=ada)
    put = await lagod.call("PUT", f"/v1/sessions/{session}/files/x.txt", content=b"secret", token=ada)
    blob = put.json()["blob_hash"]
    base = f"/v1/sessions/{session}"
    for method, path in (
        ("GET", base),
        ("GET", f"{base}/events?follow=false"),
        ("GET", f"{base}/events/read"),
        ("GET", f"{base}/events/head"),
        ("GET", f"{base}/branches"),
        ("GET", f"{base}/manifest"),
        ("GET", f"{base}/files/x.txt"),
        ("PUT", f"{base}/files/x.txt"),
        ("DELETE", f"{base}/files/x.txt"),
        ("GET", f"{base}/history/x.txt"),
        ("GET", f"{base}/diff?from=1"),
        ("GET", f"{base}/snapshots"),
        ("GET", f"/v1/blobs/{blob}"),
    ):
        assert (await lagod.call(method, path, token=bob)).status_code == 404, (method, path)
    for path, body in (
        ("/events", {"event": lagod.event("b1", {"type": "UserMessage", "content": "x"})}),
        ("/branches", {"name": "b"}),
        ("/branches/main/merge", {}),
        ("/snapshots", {"name": "b"}),
    ):
        assert (await lagod.call("POST", base + path, json=body, token=bob)).status_code == 404, path
    assert session not in (await lagod.call("GET", "/v1/sessions", token=bob)).text
    assert (await lagod.call("GET", f"{base}/files/x.txt", token=ada)).content == b"secret"


async def test_reserved_names_belong_to_whom_they_name(lagod: Lagod) -> None:
    """Nobody sits down on another's vault; the name is the id, so there is one; `lago:` is nobody's."""
    ada, bob = lagod.user("ada"), lagod.user("bob")
    for name in ("vault:ada", "agent:x", "vault:"):
        assert (await lagod.call("POST", "/v1/sessions", json={"name": name}, token=bob)).status_code in (400, 403)
    answers = await asyncio.gather(
        *(lagod.call("POST", "/v1/sessions", json={"name": "vault:ada"}, token=ada) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    by_id = {"name": "harmless", "session_id": "vault:bob"}
    assert (await lagod.call("POST", "/v1/sessions", json=by_id, token=ada)).status_code == 403
    for name in ("lago:policy", "lago:calls"):
        assert (await lagod.call("POST", "/v1/sessions", json={"name": name}, token=ada)).status_code == 400
        assert (await append(lagod, name, "p1")).status_code == 404
        assert (await append(lagod, name, "p2", token=ada)).status_code == 404


async def test_memory_is_the_callers_own(lagod: Lagod) -> None:
    """Two users under the same address have different files; the vault is made at the first write, once."""
    ada, bob = lagod.user("ada"), lagod.user("bob")
    assert (await lagod.call("GET", "/v1/memory/manifest", token=ada)).json()["entries"] == []
    puts = [lagod.call("PUT", f"/v1/memory/files/n{n}.md", content=b"# mine", token=ada) for n in range(3)]
    assert {answer.status_code for answer in await asyncio.gather(*puts)} == {201}
    read = await lagod.call("GET", "/v1/memory/files/n0.md", token=ada)
    assert read.content == b"# mine"
    assert read.headers["content-type"].startswith("text/markdown")
    assert (await lagod.call("GET", "/v1/memory/files/n0.md", token=bob)).status_code == 404
    await lagod.call("PUT", "/v1/memory/files/own.md", content=b"the operator's")
    namesake = await lagod.call("GET", "/v1/memory/files/own.md", token=lagod.user("operator"))
    assert namesake.status_code == 404
    agent = await lagod.call("PUT", "/v1/memory/files/a.md", content=b"x", token=await lagod.agent_token())
    assert agent.status_code == 201
    assert (await lagod.owners.owner(f"agent:{lagod.agent.agent_id}")) == f"agent:{lagod.agent.agent_id}"
    assert (await lagod.call("DELETE", "/v1/memory/files/n0.md", token=ada)).status_code == 204
    assert (await lagod.call("DELETE", "/v1/memory/files/none.md", token=bob)).status_code == 204


async def test_a_caller_searches_their_own_notes(lagod: Lagod) -> None:
    """The knowledge index answers about the caller's vault and nobody else's."""
    ada, bob = lagod.user("ada"), lagod.user("bob")
    note = b"# Sailing\n\nThe harbour opens at dawn, and the pilot knows the sandbanks."
    assert (await lagod.call("PUT", "/v1/memory/files/sailing.md", content=note, token=ada)).status_code == 201
    found = await lagod.call("POST", "/v1/memory/search", json={"query": "harbour pilot"}, token=ada)
    assert found.status_code == 200
    assert "sailing" in found.text
    other = await lagod.call("POST", "/v1/memory/search", json={"query": "harbour pilot"}, token=bob)
    assert other.json()["results"] == []
    assert (await lagod.call("GET", "/v1/memory/note/sailing", token=bob)).status_code == 404


# ---- events


async def test_append_and_read(lagod: Lagod) -> None:
    """Batches are whole or not at all, ids are idempotent, heads are checked, both cursors do what they say."""
    first = await append(lagod, "s", "e1", "e2")
    assert [each["seq"] for each in first.json()["events"]] == [2, 3]
    again = await append(lagod, "s", "e1", "e2")
    assert [each["duplicate"] for each in again.json()["events"]] == [True, True]
    other = {"event": lagod.event("e1", {"type": "UserMessage", "content": "another"})}
    assert (await lagod.call("POST", "/v1/sessions/s/events", json=other)).status_code == 409
    late = {"event": lagod.event("e3", {"type": "UserMessage", "content": "x"}), "expected_head": 2}
    conflict = await lagod.call("POST", "/v1/sessions/s/events", json=late)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "journal.sequence_conflict")
    assert (await lagod.call("POST", "/v1/sessions/s/events", json={**late, "expected_head": 3})).status_code == 200
    repeated = await lagod.call("POST", "/v1/sessions/s/events", json={**late, "expected_head": 3})
    assert repeated.status_code == 409 or repeated.json()["events"][0]["duplicate"]
    assert (await lagod.call("GET", "/v1/sessions/s/events/head")).json()["seq"] == 4

    async def sequences(query: str) -> list[int]:
        return [each["sequence"] for each in (await lagod.call("GET", f"/v1/sessions/s/events/read{query}")).json()]

    assert await sequences("?after=2") == [3, 4]
    assert await sequences("?after_seq=2") == [2, 3, 4]  # as older clients know it
    assert await sequences("?after_seq=0&limit=2") == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"event": 1}',
        b'{"events": []}',
        b'{"event": {"event_id": "x"}}',
        b'{"event": {"event_id": "x y", "session_id": "s", "timestamp": 1, "kind": {"type": "UserMessage", "content": ""}}}',
        b'{"event": {"event_id": "x", "session_id": "s", "timestamp": 1, "kind": {"type": "UserMessage"}}}',
        b'{"event": {"event_id": "x", "session_id": "s", "timestamp": 1, "kind": []}}',
        b'{"unknown": 1}',
    ],
)
async def test_bodies_that_do_not_fit_are_400(lagod: Lagod, body: bytes) -> None:
    """With a code, never a 500, and nothing is stored."""
    answer = await lagod.call(
        "POST", "/v1/sessions/s/events", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"]
    assert (await lagod.call("GET", "/v1/sessions/s/events/head")).json()["seq"] == 1


async def test_events_of_subsystems_are_not_taken_from_others(lagod: Lagod) -> None:
    """Quotas, approvals, books and identities are folded from events that nobody forges: not users, and the first not even the operator."""
    ada = lagod.user("ada")
    session = (await lagod.call("POST", "/v1/sessions", json={"name": "x"}, token=ada)).json()["session_id"]

    async def custom(event_type: str, token: str, session_id: str) -> int:
        event = lagod.event(f"c-{event_type}-{token[:3]}", {"type": "Custom", "event_type": event_type, "data": {}})
        answer = await lagod.call("POST", f"/v1/sessions/{session_id}/events", json={"event": event}, token=token)
        return answer.status_code

    for event_type in ("lago.blob_stored", "finance.payment_settled", "arcan.run_in_doubt"):
        assert await custom(event_type, ada, session) == 403
    assert await custom("mine.something", ada, session) == 200
    assert await custom("lago.blob_stored", TOKEN, "s") == 403
    assert await custom("finance.payment_settled", TOKEN, "s") == 200
    assert await custom("anima.identity_rotated", TOKEN, "s") >= 400
    assert await custom("anima.identity_rotated", TOKEN, f"identity-{lagod.agent.agent_id}") >= 400
    hidden = lagod.event("h", {"type": "finance.payment_settled", "amount": 1})  # an unknown kind reads as Custom, too
    sent = await lagod.call("POST", f"/v1/sessions/{session}/events", json={"event": hidden}, token=ada)
    assert sent.status_code == 403


async def test_an_event_is_written_as_who_asks(lagod: Lagod) -> None:
    """Nobody writes in another's name, at another time, or a file whose content they do not have."""
    token = lagod.user("ada")
    session = (await lagod.call("POST", "/v1/sessions", json={"name": "x"}, token=token)).json()["session_id"]
    said = {"type": "UserMessage", "content": "x"}

    async def send(event: dict[str, object]) -> httpx2.Response:
        return await lagod.call("POST", f"/v1/sessions/{session}/events", json={"event": event}, token=token)

    assert (await send(lagod.event("1", said, agent_id="somebody"))).status_code == 403
    assert (await send({**lagod.event("2", said), "timestamp": 1})).status_code == 400
    assert (await send({**lagod.event("3", said), "timestamp": lagod.clock.now_us() + 10**13})).status_code == 400
    stolen = (await lagod.blobs.put(b"somebody else's")).hash
    write = {"type": "FileWrite", "path": "/f", "blob_hash": stolen, "size_bytes": 1}
    assert (await send(lagod.event("4", write))).status_code == 403
    assert (await send(lagod.event("5", said, actor={"type": "system", "component": "arcan"}))).status_code == 200
    records = (await lagod.call("GET", f"/v1/sessions/{session}/events/read", token=token)).json()
    assert records[-1]["actor"] == {"type": "user"}
    assert records[-1]["agent_id"] == "user:ada"


# ---- streams


async def test_streams_over_http(lagod: Lagod) -> None:
    """Formats, Last-Event-ID over `after_seq`, `follow`, `until`; what can't be meant is 400, what is not there 404."""
    await append(lagod, "s", "e1", "e2")

    async def stream(query: str, **headers: str) -> httpx2.Response:
        return await lagod.call("GET", f"/v1/sessions/s/events?follow=false{query}", headers=headers)

    whole = await stream("")
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert whole.text.count("event: event") == 3
    assert whole.text.endswith('event: done\ndata: {"type":"done"}\n\n')
    assert (await stream("&after_seq=1", **{"last-event-id": "2"})).text.count("event: event") == 1
    assert (await stream("&after_seq=1")).text.count("event: event") == 2
    assert (await stream("&after_seq=999")).text.count("event: event") == 0
    assert (await stream("&format=vercel")).headers["x-vercel-ai-ui-message-stream"] == "v1"
    for query in ("&format=x", "&after_seq=-1", "&after_seq=x", "&until=never", "&follow=maybe", "&include_usage=true"):
        assert (await stream(query)).status_code == 400, query
    assert (await stream("", **{"last-event-id": "1x"})).status_code == 400
    assert (await stream("&branch=none")).status_code == 404
    assert (await lagod.call("GET", "/v1/sessions/none/events")).status_code == 404
    assert (await lagod.call("HEAD", "/v1/sessions/s/events")).status_code == 200
    assert lagod.logs.listeners == 0


async def test_a_live_stream_and_a_client_that_leaves(lagod: Lagod) -> None:
    """Events come as they are appended; whoever leaves is forgotten."""
    async with httpx2.AsyncClient(base_url=lagod.address, timeout=20) as client:
        async with client.stream(
            "GET", "/v1/sessions/s/events", headers={"authorization": f"Bearer {TOKEN}"}
        ) as response:
            lines = response.aiter_lines()
            while await anext(lines) != 'data: {"type":"ready","sequence":1}':
                pass
            assert lagod.logs.listeners == 1
            await append(lagod, "s", "live")
            while not (line := await anext(lines)).startswith("data: {"):
                pass
            assert json.loads(line[6:])["event_id"] == "live"
    for _ in range(200):
        if lagod.logs.listeners == 0:
            break
        await asyncio.sleep(0.01)
    assert lagod.logs.listeners == 0


async def test_a_client_that_does_not_read_costs_no_more_than_a_write(lagod: Lagod) -> None:
    """It gets everything, in order, when it reads at last; meanwhile others are served, and little is held for it."""
    host, _, port = lagod.address.removeprefix("http://").partition(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (host, int(port)))
        head = f"GET /v1/sessions/s/events HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        await loop.sock_sendall(slow, head.encode())
        big = "x" * 20_000
        for batch in range(60):
            events = [lagod.event(f"b{batch}-{n}", {"type": "UserMessage", "content": big}) for n in range(5)]
            assert (await lagod.call("POST", "/v1/sessions/s/events", json={"events": events})).status_code == 200
        read = bytearray()
        while b"\nid: 301\n" not in read:
            part = await asyncio.wait_for(loop.sock_recv(slow, 1 << 16), 10)
            assert part
            read += part
        ids = [int(line[4:]) for line in read.split(b"\n") if line.startswith(b"id: ")]
        assert ids == list(range(1, 302))


# ---- files, branches, blobs


async def test_files_branches_and_merges(lagod: Lagod) -> None:
    """A branch inherits, a merge brings back, conflicts name their paths, versions guard changes."""
    s = "/v1/sessions/s"
    assert (await lagod.call("PUT", f"{s}/files/a/b.txt", content=b"one")).status_code == 201
    assert (await lagod.call("POST", f"{s}/branches", json={"name": "try"})).status_code == 201
    assert (await lagod.call("POST", f"{s}/branches", json={"name": "try"})).status_code == 409
    assert (await lagod.call("POST", f"{s}/branches", json={"name": "far", "fork_point_seq": 99})).status_code == 400
    assert (await lagod.call("GET", f"{s}/files/a/b.txt?branch=try")).content == b"one"
    await lagod.call("PUT", f"{s}/files/a/b.txt?branch=try", content=b"theirs")
    await lagod.call("PUT", f"{s}/files/a/b.txt", content=b"ours")
    conflict = await lagod.call("POST", f"{s}/branches/try/merge", json={})
    assert conflict.status_code == 409
    assert "/a/b.txt" in conflict.text
    merged = await lagod.call("POST", f"{s}/branches/try/merge", json={"strategy": "theirs"})
    assert merged.json()["merged"] is True
    read = await lagod.call("GET", f"{s}/files/a/b.txt")
    assert read.content == b"theirs"
    tag = read.headers["etag"]
    assert (
        await lagod.call("PUT", f"{s}/files/a/b.txt", content=b"x", headers={"if-match": '"' + "0" * 64 + '"'})
    ).status_code == 409
    assert (
        await lagod.call("PUT", f"{s}/files/a/b.txt", content=b"x", headers={"if-none-match": "*"})
    ).status_code == 409
    assert (await lagod.call("PUT", f"{s}/files/a/b.txt", content=b"x", headers={"if-match": tag})).status_code == 201
    assert (await lagod.call("POST", f"{s}/snapshots", json={"name": "v1"})).status_code == 201
    assert (await lagod.call("POST", f"{s}/snapshots", json={"name": "v1"})).status_code == 409
    assert (await lagod.call("DELETE", f"{s}/files/a")).status_code == 204
    assert (await lagod.call("DELETE", f"{s}/files/a")).status_code == 204
    difference = (await lagod.call("GET", f"{s}/diff?from=snap:v1&text=true")).json()
    assert [(each["change"], each["path"]) for each in difference] == [("removed", "/a/b.txt")]
    assert "-x" in difference[0]["text"]
    manifest = (await lagod.call("GET", f"{s}/snapshots/v1/manifest")).json()
    assert [each["path"] for each in manifest["entries"]] == ["/a/b.txt"]
    history = (await lagod.call("GET", f"{s}/history/a/b.txt")).json()
    assert history[-1]["change"] == "FileDelete"


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "a%2f..%2fb", "%2e%2e", "a%00b", "a//b", "a%2f.%2fb", "x" * 5000, "%ff", "a/"]
)
async def test_paths_that_are_none_are_refused(lagod: Lagod, path: str) -> None:
    """Whatever is tried in an address, no file is written outside of a manifest, and no answer is a 500."""
    for method in ("GET", "PUT", "DELETE"):
        answer = await lagod.call(method, f"/v1/sessions/s/files/{path}", content=b"x" if method == "PUT" else None)
        assert answer.status_code in ({400, 404} if path != "%ff" else {201, 204, 400, 404, 200}), (method, answer.text)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_blobs_and_ranges(lagod: Lagod) -> None:
    """Ranges of RFC 9110, also those that are none; conditions only for what is there."""
    content = bytes(range(256)) * 40
    blob = _hash(content)
    assert (await lagod.call("PUT", f"/v1/blobs/{blob}", content=content)).status_code == 201
    wrong = await lagod.call("PUT", f"/v1/blobs/{'0' * 64}", content=content)
    assert wrong.status_code == 400
    assert not await lagod.blobs.exists("0" * 64)

    async def get(**headers: str) -> httpx2.Response:
        return await lagod.call(
            "GET", f"/v1/blobs/{blob}", headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    assert (await get()).content == content
    for wanted, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=10000-", 10000, len(content)),
        ("bytes=10000-99999999", 10000, len(content)),
        ("bytes=-7", len(content) - 7, len(content)),
        ("bytes=-99999999", 0, len(content)),
    ):
        part = await get(range=wanted)
        assert (part.status_code, part.content) == (206, content[start:stop]), wanted
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    for wanted in (f"bytes={len(content)}-", "bytes=-0", "bytes=9-5"):
        assert (await get(range=wanted)).status_code == 416, wanted
    for wanted in ("bytes=", "lines=1-2", "bytes=a-b", "bytes=0-1,3-4", "bytes=--1", "bytes=" + "9" * 400 + "-"):
        assert (await get(range=wanted)).status_code == 200, wanted
    tag = f'"{blob}"'
    assert (await get(if_none_match=f'"x", W/{tag}')).status_code == 304
    assert (await get(if_none_match="*")).status_code == 304
    assert (await get(if_none_match='"x"')).status_code == 200
    assert (await get(range="bytes=0-0", if_range=tag)).status_code == 206
    assert (await get(range="bytes=0-0", if_range='"x"')).status_code == 200
    missing = await lagod.call("GET", f"/v1/blobs/{'1' * 64}", headers={"if-none-match": "*"})
    assert missing.status_code == 404
    for bad in ("A" * 64, "..", "%2e%2e%2f" * 9, "0" * 63):
        assert (await lagod.call("GET", f"/v1/blobs/{bad}")).status_code in (400, 404)
    empty = _hash(b"")
    assert (await lagod.call("PUT", f"/v1/blobs/{empty}", content=b"")).status_code == 201
    assert (await lagod.call("GET", f"/v1/blobs/{empty}", headers={"range": "bytes=0-"})).status_code == 416
    assert (await lagod.call("GET", f"/v1/blobs/{empty}")).content == b""
    head = await lagod.call("HEAD", f"/v1/blobs/{blob}")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "x/y\tz", "é"]
)
async def test_nothing_stored_runs_in_a_page(lagod: Lagod, kind: str) -> None:
    """Stored scripts come back as downloads without a type that a browser runs, whatever `ct` or the writer said."""
    content = b"<script>alert(1)</script>"
    blob = _hash(content)
    await lagod.call("PUT", f"/v1/blobs/{blob}", content=content)
    headers: Any = {"content-type": kind.encode("latin-1")}
    await lagod.call("PUT", "/v1/sessions/s/files/x%22.html", content=content, headers=headers)
    for path in (f"/v1/blobs/{blob}", "/v1/sessions/s/files/x%22.html"):
        answer = await lagod.call("GET", path, params={"ct": kind})
        if answer.status_code == 404:
            continue  # the type was refused
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert '"' not in answer.headers["content-disposition"]
        assert "sandbox" in answer.headers["content-security-policy"]


async def test_bodies_are_limited_while_they_come(lagod: Lagod, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declared length is refused at once, an undeclared one as soon as it is too long; a lie about it stores nothing."""
    monkeypatch.setattr("life.lago.api.files.MAX_FILE_BYTES", 1000)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    assert (await lagod.call("PUT", "/v1/sessions/s/files/a", content=b"x" * 1001)).status_code == 413
    assert (await lagod.call("PUT", "/v1/sessions/s/files/a", content=endless())).status_code == 413
    big = json.dumps({"name": "x" * 17_000_000}).encode()
    answer = await lagod.call("POST", "/v1/sessions", content=big, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    host, _, port = lagod.address.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"PUT /v1/sessions/s/files/lie HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {TOKEN}\r\n"
        "content-length: 500\r\n\r\nshort".encode()
    )
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.1)
    assert (await lagod.call("GET", "/v1/sessions/s/files/lie")).status_code == 404


# ---- policy and quotas


POLICY = b"""
[[rules]]
id = "ask-for-deletes"
priority = 5
condition = { type = "RiskAtLeast", value = "high" }
decision = "require_approval"

[[rules]]
id = "http"
priority = 10
condition = { type = "Category", value = "http" }
decision = "allow"

[[hooks]]
name = "tell"
phase = "post"
condition = { type = "ToolName", value = "http.files.delete" }
action = { type = "Notify", channel = "ops" }

[plans.tiny]
events_per_month = 5
bytes = 2000
sessions = 1
calls_per_hour = 20

[quotas]
owners = { "user:tiny" = "tiny" }
"""


async def test_approvals(tmp_path: Path) -> None:
    """A rule asks for a person; the approval lets that very request through, once; hooks tell their channel."""
    async with running_lagod(tmp_path, parse_rules(POLICY)) as lagod:
        ada = lagod.user("ada")
        session = (await lagod.call("POST", "/v1/sessions", json={"name": "x"}, token=ada)).json()["session_id"]
        path = f"/v1/sessions/{session}/files/a"
        await lagod.call("PUT", path, content=b"x", token=ada)
        await lagod.call("PUT", path + "2", content=b"x", token=ada)
        refused = await lagod.call("DELETE", path, token=ada)
        assert (refused.status_code, refused.json()["code"]) == (403, "lago.approval_required")
        ticket = refused.json()["details"]["approval_id"]
        shown = {"life-approval": ticket}
        assert (await lagod.call("DELETE", path, token=ada, headers=shown)).status_code == 409
        own = await lagod.call("POST", f"/v1/approvals/{ticket}", json={"approved": True}, token=ada)
        assert own.status_code == 403
        assert (await lagod.call("POST", f"/v1/approvals/{ticket}", json={"approved": True})).json()[
            "state"
        ] == "approved"
        assert (await lagod.call("POST", f"/v1/approvals/{ticket}", json={"approved": False})).status_code == 409
        assert (await lagod.call("DELETE", path + "2", token=ada, headers=shown)).status_code == 400
        bob = lagod.user("bob")
        assert (await lagod.call("DELETE", path, token=bob, headers=shown)).status_code == 400
        used = await asyncio.gather(*(lagod.call("DELETE", path, token=ada, headers=shown) for _ in range(3)))
        assert sorted(answer.status_code for answer in used) == [204, 409, 409]
        told = (await lagod.call("GET", "/v1/sessions/lago:notify:ops/events/read")).json()
        assert told[0]["kind"]["event_type"] == "lago.notification"
        journaled = (await lagod.call("GET", "/v1/sessions/lago:policy/events/read")).json()
        assert {"PolicyEvaluated", "ApprovalRequested", "ApprovalResolved"} <= {
            each["kind"]["type"] for each in journaled
        }
        assert (await lagod.call("GET", "/v1/sessions/lago:policy/events/read", token=ada)).status_code == 404


async def test_explanations_and_checks_for_tools(tmp_path: Path) -> None:
    """The same gate judges tools: explain tells every step and journals nothing, check journals."""
    async with running_lagod(tmp_path, parse_rules(POLICY)) as lagod:
        question = {"tool_name": "exec_shell", "risk": "critical", "subject": "agent:x"}
        explained = (await lagod.call("POST", "/v1/policy/explain", json=question)).json()
        assert (explained["decision"], explained["rule_id"]) == ("require_approval", "ask-for-deletes")
        assert [step["what"] for step in explained["steps"]] == ["rule ask-for-deletes"]
        low = {"tool_name": "read", "subject": "agent:x", "risk": "low"}
        denied = await lagod.call("POST", "/v1/policy/check", json=low)
        assert (denied.status_code, denied.json()["code"]) == (403, "lago.policy_denied")
        assert (await lagod.call("POST", "/v1/policy/explain", json=low, token=lagod.user("ada"))).status_code == 403


async def test_quotas_hold(tmp_path: Path) -> None:
    """Events, bytes, sessions and calls: the last one that fits goes in, the next is 429, also with requests at once."""
    async with running_lagod(tmp_path, parse_rules(POLICY)) as lagod:
        tiny = lagod.user("tiny")
        made = await asyncio.gather(
            *(lagod.call("POST", "/v1/sessions", json={"name": "x"}, token=tiny) for _ in range(3))
        )
        assert sorted(answer.status_code for answer in made) == [201, 429, 429]
        session = next(answer.json()["session_id"] for answer in made if answer.status_code == 201)
        sent = await asyncio.gather(*(append(lagod, session, f"e{n}", token=tiny) for n in range(6)))
        assert sorted(answer.status_code for answer in sent) == [200] * 4 + [429] * 2
        assert next(each for each in sent if each.status_code == 429).json()["code"] == "lago.quota_exceeded"
        lagod.clock.advance_us(40 * 24 * 3600 * 1_000_000)
        fresh = lagod.user("tiny")
        big = {"event": lagod.event("big", {"type": "UserMessage", "content": "x" * 3000})}
        assert (await lagod.call("POST", f"/v1/sessions/{session}/events", json=big, token=fresh)).status_code == 429
        assert (await append(lagod, session, "next-month", token=fresh)).status_code == 200
        usage = (await lagod.call("GET", "/v1/usage", token=fresh)).json()
        assert (usage["use"]["events"], usage["use"]["sessions"], usage["quota"]["sessions"]) == (1, 1, 1)
        answers = [await lagod.call("GET", "/v1/sessions", token=fresh) for _ in range(25)]
        assert answers[-1].status_code == 429
        lagod.clock.advance_us(3_600_000_000)
        assert (await lagod.call("GET", "/v1/sessions", token=lagod.user("tiny"))).status_code == 200


async def test_metrics_have_no_ids(lagod: Lagod) -> None:
    """Series are named by routes, so nobody fills the memory with addresses."""
    for n in range(5):
        await lagod.call("GET", f"/v1/sessions/none-{n}")
    text = (await lagod.call("GET", "/metrics")).text
    assert 'lago_http_requests_total{method="GET",route="/v1/sessions/{session_id}",status="404"} 5' in text
    assert "none-1" not in text


# ---- the process


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "memory", "nats"])
async def test_the_process_starts_serves_and_stops(tmp_path: Path, engine: str) -> None:
    """It says where it listens, keeps what it acknowledged over a restart, ends open streams, and leaves with 0."""
    arguments = ["--bind", "127.0.0.1:0", "--engine", engine, "--data-dir", str(tmp_path / "data")]
    code = "import sys; from life.cli.lagod import lagod; lagod(sys.argv[1:])"
    if engine == "nats":
        pytest.importorskip("nats")
    for start in range(1 if engine == "memory" else 2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 20)).decode() for _ in range(3)]
        address = lines[0].split()[-1]
        token = Path(lines[2].split()[1]).read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=20) as client:
            if start == 0:
                assert (await client.post("/v1/sessions", json={"name": "a", "session_id": "s"})).status_code == 201
                assert (await client.put("/v1/sessions/s/files/a", content=b"kept")).status_code == 201
            assert (await client.get("/v1/sessions/s/files/a")).content == b"kept"
            async with client.stream("GET", "/v1/sessions/s/events") as response:
                seen = response.aiter_lines()
                while "ready" not in await anext(seen):
                    pass
                process.send_signal(signal.SIGTERM)
                rest = [line async for line in seen]
                assert any("journal.unavailable" in line for line in rest)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert process.stderr is not None
        assert token not in (await process.stderr.read()).decode()
