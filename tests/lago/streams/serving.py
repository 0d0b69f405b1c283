"""A loopback server that gives a journal's streams to the vendors' clients, under the paths they ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from life.host.http.events import WritesResponse
from life.lago.streams.follower import Wanted, open_follower
from life.lago.streams.log import FrameLogs
from tests.host.serving import serving
from tests.lago.streams.golden_run import STREAM, format_of


@asynccontextmanager
async def streaming(logs: FrameLogs) -> AsyncIterator[str]:
    """Serves `STREAM`: OpenAI's and Anthropic's paths, and `/<format>`. `?after=` and `?run=1` say what is wanted."""

    async def answer(request: Request, name: str) -> Response:
        after = int(request.query_params.get("after", "0"))
        wanted = Wanted(STREAM, format_of(name), after, until_run_ends="run" in request.query_params)
        return WritesResponse(
            await open_follower(logs, wanted), error=wanted.format.error, headers=wanted.format.headers
        )

    async def openai(request: Request) -> Response:
        return await answer(request, "openai+usage")

    async def anthropic(request: Request) -> Response:
        return await answer(request, "anthropic")

    async def named(request: Request) -> Response:
        return await answer(request, request.path_params["name"])

    app = Starlette(
        routes=[
            Route("/openai/chat/completions", openai, methods=["POST"]),
            Route("/anthropic/v1/messages", anthropic, methods=["POST"]),
            Route("/{name}", named, methods=["GET", "POST"]),
        ]
    )
    async with serving(app) as address:
        yield address
