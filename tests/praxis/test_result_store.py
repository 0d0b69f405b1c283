"""Results that are too long for the model."""

from __future__ import annotations

import msgspec

from life.aios.json import Json
from life.aios.ports.blobs import Blobs
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.praxis.function_tool import tool
from life.praxis.registry import ToolRegistry
from life.praxis.result_store import MAX_STORED_BYTES, store_result
from life.praxis.tools.read_result import ReadResult

LONG: Json = [f'row {number} é日本 \\ "quoted"' for number in range(3000)]


@tool(read_only=True)
def rows() -> Json:
    """Many rows."""
    return LONG


def registry_of(blobs: Blobs | None) -> ToolRegistry:
    """A registry with a small limit."""
    registry = ToolRegistry(max_result_bytes=8192, blobs=blobs)
    registry.register(rows)
    if blobs is not None:
        registry.register(ReadResult(blobs, max_result_bytes=8192))
    return registry


def output_of(outcome: ToolOutcome) -> dict[str, Json]:
    """The output as an object."""
    return msgspec.convert(outcome.output, dict[str, Json])


async def test_a_long_result_can_be_read_to_its_end(blobs: Blobs, context: ToolContext) -> None:
    """The model gets the beginning, the hash and how to go on; the pages give the whole JSON, byte for byte."""
    registry = registry_of(blobs)
    shown = output_of(await registry.execute(ToolCall("c", "rows", {}), context))
    assert shown["truncated"] is True
    assert "read_result" in str(shown["note"])
    assert len(msgspec.json.encode(shown)) <= 8192
    whole = str(shown["json_beginning"])
    offset: Json = shown["shown_bytes"]
    pages = 0
    while offset is not None:
        arguments: Json = {"result": shown["result"], "offset": offset, "limit": 65536}
        page = output_of(await registry.execute(ToolCall("c", "read_result", arguments), context))
        assert page["offset"] == offset
        whole += str(page["content"])
        offset = page.get("next_offset")
        pages += 1
    assert msgspec.json.decode(whole) == LONG
    assert pages > 10
    assert shown["total_bytes"] == len(whole.encode())


async def test_a_hash_alone_opens_nothing(blobs: Blobs, context: ToolContext) -> None:
    """Another session's result, somebody's file, a hash of nothing: all the same answer. So is an offset past the end an
    error, and none of it is a defect."""
    registry = registry_of(blobs)
    shown = output_of(await registry.execute(ToolCall("c", "rows", {}), context))
    foreign = (await blobs.put(b"somebody's file")).hash
    prefix = await store_result(blobs, "sess-10", b"[]")
    other = msgspec.structs.replace(context, session_id="sess-2")
    for result, asked, code in (
        (shown["result"], other, "praxis.result_not_found"),
        (foreign, context, "praxis.result_not_found"),
        (prefix, context, "praxis.result_not_found"),
        ("0" * 64, context, "praxis.result_not_found"),
        ("../../etc/passwd", context, "praxis.invalid_input"),
        ("A" * 64, context, "praxis.invalid_input"),
    ):
        outcome = await registry.execute(ToolCall("c", "read_result", {"result": result}), asked)
        assert (outcome.status, output_of(outcome)["code"]) == ("error", code), result
    past: Json = {"result": shown["result"], "offset": 10_000_000}
    assert (
        output_of(await registry.execute(ToolCall("c", "read_result", past), context))["code"] == "praxis.invalid_input"
    )


async def test_pages_never_cut_a_character(blobs: Blobs, context: ToolContext) -> None:
    """Whatever offset is asked for, a page begins and ends between characters."""
    stored = await store_result(blobs, context.session_id, msgspec.json.encode(["é日𝄞" * 10]))
    registry = registry_of(blobs)
    for offset in range(40):
        arguments: Json = {"result": stored, "offset": offset, "limit": 4}
        page = output_of(await registry.execute(ToolCall("c", "read_result", arguments), context))
        assert "\ufffd" not in str(page["content"])
        assert page["content"]


async def test_without_a_store_the_loss_is_told(context: ToolContext) -> None:
    """No blob store, or a result that is too long even for it: the beginning, and that the rest is gone."""
    shown = output_of(await registry_of(None).execute(ToolCall("c", "rows", {}), context))
    assert "result" not in shown
    assert "not kept" in str(shown["note"])


async def test_what_is_too_long_is_not_stored(blobs: Blobs) -> None:
    """A limit for the store, too."""
    assert await store_result(blobs, "s", b" " * (MAX_STORED_BYTES + 1)) is None
