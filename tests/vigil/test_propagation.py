"""W3C Trace Context (level 1): vectors of the specification, and context that crosses HTTP, MCP and OpenTelemetry's own API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.telemetry import SpanPlace, working_in
from life.vigil.propagation import extract, headers_of, parse_traceparent
from tests.arcan.workbench import Workbench, says, script
from tests.vigil.kit import spans_of, telemetry_on, watched_runtime

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
"""The example of W3C Trace Context §3.2."""


def test_the_example() -> None:
    """The specification's own example is read and written."""
    place = parse_traceparent(f"00-{TRACE}-{SPAN}-01", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert place == SpanPlace(TRACE, SPAN, True, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert headers_of(place)["traceparent"] == f"00-{TRACE}-{SPAN}-01"
    unsampled = parse_traceparent(f"00-{TRACE}-{SPAN}-00")
    assert unsampled is not None and not unsampled.sampled


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_what_is_no_header(text: str) -> None:
    """W3C Trace Context §3.2.2: a header that is not right is ignored."""
    assert parse_traceparent(text) is None


def test_later_versions() -> None:
    """§3.2.4: a later version is read as far as this one goes."""
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings") == SpanPlace(TRACE, SPAN)


@pytest.mark.parametrize(
    "state", ["a=1,a=2", "=x", "a", "A=1", ",".join(f"k{i}=v" for i in range(33)), "a=" + "x" * 600, "a=b\r\nx: y"]
)
def test_bad_state_is_dropped(state: str) -> None:
    """A tracestate that is none is not passed on, and the traceparent still counts."""
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-01", state) == SpanPlace(TRACE, SPAN)


@given(st.text(max_size=80), st.text(max_size=80))
def test_total(text: str, state: str) -> None:
    """Anything is a place that can be written again, or nothing."""
    place = extract({"traceparent": text, "tracestate": state})
    if place is not None:
        assert parse_traceparent(place.traceparent, place.tracestate) == place


async def test_the_program_around(tmp_path: Path) -> None:
    """A program with OpenTelemetry of its own: its current span becomes the run's parent, and inside our spans its API sees ours."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("program")
    live = telemetry_on()
    async with watched_runtime(Workbench(tmp_path), script(says("Hi.")), live) as (runtime, _):
        await runtime.create_session("s")
        with tracer.start_as_current_span("theirs") as theirs:
            await runtime.run("s", "Go.")
    context = theirs.get_span_context()
    root = next(span for span in spans_of(live) if span.name == "invoke_agent life")
    assert (int(root.trace_id, 16), int(root.parent_id or "0", 16)) == (context.trace_id, context.span_id)
    with live.within(SpanPlace(TRACE, SPAN)):
        seen = trace.get_current_span().get_span_context()
        assert (seen.trace_id, seen.span_id) == (int(TRACE, 16), int(SPAN, 16))
        with live.within(None):
            assert working_in.get() is None and not trace.get_current_span().get_span_context().is_valid
    assert working_in.get() is None
    live.close()


async def test_tasks_keep_their_own(tmp_path: Path) -> None:
    """Tasks side by side do not see each other's span."""
    live = telemetry_on()

    async def work(number: int) -> bool:
        place = SpanPlace(f"{number:032x}", f"{number:016x}")
        with live.within(place):
            await asyncio.sleep(0)
            return live.caller() == place

    assert all(await asyncio.gather(*(work(number) for number in range(1, 20))))
    live.close()


async def test_mcp_both_ways(tmp_path: Path) -> None:
    """`_meta` of an MCP request carries the span that calls; a server in which a run is started makes what it carries the parent."""
    from mcp.client import Client
    from mcp.client._memory import InMemoryTransport
    from mcp.server import Server
    from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool

    live = telemetry_on()
    seen: list[dict[str, object]] = []
    async with watched_runtime(Workbench(tmp_path), script(says("Hi."), says("Hi.")), live) as (runtime, _):
        await runtime.create_session("s")

        async def call(context: object, params: object) -> CallToolResult:
            seen.append(dict(getattr(context, "meta", None) or {}))
            await runtime.run("s", "Go.")
            return CallToolResult(content=[TextContent(type="text", text="ok")])

        async def tools(context: object, params: object) -> ListToolsResult:
            return ListToolsResult(tools=[Tool(name="ask", input_schema={"type": "object"})])

        server = Server("ours", on_call_tool=call, on_list_tools=tools)
        async with Client(InMemoryTransport(server)) as client:
            with live.within(SpanPlace(TRACE, SPAN)):
                await client.call_tool("ask", {})
            await client.call_tool("ask", {}, meta={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})  # type: ignore[arg-type]
    assert seen[0]["traceparent"] == f"00-{TRACE}-{SPAN}-01"
    first, second = sorted(
        (span for span in spans_of(live) if span.name == "invoke_agent life"), key=lambda span: span.start_us
    )
    assert (first.trace_id, first.parent_id) == (TRACE, SPAN)
    assert (second.trace_id, second.parent_id) == ("ab" * 16, "cd" * 8)
    live.close()
